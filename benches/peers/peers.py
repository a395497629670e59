"""The peers: one training of the same network in each framework, an epoch on demand.

    python peers.py torch --hidden 512,256,128 --batch 500 --threads 2

trains one epoch to warm up (compilation included), says so in a line of JSON, reads the number of epochs to train from each
line of standard input, and answers with their seconds and losses. At the end of the input it says how many of the training
rows it gets right. The peers in Rust (`rust/`) do the same.

Every framework trains ReLU, SELU and tanh layers with softmax cross-entropy and Adam (1e-3) on the 50,000 rows of `data.py`
in f32, reshuffled every epoch, with the data in memory: the fastest way that its own users would write it. scikit-learn has
one activation for all layers; it trains ReLU.
"""

import argparse
import json
import os
import sys
import tempfile
import time

import data
from data import CLASSES
from data import ROWS as SAMPLES

LR, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8


def torch_peer(x, y, hidden, batch, threads, compiled):
    """PyTorch, eager or through torch.compile, with the fused Adam."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    x, y = torch.from_numpy(x), torch.from_numpy(y.astype("int64"))
    sizes = [x.shape[1], *hidden, CLASSES]
    layers = []
    for i, (n_in, n_out) in enumerate(zip(sizes, sizes[1:])):
        layers.append(torch.nn.Linear(n_in, n_out))
        if i < len(hidden):
            layers.append([torch.nn.ReLU(), torch.nn.SELU(), torch.nn.Tanh()][i % 3])
    model = torch.nn.Sequential(*layers)
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=True)

    def loss_of(xb, yb):
        return torch.nn.functional.cross_entropy(model(xb), yb)

    if compiled:
        # one compilation for each size of a batch; the last one may be smaller
        loss_of = torch.compile(loss_of, dynamic=False)

    def epoch():
        total = torch.zeros(())
        for rows in torch.randperm(SAMPLES).split(batch):
            loss = loss_of(x[rows], y[rows])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            total += loss.detach() * len(rows)
        return total.item() / SAMPLES

    @torch.no_grad()
    def accuracy():
        return (model(x).argmax(1) == y).float().mean().item()

    return epoch, accuracy


def jax_peer(x, y, hidden, batch, threads):
    """JAX: an epoch is one compiled scan over the batches."""
    import jax
    import jax.numpy as jnp
    from jax import lax, nn, random

    x, y = jnp.asarray(x), jnp.asarray(y.astype("int32"))
    sizes = [x.shape[1], *hidden, CLASSES]
    key, *keys = random.split(random.key(0), len(sizes))
    params = [
        (random.uniform(k, (n_in, n_out), jnp.float32, -1, 1) / n_in**0.5, jnp.zeros(n_out))
        for k, n_in, n_out in zip(keys, sizes, sizes[1:])
    ]
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = (params, zeros, jax.tree.map(jnp.zeros_like, params), jnp.float32(0))
    activations = [nn.relu, nn.selu, jnp.tanh]

    def outputs(params, a):
        for i, (w, b) in enumerate(params):
            a = a @ w + b
            if i < len(hidden):
                a = activations[i % 3](a)
        return a

    def loss_of(params, xb, yb):
        return -jnp.take_along_axis(nn.log_softmax(outputs(params, xb)), yb[:, None], 1).mean()

    def step(state, rows, x, y):
        params, m, v, t = state
        loss, grads = jax.value_and_grad(loss_of)(params, x[rows], y[rows])
        t = t + 1
        m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, grads)
        v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, grads)
        c1, c2 = 1 - BETA1**t, 1 - BETA2**t
        params = jax.tree.map(
            lambda w, m, v: w - LR * (m / c1) / (jnp.sqrt(v / c2) + EPS), params, m, v
        )
        return (params, m, v, t), loss

    def whole_epoch(state, key, x, y):
        order = random.permutation(key, SAMPLES)
        full = SAMPLES - SAMPLES % batch
        state, losses = lax.scan(lambda state, rows: step(state, rows, x, y), state, order[:full].reshape(-1, batch))
        total = losses.sum() * batch
        if full < SAMPLES:  # the last batch is smaller
            state, loss = step(state, order[full:], x, y)
            total += loss * (SAMPLES - full)
        return state, total / SAMPLES

    whole_epoch = jax.jit(whole_epoch, donate_argnums=0)
    held = {"state": state, "key": key}

    def epoch():
        held["key"], sub = random.split(held["key"])
        held["state"], loss = whole_epoch(held["state"], sub, x, y)
        return float(loss)

    def accuracy():
        return float((outputs(held["state"][0], x).argmax(1) == y).mean())

    return epoch, accuracy


def numpy_peer(x, y, hidden, batch, threads):
    """NumPy: the forward and backward pass by hand, every update in place."""
    import numpy as np

    rng = np.random.default_rng(0)
    sizes = [x.shape[1], *hidden, CLASSES]
    scale, alpha = np.float32(1.0507009873554805), np.float32(1.6732632423543772)
    shapes = list(zip(sizes, sizes[1:]))
    w = [(rng.uniform(-1, 1, s) / s[0] ** 0.5).astype(np.float32) for s in shapes]
    params = w + [np.zeros(n_out, np.float32) for _, n_out in shapes]
    m, v = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params]
    steps, depth = [0], len(shapes)

    def activate(i, z):
        if i % 3 == 0:
            return np.maximum(z, 0)
        if i % 3 == 1:
            return scale * np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))
        return np.tanh(z)

    def slope(i, a):
        if i % 3 == 0:
            return (a > 0).astype(np.float32)
        if i % 3 == 1:
            return np.where(a > 0, scale, a + scale * alpha)
        return 1 - a * a

    def forward(x):
        a = [x]
        for i in range(depth):
            z = a[i] @ params[i] + params[depth + i]
            a.append(activate(i, z) if i + 1 < depth else z)
        return a

    def epoch():
        total = 0.0
        order = rng.permutation(SAMPLES)
        for start in range(0, SAMPLES, batch):
            rows = order[start : start + batch]
            a, yb = forward(x[rows]), y[rows]
            p = np.exp(a[-1] - a[-1].max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            picked = np.arange(len(rows)), yb
            total -= float(np.log(p[picked]).sum())
            p[picked] -= 1
            dz = p / np.float32(len(rows))
            grads = [None] * (2 * depth)
            for i in reversed(range(depth)):
                grads[i], grads[depth + i] = a[i].T @ dz, dz.sum(0)
                if i:
                    dz = (dz @ params[i].T) * slope(i - 1, a[i])
            steps[0] += 1
            c1, c2 = 1 - BETA1 ** steps[0], (1 - BETA2 ** steps[0]) ** 0.5
            for w, m_, v_, g in zip(params, m, v, grads):
                m_ *= np.float32(BETA1)
                m_ += np.float32(1 - BETA1) * g
                v_ *= np.float32(BETA2)
                g *= g
                v_ += np.float32(1 - BETA2) * g
                w -= np.float32(LR / c1) * m_ / (np.sqrt(v_) / np.float32(c2) + np.float32(EPS))
        return total / SAMPLES

    def accuracy():
        return float((forward(x)[-1].argmax(1) == y).mean())

    return epoch, accuracy


def sklearn_peer(x, y, hidden, batch, threads):
    """scikit-learn: partial_fit is one epoch."""
    import numpy as np
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(tuple(hidden), batch_size=batch, learning_rate_init=LR, alpha=0.0, random_state=0)

    def epoch():
        model.partial_fit(x, y, classes=np.arange(CLASSES))
        return model.loss_

    return epoch, lambda: model.score(x, y)


PEERS = {
    "torch": lambda *args: torch_peer(*args, compiled=False),
    "torch.compile": lambda *args: torch_peer(*args, compiled=True),
    "jax": jax_peer,
    "numpy": numpy_peer,
    "sklearn": sklearn_peer,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--hidden", type=lambda s: [int(n) for n in s.split(",")], required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--data", choices=data.INPUTS, default="mnist")
    parser.add_argument("--folder", help="where data.py has written the data; without it, they are made anew")
    args = parser.parse_args()
    # before any library is loaded: as many cores, and as many threads of each kind, as densely gets
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(args.threads)
    if args.folder:
        x, y = data.read(args.folder, data.INPUTS[args.data])
    else:
        with tempfile.TemporaryDirectory() as folder:
            data.write(args.data, folder)
            x, y = data.read(folder, data.INPUTS[args.data])
    epoch, accuracy = PEERS[args.peer](x, y, args.hidden, args.batch, args.threads)
    loss = epoch()
    print(json.dumps({"ready": True, "loss": loss}), flush=True)
    for line in sys.stdin:
        seconds, losses = [], []
        for _ in range(int(line)):
            start = time.perf_counter()
            losses.append(epoch())
            seconds.append(time.perf_counter() - start)
        print(json.dumps({"seconds": seconds, "losses": losses}), flush=True)
    print(json.dumps({"accuracy": accuracy()}), flush=True)


if __name__ == "__main__":
    main()

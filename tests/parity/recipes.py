#!/usr/bin/env python3
"""The constants of tests/recipes.rs: ten steps of small networks with norms, disturbances and optimizers, by PyTorch in f64.

Needs `torch` and `numpy`; see README.md in this folder. The random numbers of dropout and noise are those of `src/engine/kernels/random.rs`, computed here once more.

  recipes.py
"""

import numpy as np
import torch

from pytorch import ACTIVATIONS, ramp

SIZES, BATCH, SAMPLES, LR, SEED = [7, 9, 8, 6, 4], 12, 40, 0.01, 3
MASK = (1 << 64) - 1
DROPOUT, NOISE = 5 << 40, 6 << 40


def splitmix64(state):
    z = (state + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def key(seed, *parts):
    for part in parts:
        seed = splitmix64(seed ^ part)
    return seed


def bits(purpose, layer, step, samples, units):
    """Random bits, (samples, units)."""
    of_step = key(SEED, purpose, layer, step)
    rows = []
    for sample in samples:
        of_sample = key(of_step, sample)
        low, high = np.uint32(of_sample & 0xFFFFFFFF), np.uint32(of_sample >> 32)
        x = np.arange(units, dtype=np.uint32) * np.uint32(0x9E3779B9) + low
        x = ((x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)) ^ high
        x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
        rows.append(x ^ (x >> np.uint32(16)))
    return np.array(rows)


CENTRAL = [2.8102264e-8, 3.4327394e-7, -3.5233877e-6, -4.3915065e-6, 0.00021858087, -0.001253725, -0.0041776816, 0.24664073, 1.5014094]
TAIL = [-0.00020021426, 0.00010095056, 0.0013493432, -0.0036734284, 0.0057395077, -0.0076224613, 0.0094388705, 1.0016741, 2.8329768]


def normal(random):
    x = random.astype(np.int32).astype(np.float32) / np.float32(2**31)
    x = np.clip(x, np.float32(-0.99999994), np.float32(0.99999994)).astype(np.float64)
    w = -np.log((1 - x) * (1 + x))
    p = np.where(w < 5, np.polyval(CENTRAL, w - 2.5), np.polyval(TAIL, np.sqrt(w) - 3))
    return torch.from_numpy(np.sqrt(2) * x * p)


class Network(torch.nn.Module):
    def __init__(self, activations, norm, noise, dropout):
        super().__init__()
        pairs = list(zip(SIZES, SIZES[1:]))
        self.layers = torch.nn.ModuleList(torch.nn.Linear(*pair, dtype=torch.float64) for pair in pairs)
        kinds = {"batch": torch.nn.BatchNorm1d, "layer": torch.nn.LayerNorm}
        hidden = SIZES[1:-1] if norm else []
        self.norms = torch.nn.ModuleList(kinds[norm](n, dtype=torch.float64) for n in hidden)
        self.activations = [ACTIVATIONS[name]() for name in activations]
        self.noise, self.dropout = noise, dropout
        if norm == "batch":
            for layer in self.layers[:-1]:
                layer.bias.requires_grad = False

    def disturb(self, x, layer, purpose, strength):
        if not strength:
            return x
        random = bits(purpose, layer, self.step, self.samples, x.shape[1])
        if purpose == NOISE:
            return x + strength * normal(random)
        kept = torch.from_numpy(random >= np.uint32(int(float(np.float32(strength)) * 2**32)))
        return x * kept / (1 - strength)

    def forward(self, x):
        x = self.disturb(x, 0, NOISE, self.noise[0])
        x = self.disturb(x, 0, DROPOUT, self.dropout[0])
        for l, layer in enumerate(self.layers):
            x = layer(x)
            if l == len(self.layers) - 1:
                return x
            if self.norms:
                x = self.norms[l](x)
            x = self.disturb(x, l + 1, NOISE, self.noise[1])
            x = self.activations[l](x)
            x = self.disturb(x, l + 1, DROPOUT, self.dropout[1])

    def tensors(self):
        """In densely's order, with what each holds at first in place of the ramp alone."""
        for l, layer in enumerate(self.layers):
            yield layer.weight, None
            yield layer.bias, None
            if l < len(self.norms):
                norm = self.norms[l]
                yield norm.weight, 1.0
                yield norm.bias, None
                if hasattr(norm, "running_mean"):
                    yield norm.running_mean, "zeros"
                    yield norm.running_var, "ones"


def run(name, activations=("gelu", "relu", "tanh"), optimizer=None, clip=None, smoothing=0.0, ema=None, norm=None, noise=(0, 0), dropout=(0, 0)):
    net = Network(activations, norm, noise, dropout)
    count = sum(tensor.numel() for tensor, _ in net.tensors())
    start = torch.from_numpy(ramp(count, 7919, 1009) * 0.6).float().double()
    position = 0
    with torch.no_grad():
        for tensor, kind in net.tensors():
            piece = start[position : position + tensor.numel()].view_as(tensor)
            position += tensor.numel()
            if kind == "zeros":
                piece = torch.zeros_like(piece)
            elif kind == "ones":
                piece = torch.ones_like(piece)
            elif kind:
                piece = (piece.float() + np.float32(kind)).double()
            tensor.copy_(piece)
    x = torch.from_numpy(ramp(SAMPLES * SIZES[0], 104729, 1013)).float().double().view(SAMPLES, SIZES[0])
    y = torch.arange(SAMPLES) * 7 % 4
    learning = [p for p in net.parameters() if p.requires_grad]
    steps = optimizer(learning) if optimizer else torch.optim.Adam(learning, lr=LR)
    flat = lambda: torch.cat([tensor.detach().flatten() for tensor, _ in net.tensors()])
    losses, average, order = [], None, torch.arange(SAMPLES)
    for step in range(10):
        batches = order.split(BATCH)
        rows = batches[step % len(batches)]
        net.step, net.samples = step + 1, rows.tolist()
        loss = torch.nn.functional.cross_entropy(net(x[rows]), y[rows], label_smoothing=smoothing)
        steps.zero_grad()
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(learning, clip)
        steps.step()
        if ema is not None:
            average = flat() * (1 - ema) + (0 if average is None else average * ema)
        losses.append(loss.item())
    params = flat() if ema is None else average / (1 - ema**10)
    running = torch.cat([torch.full((tensor.numel(),), kind in ("zeros", "ones")) for tensor, kind in net.tensors()])
    params = torch.where(running, flat(), params)  # running statistics are averages themselves
    print(f"// {name}; {count} values")
    print("losses: [" + ", ".join(f"{loss:.9f}" for loss in losses) + "],")
    print("params: &[" + ", ".join(f"{w:.8f}" for w in params[::29].tolist()) + "],")
    print(f"sum: {params.sum().item():.8f},")


def sgd(weight_decay=0.0, **settings):
    """SGD with decoupled weight decay, which PyTorch's lacks."""

    class Decoupled(torch.optim.SGD):
        def step(self):
            with torch.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        p.mul_(1 - group["lr"] * weight_decay)
            super().step()

    return lambda parameters: Decoupled(parameters, lr=0.1, **settings)


if __name__ == "__main__":
    run("sgd", optimizer=sgd())
    run("momentum", optimizer=sgd(momentum=0.9))
    run("nesterov", optimizer=sgd(momentum=0.9, nesterov=True, weight_decay=0.1))
    run("clipped", clip=0.05)
    run("smoothed", smoothing=0.1)
    run("averaged", ema=0.8)
    run("batch norm", norm="batch")
    run("layer norm", norm="layer")
    run("dropout and noise", noise=(0.1, 0.2), dropout=(0.1, 0.3))
    run("everything", norm="batch", noise=(0.1, 0.2), dropout=(0.1, 0.3), clip=0.5, smoothing=0.1, ema=0.8)
    run("layer norm with dropout", norm="layer", dropout=(0, 0.3), clip=0.5, optimizer=sgd(momentum=0.9, nesterov=True))

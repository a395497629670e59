#!/usr/bin/env python3
"""densely beside PyTorch: the same initial weights, the same batches, the same optimizer.

Needs `torch` and `numpy`; see README.md in this folder.

  pytorch.py constants                   print the constants of tests/parity.rs
  pytorch.py run PATH/TO/densely [...]   train both for some epochs on MNIST, unshuffled, and compare
"""

import argparse
import json
import os
import pathlib
import struct
import subprocess
import tempfile

import numpy as np
import torch

ACTIVATIONS = {
    "relu": torch.nn.ReLU,
    "selu": torch.nn.SELU,
    "tanh": torch.nn.Tanh,
    "gelu": torch.nn.GELU,
    "silu": torch.nn.SiLU,
    "mish": torch.nn.Mish,
    "elu": torch.nn.ELU,
    "leaky-relu": torch.nn.LeakyReLU,
    "sigmoid": torch.nn.Sigmoid,
    "identity": torch.nn.Identity,
}


def network(sizes, activations, dtype):
    """Linear layers with the activations between them; softmax is in the loss."""
    layers = []
    for i, (n_in, n_out) in enumerate(zip(sizes, sizes[1:])):
        layers.append(torch.nn.Linear(n_in, n_out, dtype=dtype))
        if i < len(sizes) - 2:
            layers.append(ACTIVATIONS[activations[i]]())
    return torch.nn.Sequential(*layers)


def linears(net):
    return [layer for layer in net if isinstance(layer, torch.nn.Linear)]


def ramp(n, factor, modulus):
    """Numbers in -1..1 that every language computes alike: ((i * factor) mod modulus) / modulus * 2 - 1."""
    return (np.arange(n, dtype=np.int64) * factor % modulus) / modulus * 2.0 - 1.0


def flat_params(net):
    pieces = [tensor for layer in linears(net) for tensor in (layer.weight, layer.bias)]
    return torch.cat([tensor.detach().flatten() for tensor in pieces])


def optimizer(net, lr, weight_decay):
    if weight_decay:
        return torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=weight_decay)
    return torch.optim.Adam(net.parameters(), lr=lr)


def pinball(z, y, share=0.9):
    """The quantile loss of Koenker and Bassett, 1978, which PyTorch lacks."""
    return torch.maximum(share * (y - z), (share - 1) * (y - z)).mean()


LOSSES = {
    "CrossEntropy": torch.nn.functional.cross_entropy,
    "Mse": torch.nn.functional.mse_loss,
    "Mae": torch.nn.functional.l1_loss,
    "Huber": torch.nn.functional.huber_loss,
    "Poisson": torch.nn.functional.poisson_nll_loss,
    "Quantile(0.9)": pinball,
}


def constants():
    """Ten steps of a small network, in f64; inputs and targets come from `ramp`, which tests/parity.rs repeats."""
    sizes, batch, samples, lr = [7, 9, 8, 6, 4], 12, 40, 0.01
    for activations, weight_decay, name in [
        (["relu", "selu", "tanh"], 0.0, "CrossEntropy"),
        (["relu", "selu", "tanh"], 0.1, "CrossEntropy"),
        (["gelu", "silu", "elu"], 0.0, "CrossEntropy"),
        (["leaky-relu", "sigmoid", "identity"], 0.0, "CrossEntropy"),
        *((["gelu", "silu", "tanh"], 0.0, name) for name in list(LOSSES)[1:]),
    ]:
        net = network(sizes, activations, torch.float64)
        count = sum(p.numel() for p in net.parameters())
        start = torch.from_numpy(ramp(count, 7919, 1009) * 0.6).float().double()
        position = 0
        with torch.no_grad():
            for layer in linears(net):
                for tensor in (layer.weight, layer.bias):
                    tensor.copy_(start[position : position + tensor.numel()].view_as(tensor))
                    position += tensor.numel()
        x = torch.from_numpy(ramp(samples * sizes[0], 104729, 1013)).float().double()
        x = x.view(samples, sizes[0])
        y = torch.arange(samples) * 7 % 4
        if name != "CrossEntropy":
            targets = ramp(samples * sizes[-1], 7907, 1013) * 5.0 + 5.0
            y = torch.from_numpy(targets).float().double().view(samples, sizes[-1])
        adam = optimizer(net, lr, weight_decay)
        losses, order = [], torch.arange(samples)
        for step in range(10):
            batches = order.split(batch)  # 12, 12, 12, 4: the last one is smaller
            rows = batches[step % len(batches)]
            loss = LOSSES[name](net(x[rows]), y[rows])
            adam.zero_grad()
            loss.backward()
            adam.step()
            losses.append(loss.item())
        params = flat_params(net)
        print(f"// {activations}, weight decay {weight_decay}, {name}; {count} parameters")
        print("losses: [" + ", ".join(f"{loss:.9f}" for loss in losses) + "],")
        print("params: [" + ", ".join(f"{w:.8f}" for w in params[::23].tolist()) + "],")
        print(f"params_sum: {params.sum().item():.8f},")


def write_safetensors(path, net):
    header, data = {}, b""
    for i, layer in enumerate(linears(net)):
        for name, tensor in (("weight", layer.weight), ("bias", layer.bias)):
            raw = tensor.detach().float().numpy().tobytes()
            place = [len(data), len(data) + len(raw)]
            shape = list(tensor.shape)
            header[f"layers.{i}.{name}"] = {"dtype": "F32", "shape": shape, "data_offsets": place}
            data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def read_safetensors(path):
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    pieces = []
    for i in range(len([name for name in header if name.endswith(".bias")])):
        for name in ("weight", "bias"):
            start, end = header[f"layers.{i}.{name}"]["data_offsets"]
            pieces.append(np.frombuffer(raw[8 + length + start : 8 + length + end], "<f4"))
    return torch.from_numpy(np.concatenate(pieces))


def mnist():
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
    folder = cache / "densely" / "mnist"
    images = [np.fromfile(folder / f"{p}-images-idx3-ubyte", "u1")[16:] for p in ("train", "t10k")]
    labels = [np.fromfile(folder / f"{p}-labels-idx1-ubyte", "u1")[8:] for p in ("train", "t10k")]
    x = torch.from_numpy(np.concatenate(images).reshape(-1, 784))
    return x, torch.from_numpy(np.concatenate(labels).astype(np.int64))


def torch_epochs(net, x, y, args):
    adam, figures = optimizer(net, args.lr, args.weight_decay), []
    x = x.to(next(net.parameters()).dtype) / 255
    for _ in range(args.epochs):
        loss_sum = 0.0
        for rows in torch.arange(50_000).split(args.batch_size):
            loss = torch.nn.functional.cross_entropy(net(x[rows]), y[rows])
            adam.zero_grad()
            loss.backward()
            adam.step()
            loss_sum += loss.item() * len(rows)
        with torch.no_grad():
            logits = net(x[50_000:55_000])
            val_loss = torch.nn.functional.cross_entropy(logits, y[50_000:55_000]).item()
            wrong = (logits.argmax(1) != y[50_000:55_000]).sum().item()
        figures.append((loss_sum / 50_000, val_loss, wrong))
    return figures


def run(args):
    sizes = [784, *map(int, args.hidden.split(",")), 10]
    activations = args.activations.split(",")
    torch.manual_seed(0)
    start = network(sizes, activations, torch.float32)
    flat_start = flat_params(start)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write_safetensors(folder / "start.safetensors", start)
        ours = {}
        for backend in args.backends.split(","):
            out = folder / backend
            command = [args.densely, "train", "--init-from", folder / "start.safetensors"]
            command += ["--activations", args.activations, "--epochs", str(args.epochs)]
            command += ["--batch-size", str(args.batch_size), "--lr", str(args.lr)]
            command += ["--weight-decay", str(args.weight_decay), "--shuffle", "off"]
            command += ["--backend", backend, "--out", out, "--json", "--quiet"]
            result = subprocess.run(command, check=True, capture_output=True, text=True)
            events = [json.loads(line) for line in result.stdout.splitlines()]
            epochs = [event for event in events if event["event"] == "epoch"]
            wrong = [round((1 - e["val_accuracy"]) * 5000) for e in epochs]
            figures = [(e["train_loss"], e["val_loss"], w) for e, w in zip(epochs, wrong)]
            ours[f"densely {backend}"] = (figures, read_safetensors(out / "last.safetensors"))
        x, y = mnist()
        for name, dtype in (("PyTorch f32", torch.float32), ("PyTorch f64", torch.float64)):
            net = network(sizes, activations, dtype)
            net.load_state_dict(start.state_dict())
            ours[name] = (torch_epochs(net, x, y, args), flat_params(net).float())
    reference, exact = ours["PyTorch f64"]
    moved = (exact - flat_start).norm()
    print(f"{'':14}" + "".join(f"  epoch {e + 1}: train loss   val loss  wrong" for e in range(args.epochs)), end="")
    print("   |w - w64| / |w64 - start|")
    for name, (figures, params) in ours.items():
        row = "".join(f"  {train:19.6f} {val:10.6f} {wrong:6}" for train, val, wrong in figures)
        print(f"{name:14}{row}   {((params - exact).norm() / moved).item():.2e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("constants")
    compare = commands.add_parser("run")
    compare.add_argument("densely")
    compare.add_argument("--hidden", default="128,64,28")
    compare.add_argument("--activations", default="relu,selu,tanh")
    compare.add_argument("--epochs", type=int, default=2)
    compare.add_argument("--batch-size", type=int, default=500)
    compare.add_argument("--lr", type=float, default=1e-3)
    compare.add_argument("--weight-decay", type=float, default=0.0)
    compare.add_argument("--backends", default="blas,rust")
    args = parser.parse_args()
    constants() if args.command == "constants" else run(args)


if __name__ == "__main__":
    main()

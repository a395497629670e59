#!/usr/bin/env python3
"""A PyTorch network goes on in densely: it scores the same there, and learns other classes.

Needs `torch` and `numpy`; see README.md in this folder.

  transfer.py PATH/TO/densely [DIRECTORY]

Without a directory with `train.csv` and `test.csv`, whose last column is a digit, images of 8x8 pixels are made up.
"""

import csv
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

import numpy as np
import torch

TYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def made_up():
    """Ten classes of 8x8 pixels from 0 to 16; two of the pixels never light up, as in scanned digits."""
    random = np.random.default_rng(0)
    patterns = random.integers(0, 17, (10, 64))
    y = np.arange(3000) % 10
    x = np.clip(np.rint(patterns[y] + random.normal(0, 6, (3000, 64))), 0, 16)
    x[:, [0, 56]] = 0
    return (x[:2000], y[:2000]), (x[2000:], y[2000:])


def read(path):
    with open(path) as file:
        rows = list(csv.reader(file))[1:]
    return np.array([row[:-1] for row in rows], float), np.array([int(row[-1]) for row in rows])


def write(path, x, y):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([f"pixel_{i}" for i in range(x.shape[1])] + ["digit"])
        writer.writerows([*map(int, pixels), label] for pixels, label in zip(x, y))


def save_file(state, path, kind):
    """As `safetensors.torch.save_file`, with all tensors converted to one type."""
    header, data = {}, b""
    for name, tensor in state.items():
        tensor = tensor.to(TYPES[kind]).contiguous()
        bits = tensor.view(torch.int16) if kind == "BF16" else tensor
        raw = bits.numpy().tobytes()
        place = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": place}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def read_tensor(path, name):
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    start, end = json.loads(raw[8 : 8 + length])[name]["data_offsets"]
    return raw[8 + length + start : 8 + length + end]


def trained(x, y):
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    net = torch.nn.Sequential(torch.nn.Linear(x.shape[1], 64), torch.nn.ReLU(), torch.nn.Linear(64, 32),
                              torch.nn.ReLU(), torch.nn.Linear(32, int(y.max()) + 1))
    adam = torch.optim.Adam(net.parameters(), lr=2e-3)
    for _ in range(30):
        for rows in torch.randperm(len(x)).split(64):
            adam.zero_grad()
            torch.nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
            adam.step()
    return net


def densely(binary, *args, **options):
    done = subprocess.run([binary, *map(str, args)], capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"densely {' '.join(map(str, args))}: {done.stderr}")
    return done.stdout


def main():
    binary = pathlib.Path(sys.argv[1]).resolve()
    directory = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
    parts = (read(directory / "train.csv"), read(directory / "test.csv")) if directory else made_up()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        # six digits to learn first, the other four afterwards, under names
        for part, (x, y) in zip(("train", "test"), parts):
            write(folder / f"first-{part}.csv", x[y < 6], y[y < 6])
            write(folder / f"other-{part}.csv", x[y >= 6], [f"digit {label}" for label in y[y >= 6]])
        (x, y), (x_test, y_test) = [(x[y < 6], y[y < 6]) for x, y in parts]
        net = trained(x, y)
        for kind, dtype in TYPES.items():
            model = folder / f"{kind}.safetensors"
            save_file(net.state_dict(), model, kind)
            net_as_stored = trained_copy(net, dtype)
            with torch.no_grad():
                logits = net_as_stored(torch.tensor(x_test, dtype=torch.float32))
            right = (logits.argmax(1).numpy() == y_test).mean()
            loss = torch.nn.functional.cross_entropy(logits, torch.tensor(y_test)).item()
            score = json.loads(densely(binary, "eval", model, folder / "first-test.csv", "--json"))
            print(f"{kind:4}: PyTorch {right:.6f} right, loss {loss:.6f}; densely {score['accuracy']:.6f}, {score['loss']:.6f}")
            assert score["accuracy"] == right and abs(score["loss"] - loss) < 1e-5 * max(1, loss)
            table = folder / "first-test.csv"
            rows = list(csv.DictReader(densely(binary, "predict", model, table, "--probabilities").splitlines()))
            found = np.array([[float(row[f"p_{i}"]) for i in range(logits.shape[1])] for row in rows])
            assert np.abs(found - logits.softmax(1).numpy()).max() < 1e-5
        model, run = folder / "F32.safetensors", folder / "run"
        settings = ["--seed", 0, "--out", run, "--json", "--quiet", "--no-report"]
        data = [folder / "other-train.csv", "--test", folder / "other-test.csv"]
        lines = densely(binary, "train", *data, "--init-from", model, "--new-head", "--freeze", 1, *settings)
        accuracy = json.loads(lines.splitlines()[-1])["test_accuracy"]
        print(f"fine-tuned to the other digits, one layer frozen: {accuracy:.6f} right")
        assert accuracy > 0.9
        for i, layer in enumerate(net):
            if i < 1 and isinstance(layer, torch.nn.Linear):
                for name, tensor in layer.state_dict().items():
                    ours = read_tensor(run / "best.safetensors", f"layers.{i // 2}.{name}")
                    assert ours == tensor.numpy().tobytes(), f"layer {i}: a frozen {name} has changed"


def trained_copy(net, dtype):
    """The network with the weights that a file of this type holds."""
    copy = torch.nn.Sequential(*[
        torch.nn.Linear(layer.in_features, layer.out_features) if isinstance(layer, torch.nn.Linear) else layer
        for layer in net
    ])
    copy.load_state_dict({name: tensor.to(dtype).float() for name, tensor in net.state_dict().items()})
    return copy


if __name__ == "__main__":
    main()

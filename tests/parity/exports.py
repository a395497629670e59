#!/usr/bin/env python3
"""Models that densely exports, in PyTorch and NumPy, beside `densely predict`. Needs `torch` and `numpy`.

  exports.py PATH/TO/densely
"""

import csv
import importlib.util
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy as np
import torch

from transfer import save_file

MISSING = {"", "NA", "N/A", "NaN", "null", "None", "?"}
ACTIVATIONS = ["identity", "relu", "leaky-relu", "elu", "selu", "gelu", "silu", "mish", "sigmoid", "tanh"]
# of the activations that NumPy has
NUMPY = {
    "identity": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "silu": lambda z: z / (1 + np.exp(-z)),
    "mish": lambda z: z * np.tanh(np.logaddexp(0, z)),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
}


def write_table(path, seed, texts=True, gaps=True):
    """Columns of numbers of several sizes and of texts, with gaps; targets of every kind at the end."""
    draw = random.Random(seed)
    with open(path, "w", newline="") as file:
        out = csv.writer(file)
        columns = ["small", "year", "large"] + (["town", "has garden", "code"] if texts else [])
        out.writerow([*columns, "count", "price", "size", "kind"])
        for _ in range(400):
            # the last is large beside its deviation: its mean, which takes the place of a missing one, needs 64 bits
            numbers = [draw.gauss(0, 1), draw.randrange(1950, 2020), draw.gauss(5e6, 2e5 if not texts else 40)]
            town, garden, code = draw.choice(["Köln", "a, b", "Rome"]), draw.random() < 0.5, draw.choice([3, 14, 15])
            price = 100 * numbers[0] + (numbers[1] - 1980) * 3 + draw.gauss(0, 5) + 50 * garden
            cells = [f"{numbers[0]:.4f}", numbers[1], f"{numbers[2]:.1f}"]
            cells += [town, str(garden).lower(), code] if texts else []
            if gaps:
                cells = [draw.choice(["", "NA", "?"]) if draw.random() < 0.1 else cell for cell in cells]
            kind = ["low", "middle", "high"][(price > -50) + (price > 80)]
            out.writerow([*cells, draw.randrange(5), f"{price:.3f}", f"{price / 7 + numbers[0]:.3f}", kind])


def densely(binary, directory, *arguments):
    done = subprocess.run([binary, *arguments], cwd=directory, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"densely {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def difference(found, expected, scale=1.0):
    """The largest, relative to the largest of 1, the value and `scale`."""
    return float((np.abs(found - expected) / np.maximum(np.maximum(1, np.abs(expected)), scale)).max())


def in_numpy(archive, raw):
    """The outputs, of columns of numbers or arrays; `None` where NumPy lacks an activation or a column holds texts."""
    about = json.loads(str(archive["about"]))
    if not all(name in NUMPY for name in archive["activations"]):
        return None
    if about.get("prepare"):
        if "columns" not in archive:
            return None
        filled = np.where(np.isnan(raw), archive["fill"], raw)
        pieces = []
        for i, indicator in enumerate(archive["indicator"]):
            pieces.append((filled[:, i] - archive["center"][i]) / archive["scale"][i])
            pieces += [np.isnan(raw[:, i])] if indicator else []
        x = np.stack(pieces, axis=1)
        if "squash_center" in archive:
            z = (x - archive["squash_center"]) * archive["squash_factor"]
            x = z / np.sqrt(1 + (z / 3) ** 2)
        if "pca_mean" in archive:
            x = (x - archive["pca_mean"]) @ archive["pca_components"].T
    else:
        x = raw / 255 if about["scaling"] == "u8/255" else raw
    members, outputs = 0, []
    while f"member_{members}_weight_0" in archive:
        members += 1
    for prefix in [f"member_{k}_" for k in range(members)] or [""]:
        outputs.append(network_in_numpy(archive, about, prefix, x))
    return np.mean(outputs, axis=0)


def network_in_numpy(archive, about, prefix, x):
    for i, name in enumerate(archive["activations"]):
        z = x @ archive[f"{prefix}weight_{i}"].T.astype(float) + archive[f"{prefix}bias_{i}"]
        if f"{prefix}gain_{i}" in archive:
            mean, variance = z.mean(axis=1, keepdims=True), z.var(axis=1, keepdims=True)
            z = archive[f"{prefix}gain_{i}"] * (z - mean) / np.sqrt(variance + 1e-5) + archive[f"{prefix}shift_{i}"]
        x = NUMPY[str(name)](z)
    if "targets" in archive:
        return np.exp(x) if about["regression"]["loss"] == "poisson" else x * archive["target_scale"] + archive["target_center"]
    shares = np.exp(x - x.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def loaded(directory):
    """The network in a directory that `export --torch` wrote."""
    spec = importlib.util.spec_from_file_location("model", directory / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load()


def compare(binary, directory, name, arguments):
    run = f"run-{name}"
    kind = "numbers-" if "--no-texts" in arguments else "whole-" if "--no-gaps" in arguments else ""
    train, table = f"{kind}train.csv", f"{kind}rest.csv"
    arguments = [argument for argument in arguments if argument not in ("--no-texts", "--no-gaps")]
    densely(binary, directory, "train", train, "--out", run, "--epochs", "3", "--no-report", "--quiet", *arguments)
    densely(binary, directory, "export", run, "--torch", f"{run}-torch")
    densely(binary, directory, "export", run, "--npz", f"{run}.npz")
    network = loaded(directory / f"{run}-torch")
    regression = network.about.get("regression")
    said = densely(binary, directory, "predict", run, table, *([] if regression else ["--probabilities"]))
    lines = list(csv.reader(said.splitlines()))[1:]
    expected = np.array([[float(cell) for cell in (line if regression else line[1:])] for line in lines])
    rows = list(csv.DictReader(open(directory / table, newline="")))
    # words for missing cells as they are: the module knows them
    cells = {key: [row[key] for row in rows] for key in rows[0]}
    columns = {key: [None if cell in MISSING else cell for cell in column] for key, column in cells.items()}
    found = network.values(cells).detach().numpy()
    assert difference(network.values(columns).detach().numpy(), found) == 0, f"{name}: missing words and None differ"
    # 32 bits of a standardised output are no more exact near a value of 0
    scale = max((target["scale"] for target in regression["targets"]), default=1.0) if regression else 1.0
    worst = difference(found, expected, scale)
    if not regression:
        assert network.predict(columns) == [line[0] for line in lines], name
    inputs = [column["column"] for _, column in network.columns]
    archive = np.load(directory / f"{run}.npz")
    numeric = all(kind == "number" for kind, _ in network.columns)
    raw = np.array([[np.nan if cell is None else float(cell) for cell in columns[key]] for key in inputs]).T if numeric else None
    ours = in_numpy(archive, raw)
    if ours is not None:
        worst = max(worst, difference(ours, expected, scale))
    if numeric:
        as_array = network.values(torch.tensor(raw)).detach().numpy()
        assert difference(as_array, found) == 0, f"{name}: columns by name and an array differ"
    check_cells(network, columns, found)
    print(f"{name}: {worst:.1e}{'' if ours is None else ', NumPy too'}", flush=True)
    assert worst <= 1e-5, name


def check_way_back(binary, directory):
    """As docs/formats.md says it: what the module does around its layers moves into them, and densely scores the same."""
    densely(binary, directory, "train", "back.csv", "--out", "back", "--epochs", "3", "--no-report", "--quiet", "--activations", "silu")
    densely(binary, directory, "export", "back", "--torch", "back-torch")
    network = loaded(directory / "back-torch")
    center, scale = torch.tensor([(column["center"], column["scale"]) for _, column in network.columns]).T
    targets = network.about["regression"]["targets"]
    shift, unit = torch.tensor([(target["center"], target["scale"]) for target in targets]).T
    first, last = network.layers[0], network.layers[-1]
    with torch.no_grad():
        first.weight /= scale
        first.bias -= first.weight @ center
        last.weight *= unit[:, None]
        last.bias.copy_(last.bias * unit + shift)
    save_file(network.state_dict(), directory / "back.safetensors", "F32")
    own = json.loads(densely(binary, directory, "eval", "back", "back.csv", "--part", "all", "--json"))
    back = json.loads(densely(binary, directory, "eval", "back.safetensors", "back.csv", "--activations", "silu", "--json"))
    print(f"way back: RMSE {own['rmse']:.6f}, {back['rmse']:.6f}")
    assert abs(own["rmse"] - back["rmse"]) < 1e-3 * own["rmse"]
    densely(binary, directory, "train", "back.csv", "--init-from", "back.safetensors", "--activations", "silu", "--epochs", "1", "--no-report")


def check_cells(network, columns, expected):
    """Cells as other libraries hold them are read alike, and what no file of this model could hold is an error that names the column."""
    numbers = [column["column"] for kind, column in network.columns if kind == "number"]
    optional = [column["column"] for kind, column in network.columns if kind == "category" or column["fill"] is not None]

    def held(name, cell):
        """A number where there is one, a bool for true and false, NaN for what is missing."""
        if cell is None or cell in ("true", "false"):
            return float("nan") if cell is None else cell == "true"
        try:
            return float(cell)
        except ValueError:
            return cell

    for kind in [list, lambda cells: np.array(cells, dtype=object)]:
        cells = {f" {name} ": kind([held(name, cell) for cell in column]) for name, column in columns.items()}
        found = network.values(cells).detach().numpy()
        assert difference(found, expected) == 0, "numbers instead of texts differ"
    tensors = {name: torch.tensor([held(name, cell) for cell in columns[name]], dtype=torch.float64) for name in numbers}
    found = network.values({**columns, **tensors}).detach().numpy()
    assert difference(found, expected) == 0, "tensors and lists differ"
    few = {name: column[:7] for name, column in columns.items()}
    for name in optional:
        missing = [network.values({**few, name: [word] * 7}).detach() for word in [None, float("nan"), "nan", " NaN ", *MISSING]]
        assert all(torch.equal(found, missing[0]) for found in missing), f"{name}: words for missing cells differ"
    first, number = network.columns[0][1]["column"], (numbers or [None])[0]
    wrong = [({key: few[key] for key in few if key != first}, f"there is no column {first}"), ({**few, first: "abc"}, f"{first} is 'abc'"),
             ({**few, first: 3}, f"{first} is 3"), ({**few, network.columns[-1][1]["column"]: ["1"]}, "has 1 cells; expected 7")]
    if len(network.columns) == 1:
        wrong.pop()
    if number:
        wrong += [({**few, number: ["x"] * 7}, f"{number}: could not convert"), ({**few, number: [1.0] * 6 + [float("inf")]}, f"{number} has an infinite number in row 7")]
    if len(numbers) == len(network.columns):
        wrong.append((torch.zeros(7, len(numbers) + 1), f"expected {len(numbers)} columns"))
    for cells, message in wrong:
        try:
            network.values(cells)
        except ValueError as error:
            assert message in str(error), f"{message}: {error}"
        else:
            raise AssertionError(f"accepted: {message}")


def main():
    binary = str(pathlib.Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        for name, seed in [("train.csv", 1), ("rest.csv", 2)]:
            write_table(directory / name, seed)
            write_table(directory / f"numbers-{name}", seed, texts=False)
            write_table(directory / f"whole-{name}", seed, gaps=name == "rest.csv")
        draw = random.Random(3)
        rows = [(draw.gauss(0, 1), draw.gauss(3, 2)) for _ in range(300)]
        lines = [f"{a:.4f},{b:.4f},{100 * a - 30 * b + draw.gauss(0, 3):.3f}" for a, b in rows]
        (directory / "back.csv").write_text("\n".join(["a,b,y", *lines]))
        check_way_back(binary, directory)
        kind, price = ["--target", "kind"], ["--target", "price", "--ignore", "kind"]
        for name in ACTIVATIONS:
            compare(binary, directory, name, [*kind, "--hidden", "12,7", "--activations", name])
        for norm in ["batch", "layer"]:
            compare(binary, directory, f"norm-{norm}", [*kind, "--norm", norm, "--no-texts", "--activations", "relu"])
        for norm in ["none", "batch", "layer"]:
            compare(binary, directory, f"ensemble-{norm}", [*kind, "--ensemble", "3", "--norm", norm, "--no-texts", "--activations", "relu"])
        compare(binary, directory, "ensemble-numbers", [*price, "--ensemble", "3", "--activations", "tanh"])
        compare(binary, directory, "ensemble-poisson", ["--target", "count", "--task", "regression", "--loss", "poisson", "--ensemble", "3", "--no-texts", "--activations", "tanh"])
        for kinds in [kind, price]:
            compare(binary, directory, f"tabular-{kinds[1]}", [*kinds, "--preset", "tabular-s"])
        compare(binary, directory, "smooth-ensemble", [*kind, "--scale", "smooth", "--input-scales", "3", "--ensemble", "2", "--pca", "4", "--norm", "layer"])
        for scale in ["none", "unit", "standard", "robust", "smooth"]:
            narrow = ["--ignore", "large,year"] if scale == "none" else []
            compare(binary, directory, f"scale-{scale}", [*kind, "--scale", scale, "--no-texts", "--activations", "silu", *narrow])
        for loss in ["mse", "mae", "huber", "quantile:0.8"]:
            compare(binary, directory, f"loss-{loss[:5]}", [*price, "--loss", loss])
        compare(binary, directory, "poisson", ["--target", "count", "--task", "regression", "--loss", "poisson", "--no-texts", "--activations", "tanh"])
        compare(binary, directory, "several", ["--target", "price,size", "--no-texts", "--ignore", "kind", "--activations", "relu"])
        compare(binary, directory, "numbers-as-texts", [*kind, "--categorical", "year,code"])
        compare(binary, directory, "integers", ["--target", "count", "--ignore", "kind"])
        compare(binary, directory, "softmax", [*kind, "--hidden", ""])
        compare(binary, directory, "components", [*price, "--pca", "4"])
        compare(binary, directory, "large-numbers", [*price, "--no-gaps", "--activations", "tanh"])
        compare(binary, directory, "components-of-large-numbers", [*price, "--no-gaps", "--pca", "4"])
        compare(binary, directory, "components-of-numbers", [*kind, "--pca", "3", "--no-texts", "--activations", "relu"])


if __name__ == "__main__":
    main()

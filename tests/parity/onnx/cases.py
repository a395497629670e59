"""What is compared: every activation, task, loss, scaling and kind of column, images and arrays, and random schemas."""

import struct

import numpy as np

from tables import Table, category, number, with_classes, with_numbers

ACTIVATIONS = "identity relu leaky-relu elu selu gelu silu mish sigmoid tanh".split()
SCALES = "auto none unit standard robust".split()
LOSSES = "mse mae huber quantile:0.9".split()
CITIES = ["Oslo", "Rome", "Bern", "São Paulo", 'a "b", c', "x y"]


class Case:
    """A training, and the rows to predict: a table, or a file of arrays or images with their values."""

    def __init__(self, name, data, arguments, rows, labels=None):
        self.name, self.data, self.arguments, self.rows = name, data, list(arguments), rows
        # the type of the label, where it is known beforehand
        self.labels = labels


def numbers_alone(rng, n=300):
    return Table({f"x{i}": number(rng, n, center=3 * i, scale=1 + i) for i in range(4)})


def mixed(rng, n=400, missing=0.0):
    """Numbers, names, truth values; columns in an order that no graph has."""
    return Table(
        {
            "city": category(rng, n, CITIES, missing),
            "area": number(rng, n, 80, 25, missing=missing),
            "garden": category(rng, n, ["true", "false"], missing),
            "year": number(rng, n, 1980, 20, whole=True),
            "floor": category(rng, n, [str(i) for i in range(5)], missing),
            "distance": number(rng, n, 5000, 4000, missing=missing),
        }
    )


def tables(rng, place):
    """Cases of tables; files go to `place`."""

    def case(name, table, *arguments, rows=None, labels=None):
        path = place / f"{name}.csv"
        table.write(path)
        rows = table.rows(slice(0, 120)) if rows is None else rows
        return Case(name, path, ["--target", *target(table), *arguments], rows, labels)

    def target(table):
        names = [name for name in table.columns if name.startswith("target")]
        return [",".join(names)]

    abc = ["a", "b", "c"]
    for activation in ACTIVATIONS:
        table = with_classes(rng, numbers_alone(rng), abc)
        yield case(f"activation-{activation}", table, "--hidden", "16,8", "--activations", activation, labels="string")
    for norm in ["batch", "layer"]:
        table = with_classes(rng, mixed(rng), abc)
        yield case(f"norm-{norm}", table, "--hidden", "16,8", "--norm", norm, labels="string")
        table = with_classes(rng, mixed(rng), abc)
        yield case(f"ensemble-{norm}", table, "--hidden", "16,8", "--norm", norm, "--ensemble", "3", labels="string")
    for name, table, kinds in [("mixed", mixed(rng), abc), ("numbers", numbers_alone(rng), ["no", "yes"])]:
        yield case(f"tabular-{name}", with_classes(rng, table, kinds), "--preset", "tabular-s", "--epochs", "3", labels="string")
    yield case("no-hidden-layer", with_classes(rng, mixed(rng), abc), "--hidden", "")
    for name, classes, labels in [
        ("binary", ["no", "yes"], "string"),
        ("truth", ["false", "true"], "string"),
        ("five", ["v", "w", "x", "y z", "é"], "string"),
        ("whole", ["-7", "0", "3", "12"], "int64"),
        ("zeros", ["01", "02", "x"], "string"),
    ]:
        table = with_classes(rng, mixed(rng), classes)
        yield case(f"classes-{name}", table, "--task", "classification", labels=labels)
    regression = ["--task", "regression", "--hidden", "12"]
    for loss in LOSSES:
        table = with_numbers(rng, mixed(rng), ["target"], 2000, 300)
        yield case(f"loss-{loss.replace(':', '-')}", table, *regression, "--loss", loss)
    table = with_numbers(rng, mixed(rng), ["target"], counts=True)
    yield case("loss-poisson", table, *regression, "--loss", "poisson")
    yield case("ensemble-poisson", table, *regression, "--loss", "poisson", "--ensemble", "3")
    table = with_numbers(rng, mixed(rng), ["target"], 2000, 300)
    yield case("ensemble-numbers", table, *regression, "--ensemble", "3")
    table = with_numbers(rng, numbers_alone(rng), ["target_a", "target b", "target,c"], -5, 0.01)
    table.columns["target_c"] = table.columns.pop("target,c")
    yield case("three-targets", table, *regression)
    for scale in SCALES:
        # without scaling, large numbers cost digits in any order of a sum
        table = numbers_alone(rng) if scale == "none" else mixed(rng, missing=0.05)
        table = with_classes(rng, table, abc)
        yield case(f"scale-{scale}", table, "--scale", scale)
    table = with_classes(rng, mixed(rng, missing=0.2), abc)
    yield case("missing-everywhere", table)
    whole = with_classes(rng, mixed(rng), abc)
    gaps = mixed(rng, 120, missing=0.3)
    yield case("missing-in-the-rows-alone", whole, rows=gaps)
    yield case("no-missing-allowed", whole, "--missing", "error")
    strange = mixed(rng, 120)
    strange.columns["city"] = category(rng, 120, ["Oslo", "Atlantis", "oslo"])
    strange.columns["garden"] = category(rng, 120, ["true", "TRUE", "perhaps"])
    yield case("unknown-levels", whole, rows=strange)
    yield case("numbers-as-names", whole, "--categorical", "floor,year")
    for k in ["1", "3", "9"]:
        yield case(f"pca-{k}", with_classes(rng, mixed(rng, missing=0.1), abc), "--pca", k)
    yield case("pca-of-numbers", with_classes(rng, numbers_alone(rng), abc), "--pca", "2", "--scale", "none")
    far = Table({"a": number(rng, 300, 1e5, 1), "b": number(rng, 300, -3e4, 1e-1), "c": number(rng, 300, 0, 1e-9)})
    yield case("far-from-zero", with_numbers(rng, far, ["target"]), *regression)
    odd = ["concat", "gemm", "features", "layers.0.weight", "batch", "a b", 'q"', "é,", "isnan", "axis", "concat_1"]
    table = Table({name: number(rng, 300, missing=0.1) for name in odd})
    table.columns["cats_strings"] = category(rng, 300, ["p", "q"])
    yield case("names-of-the-graph", with_classes(rng, table, abc), "--hidden", "8,8")
    one = Table({"only": category(rng, 300, ["p", "q", "r"])})
    yield case("one-name", with_classes(rng, one, abc))
    yield case("one-number", with_classes(rng, Table({"only": number(rng, 300)}), abc))


def arrays(rng, place):
    """Cases of images and arrays."""
    classes = rng.integers(4, size=500)
    pixels = (rng.integers(0, 120, (500, 6, 5)) + 30 * classes[:, None, None]).astype(np.uint8)
    for name, x in [("bytes", pixels.reshape(500, -1)), ("floats", rng.normal(classes[:, None], 1, (500, 7)))]:
        x = x if x.dtype == np.uint8 else x.astype(np.float32)
        np.savez(place / f"{name}.npz", X=x, y=classes)
        np.save(place / f"{name}.npy", x[:100])
        yield Case(f"npz-{name}", place / f"{name}.npz", [], (place / f"{name}.npy", x[:100]), "int64")
    y = np.stack([classes * 2.0 + x[:, 0], x[:, 1] - 40], 1).astype(np.float32)
    np.savez(place / "targets.npz", X=x, y=y)
    yield Case("npz-targets", place / "targets.npz", [], (place / "floats.npy", x[:100]))
    images = place / "idx"
    images.mkdir()
    for part, rows in [("train", slice(0, 400)), ("t10k", slice(400, 500))]:
        header = struct.pack(">4i", 0x0803, len(classes[rows]), 6, 5)
        (images / f"{part}-images-idx3-ubyte").write_bytes(header + pixels[rows].tobytes())
        header = struct.pack(">2i", 0x0801, len(classes[rows]))
        (images / f"{part}-labels-idx1-ubyte").write_bytes(header + classes[rows].astype(np.uint8).tobytes())
    test = (images / "t10k-images-idx3-ubyte", pixels[400:].reshape(100, -1))
    yield Case("idx", images, ["--hidden", "16"], test, "int64")
    digits = rng.integers(0, 256, (200, 784)).astype(np.uint8)
    digits[:, rng.random(784) < 0.8] = 0
    path = place / "digits-idx3-ubyte"
    path.write_bytes(struct.pack(">4i", 0x0803, 200, 28, 28) + digits.tobytes())
    yield Case("mnist", "mnist", ["--epochs", "1"], (path, digits), "int64")


def schema(seed, place):
    """A table of a random schema, with random settings."""
    rng = np.random.default_rng([4, seed])
    choose = lambda options: options[rng.integers(len(options))]
    n, scale = int(rng.integers(150, 500)), choose(SCALES)
    flags = ["--scale", scale, "--activations", choose(ACTIVATIONS), "--hidden", choose(["", "7", "16,8", "5,5,5"])]
    if flags[-1] == "":
        flags[2:4] = []

    def columns(n, rng, specs, strange):
        made = {}
        for name, kind, spec in specs:
            if kind == "number":
                made[name] = number(rng, n, **spec)
            else:
                # a column of digits may be one of numbers
                others = ["7" if spec["levels"][0] == "0" else "never seen"] if strange else []
                made[name] = category(rng, n, spec["levels"] + others, spec["missing"])
        return Table(made)

    specs, named = [], []
    for i in range(int(rng.integers(1, 9))):
        name, missing = f"{choose(['a', 'B c', 'é', 'label', 'x.y'])}{i}", choose([0, 0, 0.1])
        if rng.random() < 0.55:
            size = 1.0 if scale == "none" else 10 ** rng.uniform(-6, 5)
            center = size * choose([0, 1, -10, 300])
            spec = {"center": 0 if scale == "none" else center, "scale": size, "missing": missing}
            specs.append((name, "number", spec))
        else:
            levels = choose([["true", "false"], [f"l{j}" for j in range(int(rng.integers(2, 40)))], ["0", "1", "2"], CITIES])
            specs.append((name, "category", {"levels": levels, "missing": missing}))
            if levels[0] == "0" and rng.random() < 0.7:
                named.append(name)
    x = columns(n, rng, specs, False)
    task = rng.integers(4)
    if task == 0:
        table = with_classes(rng, x, [f"k{i}" for i in range(int(rng.integers(2, 7)))])
    elif task == 1:
        table = with_classes(rng, x, [str(i) for i in range(int(rng.integers(2, 7)))])
    elif task == 2:
        names = [f"target{i}" for i in range(int(rng.integers(1, 4)))]
        table = with_numbers(rng, x, names, *choose([(0, 1), (1000, 30), (-2, 1e-3)]))
        flags += ["--task", "regression", "--loss", choose(LOSSES)]
    else:
        table = with_numbers(rng, x, ["target"], counts=True)
        flags += ["--task", "regression", "--loss", "poisson"]
    path = place / f"schema-{seed}.csv"
    table.write(path)
    flags += ["--target", ",".join(name for name in table.columns if name.startswith("target"))]
    flags += ["--categorical", ",".join(named)] if named else []
    flags += ["--pca", "1"] if rng.random() < 0.25 else []
    return Case(f"schema-{seed}", path, flags, columns(90, rng, specs, True))

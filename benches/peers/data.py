"""The data of the comparison: 50,000 training rows of ten classes, the same numbers for every contender.

    python data.py dense FOLDER

writes `x.f32` (the inputs as little-endian floats, row by row) and `y.u8` (the classes), which the peers read, and, where
the data are not MNIST, `rows.npz` for densely, which has a few more rows for validation and test.

mnist    the first 50,000 images, divided by 255; four fifths of the inputs are zeros
dense    normal numbers of MNIST's sizes: 784 inputs, none of them zero
tabular  normal numbers, 100 inputs

The class of a row of normal numbers is the largest of ten random linear functions of it.
"""

import argparse
import pathlib

ROWS, CLASSES = 50_000, 10
INPUTS = {"mnist": 784, "dense": 784, "tabular": 100}
SEEDS = {"dense": 784, "tabular": 100}
# for densely, which needs rows to validate with; no other contender sees them
EXTRA_ROWS = 1_000


def mnist():
    """Images (50000, 784) in [0, 1] and labels, from the repository's own files."""
    import numpy as np
    import zstandard

    folder = pathlib.Path(__file__).resolve().parents[2] / "data" / "mnist"

    def read(name, header):
        packed = (folder / f"{name}.zst").read_bytes()
        raw = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
        return np.frombuffer(raw, np.uint8)[header:]

    x = read("train-images-idx3-ubyte", 16).reshape(-1, INPUTS["mnist"])[:ROWS]
    y = read("train-labels-idx1-ubyte", 8)[:ROWS]
    return x.astype(np.float32) / np.float32(255), y


def normal(name):
    """Rows (52000, inputs) of normal numbers and their classes."""
    import numpy as np

    random = np.random.Generator(np.random.PCG64(SEEDS[name]))
    teacher = random.standard_normal((INPUTS[name], CLASSES), np.float32)
    x = random.standard_normal((ROWS + 2 * EXTRA_ROWS, INPUTS[name]), np.float32)
    return x, (x @ teacher).argmax(1).astype(np.uint8)


def write(name, folder):
    """Writes the files of a data set; returns the path of what densely reads."""
    import numpy as np

    folder = pathlib.Path(folder)
    x, y = mnist() if name == "mnist" else normal(name)
    x[:ROWS].astype("<f4").tofile(folder / "x.f32")
    y[:ROWS].tofile(folder / "y.u8")
    if name == "mnist":
        return "mnist"
    parts = {"train": slice(0, ROWS), "valid": slice(ROWS, ROWS + EXTRA_ROWS), "test": slice(ROWS + EXTRA_ROWS, None)}
    arrays = {f"x_{part}": x[rows] for part, rows in parts.items()}
    np.savez(folder / "rows.npz", **arrays, **{f"y_{part}": y[rows] for part, rows in parts.items()})
    return str(folder / "rows.npz")


def read(folder, inputs):
    """The training rows as a peer reads them."""
    import numpy as np

    folder = pathlib.Path(folder)
    return np.fromfile(folder / "x.f32", "<f4").reshape(-1, inputs), np.fromfile(folder / "y.u8", np.uint8)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", choices=INPUTS)
    parser.add_argument("folder", type=pathlib.Path)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    print(write(args.data, args.folder))

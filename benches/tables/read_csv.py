"""Reads a large CSV file with densely, polars and pandas, in turns, and prints the medians.

    pip install numpy pandas polars
    cargo build --release --bench read_csv
    python benches/tables/read_csv.py DIRECTORY [--rows N] [--columns N] [--repeats N] [--pandas]

The file is written into DIRECTORY, unless it is there. Every reading is a process of its own, so that its peak of memory counts
nothing else, and ends with the same sum over all values. Peak memory of the others includes the interpreter. CPU seconds, of the whole
process, say more than seconds on a machine that does other work.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))

OTHERS = {
    "polars": """
import polars as pl
start = time.perf_counter()
names = open(path).readline().strip().split(",")
data = pl.read_csv(path, schema={name: pl.Float32 for name in names})
seconds = time.perf_counter() - start
total = sum(data[name].cast(pl.Float64).sum() for name in names)
rows, columns = data.shape
""",
    "pandas": """
import numpy as np, pandas as pd
start = time.perf_counter()
data = pd.read_csv(path, dtype=np.float32)
seconds = time.perf_counter() - start
total = float(data.to_numpy(dtype=np.float64).sum())
rows, columns = data.shape
""",
}

# the peak is that of reading: the sum comes after
REPORT = """
print(json.dumps(dict(seconds=seconds, peak_mb=peak, rows=rows, columns=columns, sum=total)))
"""

PEAK = """
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:")) / 1e3
"""


def write(path, rows, columns):
    import numpy as np

    rng = np.random.default_rng(0)
    with open(path, "w") as file:
        file.write(",".join(f"x{i}" for i in range(columns)) + "\n")
        row = ",".join(["%.6f"] * columns) + "\n"
        for first in range(0, rows, 10_000):
            block = rng.standard_normal((min(10_000, rows - first), columns))
            file.write((row * len(block)) % tuple(block.ravel()))


def measure(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = json.loads(output.splitlines()[-1])
    found["cpu"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--pandas", action="store_true", help="pandas too, which takes far longer")
    options = parser.parse_args()

    path = options.directory / f"{options.rows}x{options.columns}.csv"
    if not path.exists():
        write(path, options.rows, options.columns)
    benches = [path for path in (TARGET / "release/deps").glob("read_csv-*") if path.suffix == ""]
    commands = {"densely": [max(benches, key=lambda bench: bench.stat().st_mtime), path]}
    for name, code in OTHERS.items():
        if name != "pandas" or options.pandas:
            code = code.replace("total = ", PEAK.strip() + "\ntotal = ")
            code = f"import json, time\npath = {str(path)!r}\n{code}\n{REPORT}"
            commands[name] = [sys.executable, "-c", code]

    found = {name: [] for name in commands}
    for _ in range(options.repeats):
        for name, command in commands.items():
            found[name].append(measure(command))

    size = path.stat().st_size
    print(f"{path.name}, {size / 1e6:.0f} MB, median of {options.repeats}")
    for name, runs in found.items():
        seconds, cpu, peak = (statistics.median(run[key] for run in runs) for key in ("seconds", "cpu", "peak_mb"))
        shape = (runs[0]["rows"], runs[0]["columns"])
        assert shape == (options.rows, options.columns), shape
        assert abs(runs[0]["sum"] - found["densely"][0]["sum"]) < 1, (name, runs[0]["sum"])
        print(f"{name:8} {seconds:6.2f} s  {size / seconds / 1e6:5.0f} MB/s  {cpu:6.2f} CPU s  {peak:6.0f} MB at most")


if __name__ == "__main__":
    main()

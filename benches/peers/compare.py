"""Compares densely with its peers, cell by cell, in one sitting.

    benches/peers/run                                  # all cells on MNIST; an hour
    benches/peers/run --cells 512,256,128:500          # one cell
    benches/peers/run --data dense                     # inputs without zeros, of MNIST's sizes
    benches/peers/run --data tabular                   # 100 inputs, 256-256-256, batch 256
    benches/peers/run --peers torch,jax,burn,candle --rounds 5 --json out.json
    benches/peers/run --show benches/record/FILE.json  # the table of a record

A cell is a network and a batch size. In each round every contender trains a few whole epochs, one contender after the
other, so that the drift of the machine's clock meets all of them. What counts is the median of the epochs' seconds.

Every contender has to learn: one whose loss is far above the others' after two epochs ends the comparison.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time

import data

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NETWORKS = ["784,784,784", "1024,512,256", "512,256,128", "256,128,64", "128,64,28"]
BATCHES = [1000, 500, 100]
EVERY_CELL = ";".join(f"{network}:{batch}" for network in NETWORKS for batch in BATCHES)
CELLS = {"mnist": EVERY_CELL, "dense": EVERY_CELL, "tabular": "256,256,256:256"}
# the peers that a claim of speed has to meet; the others are shown for orientation, in the first round only
PYTHON_PEERS = ["torch", "torch.compile", "jax"]
RUST_PEERS = ["burn", "candle"]
F32_PEERS = PYTHON_PEERS + RUST_PEERS
OTHERS = ["numpy", "sklearn"]
ACTIVATIONS = ["relu", "selu", "tanh"]
# Burn and candle allocate every result anew. By default, the C library returns large pieces of memory to the system at once,
# and candle takes up to twice as long.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 31)}
# libraries keep their idle threads spinning for up to 0.2 s behind a call
REST_SECONDS = 0.4
# What a contender that learns stays below and above: the mean loss of its second epoch (log(10), which is 2.3, is chance),
# and the share of the training rows that it gets right at the end.
WORST_LOSS = {"mnist": 1.0, "dense": 2.0, "tabular": 0.9}
WORST_ACCURACY = {"mnist": 0.85, "dense": 0.35, "tabular": 0.75}
# And against the others: at most this many times their usual loss, and a little more. They differ in initial weights.
LOSS_FACTOR, LOSS_MARGIN = 2.0, 0.1


class Peer:
    """A peer that stays alive between its turns."""

    def __init__(self, name, data_set, hidden, batch, threads):
        self.name = name
        environment = dict(os.environ)
        if name in RUST_PEERS:
            program = HERE / "rust" / "target" / "release" / "densely-peers"
            if not program.exists():
                raise SystemExit(f"{name} is not built: benches/peers/run builds it")
            command = [program, name]
            command += ["--rows", data.ROWS, "--inputs", data.INPUTS[data_set.name], "--classes", data.CLASSES]
            command += ["--data", data_set.folder]
            environment |= {"RAYON_NUM_THREADS": str(threads), "CANDLE_NUM_THREADS": str(threads), **KEEP_MEMORY}
        else:
            command = [sys.executable, HERE / "peers.py", name, "--threads", threads]
            command += ["--data", data_set.name, "--folder", data_set.folder]
        command += ["--hidden", hidden, "--batch", batch]
        cores = sorted(os.sched_getaffinity(0))[:threads]
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        self.losses = [self.answer()["loss"]]
        self.accuracy = None

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            raise SystemExit(f"{self.name} ended with {self.process.returncode}:\n{self.errors.read()[-3000:]}")
        return json.loads(line)

    def epochs(self, count):
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        answer = self.answer()
        self.losses += answer["losses"]
        return answer["seconds"]

    def close(self):
        self.process.stdin.close()
        self.accuracy = self.answer()["accuracy"]
        self.process.wait()


class Densely:
    """densely's own command line; its first epoch warms up."""

    def __init__(self, name, binary, data_set, hidden, batch, threads):
        backend = name.removeprefix("densely ")
        self.name = name
        self.command = [binary, "train", data_set.path, "--json", "--quiet", "--no-report", "--hidden", hidden]
        self.command += ["--batch-size", str(batch), "--threads", str(threads), "--backend", backend]
        self.command += ["--activations", ",".join(ACTIVATIONS[i % 3] for i in range(len(hidden.split(","))))]
        if data_set.path != "mnist":
            # all that a table would get otherwise: the peers see the same numbers, and take the same steps
            self.command += ["--task", "classification", "--scale", "none", "--lr", "0.001", "--weight-decay", "0"]
            self.command += ["--patience", "1000000"]
        self.losses = []
        self.accuracy = self.backend = None

    def epochs(self, count):
        with tempfile.TemporaryDirectory() as folder:
            command = [*self.command, "--epochs", str(count + 1), "--out", f"{folder}/run"]
            run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode:
            raise SystemExit(f"{self.name} ended with {run.returncode}:\n{run.stderr[-3000:]}")
        events = [json.loads(line) for line in run.stdout.splitlines()]
        epochs = [event for event in events if event["event"] == "epoch"]
        if events[0]["train_samples"] != data.ROWS or len(epochs) != count + 1:
            raise SystemExit(f"{self.name} has not done the work of the others: {events[0]}, {len(epochs)} epochs")
        self.backend = events[0]["backend_description"]
        self.losses = [event["train_loss"] for event in epochs]
        self.accuracy = epochs[-1]["train_accuracy"]
        return [event["seconds"] for event in epochs[1:]]

    def close(self):
        pass


class DataSet:
    """The files of a data set, in a directory of its own."""

    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        self.path = data.write(name, folder)


def check(contenders, data_set):
    """Ends the comparison if a contender has not learnt what the others have. A time without a result is no result."""
    second = {contender.name: contender.losses[1] for contender in contenders}
    bound = min(WORST_LOSS[data_set], LOSS_FACTOR * statistics.median_low(second.values()) + LOSS_MARGIN)
    for contender in contenders:
        loss, accuracy = second[contender.name], contender.accuracy
        if not (loss < bound and accuracy > WORST_ACCURACY[data_set]):
            raise SystemExit(
                f"{contender.name} has not learnt as it should: loss {loss:.4f} in its second epoch (at most {bound:.4f}), "
                f"accuracy {accuracy:.4f} at the end (at least {WORST_ACCURACY[data_set]}); the losses: {second}"
            )
    return second, {contender.name: contender.accuracy for contender in contenders}


def spread(rounds):
    """Median, quartiles and range of a contender's epochs, and which of its rounds were outliers.

    A round is one if its median is more than a tenth, and more than three deviations, from the median of the rounds; the
    deviation is the median one, scaled as for normal numbers. It takes three rounds to tell."""
    seconds = [second for epochs in rounds for second in epochs]
    lower, _, upper = statistics.quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else seconds * 3
    medians = [statistics.median(epochs) for epochs in rounds]
    middle = statistics.median(medians)
    deviation = 1.4826 * statistics.median(abs(median - middle) for median in medians)
    far = [abs(median - middle) > max(3 * deviation, middle / 10) for median in medians]
    return {
        "median": statistics.median(seconds),
        "lower": lower,
        "upper": upper,
        "min": min(seconds),
        "max": max(seconds),
        "outlier_rounds": [number for number, is_far in enumerate(far, 1) if is_far],
    }


def measure(args, data_set, hidden, batch, record):
    contenders = [Densely(f"densely {b}", args.binary, data_set, hidden, batch, args.threads) for b in args.backends]
    contenders += [Peer(name, data_set, hidden, batch, args.threads) for name in args.peers]
    rounds = {contender.name: [] for contender in contenders}
    for round_number in range(args.rounds):
        for contender in contenders:
            if contender.name in OTHERS and round_number:
                continue
            time.sleep(REST_SECONDS)
            count = 1 if contender.name in OTHERS else args.epochs
            rounds[contender.name].append(contender.epochs(count))
    for contender in contenders:
        contender.close()
    losses, accuracies = check(contenders, data_set.name)
    record["backends"] = {c.name.removeprefix("densely "): c.backend for c in contenders if isinstance(c, Densely)}
    return {
        "hidden": hidden,
        "batch": batch,
        "seconds": {name: sum(found, []) for name, found in rounds.items()},
        "spread": {name: spread(found) for name, found in rounds.items()},
        "second_loss": losses,
        "accuracy": accuracies,
    }


def ratio(seconds, ours):
    """Best f32 peer's median over ours."""
    peers = [statistics.median(s) for name, s in seconds.items() if name in F32_PEERS]
    return min(peers) / statistics.median(seconds[ours]) if peers and ours in seconds else None


def figure(seconds, found, plain):
    """A median with its quartiles, and a star where a round was an outlier."""
    text = f"{statistics.median(seconds):.3f}"
    if plain or len(seconds) < 2:
        return text
    # records of earlier versions have no spread, and do not say what was a round
    found = found or {**spread([[second] for second in seconds]), "outlier_rounds": []}
    return f"{text} ({found['lower']:.3f}-{found['upper']:.3f})" + " *" * bool(found["outlier_rounds"])


def row(cell, plain=False):
    cells = [cell["hidden"].replace(",", "-"), str(cell["batch"])]
    seconds = cell["seconds"]
    cells += [figure(s, cell.get("spread", {}).get(name), plain) for name, s in seconds.items()]
    for ours in [name for name in seconds if name.startswith("densely")]:
        found = ratio(seconds, ours)
        cells.append("-" if found is None else f"{found:.2f}")
    return "| " + " | ".join(cells) + " |"


def head(names, plain=False):
    quartiles = "" if plain else ", in brackets their quartiles"
    print(f"\nSeconds an epoch (median of the epochs{quartiles}), and the best f32 peer's median over densely's.\n")
    ratios = [name.replace("densely", "ratio,") for name in names if name.startswith("densely")]
    titles = ["network", "batch", *names, *ratios]
    print("| " + " | ".join(titles) + " |")
    print("|" + "---|" * len(titles), flush=True)


def foot(cells):
    starred = [
        f"{cell['hidden'].replace(',', '-')}, batch {cell['batch']}, {name}: {', '.join(map(str, found['outlier_rounds']))}"
        for cell in cells
        for name, found in cell.get("spread", {}).items()
        if found["outlier_rounds"]
    ]
    if starred:
        print("\n* rounds that were outliers, more than a tenth and three deviations from the contender's other rounds:\n")
        print("\n".join(f"- {line}" for line in starred))
    for ours in [name for name in cells[0]["seconds"] if name.startswith("densely")]:
        found = [ratio(cell["seconds"], ours) for cell in cells]
        if all(found):
            print(f"\ngeometric mean of the ratios, {ours}: {statistics.geometric_mean(found):.2f}")


def show(record, plain):
    print(json.dumps({key: record[key] for key in record if key != "cells"}))
    head(list(record["cells"][0]["seconds"]), plain)
    for cell in record["cells"]:
        print(row(cell, plain))
    foot(record["cells"])


def commit(args):
    """The commit that the binary is of, as far as it can be known."""
    if args.commit:
        return args.commit
    if not pathlib.Path(args.binary).resolve().is_relative_to(ROOT):
        return "unknown"

    def git(*command):
        return subprocess.run(["git", "-C", ROOT, *command], capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--", "src", "build.rs", "Cargo.toml", "Cargo.lock")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if changed else "")


def versions(args):
    found = {"densely": subprocess.check_output([args.binary, "--version"], text=True).split()[1]}
    found["commit"] = commit(args)
    from importlib import metadata

    for package in ("torch", "jax", "numpy", "scikit-learn"):
        found[package] = metadata.version(package)
    found["python"] = platform.python_version()
    if any(name in RUST_PEERS for name in args.peers):
        lock = (HERE / "rust" / "Cargo.lock").read_text()
        for package in ("burn", "candle-core"):
            found[package] = re.search(rf'name = "{package}"\nversion = "(.*)"', lock)[1]
        found["rustc"] = subprocess.check_output(["rustc", "--version"], text=True).split()[1]
    return found


def caches():
    """The sizes of the first core's caches of the second and third level, as Linux gives them: {2: "1024K", 3: "32768K"}."""
    found = {}
    for index in sorted(pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level = int((index / "level").read_text())
            if level > 1:
                found[level] = (index / "size").read_text().strip()
        except OSError:
            pass  # a virtual machine may hide them
    return found


def cpu():
    """The model, with what distinguishes CPUs of one name, the instruction sets that matter to matrix products, and the number of cores."""
    with open("/proc/cpuinfo") as file:
        lines = [line.split(":", 1) for line in file if ":" in line]
    found = {key.strip(): value.strip() for key, value in reversed(lines)}
    flags = found.get("flags", found.get("Features", "")).split()
    # virtual machines have names such as "AMD EPYC"
    details = [f"{word} {found[key]}" for word, key in (("family", "cpu family"), ("model", "model")) if key in found]
    details += [f"L{level} {size}" for level, size in caches().items()]
    details += [" ".join(flag for flag in flags if re.match("avx", flag))]
    return {
        "cpu": ", ".join([found.get("model name", platform.machine()), *filter(None, details)]),
        "instruction_sets": [flag for flag in flags if re.match("sse4_2|avx|fma|f16c|amx|asimd|sve|i8mm|bf16", flag)],
        "cores": os.cpu_count(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", choices=CELLS, default="mnist")
    parser.add_argument("--cells", help="such as 512,256,128:500;128,64,28:100")
    everyone = ",".join(PYTHON_PEERS + OTHERS)
    parser.add_argument("--peers", default=everyone, help=f"of {everyone},{','.join(RUST_PEERS)}")
    parser.add_argument("--backends", default="blas,rust")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2, help="of each contender in a round")
    parser.add_argument("--binary", default=str(ROOT / "target" / "release" / "densely"))
    parser.add_argument("--commit", help="that such a binary is of, for the record")
    parser.add_argument("--json", help="a file for every figure")
    parser.add_argument("--show", help="print the table of such a file, and measure nothing")
    parser.add_argument("--plain", action="store_true", help="with --show: medians alone")
    args = parser.parse_args()
    if args.show:
        return show(json.loads(pathlib.Path(args.show).read_text()), args.plain)
    args.peers = [name for name in args.peers.split(",") if name]
    args.backends = [name for name in args.backends.split(",") if name]
    for name in args.peers:
        if name not in F32_PEERS + OTHERS:
            parser.error(f"there is no peer {name}")
    record = {
        "date": datetime.date.today().isoformat(),
        "data": args.data,
        **cpu(),
        "threads": args.threads,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions(args),
        "rounds": args.rounds,
        "epochs": args.epochs,
        "backends": {},
        "cells": [],
    }
    print(json.dumps({key: record[key] for key in record if key not in ("backends", "cells")}), flush=True)
    head([f"densely {b}" for b in args.backends] + args.peers)
    with tempfile.TemporaryDirectory() as folder:
        data_set = DataSet(args.data, folder)
        for cell in (args.cells or CELLS[args.data]).split(";"):
            hidden, batch = cell.split(":")
            record["cells"].append(measure(args, data_set, hidden, int(batch), record))
            print(row(record["cells"][-1]), flush=True)
            if args.json:
                pathlib.Path(args.json).write_text(json.dumps(record, indent=1) + "\n")
    foot(record["cells"])


if __name__ == "__main__":
    main()

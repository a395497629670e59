"""Compares densely with its peers, cell by cell, in one sitting.

    benches/peers/run                                  # all cells; an hour
    benches/peers/run --cells 512,256,128:500          # one cell
    benches/peers/run --peers torch,jax --rounds 5 --json out.json
    benches/peers/run --show benches/record/FILE.json  # the table of a record

A cell is a network and a batch size. In each round every contender trains a few whole epochs, one contender after the
other, so that the drift of the machine's clock meets all of them. What counts is the median of the epochs' seconds.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NETWORKS = ["784,784,784", "1024,512,256", "512,256,128", "256,128,64", "128,64,28"]
BATCHES = [1000, 500, 100]
# the peers that a claim of speed has to meet; the others are shown for orientation, in the first round only
F32_PEERS = ["torch", "torch.compile", "jax"]
OTHERS = ["numpy", "sklearn"]
# libraries keep their idle threads spinning for up to 0.2 s behind a call
REST_SECONDS = 0.4


class Peer:
    """A peer that stays alive between its turns."""

    def __init__(self, name, hidden, batch, threads):
        command = [sys.executable, HERE / "peers.py", name]
        command += ["--hidden", hidden, "--batch", str(batch), "--threads", str(threads)]
        self.name = name
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        if self.process.stdout.readline() != "ready\n":
            raise SystemExit(f"{name} did not start; try: {' '.join(map(str, command))}")

    def epochs(self, count):
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        loss = json.loads(self.process.communicate()[0])["loss"]
        if not loss < 1.0:  # log(10) is 2.3; after a warm-up and one epoch the smallest network is near 0.6
            raise SystemExit(f"{self.name} has not learnt anything: loss {loss}")


class Densely:
    """densely's own command line; its first epoch warms up."""

    def __init__(self, name, binary, hidden, batch, threads):
        backend = name.removeprefix("densely ")
        self.name = name
        self.command = [binary, "train", "--json", "--quiet", "--hidden", hidden, "--batch-size", str(batch)]
        self.command += ["--threads", str(threads), "--backend", backend]

    def epochs(self, count):
        with tempfile.TemporaryDirectory() as folder:
            command = [*self.command, "--epochs", str(count + 1), "--out", f"{folder}/run"]
            lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        events = [json.loads(line) for line in lines]
        epochs = [event for event in events if event["event"] == "epoch"]
        if not epochs[-1]["train_loss"] < 0.5:
            raise SystemExit(f"{self.name} has not learnt anything: {epochs[-1]}")
        return [event["seconds"] for event in epochs[1:]]

    def close(self):
        pass


def measure(args, hidden, batch):
    contenders = [Densely(f"densely {b}", args.binary, hidden, batch, args.threads) for b in args.backends]
    contenders += [Peer(name, hidden, batch, args.threads) for name in args.peers]
    seconds = {contender.name: [] for contender in contenders}
    for round_number in range(args.rounds):
        for contender in contenders:
            if contender.name in OTHERS and round_number:
                continue
            time.sleep(REST_SECONDS)
            count = 1 if contender.name in OTHERS else args.epochs
            seconds[contender.name] += contender.epochs(count)
    for contender in contenders:
        contender.close()
    return seconds


def ratio(seconds, ours):
    """Best f32 peer's median over ours."""
    peers = [statistics.median(s) for name, s in seconds.items() if name in F32_PEERS]
    return min(peers) / statistics.median(seconds[ours]) if peers and ours in seconds else None


def row(hidden, batch, seconds, ranges=True):
    cells = [hidden.replace(",", "-"), str(batch)]
    spread = (lambda s: f" ({min(s):.3f}-{max(s):.3f})") if ranges else (lambda s: "")
    cells += [f"{statistics.median(s):.3f}{spread(s)}" for s in seconds.values()]
    for ours in [name for name in seconds if name.startswith("densely")]:
        found = ratio(seconds, ours)
        cells.append("-" if found is None else f"{found:.2f}")
    return "| " + " | ".join(cells) + " |"


def head(names):
    print("\nSeconds an epoch (median of the rounds), and the best f32 peer's median over densely's.\n")
    ratios = [name.replace("densely", "ratio,") for name in names if name.startswith("densely")]
    titles = ["network", "batch", *names, *ratios]
    print("| " + " | ".join(titles) + " |")
    print("|" + "---|" * len(titles), flush=True)


def foot(cells):
    for ours in [name for name in cells[0]["seconds"] if name.startswith("densely")]:
        found = [ratio(cell["seconds"], ours) for cell in cells]
        if all(found):
            print(f"\ngeometric mean of the ratios, {ours}: {statistics.geometric_mean(found):.2f}")


def show(record):
    print(json.dumps({key: record[key] for key in record if key != "cells"}))
    head(list(record["cells"][0]["seconds"]))
    for cell in record["cells"]:
        print(row(cell["hidden"], cell["batch"], cell["seconds"], ranges=False))
    foot(record["cells"])


def versions(args):
    found = {"densely": subprocess.check_output([args.binary, "--version"], text=True).split()[1]}
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    found["commit"] = commit.stdout.strip() or "unknown"
    from importlib import metadata

    for package in ("torch", "jax", "numpy", "scikit-learn"):
        found[package] = metadata.version(package)
    return found


def cpu():
    with open("/proc/cpuinfo") as file:
        return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    every_cell = ";".join(f"{network}:{batch}" for network in NETWORKS for batch in BATCHES)
    parser.add_argument("--cells", default=every_cell, help="such as 512,256,128:500;128,64,28:100")
    parser.add_argument("--peers", default=",".join(F32_PEERS + OTHERS))
    parser.add_argument("--backends", default="blas,rust")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2, help="of each contender in a round")
    parser.add_argument("--binary", default=str(ROOT / "target" / "release" / "densely"))
    parser.add_argument("--json", help="a file for every figure")
    parser.add_argument("--show", help="print the table of such a file, and measure nothing")
    args = parser.parse_args()
    if args.show:
        return show(json.loads(pathlib.Path(args.show).read_text()))
    args.peers = [name for name in args.peers.split(",") if name]
    args.backends = [name for name in args.backends.split(",") if name]
    names = [f"densely {b}" for b in args.backends] + args.peers
    record = {
        "date": datetime.date.today().isoformat(),
        "cpu": cpu(),
        "threads": args.threads,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions(args),
        "cells": [],
    }
    print(json.dumps({key: record[key] for key in record if key != "cells"}), flush=True)
    head(names)
    for cell in args.cells.split(";"):
        hidden, batch = cell.split(":")
        seconds = measure(args, hidden, int(batch))
        record["cells"].append({"hidden": hidden, "batch": int(batch), "seconds": seconds})
        print(row(hidden, batch, seconds), flush=True)
        if args.json:
            pathlib.Path(args.json).write_text(json.dumps(record, indent=1) + "\n")
    foot(record["cells"])


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Compares exported ONNX graphs, run by onnxruntime, with `densely predict`.

    pip install onnx onnxruntime numpy
    check.py target/release/densely [--schemas 40] [--tables DIRECTORY] [--only TEXT] [--verbose]

Trains small models on tables, arrays and images that it makes, exports each, has onnx check the file, and compares what onnxruntime
and densely say of the same rows: numbers to 1e-5, relative to max(1, |value|), and labels, unless two classes are as probable.
A value near 0 of a target that is large elsewhere is the difference of large numbers, of which 32 bits keep seven digits: it may
differ by a millionth of the target's standard deviation besides.
DIRECTORY holds tables as benches/tables/make.py writes them: of these, the quality on all test rows and both speeds are printed too.
"""

import argparse
import csv
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime

import cases
from tables import Table

TOLERANCE = 1e-5
# of a target's standard deviation
ROUNDING = 1e-6
OPSETS = range(13, 22)
QUICK = ["--epochs", "4", "--batch-size", "32", "--lr", "0.01", "--hidden", "16", "--no-report", "--quiet"]


def main():
    options = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="densely-onnx-") as directory:
        place = pathlib.Path(directory)
        checker = Checker(options.binary, place, options.verbose)
        rng = np.random.default_rng(1)
        for case in [*cases.tables(rng, place), *cases.arrays(rng, place)]:
            if options.only in case.name:
                checker.check(case)
        for seed in range(options.schemas):
            if options.only in f"schema-{seed}":
                checker.check(cases.schema(seed, place))
        if options.only in "opsets":
            checker.check_opsets(next(cases.tables(rng, place)))
        for path in sorted(options.tables.iterdir()) if options.tables else []:
            if options.only in path.name and (path / "test.csv").exists():
                checker.measure(path)
    print(f"{checker.count} models, largest error {checker.worst:.1e}, {len(checker.failed)} failed")
    for problem in checker.failed:
        print(f"FAILED {problem}")
    return 1 if checker.failed or checker.count == 0 else 0


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--schemas", type=int, default=40)
    parser.add_argument("--tables", type=pathlib.Path)
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases whose name contains it")
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args()


class Problem(Exception):
    """What is wrong with a case."""


class Checker:
    """Trains, exports and compares."""

    def __init__(self, binary, place, verbose):
        self.binary, self.place, self.verbose = binary.resolve(), place, verbose
        self.count, self.worst, self.failed = 0, 0.0, []
        # of the targets of the last model; 0 where they are not scaled
        self.scale = 0.0

    def densely(self, *arguments):
        command = [self.binary, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.place, check=False)
        if done.returncode != 0:
            raise Problem(f"{' '.join(map(str, command))}: {done.stderr}")
        return done.stdout

    def check(self, case):
        opset = OPSETS[self.count % len(OPSETS)]
        self.count += 1
        try:
            error = self.error_of(case, opset)
        except Exception as problem:  # whatever it is, the other cases are checked too
            self.failed.append(f"{case.name}, opset {opset}: {type(problem).__name__}: {problem}")
            return
        self.worst = max(self.worst, error)
        if self.verbose:
            print(f"{case.name:30} opset {opset}  {error:.1e}")

    def error_of(self, case, opset):
        """The largest error of a case."""
        run = self.place / f"run-{case.name}"
        arguments = [*case.arguments]
        for flag, value in zip(QUICK[:-2:2], QUICK[1:-2:2]):
            if flag not in arguments:
                arguments += [flag, value]
        self.densely("train", case.data, "--out", run, *arguments, "--no-report", "--quiet")
        session = self.export(run, opset)
        if case.labels:
            label = session.get_outputs()[1]
            assert label.type == f"tensor({case.labels})" and label.shape == ["batch"], (label.type, label.shape)
        if isinstance(case.rows, Table):
            path = self.place / f"rows-{case.name}.csv"
            case.rows.write(path)
            feed = case.rows.feed(session)
        else:
            path, values = case.rows
            feed = {"features": values.astype(np.float32)}
        return self.compare(session, feed, run, path)

    def export(self, run, opset):
        """A session with the model of a run."""
        path = run / "model.onnx"
        self.densely("export", run, "--onnx", path, "--opset", opset)
        graph = onnx.load(path)
        scales = [tensor for tensor in graph.graph.initializer if tensor.name == "target_scale"]
        self.scale = onnx.numpy_helper.to_array(scales[0]) if scales else 0.0
        onnx.checker.check_model(graph, full_check=True)
        expected = 8 if opset <= 18 else 9 if opset <= 20 else 10
        assert graph.ir_version == expected and graph.opset_import[0].version == opset
        return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def compare(self, session, feed, run, path):
        found = session.run(None, feed)
        labels, expected = self.predictions(run, path, session)
        error = self.difference(found, labels, expected)
        # any batch: one row, and none
        for rows in (slice(0, 1), slice(0, 0)):
            part = session.run(None, {name: array[rows] for name, array in feed.items()})
            assert part[0].shape == expected[rows].shape, part[0].shape
            error = max(error, self.difference(part, labels[rows], expected[rows]))
        return error

    def predictions(self, run, path, session):
        """Labels (none of a regression) and numbers of densely."""
        is_regression = len(session.get_outputs()) == 1
        arguments = [] if is_regression else ["--probabilities"]
        header, *rows = csv.reader(io.StringIO(self.densely("predict", run, path, *arguments)))
        n = session.get_outputs()[0].shape[1]
        numbers = np.array([row[-n:] for row in rows], np.float32).reshape(-1, n)
        labels = [] if is_regression else [row[header.index("label")] for row in rows]
        return labels, numbers

    def difference(self, found, labels, expected):
        """The largest error, relative to max(1, |value|)."""
        assert found[0].shape == expected.shape and found[0].dtype == np.float32, (found[0].shape, expected.shape)
        if expected.size == 0:
            return 0.0
        if not np.isfinite(found[0]).all():
            raise Problem("numbers that are not finite")
        size = np.maximum(1, np.abs(expected))
        error = np.abs(found[0].astype(float) - expected) / size
        beyond = error - ROUNDING * self.scale / size
        if beyond.max() > TOLERANCE:
            row = beyond.max(1).argmax()
            raise Problem(f"row {row}: onnxruntime {found[0][row]}, densely {expected[row]}")
        if len(found) == 2:
            for row, (own, label) in enumerate(zip(found[1], labels, strict=True)):
                best = np.sort(expected[row])[::-1]
                if str(own) != label and (len(best) == 1 or best[0] - best[1] > 2 * TOLERANCE):
                    raise Problem(f"row {row}: onnxruntime says {own!r}, densely {label!r}")
        return float(error.max())

    def check_opsets(self, case):
        """One model in every opset."""
        case.name = "opsets"
        self.check(case)
        for opset in OPSETS:
            try:
                session = self.export(self.place / "run-opsets", opset)
                path = self.place / "rows-opsets.csv"
                self.worst = max(self.worst, self.compare(session, case.rows.feed(session), self.place / "run-opsets", path))
            except Exception as problem:  # whatever it is, the other cases are checked too
                self.failed.append(f"opset {opset}: {type(problem).__name__}: {problem}")

    def measure(self, path):
        """A real table: the quality on the test rows, and both speeds."""
        run = self.place / f"run-{path.name}"
        self.count += 1
        try:
            parts = ["--valid", path / "valid.csv", "--test", path / "test.csv"]
            self.densely("train", path / "train.csv", "--target", "target", *parts, "--out", run, "--epochs", "3", "--no-report", "--quiet")
            session = self.export(run, 17)
            test = Table.read(path / "test.csv")
            feed = test.feed(session)
            error = self.compare(session, feed, run, path / "test.csv")
            self.worst = max(self.worst, error)
            measured = json.loads(self.densely("eval", run, path / "test.csv", "--part", "all", "--json"))
        except Exception as problem:  # whatever it is, the other cases are checked too
            self.failed.append(f"{path.name}: {type(problem).__name__}: {problem}")
            return
        seconds = min(timed(lambda: session.run(None, feed)) for _ in range(3))
        values = session.run(None, feed)
        if len(values) == 1:
            own = np.sqrt(np.mean((values[0][:, 0].astype(float) - test.numbers("target")) ** 2))
            quality = f"RMSE {own:.6f} and {measured['rmse']:.6f}"
        else:
            own = np.mean(values[1].astype(str) == np.array(test.columns["target"]))
            quality = f"accuracy {own:.6f} and {measured['accuracy']:.6f}"
        start = time.perf_counter()
        note = subprocess.run(
            [self.binary, "predict", run, path / "test.csv", "--stats"], capture_output=True, text=True, check=True, cwd=self.place
        ).stderr.strip().splitlines()[-1]
        whole = len(test) / (time.perf_counter() - start)
        print(f"{path.name}: {len(test):,} rows, error {error:.1e}; onnxruntime and densely: {quality}")
        print(f"  onnxruntime {len(test) / seconds:,.0f} rows/s in memory; densely, file to file, {whole:,.0f} rows/s; {note}")


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    sys.exit(main())

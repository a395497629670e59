#!/usr/bin/env python3
"""Runs the examples of a document, one after the other, in one temporary directory.

  documented.py PATH/TO/densely PAGE [KIND...]

An example is a fenced block of kind `sh`, `python`, `toml` or `rust` below the comment `<!-- run -->`. With KINDs, others are left out.
Python examples run in this interpreter. A `rust` example is a program, with the dependencies of the `toml` example before it; the
onnxruntime of this interpreter is its shared library.
"""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys
import tempfile

BLOCK = re.compile(r"^<!-- run -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def onnxruntime_library():
    folder = pathlib.Path(importlib.util.find_spec("onnxruntime").origin).parent / "capi"
    return next(folder.glob("libonnxruntime.so.*"))


def main():
    binary, page, *kinds = sys.argv[1:]
    examples = BLOCK.findall(pathlib.Path(page).read_text())
    chosen = [example for example in examples if not kinds or example[0] in kinds]
    if not chosen:
        sys.exit(f"{page}: no examples of the kinds {kinds}")
    path = f"{pathlib.Path(binary).resolve().parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as directory:
        for kind, text in chosen:
            print(f"--- {kind}\n{text}", end="", flush=True)
            environment = {**os.environ, "PATH": path}
            if kind == "toml":
                package = '[package]\nname = "example"\nversion = "0.1.0"\nedition = "2021"\n'
                pathlib.Path(directory, "Cargo.toml").write_text(package + text)
                continue
            if kind == "rust":
                pathlib.Path(directory, "src").mkdir(exist_ok=True)
                pathlib.Path(directory, "src/main.rs").write_text(text)
                environment["ORT_DYLIB_PATH"] = str(onnxruntime_library())
            command = {
                "python": [sys.executable, "-c", text],
                "rust": ["cargo", "run", "--quiet"],
                "sh": ["bash", "-euo", "pipefail", "-c", text],
            }[kind]
            subprocess.run(command, cwd=directory, env=environment, check=True)
    print(f"{len(chosen)} examples of {page} hold")


if __name__ == "__main__":
    main()

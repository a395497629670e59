#!/usr/bin/env python3
"""Runs the examples of a document, one after the other, in one temporary directory.

  documented.py PATH/TO/densely PAGE [KIND...]

An example is a fenced block of kind `sh`, `python` or `rust` below the comment `<!-- run -->`. With KINDs, others are left out. Python
examples run in this interpreter.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

BLOCK = re.compile(r"^<!-- run -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


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
            command = [sys.executable, "-c", text] if kind == "python" else ["bash", "-euo", "pipefail", "-c", text]
            subprocess.run(command, cwd=directory, env={**os.environ, "PATH": path}, check=True)
    print(f"{len(chosen)} examples of {page} hold")


if __name__ == "__main__":
    main()

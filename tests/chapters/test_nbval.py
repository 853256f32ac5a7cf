"""nbval compares what must be the same, and nothing else: see conftest.py."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tools import ROOT


def cell(source: str, stored: str, *tags: str) -> nbformat.NotebookNode:
    output = new_output("stream", name="stdout", text=stored)
    return new_code_cell(source, outputs=[output], execution_count=1, metadata={"tags": [*tags]})


def test_outputs_are_compared_strictly(tmp_path: Path) -> None:
    cells = [
        cell('print("the same")', "the same\n"),
        cell('print("took 3.4 s")', "took 12 s\n"),
        cell("print(0.12345678)", "0.12345999\n"),
        cell("print(1.5e-07)", "3e-06\n"),
        cell('print("Shapes-10")', "CIFAR-10\n", "data-dependent"),
        cell('print("an accuracy")', "another\n", "nbval-ignore-output"),
        cell('import os\n\nprint(os.environ["NORMLAB_DATA"])', "shapes\n"),
        # from here on they must fail
        cell("print(0.1234)", "0.1235\n"),
        cell("print(67)", "68\n"),
        cell("assert False", ""),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "a.ipynb")
    # The conftest.py of the project, not that of the tests beside this file.
    options = ["-p", "conftest", "-o", "pythonpath=", "-c", "pyproject.toml", "-n", "0", "-q"]
    command = [sys.executable, "-m", "pytest", *options, tmp_path / "a.ipynb"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    failed = re.findall(r"^FAILED .*Cell (\d+)", run.stdout, re.MULTILINE)
    assert failed == ["7", "8", "9"], run.stdout + run.stderr

"""The kernels of chapter 17, in Triton's interpreter, against torch.nn, by the benchmark."""

import importlib.util
import os
import subprocess
import sys

import pytest

from tools import ROOT

COMMAND = [sys.executable, "benchmarks/norm_ladder.py", "--device", "cpu"]


def run(*options: str, **settings: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | settings
    return subprocess.run(
        [*COMMAND, *options], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton comes with PyTorch on Linux"
)
def test_outputs_and_gradients_of_the_kernels_are_those_of_torch() -> None:
    done = run("--check", TRITON_INTERPRET="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 13


@pytest.mark.slow
def test_the_ladder_has_a_row_for_each_way() -> None:
    done = run("--turns", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    for norm in ("BatchNorm", "LayerNorm", "GroupNorm"):
        assert done.stdout.count(f"{norm} (") == 4
    assert done.stdout.count("normlab") == 4

"""The benchmark beside the chapter on deployment: it has a row for each way."""

import subprocess
import sys

import pytest

from tools import ROOT

SHORT = ["--reps", "1", "--seconds", "0.01", "--batch", "1", "4", "--threads", "1"]


@pytest.mark.slow
@pytest.mark.parametrize("net", ["separable", "resnet"])
def test_the_benchmark_has_a_row_for_each_way(net: str) -> None:
    command = [sys.executable, "benchmarks/deployment.py", "--net", net, "--no-compile", *SHORT]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    for batch in (1, 4):
        _, _, rows = done.stdout.partition(f"batch of {batch} ")
        names = [line[:24].strip() for line in rows.splitlines()[1:11]]
        assert names[:2] == ["as it is", "folded"] and names[-1] == "ONNX int8, with BN"
    assert "process, from a file" in done.stdout or not sys.platform.startswith("linux")

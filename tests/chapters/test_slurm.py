"""The chapter on many devices under Slurm, on one node and on two: `make test-slurm`."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from normlab import checkpoints
from tests import cluster
from tools import ROOT

CHAPTER = ROOT / "chapters" / "16-many-devices.ipynb"
CELLS = ("worker", "train-def", "train-loop", "slurm-def")  # that write train.py and train.sbatch


@pytest.mark.slow
@pytest.mark.skipif(bool(cluster.missing()), reason=cluster.missing() or "-")
@pytest.mark.parametrize("nodes", [1, 2])
def test_a_job_whose_rank_died_goes_on_when_it_is_given_again(nodes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sources = {cell.id: cell.source for cell in nbformat.read(CHAPTER, as_version=4).cells}
    exec("\n".join(sources[cell] for cell in CELLS), {"Path": Path})
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with cluster.cluster(nodes) as environment:
        environment = {**environment, "PATH": paths, "PYTHONPATH": str(ROOT / "src")}
        command = ["sbatch", f"--nodes={nodes}", "--wait", "--output=%j.txt", "train.sbatch"]
        for epochs in (3, 5):  # done when the job ends
            job = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=200
            )
            log = "\n".join(path.read_text() for path in sorted(tmp_path.glob("*.txt")))
            assert (job.returncode == 0) == (epochs == 5), job.stderr + log
            assert checkpoints.load("run.pt").epoch == epochs, log
        assert "-9" in log

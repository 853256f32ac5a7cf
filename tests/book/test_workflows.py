"""The workflows that test and publish: valid, and in step with the project."""

import subprocess
import sys
import tomllib

import pytest
import yaml

from tools import ROOT
from tools.book_extension import BRANCH
from tools.repository import VARIABLE

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CHECK = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]


def test_every_workflow_is_valid() -> None:
    run = subprocess.run([*CHECK, *WORKFLOWS], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def test_an_unknown_key_in_a_workflow_is_found(tmp_path) -> None:
    broken = tmp_path / "test.yml"
    broken.write_text(WORKFLOWS[0].read_text(encoding="utf-8").replace("runs-on:", "run-on:"))
    assert subprocess.run([*CHECK, broken], capture_output=True).returncode != 0


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_targets_that_exist(path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
    commands = "\n".join(step.get("run", "") for job in jobs for step in job["steps"])
    targets = [
        line.split("make ")[1].split()[0] for line in commands.splitlines() if "make " in line
    ]
    assert targets and all(f"\n{target}:" in makefile for target in targets)


def test_pull_requests_are_tested_on_every_supported_python() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">=3.11,<3.14"
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]


def test_the_published_book_knows_its_repository_and_lies_where_colab_looks() -> None:
    text = (ROOT / ".github/workflows/publish.yml").read_text(encoding="utf-8")
    assert f"{VARIABLE}:" in text
    assert f"--initial-branch={BRANCH}" in text

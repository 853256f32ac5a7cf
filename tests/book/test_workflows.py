"""What GitHub, git and editors read: valid, and in step with the project."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tools import ROOT, rules
from tools.book_extension import BRANCH
from tools.repository import VARIABLE

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = ROOT / ".github" / "ISSUE_TEMPLATE"
CITATION = ROOT / "CITATION.cff"
CHECK = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]


@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        ("github-workflows", WORKFLOWS),
        ("github-issue-forms", sorted(set(FORMS.iterdir()) - {FORMS / "config.yml"})),
        ("github-issue-config", [FORMS / "config.yml"]),
        ("citation-file-format", [CITATION]),
    ],
)
def test_what_others_read_follows_its_schema(schema: str, paths: list[Path]) -> None:
    run = subprocess.run([*CHECK[:-1], f"vendor.{schema}", *paths], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def test_the_version_and_the_authors_are_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load(CITATION.read_text(encoding="utf-8"))
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest, date = re.search(r"^## \[([\d.]+)\] - ([\d-]+)$", changelog, re.MULTILINE).groups()
    assert project["version"] == citation["version"] == newest
    assert citation["date-released"] == date
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert citation["authors"] == [{"name": config["author"]}]
    assert citation["title"] == config["title"]


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


def test_a_new_container_builds_the_book() -> None:
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert container["postCreateCommand"] == "make book"


def test_the_hooks_use_the_environment_alone_and_check_every_page() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    hooks = {hook["id"]: hook for hook in config["repos"][0]["hooks"]}
    for hook in hooks.values():
        assert hook["language"] == "system" and hook["entry"].startswith(".venv/bin/")
    found = [path for end in ("md", "ipynb") for path in ROOT.glob(f"[!._]*/**/*.{end}")]
    found += ROOT.glob("*.md")
    checked = re.compile(hooks["rules"]["files"])
    names = {path.relative_to(ROOT).as_posix() for path in found}
    pages = {path.relative_to(ROOT).as_posix() for path in rules.pages()}
    assert {name for name in names if checked.search(name)} == pages

"""The recipes of CONTRIBUTING.md and the commands of the README are commands that work."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tools import ROOT


def commands(name: str, title: str = "") -> str:
    """Return the shell commands of a page, or those of one of its sections."""
    text = (ROOT / name).read_text(encoding="utf-8")
    if title:
        text = re.search(rf"^## {title}\n(.+?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)[1]
    return "\n".join(re.findall(r"^```sh\n(.+?)^```", text, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "README.md", "appendix/for-instructors.md"])
def test_the_targets_that_a_page_names_exist(name: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = (ROOT / name).read_text(encoding="utf-8")
    inline = "\n".join(re.findall(r"`([^`\n]+)`", text))
    lines = f"{commands(name)}\n{inline}"
    named = set(re.findall(r"^(?:\S+=\S+ )?make ([a-z-]+)", lines, re.MULTILINE))
    assert named and not {target for target in named if f"\n{target}:" not in makefile}


def test_the_recipe_for_a_typo_changes_the_typo_alone(tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    (tmp_path / "chapters").mkdir()
    notebook = tmp_path / "chapters" / "06-lenet-cifar10.ipynb"
    original = shutil.copy(ROOT / "chapters" / notebook.name, notebook).read_text(encoding="utf-8")
    assert original.count("Trained badly") == 1
    recipe, _, check = commands("CONTRIBUTING.md", "Mend a typo").rpartition(".venv/bin/python -m")
    assert check.startswith(" tools.rules")
    recipe = recipe.replace("${EDITOR:-nano}", "sed -i 's/Trained badly/Badly trained/'")
    subprocess.run(recipe, shell=True, check=True, cwd=tmp_path, capture_output=True)
    mended = original.replace("Trained badly", "Badly trained")
    assert notebook.read_text(encoding="utf-8") == mended
    assert [path.name for path in notebook.parent.iterdir()] == [notebook.name]

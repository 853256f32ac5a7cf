"""The book as it lies in the repository: form of the chapters, links, table of contents, pins."""

import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from pybtex.database import parse_file

from tools import ROOT, notebooks
from tools.contents import moved
from tools.markdown import read
from tools.rules import complaints, pages


@pytest.mark.parametrize("page", pages(), ids=lambda path: path.stem)
def test_a_page_keeps_the_rules(page: Path) -> None:
    assert complaints(page) == []


def test_there_is_a_chapter() -> None:
    assert list((ROOT / "chapters").glob("*.ipynb"))


def test_the_picture_of_the_home_page_is_a_stored_result() -> None:
    chapter = nbformat.read(ROOT / "chapters" / f"{notebooks.COVER_CHAPTER}.ipynb", as_version=4)
    assert notebooks.COVER.read_bytes() == notebooks.figure(chapter, notebooks.COVER_FIGURE)


# --- table of contents --------------------------------------------------------------------------


def listed(toc: dict) -> list[str]:
    """Return the pages of a table of contents, in order and without their endings."""
    entries = [entry for part in toc.get("parts", [toc]) for entry in part.get("chapters", [])]
    return [toc["root"], *(entry["file"] for entry in entries)]


OWN_PAGES = ["laboratory"]  # beside the home page; the other texts there are not of the book


def existing(root: Path) -> list[str]:
    folders = ("chapters", "appendix")
    pages = [
        p for folder in folders for end in ("ipynb", "md") for p in root.glob(f"{folder}/*.{end}")
    ]
    pages += [page for name in OWN_PAGES if (page := root / f"{name}.md").exists()]
    return ["index", *(page.relative_to(root).with_suffix("").as_posix() for page in pages)]


def toc_differences(toc: dict, root: Path) -> list[str]:
    missing, extra = set(listed(toc)) - set(existing(root)), set(existing(root)) - set(listed(toc))
    return [f"no file for {m}" for m in missing] + [f"{e} is not in _toc.yml" for e in extra]


def read_toc() -> dict:
    return yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))


def test_table_of_contents_and_files_agree() -> None:
    assert toc_differences(read_toc(), ROOT) == []


def test_table_of_contents_finds_missing_and_unlisted_pages(tmp_path: Path) -> None:
    toc = {"root": "index", "parts": [{"chapters": [{"file": "chapters/01-a"}]}]}
    (tmp_path / "chapters").mkdir()
    (tmp_path / "chapters" / "02-b.ipynb").touch()
    assert toc_differences(toc, tmp_path) == [
        "no file for chapters/01-a",
        "chapters/02-b is not in _toc.yml",
    ]


def test_old_addresses_lead_to_pages_that_exist() -> None:
    pages = {f"{name}.html" for name in listed(read_toc())}
    redirects = moved(ROOT)
    assert set(redirects.values()) <= pages
    assert not redirects.keys() & pages  # the redirect would replace a page


# --- pages --------------------------------------------------------------------------------------


def cited(text: str) -> set[str]:
    roles = [role for role in read(text).of_kind("role") if role.target.startswith("cite")]
    return {key.strip() for role in roles for key in role.text.split(",")}


def texts(path: Path) -> list[str]:
    """Return the Markdown of a page, captions included."""
    if path.suffix == ".md":
        return [path.read_text(encoding="utf-8")]
    cells = nbformat.read(path, as_version=4).cells
    captions = [c.metadata.get("mystnb", {}).get("figure", {}).get("caption", "") for c in cells]
    return captions + [cell.source for cell in cells if cell.cell_type == "markdown"]


def test_every_source_is_cited() -> None:
    entries = parse_file(ROOT / "references.bib").entries
    assert (
        set(entries) - set().union(*(cited(text) for page in pages() for text in texts(page)))
        == set()
    )


def test_a_citation_is_read_with_all_its_keys() -> None:
    assert cited("As {cite:t}`a2015` and {cite:p}`b2016, c2017` say; not {eq}`d` or `{cite}`.") == {
        "a2015",
        "b2016",
        "c2017",
    }


def broken_links(path: Path) -> list[str]:
    """Return the links of a text outside the book that lead nowhere. Sphinx reads the others."""
    found = []
    for link in read(path.read_text(encoding="utf-8")).inlines:
        file, _, anchor = link.target.partition("#")
        target = path.parent / file if file else path
        if link.kind == "role" or re.match(r"\w+:", file):
            continue
        if not target.exists() or (
            anchor
            and anchor not in {h.anchor for text in texts(target) for h in read(text).headings}
        ):
            found.append(link.target)
    return found


OUTSIDE = [path for path in ROOT.glob("*.md") if path.stem not in ("index", *OWN_PAGES)]


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: path.stem)
def test_links_of_texts_outside_the_book_lead_somewhere(path: Path) -> None:
    assert broken_links(path) == []


def test_broken_links_of_such_a_text_are_found(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text(
        "# One, two\n\n[1](#one-two) [2](a.md) [3](a.md#one-two) [4](https://x.org) `[5](no)`\n\n"
        "[6](#no) [7](no.md) ![8](no.png) [9](a.md#no)\n",
        encoding="utf-8",
    )
    assert broken_links(path) == ["#no", "no.md", "no.png", "a.md#no"]


def test_every_source_can_be_reached_or_says_that_its_address_is_unknown() -> None:
    entries = parse_file(ROOT / "references.bib").entries
    without = {k: e for k, e in entries.items() if not {"doi", "eprint", "url"} & set(e.fields)}
    unknown = [k for k, e in without.items() if "address unknown" in e.fields.get("note", "")]
    assert list(without) == unknown


# --- environment --------------------------------------------------------------------------------


def unpinned(pyproject: str, requirements: str) -> list[str]:
    """Return the direct dependencies that no pin, or a pin of a wrong version, stands for."""
    project = tomllib.loads(pyproject)
    wanted = chain(project["project"]["dependencies"], *project["dependency-groups"].values())
    pins = re.findall(r"^([\w.-]+)==([^\s;]+)", requirements, re.MULTILINE)
    complaints = []
    for line in map(Requirement, wanted):
        versions = [version for name, version in pins if name == line.name.lower()]
        if not versions or not all(line.specifier.contains(version) for version in versions):
            complaints.append(f"{line}: pinned is {versions or 'nothing'}")
    return complaints


def test_requirements_pin_every_dependency_of_pyproject() -> None:
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert unpinned((ROOT / "pyproject.toml").read_text(encoding="utf-8"), pins) == []
    assert "uv pip compile" in pins.split("\n\n")[0]  # the command that makes the file
    lines = [line for line in pins.splitlines() if not re.match(r"\s*#|$", line)]
    assert [line for line in lines if not re.match(r"[\w.-]+==\S+( ;.*)?$", line)] == []


def test_missing_and_outdated_pins_are_found() -> None:
    project = '[project]\ndependencies = ["a>=2", "b"]\n[dependency-groups]\nx = ["c<2"]\n'
    assert unpinned(project, "a==1.5\nc==1.0 ; python_version < '3.12'\n") == [
        "a>=2: pinned is ['1.5']",
        "b: pinned is nothing",
    ]


@pytest.mark.parametrize("command", [["check"], ["format", "--check", "--diff"]], ids=" ".join)
def test_code_and_notebooks_are_in_style(command: list[str]) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "ruff", *command], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr

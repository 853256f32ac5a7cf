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
from nbformat.v4 import new_markdown_cell, new_notebook
from packaging.requirements import Requirement
from pybtex.database import parse_file

from tests.book.references import broken, read_page
from tests.book.rules import RULES, RULES_OF_CHAPTERS, RULES_OF_TEXT, Rule
from tools import ROOT, notebooks
from tools.contents import moved

CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
NOTEBOOKS = [*CHAPTERS, *sorted((ROOT / "appendix").glob("*.ipynb"))]


def sentence(function: Rule) -> str:
    return function.__name__.replace("_", " ")


@pytest.mark.parametrize("rule", RULES, ids=sentence)
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(notebook: Path, rule: Rule) -> None:
    assert rule(nbformat.read(notebook, as_version=4)) == []


@pytest.mark.parametrize("rule", RULES_OF_CHAPTERS, ids=sentence)
@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_chapter(chapter: Path, rule: Rule) -> None:
    assert rule(nbformat.read(chapter, as_version=4)) == []


def test_there_is_a_chapter() -> None:
    assert CHAPTERS


def test_the_picture_of_the_home_page_is_a_stored_result() -> None:
    chapter = nbformat.read(ROOT / "chapters" / f"{notebooks.COVER_CHAPTER}.ipynb", as_version=4)
    assert notebooks.COVER.read_bytes() == notebooks.figure(chapter, notebooks.COVER_FIGURE)


# --- table of contents --------------------------------------------------------------------------


def listed(toc: dict) -> list[str]:
    """Return the pages of a table of contents, in order and without their endings."""
    entries = [entry for part in toc.get("parts", [toc]) for entry in part.get("chapters", [])]
    return [toc["root"], *(entry["file"] for entry in entries)]


def existing(root: Path) -> list[str]:
    folders = ("chapters", "appendix")
    pages = [
        p for folder in folders for end in ("ipynb", "md") for p in root.glob(f"{folder}/*.{end}")
    ]
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


def page_paths() -> list[Path]:
    names = [ROOT / name for name in listed(read_toc())]
    return [next(p for e in (".md", ".ipynb") if (p := Path(f"{n}{e}")).exists()) for n in names]


def test_links_references_and_citations_lead_somewhere() -> None:
    pages = [read_page(path) for path in (*page_paths(), ROOT / "README.md")]
    assert broken(pages, (ROOT / "references.bib").read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("See {ref}`nowhere`.", "a.md refers to nowhere"),
        ("See {numref}`Figure %s <fig-none>`.", "a.md refers to fig-none"),
        ("By {eq}`eq-none`.", "a.md refers to eq-none"),
        ("As in {cite:t}`nobody2015`.", "a.md cites nobody2015"),
        ("See {doc}`nowhere`.", "a.md links to nowhere"),
        ("```{figure} missing.png\n:alt: A\n```", "a.md links to missing.png"),
        ("[a file](missing.md)", "a.md links to missing.md"),
        ("![a picture](missing.png)", "a.md links to missing.png"),
        ("[a heading](#not-there)", "a.md links to #not-there: no such heading"),
        ("[a heading](b.md#not-there)", "a.md links to b.md#not-there: no such heading"),
    ],
)
def test_broken_links_and_references_are_found(tmp_path: Path, text: str, complaint: str) -> None:
    good = "(here)=\n# A title\n\n$$x$$ (eq-x)\n\n{ref}`here` {eq}`eq-x` {cite}`a2015`\n"
    good += "[b](b.md#b-c) {doc}`b`\n"
    (tmp_path / "b.md").write_text("# B, c\n\n```\n[no](link)\n```\n", encoding="utf-8")
    for body, expected in ((good, []), (good + text, [complaint])):
        (tmp_path / "a.md").write_text(body, encoding="utf-8")
        pages = [read_page(tmp_path / name) for name in ("a.md", "b.md")]
        assert broken(pages, "@article{a2015,\n}") == expected
    assert "no page cites b2016" in broken(pages, "@article{a2015,\n}\n@book{b2016,\n}")


@pytest.mark.parametrize("rule", RULES_OF_TEXT, ids=sentence)
@pytest.mark.parametrize(
    "path",
    [ROOT / "index.md", ROOT / "README.md", *sorted((ROOT / "appendix").glob("*.md"))],
    ids=lambda path: path.stem,
)
def test_page(path: Path, rule: Rule) -> None:
    text = path.read_text(encoding="utf-8")
    assert rule(new_notebook(cells=[new_markdown_cell(text)])) == []


def test_every_source_can_be_reached() -> None:
    entries = parse_file(ROOT / "references.bib").entries
    assert [k for k, e in entries.items() if not {"doi", "eprint", "url"} & set(e.fields)] == []


# --- environment --------------------------------------------------------------------------------


def unpinned(pyproject: str, requirements: str) -> list[str]:
    """Return the direct dependencies that no pin, or a pin of a wrong version, stands for."""
    project = tomllib.loads(pyproject)["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
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
    project = (
        '[project]\ndependencies = ["a>=2", "b"]\n[project.optional-dependencies]\nx = ["c<2"]\n'
    )
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

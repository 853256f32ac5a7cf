"""The template of a chapter keeps the rules, and its copy is a chapter. nbval executes it."""

import shutil
from pathlib import Path

import nbformat
import pytest
import yaml

from tools import ROOT
from tools.chapter import TEMPLATE, begin
from tools.rules import RULES, RULES_OF_CHAPTERS, Rule, results_belong_to_the_code

NOTEBOOK = ROOT / TEMPLATE / "00-template.ipynb"
# A copy gets its stamp from `make run`. The template has none: it is no page of the book.
KEPT = [rule for rule in (*RULES, *RULES_OF_CHAPTERS) if rule is not results_belong_to_the_code]


@pytest.mark.parametrize("rule", KEPT, ids=lambda rule: rule.__name__.replace("_", " "))
def test_the_template(rule: Rule) -> None:
    assert rule(nbformat.read(NOTEBOOK, as_version=4)) == []


@pytest.fixture
def book(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / TEMPLATE, tmp_path / TEMPLATE)
    for folder in ("figures", "exercises"):
        (tmp_path / "chapters" / folder).mkdir()
    (tmp_path / "chapters" / "07-a.ipynb").touch()
    (tmp_path / "_toc.yml").write_text(TOC, encoding="utf-8")
    return tmp_path


TOC = """root: index
parts:
  - caption: Part I
    chapters:
      - file: chapters/07-a
  - caption: Part II
    chapters:
      - file: chapters/09-b
"""


def test_a_copy_has_its_own_names_and_no_results(book: Path) -> None:
    notebook, figures, exercises, _ = begin(book, "08", "why-it-works")
    assert notebook == book / "chapters" / "08-why-it-works.ipynb"
    assert figures == book / "chapters" / "figures" / "why_it_works.py"
    assert exercises == book / "chapters" / "exercises" / "why_it_works.py"
    assert "template" not in notebook.read_text(encoding="utf-8")
    cells = nbformat.read(notebook, as_version=4).cells
    assert any("from figures import why_it_works as figures" in cell.source for cell in cells)
    assert not any(cell.get("outputs") for cell in cells)


@pytest.mark.parametrize(
    ("number", "part", "place"), [("08", 0, 1), ("06", 0, 0), ("10", 1, 1)], ids=lambda v: str(v)
)
def test_a_copy_is_listed_by_its_number(book: Path, number: str, part: int, place: int) -> None:
    begin(book, number, "new")
    toc = yaml.safe_load((book / "_toc.yml").read_text(encoding="utf-8"))
    assert toc["parts"][part]["chapters"][place]["file"] == f"chapters/{number}-new"


@pytest.mark.parametrize(
    ("number", "slug", "complaint"),
    [
        ("8", "new", "N='8' is no number of two digits"),
        ("08", "New one", "SLUG='New one' is not made of small letters"),
        ("07", "new", "N=07 is taken by 07-a.ipynb"),
        ("10", "old", "SLUG=old is taken by"),
    ],
)
def test_a_name_that_does_not_fit_writes_nothing(
    book: Path, number: str, slug: str, complaint: str
) -> None:
    (book / "chapters" / "figures" / "old.py").touch()
    before = sorted(book.rglob("*"))
    with pytest.raises(ValueError, match=complaint):
        begin(book, number, slug)
    assert sorted(book.rglob("*")) == before

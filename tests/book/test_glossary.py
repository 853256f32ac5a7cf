"""The glossary: in alphabetical order, each term where the linked section puts it in bold."""

import re
from functools import cache
from pathlib import Path

import nbformat
import pytest

from tools import ROOT
from tools.glossary import PAGE, Term, place, terms
from tools.markdown import read

GLOSSARY = ROOT / f"{PAGE}.md"
TERMS = terms(ROOT)
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
every_term = pytest.mark.parametrize("term", TERMS, ids=lambda term: term.name)


@cache
def bold_terms(chapter: Path, labels: bool = True) -> dict[str, set[str]]:
    """Return the terms in bold, in small letters, by the anchor of their section."""
    terms: dict[str, set[str]] = {}
    anchor = ""
    for cell in nbformat.read(chapter, as_version=4).cells:
        anchors = {h.lines[0]: h.anchor for h in read(cell.source).headings}
        for i, line in enumerate(cell.source.splitlines() if cell.cell_type == "markdown" else ()):
            anchor = anchors.get(i, anchor)
            line = line if labels else re.sub(r"^- (\*\*[^*]+\*\*(, )?)+:", "", line)
            for term in re.findall(r"\*\*([^*]+)\*\*", line):
                terms.setdefault(anchor, set()).add(term.lower())
    return terms


def test_every_definition_belongs_to_a_term_in_both_languages() -> None:
    assert len(TERMS) == len(re.findall(r"^: ", GLOSSARY.read_text(encoding="utf-8"), re.M)) > 0


def test_terms_stand_in_alphabetical_order() -> None:
    names = [term.name.lower() for term in TERMS]
    assert names == sorted(set(names))


@every_term
def test_the_linked_section_introduces_the_term(term: Term) -> None:
    assert term.bold in bold_terms(ROOT / f"{term.page}.ipynb").get(term.anchor, set())


@every_term
def test_no_section_before_it_has_the_term_in_bold(term: Term) -> None:
    """The labels of a list aside."""
    for chapter in CHAPTERS:
        for anchor, found in bold_terms(chapter, labels=False).items():
            if (chapter.stem, anchor) == (Path(term.page).name, term.anchor):
                return
            assert term.bold not in found, f"{chapter.stem}#{anchor}"


def test_a_definition_without_a_section_is_reported() -> None:
    with pytest.raises(ValueError, match="does not end with a link"):
        place("What a thing is.")

"""The glossary: in alphabetical order, each term where the linked section puts it in bold."""

import re
from pathlib import Path

import nbformat
import pytest

from tools import ROOT
from tools.markdown import read

GLOSSARY = ROOT / "appendix" / "glossary.md"
ENTRY = re.compile(
    r"^(?P<term>[^\n:]+?) (?P<chinese>[^\x00-\x7f].*)\n: (?P<text>.+)$", re.MULTILINE
)
LINK = re.compile(r"Introduced in \[[^\]]+\]\(([^)#]+)#([^)]+)\)\.$")


def bold_terms(chapter: Path) -> dict[str, set[str]]:
    """Return the terms in bold, in small letters, by the anchor of their section."""
    terms: dict[str, set[str]] = {}
    anchor = ""
    for cell in nbformat.read(chapter, as_version=4).cells:
        anchors = {h.lines[0]: h.anchor for h in read(cell.source).headings}
        for i, line in enumerate(cell.source.splitlines() if cell.cell_type == "markdown" else ()):
            anchor = anchors.get(i, anchor)
            for term in re.findall(r"\*\*([^*]+)\*\*", line):
                terms.setdefault(anchor, set()).add(term.lower())
    return terms


def entries() -> list[re.Match[str]]:
    return list(ENTRY.finditer(GLOSSARY.read_text(encoding="utf-8")))


def test_every_definition_belongs_to_a_term_in_both_languages() -> None:
    assert len(entries()) == len(re.findall(r"^: ", GLOSSARY.read_text(encoding="utf-8"), re.M)) > 0


def test_terms_stand_in_alphabetical_order() -> None:
    terms = [entry["term"].lower() for entry in entries()]
    assert terms == sorted(set(terms))


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry["term"])
def test_the_linked_section_introduces_the_term(entry: re.Match[str]) -> None:
    file, anchor = LINK.search(entry["text"]).groups()
    term = re.sub(r" \(.+\)$", "", entry["term"]).lower()
    assert term in bold_terms(GLOSSARY.parent / file).get(anchor, set())

"""The clinic answers every question, and each of its links leads to a case."""

import re
from functools import cache

import nbformat
import pytest

from normlab import doctor
from tools import ROOT
from tools.markdown import read

CHAPTERS = ROOT / "chapters"
CLINIC = nbformat.read(CHAPTERS / "14-clinic.ipynb", as_version=4)
# The chapters in which some of the questions have their case, once they exist.
LATER = {"15-deployment": (19, 20, 21), "16-many-devices": (12, 13, 14, 15, 16)}


def rows(cell: str) -> list[list[str]]:
    """Return the columns of the rows of a table, without its head."""
    text = next(c.source for c in CLINIC.cells if c.id == cell)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[part.strip() for part in line.strip("| ").split(" | ")] for line in lines[2:]]


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)]+)\)", text)


@cache
def anchors(name: str) -> frozenset[str]:
    """Return what a link to a chapter may end with: its headings."""
    cells = nbformat.read(CHAPTERS / name, as_version=4).cells
    texts = (read(cell.source) for cell in cells if cell.cell_type == "markdown")
    return frozenset(heading.anchor for text in texts for heading in text.headings)


def missing(target: str) -> str | None:
    """Say what a link lacks: the chapter or the heading."""
    name, _, anchor = target.partition("#")
    name = name or "14-clinic.ipynb"
    if not (CHAPTERS / name).exists():
        return f"no chapter {name}"
    return None if anchor in anchors(name) else f"no heading {anchor!r} in {name}"


def pending() -> set[int]:
    """Return the numbers of the questions that wait for a chapter."""
    waiting = (n for n in LATER if not (CHAPTERS / f"{n}.ipynb").exists())
    return {number for name in waiting for number in LATER[name]}


def test_all_thirty_questions_have_a_row() -> None:
    assert [row[0] for row in rows("thirty")] == [str(n) for n in range(1, 31)]


@pytest.mark.parametrize("row", rows("thirty"), ids=lambda row: row[0])
def test_every_question_leads_to_its_case(row: list[str]) -> None:
    number, case = int(row[0]), row[-1]
    if number in pending():
        assert not links(case), "its chapter is not here yet"
        return
    assert links(case), f"question {number} has no case: {case}"
    assert [said for link in links(case) if (said := missing(link))] == []
    for name, numbers in LATER.items():
        if number in numbers:
            assert links(case)[0].startswith(f"{name}.ipynb#")


@pytest.mark.parametrize("cell", ["findings", "silent"])
def test_every_row_of_the_other_tables_leads_to_a_case(cell: str) -> None:
    assert [row[0] for row in rows(cell) if not links(row[-1])] == []
    targets = [link for row in rows(cell) for link in links(row[-1])]
    assert [said for link in targets if (said := missing(link))] == []


def test_every_kind_of_finding_has_a_case() -> None:
    assert {row[0].strip("`") for row in rows("findings")} == set(doctor._CURES)


def test_a_link_to_nothing_is_found() -> None:
    assert missing("#no-such-heading") == "no heading 'no-such-heading' in 14-clinic.ipynb"
    assert missing("99-none.ipynb#a") == "no chapter 99-none.ipynb"

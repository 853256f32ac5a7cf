"""What tools/teaching.py tells a teacher about the chapters, and what the page says beside it."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.utils import is_grade

from classroom.sandbox import MEGABYTE, Limits
from tests.classroom.scoring import ASSIGNMENTS, points, source
from tools import ROOT
from tools.contents import Entry, read_contents
from tools.teaching import duration, map_of_needs, needs, study_time, table_of_work, work


def chapter(folder: Path, name: str, cells: list[str], needed: str = "Tensors.") -> Entry:
    """Write a chapter that took 3 minutes; cells that begin with "code" are code."""
    opening = f"# {name}\n\n**Question.** Why?\n\n**Needs.** {needed}"
    notebook = new_notebook(
        cells=[
            (new_code_cell if text.startswith("code") else new_markdown_cell)(text)
            for text in [opening, *cells]
        ],
        metadata={"normlab": {"minutes": 3.0}},
    )
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return Entry(path, "Part I", name, "Why?", "3")


EXERCISES = [
    "## Exercises\n\nMany words that nobody counts.",
    ":::{exercise} One\n:label: ex-one\n:class: easy\n\nText.\n:::",
    "code",
    ":::{exercise} Two\n:label: ex-two\n:class: hard\n\nText.\n:::",
]


def test_reading_counts_words_and_cells_outside_the_exercises(tmp_path: Path) -> None:
    done = work(chapter(tmp_path, "01-a", ["word " * 100, "code", *EXERCISES, "## Sources"]).path)
    opening = ["01-a", "Question.", "Why?", "Needs.", "Tensors."]
    assert (done.cells, done.words) == (1, 100 + len([*opening, "Sources"]))


def test_the_total_is_reading_and_running_and_solving(tmp_path: Path) -> None:
    done = work(chapter(tmp_path, "01-a", ["code", *EXERCISES]).path)
    assert done.levels == {"easy": 1, "hard": 1}
    assert (done.running, done.solving) == (3.0, 25)
    assert done.total == done.reading + 28


@pytest.mark.parametrize(
    ("minutes", "text"),
    [(2, "0:00"), (57, "0:55"), (58, "1:00"), (123, "2:05")],
)
def test_durations_are_given_to_five_minutes(minutes: float, text: str) -> None:
    assert duration(minutes) == text


def test_the_table_ends_with_the_sum(tmp_path: Path) -> None:
    entries = [chapter(tmp_path, name, EXERCISES) for name in ("01-a", "02-b")]
    lines = table_of_work(entries, tmp_path)
    assert lines[2].startswith("| [01-a](01-a.ipynb) |")
    assert "| 0:25 (2) |" in lines[2] and "| 0:50 (4) |" in lines[4]
    assert study_time(entries, "01 02") in lines[4]
    assert study_time(entries, "all") in lines[4]


def test_the_time_of_a_chapter_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no chapter 07: there are 01, and all"):
        study_time([chapter(tmp_path, "01-a", EXERCISES)], "01 07")


@pytest.mark.parametrize(
    "end", ["[c](03-c.ipynb) helps: it says why.", "The [c](03-c.ipynb) help."]
)
def test_a_chapter_that_helps_is_not_needed(tmp_path: Path, end: str) -> None:
    text = f"Tensors: [a](01-a.ipynb), [b](02-b.ipynb). {end}"
    assert needs(chapter(tmp_path, "04-d", [], text)) == {"01": True, "02": True, "03": False}


def test_the_map_has_an_arc_for_each_need_and_says_it_in_words(tmp_path: Path) -> None:
    entries = [
        chapter(tmp_path, "01-a", []),
        chapter(tmp_path, "02-b", [], "[a](01-a.ipynb)."),
        chapter(tmp_path, "03-c", [], "[a](01-a.ipynb). [b](02-b.ipynb) helps."),
    ]
    _, drawn, _ = map_of_needs(entries, tmp_path)
    assert (drawn.count("<path"), drawn.count("stroke-dasharray")) == (3, 1)
    assert 'href="02-b.html"' in drawn
    assert "03-c: needs 01-a, helped by 02-b" in drawn


def test_chapters_need_only_earlier_chapters() -> None:
    for entry in read_contents(ROOT):
        if entry.question:
            assert all(other < entry.path.stem[:2] for other in needs(entry))


# --- the page for instructors ---------------------------------------------------------------------

PAGE = (ROOT / "appendix" / "for-instructors.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_the_page_gives_the_points_of_an_assignment(name: str) -> None:
    row = re.search(rf"^\| \[{name}\].*\| ([\d, ]+) \| (\d+) \|$", PAGE, re.MULTILINE)
    cells = [cell for cell in source(name).cells if is_grade(cell)]
    written = [cell.metadata.nbgrader.points for cell in cells if cell.cell_type == "markdown"]
    assert sum(map(int, row[1].split(","))) == sum(points(source(name)).values())
    assert int(row[2]) == sum(written)


def test_the_page_gives_the_limits_of_the_sandbox() -> None:
    limits = Limits()
    for text in (
        f"{limits.cell_seconds} seconds a cell",
        f"{limits.notebook_seconds} seconds a notebook",
        f"{limits.memory // MEGABYTE:,} MB of memory",
        f"{limits.processes} processes",
        f"{limits.output:,} characters",
        f"{limits.files // MEGABYTE} MB",
    ):
        assert text in PAGE

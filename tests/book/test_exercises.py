"""The page that lists all exercises, and what it says about checks."""

import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from docutils import nodes
from docutils.frontend import get_default_settings
from docutils.utils import new_document
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from sphinx_exercise.nodes import exercise_enumerable_node

from exercises import lenet_cifar10
from tools import ROOT
from tools.book_extension import show_levels
from tools.contents import Entry
from tools.exercises import (
    LEVELS,
    Exercise,
    exercises,
    list_of_exercises,
    list_of_levels,
)
from tools.markdown import read

PAGE = (ROOT / "appendix" / "exercises.md").read_text(encoding="utf-8")
EXERCISE = ":::{{exercise}} Number {0}\n:label: ex-{0}\n:class: {1}\n\nDo it.\n:::"


def notebook(*levels: str) -> nbformat.NotebookNode:
    """Return a chapter with an exercise of each of `levels`."""
    cells = [new_markdown_cell("# A chapter")]
    for i, level in enumerate(levels, start=1):
        cells.append(new_markdown_cell(EXERCISE.format(i, level)))
        cells.append(new_code_cell(f"def f{i}(): ...\n\n\nexercises.name_{i}.check(f{i})"))
        cells.append(new_code_cell("exercises.solution.check(None)"))
    return new_notebook(cells=cells)


@pytest.fixture
def entries(tmp_path: Path) -> list[Entry]:
    """A book of two chapters with exercises and one page without."""
    for name, levels in (("01-a", ("easy", "hard")), ("02-b", ("medium",)), ("03-c", ())):
        nbformat.write(notebook(*levels), tmp_path / f"{name}.ipynb")
    (tmp_path / "d.md").write_text("# Text\n", encoding="utf-8")
    return [
        Entry(tmp_path / "01-a.ipynb", "Part I", "A", "Why a?", "1"),
        Entry(tmp_path / "02-b.ipynb", "Part II", "B", "Why b?", "1"),
        Entry(tmp_path / "03-c.ipynb", "Part II", "C", "Why c?", "1"),
        Entry(tmp_path / "d.md", "Appendix", "Text", "", ""),
    ]


# --- what is read from a notebook ---------------------------------------------------------------


def test_an_exercise_is_read_with_its_level_and_the_check_below_it() -> None:
    assert exercises(notebook("easy", "hard")) == [
        Exercise("Number 1", "ex-1", "easy", "name_1"),
        Exercise("Number 2", "ex-2", "hard", "name_2"),
    ]


@pytest.mark.parametrize("classes", ["dropdown", "easy hard", ""])
def test_what_names_no_level_or_two_has_none(classes: str) -> None:
    assert exercises(notebook(classes))[0].level == ""


def test_a_level_may_stand_beside_other_classes() -> None:
    assert exercises(notebook("wide medium"))[0].level == "medium"


# --- the page -----------------------------------------------------------------------------------


def test_the_list_shows_each_exercise_under_its_part_and_chapter(entries: list[Entry]) -> None:
    folder = entries[0].path.parent / "appendix"
    assert list_of_exercises(entries, folder) == [
        "## Part I",
        "",
        "### [A](../01-a.ipynb)",
        "",
        "- {level}`easy` {numref}`{number}. Number 1 <ex-1>` `name_1`",
        "- {level}`hard` {numref}`{number}. Number 2 <ex-2>` `name_2`",
        "",
        "## Part II",
        "",
        "### [B](../02-b.ipynb)",
        "",
        "- {level}`medium` {numref}`{number}. Number 1 <ex-1>` `name_1`",
        "",
    ]


def test_the_levels_are_explained_and_counted(entries: list[Entry]) -> None:
    lines = list_of_levels(entries, entries[0].path.parent)
    assert lines[0] == "The book has 3 exercises in 2 chapters, at three levels."
    assert [line for line in lines if line.startswith("{level}")] == [
        "{level}`easy` (1 exercise)",
        "{level}`medium` (1 exercise)",
        "{level}`hard` (1 exercise)",
    ]
    assert [line[2:] for line in lines if line.startswith(":")] == list(LEVELS.values())


def test_the_page_quotes_what_a_check_really_says(capsys: pytest.CaptureFixture) -> None:
    code = dict(read(PAGE).code)
    exec(code["python"], {"exercises": lenet_cifar10})
    assert capsys.readouterr().out == code["text"]


@pytest.mark.parametrize(
    "answer",
    [lambda *_: 7, lambda *_: None, lambda *_: 1 / 0],
    ids=["an unknown mistake", "nothing", "an error"],
)
def test_the_page_knows_the_other_answers_of_a_check(answer) -> None:
    patterns = [
        re.escape(line).replace(r"\.\.\.", ".+")
        for line in re.findall(r"^`(Not yet: .+)`$", PAGE, re.MULTILINE)
    ]
    verdict = lenet_cifar10.flat_features.verdict(answer)
    assert [bool(re.match(pattern, verdict)) for pattern in patterns].count(True) == 1


# --- the box of an exercise ---------------------------------------------------------------------


def title_of_box(classes: list[str]) -> nodes.title:
    document = new_document("chapter", get_default_settings())
    box = exercise_enumerable_node(classes=["exercise", *classes])
    box += nodes.title("", " (Number 1)")
    document += box
    builder = SimpleNamespace(get_relative_uri=lambda page, target: f"../{target}.html")
    show_levels(SimpleNamespace(builder=builder), document, "chapters/01-a")
    return box[0]


def test_the_box_of_an_exercise_names_its_level_and_links_to_the_meaning() -> None:
    title = title_of_box(["medium"])
    assert title.astext() == " (Number 1) medium"
    (link,) = title.findall(nodes.reference)
    assert link["refuri"] == "../appendix/exercises.html#levels"
    assert link[0]["classes"] == ["level", "medium"]
    assert "## Levels\n" in PAGE


def test_the_box_of_an_exercise_without_level_stays_as_it_is() -> None:
    assert title_of_box([]).astext() == " (Number 1)"


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_has_a_mark_that_needs_no_colour(level: str) -> None:
    css = (ROOT / "_static" / "custom.css").read_text(encoding="utf-8")
    rule = re.search(rf"\.level\.{level}::before {{(.+?)}}", css, re.DOTALL)[1]
    filled = list(LEVELS).index(level) + 1
    assert rule.count(f'"{"●" * filled}{"○" * (3 - filled)}"') == 2
    assert "color" not in rule

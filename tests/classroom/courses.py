"""A small course to try the grading on: one assignment, two questions, no torch."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from classroom.course import Course
from classroom.sandbox import Limits

NAME = "T"
FULL = 6  # points of the tests
LIMITS = Limits(cell_seconds=20)

DOUBLE = "def double(x):\n    return 2 * x"
HALF = "def half(x):\n    return x / 2"
ANSWER = "Because two is one and one."


def mark(grade_id: str, kind: str = "code", points: float | None = None, **roles: bool) -> dict:
    """Return nbgrader's metadata of a cell."""
    known = {"grade": False, "locked": False, "solution": False, "task": False} | roles
    known |= {"grade_id": grade_id, "schema_version": 3, "cell_type": kind}
    return {"nbgrader": known | ({} if points is None else {"points": points})}


def solution(grade_id: str, code: str) -> NotebookNode:
    head, body = code.split("\n", 1)
    region = f"{head}\n    ### BEGIN SOLUTION\n{body}\n    ### END SOLUTION"
    return new_code_cell(region, id=grade_id, metadata=mark(grade_id, solution=True))


def test(grade_id: str, points: float, code: str, hidden: bool = True) -> NotebookNode:
    if hidden:
        code = f"# Hidden.\n### BEGIN HIDDEN TESTS\n{code}\n### END HIDDEN TESTS"
    metadata = mark(grade_id, points=points, grade=True, locked=True)
    return new_code_cell(code, id=grade_id, metadata=metadata)


def assignment(setup: str = "import math") -> NotebookNode:
    written = mark("why", "markdown", 2, grade=True, solution=True)
    cells = [
        new_markdown_cell("# Doubles and halves", id="title"),
        new_code_cell(setup, id="setup", metadata=mark("setup", locked=True)),
        solution("double", DOUBLE),
        test("double-visible", 1, "assert double(1) == 2, 'twice one is two'", hidden=False),
        test("double-hidden", 2, "import math\nassert math.isclose(double(3), 6), 'twice three'"),
        solution("half", HALF),
        test("half-hidden", 3, "assert half(3) == 1.5, f'half of three is not {half(3)}'"),
        new_markdown_cell(ANSWER, id="why", metadata=written),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    notebook.nbformat_minor = 5
    return notebook


def make(root: Path, notebook: NotebookNode | None = None) -> Course:
    """Return a course below `root` whose assignment is not released yet."""
    course = Course(root, limits=LIMITS)
    course.source(NAME).parent.mkdir(parents=True)
    nbformat.write(notebook or assignment(), course.source(NAME))
    return course


def copied(course: Course, root: Path) -> Course:
    """Return a course like another one, in a folder that does not exist yet."""
    shutil.copytree(course.root, root)
    return replace(course, root=root)


def rows(course: Course) -> dict[str, dict[str, str]]:
    """Return the rows of grades.csv by student."""
    with (course.results(NAME) / "grades.csv").open(encoding="utf-8-sig") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def answered(course: Course, **cells: str) -> NotebookNode:
    """Return the release with right answers, or with others by the grade id of their cells."""
    return with_answers(course.released_notebook(NAME), cells)


def collected(**cells: str) -> NotebookNode:
    """Return what is executed of such a notebook: with the hidden tests, which nbgrader adds."""
    return with_answers(assignment(), cells)


def with_answers(notebook: NotebookNode, cells: dict[str, str]) -> NotebookNode:
    cells = {"double": DOUBLE, "half": HALF, "why": ANSWER} | cells
    for cell in notebook.cells:
        cell.source = cells.get(cell.metadata.get("nbgrader", {}).get("grade_id"), cell.source)
    return notebook

"""Score an assignment in this process, in a second: what nbgrader does, without a kernel.

tests/classroom/test_grading_at_scale.py shows that nbgrader itself gives the same points.
"""

import contextlib
import copy
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import nbformat
from nbclient.client import NotebookClient
from nbformat import NotebookNode
from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions
from nbgrader.utils import is_grade, is_solution

from tools import ROOT

SOURCE = ROOT / "assignments" / "source"
ASSIGNMENTS = sorted(path.name for path in SOURCE.iterdir() if path.is_dir())
SKIPPED = NotebookClient.skip_cells_with_tag.default_value


@dataclass(frozen=True)
class Wrong:
    """A typical wrong solution.

    Args:
        mistake: what the student got wrong, in a few words.
        cells: the new source of the solution cells that differ, by their grade id.
        fails: the grade ids of the test cells that must fail; all others must pass.
    """

    mistake: str
    cells: Mapping[str, str]
    fails: frozenset[str]

    def __str__(self) -> str:
        return self.mistake


@cache
def source(assignment: str) -> NotebookNode:
    """Read the notebook that has the solutions and the hidden tests; it is shared: change none."""
    return nbformat.read(SOURCE / assignment / f"{assignment}.ipynb", as_version=4)


def untouched(notebook: NotebookNode) -> NotebookNode:
    """Return what is graded when a student hands the release in as it is."""
    return ClearSolutions().preprocess(copy.deepcopy(notebook), {})[0]


def as_released(notebook: NotebookNode) -> NotebookNode:
    """Return what students get, before the parts of normlab are added."""
    return ClearHiddenTests().preprocess(untouched(notebook), {})[0]


def grade_id(cell: NotebookNode) -> str:
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def points(notebook: NotebookNode) -> dict[str, float]:
    """Return the points of every test cell, by its grade id."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and is_grade(cell)]
    return {grade_id(cell): cell.metadata.nbgrader.points for cell in cells}


def near(notebook: NotebookNode, cells: Mapping[str, str]) -> set[str]:
    """Return the grade ids of the tests that follow some of the answers, up to the next answer."""
    found, following = set(), False
    for cell in notebook.cells:
        if is_solution(cell):
            following = grade_id(cell) in cells
        elif is_grade(cell) and following:
            found.add(grade_id(cell))
    return found


def failures(
    notebook: NotebookNode, cells: Mapping[str, str] | None = None, only: set[str] | None = None
) -> dict[str, str]:
    """Execute a notebook and return the message of every test cell that fails, by its grade id.

    Args:
        notebook: a source notebook, or what a student made of it.
        cells: sources that replace those of the notebook, by grade id.
        only: the grade ids of the tests to execute, with the answers and what they need alone;
            None for the whole notebook.
    """
    cells, namespace, failed = cells or {}, {"__name__": "__main__"}, {}
    unknown = set(cells) - {grade_id(cell) for cell in notebook.cells}
    assert not unknown, f"no cells {unknown}"
    for cell in notebook.cells:
        if cell.cell_type != "code" or SKIPPED in cell.metadata.get("tags", []):
            continue
        if only is not None and (
            grade_id(cell) not in only if is_grade(cell) else not grade_id(cell)
        ):
            continue
        # A test has names of its own, as in src/classroom/integrity.py.
        names = dict(namespace) if is_grade(cell) else namespace
        message = run(cells.get(grade_id(cell), cell.source), names)
        if message and is_grade(cell):
            failed[grade_id(cell)] = message
    return failed


def run(code: str, namespace: dict) -> str:
    """Execute a cell and return its error, if there is one."""
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            exec(compile(code, "<cell>", "exec"), namespace)
        except BaseException as error:
            return f"{type(error).__name__}: {error}"
    return ""

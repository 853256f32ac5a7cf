"""What takes long: a class of 200, and every wrong solution through nbgrader. `make test-grading`.

SUBMISSIONS=20 makes the class smaller.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import nbformat
import psutil
import pytest

from classroom import sandbox
from classroom.course import Course
from classroom.one import grade_one, marks
from tests.classroom.scoring import ASSIGNMENTS, Wrong, grade_id, points, source
from tests.classroom.test_assignments import WRONG

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(sandbox.available()), reason=sandbox.available() or "-"),
]
NUMBER = int(os.environ.get("SUBMISSIONS", 200))
SECONDS = 5  # a submission, on average, with two side by side


@pytest.fixture
def course(real_course):
    return real_course


def handed_in(course, name, wrong: Wrong | None = None):
    """Return a release with the reference solution, but for what is wrong."""
    notebook = course.released_notebook(name)
    right = {grade_id(cell): cell.source for cell in source(name).cells}
    answers = right | dict(wrong.cells if wrong else {})
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = answers[grade_id(cell)]
    return notebook


def expected(name, wrong: Wrong | None = None):
    return {k: 0 if wrong and k in wrong.fails else v for k, v in points(source(name)).items()}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [pytest.param(n, w, id=f"{n}: {w}") for n in ASSIGNMENTS for w in [None, *WRONG[n]]],
)
def test_nbgrader_gives_the_expected_points(course, name, wrong):
    path = course.submitted(name, "Ada")
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(handed_in(course, name, wrong), path)
    grade_one(course, name, "Ada")
    found = {key: value for key, (value, _, _) in marks(course, name, "Ada").items()}
    assert {key: found[key] for key in expected(name)} == expected(name, wrong)


def test_a_class_is_graded_the_same_evening(course, tmp_path, capsys):
    """Every assignment has its share; the run is killed once and started again."""
    choose = random.Random(0)
    right = {}
    for number in range(NUMBER):
        name = ASSIGNMENTS[number % len(ASSIGNMENTS)]
        wrong = choose.choice([None, *WRONG[name]])
        student = f"Student {number:03d}"
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        nbformat.write(handed_in(course, name, wrong), folder / f"{student}.ipynb")
        right[name, student] = sum(expected(name, wrong).values())

    memory, start = [], time.monotonic()
    for name in ASSIGNMENTS:
        records = course.record(name, "").parent
        run = started(course, name, tmp_path / name)
        if name == ASSIGNMENTS[0]:
            follow(run, [], records, NUMBER // len(ASSIGNMENTS) // 3)
            run.kill()
            run.wait()
            known = {path: path.stat().st_mtime_ns for path in records.glob("*.json")}
            run = started(course, name, tmp_path / name)
        follow(run, memory, records)
        assert run.wait() == 0
    seconds = (time.monotonic() - start) / NUMBER

    assert known
    assert {p: p.stat().st_mtime_ns for p in known} == known, "graded twice"
    found = {
        (name, student): sum(v or 0 for k, (v, _, _) in marks(course, name, student).items())
        for name, student in right
    }
    assert found == right
    quarter = len(memory) // 4
    growth = median(memory[-quarter:]) / median(memory[quarter : 2 * quarter])
    with capsys.disabled():
        print(f"\n{NUMBER} submissions, {seconds:.1f} s each; memory of the grader x {growth:.2f}")
    assert seconds <= SECONDS
    assert growth < 1.25


def started(course: Course, name: str, folder: Path) -> subprocess.Popen:
    arguments = [sys.executable, "-m", "classroom.grade", name, folder, "--course", course.root]
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def follow(run: subprocess.Popen, memory: list[int], records: Path, enough: int = 10**9) -> None:
    """Note the memory of the grader, without its sandboxes, until enough are graded or all."""
    grader = psutil.Process(run.pid)
    while run.poll() is None and len(list(records.glob("*.json"))) < enough:
        total = 0
        for process in [grader, *grader.children()]:
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        memory.append(total)
        time.sleep(1)

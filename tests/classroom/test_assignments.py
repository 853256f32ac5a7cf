"""The assignments: what they are worth, and what they give to right and to wrong solutions."""

import importlib

import pytest
from nbgrader.utils import is_solution

from tests.classroom.scoring import (
    ASSIGNMENTS,
    Wrong,
    failures,
    grade_id,
    near,
    points,
    source,
    untouched,
)

WRONG = {
    name: importlib.import_module(f"tests.classroom.wrong_solutions.{name.lower()}").WRONG
    for name in ASSIGNMENTS
}


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_the_reference_solution_passes_every_test(name):
    assert failures(source(name)) == {}


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_the_untouched_release_fails_every_test(name):
    notebook = untouched(source(name))
    assert set(failures(notebook)) == set(points(notebook))


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_every_answer_has_three_typical_wrong_ones(name):
    answers = [grade_id(c) for c in source(name).cells if is_solution(c) and c.cell_type == "code"]
    assert {
        a: sum(a in wrong.cells for wrong in WRONG[name]) >= 3 for a in answers
    } == dict.fromkeys(answers, True)


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_most_wrong_answers_keep_a_part_of_the_points(name):
    partial = [w for w in WRONG[name] if near(source(name), w.cells) - w.fails]
    assert len(partial) > len(WRONG[name]) / 2


@pytest.mark.parametrize(
    ("name", "wrong"),
    [pytest.param(n, w, id=f"{n}: {w}") for n in ASSIGNMENTS for w in WRONG[n]],
)
def test_a_typical_wrong_solution_fails_the_tests_that_it_should(name, wrong: Wrong):
    # Tests of other questions are executed by `make test-grading`.
    tests = near(source(name), wrong.cells) | wrong.fails
    assert set(failures(source(name), wrong.cells, only=tests)) == wrong.fails

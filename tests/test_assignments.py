"""The assignments: what they are worth, and what they give to right and to wrong solutions."""

import importlib

import pytest

from scoring import ASSIGNMENTS, Wrong, failures, points, release, source

WRONG = {
    name: importlib.import_module(f"wrong_solutions.{name.lower()}").WRONG for name in ASSIGNMENTS
}


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_the_reference_solution_passes_every_test(name):
    assert failures(source(name)) == {}


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_the_untouched_release_fails_every_test(name):
    notebook = release(source(name))
    assert set(failures(notebook)) == set(points(notebook))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [pytest.param(n, w, id=f"{n}: {w}") for n in ASSIGNMENTS for w in WRONG[n]],
)
def test_a_typical_wrong_solution_fails_the_tests_that_it_should(name, wrong: Wrong):
    assert set(failures(source(name), wrong.cells)) == wrong.fails

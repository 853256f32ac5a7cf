"""Every exercise accepts its solution and answers each typical mistake with its own hint."""

import importlib
from types import ModuleType

import nbformat
import pytest
from torch import nn

from normlab.exercise import Exercise
from tools import ROOT, exercises

CHAPTERS = {
    path.stem.split("-", 1)[1].replace("-", "_"): path
    for path in sorted(ROOT.glob("chapters/*.ipynb"))
}
MODULES = {slug: importlib.import_module(f"exercises.{slug}") for slug in CHAPTERS}


def names_of_exercises(module: ModuleType) -> list[str]:
    """Return the names of the exercises of a module, in their order."""
    return [name for name, value in vars(module).items() if isinstance(value, Exercise)]


every_exercise = pytest.mark.parametrize(
    "exercise",
    [
        pytest.param(getattr(module, name), id=f"{slug}-{name}")
        for slug, module in MODULES.items()
        for name in names_of_exercises(module)
    ],
)


@pytest.mark.parametrize("slug", CHAPTERS)
def test_a_module_defines_the_exercises_of_its_chapter_in_their_order(slug: str) -> None:
    found = exercises.exercises(nbformat.read(CHAPTERS[slug], as_version=4))
    assert names_of_exercises(MODULES[slug]) == [exercise.check for exercise in found] != []


def test_every_module_of_exercises_has_a_chapter() -> None:
    modules = {path.stem for path in ROOT.glob("chapters/exercises/*.py")}
    assert modules - {"__init__"} == set(CHAPTERS)


@every_exercise
def test_the_solution_is_correct(exercise: Exercise) -> None:
    assert exercise.verdict(exercise.solution) == "Correct."


@every_exercise
def test_an_empty_stub_is_told_to_begin(exercise: Exercise) -> None:
    told = "Not yet: it returns nothing. Write the body first."
    assert exercise.verdict(lambda *args: ...) == told
    assert exercise.verdict(lambda *args: None) == told


@every_exercise
def test_each_typical_mistake_gets_its_own_hint(exercise: Exercise) -> None:
    assert len(exercise.mistakes) >= 3
    assert len({hint for _, hint in exercise.mistakes}) == len(exercise.mistakes)
    for mistake, hint in exercise.mistakes:
        assert exercise.verdict(mistake) == f"Not yet: {hint}"


@every_exercise
def test_an_answer_that_raises_is_told_what_was_raised(exercise: Exercise) -> None:
    def answer(*args):
        raise IndexError("list index out of range")

    assert "raises IndexError: list index out of range" in exercise.verdict(answer)


@every_exercise
def test_an_answer_of_a_foreign_type_is_not_accepted(exercise: Exercise) -> None:
    assert exercise.verdict(lambda *args: "forty-two").startswith("Not yet: ")


def test_an_answer_may_be_a_layer_of_which_the_behaviour_is_compared() -> None:
    class Layer(nn.Module):
        def __init__(self, num_features):
            super().__init__()
            self.norm = nn.BatchNorm1d(num_features, affine=False)  # another state, from 0 and 1

        def forward(self, x):
            return self.norm(x)

    exercise = MODULES["from_scratch"].DebiasedNorm
    assert exercise.verdict(Layer).startswith("Not yet: ")
    Layer.forward = lambda self, x: None
    assert "returns nothing" in exercise.verdict(Layer)
    assert "raises TypeError" in exercise.verdict(type("Stub", (nn.Module,), {}))


def test_a_factor_of_weights_is_not_called_a_variance() -> None:
    exercise = MODULES["deployment"].equalize

    def answer(first, second):
        first, second = exercise.solution(first, second)
        first.weight.data *= 3
        return first, second

    said = exercise.verdict(answer)
    assert "the first weight is off by the same factor in all its values; the first bias" in said
    assert "variance" not in said


def test_hooks_that_stay_are_seen_whatever_the_name() -> None:
    exercise = MODULES["clinic"].first_bad

    def answer(model, x):
        for module in model.modules():
            module.register_forward_hook(lambda *_: None)
        return "1.1"

    assert "the number of hooks that stay is" in exercise.verdict(answer)

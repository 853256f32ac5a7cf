"""Every exercise accepts its solution and answers each typical mistake with its own hint."""

import importlib
import pkgutil
import re

import pytest
from torch import nn

from normlab import checks
from normlab.checks import CHECKS, Check, check

names = pytest.mark.parametrize("name", sorted(CHECKS))


@names
def test_the_solution_is_correct(name):
    assert CHECKS[name].verdict(CHECKS[name].solution) == "Correct."


@names
def test_an_empty_stub_is_told_to_begin(name):
    told = "Not yet: it returns nothing. Write the body first."
    assert CHECKS[name].verdict(lambda *args: ...) == told
    assert CHECKS[name].verdict(lambda *args: None) == told


def test_a_branch_without_a_return_is_named_by_its_case():
    sign = Check(lambda x: x > 0, [(2,), (-3,)], mistakes=[])
    assert sign.verdict(lambda x: True if x > 0 else None) == "Not yet: for -3 it returns nothing."


@names
def test_each_typical_mistake_gets_its_own_hint(name):
    exercise = CHECKS[name]
    assert len(exercise.mistakes) >= 3
    assert len({hint for _, hint in exercise.mistakes}) == len(exercise.mistakes)
    for mistake, hint in exercise.mistakes:
        assert exercise.verdict(mistake) == f"Not yet: {hint}"


@names
def test_an_answer_that_raises_is_told_what_was_raised(name):
    def answer(*args):
        raise IndexError("list index out of range")

    assert "raises IndexError: list index out of range" in CHECKS[name].verdict(answer)


@names
def test_an_answer_of_a_foreign_type_is_not_accepted(name):
    assert CHECKS[name].verdict(lambda *args: "forty-two").startswith("Not yet: for ")


def test_an_unknown_mistake_shows_a_case_with_both_results():
    verdict = CHECKS["flat_features"].verdict(lambda fig_size, padding: 7)
    assert verdict == "Not yet: for 32, 0 expected 400, not 7."


def test_an_answer_that_changes_its_argument_does_not_spoil_the_next_check():
    def answer(model):
        for module in model.modules():
            if hasattr(module, "bias"):
                module.bias = None
        return model

    exercise = CHECKS["drop_dead_biases"]
    assert exercise.verdict(answer) == exercise.verdict(answer)
    assert exercise.verdict(exercise.solution) == "Correct."


def test_check_prints_the_verdict(capsys):
    check("flat_features", CHECKS["flat_features"].solution)
    assert capsys.readouterr().out == "Correct.\n"


def test_an_unknown_exercise_lists_the_known_ones():
    with pytest.raises(KeyError, match="flat_features"):
        check("no such exercise", len)


def test_large_tensors_are_compared_and_not_printed():
    wrong = CHECKS["rms_backward"].verdict(lambda dy, x_hat, rstd: dy * 0)
    assert wrong.startswith("Not yet: for a tensor [4, 6], a tensor [4, 6], tensor(")
    assert re.search(r" the numbers are off by up to [\d.]+\.$", wrong)


def test_an_answer_may_be_a_layer_of_which_the_behaviour_is_compared():
    class Layer(nn.Module):
        def __init__(self, num_features):
            super().__init__()
            self.norm = nn.BatchNorm1d(num_features, affine=False)  # another state, from 0 and 1

        def forward(self, x):
            return self.norm(x)

    exercise = CHECKS["DebiasedNorm"]
    assert "off by up to" in exercise.verdict(Layer)
    Layer.forward = lambda self, x: None
    assert "returns nothing" in exercise.verdict(Layer)
    assert "raises TypeError" in exercise.verdict(type("Stub", (nn.Module,), {}))


def test_equal_within_the_tolerance_of_the_check():
    exercise = Check(lambda x: x, cases=[(1.0,)], mistakes=[], tolerance=1e-2)
    assert exercise.verdict(lambda x: x + 5e-3) == "Correct."
    assert exercise.verdict(lambda x: x + 5e-2) != "Correct."


def test_tensors_in_a_tuple_are_compared_one_by_one():
    exercise = CHECKS["moved_statistics"]
    assert exercise.verdict(lambda *case: list(exercise.solution(*case))) == "Correct."
    assert exercise.verdict(lambda *case: exercise.solution(*case)[:1]) != "Correct."
    assert exercise.verdict(lambda *case: exercise.solution(*case)[0]) != "Correct."


def test_a_list_of_large_tensors_is_shown_by_its_shapes():
    verdict = CHECKS["recalibrate"].verdict(lambda model, batches: 1 / 0)
    assert verdict.startswith("Not yet: for a model with")
    assert "[a tensor [8, 3, 6, 6], a tensor [8, 3, 6, 6]," in verdict


def test_no_two_chapters_give_an_exercise_the_same_name():
    modules = (
        f"{checks.__name__}.{module.name}" for module in pkgutil.iter_modules(checks.__path__)
    )
    chapters = [importlib.import_module(name) for name in modules if not name.endswith(".core")]
    names = [name for chapter in chapters for name in chapter.CHECKS]
    assert sorted(names) == sorted(CHECKS)

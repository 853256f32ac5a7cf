"""What an exercise answers, and what it takes for equal."""

import pytest
import torch
from torch import nn

from normlab.exercise import Exercise

SUM = Exercise(
    lambda a, b: a + b,
    cases=[(2, 2), (5, 0), (3, 4)],
    mistakes=[
        (lambda a, b: a * b, "a product is no sum."),
        (lambda a, b: a, "where is b?"),
    ],
)
TWICE = Exercise(lambda x: 2 * x, cases=[(torch.arange(24.0).reshape(4, 6),)], mistakes=[])
ENDS = Exercise(lambda x: (x[0], x[-1]), cases=[(torch.eye(3),)], mistakes=[])


def without_bias(model: nn.Module) -> nn.Module:
    model[0].bias = None
    return model


BARE = Exercise(without_bias, cases=[(nn.Sequential(nn.Linear(2, 3)),)], mistakes=[])


def test_check_prints_the_verdict(capsys: pytest.CaptureFixture) -> None:
    SUM.check(lambda a, b: b + a)
    SUM.check(lambda a, b: a)
    assert capsys.readouterr().out == "Correct.\nNot yet: where is b?\n"


def test_a_typical_mistake_gets_its_hint() -> None:
    assert SUM.verdict(lambda a, b: b * a) == "Not yet: a product is no sum."


def test_an_unknown_mistake_shows_the_first_case_that_differs_with_both_results() -> None:
    assert SUM.verdict(lambda a, b: abs(a - b)) == "Not yet: for 2, 2 expected 4, not 0."
    assert SUM.verdict(lambda a, b: max(a, b, 4)) == "Not yet: for 3, 4 expected 7, not 4."


@pytest.mark.parametrize("nothing", [None, ...])
def test_an_empty_stub_is_told_to_begin(nothing) -> None:
    told = "Not yet: it returns nothing. Write the body first."
    assert SUM.verdict(lambda a, b: nothing) == told


def test_a_branch_without_a_return_is_named_by_its_case() -> None:
    verdict = SUM.verdict(lambda a, b: a + b if b else None)
    assert verdict == "Not yet: for 5, 0 it returns nothing."


def test_an_error_is_named_with_its_case() -> None:
    verdict = SUM.verdict(lambda a, b: a * b if a // b else 0)
    assert verdict.startswith("Not yet: for 5, 0 it raises ZeroDivisionError: ")


def test_large_tensors_are_compared_and_not_printed() -> None:
    verdict = TWICE.verdict(lambda x: 2 * x + 3)
    assert verdict == "Not yet: for a tensor [4, 6] the numbers are off by up to 3."


def test_another_shape_is_shown_as_such() -> None:
    verdict = TWICE.verdict(lambda x: 2 * x.flatten())
    assert verdict == "Not yet: for a tensor [4, 6] expected a tensor [4, 6], not a tensor [24]."


def test_tensors_in_a_tuple_are_compared_one_by_one() -> None:
    assert ENDS.verdict(lambda x: [x[0], x[2]]) == "Correct."
    assert ENDS.verdict(lambda x: (x[0], x[1])) != "Correct."
    assert ENDS.verdict(lambda x: (x[0],)) != "Correct."
    assert ENDS.verdict(lambda x: x[0]) != "Correct."


def test_a_list_of_large_tensors_is_shown_by_its_shapes() -> None:
    total = Exercise(sum, cases=[([torch.ones(4, 6), torch.ones(4, 6)],)], mistakes=[])
    verdict = total.verdict(lambda tensors: 1 / 0)
    assert verdict.startswith("Not yet: for [a tensor [4, 6], a tensor [4, 6]] it raises")


def test_models_are_compared_by_their_layers_and_shown_by_their_size() -> None:
    assert BARE.verdict(lambda _: nn.Sequential(nn.Linear(2, 3, bias=False))) == "Correct."
    verdict = BARE.verdict(lambda model: model)
    assert verdict == (
        "Not yet: for a model with 9 parameters "
        "expected a model with 6 parameters, not a model with 9 parameters."
    )


def test_an_answer_that_changes_its_argument_does_not_spoil_the_next_check() -> None:
    assert BARE.verdict(without_bias) == BARE.verdict(without_bias) == "Correct."
    assert BARE.verdict(lambda model: model) != "Correct."


def test_what_is_observed_of_a_result_is_compared() -> None:
    values = Exercise(lambda: {3, 1}, cases=[()], mistakes=[], observe=sorted)
    assert values.verdict(lambda: [1, 3]) == "Correct."
    assert values.verdict(lambda: (3, 3)) != "Correct."


def test_a_result_of_which_nothing_can_be_observed_is_nothing() -> None:
    layer = Exercise(nn.ReLU, cases=[()], mistakes=[], observe=lambda layer: layer(torch.ones(2)))
    empty = type("Empty", (nn.Module,), {"forward": lambda self, x: None})
    assert layer.verdict(empty) == "Not yet: it returns nothing. Write the body first."


def test_numbers_are_equal_within_the_tolerance() -> None:
    exercise = Exercise(lambda x: x, cases=[(1.0,)], mistakes=[], tolerance=1e-2)
    assert exercise.verdict(lambda x: x + 5e-3) == "Correct."
    assert exercise.verdict(lambda x: x + 5e-2) != "Correct."

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


def test_an_unknown_mistake_is_told_the_first_case_that_differs_and_not_the_answer() -> None:
    told = "Not yet: for case 1 (2, 2) the result is 0, which is too small."
    assert SUM.verdict(lambda a, b: abs(a - b)) == told
    told = "Not yet: for case 3 (3, 4) the result is 4, which is too small."
    assert SUM.verdict(lambda a, b: max(a, b, 4)) == told


@pytest.mark.parametrize("nothing", [None, ...])
def test_an_empty_stub_is_told_to_begin(nothing) -> None:
    told = "Not yet: it returns nothing. Write the body first."
    assert SUM.verdict(lambda a, b: nothing) == told


def test_a_branch_without_a_return_is_named_by_its_case() -> None:
    verdict = SUM.verdict(lambda a, b: a + b if b else None)
    assert verdict == "Not yet: for case 2 (5, 0) it returns nothing."


def test_an_error_is_named_with_its_case() -> None:
    verdict = SUM.verdict(lambda a, b: a * b if a // b else 0)
    assert verdict.startswith("Not yet: for case 2 (5, 0) it raises ZeroDivisionError: ")


def test_another_shape_is_shown_as_such() -> None:
    verdict = TWICE.verdict(lambda x: 2 * x.flatten())
    assert verdict == "Not yet: for a tensor [4, 6] the result has shape [24], not [4, 6]."


@pytest.mark.parametrize(
    "answer, told",
    [
        (lambda x: 2 * x + 3, "off by the same amount in all its values, as by a mean."),
        (lambda x: 5 * x + 1, "differs in 24 of 24 values; the first, at [0, 0], is 1 and too "),
        (lambda x: 2 * x + x[0], "off by the same amount at each index of dimension 1, as by a "),
        (lambda x: 2 * x + x[:, :1], "off by the same amount at each index of dimension 0, as "),
        (lambda x: 3 * x, "differs in 23 of 24 values; the first, at [0, 1], is 3 and too large."),
        (lambda x: 2 * x.clamp(max=22), "differs in 1 of 24 values; the first, at [3, 5], is 44 "),
        (lambda x: 2 * x / x, "holds nan."),
    ],
)
def test_a_large_result_is_told_how_it_differs_and_not_printed(answer, told: str) -> None:
    verdict = TWICE.verdict(answer)
    assert told in verdict
    assert len(verdict) < 240


def test_places_and_counts_are_not_off_by_a_mean() -> None:
    places = Exercise(lambda: [1, 2], cases=[()], mistakes=[])
    told = "Not yet: the result differs in 2 of 2 values; the first, at [0], is 2 and too large."
    assert places.verdict(lambda: [2, 3]) == told


def test_parts_may_be_arrays_of_numpy() -> None:
    assert ENDS.verdict(lambda x: (x[0].numpy(), x[2].numpy())) == "Correct."
    assert "value 2 of the result" in ENDS.verdict(lambda x: (x[0].numpy(), x[1].numpy()))


def test_a_factor_is_told_from_an_amount() -> None:
    plus = Exercise(lambda x: x + 1, cases=[(torch.rand(4, 3),)], mistakes=[])
    assert "by the same factor in all its values" in plus.verdict(lambda x: 3 * (x + 1))


def test_parts_have_names_and_those_that_are_right_are_named() -> None:
    both = Exercise(
        lambda x: (x.mean(0), x.var(0, correction=0)),
        cases=[(torch.tensor([[1.0, 2.0], [3.0, 5.0], [4.0, 9.0]]),)],
        mistakes=[],
        parts=("the mean", "the variance"),
    )
    verdict = both.verdict(lambda x: (x.mean(0), x.var(0)))
    assert "the variance is off by the same factor" in verdict
    assert verdict.endswith("; the mean is right.")
    assert "not 2 values" in both.verdict(lambda x: x.mean(0))


def test_tensors_in_a_tuple_are_compared_one_by_one() -> None:
    assert ENDS.verdict(lambda x: [x[0], x[2]]) == "Correct."
    assert ENDS.verdict(lambda x: (x[0], x[1])) != "Correct."
    assert ENDS.verdict(lambda x: (x[0],)) != "Correct."
    assert ENDS.verdict(lambda x: x[0]) != "Correct."


def test_a_list_of_large_tensors_is_shown_by_its_shapes() -> None:
    total = Exercise(sum, cases=[([torch.ones(4, 6), torch.ones(4, 6)],)], mistakes=[])
    verdict = total.verdict(lambda tensors: 1 / 0)
    assert verdict.startswith("Not yet: for [a tensor [4, 6], a tensor [4, 6]] it raises")


def test_models_are_compared_by_their_layers_and_shown_as_they_print() -> None:
    assert BARE.verdict(lambda _: nn.Sequential(nn.Linear(2, 3, bias=False))) == "Correct."
    assert BARE.verdict(lambda model: model) == (
        "Not yet: for Sequential( Linear(in_features=2, out_features=3, bias=True) ) layer 1 is "
        "Linear(in_features=2, out_features=3, bias=True), which does not belong there."
    )
    assert BARE.verdict(lambda model: nn.Sequential(*without_bias(model), nn.ReLU())).endswith(
        "the model has 2 layers, not 1."
    )


def test_a_lazy_layer_stands_for_the_one_that_it_becomes() -> None:
    norm = Exercise(lambda: nn.BatchNorm2d(6, eps=1e-3), cases=[()], mistakes=[])
    assert norm.verdict(lambda: nn.LazyBatchNorm2d(eps=1e-3)) == "Correct."
    assert norm.verdict(nn.LazyBatchNorm2d) != "Correct."
    assert norm.verdict(lambda: nn.LazyBatchNorm1d(eps=1e-3)) != "Correct."


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

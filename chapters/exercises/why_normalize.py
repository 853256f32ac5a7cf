"""The exercises of the chapter on why to normalize."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from normlab.exercise import Exercise


def _condition_number(stds: Sequence[float]) -> float:
    return (max(stds) / min(stds)) ** 2


condition_number = Exercise(
    _condition_number,
    cases=[([1.0, 10.0],), ([4.0, 2.0, 0.5],), ([3.0, 3.0],), ([2.0, 0.1, 5.0, 1.0],)],
    mistakes=[
        (
            lambda s: max(s) / min(s),
            "for standard deviations 1 and 10 you get 10. The curvature along a weight is the "
            "variance of its feature: what is the ratio of the variances?",
        ),
        (
            lambda s: (min(s) / max(s)) ** 2,
            "your result is below 1. Which of the two curvatures stands in the numerator?",
        ),
        (
            lambda s: (s[-1] / s[0]) ** 2,
            "your result depends on the order of the features. Which two of them count?",
        ),
        (lambda s: max(s) ** 2, "that is the largest curvature. By what is it divided?"),
        (
            lambda s: max(s) ** 2 / min(s),
            "one of the two standard deviations is squared, the other is not. What are the two "
            "curvatures?",
        ),
        (
            lambda s: max(s) ** 2 - min(s) ** 2,
            "that is the difference of the two curvatures. A condition number has no unit: what "
            "has it to be?",
        ),
    ],
)


def _standardize_with(train: Tensor, test: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Standardize both sets by the statistics of `known`."""
    mean, std = known.mean(dim=0), known.std(dim=0, correction=0)
    return (train - mean) / std, (test - mean) / std


def _standardize_both(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    return _standardize_with(train, test, train)


def _standardize_by(train: Tensor, test: Tensor, **over) -> tuple[Tensor, Tensor]:
    """Standardize each set by its own statistics over the dimension given, or over everything."""
    return tuple((x - x.mean(**over)) / x.std(**over, correction=0) for x in (train, test))


_TRAIN = torch.tensor([[1.0, 100.0], [2.0, 300.0], [6.0, 200.0], [3.0, 400.0]])
_TEST = torch.tensor([[2.0, 500.0], [5.0, 150.0], [9.0, 450.0]])

standardize_both = Exercise(
    _standardize_both,
    cases=[(_TRAIN, _TEST), (_TEST, _TRAIN)],
    parts=("the training set", "the test set"),
    tolerance=1e-4,  # a small epsilon under the root is welcome
    mistakes=[
        (
            lambda train, test: _standardize_with(train, test, torch.cat([train, test])),
            "both sets together give the statistics, so that the training set changes with each "
            "new flat, and the model was trained on another one. Whose statistics does it know?",
        ),
        (
            lambda train, test: _standardize_with(train, test, test),
            "the new flats give the statistics. The model was trained with others: whose?",
        ),
        (
            lambda train, test: (_standardize_with(train, test, train)[0], test),
            "the training set is right, and the test set is as it came. What does the model "
            "make of a flat in square metres?",
        ),
        (
            lambda train, test: _standardize_by(train, test, dim=0),
            "each set is standardized by its own statistics. A flat of 70 square metres would get "
            "one value in training and another in the test: whose mean serves both?",
        ),
        (
            lambda train, test: (
                (train - train.mean()) / train.std(correction=0),
                (test - train.mean()) / train.std(correction=0),
            ),
            "one mean serves all features, so that their scales stay unequal. Over which "
            "dimension of [N, C] should the mean run?",
        ),
        (
            lambda train, test: _standardize_by(train, test, dim=1, keepdim=True),
            "each flat is standardized over its own features. Over which dimension of [N, C] "
            "should the mean run?",
        ),
        (
            lambda train, test: (train - train.mean(0), test - train.mean(0)),
            "the features are centred, and one still varies a hundred times as much as the other. "
            "What is left to divide by?",
        ),
        (
            lambda train, test: (
                (train - train.mean(0)) / train.std(0),
                (test - train.mean(0)) / train.std(0),
            ),
            "nearly: `std` divides by N - 1 unless told otherwise, and the course divides by N. "
            "Which argument of `std` changes that?",
        ),
        (
            lambda train, test: (
                (train - train.mean(0)) / train.var(0, correction=0),
                (test - train.mean(0)) / train.var(0, correction=0),
            ),
            "you divide by the variance, whose unit is that of the feature squared. What has the "
            "unit of the feature itself?",
        ),
    ],
)


def _ratio(kappa: float) -> float:
    return (kappa - 1) / (kappa + 1)


def _steps_needed(kappa: float, fraction: float) -> int:
    return math.ceil(math.log(fraction) / (2 * math.log(_ratio(kappa))))


steps_needed = Exercise(
    _steps_needed,
    # fractions of a step above and below one half, whole numbers, and a kappa near 1
    cases=[(25.0, 0.01), (2.0, 0.01), (3.0, 0.0625), (1.2, 1e-6), (100.0, 0.001), (1000.0, 0.01)],
    mistakes=[
        (
            lambda k, f: math.ceil(math.log(f) / math.log(_ratio(k))),
            "twice too many: that is when the error of the weights has shrunk so far. With which "
            "power of this error does the loss shrink?",
        ),
        (
            lambda k, f: math.log(f) / (2 * math.log(_ratio(k))),
            "the formula is right, and the result is a fraction of a step. Which whole number of "
            "steps is the first to be enough?",
        ),
        (
            lambda k, f: math.floor(math.log(f) / (2 * math.log(_ratio(k)))),
            "one step short: after so many steps the loss is still a little above the goal. Which "
            "way do you have to round?",
        ),
        (
            lambda k, f: round(math.log(f) / (2 * math.log(_ratio(k)))),
            "for kappa 2 and 0.01 the formula gives 2.1 steps, and you say 2. Is the goal reached "
            "after two?",
        ),
        (
            lambda k, f: math.floor(math.log(f) / (2 * math.log(_ratio(k)))) + 1,
            "one step too many where the formula gives a whole number: for kappa 3 and 1/16 the "
            "loss is there after two steps. How do you round up and leave whole numbers alone?",
        ),
        (
            lambda k, f: math.ceil(math.log(f) / math.log(_ratio(k))) / 2,
            "you round before you halve, and half steps are left. In which order does it go?",
        ),
        (
            lambda k, f: math.ceil(-k * math.log(f) / 4),
            "that is the approximation for a large kappa. How far off is it for kappa 1.2?",
        ),
        (
            lambda k, f: math.ceil(math.log(f) / (2 * math.log(1 - 1 / k))),
            "a factor of 1 - 1/kappa a step belongs to the rate 1/lambda_max. Which factor "
            "belongs to the best rate?",
        ),
    ],
)


def _dead_units(a: Tensor) -> float:
    return (a == 0).all(dim=0).double().mean().item()


_A = torch.tensor([[0.0, 0.0, 1.5, 0.0], [0.0, 2.0, 0.5, 0.0], [0.0, 0.0, 3.0, 0.0]])
_B = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.5, 0.1, 0.0], [0.0, 0.0, 2.0]])
_FAINT = torch.tensor([[0.0, 1e-4, 0.0, 2.0], [0.0, 0.0, 0.0, 1.0]])  # a faint answer is one

dead_units = Exercise(
    _dead_units,
    cases=[(_A,), (_B,), (torch.zeros(2, 5),), (_FAINT,)],
    mistakes=[
        (
            lambda a: (a == 0).double().mean().item(),
            "that is the share of zeros. A unit that answers to half of the samples is healthy: "
            "for how many samples must a dead one be silent?",
        ),
        (
            lambda a: (a == 0).any(dim=0).double().mean().item(),
            "you count each unit with a zero somewhere. For how many samples must a dead unit be "
            "silent?",
        ),
        (
            lambda a: (a == 0).all(dim=1).double().mean().item(),
            "you count samples for which every unit is silent. In [N, C], which dimension do you "
            "have to look along to judge one unit?",
        ),
        (
            lambda a: (a == 0).all(dim=0).sum().item() / len(a),
            "you divide the number of dead units by the number of samples. Share of what?",
        ),
        (
            lambda a: (a < 1e-3).all(dim=0).double().mean().item(),
            "an output of 0.0001 counts as silent with you. Does such a unit get a gradient?",
        ),
        (
            lambda a: 1 - (a == 0).all(dim=0).double().mean().item(),
            "that is the share of the units that live. Which share is asked for?",
        ),
        (
            lambda a: (a == 0).all(dim=0).sum().item(),
            "that is the number of dead units. Which share of all units is it?",
        ),
    ],
)


def _correlated(rho: float) -> float:
    return (1 + abs(rho)) / (1 - abs(rho))


correlated_features = Exercise(
    _correlated,
    cases=[(0.0,), (0.5,), (-0.8,), (0.99,)],
    tolerance=1e-4,  # of eigenvalues in single precision
    mistakes=[
        (
            lambda r: (1 + r) / (1 - r),
            "right for positive correlations; for -0.8 yours is below 1. Which of the two "
            "eigenvalues is the larger one there?",
        ),
        (
            lambda r: ((1 + abs(r)) / (1 - abs(r))) ** 2,
            "you squared the ratio. The eigenvalues of the Hessian are variances already: is "
            "there anything left to square?",
        ),
        (lambda r: 1 + abs(r), "that is the largest eigenvalue. By what is it divided?"),
        (
            lambda r: (1 - abs(r)) / (1 + abs(r)),
            "your result is below 1. Which of the two eigenvalues stands in the numerator?",
        ),
        (
            lambda r: 1 / (1 - r**2),
            "that is one over the determinant, the product of the eigenvalues. What are the two?",
        ),
        (
            lambda r: 1.0,
            "a condition number of 1 means round contours. Draw standardized points with "
            "correlation 0.8: are they as wide along both diagonals?",
        ),
    ],
)


matching_rate = Exercise(
    lambda rate, c: rate * c**2,
    cases=[(0.1, 3.0), (0.01, 10.0), (1.0, 0.5), (0.2, 1.0)],
    mistakes=[
        (
            lambda rate, c: rate * 2 * c,
            "twice c is not c times c. By which factor do the weights grow, and by which does "
            "the gradient shrink?",
        ),
        (
            lambda rate, c: rate * c,
            "this makes the step as large as before. The weights are c times larger: how much "
            "larger has the step to be?",
        ),
        (
            lambda rate, c: rate,
            "with the same rate, weights three times as large move a third as far. What does that "
            "do to the change relative to their size?",
        ),
        (
            lambda rate, c: rate / c,
            "the gradient has shrunk by c already, and you shrink the step once more. In which "
            "direction has the rate to go?",
        ),
        (
            lambda rate, c: rate / c**2,
            "the right power, in the wrong direction: larger weights get smaller gradients from "
            "BN. Has the rate to grow or to shrink?",
        ),
    ],
)

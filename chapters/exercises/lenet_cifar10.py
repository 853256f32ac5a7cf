"""The exercises of the chapter on LeNet-5 and CIFAR-10."""

from collections.abc import Sequence

from torch import nn

from normlab.exercise import Exercise
from normlab.models import LeNet5, mlp


def _flat_features(fig_size: int, padding: int) -> int:
    side = ((fig_size + 2 * padding - 4) // 2 - 4) // 2
    return 16 * side * side


flat_features = Exercise(
    _flat_features,
    cases=[(32, 0), (28, 0), (28, 2), (32, 2), (79, 1)],
    mistakes=[
        (
            lambda f, p: (((f + 2 * p - 4) // 2 - 4) // 2) ** 2,
            "that is one channel. How many channels leave the second convolution?",
        ),
        (
            lambda f, p: 16 * (f + 2 * p - 8) ** 2,
            "you followed the convolutions. What does each pooling do to height and width?",
        ),
        (
            lambda f, p: 16 * (((f + p - 4) // 2 - 4) // 2) ** 2,
            "padding=2 adds two pixels on each side. By how much does the width grow?",
        ),
        (
            lambda f, p: 16 * ((f + 2 * p) // 2 // 2) ** 2,
            "you followed the poolings. How many pixels does a 5x5 convolution take away?",
        ),
        (
            lambda f, p: 16 * (((f + 2 * p - 4) // 2 + 2 * p - 4) // 2) ** 2,
            "you padded before both convolutions. Which of the two is padded?",
        ),
        (
            lambda f, p: 16 * (((f + 2 * p - 4) / 2 - 4) / 2) ** 2,
            "an image has no half pixels. What does pooling do with an odd last row?",
        ),
    ],
)


def _norm_numbers(widths: Sequence[int]) -> tuple[int, int]:
    return 2 * sum(widths), 2 * sum(widths) + len(widths)


norm_numbers = Exercise(
    _norm_numbers,
    cases=[([6, 16, 120, 84],), ([10],), ([3, 5],)],
    mistakes=[
        (
            lambda w: (2 * sum(w), 2 * sum(w)),
            "two running statistics per channel, right. Which third buffer has each layer?",
        ),
        (
            lambda w: (sum(w), 2 * sum(w) + len(w)),
            "each channel learns a scale. What else does it learn?",
        ),
        (
            lambda w: (4 * sum(w), 2 * sum(w) + len(w)),
            "the optimizer changes two numbers per channel. Are running statistics among them?",
        ),
        (
            lambda w: (2 * sum(w), 2 * sum(w) + 1),
            "one counter for the whole net. Does each layer not count its own batches?",
        ),
    ],
)


def _epoch_average(values: Sequence[float], sizes: Sequence[int]) -> float:
    return sum(v * n for v, n in zip(values, sizes, strict=True)) / sum(sizes)


epoch_average = Exercise(
    _epoch_average,
    cases=[([0.5, 1.0], [64, 16]), ([0.25, 0.5, 0.99], [64, 64, 1]), ([0.7], [3])],
    mistakes=[
        (
            lambda v, n: sum(v) / len(v),
            "a last batch of one sample weighs as much as one of 64. What should it weigh?",
        ),
        (lambda v, n: v[-1], "that is the last batch. What about the batches before it?"),
        (
            lambda v, n: float(int(100 * _epoch_average(v, n))) / 100,
            "the digits behind the percent point are cut off: 66.99 % becomes 66 %. Keep them.",
        ),
        (
            lambda v, n: sum(a * b for a, b in zip(v, n, strict=True)) / len(v),
            "you weigh with the sizes, and divide by the number of batches. By what instead?",
        ),
    ],
)


def _best_rate(accuracies: dict[float, list[float]]) -> float:
    return max(accuracies, key=lambda rate: sum(accuracies[rate]) / len(accuracies[rate]))


best_rate = Exercise(
    _best_rate,
    cases=[
        ({0.001: [0.60, 0.61, 0.62], 0.01: [0.66, 0.30, 0.31], 0.05: [0.1, 0.1, 0.1]},),
        ({0.001: [0.50, 0.50], 0.01: [0.55, 0.57], 0.05: [0.70, 0.10]},),
        ({0.1: [0.3, 0.9], 0.2: [0.5, 0.44]},),
    ],
    mistakes=[
        (
            lambda a: max(a, key=lambda rate: max(a[rate])),
            "one lucky seed decides. Would the same rate win if the seeds were drawn again?",
        ),
        (
            lambda a: max(a, key=lambda rate: min(a[rate])),
            "the unluckiest seed decides. The question was about the average.",
        ),
        (
            lambda a: max(sum(v) / len(v) for v in a.values()),
            "that is the accuracy. Which learning rate reaches it?",
        ),
        (lambda a: max(a), "that is the largest rate. Which one has the highest average accuracy?"),
    ],
)


def _drop_biases(model: nn.Module, which: str) -> nn.Module:
    for layers in [list(m) for m in model.modules() if isinstance(m, nn.Sequential)]:
        for layer, following in zip(layers, [*layers[1:], None], strict=True):
            normed = isinstance(following, _BATCH_NORMS)
            conv = isinstance(layer, nn.Conv2d)
            drop = {"normed": normed, "convs": normed and conv, "all": True}[which]
            if drop and isinstance(layer, (nn.Linear, nn.Conv2d)):
                layer.bias = None
    return model


_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_WITH_BN = {"norm2d": nn.BatchNorm2d, "norm1d": nn.BatchNorm1d}

drop_dead_biases = Exercise(
    lambda model: _drop_biases(model, "normed"),
    cases=[(LeNet5(**_WITH_BN),), (LeNet5(),), (mlp([2, 8, 4], nn.BatchNorm1d),)],
    mistakes=[
        (
            lambda model: _drop_biases(model, "all"),
            "the last layer lost its bias too. Does a normalization follow it?",
        ),
        (
            lambda model: _drop_biases(model, "convs"),
            "the convolutions are right. Which other layers does a normalization follow?",
        ),
        (
            lambda model: model,
            "every bias is still there. A layer without one has `layer.bias = None`.",
        ),
    ],
)

"""The exercises of the chapter on LeNet-5 and CIFAR-10."""

import statistics
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from normlab.exercise import Exercise
from normlab.models import LeNet5, mlp


def _flat_features(fig_size: int, padding: int) -> int:
    side = ((fig_size + 2 * padding - 4) // 2 - 4) // 2
    return 16 * side * side


flat_features = Exercise(
    _flat_features,
    cases=[(32, 0), (28, 0), (28, 2), (32, 2), (79, 1), (34, 0)],
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
            lambda f, p: 16 * (((f + 2 * p - 5) // 2 - 5) // 2) ** 2,
            "a window of 5 pixels fits into 5 pixels once. How often into 6, and so into 32?",
        ),
        (
            lambda f, p: 16 * (((f + 2 * p - 4) // 2 + 2 * p - 4) // 2) ** 2,
            "you padded before both convolutions. Which of the two is padded?",
        ),
        (
            lambda f, p: 16 * (((f + 2 * p - 4) / 2 - 4) / 2) ** 2,
            "an image has no half pixels. What does pooling do with an odd last row?",
        ),
        (
            lambda f, p: 16 * round((round((f + 2 * p - 4) / 2) - 4) / 2) ** 2,
            "you round 5.5 pixels to 6. What does pooling do with an odd last row?",
        ),
    ],
)


def _epoch_average(values: Sequence[float], sizes: Sequence[int]) -> float:
    return sum(v * n for v, n in zip(values, sizes, strict=True)) / sum(sizes)


epoch_average = Exercise(
    _epoch_average,
    cases=[([0.5, 1.0], [64, 16]), ([0.25, 0.99, 0.5], [64, 64, 1]), ([0.7], [3])],
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
        (
            lambda v, n: sum(a * b for a, b in zip(v, n, strict=True)),
            "that is a sum over the samples. How many samples are there?",
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
        ({0.01: [0.64, 0.62, 0.10], 0.1: [0.50, 0.52, 0.51]},),
        ({0.3: [0.4, 0.41, 0.42], 0.1: [0.6, 0.61], 0.03: [0.5]},),
        ({0.2: [0.7, 0.7, 0.3], 0.02: [0.4, 0.5, 0.45]},),
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
            lambda a: max(a, key=lambda rate: statistics.median(a[rate])),
            "that is the best median. It does not feel a seed that fails; what does an average do?",
        ),
        (
            lambda a: max(a, key=lambda rate: sum(a[rate])),
            "you compare sums. What if one rate has more seeds than another?",
        ),
        (
            lambda a: max(sum(v) / len(v) for v in a.values()),
            "that is the accuracy. Which learning rate reaches it?",
        ),
        (lambda a: max(a), "that is the largest rate. Which one has the highest average accuracy?"),
    ],
)


def _counts(true: Tensor, predicted: Tensor, classes: int) -> Tensor:
    return (classes * true + predicted).bincount(minlength=classes**2).view(classes, classes)


def _confusion(true: Tensor, predicted: Tensor, classes: int) -> Tensor:
    counts = _counts(true, predicted, classes)
    return counts / counts.sum(1, keepdim=True)


confusion = Exercise(
    _confusion,
    cases=[
        (torch.tensor([0, 0, 0, 0, 1]), torch.tensor([0, 0, 0, 1, 1]), 2),
        (torch.tensor([2, 0, 1, 2, 1, 0, 0]), torch.tensor([2, 1, 1, 0, 1, 1, 2]), 3),
        # Class 3 is never predicted.
        (torch.tensor([3, 1, 0, 2, 0, 3]), torch.tensor([0, 1, 0, 1, 2, 1]), 4),
    ],
    mistakes=[
        (
            lambda t, p, c: _confusion(t, p, c).T,
            "rows and columns are exchanged. Which of the two stands for the true class?",
        ),
        (
            _counts,
            "these are numbers of images. Which share of the images of its class is each?",
        ),
        (
            lambda t, p, c: _counts(t, p, c) / len(t),
            "you divide by all images. By how many should a row be divided?",
        ),
        (
            lambda t, p, c: 100 * _confusion(t, p, c),
            "these are percents. A share lies between 0 and 1.",
        ),
        (
            lambda t, p, c: torch.stack([p[t == k].bincount(minlength=c).bool() for k in range(c)]),
            "you set each pair once. What if a pair occurs twice?",
        ),
    ],
)

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_AFFINE = (nn.Linear, nn.Conv1d, nn.Conv2d)
_WITH_BN = {"norm2d": nn.BatchNorm2d, "norm1d": nn.BatchNorm1d}


def _drop_biases(model: nn.Module, which: str) -> nn.Module:
    for layers in [list(m) for m in model.modules() if isinstance(m, nn.Sequential)]:
        for i, layer in enumerate(layers):
            following = layers[i + 1 : i + 3]
            normed = isinstance(next(iter(following), None), _BATCH_NORMS)
            drop = {
                "normed": normed,
                "convs": normed and isinstance(layer, nn.Conv2d),
                "near": any(isinstance(module, _BATCH_NORMS) for module in following),
                "all": True,
            }[which]
            if drop and isinstance(layer, _AFFINE):
                layer.bias = None
    return model


def _zero_biases(model: nn.Module) -> nn.Module:
    for layers in [list(m) for m in model.modules() if isinstance(m, nn.Sequential)]:
        for layer, following in zip(layers[:-1], layers[1:], strict=True):
            if isinstance(following, _BATCH_NORMS) and isinstance(layer, _AFFINE):
                nn.init.zeros_(layer.bias)
    return model


def _all_of(model: nn.Module) -> tuple[nn.Module, Tensor, Tensor]:
    stored = torch.cat([tensor.flatten() for tensor in model.state_dict().values()])
    return model, stored, torch.tensor([module.training for module in model.modules()])


_MODELS = [
    LeNet5(**_WITH_BN),
    LeNet5(),
    mlp([2, 8, 4], nn.BatchNorm1d),
    nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 2)),
    nn.Sequential(nn.Conv1d(1, 4, 3), nn.BatchNorm1d(4), nn.Flatten(), nn.Linear(8, 2)),
]

drop_dead_biases = Exercise(
    lambda model: _drop_biases(model, "normed"),
    cases=[(model,) for model in _MODELS],
    observe=_all_of,
    parts=("the model", "what it stores", "the mode of its layers"),
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
            lambda model: _drop_biases(model, "near"),
            "in Linear, ReLU, BN the ReLU comes between. Does BN then take the bias out again?",
        ),
        (
            lambda model: model,
            "every bias is still there. A layer without one has `layer.bias = None`.",
        ),
        (
            _zero_biases,
            "the biases are 0, and still parameters. A layer without one has `layer.bias = None`.",
        ),
    ],
)

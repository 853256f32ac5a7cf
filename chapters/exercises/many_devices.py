"""The exercises of the chapter on many devices."""

import copy
from typing import Any

import torch
from torch import Tensor

from normlab.exercise import Answer, Exercise


def _own_samples(n: int, rank: int, ranks: int) -> list[int]:
    return list(range(rank, n, ranks))


own_samples = Exercise(
    _own_samples,
    observe=lambda found: list(found) if isinstance(found, (range, tuple)) else found,
    cases=[(8, 0, 2), (8, 1, 2), (7, 2, 3), (7, 0, 3), (2, 2, 4)],
    mistakes=[
        (
            lambda n, rank, ranks: list(range(rank * (n // ranks), (rank + 1) * (n // ranks))),
            "each rank takes neighbours, and the rest belongs to nobody. Which sample comes after "
            "the first of a rank?",
        ),
        (
            lambda n, rank, ranks: list(range(rank * n // ranks, (rank + 1) * n // ranks)),
            "each rank takes neighbours. Which sample comes after the first of a rank?",
        ),
        (
            lambda n, rank, ranks: list(range(n))[rank::ranks][: n // ranks],
            "sample 6 of 7 belongs to nobody. Must all ranks have equally many?",
        ),
        (
            lambda n, rank, ranks: list(range(rank, n, rank + 1)),
            "the steps are as wide as the rank. How many ranks take turns?",
        ),
        (
            lambda n, rank, ranks: list(range(0, n, ranks)),
            "all ranks take the same samples. Where does each begin?",
        ),
        (
            lambda n, rank, ranks: [(i * ranks + rank) % n for i in range(-(-n // ranks))],
            "some samples are taken twice, to make the shares equal. May one count double here?",
        ),
        (
            lambda n, rank, ranks: [i for i in range(1, n + 1) if i % ranks == rank],
            "one number is that of no sample. From which number are samples counted?",
        ),
    ],
)


def _moved(momentum: float, parts: int) -> float:
    return 1 - (1 - momentum) ** parts


moved = Exercise(
    _moved,
    cases=[(0.1, 4), (0.1, 1), (0.5, 2), (0.01, 32), (0.9, 3)],
    mistakes=[
        (
            lambda momentum, parts: momentum * parts,
            "four times a tenth is too much: for 0.9 and 3 parts it is over 1. How much of the old "
            "statistic does one part leave?",
        ),
        (
            lambda momentum, parts: momentum,
            "that is what one part moves. How often do the statistics move before one step?",
        ),
        (
            lambda momentum, parts: (1 - momentum) ** parts,
            "that is what remains of the old statistic. How much is new?",
        ),
        (
            lambda momentum, parts: momentum**parts,
            "the more parts, the less it moves. Which of the two shares is multiplied each time?",
        ),
        (
            lambda momentum, parts: 1 - momentum**parts,
            "that is right only where old and new weigh the same. Which share of the old statistic "
            "does one part leave?",
        ),
        (
            lambda momentum, parts: momentum / parts,
            "the more parts, the less it moves. Does each part move the statistic less than a "
            "batch would?",
        ),
    ],
)


def _loss_weight(own: int, total: int, ranks: int) -> float:
    return own * ranks / total


loss_weight = Exercise(
    _loss_weight,
    cases=[(4, 8, 2), (5, 7, 2), (2, 7, 2), (0, 7, 3), (3, 12, 4)],
    mistakes=[
        (
            lambda own, total, ranks: own / total,
            "with equal shares the gradient is too small by the number of ranks. What does DDP do "
            "with the gradients of the ranks, besides adding them?",
        ),
        (
            lambda own, total, ranks: 1.0,
            "a rank with 5 samples counts as much as one with 2. What should each sample count?",
        ),
        (
            lambda own, total, ranks: total / (own * ranks) if own else 0.0,
            "the smaller share gets the larger weight. Which should it be?",
        ),
        (
            lambda own, total, ranks: ranks / total,
            "that is the weight of a sum of losses. The loss is a mean over how many samples?",
        ),
        (
            lambda own, total, ranks: own / ranks,
            "the weight grows with the batch. What should all weights add up to?",
        ),
        (
            lambda own, total, ranks: own,
            "that turns the mean into a sum. By how many samples is the whole loss divided?",
        ),
        (
            lambda own, total, ranks: own / (total * ranks),
            "the average over the ranks is taken twice. Does DDP multiply or divide?",
        ),
    ],
)


def _ghost(
    x: Tensor,
    parts: int,
    cut=torch.chunk,
    correction: int = 0,
    dim: int = 0,
    scale=lambda var: torch.sqrt(var + 1e-5),
) -> Tensor:
    """The solution; the other arguments make typical mistakes."""
    pieces = [
        (piece - piece.mean(dim, keepdim=True))
        / scale(piece.var(dim, correction=correction, keepdim=True))
        for piece in cut(x, parts)
    ]
    return torch.cat(pieces)


def _common_mean(x: Tensor, parts: int) -> Tensor:
    return torch.cat([(p - x.mean(0)) / torch.sqrt(p.var(0, correction=0) + 1e-5)
                      for p in x.chunk(parts)])  # fmt: skip


def _common_variance(x: Tensor, parts: int) -> Tensor:
    scale = torch.sqrt(x.var(0, correction=0) + 1e-5)
    return torch.cat([(p - p.mean(0)) / scale for p in x.chunk(parts)])


def _strided(x: Tensor, parts: int) -> Tensor:
    y = torch.empty_like(x)
    for i in range(parts):
        y[i::parts] = _ghost(x[i::parts], 1)
    return y


def _batch(seed: int, n: int, c: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 + torch.arange(n)[:, None] / 2 + torch.randn(n, c, generator=generator)


# Standard deviations near 0.002, where eps counts, 1 and 1,000, where it does not.
_SCALED = (_batch(3, 8, 3) - 4) * torch.tensor([1.5e-3, 1.0, 1e3])


class _Keeping(Exercise):
    """An exercise of which the answer must leave its first argument as it was."""

    def _try(self, function: Answer, case: tuple) -> Any:
        given = copy.deepcopy(case)
        result = function(*given)
        return result if result is None or result is ... else (result, given[0])


ghost_norm = _Keeping(
    _ghost,
    tolerance=1e-4,
    parts=("the result", "x after the call"),
    cases=[(_batch(0, 8, 3), 2), (_batch(1, 12, 2), 3), (_batch(2, 6, 4), 1), (_SCALED, 2)],
    mistakes=[
        (
            lambda x, parts: _ghost(x, 1),
            "all samples share their statistics. Which of them should?",
        ),
        (
            lambda x, parts: _ghost(x, parts, cut=torch.split),
            "`split` takes the size of a part. What is `parts`?",
        ),
        (
            lambda x, parts: _ghost(x, parts, correction=1),
            "the variance is the unbiased one. Which does BN normalize with?",
        ),
        (
            lambda x, parts: _ghost(x, parts, dim=1),
            "each sample is normalized on its own, over its channels. Over what does BN take its "
            "mean?",
        ),
        (_strided, "the parts interleave. Which samples belong to the first part?"),
        (_common_mean, "the mean is that of all samples, the variance that of a part. Whose mean?"),
        (
            _common_variance,
            "the variance is that of all samples, the mean that of a part. Whose variance?",
        ),
        (
            lambda x, parts: torch.stack([_ghost(p, 1) for p in x.chunk(parts)]),
            "the parts lie in a new dimension. Which shape has the input?",
        ),
        (
            lambda x, parts: _ghost(x, parts, scale=lambda var: var.sqrt() + 1e-5),
            "one feature has a variance near 1e-5, and there the result is too large. Is eps added "
            "to the standard deviation or to the variance?",
        ),
        (
            lambda x, parts: _ghost(x, parts, scale=torch.sqrt),
            "one feature has a variance near 1e-5, and there the result is too large. What is "
            "added to a variance before its root?",
        ),
        (
            lambda x, parts: _ghost(x, parts, scale=lambda var: var.clamp(min=1e-5).sqrt()),
            "one feature has a variance near 1e-5, and there the result is too large. Is eps a "
            "least value, or is it added?",
        ),
        (
            lambda x, parts: _ghost(x, parts, scale=lambda var: torch.sqrt(var + 1e-3)),
            "eps is too large: one feature has a variance near 1e-5. Which eps is asked for?",
        ),
        (
            lambda x, parts: _ghost(x, parts, scale=lambda var: var + 1e-5),
            "it is divided by the variance. What makes the variance of the result 1?",
        ),
        (
            lambda x, parts: x.copy_(_ghost(x, parts)),
            "the result is right, but it is written over x. What would the backward pass, or the "
            "caller, find there?",
        ),
    ],
)

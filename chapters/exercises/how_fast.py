"""The exercises of the chapter on speed and memory."""

from collections.abc import Sequence

import torch
from torch import Tensor

from normlab.exercise import Exercise


def _speedup(share: float, factor: float) -> float:
    return 1 / (1 - share + share / factor)


speedup = Exercise(
    _speedup,
    cases=[(0.1, 2.0), (0.5, 4.0), (0.25, 1e9)],
    mistakes=[
        (
            lambda share, factor: factor,
            "that is how much faster the norm is. How long does the rest of the step take?",
        ),
        (
            lambda share, factor: share * factor,
            "with a share of 0.1 twice as fast it says 0.2, which is slower. What is a speedup "
            "of 1?",
        ),
        (
            lambda share, factor: 1 + share * (factor - 1),
            "a norm that costs nothing makes the step ever faster by that. How fast can a step be "
            "whose other 75 % stay?",
        ),
        (
            lambda share, factor: 1 - share + share / factor,
            "that is the time that is left, as a share of the old one. How many times faster is "
            "that?",
        ),
        (
            lambda share, factor: 1 / (1 - share),
            "that takes the whole norm away. What share of the old time does it still take?",
        ),
        (
            lambda share, factor: 1 / (share + (1 - share) / factor),
            "that speeds up the rest and leaves the norm. Which part is `share`?",
        ),
        (
            lambda share, factor: 1 / (1 - share / factor),
            "the norm's new time is subtracted. What is added to the time of the rest?",
        ),
    ],
)


def _least_seconds(shape: Sequence[int], full: int, itemsize: int, bandwidth: float) -> float:
    values = 1
    for size in shape:
        values *= size
    return full * values * itemsize / (bandwidth * 1e9)


least_seconds = Exercise(
    _least_seconds,
    cases=[((128, 64, 32, 32), 5, 4, 40.0), ((8192, 256), 2, 2, 2000.0), ((64, 120), 5, 8, 20.0)],
    mistakes=[
        (
            lambda shape, full, itemsize, bandwidth: (
                full * torch.Size(shape).numel() / (bandwidth * 1e9)
            ),
            "you count values. How many bytes has each?",
        ),
        (
            lambda shape, full, itemsize, bandwidth: _least_seconds(
                shape, full, 8 * itemsize, bandwidth
            ),
            "you count bits. What does `itemsize` count?",
        ),
        (
            lambda shape, full, itemsize, bandwidth: _least_seconds(shape, full, 4, bandwidth),
            "every value has four bytes in it. Which dtype has two?",
        ),
        (
            lambda shape, full, itemsize, bandwidth: _least_seconds(shape, 1, itemsize, bandwidth),
            "that is one tensor. How many does the layer read and write?",
        ),
        (
            lambda shape, full, itemsize, bandwidth: _least_seconds(
                shape, 2 * full, itemsize, bandwidth
            ),
            "each tensor is counted twice. Does `full` count reads alone?",
        ),
        (
            lambda shape, full, itemsize, bandwidth: (
                _least_seconds(shape, full, itemsize, bandwidth) * 1e9
            ),
            "that is in nanoseconds. How many bytes are a GB?",
        ),
        (
            lambda shape, full, itemsize, bandwidth: (
                _least_seconds(shape, full, itemsize, bandwidth) * 1e9 / 2**30
            ),
            "your GB has 2^30 bytes, which is a GiB. How many has a GB?",
        ),
        (
            lambda shape, full, itemsize, bandwidth: (
                1 / _least_seconds(shape, full, itemsize, bandwidth)
            ),
            "that grows with the bandwidth. Does a faster memory take longer?",
        ),
        (
            lambda shape, full, itemsize, bandwidth: (
                full * sum(shape) * itemsize / (bandwidth * 1e9)
            ),
            "the sizes are added. How many values has a tensor of shape [2, 3]?",
        ),
    ],
    tolerance=1e-12,
)


def _rms_backward(
    dy: Tensor, x: Tensor, weight: Tensor, eps: float, *, drop: str = ""
) -> tuple[Tensor, Tensor]:
    """The solution; `drop` leaves out or changes one step, as typical mistakes do."""
    inside = 0 if drop == "eps" else eps
    rstd = torch.rsqrt(x.square().mean(1, keepdim=True) + inside)
    x_hat = x * rstd
    grad = dy if drop == "gamma" else dy * weight
    term = x_hat * (grad * x_hat).mean(1, keepdim=True)
    if drop == "term":
        term = torch.zeros_like(term)
    elif drop == "sum":
        term = x_hat * (grad * x_hat).sum(1, keepdim=True)
    elif drop == "batch":
        term = x_hat * (grad * x_hat).mean(0, keepdim=True)
    elif drop == "mean":
        term = term + grad.mean(1, keepdim=True)
    dx = grad - term if drop == "rstd" else rstd * (grad - term)
    weights = dy * x if drop == "raw" else dy * x_hat
    if drop == "average":
        return dx, weights.mean(0)
    return dx, weights if drop == "rows" else weights.sum(0)


def _rms_case(seed: int, shape: tuple[int, int], eps: float) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    dy, x = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    weight = torch.rand(shape[1], generator=generator, dtype=torch.float64) + 0.5
    return dy, 1 + x, weight, eps


rms_backward = Exercise(
    _rms_backward,
    cases=[_rms_case(0, (4, 6), 1e-5), _rms_case(1, (3, 8), 0.5), _rms_case(2, (1, 5), 1e-5)],
    parts=("the gradient of x", "the gradient of the weight"),
    tolerance=1e-5,
    mistakes=[
        (
            lambda *case: _rms_backward(*case, drop="term"),
            "you treat the root mean square as a constant. Does it not depend on x?",
        ),
        (
            lambda *case: _rms_backward(*case, drop="sum"),
            "the second term is too large by the number of features. By what is the sum of "
            "squares divided?",
        ),
        (
            lambda *case: _rms_backward(*case, drop="batch"),
            "you average over the samples. Which values share a root mean square?",
        ),
        (
            lambda *case: _rms_backward(*case, drop="mean"),
            "there is a term from a mean in it, as in LayerNorm. Does RMSNorm subtract one?",
        ),
        (
            lambda *case: _rms_backward(*case, drop="gamma"),
            "gamma is missing on the way to x. By what was x_hat multiplied?",
        ),
        (
            lambda *case: _rms_backward(*case, drop="rstd"),
            "x is not divided on the way back. What is the derivative of x_hat by x, if the root "
            "were a constant?",
        ),
        (
            lambda *case: _rms_backward(*case, drop="raw"),
            "the gradient of the weight uses x. What was the weight multiplied by?",
        ),
        (
            lambda *case: _rms_backward(*case, drop="average"),
            "the gradient of the weight is averaged over the samples. The loss is a sum over "
            "what each of them adds: what is its derivative?",
        ),
        (
            lambda *case: _rms_backward(*case, drop="rows"),
            "the gradient of the weight has a row per sample. Which shape has the weight?",
        ),
        (
            lambda *case: _rms_backward(*case, drop="eps"),
            "epsilon is missing: it matters where it is large. Where does it stand?",
        ),
        (
            lambda *case: _rms_backward(*case)[0],
            "that is the gradient of x alone. Which second one is asked for?",
        ),
    ],
)

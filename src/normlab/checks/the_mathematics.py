"""The exercises of the chapter on the mathematics."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from normlab.checks.core import Check


def _batch_forward(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    return _affine(x, x.mean(0), x.var(0, correction=0) + eps, gamma, beta)


def _affine(x: Tensor, mean: Tensor, square: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    return gamma * (x - mean) / torch.sqrt(square) + beta


def _values_per_statistic(shape: Sequence[int]) -> int:
    return shape[0] * math.prod(shape[2:])


def _update_variance(running_var: Tensor, x: Tensor, momentum: float) -> Tensor:
    return (1 - momentum) * running_var + momentum * x.var(0)


def _batches_needed(momentum: float, share: float) -> int:
    k = 0
    while (1 - momentum) ** k >= share:
        k += 1
    return k


def _identity_affine(running_mean: float, running_var: float, eps: float) -> tuple[float, float]:
    return math.sqrt(running_var + eps), running_mean


def _rms_backward(dy: Tensor, x: Tensor, eps: float) -> Tensor:
    r = ((x**2).mean(0) + eps).rsqrt()
    y = x * r
    return r * (dy - y * (dy * y).mean(0))


def _rms(x: Tensor, eps: float, dims: tuple[int, ...] = (0,)) -> Tensor:
    return ((x**2).mean(dims, keepdim=True) + eps).rsqrt()


def _rms_three_terms(dy: Tensor, x: Tensor, eps: float) -> Tensor:
    r = _rms(x, eps)
    return r * (dy - dy.mean(0) - x * r * (dy * x * r).mean(0))


def _bn_backward(dy: Tensor, x: Tensor, eps: float) -> Tensor:
    r = (x.var(0, correction=0) + eps).rsqrt()
    x_hat = (x - x.mean(0)) * r
    return r * (dy - dy.mean(0) - x_hat * (dy * x_hat).mean(0))


def _tensor(*values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


_X = _tensor([3, 0.2], [9, 0.1], [11, 0.4], [17, 0.3])  # [N, C]
_WIDE = _tensor([1, 5, 2], [4, -5, 2.5])  # [N, C], N < C
_GAMMA, _BETA, _EPS = _tensor(2, 0.5), _tensor(1, -1), 0.01

CHECKS: dict[str, Check] = {
    "batch_forward": Check(
        _batch_forward,
        cases=[
            (_X, _GAMMA, _BETA, _EPS),
            (_WIDE, _tensor(1, 2, 3), _tensor(0, 1, 2), _EPS),
            (_WIDE[:, :2], _GAMMA, _BETA, 0.5),
        ],
        mistakes=[
            (
                lambda x, g, b, eps: _affine(x, x.mean(0), x.var(0) + eps, g, b),
                "every distance from beta is too small, by a quarter for two samples. By what does "
                "`x.var(dim=0)` divide, and by what does BN?",
            ),
            (
                lambda x, g, b, eps: g * (x - x.mean(0)) / (x.std(0, correction=0) + eps) + b,
                "right for small eps, not for large. Is eps added to the standard deviation, or to "
                "the variance, inside the root?",
            ),
            (
                lambda x, g, b, eps: g * (x - x.mean(0)) / (x.std(0) + eps) + b,
                "two things at once: eps outside the root, and a variance that divides by N - 1. "
                "Where does each stand in the equations?",
            ),
            (
                lambda x, g, b, eps: _affine(x, x.mean(0), x.var(0, correction=0), g, b),
                "eps does not occur. What would a feature that is constant in the batch give?",
            ),
            (
                lambda x, g, b, eps: g * (x - x.mean(0)) / (x.var(0, correction=0) + eps) + b,
                "a feature in metres and the same one in centimetres give different outputs. "
                "Did you divide by the variance, or by its root?",
            ),
            (
                lambda x, g, b, eps: _affine(
                    x, x.mean(1, keepdim=True), x.var(1, keepdim=True, correction=0) + eps, g, b
                ),
                "each row has mean 0, so each sample is normalized over its features. Over which "
                "dimension does BN take the mean?",
            ),
            (
                lambda x, g, b, eps: _affine(x, x.mean(), x.var(correction=0) + eps, g, b),
                "all features share one mean. How many means does a batch of shape [N, C] have?",
            ),
            (
                lambda x, g, b, eps: _batch_forward(
                    x, torch.ones_like(g), torch.zeros_like(b), eps
                ),
                "the normalization is right. What happens to x_hat after it?",
            ),
            (
                lambda x, g, b, eps: g * (_batch_forward(x, torch.ones_like(g), b, eps)),
                "beta is multiplied by gamma. Which of the two comes first?",
            ),
        ],
    ),
    "values_per_statistic": Check(
        _values_per_statistic,
        cases=[([8, 3],), ([8, 3, 100],), ([4, 6, 5, 7],), ([2, 3, 4, 5, 6],)],
        mistakes=[
            (
                lambda s: s[0],
                "right for [N, C] alone. In an image, do pixels at different places have "
                "different means?",
            ),
            (
                lambda s: math.prod(s[2:]),
                "that is one sample. Does BN not take the samples of a batch together?",
            ),
            (
                lambda s: math.prod(s),
                "that is every value of the batch. Do different channels share a mean?",
            ),
            (
                lambda s: s[1],
                "that is how many statistics there are. How many values stand behind each?",
            ),
            (
                lambda s: math.prod(s[1:]),
                "that is the size of a sample, as for layer normalization. Which dimensions does "
                "BN reduce?",
            ),
        ],
    ),
    "update_variance": Check(
        _update_variance,
        cases=[
            (_tensor(1, 1), _X, 0.1),
            (_tensor(4, 2, 0.5), _WIDE, 0.25),
            (_tensor(2, 3), _X[:3], 1.0),
        ],
        mistakes=[
            (
                lambda v, x, a: (1 - a) * v + a * x.var(0, correction=0),
                "with momentum 1 your result is the biased variance of the batch. Which one has "
                "PyTorch stored after the batch {1, 3}?",
            ),
            (
                lambda v, x, a: a * v + (1 - a) * x.var(0),
                "with momentum 0.1 a new batch should move the statistic by a tenth of the way; "
                "yours moves it nine tenths. Which of the two terms does PyTorch's momentum weigh?",
            ),
            (
                lambda v, x, a: a * v + (1 - a) * x.var(0, correction=0),
                "momentum weighs the old value, and the variance is biased. What does PyTorch do "
                "in each of these two places?",
            ),
            (
                lambda v, x, a: ((1 - a) * v.sqrt() + a * x.std(0)) ** 2,
                "you average standard deviations. Is the square of their average the average of "
                "the variances?",
            ),
            (
                lambda v, x, a: v + a * x.var(0),
                "the statistic can only grow. What happens to the old value when a batch comes?",
            ),
            (
                lambda v, x, a: (1 - a) * v + a * x.mean(0),
                "that is a running mean. Which statistic of the batch is asked for?",
            ),
            (
                lambda v, x, a: (1 - a) * v + a * x.var(),
                "all features move towards one number. Over which dimension is the variance taken?",
            ),
        ],
    ),
    "batches_needed": Check(
        _batches_needed,
        cases=[(0.1, 0.01), (0.1, 0.5), (0.5, 0.2), (0.01, 0.05), (0.9, 0.5)],
        mistakes=[
            (
                lambda a, share: math.floor(math.log(share) / math.log(1 - a)),
                "one batch too few: after that many the weight is still above the share. Which "
                "way do you round?",
            ),
            (
                lambda a, share: math.log(share) / math.log(1 - a),
                "there are no parts of a batch. To which whole number does this lead?",
            ),
            (
                lambda a, share: math.ceil(math.log(share) / math.log(a)),
                "with momentum 0.1 you find that the start fades at once. Is momentum the weight "
                "that the old value keeps, or the one that it loses?",
            ),
            (
                lambda a, share: math.ceil(math.log(1 - share) / math.log(1 - a)),
                "that is when the batches weigh `share` together. What is left to the start then?",
            ),
            (
                lambda a, share: math.ceil(1 / a),
                "the result does not depend on share. How does the weight of the start shrink from "
                "one batch to the next?",
            ),
            (
                lambda a, share: math.ceil((1 - share) / a),
                "as if the start lost the same amount with each batch. Does it, or the same part?",
            ),
        ],
    ),
    "identity_affine": Check(
        _identity_affine,
        cases=[(3.0, 4.0, 0.01), (-1.0, 0.25, 0.5), (0.5, 1e-6, 1e-5)],
        mistakes=[
            (
                lambda mean, var, eps: (math.sqrt(var), mean),
                "nearly, while var is much larger than eps; for the last case the outputs shrink "
                "to a third. By what does BN divide?",
            ),
            (
                lambda mean, var, eps: (var + eps, mean),
                "gamma has the unit of x squared. By what does BN divide?",
            ),
            (
                lambda mean, var, eps: (1 / math.sqrt(var + eps), mean),
                "BN divides by the root already, and your gamma divides once more. What undoes a "
                "division?",
            ),
            (
                lambda mean, var, eps: (mean, math.sqrt(var + eps)),
                "the two are exchanged. Which comes first, gamma or beta?",
            ),
            (
                lambda mean, var, eps: (math.sqrt(var + eps), -mean),
                "every output is too small by twice the mean. BN has subtracted the mean; what "
                "brings it back?",
            ),
            (
                lambda mean, var, eps: (1.0, 0.0),
                "that leaves x_hat as it is. What does it take to get from x_hat back to x?",
            ),
        ],
    ),
    "rms_backward": Check(
        _rms_backward,
        cases=[
            (_tensor([1, 0], [0, 2], [-1, 1], [0.5, 0]), _X, _EPS),
            (_tensor([1, 2, 3], [0, 1, -1]), _WIDE, 0.5),
        ],
        mistakes=[
            (
                _rms_three_terms,
                "you subtract the mean of the gradient. Which node of the graph caused this term, "
                "and is it still there?",
            ),
            (
                _bn_backward,
                "that is the gradient of BN, mean and all. Which nodes of the graph are gone?",
            ),
            (
                lambda dy, x, eps: _rms(x, eps) * dy,
                "q is treated as a constant. Does it not change with x?",
            ),
            (
                lambda dy, x, eps: (
                    _rms(x, eps) * (dy - x * _rms(x, eps) * (dy * x * _rms(x, eps)).sum(0))
                ),
                "the second term is N times too large. What does a mean pass to each value?",
            ),
            (
                lambda dy, x, eps: _rms(x, eps) * (dy - x * (dy * x).mean(0)),
                "x stands where y belongs: multiply x by 10, and your second term grows by 100. "
                "Which factors turn an x into a y?",
            ),
            (
                lambda dy, x, eps: (
                    _rms(x, eps) * (dy + x * _rms(x, eps) * (dy * x * _rms(x, eps)).mean(0))
                ),
                "the second term has the wrong sign. Does the root stand above or below the line, "
                "and what is the sign of its derivative?",
            ),
            (
                lambda dy, x, eps: dy - x * _rms(x, eps) * (dy * x * _rms(x, eps)).mean(0),
                "the bracket is right. y divides by the root of q; where is this factor in dx?",
            ),
        ],
    ),
}

"""The exercises of the chapter on initialization and learning rate."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from normlab.exercise import Exercise


def _blind_loss(d: float) -> float:
    return (math.log(1 + math.exp(-d)) + math.log(1 + math.exp(d))) / 2


blind_loss = Exercise(
    _blind_loss,
    cases=[(0.0,), (1.0,), (0.5,), (-3.0,), (20.0,)],
    mistakes=[
        (
            lambda d: abs(d) / 2,
            "at d = 0 your loss is 0. Is a network that cannot decide always right?",
        ),
        (
            lambda d: math.log(1 + math.exp(-d)),
            "your loss falls when d grows. What do the images of the other class cost?",
        ),
        (
            lambda d: math.log(1 + math.exp(d)),
            "your loss falls when d becomes negative. What do the images of the other class cost "
            "then?",
        ),
        (
            lambda d: 2 * _blind_loss(d),
            "at d = 0 your loss is 1.39, twice that of a guess. How often does each of the two "
            "cases happen?",
        ),
        (
            lambda d: math.log(2),
            "right at d = 0 only. What does a wrong answer cost a network that is sure of it?",
        ),
        (
            lambda d: math.log(1 + math.exp(-abs(d))),
            "your loss falls when the network becomes surer, in either direction. How often is it "
            "sure and wrong?",
        ),
        (
            lambda d: max(d, 0.0) / 2 + max(-d, 0.0) / 2 + math.log(2),
            "right at d = 0, and too high elsewhere. What does a sure and right answer cost?",
        ),
        (
            lambda d: math.log(1 + math.exp(abs(d))),
            "that is the cost of a wrong answer alone. How often is a blind network wrong?",
        ),
        (
            lambda d: math.log((2 + math.exp(d) + math.exp(-d)) / 2),
            "you average first and take the logarithm of the mean. Of what is a loss the mean?",
        ),
        (
            lambda d: (math.log2(1 + math.exp(-d)) + math.log2(1 + math.exp(d))) / 2,
            "at d = 0 your loss is 1, in bits. Which logarithm does the equation use?",
        ),
    ],
)


def _kaiming_std(layer: nn.Module) -> float:
    return math.sqrt(2 / layer.weight[0].numel())


kaiming_std = Exercise(
    _kaiming_std,
    cases=[
        (nn.Linear(400, 120),),
        (nn.Linear(84, 2),),
        (nn.Conv2d(3, 6, 5),),
        (nn.Conv2d(4, 8, (1, 3)),),
    ],
    mistakes=[
        (
            lambda layer: math.sqrt(2 / layer.weight.shape[1]),
            "the linear layers are right. How many values does one output of a convolution with a "
            "kernel of 5 x 5 add up?",
        ),
        (
            lambda layer: math.sqrt(2 / (layer.weight.numel() / layer.weight.shape[1])),
            "84 inputs and 2 outputs give 1 with your function. Is a sum made of what enters or "
            "of what leaves?",
        ),
        (
            lambda layer: math.sqrt(2 / sum(layer.weight.shape[:2])),
            "your result changes with the number of outputs, as Xavier's does. On what does the "
            "size of one output depend?",
        ),
        (
            lambda layer: math.sqrt(2 / layer.weight.numel()),
            "you count all weights of the layer. How many of them enter one output?",
        ),
        (
            lambda layer: math.sqrt(1 / layer.weight[0].numel()),
            "your layer keeps the size of its input. What has the ReLU before it done to that?",
        ),
        (
            lambda layer: 2 / layer.weight[0].numel(),
            "that is the variance of the weights. Which power of it is asked for?",
        ),
        (
            lambda layer: math.sqrt(1 / (3 * layer.weight[0].numel())),
            "that is PyTorch's default, with which the signal fades. What keeps its size?",
        ),
        (
            lambda layer: math.sqrt(2 / math.prod(layer.weight.shape[1:3])),
            "the linear layers are right. A kernel of 5 x 5 has more than one dimension: over how "
            "many pixels does a sum run?",
        ),
        (
            lambda layer: (
                math.sqrt(2 / (layer.weight.shape[1] * layer.weight.shape[-1] ** 2))
                if layer.weight.dim() == 4
                else _kaiming_std(layer)
            ),
            "right as long as kernels are square. How many pixels does a kernel of 1 x 3 have?",
        ),
        (
            lambda layer: math.sqrt(
                2 / math.prod(layer.weight.shape[2:] or layer.weight.shape[1:])
            ),
            "the linear layers are right. Over how many input channels does a convolution sum?",
        ),
        (
            lambda layer: math.sqrt(2 / (layer.weight[0].numel() + layer.weight[:, 0].numel())),
            "that is Xavier's, which counts the outgoing connections too. On what does the size of "
            "one output depend?",
        ),
        (
            lambda layer: layer.weight.std(),
            "that is what the layer has now, as PyTorch drew it. What should it have?",
        ),
        (
            lambda layer: math.sqrt(2) / layer.weight[0].numel(),
            "the root covers the 2 alone. What is the variance, and what its root?",
        ),
    ],
)


def _logit_size(widths: Sequence[int], std: float, first: float = 1, later: float = 0.5) -> float:
    """`first` and `later` are the shares of the mean square that enter a layer."""
    fans = widths[:-1]
    return std ** len(fans) * math.sqrt(math.prod(fans) * first * later ** (len(fans) - 1))


logit_size = Exercise(
    _logit_size,
    cases=[([400, 120, 84, 2], 1.0), ([50, 10], 0.1), ([8, 8, 8], 0.5)],
    mistakes=[
        (
            lambda w, s: _logit_size(w, s, later=1),
            "one layer is right, several come out too large. What happens to a signal between two "
            "layers?",
        ),
        (
            lambda w, s: math.prod(s * math.sqrt(n) for n in w),
            "a layer too many: yours depends on the last width. Is it ever a fan-in?",
        ),
        (
            lambda w, s: _logit_size(w, s, later=1) * s ** (2 - len(w)),
            "with std 1 and no ReLU yours would be right. How often do the weights multiply?",
        ),
        (
            lambda w, s: _logit_size(w, s, first=0.5),
            "even a single layer comes out too small. Does a ReLU stand before the first one, or "
            "behind the last?",
        ),
        (
            lambda w, s: _logit_size(w, s) ** 2,
            "that is the mean square of the outputs. How do you get from it to their size?",
        ),
        (
            lambda w, s: _logit_size(w, s, later=0.25),
            "several layers come out too small. The ReLU halves the mean square: what does it do "
            "to the size?",
        ),
        (
            lambda w, s: _logit_size([*w[1:], w[-1]], s),
            "for 50 features and 10 outputs yours depends on the 10. How many products does an "
            "output add up?",
        ),
        (
            lambda w, s: _logit_size(w, s) * s ** (1.5 - len(w)),
            "with std 1 yours would be right. The mean square grows by n times the variance of the "
            "weights: how often, and is the std its own square?",
        ),
        (
            lambda w, s: _logit_size(w, s) * s ** (2 - len(w)),
            "with std 1 yours would be right. How many layers multiply by it?",
        ),
        (
            lambda w, s: _logit_size(w, s, later=1) * math.sqrt(0.5),
            "you halve once for the whole network. How many ReLUs stand between the layers?",
        ),
        (
            lambda w, s: math.prod(w[:-1]) * s ** (len(w) - 1),
            "your factor per layer is n times the std. The mixed terms cancel: what of n remains?",
        ),
    ],
)


_Accuracies = dict[float, list[float]]


def _largest_usable(
    accuracies: _Accuracies, threshold: float, judge: Callable[[list[float]], float] = min
) -> float:
    return max((r for r, a in accuracies.items() if judge(a) >= threshold), default=0)


largest_usable = Exercise(
    _largest_usable,
    cases=[
        ({0.01: [70, 72, 71], 0.1: [50, 85, 90], 1: [61, 50, 50]}, 60),
        ({0.03: [90, 95, 92], 0.1: [66, 60, 61], 0.01: [80, 79, 81], 1: [50, 50, 58]}, 60),
        ({0.1: [50, 52], 1: [59, 49]}, 60),
        (
            {0.03: [80, 79], 0.01: [72, 71], 1: [65, 66], 0.3: [74, 76], 0.1: [69, 80]}
            | {0.02: [95, 94]},
            70,
        ),
    ],
    mistakes=[
        (
            lambda a, t: _largest_usable(a, t, max),
            "one lucky seed makes your rate usable. What did the definition ask of the others?",
        ),
        (
            lambda a, t: _largest_usable(a, t, lambda values: sum(values) / len(values)),
            "your average hides a seed that only guesses. How many seeds must reach the threshold?",
        ),
        (
            lambda a, t: _largest_usable({r: [v - 1e-6 for v in a[r]] for r in a}, t),
            "60 reaches a threshold of 60. Which comparison says that?",
        ),
        (
            lambda a, t: min((r for r in a if min(a[r]) >= t), default=0),
            "that is the smallest usable rate. Which end was asked for?",
        ),
        (
            lambda a, t: max((min(v) for v in a.values() if min(v) >= t), default=0),
            "that is an accuracy. At which rate was it reached?",
        ),
        (
            lambda a, t: _largest_usable(a, 60),
            "your function works for a threshold of 60. Where does it use the one that it gets?",
        ),
        (
            lambda a, t: next((r for r in a if min(a[r]) >= t), 0),
            "that is the usable rate that comes first. Are the rates in order?",
        ),
        (
            lambda a, t: next((r for r in reversed(a) if min(a[r]) >= t), 0),
            "that is the usable rate that comes last. Are the rates in order?",
        ),
        (
            lambda a, t: max((r for r in a if min(a[r]) >= t), key=lambda r: min(a[r]), default=0),
            "that is the usable rate with the best accuracy. Which was asked for?",
        ),
        (
            lambda a, t: _largest_usable(
                {r: a[r] for r in a if all(min(a[q]) >= t for q in a if q <= r)}, t
            ),
            "your search ends at the first rate that fails. May a larger one be usable?",
        ),
        (
            lambda a, t: _largest_usable(a, t) or min(a),
            "where no rate is usable you return one all the same. What was asked for then?",
        ),
    ],
)


def _braked_norms(length: float, strength: float, rate: float, steps: int) -> torch.Tensor:
    return _walk(length, steps, lambda now, _: math.hypot(now, rate * strength / now))


def _walk(length: float, steps: int, step: Callable[[float, float], float]) -> torch.Tensor:
    """Return the lengths after each step; `step` gets the length now and that at the start."""
    lengths = [length]
    for _ in range(steps):
        lengths.append(step(lengths[-1], length))
    return torch.tensor(lengths[1:], dtype=torch.double)


braked_norms = Exercise(
    _braked_norms,
    cases=[(1.0, 1.0, 1.0, 4), (0.1, 1.0, 0.5, 3), (3.0, 2.0, 0.1, 2)],
    mistakes=[
        (
            lambda w, s, rate, k: _walk(w, k, lambda now, _: now + rate * s / now),
            "your first step from 1 ends at 2, as if it went along the weights. How long is the "
            "diagonal of a square?",
        ),
        (
            lambda w, s, rate, k: _walk(w, k, lambda now, w0: math.hypot(now, rate * s / w0)),
            "your first step is right, the later ones are too large. How long is the gradient "
            "when the weights have grown?",
        ),
        (
            lambda w, s, rate, k: _walk(w, k, lambda now, _: math.hypot(now, s / now)),
            "at rate 1 your lengths are right, at 0.5 they are not. How long is a step?",
        ),
        (
            lambda w, s, rate, k: _walk(w, k, lambda now, _: math.hypot(now, rate * s)),
            "from length 1 your first step is right, from 0.1 it is too short. What do small "
            "weights do to the gradient?",
        ),
        (
            lambda w, s, rate, k: _walk(w, k, lambda now, _: now**2 + (rate * s / now) ** 2),
            "that is the square of the length after the first step. What is missing?",
        ),
        (
            lambda *case: torch.cat([torch.tensor([case[0]]).double(), _braked_norms(*case)]),
            "your list begins with the length before the first step. Which were asked for?",
        ),
        (
            lambda *case: torch.cat([torch.tensor([case[0]]).double(), _braked_norms(*case)])[:-1],
            "your list begins with the length before the first step and ends one step too early. "
            "Which lengths were asked for?",
        ),
        (
            lambda *case: _braked_norms(*case)[-1],
            "that is the last length. Which lengths were asked for?",
        ),
        (
            lambda w, s, rate, k: _braked_norms(w, s, math.sqrt(rate), k),
            "at rate 1 your lengths are right, at 0.5 they are too long. What of a step does "
            "Pythagoras square?",
        ),
        (
            lambda w, s, rate, k: _braked_norms(w, math.sqrt(s), rate, k),
            "at strength 1 your lengths are right, at 2 they are too short. What of a step does "
            "Pythagoras square?",
        ),
        (
            lambda w, s, rate, k: _walk(w, k, lambda now, _: math.hypot(now, rate * s * now)),
            "your gradient grows with the weights. What does BN do to that of long weights?",
        ),
    ],
)

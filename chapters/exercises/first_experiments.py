"""The exercises of the chapter on first experiments."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from normlab.exercise import Exercise


def _settled_at(values: Sequence[float], level: float) -> float:
    below = [epoch for epoch, value in enumerate(values, 1) if value < level]
    last = below[-1] if below else 0
    return last + 1 if last < len(values) else math.inf


def _first_at(values: Sequence[float], level: float) -> float:
    return next((epoch for epoch, value in enumerate(values, 1) if value >= level), math.inf)


settled_at = Exercise(
    _settled_at,
    cases=[
        ([0.9, 0.99], 0.98),
        ([0.5, 0.99, 0.7, 0.97, 0.98, 0.99], 0.98),
        ([0.99, 0.99, 0.8], 0.98),
        ([0.9, 0.95], 0.9),
        ([0.9, 0.99, 1.0], 0.98),
    ],
    mistakes=[
        (
            _first_at,
            "in the second case you answer 2, where the accuracy touches the level and falls "
            "again. After which epoch is it never below the level any more?",
        ),
        (
            lambda values, level: _settled_at(values, level) - 1,
            "one too early everywhere: you count from 0. What is the number of the first epoch in "
            "the figures?",
        ),
        (
            lambda values, level: min(_settled_at(values, level), len(values) + 1),
            "a run that ends below the level gets a number, as if one more epoch had settled it. "
            "Which number is larger than every number of epochs?",
        ),
        (
            lambda values, level: _settled_at([v - 1e-6 for v in values], level),
            "you do not count an epoch that is exactly at the level. Does 98 percent reach 98 "
            "percent?",
        ),
    ],
)


def _paired_factors(without: Sequence[float], with_bn: Sequence[float]) -> tuple[float, float]:
    factors = [a / b for a, b in zip(without, with_bn, strict=True)]
    return min(factors), max(factors)


paired_factors = Exercise(
    _paired_factors,
    cases=[([30, 60], [30, 20]), ([80, 50, 90, 60], [20, 10, 30, 15]), ([12], [16])],
    mistakes=[
        (
            lambda a, b: (min(a) / max(b), max(a) / min(b)),
            "you compare the luckiest start of one network with the unluckiest of the other. "
            "Which run of the other network began with the same weights?",
        ),
        (
            lambda a, b: (sum(a) / sum(b), sum(a) / sum(b)),
            "both of your numbers are the factor of the averages, and the spread is gone. What is "
            "the factor of one seed?",
        ),
        (
            lambda a, b: _paired_factors(b, a),
            "for 80 epochs without and 20 with BN you get a quarter. Which of the two stands in "
            "the numerator if BN is four times faster?",
        ),
        (
            lambda a, b: (min(a) / min(b), max(a) / max(b)),
            "you divide the fastest by the fastest and the slowest by the slowest. Are they runs "
            "of one seed?",
        ),
        (
            lambda a, b: _paired_factors(a, b)[::-1],
            "both numbers are right, and they stand in the other order. Which one does the "
            "exercise name first?",
        ),
        (
            lambda a, b: [x / y for x, y in zip(a, b, strict=True)],
            "you return the factors of all seeds. Which two of them bound the spread?",
        ),
    ],
    parts=("the smallest factor", "the largest factor"),
)


rate_for_mean = Exercise(
    lambda rate, shape: rate * math.prod(shape),
    cases=[(0.001, (1000, 3)), (0.1, (8, 1)), (0.02, (64, 10)), (0.05, (4, 3, 5))],
    mistakes=[
        (
            lambda rate, shape: rate / math.prod(shape),
            "the gradient of the mean is the smaller one already, and you shrink the rate as "
            "well. In which direction has the rate to go?",
        ),
        (
            lambda rate, shape: rate * shape[0],
            "right for one output; for three you are off by a factor of three. Over which numbers "
            "does the mean run?",
        ),
        (
            lambda rate, shape: rate * sum(shape),
            "you add the lengths of the axes. How many numbers does a tensor of shape (1000, 3) "
            "hold?",
        ),
        (
            lambda rate, shape: rate,
            "the gradients differ, and you keep the rate. For 8 samples with one output, how many "
            "times larger is the step of the sum?",
        ),
        (
            lambda rate, shape: rate * math.sqrt(math.prod(shape)),
            "you take a root. A sum of 3,000 errors is 3,000 times their mean: by what factor do "
            "the gradients differ?",
        ),
    ],
)


def _even_part(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return (f(x) + f(-x)) / 2


def _unit(activation: type[nn.Module]) -> nn.Sequential:
    unit = nn.Sequential(nn.Linear(1, 1), activation())
    nn.init.constant_(unit[0].weight, 1.5)
    nn.init.constant_(unit[0].bias, 0.5)
    return unit.requires_grad_(False)


_POINTS = torch.tensor([[-1.0], [0.0], [0.4], [2.0]])

even_part = Exercise(
    _even_part,
    cases=[(_unit(nn.Tanh), _POINTS), (_unit(nn.ReLU), _POINTS), (_unit(nn.Identity), _POINTS)],
    mistakes=[
        (
            lambda f, x: f(x) + f(-x),
            "twice too large: of an even function, such as a constant, the even part is the "
            "function itself. What do you get for it?",
        ),
        (
            lambda f, x: (f(x) - f(-x)) / 2,
            "your part changes its sign with x: it is the odd one. What do you have to do with "
            "f(-x) so that the odd part cancels?",
        ),
        (
            lambda f, x: f(x.abs()),
            "even it is, but the values of f for negative points play no role in it. How do both "
            "halves contribute?",
        ),
        (
            lambda f, x: (f(x) - f(x).neg()) / 2,
            "that is f itself: you changed the sign of the output. Of what should it change?",
        ),
        (
            lambda f, x: f((x + x.neg()) / 2),
            "your values are all f(0): the points cancel before f has seen them. What do you have "
            "to average instead?",
        ),
    ],
    tolerance=1e-5,
)


def _rescale(
    linear: nn.Linear,
    bn: nn.BatchNorm1d,
    c: float,
    *,
    bias: float = 1,
    mean: float = 1,
    var: float,
    gamma: float = 0,
) -> nn.Sequential:
    """Multiply the weights by `c`, and what follows by c to the powers given."""
    with torch.no_grad():
        linear.weight *= c
        linear.bias *= c**bias
        bn.running_mean *= c**mean
        bn.running_var *= c**var
        bn.weight *= c**gamma
    return nn.Sequential(linear, bn)


def _weights_and_outputs(layers: nn.Sequential) -> tuple[Tensor, ...]:
    linear, bn = layers
    parameters = linear.weight.detach(), bn.weight.detach(), bn.bias.detach()
    return *parameters, layers.eval()(_X).detach()


def _linear_and_bn() -> tuple[nn.Linear, nn.BatchNorm1d]:
    linear, bn = nn.Linear(2, 3).double(), nn.BatchNorm1d(3).double()
    linear.weight.data = torch.tensor([[1.0, 2.0], [-0.5, 1.0], [0.3, -2.0]]).double()
    linear.bias.data = torch.tensor([0.5, -1.0, 2.0]).double()
    bn.weight.data = torch.tensor([1.5, 0.8, -2.0]).double()
    bn.bias.data = torch.tensor([0.4, -0.6, 1.0]).double()
    bn.running_mean = torch.tensor([0.7, -1.2, 1.0]).double()
    bn.running_var = torch.tensor([4.0, 1.5, 2.5]).double()
    return linear, bn


_X = torch.tensor([[1.0, -0.5], [0.2, 2.0], [-1.5, 0.3], [0.7, 0.9]]).double()

rescale = Exercise(
    lambda linear, bn, c: _rescale(linear, bn, c, var=2),
    cases=[(*_linear_and_bn(), 10.0), (*_linear_and_bn(), 0.5)],
    mistakes=[
        (
            lambda linear, bn, c: _rescale(linear, bn, c, mean=0, var=0),
            "the layers before BN are scaled, and in eval mode BN still divides by the old "
            "spread. Which two buffers describe the new outputs of the linear layer?",
        ),
        (
            lambda linear, bn, c: _rescale(linear, bn, c, var=1),
            "the mean follows, the spread does not. If values grow by c, by what does their "
            "variance grow?",
        ),
        (
            lambda linear, bn, c: _rescale(linear, bn, c, bias=0, var=2),
            "the weights have grown and the bias has not, but you moved the running mean as if "
            "both had. What is the linear layer's output made of?",
        ),
        (
            lambda linear, bn, c: _rescale(linear, bn, c, mean=0, var=2),
            "the spread is right, the centre is not. Where is the mean of the values after each "
            "has been multiplied by c?",
        ),
        (
            lambda linear, bn, c: _rescale(linear, bn, c, bias=0, mean=0, var=2),
            "the spread is right, the centre is not: the weights alone have grown, and with them "
            "the mean. What has to follow them?",
        ),
        (
            lambda linear, bn, c: _rescale(linear, bn, c, var=0, gamma=-1),
            "the outputs are right, and gamma has paid for it. What does BN divide by in eval "
            "mode?",
        ),
        (
            lambda linear, bn, c: _rescale(linear, bn, c, mean=-1, var=-2),
            "you divide the running statistics by c and by its square. If the outputs of the "
            "linear layer grow, in which direction does their mean move?",
        ),
        (
            lambda linear, bn, c: nn.Sequential(linear, bn),
            "the outputs agree, because nothing has changed. The weights should be c times as "
            "large.",
        ),
    ],
    observe=_weights_and_outputs,
    tolerance=1e-3,
    parts=("the weight of the linear layer", "gamma", "beta", "the output in eval mode"),
)

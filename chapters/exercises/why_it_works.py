"""The exercises of the chapter on why batch normalization works."""

import math

import torch
from torch import Tensor

from normlab.exercise import Exercise


def _smoothness(g: Tensor, h: Tensor, rate: float) -> float:
    return ((h - g).norm() / (rate * g.norm())).item()


_G, _H = torch.tensor([3.0, -4.0]), torch.tensor([1.0, 2.0])

effective_smoothness = Exercise(
    _smoothness,
    cases=[
        (_G, _H, 0.1),
        (_G, _G, 0.5),
        (torch.tensor([0.5, 0.0, 2.0]), torch.tensor([-0.5, 1.0, 2.0]), 2.0),
    ],
    mistakes=[
        (
            lambda g, h, rate: ((h - g).norm() / g.norm()).item(),
            "that is the change of the gradient relative to the gradient, for the whole step. By "
            "how far did the weights move?",
        ),
        (
            lambda g, h, rate: ((h - g).norm() / rate).item(),
            "you divide by the rate. The weights moved by the rate times what?",
        ),
        (
            lambda g, h, rate: ((h - g).norm() / (rate * h.norm())).item(),
            "you divide by the length of the step that comes next. Which gradient led from the "
            "first point to the second?",
        ),
        (
            lambda g, h, rate: (abs(h.norm() - g.norm()) / (rate * g.norm())).item(),
            "you compare the lengths of the two gradients. A gradient that turns and keeps its "
            "length gives 0: has it not changed?",
        ),
        (
            lambda g, h, rate: (h - g).norm().item(),
            "that is how much the gradient changed. A step of twice the length would change it "
            "more: what is missing?",
        ),
        (
            lambda g, h, rate: ((h - g).square().sum() / (rate * g.square().sum())).item(),
            "you take the squares of the lengths. Is the rate then squared as well, and is a ratio "
            "of squares asked for?",
        ),
        (
            lambda g, h, rate: (rate * (h - g).norm() / g.norm()).item(),
            "with a larger rate the same two gradients lie farther apart in the space of the "
            "weights. Is the surface between them then rougher or smoother?",
        ),
    ],
)


def _attack(x: Tensor, start: Tensor, g: Tensor, step: float, eps: float) -> Tensor:
    moved = x + step * g.sign()
    return moved.clamp(start - eps, start + eps).clamp(-1, 1)


def _each_pixel(images: Tensor) -> list[Tensor]:
    """Take apart a batch of the right shape, so that each pixel is judged by itself."""
    fits = isinstance(images, Tensor) and images.shape == _START.shape
    return list(images.flatten()) if fits else [images]


_START = torch.tensor([[0.0, 0.5, -0.95, 0.95], [0.2, -0.2, 1.0, -1.0]])
_GRAD = torch.tensor([[0.3, -2.0, -0.1, 4.0], [0.0, 0.01, -5.0, 1.0]])

attack_step = Exercise(
    _attack,
    cases=[
        (_START, _START, _GRAD, 0.05, 0.2),
        (_START + 0.04 * _GRAD.sign(), _START, _GRAD, 0.1, 0.1),
        (_START - 0.1 * _GRAD.sign().clamp(0), _START, -_GRAD, 0.15, 0.2),
        (_START + 0.04 * _GRAD.sign(), _START, _GRAD, 0.3, 0.1),
        (_START - 0.15 * _GRAD.sign(), _START, _GRAD, 0.25, 0.15),
    ],
    mistakes=[
        (
            lambda x, start, g, step, eps: _attack(x, start, -g, step, eps),
            "the loss falls. Does an attack walk along the gradient or against it?",
        ),
        (
            lambda x, start, g, step, eps: (
                (x + step * g).clamp(start - eps, start + eps).clamp(-1, 1)
            ),
            "pixels with a small gradient hardly move. Each pixel may use the whole step: what of "
            "the gradient is enough to know?",
        ),
        (
            lambda x, start, g, step, eps: (x + step * g.sign()).clamp(-1, 1),
            "your image leaves the surroundings of `start`. How far may a pixel be from there "
            "after any number of steps?",
        ),
        (
            lambda x, start, g, step, eps: (x + step * g.sign()).clamp(start - eps, start + eps),
            "some pixels leave the range from -1 to 1. Is that still an image?",
        ),
        (
            lambda x, start, g, step, eps: (
                (x + step * g.sign()).clamp(x - eps, x + eps).clamp(-1, 1)
            ),
            "you measure the distance from the image of the last step. Twenty steps then lead "
            "twenty times as far. From where does eps count?",
        ),
        (
            lambda x, start, g, step, eps: _attack(start, start, g, step, eps),
            "you walk from `start` again. Where did the steps before lead to?",
        ),
        (
            lambda x, start, g, step, eps: _attack(x, start, g, eps, eps),
            "each pixel moves by eps. How long is one step?",
        ),
        (
            lambda x, start, g, step, eps: _attack(x, start, g, min(step, eps), eps),
            "you cut the step at eps. A pixel that lies at one end of what is allowed may walk to "
            "the other: from where does eps count?",
        ),
        (
            lambda x, start, g, step, eps: step * g.sign(),
            "that is the change of the image. What is the image?",
        ),
    ],
    observe=_each_pixel,
    parts=[f"pixel [{i}, {j}]" for i in range(2) for j in range(4)],
)


same_path = Exercise(
    lambda rate, beta, c: (rate * c**2, beta / c**2),
    cases=[(0.1, 4.0, 10.0), (0.3, 2.0, 0.5), (1.0, 1.0, 3.0)],
    mistakes=[
        (
            lambda rate, beta, c: (rate * c, beta / c),
            "the gradient is divided by c, and what counts is the step relative to weights that "
            "are c times as long. How many factors of c are that?",
        ),
        (
            lambda rate, beta, c: (rate / c**2, beta * c**2),
            "longer weights get shorter gradients. Do they then need a smaller rate to turn by the "
            "same angle?",
        ),
        (
            lambda rate, beta, c: (rate, beta),
            "the outputs stay as they are. Do the gradients?",
        ),
        (
            lambda rate, beta, c: (rate * c**2, beta * c**2),
            "rate times beta is then no longer the same. If the path is the same, does the "
            "gradient change by another share in each step?",
        ),
        (
            lambda rate, beta, c: (rate * c**2, beta),
            "the rate is right. Beta is a change of the gradient over a distance: what becomes of "
            "each of the two?",
        ),
        (
            lambda rate, beta, c: (rate, beta / c**2),
            "beta is right. With the old rate, how far do weights turn that are c times as long?",
        ),
        (
            lambda rate, beta, c: (rate * c, beta / c**2),
            "beta is right. The gradient is c times as short: is it enough to make up for that, "
            "when the weights are c times as long as well?",
        ),
        (
            lambda rate, beta, c: (beta / c**2, rate * c**2),
            "both numbers are right. In which order were they asked for?",
        ),
    ],
    parts=("the rate", "beta"),
)


def _normalize_by(
    x: Tensor,
    p: float,
    eps: float,
    *,
    center: bool = True,
    dims: tuple[int, ...] | None = None,
    total: bool = False,
    root: bool = True,
) -> Tensor:
    dims = dims or (0, *range(2, x.dim()))
    y = x - x.mean(dim=dims, keepdim=True) if center else x
    size = y.abs()
    if p == math.inf:
        spread = size.amax(dim=dims, keepdim=True)
    else:
        powers = (size**p).sum(dim=dims, keepdim=True)
        powers = powers if total else powers / (size.numel() // powers.numel())
        spread = powers ** (1 / p) if root else powers
    return y / (spread + eps)


def _images(*shape: int) -> Tensor:
    values = torch.arange(math.prod(shape), dtype=torch.float32)
    return ((values * 1.7).sin() * 2 + (values * 0.3).cos() + 1.5).view(shape)


def _channels(y: Tensor) -> Tensor | list:
    """Say of an output the mean and the size of two channels before its values."""
    if not isinstance(y, Tensor) or y.dim() < 2:
        return y
    ends = [y[:, i].double() for i in (0, -1)]
    numbers = [f(v).item() for v in ends for f in (torch.mean, lambda v: v.abs().mean())]
    return [str(list(y.shape)), *numbers, y]


normalize_by = Exercise(
    _normalize_by,
    cases=[
        (_images(6, 3), 2, 1e-5),
        (_images(6, 3), 1, 1e-5),
        (_images(4, 2, 3, 5), 3, 1e-5),
        (_images(4, 2, 3, 5), math.inf, 1e-5),
        (torch.ones(4, 2), 1, 1e-5),
        (_images(6, 3), 2, 0.5),
    ],
    mistakes=[
        (
            lambda x, p, eps: _normalize_by(x, p, eps, center=False),
            "the mean of your output is not 0. What does BN do before it divides?",
        ),
        (
            lambda x, p, eps: _normalize_by(x, p, eps, dims=tuple(range(1, x.dim()))),
            "each sample gets its own statistics. Which dimensions does BN average over?",
        ),
        (
            lambda x, p, eps: _normalize_by(x, p, eps, dims=(0,)),
            "right for [N, C]. In images every pixel position gets its own statistics: which "
            "values share a mean in BN?",
        ),
        (
            lambda x, p, eps: _normalize_by(x, p, eps, total=True),
            "your spread grows with the batch. Is it a sum or a mean of powers?",
        ),
        (
            lambda x, p, eps: _normalize_by(x, p, eps, root=False),
            "ten times the input gives another output. What brings a mean of powers back to the "
            "units of the input?",
        ),
        (
            lambda x, p, eps: _normalize_by(x, 2, eps),
            "that is BN, whatever p is.",
        ),
        (
            lambda x, p, eps: _normalize_by(x, p if p < math.inf else 1, eps),
            "right for every finite p. Which of many numbers wins when its power grows without "
            "end?",
        ),
    ],
    observe=_channels,
    tolerance=1e-3,
    parts=(
        "the shape",
        "the mean of the first channel",
        "the mean distance from 0 in the first channel",
        "the mean of the last channel",
        "the mean distance from 0 in the last channel",
        "the output",
    ),
)

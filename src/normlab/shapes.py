"""Shapes-10: ten classes of shapes and textures, drawn by code in about a second.

It stands in for CIFAR-10 where that is not at hand: the same types and sizes, nothing to download.

Each class is a signed distance function: it maps points of the plane to their distance from the
outline, negative inside, with the radius of the shape as the unit. How much of a pixel the shape
covers follows from the distance at its centre, so that edges come out smooth at any angle.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

SIZE = 32  # pixels, as in CIFAR-10


def _fold(x: Tensor, y: Tensor, corners: int) -> tuple[Tensor, Tensor]:
    """Fold the plane like a paper star into one sector around the x axis, y >= 0.

    A regular polygon becomes a single edge, which its distance function can state in one line.
    """
    radius, angle = torch.hypot(x, y), torch.atan2(y, x)
    half = math.pi / corners
    angle = (torch.remainder(angle, 2 * half) - half).abs()
    return radius * angle.cos(), radius * angle.sin()


def _tile(x: Tensor, period: float) -> Tensor:
    """Repeat the interval [-period / 2, period / 2] along the line."""
    return torch.remainder(x, period) - period / 2


def _disc(x: Tensor, y: Tensor) -> Tensor:
    return torch.hypot(x, y) - 0.9


def _ring(x: Tensor, y: Tensor) -> Tensor:
    return (torch.hypot(x, y) - 0.8).abs() - 0.2


def _moon(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(torch.hypot(x, y) - 1, 0.8 - torch.hypot(x - 0.5, y))


def _triangle(x: Tensor, y: Tensor) -> Tensor:
    x, _ = _fold(x, y, 3)
    return x - 0.55


def _square(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(x.abs(), y.abs()) - 0.75


def _cross(x: Tensor, y: Tensor) -> Tensor:
    x, y = _fold(x, y, 4)
    return torch.maximum(x - 1, y - 0.3)


def _star(x: Tensor, y: Tensor) -> Tensor:
    x, y = _fold(x, y, 5)
    return 0.58 * (x - 1.1) + 0.81 * y


def _stripes(x: Tensor, y: Tensor) -> Tensor:
    return _tile(x, 0.8).abs() - 0.2


def _checks(x: Tensor, y: Tensor) -> Tensor:
    column, row = _tile(x, 1.1).abs() - 0.275, _tile(y, 1.1).abs() - 0.275
    return torch.maximum(torch.minimum(column, row), -torch.maximum(column, row))


def _dots(x: Tensor, y: Tensor) -> Tensor:
    return torch.hypot(_tile(x, 0.8), _tile(y, 0.8)) - 0.24


_DISTANCE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "disc": _disc,
    "ring": _ring,
    "moon": _moon,
    "triangle": _triangle,
    "square": _square,
    "cross": _cross,
    "star": _star,
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
}
CLASSES: tuple[str, ...] = tuple(_DISTANCE)
C = dict(bg=(.45,.85), contrast=(.3,.6), flip=.2, tint=.15, radius=(6.,13.), shift=6., stretch=.2, cloud=.12, grid=5, blobs=4, blobr=(1.,3.), bars=0, barw=(.7,1.5), noise=(.02,.1), rot=math.pi)


def _cover(distance: Tensor) -> Tensor:
    return (0.5 - distance).clamp_(0, 1)


def _render(distance: Callable[[Tensor, Tensor], Tensor], n: int, rng: torch.Generator) -> Tensor:
    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        return torch.empty(n, channels, 1, 1).uniform_(low, high, generator=rng)

    def colours(base):
        tint = uniform(-C['tint'], C['tint'], 3)
        clouds = torch.randn(n, 3, C['grid'], C['grid'], generator=rng) * C['cloud']
        return base + tint + F.interpolate(clouds, size=(SIZE, SIZE), mode="bilinear", align_corners=True)

    line = torch.arange(SIZE) - (SIZE - 1) / 2
    px, py = line, line[:, None]
    s = C['shift']
    dx, dy = px - uniform(-s, s), py - uniform(-s, s)
    a, r, st = uniform(-C['rot'], C['rot']), uniform(*C['radius']), 1 + uniform(-C['stretch'], C['stretch'])
    x = (dx * a.cos() + dy * a.sin()) / r * st
    y = (dy * a.cos() - dx * a.sin()) / r / st

    bright = uniform(*C['bg'])
    sign = torch.where(uniform(0, 1) < C['flip'], 1, -1)
    images = colours(bright)
    images = images.lerp(colours(bright + sign * uniform(*C['contrast'])), _cover(distance(x, y) * r))
    d = torch.full((n, 1, SIZE, SIZE), 99.)
    for _ in range(C['blobs']):
        d = torch.minimum(d, torch.hypot(px - uniform(-16, 16), py - uniform(-16, 16)) - uniform(*C['blobr']))
    for _ in range(C['bars']):
        a = uniform(0, math.pi)
        d = torch.minimum(d, (px * a.cos() + py * a.sin() - uniform(-14, 14)).abs() - uniform(*C['barw']))
    images = images.lerp(colours(uniform(0.1, .9)), _cover(d))
    images += uniform(*C['noise']) * torch.randn(images.shape, generator=rng)
    return images.clamp_(0, 1).mul_(255).round_().byte()


def draw(n: int, seed: int) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randperm(n, generator=rng) % len(CLASSES)
    images = torch.empty(n, 3, SIZE, SIZE, dtype=torch.uint8)
    for label, distance in enumerate(_DISTANCE.values()):
        chosen = labels == label
        images[chosen] = _render(distance, int(chosen.sum()), rng)
    return images, labels

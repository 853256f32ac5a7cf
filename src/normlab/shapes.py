"""Shapes-10: ten classes of shapes and textures, drawn by code in about a second.

It stands in for CIFAR-10 where that is not at hand: the same types and sizes, nothing to download.

A class is a signed distance function. It maps points (x, y) to their distance from the outline,
negative inside, with the radius of the shape as the unit of length. The distance at the centre of
a pixel says how much of the pixel is covered, so that edges come out smooth at any angle.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

SIZE = 32  # height and width in pixels, as in CIFAR-10


def _fold(x: Tensor, y: Tensor, corners: int) -> tuple[Tensor, Tensor]:
    """Fold the plane into one sector, like paper for a snowflake: a polygon becomes one edge."""
    radius, angle, half = torch.hypot(x, y), torch.atan2(y, x), math.pi / corners
    angle = (torch.remainder(angle + half, 2 * half) - half).abs()
    return radius * angle.cos(), radius * angle.sin()


def _tile(x: Tensor, period: float) -> Tensor:
    """Repeat the interval from -period / 2 to period / 2 along the line."""
    return torch.remainder(x, period) - period / 2


def disc(x: Tensor, y: Tensor) -> Tensor:
    return torch.hypot(x, y) - 0.9


def ring(x: Tensor, y: Tensor) -> Tensor:
    return (torch.hypot(x, y) - 0.8).abs() - 0.2


def moon(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(torch.hypot(x, y) - 1, 0.8 - torch.hypot(x - 0.5, y))


def triangle(x: Tensor, y: Tensor) -> Tensor:
    return _fold(x, y, 3)[0] - 0.55


def square(x: Tensor, y: Tensor) -> Tensor:
    return _fold(x, y, 4)[0] - 0.75


def cross(x: Tensor, y: Tensor) -> Tensor:
    x, y = _fold(x, y, 4)
    return torch.maximum(x - 1, y - 0.3)


def star(x: Tensor, y: Tensor) -> Tensor:
    x, y = _fold(x, y, 5)
    return 0.58 * (x - 1.1) + 0.81 * y


def stripes(x: Tensor, y: Tensor) -> Tensor:
    return _tile(x, 0.8).abs() - 0.2


def checks(x: Tensor, y: Tensor) -> Tensor:
    column, row = _tile(x, 1.1).abs() - 0.275, _tile(y, 1.1).abs() - 0.275
    return torch.maximum(torch.minimum(column, row), -torch.maximum(column, row))


def dots(x: Tensor, y: Tensor) -> Tensor:
    return torch.hypot(_tile(x, 0.8), _tile(y, 0.8)) - 0.24


_SHAPES = (disc, ring, moon, triangle, square, cross, star, stripes, checks, dots)
CLASSES: tuple[str, ...] = tuple(shape.__name__ for shape in _SHAPES)


def draw(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw images uint8 [n, 3, 32, 32] and their classes int64 [n], balanced and in random order.

    The same (n, seed) gives the same images; torch's global generator is left alone.
    """
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randperm(n, generator=generator) % len(CLASSES)
    images = torch.empty(n, 3, SIZE, SIZE, dtype=torch.uint8)
    for label, shape in enumerate(_SHAPES):
        index = (labels == label).nonzero().squeeze(1)
        if len(index) > 0:
            images[index] = _render(shape, len(index), generator)
    return images, labels


def _render(
    shape: Callable[[Tensor, Tensor], Tensor], n: int, generator: torch.Generator
) -> Tensor:
    """Draw n pictures of one class, uint8 [n, 3, 32, 32]: shape on background, confetti, noise.

    The ranges were tuned until LeNet-5 with and without batch normalization differ as they do on
    CIFAR-10. What counts most is that brightness, contrast and its sign vary from image to image.
    """

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:  # [n, channels, 1, 1]
        return torch.empty(n, channels, 1, 1).uniform_(low, high, generator=generator)

    def paint(brightness: Tensor) -> Tensor:  # [n, 3, 32, 32]: a tint with coloured clouds
        clouds = torch.randn(n, 3, 5, 5, generator=generator)
        clouds = F.interpolate(clouds, (SIZE, SIZE), mode="bilinear", align_corners=True)
        return clouds.mul_(0.15).add_(brightness + uniform(-0.15, 0.15, 3))

    def cover(pixels: Tensor) -> Tensor:  # from distances in pixels to shares of a pixel
        return (0.5 - pixels).clamp_(0, 1)

    centres = torch.arange(SIZE) - (SIZE - 1) / 2
    column, row = centres, centres[:, None]

    angle, radius, stretch = uniform(0, 2 * math.pi), uniform(7, 13), uniform(0.8, 1.2)
    right, down = column - uniform(-6, 6), row - uniform(-6, 6)
    x = (right * angle.cos() + down * angle.sin()) * stretch / radius
    y = (down * angle.cos() - right * angle.sin()) / (stretch * radius)

    dark = uniform(0, 0.45)
    bright = dark + uniform(0.35, 0.7)
    night = uniform(0, 1) < 0.95
    background, foreground = torch.where(night, dark, bright), torch.where(night, bright, dark)
    images = paint(background).lerp_(paint(foreground), cover(radius * shape(x, y)))

    spots = torch.hypot(column - uniform(-16, 16, 6), row - uniform(-16, 16, 6))
    confetti = (spots - uniform(1, 3.5, 6)).amin(1, keepdim=True)
    images.lerp_(paint(uniform(0.1, 0.9)), cover(confetti))

    images += uniform(0.01, 0.08) * torch.randn(images.shape, generator=generator)
    return images.clamp_(0, 1).mul_(255).round_().byte()

"""The figures that only this chapter draws."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from normlab.style import COLORS, INK, WIDTH, heading


def descent(panels: Mapping[str, tuple[Tensor, Tensor]], axes_names: tuple[str, str]) -> Figure:
    """Draw paths of gradient descent over the contours of a quadratic loss of two weights.

    Args:
        panels: label -> (Hessian [2, 2], weights [steps + 1, 2]); the path ends near the minimum.
        axes_names: what the two weights are.
    """
    minima = [path[-1].numpy() for _, path in panels.values()]
    figure, axes = plt.subplots(len(panels), 1, figsize=(WIDTH, 2.75 * len(panels)), squeeze=False)
    for ax, (name, (hessian, path)), minimum in zip(
        axes[:, 0], panels.items(), minima, strict=True
    ):
        offsets = path.numpy() - minimum  # [steps + 1, 2]
        half = 1.25 * np.abs(offsets).max(0)
        half = np.maximum(half, half[::-1] * np.array([2.9, 1 / 2.9]))  # panels of one shape
        grid = np.meshgrid(*(np.linspace(-h, h, 300) for h in half))
        points = np.stack(grid, axis=-1)  # [300, 300, 2]
        loss = np.einsum("...i,ij,...j->...", points, hessian.numpy(), points)
        start = offsets[0] @ hessian.numpy() @ offsets[0]
        levels = start * 2.0 ** np.arange(-7, 7)
        ax.contour(*(g + m for g, m in zip(grid, minimum, strict=True)), loss, levels,
                   colors=INK, linewidths=0.7, alpha=0.7)  # fmt: skip
        color = COLORS["after"] if ax is axes[0, 0] else COLORS["normlab"]  # not those of BN
        ax.plot(*path.numpy().T, "o-", color=color, markersize=3.5, lw=1.4)
        ax.plot(*minimum, "*", color=color, markersize=13)
        ax.annotate(name, (0, 1), xycoords="axes fraction", xytext=(2, 6), color=color,
                    textcoords="offset points", fontweight="bold")  # fmt: skip
        ax.set_aspect("equal")
        ax.set_xlabel(axes_names[0])
        ax.set_ylabel(axes_names[1])
    return figure


def drift(panels: Mapping[str, np.ndarray], steps: Sequence[int], ylabel: str) -> Figure:
    """Draw how a distribution moves during training: its median and the middle 70 percent.

    Args:
        panels: name of the method -> values [snapshots, samples].
        steps: training steps done at each snapshot.
        ylabel: what the values are.
    """
    figure, axes = plt.subplots(
        1, len(panels), figsize=(WIDTH, 2.6), sharey=True, sharex=True, squeeze=False
    )
    for ax, (name, values) in zip(axes[0], panels.items(), strict=True):
        low, median, high = np.percentile(values, [15, 50, 85], axis=1)
        ax.fill_between(steps, low, high, color=COLORS[name], alpha=0.25, lw=0)
        ax.plot(steps, median, color=COLORS[name], lw=2.4)
        ax.plot(steps, np.stack([low, high], axis=1), color=COLORS[name], lw=0.9)
        heading(ax, name, color=COLORS[name], fontweight="bold")
        ax.set_xlabel("step")
    axes[0, 0].set_ylabel(ylabel)
    return figure

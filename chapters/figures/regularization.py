"""The figures that only this chapter draws."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from normlab.style import COLORS, INK, WIDTH, heading, label_ends


def error_parts(
    panels: Mapping[str, tuple[Sequence[float], Mapping[str, Sequence[float]]]],
) -> Figure:
    """Draw the parts of an error over a setting, one panel per setting.

    Args:
        panels: axis label -> (settings, name of the part -> one value per setting). Settings that
            are not integers get a log axis. The names are written at the lines of the last panel.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 3), sharey=True, squeeze=False)
    for ax, (label, (settings, parts)) in zip(axes[0], panels.items(), strict=True):
        for name, values in parts.items():
            ax.plot(settings, values, color=COLORS[name], lw=2.6 if name == "error" else 1.6)
        if any(s != int(s) for s in settings):
            ax.set_xscale("log")
        else:
            ax.set_xticks(settings[::2])
        ax.set_xlabel(label)
    label_ends(ax, {name: (settings[-1], values[-1]) for name, values in parts.items()})
    axes[0, 0].set_ylabel("mean squared error")
    return figure


def penalties(hessian: Tensor, center: Tensor, points: Mapping[str, Tensor]) -> Figure:
    """Draw the contours of a quadratic loss of two weights that touch the region of a penalty.

    Args:
        hessian: [2, 2], of the loss.
        center: [2], where the loss has its minimum.
        points: "L1" and "L2" -> the weights [2] of the smallest loss plus penalty.
    """
    figure, axes = plt.subplots(1, len(points), figsize=(WIDTH, 3.4), sharey=True)
    x = np.linspace(-0.9, 2.6, 300)
    y = np.linspace(-0.9, 1.6, 300)
    offsets = np.stack(np.meshgrid(x, y), axis=-1) - center.numpy()  # [300, 300, 2]
    loss = np.einsum("...i,ij,...j->...", offsets, hessian.numpy(), offsets)
    angle = np.linspace(0, 2 * np.pi, 401)
    circle = np.stack([np.cos(angle), np.sin(angle)])  # [2, points]
    for ax, (name, point) in zip(axes, points.items(), strict=True):
        order = 1 if name == "L1" else 2
        size = np.linalg.norm(point, order)
        border = size * circle / np.linalg.norm(circle, order, axis=0)
        ax.fill(*border, color=COLORS["weight decay"], alpha=0.25, lw=0)
        ax.plot(*border, color=COLORS["weight decay"])
        offset = (point - center).numpy()
        touching = offset @ hessian.numpy() @ offset
        ax.contour(x, y, loss, touching * np.array([0.1, 0.4, 1, 2]), colors=COLORS["plain"],
                   linewidths=[0.8, 0.8, 1.8, 0.8])  # fmt: skip
        ax.plot(*center, "+", color=COLORS["plain"], markersize=10)
        ax.plot(*point, "o", color=COLORS["weight decay"])
        ax.axhline(0, color=INK, lw=0.6)
        ax.axvline(0, color=INK, lw=0.6)
        ax.annotate(name, (0, 1), xycoords="axes fraction", xytext=(2, 4), fontweight="bold",
                    textcoords="offset points")  # fmt: skip
        ax.set(aspect="equal", xlabel="$w_1$", xticks=[0, 1, 2], yticks=[0, 1])
    axes[0].set_ylabel("$w_2$")
    return figure


def fits(
    rows: Mapping[str, Mapping[str, Mapping[str, Tensor]]],
    grid: Tensor,
    points: Sequence[tuple[Tensor, Tensor]],
    slope: float,
) -> Figure:
    """Draw fitted curves through points of a noisy line, in a grid of panels.

    Args:
        rows: row label -> column label -> name of the line -> its values on `grid`.
        grid: [G, 1].
        points: the training inputs and targets of each column.
        slope: of the true line through the origin, which is drawn in grey.
    """
    columns = len(points)
    figure, axes = plt.subplots(
        len(rows), columns, figsize=(WIDTH, 0.5 + 1.55 * len(rows)), sharex=True, sharey=True,
        squeeze=False,
    )  # fmt: skip
    for (row, panels), line_of_axes in zip(rows.items(), axes, strict=True):
        for ax, (column, lines), (x, y) in zip(line_of_axes, panels.items(), points, strict=True):
            ax.plot(grid, slope * grid, color=INK, lw=1.2, ls="--", zorder=3)  # over the curves
            ax.plot(x, y, "o", color=INK, markersize=3, alpha=0.5)
            for name, values in lines.items():
                ax.plot(grid, values, color=COLORS[name], lw=2)
            if ax in axes[0]:
                heading(ax, column, y=4)
        ax.set_xticks([-1, 0, 1])
        name = row if row in COLORS else next(iter(lines))
        line_of_axes[0].set_ylabel(row, color=COLORS[name], fontweight="bold")
    for ax in axes[-1]:
        ax.set_xlabel("$x$")
    return figure

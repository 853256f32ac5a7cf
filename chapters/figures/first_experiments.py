"""The figures that only this chapter draws."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor, nn

from normlab.style import COLORS, INK, WIDTH, heading
from normlab.training import predict

_LINES = COLORS | {"averaged sigma": COLORS["GN"], "zero biases": COLORS["IN"]}
_DASHES = {"averaged sigma": ":"}  # it lies on another line
_RATES = (COLORS["IN"], COLORS["GN"], COLORS["LN"])


def regions(
    rows: Mapping[str, Sequence[nn.Module]], columns: Sequence[str], points: Tensor, classes: Tensor
) -> Figure:
    """Colour the plane by the probability of class 1, with a line at one half; a row per method.

    Args:
        rows: name of the method -> models of points [N, 2], which return logits [N, 2].
        columns: written above the first row.
        points: [N, 2], drawn in every panel.
        classes: [N], those of the points; every panel tells the accuracy on them.
    """
    n = len(columns)
    figure, axes = plt.subplots(
        len(rows), n, figsize=(WIDTH, WIDTH / n * len(rows) * 1.1 + 0.2), squeeze=False
    )
    limit = 1.05 * points.abs().max().item()
    axis = np.linspace(-limit, limit, 150)
    grid = torch.tensor(np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)).to(points)
    for (name, models), line_of_axes in zip(rows.items(), axes, strict=True):
        for ax, model, column in zip(line_of_axes, models, columns, strict=True):
            probability = predict(model, [(grid, None)]).softmax(1)[:, 1].reshape(150, 150).numpy()
            fill = np.empty((150, 150, 4))
            bands = np.round(6 * probability) / 6  # a smooth shade would take ten times the space
            fill[..., :3], fill[..., 3] = to_rgb(COLORS[name]), 0.7 * bands
            ax.imshow(fill, origin="lower", extent=(-limit, limit, -limit, limit))
            if probability.min() < 0.5 < probability.max():
                ax.contour(axis, axis, probability, [0.5], colors=[COLORS[name]], linewidths=1.5)
            ax.scatter(*points.T, s=1.5, color=INK, alpha=0.7, lw=0)
            right = (predict(model, [(points, None)]).argmax(1) == classes).float().mean().item()
            ax.set(xticks=[], yticks=[])
            ax.set_xlabel(f"{100 * right:.1f} %", labelpad=2)
            ax.spines[:].set_visible(False)
            if ax in axes[0]:
                ax.set_title(column, color=INK, pad=4)
        line_of_axes[0].set_ylabel(name, color=COLORS[name], fontweight="bold")
    return figure


def curve_panels(
    panels: Mapping[str, Mapping[str, np.ndarray]],
    ylabel: str,
    log_x: bool = False,
    xlabel: str = "epoch",
    at: Mapping[str, Sequence[float]] | None = None,
) -> Figure:
    """Draw curves in panels with one log axis: a thin line per seed, a thick mean.

    Args:
        panels: label of the panel -> name of the method -> values [seeds, places]; the names are
            written in the last panel.
        ylabel: what the values are, with their unit.
        log_x: the horizontal axis is logarithmic.
        xlabel: what the places are.
        at: label of the panel -> its places; None counts from 1.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 2.9), sharey=True, squeeze=False)
    for ax, (label, lines) in zip(axes[0], panels.items(), strict=True):
        ends = {}
        for name, values in lines.items():
            places = np.arange(1, values.shape[1] + 1) if at is None else np.asarray(at[label])
            color, mean = _LINES[name], values.mean(0)
            ax.fill_between(places, values.min(0), values.max(0), color=color, alpha=0.2, lw=0)
            ax.plot(places, values.T, color=color, lw=0.7, alpha=0.7)
            ax.plot(places, mean, _DASHES.get(name, "-"), color=color, lw=2.4)
            ends[name] = (places[-1], mean[-1])
        ax.set_yscale("log")
        if log_x:
            ax.set_xscale("log")
        else:
            ax.xaxis.set_major_locator(MaxNLocator(3, integer=True))
        heading(ax, label)
        ax.set_xlabel(xlabel)
    _name_ends(axes[0, -1], ends)
    axes[0, 0].set_ylabel(ylabel)
    return figure


def _name_ends(ax: Axes, ends: Mapping[str, tuple[float, float]]) -> None:
    """Write the names at the ends of their lines; those that end close together part."""
    gap, low, heights = 14, -math.inf, {}
    ax.get_ylim()  # brings transData up to date
    points = 72 / ax.figure.dpi
    start = {name: points * ax.transData.transform(end)[1] for name, end in ends.items()}
    for name in sorted(start, key=start.get):
        low = heights[name] = max(start[name], low + gap)
    middle = sum(start.values()) / len(start) - sum(heights.values()) / len(heights)
    for name, end in ends.items():
        ax.annotate(
            name, end, xytext=(6, heights[name] - start[name] + middle),
            textcoords="offset points", va="center", color=_LINES[name], fontweight="bold",
        )  # fmt: skip


def points_of_two_classes(points: Tensor, classes: Tensor) -> Figure:
    """Draw points [N, 2]: those of class 1 are filled, the others are rings."""
    figure, ax = plt.subplots(figsize=(WIDTH, 2.6))
    inner, outer = points[classes == 1], points[classes == 0]
    ax.scatter(*outer.T, s=10, facecolors="none", edgecolors=INK, lw=0.7)
    ax.scatter(*inner.T, s=10, color=COLORS["IN"], lw=0)
    for y, text, color in ((0.3, "outer circle", INK), (-0.3, "inner circle", COLORS["IN"])):
        ax.annotate(text, (1.3, y), color=color, fontweight="bold", va="center")
    ax.set_aspect("equal")
    ax.axis("off")
    return figure


def ratios(panels: Mapping[str, Mapping[float, np.ndarray]], epochs: Sequence[int]) -> Figure:
    """Draw the error with BN divided by that without, over the epochs: a colour per learning rate.

    Args:
        panels: label of the panel -> learning rate -> ratios [seeds, places].
        epochs: the places.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 3.0), sharey=True, squeeze=False)
    for ax, (label, by_rate) in zip(axes[0], panels.items(), strict=True):
        ax.axhline(1, color=INK, lw=0.8)
        for (rate, values), color in zip(by_rate.items(), _RATES, strict=False):
            ax.plot(epochs, values.T, color=color, lw=0.7, alpha=0.7)
            ax.plot(epochs, np.median(values, axis=0), color=color, lw=2.4, label=f"rate {rate:g}")
        ax.set(xscale="log", yscale="log", xlabel="epoch", ylim=(0.1, 20))
        ax.set_yticks([0.1, 0.3, 1, 3, 10], ["0.1", "0.3", "1", "3", "10"])
        ax.set_yticks([], minor=True)
        heading(ax, label)
    axes[0, 0].set_ylabel("error with BN / without")
    axes[0, 0].legend(frameon=False, labelcolor="linecolor", loc="upper left")
    for y, text in ((0.03, "BN leads"), (0.97, "BN is behind")):
        axes[0, -1].annotate(text, (0.97, y), xycoords="axes fraction", ha="right",
                             va="bottom" if y < 0.5 else "top", color=INK)  # fmt: skip
    return figure

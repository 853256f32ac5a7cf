"""The figures that only this chapter draws."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor, nn

from normlab.style import COLORS, INK, WIDTH, heading, label_ends, seeds_and_mean
from normlab.training import predict


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
    panels: Mapping[str, Mapping[str, np.ndarray]], ylabel: str, log_x: bool = False
) -> Figure:
    """Draw curves over the epochs in panels with one log axis: a thin line per seed, a thick mean.

    Args:
        panels: label of the panel -> name of the method -> values [seeds, epochs]; the names are
            written in the last panel.
        ylabel: what the values are, with their unit.
        log_x: epochs on a log axis.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 2.9), sharey=True, squeeze=False)
    for ax, (label, lines) in zip(axes[0], panels.items(), strict=True):
        ends = {n: seeds_and_mean(ax, values, COLORS[n]) for n, values in lines.items()}
        ax.set_yscale("log")
        if log_x:
            ax.set_xscale("log")
        else:
            ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        heading(ax, label)
        ax.set_xlabel("epoch")
    label_ends(ax, ends)
    names = sorted(ax.texts[-len(ends) :], key=lambda text: text.xy[1])
    for rank, text in enumerate(names):  # lines may end close together: their names part
        text.set_position((6, 12 * (rank - (len(names) - 1) / 2)))
    axes[0, 0].set_ylabel(ylabel)
    return figure

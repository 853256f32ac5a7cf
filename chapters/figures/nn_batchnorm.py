"""The figures that only this chapter draws."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from torch import nn

from normlab.style import COLORS, WIDTH
from normlab.training import predict


def boundary(model: nn.Module, ax: Axes, label: str, **line) -> None:
    """Draw where a model of points [N, 2] hesitates between two classes, in eval mode.

    Args:
        model: returns logits [N, 2].
        ax: its limits are the region that is searched.
        label: written at the upper edge, tied to the highest point of the line.
        line: further arguments of `Axes.contour`, such as `linestyles`.
    """
    x, y = (np.linspace(*limits, 200) for limits in (ax.get_xlim(), ax.get_ylim()))
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)  # [N, 2]
    logits = predict(model, [(torch.tensor(grid, dtype=torch.float32), None)])
    margin = (logits[:, 1] - logits[:, 0]).reshape(len(y), len(x)).numpy()
    lines = ax.contour(x, y, margin, levels=[0], colors=[COLORS["with BN"]], **line)
    vertices = lines.get_paths()[0].vertices  # [points, 2]
    top = vertices[vertices[:, 1].argmax()]
    ax.annotate(label, top, (top[0], ax.get_ylim()[1]), ha="center", va="top",
                color=COLORS["with BN"], fontweight="bold",
                arrowprops={"arrowstyle": "-", "color": COLORS["with BN"], "lw": 0.8})  # fmt: skip


def pairs(
    results: Mapping[str, Sequence[tuple[float, float]]],
    places: Sequence[tuple[float, float]],
    xlabel: str,
    ylabel: str,
) -> Axes:
    """Draw one marker per seed for variants of BN, judged by two numbers.

    Args:
        results: name of the variant -> one pair (x, y) per seed; at most five variants.
        places: where each name is written, in the units of the axes; left of 75, it starts there,
            else it ends there.
        xlabel: label of the horizontal axis, with its unit.
        ylabel: label of the vertical axis, with its unit.
    """
    _, ax = plt.subplots(figsize=(WIDTH, 0.55 * WIDTH))
    for (name, values), place, marker in zip(results.items(), places, "o^sDv", strict=False):
        x, y = zip(*values, strict=True)
        ax.scatter(x, y, 45, marker=marker, facecolor="none", edgecolor=COLORS["BN"], lw=1.4)
        side = "left" if place[0] < 75 else "right"
        ax.text(*place, name, ha=side, va="center", color=COLORS["BN"], fontweight="bold")
    ax.margins(0.08)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    return ax

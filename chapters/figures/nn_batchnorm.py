"""The figures that only this chapter draws."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from normlab.style import COLORS, INK, WIDTH, seeds_and_mean
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


def shared_values(panels: Mapping[str, Tensor]) -> Figure:
    """Draw batches [N, C, *positions] side by side, a row per sample and a column per channel.

    Args:
        panels: title -> bool [N, C, L], [N, C, H, W] or [N, C, D, H, W]; the values to fill. A
            depth stands behind the image in front of it.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 2.5))
    for ax, (title, mask) in zip(np.atleast_1d(axes), panels.items(), strict=True):
        for sample, row in enumerate(mask.numpy()):
            for channel, values in enumerate(row):
                volume = values.reshape((1,) * (3 - values.ndim) + values.shape)
                _volume(ax, volume, 5.8 * channel, 5.8 * sample)
        ax.set(xlim=(-0.4, 17), ylim=(16.6, -1.4), aspect="equal", xticks=[], yticks=[])
        ax.set(title=title, xlabel="channels")
        ax.spines[:].set_visible(False)
    np.atleast_1d(axes)[0].set_ylabel("samples")
    return figure


def _volume(ax: Axes, values: np.ndarray, x: float, y: float, step: float = 0.6) -> None:
    """Draw bool [D, H, W] with its first corner at (x, y); of the images behind, what is seen."""
    depth, height, width = values.shape
    y += (4 - height) / 2
    for d, i, j in np.ndindex(depth, height, width):
        left, top, face = x + step * d, y - step * d, COLORS["BN"] if values[d, i, j] else "none"
        parts = [(left + j, top + i, 1, 1)] if d == 0 else []
        if d > 0 and i == 0:  # above the image in front
            parts.append((left + j, top, 1, step))
        if d > 0 and j == width - 1:  # on its right
            low = top + max(i, step)
            parts.append((left + width - step, low, step, top + i + 1 - low))
        for left, low, *size in parts:
            ax.add_patch(plt.Rectangle((left, low), *size, fc=face, ec=INK, lw=0.7))


def followers(
    paths: Mapping[str, Sequence[Sequence[float]]], places: Sequence[tuple[float, float]]
) -> Axes:
    """Draw for each name the accuracy after each batch: the mean and the range of several runs.

    Args:
        paths: name -> one path per run, in percent.
        places: where each name is written, in the units of the axes.
    """
    _, ax = plt.subplots(figsize=(WIDTH, 3.4))
    for (name, runs), place in zip(paths.items(), places, strict=True):
        seeds_and_mean(ax, np.array(runs), COLORS["BN"])
        ax.text(*place, name, va="center", color=COLORS["BN"], fontweight="bold")
    ax.set(xlabel="batches of the new rings", ylabel="accuracy in eval mode (%)", ylim=(40, 102))
    return ax

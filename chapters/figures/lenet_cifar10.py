"""The figures that only this chapter draws."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from torch import Tensor

from normlab.style import COLORS, INK, WIDTH


def confusion(matrix: Tensor, classes: Sequence[str]) -> Axes:
    """Show a confusion matrix [true, predicted] of fractions of each row, in percent.

    Cells from 5 percent are coloured; less than half a percent is left out.
    """
    _, ax = plt.subplots(figsize=(WIDTH, 0.95 * WIDTH))
    percent = 100 * matrix.numpy()
    # Opacity, not lightness: a cell stands out from a white page as it does from a dark one.
    opacity = np.where(percent < 5, 0, 0.1 + 0.9 * np.minimum(percent / 50, 1) ** 2)
    ax.imshow(np.dstack([np.full((*opacity.shape, 3), to_rgb(COLORS["with BN"])), opacity]))
    for (i, j), value in np.ndenumerate(percent):
        if value > 0.5:
            ax.text(j, i, f"{value:.0f}", ha="center", va="center",
                    color="white" if value > 40 else INK,
                    weight="bold" if value >= 5 else "normal")  # fmt: skip
    ax.set_xticks(range(len(classes)), classes, rotation=40, ha="right")
    ax.set_yticks(range(len(classes)), classes)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    ax.spines[:].set_visible(False)
    return ax


def spreads(found: Mapping[str, np.ndarray], layers: Sequence[str]) -> Axes:
    """Draw the spread over the batch layer by layer, a line per seed.

    Args:
        found: name of the network -> standard deviations [seeds, layers].
        layers: their names.
    """
    _, ax = plt.subplots(figsize=(WIDTH, 2.9))
    for name, values in found.items():
        ax.plot(range(len(layers)), np.asarray(values).T, "o-", color=COLORS[name], alpha=0.7)
        middle = float(np.median(np.asarray(values)[:, 1]))
        ax.text(1.05, 1.8 * middle, name, color=COLORS[name], weight="bold")
    ax.set_yscale("log")
    ax.set_ylim(1e-4, 5)
    ax.set_xticks(range(len(layers)), layers)
    ax.set_xlim(-0.2, len(layers) - 0.8)
    ax.set_xlabel("sigmoid after the layer")
    ax.set_ylabel("std over the batch")
    return ax

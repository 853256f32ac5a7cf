"""The figures that only this chapter draws."""

from collections.abc import Sequence

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

"""The figures that only this chapter draws."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from normlab.style import COLORS, INK, WIDTH, heading


def heatmaps(
    panels: Mapping[str, Sequence[Sequence[float]]],
    rows: Sequence[str],
    columns: Sequence[float],
    xlabel: str,
    threshold: float,
) -> Figure:
    """Draw percentages as tables, one above the other; what reaches the threshold is coloured.

    Args:
        panels: name of the method -> values [rows, columns] in percent, on one colour scale.
        rows: what stands beside the rows.
        columns: what stands below the columns.
        xlabel: what the columns are.
        threshold: the colours run from here to 100.
    """
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(WIDTH, 0.7 + len(panels) * (0.3 + 0.36 * len(rows))),
        sharex=True, squeeze=False,
    )  # fmt: skip
    for ax, (name, values) in zip(axes[:, 0], panels.items(), strict=True):
        table = np.asarray(values, dtype=float)
        reached = np.ma.masked_less(table, threshold)
        ax.imshow(reached, cmap="YlGnBu", vmin=threshold - 10, vmax=135, aspect="auto")
        for (i, j), value in np.ndenumerate(table):
            ax.text(j, i, f"{value:.0f}", ha="center", va="center",
                    color="#222222" if value >= threshold else INK)  # fmt: skip
        ax.set_xticks(range(len(columns)), [f"{c:g}" for c in columns])
        ax.set_yticks(range(len(rows)), rows)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        heading(ax, name, color=COLORS[name], fontweight="bold")
    axes[-1, 0].set_xlabel(xlabel)
    return figure

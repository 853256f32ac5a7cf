"""The figures that only this chapter draws."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from normlab.style import COLORS, INK, WIDTH


def bars(panels: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw panels one above the other: a horizontal bar per method, with its value at the end.

    Args:
        panels: axis label -> name of the method -> value. The names choose the colours, grey where
            they have none; the first is on top.
    """
    sizes = [1 + len(values) for values in panels.values()]
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(WIDTH, 0.42 * sum(sizes)), height_ratios=sizes, squeeze=False
    )
    for ax, (label, values) in zip(axes[:, 0], panels.items(), strict=True):
        for row, (name, value) in enumerate(values.items()):
            ax.barh(row, value, height=0.6, color=COLORS.get(name, INK))
            ax.annotate(f"{value:.1f}", (value, row), xytext=(4, 0), textcoords="offset points",
                        va="center", color=COLORS.get(name, INK), fontweight="bold")  # fmt: skip
        ax.set_yticks(range(len(values)), values)
        for tick, name in zip(ax.get_yticklabels(), values, strict=True):
            tick.set_color(COLORS.get(name, INK))
        ax.invert_yaxis()
        ax.tick_params(left=False)
        ax.spines["left"].set_visible(False)
        ax.margins(x=0.1)
        ax.set_xlabel(label)
    return figure

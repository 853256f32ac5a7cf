"""The figures that only this chapter draws."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normlab.style import COLORS, INK, WIDTH, heading

DASHES = {"without BN": "--", "with BN": "-"}
# Small, usual and large weights: none of the colours of a method in this chapter.
SCALE_COLORS = [COLORS["RMSNorm"], COLORS["IN"], COLORS["GN"]]


def losses(panels: Mapping[str, Mapping[str, Sequence[Sequence[float]]]], top: float) -> Figure:
    """Draw the loss of every training step, a panel per start, on one log axis that ends at `top`.

    Args:
        panels: name of the start -> name of the method -> losses [seeds, steps].
        top: what is larger leaves the axes.
    """
    figure, axes = plt.subplots(
        1, len(panels), figsize=(WIDTH, 3.0), sharex=True, sharey=True, squeeze=False
    )
    for ax, (start, lines) in zip(axes[0], panels.items(), strict=True):
        for name, runs in lines.items():
            for i, run in enumerate(runs):
                steps = np.arange(1, len(run) + 1)
                ax.plot(steps, np.minimum(run, 1e30), DASHES[name], color=COLORS[name], lw=1,
                        alpha=0.8, label=name if i == 0 else None)  # fmt: skip
        ax.axhline(math.log(2), color=INK, lw=1, ls=":")
        ax.set_yscale("log")
        ax.set_ylim(0.03, top)
        ax.set_xlabel("step")
        heading(ax, start)
    axes[0, 0].set_ylabel("loss of the batch")
    axes[0, 0].set_yticks([0.1, 1, 10, 100, 1000], ["0.1", "1", "10", "100", "1000"])
    axes[0, 0].annotate(
        "a guess", (0.98, math.log(2)), xycoords=("axes fraction", "data"), xytext=(0, 4),
        textcoords="offset points", ha="right", color=INK,
    )  # fmt: skip
    _legend(figure, axes[0, 0])
    return figure


def signals(
    panels: Mapping[str, Mapping[str, Sequence[Sequence[float]]]], layers: Sequence[str]
) -> Figure:
    """Draw the size of the output of each layer, the layers from top to bottom, a panel per start.

    Args:
        panels: name of the start -> name of the method -> sizes [seeds, layers].
        layers: their names, in the order of the signal.
    """
    figure, axes = plt.subplots(
        1, len(panels), figsize=(WIDTH, 2.7), sharex=True, sharey=True, squeeze=False
    )
    for ax, (start, lines) in zip(axes[0], panels.items(), strict=True):
        for name, runs in lines.items():
            for i, run in enumerate(runs):
                ax.plot(run, range(len(layers)), DASHES[name], color=COLORS[name], lw=1.5,
                        alpha=0.8, label=name if i == 0 else None)  # fmt: skip
        ax.axvline(1, color=INK, lw=1, ls=":")
        ax.set_xscale("log")
        ax.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
        heading(ax, start)
    axes[0, 0].set_yticks(range(len(layers)), layers)
    axes[0, 0].invert_yaxis()
    axes[0, len(panels) // 2].set_xlabel("size of the output (RMS)")
    _legend(figure, axes[0, 0])
    return figure


def brake(
    lines: Mapping[str, Sequence[Sequence[float]]], bound: Sequence[float], ylabel: str
) -> Figure:
    """Draw one quantity per training step on log axes, with the bound that it falls below.

    Args:
        lines: name -> values [seeds, steps].
        bound: [steps], dotted.
        ylabel: what the values are.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 3.4))
    steps = np.arange(1, len(bound) + 1)
    for color, (name, runs) in zip(SCALE_COLORS, lines.items(), strict=True):
        values = np.asarray(runs)
        ax.plot(steps, values.T, color=color, lw=0.6, alpha=0.5)
        ax.plot(steps, np.median(values, axis=0), color=color, lw=2)
        ax.annotate(name, (1, np.median(values[:, 0])), xytext=(8, 9), va="bottom",
                    textcoords="offset points", color=color, fontweight="bold")  # fmt: skip
    ax.plot(steps, bound, ":", color=INK, lw=2)
    ax.annotate("bound", (steps[-1], bound[-1]), xytext=(0, 6), textcoords="offset points",
                ha="right", color=INK)  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("step")
    ax.set_ylabel(ylabel)
    return figure


def _legend(figure: Figure, ax: Axes) -> None:
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False,
                  labelcolor="linecolor")  # fmt: skip


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

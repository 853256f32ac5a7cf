"""The figures that only this chapter draws."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from normlab.style import COLORS, INK, WIDTH


def file_map(regions: Mapping[str, tuple[int, int]], outcomes: Mapping[int, str]) -> Figure:
    """Draw the parts of a file as a bar, and below it a row of ticks for each kind of outcome.

    Args:
        regions: name of the part, or "" -> first byte and the byte after the last.
        outcomes: position in bytes -> what happened there; rows are sorted by their names.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 2.2))
    rows = sorted(set(outcomes.values()), reverse=True)
    for name, (first, end) in regions.items():
        shade = 0.35 if name == "tensors" else 0.12
        ax.axvspan(first / 1024, end / 1024, color=INK, alpha=shade / 2, lw=0)
        ax.annotate(name, ((first + end) / 2048, 1), xycoords=("data", "axes fraction"),
                    xytext=(0, 4), textcoords="offset points", ha="center")  # fmt: skip
    for y, row in enumerate(rows):
        x = [position / 1024 for position, outcome in outcomes.items() if outcome == row]
        color = COLORS["IN"] if "wrong" in row else COLORS["normlab"]
        ax.plot(x, [y] * len(x), "|", ms=15, mew=0.7, color=color, alpha=0.8)
    share = [100 * sum(o == row for o in outcomes.values()) / len(outcomes) for row in rows]
    ax.set_yticks(range(len(rows)), [f"{r}\n{s:.0f} %" for r, s in zip(rows, share, strict=True)])
    ax.tick_params(left=False)
    ax.spines["left"].set_visible(False)
    ax.set(xlim=(0, max(end for _, end in regions.values()) / 1024), ylim=(-0.6, len(rows) - 0.4))
    ax.set_xlabel("position in the file (KiB)")
    return figure


def departures(results: Mapping[str, Sequence[Sequence[float]]], start: int, ylabel: str) -> Figure:
    """Draw distances from a reference run per epoch on a log axis that ends in an exact 0.

    Args:
        results: what was left out -> one run per seed -> one distance per epoch.
        start: epochs before the first of them.
        ylabel: what the distances are.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 3.6))
    others = iter((COLORS["normlab"], COLORS["IN"], COLORS["RMSNorm"]))
    markers = iter("os^")
    ends = {}
    for name, runs in results.items():
        exact = not np.any(runs)
        color, marker = (INK, "D") if exact else (next(others), next(markers))
        epochs = np.arange(start + 1, start + 1 + len(runs[0]))
        for run in runs:
            ax.plot(epochs, run, marker=marker, ms=4.5, lw=1.2, color=color, alpha=0.8,
                    clip_on=False)  # fmt: skip
        ends[name] = (float(np.median([run[-1] for run in runs])), color)
    ax.set_yscale("symlog", linthresh=1e-4, linscale=0.5)
    ax.set_ylim(0, 2)
    ax.set_yticks([0, 1e-4, 1e-3, 1e-2, 1e-1, 1], ["0", "", "0.001", "0.01", "0.1", "1"])
    ax.minorticks_off()
    ax.set_xticks(epochs)
    low = -np.inf  # of the labels: in the order of the last values, one above the other
    for name, (end, color) in sorted(ends.items(), key=lambda item: item[1][0]):
        height = ax.transAxes.inverted().transform(ax.transData.transform((0, end)))[1]
        low = max(height, low + 0.1)
        ax.annotate(name, (1, low), xycoords="axes fraction", xytext=(8, 0), color=color,
                    textcoords="offset points", va="center", fontweight="bold")  # fmt: skip
    ax.set(xlabel="epoch", ylabel=ylabel)
    return figure

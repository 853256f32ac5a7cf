"""The figures that only this chapter draws."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from normlab.style import COLORS, INK, WIDTH, label_ends


def running_means(means: Mapping[str, Sequence[Tensor]], unit: int) -> Figure:
    """Draw the running mean of one unit after each batch.

    Args:
        means: whose statistics -> one tensor [C] for each batch.
        unit: which of the C.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 3.2))
    marks = iter(("o-", "s--", "^-", "D-"))
    colors = {name: INK if "whole" in name else COLORS["BN"] for name in means}
    ends = {}
    for name, trace in means.items():
        values = [0.0, *(mean[unit].item() for mean in trace)]
        ax.plot(values, next(marks), ms=5, lw=1.2, color=colors[name])
        ends[name] = (len(trace), values[-1])
    label_ends(ax, ends, colors)
    ax.set(xlabel="batches", ylabel="running mean of a unit")
    return figure


def accumulated(parts: Sequence[int], distances: Mapping[str, Sequence[Sequence[float]]]) -> Figure:
    """Draw how far a gradient of parts is from that of the whole batch, a line for each seed.

    Args:
        parts: into how many parts the batch was cut.
        distances: method -> seed -> relative distance for each number of parts.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 3.2))
    colors = {"no norm": COLORS["plain"], "LN": COLORS["LN"], "BN": COLORS["BN"]}
    ends = {}
    for name, rows in distances.items():
        for row in rows:
            ax.loglog(parts, row, color=colors[name], lw=1, marker="o", ms=3)
        ends[name] = (parts[-1], float(np.median([row[-1] for row in rows])))
    label_ends(ax, ends, colors)
    ax.minorticks_off()
    ax.set_xticks([*parts], [str(part) for part in parts])
    ax.set(xlabel="parts of the batch of 64", ylabel="distance / length of the gradient")
    return figure

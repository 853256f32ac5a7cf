"""The figures that only this chapter draws."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from normlab.style import COLORS, INK, WIDTH, label_ends

# The norm chooses the colour, what else is changed the dash.
_COLORS = {"BN": COLORS["BN"], "GN": COLORS["GN"]}
_DASHES = {
    "BN alone": ":",
    "BN, zero gamma": "--",
    "neither": ":",
    "scaled branches": "--",
}


def _color(name: str) -> str:
    return _COLORS.get(name[:2], COLORS["plain"])


def through_depth(
    lines: Mapping[str, Sequence[Sequence[float]]], places: Sequence[int], xlabel: str, ylabel: str
) -> Figure:
    """Draw what varies with depth on a log axis: thin lines for seeds, a thick one for the median.

    Args:
        lines: name -> values [seeds, places]. Names that begin with BN are blue, the others orange.
        places: where the values stand.
        xlabel: label of the horizontal axis.
        ylabel: label of the vertical axis.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 3.8))
    ends = {}
    for name, values in lines.items():
        color, dash = _color(name), _DASHES.get(name, "-")
        ax.plot(places, np.transpose(values), dash, color=color, lw=0.7, alpha=0.6)
        median = np.median(values, axis=0)
        ax.plot(places, median, dash, color=color, lw=2.4)
        ends[name] = (places[-1], median[-1])
    ax.set(yscale="log", xlabel=xlabel, ylabel=ylabel)
    ax.minorticks_off()
    label_ends(ax, ends, {name: _color(name) for name in ends})
    return figure


def accuracies(rows: Mapping[str, Mapping[str, Sequence[float]]], guess: float = 10) -> Figure:
    """Draw a row of dots for each method: a dot per seed, and a tick at the mean.

    Args:
        rows: method -> what it was tried on -> percents [seeds]. The first is filled, the second,
            if there is one, is drawn as rings.
        guess: the accuracy of a guess, a dotted line.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 0.9 + 0.38 * len(rows)))
    tried = list(next(iter(rows.values())))
    for place, (name, by_test) in enumerate(rows.items()):
        color = _color(name)
        for values, face in zip(by_test.values(), (color, "none"), strict=False):
            ax.plot(values, [place] * len(values), "o", mfc=face, mec=color, alpha=0.8, ms=7)
            ax.plot([np.mean(values)], [place], "|", color=color, ms=18, mew=2)
    if len(tried) > 1:
        for test, face in zip(tried, (INK, "none"), strict=True):
            ax.plot([], [], "o", mfc=face, mec=INK, label=test)
        figure.legend(loc="outside upper right", ncols=2, frameon=False, labelcolor=INK)
    ax.axvline(guess, color=INK, lw=0.8, ls=":")
    ax.set_yticks(range(len(rows)), rows)
    ax.set(xlabel="test accuracy (%)", xlim=(0, None), ylim=(len(rows) - 0.5, -0.5))
    return figure

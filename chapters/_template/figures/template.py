"""The figures that only this chapter draws."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from normlab.style import COLORS, INK


def scatter_of_means(found: Mapping[int, float], expected: Mapping[int, float]) -> Figure:
    """Draw how much the means of batches scatter: what was found, over what theory expects.

    Args:
        found: batch size -> standard deviation of the means.
        expected: the same by theory.
    """
    figure, ax = plt.subplots()
    ax.loglog(expected.keys(), expected.values(), color=INK, lw=1)
    ax.loglog(found.keys(), found.values(), "o", color=COLORS["BN"])
    ax.minorticks_off()
    ax.set_xticks([*found], labels=map(str, found))
    ax.set_yticks(ticks := [0.1, 0.2, 0.4, 0.8], labels=map(str, ticks))
    ax.set_xlabel("batch size")
    ax.set_ylabel("standard deviation of the mean")
    return figure

"""The figures that only this chapter draws."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from normlab.style import INK, WIDTH, heading


def stored_against_seen(panels: Mapping[str, tuple[Tensor, Tensor]]) -> Figure:
    """Draw the running mean of each channel over the mean of the data, a panel for each model.

    Args:
        panels: name -> means of the data [C] and running means [C]; where all of the latter are
            inf or NaN the panel says so.
    """
    figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 5), sharex=True, sharey=True)
    for ax, (name, (seen, stored)) in zip(axes.flat, panels.items(), strict=True):
        ax.axline((0, 0), slope=1, color=INK, lw=1, ls="dashed")
        heading(ax, name, fontweight="bold")
        if not stored.isfinite().any():
            ax.annotate("inf or NaN\nin every channel", (0.5, 0.75), xycoords="axes fraction",
                        ha="center", va="center")  # fmt: skip
        ax.plot(seen.tolist(), stored.tolist(), "o", ms=4, color=INK)
        ax.set_box_aspect(0.8)
    figure.supxlabel("mean of the data")
    figure.supylabel("running mean")
    return figure

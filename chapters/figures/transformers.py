"""The figures that only this chapter draws, and the text on which it trains."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from normlab.style import COLORS, INK, WIDTH, heading

# Both places hold an LN: one colour, two dashes.
_LINES = {
    "pre-LN": (COLORS["LN"], "-"),
    "post-LN": (COLORS["LN"], "--"),
    "no norm": (COLORS["plain"], "-"),
}


def book() -> str:
    """Return some prose of the course, fixed once, so that no correction of it moves a result."""
    return Path(__file__).with_name("book.txt").read_text(encoding="utf-8").strip()


def by_block(lines: Mapping[str, Tensor], ylabel: str) -> Figure:
    """Draw a quantity over blocks, a line per seed: all networks, and those that have a norm.

    Args:
        lines: kind of network, which chooses colour and dash -> [seeds, blocks].
        ylabel: label of the vertical axes.
    """
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3))
    for ax in axes:
        for kind, values in lines.items():
            if kind == "no norm" and ax is axes[1]:
                continue
            color, dash = _LINES[kind]
            blocks = np.arange(1, values.shape[1] + 1)
            ax.plot(blocks, values.numpy().T, dash, color=color, lw=1.5)
            if kind == "no norm" or ax is axes[1]:
                place = {"no norm": (0.6, 0.8), "post-LN": (0.25, 0.9), "pre-LN": (0.6, 0.06)}
                ax.text(*place[kind], kind, color=color, fontweight="bold", transform=ax.transAxes)
        ax.set_xlabel("block")
        ax.set_xticks([1, *range(6, len(blocks) + 1, 6)])
    axes[0].set(yscale="log", ylabel=ylabel)
    axes[0].minorticks_off()
    axes[1].set_ylim(bottom=0)
    return figure


def loss_maps(
    panels: Mapping[str, Tensor], depths: Sequence[int], rates: Sequence[float], guess: float
) -> Figure:
    """Draw a map of losses per way of training; cells that are better than a guess are filled.

    Args:
        panels: way -> losses [depths, rates, seeds]; the cells show their means.
        depths: blocks, from top to bottom.
        rates: learning rates, from left to right.
        guess: a loss that needs no learning.
    """
    size = (WIDTH, 0.6 + 0.75 * len(depths))
    figure, axes = plt.subplots(2, 2, figsize=(size[0], 1.4 * size[1]), sharex=True, sharey=True)
    for ax, (way, losses) in zip(axes.flat, panels.items(), strict=True):
        means = losses.mean(2).numpy()
        color = COLORS["plain"] if way == "no norm" else COLORS["LN"]
        for (i, j), value in np.ndenumerate(means):
            better = guess - value  # nan: it diverged
            alpha = min(0.7, 0.2 + better) if better > 0.1 else 0
            ax.add_patch(plt.Rectangle((j, i), 1, 1, fc=color, ec=INK, lw=0.7, alpha=alpha))
            ax.add_patch(plt.Rectangle((j, i), 1, 1, fc="none", ec=INK, lw=0.7))
            text = f"{value:.2f}" if np.isfinite(value) else "diverged"
            ax.text(j + 0.5, i + 0.5, text, ha="center", va="center")
        ax.set(xlim=(0, len(rates)), ylim=(len(depths), 0))
        ax.set_xticks(np.arange(len(rates)) + 0.5, [f"{r:g}" for r in rates])
        ax.set_yticks(np.arange(len(depths)) + 0.5, depths)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        heading(ax, way, color=color, fontweight="bold")
    figure.supxlabel("learning rate")
    figure.supylabel("blocks")
    return figure


def growth(lines: Mapping[tuple[str, float], Sequence[Sequence[float]]], every: int) -> Figure:
    """Draw the largest logit during training: a panel per rate, a line per seed.

    Args:
        lines: method and rate -> values [seeds, times]. The second method is dashed.
        every: steps between two values.
    """
    rates = list(dict.fromkeys(rate for _, rate in lines))
    names = list(dict.fromkeys(name for name, _ in lines))
    figure, axes = plt.subplots(1, len(rates), figsize=(WIDTH, 3), sharey=True, squeeze=False)
    for ax, rate in zip(axes.flat, rates, strict=True):
        for name, dash in zip(names, ("-", "--"), strict=True):
            values = np.array(lines[name, rate])
            steps = every * np.arange(values.shape[1])
            for i, run in enumerate(values):
                label = name if i == 0 else None
                ax.plot(steps, run, dash, color=COLORS["LN"], lw=1.6, label=label)
        ax.set(yscale="log", xlabel="step")
        ax.minorticks_off()
        heading(ax, f"rate {rate:g}")
    axes[0, 0].set_ylabel("largest logit")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False,
                  labelcolor="linecolor")  # fmt: skip
    return figure


def by_rate(losses: Mapping[str, Sequence[float]], rates: Sequence[float], guess: float) -> Figure:
    """Draw losses over the learning rate: a line for LN, one without a norm, others for DyT.

    Args:
        losses: way, which names the norm -> a loss for each of `rates`; nan has diverged.
        rates: learning rates.
        guess: a loss that needs no learning.
    """
    figure, ax = plt.subplots()
    ends, colors = {}, {"pre-LN": COLORS["LN"], "no norm": COLORS["plain"]}
    dashes = iter(["--", "-", ":"])
    for way, values in losses.items():
        color = colors.get(way, INK)
        dash = "-" if way in colors else next(dashes)
        ax.plot(rates, values, dash, marker="o", color=color)
        last = max(i for i, value in enumerate(values) if np.isfinite(value))
        ends[way] = (rates[last], values[last], color)
    ax.axhline(guess, color=INK, lw=0.8, ls=":")
    ax.set(xscale="log", xlabel="learning rate", ylabel="test loss (nats per character)")
    ax.set_xticks(rates, [f"{r:g}" for r in rates])
    ax.minorticks_off()
    ax.text(rates[0], guess, "a guess", va="bottom")
    below = np.inf
    for way, (x, y, color) in sorted(ends.items(), key=lambda end: -end[1][1]):
        below = min(y, below - 0.045) if x == rates[-1] else y
        ax.annotate(way, (x, below), xytext=(8, 0), textcoords="offset points", va="center",
                    color=color, fontweight="bold")  # fmt: skip
    return figure

"""The figures that only this chapter draws."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from normlab.style import COLORS, INK, WIDTH, label_ends

SIDES = {"with BN": COLORS["with BN"], "folded": INK}  # folded is no method of its own


def reaches(weights: Mapping[str, Sequence[float]], steps: int) -> Figure:
    """Draw how far the weights of each channel reach, and the step of a grid that serves them all.

    Args:
        weights: which weights -> the largest absolute one of each channel.
        steps: whole numbers between zero and the largest weight of all.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 2.2))
    names = [*weights][::-1]
    for y, name in enumerate(names):
        values = np.asarray(weights[name])
        ax.plot(values, np.full(len(values), y), "o", ms=6, alpha=0.6, color=SIDES[name])
        step = values.max() / steps
        ax.plot([step, step], [y - 0.32, y + 0.32], color=SIDES[name], lw=2)
        ax.annotate("step", (step, y + 0.32), xytext=(0, 2), textcoords="offset points",
                    ha="center", color=SIDES[name])  # fmt: skip
    ax.set_xscale("log")
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(-0.5, len(names) - 0.3)
    ax.tick_params(left=False)
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("largest absolute weight of a channel")
    return figure


def accuracies(results: Mapping[str, Sequence[float]]) -> Figure:
    """Draw accuracies in percent, a row for each way and a mark for each seed.

    Args:
        results: name of the way -> one accuracy (0..1) per seed; a way whose name begins with
            "folded" is drawn as such, and one that ends with "channel" with open marks.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 0.5 + 0.42 * len(results)))
    for y, (name, values) in enumerate(reversed(results.items())):
        color = SIDES["folded" if name.startswith("folded") else "with BN"]
        face = "none" if name.endswith("channel") else color
        ax.plot(100 * np.asarray(values), [y] * len(values), "o", ms=7, mfc=face, mec=color,
                alpha=0.8)  # fmt: skip
    ax.set_yticks(range(len(results)), [*results][::-1])
    ax.set_ylim(-0.5, len(results) - 0.5)
    ax.set_xlim(0, None)
    ax.grid(axis="y", lw=0.4)
    ax.set_xlabel("accuracy on the test images (%), one mark per seed")
    return figure


def trained_on(results: Mapping[str, Mapping[float, Sequence[float]]], start: float) -> Figure:
    """Draw accuracies after more training over the learning rate, and where it began.

    Args:
        results: "with BN" or "folded" -> learning rate -> one accuracy (0..1) per seed.
        start: mean accuracy (0..1) before.
    """
    figure, ax = plt.subplots()
    ends = {}
    for name, by_rate in results.items():
        rates, runs = [*by_rate], 100 * np.array([*by_rate.values()])  # [rates, seeds]
        ax.plot(rates, runs, "o", ms=5, color=SIDES[name], alpha=0.6)
        ax.plot(rates, np.median(runs, axis=1), color=SIDES[name], lw=2)
        ends[name] = (rates[-1], float(np.median(runs[-1])))
    ax.axhline(100 * start, color=INK, lw=1, ls=":")
    ax.annotate("before", (rates[0], 100 * start), xytext=(0, -14), textcoords="offset points")
    ax.set_xscale("log")
    ax.set_xticks(rates, [f"{rate:g}" for rate in rates])
    ax.minorticks_off()
    ax.set_ylim(0, None)
    ax.set(xlabel="learning rate", ylabel="accuracy after an epoch (%)")
    label_ends(ax, ends, SIDES)
    return figure


def times(results: Mapping[int, Mapping[str, float]], baseline: str) -> Figure:
    """Draw times relative to that of one way, a row for each way, with a mark for each batch size.

    Args:
        results: batch size -> way -> time.
        baseline: the way that counts as 1.
    """
    ways = [*next(iter(results.values()))]
    figure, ax = plt.subplots(figsize=(WIDTH, 0.7 + 0.42 * len(ways)))
    for (size, by_way), marker, face in zip(results.items(), "oD", (INK, "none"), strict=False):
        x = [by_way[way] / by_way[baseline] for way in ways]
        ax.plot(x, range(len(ways))[::-1], marker, ms=8, color=INK, mfc=face,
                label=f"batch of {size}")  # fmt: skip
    ax.axvline(1, color=INK, lw=1, ls=":")
    ax.set_yticks(range(len(ways))[::-1], ways)
    ax.set_ylim(-0.5, len(ways) - 0.5)
    ax.set_xscale("log")  # half as long is as far from 1 as twice as long
    low, high = ax.get_xlim()
    marks = [m for m in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if low < m < high]
    ax.set_xticks(marks, [f"{mark:g}" for mark in marks])
    ax.minorticks_off()
    ax.grid(axis="y", lw=0.4)
    ax.set_xlabel(f"time of a batch, relative to that of the network {baseline}")
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return figure

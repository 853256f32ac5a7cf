"""The figures that only this chapter draws."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from normlab.style import COLORS, INK, WIDTH, heading, label_ends

# Where a label may stand: points from its dot to its edge, or its middle.
_BESIDE = [((5, 0), "left"), ((-5, 0), "right"), ((5, 6), "left"), ((-5, 6), "right"),
           ((5, -6), "left"), ((-5, -6), "right"), ((0, 9), "center"),
           ((0, -9), "center")]  # fmt: skip


def accuracy_by_rate(
    panels: Mapping[str, Mapping[str, Mapping[float, Sequence[float]]]],
    guess: float,
    xlabel: str = "learning rate",
) -> Figure:
    """Draw test accuracies over learning rates: dots for seeds, lines through their means.

    Args:
        panels: label of the panel -> name of the method -> rate -> percent, one per seed.
        guess: percent that a guess gets right.
        xlabel: what the rates are.
    """
    figure, axes = plt.subplots(
        1, len(panels), figsize=(WIDTH, 3.0), sharex=True, sharey=True, squeeze=False
    )
    for ax, (network, lines) in zip(axes[0], panels.items(), strict=True):
        for name, by_rate in lines.items():
            for rate, found in by_rate.items():
                ax.plot([rate] * len(found), found, "o", color=COLORS[name], alpha=0.5, ms=4)
            means = [np.mean(found) for found in by_rate.values()]
            ax.plot(list(by_rate), means, color=COLORS[name])
        ax.axhline(guess, color=INK, lw=1, ls=":")
        ax.set_xscale("log")
        rates = sorted({rate for by_rate in lines.values() for rate in by_rate})
        ax.set_xticks(rates, [f"{rate:g}" for rate in rates])
        ax.set_xticks([], minor=True)
        heading(ax, network)
    axes[0, 0].set_ylabel("test accuracy (%)")
    axes[0, 0].set_ylim(0, 104)
    figure.supxlabel(xlabel, color=INK)
    last = list(panels.values())[-1]
    if max(np.mean(found) for by_rate in last.values() for found in by_rate.values()) < 60:
        for i, name in enumerate(last):  # above the lines of the last panel
            axes[0, -1].text(0.98, 0.88 - 0.1 * i, name, color=COLORS[name], fontweight="bold",
                             ha="right", transform=axes[0, -1].transAxes)  # fmt: skip
        return figure
    for name, by_rate in next(iter(panels.values())).items():
        rate, mean = max(by_rate), np.mean(by_rate[max(by_rate)])
        axes[0, 0].annotate(
            name, (rate, mean), xytext=(0, -20 if mean > 80 else 10), ha="right",
            textcoords="offset points", color=COLORS[name], fontweight="bold",
        )  # fmt: skip
    return figure


def loss_by_shift(panels: Mapping[str, Mapping[str, tuple[float, float]]]) -> Figure:
    """Draw the loss of each network over the movement of its distributions, a panel per setting.

    Args:
        panels: setting -> short name -> (movement, loss), drawn on log axes.
    """
    rows = -(-len(panels) // 2)
    figure, axes = plt.subplots(
        rows, 2, figsize=(WIDTH, 0.4 + 3 * rows), sharex=True, sharey=True, squeeze=False
    )
    for ax, (setting, points) in zip(axes.flat, panels.items(), strict=False):
        for name, (x, y) in points.items():
            ax.plot(x, y, "o", color=_color(name), ms=5)
        ax.set_xscale("log")
        ax.set_yscale("log")
        heading(ax, setting)
    for ax in axes.flat[len(panels) :]:
        ax.axis("off")
        axes.flat[1].tick_params(labelbottom=True)
    found = np.array([point for points in panels.values() for point in points.values()])  # [P, 2]
    low, high = found.min(0) / 2, found.max(0) * 2
    axes.flat[0].set(xlim=(low[0], 8 * high[0]), ylim=(low[1], high[1]))
    figure.supxlabel("movement of the means in a step (units of the spread)", color=INK)
    figure.supylabel("training loss", color=INK)
    figure.draw_without_rendering()  # from here on it is known where a label would stand
    for ax, points in zip(axes.flat, panels.values(), strict=False):
        _label_points(ax, points)
    return figure


def _label_points(ax: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    """Write each name beside its point, at the first place that is free."""
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10)
             for x, y in ax.transData.transform([*points.values()])]  # fmt: skip
    for name, point in points.items():
        for offset, side in _BESIDE:
            label = ax.annotate(name, point, xytext=offset, textcoords="offset points", ha=side,
                                color=_color(name), va="center")  # fmt: skip
            label.set_in_layout(False)
            box = label.get_window_extent()
            if box.count_overlaps(taken) == 0 and ax.bbox.x0 < box.x0 < box.x1 < ax.bbox.x1:
                break
            if (offset, side) != _BESIDE[-1]:
                label.remove()
        taken.append(box)


def rate_by_smoothness(
    points: Mapping[str, Sequence[tuple[float, float]]], products: Sequence[float]
) -> Figure:
    """Draw the best rate of each network over its effective smoothness, on log axes.

    Args:
        points: short name -> (beta, rate), one per kind and setting.
        products: rate times beta is constant on the dotted lines.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 3.6))
    everything = np.array([point for found in points.values() for point in found])  # [P, 2]
    low, high = everything.min(0) / 1.6, everything.max(0) * 1.6
    for name, found in points.items():
        color = _color(name)
        ax.plot(*np.transpose(found), "o", color=color, ms=7, alpha=0.7)
    beta = np.geomspace(low[0], high[0], 2)
    for product in products:
        ax.plot(beta, product / beta, ":", color=INK, lw=1.4)
        end = min(high[0], product / low[1])
        ax.annotate(f"{product:g}", (end, product / end), color=INK, ha="right", va="bottom")
    ax.set(xscale="log", yscale="log", xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    ax.set_xticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
    ax.set_yticks([0.03, 0.1, 0.3, 1, 3], ["0.03", "0.1", "0.3", "1", "3"])
    ax.minorticks_off()
    ax.set_xlabel("effective smoothness β along the step")
    ax.set_ylabel("best learning rate")
    for i, name in enumerate(("without BN", "with BN", "others")):
        ax.text(0.02, 0.19 - 0.08 * i, name, color=_color(name), fontweight="bold",
                transform=ax.transAxes)  # fmt: skip
    return figure


def means_by_layer(panels: Mapping[str, Mapping[str, Sequence[Sequence[float]]]]) -> Figure:
    """Draw the size of the channel means over the layers, a panel per network.

    Args:
        panels: name of the network -> name of the method -> values [seeds, layers].
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 2.8), sharey=True, squeeze=False)
    for ax, (network, lines) in zip(axes[0], panels.items(), strict=True):
        ends = {}
        for name, runs in lines.items():
            layers = np.arange(1, len(runs[0]) + 1)
            ax.plot(layers, np.transpose(runs), color=COLORS[name], lw=0.9, alpha=0.6)
            mean = np.mean(runs, axis=0)
            ax.plot(layers, mean, color=COLORS[name], lw=2.4)
            ends[name] = (layers[-1], mean[-1])
        ax.set_xticks(layers)
        ax.set_xlabel("layer")
        heading(ax, network)
    label_ends(axes[0, -1], ends)
    axes[0, 0].set_ylabel("channel mean / spread")
    axes[0, 0].set_ylim(bottom=0)
    return figure


def growth_by_step(panels: Mapping[str, Mapping[float, np.ndarray]]) -> Figure:
    """Draw how weights in front of BN grow over the steps: a line per rate, the band of its seeds.

    Args:
        panels: name of the network -> rate -> lengths relative to the first [seeds, steps].
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 3.0), sharey=True, squeeze=False)
    color = COLORS["with BN"]
    for ax, (network, lines) in zip(axes[0], panels.items(), strict=True):
        for found in map(np.asarray, lines.values()):
            steps = np.arange(1, found.shape[1] + 1)
            ax.fill_between(steps, found.min(0), found.max(0), color=color, alpha=0.2, lw=0)
            ax.plot(steps, found.mean(0), color=color)
        ax.set_yscale("log")
        ax.set_xlabel("step")
        heading(ax, network)
    axes[0, 0].set_yticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    axes[0, 0].minorticks_off()
    axes[0, 0].set_ylabel("length / length at the start")
    for ax, lines in zip(axes[0], panels.values(), strict=True):
        means = {rate: np.asarray(v).mean(0) for rate, v in lines.items()}
        last = {rate: (len(mean), mean[-1]) for rate, mean in means.items()}
        flat = [rate for rate, (_, length) in last.items() if length < 1.1]  # on one another
        ends = {f"{flat[0]:g} to {flat[-1]:g}": last[flat[0]]} if flat else {}
        ends |= {f"{rate:g}": end for rate, end in last.items() if rate not in flat}
        label_ends(ax, ends, dict.fromkeys(ends, color))
    return figure


def _color(name: str) -> str:
    """Return the colour of a method; what has none in this book is grey."""
    return COLORS.get(name, COLORS["with BN"] if name.startswith(("noise", "each")) else INK)

"""The figures that only this chapter draws."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from normlab.style import COLORS, INK, WIDTH, heading, label_ends

# Orange and blue are kept for "without BN" and "with BN".
_OWN = {
    "bias²": COLORS["IN"],
    "variance": COLORS["after"],
    "noise": INK,
    "error": COLORS["GN"],
    "training mode": COLORS["IN"],
    "eval mode": COLORS["after"],
    "no decay": COLORS["with BN"],
    "plain": COLORS["after"],
}


def _color(name: str) -> str:
    return _OWN.get(name, COLORS.get(name, INK))


def _names(ax: plt.Axes, places: Mapping[str, tuple[float, float]], **style: str) -> None:
    for name, (x, y) in places.items():
        ax.text(x, y, name, color=_color(name), fontweight="bold", **style)


def errors_by_decay(errors: Mapping[str, Tensor], decays: Sequence[float]) -> Figure:
    """Draw test errors [decays, seeds] in percent: a dot per seed, a line through the means.

    Args:
        errors: "without BN" and "with BN" -> errors.
        decays: evenly spaced on the axis, since the first is 0.
    """
    figure, ax = plt.subplots()
    places = np.arange(len(decays))
    for (name, values), offset in zip(errors.items(), (-0.04, 0.04), strict=True):
        ax.plot(places + offset, values, "o", color=COLORS[name], alpha=0.6, markersize=4)
        ax.plot(places + offset, values.mean(dim=1), color=COLORS[name])
    _names(ax, {"without BN": (2.3, 75), "with BN": (0.75, 36)})
    ax.texts[0].set_ha("right")
    ax.set_xticks(places, [f"{d:g}" for d in decays])
    ax.set(xlabel="weight decay", ylabel="test error (%)", ylim=(0, 100))
    return figure


def error_parts(panels: Mapping[str, Mapping[float, Mapping[str, float]]], noise: float) -> Figure:
    """Draw the parts of an error over a setting, one panel per setting.

    Args:
        panels: axis label -> setting -> name of the part -> value. Settings that are not integers
            get a log axis. The names are written at the lines of the last panel.
        noise: the part that is the same for all.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 3), sharey=True, squeeze=False)
    for ax, (label, results) in zip(axes[0], panels.items(), strict=True):
        settings = list(results)
        lines = {n: [r[n] for r in results.values()] for n in ("bias²", "variance", "error")}
        lines["noise"] = [noise] * len(settings)
        for name, values in lines.items():
            ax.plot(settings, values, color=_color(name), lw=2.6 if name == "error" else 1.6)
        if any(s != int(s) for s in settings):
            ax.set_xscale("log")
        else:
            ax.set_xticks(settings[::2])
        ax.set_xlabel(label)
    label_ends(ax, {name: (settings[-1], values[-1]) for name, values in lines.items()})
    for text in ax.texts:
        text.set_color(_color(text.get_text()))
    axes[0, 0].set_ylabel("mean squared error")
    return figure


def penalties(hessian: Tensor, center: Tensor, points: Mapping[str, Tensor]) -> Figure:
    """Draw the contours of a quadratic loss of two weights that touch the region of a penalty.

    Args:
        hessian: [2, 2], of the loss.
        center: [2], where the loss has its minimum.
        points: "L1" and "L2" -> the weights [2] of the smallest loss plus penalty.
    """
    figure, axes = plt.subplots(1, len(points), figsize=(WIDTH, 3.4), sharey=True)
    x = np.linspace(-0.9, 2.6, 300)
    y = np.linspace(-0.9, 1.6, 300)
    offsets = np.stack(np.meshgrid(x, y), axis=-1) - center.numpy()  # [300, 300, 2]
    loss = np.einsum("...i,ij,...j->...", offsets, hessian.numpy(), offsets)
    angle = np.linspace(0, 2 * np.pi, 401)
    circle = np.stack([np.cos(angle), np.sin(angle)])  # [2, points]
    for ax, (name, point) in zip(axes, points.items(), strict=True):
        order = 1 if name == "L1" else 2
        size = np.linalg.norm(point, order)
        border = size * circle / np.linalg.norm(circle, order, axis=0)
        ax.fill(*border, color=COLORS["weight decay"], alpha=0.25, lw=0)
        ax.plot(*border, color=COLORS["weight decay"])
        offset = (point - center).numpy()
        touching = offset @ hessian.numpy() @ offset
        ax.contour(x, y, loss, touching * np.array([0.1, 0.4, 1, 2]), colors=INK,
                   linewidths=[0.8, 0.8, 1.8, 0.8])  # fmt: skip
        ax.plot(*center, "+", color=INK, markersize=10)
        ax.plot(*point, "o", color=COLORS["weight decay"])
        ax.axhline(0, color=INK, lw=0.6)
        ax.axvline(0, color=INK, lw=0.6)
        ax.annotate(name, (0, 1), xycoords="axes fraction", xytext=(2, 4), fontweight="bold",
                    textcoords="offset points")  # fmt: skip
        ax.set(aspect="equal", xlabel="$w_1$", xticks=[0, 1, 2], yticks=[0, 1])
    axes[0].set_ylabel("$w_2$")
    return figure


def fits(
    rows: Mapping[str, Mapping[str, Mapping[str, Tensor]]],
    grid: Tensor,
    points: Sequence[tuple[Tensor, Tensor]],
    slope: float,
) -> Figure:
    """Draw fitted curves through points of a noisy line, in a grid of panels.

    Args:
        rows: row label -> column label -> name of the line -> its values on `grid`.
        grid: [G, 1].
        points: the training inputs and targets of each column.
        slope: of the true line through the origin, which is drawn in grey.
    """
    columns = len(points)
    figure, axes = plt.subplots(
        len(rows), columns, figsize=(WIDTH, 0.5 + 1.55 * len(rows)), sharex=True, sharey=True,
        squeeze=False,
    )  # fmt: skip
    for (row, panels), line_of_axes in zip(rows.items(), axes, strict=True):
        for ax, (column, lines), (x, y) in zip(line_of_axes, panels.items(), points, strict=True):
            ax.plot(grid, slope * grid, color=INK, lw=1.2, ls="--", zorder=3)  # over the curves
            ax.plot(x, y, "o", color=INK, markersize=3, alpha=0.5)
            for name, values in lines.items():
                ax.plot(grid, values, color=_color(name), lw=2)
            if ax in axes[0]:
                heading(ax, column, y=4)
        ax.set_xticks([-1, 0, 1])
        one = row in lines  # the row is called by its only line
        line_of_axes[0].set_ylabel(row, color=_color(row) if one else INK)
        if not one:
            heights = dict(zip(lines, (0.14, 0.03), strict=False))
            _names(axes[0, 0], {n: (0.98, h) for n, h in heights.items()}, ha="right",
                   transform=axes[0, 0].transAxes)  # fmt: skip
    for ax in axes[-1]:
        ax.set_xlabel("$x$")
    return figure


def histograms(layers: Mapping[str, int], weights: Mapping[str, Callable[[int], Tensor]]) -> Figure:
    """Draw the weights of some layers, a panel each, every curve scaled to its own peak.

    Args:
        layers: label -> the number of the layer.
        weights: method -> its weights in a layer of that number.
    """
    figure, axes = plt.subplots(1, len(layers), figsize=(WIDTH, 2.8), sharey=True)
    for ax, (label, number) in zip(axes, layers.items(), strict=True):
        border = 0.15 if number > 0 else 0.5
        for name, take in weights.items():
            bins = 61 if number > 0 else 25
            counts = torch.histc(take(number), bins, -border, border)
            ax.stairs(counts / counts.max(), np.linspace(-border, border, bins + 1), lw=2,
                      color=_color(name))  # fmt: skip
        ax.set(xlabel=f"weight, {label}", yticks=[])
    axes[0].set_ylabel("share of the peak")
    places = {name: (0.02, 1.02 - 0.12 * i) for i, name in enumerate(weights)}
    _names(axes[1], places, transform=axes[1].transAxes, va="top")
    return figure


def batch_noise(noise: Mapping[int, Sequence[float]], expected: Sequence[float]) -> Figure:
    """Draw the noise of BN over the batch size: dots as measured, a dashed line as expected."""
    figure, ax = plt.subplots(figsize=(WIDTH, 2.8))
    for m, values in noise.items():
        ax.plot([m] * len(values), values, "o", color=COLORS["with BN"], alpha=0.6)
    ax.plot(list(noise), expected, "--", color=INK, zorder=0)
    ax.text(20, 0.33, r"$\sqrt{3/(2m)}$", color=INK)
    ax.set(xscale="log", yscale="log", xlabel="batch size $m$")
    ax.set_ylabel("noise (standard deviation)")
    ax.set_xticks(list(noise), [str(m) for m in noise])
    ax.set_yticks([0.1, 0.2, 0.5], ["0.1", "0.2", "0.5"])
    ax.minorticks_off()
    return figure


def exchange(runs: Mapping[str, Sequence[tuple[list[float], list[float], float]]]) -> Figure:
    """Draw the losses and the effective rates of each epoch, for each kind of training."""
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3))
    figure.get_layout_engine().set(wspace=0.08)
    for (kind, seeds), dash in zip(runs.items(), "--:", strict=True):
        look = {"color": _color(kind), "ls": dash, "lw": 2.4}
        for loss, rates, _ in seeds:
            axes[0].plot(range(1, len(loss) + 1), loss, **look)
            axes[1].plot(range(1, len(rates) + 1), rates, **look)
    places = dict(zip(runs, ((24, 0.17), (10, 1.0), (10, 1.16)), strict=True))
    _names(axes[0], places)
    axes[0].set(ylabel="training loss", xlabel="epoch")
    axes[1].set(ylabel="effective learning rate", yscale="log", xlabel="epoch")
    axes[1].set_yticks([0.002, 0.005, 0.01], ["0.002", "0.005", "0.01"])
    axes[1].minorticks_off()
    return figure

"""One style for all figures, one colour per method, and the figures that several chapters draw."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from normlab.training import History

# Colours that colour-blind readers tell apart and that hold on white and on dark grey.
_NONE, _BATCH, _GROUP, _LAYER, _INSTANCE = "#d55e00", "#2c7fb8", "#009e73", "#cc79a7", "#8c6bb1"
COLORS = {
    "without BN": _NONE,
    "with BN": _BATCH,
    "with BN and noise": _BATCH,
    "with BN, drawn beta": _LAYER,
    "momentum 0.1": _BATCH,
    "momentum 1": _BATCH,
    "nn.BatchNorm": _BATCH,
    "before": _BATCH,  # BN before the activation, where it usually stands
    "after": "#a6761d",
    "normlab": _GROUP,
    "autograd": _INSTANCE,
    "one-pass": _NONE,
    "Welford": _LAYER,
    "two-pass": _GROUP,
    "BN": _BATCH,
    "GN": _GROUP,
    "LN": _LAYER,
    "IN": _INSTANCE,
    "RMSNorm": "#a6761d",  # as "after": of the colours that hold, the farthest from the family's
    "plain": _NONE,
    "weight decay": _GROUP,
    "growing rate": _LAYER,
    "dropout": _LAYER,
    "training mode": _BATCH,
    "eval mode": _NONE,
    "bias²": _INSTANCE,
    "variance": _NONE,
    "noise": "#7a7a7a",
    "error": _BATCH,
}
INK = "#7a7a7a"  # text and axes: about 4.2 to 1 on white and on the dark page alike
WIDTH = 6.0  # inches, with FONT: a phone of 390 px shows the text at 9.5 px, a laptop at 15
FONT = 11  # points, of all text


def use_style() -> None:
    """Set the style of all figures that follow; call it once, at the top of a chapter."""
    plt.rcParams.update(
        {
            "figure.dpi": 100,
            "figure.figsize": (WIDTH, 3.2),
            "savefig.pad_inches": 0.03,
            "figure.constrained_layout.use": True,
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "savefig.facecolor": "none",
            "font.size": FONT,
            "axes.titlesize": FONT,
            "figure.labelsize": FONT,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "lines.linewidth": 1.8,
            "image.cmap": "gray",
        }
    )
    try:
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:  # not in a notebook
        return
    set_matplotlib_formats("retina")


def curves(
    histories: Mapping[str, Sequence[History]],
    quantity: str = "test_accuracy",
    ax: Axes | None = None,
    percent: bool = True,
) -> Axes:
    """Draw one quantity per epoch: thin lines for the seeds, a thick one for their mean.

    Args:
        histories: runs by name, one per seed; the names choose the colours.
        quantity: a field of `History`.
        ax: where to draw; None makes a figure.
        percent: show a fraction (0..1) in percent.
    """
    ax = plt.subplots()[1] if ax is None else ax
    scale = 100 if percent else 1
    ends = {}
    for name, runs in histories.items():
        values = scale * np.array([getattr(run, quantity) for run in runs])  # [seeds, epochs]
        ends[name] = seeds_and_mean(ax, values, COLORS[name])
    label_ends(ax, ends)
    ax.set_xlabel("epoch")
    ax.set_ylabel(quantity.replace("_", " ") + (" (%)" if percent else ""))
    ax.xaxis.get_major_locator().set_params(integer=True)
    return ax


def seeds_and_mean(ax: Axes, values: np.ndarray, color: str) -> tuple[float, float]:
    """Draw values [seeds, epochs] with the band that they fill; return where their mean ends."""
    epochs, mean = np.arange(1, values.shape[1] + 1), values.mean(0)
    ax.fill_between(epochs, values.min(0), values.max(0), color=color, alpha=0.2, lw=0)
    ax.plot(epochs, values.T, color=color, lw=0.7, alpha=0.7)
    ax.plot(epochs, mean, color=color, lw=2.4)
    return epochs[-1], mean[-1]


def label_ends(
    ax: Axes, ends: Mapping[str, tuple[float, float]], colors: Mapping[str, str] = COLORS
) -> None:
    """Write each name at the right end of its line, in its colour; move apart what would touch."""
    ax.get_ylim()  # brings transData up to date
    points = 72 / ax.figure.dpi
    start = {name: points * ax.transData.transform(end)[1] for name, end in ends.items()}
    height = dict(start)
    for low, high in 10 * list(pairwise(sorted(height, key=height.get))):
        missing = max(0, 1.3 * FONT - (height[high] - height[low]))
        height[low] -= missing / 2
        height[high] += missing / 2
    for name, end in ends.items():
        ax.annotate(
            name, end, xytext=(8, height[name] - start[name]), textcoords="offset points",
            va="center", color=colors[name], fontweight="bold",
        )  # fmt: skip


def heading(ax: Axes, text: str, y: int = 5, **style: str) -> None:
    """Write a text above the middle of the axes, `y` points away."""
    ax.annotate(text, (0.5, 1), xycoords="axes fraction", xytext=(0, y), ha="center",
                textcoords="offset points", **style)  # fmt: skip


def seeds_by_setting(
    results: Mapping[str, Mapping[float, Sequence[float]]], xlabel: str, ylabel: str
) -> Axes:
    """Draw one dot per seed over a setting on a log axis, and a line through the means.

    Args:
        results: name of the method -> setting -> one value per seed.
        xlabel: label of the horizontal axis, with its unit.
        ylabel: label of the vertical axis, with its unit.
    """
    _, ax = plt.subplots()
    ends = {}
    for name, by_setting in results.items():
        settings = sorted(by_setting)
        values = [np.asarray(by_setting[s]) for s in settings]  # one array [seeds] per setting
        means = [v.mean() for v in values]
        for s, v in zip(settings, values, strict=True):
            ax.plot(np.full(len(v), s), v, "o", color=COLORS[name], alpha=0.6)
        ax.plot(settings, means, color=COLORS[name])
        ends[name] = (settings[-1], means[-1])
    ax.set_xscale("log")
    ticks = sorted({s for by_setting in results.values() for s in by_setting})
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks], minor=False)
    ax.set_xticks([], minor=True)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    label_ends(ax, ends)
    return ax


def image_grid(images: Tensor, titles: Sequence[str], columns: int = 5) -> Figure:
    """Show uint8 images [N, 3, H, W] in rows, each with a short title above it."""
    rows = -(-len(images) // columns)
    lines = 1 + max(title.count("\n") for title in titles)
    height = rows * (WIDTH / columns + 0.2 * lines)
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, height))
    for ax in np.ravel(axes):
        ax.axis("off")
    for ax, image, title in zip(np.ravel(axes), images, titles, strict=False):
        ax.imshow(image.permute(1, 2, 0).numpy())
        ax.set_title(title, color=INK, pad=3)
    return figure


def by_layer(rows: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]], log: set[str]) -> Figure:
    """Draw quantities over the layers of a network: a row each, a column per kind of network.

    Args:
        rows: quantity -> column -> line -> values [seeds, layers]. A line is called by a method and
            what varies, as in "with BN, scale 3": the method chooses the colour, the rest the dash.
        log: the quantities on a log axis.
    """
    columns = list(next(iter(rows.values())))
    figure, axes = plt.subplots(
        len(rows), len(columns), figsize=(WIDTH, 0.7 + 1.6 * len(rows)), sharex=True, sharey="row",
        squeeze=False,
    )  # fmt: skip
    dashes: dict[str, str] = {}
    for (quantity, row), line_of_axes in zip(rows.items(), axes, strict=True):
        for (column, lines), ax in zip(row.items(), line_of_axes, strict=True):
            for name, values in lines.items():
                method, _, variant = name.partition(", ")
                dash = dashes.setdefault(variant, ["-", "--", ":", "-."][len(dashes) % 4])
                layers = np.arange(1, values.shape[1] + 1)
                for i, run in enumerate(values):
                    ax.plot(layers, run, dash, color=COLORS[method], lw=1.5, alpha=0.8,
                            label=name if i == 0 else None)  # fmt: skip
            ax.set_xticks([1, 5, 10, 15, 20] if layers[-1] == 20 else layers)
            if quantity in log:
                ax.set_yscale("log")
            if ax in axes[0]:
                heading(ax, column)
        line_of_axes[0].set_ylabel(quantity)
    for ax in axes[-1]:
        ax.set_xlabel("layer")
    figure.align_ylabels()
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False,
                  labelcolor="linecolor")  # fmt: skip
    return figure

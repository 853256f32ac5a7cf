"""The figures that recur, in one style: one colour per method through the whole book."""

from collections.abc import Mapping, Sequence

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
    "nn.BatchNorm": _BATCH,
    "normlab": _GROUP,
    "BN": _BATCH,
    "GN": _GROUP,
    "LN": _LAYER,
    "IN": _INSTANCE,
}
INK = "#7a7a7a"  # text and axes: about 4.2 to 1 on white and on the dark page alike
WIDTH = 7.2  # inches: a column of 720 px at 100 dpi


def use_style() -> None:
    """Set the style of all figures that follow; call it once, at the top of a chapter."""
    plt.rcParams.update(
        {
            "figure.dpi": 100,
            "figure.figsize": (WIDTH, 3.2),
            "figure.constrained_layout.use": True,
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "savefig.facecolor": "none",
            "font.size": 10,
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
        epochs = np.arange(1, values.shape[1] + 1)
        ax.fill_between(epochs, values.min(0), values.max(0), color=COLORS[name], alpha=0.2, lw=0)
        ax.plot(epochs, values.T, color=COLORS[name], lw=0.7, alpha=0.7)
        ax.plot(epochs, values.mean(0), color=COLORS[name], lw=2.4)
        ends[name] = (epochs[-1], values.mean(0)[-1])
    _label_ends(ax, ends)
    ax.set_xlabel("epoch")
    ax.set_ylabel(quantity.replace("_", " ") + (" (%)" if percent else ""))
    ax.xaxis.get_major_locator().set_params(integer=True)
    return ax


def _label_ends(ax: Axes, ends: Mapping[str, tuple[float, float]]) -> None:
    """Write each name at the right end of its line, in its colour."""
    for name, (x, y) in ends.items():
        ax.annotate(
            name,
            (x, y),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=COLORS[name],
            fontweight="bold",
        )


def seeds_by_setting(
    results: Mapping[str, Mapping[float, Sequence[float]]], xlabel: str, ylabel: str
) -> Axes:
    """Draw one dot per seed over a setting on a log axis, and a line through the means.

    Args:
        results: name of the method -> setting -> one value per seed.
        xlabel, ylabel: axis labels with units.
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
    _label_ends(ax, ends)
    return ax


def image_grid(
    images: Tensor, titles: Sequence[str], columns: int = 10, colors: Sequence[str] | None = None
) -> Figure:
    """Show uint8 images [N, 3, H, W] in rows, each with a short title above it."""
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, rows * WIDTH / columns * 1.25))
    for ax in np.ravel(axes):
        ax.axis("off")
    colors = [INK] * len(images) if colors is None else colors
    for ax, image, title, color in zip(np.ravel(axes), images, titles, colors, strict=False):
        ax.imshow(image.permute(1, 2, 0).numpy())
        ax.set_title(title, fontsize=8, color=color, pad=3)
    return figure


def confusion(matrix: Tensor, classes: Sequence[str]) -> Axes:
    """Show a confusion matrix [true, predicted] of fractions of each row, in percent."""
    _, ax = plt.subplots(figsize=(WIDTH, 0.8 * WIDTH))
    percent = 100 * matrix.numpy()
    image = ax.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    for (i, j), value in np.ndenumerate(percent):
        if value >= 0.5:
            ax.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=8,
                    color="white" if value > 50 else "#222222")  # fmt: skip
    ax.set_xticks(range(len(classes)), classes, rotation=40, ha="right")
    ax.set_yticks(range(len(classes)), classes)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    ax.spines[:].set_visible(False)
    ax.figure.colorbar(image, ax=ax, label="share of the true class (%)", shrink=0.8)
    return ax

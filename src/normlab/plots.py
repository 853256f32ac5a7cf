"""The figures that recur, in one style: one colour per method through the whole book."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from normlab.training import History, predict

# Colours that colour-blind readers tell apart and that hold on white and on dark grey.
_NONE, _BATCH, _GROUP, _LAYER, _INSTANCE = "#d55e00", "#2c7fb8", "#009e73", "#cc79a7", "#8c6bb1"
COLORS = {
    "without BN": _NONE,
    "with BN": _BATCH,
    "with BN and noise": _BATCH,
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


def descent(panels: Mapping[str, tuple[Tensor, Tensor]], axes_names: tuple[str, str]) -> Figure:
    """Draw paths of gradient descent over the contours of a quadratic loss of two weights.

    Args:
        panels: label -> (Hessian [2, 2], weights [steps + 1, 2]); the path ends near the minimum.
        axes_names: what the two weights are.
    """
    minima = [path[-1].numpy() for _, path in panels.values()]
    figure, axes = plt.subplots(len(panels), 1, figsize=(WIDTH, 2.75 * len(panels)), squeeze=False)
    for ax, (name, (hessian, path)), minimum in zip(
        axes[:, 0], panels.items(), minima, strict=True
    ):
        offsets = path.numpy() - minimum  # [steps + 1, 2]
        half = 1.25 * np.abs(offsets).max(0)
        half = np.maximum(half, half[::-1] * np.array([2.9, 1 / 2.9]))  # panels of one shape
        grid = np.meshgrid(*(np.linspace(-h, h, 300) for h in half))
        points = np.stack(grid, axis=-1)  # [300, 300, 2]
        loss = np.einsum("...i,ij,...j->...", points, hessian.numpy(), points)
        start = offsets[0] @ hessian.numpy() @ offsets[0]
        levels = start * 2.0 ** np.arange(-7, 7)
        ax.contour(*(g + m for g, m in zip(grid, minimum, strict=True)), loss, levels,
                   colors=INK, linewidths=0.7, alpha=0.7)  # fmt: skip
        color = COLORS["without BN"] if ax is axes[0, 0] else COLORS["with BN"]
        ax.plot(*path.numpy().T, "o-", color=color, markersize=3.5, lw=1.4)
        ax.plot(*minimum, "*", color=color, markersize=13)
        ax.annotate(name, (0, 1), xycoords="axes fraction", xytext=(2, 6), color=color,
                    textcoords="offset points", fontweight="bold")  # fmt: skip
        ax.set_aspect("equal")
        ax.set_xlabel(axes_names[0])
        ax.set_ylabel(axes_names[1])
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
        len(rows), len(columns), figsize=(WIDTH, 0.5 + 1.6 * len(rows)), sharex=True, sharey="row",
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
                ax.annotate(column, (0.5, 1), xycoords="axes fraction", xytext=(0, 5), ha="center",
                            textcoords="offset points", fontweight="bold")  # fmt: skip
        line_of_axes[0].set_ylabel(quantity)
    for ax in axes[-1]:
        ax.set_xlabel("layer")
    figure.align_ylabels()
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False,
                  labelcolor="linecolor")  # fmt: skip
    return figure


def drift(panels: Mapping[str, np.ndarray], steps: Sequence[int], ylabel: str) -> Figure:
    """Draw how a distribution moves during training: its median and the middle 70 percent.

    Args:
        panels: name of the method -> values [snapshots, samples].
        steps: training steps done at each snapshot.
        ylabel: what the values are.
    """
    figure, axes = plt.subplots(
        1, len(panels), figsize=(WIDTH, 2.6), sharey=True, sharex=True, squeeze=False
    )
    for ax, (name, values) in zip(axes[0], panels.items(), strict=True):
        low, median, high = np.percentile(values, [15, 50, 85], axis=1)
        ax.fill_between(steps, low, high, color=COLORS[name], alpha=0.25, lw=0)
        ax.plot(steps, median, color=COLORS[name], lw=2.4)
        ax.plot(steps, np.stack([low, high], axis=1), color=COLORS[name], lw=0.9)
        ax.annotate(name, (0.5, 1), xycoords="axes fraction", xytext=(0, 5), ha="center",
                    textcoords="offset points", color=COLORS[name], fontweight="bold")  # fmt: skip
        ax.set_xlabel("step")
    axes[0, 0].set_ylabel(ylabel)
    return figure


def boundary(model: nn.Module, ax: Axes, label: str, **line) -> None:
    """Draw where a model of points [N, 2] hesitates between two classes, in eval mode.

    Args:
        model: returns logits [N, 2].
        ax: its limits are the region that is searched.
        label: written at the upper edge, tied to the highest point of the line.
        line: further arguments of `Axes.contour`, such as `linestyles`.
    """
    x, y = (np.linspace(*limits, 200) for limits in (ax.get_xlim(), ax.get_ylim()))
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)  # [N, 2]
    logits = predict(model, [(torch.tensor(grid, dtype=torch.float32), None)])
    margin = (logits[:, 1] - logits[:, 0]).reshape(len(y), len(x)).numpy()
    lines = ax.contour(x, y, margin, levels=[0], colors=[COLORS["with BN"]], **line)
    vertices = lines.get_paths()[0].vertices  # [points, 2]
    top = vertices[vertices[:, 1].argmax()]
    ax.annotate(label, top, (top[0], ax.get_ylim()[1]), ha="center", va="top",
                color=COLORS["with BN"], fontweight="bold",
                arrowprops={"arrowstyle": "-", "color": COLORS["with BN"], "lw": 0.8})  # fmt: skip


def tiles(selected: Tensor) -> Figure:
    """Show a batch of images [N, C, H, W] as tiles, a row per sample and a column per channel.

    Args:
        selected: bool [N, C, H, W]; the values to fill, those that share one statistic.
    """
    n, channels = selected.shape[:2]
    figure, axes = plt.subplots(n, channels, figsize=(0.8 * channels + 0.4, 0.8 * n + 0.3))
    for (i, j), ax in np.ndenumerate(np.reshape(axes, (n, channels))):
        mask = selected[i, j].numpy()
        for (row, column), filled in np.ndenumerate(mask):
            face = COLORS["BN"] if filled else "none"
            ax.add_patch(plt.Rectangle((column, row), 1, 1, fc=face, ec=INK, lw=0.8))
        ax.set(xlim=(-0.1, mask.shape[1] + 0.1), ylim=(mask.shape[0] + 0.1, -0.1), aspect="equal")
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        if i == 0:
            ax.set_title(f"channel {j + 1}", fontsize=9, color=INK, pad=4)
        if j == 0:
            ax.set_ylabel(f"sample {i + 1}", fontsize=9)
    return figure


def computation_graph() -> Figure:
    """Draw the graph of batch normalization: the value of each node, and beside it its gradient.

    Symbols: centred value c, square s, variance v, reciprocal standard deviation r.
    """
    nodes = {  # name: (x, y, value, gradient)
        "x": (0.1, 1, "$x$", r"$dx = dc + d\mu/m$"),
        "mu": (0.75, 0, r"$\mu = \mathrm{mean}(x)$", r"$d\mu = -\Sigma\, dc$"),
        "c": (1.5, 1, r"$c = x - \mu$", r"$dc = r\,d\hat x + 2c\,ds$"),
        "s": (1.93, 0, "$s = c^2$", "$ds = dv/m$"),
        "v": (2.95, 0, r"$v = \mathrm{mean}(s)$", r"$dv = -\frac{1}{2}r^3 dr$"),
        "r": (4.2, 0, r"$r = 1/\sqrt{v+\epsilon}$", r"$dr = \Sigma\, d\hat x\,c$"),
        "x_hat": (3.75, 1, r"$\hat x = c\,r$", r"$d\hat x = \gamma\,dy$"),
        "y": (5.75, 1, r"$y = \gamma\hat x + \beta$", "$dy$"),
        "gamma": (5.3, 0, r"$\gamma$", r"$d\gamma = \Sigma\, dy\,\hat x$"),
        "beta": (6.2, 0, r"$\beta$", r"$d\beta = \Sigma\, dy$"),
    }
    edges = ["x mu", "x c", "mu c", "c s", "s v", "v r", "r x_hat", "c x_hat", "x_hat y"]
    edges += ["gamma y", "beta y"]
    figure, ax = plt.subplots(figsize=(WIDTH, 2.7))
    boxes = {}
    for name, (x, y, value, gradient) in nodes.items():
        style = {"boxstyle": "round,pad=0.45", "fc": "none", "ec": COLORS["BN"], "lw": 1.4}
        boxes[name] = ax.text(x, y, value, ha="center", va="center", size=11, bbox=style)
        offset = {"xytext": (0, 26 if y else -26), "textcoords": "offset points"}
        center = {"ha": "center", "va": "center"}
        ax.annotate(gradient, (x, y), color=COLORS["without BN"], size=11, **offset, **center)
    for edge in edges:
        start, end = (boxes[name] for name in edge.split())
        arrow = {"arrowstyle": "-|>", "color": INK, "lw": 1.2, "shrinkA": 2, "shrinkB": 2}
        ax.annotate("", end.get_position(), start.get_position(), arrowprops={
            **arrow, "patchA": start.get_bbox_patch(), "patchB": end.get_bbox_patch()})  # fmt: skip
    ax.set(xlim=(-0.4, 6.65), ylim=(-0.45, 1.45))
    ax.axis("off")
    return figure


def bars(panels: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw panels side by side: one horizontal bar per method, with its value at the end.

    Args:
        panels: axis label -> name of the method -> value. The names choose the colours; the first
            is on top.
    """
    rows = max(map(len, panels.values()))
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 0.7 + 0.4 * rows), squeeze=False)
    for ax, (label, values) in zip(axes[0], panels.items(), strict=True):
        for row, (name, value) in enumerate(values.items()):
            ax.barh(row, value, height=0.6, color=COLORS[name])
            ax.annotate(f"{value:.1f}", (value, row), xytext=(4, 0), textcoords="offset points",
                        va="center", color=COLORS[name], fontweight="bold")  # fmt: skip
        first = ax is axes[0, 0]
        ax.set_yticks(range(len(values)), values if first else [""] * len(values))
        for tick, name in zip(ax.get_yticklabels(), values, strict=True):
            tick.set_color(COLORS[name])
        ax.invert_yaxis()
        ax.tick_params(left=False)
        ax.spines["left"].set_visible(False)
        ax.margins(x=0.12)
        ax.set_xlabel(label)
    return figure


def pairs(
    results: Mapping[str, Sequence[tuple[float, float]]],
    places: Sequence[tuple[float, float]],
    xlabel: str,
    ylabel: str,
) -> Axes:
    """Draw one marker per seed for variants of BN, judged by two numbers.

    Args:
        results: name of the variant -> one pair (x, y) per seed; at most five variants.
        places: where each name is written, in the units of the axes; left of 75, it starts there,
            else it ends there.
        xlabel, ylabel: axis labels with units.
    """
    _, ax = plt.subplots(figsize=(WIDTH, 0.55 * WIDTH))
    for (name, values), place, marker in zip(results.items(), places, "o^sDv", strict=False):
        x, y = zip(*values, strict=True)
        ax.scatter(x, y, 45, marker=marker, facecolor="none", edgecolor=COLORS["BN"], lw=1.4)
        side = "left" if place[0] < 75 else "right"
        ax.text(*place, name, ha=side, va="center", color=COLORS["BN"], fontweight="bold")
    ax.margins(0.08)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    return ax

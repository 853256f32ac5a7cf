"""The figures that recur, in one style: one colour per method through the whole book."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor, nn

from normlab.training import History, predict

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
        ends[name] = _seeds_and_mean(ax, values, COLORS[name])
    _label_ends(ax, ends)
    ax.set_xlabel("epoch")
    ax.set_ylabel(quantity.replace("_", " ") + (" (%)" if percent else ""))
    ax.xaxis.get_major_locator().set_params(integer=True)
    return ax


def _seeds_and_mean(ax: Axes, values: np.ndarray, color: str) -> tuple[float, float]:
    """Draw values [seeds, epochs] with the band that they fill; return where their mean ends."""
    epochs, mean = np.arange(1, values.shape[1] + 1), values.mean(0)
    ax.fill_between(epochs, values.min(0), values.max(0), color=color, alpha=0.2, lw=0)
    ax.plot(epochs, values.T, color=color, lw=0.7, alpha=0.7)
    ax.plot(epochs, mean, color=color, lw=2.4)
    return epochs[-1], mean[-1]


def _label_ends(ax: Axes, ends: Mapping[str, tuple[float, float]]) -> None:
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
            name,
            end,
            xytext=(8, height[name] - start[name]),
            textcoords="offset points",
            va="center",
            color=COLORS[name],
            fontweight="bold",
        )


def _heading(ax: Axes, text: str, y: int = 5, **style: str) -> None:
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
    _label_ends(ax, ends)
    return ax


def image_grid(
    images: Tensor, titles: Sequence[str], columns: int = 5, colors: Sequence[str] | None = None
) -> Figure:
    """Show uint8 images [N, 3, H, W] in rows, each with a short title above it."""
    rows = -(-len(images) // columns)
    lines = 1 + max(title.count("\n") for title in titles)
    height = rows * (WIDTH / columns + 0.2 * lines)
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, height))
    for ax in np.ravel(axes):
        ax.axis("off")
    colors = [INK] * len(images) if colors is None else colors
    for ax, image, title, color in zip(np.ravel(axes), images, titles, colors, strict=False):
        ax.imshow(image.permute(1, 2, 0).numpy())
        ax.set_title(title, color=color, pad=3)
    return figure


def confusion(matrix: Tensor, classes: Sequence[str]) -> Axes:
    """Show a confusion matrix [true, predicted] of fractions of each row, in percent.

    Cells from 5 percent are coloured; less than half a percent is left out.
    """
    _, ax = plt.subplots(figsize=(WIDTH, 0.95 * WIDTH))
    percent = 100 * matrix.numpy()
    # Opacity, not lightness: a cell stands out from a white page as it does from a dark one.
    opacity = np.where(percent < 5, 0, 0.1 + 0.9 * np.minimum(percent / 50, 1) ** 2)
    ax.imshow(np.dstack([np.full((*opacity.shape, 3), to_rgb(COLORS["with BN"])), opacity]))
    for (i, j), value in np.ndenumerate(percent):
        if value > 0.5:
            ax.text(j, i, f"{value:.0f}", ha="center", va="center",
                    color="white" if value > 40 else INK,
                    weight="bold" if value >= 5 else "normal")  # fmt: skip
    ax.set_xticks(range(len(classes)), classes, rotation=40, ha="right")
    ax.set_yticks(range(len(classes)), classes)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    ax.spines[:].set_visible(False)
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
                _heading(ax, column)
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
        _heading(ax, name, color=COLORS[name], fontweight="bold")
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
    figure, axes = plt.subplots(n, channels, figsize=(0.95 * channels + 0.4, 0.95 * n + 0.3))
    for (i, j), ax in np.ndenumerate(np.reshape(axes, (n, channels))):
        mask = selected[i, j].numpy()
        for (row, column), filled in np.ndenumerate(mask):
            face = COLORS["BN"] if filled else "none"
            ax.add_patch(plt.Rectangle((column, row), 1, 1, fc=face, ec=INK, lw=0.8))
        ax.set(xlim=(-0.1, mask.shape[1] + 0.1), ylim=(mask.shape[0] + 0.1, -0.1), aspect="equal")
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        if i == 0:
            ax.set_title(f"channel {j + 1}", color=INK, pad=4)
        if j == 0:
            ax.set_ylabel(f"sample {i + 1}")
    return figure


def computation_graph() -> Figure:
    """Draw the graph of batch normalization: the value of each node, and beside it its gradient.

    Symbols: centred value c, square s, variance v, reciprocal standard deviation r.
    """
    above, below, right, left = (0, 27), (0, -27), (48, 0), (-30, 0)
    nodes = {  # name: (x, y, value, gradient, where the gradient stands), in points
        "x": (50, 200, "$x$", r"$dx = dc + d\mu/m$", above),
        "mu": (105, 125, r"$\mu = \mathrm{mean}(x)$", r"$d\mu = -\Sigma\, dc$", below),
        "c": (165, 200, r"$c = x - \mu$", r"$dc = r\,d\hat x + 2c\,ds$", above),
        "s": (165, 60, "$s = c^2$", "$ds = dv/m$", left),
        "v": (225, 10, r"$v = \mathrm{mean}(s)$", r"$dv = -\frac{1}{2}r^3 dr$", below),
        "r": (285, 60, r"$r = 1/\sqrt{v+\epsilon}$", r"$dr = \Sigma\, d\hat x\,c$", right),
        "x_hat": (285, 200, r"$\hat x = c\,r$", r"$d\hat x = \gamma\,dy$", above),
        "y": (380, 200, r"$y = \gamma\hat x + \beta$", "$dy$", above),
        "gamma": (344, 125, r"$\gamma$", r"$d\gamma = \Sigma\, dy\,\hat x$", below),
        "beta": (416, 125, r"$\beta$", r"$d\beta = \Sigma\, dy$", below),
    }
    edges = ["x mu", "x c", "mu c", "c s", "s v", "v r", "r x_hat", "c x_hat", "x_hat y"]
    edges += ["gamma y", "beta y"]
    figure, ax = plt.subplots(figsize=(WIDTH, 3.8))
    boxes = {}
    for name, (x, y, value, gradient, offset) in nodes.items():
        style = {"boxstyle": "round,pad=0.4", "fc": "none", "ec": COLORS["BN"], "lw": 1.4}
        boxes[name] = ax.text(x, y, value, ha="center", va="center", bbox=style)
        side = "left" if offset == right else "right" if offset == left else "center"
        ax.annotate(gradient, (x, y), color=COLORS["without BN"], xytext=offset, ha=side,
                    textcoords="offset points", va="center")  # fmt: skip
    for edge in edges:
        start, end = (boxes[name] for name in edge.split())
        arrow = {"arrowstyle": "-|>", "color": INK, "lw": 1.2, "shrinkA": 2, "shrinkB": 2}
        ax.annotate("", end.get_position(), start.get_position(), arrowprops={
            **arrow, "patchA": start.get_bbox_patch(), "patchB": end.get_bbox_patch()})  # fmt: skip
    ax.set(xlim=(0, 432), ylim=(-25, 235))
    ax.axis("off")
    return figure


def bars(panels: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw panels one above the other: a horizontal bar per method, with its value at the end.

    Args:
        panels: axis label -> name of the method -> value. The names choose the colours; the first
            is on top.
    """
    sizes = [1 + len(values) for values in panels.values()]
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(WIDTH, 0.42 * sum(sizes)), height_ratios=sizes, squeeze=False
    )
    for ax, (label, values) in zip(axes[:, 0], panels.items(), strict=True):
        for row, (name, value) in enumerate(values.items()):
            ax.barh(row, value, height=0.6, color=COLORS[name])
            ax.annotate(f"{value:.1f}", (value, row), xytext=(4, 0), textcoords="offset points",
                        va="center", color=COLORS[name], fontweight="bold")  # fmt: skip
        ax.set_yticks(range(len(values)), values)
        for tick, name in zip(ax.get_yticklabels(), values, strict=True):
            tick.set_color(COLORS[name])
        ax.invert_yaxis()
        ax.tick_params(left=False)
        ax.spines["left"].set_visible(False)
        ax.margins(x=0.1)
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
        xlabel: label of the horizontal axis, with its unit.
        ylabel: label of the vertical axis, with its unit.
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


def shared_statistics(panels: Mapping[str, Tensor], columns: int = 2) -> Figure:
    """Show batches [N, C, H, W] side by side, each with the values that share one statistic filled.

    Args:
        panels: label -> bool [N, C, H, W]. A label begins with the name of the norm, which chooses
            the colour; RMSNorm, which subtracts no mean, is hatched.
        columns: panels in a row.
    """
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(0.85 * WIDTH, 2.1 * rows), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, (label, selected) in zip(axes.flat, panels.items(), strict=False):
        name = label.replace(",", " ").split()[0]
        samples, channels, height, width = selected.shape
        for (n, c, h, w), filled in np.ndenumerate(selected.numpy()):
            corner = (c * (width + 0.5) + w, n * (height + 0.5) + h)
            style = {"fc": "none", "ec": INK, "lw": 0.7}
            if filled and name == "RMSNorm":
                style |= {"ec": COLORS[name], "hatch": "//////"}
            elif filled:
                style["fc"] = COLORS[name]
            ax.add_patch(plt.Rectangle(corner, 1, 1, **style))
        right, bottom = channels * (width + 0.5) - 0.5, samples * (height + 0.5) - 0.5
        ax.set(xlim=(-1.1, right + 0.2), ylim=(bottom + 1.3, -1.5), aspect="equal")
        ax.text(0, -0.9, label, color=COLORS[name], fontweight="bold", va="center")
        ax.text(right / 2, bottom + 0.8, "channels", ha="center", va="center")
        ax.text(-0.7, bottom / 2, "samples", ha="center", va="center", rotation=90)
    return figure


def error_parts(
    panels: Mapping[str, tuple[Sequence[float], Mapping[str, Sequence[float]]]],
) -> Figure:
    """Draw the parts of an error over a setting, one panel per setting.

    Args:
        panels: axis label -> (settings, name of the part -> one value per setting). Settings that
            are not integers get a log axis. The names are written at the lines of the last panel.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 3), sharey=True, squeeze=False)
    for ax, (label, (settings, parts)) in zip(axes[0], panels.items(), strict=True):
        for name, values in parts.items():
            ax.plot(settings, values, color=COLORS[name], lw=2.6 if name == "error" else 1.6)
        if any(s != int(s) for s in settings):
            ax.set_xscale("log")
        else:
            ax.set_xticks(settings[::2])
        ax.set_xlabel(label)
    _label_ends(ax, {name: (settings[-1], values[-1]) for name, values in parts.items()})
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
        ax.contour(x, y, loss, touching * np.array([0.1, 0.4, 1, 2]), colors=COLORS["plain"],
                   linewidths=[0.8, 0.8, 1.8, 0.8])  # fmt: skip
        ax.plot(*center, "+", color=COLORS["plain"], markersize=10)
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
                ax.plot(grid, values, color=COLORS[name], lw=2)
            if ax in axes[0]:
                _heading(ax, column, y=4)
        ax.set_xticks([-1, 0, 1])
        name = row if row in COLORS else next(iter(lines))
        line_of_axes[0].set_ylabel(row, color=COLORS[name], fontweight="bold")
    for ax in axes[-1]:
        ax.set_xlabel("$x$")
    return figure


def regions(
    rows: Mapping[str, Sequence[nn.Module]], columns: Sequence[str], points: Tensor, classes: Tensor
) -> Figure:
    """Colour the plane by the probability of class 1, with a line at one half; a row per method.

    Args:
        rows: name of the method -> models of points [N, 2], which return logits [N, 2].
        columns: written above the first row.
        points: [N, 2], drawn in every panel.
        classes: [N], those of the points; every panel tells the accuracy on them.
    """
    n = len(columns)
    figure, axes = plt.subplots(
        len(rows), n, figsize=(WIDTH, WIDTH / n * len(rows) * 1.1 + 0.2), squeeze=False
    )
    limit = 1.05 * points.abs().max().item()
    axis = np.linspace(-limit, limit, 150)
    grid = torch.tensor(np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)).to(points)
    for (name, models), line_of_axes in zip(rows.items(), axes, strict=True):
        for ax, model, column in zip(line_of_axes, models, columns, strict=True):
            probability = predict(model, [(grid, None)]).softmax(1)[:, 1].reshape(150, 150).numpy()
            fill = np.empty((150, 150, 4))
            bands = np.round(6 * probability) / 6  # a smooth shade would take ten times the space
            fill[..., :3], fill[..., 3] = to_rgb(COLORS[name]), 0.7 * bands
            ax.imshow(fill, origin="lower", extent=(-limit, limit, -limit, limit))
            if probability.min() < 0.5 < probability.max():
                ax.contour(axis, axis, probability, [0.5], colors=[COLORS[name]], linewidths=1.5)
            ax.scatter(*points.T, s=1.5, color=INK, alpha=0.7, lw=0)
            right = (predict(model, [(points, None)]).argmax(1) == classes).float().mean().item()
            ax.set(xticks=[], yticks=[])
            ax.set_xlabel(f"{100 * right:.1f} %", labelpad=2)
            ax.spines[:].set_visible(False)
            if ax in axes[0]:
                ax.set_title(column, color=INK, pad=4)
        line_of_axes[0].set_ylabel(name, color=COLORS[name], fontweight="bold")
    return figure


def curve_panels(
    panels: Mapping[str, Mapping[str, np.ndarray]], ylabel: str, log_x: bool = False
) -> Figure:
    """Draw curves over the epochs in panels with one log axis: a thin line per seed, a thick mean.

    Args:
        panels: label of the panel -> name of the method -> values [seeds, epochs]; the names are
            written in the last panel.
        ylabel: what the values are, with their unit.
        log_x: epochs on a log axis.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 2.9), sharey=True, squeeze=False)
    for ax, (label, lines) in zip(axes[0], panels.items(), strict=True):
        ends = {n: _seeds_and_mean(ax, values, COLORS[n]) for n, values in lines.items()}
        ax.set_yscale("log")
        if log_x:
            ax.set_xscale("log")
        else:
            ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        _heading(ax, label)
        ax.set_xlabel("epoch")
    _label_ends(ax, ends)
    names = sorted(ax.texts[-len(ends) :], key=lambda text: text.xy[1])
    for rank, text in enumerate(names):  # lines may end close together: their names part
        text.set_position((6, 12 * (rank - (len(names) - 1) / 2)))
    axes[0, 0].set_ylabel(ylabel)
    return figure


def heatmaps(
    panels: Mapping[str, Sequence[Sequence[float]]],
    rows: Sequence[str],
    columns: Sequence[float],
    xlabel: str,
    threshold: float,
) -> Figure:
    """Draw percentages as tables, one above the other; what reaches the threshold is coloured.

    Args:
        panels: name of the method -> values [rows, columns] in percent, on one colour scale.
        rows: what stands beside the rows.
        columns: what stands below the columns.
        xlabel: what the columns are.
        threshold: the colours run from here to 100.
    """
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(WIDTH, 0.7 + len(panels) * (0.3 + 0.36 * len(rows))),
        sharex=True, squeeze=False,
    )  # fmt: skip
    for ax, (name, values) in zip(axes[:, 0], panels.items(), strict=True):
        table = np.asarray(values, dtype=float)
        reached = np.ma.masked_less(table, threshold)
        ax.imshow(reached, cmap="YlGnBu", vmin=threshold - 10, vmax=135, aspect="auto")
        for (i, j), value in np.ndenumerate(table):
            ax.text(j, i, f"{value:.0f}", ha="center", va="center",
                    color="#222222" if value >= threshold else INK)  # fmt: skip
        ax.set_xticks(range(len(columns)), [f"{c:g}" for c in columns])
        ax.set_yticks(range(len(rows)), rows)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        _heading(ax, name, color=COLORS[name], fontweight="bold")
    axes[-1, 0].set_xlabel(xlabel)
    return figure


def file_map(regions: Mapping[str, tuple[int, int]], outcomes: Mapping[int, str]) -> Figure:
    """Draw the parts of a file as a bar, and below it a row of ticks for each kind of outcome.

    Args:
        regions: name of the part, or "" -> first byte and the byte after the last.
        outcomes: position in bytes -> what happened there; rows are sorted by their names.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 2.2))
    rows = sorted(set(outcomes.values()), reverse=True)
    for name, (first, end) in regions.items():
        shade = 0.35 if name == "tensors" else 0.12
        ax.axvspan(first / 1024, end / 1024, color=INK, alpha=shade / 2, lw=0)
        ax.annotate(name, ((first + end) / 2048, 1), xycoords=("data", "axes fraction"),
                    xytext=(0, 4), textcoords="offset points", ha="center")  # fmt: skip
    for y, row in enumerate(rows):
        x = [position / 1024 for position, outcome in outcomes.items() if outcome == row]
        color = COLORS["without BN"] if "wrong" in row else COLORS["with BN"]
        ax.plot(x, [y] * len(x), "|", ms=15, mew=0.7, color=color, alpha=0.8)
    share = [100 * sum(o == row for o in outcomes.values()) / len(outcomes) for row in rows]
    ax.set_yticks(range(len(rows)), [f"{r}\n{s:.0f} %" for r, s in zip(rows, share, strict=True)])
    ax.tick_params(left=False)
    ax.spines["left"].set_visible(False)
    ax.set(xlim=(0, max(end for _, end in regions.values()) / 1024), ylim=(-0.6, len(rows) - 0.4))
    ax.set_xlabel("position in the file (KiB)")
    return figure


def departures(results: Mapping[str, Sequence[Sequence[float]]], start: int, ylabel: str) -> Figure:
    """Draw distances from a reference run per epoch on a log axis that ends in an exact 0.

    Args:
        results: what was left out -> one run per seed -> one distance per epoch.
        start: epochs before the first of them.
        ylabel: what the distances are.
    """
    rows = -(-len(results) // 2)
    figure, axes = plt.subplots(rows, 2, figsize=(WIDTH, 2.1 * rows), sharey=True, squeeze=False)
    for ax, (name, runs) in zip(axes.flat, results.items(), strict=False):
        exact = not np.any(runs)
        color = COLORS["with BN" if exact else "without BN"]
        epochs = np.arange(start + 1, start + 1 + len(runs[0]))
        for run in runs:
            ax.plot(epochs, run, "o-", ms=4.5, lw=1.2, color=color, alpha=0.8, clip_on=False)
        ax.set_yscale("symlog", linthresh=1e-4, linscale=0.5)
        ax.set_ylim(0, 2)
        ax.set_yticks([0, 1e-4, 1e-3, 1e-2, 1e-1, 1], ["0", "", "0.001", "0.01", "0.1", "1"])
        ax.minorticks_off()
        ax.set_xticks(epochs)
        ax.margins(x=0.15)
        _heading(ax, name, y=6, color=color, fontweight="bold")
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
    figure.supylabel(ylabel)
    return figure

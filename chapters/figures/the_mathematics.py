"""The figures that only this chapter draws."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from figures.interactive import fill, normal_numbers, text
from normlab.functional import normalize
from normlab.style import COLORS, INK, WIDTH

_COUNT = 8  # inputs in a batch
_UNIT = 7.6  # percent of the width for 1 on the axes, which have 0 in the middle
_EPS = -5  # the exponent: the slider is logarithmic
# name, label, lowest and highest value, step, value at the start
_SLIDERS = [
    ("mean", "data mean", -3, 3, 0.1, 2),
    ("spread", "data spread", 0, 2, 0.05, 1.5),
    ("gamma", "scale γ", -2, 2, 0.1, 1),
    ("beta", "shift β", -3, 3, 0.1, 0),
    ("eps", "ε (eps)", -5, 0, 1, _EPS),
    ("momentum", "momentum", 0, 1, 0.05, 0.1),
]


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


def epsilon_curves(sigma: Tensor, measured: Mapping[float, Tensor]) -> Axes:
    """Draw the variance of the output over the standard deviation of the input, for each epsilon.

    Args:
        sigma: [C]; the standard deviations of the features.
        measured: the variances of the outputs [C], by epsilon; lines show the formula.
    """
    _, ax = plt.subplots()
    fine = torch.logspace(sigma[0].log10(), sigma[-1].log10(), 200)
    for (eps, variance), color in zip(measured.items(), [INK, COLORS["after"]], strict=True):
        ax.plot(fine, fine**2 / (fine**2 + eps), color=color)
        ax.plot(sigma, variance, "o", color=color)
        label = f"$\\epsilon$ = {eps:f}".rstrip("0") + "  "
        ax.text(eps**0.5, 0.5, label, color=color, ha="right", weight="bold")
    ax.set(xlabel="standard deviation of the input", ylabel="variance of the output")
    ax.set_xscale("log")
    return ax


def momentum_traces(truth: Tensor, traces: Mapping[float | None, Sequence[float]]) -> Axes:
    """Draw a running mean over the batches for each momentum, and the true mean, dashed."""
    _, ax = plt.subplots()
    ax.plot(truth, color=INK, ls="--", lw=1)
    looks = {0.9: (INK, 1.0, 7.0), 0.1: (COLORS["BN"], 2.4, 6.0), None: (INK, 2.4, 4.5)}
    for momentum, trace in traces.items():
        color, width, y = looks[momentum]
        ax.plot(trace, color=color, lw=width)
        ax.text(len(truth) + 1, y, f"{momentum}", color=color, va="center", weight="bold")
    ax.set(xlabel="batches", ylabel="running mean")
    return ax


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
        style = {"boxstyle": "round,pad=0.4", "fc": "none", "ec": INK, "lw": 1.4}
        boxes[name] = ax.text(x, y, value, ha="center", va="center", bbox=style)
        side = "left" if offset == right else "right" if offset == left else "center"
        ax.annotate(gradient, (x, y), color=COLORS["autograd"], xytext=offset, ha=side,
                    textcoords="offset points", va="center")  # fmt: skip
    for edge in edges:
        start, end = (boxes[name] for name in edge.split())
        arrow = {"arrowstyle": "-|>", "color": INK, "lw": 1.2, "shrinkA": 2, "shrinkB": 2}
        ax.annotate("", end.get_position(), start.get_position(), arrowprops={
            **arrow, "patchA": start.get_bbox_patch(), "patchB": end.get_bbox_patch()})  # fmt: skip
    ax.set(xlim=(0, 432), ylim=(-25, 235))
    ax.axis("off")
    return figure


def batch_norm_playground(seed: int = 0) -> HTML:
    """Show a batch before and after batch normalization, with sliders for all that matters.

    The figure is one piece of HTML, JavaScript and SVG that loads nothing. Where scripts do not
    run it is a picture of the start: a new layer in train mode.

    Args:
        seed: an integer below 2**32; it determines the batches.
    """
    slider = {name: value for name, *_, value in _SLIDERS}
    z = normal_numbers(seed)
    x = [slider["mean"] + slider["spread"] * next(z) for _ in range(_COUNT)]
    column = torch.tensor(x, dtype=torch.float64)[:, None]  # [N, 1]
    y, mean, variance = normalize(column, (0,), eps=10**_EPS)
    _, *output = normalize(y, (0,))
    sign = "+" if mean < 0 else "−"
    start = {
        **{name: text(value, 2) for name, value in slider.items()},
        "eps": f"{10**_EPS:.5f}",
        "target": _percent(slider["mean"]),
        "mode": "train",
        "seen": 0,
        "minus_mean": f"{sign} {text(abs(mean.item()))}",
        "used_variance": text(variance.item()),
        "plus_beta": "+ 0.00",
        **{f"x{i}": _percent(v) for i, v in enumerate(x)},
        **{f"y{i}": _percent(v) for i, v in enumerate(y[:, 0].tolist())},
        **_bar("batch", mean.item(), variance.item()),
        **_bar("running", 0.0, 1.0),
        **_bar("output", *(s.item() for s in output)),
    }
    return fill(
        "batch_norm_playground.html",
        start,
        seed=seed,
        used=COLORS["with BN"],
        count=_COUNT,
        unit=_UNIT,
        percent=_percent,
        sliders=_SLIDERS,
    )


def _percent(v: float) -> str:
    return f"{50 + v * _UNIT:.2f}%"


def _bar(name: str, mean: float, variance: float) -> dict[str, object]:
    """Return what the script shows of a mean and a biased variance, under its names."""
    low, high = mean - math.sqrt(variance), mean + math.sqrt(variance)
    left = mean > 1e-9  # the label stands on the side of 0, where there is room
    values = {
        "mean": text(mean),
        "variance": text(variance),
        "at": _percent(mean),
        "low": _percent(low),
        "high": _percent(high),
        "end": _percent(low if left else high),
        "anchor": "end" if left else "start",
        "dx": -8 if left else 8,
    }
    return {f"{name}_{key}": value for key, value in values.items()}

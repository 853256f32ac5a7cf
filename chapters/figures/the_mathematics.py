"""The figures that only this chapter draws."""

import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import HTML
from matplotlib.figure import Figure
from torch import Tensor

from figures.interactive import fill, normal_numbers, text
from normlab.functional import batch_norm
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
_Statistics = tuple[float, float]  # mean and biased variance


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


def batch_norm_playground(seed: int = 0) -> HTML:
    """Show a batch before and after batch normalization, with sliders for all that matters.

    The figure is one piece of HTML, JavaScript and SVG that loads nothing. Where scripts do not
    run it is a picture of the start: a new layer in train mode, drawn here with `batch_norm`.

    Args:
        seed: an integer below 2**32; it determines the batches.
    """
    start = {name: value for name, *_, value in _SLIDERS}
    z = normal_numbers(seed)
    x = [start["mean"] + start["spread"] * next(z) for _ in range(_COUNT)]
    y = _normalized(x)
    statistics = {"batch": _statistics(x), "running": (0.0, 1.0), "output": _statistics(y)}
    mean, variance = statistics["batch"]
    parts = {
        "seed": seed,
        "used": COLORS["with BN"],
        "count": _COUNT,
        "unit": _UNIT,
        "limit": 50 / _UNIT,
        "description": "In train mode: " + _description(statistics),
        "grid": "".join(map(_grid, range(-6, 7, 2))),
        "target": _line(start["mean"], 18, start["mean"], 120)
        + f'<text x="{_percent(start["mean"])}" y="12" text-anchor="middle">data mean</text>',
        "running_bar": _bar("running", 132, statistics["running"]),
        "batch_bar": _bar("batch", 154, statistics["batch"]),
        "output_bar": _bar("output", 330, statistics["output"]),
        "points": "".join(_line(a, 176, b, 306) for a, b in zip(x, y, strict=True))
        + "".join(_circle(a, 176) for a in x)
        + "".join(_circle(b, 306) for b in y),
        "sliders": "".join(_slider(*slider) for slider in _SLIDERS),
        "rows": "".join(_row(name, *s) for name, s in statistics.items()),
        "formula": f"y = 1.00 (x {'+' if mean < 0 else '−'} {text(abs(mean))}) / "
        f"√({text(variance)} + 0.00001) + 0.00",
    }
    return fill("batch_norm_playground.html", parts)


# --- numbers: the same as in the script -------------------------------------------------------


def _normalized(x: list[float]) -> list[float]:
    column = torch.tensor(x, dtype=torch.float64)[:, None]  # [N, 1]
    return batch_norm(column, None, None, training=True, eps=10**_EPS)[:, 0].tolist()


def _statistics(values: list[float]) -> _Statistics:
    variance, mean = torch.var_mean(torch.tensor(values, dtype=torch.float64), correction=0)
    return mean.item(), variance.item()


# --- markup: the same as in the script --------------------------------------------------------


def _percent(v: float) -> str:
    return f"{50 + v * _UNIT:.2f}%"


def _line(x1: float, y1: float, x2: float, y2: float, kind: str = "") -> str:
    return f'<line{kind} x1="{_percent(x1)}" y1="{y1}" x2="{_percent(x2)}" y2="{y2}"></line>'


def _circle(x: float, y: float) -> str:
    return f'<circle cx="{_percent(x)}" cy="{y}" r="5"></circle>'


def _grid(x: int) -> str:
    label = f'<text x="{_percent(x)}" y="356" text-anchor="middle">{text(x, 0)}</text>'
    return _line(x, 18, x, 342) + label


def _bar(name: str, y: float, statistics: _Statistics) -> str:
    mean, deviation = statistics[0], math.sqrt(statistics[1])
    low, high = mean - deviation, mean + deviation
    end, dx, anchor = (low, -8, "end") if mean > 1e-9 else (high, 8, "start")
    return (
        _line(low, y, high, y)
        + _line(low, y - 4, low, y + 4)
        + _line(high, y - 4, high, y + 4)
        + _line(mean, y - 8, mean, y + 8, ' class="tick"')
        + f'<text x="{_percent(end)}" dx="{dx}" y="{y + 4}" text-anchor="{anchor}">{name}</text>'
    )


def _row(name: str, mean: float, variance: float) -> str:
    return (
        f'<tr class="{name}"><th scope="row">{name}</th>'
        f'<td><data class="mean" value="{text(mean)}">{text(mean)}</data></td>'
        f'<td><data class="variance" value="{text(variance)}">{text(variance)}</data></td></tr>'
    )


def _slider(name: str, label: str, low: float, high: float, step: float, value: float) -> str:
    shown = "0.00001" if name == "eps" else text(value, 2)
    return (
        f'<div class="slider"><label>{label}<input type="range" name="{name}" min="{low}" '
        f'max="{high}" step="{step}" value="{value}" aria-valuetext="{shown}"></label>'
        f'<span aria-hidden="true">{shown}</span></div>\n'
    )


def _description(statistics: dict[str, _Statistics]) -> str:
    (bm, bv), (rm, rv), (om, ov) = ([text(v) for v in s] for s in statistics.values())
    return (
        f"batch mean {bm}, variance {bv}; output mean {om}, variance {ov}; "
        f"running mean {rm}, variance {rv}; batches seen: 0."
    )

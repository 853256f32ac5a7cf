"""A batch that the reader sends through a layer."""

import math

import torch
from IPython.display import HTML

from normlab.functional import batch_norm
from normlab.interactive._html import fill, normal_numbers, text
from normlab.plots import COLORS

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

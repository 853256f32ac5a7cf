"""A batch that the reader sends through a layer."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import torch
from IPython.display import HTML

from normlab.functional import batch_norm
from normlab.plots import COLORS

_TEMPLATE = Path(__file__).with_name("batch_norm_playground.html")
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
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be an integer from 0 to 2**32 - 1, but got {seed}")
    start = {name: value for name, *_, value in _SLIDERS}
    uniform = _mulberry32(seed)
    x = [start["mean"] + start["spread"] * _normal(uniform) for _ in range(_COUNT)]
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
        "formula": f"y = 1.00 (x {'+' if mean < 0 else '−'} {_text(abs(mean))}) / "
        f"√({_text(variance)} + 0.00001) + 0.00",
    }
    template = _TEMPLATE.read_text(encoding="utf-8")
    return HTML(re.sub(r"\{\{(\w+)\}\}", lambda found: str(parts[found[1]]), template))


# --- numbers: the same as in the script -------------------------------------------------------


def _mulberry32(seed: int) -> Iterator[float]:
    """Yield numbers in (0, 1): Tommy Ettinger's 32-bit generator, which is short in JavaScript."""
    while True:
        seed = (seed + 0x6D2B79F5) % 2**32
        t = (seed ^ seed >> 15) * (seed | 1) % 2**32
        t ^= (t + (t ^ t >> 7) * (t | 61)) % 2**32
        yield ((t ^ t >> 14) + 0.5) / 2**32


def _normal(uniform: Iterator[float]) -> float:
    """Make a normal number of two uniform ones (Box and Muller)."""
    radius = math.sqrt(-2 * math.log(next(uniform)))
    return radius * math.cos(2 * math.pi * next(uniform))


def _normalized(x: list[float]) -> list[float]:
    column = torch.tensor(x, dtype=torch.float64)[:, None]  # [N, 1]
    return batch_norm(column, None, None, training=True, eps=10**_EPS)[:, 0].tolist()


def _statistics(values: list[float]) -> _Statistics:
    variance, mean = torch.var_mean(torch.tensor(values, dtype=torch.float64), correction=0)
    return mean.item(), variance.item()


# --- markup: the same as in the script --------------------------------------------------------


def _text(v: float, digits: int = 3) -> str:
    s = f"{abs(v):.{digits}f}"
    return ("−" if v < 0 and float(s) else "") + s


def _percent(v: float) -> str:
    return f"{50 + v * _UNIT:.2f}%"


def _line(x1: float, y1: float, x2: float, y2: float, kind: str = "") -> str:
    return f'<line{kind} x1="{_percent(x1)}" y1="{y1}" x2="{_percent(x2)}" y2="{y2}"></line>'


def _circle(x: float, y: float) -> str:
    return f'<circle cx="{_percent(x)}" cy="{y}" r="5"></circle>'


def _grid(x: int) -> str:
    label = f'<text x="{_percent(x)}" y="356" text-anchor="middle">{_text(x, 0)}</text>'
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
        f'<td><data class="mean" value="{_text(mean)}">{_text(mean)}</data></td>'
        f'<td><data class="variance" value="{_text(variance)}">{_text(variance)}</data></td></tr>'
    )


def _slider(name: str, label: str, low: float, high: float, step: float, value: float) -> str:
    shown = "0.00001" if name == "eps" else _text(value, 2)
    return (
        f'<div class="slider"><label>{label}<input type="range" name="{name}" min="{low}" '
        f'max="{high}" step="{step}" value="{value}" aria-valuetext="{shown}"></label>'
        f'<span aria-hidden="true">{shown}</span></div>\n'
    )


def _description(statistics: dict[str, _Statistics]) -> str:
    (bm, bv), (rm, rv), (om, ov) = ([_text(v) for v in s] for s in statistics.values())
    return (
        f"batch mean {bm}, variance {bv}; output mean {om}, variance {ov}; "
        f"running mean {rm}, variance {rv}; batches seen: 0."
    )

"""The figures that only this chapter draws."""

import json
from collections.abc import Mapping
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import HTML
from matplotlib.figure import Figure
from torch import Tensor

from figures.interactive import fill, normal_numbers, text
from normlab.functional import batch_norm
from normlab.style import COLORS, INK, WIDTH

_SHAPE = (3, 6, 2, 2)  # N, C, H, W
_GROUPS = 2  # at the start; like the chosen value, which is one of the second sample
_CHOSEN = (1, 2, 0, 1)
# name in the script, label, key of the colour
_NORMS = [
    ("batch", "batch", "BN"),
    ("layer", "layer", "LN"),
    ("instance", "instance", "IN"),
    ("group", "group", "GN"),
    ("rms", "RMS", "RMSNorm"),
]


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


def norm_axes(seed: int = 0) -> HTML:
    """Show which values of a block [N, C, H, W] share their statistics, under each norm.

    The reader chooses batch, layer, instance, group or RMS norm and points at a value. The figure
    is one piece of HTML and JavaScript that loads nothing. Where scripts do not run it is a
    picture of the start: batch norm, computed here with `batch_norm`.

    Args:
        seed: an integer below 2**32; it determines the values.
    """
    n, c, h, w = _SHAPE
    x = _block(seed)
    groups = [g for g in range(1, c + 1) if c % g == 0]
    parts = {
        "x": json.dumps(x.flatten().tolist(), separators=(",", ":")),
        "shape": list(_SHAPE),
        "chosen": list(_CHOSEN),
        "colors": "\n".join(
            f".normlab-axes.{name}, .normlab-axes .{name} {{ --used: {COLORS[key]}; }}"
            for name, _, key in _NORMS
        ),
        "columns": c * w,
        "channels": "".join(_header("column", "channel", f"c={i}", "col", w) for i in range(c)),
        "samples": "\n".join(_sample(i, x[i]) for i in range(n)),
        "norms": "".join(_radio("norm", n, label, n == "batch", n) for n, label, _ in _NORMS),
        "groups": "".join(_radio("groups", g, g, g == _GROUPS, "group") for g in groups),
        "size": f"{n} samples, {c} channels and {h} × {w} pixels",
        **_description(x),
    }
    return fill("norm_axes.html", parts)


def _block(seed: int) -> Tensor:
    """Make values [N, C, H, W] with one decimal; each sample and each channel has its own mean."""
    n, c, h, w = _SHAPE
    z = normal_numbers(seed)

    def draw(*shape: int) -> Tensor:
        numbers = [next(z) for _ in range(torch.Size(shape).numel())]
        return torch.tensor(numbers, dtype=torch.float64).view(shape)

    return (draw(n, 1, 1, 1) + draw(1, c, 1, 1) + draw(n, c, h, w)).round(decimals=1)


# --- markup -----------------------------------------------------------------------------------


def _header(kind: str, word: str, index: str, side: str, span: int) -> str:
    return f'<span role="{kind}header" aria-{side}span="{span}"><i>{word} </i>{index}</span>'


def _sample(i: int, values: Tensor) -> str:
    """Write one sample [C, H, W] as rows of the table: a row for each h, in it c and w."""
    c, h, w = values.shape
    rows = [
        "".join(
            _cell((i, k, row, m), values[k, row, m].item()) for k, m in product(range(c), range(w))
        )
        for row in range(h)
    ]
    rows[0] = _header("row", "sample", f"n={i}", "row", h) + rows[0]
    return "\n".join(f'<div role="row">{row}</div>' for row in rows)


def _cell(index: tuple[int, ...], value: float) -> str:
    marks = " in" * (index[1] == _CHOSEN[1]) + " chosen" * (index == _CHOSEN)
    kind = f' class="{marks.strip()}"' if marks else ""
    return f'<div role="cell"{kind}>{text(value, 1)}</div>'


def _radio(name: str, value: object, label: object, checked: bool, kind: str) -> str:
    return (
        f'<label class="{kind}"><input type="radio" name="{name}" value="{value}"'
        f"{' checked' * checked}> {label}</label>"
    )


def _description(x: Tensor) -> dict[str, str]:
    """Describe the chosen value and its set under batch norm, as the script does."""
    n, c, h, w = _SHAPE
    channel = _CHOSEN[1]
    y = batch_norm(x, None, None, training=True)
    variance, mean = torch.var_mean(x[:, channel], correction=0)
    index = ", ".join(f"{name}={i}" for name, i in zip("nchw", _CHOSEN, strict=True))
    return {
        "value": f"Value [{index}]: {text(x[_CHOSEN].item(), 1)} "
        f"becomes {text(y[_CHOSEN].item(), 2)}.",
        "set": f"Mean {text(mean.item(), 2)} and variance {text(variance.item(), 2)} of "
        f"{n * h * w} values: all samples, all pixels of channel {channel}.",
        "rule": f"<code>nn.BatchNorm2d({c})</code>: {c} such sets; dims (0, 2, 3); "
        f"weight and bias have shape [{c}].",
    }

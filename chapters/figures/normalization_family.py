"""The figures that only this chapter draws."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from figures.interactive import fill, normal_numbers, text
from normlab.functional import normalize
from normlab.style import COLORS, INK, WIDTH, heading


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


def errors_by_batch_size(
    panels: Mapping[str, Mapping[str, Mapping[int, Sequence[float]]]],
) -> Figure:
    """Draw test errors over the batch size: a panel per network, a dot per seed, a line per mean.

    Args:
        panels: network -> norm, which chooses the colour -> images per batch -> percents [seeds].
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 3.2), sharey=True, squeeze=False)
    for ax, (network, lines) in zip(axes.flat, panels.items(), strict=True):
        for name, by_size in lines.items():
            sizes = sorted(by_size)
            _seeds_and_mean(ax, sizes, [by_size[s] for s in sizes], COLORS[name])
        first = {name: by_size[sizes[0]] for name, by_size in lines.items()}
        low = min(first, key=lambda name: np.mean(first[name]))
        for name, seeds in first.items():
            height, away, va = (min(seeds), -8, "top") if name == low else (max(seeds), 8, "bottom")
            ax.annotate(name, (sizes[0], height), xytext=(0, away), textcoords="offset points",
                        ha="center", va=va, color=COLORS[name], fontweight="bold")  # fmt: skip
        ax.set(xscale="log", yscale="log", xlabel="images per batch", ylim=(0.15, 150))
        ax.set_xlim(sizes[0] / 1.8, 1.3 * sizes[-1])
        ax.set_xticks(sizes, [str(s) for s in sizes])
        ax.set_yticks([1, 10, 100], ["1", "10", "100"])
        ax.minorticks_off()
        heading(ax, network)
    axes[0, 0].set_ylabel("test error (%)")
    return figure


def accuracy_by_padding(rows: Mapping[str, Mapping[int, Sequence[float]]]) -> Figure:
    """Draw accuracies over the zeros that were added: a dot per seed, a line through the means.

    Args:
        rows: what it is, as in "BN, running statistics" -> zeros added -> percents [seeds]. The
            name of the norm comes first and chooses the colour; its second row is dashed.
    """
    figure, ax = plt.subplots()
    drawn: set[str] = set()
    for name, by_zeros in rows.items():
        norm, zeros = name.split(",")[0], sorted(by_zeros)
        values = [by_zeros[z] for z in zeros]
        _seeds_and_mean(ax, zeros, values, COLORS[norm], "--" if norm in drawn else "-")
        drawn.add(norm)
        away, va = (-1.5, "top") if norm == "LN" else (1.5, "bottom")
        ax.text(zeros[-1], np.mean(values[-1]) + away, name, color=COLORS[norm], va=va, ha="right",
                fontweight="bold")  # fmt: skip
    ax.axhline(50, color=INK, lw=0.8, ls=":")
    ax.text(0, 50.5, "a guess", va="bottom")
    ax.set(xlabel="steps of zeros added to every sequence", ylabel="accuracy (%)", ylim=(45, 104))
    ax.set_xticks(zeros)
    return figure


def _seeds_and_mean(
    ax: Axes, places: Sequence, values: Sequence[Sequence[float]], color: str, dash: str = "-"
) -> None:
    for place, seeds in zip(places, values, strict=True):
        ax.plot([place] * len(seeds), seeds, "o", color=color, alpha=0.5, ms=5)
    ax.plot(places, [np.mean(seeds) for seeds in values], dash, color=color, lw=2.4)


# --- the picture of the axes -------------------------------------------------------------------

_SHAPE = _N, _C, _H, _W = 3, 6, 2, 2
_GROUPS = [g for g in range(1, _C + 1) if _C % g == 0]
_CHOSEN = (1, 2, 0, 1)  # at the start
_EPS = 1e-5
# name in the script, label, key of the colour
_FAMILY = [
    ("batch", "batch", "BN"),
    ("layer", "layer", "LN"),
    ("instance", "instance", "IN"),
    ("group", "group", "GN"),
    ("rms", "RMS", "RMSNorm"),
]


class _Norm(NamedTuple):
    layer: str
    dims: tuple[int, ...]  # of x, or with groups of x as [N, G, C/G, H, W]
    affine: str  # the shapes of weight and bias
    where: str  # the values that share the statistics of a value of sample n and channel c
    groups: int = 0
    centred: bool = True
    same: str = ""  # the norm that has the same sets


def norm_axes(seed: int = 0) -> HTML:
    """Show which values of a block [N, C, H, W] share their statistics, under each norm.

    The reader chooses batch, layer, instance, group or RMS norm and points at a value. The figure
    is one piece of HTML and JavaScript that loads nothing; all that it shows is computed here.
    Where scripts do not run it is a picture of the start: batch norm.

    Args:
        seed: an integer below 2**32; it determines the values.
    """
    x = _block(seed)
    readings = {name: _reading(x, norm) for name, norm in _norms().items()}
    batch = readings["batch"]
    n, c, h, w = _CHOSEN
    chosen = (n * _H + h) * _C * _W + c * _W + w  # the number of its cell
    start = {"n": n, "c": c, "h": h, "w": w, "x": text(x[_CHOSEN].item(), 1)}
    start |= {"y": batch["y"][chosen], "layer": batch["layer"], "rule": batch["rule"]}
    start |= {name: batch[name][batch["set"][n * _C + c]] for name in ("mean", "spread")}
    return fill(
        "norm_axes.html",
        start,
        family=[(name, label, COLORS[key]) for name, label, key in _FAMILY],
        groups=_GROUPS,
        shape=_SHAPE,
        chosen=(chosen, c),
        cells=_cells(x, 1),
        told=batch["told"],
        readings=json.dumps(readings, ensure_ascii=False, separators=(",", ":")),
    )


def _block(seed: int) -> Tensor:
    """Make values [N, C, H, W] with one decimal; each sample and each channel has its own mean."""
    z = normal_numbers(seed)

    def draw(*shape: int) -> Tensor:
        numbers = [next(z) for _ in range(torch.Size(shape).numel())]
        return torch.tensor(numbers, dtype=torch.float64).view(shape)

    return (draw(_N, 1, 1, 1) + draw(1, _C, 1, 1) + draw(*_SHAPE)).round(decimals=1)


def _cells(values: Tensor, digits: int) -> list[str]:
    """Write values [N, C, H, W] as the cells: a row for each n and h, in it c and w."""
    return [text(v, digits) for v in values.transpose(1, 2).flatten().tolist()]


def _norms() -> dict[str, _Norm]:
    """Return what the reader can choose: a norm, and with group norm the number of groups."""
    whole, per_channel = f"[{_C}, {_H}, {_W}]", f"weight and bias have shape [{_C}]"
    layer = _Norm(
        f"nn.LayerNorm({whole})",
        (1, 2, 3),
        f"weight and bias have shape {whole}",
        "all channels, all pixels of sample {n}",
    )
    norms = {
        "batch": _Norm(
            f"nn.BatchNorm2d({_C})",
            (0, 2, 3),
            per_channel,
            "all samples, all pixels of channel {c}",
        ),
        "layer": layer,
        "instance": _Norm(
            f"nn.InstanceNorm2d({_C})",
            (2, 3),
            f"with affine=True, {per_channel}",
            "all pixels of channel {c} of sample {n}",
        ),
        "rms": layer._replace(
            layer=f"nn.RMSNorm({whole})",
            affine=f"weight has shape {whole}, no bias",
            centred=False,
            same="layer norm",
        ),
    }
    same = {1: "layer norm", _C: "instance norm"}
    for g in _GROUPS:
        norms[f"group {g}"] = _Norm(
            f"nn.GroupNorm({g}, {_C})",
            (2, 3, 4),
            per_channel,
            "all pixels of {channels} of sample {n}",
            groups=g,
            same=same.get(g, ""),
        )
    return norms


def _reading(x: Tensor, norm: _Norm) -> dict[str, object]:
    """Return all that the figure tells of the block under a norm.

    Returns:
        set: the number of the set of each sample and channel.
        mean, spread: what the sets share, by their numbers.
        channels: what the set of each channel is called.
        told: a sentence with these names in it.
        y: the output of each cell.
        layer, rule: what stands below.
    """
    view = x.view(_N, norm.groups, -1, _H, _W) if norm.groups else x
    if norm.centred:
        y, mean, spread = normalize(view, norm.dims, eps=_EPS)
        told = "Mean {mean} and variance {spread} of %d values: %s."
    else:
        square = view.square().mean(norm.dims, keepdim=True)
        y, mean, spread = view / (square + _EPS).sqrt(), torch.zeros_like(square), square.sqrt()
        told = "Root mean square {spread} of %d values, no mean subtracted: %s."
    count = mean.numel()
    sets = torch.arange(count).view_as(mean).expand_as(view).reshape(_SHAPE)
    same = f", the same sets as {norm.same}" if norm.same else ""
    dims = f"dims {norm.dims}" + " of x as [N, G, C/G, H, W]" * bool(norm.groups)
    return {
        "set": sets[:, :, 0, 0].flatten().tolist(),
        "mean": [text(m, 2) for m in mean.flatten().tolist()],
        "spread": [text(v, 2) for v in spread.flatten().tolist()],
        "channels": [_channels(c, _C // norm.groups) for c in range(_C)] if norm.groups else [],
        "told": told % (x.numel() // count, norm.where),
        "y": _cells(y.reshape(_SHAPE), 2),
        "layer": norm.layer,
        "rule": f"{count} such sets{same}; {dims}; {norm.affine}.",
    }


def _channels(c: int, size: int) -> str:
    """Name the channels of the group of `size` in which `c` is."""
    first = c // size * size
    if size == _C:
        return "all channels"
    if size == 1:
        return f"channel {c}"
    return f"channels {first} {'and' if size == 2 else 'to'} {first + size - 1}"

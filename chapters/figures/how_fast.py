"""The figures that only this chapter draws."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from normlab.style import COLORS, INK, WIDTH, heading

_WAYS = {
    "formula": COLORS["autograd"],
    "closed form": INK,
    "normlab": COLORS["normlab"],
    "torch.nn": COLORS["nn.BatchNorm"],
}


def _color(way: str) -> str:
    """A way keeps its colour when it is compiled."""
    return _WAYS.get(way.removesuffix(", compiled"), INK)


def bandwidth(speeds: Mapping[int, float], marks: Mapping[str, int]) -> Figure:
    """Draw how fast tensors are copied over their size.

    Args:
        speeds: bytes of a tensor -> bytes read and written per second.
        marks: name of a tensor -> its bytes.
    """
    figure, ax = plt.subplots()
    ax.plot([*speeds], [s / 1e9 for s in speeds.values()], "o-", color=INK, ms=4)
    for name, size in marks.items():
        ax.axvline(size, color=INK, lw=0.8, ls=":")
        ax.annotate(name, (size, 0.05), xycoords=("data", "axes fraction"), xytext=(-4, 0),
                    textcoords="offset points", ha="right", va="bottom", rotation=90)  # fmt: skip
    ax.set_xscale("log", base=2)
    _bytes_axis(ax, min(speeds), max(speeds))
    ax.set_ylim(bottom=0)
    ax.set(xlabel="size of the tensor", ylabel="copied (GB per second)")
    return figure


def _bytes_axis(ax: Axes, low: int, high: int) -> None:
    ticks = [2**k for k in range(10, 31, 3) if low <= 2**k <= high]
    units = {2**10: "KiB", 2**20: "MiB"}
    labels = [
        f"{tick // unit} {name}"
        for tick in ticks
        for unit, name in [max((u, n) for u, n in units.items() if u <= tick)]
    ]
    ax.set_xticks(ticks, labels)
    ax.minorticks_off()


def roofline(points: Mapping[str, tuple[float, float]], bandwidth: float, peak: float) -> Figure:
    """Draw what is computed per second over operations per byte, below the roof of the machine.

    Args:
        points: name -> operations per byte, operations per second.
        bandwidth: bytes per second.
        peak: operations per second.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 3.6))
    x = np.geomspace(0.03, 300, 200)
    ax.loglog(x, np.minimum(bandwidth * x, peak) / 1e9, color=INK, lw=1.8)
    for name, (intensity, speed) in points.items():
        marker = "s" if name == "convolution" else "o"
        filled = "none" if "compiled" in name else _color(name)
        ax.plot(intensity, speed / 1e9, marker, mfc=filled, mec=_color(name), ms=7)
        # normlab may stand close to the library, on its left.
        place = {"convolution": ((-9, -14), "right"), "normlab": ((0, -14), "center")}
        offset, side = place.get(name, ((9, -1), "left"))
        ax.annotate(name, (intensity, speed / 1e9), color=_color(name), fontweight="bold",
                    xytext=offset, textcoords="offset points", ha=side, va="center")  # fmt: skip
    ax.set(xlabel="operations per byte", ylabel="10⁹ operations per second")
    ax.minorticks_off()
    return figure


def ladder(panels: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw the time of each way relative to torch.nn's, one panel per shape, on a log axis.

    Args:
        panels: shape -> way -> time divided by that of torch.nn.
    """
    ways = list(next(iter(panels.values())))
    size = (WIDTH, 0.9 + 0.36 * len(ways))
    figure, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, squeeze=False)
    for ax, (shape, ratios) in zip(axes[0], panels.items(), strict=True):
        ax.axvline(1, color=INK, lw=1)
        for row, way in enumerate(ways):
            filled = "none" if "compiled" in way else _color(way)
            ax.plot([1, ratios[way]], [row, row], color=_color(way), lw=1)
            ax.plot(ratios[way], row, "o", mfc=filled, mec=_color(way), ms=8)
            ax.annotate(f"{ratios[way]:.2f}", (ratios[way], row), xytext=(0, 6), ha="center",
                        textcoords="offset points", color=_color(way))  # fmt: skip
        ax.set(xscale="log", ylim=(len(ways) - 0.5, -0.8))
        ax.set_xlim(min(0.5, *ratios.values()) / 1.3, max(*ratios.values(), 2) * 1.5)
        ax.minorticks_off()
        ticks = [t for t in (0.5, 1, 2, 4, 8, 16) if ax.get_xlim()[0] < t < ax.get_xlim()[1]]
        ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
        ax.spines["left"].set_visible(False)
        ax.tick_params(left=False)
        heading(ax, shape)
    axes[0, 0].set_yticks(range(len(ways)), ways)
    figure.supxlabel("time relative to torch.nn")
    return figure


def small(sizes: Sequence[int], lines: Mapping[str, Sequence[float]]) -> Figure:
    """Draw microseconds of a step over the values of the tensor, both on log axes.

    Args:
        sizes: numbers of values.
        lines: way -> seconds, one for each size.
    """
    figure, ax = plt.subplots()
    for way, seconds in lines.items():
        ax.loglog(sizes, [1e6 * s for s in seconds], "o-", color=_color(way), ms=4)
        ax.annotate(way, (sizes[0], 1e6 * seconds[0]), xytext=(0, 8), color=_color(way),
                    textcoords="offset points", fontweight="bold")  # fmt: skip
    ax.minorticks_off()
    ax.set(xlabel="values in the tensor", ylabel="time of a step (µs)")
    return figure

"""Colours that read on both pages, and the figures that several chapters draw."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from normlab import style
from normlab.training import History

pytestmark = pytest.mark.usefixtures("clean_style")


def luminance(color: str) -> float:
    """Relative luminance (0..1) as WCAG 2 defines it."""
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return float(np.dot([0.2126, 0.7152, 0.0722], channels))


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("page", ["#ffffff", "#14181e"])  # the theme's light and dark page
def test_text_reads_on_the_light_and_on_the_dark_page(page):
    assert contrast(style.INK, page) > 4  # 4.25 is the best one colour can do on both


@pytest.mark.parametrize("page", ["#ffffff", "#14181e"])
@pytest.mark.parametrize("name", sorted(style.COLORS))
def test_each_method_colour_shows_on_the_light_and_on_the_dark_page(name, page):
    assert contrast(style.COLORS[name], page) > 2.8  # WCAG asks 3 for graphics that have no label


@pytest.mark.parametrize("key", ["BN", "LN", "IN", "GN", "RMSNorm"])
def test_black_digits_read_on_the_colour_of_each_norm_which_shows_on_either_page(key):
    assert contrast(style.COLORS[key], "#000000") > 4.5
    assert min(contrast(style.COLORS[key], page) for page in ("#ffffff", "#14181e")) > 3


def test_curves_draw_every_seed_a_mean_and_the_name():
    runs = [History(test_accuracy=[0.1, 0.3]), History(test_accuracy=[0.2, 0.5])]
    ax = style.curves({"with BN": runs})
    lines = [line.get_ydata().tolist() for line in ax.lines]
    assert lines == [[10, 30], [20, 50], [15, 40]]
    assert [text.get_text() for text in ax.texts] == ["with BN"]
    assert ax.get_ylabel() == "test accuracy (%)" and ax.get_xlabel() == "epoch"


@pytest.mark.parametrize("gap", [0.0, 0.002, 0.3])
def test_names_at_the_ends_of_lines_do_not_touch(gap):
    ends = {"normlab": 0.5, "nn.BatchNorm": 0.5 + gap, "without BN": 0.5 - gap}
    ax = style.curves({n: [History(test_accuracy=[0.1, e])] for n, e in ends.items()})
    ax.figure.canvas.draw()
    low, middle, high = sorted((t.get_window_extent() for t in ax.texts), key=lambda box: box.y0)
    assert low.y1 <= middle.y0 and middle.y1 <= high.y0


def test_a_name_without_a_colour_is_refused():
    with pytest.raises(KeyError):
        style.curves({"unheard of": [History(test_accuracy=[0.1])]})


def test_settings_are_drawn_with_one_dot_per_seed():
    ax = style.seeds_by_setting({"with BN": {0.1: [1, 2], 0.01: [3, 4]}}, "rate", "accuracy (%)")
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert sum(len(line.get_xdata()) for line in dots) == 4


def test_an_image_grid_shows_every_image_with_its_title():
    images = torch.randint(256, (7, 3, 32, 32), dtype=torch.uint8)
    figure = style.image_grid(images, [f"image {i}" for i in range(7)], columns=5)
    shown = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in shown] == [f"image {i}" for i in range(7)]


def test_layers_are_drawn_with_a_line_per_seed_and_one_dash_per_variant():
    lines = {"with BN, scale 3": np.ones((2, 4)), "without BN, scale 1": np.ones((2, 4))}
    figure = style.by_layer({"spread": {"tanh": lines}, "mean": {"tanh": lines}}, log={"spread"})
    assert [ax.get_yscale() for ax in figure.axes] == ["log", "linear"]
    styles = [(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines]
    assert len(styles) == 4 and len(set(styles)) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(lines)

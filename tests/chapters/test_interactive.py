"""What holds for every interactive figure, and the numbers that they start from."""

import re
from itertools import islice
from pathlib import Path

import pytest

from figures import interactive
from figures.interactive import mulberry32
from figures.normalization_family import norm_axes
from figures.the_mathematics import batch_norm_playground

each_figure = pytest.mark.parametrize("figure", [batch_norm_playground, norm_axes])


@each_figure
def test_html_is_the_same_every_time_and_small(figure):
    html = figure().data
    assert html == figure(seed=0).data != figure(seed=1).data
    assert len(html.encode()) < 25_000
    assert "{{" not in html and "{%" not in html


@each_figure
def test_html_loads_nothing_and_can_stand_twice_on_a_page(figure):
    html = figure().data
    assert not re.search(r"https?:|\bsrc=|\bhref=|@import|url\(", html)
    assert not re.search(r"\sid=", html)


@each_figure
def test_controls_look_as_the_shared_file_says(figure):
    html, shared = figure().data, Path(interactive.__file__).with_name(interactive.CONTROLS)
    rules = re.sub(r"/\*.*?\*/\n?", "", shared.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert html.count(rules) == 1
    assert re.match(r'<figure class="[^"]*\bnormlab-controls\b', html)


@each_figure
@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seed_out_of_range_is_refused(figure, seed):
    with pytest.raises(ValueError, match="seed must be"):
        figure(seed)


def test_generator_makes_the_published_numbers():
    """The first numbers of mulberry32 with seed 0, as other implementations make them."""
    first = [int(u * 2**32) for u in islice(mulberry32(0), 3)]
    assert first == [1144304738, 1416247, 958946056]

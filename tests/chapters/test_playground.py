"""The playground in a real browser, its arithmetic against normlab's."""

import json
import re

import pytest
import torch

from figures.interactive import normal_numbers
from figures.the_mathematics import batch_norm_playground
from normlab.functional import batch_norm
from tests.browser import DARK_BOOK, PAGE, Page, beyond_the_page, insert_as_notebook, needs_browser

FIGURE = ".normlab-bn"


@pytest.fixture
def figure() -> str:
    return batch_norm_playground().data


def next_batch(page: Page) -> None:
    page.locator(".next").first.dispatch_event("click")


def move(page: Page, name: str, value: float) -> None:
    """Move a slider as a hand does: the browser rounds to a step and tells the page."""
    page.locator(f"[name={name}]").evaluate(
        "(slider, value) => { slider.value = value;"
        " slider.dispatchEvent(new Event('input', { bubbles: true })); }",
        value,
    )


def values(page: Page, name: str) -> list[float]:
    """Return the inputs (x) or outputs (y) of the figure, with all digits."""
    return json.loads(page.locator(FIGURE).first.get_attribute(f"data-{name}"))


def statistics(page: Page, name: str) -> list[float]:
    """Return mean and variance of the row `name`, with all digits."""
    numbers = json.loads(page.locator(FIGURE).first.get_attribute(f"data-{name}"))
    return [numbers["mean"], numbers["variance"]]


def row(page: Page, name: str) -> list[str]:
    """Return mean and variance of the row `name`, as they are shown."""
    return page.locator(f"tr.{name} td").all_text_contents()


def setting(page: Page, name: str) -> float:
    return float(page.locator(f"[name={name}]").input_value())


class Layer:
    """What the figure must do, by normlab: the state of a layer, and one pass."""

    def __init__(self) -> None:
        self.running = [torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)]

    def outputs(self, page: Page, training: bool, keep: bool) -> list[float]:
        """Normalize the inputs on the page; `keep` the moved statistics, as after a new batch."""
        column = torch.tensor(values(page, "x"), dtype=torch.float64)[:, None]
        weight, bias = (
            torch.tensor([setting(page, name)], dtype=torch.float64) for name in ("gamma", "beta")
        )
        y = batch_norm(
            column,
            *(self.running if keep else [s.clone() for s in self.running]),
            weight,
            bias,
            training,
            setting(page, "momentum"),
            10 ** setting(page, "eps"),
        )
        return y[:, 0].tolist()


def assert_agreement(page: Page, layer: Layer, training: bool, keep: bool = False) -> None:
    expected = layer.outputs(page, training, keep)
    assert values(page, "y") == pytest.approx(expected, rel=1e-9, abs=1e-9)
    running = [s.item() for s in layer.running]
    assert statistics(page, "running") == pytest.approx(running, rel=1e-12, abs=1e-12)
    for name, sample in (("batch", values(page, "x")), ("output", expected)):
        variance, mean = torch.var_mean(torch.tensor(sample, dtype=torch.float64), correction=0)
        wanted = [mean.item(), variance.item()]
        assert statistics(page, name) == pytest.approx(wanted, rel=1e-9, abs=1e-9)
    for name in ("batch", "running", "output"):
        shown = [float(number.replace("−", "-")) for number in row(page, name)]
        assert shown == pytest.approx(statistics(page, name), abs=0.00051)


# --- the picture --------------------------------------------------------------------------------


@needs_browser
def test_picture_and_numbers_stand_without_scripts(show):
    page = show(scripts=False)
    assert page.locator("svg .points circle").count() == 16
    assert page.locator("svg .points line").count() == 8
    assert page.locator("svg").bounding_box()["height"] > 300
    assert page.get_by_text("The controls need JavaScript").is_visible()
    assert page.locator("button, input").count() == 0
    assert row(page, "running") == ["0.000", "1.000"]


@needs_browser
@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_script_starts_with_the_picture_that_is_there(show, seed):
    body = batch_norm_playground(seed).data
    still, live = show(body, scripts=False), show(body)
    parts = (".grid", ".target", ".running", ".batch", ".output", ".points", "desc", ".formula")
    for part in parts:
        a, b = (page.locator(f"{FIGURE} {part}").first.inner_html() for page in (still, live))
        assert a == b
    a, b = (page.locator("table").inner_text() for page in (still, live))
    assert a == b


@needs_browser
def test_batches_are_those_of_the_generator(show):
    page = show(batch_norm_playground(seed=7).data)
    z = normal_numbers(7)
    for _ in range(4):
        expected = [2 + 1.5 * next(z) for _ in range(8)]
        assert values(page, "x") == pytest.approx(expected, rel=1e-12)
        next_batch(page)


# --- the arithmetic -----------------------------------------------------------------------------


@needs_browser
@pytest.mark.parametrize("momentum", [0.1, 0.9, 1])
def test_arithmetic_is_that_of_normlab_over_many_batches(show, momentum):
    page, layer = show(), Layer()
    move(page, "momentum", momentum)
    assert_agreement(page, layer, training=True)
    for step in range(6):
        move(page, "mean", step - 3)  # the data drift
        assert_agreement(page, layer, training=True)  # a slider moves no running statistic
        next_batch(page)
        assert_agreement(page, layer, training=True, keep=True)
    page.get_by_label("eval").check()
    assert_agreement(page, layer, training=False)
    next_batch(page)
    assert_agreement(page, layer, training=False)


@needs_browser
@pytest.mark.parametrize(
    "sliders",
    [
        {"gamma": -2, "beta": 3},
        {"gamma": 0, "beta": -1.5},
        {"spread": 0},
        {"spread": 0.05, "eps": -3},
        {"spread": 2, "eps": 0, "mean": -3, "gamma": 1.7},
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_arithmetic_is_that_of_normlab_at_the_ends_of_the_sliders(show, mode, sliders):
    page, layer = show(), Layer()
    for name, value in sliders.items():
        move(page, name, value)
        assert setting(page, name) == value
    next_batch(page)
    assert_agreement(page, layer, training=True, keep=True)
    page.get_by_label(mode).check()
    assert_agreement(page, layer, training=mode == "train")


@needs_browser
def test_points_are_drawn_where_the_numbers_say(show):
    page = show()
    next_batch(page)
    page.get_by_label("eval").check()
    left, width = (page.locator("svg").bounding_box()[key] for key in ("x", "width"))
    circles = [c.bounding_box() for c in page.locator(".points circle").all()]
    drawn = [((c["x"] + c["width"] / 2 - left) / width * 100 - 50) / 7.6 for c in circles]
    assert drawn == pytest.approx(values(page, "x") + values(page, "y"), abs=0.02)


# --- what a learner sees ------------------------------------------------------------------------


@needs_browser
def test_in_train_mode_the_mean_of_the_data_leaves_the_outputs_alone(show):
    page = show()
    before = values(page, "y")
    move(page, "mean", -3)
    assert values(page, "y") == pytest.approx(before, abs=1e-9)
    page.get_by_label("eval").check()
    before = values(page, "y")
    move(page, "mean", 0)
    shift = [b - a for a, b in zip(before, values(page, "y"), strict=True)]
    assert shift == pytest.approx([3] * 8, rel=1e-4)  # a new layer: running mean 0, variance 1


@needs_browser
def test_start_over_makes_a_new_layer_and_repeats_the_batches(show):
    page = show()
    first = [values(page, "x") for _ in range(3) if next_batch(page) is None]
    dots = page.locator("svg .dots circle")
    assert (dots.count(), page.locator("svg .trail line").count()) == (2, 3)
    move(page, "momentum", 0.9)
    page.get_by_role("button", name="Start over").click()
    assert statistics(page, "running") == [0, 1]
    assert page.locator("svg .trail line").count() == 0
    assert page.get_by_text("have not moved yet").is_visible()
    assert setting(page, "momentum") == 0.9
    assert [values(page, "x") for _ in range(3) if next_batch(page) is None] == first
    for _ in range(20):
        next_batch(page)
    assert (dots.count(), page.locator("svg .trail line").count()) == (14, 14)  # the last ones


@needs_browser
def test_text_shows_how_a_batch_moved_the_running_statistics(show):
    page = show()
    update = page.locator(".update")
    next_batch(page)
    lines = update.text_content().splitlines()
    for line, (name, start) in zip(lines, [("mean", 0), ("variance", 1)], strict=False):
        old_share, old, share, batch, new = map(float, re.findall(r"\d+\.\d+", line))
        assert line.startswith(f"running {name}:")
        assert (old_share, old, share) == (0.9, start, 0.1)
        assert new == pytest.approx(old_share * old + share * batch, abs=1e-3)
    assert lines[2].endswith("unbiased variance of batch 1.")
    page.get_by_label("eval").check()
    next_batch(page)
    assert update.text_content().startswith("In eval mode a batch leaves")


@needs_browser
def test_values_beyond_the_axis_are_counted(show):
    page = show()
    assert page.locator(".outside").text_content() == ""
    page.get_by_label("eval").check()
    move(page, "gamma", -2)
    move(page, "mean", 3)
    beyond = sum(y < -50 / 7.6 for y in values(page, "y"))
    assert beyond > 0
    assert page.locator(".outside").text_content() == f"← {beyond}"


# --- hands, eyes and ears -----------------------------------------------------------------------


@needs_browser
def test_every_control_works_from_the_keyboard(show):
    page = show()
    focused = "document.activeElement.name || document.activeElement.className"
    order = ["next", "reset", "mode", "mean", "spread", "gamma", "beta", "eps", "momentum"]
    found = []
    for name in order:
        page.keyboard.press("Tab")
        found.append(page.evaluate(focused))
        outline = page.evaluate("getComputedStyle(document.activeElement).outline")
        assert "solid 3px" in outline, f"the focus on {name} is invisible"
        if name in ("next", "reset"):
            page.keyboard.press("Enter" if name == "next" else "Space")
            assert (statistics(page, "running") == [0, 1]) == (name == "reset")
        elif name == "mode":
            page.keyboard.press("ArrowRight")
            assert page.get_by_label("eval").is_checked()
            page.keyboard.press("ArrowLeft")
            assert page.get_by_label("train").is_checked()
        else:
            before = setting(page, name)
            page.keyboard.press("ArrowRight")
            step = float(page.locator(f"[name={name}]").get_attribute("step"))
            assert setting(page, name) == pytest.approx(before + step)
            assert_agreement(page, Layer(), training=True)
    assert found == order
    page.locator("form").evaluate("(form) => form.requestSubmit()")  # some browsers do on Enter
    assert_agreement(page, Layer(), training=True)


@needs_browser
def test_every_control_works_with_the_mouse(show):
    page, layer = show(), Layer()
    box = page.get_by_label("data spread").bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.7 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], y, steps=3)
    page.mouse.up()
    assert setting(page, "spread") == pytest.approx(1, abs=0.1)
    shown = page.locator(".slider", has_text="data spread").locator("span").text_content()
    assert float(shown) == setting(page, "spread")
    assert_agreement(page, layer, training=True)
    for _ in range(3):
        page.get_by_role("button", name="Next batch").click()
        assert_agreement(page, layer, training=True, keep=True)
    page.get_by_label("eval").click()
    assert_agreement(page, layer, training=False)
    page.get_by_role("button", name="Start over").click()
    assert_agreement(page, Layer(), training=False)


@needs_browser
def test_everything_has_a_name_and_changes_are_announced(show):
    page = show(clock=True)
    for name in ("data mean", "data spread", "scale γ", "shift β", "ε (eps)", "momentum"):
        assert page.get_by_role("slider", name=name, exact=True).count() == 1
    assert page.get_by_role("group", name="Mode").get_by_role("radio").count() == 2
    assert page.get_by_role("img", name="A batch of points").count() == 1
    assert page.locator("svg > title").text_content()
    page.get_by_label("ε (eps)").press("ArrowRight")
    assert page.get_by_label("ε (eps)").get_attribute("aria-valuetext") == "0.0001"

    status = page.get_by_role("status")
    page.get_by_label("eval").check()
    page.clock.run_for(1000)
    assert status.text_content().startswith("eval mode: output mean 2.069")
    assert page.locator("svg > desc").text_content().startswith("In eval mode: batch mean 2.069")


@needs_browser
def test_nothing_is_announced_before_a_hand_moves(show):
    page = show(clock=True)
    page.clock.run_for(1000)
    assert page.get_by_role("status").text_content() == ""


@needs_browser
@pytest.mark.parametrize("width", [320, 350, 720, 1400])
def test_figure_fits_the_page(show, width):
    page = show(width=width)
    for _ in range(3):
        next_batch(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert beyond_the_page(page) == []


@needs_browser
def test_dark_page_of_the_book_shows_through(show):
    page = show(DARK_BOOK.replace("{}", batch_norm_playground().data))
    style = "(e) => [getComputedStyle(e).backgroundColor, getComputedStyle(e).color]"
    assert page.locator(".text_html").evaluate(style) == ["rgba(0, 0, 0, 0)", "rgb(206, 214, 221)"]
    assert page.locator(".formula").evaluate(style)[1] == "rgb(206, 214, 221)"


@needs_browser
def test_switching_glides_unless_the_reader_wants_no_motion(show):
    first = ".points circle:nth-of-type(9)"  # the first output
    ends = {}
    for motion in ("reduce", "no-preference"):
        page = show(motion=motion, clock=True)
        page.get_by_label("eval").check()
        at_once = page.locator(first).get_attribute("cx")
        page.clock.run_for(500)
        ends[motion] = page.locator(first).get_attribute("cx")
        assert (at_once == ends[motion]) == (motion == "reduce")
    assert ends["reduce"] == ends["no-preference"]


@needs_browser
def test_two_copies_share_nothing_and_leave_no_names_behind(show):
    page = show("")
    names = "JSON.stringify(Object.getOwnPropertyNames(window).sort())"
    before = page.evaluate(names)
    page.set_content(PAGE.format(2 * batch_norm_playground().data))
    assert page.evaluate(names) == before
    one, two = page.locator(FIGURE).all()
    one.get_by_label("eval").check()
    one.get_by_role("button", name="Next batch").click()
    two.get_by_role("button", name="Next batch").click()
    assert two.get_by_label("train").is_checked() and one.get_by_label("eval").is_checked()
    running = [f.locator("tr.running td").first.text_content() for f in (one, two)]
    assert running[0] == "0.000" != running[1]


@needs_browser
def test_it_runs_where_a_notebook_inserts_the_html(show):
    page = show("<div></div>")
    insert_as_notebook(page, batch_norm_playground().data)
    next_batch(page)
    assert statistics(page, "running") != [0, 1]
    keys_are_ours = page.locator("button, input").evaluate_all(
        "(controls) => controls.every((c) => c.hasAttribute('data-lm-suppress-shortcuts'))"
    )
    assert keys_are_ours, "JupyterLab would take the arrow keys"

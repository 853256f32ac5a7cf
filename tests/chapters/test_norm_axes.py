"""The picture of the axes in a real browser, its sets and numbers against normlab and torch."""

import json
import re
from collections.abc import Iterator
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from figures.normalization_family import norm_axes
from normlab import functional
from tests.browser import DARK_BOOK, PAGE, Page, beyond_the_page, insert_as_notebook, needs_browser

FIGURE = ".normlab-axes"
CELLS = f"{FIGURE} [role=row] > div"
SHAPE = N, C, H, W = 3, 6, 2, 2
CHOICES = ["batch", "layer", "instance", "rms", "group 1", "group 2", "group 3", "group 6"]


@pytest.fixture
def figure() -> str:
    return norm_axes().data


def choose(page: Page, choice: str) -> None:
    name, _, groups = choice.partition(" ")
    page.locator(f"[value={name}]").check()
    if groups:
        page.locator(f'[name=groups][value="{groups}"]').check()


def normalize(x: Tensor, choice: str) -> Tensor:
    """What the figure must do, by normlab and, for RMS norm, by torch."""
    name, _, groups = choice.partition(" ")
    if name == "batch":
        return functional.batch_norm(x, None, None, training=True)
    if name == "layer":
        return functional.layer_norm(x, [C, H, W])
    if name == "instance":
        return functional.instance_norm(x)
    if name == "rms":
        return F.rms_norm(x, [C, H, W], eps=1e-5)
    return functional.group_norm(x, int(groups))


@cache
def sharing(choice: str) -> Tensor:
    """Return [value, value]: whether the second has a part in the first one's output."""
    x = torch.randn(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    jacobian = torch.autograd.functional.jacobian(lambda v: normalize(v, choice), x)
    return jacobian.view(x.numel(), x.numel()) != 0


def block(page: Page) -> Tensor:
    """Return the values of the figure."""
    cells = page.locator(CELLS).all_text_contents()
    numbers = [float(cell.replace("−", "-")) for cell in cells]
    return by_index(torch.tensor(numbers, dtype=torch.float64))


def outputs(page: Page) -> Tensor:
    """Return what the text tells of each value when the mouse is there, with two decimals."""
    told = page.locator(CELLS).evaluate_all(
        """(cells) => cells.map((cell) => {
          cell.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
          return cell.closest("figure").querySelector(".value").textContent;
        })"""
    )
    last = [numbers(text.replace("−", "-"))[-1] for text in told]
    return by_index(torch.tensor(last, dtype=torch.float64))


def by_index(cells: list | Tensor) -> Tensor:
    """Order what was read from the cells, a row for each n and h, as the block."""
    return torch.as_tensor(cells).view(N, H, C, W).transpose(1, 2)


def marked(page: Page, kind: str) -> Tensor:
    """Return [N, C, H, W]: which cells are filled (in) or in the ring (chosen)."""
    has = f"(cells) => cells.map((cell) => cell.classList.contains('{kind}'))"
    return by_index(page.locator(CELLS).evaluate_all(has))


def chosen(page: Page) -> tuple[int, ...]:
    [index] = marked(page, "chosen").nonzero().tolist()
    return tuple(index)


def point_at(page: Page, n: int, c: int, h: int, w: int) -> None:
    page.locator(CELLS).nth((n * H + h) * C * W + c * W + w).dispatch_event(
        "pointerover", {"bubbles": True}
    )


def readout(page: Page) -> tuple[str, str, str]:
    value, shared, rule = (
        page.locator(f"{FIGURE} .{part}").first.text_content().replace("−", "-")
        for part in ("value", "set", "rule")
    )
    return value, shared, rule


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", text)]


# --- the picture --------------------------------------------------------------------------------


@needs_browser
def test_picture_of_batch_norm_stands_without_scripts(show):
    page = show(scripts=False)
    assert page.get_by_role("table", name="Values of 3 samples").count() == 1
    assert page.get_by_role("cell").count() == N * C * H * W
    assert marked(page, "in").nonzero()[:, 1].tolist() == N * H * W * [2]
    assert chosen(page) == (1, 2, 0, 1)
    assert page.locator(".rule").text_content().startswith("nn.BatchNorm2d(6): 6 such sets")
    assert page.get_by_text("The controls need JavaScript").is_visible()
    assert page.locator("input, [tabindex]").count() == 0


@needs_browser
@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_script_starts_with_the_picture_that_is_there(show, seed):
    body = norm_axes(seed).data
    still, live = show(body, scripts=False), show(body)
    assert readout(still) == readout(live)
    for kind in ("in", "chosen"):
        assert torch.equal(marked(still, kind), marked(live, kind))
    assert live.locator(".still").count() == 0


# --- sets and numbers ---------------------------------------------------------------------------


@needs_browser
@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("seed", [0, 7])
def test_outputs_are_those_of_normlab(show, seed, choice):
    page = show(norm_axes(seed).data)
    choose(page, choice)
    expected = normalize(block(page), choice)
    torch.testing.assert_close(outputs(page), expected, rtol=0, atol=0.0051)


@needs_browser
@pytest.mark.parametrize("choice", CHOICES)
def test_filled_are_the_values_on_which_the_output_in_the_ring_depends(show, choice):
    page = show()
    choose(page, choice)
    filled = page.locator(CELLS).evaluate_all(
        """(cells) => cells.map((cell) => {
          cell.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
          return cells.map((other) => other.classList.contains("in"));
        })"""
    )
    rows = torch.stack([by_index(row).flatten() for row in filled])  # in the order of the cells
    place = torch.arange(N * C * H * W).view(SHAPE).transpose(1, 2).flatten()  # of each cell
    assert torch.equal(rows, sharing(choice)[place])


@needs_browser
@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("index", [(0, 0, 0, 0), (1, 3, 1, 0), (2, 5, 1, 1)], ids=str)
def test_text_states_value_and_statistics(show, index, choice):
    page = show()
    choose(page, choice)
    point_at(page, *index)
    x = block(page)
    shared = x[marked(page, "in")]
    value, statistics, _ = readout(page)
    *place, before, after = numbers(value)
    assert (tuple(place), before) == (index, x[index].item())
    assert after == pytest.approx(normalize(x, choice)[index].item(), abs=0.0051)
    if choice == "rms":
        expected = [shared.square().mean().sqrt().item(), len(shared)]
        assert statistics.startswith("Root mean square") and "no mean subtracted" in statistics
    else:
        variance, mean = torch.var_mean(shared, correction=0)
        expected = [mean.item(), variance.item(), len(shared)]
        assert re.match(r"Mean \S+ and variance \S+ of \d+ values: ", statistics)
    assert numbers(statistics.split(":")[0]) == pytest.approx(expected, abs=0.0051)


@needs_browser
@pytest.mark.parametrize("choice", CHOICES)
def test_text_names_the_filled_values(show, choice):
    page = show()
    choose(page, choice)
    for index in [(0, 1, 0, 0), (2, 4, 1, 1)]:
        point_at(page, *index)
        words = readout(page)[1].split(": ")[1]
        samples, channels = range(N), range(C)
        if found := re.search(r"of sample (\d)", words):
            samples = [int(found[1])]
        if found := re.search(r"channels? (\d)(?: (?:and|to) (\d))?", words):
            channels = range(int(found[1]), int(found[2] or found[1]) + 1)
        named = torch.zeros(SHAPE, dtype=torch.bool)
        for n in samples:
            named[n, list(channels)] = True
        assert torch.equal(named, marked(page, "in")), words
        assert ("all samples" in words) == (len(samples) == N)
        assert ("all channels" in words) == (len(channels) == C)


@needs_browser
@pytest.mark.parametrize("choice", CHOICES)
def test_layer_in_the_text_does_what_the_text_says(show, choice):
    page = show()
    choose(page, choice)
    value, _, rule = readout(page)
    code = page.locator(".rule code").text_content()
    layer = eval(code, {"nn": nn})
    x = block(page)
    assert layer(x.float())[chosen(page)].item() == pytest.approx(numbers(value)[-1], abs=0.0052)

    dims = tuple(map(int, re.search(r"dims \(([\d, ]+)\)", rule)[1].split(",")))
    assert ("x as [N, G, C/G, H, W]" in rule) == choice.startswith("group")
    if choice.startswith("group"):
        x = x.view(N, layer.num_groups, C // layer.num_groups, H, W)
    sets = int(re.search(r"(\d+) such sets", rule)[1])
    assert x.mean(dims).numel() == sets
    assert x.numel() // sets == marked(page, "in").sum()

    if "with affine=True" in rule:
        assert layer.weight is None
        layer = eval(code.replace(")", ", affine=True)"), {"nn": nn})
    shape = json.loads(re.search(r"shape (\[[\d, ]+\])", rule)[1])
    assert list(layer.weight.shape) == shape
    assert ("no bias" in rule) == (getattr(layer, "bias", None) is None)
    assert ("weight and bias have shape" in rule) != ("no bias" in rule)


@needs_browser
def test_text_says_which_norms_share_their_sets(show):
    page = show()
    filled, same = {}, {}
    for choice in CHOICES:
        choose(page, choice)
        filled[choice] = marked(page, "in")
        found = re.search(r"the same sets as (\w+) norm", readout(page)[2])
        same[choice] = found and found[1]
    named = {choice: other for choice, other in same.items() if other}
    assert named == {"rms": "layer", "group 1": "layer", "group 6": "instance"}
    for choice, other in named.items():
        assert torch.equal(filled[choice], filled[other])


# --- hands, eyes and ears -----------------------------------------------------------------------


@needs_browser
def test_mouse_chooses_by_pointing_and_the_choice_stays(show):
    page = show()
    choose(page, "instance")
    cells = page.locator(CELLS)
    cells.nth(0).hover()
    assert chosen(page) == (0, 0, 0, 0)
    cells.nth(C * W - 1).hover()
    assert chosen(page) == (0, C - 1, 0, W - 1)
    page.mouse.move(1, 1)
    assert chosen(page) == (0, C - 1, 0, W - 1)
    choose(page, "layer")
    assert chosen(page) == (0, C - 1, 0, W - 1)
    assert marked(page, "in")[0].all() and marked(page, "in").sum() == C * H * W


@needs_browser
def test_finger_chooses_by_tapping(show):
    page = show()
    with page.context.browser.new_context(has_touch=True) as context:
        touch = context.new_page()
        touch.set_content(PAGE.format(norm_axes().data))
        touch.locator(CELLS).last.tap()
        assert chosen(touch) == (N - 1, C - 1, H - 1, W - 1)
        touch.get_by_label("RMS").tap()
        assert marked(touch, "in")[N - 1].all()


def moves() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Keys, and the value that is chosen after each, from [1, 2, 0, 1]."""
    yield "ArrowRight", (1, 3, 0, 0)
    yield "ArrowDown", (1, 3, 1, 0)
    yield "ArrowDown", (2, 3, 0, 0)
    yield "ArrowDown", (2, 3, 1, 0)
    yield "ArrowDown", (2, 3, 1, 0)  # the end
    yield "End", (2, 5, 1, 1)
    yield "ArrowRight", (2, 5, 1, 1)
    yield "ArrowLeft", (2, 5, 1, 0)
    yield "ArrowUp", (2, 5, 0, 0)
    yield "Home", (2, 0, 0, 0)
    yield "ArrowLeft", (2, 0, 0, 0)
    yield "Alt+ArrowRight", (2, 0, 0, 0)  # the browser's
    yield "x", (2, 0, 0, 0)


@needs_browser
def test_block_is_one_tab_stop_in_which_the_arrow_keys_move(show):
    page = show(norm_axes().data + '<p style="height: 2000px"></p>')
    focused = "document.activeElement.name || document.activeElement.getAttribute('role')"
    for name in ("norm", "gridcell"):  # no groups for batch norm
        page.keyboard.press("Tab")
        assert page.evaluate(focused) == name
    for key, index in moves():
        page.keyboard.press(key)
        assert chosen(page) == index
        assert page.evaluate("document.activeElement.classList.contains('chosen')")
        assert page.locator(f"{FIGURE} [tabindex='0']").count() == 1
        assert page.evaluate("scrollY") == 0
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement === document.body")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.classList.contains('chosen')")


@needs_browser
def test_norm_and_groups_are_chosen_from_the_keyboard(show):
    page = show()
    page.keyboard.press("Tab")
    for name in ("layer", "instance", "group"):
        assert page.get_by_label("3", exact=True).is_disabled()
        page.keyboard.press("ArrowRight")
        assert page.locator(f"[value={name}]").is_checked()
    page.keyboard.press("Tab")
    for groups in (3, 6):
        page.keyboard.press("ArrowRight")
        assert readout(page)[2].startswith(f"nn.GroupNorm({groups}, 6): {3 * groups} such sets")
    page.locator("form").evaluate("(form) => form.requestSubmit()")  # some browsers do on Enter
    assert readout(page)[2].startswith("nn.GroupNorm(6, 6)")


@needs_browser
def test_focus_is_seen(show):
    page = show()
    page.keyboard.press("Tab")
    outline = "(e) => getComputedStyle(e).outline"
    assert "solid 3px" in page.locator("[value=batch]").evaluate(outline)
    assert "solid 3px" not in page.locator(".block").evaluate(outline)
    page.keyboard.press("Tab")
    assert "solid 3px" in page.locator(".block").evaluate(outline)
    around = "(e) => parseFloat(getComputedStyle(e).outlineOffset) + 3 - e.offsetLeft"
    assert page.locator(".block").evaluate(around) <= -page.locator(FIGURE).evaluate(
        "(e) => e.offsetLeft"
    ), "the book cuts what leaves the figure"


@needs_browser
def test_one_ring_where_mouse_and_keyboard_meet(show):
    page = show()
    page.locator(f"{CELLS}.chosen").focus()
    page.locator(CELLS).nth(5).hover()
    assert chosen(page) == (0, 2, 0, 1)
    assert page.evaluate("document.activeElement.classList.contains('chosen')")
    page.keyboard.press("ArrowLeft")
    assert chosen(page) == (0, 2, 0, 0)


@needs_browser
def test_set_and_choice_are_told_without_colours(show):
    page = show()
    cells = page.locator(CELLS)

    def differs(style: str) -> Tensor:
        """Which cells do not have this in the style that the first one, outside the set, has."""
        styles = cells.evaluate_all(f"(cells) => cells.map((e) => getComputedStyle(e).{style})")
        return by_index([s != styles[0] for s in styles])

    assert torch.equal(differs("boxShadow"), marked(page, "chosen"))
    assert torch.equal(differs("backgroundColor"), marked(page, "in"))
    page.emulate_media(forced_colors="active")  # the system's colours; it paints no shadow
    assert torch.equal(differs("outlineWidth"), marked(page, "chosen"))
    assert torch.equal(differs("backgroundColor"), marked(page, "in"))
    page.emulate_media(forced_colors="none")


@needs_browser
def test_everything_has_a_name_and_the_filled_values_are_told(show):
    page = show()
    assert page.get_by_role("group", name="Norm").get_by_role("radio").count() == 5
    assert page.get_by_role("group", name="Groups").get_by_role("radio").count() == 4
    assert page.get_by_role("grid", name="Values of 3 samples, 6 channels").count() == 1
    assert page.get_by_role("gridcell").count() == N * C * H * W
    assert page.get_by_role("row").count() == 1 + N * H
    for kind, count in (("columnheader", 1 + C), ("rowheader", N)):
        headers = page.get_by_role(kind)
        assert headers.count() == count and all(headers.all_text_contents())
    choose(page, "layer")
    selected = page.get_by_role("gridcell", selected=True)
    assert selected.count() == C * H * W == marked(page, "in").sum()


@needs_browser
def test_changes_are_announced_once_the_hand_rests_and_not_before_it_moves(show):
    page = show(clock=True)
    status = page.get_by_role("status")
    page.clock.run_for(1000)
    assert status.text_content() == ""
    choose(page, "group 3")
    page.clock.run_for(400)
    point_at(page, 0, 0, 0, 0)
    page.clock.run_for(400)
    assert status.text_content() == ""
    page.clock.run_for(400)
    for part in readout(page):
        assert part in status.text_content().replace("−", "-")


@needs_browser
@pytest.mark.parametrize("width", [320, 390, 720, 1280])
def test_figure_fits_the_page(show, width):
    page = show(width=width)
    for choice in ("batch", "group 3"):
        choose(page, choice)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert beyond_the_page(page) == []


@needs_browser
@pytest.mark.parametrize("width", [390, 550, 1280])
def test_numbers_fit_their_cells_and_fingers_too(show, width):
    page = show(f'<div style="font-family: sans-serif">{norm_axes().data}</div>', width=width)
    numbers, rooms, sizes = zip(
        *page.locator(CELLS).evaluate_all(
            """(cells) => cells.map((cell) => {
              const text = document.createRange();
              text.selectNodeContents(cell);
              return [text.getBoundingClientRect().width, cell.clientWidth, cell.offsetWidth];
            })"""
        ),
        strict=True,
    )
    assert max(numbers) <= min(rooms)
    assert min(sizes) >= 24


@needs_browser
def test_dark_page_of_the_book_shows_through(show):
    page = show(DARK_BOOK.replace("{}", norm_axes().data))
    style = "(e) => [getComputedStyle(e).backgroundColor, getComputedStyle(e).color]"
    light = "rgb(206, 214, 221)"
    assert page.locator(".text_html").evaluate(style) == ["rgba(0, 0, 0, 0)", light]
    assert page.locator(".rule code").evaluate(style) == ["rgba(0, 0, 0, 0)", light]
    assert page.locator(CELLS).first.evaluate(style) == ["rgba(0, 0, 0, 0)", light]


@needs_browser
def test_two_copies_share_nothing_and_leave_no_names_behind(show):
    page = show("")
    names = "JSON.stringify(Object.getOwnPropertyNames(window).sort())"
    before = page.evaluate(names)
    page.set_content(PAGE.format(2 * norm_axes().data))
    assert page.evaluate(names) == before
    one, two = page.locator(FIGURE).all()
    one.get_by_label("layer").check()
    two.locator("[role=gridcell]").first.hover()
    assert one.get_by_label("layer").is_checked() and two.get_by_label("batch").is_checked()
    told = [f.locator(".value").text_content().split(":")[0] for f in (one, two)]
    assert told == ["Value [n=1, c=2, h=0, w=1]", "Value [n=0, c=0, h=0, w=0]"]


@needs_browser
def test_it_runs_where_a_notebook_inserts_the_html(show):
    page = show("<div></div>")
    insert_as_notebook(page, norm_axes().data)
    choose(page, "layer")
    assert marked(page, "in").sum() == C * H * W
    page.locator("script").evaluate(
        """(old) => {
          const script = document.createElement("script");
          script.textContent = old.textContent;
          old.replaceWith(script);
        }"""
    )
    assert page.locator("form").count() == 1, "the script ran twice"
    keys_are_ours = page.locator("input, [tabindex]").evaluate_all(
        "(controls) => controls.every((c) => c.hasAttribute('data-lm-suppress-shortcuts'))"
    )
    assert keys_are_ours, "JupyterLab would take the arrow keys"

"""The page of the laboratory: what its files promise, and, in a browser, what readers do with it.

The arithmetic is tested in tests/laboratory.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from normlab.style import COLORS
from tests.browser import Page, needs_browser
from tools import ROOT, laboratory

BOOK = Path(os.environ.get("NORMLAB_BOOK", ROOT / "_build" / "html"))
FOLDER = ROOT / "_static" / laboratory.FOLDER
KILOBYTES = 150


# --- files --------------------------------------------------------------------------------------


def test_all_of_it_is_light() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1000 * KILOBYTES


def test_everything_that_is_loaded_lies_there() -> None:
    assert {*laboratory.SCRIPTS, laboratory.STYLE} <= {path.name for path in FOLDER.iterdir()}


def test_the_still_picture_has_the_size_that_pages_give_it() -> None:
    assert Image.open(FOLDER / laboratory.PICTURE).size == laboratory.SIZE


def test_it_names_no_address_outside_of_the_book() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.js"))
    code = re.sub(r"/\*.*?\*/", "", code, flags=re.DOTALL)  # types stand there
    assert not re.search(r"https?:|\bfetch\(|XMLHttpRequest|import\(|^import ", code, re.MULTILINE)


def test_a_norm_has_the_colour_that_it_has_in_the_book() -> None:
    code = (FOLDER / "laboratory.js").read_text(encoding="utf-8")
    table = re.search(r"const COLORS = \{(.*?)\};", code, re.DOTALL)[1]
    names = {"none": "plain", "batch": "BN", "layer": "LN", "group": "GN", "rms": "RMSNorm"}
    assert dict(re.findall(r'(\w+): "(#\w+)"', table)) == {
        norm: COLORS[method] for norm, method in names.items()
    }


def test_each_story_has_a_title_and_leads_to_a_chapter() -> None:
    code = laboratory.PRESETS.read_text(encoding="utf-8")
    chapters = re.findall(r'chapter: "([^"]+)\.html"', code)
    assert len(laboratory.presets()) == len(chapters) == 5
    assert [c for c in chapters if not (ROOT / f"{c}.ipynb").exists()] == []


def test_an_unknown_story_is_refused() -> None:
    with pytest.raises(ValueError, match="no preset nothing: choose of eval-gap"):
        laboratory.element("nothing", "small", "")


# --- in a browser -------------------------------------------------------------------------------


@pytest.fixture
def open_page(browser) -> Iterator[Callable]:
    """Open a page of the book from the disk; fail where it complains or asks for anything else."""
    contexts, complaints = [], []

    def open_page(
        name: str = "laboratory.html",
        motion: str = "reduce",
        width: int = 1280,
        draws: bool = True,
        before: str = "",
        **options,
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, reduced_motion=motion, **options
        )
        context.add_init_script(f"localStorage.setItem('mode', 'light'); {before}")
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda m: m.type == "error" and complaints.append(m.text))
        page.on(
            "request",
            lambda r: r.url.startswith(("file:", "blob:", "data:")) or complaints.append(r.url),
        )
        page.goto(f"{BOOK.as_uri()}/{name}")
        if draws:
            shown(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def shown(page: Page) -> None:
    """Wait until the first laboratory of the page has drawn its pictures."""
    page.locator(".normlab-laboratory").first.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('.normlab-laboratory').dataset.steps")


def state(page: Page) -> str:
    return page.locator(".normlab-laboratory").first.get_attribute("data-state")


def steps(page: Page) -> int:
    return int(page.locator(".normlab-laboratory").first.get_attribute("data-steps"))


def wait_for_steps(page: Page, at_least: int) -> None:
    page.wait_for_function(
        f"document.querySelector('.normlab-laboratory').dataset.steps >= {at_least}"
    )


def pictures(page: Page, name: str = "field") -> list[str]:
    return page.evaluate(
        f"[...document.querySelectorAll('canvas.{name}')].map((c) => c.toDataURL())"
    )


def take_steps(page: Page, count: int) -> None:
    for _ in range(count):
        goal = steps(page) + 1
        page.get_by_role("button", name="Step", exact=True).click()
        wait_for_steps(page, goal)


def rest(page: Page) -> None:
    """Wait until the pictures stand still."""
    page.wait_for_timeout(400)


@pytest.mark.browser
@needs_browser
class TestPage:
    def test_the_first_story_is_there_and_waits_where_motion_is_not_wanted(self, open_page):
        page = open_page()
        assert page.locator("[aria-pressed=true]").inner_text() == next(
            iter(laboratory.presets().values())
        )
        page.wait_for_timeout(500)
        assert (state(page), steps(page)) == ("paused", 0)

    def test_it_starts_by_itself_and_rests_when_the_story_is_told(self, open_page):
        page = open_page(motion="no-preference")
        page.wait_for_function(
            "document.querySelector('.normlab-laboratory').dataset.state === 'running'"
        )
        page.wait_for_function(
            "document.querySelector('.normlab-laboratory').dataset.state === 'paused'"
        )
        assert steps(page) == 4

    def test_it_answers_to_the_mouse(self, open_page):
        page = open_page()
        before = pictures(page)
        take_steps(page, 2)
        assert steps(page) == 2 and pictures(page) != before
        page.locator("select[name=left-norm]").select_option("layer")
        page.wait_for_function(
            "document.querySelector('.normlab-laboratory').dataset.steps === '0'"
        )
        assert "Your own experiment" in page.locator(".watch").inner_text()

    def test_it_answers_to_the_keyboard(self, open_page):
        page = open_page()
        page.get_by_role("button", name="Run").focus()
        page.keyboard.press("Enter")
        wait_for_steps(page, 1)
        page.keyboard.press("Enter")
        rate = page.locator("input[name=right-rate]")
        before = rate.get_attribute("aria-valuetext")
        rate.focus()
        page.keyboard.press("ArrowRight")
        assert float(rate.get_attribute("aria-valuetext")) > float(before)
        mode = page.get_by_label("train", exact=True)
        mode.focus()
        page.keyboard.press("Space")
        assert "mode=train" in wait_for_address(page)

    def test_it_answers_to_a_thumb(self, open_page):
        page = open_page(width=390, has_touch=True, is_mobile=True)
        page.locator(".preset").nth(1).tap()
        assert page.locator(".preset").nth(1).get_attribute("aria-pressed") == "true"
        page.locator("button.run").tap()
        wait_for_steps(page, 1)
        small = page.evaluate(
            "[...document.querySelectorAll('.normlab-laboratory :is(button, select)')]"
            ".filter((e) => e.offsetHeight && e.offsetHeight < 44).map((e) => e.className)"
        )
        assert small == []

    def test_a_new_start_shows_the_first_picture_again(self, open_page):
        page = open_page()
        rest(page)
        first = [pictures(page), pictures(page, "layers"), pictures(page, "loss")]
        take_steps(page, 3)
        assert pictures(page) != first[0]
        page.get_by_role("button", name="Start over").click()
        page.wait_for_function(
            "document.querySelector('.normlab-laboratory').dataset.steps === '0'"
        )
        rest(page)
        assert [pictures(page), pictures(page, "layers"), pictures(page, "loss")] == first

    def test_equal_settings_give_equal_pictures(self, open_page):
        page = open_page(
            "laboratory.html#norm=batch&depth=3&width=8&data=moons&dropout=0.2&momentum=0.1"
        )
        take_steps(page, 5)
        rest(page)
        left, right = pictures(page)
        assert left == right
        assert page.locator("tr.differ").count() == 0

    def test_what_differs_is_marked(self, open_page):
        page = open_page("laboratory.html#norm=none,batch&rate=0.1,1&momentum=0.1")
        assert page.locator("tr.differ th").all_inner_texts() == [
            "Norm\ndiffers", "Learning rate\ndiffers",
        ]  # fmt: skip
        page.get_by_role("button", name="Set right as left").click()
        assert page.locator("tr.differ").count() == 0

    def test_it_stops_when_it_is_out_of_sight(self, open_page):
        page = open_page("laboratory.html#norm=none,layer", motion="no-preference")
        wait_for_steps(page, 5)
        page.evaluate(
            "document.querySelector('.normlab-laboratory').style.marginTop = '300vh';scrollTo(0, 0)"
        )
        page.wait_for_function(
            "document.querySelector('.normlab-laboratory').dataset.state === 'waiting'"
        )
        rest(page)
        before = steps(page)
        page.wait_for_timeout(400)
        assert steps(page) == before
        page.locator(".normlab-laboratory").scroll_into_view_if_needed()
        wait_for_steps(page, before + 1)

    def test_it_stops_while_another_tab_is_in_front(self, open_page):
        page = open_page("laboratory.html#norm=none,layer", motion="no-preference")
        wait_for_steps(page, 5)
        hide = (
            "(hidden) => { Object.defineProperty(document, 'hidden', {value: hidden, "
            "configurable: true}); document.dispatchEvent(new Event('visibilitychange')) }"
        )
        page.evaluate(hide, True)
        assert state(page) == "waiting"
        rest(page)
        before = steps(page)
        rest(page)
        assert steps(page) == before
        page.evaluate(hide, False)
        wait_for_steps(page, before + 1)

    def test_without_workers_the_page_trains(self, open_page):
        page = open_page(before="delete window.Worker")
        take_steps(page, 2)
        assert page.locator(".message").is_hidden()

    def test_with_reduced_motion_a_run_draws_seldom(self, open_page):
        page = open_page("laboratory.html#norm=none,layer")
        page.evaluate(
            "new MutationObserver(() => (window.pictures = (window.pictures ?? 0) + 1)).observe("
            "document.querySelector('.normlab-laboratory'), {attributeFilter: ['data-steps']})"
        )
        page.get_by_role("button", name="Run").click()
        page.wait_for_timeout(2500)
        assert 1 <= page.evaluate("window.pictures ?? 0") <= 4
        assert steps(page) > 20

    def test_the_table_has_the_numbers(self, open_page):
        page = open_page()
        take_steps(page, 4)
        page.locator("summary", has_text="The numbers").click()
        table = page.locator("table.numbers")
        assert "Step 4" in table.locator("caption").inner_text()
        assert table.locator("thead th").all_inner_texts()[1:] == [
            "Left, momentum 0.1", "Right, momentum 1",
        ]  # fmt: skip
        assert table.locator("tbody th").count() >= 9

    def test_it_speaks_when_the_hand_rests(self, open_page):
        page = open_page()
        assert page.locator("p.status").inner_text() == ""
        take_steps(page, 3)
        page.wait_for_function("document.querySelector('p.status').textContent.includes('Step 3.')")

    def test_points_can_be_drawn_by_mouse_and_by_keyboard(self, open_page):
        page = open_page("laboratory.html#data=drawn&norm=none,batch", draws=False)
        field = page.locator("canvas.field").first
        box = field.bounding_box()
        for share in (0.2, 0.3):
            field.click(position={"x": share * box["width"], "y": 0.3 * box["height"]})
        page.get_by_label("class 0").check()
        field.focus()
        for key in ("ArrowRight", "Space", "ArrowDown", "Enter"):
            page.keyboard.press(key)
        shown(page)
        take_steps(page, 2)
        address = wait_for_address(page, "points=")
        assert len(re.search(r"points=(\w+)", address)[1]) == 4 * 5
        page.keyboard.press("Tab")
        page.get_by_role("button", name="Take back").click()
        assert len(re.search(r"points=(\w+)", wait_for_address(page, "points="))[1]) == 3 * 5

    def test_a_bad_address_gets_a_sentence(self, open_page):
        page = open_page(
            "laboratory.html#preset=no&depth=99&norm=batch,purple&rate=x&seed=1.5&points=12&foo=1"
            "&width=4,8,16&dropout=0.5&mode=fast"
        )
        said = page.locator(".message").inner_text()
        assert said.count("It is left out.") == 8
        assert "depth=99; depth must be an integer from 1 to 8" in said
        assert "no preset no" in said
        assert page.locator("select[name=left-dropout]").input_value() == "0.5"

    def test_every_address_leads_to_the_settings_that_wrote_it(self, open_page):
        page = open_page()
        wrong = page.evaluate(ROUND_TRIP)
        assert wrong == []

    def test_an_address_shows_the_same_pictures_as_the_page_that_gave_it(self, open_page):
        page = open_page()
        page.locator("select[name=right-norm]").select_option("group")
        page.locator("select[name=data]").select_option("spirals")
        page.locator("select[name=left-scale]").select_option("10")
        address = wait_for_address(page, "norm=batch,group")
        take_steps(page, 3)
        rest(page)
        other = open_page(f"laboratory.html{address}")
        take_steps(other, 3)
        rest(other)
        assert pictures(other) == pictures(page)


# Settings drawn at random are written as an address and read over other settings.
ROUND_TRIP = """() => {
  const uniform = Data.mulberry32(7);
  const of = (list) => list[Math.floor(uniform() * list.length)];
  const value = ({ choices, low, high, whole }) => {
    if (choices) return of(Object.keys(choices));
    const v = of([low, high, low + (high - low) * uniform()]);
    return whole ? Math.round(v) : v;
  };
  const draw = () => {
    const all = (options) =>
      Object.fromEntries(Object.entries(options).map(([name, option]) => [name, value(option)]));
    const left = all(Laboratory.SIDE);
    const right = uniform() < 0.3 ? { ...left } : all(Laboratory.SIDE);
    const point = () =>
      [0, 1].map(() => Math.round(300 * uniform()) / 100 - 1.5).concat(of([0, 1]));
    const shared = all(Laboratory.SHARED);
    shared.points = shared.data === "drawn" ? Array.from({ length: of([1, 7, 200]) }, point) : [];
    return { shared, left, right, mode: of(["train", "eval"]) };
  };
  const isTable = (v) => v && typeof v === "object" && !Array.isArray(v);
  const sorted = (v) => (isTable(v) ? Object.fromEntries(Object.entries(v).sort()) : v);
  const plain = (experiment) => JSON.stringify(experiment, (_, v) => sorted(v));
  return Array.from({ length: 200 }, draw).filter((experiment) => {
    const base = draw();
    base.shared.points = [];
    const { experiment: found, complaints } = Laboratory.read(Laboratory.write(experiment), base);
    return complaints.length || plain(found) !== plain(experiment);
  });
}"""


def wait_for_address(page: Page, part: str = "mode=train") -> str:
    page.wait_for_timeout(400)
    address = page.evaluate("location.hash")
    assert part in address
    return address


@pytest.mark.browser
@needs_browser
class TestInstance:
    """A laboratory inside a chapter."""

    CHAPTER = "chapters/05-first-experiments.html"

    def test_it_runs_when_it_comes_into_sight_and_then_rests(self, open_page):
        page = open_page(self.CHAPTER, motion="no-preference", draws=False)
        laboratory = page.locator(".normlab-laboratory")
        page.wait_for_timeout(300)
        assert laboratory.get_attribute("data-steps") is None
        shown(page)
        page.wait_for_function(
            "document.querySelector('.normlab-laboratory').dataset.state === 'paused'"
        )
        assert steps(page) == 4

    def test_it_waits_where_motion_is_not_wanted(self, open_page):
        page = open_page(self.CHAPTER)
        page.wait_for_timeout(500)
        assert (state(page), steps(page)) == ("paused", 0)
        page.locator(".normlab-laboratory button.run").click()
        wait_for_steps(page, 4)

    def test_paper_shows_what_was_never_in_sight(self, open_page):
        page = open_page(self.CHAPTER, draws=False)
        page.pdf()
        assert steps(page) == 4

    def test_it_opens_in_the_laboratory_with_its_settings(self, open_page):
        page = open_page(self.CHAPTER)
        first = pictures(page, "loss")
        assert first
        page.locator(".normlab-laboratory a.open").click()
        page.wait_for_url("**/laboratory.html#preset=eval-gap*")
        shown(page)
        assert page.locator(".preset[aria-pressed=true]").get_attribute("data-key") == "eval-gap"
        assert page.locator(".message").is_hidden()


@pytest.mark.browser
@needs_browser
def test_only_pages_with_a_laboratory_load_it():
    for page in BOOK.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        has = f'class="{laboratory.CLASS}"' in text
        assert ("_static/laboratory/laboratory.js" in text) == has, page


@pytest.mark.browser
@needs_browser
def test_it_prints_a_picture_of_each_side(open_page):
    page = open_page()
    page.evaluate("document.querySelector('.normlab-laboratory').scrollIntoView()")
    page.emulate_media(media="print")
    assert page.locator("canvas.field").count() == 2
    assert not page.locator("button.run").is_visible()
    assert page.locator("canvas.field").first.is_visible()

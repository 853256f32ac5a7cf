"""How long is each chapter of the built book to a reader, and how much of that is code?

python -m benchmarks.page_length _build/html

Prints a table, on a window of 1280 x 800 unless it says otherwise: screens; the shares of the
height that are code and output as the page opens (labels of folded code are code, the sentences of
claims are text); screens before the first picture or interactive figure; characters in a line of
text; and on a phone of 390 px the smallest type in the figures, in pixels. Exits with an error
where a goal is missed.
"""

import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from normlab import style
from tools.chromium import CHROMIUM
from tools.pdf import typeset

SCREEN = 800
MAX_SCREENS, MAX_SCREENS_LONG = 22, 28
LONG = ("02-", "03-")  # chapters that have the more reading minutes too
MAX_CODE = 1 / 3
MAX_BEFORE_PICTURE = 2.0
LINE = (60, 75)  # characters
MIN_TYPE = 9.0  # pixels
FONT = style.FONT * 100 / 72  # of the drawings in their own pixels

MEASURE = """() => {
  const seen = (e) => e.checkVisibility({visibilityProperty: true});
  const box = (e) => e.getBoundingClientRect();
  const article = document.querySelector("article.bd-article");
  const find = (what) => [...article.querySelectorAll(what)].filter(seen);
  const height = (what) => find(what).reduce((sum, e) => sum + box(e).height, 0);
  const pictures = find("img, svg, canvas, [class^=normlab-]").filter((e) => box(e).height > 60);
  const lines = [];
  for (const p of find("section > p")) {
    if (p.querySelector("mjx-container, .math, br")) continue;
    const rows = []; // [middle, characters] of the lines
    const walker = document.createTreeWalker(p, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      for (const word of walker.currentNode.data.matchAll(/\\S+\\s*/g)) {
        const range = document.createRange();
        range.setStart(walker.currentNode, word.index);
        range.setEnd(walker.currentNode, word.index + word[0].trimEnd().length);
        const {top, bottom} = range.getBoundingClientRect();
        const row = rows.find(([middle]) => Math.abs(middle - (top + bottom) / 2) < 9);
        if (row) row[1] += word[0].length;
        else rows.push([(top + bottom) / 2, word[0].length]);
      }
    }
    lines.push(...rows.slice(0, -1).map(([, characters]) => characters));
  }
  const first = pictures.map((e) => box(e).top - box(article).top);
  return {
    height: box(article).height,
    code: height("div.cell_input, details.hide > summary, .fold.check > .highlight-ipython3"),
    output: height("div.cell_output"),
    first: first.length ? Math.min(...first) : Infinity,
    lines,
  };
}"""
TYPE = """(font) => {
  const sizes = [];
  for (const e of document.querySelectorAll("article .cell_output img")) {
    const own = parseFloat(e.getAttribute("style")?.match(/width: ([\\d.]+)px/)?.[1]
                           ?? e.getAttribute("width") ?? e.naturalWidth / 2);
    const style = getComputedStyle(e);
    const shown = e.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    if (shown > 0) sizes.push([font * shown / own, e.alt.slice(0, 60)]);
  }
  for (const e of document.querySelectorAll("article svg text, article [class^=normlab-] *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !e.checkVisibility() || e.closest("mjx-container, script, style, option")) continue;
    const matrix = e.getScreenCTM?.();
    const scale = matrix ? Math.hypot(matrix.a, matrix.b) : 1;
    sizes.push([parseFloat(getComputedStyle(e).fontSize) * scale, e.textContent.slice(0, 60)]);
  }
  return sizes.sort((a, b) => a[0] - b[0]);
}"""


@dataclass(frozen=True)
class Length:
    """What is measured of a page."""

    screens: float
    code: float
    output: float
    before_picture: float
    characters: float
    smallest_type: float

    def misses(self, name: str) -> list[str]:
        most = MAX_SCREENS_LONG if name.startswith(LONG) else MAX_SCREENS
        holds = {
            f"{self.screens:.1f} screens, at most {most}": self.screens <= most,
            f"{self.code:.0%} code, at most a third": self.code <= MAX_CODE,
            f"{self.before_picture:.1f} screens before a picture": self.before_picture
            <= MAX_BEFORE_PICTURE,
            f"{self.characters:.0f} characters in a line": LINE[0] <= self.characters <= LINE[1],
            f"type of {self.smallest_type:.1f} px on a phone": self.smallest_type >= MIN_TYPE,
        }
        return [said for said, good in holds.items() if not good]


def settle(page: Page) -> None:
    """Wait until formulas and pictures have their size."""
    typeset(page)
    page.evaluate("document.querySelectorAll('img').forEach((e) => (e.loading = 'eager'))")
    page.wait_for_function("[...document.images].every((e) => e.complete)")


def measure(browser: Browser, address: str) -> Length:
    page = browser.new_page(viewport={"width": 1280, "height": SCREEN}, reduced_motion="reduce")
    page.goto(address)
    settle(page)
    found = page.evaluate(MEASURE)
    page.set_viewport_size({"width": 390, "height": SCREEN})
    page.wait_for_timeout(200)
    sizes = page.evaluate(TYPE, FONT)
    page.close()
    return Length(
        screens=found["height"] / SCREEN,
        code=found["code"] / found["height"],
        output=found["output"] / found["height"],
        before_picture=found["first"] / SCREEN,
        characters=statistics.median(found["lines"]),
        smallest_type=min((size for size, _ in sizes), default=float("inf")),
    )


def main(folder: str) -> None:
    pages = sorted(Path(folder).resolve().glob("chapters/[0-9]*.html"))
    missed = []
    print(f"{'chapter':34} screens  code  output  picture after  characters  type at 390 px")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for path in pages:
            if 'http-equiv="refresh"' in path.read_text(encoding="utf-8"):
                continue  # an old address
            m = measure(browser, path.as_uri())
            print(
                f"{path.stem:34} {m.screens:7.1f} {m.code:5.0%} {m.output:7.0%}"
                f" {m.before_picture:14.1f} {m.characters:11.0f} {m.smallest_type:12.1f} px"
            )
            missed += [f"{path.stem}: {said}" for said in m.misses(path.name)]
        browser.close()
    if missed:
        sys.exit("\n".join(missed))


if __name__ == "__main__":
    main(*sys.argv[1:])

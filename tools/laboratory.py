"""The laboratory in the pages: two networks that train in the reader's browser.

python -m tools.laboratory     draws its still picture anew, with Chromium

Its code lies in _static/laboratory as it is shipped. Here stands what the book needs of it: which
stories it can tell, the scripts in their order, and the element that they fill.
"""

import re
from functools import cache
from html import escape
from io import BytesIO
from pathlib import Path

from tools import ROOT
from tools.chromium import CHROMIUM

FOLDER = "laboratory"  # in _static
PRESETS = ROOT / "_static" / FOLDER / "presets.js"
SCRIPTS = ("data.js", "network.js", "runner.js", "presets.js", "laboratory.js")  # in this order
STYLE = "laboratory.css"
SIZES = ("small", "full")
CLASS = "normlab-laboratory"
PICTURE = "still.webp"  # for readers without scripts
SIZE = (578, 358)  # of it


@cache
def presets(path: Path = PRESETS) -> dict[str, str]:
    """Return the titles of the stories that the laboratory tells, by their keys."""
    code = path.read_text(encoding="utf-8")
    return dict(re.findall(r'\bkey: "([\w-]+)",\s*title: "([^"]+)"', code))


def title(preset: str) -> str:
    if preset not in presets():
        raise ValueError(f"the laboratory has no preset {preset}: choose of {', '.join(presets())}")
    return presets()[preset]


def element(preset: str, size: str, base: str) -> str:
    """Return the element that the scripts fill, with a picture for readers without scripts.

    Args:
        preset: what it shows first.
        size: "full" for its own page, "small" for others.
        base: the way from the page to the root of the book, such as "../".
    """
    name = escape(f"Laboratory: {title(preset)}")
    picture = (
        f'<img src="{base}_static/{FOLDER}/{PICTURE}" width="{SIZE[0]}" height="{SIZE[1]}" '
        'alt="Two squares '
        'with the points of two classes and the boundary that each network draws between them.">'
    )
    said = "Two networks train here, side by side. That needs JavaScript; this is how it looks."
    return (
        f'<div class="{CLASS}" data-preset="{preset}" data-size="{size}" data-base="{base}" '
        f'role="group" aria-label="{name}"><noscript><p>{said}</p>{picture}</noscript></div>'
    )


def page(*elements: str) -> str:
    """Return a page of its own that holds elements, with the scripts and the styles in it."""
    folder = PRESETS.parent
    controls = ROOT / "chapters" / "figures" / "controls.css"
    styles = "".join(path.read_text(encoding="utf-8") for path in (controls, folder / STYLE))
    scripts = "".join(
        f"<script>{(folder / name).read_text(encoding='utf-8')}</script>" for name in SCRIPTS
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Laboratory</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>body {{ font-family: sans-serif; background: #fff }} {styles}</style>"
        f"<body><main>{''.join(elements)}</main>{scripts}</body></html>"
    )


def draw_still(preset: str = "eval-gap") -> bytes:
    """Run a story to its end and return what its two sides show."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 650, "height": 900})
        shown.set_content(page(element(preset, "small", "")))
        shown.wait_for_function(f"'told' in document.querySelector('.{CLASS}').dataset")
        picture = shown.locator(".sides").screenshot()
        browser.close()
    found = BytesIO()
    Image.open(BytesIO(picture)).convert("RGB").save(found, "webp", quality=45, method=6)
    return found.getvalue()


if __name__ == "__main__":
    (PRESETS.parent / PICTURE).write_bytes(draw_still())

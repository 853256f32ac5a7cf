"""The laboratory in the pages: two networks that train in the reader's browser.

Its code lies in _static/laboratory as it is shipped. Here stands what the book needs of it: which
stories it can tell, the scripts in their order, and the element that they fill.
"""

import re
from functools import cache
from html import escape
from pathlib import Path

from tools import ROOT

FOLDER = "laboratory"  # in _static
PRESETS = ROOT / "_static" / FOLDER / "presets.js"
SCRIPTS = ("data.js", "network.js", "runner.js", "presets.js", "laboratory.js")  # in this order
STYLE = "laboratory.css"
SIZES = ("small", "full")
CLASS = "normlab-laboratory"
PICTURE = "still.webp"  # of the first preset, for readers without scripts: see `main`


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
        f'<img src="{base}_static/{FOLDER}/{PICTURE}" width="608" height="304" alt="Two squares '
        'with the points of two classes and the boundary that each network draws between them.">'
    )
    said = "Two networks train here, side by side. That needs JavaScript; this is how it looks."
    return (
        f'<div class="{CLASS}" data-preset="{preset}" data-size="{size}" data-base="{base}" '
        f'role="group" aria-label="{name}"><noscript><p>{said}</p>{picture}</noscript></div>'
    )

"""What the interactive figures share: how they are filled, and numbers as their scripts make them.

Their markup stands once, in a Jinja template beside this module. In it `data-at="x1=low x2=high"`
names values for attributes, and `data-text="mean {mean}"` for the text of an element. They are
filled twice: here, for readers without scripts, and by FILL whenever the reader changes something.
Their look stands once too, in CONTROLS, for what a reader presses, moves and reads.
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from IPython.display import HTML
from jinja2 import Environment, StrictUndefined

CONTROLS = "controls.css"  # beside this module; the laboratory of the book loads it too
FILL = """const write = (text, values) => text.replace(/{(\\w+)}/g, (_, name) => values[name]);
  const fill = (values, within = root) => {
    for (const element of within.querySelectorAll("[data-at]"))
      for (const [, attribute, name] of element.dataset.at.matchAll(/(\\S+)=(\\S+)/g))
        element.setAttribute(attribute, values[name]);
    for (const element of within.querySelectorAll("[data-text]"))
      element.textContent = write(element.dataset.text, values);
  };"""


def fill(template: str, start: Mapping[str, object], **names: object) -> HTML:
    """Render a template of this folder with `names`, and fill in the values of the `start`."""
    source, look = (
        Path(__file__).with_name(name).read_text(encoding="utf-8") for name in (template, CONTROLS)
    )
    look = re.sub(r"/\*.*?\*/\n?", "", look, flags=re.DOTALL)  # its comments are for authors
    jinja = Environment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    page = jinja.from_string(source).render(names, fill=FILL, text=text, controls=look)

    def attributes(found: re.Match[str]) -> str:
        pairs = re.findall(r"(\S+)=(\S+)", found[1])
        return found[0] + "".join(f' {attribute}="{start[name]}"' for attribute, name in pairs)

    page = re.sub(r'data-at="([^"]+)"', attributes, page)
    return HTML(re.sub(r'data-text="([^"]+)"[^>]*>', lambda m: m[0] + m[1].format_map(start), page))


def normal_numbers(seed: int) -> Iterator[float]:
    """Yield normally distributed numbers, the same for the same seed (Box and Muller)."""
    uniform = mulberry32(seed)
    while True:
        radius = math.sqrt(-2 * math.log(next(uniform)))
        yield radius * math.cos(2 * math.pi * next(uniform))


def mulberry32(seed: int) -> Iterator[float]:
    """Yield numbers in (0, 1): Tommy Ettinger's 32-bit generator, which is short in JavaScript.

    Args:
        seed: an integer below 2**32.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be an integer from 0 to 2**32 - 1, but got {seed}")
    while True:
        seed = (seed + 0x6D2B79F5) % 2**32
        t = (seed ^ seed >> 15) * (seed | 1) % 2**32
        t ^= (t + (t ^ t >> 7) * (t | 61)) % 2**32
        yield ((t ^ t >> 14) + 0.5) / 2**32


def text(v: float, digits: int = 3) -> str:
    """Write a number: a minus sign as wide as the digits, and no minus zero."""
    s = f"{abs(v):.{digits}f}"
    return ("−" if v < 0 and float(s) else "") + s

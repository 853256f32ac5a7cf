"""What the interactive figures share: the template, and numbers as their scripts make them."""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from IPython.display import HTML


def fill(template: str, parts: Mapping[str, object]) -> HTML:
    """Put `parts` in the place of their names, `{{name}}`, in a template of this folder."""
    page = Path(__file__).with_name(template).read_text(encoding="utf-8")
    return HTML(re.sub(r"\{\{(\w+)\}\}", lambda found: str(parts[found[1]]), page))


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

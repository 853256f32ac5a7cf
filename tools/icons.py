"""The small picture of the browser's tab and the card that networks show for a link, drawn by code.

python -m tools.icons     writes both into _static; the build of the book takes them from there
"""

import math
from pathlib import Path

import matplotlib.image
import matplotlib.pyplot as plt

from normlab.style import COLORS
from tools import ROOT
from tools.contents import settings
from tools.notebooks import COVER

FAVICON, CARD = ROOT / "_static" / "favicon.svg", ROOT / "_static" / "social-card.png"
CLAIM = "Every claim is a cell that runs, and every cell is a test."


def favicon() -> str:
    """Return an SVG of 32 x 32: the bell of mean 0 and variance 1 in the colour of BN."""
    points = [(x / 4, math.exp(-((x / 4) ** 2) / 2)) for x in range(-12, 13)]
    line = " ".join(f"{16 + 4 * x:.1f},{25 - 17 * y:.1f}" for x, y in points)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
        f'<rect width="32" height="32" rx="7" fill="{COLORS["with BN"]}"/>'
        f'<polyline points="{line}" fill="none" stroke="#fff" stroke-width="3" '
        'stroke-linecap="round" stroke-linejoin="round"/></svg>\n'
    )


def social_card(path: Path) -> None:
    """Write a PNG of 1200 x 630: the title of the course over the figure of the home page."""
    figure = plt.figure(figsize=(12, 6.3), dpi=100, facecolor="white")
    title = settings(ROOT)["title"].replace(", ", ",\n")
    figure.text(0.06, 0.9, title, fontsize=40, fontweight="bold", color="#222222", va="top")
    figure.text(0.06, 0.6, CLAIM, fontsize=20, color="#555555", va="top")
    ax = figure.add_axes((0.06, 0.04, 0.88, 0.49))
    ax.imshow(matplotlib.image.imread(COVER))
    ax.axis("off")
    figure.savefig(path, facecolor="white")
    plt.close(figure)


if __name__ == "__main__":
    FAVICON.write_text(favicon(), encoding="utf-8")
    social_card(CARD)

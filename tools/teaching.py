"""What a teacher asks of the chapters: how long each of them takes, and which needs which."""

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import nbformat

from tools.contents import Entry, chapters, markdown_link
from tools.exercises import exercises
from tools.markdown import read, statements

# The rate of the workload estimator of Barre, Brown and Esarey for texts with many new concepts.
WORDS_PER_MINUTE = 130
# Assumptions: to read a cell and its output, and to solve an exercise.
SECONDS_PER_CELL = 30
MINUTES_PER_EXERCISE = {"easy": 5, "medium": 10, "hard": 20}

DASHES = ' stroke-dasharray="4 4"'
ROW, NODE, TEXT = 30, 104, 118  # of the map: height of a row, x of the dots and of the titles


@dataclass(frozen=True)
class Work:
    """What there is to do in one chapter or in several, and the minutes that it takes."""

    words: int = 0
    cells: int = 0
    running: float = 0.0
    levels: Counter = field(default_factory=Counter)  # of the exercises

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.words + other.words,
            self.cells + other.cells,
            self.running + other.running,
            self.levels + other.levels,
        )

    @property
    def reading(self) -> float:
        return self.words / WORDS_PER_MINUTE + self.cells * SECONDS_PER_CELL / 60

    @property
    def solving(self) -> float:
        return sum(MINUTES_PER_EXERCISE[level] * n for level, n in self.levels.items())

    @property
    def total(self) -> float:
        return self.reading + self.running + self.solving


def work(path: Path) -> Work:
    """Count the words and the code cells of a chapter outside its exercises, and the exercises."""
    notebook = nbformat.read(path, as_version=4)
    words, cells, section = 0, 0, ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = read(cell.source)
            section = next((h.title for h in text.headings if h.level == 2), section)
            words += 0 if section == "Exercises" else len(text.prose.split())
        elif section != "Exercises":
            cells += 1
    levels = Counter(exercise.level for exercise in exercises(notebook))
    return Work(words, cells, notebook.metadata["normlab"]["minutes"], levels)


def number(entry: Entry) -> str:
    """Return the number that the file of a chapter begins with."""
    return entry.path.stem.partition("-")[0]


def duration(minutes: float) -> str:
    """Return hours:minutes, to five minutes."""
    hours, rest = divmod(5 * round(minutes / 5), 60)
    return f"{hours}:{rest:02}"


def study_time(entries: list[Entry], numbers: str) -> str:
    """Say how long the chapters take whose numbers are given, as in "01 02", or "all" of them."""
    found = {number(entry): entry for entry in chapters(entries)}
    chosen = found if numbers == "all" else numbers.split()
    if unknown := [n for n in chosen if n not in found]:
        raise ValueError(f"no chapter {', '.join(unknown)}: there are {', '.join(found)}, and all")
    return duration(sum((work(found[n].path) for n in chosen), Work()).total)


def table_of_work(entries: list[Entry], folder: Path) -> list[str]:
    """Return a Markdown table of the time per chapter, with links as seen from `folder`."""
    lines = [
        "| Chapter | Words | Cells | Reading | Running | Exercises | In all |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    rows = [(markdown_link(entry, folder), work(entry.path)) for entry in chapters(entries)]
    rows.append(("**All chapters**", sum((done for _, done in rows), Work())))
    for name, done in rows:
        cells = [
            name,
            f"{done.words:,}",
            f"{done.cells}",
            duration(done.reading),
            "{}:{:02}".format(*divmod(max(1, round(done.running)), 60)),
            f"{duration(done.solving)} ({done.levels.total()})",
            f"**{duration(done.total)}**",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def needs(entry: Entry) -> dict[str, bool]:
    """Return the numbers of the chapters that one builds on: True if needed, False if helpful.

    A chapter says so in its opening, in a line such as "**Needs.** Tensors, and [the mathematics]
    (02-the-mathematics.ipynb). [Why normalize](01-why-normalize.ipynb) helps."
    """
    opening = nbformat.read(entry.path, as_version=4).cells[0].source
    found = {}
    for sentence in re.split(r"(?<=[.:]) ", statements(opening).get("Needs", "")):
        for link in read(sentence).of_kind("link"):
            if chapter := re.match(r"(\d+)-", link.target):
                found[chapter[1]] = not re.search(r"\bhelps?\b", sentence)
    return found


def map_of_needs(entries: list[Entry], folder: Path) -> list[str]:
    """Draw the chapters below one another, with an arc from each to those that build on it."""
    rows = {number(entry): i for i, entry in enumerate(chapters(entries))}
    arcs, titles = [], []
    for entry in chapters(entries):
        low = rows[number(entry)]
        for other, needed in needs(entry).items():
            height = (low - rows[other]) * ROW
            start, width = rows[other] * ROW + ROW / 2, min(NODE - 4, 12 + height * 0.34)
            arc = f"M {NODE} {start:g} a {width:.0f} {height / 2:g} 0 0 0 0 {height}"
            arcs.append(f'<path d="{arc}"{DASHES * (not needed)}/>')
        y = low * ROW + ROW / 2
        address = Path(os.path.relpath(entry.path.with_suffix(".html"), folder)).as_posix()
        titles.append(
            f'<circle cx="{NODE}" cy="{y:g}" r="4"/><a href="{address}">'
            f'<text x="{TEXT}" y="{y + 5:g}">{escape(entry.plain_title)}</text></a>'
        )
    label = "Chapters and what they build on: " + "; ".join(
        f"{entry.plain_title}: {described(entry, entries)}" for entry in chapters(entries)
    )
    svg = (
        f'<svg class="needs" viewBox="0 0 370 {len(rows) * ROW}" role="group"'
        f' aria-label="{escape(label)}">'
        f'<g class="arcs">{"".join(arcs)}</g>{"".join(titles)}</svg>'
    )
    return ["```{raw} html", svg, "```"]


def described(entry: Entry, entries: list[Entry]) -> str:
    titles = {number(e): e.plain_title for e in chapters(entries)}
    found = needs(entry).items()
    return ", ".join(f"{'needs' if n else 'helped by'} {titles[k]}" for k, n in found) or "nothing"

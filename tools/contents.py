"""What the book contains: parts and chapters, with the question and the minutes of each."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
import yaml

from tools.markdown import read, statements


@dataclass(frozen=True)
class Entry:
    """A page of the book. Question and minutes are those that a chapter states; else empty."""

    path: Path
    part: str
    title: str
    question: str
    minutes: str

    @property
    def plain_title(self) -> str:
        return self.title.replace("`", "")


def read_contents(root: Path) -> list[Entry]:
    """Return the pages that _toc.yml lists, in order, without the home page."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    return [
        read_entry(root, part["caption"], chapter["file"])
        for part in toc["parts"]
        for chapter in part["chapters"]
    ]


def read_entry(root: Path, part: str, name: str) -> Entry:
    path = next(p for end in (".ipynb", ".md") if (p := root / f"{name}{end}").exists())
    if path.suffix == ".ipynb":
        text = nbformat.read(path, as_version=4).cells[0].source
    else:
        text = path.read_text(encoding="utf-8")
    said = statements(text)
    title = read(text).headings[0].title
    return Entry(path, part, title, said.get("Question", ""), minutes(said.get("Time", "")))


def minutes(time: str) -> str:
    """Return the minutes that the line "Time" of a chapter gives, such as "7 to 20"."""
    found = re.search(r"(\d+(?: to \d+)?) minutes?", time)
    return found[1] if found else ""


def map_of_chapters(entries: list[Entry], folder: Path) -> list[str]:
    """Return a map in Markdown: the parts, and below them each chapter with its question."""
    lines, part = [], None
    for entry in chapters(entries):
        if entry.part != part:
            part = entry.part
            lines += [f"**{part}**", ""]
        unit = "minute" if entry.minutes == "1" else "minutes"
        lines += [
            f"{markdown_link(entry, folder)} (runs in {entry.minutes} {unit})",
            f": {entry.question}",
            "",
        ]
    return lines


def markdown_link(entry: Entry, folder: Path) -> str:
    return f"[{entry.title}]({Path(os.path.relpath(entry.path, folder)).as_posix()})"


def settings(root: Path) -> dict:
    return yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))


def moved(root: Path) -> dict[str, str]:
    """Return where pages are that moved: old address to new one, as in "chapters/01-a.html"."""
    redirects = settings(root)["sphinx"]["config"]["redirects"]
    return {f"{old}.html": f"{old.rpartition('/')[0]}/{new}" for old, new in redirects.items()}


def chapters(entries: list[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.question]


def position(entries: list[Entry], path: Path) -> str:
    """Say in which part the page at `path` stands, and which of the chapters it is."""
    all_chapters = chapters(entries)
    for entry in entries:
        if entry.path == path:
            if entry not in all_chapters:
                return entry.part
            return f"{entry.part} · chapter {all_chapters.index(entry) + 1} of {len(all_chapters)}"
    return ""

"""What the other pages have for each chapter. Whoever adds one reads here what is still missing."""

import re

import pytest

from tools import ROOT
from tools.contents import Entry, chapters, read_contents
from tools.teaching import number

CHAPTERS = chapters(read_contents(ROOT))
PAGES = {
    name: (ROOT / "appendix" / f"{name}.md").read_text(encoding="utf-8")
    for name in ("for-instructors", "quiz", "glossary")
}
# What is wanted, on which page, how often, and the line that counts: {n} is the chapter's number,
# {link} the beginning of a link to it.
WANTED = [
    ("a week that reads it", "for-instructors", 1, r"\| \d+ \|.*{link}"),
    (
        "its number in the time of that week",
        "for-instructors",
        1,
        r".*{link}.*\{{study-time\}}`[\d ]*\b{n}\b",
    ),
    ("a misconception that it dispels", "for-instructors", 1, r'\| ".*{link}'),
    ("two questions that lead to it", "quiz", 2, r"See \[.*{link}"),
    ("a term that it introduces", "glossary", 1, r": .*Introduced in .*{link}"),
]


def missing(entry: Entry, pages: dict[str, str]) -> list[str]:
    link = re.escape(f"](../chapters/{entry.path.name}")
    return [
        f"{page}.md lacks {what}"
        for what, page, times, line in WANTED
        if len(re.findall("^" + line.format(link=link, n=number(entry)), pages[page], re.M)) < times
    ]


@pytest.mark.parametrize("entry", CHAPTERS, ids=lambda entry: entry.path.stem)
def test_the_pages_know_the_chapter(entry: Entry) -> None:
    lacking = missing(entry, PAGES)
    assert not lacking, "\n".join(lacking)


def test_a_chapter_that_the_pages_do_not_know_is_found() -> None:
    entry = Entry(ROOT / "chapters" / "00-template.ipynb", "Part I", "A", "Why?", "1")
    assert missing(entry, PAGES) == [f"{page}.md lacks {what}" for what, page, *_ in WANTED]


def test_every_notebook_of_the_folder_is_a_chapter_with_a_question() -> None:
    """Without one the map, the times and the plans would pass over it."""
    notebooks = sorted((ROOT / "chapters").glob("*.ipynb"))
    assert sorted(entry.path for entry in CHAPTERS) == notebooks

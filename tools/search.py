"""What the search of the book knows of symptoms: the cases, and in which words people ask for them.

A case is a heading that the clinic's tables lead to, or one of the clinic's own. It is found by its
title, by its question in the tables, and by what chapters/symptoms.toml adds: the rest of the words
that people type, and which words mean the same. tools/search.js compares them with what is typed.
"""

import re
import tomllib
from functools import cache
from pathlib import Path

import nbformat

from tools.contents import position, read_contents
from tools.markdown import read

CLINIC = "14-clinic"
SYMPTOMS = "chapters/symptoms.toml"
SCRIPT = Path(__file__).with_suffix(".js")
# How the line begins that ends a section of another chapter: links to cases with the same cause.
RELATED = re.compile(r"Related cases?: ")
# Cells of the clinic with a table: the column with the words, and the one with links to cases.
TABLES = {"thirty": (1, -1), "silent": (0, -1)}


def rows(table: str) -> list[list[str]]:
    """Return the columns of the rows of a table in Markdown, without its head."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[part.strip() for part in line.strip("| ").split(" | ")] for line in lines[2:]]


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)]+)\)", text)


def spoken(markdown: str) -> str:
    """Return a heading or a question as people type it."""
    return re.sub(r"[`$\\]|^#+ ", "", markdown)


def place(link: str) -> str:
    """Return a link of the clinic as page and anchor, as in "14-clinic#loss-is-nan"."""
    name, _, anchor = link.partition("#")
    return f"{name.removesuffix('.ipynb') or CLINIC}#{anchor}"


@cache
def titles(root: Path, page: str) -> dict[str, str]:
    """Return the titles of a chapter's headings by their anchors."""
    cells = nbformat.read(root / "chapters" / f"{page}.ipynb", as_version=4).cells
    texts = [read(cell.source) for cell in cells if cell.cell_type == "markdown"]
    return {h.anchor: spoken(h.title) for text in texts for h in text.headings}


def cases_of_the_clinic(root: Path) -> dict[str, list[str]]:
    """Return the groups of cases in the clinic by their anchors, with the anchors of the cases.

    A group is a section that consists of cases, before the tables at the end.
    """
    groups: dict[str, list[str]] = {}
    for cell in nbformat.read(root / "chapters" / f"{CLINIC}.ipynb", as_version=4).cells:
        if cell.id == "findings":
            return {group: cases for group, cases in groups.items() if cases}
        for heading in read(cell.source).headings if cell.cell_type == "markdown" else ():
            if heading.level == 2:
                groups[heading.anchor] = []
            elif heading.level == 3:
                groups[list(groups)[-1]].append(heading.anchor)
    raise ValueError(f"{CLINIC} has no cell named findings")


def symptoms(root: Path) -> dict:
    return tomllib.loads((root / SYMPTOMS).read_text(encoding="utf-8"))


def cases(root: Path) -> dict[str, list[str]]:
    """Return the cases, each by its page and anchor, with all that is said of it."""
    if not (root / SYMPTOMS).exists():  # in a book without a clinic
        return {}
    found: dict[str, list[str]] = {}
    for group, own in cases_of_the_clinic(root).items():
        found |= {f"{CLINIC}#{anchor}": [] for anchor in (group, *own)}
    clinic = nbformat.read(root / "chapters" / f"{CLINIC}.ipynb", as_version=4)
    for cell in clinic.cells:
        words, targets = TABLES.get(cell.id, (0, 0))
        for row in rows(cell.source) if targets else ():
            for link in links(row[targets]):
                found.setdefault(place(link), []).append(spoken(row[words]))
    for case, said in symptoms(root)["said"].items():
        found.setdefault(case, []).extend(said)
    for case, said in found.items():
        page, _, anchor = case.partition("#")
        if anchor not in titles(root, page):
            raise ValueError(f"no heading {anchor!r} in chapter {page}: see {SYMPTOMS}")
        said.insert(0, titles(root, page)[anchor])
    return found


def knowledge(root: Path, ids: dict[str, dict[str, str]]) -> dict:
    """Return what tools/search.js needs.

    `ids` has the ids of the headings in the built pages by page and anchor.
    """
    entries = read_contents(root)
    where = {e.path.relative_to(root).with_suffix("").as_posix(): e.path for e in entries}
    found = []
    for case, said in cases(root).items():
        page, _, anchor = case.partition("#")
        name = f"chapters/{page}"
        found.append({"page": name, "id": ids[name][anchor], "title": said[0], "said": said})
    same = symptoms(root)["same"] if found else {}
    return {
        "cases": found,
        "same": {word: meant for meant, words in same.items() for word in words.split()},
        "where": {name: position(entries, path) for name, path in where.items()},
    }

"""Links, labels and citations of the pages, as they stand in the sources."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from tests.book.rules import without_code

ROLE = re.compile(r"\{([\w:]+)\}`(?:[^`<]*<)?([^`>]+)>?`")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(<?([^)>\s]*)>?[^)]*\)|!\[[^\]]*\]\(([^)\s]+)[^)]*\)")
LABEL = re.compile(
    r"^\(([^)\n]+)\)=\s*$"  # before a heading or a paragraph
    r"|^\s*:(?:label|name): *(\S+)"  # in a directive
    r"|\$\$\s*\(([\w:-]+)\)",  # after an equation
    re.MULTILINE,
)


@dataclass
class Page:
    """What a page defines and what it refers to."""

    path: Path
    labels: set[str] = field(default_factory=set)
    anchors: set[str] = field(default_factory=set)
    refers: set[str] = field(default_factory=set)
    cites: set[str] = field(default_factory=set)
    links: set[str] = field(default_factory=set)


def read_page(path: Path) -> Page:
    page = Page(path)
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
        figures = (cell.metadata.get("mystnb", {}).get("figure", {}) for cell in cells)
        page.labels |= {figure["name"].lower() for figure in figures if "name" in figure}
    else:
        texts = [path.read_text(encoding="utf-8")]
    for source in texts:
        text = without_code(source)
        page.labels |= {
            label.lower() for found in LABEL.findall(source) for label in found if label
        }
        page.anchors |= {slug(title) for title in re.findall(r"^#+ +(.+)$", text, re.MULTILINE)}
        for role, target in ROLE.findall(text):
            if role.startswith(("cite", "footcite", "nocite")):
                page.cites |= {key.strip() for key in target.split(",")}
            elif role in ("ref", "numref", "eq"):
                page.refers.add(target.strip().lower())
            elif role == "doc":
                files = (f"{target}{ending}" for ending in (".md", ".ipynb"))
                page.links.add(next((f for f in files if (path.parent / f).exists()), target))
        page.links |= set(re.findall(r"\{(?:figure|image)\} +(\S+)", source))
        text = re.sub(r"`[^`]*`", "", text)
        page.links |= {a or b for a, b in LINK.findall(text)}
    return page


def slug(title: str) -> str:
    """Return the anchor of a heading, as GitHub and MyST make it."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")


def broken(pages: list[Page], bibliography: str) -> list[str]:
    """Return a complaint for everything that leads nowhere and for every source never cited."""
    by_path = {page.path.resolve(): page for page in pages}
    labels = set().union(*(page.labels for page in pages))
    keys = set(re.findall(r"^@\w+\{([^,\s]+),", bibliography, re.MULTILINE))
    complaints = []
    for page in pages:
        complaints += [f"{page.path.name} refers to {r}" for r in page.refers - labels]
        complaints += [f"{page.path.name} cites {key}" for key in page.cites - keys]
        for link in page.links:
            file, _, anchor = link.partition("#")
            if re.match(r"\w+:", link):
                continue
            target = (page.path.parent / file).resolve() if file else page.path.resolve()
            linked = by_path.get(target)
            if not target.exists():
                complaints.append(f"{page.path.name} links to {link}")
            elif anchor and linked and anchor.lower() not in linked.anchors | labels:
                complaints.append(f"{page.path.name} links to {link}: no such heading")
    cited = set().union(*(page.cites for page in pages))
    return complaints + [f"no page cites {key}" for key in keys - cited]

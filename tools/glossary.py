"""The glossary and the chapters link both ways: an entry names the section that introduces its
term, and there the term, in bold, becomes a link to the entry. Only the entry is written down.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

PAGE = "appendix/glossary"
ENTRY = re.compile(
    r"^(?P<term>[^\n:]+?) (?P<chinese>[^\x00-\x7f].*)\n: (?P<text>.+)$", re.MULTILINE
)
LINK = re.compile(r"Introduced in \[[^\]]+\]\(\.\./([^)#]+)\.ipynb#([^)]+)\)\.$")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Term:
    name: str  # as the glossary writes it
    chinese: str
    text: str
    page: str  # of the section that introduces it, as in "chapters/01-a"
    anchor: str  # of that section

    @property
    def bold(self) -> str:
        """What stands in bold where the term is introduced, in small letters."""
        return re.sub(r" \(.+\)$", "", self.name).lower()

    @property
    def id(self) -> str:
        return nodes.make_id(f"term-{self.name}")


def terms(root: Path) -> list[Term]:
    """Return the entries of the glossary, none if there is no glossary."""
    path = root / f"{PAGE}.md"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [Term(*found.groups(), *place(found["text"])) for found in ENTRY.finditer(text)]


def place(definition: str) -> tuple[str, str]:
    """Return the page and the anchor to which the last sentence of a definition leads."""
    if link := LINK.search(definition):
        return link[1], link[2]
    raise ValueError(f"the definition does not end with a link to a section: {definition!r}")


def name_entries(app: Sphinx, doctree: nodes.document) -> None:
    """Give each entry of the glossary an id."""
    if app.env.docname == PAGE:
        ids = {f"{term.name} {term.chinese}": term.id for term in terms(Path(app.srcdir))}
        for entry in doctree.findall(nodes.term):
            entry["ids"].append(ids[entry.astext()])


def link_terms(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Let each term lead to its entry from where it is introduced."""
    slugs = app.env.metadata[page].get("myst_slugs", {})
    ids = {slug: found[1] for slug, found in slugs.items()}
    for term in terms(Path(app.srcdir)):
        if term.page != page:
            continue
        for bold in doctree.findall(nodes.strong):
            if bold.astext().lower() == term.bold and section_of(bold, ids) == term.anchor:
                title = f"Glossary: {term.name} {term.chinese}"
                link = make_refnode(app.builder, page, PAGE, term.id, bold.deepcopy(), title)
                link["classes"].append("to-glossary")
                bold.replace_self(link)
                break
        else:
            message = "%s: no section %s has the term %r in bold"
            logger.warning(message, PAGE, term.anchor, term.bold, location=page)


def section_of(node: nodes.Node, ids: dict[str, str]) -> str | None:
    """Return the anchor of the nearest heading; an exercise is a section without one."""
    while (node := node.parent) is not None:
        for anchor, own in ids.items():
            if isinstance(node, nodes.section) and own in node["ids"]:
                return anchor
    return None

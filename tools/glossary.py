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
    for term in terms(Path(app.srcdir)):
        if term.page != page:
            continue
        _, section, _ = slugs.get(term.anchor, (0, None, ""))
        bold = introduced(doctree, section, term.bold)
        if bold is None:
            message = "%s: no section %s has the term %r in bold"
            logger.warning(message, PAGE, term.anchor, term.bold, location=page)
            continue
        title = f"Glossary: {term.name} {term.chinese}"
        link = make_refnode(app.builder, page, PAGE, term.id, bold.deepcopy(), title)
        bold.replace_self(link)


def introduced(doctree: nodes.document, section: str | None, text: str) -> nodes.strong | None:
    """Return the first text in bold of a section that is this one, parts of the section left out.

    A link in bold stays what it is.
    """
    for bold in doctree.findall(nodes.strong):
        above = bold.parent
        while above is not None and not isinstance(above, nodes.section):
            above = above.parent
        if above is not None and section in above["ids"] and bold.astext().lower() == text:
            return bold
    return None

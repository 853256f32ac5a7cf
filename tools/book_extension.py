"""What the book needs of Sphinx and no other extension gives."""

import os
import re
from pathlib import Path

import nbformat
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx_codeautolink.extension.block import CodeBlockAnalyser

from run import notebooks


class Stamps(SphinxDirective):
    """A table of the notebooks and the stamps that `make run` gave them."""

    def run(self) -> list[nodes.Node]:
        for path in notebooks():
            self.env.note_dependency(str(path))
        page = Path(self.env.doc2path(self.env.docname))
        return self.parse_text_to_nodes("\n".join(stamp_table(notebooks(), page.parent)))


def stamp_table(paths: list[Path], folder: Path) -> list[str]:
    """Return the stamps as lines of a Markdown table, with links as seen from `folder`."""
    lines = [
        "| Notebook | Images | torch | Minutes | Code (sha256) |",
        "|---|---|---|--:|---|",
    ]
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        title = re.match(r"# (.+)", notebook.cells[0].source)[1]
        stamp = notebook.metadata["normlab"]
        link = f"[{title}]({Path(os.path.relpath(path, folder)).as_posix()})"
        cells = [link, stamp.data, stamp.torch, f"{stamp.minutes:.1f}", f"`{stamp.code[:12]}`"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def escape_stars(app, what, name, obj, options, lines: list[str]) -> None:
    """Let a star outside code, as in the shape [N, C, *], stand for itself: no emphasis begins."""
    even_backticks_follow = r"(?=[^`]*(`[^`]*`[^`]*)*$)"
    lines[:] = [re.sub(r"\*" + even_backticks_follow, r"\\*", line) for line in lines]


def allow_sections_without_title() -> None:
    """Keep sphinx-codeautolink from failing on the sections that sphinx-exercise makes."""
    depart_section = CodeBlockAnalyser.depart_section

    def depart_titled_section(self, node) -> None:
        if self.title_stack:
            depart_section(self, node)

    CodeBlockAnalyser.depart_section = depart_titled_section


def setup(app: Sphinx) -> dict:
    allow_sections_without_title()
    app.connect("autodoc-process-docstring", escape_stars)
    app.add_directive("stamps", Stamps)
    return {"parallel_read_safe": True}

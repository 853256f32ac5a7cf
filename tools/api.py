"""The page on normlab, and the links to it from code cells, made without PyTorch.

Stand-ins take the place of what normlab imports: see `autodoc_mock_imports` in _config.yml. They do
so where PyTorch is installed too, so that the pages are the same everywhere.
"""

import ast
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Union

import sphinx.ext.autodoc
from bs4 import BeautifulSoup
from bs4.element import PreformattedString
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.ext.autodoc.mock import _MockObject, mock
from sphinx_codeautolink import extension
from sphinx_codeautolink.extension import block
from sphinx_codeautolink.extension.resolve import CouldNotResolve
from sphinx_codeautolink.parse import ImportTrackerVisitor, Name, NameBreak

from tools import ROOT

# Methods that a network inherits from nn.Module and that return the network.
FLUENT = {"cpu", "cuda", "double", "eval", "float", "half", "requires_grad_", "to", "train"}

CODE = {"ipython3", "python"}  # the languages of blocks whose names are linked


def mend_mocks() -> None:
    """Let a stand-in be an annotation like others, and a class that derives from one sign itself.

    Without this `Tensor | None` fails, `Tensor` shows as `torch.Tensor`, and the arguments of every
    layer are `*args, **kwargs`.
    """
    _MockObject.__repr__ = lambda self: f"~{self.__display_name__}"  # Sphinx's mark of a short name
    _MockObject.__or__ = lambda self, other: Union[self, other]  # noqa: UP007 (a mock's own `|`)
    _MockObject.__ror__ = lambda self, other: Union[other, self]  # noqa: UP007
    own_new = "sphinx.ext.autodoc.mock._MockObject.__new__"
    if own_new not in sphinx.ext.autodoc._CLASS_NEW_BLACKLIST:
        sphinx.ext.autodoc._CLASS_NEW_BLACKLIST.append(own_new)


def documented(parts: Sequence[str]) -> list[str]:
    """Return the name that stands in the documentation for this one, from its import to its use."""
    if parts[0] == "exercises" and len(parts) > 3:  # exercises, the chapter, the exercise
        return ["normlab", "exercise", "Exercise", *parts[3:]]
    kept: list[str] = []
    for part in parts:
        if part == NameBreak.call and kept[1:] and kept[-1] in FLUENT:
            kept.pop()
        else:
            kept.append(part)
    return kept


def resolver(resolve: Callable, mocked: list[str]) -> Callable:
    """Wrap sphinx-codeautolink's search for what a name stands for: it imports nothing `mocked`."""

    def resolve_documented(name: Name, inventory: Mapping[str, str]) -> str:
        parts = documented(name.import_components)
        if parts[0] != "normlab":
            raise CouldNotResolve("the book documents normlab alone")
        with mock(mocked):
            return resolve(replace(name, import_components=parts), inventory)

    return resolve_documented


class Names:
    """The names in the code cells of a page; replaces `parse_names` of sphinx-codeautolink.

    Each cell comes with all cells before it, so that their imports are known. They are not parsed
    anew: that took half the time of the whole build.
    """

    def __init__(self) -> None:
        self.seen, self.visitor = "", None

    def __call__(self, source: str, node: nodes.Node) -> list[Name]:
        """Return the names in what `source` adds to the source before it, if it begins so."""
        if not self.seen or not source.startswith(self.seen):
            self.seen, self.visitor = "", ImportTrackerVisitor(node)
        tree = ast.parse(source[len(self.seen) :])
        ast.increment_lineno(tree, self.seen.count("\n"))
        known = len(self.visitor.accessed)
        self.visitor.visit(tree)
        self.seen = f"{source}\n"
        return self.visitor.accessed[known:]


def read_page(html: str, parser: str) -> BeautifulSoup | PreformattedString:
    """Read a page, but leave a code block with its links as it is: it only has to be written."""
    return PreformattedString(html) if html.startswith("<pre") else BeautifulSoup(html, parser)


def allow_sections_without_title() -> None:
    """Keep sphinx-codeautolink from failing on the sections that sphinx-exercise makes."""
    depart_section = block.CodeBlockAnalyser.depart_section

    def depart_titled_section(self, node) -> None:
        if self.title_stack:
            depart_section(self, node)

    block.CodeBlockAnalyser.depart_section = depart_titled_section


def escape_stars(app, what, name, obj, options, lines: list[str]) -> None:
    """Let a star outside code, as in the shape [N, C, *], stand for itself: no emphasis begins."""
    even_backticks_follow = r"(?=[^`]*(`[^`]*`[^`]*)*$)"
    lines[:] = [re.sub(r"\*" + even_backticks_follow, r"\\*", line) for line in lines]


class Refusal:
    """Finds no module of some packages, installed or not; the stand-ins are found before it."""

    def __init__(self, packages: list[str]) -> None:
        self.packages = packages

    def find_spec(self, name: str, path=None, target=None) -> None:
        if name.split(".")[0] in self.packages:
            raise ModuleNotFoundError(f"the book is built without {name}", name=name)


def mock_imports(app: Sphinx, config: Config) -> None:
    """Replace what autodoc_mock_imports names, though an extension may have imported the real."""
    packages = config.autodoc_mock_imports
    for module in [name for name in sys.modules if name.split(".")[0] in packages]:
        del sys.modules[module]
    sys.meta_path.insert(0, Refusal(packages))
    extension.resolve_location = resolver(extension.resolve_location, packages)


def setup(app: Sphinx) -> dict:
    sys.path.insert(0, str(ROOT / "src"))  # normlab need not be installed
    mend_mocks()
    for language in set(block.BUILTIN_BLOCKS) - CODE:  # each costs a walk through every page
        del block.BUILTIN_BLOCKS[language]
    allow_sections_without_title()
    block.parse_names = Names()
    block.BeautifulSoup = read_page
    app.connect("autodoc-process-docstring", escape_stars)
    app.connect("config-inited", mock_imports)
    return {"parallel_read_safe": True}

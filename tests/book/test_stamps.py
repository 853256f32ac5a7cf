"""Stamps: what makes stored results stale, and what does not."""

import ast
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import ROOT
from tools.notebooks import notebooks
from tools.stamps import changes, dump, hashes, short

STYLE = Path("src/normlab/style.py")


@pytest.fixture(scope="module")
def stored() -> dict[str, NotebookNode]:
    """The notebooks of the book, as if they had just been run."""
    found = {path.stem: nbformat.read(path, as_version=4) for path in notebooks()}
    for notebook in found.values():
        notebook.metadata["normlab"] = {"code": hashes(notebook)}
    return found


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the code of the project."""
    for folder in ("src/normlab", "chapters/figures", "chapters/exercises"):
        if (ROOT / folder).is_dir():
            shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


def test_a_changed_colour_makes_every_chapter_stale_that_draws(stored, copy: Path) -> None:
    text = (copy / STYLE).read_text(encoding="utf-8")
    changed = re.sub('"#[0-9a-f]{6}"', '"#123456"', text, count=1)
    assert changed != text
    (copy / STYLE).write_text(changed, encoding="utf-8")
    stale = {name: names for name, notebook in stored.items() if (names := changes(notebook, copy))}
    chapters = sorted(path.stem for path in (ROOT / "chapters").glob("*.ipynb"))
    assert stale == dict.fromkeys(chapters, [f"normlab.{STYLE.stem}"])


def test_comments_docstrings_and_layout_make_nothing_stale(stored, copy: Path) -> None:
    for path in copy.rglob("*.py"):
        code = ast.parse(path.read_text(encoding="utf-8"))
        path.write_text(f"# Another comment.\n\n\n{ast.unparse(code)}", encoding="utf-8")
    style = (copy / STYLE).read_text(encoding="utf-8")
    assert style.count('"""') > 2
    (copy / STYLE).write_text(style.replace('"""', '"""Anew: ', 1), encoding="utf-8")
    assert {name: names for name, book in stored.items() if (names := changes(book, copy))} == {}


def stale_after(stored: dict[str, NotebookNode], copy: Path, file: str, edit) -> set[str]:
    """Return the notebooks that an edit of a file makes stale."""
    path = copy / file
    path.write_text(edit(path.read_text(encoding="utf-8")), encoding="utf-8")
    return {name for name, notebook in stored.items() if changes(notebook, copy)}


NEW = "\n\ndef brand_new(x):\n    return x\n\n\nclass BrandNew(nn.Module):\n    size = 1\n"


def test_a_new_model_makes_nothing_stale(stored, copy: Path) -> None:
    assert stale_after(stored, copy, "src/normlab/models.py", lambda code: code + NEW) == set()


def test_a_new_layer_that_the_package_exports_makes_nothing_stale(stored, copy: Path) -> None:
    stale_after(stored, copy, "src/normlab/layers.py", lambda code: code + NEW)
    exported = "from normlab.layers import BrandNew\n__all__ = ['BrandNew']\n"
    assert stale_after(stored, copy, "src/normlab/__init__.py", lambda code: code + exported) == (
        set()
    )


def test_a_changed_model_makes_those_stale_that_use_it(stored, copy: Path) -> None:
    stale = stale_after(
        stored,
        copy,
        "src/normlab/models.py",
        lambda code: code.replace("channels, 6, 5", "channels, 7, 5"),
    )
    assert "06-lenet-cifar10" in stale
    assert "02-the-mathematics" not in stale


DECORATED = "from normlab.layers import register\n\n\n@register\ndef brand_new(x):\n    return x\n"


def test_what_is_decorated_counts_even_where_nobody_names_it(stored, copy: Path) -> None:
    assert stale_after(stored, copy, "src/normlab/models.py", lambda code: code + DECORATED) >= {
        "06-lenet-cifar10"
    }


def notebook(*cells: str) -> NotebookNode:
    return new_notebook(cells=[new_code_cell(cell) for cell in cells])


SAME = [
    ("x = 1", "x  =  1  # one\n"),
    ("f('a')", 'f("a",)'),
    ("def f():\n    return 1", 'def f():\n    """One."""\n    return 1'),
    ("%time f()", "%time f()  "),
]
OTHER = [
    ("x = 1", "x = 2"),
    ("x = '1'", "x = 1"),
    ("x = None", "x = ()"),
    ("x = f'{a}{b}'", "x = f'{a}{{b}}'"),
    ("x = f'{a:.1f}'", "x = f'{a:.2f}'"),
    ("'shown'", "'shown otherwise'"),  # by Jupyter, as the value of the cell
    ("def f(x): pass", "async def f(x): pass"),
    ("%time f()", "%time g()"),
    ("x: int", "x: str"),
]


@pytest.mark.parametrize(("one", "two"), SAME)
def test_code_of_one_meaning_has_one_hash(one: str, two: str) -> None:
    assert hashes(notebook(one)) == hashes(notebook(two))


@pytest.mark.parametrize(("one", "two"), OTHER)
def test_code_of_another_meaning_has_another_hash(one: str, two: str) -> None:
    assert hashes(notebook(one)) != hashes(notebook(two))


def test_text_makes_no_results_stale_but_the_borders_of_cells_do() -> None:
    stored = hashes(notebook("x = 1\nx", "x"))
    with_text = notebook("x = 1\nx", "x")
    with_text.cells.insert(1, new_markdown_cell("More."))
    assert hashes(with_text) == stored
    assert hashes(notebook("x = 1", "x\nx")) != stored


def test_a_module_that_is_no_longer_imported_is_named() -> None:
    book = notebook("from exercises import lenet_cifar10")
    book.metadata["normlab"] = {"code": hashes(book)}
    book.cells[0].source = "import exercises"
    assert {"cells", "exercises.lenet_cifar10"} <= set(changes(book))


@pytest.mark.parametrize("stamp", [{}, {"normlab": {"code": "0123"}}])
def test_without_a_stamp_of_this_form_everything_has_changed(stamp: dict) -> None:
    book = notebook("x = 1")
    book.metadata.update(stamp)
    assert changes(book) == ["cells"]


# One of each node and field that Python 3.11 to 3.13 write differently, or might.
EVERY_VERSION = r'''
"""A module."""
import a.b as c
from . import d
@c(1, *x, k=2, **y)
class A(B, metaclass=C):
    """A class."""
    x: int = 1
    async def f(self, a, /, b: int = 0, *c, d=None, **e) -> str:
        """A function."""
        async with a as b, c: await d
        return [x async for x in y if x], {**a, 1: ...}, {*a}, lambda: 1j
f"{width:>{width}}{x!r:{a}b{c}} {{}} é\N{BULLET}" "and" f'{y=}{"quoted"}' "\\\""
f"", u"\U0001FAE8"
match a:
    case {"k": [1, *_], **rest} | A(x=None) as b if b: pass
try: pass
except* (A, B) as e: raise C from e
x[1:, ..., ::2], b"\xff", 1e400, 10**20, True
'''


def test_the_hash_is_that_of_every_version_of_python() -> None:
    """The tests run on 3.11, 3.12 and 3.13, and each must find these digits."""
    assert short(dump(ast.parse(EVERY_VERSION))) == "2239ec543ffd"


PIECES = st.lists(st.text(alphabet="ab\"'\\{}é\n=[]()", max_size=4), max_size=3)


@given(PIECES, PIECES)
def test_f_strings_are_told_apart_however_they_are_split(one: list[str], two: list[str]) -> None:
    """In some versions text comes in several pieces, or with an empty one."""

    def tree(pieces: list[str]) -> ast.JoinedStr:
        return ast.JoinedStr([ast.Constant(piece) for piece in pieces])

    assert (dump(tree(one)) == dump(tree(two))) == ("".join(one) == "".join(two))

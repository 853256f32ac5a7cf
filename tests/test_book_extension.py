"""What tools/book_extension.py adds to the book."""

from pathlib import Path

import nbformat
from nbformat.v4 import new_markdown_cell, new_notebook

from book_extension import escape_stars, stamp_table


def escaped(line: str) -> str:
    lines = [line]
    escape_stars(None, "function", "f", None, None, lines)
    return lines[0]


def test_a_star_in_a_shape_begins_no_emphasis() -> None:
    assert (
        escaped("x of shape [N, C, *], an *open* set") == r"x of shape [N, C, \*], an \*open\* set"
    )


def test_a_star_in_code_stays_as_it_is() -> None:
    assert escaped("`a * b` and [*] and `*c`") == r"`a * b` and [\*] and `*c`"


def test_the_table_of_stamps_links_each_notebook_and_shows_its_stamp(tmp_path: Path) -> None:
    notebook = new_notebook(cells=[new_markdown_cell("# A title\n\nText.")])
    notebook.metadata["normlab"] = {
        "code": "0123456789abcdef", "data": "none", "torch": "2.15.0", "minutes": 0.25
    }  # fmt: skip
    path = tmp_path / "chapters" / "01-a.ipynb"
    path.parent.mkdir()
    nbformat.write(notebook, path)
    row = "| [A title](../chapters/01-a.ipynb) | none | 2.15.0 | 0.2 | `0123456789ab` |"
    assert stamp_table([path], tmp_path / "appendix")[2:] == [row]

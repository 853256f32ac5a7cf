"""The map of the book and the place of a page in it."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from tools.contents import map_of_chapters, position, read_contents

TOC = """
root: index
parts:
  - caption: Part I
    chapters:
      - file: chapters/01-a
      - file: chapters/02-b
  - caption: Appendix
    chapters:
      - file: appendix/c
"""


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "_toc.yml").write_text(TOC, encoding="utf-8")
    for name, minutes in (("01-a", "1 minute"), ("02-b", "7 to 9 minutes")):
        text = f"# Title {name}\n\n**Question.** Why {name}?\n\n**Time.** About {minutes}."
        path = tmp_path / "chapters" / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        nbformat.write(new_notebook(cells=[new_markdown_cell(text)]), path)
    (tmp_path / "appendix").mkdir()
    (tmp_path / "appendix" / "c.md").write_text("# Glossary\n", encoding="utf-8")
    return tmp_path


def test_the_map_shows_the_chapters_with_their_questions_and_minutes(book: Path) -> None:
    assert map_of_chapters(read_contents(book), book) == [
        "**Part I**",
        "",
        "[Title 01-a](chapters/01-a.ipynb) (runs in 1 minute)",
        ": Why 01-a?",
        "",
        "[Title 02-b](chapters/02-b.ipynb) (runs in 7 to 9 minutes)",
        ": Why 02-b?",
        "",
    ]


def test_a_chapter_knows_its_part_and_its_number(book: Path) -> None:
    entries = read_contents(book)
    assert position(entries, book / "chapters" / "02-b.ipynb") == "Part I · chapter 2 of 2"
    assert position(entries, book / "appendix" / "c.md") == "Appendix"
    assert position(entries, book / "index.md") == ""

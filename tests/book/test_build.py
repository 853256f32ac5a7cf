"""A small book with an address, built as strictly as ours: its buttons, its description, and what
the build says about each kind of broken reference. tools/check_html.py reads what Sphinx does not.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_markdown_cell, new_notebook

from tools import ROOT
from tools.repository import VARIABLE

TOC = """format: jb-book
root: index
parts:
  - caption: Part I
    chapters:
      - file: chapters/01-a
      - file: appendix/b
"""
CHAPTER = """(here)=
# A `title` & more

What the page is about.

$$x$$ (eq-x)

By {eq}`eq-x`, {cite:t}`ioffe2015` and [b](../appendix/b.md#b-c).
"""
TEXT = """# B, c

See {ref}`here`, {eq}`eq-x` and {doc}`/chapters/01-a`.

```{bibliography}
```
"""
# What is written on the page, and what the build must say about it.
BREACHES = {
    "See {ref}`nowhere`.": "undefined label: 'nowhere'",
    "See {numref}`Figure %s <fig-none>`.": "undefined label: 'fig-none'",
    "By {eq}`eq-none`.": "equation not found: eq-none",
    "As in {cite:t}`nobody2015`.": 'could not find bibtex key "nobody2015"',
    "See {doc}`not-here`.": "unknown document: 'not-here'",
    "[a file](missing.md)": "cross-reference target not found: 'missing.md'",
    "[a chapter](chapters/02-none.ipynb)": "target not found: 'chapters/02-none.ipynb'",
    "[a heading](#not-there)": "cross-reference target not found: 'not-there'",
    "[a heading](appendix/b.md#not-so)": "local id not found in doc 'appendix/b': 'not-so'",
    "![a picture](missing-a.png)": "image file not readable: missing-a.png",
    ":::{figure} missing-b.png\n:alt: A\n:::": "image file not readable: missing-b.png",
    "{nothing}`like it`": 'Unknown interpreted text role "nothing"',
    ":::{nowhere}\n:::": "Unknown directive type: 'nowhere'",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess]:
    """Return the pages, and the process that built them."""
    folder = tmp_path_factory.mktemp("book")
    for name in ("_config.yml", "references.bib"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "_static", folder / "_static")
    for name, text in {
        "_toc.yml": TOC,
        "index.md": "# Home\n\n" + "\n\n".join(BREACHES),
        "appendix/b.md": TEXT,
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "chapters").mkdir()
    notebook = new_notebook(cells=[new_markdown_cell(CHAPTER)])
    nbformat.write(notebook, folder / "chapters" / "01-a.ipynb")
    command = [Path(sys.executable).with_name("jupyter-book"), "build", "-W", "-n", "--keep-going"]
    process = subprocess.run(
        [*command, folder],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), VARIABLE: "https://github.com/Ada/course"},
        capture_output=True,
        text=True,
    )
    return folder / "_build" / "html", process


def page(built: tuple[Path, object], name: str) -> BeautifulSoup:
    return BeautifulSoup((built[0] / name).read_text(encoding="utf-8"), "html.parser")


def buttons(page: BeautifulSoup) -> dict[str, str]:
    links = page.select(".article-header-buttons a[href]")
    return {link.get_text(strip=True) or link["title"]: link["href"] for link in links}


def test_the_strict_build_refuses_a_broken_reference(built) -> None:
    assert built[1].returncode != 0


@pytest.mark.parametrize("said", BREACHES.values(), ids=BREACHES.keys())
def test_the_build_names_a_broken_reference(built, said: str) -> None:
    assert said in built[1].stderr


def test_the_build_has_nothing_against_the_rest(built) -> None:
    warnings = [line for line in built[1].stderr.splitlines() if "WARNING" in line]
    assert [line for line in warnings if "index.md" not in line] == []
    assert "Extension error" not in built[1].stderr


def test_a_page_leads_to_its_source_to_the_form_for_errors_and_to_colab(built) -> None:
    shown = buttons(page(built, "chapters/01-a.html"))
    site = "https://github.com/Ada/course"
    assert shown["Edit this page"] == f"{site}/edit/main/chapters/01-a.ipynb"
    assert shown["Report a problem"] == f"{site}/issues/new?template=error.yml&place=chapters/01-a"
    assert shown["Repository"] == site
    assert shown["Open on Colab"].endswith("/github/Ada/course/blob/gh-pages/standalone/01-a.ipynb")
    assert shown[".ipynb"] == "../standalone/01-a.ipynb"
    assert (built[0] / "standalone" / "01-a.ipynb").exists()


def test_a_text_page_leads_to_its_source_and_not_to_colab(built) -> None:
    shown = buttons(page(built, "appendix/b.html"))
    assert shown["Edit this page"].endswith("/edit/main/appendix/b.md")
    assert "Open on Colab" not in shown


def test_a_link_to_a_page_shows_title_words_and_picture(built) -> None:
    tags = page(built, "chapters/01-a.html").select("meta[property^=og]")
    shown = {tag["property"]: tag["content"] for tag in tags}
    assert shown["og:title"] == "A title & more"
    assert shown["og:site_name"] == "Batch Normalization, Inside Out"
    assert shown["og:description"].startswith("What the page is about.")
    assert shown["og:url"] == "https://ada.github.io/course/chapters/01-a.html"
    assert shown["og:image"] == "https://ada.github.io/course/_static/social-card.png"
    assert (built[0] / "_static" / "social-card.png").exists()

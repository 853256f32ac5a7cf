"""What tools/book_extension.py adds to the book."""

import sys
from importlib.machinery import PathFinder
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook
from PIL import Image

from tools import icons
from tools.book_extension import (
    describe,
    escape_stars,
    find_repository,
    offer_standalone_notebook,
    setup,
    stamp_table,
)
from tools.repository import VARIABLE
from tools.stamps import digest


def test_names_that_a_chapter_imports_can_be_found_and_linked(monkeypatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    setup(Mock())
    assert PathFinder.find_spec("exercises", sys.path)


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
        "code": {"cells": "01"}, "data": "none", "torch": "2.15.0", "minutes": 0.25
    }  # fmt: skip
    path = tmp_path / "chapters" / "01-a.ipynb"
    path.parent.mkdir()
    nbformat.write(notebook, path)
    code = digest({"cells": "01"})
    row = f"| [A title](../chapters/01-a.ipynb) | none | 2.15.0 | 0.2 | `{code}` |"
    assert stamp_table([path], tmp_path / "appendix")[2:] == [row]


def buttons(
    folder: Path, address: str = "", page: str = "chapters/03-a", suffix: str = ".ipynb"
) -> dict[str, str]:
    """Return the addresses behind the buttons of a page, by label or text."""
    config = SimpleNamespace(html_theme_options={"repository_url": address})
    env = SimpleNamespace(doc2path=lambda page: page + suffix)
    app = SimpleNamespace(srcdir=folder, config=config, env=env)
    download = {"text": ".ipynb", "url": "_sources/chapters/03-a.ipynb"}
    group = {"label": "download-buttons", "buttons": [download]}
    context = {"header_buttons": [group], "pathto": lambda target, _: f"../{target}"}
    find_repository(app, config)
    offer_standalone_notebook(app, page, "page.html", context, doctree=object())
    shown = {b["label"]: b["url"] for b in context["header_buttons"] if b is not group}
    if config.html_theme_options["use_repository_button"]:
        shown["repository"] = config.html_theme_options["repository_url"]
    return {"download": download["url"], **shown}


def test_without_an_address_a_page_offers_the_download_alone(tmp_path: Path) -> None:
    assert buttons(tmp_path) == {"download": "../standalone/03-a.ipynb"}


def test_with_an_address_a_page_leads_to_the_repository_and_to_colab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colab = "https://colab.research.google.com/github/a/b/blob/gh-pages/standalone/03-a.ipynb"
    expected = {
        "download": "../standalone/03-a.ipynb",
        "colab-button": colab,
        "repository": "https://github.com/a/b",
    }
    assert buttons(tmp_path, "https://github.com/a/b") == expected
    monkeypatch.setenv(VARIABLE, "https://github.com/a/b")
    assert buttons(tmp_path) == expected


def test_colab_opens_nothing_that_is_not_on_github(tmp_path: Path) -> None:
    assert buttons(tmp_path, "https://gitlab.com/a/b").keys() == {"download", "repository"}


def test_a_page_that_is_no_notebook_keeps_its_buttons(tmp_path: Path) -> None:
    shown = buttons(tmp_path, "https://github.com/a/b", "appendix/api", ".md")
    assert shown == {
        "download": "_sources/chapters/03-a.ipynb",
        "repository": "https://github.com/a/b",
    }


@pytest.mark.parametrize(
    ("address", "image"),
    [
        ("", None),
        ("https://github.com/a/b", "https://a.github.io/b/_static/social-card.png"),
    ],
)
def test_a_link_shows_a_picture_where_the_address_of_the_site_is_known(
    address: str, image: str | None
) -> None:
    config = SimpleNamespace(html_theme_options={"repository_url": address})
    context = {"title": "<code>A</code> &quot;title&quot;", "metatags": "<meta>"}
    describe(SimpleNamespace(config=config), "chapters/03-a", "page.html", context, None)
    assert context["metatags"].startswith("<meta>")
    assert 'content="A &quot;title&quot;"' in context["metatags"]
    assert ("og:image" in context["metatags"]) == (image is not None)
    assert image is None or image in context["metatags"]


def test_the_favicon_is_what_the_code_draws() -> None:
    assert icons.FAVICON.read_text(encoding="utf-8") == icons.favicon()


def test_the_social_card_has_the_size_that_networks_expect(tmp_path: Path) -> None:
    icons.social_card(tmp_path / "card.png")
    assert Image.open(tmp_path / "card.png").size == (1200, 630)

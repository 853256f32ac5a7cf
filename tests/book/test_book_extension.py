"""What tools/book_extension.py adds to the book."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from matplotlib.testing.compare import compare_images
from nbformat.v4 import new_markdown_cell, new_notebook
from PIL import Image

from tools import ROOT, icons
from tools.book_extension import (
    drop_unknown_addresses,
    find_repository,
    offer_standalone_notebook,
    stamp_table,
)
from tools.contents import Entry
from tools.repository import VARIABLE
from tools.stamps import digest


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
    entries = [Entry(path, "Part I", "A title", "", ""), Entry(tmp_path / "b.md", "", "B", "", "")]
    assert stamp_table(entries, tmp_path / "appendix")[2:] == [row]


def found(folder: Path, address: str = "", baseurl: str = "") -> SimpleNamespace:
    """Return the configuration of a book that gives or finds its address."""
    options = {"repository_url": address}
    config = SimpleNamespace(html_theme_options=options, html_baseurl=baseurl)
    find_repository(SimpleNamespace(srcdir=folder), config)
    return config


def test_without_an_address_no_button_leads_to_the_repository(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    config = found(tmp_path)
    assert config.html_theme_options == {
        "repository_url": "",
        "use_repository_button": False,
        "use_edit_page_button": False,
        "use_issues_button": False,
    }
    assert config.ogp_site_url == ""


def test_with_an_address_all_buttons_do_where_the_host_has_them(tmp_path: Path) -> None:
    options = found(tmp_path, "https://gitlab.com/a/b").html_theme_options
    assert options["use_repository_button"] and options["use_edit_page_button"]
    assert options["use_issues_button"]
    options = found(tmp_path, "https://bitbucket.org/a/b").html_theme_options
    assert options["use_edit_page_button"] and not options["use_issues_button"]


def test_the_address_of_the_site_is_that_of_github_or_the_one_given(tmp_path: Path) -> None:
    assert found(tmp_path, "https://github.com/a/b").ogp_site_url == "https://a.github.io/b/"
    given = found(tmp_path, "https://github.com/a/b", baseurl="https://c.org/")
    assert given.ogp_site_url == "https://c.org/"


@pytest.mark.parametrize(
    ("page", "address", "shown"),
    [
        ("chapters/03-a.ipynb", "", ["../standalone/03-a.ipynb"]),
        ("chapters/03-a.ipynb", "https://gitlab.com/a/b", ["../standalone/03-a.ipynb"]),
        ("appendix/api.md", "https://github.com/a/b", ["_sources/03-a.ipynb"]),
    ],
)
def test_only_a_notebook_is_offered_standing_alone_and_on_colab_only_from_github(
    page: str, address: str, shown: list[str]
) -> None:
    config = SimpleNamespace(html_theme_options={"repository_url": address})
    app = SimpleNamespace(config=config, env=SimpleNamespace(doc2path=lambda _: page))
    download = {"text": ".ipynb", "url": "_sources/03-a.ipynb"}
    context = {
        "header_buttons": [{"label": "download-buttons", "buttons": [download]}],
        "pathto": lambda target, _: f"../{target}",
    }
    name = page.partition(".")[0]
    offer_standalone_notebook(app, name, "page.html", context, doctree=object())
    assert [b["url"] for group in context["header_buttons"] for b in group["buttons"]] == shown


@pytest.mark.parametrize("site", ["", "https://a.org/"])
def test_a_page_tells_its_address_and_picture_only_where_they_are_known(site: str) -> None:
    names = ("og:title", "og:url", "og:image", "og:image:alt", "og:description")
    tags = [f'<meta property="{name}" content="x" />\n' for name in names]
    context = {"metatags": "".join(tags)}
    app = SimpleNamespace(config=SimpleNamespace(ogp_site_url=site))
    drop_unknown_addresses(app, "a", "page.html", context, doctree=object())
    assert context["metatags"] == "".join(tags if site else [tags[0], tags[4]])


def test_the_build_imports_neither_torch_nor_normlab_nor_matplotlib() -> None:
    heavy = "{'torch', 'normlab', 'matplotlib', 'sklearn'}"
    code = f"import sys, tools.book_extension, tools.check_html; print({heavy} & {{*sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.stdout == "set()\n", run.stderr


def test_the_favicon_is_what_the_code_draws() -> None:
    assert icons.FAVICON.read_text(encoding="utf-8") == icons.favicon(), "python -m tools.icons"


def test_the_social_card_is_what_the_code_draws_in_the_size_that_networks_expect(
    tmp_path: Path,
) -> None:
    icons.social_card(tmp_path / "card.png")
    assert Image.open(icons.CARD).size == (1200, 630)
    # Versions of Matplotlib and its fonts differ by less than 5 in the root mean square of 255.
    difference = compare_images(str(icons.CARD), str(tmp_path / "card.png"), tol=5)
    assert difference is None, f"python -m tools.icons draws it anew: {difference}"

"""Chromium for the tests of the interactive figures; its fixtures stand in conftest.py."""

import pytest

from tools.chromium import CHROMIUM

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
Page = sync_api.Page

needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium in the PATH (Debian and Ubuntu: apt install chromium)"
)
PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>page</title>'
    '<meta name="viewport" content="width=device-width"><body>{}</body></html>'
)
# The theme's rule for HTML outputs, which would hide light text on a light card.
DARK_BOOK = (
    "<style>html[data-theme=dark] .bd-content div.cell_output .text_html:not(:has("
    "table.dataframe)) { background-color: white; color: black; padding: .5rem }</style>"
    '<div class="bd-content" style="color: rgb(206, 214, 221)"><div class="cell_output">'
    '<div class="output text_html">{}</div></div></div>'
    '<script>document.documentElement.dataset.theme = "dark"</script>'
)


def insert_as_notebook(page: Page, html: str) -> None:
    """Insert HTML as JupyterLab does: as text, then its scripts are made anew."""
    page.evaluate(
        """(html) => {
          const host = document.querySelector("div");
          host.innerHTML = html;
          for (const old of host.querySelectorAll("script")) {
            const script = document.createElement("script");
            script.textContent = old.textContent;
            old.replaceWith(script);
          }
        }""",
        html,
    )


def beyond_the_page(page: Page) -> list[str]:
    """Return what reaches past the right edge of the page; SVGs cut what does."""
    return page.evaluate(
        "[...document.querySelectorAll('figure, figure *:not(svg *)')]"
        ".filter((e) => e.getBoundingClientRect().right > innerWidth).map((e) => e.outerHTML)"
    )

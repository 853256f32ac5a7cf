"""A browser, and the style of the figures, for the tests that ask for one."""

from collections.abc import Callable, Iterator
from functools import cache

import pytest


@pytest.fixture(scope="module")
def browser() -> Iterator:
    from tests.browser import CHROMIUM, sync_api

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def contexts(browser):
    """Give the browser's context for some options: a context takes longer to make than a page."""

    @cache
    def context(motion: str, scripts: bool, clock: bool):
        context = browser.new_context(reduced_motion=motion, java_script_enabled=scripts)
        if clock:
            context.clock.install(time=0)
            context.clock.pause_at(1)
        return context

    return context


@pytest.fixture
def show(contexts, figure: str) -> Iterator[Callable]:
    """Open pages; fail when one of them loads or complains about anything.

    A test module gives `figure`: the HTML that is shown when there is no other. With `clock` the
    time of the page stands still but for `page.clock.run_for`, however busy the machine.
    """
    from tests.browser import PAGE

    complaints, pages = [], []

    def show(
        body: str | None = None,
        width: int = 720,
        motion: str = "reduce",
        scripts: bool = True,
        clock: bool = False,
    ):
        page = contexts(motion, scripts, clock).new_page()
        pages.append(page)
        page.set_viewport_size({"width": width, "height": 900})
        page.on("request", lambda request: complaints.append(f"loads {request.url}"))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.set_content(PAGE.format(figure if body is None else body))
        return page

    yield show
    for page in pages:
        page.close()
    assert complaints == []


@pytest.fixture
def clean_style() -> Iterator[None]:
    """Draw in the style of the book, without a window; close the figures."""
    import matplotlib
    import matplotlib.pyplot as plt

    from normlab import style

    with matplotlib.rc_context({"backend": "agg"}):
        style.use_style()
        yield
    plt.close("all")

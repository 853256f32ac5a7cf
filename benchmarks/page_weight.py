"""How heavy is each page of the built book, and how long until it can be used?

python benchmarks/page_weight.py _build/html

Prints a table: kilobytes that a first visit transfers from a server that compresses text, as
GitHub Pages does, without fonts and MathJax; the seconds until the formulas in sight stand; and
those until the interactive figure or the laboratory, if any, answers: medians of three visits with
an empty cache. Exits with an error if a page is too heavy; where a figure is slow it says so, for
that depends on the machine.
"""

import functools
import gzip
import http.server
import shutil
import statistics
import sys
import threading
import time
from pathlib import Path

from playwright.sync_api import Browser, Response, sync_playwright

MAX_KB = 1500
VISITS = 3
MAX_SECONDS = 2.0  # until an interactive figure answers
WAITING = "[...document.querySelectorAll('mjx-lazy')]"  # formulas not typeset yet, in order
FIGURES = ".normlab-bn, .normlab-axes, .normlab-laboratory"


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


def counts(url: str) -> bool:
    return not ("mathjax" in url.lower() or url.split("?")[0].endswith((".woff2", ".woff", ".ttf")))


def transferred(response: Response) -> int:
    """Return the bytes of an answer, compressed unless it is a picture."""
    body = response.body()
    return len(body if response.url.endswith((".png", ".jpg")) else gzip.compress(body))


def measure(browser: Browser, url: str) -> tuple[float, float, float | None]:
    """Return kilobytes, seconds until the formulas in sight stand, and until a figure answers."""
    page = browser.new_page()
    responses = []
    page.on("response", lambda r: counts(r.url) and responses.append(r))
    start = time.perf_counter()
    page.goto(url, wait_until="load")
    ready = None
    if page.locator(FIGURES).count():
        page.locator(f":is({FIGURES}) :is(input, button)").first.wait_for(state="visible")
        ready = time.perf_counter() - start
    page.evaluate("window.MathJax?.startup?.promise")
    page.wait_for_function(f"!{WAITING}.some((e) => e.getBoundingClientRect().top < innerHeight)")
    seconds = time.perf_counter() - start
    page.wait_for_load_state("networkidle")
    kilobytes = sum(map(transferred, responses)) / 1000
    page.close()
    return kilobytes, seconds, ready


def main(folder: str) -> None:
    book = Path(folder)
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=book)
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pages = [*book.glob("*.html"), *book.glob("chapters/*.html"), *book.glob("appendix/*.html")]
    heavy, slow = [], []
    print(f"{'page':46} {'kB':>6} {'formulas':>9} {'figure':>7}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("chromium-browser"),
            args=["--no-sandbox"],
        )
        for path in sorted(pages):
            if 'http-equiv="refresh"' in path.read_text(encoding="utf-8"):
                continue  # an old address
            name = path.relative_to(book).as_posix()
            url = f"http://127.0.0.1:{server.server_port}/{name}"
            visits = [measure(browser, url) for _ in range(VISITS)]
            kilobytes, seconds = visits[0][0], statistics.median(v[1] for v in visits)
            ready = visits[0][2] and statistics.median(v[2] for v in visits)
            figure = f"{ready:.1f} s" if ready else ""
            print(f"{name:46} {kilobytes:6.0f} {seconds:7.1f} s {figure:>7}")
            heavy += [name] if kilobytes > MAX_KB else []
            slow += [name] if (ready or 0) > MAX_SECONDS else []
        browser.close()
    server.shutdown()
    if slow:  # says something about the machine, and about what else it does
        print(f"figures that take more than {MAX_SECONDS} s here: {', '.join(slow)}")
    if heavy:
        sys.exit(f"over {MAX_KB} kB: {', '.join(heavy)}")


if __name__ == "__main__":
    main(sys.argv[1])

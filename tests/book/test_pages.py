"""The built book in a real browser: `make test-browser` builds it and runs these tests."""

import functools
import http.server
import os
import re
import threading
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup
from docutils.nodes import make_id

from benchmarks.page_length import measure
from tests.book.test_clinic import rows
from tests.book.test_search import SEARCHES
from tests.browser import Page, needs_browser
from tests.classroom.leaks import leaks
from tools import ROOT, search
from tools.claims import record
from tools.contents import chapters, moved, read_contents
from tools.glossary import PAGE, Term, terms
from tools.pdf import typeset

pytestmark = [pytest.mark.browser, needs_browser]

BOOK = Path(os.environ.get("NORMLAB_BOOK", ROOT / "_build" / "html"))
PAGES = sorted(
    path.relative_to(BOOK).as_posix()
    for pattern in ("*.html", "chapters/*.html", "appendix/*.html")
    for path in BOOK.glob(pattern)
    if path.relative_to(BOOK).as_posix() not in moved(ROOT)
)
CHAPTERS = [name for name in PAGES if name.startswith("chapters/")]
every_page = pytest.mark.parametrize("name", PAGES)
# Findings of the theme that stay: names of its buttons, and elements outside its landmarks.
KNOWN = {"label-content-name-mismatch", "region"}


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """Serve the book over HTTP, as a web site."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args) -> None:
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=BOOK)
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture
def visit(browser, complaints: list[str]) -> Iterator:
    """Open pages, and note requests that fail, leave the book or are answered with an error."""
    contexts = []

    def visit(address: str, width: int = 1280, theme: str = "light") -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, reduced_motion="reduce"
        )
        context.add_init_script(f"localStorage.setItem('mode', '{theme}')")
        contexts.append(context)
        page = context.new_page()
        base = address.split("/chapters/")[0].split("/appendix/")[0].rpartition("/")[0]
        own = ("data:", "blob:", base, "file:")
        page.on(
            "request",
            lambda r: None if r.url.startswith(own) else complaints.append(f"loads {r.url}"),
        )
        page.on("requestfailed", lambda r: complaints.append(f"failed: {r.url}"))
        page.on("response", lambda r: r.status >= 400 and complaints.append(f"{r.status} {r.url}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda m: m.type in ("error", "warning") and complaints.append(m.text))
        page.goto(address)
        return page

    yield visit
    for context in contexts:
        context.close()


def test_there_are_pages() -> None:
    assert "index.html" in PAGES and len(PAGES) > 10


def test_a_call_in_a_chapter_leads_to_the_documentation_of_the_function() -> None:
    page = (BOOK / "chapters" / "05-first-experiments.html").read_text(encoding="utf-8")
    link = '<a [^>]*href="../appendix/api.html#normlab.training.fit"[^>]*>'
    assert re.search(link + r'<span class="n">fit</span></a><span class="p">\(', page)


@pytest.mark.parametrize("folder", ["", "_sources"])
def test_no_file_of_the_book_holds_a_solution_of_an_assignment(folder):
    kinds = (".html", ".ipynb", ".md", ".txt", ".js")
    files = [p for p in (BOOK / folder).rglob("*") if p.suffix in kinds]
    assert files
    assert {str(p): found for p in files if (found := leaks(p))} == {}


@every_page
def test_a_page_from_a_disk_loads_completely_and_renders_its_formulas(
    name: str, visit, complaints: list[str]
) -> None:
    page = visit((BOOK / name).as_uri())
    typeset(page)
    assert complaints == []
    assert page.locator("mjx-merror").count() == 0
    bare = page.evaluate(
        "[...document.querySelectorAll('.math')].filter((e) => !e.querySelector('mjx-container'))"
        ".map((e) => e.textContent)"
    )
    assert bare == []


def test_formulas_stand_when_the_reader_gets_to_them(visit) -> None:
    page = visit((BOOK / "chapters" / "02-the-mathematics.html").as_uri())
    last = page.locator("main div.math:visible").last
    last.scroll_into_view_if_needed()
    last.locator("mjx-container > mjx-math").wait_for()


def test_a_link_into_a_page_leads_to_its_place(visit) -> None:
    address = (BOOK / "chapters" / "02-the-mathematics.html").as_uri()
    place = visit(f"{address}#what-we-learned").locator("#what-we-learned > h2")
    place.page.evaluate("MathJax.startup.promise")
    place.page.wait_for_timeout(500)  # formulas above it may come, and must not move it
    top = place.evaluate("(e) => e.getBoundingClientRect().top")
    assert 0 <= top < 200


@pytest.mark.parametrize("old", moved(ROOT))
def test_an_old_address_leads_to_the_same_place_on_the_new_page(old: str, visit) -> None:
    page = visit(f"{(BOOK / old).as_uri()}#what-we-learned")
    page.wait_for_url(f"{(BOOK / moved(ROOT)[old]).as_uri()}#what-we-learned")


@every_page
def test_a_page_fits_a_phone(name: str, visit) -> None:
    page = visit((BOOK / name).as_uri(), width=390)
    typeset(page)
    width = page.evaluate("document.documentElement.scrollWidth")
    beyond = page.evaluate(
        "[...document.querySelectorAll('article *')].filter((e) => e.getBoundingClientRect().right"
        " > innerWidth + 1 && !e.closest('pre, mjx-container, table, .math, .cell_output'))"
        ".slice(0, 3).map((e) => e.outerHTML.slice(0, 200))"
    )
    assert (width, beyond) == (390, [])


@pytest.mark.parametrize("theme", ["light", "dark"])
@every_page
def test_axe_finds_nothing_new(name: str, theme: str, visit) -> None:
    page = visit((BOOK / name).as_uri(), theme=theme)
    typeset(page)
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    violations = Axe().run(page).response["violations"]
    assert {
        v["id"]: [node["html"][:200] for node in v["nodes"][:3]]
        for v in violations
        if v["id"] not in KNOWN
    } == {}


@every_page
def test_every_figure_has_alt_text(name: str, visit) -> None:
    page = visit((BOOK / name).as_uri())
    without = (
        "[...document.querySelectorAll('article img')].filter((e) => !e.alt).map((e) => e.src)"
    )
    assert page.evaluate(without) == []


def test_the_search_finds_running_var(visit, served: str) -> None:
    for base in (served, BOOK.as_uri()):
        page = visit(f"{base}/search.html?q=running_var")
        page.wait_for_selector("ul.search li a")
        found = page.locator("ul.search li a").evaluate_all("(all) => all.map((a) => a.href)")
        assert any("04-nn-batchnorm" in address for address in found)


def found(page: Page) -> list[str]:
    """Return what the search page lists, as page and anchor."""
    page.wait_for_function("Search.status && Search.status.innerText")
    addresses = page.locator("ul.search li > a").evaluate_all("(all) => all.map((a) => a.href)")
    return [address.rpartition("/")[2].replace(".html", "") for address in addresses]


def address(case: str) -> str:
    """Return page and anchor of a case as the page has them, by what Sphinx makes of the title."""
    page, _, anchor = case.partition("#")
    return f"{page}#{make_id(search.titles(ROOT, page)[anchor])}"


def test_a_symptom_finds_its_case_first(visit) -> None:
    page, missed = visit((BOOK / "search.html").as_uri()), {}
    for query, case in SEARCHES["first"].items():
        page.goto(f"{(BOOK / 'search.html').as_uri()}?q={quote(query)}")
        if (first := found(page)[:1]) != [address(case)]:
            missed[query] = first
    assert missed == {}


def test_each_of_the_thirty_questions_finds_its_case_in_any_order_of_its_words(visit) -> None:
    page = visit((BOOK / "search.html").as_uri())
    first = "(query) => BOOK.find(query).map((own) => `${own.page.slice(9)}#${own.id}`)[0]"
    for number, question, *_, case in rows("thirty"):
        words = search.spoken(question).split()
        for query in (" ".join(words), " ".join(sorted(words)), " ".join(reversed(words))):
            expected = address(search.place(search.links(case)[0]))
            assert page.evaluate(first, query) == expected, (number, query)


def test_what_is_no_symptom_finds_pages_first(visit) -> None:
    page = visit((BOOK / "search.html").as_uri())
    for query in SEARCHES["none"]["queries"]:
        assert page.evaluate("(query) => BOOK.find(query)", query) == [], query


@pytest.mark.parametrize("query", list(SEARCHES["first"])[:3])
def test_the_search_field_leads_to_the_case(query: str, visit, served: str, complaints) -> None:
    case = address(SEARCHES["first"][query])
    for base in (served, BOOK.as_uri()):
        page = visit(f"{base}/chapters/05-first-experiments.html")
        page.keyboard.press("Control+k")
        page.keyboard.type(query)
        first = "(end) => document.querySelector('ul.search li > a')?.href.endsWith(end)"
        page.wait_for_function(first, arg=case.replace("#", ".html#"))  # what stands there changes
        page.keyboard.press("Enter")
        page.wait_for_url("**/search.html?q=*")
        assert found(page)[0] == case
        where = page.locator("ul.search li .where").first.inner_text()
        assert re.fullmatch(r"Part IV · In practice · chapter 14 of \d+", where)
        page.locator("ul.search li a").first.click()
        page.locator(f"#{case.partition('#')[2]} > :is(h2, h3)").wait_for()
    left = "failed: http"  # quotes that were on their way when the page was left
    assert [said for said in complaints if not said.startswith(left)] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_new_in_results(width: int, theme: str, visit, served: str) -> None:
    page = visit(f"{served}/search.html?q=nan+running_var", width=width, theme=theme)
    found(page)
    page.locator("ul.search .context .highlighted").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    violations = Axe().run(page).response["violations"]
    assert {v["id"]: v["nodes"][0]["html"] for v in violations if v["id"] not in KNOWN} == {}
    page.goto(f"{served}/chapters/14-clinic.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("nan running_var")
    found(page)
    violations = Axe().run(page, "#pst-search-dialog").response["violations"]
    assert {v["id"]: v["nodes"][0]["html"] for v in violations if v["id"] not in KNOWN} == {}


@cache
def html(page: str) -> BeautifulSoup:
    return BeautifulSoup((BOOK / f"{page}.html").read_text(encoding="utf-8"), "html.parser")


@pytest.mark.parametrize("term", terms(ROOT), ids=lambda term: term.name)
def test_a_term_and_its_place_link_to_each_other(term: Term) -> None:
    entry = html(PAGE).find("dt", id=term.id)
    places = [a["href"] for a in entry.find_next_sibling("dd").find_all("a")]
    [link] = html(term.page).select(f'a[href$="glossary.html#{term.id}"]:has(> strong)')
    assert link.get_text().lower() == term.bold and term.chinese in link["title"]
    sections = {f"../{term.page}.html#{part['id']}" for part in link.find_parents("section")}
    assert sections & set(places)


def test_a_solution_opens_by_keyboard(visit) -> None:
    page = visit((BOOK / "chapters" / "02-the-mathematics.html").as_uri())
    solution = page.locator("div.solution.dropdown").first
    content = solution.locator("section").first
    assert not content.is_visible()
    button = solution.locator("button.toggle-button")
    button.focus()
    page.keyboard.press("Enter")
    assert content.is_visible()


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_is_comfortable_to_read(name: str, browser) -> None:
    """Its length, its share of code, its first picture, its lines and the type in its figures."""
    found = measure(browser, (BOOK / name).as_uri())
    assert found.misses(Path(name).name) == []


def test_folded_code_opens_by_keyboard_and_claims_can_be_read(visit) -> None:
    page = visit((BOOK / "chapters" / "01-why-normalize.html").as_uri())
    for kind in ("imports", "settings", "code", "check"):
        fold = page.locator(f"details.fold.{kind}").first
        code = fold.locator("pre").first
        assert not code.is_visible()
        fold.locator("summary").focus()
        page.keyboard.press("Enter")
        assert code.is_visible()
        page.keyboard.press("Space")
        assert not code.is_visible()
    said = page.locator("details.check > summary").first.inner_text()
    assert said.startswith("Checked: Raw flats need more than 10,000 steps")


def test_of_folded_code_claims_are_printed_alone(visit) -> None:
    page = visit((BOOK / "chapters" / "01-why-normalize.html").as_uri())
    page.emulate_media(media="print")
    assert not page.locator("details.imports > summary").first.is_visible()
    assert page.locator("details.check > summary").first.is_visible()
    page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    assert page.locator("details.imports pre").first.is_visible()


def test_the_header_says_where_one_is_and_how_much_is_left(visit) -> None:
    page = visit((BOOK / "chapters" / "01-why-normalize.html").as_uri())
    line = page.locator(".reading")
    start = int(re.fullmatch(r"(\d+) minutes left", line.inner_text())[1])
    assert start == int(page.locator(".where").get_attribute("data-minutes"))
    page.evaluate("document.querySelector('#twenty-scales').scrollIntoView()")
    page.wait_for_function("document.querySelector('.reading').textContent.startsWith('Section 5')")
    later = int(re.fullmatch(r"Section 5 of 9(\d+) minutes left", line.text_content())[1])
    assert 0 < later < start
    here = page.locator("#pst-page-toc-nav a.active").last
    page.wait_for_function("document.querySelector('#pst-page-toc-nav a.active')")
    assert here.inner_text() == "Twenty scales"
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    page.wait_for_function("document.querySelector('.reading').innerText == 'Section 9 of 9'")
    glossary = visit((BOOK / "appendix" / "glossary.html").as_uri())
    assert glossary.locator(".reading").count() == 0


def test_headings_are_graded(visit) -> None:
    page = visit((BOOK / "chapters" / "01-why-normalize.html").as_uri())
    size = "(e) => parseFloat(getComputedStyle(e).fontSize)"
    sizes = [
        page.locator(f"article {name}").first.evaluate(size)
        for name in ("h1", "h2", "h3", "section > p")
    ]
    assert all(a > 1.2 * b for a, b in pairwise(sizes))


@pytest.mark.parametrize("name", CHAPTERS)
def test_on_a_phone_wide_outputs_scroll_and_say_so(name: str, visit) -> None:
    page = visit((BOOK / name).as_uri(), width=390)
    typeset(page)
    silent = page.evaluate(
        """() => [...document.querySelectorAll(
          "article :is(.highlight pre, .pst-scrollable-table-container, .output.text_html)")]
        .filter((e) => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1)
        .filter((e) => !/auto|scroll/.test(getComputedStyle(e).overflowX)
                       || !/gradient/.test(getComputedStyle(e).backgroundImage))
        .map((e) => e.outerHTML.slice(0, 200))"""
    )
    assert silent == []


def test_the_playground_in_its_page_answers_to_keyboard_and_mouse(visit) -> None:
    page = visit((BOOK / "chapters" / "02-the-mathematics.html").as_uri())
    figure = page.locator(".normlab-bn").first
    slider = figure.locator("input[name=mean]")
    before = figure.inner_text()
    slider.focus()
    page.keyboard.press("ArrowRight")
    by_keyboard = figure.inner_text()
    slider.click(position={"x": 5, "y": 5})
    assert len({before, by_keyboard, figure.inner_text()}) == 3


def test_the_axes_figure_in_its_page_answers_to_keyboard_and_mouse(visit) -> None:
    page = visit((BOOK / "chapters" / "10-normalization-family.html").as_uri())
    figure = page.locator(".normlab-axes").first
    before = figure.inner_text()
    figure.locator("input[type=radio]").first.focus()
    page.keyboard.press("ArrowRight")
    by_keyboard = figure.inner_text()
    figure.locator("input[type=radio]").nth(3).click()
    assert len({before, by_keyboard, figure.inner_text()}) == 3


def test_the_cheat_sheet_prints_on_one_page(visit) -> None:
    page = visit((BOOK / "appendix" / "cheat-sheet.html").as_uri())
    typeset(page)
    printed = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1


@pytest.mark.parametrize("width", [1280, 390])
def test_the_title_of_the_book_fits_its_line(visit, width: int) -> None:
    page = visit((BOOK / "index.html").as_uri(), width=width)
    lines = page.locator("article h1").evaluate(
        "(e) => { const r = document.createRange(); r.selectNode(e.firstChild);"
        " return r.getClientRects().length; }"
    )
    assert lines == 1


def test_the_home_page_counts_the_claims_and_asks_the_questions_of_the_chapters(visit) -> None:
    text = visit((BOOK / "index.html").as_uri()).locator("article").inner_text()
    text = text.replace("\u2019", "'")
    met = [(run, held) for run, held in record() if run]
    assert f"{sum(run == held for run, held in met)} of {len(met)} held every time" in text
    for chapter in chapters(read_contents(ROOT)):
        assert text.count(chapter.question.replace("`", "")) == 1

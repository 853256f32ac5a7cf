"""The PDF of the built book: see `make test-browser`."""

import pytest
from pypdf import PdfReader

from tests.book.test_pages import BOOK
from tests.browser import needs_browser
from tools import ROOT, pdf
from tools.contents import Entry, read_contents

pytestmark = [pytest.mark.browser, needs_browser, pytest.mark.xdist_group("pdf")]  # one PDF


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> PdfReader:
    path = tmp_path_factory.mktemp("pdf") / "book.pdf"
    pdf.main(str(BOOK), str(path))
    return PdfReader(path)


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    return read_contents(ROOT)


def starts(reader: PdfReader) -> dict[str, int]:
    """Return the index of the first sheet of each page of the book, as the outline says."""
    groups = [item for item in reader.outline if isinstance(item, list)]
    return {page.title: reader.get_destination_page_number(page) for g in groups for page in g}


def test_the_outline_names_every_page_of_the_book_in_order(reader, entries):
    parts = [item.title for item in reader.outline if not isinstance(item, list)]
    assert parts == list(dict.fromkeys(entry.part for entry in entries))
    assert list(starts(reader)) == [entry.plain_title for entry in entries]
    assert sorted(starts(reader).values()) == list(starts(reader).values())


def test_the_list_of_contents_tells_where_each_page_begins(reader):
    [listing] = [p.extract_text() for p in reader.pages if p.extract_text().startswith("Contents")]
    for title, start in starts(reader).items():
        assert f"\n{title} {start + 1}\n" in listing


def test_every_sheet_ends_with_its_number(reader):
    ends = [int(sheet.extract_text().split()[-1]) for sheet in reader.pages]
    assert ends == list(range(1, len(reader.pages) + 1)) and len(ends) > 100


def test_links_lead_into_the_pdf_or_to_the_web(reader):
    links = [link.get_object() for sheet in reader.pages for link in sheet.get("/Annots", [])]
    addresses = [str(link["/A"]["/URI"]) for link in links if "/URI" in link.get("/A", {})]
    assert [a for a in addresses if not a.startswith(("http://", "https://"))] == []
    assert sum("/Dest" in link for link in links) > 100


def test_the_answers_of_the_quiz_are_open(reader):
    assert "tempts because" in reader.pages[starts(reader)["Quiz"]].extract_text()

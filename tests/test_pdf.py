"""The PDF of the built book: see `make test-browser`."""

from pathlib import Path

import pytest
from pypdf import PdfReader

import pdf
from browser import needs_browser
from contents import read_contents
from rules import ROOT
from test_pages import BOOK

pytestmark = [pytest.mark.browser, needs_browser]


def test_the_pdf_holds_every_page_and_its_links_stay_inside(tmp_path: Path) -> None:
    pdf.main(str(BOOK), str(tmp_path / "book.pdf"))
    reader = PdfReader(tmp_path / "book.pdf")
    links = [link.get_object() for page in reader.pages for link in page.get("/Annots", [])]
    addresses = [str(link["/A"]["/URI"]) for link in links if "/URI" in link.get("/A", {})]
    assert [a for a in addresses if not a.startswith(("http://", "https://"))] == []
    parts = [item for item in reader.outline if not isinstance(item, list)]
    chapters = [item.title for group in reader.outline if isinstance(group, list) for item in group]
    entries = read_contents(ROOT)
    assert [part.title for part in parts] == list(dict.fromkeys(entry.part for entry in entries))
    assert chapters == [entry.title.replace("`", "") for entry in entries]
    items = {
        item.title: item for group in reader.outline if isinstance(group, list) for item in group
    }
    quiz = reader.get_destination_page_number(items["Quiz"])
    assert "tempts because" in reader.pages[quiz + 1].extract_text()  # the answers are open
    starts = [reader.get_destination_page_number(part) for part in parts]
    assert starts == sorted(starts) and len(reader.pages) > 100

"""Make one PDF of the built book: Chromium prints each page, pypdf joins them.

python -m tools.pdf _build/html _build/batch-normalization-inside-out.pdf

A page of contents follows the home page, and every page gets its number. Links between pages become
links inside the PDF, and the table of contents becomes its outline.
"""

import sys
from html import escape
from io import BytesIO
from itertools import accumulate, groupby
from pathlib import Path
from urllib.parse import unquote, urlsplit

from playwright.sync_api import Page, sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import (
    ArrayObject,
    DictionaryObject,
    FloatObject,
    IndirectObject,
    NameObject,
    NullObject,
)
from tqdm import tqdm

from tools import ROOT
from tools.chromium import CHROMIUM
from tools.contents import Entry, read_contents, settings

SCALE = 0.8  # lets 80 columns of code fit on A4
FULL_SIZE = {"appendix/cheat-sheet"}  # is made for one sheet of A4 as it stands
HOME, CONTENTS = "index", "contents"
BOOK_TITLE = settings(ROOT)["title"]
STYLE = """<style>
@page { size: A4; margin: 0 }
body { margin: 0; font-family: sans-serif; color: #333 }
.sheet { position: relative; height: 296mm; break-after: page }
.foot { position: absolute; inset: auto 14mm 6mm; font-size: 8pt; color: #777 }
main { padding: 15mm 20mm }
p { font-size: 11pt; margin: 1.2mm 0 }
h2 { font-size: 12pt; margin: 4.5mm 0 1.5mm }
.foot, p { display: flex; justify-content: space-between }
a { color: #0b57c2; text-decoration: none }
</style>"""


def typeset(page: Page) -> None:
    """Wait until the formulas of the page stand, those out of sight too."""
    page.wait_for_function("!window.MathJax || !!MathJax.startup?.promise")
    page.evaluate("window.MathJax && MathJax.startup.promise")
    page.evaluate("window.MathJax && MathJax.startup.document.lazyTypesetAll()")


def print_pages(book: Path, entries: list[Entry]) -> tuple[dict[str, PdfReader], PdfReader]:
    """Return the pages of the book and its contents, by their names without an ending.

    With them come sheets that are empty but for the feet, to lay over all of these in their order.
    """
    titles = {HOME: BOOK_TITLE, CONTENTS: "Contents"}
    titles |= {page_name(entry.path): entry.plain_title for entry in entries}
    printed = dict.fromkeys(titles)  # the order of the PDF
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(color_scheme="light")
        for name in tqdm([name for name in titles if name != CONTENTS], unit="page"):
            page.goto((book / f"{name}.html").resolve().as_uri())
            typeset(page)
            page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
            printed[name] = print_page(page, 1 if name in FULL_SIZE else SCALE)
        sizes = {name: len(pdf.pages) if pdf else 1 for name, pdf in printed.items()}
        page.set_content(list_of_contents(book, entries, starts_of(sizes)))
        printed[CONTENTS] = print_page(page)
        page.set_content(feet(titles, sizes))
        printed_feet = print_page(page)
        browser.close()
    return printed, printed_feet


def print_page(page: Page, scale: float = 1) -> PdfReader:
    data = page.pdf(prefer_css_page_size=True, scale=scale, print_background=True)
    return PdfReader(BytesIO(data))


def starts_of(sizes: dict[str, int]) -> dict[str, int]:
    """Return the index of the first sheet of each page."""
    return dict(zip(sizes, accumulate(sizes.values(), initial=0), strict=False))


def list_of_contents(book: Path, entries: list[Entry], starts: dict[str, int]) -> str:
    """Return one sheet of HTML that lists the pages of the book, with their numbers."""
    lines = ["<main><h1>Contents</h1>"]
    for part, pages in groupby(entries, key=lambda entry: entry.part):
        lines.append(f"<h2>{escape(part)}</h2>")
        for entry in pages:
            name = page_name(entry.path)
            link = (book / f"{name}.html").resolve().as_uri()
            title = f'<a href="{link}">{escape(entry.plain_title)}</a>'
            lines.append(f"<p>{title}<span>{starts[name] + 1}</span></p>")
    return "\n".join([STYLE, *lines, "</main>"])


def feet(titles: dict[str, str], sizes: dict[str, int]) -> str:
    """Return a sheet of HTML for each of the PDF, with title and number at its foot."""
    names = [name for name, size in sizes.items() for _ in range(size)]
    lines = [
        f'<div class="foot">{escape(titles[name])}<span>{number}</span></div>'
        for number, name in enumerate(names, start=1)
    ]
    return "\n".join([STYLE, *(f'<div class="sheet">{line}</div>' for line in lines)])


def join(book: Path, printed: dict[str, PdfReader], entries: list[Entry]) -> PdfWriter:
    """Join the pages, with an outline of the parts and with links that stay inside the PDF."""
    writer = PdfWriter()
    starts = starts_of({name: len(reader.pages) for name, reader in printed.items()})
    for reader in printed.values():
        writer.append(reader, import_outline=False)
    parts: dict[str, IndirectObject] = {}
    for entry in entries:
        start = starts[page_name(entry.path)]
        if entry.part not in parts:
            parts[entry.part] = writer.add_outline_item(title=entry.part, page_number=start)
        parent = parts[entry.part]
        writer.add_outline_item(title=entry.plain_title, page_number=start, parent=parent)

    def place(name: str, anchor: str) -> ArrayObject:
        """Return where an anchor of a page of the book is; Chromium keeps those it links to."""
        number, top = starts[name], None
        if found := printed[name].named_destinations.get(anchor):
            number += printed[name].get_destination_page_number(found)
            top = found.top
        height = NullObject() if top is None else FloatObject(top)
        page = writer.pages[number].indirect_reference
        return ArrayObject([page, NameObject("/XYZ"), NullObject(), height, NullObject()])

    for name, reader in printed.items():
        for page in writer.pages[starts[name] : starts[name] + len(reader.pages)]:
            links = ArrayObject()
            for reference in page.get("/Annots", []):
                link = reference.get_object()
                target = goal(link, book.resolve(), name)
                if target and target[0] in starts:
                    link.pop("/A", None)
                    link[NameObject("/Dest")] = place(*target)
                if not target or target[0] in starts:  # other files of the book have no place
                    links.append(reference)
            page[NameObject("/Annots")] = links
    writer.add_metadata({"/Title": BOOK_TITLE})
    return writer


def goal(link: DictionaryObject, book: Path, name: str) -> tuple[str, str] | None:
    """Return the page of the book and the anchor that a link leads to, or None if outside."""
    if "/Dest" in link:  # on the same page
        return name, str(link["/Dest"])
    address = urlsplit(str(link.get("/A", {}).get("/URI", "")))
    path = Path(unquote(address.path))
    if address.scheme != "file" or not path.is_relative_to(book):
        return None
    return path.relative_to(book).with_suffix("").as_posix(), f"/{address.fragment}"


def page_name(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").as_posix()


def main(book: str, output: str) -> None:
    entries = read_contents(ROOT)
    printed, printed_feet = print_pages(Path(book), entries)
    writer = join(Path(book), printed, entries)
    for sheet, foot in zip(writer.pages, printed_feet.pages, strict=True):
        sheet.merge_page(foot)
        sheet.compress_content_streams()
    writer.compress_identical_objects()
    part = Path(output).with_suffix(".part")
    writer.write(part)
    part.replace(output)
    print(f"wrote {output}: {len(writer.pages)} pages")


if __name__ == "__main__":
    main(*sys.argv[1:])

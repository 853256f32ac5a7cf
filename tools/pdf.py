"""Make one PDF of the built book: Chromium prints each page, pypdf joins them.

python tools/pdf.py _build/html _build/batch-normalization-inside-out.pdf

Links between pages become links inside the PDF, and the table of contents becomes its outline.
"""

import shutil
import sys
from io import BytesIO
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

from contents import Entry, read_contents
from icons import TITLE
from run import ROOT

SCALE = 0.8  # lets 80 columns of code fit on A4
FOOTER = (
    '<div style="width: 100%; font: 8px sans-serif; color: #777; text-align: center">'
    '<span class="title"></span></div>'
)


def typeset(page: Page) -> None:
    """Wait until the formulas of the page stand, those out of sight too."""
    page.wait_for_function("!window.MathJax || !!MathJax.startup?.promise")
    page.evaluate("window.MathJax && MathJax.startup.promise")
    page.evaluate("window.MathJax && MathJax.startup.document.lazyTypesetAll()")


def print_pages(book: Path, names: list[str]) -> dict[str, PdfReader]:
    """Return each page of the book as a PDF, by its name without an ending."""
    printed = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(color_scheme="light")
        for name in tqdm(names, unit="page"):
            page.goto((book / f"{name}.html").resolve().as_uri())
            typeset(page)
            page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
            data = page.pdf(
                prefer_css_page_size=True,
                scale=SCALE,
                print_background=True,
                display_header_footer=True,
                header_template="<span></span>",
                footer_template=FOOTER,
            )
            printed[name] = PdfReader(BytesIO(data))
        browser.close()
    return printed


def join(book: Path, printed: dict[str, PdfReader], entries: list[Entry]) -> PdfWriter:
    """Join the pages, with an outline of the parts and with links that stay inside the PDF."""
    writer = PdfWriter()
    starts: dict[str, int] = {}
    for name, reader in printed.items():
        starts[name] = len(writer.pages)
        writer.append(reader, import_outline=False)
    parts: dict[str, IndirectObject] = {}
    for entry in entries:
        start = starts[page_name(entry.path)]
        if entry.part not in parts:
            parts[entry.part] = writer.add_outline_item(title=entry.part, page_number=start)
        title = entry.title.replace("`", "")
        writer.add_outline_item(title=title, page_number=start, parent=parts[entry.part])

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
    writer.add_metadata({"/Title": TITLE.replace("\n", " ")})
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
    names = ["index", *(page_name(entry.path) for entry in entries)]
    writer = join(Path(book), print_pages(Path(book), names), entries)
    part = Path(output).with_suffix(".part")
    writer.write(part)
    part.replace(output)
    print(f"wrote {output}: {len(writer.pages)} pages")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Check the built book: every link inside it leads somewhere, and no page needs the network.

python -m tools.check_html _build/html
"""

import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup


def broken(root: Path) -> list[str]:
    """Return what is wrong with the pages below `root`, one line each."""
    pages = {
        path.resolve(): BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for path in sorted(root.rglob("*.html"))
        if "_static" not in path.parts
    }
    anchors = {path: {tag["id"] for tag in page.find_all(id=True)} for path, page in pages.items()}
    found = []
    for path, page in pages.items():
        name = path.relative_to(root.resolve())
        # What a page loads by itself. Links that a reader follows may lead outside.
        for tag in page.select("script[src], img[src], iframe[src], link[href]"):
            address = tag.get("src") or tag["href"]
            if urlsplit(address).netloc and tag.get("rel") != ["canonical"]:
                found.append(f"{name} loads {address} from the network")
        links = page.select("a[href], img[src], script[src], link[href]")
        addresses = [tag.get("href") or tag["src"] for tag in links]
        for tag in page.select("meta[http-equiv=refresh]"):  # a page that moved
            addresses.append(tag["content"].partition("url=")[2])
        for link in map(urlsplit, addresses):
            if link.scheme or link.netloc:
                continue
            target = (path.parent / unquote(link.path)).resolve() if link.path else path
            if not target.exists():
                found.append(f"{name} links to {link.geturl()}, which does not exist")
            elif link.fragment and link.fragment not in anchors.get(target, {link.fragment}):
                found.append(f"{name} links to {link.geturl()}, which has no such anchor")
    return found


def main() -> None:
    root = Path(sys.argv[1])
    if found := broken(root):
        sys.exit("\n".join(found))
    print(f"every link inside {root} leads somewhere, and no page needs the network")


if __name__ == "__main__":
    main()

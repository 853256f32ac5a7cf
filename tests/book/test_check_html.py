"""The check of the built pages finds what it is there to find."""

from pathlib import Path

import pytest

from tools.check_html import broken

GOOD = (
    '<h1 id="top">A</h1><a href="b.html#b">b</a><a href="#top">up</a><a href="https://x.org">x</a>'
)


@pytest.mark.parametrize(
    ("html", "complaint"),
    [
        ("", None),
        ('<a href="c.html">', "a.html links to c.html, which does not exist"),
        ('<a href="b.html#c">', "a.html links to b.html#c, which has no such anchor"),
        ('<meta http-equiv="refresh" content="0; url=b.html">', None),
        (
            '<meta http-equiv="refresh" content="0; url=c.html">',
            "a.html links to c.html, which does not exist",
        ),
        ('<img src="c.png">', "a.html links to c.png, which does not exist"),
        ('<script src="https://x.org/x.js">', "a.html loads https://x.org/x.js from the network"),
        ('<link href="//x.org/x.css">', "a.html loads //x.org/x.css from the network"),
    ],
)
def test_links_and_network_access_of_pages(
    tmp_path: Path, html: str, complaint: str | None
) -> None:
    (tmp_path / "a.html").write_text(GOOD + html, encoding="utf-8")
    (tmp_path / "b.html").write_text('<p id="b">', encoding="utf-8")
    assert broken(tmp_path) == ([complaint] if complaint else [])

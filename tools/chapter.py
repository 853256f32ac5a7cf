"""Begin a chapter: copy the template with its figures and exercises, and list it in _toc.yml.

python -m tools.chapter 18 colab
"""

import re
import sys
from pathlib import Path

import nbformat

from tools import ROOT
from tools.notebooks import code_cells

TEMPLATE = Path("chapters", "_template")


def begin(root: Path, number: str, slug: str) -> list[Path]:
    """Write the files of a new chapter below `root` and return their paths.

    Raises:
        ValueError: number or slug do not fit into a file name, or the number is taken.
    """
    if not re.fullmatch(r"\d\d", number):
        raise ValueError(f"N={number!r} is no number of two digits, such as 08")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", slug):
        raise ValueError(f"SLUG={slug!r} is not made of small letters and hyphens: why-it-works")
    if taken := sorted((root / "chapters").glob(f"{number}-*")):
        raise ValueError(f"N={number} is taken by {taken[0].name}: choose another number")
    module = slug.replace("-", "_")
    texts = {
        root / "chapters" / folder / f"{module}.py": root / TEMPLATE / folder / "template.py"
        for folder in ("figures", "exercises")
    }
    if existing := [path for path in texts if path.exists()]:
        raise ValueError(f"SLUG={slug} is taken by {existing[0]}: choose another")

    path = root / "chapters" / f"{number}-{slug}.ipynb"
    source = (root / TEMPLATE / "00-template.ipynb").read_text(encoding="utf-8")
    source = source.replace("import template as", f"import {module} as")
    notebook = nbformat.reads(source.replace("template-", f"{slug}-"), as_version=4)
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, path)
    for copy, original in texts.items():
        copy.write_text(original.read_text(encoding="utf-8"), encoding="utf-8")
    toc = root / "_toc.yml"
    toc.write_text(listed(toc.read_text(encoding="utf-8"), path.stem), encoding="utf-8")
    return [path, *texts, toc]


def listed(toc: str, name: str) -> str:
    """Return the table of contents with a chapter behind the last one of a smaller number."""
    lines = toc.splitlines()
    found = {
        i: m[1] for i, line in enumerate(lines) if (m := re.search(r": chapters/(\d\d-)", line))
    }
    smaller = [i for i, number in found.items() if number < name]
    lines.insert(smaller[-1] + 1 if smaller else min(found), f"      - file: chapters/{name}")
    return "\n".join(lines) + "\n"


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("name the chapter: make chapter N=18 SLUG=colab")
    try:
        paths = begin(ROOT, *sys.argv[1:])
    except ValueError as error:
        sys.exit(str(error))
    print("wrote", *(path.relative_to(ROOT) for path in paths))
    print("In _toc.yml it follows the chapter before it: move the line if it begins another part.")
    print(
        f"Run it: make run CH={sys.argv[1]}. What the other pages lack: tests/book/test_chapters.py"
    )


if __name__ == "__main__":
    main()

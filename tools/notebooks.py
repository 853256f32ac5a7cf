"""The notebooks of the book: which there are and what they hold."""

import ast
import base64
import os
import re
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

from tools import ROOT

BANNER = re.compile(r"^(CIFAR-10|Shapes-10): ", re.MULTILINE)  # printed by normlab.data
NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}
# The picture of the home page and the README is a stored figure of this chapter.
COVER_CHAPTER, COVER_FIGURE = "06-lenet-cifar10", "fig-curves"
COVER = ROOT / "_static" / "with-and-without-bn.png"


def title(notebook: NotebookNode) -> str:
    """Return the heading of level 1, which stands in the first cell."""
    return re.match(r"# (.+)", notebook.cells[0].source)[1]


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tree(code: str) -> ast.Module:
    """Return the syntax tree of code in which IPython's magics are allowed."""
    return ast.parse(TransformerManager().transform_cell(code))


def parse(cell: NotebookNode) -> ast.Module:
    return tree(cell.source)


def data_used(notebook: NotebookNode) -> str:
    """Return the image data that the stored outputs name: CIFAR-10, Shapes-10, both or none."""
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    printed = "\n".join(output.text for output in outputs if output.output_type == "stream")
    return " and ".join(sorted(set(BANNER.findall(printed)))) or "none"


def figure(notebook: NotebookNode, name: str) -> bytes:
    """Return the stored PNG of the cell whose figure has this name."""
    for cell in code_cells(notebook):
        if cell.metadata.get("mystnb", {}).get("figure", {}).get("name") == name:
            for output in cell.outputs:
                if picture := output.get("data", {}).get("image/png"):
                    return base64.b64decode(picture)
    raise ValueError(f"no stored figure is named {name}")


def write_notebook(notebook: NotebookNode, path: Path) -> None:
    """Replace the file in one step: it is the old notebook or the new one, never a part."""
    nbformat.validate(notebook)
    part = path.with_suffix(".part")
    nbformat.write(notebook, part)
    os.replace(part, path)


def notebooks(root: Path | None = None) -> list[Path]:
    """Return the notebooks of the book: the chapters, then those of the appendix."""
    folders = [(root or ROOT) / part for part in ("chapters", "appendix")]
    return [path for folder in folders for path in sorted(folder.glob("*.ipynb"))]


def find(names: list[str]) -> list[Path]:
    """Return the notebooks that begin with these numbers or names, all of them if there is none."""
    chosen = [p for p in notebooks() if not names or p.stem.split("-")[0] in names]
    if len(chosen) < len(names) or not chosen:
        existing = ", ".join(p.stem for p in notebooks())
        raise SystemExit(f"no such notebook: {' '.join(names)}. There are: {existing}")
    return chosen

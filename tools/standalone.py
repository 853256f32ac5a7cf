"""Turn notebooks of the book into notebooks that stand alone.

    python -m tools.standalone _build/standalone          every notebook
    python -m tools.standalone _build/standalone 03 06    some of them

A standalone notebook runs in an empty folder with what Colab offers. The modules of normlab that it
needs come along as cells that write them to disk, and so do the figures and exercises of its
chapter. The directives and roles of the book become plain Markdown, so that JupyterLab and Colab
show them as the book does.
"""

import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from pybtex.database import parse_file

from tools import ROOT
from tools.imports import files, imported
from tools.notebooks import NOTEBOOK_METADATA, code_cells, find
from tools.plain import labels, plain

# What a notebook may use, and Colab or the folder may lack.
EXTRA = (
    *("tqdm", "requests", "torchvision", "torchinfo", "safetensors", "tensorboard"),
    *("onnx", "onnxscript", "onnxruntime"),
)
PREAMBLE = """**This notebook stands alone.** It runs on Colab, or in an empty folder with PyTorch,
scikit-learn and Matplotlib. The next cells write what it needs of the course into this folder, such
as modules of the package `normlab`. Run them once; they are there to be read."""
SOLUTION = "# @title Solution\n"  # Colab folds the cell under this title


def standalone(notebook: NotebookNode) -> NotebookNode:
    """Return a copy of an executed notebook of the book that needs nothing beside it."""
    notebook = nbformat.from_dict(notebook)
    carried = package_cells(notebook)
    numbers, sources = labels(notebook), parse_file(ROOT / "references.bib")
    cells, in_solution = [], False
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            in_solution = "{solution-start}" in cell.source or (
                in_solution and "{solution-end}" not in cell.source
            )
            cell.source = plain(cell.source, numbers, sources)
            cells += [cell] if cell.source.strip() else []
            continue
        figure = cell.metadata.get("mystnb", {}).get("figure")
        kept = [tag for tag in cell.metadata.get("tags", []) if tag == "raises-exception"]
        cell.metadata = NotebookNode(tags=kept) if kept else NotebookNode()
        if in_solution:
            cell.source = SOLUTION + cell.source
            cell.metadata.update(cellView="form", jupyter={"source_hidden": True})
        cells.append(cell)
        if figure:
            number = numbers.get(figure.get("name"), "")
            cells.append(
                new_markdown_cell(f"*{number}: {plain(figure.caption, numbers, sources)}*")
            )
    notebook.cells = [cells[0], *carried, *cells[1:]]
    notebook.metadata = NotebookNode(NOTEBOOK_METADATA)
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell-{i}"
    return notebook


def package_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the cells that install what a notebook may be lacking, and write what it imports."""
    code = [cell.source for cell in code_cells(notebook)]
    carried = files(*code)
    python = [text for path, text in carried.items() if path.endswith(".py")]
    used = {part for name in imported(*code, *python) for part in name.split(".")}
    folders = list(dict.fromkeys(str(Path(path).parent) for path in carried))
    setup = [f"from pathlib import Path\n\nfor folder in {folders}:"]
    setup.append("    Path(folder).mkdir(exist_ok=True)")
    for name in EXTRA:
        if name in used:
            setup.append(
                f"try:\n    import {name}\nexcept ImportError:\n    %pip install -q {name}"
            )
    cells = [new_markdown_cell(PREAMBLE.replace("\n", " ")), new_code_cell("\n".join(setup))]
    for path, text in carried.items():
        source = f"%%writefile {path}\n{text}"
        cells.append(new_code_cell(source, metadata={"jupyter": {"source_hidden": True}}))
    return cells if carried else []


def write_copies(paths: list[Path], folder: Path) -> None:
    """Write the standalone copies of some notebooks into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        notebook = standalone(nbformat.read(path, as_version=4))
        nbformat.validate(notebook)
        nbformat.write(notebook, folder / path.name)
    print(f"wrote {len(paths)} notebooks into {folder}")


def main(folder: str, *names: str) -> None:
    write_copies(find(list(names)), Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])

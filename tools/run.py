"""Execute notebooks in place: the one way in which the stored results of the book are made.

    python -m tools.run                                           every notebook
    python -m tools.run 06 errata                                 chapter 6 and the errata
    python -m tools.run --stale                                   those whose code has changed
    python -m tools.run 06 --set EPOCHS=1 --output _build/short   a short run of a copy

A chapter is written only when all its cells have run, and carries a stamp: hashes of its cells and
of the modules that they import, the images used, torch's version and the minutes taken. The tests
refuse a chapter whose stamp does not match its code, so that no stale figure survives.

A short run proves that the code works, not that its claims hold: they are made for the stored
settings. A failed `assert` is therefore reported and passed over; every other error counts.
"""

import argparse
import ast
import base64
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from PIL import Image

from tools import ROOT
from tools.notebooks import (
    COVER,
    COVER_CHAPTER,
    COVER_FIGURE,
    NOTEBOOK_METADATA,
    code_cells,
    data_used,
    figure,
    find,
    parse,
    write_notebook,
)
from tools.stamps import changes, stamp

CELL_METADATA = ("mystnb", "tags")  # what is kept; the rest belongs to editors
MAX_DIFFERENCE = 3.0  # of 255, root mean square over the pixels: charts have 1 to 2.6, photos 5


def substitute(notebook: NotebookNode, settings: dict[str, str]) -> None:
    """Replace the values of top-level assignments `NAME = ...` in the code cells."""
    found = set()
    for cell in code_cells(notebook):
        lines = cell.source.splitlines()
        for node in reversed(parse(cell).body):
            name = ast.unparse(node.targets[0]) if isinstance(node, ast.Assign) else None
            if name in settings:
                lines[node.lineno - 1 : node.end_lineno] = [f"{name} = {settings[name]}"]
                found.add(name)
        cell.source = "\n".join(lines)
    if missing := settings.keys() - found:
        raise SystemExit(f"no cell assigns {', '.join(sorted(missing))}")


def execute(notebook: NotebookNode, folder: Path, pass_over_claims: bool = False) -> float:
    """Execute the cells one by one in `folder`, print how it goes and return the minutes taken."""
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        timeout=None,
        record_timing=False,
        coalesce_streams=True,  # the pieces in which text arrives differ from run to run
        allow_errors=True,  # they are judged here
        extra_arguments=["--log-level=ERROR"],  # of the kernel itself
    )
    cells = [(i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    start = time.monotonic()
    with client.setup_kernel():
        for number, (index, cell) in enumerate(cells, 1):
            cell_start = time.monotonic()
            try:
                client.execute_cell(cell, index)
            except DeadKernelError:
                raise SystemExit(f"the kernel died in cell {number}, nothing was written") from None
            line = cell.source.partition("\n")[0]
            seconds = time.monotonic() - cell_start
            print(f"[{number}/{len(cells)}] {seconds:6.1f} s  {line[:80]}", flush=True)
            error = unexpected_error(cell)
            if error and pass_over_claims and error.ename == "AssertionError":
                print(f"    passed over in a short run: {error.ename} {error.evalue}")
            elif error:
                report = "\n".join([cell.source, "", *error.traceback])
                raise SystemExit(f"cell {number} failed, nothing was written:\n\n{report}")
    return (time.monotonic() - start) / 60


def unexpected_error(cell: NotebookNode) -> NotebookNode | None:
    if "raises-exception" in cell.metadata.get("tags", []):
        return None
    return next((output for output in cell.outputs if output.output_type == "error"), None)


def clean(notebook: NotebookNode) -> None:
    """Remove what depends on the editor or the machine; give a cell without an id a stable one."""
    for key in [k for k in notebook.metadata if k not in ("mystnb", "normlab")]:
        del notebook.metadata[key]
    notebook.metadata.update(NOTEBOOK_METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for i, cell in enumerate(notebook.cells):
        cell.setdefault("id", f"cell-{i}")
        cell.metadata = NotebookNode(
            {k: v for k, v in cell.metadata.items() if k in CELL_METADATA and v}
        )
    for output in (output for cell in code_cells(notebook) for output in cell.outputs):
        if output.output_type == "error":  # the rest of a traceback names paths of the machine
            output.traceback = [f"{output.ename}: {output.evalue}"]
        if picture := output.get("data", {}).get("image/png"):
            small = shrink(base64.b64decode(picture))
            output.data["image/png"] = base64.b64encode(small).decode() + "\n"


def shrink(png: bytes) -> bytes:
    """Give a chart a palette of 256 colours, which makes it four times smaller.

    A picture with more colours than that, such as a photograph, stays as it is.
    """
    image = Image.open(io.BytesIO(png))
    if image.mode == "P":
        return png
    full = image.convert("RGBA")
    reduced = full.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    # "RGBa" is colour times opacity: what shows through does not count.
    shown = (image.convert("RGBA").convert("RGBa") for image in (full, reduced))
    before, after = (np.asarray(image, dtype=float) for image in shown)
    if np.sqrt(((before - after) ** 2).mean()) > MAX_DIFFERENCE:
        return png
    small = io.BytesIO()
    reduced.save(small, "PNG", optimize=True)
    return small.getvalue()


def stale(paths: list[Path]) -> list[Path]:
    """Return the notebooks whose results are older than their code, and print what has changed."""
    found = []
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        if "normlab" not in notebook.metadata:
            reason = "it has no stamp"
        elif names := changes(notebook):
            reason = f"changed: {', '.join(names)}"
        else:
            continue
        print(f"{path.stem} is stale: {reason}")
        found.append(path)
    return found


def run(path: Path, settings: dict[str, str], output: Path | None = None) -> None:
    """Execute the notebook at `path` and write it there, or a copy into the folder `output`."""
    # Formatting a chapter after the run would make its results stale.
    style = [sys.executable, "-m", "ruff", "format", "--check", "--quiet", path]
    if subprocess.run(style, cwd=ROOT).returncode:
        raise SystemExit(f"{path.name} is not in style: make format, then run it")
    notebook = nbformat.read(path, as_version=4)
    substitute(notebook, settings)
    print(path.stem, *(f"{name}={value}" for name, value in settings.items()))
    stored = notebook.metadata.get("normlab", {}).get("data")
    minutes = execute(notebook, path.parent, pass_over_claims=bool(settings))
    clean(notebook)
    if output is None and (stored, data_used(notebook)) == ("CIFAR-10", "Shapes-10"):
        raise SystemExit(
            f"{path.name} stores results on CIFAR-10, and this run found Shapes-10 only: nothing "
            "was written. Name the images in NORMLAB_CIFAR10, or a folder for a copy: --output"
        )
    notebook.metadata["normlab"] = stamp(notebook, minutes)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        path = output / path.name
    write_notebook(notebook, path)
    if output is None and path.stem == COVER_CHAPTER:
        COVER.write_bytes(figure(notebook, COVER_FIGURE))
    print(f"wrote {path}: {minutes:.1f} minutes, images: {data_used(notebook)}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="such as 06 or errata; everything without")
    parser.add_argument("--stale", action="store_true", help="only those whose code has changed")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", dest="settings")
    parser.add_argument("--output", type=Path, help="a folder for the executed copy")
    chosen = parser.parse_args(arguments)
    if chosen.settings and chosen.output is None:
        parser.error("--set changes the code, so the result needs a folder of its own: --output")
    os.environ.pop("NORMLAB_QUICK", None)  # stored results are those of the full settings
    os.environ["TQDM_DISABLE"] = "1"  # a progress bar is nothing to store
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # the kernel of this environment
    if folder := os.environ.get("NORMLAB_CIFAR10"):  # chapters run in their own folder
        os.environ["NORMLAB_CIFAR10"] = str(Path(folder).expanduser().resolve())
    paths = find(chosen.names)
    if chosen.stale and not (paths := stale(paths)):
        print("nothing is stale: all stored results belong to their code")
    for path in paths:
        run(path, dict(s.split("=", 1) for s in chosen.settings), chosen.output)


if __name__ == "__main__":
    main()

"""The stamps of stored results: with which code, images and torch they were made.

The code is that of the cells and of every module of the project that they import. It counts as
syntax trees: a comment, a docstring or another layout changes no stamp, another colour does.
"""

import ast
import hashlib
import json
from functools import cache
from importlib.metadata import version
from pathlib import Path

from nbformat import NotebookNode

from tools import ROOT
from tools.imports import modules
from tools.notebooks import code_cells, data_used, parse

CELLS = "cells"  # stands for the notebook's own code, beside the names of modules
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
LAYOUT = {"ctx", "kind", "type_comment", "type_ignores"}  # fields that change no meaning


def stamp(notebook: NotebookNode, minutes: float) -> NotebookNode:
    """Return the stamp of a notebook that has been executed."""
    return NotebookNode(
        code=NotebookNode(hashes(notebook)),
        data=data_used(notebook),
        torch=version("torch"),
        minutes=round(minutes, 1),
    )


def changes(notebook: NotebookNode, root: Path = ROOT) -> list[str]:
    """Return what has changed since the results were made: names of modules, or `cells`."""
    stored = notebook.metadata.get("normlab", {}).get("code")
    stored = stored if isinstance(stored, dict) else {}
    return sorted({name for name, _ in stored.items() ^ hashes(notebook, root).items()})


def hashes(notebook: NotebookNode, root: Path = ROOT) -> dict[str, str]:
    """Return a hash of the cells, and of every module and data file that they import."""
    cells = code_cells(notebook)
    found = modules(*(cell.source for cell in cells), root=root)
    # A string that begins a cell is no docstring: Jupyter shows it.
    own = "\n".join(dump(parse(cell).body) for cell in cells)
    return {CELLS: short(own)} | {name: hash_of_file(path) for name, path in found.items()}


def hash_of_file(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    return short(module_as_text(text) if path.suffix == ".py" else text)


def digest(code: dict[str, str]) -> str:
    """Return one hash for all of a stamp's, which is shorter to print and to compare."""
    return short(json.dumps(code, sort_keys=True))


def short(text: str) -> str:
    """Return 12 hexadecimal digits of the sha256 of a text, enough to see a change."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@cache
def module_as_text(code: str) -> str:
    return dump(ast.parse(code))


def dump(node: object) -> str:
    """Return a syntax tree as text, the same in every version of Python that reads the code.

    `ast.dump` and `ast.unparse` do not: from 3.11 to 3.13 empty fields came and went, and so did
    the quotes in f-strings and an empty string at the end of their formats. Here what is empty is
    left out, and the text of an f-string is in one piece. ASCII knows no version of Unicode.
    """
    match node:
        case ast.JoinedStr():
            return f'f"{"".join(map(_piece, node.values))}"'
        case ast.AST():
            fields = [(name, value) for name, value in ast.iter_fields(node) if name not in LAYOUT]
            if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
                fields = [(n, v[1:] if n == "body" else v) for n, v in fields]
            parts = [f"{name}={dump(v)}" for name, v in fields if v is not None and v != []]
            return f"{type(node).__name__}({', '.join(parts)})"
        case list():
            return f"[{', '.join(map(dump, node))}]"
    return ascii(node)


def _piece(node: ast.expr) -> str:
    """Return what stands in an f-string: text in which quotes are escaped, or code in quotes."""
    text = isinstance(node, ast.Constant)
    return json.dumps(node.value)[1:-1] if text else f'"{dump(node)}"'

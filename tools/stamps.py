"""The stamps of stored results: with which code, images and torch they were made.

The code is that of the cells and of every module of the project that they import, without the
functions and classes whose names stand nowhere in it: a new layer changes no stamp of a notebook
that does not use it. Code counts as syntax trees: a comment, a docstring or another layout changes
no stamp, another colour does.
"""

import ast
import copy
import hashlib
import json
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

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
    """Return a hash of the cells, of the used part of every module, and of the data files."""
    cells = code_cells(notebook)
    found = modules(*(cell.source for cell in cells), root=root)
    texts = {name: path.read_text(encoding="utf-8") for name, path in found.items()}
    read = {name: statements(texts[name]) for name in found if found[name].suffix == ".py"}
    used = used_in([s for module in read.values() for s in module], names_in(map(parse, cells)))
    code = {
        name: "\n".join(s.text for s in module if s.binds is None or s.binds in used)
        for name, module in read.items()
    }
    # A string that begins a cell is no docstring: Jupyter shows it.
    own = "\n".join(dump(parse(cell).body) for cell in cells)
    return {CELLS: short(own)} | {name: short(text) for name, text in (texts | code).items()}


class Statement(NamedTuple):
    """A statement of a module: the name by which it is used, the names in it, its tree as text.

    What binds no name always counts, and so does what is assigned or decorated: whatever it
    calls may take note of it.
    """

    binds: str | None
    names: frozenset[str]
    text: str


@cache
def statements(code: str) -> tuple[Statement, ...]:
    """Return the statements of a module, with one for each name that is imported or exported."""
    found = []
    for node in ast.parse(code).body:
        match node:
            case ast.Expr(value=ast.Constant(value=str())):  # a docstring
                continue
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                for alias in aliases:
                    one = copy.copy(node)
                    one.names = [alias]
                    binds = alias.asname or alias.name.split(".")[0]
                    found.append(Statement(binds, frozenset({alias.name}), dump(one)))
                continue
            case ast.FunctionDef(decorator_list=[]) | ast.ClassDef(decorator_list=[]):
                binds = node.name
            case ast.Assign(targets=[ast.Name(id="__all__")]):
                binds = "__all__"
            case _:
                binds = None
        found.append(Statement(binds, frozenset(names_in([node])), dump(node)))
    return tuple(found)


def names_in(trees: Iterable[ast.AST]) -> set[str]:
    """Return the names of variables, attributes and imports in syntax trees."""
    found = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                found.add(name)
    return found


def used_in(found: Iterable[Statement], names: set[str]) -> set[str]:
    """Return these names and those in every statement that they reach, one through another."""
    used, waiting = set(names), list(found)
    while True:
        reached = [s for s in waiting if s.binds is None or s.binds in used]
        if not reached:
            return used
        waiting = [s for s in waiting if s not in reached]
        used.update(*(s.names for s in reached))


def digest(code: dict[str, str]) -> str:
    """Return one hash for all of a stamp's, which is shorter to print and to compare."""
    return short(json.dumps(code, sort_keys=True))


def short(text: str) -> str:
    """Return 12 hexadecimal digits of the sha256 of a text, enough to see a change."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


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

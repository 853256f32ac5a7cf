"""Which modules of the project a piece of code imports, directly or through another.

The results of a notebook depend on them (tools.stamps), and a notebook that stands alone brings
them along (tools.standalone).
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tools import ROOT
from tools.notebooks import tree

# The folder of each package. The kernel of a chapter runs in chapters/.
PACKAGES = {"normlab": "src", "figures": "chapters", "exercises": "chapters"}


def modules(*code: str, root: Path = ROOT) -> dict[str, Path]:
    """Return the modules that `code` imports, and the data files that these name.

    Args:
        code: Python in which IPython's magics are allowed, such as the cells of a notebook.
        root: the folder of the project.

    Returns:
        Paths by names such as `normlab.layers`, or `normlab/page.html` for data, by package.

    Raises:
        ModuleNotFoundError: a package of the project lacks a module that is imported from it.
        ImportError: an import is relative, which this does not follow.
    """
    found: dict[str, Path] = {}
    waiting = [name for cell in code for name in _wanted(_read(cell), root)]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        if not (path := _path(name, root)):
            raise ModuleNotFoundError(f"{_folder(name, root)} holds no module {name}", name=name)
        found[name] = path
        module = _read(path.read_text(encoding="utf-8"))
        waiting += _wanted(module, root)
        found |= {
            data.relative_to(_folder(name, root)).as_posix(): data
            for data in path.parent.iterdir()
            if data.suffix != ".py" and data.name in module.texts
        }
    return dict(sorted(found.items(), key=lambda item: (_place(item[0]), item[0])))


def files(*code: str, root: Path = ROOT) -> dict[str, str]:
    """Return the text of the same by the path at which `code` finds it beside itself."""
    return {
        path.relative_to(_folder(name, root)).as_posix(): path.read_text(encoding="utf-8")
        for name, path in modules(*code, root=root).items()
    }


def imported(*code: str) -> set[str]:
    """Return the full names of all modules that `code` imports itself, whosever they are."""
    return {name for piece in code for name, _ in _read(piece).imports}


def _place(name: str) -> int:
    """Return the place in PACKAGES of the package that a name begins with."""
    return [*PACKAGES].index(re.split("[./]", name)[0])


def _folder(name: str, root: Path) -> Path:
    return root / [*PACKAGES.values()][_place(name)]


def _path(name: str, root: Path) -> Path | None:
    path = _folder(name, root).joinpath(*name.split("."))
    candidates = (path / "__init__.py", path.with_suffix(".py"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


class _Module(NamedTuple):
    imports: list[tuple[str, list[str]]]  # module, names taken out of it
    texts: set[str]


@cache
def _read(code: str) -> _Module:
    """Return what code imports, and the strings in it."""
    imports, texts = [], set()
    for node in ast.walk(tree(code)):
        match node:
            case ast.Import():
                imports += [(alias.name, []) for alias in node.names]
            case ast.ImportFrom(level=0):
                imports.append((node.module, [alias.name for alias in node.names]))
            case ast.ImportFrom():
                raise ImportError(f"name the package in full: {ast.unparse(node)}")
            case ast.Constant(value=str()):
                texts.add(node.value)
    return _Module(imports, texts)


def _wanted(module: _Module, root: Path) -> Iterator[str]:
    """Yield the modules of the project that a module imports itself, with their packages."""
    for base, names in module.imports:
        parts = base.split(".")
        if parts[0] in PACKAGES:
            yield from (".".join(parts[: i + 1]) for i in range(len(parts)))
            # What is taken out of a package is a module, or else a name inside it.
            yield from (f"{base}.{name}" for name in names if _path(f"{base}.{name}", root))

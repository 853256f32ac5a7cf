"""Which modules of the project a piece of code imports, directly or through another.

The results of a notebook depend on them (tools.stamps), and a notebook that stands alone brings
them along (tools.standalone).
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import resolve_name
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
        Paths by names such as `normlab.layers`, or `normlab/page.html` for data, in their order.

    Raises:
        ModuleNotFoundError: a package of the project lacks a module that is imported from it.
    """
    found: dict[str, Path] = {}
    waiting = [name for cell in code for name in _wanted(_read(cell), root)]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        if not (path := _path(name, root)):
            raise ModuleNotFoundError(f"{_folder(name, root)} holds no module {name}", name=name)
        package = name if path.stem == "__init__" else name.rpartition(".")[0]
        module = _read(path.read_text(encoding="utf-8"), package)
        found[name] = path
        waiting += _wanted(module, root)
        beside = (p for p in path.parent.iterdir() if p.suffix != ".py" and p.name in module.texts)
        found |= {f"{package.replace('.', '/')}/{data.name}": data for data in beside}
    return dict(sorted(found.items()))


def files(*code: str, root: Path = ROOT) -> dict[str, str]:
    """Return the text of the same by the path at which `code` finds it beside itself."""
    return {
        path.relative_to(_folder(name, root)).as_posix(): path.read_text(encoding="utf-8")
        for name, path in modules(*code, root=root).items()
    }


def _folder(name: str, root: Path) -> Path:
    """Return the folder in which the package lies that begins `name`."""
    return root / PACKAGES[re.split("[./]", name)[0]]


def _path(name: str, root: Path) -> Path | None:
    path = _folder(name, root).joinpath(*name.split("."))
    candidates = (path / "__init__.py", path.with_suffix(".py"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


class _Module(NamedTuple):
    imports: list[tuple[str, list[str]]]  # module, names taken out of it
    texts: set[str]


@cache
def _read(code: str, package: str = "") -> _Module:
    """Return what the code of a module in `package` imports, and the strings in it."""
    imports, texts = [], set()
    for node in ast.walk(tree(code)):
        match node:
            case ast.Import():
                imports += [(alias.name, []) for alias in node.names]
            case ast.ImportFrom():
                name = resolve_name("." * node.level + (node.module or ""), package)
                imports.append((name, [alias.name for alias in node.names]))
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

"""Which parts of normlab a piece of code needs, as the text of smaller modules.

Names are followed from statement to statement and from module to module. A module keeps the
statements that bind a needed name, and those that bind none and therefore always run.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "normlab"
ALL = "*"  # stands for every name of a module


def parts(code: str, source: Path, also: list[tuple[str, str]] = ()) -> dict[str, str]:
    """Return the files of the package that `code` needs, as text by their path.

    Args:
        code: Python that imports from the package.
        source: the folder that holds the package.
        also: further names that are needed, as (module, name).
    """
    package = _Package(source)
    package.follow(_Module("", code))
    for module, name in also:
        package.need(module, name)
    return package.files()


class _Module:
    """The top level of a piece of code."""

    def __init__(self, name: str, code: str, path: Path | None = None) -> None:
        self.name, self.path, self.lines = name, path, code.splitlines()
        self.body = ast.parse(code).body
        self.names = {name for node in self.body for name in _bound(node)}
        self.aliases: dict[str, str] = {}  # local names that stand for modules of the package
        for node in self.body:
            if isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
                self.aliases |= {_local(a): f"{PACKAGE}.{a.name}" for a in node.names}
            elif isinstance(node, ast.Import) and any(a.name == PACKAGE for a in node.names):
                self.aliases[PACKAGE] = PACKAGE
        self.needed: set[str] = set()

    def wants(self, node: ast.stmt) -> bool:
        bound = _bound(node)
        return not bound or ALL in self.needed or bool(bound & self.needed)

    def text(self) -> str:
        """Return what is needed, with the comments that stand directly above it."""
        text, end = "", 0
        for node in self.body:
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            while first - 1 > end and self.lines[first - 2].startswith("#"):
                first -= 1
            if self.wants(node):
                if isinstance(node, ast.Import | ast.ImportFrom) and ALL not in self.needed:
                    names = [a for a in node.names if _local(a) in self.needed]
                    part = ast.unparse(type(node)(**(vars(node) | {"names": names})))
                else:
                    part = "\n".join(self.lines[first - 1 : node.end_lineno])
                text += "\n" * min(2, first - 1 - end) * bool(text) + part + "\n"
            end = node.end_lineno
        return text


class _Package:
    def __init__(self, source: Path) -> None:
        self.source = source
        self.modules: dict[str, _Module] = {}
        self.data: dict[str, str] = {}

    def find(self, name: str) -> Path | None:
        path = self.source.joinpath(*name.split("."))
        candidates = (path / "__init__.py", path.with_suffix(".py"))
        return next((c for c in candidates if c.exists()), None)

    def need(self, module: str, name: str) -> None:
        """Note that `name` of `module` is needed, and all that it needs itself."""
        if name and self.find(f"{module}.{name}"):  # a module in a package
            module, name = f"{module}.{name}", ""
        if not self.find(module):  # a function or a class, which its import has asked for
            return
        if module not in self.modules:
            path = self.find(module)
            self.modules[module] = _Module(module, path.read_text(encoding="utf-8"), path)
            if parent := module.rpartition(".")[0]:
                self.need(parent, "")
            self.follow(self.modules[module], lambda node: not _bound(node))
        found = self.modules[module]
        if name and name not in found.needed:
            found.needed.add(name)
            self.follow(found, lambda node: name == ALL or name in _bound(node))

    def follow(self, module: _Module, chosen=lambda node: True) -> None:
        """Need whatever the chosen statements of `module` refer to."""
        for node in filter(chosen, module.body):
            for target, name in _references(node, module):
                self.need(target, name)
            if module.path:
                used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
                for name in used & module.names:
                    self.need(module.name, name)
                self.take_data(node, module.path.parent)

    def take_data(self, node: ast.stmt, folder: Path) -> None:
        """Take the files that lie beside the module and that a statement names."""
        for part in ast.walk(node):
            if isinstance(part, ast.Constant) and str(part.value).endswith(".html"):
                path = folder / part.value
                self.data[self.relative(path)] = path.read_text(encoding="utf-8")

    def relative(self, path: Path) -> str:
        return path.relative_to(self.source).as_posix()

    def files(self) -> dict[str, str]:
        modules = self.modules.values()
        return {self.relative(m.path): m.text() for m in modules} | self.data


def _local(alias: ast.alias) -> str:
    return alias.asname or alias.name.split(".")[0]


def _bound(node: ast.stmt) -> set[str]:
    """Return the names that a statement gives a value; `__all__` serves nobody here."""
    match node:
        case ast.FunctionDef() | ast.ClassDef():
            return {node.name}
        case ast.Import() | ast.ImportFrom():
            return {_local(alias) for alias in node.names}
        case ast.Assign() | ast.AnnAssign():
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            return {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return set()


def _references(node: ast.stmt, module: _Module) -> Iterator[tuple[str, str]]:
    """Yield what a statement needs of the package, as (module, name)."""
    bases = set()
    for part in ast.walk(node):
        if isinstance(part, ast.ImportFrom) and (part.module or "").split(".")[0] == PACKAGE:
            # At the top of a module only some of the names may be needed.
            some = part is node and module.path and ALL not in module.needed
            names = [a for a in part.names if not some or _local(a) in module.needed]
            yield from ((part.module, alias.name) for alias in names)
        if isinstance(part, ast.Attribute) and getattr(part.value, "id", "") in module.aliases:
            bases.add(part.value)
            yield module.aliases[part.value.id], part.attr
        if isinstance(part, ast.Name) and part.id in module.aliases and part not in bases:
            yield module.aliases[part.id], ALL

"""Which code the pages fold, so that what is open is what the text is about.

A cell is cut into parts by its syntax tree. Folded are the imports that it begins with, a cell of
imports and settings alone, functions and classes that the text does not name, and the asserts below
a claim: a line says what is inside, for a claim its sentence. The tag hide-input folds the rest of
a cell too, show-input leaves definitions open. JupyterLab and Colab show all.
"""

import ast
import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import chain, takewhile
from types import SimpleNamespace

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

from tools.claims import claims_of
from tools.notebooks import tree

SETUP_CALLS = {"use_style"}  # of imports
SEED_CALLS = {"manual_seed", "seed_everything", "set_num_threads"}  # of settings
NAMES = 8  # in a label
SHOW = "show-input"  # a tag
UNTOUCHED = "Not yet: it returns nothing."  # the output of an exercise as readers get it
CODE, IMPORTS, SETTINGS, CHECK = "code", "imports", "settings", "check"


@dataclass(frozen=True)
class Part:
    """Lines of a cell, and what the page says where it folds them."""

    kind: str
    label: str
    source: str


def parts(source: str, in_text: Collection[str] = (), helpers: bool = True) -> list[Part]:
    """Return the parts of a cell; `in_text` are the names that the text of the page mentions.

    Without `helpers` definitions of other names are left open.
    """
    if source.startswith("%%"):
        return [Part(CODE, "", source)]
    body = tree(source).body
    lines = source.splitlines()
    if body and all(isinstance(node, ast.Assert) for node in body) and "# Claim:" not in source:
        return [Part(CHECK, "", source)]
    if body and all(is_import(node) or is_setting(node, in_text) for node in body):
        return [Part(*label_of_settings(body), source)]
    found, start = [], 0
    leading = list(takewhile(is_import, body))
    if leading:
        start = leading[-1].end_lineno
        found.append(Part(IMPORTS, label_of_imports(leading), _join(lines[:start])))
    spans = [(first, last, CHECK, label) for first, last, label in checks(source, body)]
    spans += definitions(source, body, in_text) if helpers else []
    for first, last, kind, label in sorted(spans):
        found.append(Part(CODE, "", _join(lines[start:first])))
        found.append(Part(kind, label, _join(lines[first:last])))
        start = last
    found.append(Part(CODE, "", _join(lines[start:])))
    return [part for part in found if part.source]


def definitions(
    source: str, body: list[ast.stmt], in_text: Collection[str]
) -> list[tuple[int, int, str, str]]:
    """Return the lines of functions and classes that the text does not name, with their label."""
    found: list[tuple[int, int, list[str]]] = []
    claimed = checks(source, body)
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name in in_text:
            continue
        first = min(part.lineno for part in (node, *node.decorator_list)) - 1
        if any(start <= first < end for start, end, _ in claimed):
            continue
        if found and not "\n".join(source.splitlines()[found[-1][1] : first]).strip():
            start, _, names = found.pop()  # right below the one before
            found.append((start, node.end_lineno, [*names, node.name]))
        else:
            found.append((first, node.end_lineno, [node.name]))
    return [(first, last, CODE, _listed("Code", names)) for first, last, names in found]


def checks(source: str, body: list[ast.stmt]) -> list[tuple[int, int, str]]:
    """Return the lines from each claim to its last assert, and its sentence.

    A loop with claims inside is one check of them all, unless it prints too or ends in other work.
    """
    found: list[tuple[int, int, str]] = []
    for claim in claims_of(SimpleNamespace(source=source, id="")):
        first = claim.first - 1  # the line of the comment
        around = next((n for n in body if n.lineno <= first < n.end_lineno), None)
        own = [n for n in body if first < n.lineno <= claim.last and _asserts(n)]
        if around is None and own:
            found.append((first, own[-1].end_lineno, claim.sentence))
        elif around and _only_checks(around):
            lines = around.lineno - 1, around.end_lineno
            if found and found[-1][:2] == lines:
                found[-1] = (*lines, f"{found[-1][2]} {claim.sentence}")
            elif not found or found[-1][1] <= lines[0]:
                found.append((*lines, claim.sentence))
    return found


def closer(source: str) -> str:
    """Leave one blank line of two, unless they stand in a string."""
    close = re.sub(r"\n{3,}", "\n\n", source)
    if source.startswith("%%") or ast.dump(tree(close)) != ast.dump(tree(source)):
        return source
    return close


def is_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom) or _calls(node, SETUP_CALLS)


def is_setting(node: ast.stmt, in_text: Collection[str] = ()) -> bool:
    """Is it a seed, or a constant of which the text does not speak?"""
    if not isinstance(node, ast.Assign):
        return _calls(node, SEED_CALLS)
    names = [getattr(target, "id", "") for target in node.targets]
    known = all(re.fullmatch("[A-Z][A-Z0-9_]*", name) and name not in in_text for name in names)
    plain = not any(isinstance(part, ast.Lambda | ast.GeneratorExp | ast.ListComp)
                    for part in ast.walk(node.value))  # fmt: skip
    return known and plain


def label_of_imports(body: list[ast.stmt]) -> str:
    imports = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [(a.asname or a.name).partition(".")[0] for node in imports for a in node.names]
    return _listed("Imports", list(dict.fromkeys(names)))


def label_of_settings(body: list[ast.stmt]) -> tuple[str, str]:
    targets = [node.targets for node in body if isinstance(node, ast.Assign)]
    names = [target.id for target in chain.from_iterable(targets)]
    rest = [node for node in body if is_import(node)]
    if len(rest) == len(body):
        return IMPORTS, label_of_imports(body)
    if not names and not rest:
        return SETTINGS, "The seed of the random numbers"
    return SETTINGS, _listed("Imports and settings" if rest else "Settings", names)


def label_of_code(source: str, draws: bool, prints: bool = False) -> str:
    """Say what is in code that the tag folds."""
    if draws:
        return "Code of the figure"
    if file := re.match(r"%%writefile (?:-a )?(.+)", source):
        return f"File: {file[1]}"
    kinds = ast.FunctionDef | ast.ClassDef
    found = tree(source).body
    names = [node.name for node in found if isinstance(node, kinds)]
    return "Code of the output" if prints and not names else _listed("Code", names)


def _listed(title: str, names: list[str]) -> str:
    more = ", ..." if len(names) > NAMES else ""
    return f"{title}: {', '.join(names[:NAMES])}{more}" if names else title


def _calls(node: ast.AST, names: set[str]) -> bool:
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        return False
    called = node.value.func
    return getattr(called, "attr", getattr(called, "id", "")) in names


def _only_checks(block: ast.stmt) -> bool:
    prints = any(_calls(part, {"print"}) for part in ast.walk(block))
    return _asserts(block.body[-1]) and not prints


def _asserts(node: ast.stmt) -> bool:
    return any(isinstance(part, ast.Assert) for part in ast.walk(node))


def _join(lines: list[str]) -> str:
    return "\n".join(lines).strip("\n")


# --- in the pages -------------------------------------------------------------------------------


class Fold(nodes.General, nodes.Element):
    """What is closed until the reader opens it, under a label."""


def visit_fold(self: HTML5Translator, node: Fold) -> None:
    title, _, rest = node["label"].partition(": ")
    label = self.encode(f"{title}:") + f" <span>{self.encode(rest)}</span>" if rest else title
    self.body.append(f'<details class="fold {node["kind"]}">\n<summary>{label}</summary>\n')


def depart_fold(self: HTML5Translator, node: Fold) -> None:
    self.body.append("</details>\n")


def fold_cells(app: Sphinx, doctree: nodes.document) -> None:
    """Cut the cells of a notebook into parts, and fold some of them."""
    cells = [
        box for box in doctree.findall(nodes.container) if box.get("nb_element") == "cell_code"
    ]
    spoken = " ".join(node.astext() for node in doctree.findall(nodes.literal))
    in_text = set(re.findall(r"\w+", spoken))
    for cell in cells:
        fold_cell(cell, in_text, in_section(cell, "exercises"))


def in_section(node: nodes.Node, name: str) -> bool:
    while node := node.parent:
        if any(key.startswith(name) for key in node.get("ids", [])):
            return True
    return False


def fold_cell(cell: nodes.container, in_text: Collection[str], exercise: bool = False) -> None:
    code = cell[0]
    if code.get("nb_element") != "cell_code_source":
        return
    hidden = cell.attributes.pop("hide_mode", None) is not None
    block = code[0]
    draws = any(True for _ in cell.findall(nodes.image))
    prints = cell[-1].get("nb_element") == "cell_code_output"
    body, below = [], []
    tags = cell.get("cell_metadata", {}).get("tags", [])
    helpers = not (exercise or hidden or SHOW in tags)
    for part in parts(block.astext(), in_text, helpers):
        own = block.deepcopy()
        own.children = []
        own.rawsource = closer(part.source)
        own += nodes.Text(closer(part.source))
        said = part.label
        if hidden and not said:  # claims in a loop that prints
            said = " ".join(
                c.sentence for c in claims_of(SimpleNamespace(source=part.source, id=""))
            )
        if part.kind == CHECK or (hidden and said and part.kind == CODE):
            label = f"Checked: {said}" if said else "Checked by assertions"
            below.append(Fold("", own, kind=CHECK, label=label))
        elif part.label:
            body.append(Fold("", own, kind=part.kind, label=part.label))
        elif hidden:
            body.append(Fold("", own, kind=CODE, label=label_of_code(part.source, draws, prints)))
        else:
            body.append(own)
    if exercise and cell[-1].astext().lstrip().startswith(UNTOUCHED):
        cell.remove(cell[-1])
    code.children = []
    code += body
    if not body:
        cell.remove(code)
    if below:
        cell += nodes.container("", *below, classes=["cell_checks"])


def setup(app: Sphinx) -> None:
    app.add_node(Fold, html=(visit_fold, depart_fold))
    app.connect("doctree-read", fold_cells, priority=100)  # before sphinx-codeautolink reads

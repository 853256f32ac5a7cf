"""The MyST Markdown of the book as the plain Markdown that JupyterLab and Colab show."""

import re
from collections import Counter
from functools import cache
from textwrap import indent

import nbformat
from nbformat import NotebookNode
from pybtex.database import BibliographyData, Entry

from tools import laboratory
from tools.exercises import level
from tools.markdown import Directive, Inline, Lines, read
from tools.notebooks import notebooks, title

BOXES = {"admonition", "dropdown", "hint", "important", "note", "seealso", "tip", "warning"}


def labels(notebook: NotebookNode) -> dict[str, str]:
    """Number what the text refers to: equations, figures and exercises, by their labels."""
    found: dict[str, str] = {}
    counts: Counter[str] = Counter()

    def add(kind: str, label: str) -> None:
        counts[kind] += 1
        found[label] = f"{kind} {counts[kind]}"

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = read(cell.source)
            for equation in text.equations:
                add("Equation", equation.label)
            for exercise in text.named("exercise"):
                add("Exercise", exercise.options["label"])
        if figure := cell.metadata.get("mystnb", {}).get("figure"):
            add("Figure", figure.get("name", f"figure-{len(found)}"))
    return found


def plain(text: str, numbers: dict[str, str], sources: BibliographyData) -> str:
    """Return Markdown without the directives and roles of the book."""
    found, lines = read(text), text.split("\n")
    new = {box.lines: plain_box(box, numbers, sources) for box in top(found.directives)}
    for equation in top(found.equations):
        number = numbers[equation.label].split()[1]
        new[equation.lines] = f"$$\n{equation.formula} \\tag{{{number}}}\n$$"
    changed: dict[Lines, str] = dict.fromkeys(found.targets, "")
    for place, block in new.items():
        changed[place] = indent(block, re.match(r" *", lines[place[0]])[0])
    for inline in top(found.inlines):
        block = changed.get(inline.lines) or "\n".join(lines[slice(*inline.lines)])
        own = reference(inline, numbers, sources) if inline.kind == "role" else link(inline)
        source = r"\s+".join(map(re.escape, inline.source.split()))  # lines may be indented
        changed[inline.lines] = re.sub(source, lambda _, own=own: own, block)
    for (start, end), block in sorted(changed.items(), reverse=True):
        lines[start:end] = [block] if block else []
    return "\n".join(lines).strip("\n")


def top(found: list) -> list:
    """Leave out what stands inside a directive."""
    return [part for part in found if part.depth == 0]


def plain_box(directive: Directive, numbers: dict[str, str], sources: BibliographyData) -> str:
    body = plain(directive.body, numbers, sources)
    match directive.name:
        case "exercise":
            difficulty = level(directive)
            ending = f" ({difficulty})" if difficulty else ""
            number = numbers[directive.options["label"]]
            return f"### {number}: {directive.argument}{ending}\n\n{body}".strip()
        case "solution-start":
            return "**Solution** (the code is folded)"
        case "solution-end":
            return ""
        case "solution":
            return f"**Solution**\n\n{body}"
        case "laboratory":
            name = laboratory.title(directive.argument)
            where = f"On the page of this chapter two networks train here, side by side: *{name}*."
            return f"{body}\n\n> **Laboratory**\n>\n> {where}".strip()
        case name if name in BOXES:
            heading = directive.argument or name.capitalize()
            return f"> **{heading}**\n>\n" + indent(body, "> ", lambda line: True)
    raise ValueError(f"no plain Markdown stands for the directive {directive.name}: {directive}")


def link(inline: Inline) -> str:
    """Return the link as seen from a folder in which all notebooks lie, and nothing else does."""
    if re.match(r"(\.\./)?[\w/-]+\.md", inline.target):
        return inline.text
    here = re.sub(r"^(\.\./)?(chapters|appendix)/(?=[\w-]+\.ipynb)", "", inline.target)
    return inline.source.replace(inline.target, here)


def reference(role: Inline, numbers: dict[str, str], sources: BibliographyData) -> str:
    if role.target.startswith("cite"):
        keys = role.text.split(",")
        return "; ".join(cite(sources.entries[key.strip()], role.target) for key in keys)
    label = re.sub(r"^.*<(.+)>$", r"\1", role.text)
    if label not in numbers:
        return elsewhere(label)
    return f"({numbers[label].split()[1]})" if role.target == "eq" else numbers[label]


def elsewhere(label: str) -> str:
    """Return the name of what another notebook labels, with a link to that notebook."""
    for name, heading, numbers in labelled():
        if label in numbers:
            return f"{numbers[label].lower()} of [{heading}]({name})"
    raise ValueError(f"no equation, figure or exercise of a notebook is {label}: write a link")


@cache
def labelled() -> list[tuple[str, str, dict[str, str]]]:
    """Return the file name, the title and the labels of every notebook."""
    read_all = [(path.name, nbformat.read(path, as_version=4)) for path in notebooks()]
    return [(name, title(notebook), labels(notebook)) for name, notebook in read_all]


def cite(entry: Entry, role: str) -> str:
    """Return a link such as "Ioffe and Szegedy (2015)"; {cite:p} puts all of it in brackets.

    A source whose address nobody knows is no link, and one without a year is "n.d.".
    """
    names = [
        " ".join(person.prelast_names + person.last_names) for person in entry.persons["author"]
    ]
    names = [re.sub(r"[{}]", "", name) for name in names]
    who = names[0] if len(names) == 1 else " and ".join(names)
    who = f"{names[0]} et al." if len(names) > 2 else who
    fields = entry.fields
    year = fields.get("year", "n.d.")
    links = {"eprint": "https://arxiv.org/abs/{}", "doi": "https://doi.org/{}", "url": "{}"}
    address = next((f.format(fields[key]) for key, f in links.items() if key in fields), None)
    said = f"{who} ({year})" if role == "cite:t" else f"{who}, {year}"
    said = f"[{said}]({address})" if address else said
    return said if role == "cite:t" else f"({said})"

"""Turn notebooks of the book into notebooks that stand alone.

    python -m tools.standalone _build/standalone          every notebook
    python -m tools.standalone _build/standalone 03 06    some of them

A standalone notebook runs in an empty folder with what Colab offers. The modules of normlab that it
needs come along as cells that write them to disk, and so do the figures and exercises of its
chapter. The directives and roles of the book become plain Markdown, so that JupyterLab and Colab
show them as the book does.
"""

import re
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from pybtex.database import BibliographyData, Entry, parse_file

from tools import ROOT
from tools.exercises import read_options
from tools.imports import files, imported
from tools.notebooks import NOTEBOOK_METADATA, code_cells, find, notebooks, title

# What a notebook may use, and Colab or the folder may lack.
EXTRA = ("tqdm", "requests", "torchvision", "torchinfo", "safetensors", "tensorboard")
PREAMBLE = """**This notebook stands alone.** It runs on Colab, or in an empty folder with PyTorch,
scikit-learn and Matplotlib. The next cells write what it needs of the course into this folder: the
package `normlab`, its figures and its exercises. Run them once; they are there to be read."""
DIRECTIVE = re.compile(
    r"^(:{3,}|`{3,})\{([\w-]+)\}[ ]*(.*)\n((?::[\w-]+:.*\n)*)(?:([\s\S]*?)\n)?\1[ ]*$", re.MULTILINE
)
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


# --- the package --------------------------------------------------------------------------------


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


# --- Markdown -----------------------------------------------------------------------------------


def labels(notebook: NotebookNode) -> dict[str, str]:
    """Number what the text refers to: equations, figures and exercises, by their labels."""
    found: dict[str, str] = {}
    counts = {"Equation": 0, "Figure": 0, "Exercise": 0}

    def add(kind: str, label: str) -> None:
        counts[kind] += 1
        found[label] = f"{kind} {counts[kind]}"

    for cell in notebook.cells:
        for label in re.findall(r"\$\$\s*\(([\w:-]+)\)", cell.source):
            add("Equation", label)
        for label in re.findall(r"\{exercise\}.*\n:label: *(\S+)", cell.source):
            add("Exercise", label)
        if figure := cell.metadata.get("mystnb", {}).get("figure"):
            add("Figure", figure.get("name", f"figure-{len(found)}"))
    return found


def plain(text: str, numbers: dict[str, str], sources: BibliographyData) -> str:
    """Return Markdown without the directives and roles of the book."""

    def directive(match: re.Match[str]) -> str:
        _, name, heading, options, body = match.groups()
        label = re.search(r":label: *(\S+)", options or "")
        if name == "exercise":
            _, level = read_options(options)
            ending = f" ({level})" if level else ""
            return f"### {numbers[label[1]]}: {heading}{ending}\n\n{(body or '').strip()}"
        if name == "solution-start":
            return "**Solution** (the code is folded)"
        if name == "solution-end":
            return ""
        return f"> **{heading or name.capitalize()}**\n>\n" + re.sub(
            "^", "> ", body or "", flags=re.M
        )

    def equation(match: re.Match[str]) -> str:
        number = numbers[match[2]].split()[1]
        return f"$${match[1].rstrip()} \\tag{{{number}}}\n$$"

    def role(match: re.Match[str]) -> str:
        name, content = match.groups()
        if name.startswith("cite"):
            return "; ".join(cite(sources.entries[k.strip()], name) for k in content.split(","))
        target = re.sub(r"^.*<(.+)>$", r"\1", content)
        number = numbers.get(target) or elsewhere(target)
        return f"({number.split()[1]})" if name == "eq" and target in numbers else number

    text = DIRECTIVE.sub(directive, text)
    text = re.sub(r"\$\$((?:(?!\$\$)[\s\S])+)\$\$\s*\(([\w:-]+)\)", equation, text)
    text = re.sub(r"\{([\w:]+)\}`([^`]+)`", role, text)
    text = re.sub(r"^\([\w:-]+\)=\n", "", text, flags=re.MULTILINE)
    # All notebooks lie in one folder; the other pages exist in the book alone.
    text = re.sub(r"\]\((?:\.\./)?(?:chapters|appendix)/([\w-]+\.ipynb)", r"](\1", text)
    text = re.sub(r"\[([^\]]+)\]\((?:\.\./)?[\w/-]+\.md[^)]*\)", r"\1", text)
    return text.strip("\n")


def elsewhere(label: str) -> str:
    """Return the name of what another notebook labels, with a link to that notebook."""
    for path in notebooks():
        notebook = nbformat.read(path, as_version=4)
        if label in (numbers := labels(notebook)):
            return f"{numbers[label].lower()} of [{title(notebook)}]({path.name})"
    raise ValueError(f"no notebook labels {label}")


def cite(entry: Entry, role: str) -> str:
    """Return a link such as "Ioffe and Szegedy (2015)"; {cite:p} puts all of it in brackets."""
    names = [
        " ".join(person.prelast_names + person.last_names) for person in entry.persons["author"]
    ]
    names = [re.sub(r"[{}]", "", name) for name in names]
    who = names[0] if len(names) == 1 else " and ".join(names)
    who = f"{names[0]} et al." if len(names) > 2 else who
    year, fields = entry.fields["year"], entry.fields
    links = {"eprint": "https://arxiv.org/abs/{}", "doi": "https://doi.org/{}", "url": "{}"}
    address = next(form.format(fields[key]) for key, form in links.items() if key in fields)
    return f"[{who} ({year})]({address})" if role == "cite:t" else f"([{who}, {year}]({address}))"


def main(folder: str | Path, *names: str) -> None:
    """Write the standalone copies of the notebooks `names`, or of all, into `folder`."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    for path in find(list(names)):
        notebook = standalone(nbformat.read(path, as_version=4))
        nbformat.validate(notebook)
        nbformat.write(notebook, target / path.name)
    print(f"wrote {len(find(list(names)))} notebooks into {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:])

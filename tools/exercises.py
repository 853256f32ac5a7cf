"""The exercises of the book: where they stand, how difficult they are, and what checks them."""

import ast
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools.contents import Entry, markdown_link
from tools.markdown import Directive, read
from tools.notebooks import parse

# The one place that says what a level is. A directive names its level: `:class: medium`.
LEVELS = {
    "easy": "You apply one definition or formula of the chapter as it stands.",
    "medium": "You combine two ideas, or carry one over to a case that the chapter does not show.",
    "hard": "You find the way yourself: you derive a result, or design code in which several "
    "conditions hold at once.",
}


@dataclass(frozen=True)
class Exercise:
    """An exercise as its chapter states it. What the chapter leaves out is empty."""

    title: str
    label: str
    level: str
    check: str


def exercises(notebook: NotebookNode) -> list[Exercise]:
    """Return the exercises of a notebook in their order, each with the first check behind it."""
    found: list[Exercise] = []
    waiting = False
    for cell in notebook.cells:
        if cell.cell_type == "code":
            if waiting and (check := checked(cell)):
                last = found[-1]
                found[-1] = Exercise(last.title, last.label, last.level, check)
                waiting = False
            continue
        for box in read(cell.source).named("exercise"):
            found.append(Exercise(box.argument, box.options.get("label", ""), level(box), ""))
            waiting = True
    return found


def checked(cell: NotebookNode) -> str:
    """Return NAME of the first call `exercises.NAME.check(...)` in a code cell, or nothing."""
    for node in ast.walk(parse(cell)):
        match node:
            case ast.Call(
                func=ast.Attribute(
                    value=ast.Attribute(value=ast.Name(id="exercises"), attr=name), attr="check"
                )
            ):
                return name
    return ""


def level(exercise: Directive) -> str:
    """Return the level that the classes of an exercise name, if they name one."""
    levels = [name for name in exercise.options.get("class", "").split() if name in LEVELS]
    return levels[0] if len(levels) == 1 else ""


def read_exercises(entries: list[Entry]) -> list[tuple[Entry, list[Exercise]]]:
    """Return the notebooks of the book that hold exercises, with them."""
    notebooks = [entry for entry in entries if entry.path.suffix == ".ipynb"]
    read = [(entry, exercises(nbformat.read(entry.path, as_version=4))) for entry in notebooks]
    return [(entry, found) for entry, found in read if found]


def list_of_levels(entries: list[Entry], folder: Path) -> list[str]:
    """Return what each level means and how many exercises have it, in Markdown."""
    chapters = read_exercises(entries)
    counts = Counter(exercise.level for _, found in chapters for exercise in found)
    lines = [
        f"The book has {counts.total()} exercises in {len(chapters)} chapters, at three levels.",
        "",
    ]
    for level, meaning in LEVELS.items():
        noun = "exercise" if counts[level] == 1 else "exercises"
        lines += [f"{{level}}`{level}` ({counts[level]} {noun})", f": {meaning}", ""]
    return lines


def list_of_exercises(entries: list[Entry], folder: Path) -> list[str]:
    """Return all exercises in Markdown, under a heading for each part and chapter.

    Links are as seen from `folder`.
    """
    lines, part = [], None
    for entry, found in read_exercises(entries):
        if entry.part != part:
            part = entry.part
            lines += [f"## {part}", ""]
        lines += [f"### {markdown_link(entry, folder)}", ""]
        for exercise in found:
            reference = f"{{numref}}`{{number}}. {exercise.title} <{exercise.label}>`"
            lines.append(f"- {{level}}`{exercise.level}` {reference} `{exercise.check}`")
        lines.append("")
    return lines

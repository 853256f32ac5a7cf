"""The rules of the book's form: each is a function from a notebook to a list of complaints.

    python -m tools.rules                          every notebook and every page
    python -m tools.rules chapters/03-a.ipynb      some of them

The name of a rule is the sentence that must be true. Nothing is executed: the rules read the text,
the code and the stored results. tests/book/test_book.py applies them to the book, and
tests/book/test_rules.py plants a breach of each and shows that it is found.
"""

import ast
import os
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook

from tools import ROOT
from tools.contents import minutes
from tools.exercises import LEVELS, exercises
from tools.markdown import Directive, Heading, read, statements
from tools.notebooks import code_cells, data_used, notebooks, parse
from tools.stamps import changes

Rule = Callable[[NotebookNode], list[str]]
RULES: list[Rule] = []
RULES_OF_CHAPTERS: list[Rule] = []

MAX_LINES = 12  # of code in a cell, see lines_of_code
MAX_LINES_LONG = 25  # in a cell tagged `long`
MAX_WORDS = 120  # of prose in a cell; about 50 is the aim
# The one place that says what a tag of a cell means; conftest.py teaches nbval the third.
TAGS = {
    "raises-exception": "The cell must fail, with the stored error.",
    "nbval-ignore-output": "The cell trains or measures time. Its output is not compared; a cell "
    "of the same section asserts the claim.",
    "data-dependent": "The output depends on the images: stored on CIFAR-10, tested on Shapes-10. "
    "It is not compared either; the claim is asserted on both.",
    "long": f"The cell has more than {MAX_LINES} lines of code, which the text explains.",
    "hide-input": "The page folds the code: it adds nothing to what the text says. Imports, "
    "settings, asserts of a claim, and definitions that no text names are folded without it.",
    "show-input": "The page leaves open definitions that no text names.",
    "opening-figure": "The page shows the figure at its top too.",
}
FILLERS = re.compile(
    r"\b(simply|obviously|of course|basically|note that|let's dive in|as you can see)\b"
    r"|(?<!\bhas )(?<!\bhave )(?<!\bhad )\bjust\b"  # "has just reached 91 %" states a fact
    r"|\w!"
    r"|[\U0001F300-\U0001FAFF\u2600-\u27BF]",
    re.IGNORECASE,
)
MACHINE_PATH = re.compile(r"(?<![\w.~/])/(work|tmp|root|home|Users|mnt|opt|usr)/\w|\b[A-Z]:\\Users")


def rule(function: Rule) -> Rule:
    RULES.append(function)
    return function


def rule_of_chapters(function: Rule) -> Rule:
    RULES_OF_CHAPTERS.append(function)
    return function


# --- reading notebooks and Markdown -------------------------------------------------------------


def markdown_cells(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    return ((i, c) for i, c in enumerate(notebook.cells) if c.cell_type == "markdown")


def numbered_code(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    return ((i, c) for i, c in enumerate(notebook.cells) if c.cell_type == "code")


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def outputs(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    return ((i, output) for i, cell in numbered_code(notebook) for output in cell.outputs)


def text_of(output: NotebookNode) -> str:
    """Return everything readable in an output."""
    data = output.get("data", {})
    parts = [output.get("text", ""), output.get("evalue", ""), *output.get("traceback", [])]
    parts += [v for k, v in data.items() if k.startswith("text/") or k == "image/svg+xml"]
    return "\n".join(parts)


def is_compared(output: NotebookNode) -> bool:
    """Does the output hold more than a picture? Its text says only `<Figure size ...>`."""
    return not any(kind.startswith("image/") for kind in output.get("data", {}))


def headings(notebook: NotebookNode) -> Iterator[tuple[int, Heading]]:
    return ((i, h) for i, cell in markdown_cells(notebook) for h in read(cell.source).headings)


def directives(notebook: NotebookNode, *names: str) -> list[Directive]:
    return [d for _, cell in markdown_cells(notebook) for d in read(cell.source).named(*names)]


def lines_of_code(cell: NotebookNode) -> int:
    """Count the lines to understand: no imports, no blank lines, no comments on their own line."""
    lines = cell.source.splitlines()
    for node in parse(cell).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return sum(not re.match(r"\s*(#|$)", line) for line in lines)


def definitions(tree: ast.Module) -> dict[str, str]:
    """Return the functions and classes at the top level as text, without their docstrings."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            for part in ast.walk(node):
                if isinstance(part, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(part):
                    part.body = part.body[1:]
            found[node.name] = ast.dump(node)
    return found


@cache
def shipped_definitions() -> dict[str, tuple[str, str]]:
    """Return module and syntax tree of everything that normlab defines, by name."""
    return {
        name: (path.stem, tree)
        for path in sorted((ROOT / "src" / "normlab").glob("*.py"))
        for name, tree in definitions(ast.parse(path.read_text(encoding="utf-8"))).items()
    }


# --- results ------------------------------------------------------------------------------------


@rule
def results_belong_to_the_code(notebook: NotebookNode) -> list[str]:
    stamp = notebook.metadata.get("normlab")
    if stamp is None:
        return ["no stamp: make run"]
    complaints = []
    if names := changes(notebook):
        complaints.append(
            f"{', '.join(names)}: changed since the results were made: make run STALE=1"
        )
    if stamp.get("data") != data_used(notebook):
        complaints.append(f"stamped with {stamp.get('data')}, but made on {data_used(notebook)}")
    if not stamp.get("torch") or not isinstance(stamp.get("minutes"), int | float):
        complaints.append("the stamp lacks torch's version or the minutes")
    return complaints


@rule
def results_are_made_on_cifar10_if_on_images(notebook: NotebookNode) -> list[str]:
    data = data_used(notebook)
    return (
        [] if data in ("CIFAR-10", "none") else [f"made on {data}: set NORMLAB_CIFAR10, make run"]
    )


@rule
def cells_were_executed_once_from_top_to_bottom(notebook: NotebookNode) -> list[str]:
    counts = [cell.execution_count for cell in code_cells(notebook)]
    return [] if counts == list(range(1, len(counts) + 1)) else [f"execution counts are {counts}"]


@rule
def errors_are_stored_where_the_tag_says_so_and_nowhere_else(notebook: NotebookNode) -> list[str]:
    complaints = []
    for i, cell in numbered_code(notebook):
        error = any(output.output_type == "error" for output in cell.outputs)
        if error and "raises-exception" not in tags(cell):
            complaints.append(f"cell {i} holds an error and is not tagged raises-exception")
        if not error and "raises-exception" in tags(cell):
            complaints.append(f"cell {i} is tagged raises-exception and holds no error")
    return complaints


@rule
def outputs_hold_no_warnings_and_no_progress_bars(notebook: NotebookNode) -> list[str]:
    complaints = []
    for i, output in outputs(notebook):
        if output.get("name") == "stderr":
            complaints.append(f"cell {i} holds text on stderr: {output.text[:80]!r}")
        if "application/vnd.jupyter.widget-view+json" in output.get("data", {}):
            complaints.append(f"cell {i} holds a widget, which the book cannot show")
        if "\r" in output.get("text", ""):
            complaints.append(f"cell {i} holds a progress bar")
    return complaints


@rule
def paths_of_a_machine_appear_nowhere(notebook: NotebookNode) -> list[str]:
    texts = [(i, cell.source) for i, cell in enumerate(notebook.cells)]
    texts += [(i, text_of(output)) for i, output in outputs(notebook)]
    found = ((i, MACHINE_PATH.search(text)) for i, text in texts)
    return [f"cell {i} names {match[0]!r}..." for i, match in found if match]


@rule
def outputs_that_are_not_compared_are_followed_by_an_assert(notebook: NotebookNode) -> list[str]:
    """Within the same section, which ends at the next heading of level 1 or 2."""
    borders = {i for i, heading in headings(notebook) if heading.level <= 2}
    complaints, waiting = [], None
    for i, cell in enumerate([*notebook.cells, None]):
        if waiting is not None and (cell is None or i in borders):
            complaints.append(f"cell {waiting} is not compared, and its section asserts nothing")
            waiting = None
        if cell is None or cell.cell_type != "code":
            continue
        if waiting is None and {"nbval-ignore-output", "data-dependent"} & set(tags(cell)):
            waiting = i
        if any(isinstance(node, ast.Assert) for node in ast.walk(parse(cell))):
            waiting = None
    return complaints


@rule
def tags_are_known_and_have_a_reason(notebook: NotebookNode) -> list[str]:
    complaints = []
    for i, cell in enumerate(notebook.cells):
        if unknown := set(tags(cell)) - TAGS.keys():
            complaints.append(f"cell {i} has unknown tags: {', '.join(sorted(unknown))}")
        if "NBVAL_" in cell.source:
            complaints.append(f"cell {i} steers nbval by a comment: use a tag")
        if "data-dependent" in tags(cell) and data_used(notebook) == "none":
            complaints.append(f"cell {i} is tagged data-dependent in a chapter without images")
        elif "data-dependent" in tags(cell) and not any(is_compared(o) for o in cell.outputs):
            complaints.append(f"cell {i} is tagged data-dependent, but pictures are not compared")
    return complaints


# --- figures ------------------------------------------------------------------------------------


@rule
def every_figure_has_alt_text_and_a_caption(notebook: NotebookNode) -> list[str]:
    complaints = []
    for i, cell in numbered_code(notebook):
        images = [o for o in cell.outputs if any(k.startswith("image/") for k in o.get("data", {}))]
        mystnb = cell.metadata.get("mystnb", {})
        if images and not mystnb.get("image", {}).get("alt"):
            complaints.append(f"cell {i} draws without alt text (metadata: mystnb.image.alt)")
        if images and not mystnb.get("figure", {}).get("caption"):
            complaints.append(f"cell {i} draws without a caption (metadata: mystnb.figure.caption)")
        if len(images) > 1:
            complaints.append(f"cell {i} draws {len(images)} figures under one caption")
        if not images and "mystnb" in cell.metadata:
            complaints.append(f"cell {i} describes a figure and draws none")
        for output in cell.outputs:
            for element in re.findall(
                r"<(?:img|svg)\b[^>]*>", output.get("data", {}).get("text/html", "")
            ):
                if not re.search(r"\b(alt|aria-label|aria-labelledby|aria-hidden)=", element):
                    complaints.append(f"cell {i} holds {element[:40]} without alt text")
    return complaints


@rule
def every_image_in_the_text_has_alt_text(notebook: NotebookNode) -> list[str]:
    complaints = []
    for i, cell in markdown_cells(notebook):
        text = read(cell.source)
        images = [image.text.strip() for image in text.of_kind("image")]
        tags_of_images = re.findall(r"<img\b[^>]*>", "".join(text.html))
        images += [" alt=" in tag for tag in tags_of_images]
        images += ["alt" in box.options for box in text.named("image", "figure")]
        if not all(images):
            complaints.append(f"cell {i} has an image without alt text")
    return complaints


# --- form ---------------------------------------------------------------------------------------


@rule
def code_cells_are_short(notebook: NotebookNode) -> list[str]:
    complaints = []
    for i, cell in numbered_code(notebook):
        count = lines_of_code(cell)
        limit = MAX_LINES_LONG if "long" in tags(cell) else MAX_LINES
        if count > limit:
            complaints.append(f"cell {i} has {count} lines of code, at most {limit} are readable")
        if "long" in tags(cell) and count <= MAX_LINES:
            complaints.append(f"cell {i} is tagged long and is not")
    return complaints


@rule
def text_cells_are_short(notebook: NotebookNode) -> list[str]:
    counts = ((i, len(read(cell.source).prose.split())) for i, cell in markdown_cells(notebook))
    return [f"cell {i} has {n} words, at most {MAX_WORDS} fit" for i, n in counts if n > MAX_WORDS]


@rule
def one_title_comes_first_and_headings_skip_no_level(notebook: NotebookNode) -> list[str]:
    complaints, last = [], 0
    found = list(headings(notebook))
    titles = [i for i, heading in found if heading.level == 1]
    if titles != [0] or found[0][1].level != 1:
        complaints.append("the notebook needs one heading of level 1, in its first cell")
    for i, heading in found:
        if heading.level > last + 1:
            complaints.append(
                f"cell {i}: '{heading.title}' has level {heading.level} after level {last}"
            )
        last = heading.level
    return complaints


@rule
def sentences_state_facts_without_fillers(notebook: NotebookNode) -> list[str]:
    return [
        f"cell {i} says {match[0]!r}"
        for i, cell in markdown_cells(notebook)
        for match in FILLERS.finditer(read(cell.source).prose)
    ]


@rule_of_chapters
def a_chapter_begins_with_its_question_and_its_minutes(notebook: NotebookNode) -> list[str]:
    """In its first cell, in lines that begin in bold."""
    said = statements(notebook.cells[0].source)
    holds = {
        "its question: **Question.** ...?": "?" in said.get("Question", ""),
        "what the reader learns: **You will be able to** ...": "You will be able to" in said,
        "its minutes: **Time.** ... minutes": minutes(said.get("Time", "")),
        "what it needs: **Needs.** ...": "Needs" in said,
    }
    return [f"the opening lacks {part}" for part, given in holds.items() if not given]


@rule
def a_chapter_takes_no_longer_than_it_says(notebook: NotebookNode) -> list[str]:
    stated = minutes(statements(notebook.cells[0].source).get("Time", ""))
    taken = notebook.metadata.get("normlab", {}).get("minutes", 0)
    slow = stated and taken > float(stated.split()[-1])
    return [f"it says {stated} minutes and took {taken}"] if slow else []


@rule_of_chapters
def a_chapter_ends_with_lessons_exercises_and_sources(notebook: NotebookNode) -> list[str]:
    sections = [heading.title for _, heading in headings(notebook) if heading.level == 2]
    wanted = ["What we learned", "Exercises", "Sources"]
    return (
        [] if sections[-3:] == wanted else [f"the last sections are {sections[-3:]}, not {wanted}"]
    )


@rule_of_chapters
def three_to_six_exercises_have_solutions_in_a_dropdown(notebook: NotebookNode) -> list[str]:
    found = exercises(notebook)
    boxes = directives(notebook, "solution", "solution-start")
    solutions = {box.argument: box.options.get("class", "") for box in boxes}
    complaints = [] if 3 <= len(found) <= 6 else [f"{len(found)} exercises"]
    for label in (exercise.label for exercise in found):
        if not label:
            complaints.append("an exercise has no :label:")
        elif label not in solutions:
            complaints.append(f"exercise {label} has no solution")
        elif "dropdown" not in solutions[label]:
            complaints.append(f"the solution of {label} needs :class: dropdown")
    return complaints


@rule_of_chapters
def every_exercise_has_a_level(notebook: NotebookNode) -> list[str]:
    """One of those that tools/exercises.py explains, as in `:class: medium`."""
    return [
        f"exercise {exercise.label} needs one :class: of {', '.join(LEVELS)}"
        for exercise in exercises(notebook)
        if not exercise.level
    ]


@rule_of_chapters
def the_difficulty_of_exercises_falls_by_one_level_at_most(notebook: NotebookNode) -> list[str]:
    order = list(LEVELS)
    graded = [exercise for exercise in exercises(notebook) if exercise.level]
    return [
        f"exercise {then.label} is {then.level} after {before.label}, which is {before.level}"
        for before, then in pairwise(graded)
        if order.index(then.level) < order.index(before.level) - 1
    ]


@rule_of_chapters
def every_exercise_is_followed_by_its_check(notebook: NotebookNode) -> list[str]:
    """By a code cell that calls `exercises.NAME.check`, before the next exercise."""
    return [f"exercise {e.label} has no check" for e in exercises(notebook) if not e.check]


@rule
def what_normlab_ships_is_defined_in_the_same_way_here(notebook: NotebookNode) -> list[str]:
    """Docstrings may differ, nothing else."""
    shipped = shipped_definitions()
    return [
        f"cell {i} defines {name} differently from normlab.{shipped[name][0]}"
        for i, cell in numbered_code(notebook)
        for name, tree in definitions(parse(cell)).items()
        if name in shipped and tree != shipped[name][1]
    ]


# The rules for pages that are no notebooks.
RULES_OF_TEXT = [
    paths_of_a_machine_appear_nowhere,
    every_image_in_the_text_has_alt_text,
    one_title_comes_first_and_headings_skip_no_level,
    sentences_state_facts_without_fillers,
]


# --- the book -----------------------------------------------------------------------------------


def pages() -> list[Path]:
    """Return what the rules are about: the notebooks, and the pages that are none."""
    texts = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "appendix").glob("*.md"))]
    return [*notebooks(), *texts]


def complaints(path: Path) -> list[str]:
    """Return what is wrong with a page by the rules for its kind, one line each."""
    if path.suffix == ".md":
        cell = new_markdown_cell(path.read_text(encoding="utf-8"))
        notebook, rules = new_notebook(cells=[cell]), RULES_OF_TEXT
    else:
        notebook = nbformat.read(path, as_version=4)
        of_chapters = RULES_OF_CHAPTERS if path.resolve().parent.name == "chapters" else []
        rules = [*RULES, *of_chapters]
    found = ((rule.__name__.replace("_", " "), said) for rule in rules for said in rule(notebook))
    return [f"{name}: {said}" for name, said in found]


def main(*names: str) -> None:
    found = {path: complaints(path) for path in map(Path, names or pages())}
    for path, lines in found.items():
        for line in lines:
            print(f"{os.path.relpath(path)}: {line}")
    if any(found.values()):
        sys.exit(1)
    print(f"{len(found)} pages keep the rules")


if __name__ == "__main__":
    main(*sys.argv[1:])

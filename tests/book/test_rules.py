"""Every rule of tools/rules.py finds a planted breach, and a chapter that keeps them all passes."""

import os
from collections.abc import Callable
from itertools import chain

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools.notebooks import data_used
from tools.rules import RULES, RULES_OF_CHAPTERS, Rule, lines_of_code, main
from tools.stamps import hashes

ALL_RULES = [*RULES, *RULES_OF_CHAPTERS]
OPENING = """# A title

**Question.** Does it work?

**You will be able to** tell.

**Time.** 2 minutes on two cores.
**Needs.** Nothing."""

EXERCISE = """:::{{exercise}} Number {0}
:label: ex-{0}
:class: easy

Do it.
:::"""

SOLUTION = """:::{{solution}} ex-{0}
:class: dropdown

It has just worked for `n != 1`, and $n!$ is large:

```python
# simply a comment
```
:::"""


def stream(text: str, name: str = "stdout") -> NotebookNode:
    return new_output("stream", name=name, text=text)


def figure() -> NotebookNode:
    return new_output("display_data", {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"})


def exercise(i: int) -> list[NotebookNode]:
    return [
        new_markdown_cell(EXERCISE.format(i)),
        new_code_cell(f"exercises.ex_{i}.check(...)"),
        new_markdown_cell(SOLUTION.format(i)),
    ]


def good() -> NotebookNode:
    """Return a chapter without fault."""
    cells = [
        new_markdown_cell(OPENING),
        new_code_cell("data = cifar10()", metadata={"tags": ["data-dependent"]}),
        new_code_cell("assert len(data) > 0"),
        new_markdown_cell("## A picture\n\n![alt](https://example.org/a.png)"),
        new_code_cell(
            "plot(data)",
            metadata={"mystnb": {"image": {"alt": "A curve."}, "figure": {"caption": "It rises."}}},
        ),
        new_code_cell("1 / 0", metadata={"tags": ["raises-exception"]}),
        new_markdown_cell("## What we learned\n\nMuch."),
        new_markdown_cell("## Exercises"),
        *chain(*(exercise(i) for i in range(3))),
        new_markdown_cell("## Sources\n\nNone."),
    ]
    cells[1].outputs = [stream("CIFAR-10: 50,000 training and 10,000 test images, from afar\n")]
    cells[4].outputs = [figure()]
    cells[5].outputs = [new_output("error", ename="ZeroDivisionError", evalue="division by zero")]
    notebook = new_notebook(cells=cells)
    number(notebook)
    return stamped(notebook)


def number(notebook: NotebookNode) -> None:
    for count, cell in enumerate([c for c in notebook.cells if c.cell_type == "code"], 1):
        cell.execution_count = count


def stamped(notebook: NotebookNode) -> NotebookNode:
    notebook.metadata["normlab"] = {
        "code": hashes(notebook),
        "data": data_used(notebook),
        "torch": "2.15.0",
        "minutes": 1.5,
    }
    return notebook


def with_cell(source: str, *outputs: NotebookNode, tags: tuple[str, ...] = ()) -> NotebookNode:
    """Return the good chapter with another code cell after its opening."""
    notebook = good()
    cell = new_code_cell(source, metadata={"tags": list(tags)} if tags else {})
    cell.outputs = list(outputs)
    notebook.cells.insert(1, cell)
    number(notebook)
    return stamped(notebook)


def with_text(markdown: str) -> NotebookNode:
    """Return the good chapter with more text after its opening."""
    notebook = good()
    notebook.cells.insert(1, new_markdown_cell(markdown))
    return notebook


def changed(change: Callable[[NotebookNode], object]) -> NotebookNode:
    """Return the good chapter after a change."""
    notebook = good()
    change(notebook)
    return notebook


def replaced(cell: int, old: str, new: str) -> NotebookNode:
    """Return the good chapter with other words in one of its cells."""
    notebook = good()
    assert old in notebook.cells[cell].source
    notebook.cells[cell].source = notebook.cells[cell].source.replace(old, new)
    return notebook


def without_images(notebook: NotebookNode) -> NotebookNode:
    notebook.cells[1].outputs = []
    return stamped(notebook)


LONG = "\n".join(f"x{i} = {i}" for i in range(13))
LENET = 'class LeNet5(nn.Sequential):\n    """Anything."""\n\n    depth = 5'
html = new_output("display_data", {"text/html": '<img src="a.png">'})
widget = new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}})

# rule, notebook with the breach, words of the complaint
BREACHES = [
    ("results_belong_to_the_code", replaced(2, "0", "1"), "cells: changed"),
    ("results_belong_to_the_code", changed(lambda n: n.metadata.pop("normlab")), "no stamp"),
    ("results_belong_to_the_code", changed(lambda n: n.cells[1].outputs.clear()), "made on none"),
    (
        "results_belong_to_the_code",
        changed(lambda n: n.metadata["normlab"].update(torch="")),
        "lacks torch",
    ),
    (
        "results_are_made_on_cifar10_if_on_images",
        with_cell("cifar10()", stream("Shapes-10: 10,000 training and 2,000 test images\n")),
        "made on CIFAR-10 and Shapes-10",
    ),
    (
        "cells_were_executed_once_from_top_to_bottom",
        changed(lambda n: n.cells[2].update(execution_count=9)),
        "[1, 9, 3, 4, 5, 6, 7]",
    ),
    (
        "errors_are_stored_where_the_tag_says_so_and_nowhere_else",
        changed(lambda n: n.cells[5].metadata.pop("tags")),
        "not tagged",
    ),
    (
        "errors_are_stored_where_the_tag_says_so_and_nowhere_else",
        changed(lambda n: n.cells[5].outputs.clear()),
        "holds no error",
    ),
    (
        "outputs_hold_no_warnings_and_no_progress_bars",
        with_cell("f()", stream("UserWarning: careful", "stderr")),
        "careful",
    ),
    ("outputs_hold_no_warnings_and_no_progress_bars", with_cell("f()", widget), "widget"),
    (
        "outputs_hold_no_warnings_and_no_progress_bars",
        with_cell("f()", stream("50%|##\r100%|####\n")),
        "progress bar",
    ),
    ("paths_of_a_machine_appear_nowhere", with_cell('f("/tmp/a")'), "/tmp/a"),
    ("paths_of_a_machine_appear_nowhere", with_cell("f()", stream("in /root/b.py\n")), "/root/b"),
    (
        "outputs_that_are_not_compared_are_followed_by_an_assert",
        replaced(2, "assert ", ""),
        "cell 1 is not compared",
    ),
    (
        "outputs_that_are_not_compared_are_followed_by_an_assert",
        changed(lambda n: n.cells[4].metadata.update(tags=["nbval-ignore-output"])),
        "cell 4 is not compared",
    ),
    ("tags_are_known_and_have_a_reason", with_cell("f()", tags=("nbval-skip",)), "nbval-skip"),
    ("tags_are_known_and_have_a_reason", with_cell("# NBVAL_SKIP\nf()"), "comment"),
    ("tags_are_known_and_have_a_reason", without_images(good()), "without images"),
    (
        "tags_are_known_and_have_a_reason",
        changed(lambda n: n.cells[4].metadata.update(tags=["data-dependent"])),
        "pictures are not compared",
    ),
    (
        "every_figure_has_alt_text_and_a_caption",
        changed(lambda n: n.cells[4].metadata["mystnb"].pop("image")),
        "without alt text",
    ),
    (
        "every_figure_has_alt_text_and_a_caption",
        changed(lambda n: n.cells[4].metadata["mystnb"].pop("figure")),
        "without a caption",
    ),
    (
        "every_figure_has_alt_text_and_a_caption",
        changed(lambda n: n.cells[4].outputs.append(figure())),
        "2 figures",
    ),
    (
        "every_figure_has_alt_text_and_a_caption",
        changed(lambda n: n.cells[4].outputs.clear()),
        "draws none",
    ),
    ("every_figure_has_alt_text_and_a_caption", with_cell("f()", html), "<img"),
    (
        "every_image_in_the_text_has_alt_text",
        with_text(":::{figure} a.png\nIt.\n:::"),
        "without alt",
    ),
    ("code_cells_are_short", with_cell(LONG), "13 lines"),
    ("code_cells_are_short", with_cell(LONG + "\n" + LONG, tags=("long",)), "26 lines"),
    ("code_cells_are_short", with_cell("f()", tags=("long",)), "is not"),
    ("text_cells_are_short", with_text("word " * 121), "121 words"),
    (
        "one_title_comes_first_and_headings_skip_no_level",
        with_text("# Another title"),
        "one heading of level 1",
    ),
    (
        "one_title_comes_first_and_headings_skip_no_level",
        with_text("### Too deep"),
        "level 3 after level 1",
    ),
    *(
        ("sentences_state_facts_without_fillers", with_text(text), "")
        for text in (
            "We simply add.",
            "It just works.",
            "Note that it fails.",
            "Let's dive in.",
            "It works!",
            "Well done \N{PARTY POPPER}",
            ":::{note}\nIt is obviously true.\n:::",
        )
    ),
    *(
        ("a_chapter_begins_with_its_question_and_its_minutes", replaced(0, old, new), name)
        for old, new, name in (
            ("work?", "work.", "question"),
            ("You will be able to", "You can", "learns"),
            ("2 minutes", "A while", "minutes"),
            ("**Needs.**", "Needs", "needs"),
        )
    ),
    ("a_chapter_takes_no_longer_than_it_says", replaced(0, "2 minutes", "1 minute"), "took 1.5"),
    (
        "a_chapter_ends_with_lessons_exercises_and_sources",
        changed(lambda n: n.cells.pop(6)),
        "['A picture', 'Exercises', 'Sources']",
    ),
    (
        "three_to_six_exercises_have_solutions_in_a_dropdown",
        changed(lambda n: n.cells.extend(chain(*(exercise(i) for i in range(3, 7))))),
        "7 exercises",
    ),
    (
        "three_to_six_exercises_have_solutions_in_a_dropdown",
        replaced(13, "{solution}", "{note}"),
        "ex-1 has no solution",
    ),
    (
        "three_to_six_exercises_have_solutions_in_a_dropdown",
        replaced(13, ":class: dropdown", ""),
        "dropdown",
    ),
    (
        "three_to_six_exercises_have_solutions_in_a_dropdown",
        replaced(11, ":label: ex-1\n", ""),
        "no :label:",
    ),
    *(
        ("every_exercise_has_a_level", replaced(11, ":class: easy", other), "exercise ex-1 needs")
        for other in (":class: dropdown", ":class: easy hard")
    ),
    (
        "the_difficulty_of_exercises_falls_by_one_level_at_most",
        replaced(8, ":class: easy", ":class: hard"),
        "exercise ex-1 is easy after ex-0, which is hard",
    ),
    (
        "every_exercise_is_followed_by_its_check",
        changed(lambda n: n.cells.pop(12)),
        "exercise ex-1 has no check",
    ),
    (
        "what_normlab_ships_is_defined_in_the_same_way_here",
        with_cell(LENET),
        "LeNet5 differently from normlab.models",
    ),
]


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: rule.__name__)
def test_a_good_chapter_keeps_the_rule(rule: Rule) -> None:
    assert rule(good()) == []


@pytest.mark.parametrize(("name", "bad", "words"), BREACHES, ids=[b[0] for b in BREACHES])
def test_a_breach_is_found(name: str, bad: NotebookNode, words: str) -> None:
    (rule,) = (r for r in ALL_RULES if r.__name__ == name)
    assert [words in complaint for complaint in rule(bad)].count(True) >= 1, rule(bad)


def test_every_rule_has_a_breach() -> None:
    assert {rule.__name__ for rule in ALL_RULES} == {name for name, _, _ in BREACHES}


def test_magics_are_code() -> None:
    notebook = with_cell("%matplotlib inline\n!ls")
    assert [complaint for rule in ALL_RULES for complaint in rule(notebook)] == []


def test_imports_comments_and_blank_lines_are_not_counted() -> None:
    cell = new_code_cell(
        "import os\nfrom a import (\n    b,\n)\n\n# say why\nx = b()  # and here\nx"
    )
    assert lines_of_code(cell) == 2


def test_the_command_names_page_rule_and_cell_and_fails(tmp_path, capsys) -> None:
    path = tmp_path / "page.md"
    path.write_text("# A title\n\nIt simply works.\n", encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        main(str(path))
    assert stopped.value.code == 1
    said = f"{os.path.relpath(path)}: sentences state facts without fillers: cell 0 says 'simply'\n"
    assert capsys.readouterr().out == said


def test_the_command_is_content_with_a_page_that_keeps_the_rules(tmp_path, capsys) -> None:
    path = tmp_path / "page.md"
    path.write_text("# A title\n\nIt works.\n", encoding="utf-8")
    main(str(path))
    assert capsys.readouterr().out == "1 pages keep the rules\n"

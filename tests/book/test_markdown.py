"""What tools/markdown.py reads in a text."""

from markdown_it.renderer import RendererHTML
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

from tools import ROOT
from tools.contents import settings
from tools.markdown import Directive, Equation, parser, read, statements

BOXES = """Before.

::::{note} The title
:class: wide

Inside, {eq}`eq-a`.

```{figure} a.png
:alt: A
```

```{code-block} python
x = {eq}`no`
```
::::
"""


def test_the_parser_knows_what_the_book_knows() -> None:
    extensions = settings(ROOT)["parse"]["myst_enable_extensions"]
    config = MdParserConfig(enable_extensions=set(extensions))
    theirs = create_md_parser(config, RendererHTML).get_active_rules()
    ours = parser().get_active_rules()
    assert (ours["block"], ours["inline"]) == (theirs["block"], theirs["inline"])


def test_directives_have_name_argument_options_body_and_place() -> None:
    note, figure, code = read(BOXES).directives
    assert (note.name, note.argument, note.options) == ("note", "The title", {"class": "wide"})
    assert (note.lines, note.depth) == ((2, 15), 0)
    assert figure == Directive("figure", "a.png", {"alt": "A"}, "", (7, 10), 1)
    assert (code.name, code.body) == ("code-block", "x = {eq}`no`")


def test_roles_links_and_images_are_found_outside_code_alone() -> None:
    found = read(BOXES + "\n[words *x*](b.md#c) `[a](b)` ![alt](c.png)\n").inlines
    assert [(i.kind, i.target, i.text, i.source) for i in found] == [
        ("role", "eq", "eq-a", "{eq}`eq-a`"),
        ("link", "b.md#c", "words *x*", "[words *x*](b.md#c)"),
        ("image", "c.png", "alt", "![alt](c.png)"),
    ]


def test_a_role_stands_in_the_lines_of_its_block() -> None:
    assert [inline.lines for inline in read(BOXES).inlines] == [(5, 6)]


def test_headings_have_the_anchors_of_the_book() -> None:
    headings = read("# A `title`, 2\n\n```\n# no\n```\n\n## B\n").headings
    assert [(h.level, h.title, h.anchor) for h in headings] == [
        (1, "A `title`, 2", "a-title-2"),
        (2, "B", "b"),
    ]


def test_equations_with_a_label_and_targets_are_found() -> None:
    text = read("(here)=\n## A\n\n$$\nx = 1\n$$ (eq-a)\n\n$$y$$\n")
    assert text.equations == [Equation("eq-a", "x = 1", (3, 6), 0)]
    assert text.targets == [(0, 1)]


def test_code_is_given_with_its_language() -> None:
    assert read("```python\nx = 1\n```\n").code == [("python", "x = 1\n")]


def test_prose_is_what_a_reader_reads() -> None:
    text = (
        "(label)=\n## Two words\n\nSee [the **page**](a.md), `code` and $x!$.\n\n"
        "| a | table |\n|---|---|\n| b | c |\n\n$$\ny = x!\n$$ (eq-y)\n\n"
        "```python\nx != 1\n```\n\n- <b>An</b> item\n\n<!-- none -->\n\n"
        "````{note} Title\n:class: wide\nInside.\n````\n\n```{eval-rst}\nnone\n```\n"
    )
    spoken = "Two words See the page, x and x. x An item Inside."
    assert " ".join(read(text).prose.split()) == spoken


def test_a_line_that_begins_in_bold_is_a_statement() -> None:
    text = "**Question.** Is **this** it?\n\n**Time.** 2\nminutes.\n**Needs.** [a](b.md).\n"
    assert statements(text) == {
        "Question": "Is **this** it?",
        "Time": "2 minutes.",
        "Needs": "[a](b.md).",
    }

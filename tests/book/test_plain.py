"""What the Markdown of the book becomes in a notebook that stands alone."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from pybtex.database import parse_string

from tools.plain import labels, plain

BIBLIOGRAPHY = parse_string(
    """
@misc{one2015, author = {Jane van Laar}, year = {2015}, title = {A}, url = {https://a.org}}
@misc{two2016, author = {A. One and B. Two}, year = {2016}, title = {B}, doi = {10.1/b}}
@misc{many2017, author = {A. One and B. Two and C. Three}, year = {2017}, title = {C}, url = {u}}
@misc{blog, author = {{Tutorial F}}, title = {F}, note = {Year and address unknown to us}}
""",
    "bibtex",
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("By {cite:t}`one2015`.", "By [van Laar (2015)](https://a.org)."),
        ("So {cite:p}`two2016`.", "So ([One and Two, 2016](https://doi.org/10.1/b))."),
        ("By {cite:t}`many2017`.", "By [One et al. (2017)](u)."),
        ("By {cite:t}`blog`.", "By Tutorial F (n.d.)."),
        ("So {cite:p}`blog`.", "So (Tutorial F, n.d.)."),
        ("By {eq}`eq-a`.", "By (1)."),
        ("See {numref}`fig-a`.", "See Figure 2."),
        ("$$\nx = 1\n$$ (eq-a)", "$$\nx = 1 \\tag{1}\n$$"),
        ("- a\n\n  $$x$$ (eq-a)", "- a\n\n  $$\n  x \\tag{1}\n  $$"),
        (":::{exercise} Add\n:label: ex-a\n\nDo it.\n:::", "### Exercise 3: Add\n\nDo it."),
        (
            ":::{exercise} Add\n:label: ex-a\n:class: easy\n\nDo.\n:::",
            "### Exercise 3: Add (easy)\n\nDo.",
        ),
        (":::{solution-end}\n:::", ""),
        (
            ":::{laboratory} batches-of-two\nLook at {eq}`eq-a`.\n:::",
            "Look at (1).\n\n> **Laboratory**\n>\n> On the page of this chapter two networks train "
            "here, side by side: *Batches of two*.",
        ),
        (":::{note} Beware\nOf this.\n:::", "> **Beware**\n>\n> Of this."),
        ("(here)=\n## Title", "## Title"),
        ("[b](../chapters/02-b.ipynb#c)", "[b](02-b.ipynb#c)"),
        ("[words](../appendix/glossary.md#a)", "words"),
        ("- [more\n  words](../appendix/glossary.md)", "- more\nwords"),
        ("Write `{eq}` and ``{eq}`eq-a` ``.", "Write `{eq}` and ``{eq}`eq-a` ``."),
        ("```md\n{eq}`eq-a`\n```", "```md\n{eq}`eq-a`\n```"),
        (":::{note}\nBy {eq}`eq-a`.\n\nSo.\n:::", "> **Note**\n>\n> By (1).\n> \n> So."),
    ],
)
def test_what_jupyter_does_not_know_becomes_markdown(text: str, expected: str) -> None:
    numbers = {"eq-a": "Equation 1", "fig-a": "Figure 2", "ex-a": "Exercise 3"}
    assert plain(text, numbers, BIBLIOGRAPHY) == expected


def test_what_another_notebook_labels_is_named_with_a_link() -> None:
    text = plain("By {eq}`eq-mean`.", {}, BIBLIOGRAPHY)
    assert text == "By equation 1 of [The mathematics](02-the-mathematics.ipynb)."


def test_equations_figures_and_exercises_are_numbered_in_their_order() -> None:
    figure = {"mystnb": {"figure": {"name": "fig-a", "caption": "A"}}}
    cells = [
        new_markdown_cell("$$x$$ (eq-a)\n\n$$y$$ (eq-b)"),
        new_code_cell("draw()", metadata=figure),
        new_markdown_cell(":::{exercise} A\n:label: ex-a\n:::"),
    ]
    assert labels(new_notebook(cells=cells)) == {
        "eq-a": "Equation 1",
        "eq-b": "Equation 2",
        "fig-a": "Figure 1",
        "ex-a": "Exercise 1",
    }


def test_a_directive_that_has_no_plain_form_is_refused() -> None:
    with pytest.raises(ValueError, match="directive figure"):
        plain(":::{figure} a.png\n:::", {}, BIBLIOGRAPHY)

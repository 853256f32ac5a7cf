"""Which code the pages fold: tools/folds.py."""

import pytest
from docutils import nodes

from tools.folds import (
    CHECK,
    CODE,
    IMPORTS,
    SETTINGS,
    Part,
    closer,
    fold_cell,
    label_of_code,
    parts,
)


def kinds(source: str, *in_text: str) -> list[tuple[str, str]]:
    return [(part.kind, part.label) for part in parts(source, in_text)]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import math\nfrom torch import nn as n\n", [(IMPORTS, "Imports: math, n")]),
        ("import torch\n\nstyle.use_style()", [(IMPORTS, "Imports: torch")]),
        ("SEEDS = range(3)\nRATE = 0.1", [(SETTINGS, "Settings: SEEDS, RATE")]),
        ("import math\nEPOCHS = 3", [(SETTINGS, "Imports and settings: EPOCHS")]),
        ("torch.manual_seed(0)", [(SETTINGS, "The seed of the random numbers")]),
        ("assert 1 + 1 == 2", [(CHECK, "")]),
        ("# Claim: It holds\n# twice.\nassert a\nassert b", [(CHECK, "It holds twice.")]),
    ],
)
def test_cells_that_only_import_configure_or_assert_are_folded(source: str, found: list) -> None:
    assert kinds(source) == found


@pytest.mark.parametrize(
    "source",
    [
        "x = torch.randn(3)",
        "seeds = range(3)",  # no constant
        "F = lambda x: x",
        "RATES = [10**-k for k in range(3)]\nprint(RATES)",
        "torch.manual_seed(0)\nx = torch.randn(3)",
        "x = 1\nassert x == 1",  # what the text is about; it claims nothing of an experiment
        "%%writefile a.py\nimport math",
        "",
    ],
)
def test_other_code_stands_open(source: str) -> None:
    assert kinds(source) == ([(CODE, "")] if source else [])


def test_a_constant_of_which_the_text_speaks_is_no_setting() -> None:
    assert kinds("SEEDS = range(3)", "SEEDS") == [(CODE, "")]
    assert kinds("SEEDS = range(3)", "RATES") == [(SETTINGS, "Settings: SEEDS")]


CELL = """\
import math

x = math.pi


def f(): ...


print(x)
# Claim: One.
y = x
assert y
# Claim: Two.
for i in range(3):
    assert x
print("after")"""


def test_a_cell_is_cut_into_imports_code_and_claims() -> None:
    assert parts(CELL) == [
        Part(IMPORTS, "Imports: math", "import math"),
        Part(CODE, "", "x = math.pi"),
        Part(CODE, "Code: f", "def f(): ..."),
        Part(CODE, "", "print(x)"),
        Part(CHECK, "One.", "# Claim: One.\ny = x\nassert y"),
        Part(CHECK, "Two.", "# Claim: Two.\nfor i in range(3):\n    assert x"),
        Part(CODE, "", 'print("after")'),
    ]


def test_a_loop_with_claims_inside_is_one_check_unless_it_does_more() -> None:
    source = "for x in y:\n    # Claim: One.\n    assert x\n    # Claim: Two.\n    assert x"
    assert parts(source) == [Part(CHECK, "One. Two.", source)]
    for source in (
        "for x in y:\n    print(x)\n    # Claim: It holds.\n    assert x",
        "for x in y:\n    # Claim: It holds.\n    assert x\n    found.append(x)",
    ):
        assert parts(source) == [Part(CODE, "", source)]


def test_a_long_list_of_names_is_cut() -> None:
    names = ", ".join("abcdefghijk")
    assert kinds(f"import {names}") == [(IMPORTS, "Imports: a, b, c, d, e, f, g, h, ...")]


def test_code_that_the_tag_folds_says_what_it_defines_or_draws() -> None:
    source = "def f(): ...\n\n\nclass A: ...\n\n\nx = 1"
    assert label_of_code(source, draws=False) == "Code: f, A"
    assert label_of_code(source, draws=True) == "Code of the figure"
    assert label_of_code("x = 1", draws=False) == "Code"
    assert label_of_code("print(x)", draws=False, prints=True) == "Code of the output"


def cell(source: str, **attributes: str) -> nodes.container:
    """Return a cell with an output as myst-nb makes it."""
    code = nodes.container("", nodes.literal_block(source, source), nb_element="cell_code_source")
    output = nodes.container("", nodes.Text("printed"), nb_element="cell_code_output")
    return nodes.container("", code, output, nb_element="cell_code", **attributes)


def test_claims_stand_below_the_output_that_shows_them() -> None:
    box = cell(CELL)
    fold_cell(box, set())
    code, output, checks = box.children
    assert [getattr(part, "tagname", "") for part in code.children] == [
        "Fold", "literal_block", "Fold", "literal_block", "literal_block"
    ]  # fmt: skip
    assert output["nb_element"] == "cell_code_output"
    assert [fold["label"] for fold in checks.children] == ["Checked: One.", "Checked: Two."]


def test_the_tag_folds_the_rest_and_a_cell_of_claims_has_no_box() -> None:
    box = cell("import math\nf()", hide_mode="input")
    fold_cell(box, set())
    assert [fold["label"] for fold in box[0].children] == ["Imports: math", "Code of the output"]
    assert "hide_mode" not in box
    box = cell("# Claim: It holds.\nassert x")
    fold_cell(box, set())
    output, checks = box.children
    assert output["nb_element"] == "cell_code_output"
    assert [fold["label"] for fold in checks.children] == ["Checked: It holds."]


def test_of_two_blank_lines_one_is_shown_unless_in_a_string() -> None:
    assert closer("a = 1\n\n\nb = 2") == "a = 1\n\nb = 2"
    text = 'a = """1\n\n\n2"""'
    assert closer(text) == text
    assert closer("%%writefile a.py\na = 1\n\n\nb = 2").count("\n") == 4


def test_definitions_that_the_text_does_not_name_are_folded() -> None:
    source = "def f(): ...\n\n\n@cache\ndef g(): ...\n\n\nclass A: ...\n\n\nx = f()"
    assert [(p.label, p.source) for p in parts(source)] == [
        ("Code: f, g, A", source.rpartition("\n\n\n")[0]),
        ("", "x = f()"),
    ]
    assert kinds(source, "g") == [(CODE, "Code: f"), (CODE, ""), (CODE, "Code: A"), (CODE, "")]
    assert parts(source, (), helpers=False) == [Part(CODE, "", source)]


def test_definitions_stay_open_in_exercises_and_where_the_tag_says_so() -> None:
    box = cell("def f(): ...", cell_metadata={"tags": ["show-input"]})
    fold_cell(box, set())
    assert isinstance(box[0][0], nodes.literal_block)
    box = cell("def f(): ...")
    fold_cell(box, set(), exercise=True)
    assert isinstance(box[0][0], nodes.literal_block)
    box = cell("def f(): ...")
    fold_cell(box, set())
    assert box[0][0]["label"] == "Code: f"


def test_an_untouched_exercise_shows_no_output() -> None:
    source = "def f(): ...\n\n\nexercises.f.check(f)"
    box = cell(source)
    box[1].children = [nodes.Text("Not yet: it returns nothing. Write the body first.\n")]
    fold_cell(box, set(), exercise=True)
    assert len(box.children) == 1 and box[0]["nb_element"] == "cell_code_source"


def test_a_file_that_a_cell_writes_is_named() -> None:
    assert label_of_code("%%writefile -a a.py\nx = 1", draws=False) == "File: a.py"

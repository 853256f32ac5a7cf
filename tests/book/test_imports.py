"""Which modules of the project a piece of code imports, in a project in miniature."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.imports import files, modules

PROJECT = {
    "src/normlab/__init__.py": "from normlab.layers import Layer\n",
    "src/normlab/layers.py": "import torch\nfrom normlab import math as m\n",
    "src/normlab/math.py": "TWO = 2\n",
    "src/normlab/unused.py": "raise ValueError\n",
    "src/normlab/late.py": "def load():\n    import normlab.style\n",
    "src/normlab/style.py": "import matplotlib.pyplot as plt\n",
    "src/normlab/pages/__init__.py": "from normlab.pages.one import show\n",
    "src/normlab/pages/one.py": "from normlab.style import BLUE\nshow = fill('page.html')\n",
    "src/normlab/pages/page.html": "<p>\n",
    "src/normlab/pages/other.html": "<p>\n",
    "chapters/figures/__init__.py": "",
    "chapters/figures/lenet.py": "from normlab import style\n",
    "chapters/exercises/__init__.py": "",
    "chapters/exercises/lenet.py": "",
}
LAYERS = ["normlab", "normlab.layers", "normlab.math"]  # what every import of normlab brings


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    for name, text in PROJECT.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import torch, numpy.linalg", []),
        ("import normlab", LAYERS),
        ("import os, normlab.math as m", LAYERS),
        ("from normlab.layers import Layer", LAYERS),
        ("from normlab import Layer, style", [*LAYERS, "normlab.style"]),
        ("def f():\n    from normlab import late", ["normlab", "normlab.late", *LAYERS[1:],
                                                                "normlab.style"]),
        ("from figures import lenet as figures", [*LAYERS, "normlab.style", "figures",
                                                  "figures.lenet"]),
        ("from exercises import lenet as exercises", ["exercises", "exercises.lenet"]),
        ("%matplotlib inline\n!ls\nimport exercises", ["exercises"]),
        ("from normlab import pages", [*LAYERS, "normlab.pages", "normlab.pages.one",
                                       "normlab.style", "normlab/pages/page.html"]),
    ],
)  # fmt: skip
def test_modules_are_found_through_every_form_of_import(
    project: Path, code: str, expected: list[str]
) -> None:
    assert list(modules(code, root=project)) == expected


def test_each_module_has_its_path(project: Path) -> None:
    found = modules("from figures import lenet", root=project)
    assert found["figures.lenet"] == project / "chapters" / "figures" / "lenet.py"
    assert found["normlab"] == project / "src" / "normlab" / "__init__.py"


def test_files_lie_beside_the_code_that_imports_them(project: Path) -> None:
    found = files("from normlab import pages", "from exercises import lenet", root=project)
    assert found["normlab/pages/page.html"] == "<p>\n"
    assert found["normlab/math.py"] == "TWO = 2\n"
    assert found["exercises/lenet.py"] == ""


@pytest.mark.parametrize("code", ["import normlab.gone", "from normlab.gone import a"])
def test_a_module_that_is_missing_is_named(project: Path, code: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"src holds no module normlab\.gone"):
        modules(code, root=project)


def test_an_import_that_is_not_followed_is_an_error(project: Path) -> None:
    with pytest.raises(ImportError, match=r"in full: from \.layers import Layer"):
        modules("from .layers import Layer", root=project)


NAMES = [name for name in PROJECT if name.endswith(".py") and "__init__" not in name]
IMPORTS = st.lists(st.sampled_from([f"import {n.split('/', 1)[1][:-3].replace('/', '.')}"
                                    for n in NAMES]))  # fmt: skip


@given(IMPORTS, st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_order_of_imports_and_their_cells_do_not_matter(project: Path, lines, random) -> None:
    mixed = random.sample(lines, len(lines))
    together = modules("\n".join(lines), root=project)
    assert list(modules(*mixed, root=project).items()) == list(together.items())

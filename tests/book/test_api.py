"""The page on normlab and the links to it: made without what it imports, and none the worse."""

import ast
import inspect
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup, Tag
from sphinx_codeautolink.parse import parse_names

from tools import ROOT
from tools.api import Names, documented, escape_stars

CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["sphinx"]["config"]
MOCKED = CONFIG["autodoc_mock_imports"]
PAGE = """\
# A page

```python
from exercises import first_experiments as exercises
from normlab.models import LeNet5
from normlab.training import fit

LeNet5().double()
```

```python
fit(model)
exercises.flat_features.check(model)
```

```{toctree}
api
```
"""
# Some extension may have imported the real package before; in the end none is there.
BUILD = f"""
import sys
import numpy
from sphinx.cmd.build import main

code = main(["-W", "-n", "--keep-going", "-q", *sys.argv[1:]])
real = {{name.split(".")[0] for name in sys.modules}} & set({MOCKED})
sys.exit(code or (f"imported: {{real}}" if real else 0))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the page on normlab and one that links to it."""
    folder = tmp_path_factory.mktemp("book")
    extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_codeautolink"]
    settings = {
        key: value
        for key, value in CONFIG.items()
        if key.startswith(("autodoc", "codeautolink", "napoleon", "nitpick", "default_role"))
    }
    settings["extensions"] = [*extensions, "tools.api"]
    conf = "".join(f"{key} = {value!r}\n" for key, value in settings.items())
    (folder / "conf.py").write_text(conf, encoding="utf-8")
    (folder / "index.md").write_text(PAGE, encoding="utf-8")
    page = (ROOT / "appendix" / "api.md").read_text(encoding="utf-8")
    page = page.replace("../benchmarks", os.path.relpath(ROOT / "benchmarks", folder))  # included
    page = re.sub(r"\[([^]]+)\]\(\.\./chapters/[^)]*\)", r"\1", page)  # chapters are not built here
    (folder / "api.md").write_text(page, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-c", BUILD, folder, folder / "html"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return folder / "html"


def soup(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def signature(page: BeautifulSoup, name: str) -> str:
    return page.find(id=f"normlab.{name}").get_text().strip().rstrip("#¶\n")


def test_signatures_read_as_in_the_code(built: Path) -> None:
    api = soup(built / "api.html")
    assert signature(api, "models.mlp") == (
        "normlab.models.mlp(sizes: Sequence[int], norm: Callable[[int], Module] | None = None, "
        "activation: type[Module] = nn.ReLU) → Sequential"
    )
    assert "(input: Tensor" in signature(api, "functional.batch_norm")
    assert "Tensor | None" in signature(api, "functional.batch_norm")
    assert "loss_fn: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy" in signature(
        api, "training.fit"
    )


def test_every_signature_has_the_arguments_of_the_object(built: Path) -> None:
    shown = [
        tag for tag in soup(built / "api.html").select("dt.sig[id]") if tag.select(".sig-paren")
    ]
    assert len(shown) > 30
    assert [tag["id"] for tag in shown if arguments(tag) != arguments(find(tag["id"]))] == []


def arguments(thing: object) -> list[str]:
    """Return the names of the arguments in a signature: of the page, or of the object itself."""
    if isinstance(thing, Tag):
        names = [parameter.get_text().split(":")[0] for parameter in thing.select(".sig-param")]
        return [name.split("=")[0].lstrip("*").strip() for name in names if name not in ("*", "/")]
    return [name for name in inspect.signature(thing).parameters if name != "self"]


def find(name: str) -> object:
    """Return the object of normlab that has this name."""
    package, module, *path = name.split(".")
    thing = import_module(f"{package}.{module}")
    for part in path:
        thing = getattr(thing, part)
    return thing


def test_names_in_code_cells_lead_to_the_page(built: Path) -> None:
    links = {a["href"]: a.get_text() for a in soup(built / "index.html").select("pre a[href]")}
    assert links["api.html#normlab.training.fit"] == "fit"
    assert links["api.html#normlab.models.LeNet5"] == "LeNet5"
    assert links["api.html#normlab.exercise.Exercise.check"] == "exercises.flat_features.check"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (["normlab", "models", "LeNet5", "()", "to", "()"], ["normlab", "models", "LeNet5", "()"]),
        (["exercises", "a", "b", "check"], ["normlab", "exercise", "Exercise", "check"]),
        (["exercises", "a"], ["exercises", "a"]),
        (["float", "()"], ["float", "()"]),
    ],
)  # fmt: skip
def test_a_name_is_followed_to_what_is_documented(parts: list[str], expected: list[str]) -> None:
    assert documented(parts) == expected


def test_names_of_cells_are_found_as_if_each_came_with_all_before_it() -> None:
    cells = ["from a import b as c\nx = c.d()", "x.e\nfor y in x:\n    c.f", "del c\nc.g", "x.e"]
    names, before = Names(), []
    for cell in cells:
        first = "\n".join(before).count("\n") + 1 if before else 0
        source = "\n".join([*before, cell])
        expected = [name for name in parse_names(source, None) if name.lineno > first]
        assert names(source, None) == expected
        before.append(cell)
    assert names("c.d", None) == []  # another page knows nothing of this one


def escaped(line: str) -> str:
    lines = [line]
    escape_stars(None, "function", "f", None, None, lines)
    return lines[0]


def test_a_star_in_a_shape_begins_no_emphasis() -> None:
    assert (
        escaped("x of shape [N, C, *], an *open* set") == r"x of shape [N, C, \*], an \*open\* set"
    )


def test_a_star_in_code_stays_as_it_is() -> None:
    assert escaped("`a * b` and [*] and `*c`") == r"`a * b` and [\*] and `*c`"


def imports(path: Path) -> set[str]:
    """Return the packages that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.split(".")[0])
    return found


def test_the_documentation_does_without_all_that_normlab_imports() -> None:
    used = set().union(*map(imports, (ROOT / "src" / "normlab").rglob("*.py")))
    brought_by_sphinx = {"requests", "urllib3"}
    assert used - sys.stdlib_module_names - brought_by_sphinx - {"normlab"} <= set(MOCKED)

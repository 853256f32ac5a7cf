"""Notebooks that stand alone: what they carry, and whether they run."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from tools import ROOT, exercises, standalone
from tools.imports import PACKAGES, files, imported
from tools.notebooks import code_cells

# --- notebooks ----------------------------------------------------------------------------------

CHAPTERS = sorted(ROOT.glob("chapters/*.ipynb"))
NOTEBOOKS = [*CHAPTERS, *sorted(ROOT.glob("appendix/*.ipynb"))]


def converted(path: Path) -> NotebookNode:
    return standalone.standalone(nbformat.read(path, as_version=4))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_modules_that_a_notebook_imports_come_along_whole_and_folded(path: Path) -> None:
    notebook = converted(path)
    sources = [cell.source for cell in code_cells(nbformat.read(path, as_version=4))]
    cells = [cell for cell in notebook.cells if cell.source.startswith("%%writefile ")]
    cells = [cell for cell in cells if cell.source not in sources]  # chapters write files too
    written = dict(cell.source.removeprefix("%%writefile ").split("\n", 1) for cell in cells)
    assert written == files(*sources)
    assert "" not in written.values()  # IPython would refuse to write it
    assert all(cell.metadata.jupyter.source_hidden for cell in cells)


def test_a_chapter_brings_no_figures_and_exercises_but_its_own() -> None:
    text = "\n".join(cell.source for cell in converted(CHAPTERS[0]).cells)
    written = re.findall(r"^%%writefile ((?:figures|exercises)/\S+)", text, re.MULTILINE)
    assert written == [
        "figures/__init__.py",
        "figures/why_normalize.py",
        "exercises/__init__.py",
        "exercises/why_normalize.py",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_nothing_of_the_book_is_left_in_the_text(path: Path) -> None:
    notebook = converted(path)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    marks = ("{cite", "{eq}", "{numref}", "{ref}", "{doc}", ":::", ".md)", ".md#", "chapters/")
    assert [mark for mark in marks if mark in text] == []
    nbformat.validate(notebook)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_solutions_are_folded_and_their_checks_come_along(path: Path) -> None:
    notebook = converted(path)
    solutions = [c for c in notebook.cells if c.source.startswith(standalone.SOLUTION)]
    written = nbformat.read(path, as_version=4).cells
    assert len(solutions) >= sum("{solution-start}" in cell.source for cell in written)
    assert all(cell.metadata.jupyter.source_hidden for cell in solutions)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    text = "\n".join(cell.source for cell in cells)
    called = {name for cell in cells if (name := exercises.checked(cell))}
    kinds = "|".join(["Exercise", *re.findall(r"^class (\w+)\(Exercise\)", text, re.MULTILINE)])
    assert called <= set(re.findall(rf"^(\w+) = (?:{kinds})\(", text, re.MULTILINE))


# What the text before the package names, and what comes with that, with requests and with Jupyter.
GIVEN = {
    "torch",
    "sklearn",
    "matplotlib",
    "numpy",
    "PIL",
    "urllib3",
    "triton",  # comes with PyTorch on Linux; where it is missing, a cell says so
    "IPython",
    "jinja2",
    "matplotlib_inline",
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_notebook_imports_is_named_or_installed(path: Path) -> None:
    sources = [cell.source for cell in converted(path).cells if cell.cell_type == "code"]
    sources = [s for s in sources if not re.match(r"%%writefile .*(?<!\.py)\n", s)]
    setup = next((source for source in sources if source.startswith("from pathlib")), "")
    installed = set(re.findall(r"^    import (\w+)\nexcept ImportError", setup, re.MULTILINE))
    code = (re.sub(r"^%%writefile .*\n", "", source) for source in sources)
    needed = {name.split(".")[0] for name in imported(*code)}
    assert needed - sys.stdlib_module_names - {*PACKAGES} - GIVEN - installed == set()


# --- the checks, as somebody without the project meets them --------------------------------------

# Runs in a process of its own: each chapter finds the parts of normlab that its notebook writes,
# nothing else of it, and its cells print what a reader sees.
READER = """
import contextlib, importlib, io, json, sys, types
from pathlib import Path

def printed(cell, names):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(cell, names)
    return out.getvalue().splitlines()[0]

answers = {}
for chapter in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
    for name in [name for name in sys.modules if name.split(".")[0] in ("normlab", "exercises")]:
        del sys.modules[name]
    sys.path.insert(0, chapter["folder"])
    importlib.invalidate_caches()
    cells = sys.modules["cells"] = types.ModuleType("cells")  # pickle finds what they define
    names = vars(cells)
    exec(chapter["imports"], names)
    module = names["exercises"]
    assert module.__file__.startswith(chapter["folder"]), module.__file__
    answers[chapter["name"]] = {
        exercise: {
            "stub": printed(stub, names),
            "solution": printed(solution, names),
            "mistakes": [
                [hint, getattr(module, exercise).verdict(mistake)]
                for mistake, hint in getattr(module, exercise).mistakes
            ],
        }
        for exercise, stub, solution in chapter["exercises"]
    }
    sys.path.remove(chapter["folder"])
print(json.dumps(answers))
"""


def unpack(path: Path, folder: Path) -> dict:
    """Write what the standalone copy of a chapter writes, and return the cells of its exercises."""
    notebook = converted(path)
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    for source in sources:
        if file := re.match(r"%%writefile (\S+)\n", source):
            (folder / file[1]).parent.mkdir(parents=True, exist_ok=True)
            (folder / file[1]).write_text(source[file.end() :], encoding="utf-8")
    python = [source for source in sources if not re.search(r"^\s*[%!]", source, re.MULTILINE)]
    cells = [(name, s) for s in python if (name := exercises.checked(new_code_cell(s)))]
    solutions = {name: s for name, s in cells if s.startswith(standalone.SOLUTION)}
    stubs = {name: s for name, s in cells if not s.startswith(standalone.SOLUTION)}
    words = set(re.findall(r"\w+", "\n".join(solutions.values())))
    imports = [
        ast.unparse(node)
        for node in ast.walk(ast.parse("\n".join(python)))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        and words & {name.asname or name.name for name in node.names}
    ]
    return {
        "name": path.stem,
        "folder": str(folder),
        "imports": "\n".join(imports),
        "exercises": [(name, stubs[name], solutions[name]) for name in solutions],
    }


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, dict]]:
    """What the checks of each standalone chapter answer: to stub, solution and mistakes."""
    folder = tmp_path_factory.mktemp("alone")
    chapters = [unpack(path, folder / path.stem) for path in CHAPTERS]
    (folder / "chapters.json").write_text(json.dumps(chapters), encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-c", READER, "chapters.json"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_standalone_chapter_carries_the_check_of_each_exercise(path: Path, answers) -> None:
    written = exercises.exercises(nbformat.read(path, as_version=4))
    assert sorted(answers[path.stem]) == sorted(exercise.check for exercise in written)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_its_checks_accept_the_solutions_without_the_rest_of_the_chapter(
    path: Path, answers
) -> None:
    said = {name: answer["solution"] for name, answer in answers[path.stem].items()}
    assert said == dict.fromkeys(said, "Correct.")


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_its_checks_tell_an_empty_stub_to_begin(path: Path, answers) -> None:
    stubs = {name: answer["stub"] for name, answer in answers[path.stem].items()}
    assert stubs == dict.fromkeys(stubs, "Not yet: it returns nothing. Write the body first.")


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_its_checks_give_each_mistake_its_hint(path: Path, answers) -> None:
    pairs = [pair for answer in answers[path.stem].values() for pair in answer["mistakes"]]
    assert len(pairs) >= 3 * len(answers[path.stem])
    assert [said for hint, said in pairs if said != f"Not yet: {hint}"] == []


# --- whole notebooks ----------------------------------------------------------------------------

COLAB = ROOT / ".venv" / "colab" / "bin" / "python"  # made by `make test-standalone`
# What the carried packages are loaded from, at the end of a notebook.
ORIGINS = f"""
import sys
sorted(m.__file__ for name, m in sys.modules.items() if name.split(".")[0] in {(*PACKAGES,)})
"""


def run_alone(path: Path, folder: Path, python: str) -> None:
    """Run the standalone copy of a notebook in an empty folder, with a kernel of `python`.

    What it imports of the course must lie beside it, and its solutions must be right.
    """
    notebook = converted(path)
    notebook.cells.append(new_code_cell(ORIGINS))

    class Kernel(AsyncKernelManager):
        kernel_spec = KernelSpec(
            argv=[python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONPATH", raising=False)
        NotebookClient(
            notebook,
            timeout=None,
            kernel_manager_class=Kernel,
            resources={"metadata": {"path": str(folder)}},
        ).execute()
    origins = ast.literal_eval(notebook.cells[-1].outputs[0].data["text/plain"])
    assert origins
    assert [origin for origin in origins if not Path(origin).is_relative_to(folder)] == []
    solved = [c for c in notebook.cells if c.source.startswith(standalone.SOLUTION)]
    assert all("Correct." in cell.outputs[0].text for cell in solved if exercises.checked(cell))


def test_a_standalone_notebook_runs_in_an_empty_folder(tmp_path: Path) -> None:
    run_alone(ROOT / "chapters" / "03-from-scratch.ipynb", tmp_path, sys.executable)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_standalone_notebook_runs_as_on_colab(path: Path, tmp_path: Path) -> None:
    assert COLAB.exists(), "an environment like Colab's is lacking: make test-standalone"
    run_alone(path, tmp_path, str(COLAB))

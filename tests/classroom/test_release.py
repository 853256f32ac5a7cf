"""What students get: the notebooks of the assignments without what examines them."""

import re
import zipfile

import pytest

from classroom.collect import package_files
from classroom.release import main
from tests.classroom import leaks
from tests.classroom.scoring import ASSIGNMENTS, SOURCE, points, source
from tools import ROOT
from tools.imports import files
from tools.notebooks import code_cells


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_an_assignment_has_secrets_to_look_for(name):
    assert len(leaks.secrets(name)) > 20


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_the_search_finds_what_the_source_contains(name):
    assert leaks.leaks(SOURCE / name / f"{name}.ipynb")


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_no_released_file_holds_a_solution_or_a_hidden_test(real_course, name):
    files = [p for p in (real_course.root / "release" / name).rglob("*") if p.is_file()]
    assert {str(p): leaks.leaks(p) for p in files} == {str(p): [] for p in files}


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_the_zip_file_holds_the_released_notebook_and_nothing_else(real_course, name):
    with zipfile.ZipFile(real_course.root / "release" / f"{name}.zip") as archive:
        assert archive.namelist() == [f"{name}/{name}.ipynb"]
        assert archive.read(f"{name}/{name}.ipynb") == real_course.released(name).read_bytes()


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_the_release_brings_the_modules_of_normlab_that_its_source_imports(real_course, name):
    code = [cell.source for cell in code_cells(source(name))]
    carried = package_files(real_course.released_notebook(name))
    assert carried == files(*code)
    assert bool(carried) == bool(re.search(r"^(from|import) normlab", "\n".join(code), re.M))


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_an_assignment_is_worth_twenty_points(name):
    written = [
        c.metadata.nbgrader.points
        for c in source(name).cells
        if c.cell_type == "markdown" and c.metadata.get("nbgrader", {}).get("grade")
    ]
    assert len(written) == 1
    assert sum(points(source(name)).values()) + written[0] == 20


def test_an_assignment_that_does_not_exist_is_named_with_those_that_do(real_course, capsys):
    assert main(["A9", "--course", str(real_course.root)]) == 2
    assert "there is no assignment 'A9', but A1, A2, A3, A4" in capsys.readouterr().err


def test_the_tools_of_the_book_need_nothing_of_the_grading():
    texts = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "tools").glob("*.py")}
    assert [name for name, text in texts.items() if "classroom" in text] == []

"""What students get: the notebooks of the assignments without what examines them."""

import re
import zipfile

import nbformat
import pytest

from classroom.course import Course
from classroom.release import package, release
from tests.classroom import leaks
from tests.classroom.scoring import ASSIGNMENTS, SOURCE, points, source


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    course = Course(tmp_path_factory.mktemp("course"))
    (course.root / "source").symlink_to(SOURCE)
    for name in ASSIGNMENTS:
        release(course, name)
    return course


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_an_assignment_has_secrets_to_look_for(name):
    assert len(leaks.secrets(name)) > 20


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_the_search_finds_what_the_source_contains(name):
    assert leaks.leaks(SOURCE / name / f"{name}.ipynb")


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_no_released_file_holds_a_solution_or_a_hidden_test(course, name):
    files = [p for p in (course.root / "release" / name).rglob("*") if p.is_file()]
    assert {str(p): leaks.leaks(p) for p in files} == {str(p): [] for p in files}


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_the_zip_file_holds_the_released_notebook_and_nothing_else(course, name):
    with zipfile.ZipFile(course.root / "release" / f"{name}.zip") as archive:
        assert archive.namelist() == [f"{name}/{name}.ipynb"]
        assert archive.read(f"{name}/{name}.ipynb") == course.release(name).read_bytes()


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_the_release_brings_the_parts_of_normlab_that_it_imports(course, name):
    cells = [cell.source for cell in nbformat.read(course.release(name), as_version=4).cells]
    written = re.findall(r"^%%writefile (\S+)", "\n".join(cells), re.MULTILINE)
    assert set(written) == set(package(course, name))
    assert bool(written) == any(
        re.match(r"(from|import) normlab", c) for c in "\n".join(cells).split("\n")
    )


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_an_assignment_is_worth_twenty_points(name):
    written = [
        c.metadata.nbgrader.points
        for c in source(name).cells
        if c.cell_type == "markdown" and c.metadata.get("nbgrader", {}).get("grade")
    ]
    assert len(written) == 1
    assert sum(points(source(name)).values()) + written[0] == 20

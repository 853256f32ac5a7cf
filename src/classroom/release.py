"""Make what students get of an assignment.

nbgrader takes out the solutions and the hidden tests and notes the tests in its gradebook. The
modules of normlab that an assignment imports come along as cells, so that the notebook runs on
Colab.

    python -m classroom.release          every assignment
    python -m classroom.release A1 A3    some of them
"""

import sys
import zipfile
from pathlib import Path

import nbformat
from nbgrader.converters import GenerateAssignment
from tqdm import tqdm

from classroom.course import Course
from tools.imports import files
from tools.notebooks import code_cells
from tools.standalone import package_cells


def package(course: Course, assignment: str) -> dict[str, str]:
    """Return the files of normlab that an assignment imports, as text by their path."""
    notebook = nbformat.read(course.source(assignment), as_version=4)
    return files(*(cell.source for cell in code_cells(notebook)))


def release(course: Course, assignment: str) -> Path:
    """Write the student version of an assignment and return the path of its zip file."""
    coursedir = course.coursedir(assignment)
    GenerateAssignment(coursedir=coursedir, config=coursedir.config, force=True).start()
    path = course.release(assignment)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1:1] = package_cells(notebook)
    nbformat.write(notebook, path)
    archive = course.root / "release" / f"{assignment}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(path, f"{assignment}/{path.name}")
    return archive


def main(*names: str) -> None:
    course = Course()
    for name in tqdm(names or course.assignments, unit="notebook"):
        print(release(course, name))


if __name__ == "__main__":
    main(*sys.argv[1:])

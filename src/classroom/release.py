"""Make what students get of an assignment.

nbgrader takes out the solutions and the hidden tests and notes the tests in its gradebook. The
modules of normlab that an assignment imports come along as cells, so that the notebook runs on
Colab.

    python -m classroom.release          every assignment
    python -m classroom.release A1 A3    some of them
"""

import argparse
import sys
import zipfile
from pathlib import Path

import nbformat
from nbgrader.converters import GenerateAssignment
from tqdm import tqdm

from classroom.course import FOLDER, Course
from tools.standalone import package_cells


def release_assignment(course: Course, assignment: str) -> Path:
    """Write the student version of an assignment and return the path of its zip file."""
    coursedir = course.coursedir(assignment)
    GenerateAssignment(coursedir=coursedir, config=coursedir.config, force=True).start()
    path = course.released(assignment)
    notebook = nbformat.read(path, as_version=4)
    # Those of the source: the grader takes them from here, and hidden tests may need more.
    notebook.cells[1:1] = package_cells(nbformat.read(course.source(assignment), as_version=4))
    nbformat.write(notebook, path)
    archive = course.root / "release" / f"{assignment}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(path, f"{assignment}/{path.name}")
    return archive


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write assignments as students get them.")
    parser.add_argument("assignments", nargs="*", metavar="A1", help="all, if none is named")
    parser.add_argument("--course", type=Path, default=FOLDER, help="where it all lies")
    options = parser.parse_args(arguments)
    course = Course(options.course.resolve())
    try:
        course.require(*options.assignments)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    for name in tqdm(options.assignments or course.assignments, unit="notebook"):
        tqdm.write(str(release_assignment(course, name)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Grade one submission that has been collected, and nothing else.

nbgrader executes it, with the kernel in the sandbox, and writes the points into the gradebook and
the feedback page. A record of it is written last: where there is none, the work was broken off and
is done again.
"""

import hashlib
import json
import tempfile
import time
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.reader import NotJSONError
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde, GenerateFeedback
from nbgrader.utils import is_grade, is_solution

from classroom.collect import package_files
from classroom.course import Course, write_at_once
from classroom.feedback import TEMPLATE, TEMPLATES, without_scripts
from classroom.sandbox import SandboxError, available

OURS = {"Stopped", "NotExecuted", "Tampering", "NoAnswer"}  # errors of the grader, not of Python


def grade_one(course: Course, assignment: str, student: str) -> dict:
    """Grade a collected submission and return its record.

    Raises:
        SandboxError: student code cannot be run safely here.
        FileNotFoundError: the submission has not been collected, or the assignment not released.
        nbgrader.converters.base.NbGraderException: nbgrader could not finish.
    """
    if course.sandbox and (reason := available()):
        raise SandboxError(reason)
    if not course.submitted(assignment, student).exists():
        known = ", ".join(course.students(assignment)) or "nobody"
        raise FileNotFoundError(
            f"nothing of {student!r} has been collected for {assignment}, but of {known}"
        )
    files = package_files(course.released_notebook(assignment))
    start = time.monotonic()
    # Of what is graded now: a newer submission that arrives meanwhile is graded by the next run.
    graded = fingerprint(course, assignment, student)
    coursedir = course.coursedir(assignment, student)
    marked = answers(course, assignment, student)
    if marked:
        points = marks(course, assignment, student)
        marked = {name: text for name, text in marked.items() if points[name][0] is not None}
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        coursedir.config.Execute.package = Path(folder, "normlab") if files else None
        Autograde(coursedir=coursedir, config=coursedir.config, force=True).start()
    keep_marks(course, assignment, student, marked)
    record = {
        "fingerprint": graded,
        "seconds": round(time.monotonic() - start, 1),
        "remarks": problems(nbformat.read(course.autograded(assignment, student), as_version=4)),
    }
    write_feedback(course, assignment, student, record)
    return record


def answers(course: Course, assignment: str, student: str) -> dict[str, str]:
    """Return the answers of a graded submission that a person marks, by their grade id."""
    try:
        cells = nbformat.read(course.autograded(assignment, student), as_version=4).cells
    except (FileNotFoundError, NotJSONError):  # not graded yet, or a run was killed in writing
        cells = []
    return {
        cell.metadata.nbgrader.grade_id: cell.source
        for cell in cells
        if is_grade(cell) and is_solution(cell)
    }


def keep_marks(course: Course, assignment: str, student: str, marked: dict[str, str]) -> None:
    """Let the marks of answers that are as before count; nbgrader asks for all of them again."""
    with Gradebook(course.gradebook) as book:
        for name, _ in marked.items() & answers(course, assignment, student).items():
            book.find_grade(name, assignment, assignment, student).needs_manual_grade = False
        book.db.commit()


def write_feedback(course: Course, assignment: str, student: str, record: dict) -> None:
    """Write the feedback page of a graded submission, and then its record."""
    coursedir = course.coursedir(assignment, student)
    exporter = coursedir.config.HTMLExporter
    exporter.template_name, exporter.extra_template_basedirs = TEMPLATE, [str(TEMPLATES)]
    exporter.filters = {"without_scripts": without_scripts}
    GenerateFeedback(coursedir=coursedir, config=coursedir.config, force=True).start()
    record["shown"] = marks(course, assignment, student)
    path = course.record(assignment, student)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_at_once(path, json.dumps(record))


def marks(course: Course, assignment: str, student: str) -> dict[str, list]:
    """Return points, most points and comment of every cell that is graded, as they are now.

    Points are None where a person has yet to mark an answer.
    """
    with Gradebook(course.gradebook) as book:
        notebook = book.find_submission_notebook(assignment, assignment, student)
        comments = {comment.name: comment.comment for comment in notebook.comments}
        return {
            grade.name: [
                None if grade.needs_manual_grade else grade.score,
                grade.max_score,
                comments.get(grade.name),
            ]
            for grade in notebook.grades
        }


def fingerprint(course: Course, assignment: str, student: str) -> str:
    """Return what a grade depends on: the submission and the assignment."""
    files = course.submitted(assignment, student), course.source(assignment)
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def is_graded(course: Course, assignment: str, student: str) -> bool:
    """Return whether a submission has been graded as it is now."""
    path = course.record(assignment, student)
    return path.exists() and (
        read_record(path)["fingerprint"] == fingerprint(course, assignment, student)
    )


def read_record(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def problems(notebook: NotebookNode) -> list[str]:
    """Return what the person who grades should know about an executed submission."""
    found = []
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "") or "a cell of the student"
        for output in cell.get("outputs", []):
            if is_grade(cell) and output.output_type == "display_data":  # see Execute.test
                found.append(f"{name}: {output.data['text/plain']}")
            if output.output_type != "error" or (is_grade(cell) and output.ename not in OURS):
                continue
            reason = output.evalue.partition("\n")[0][:150]
            found.append(
                f"{name}: {reason if output.ename in OURS else f'{output.ename}: {reason}'}"
            )
    return list(dict.fromkeys(found))

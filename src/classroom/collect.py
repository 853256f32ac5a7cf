"""Bring what students hand in into the form that nbgrader grades.

A folder holds one notebook or one zip file per student, named by the student, or a folder per
student with such files. Nothing of it is executed here. Whatever a student has done to a notebook,
the cells of the assignment are found again or put back. What cannot be read becomes an empty
submission that says why.
"""

import json
import re
import zipfile
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_raw_cell
from nbgrader.utils import is_grade, is_solution

from classroom.course import Course, student_id, write_at_once

LARGEST = 50 * 2**20  # bytes of a notebook
MOST = 1000  # cells
KINDS = (".ipynb", ".zip")
IGNORED = re.compile(r"\.[^.]|__MACOSX$|Thumbs\.db$|desktop\.ini$", re.IGNORECASE)
COPY = re.compile(r" ?\(\d+\)$")  # what browsers add to the second file of a name
WRITES = "%%writefile normlab/"  # the beginning of a cell that brings a part of the package
KEPT_TAGS = {"skip-execution"}
NEW = {"code": new_code_cell, "markdown": new_markdown_cell, "raw": new_raw_cell}


class Unreadable(ValueError):
    """A file is no submission; the message says why."""


@dataclass
class Submission:
    """What one student has handed in.

    Args:
        student: the name, as a folder can be called.
        path: the file that counts.
        time: when it was last changed.
        remarks: what the person who grades should know.
    """

    student: str
    path: Path
    time: datetime
    remarks: list[str] = field(default_factory=list)


def package_files(release: NotebookNode) -> dict[str, str]:
    """Return the files of normlab that a released notebook writes, as text by their path."""
    cells = [cell.source for cell in release.cells if cell.source.startswith(WRITES)]
    found = (source.removeprefix("%%writefile ").split("\n", 1) for source in cells)
    return {path.strip(): text for path, text in found}


def latest_submissions(folder: Path) -> list[Submission]:
    """Return the latest submission of every student below `folder`."""
    files = defaultdict(list)
    for path in sorted(folder.iterdir()):
        if IGNORED.match(path.name):
            continue
        inside = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
        name = path.name if path.is_dir() else COPY.sub("", path.stem)
        files[student_id(name)] += [p for p in inside if not IGNORED.match(p.name)]
    found = []
    for student, paths in sorted(files.items()):
        paths.sort(key=lambda p: (p.suffix.lower() in KINDS, p.stat().st_mtime, p.name))
        *others, last = paths
        time = datetime.fromtimestamp(last.stat().st_mtime, UTC)
        submission = Submission(student, last, time)
        if others:
            names = ", ".join(sorted(p.name for p in others))
            submission.remarks.append(f"handed in more than once: {last.name} counts, not {names}")
        found.append(submission)
    return found


def read_submission(path: Path, wanted: str) -> tuple[list[NotebookNode], list[str]]:
    """Return the cells of a file, and remarks; of those in a zip file, `wanted` comes first.

    Raises:
        Unreadable: there is none.
    """
    if path.suffix.lower() == ".ipynb":
        with path.open("rb") as file:
            return read_notebook(file.read(LARGEST + 1), path.name), []
    if path.suffix.lower() != ".zip":
        raise Unreadable(f"{path.name} is neither a notebook nor a zip file")
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if n.lower().endswith(".ipynb")]
            names = [n for n in names if not any(IGNORED.match(part) for part in n.split("/"))]
            names.sort(key=lambda n: (Path(n).name != wanted, n.count("/"), n))
            if not names:
                raise Unreadable(f"there is no notebook in {path.name}")
            name, *others = names
            with archive.open(name) as file:
                data = file.read(LARGEST + 1)  # whatever size the archive claims
    except Unreadable:
        raise
    except Exception as error:  # each way to pack has errors of its own
        raise Unreadable(f"{path.name} cannot be unpacked: {error}") from error
    more = f"more than one notebook in {path.name}: {name} counts, not {', '.join(others)}"
    return read_notebook(data, f"{name} in {path.name}"), [more] if others else []


def read_notebook(data: bytes, name: str) -> list[NotebookNode]:
    """Return the cells of a notebook from its file, reduced to what can be graded."""
    if len(data) > LARGEST:
        raise Unreadable(f"{name} is larger than {LARGEST // 2**20} MB")
    if not data.strip():
        raise Unreadable(f"{name} is empty")
    try:
        # Some editors on Windows begin a file with a mark of its encoding.
        notebook = nbformat.reads(data.decode(json.detect_encoding(data)), as_version=4)
        cells = list(notebook.cells)
    except Exception as error:  # nbformat raises whatever its parts raise
        reason = str(error).partition("\n")[0][:100]
        raise Unreadable(f"{name} is not a notebook: {reason}") from error
    if len(cells) > MOST:
        raise Unreadable(f"{name} has more than {MOST:,} cells")
    return [clean for cell in cells if (clean := cleaned(cell))]


def cleaned(cell: object) -> NotebookNode | None:
    """Return a cell without its outputs, or None where it is none."""
    if not isinstance(cell, dict) or cell.get("cell_type") not in NEW:
        return None
    source = cell.get("source", "")
    source = "".join(map(str, source)) if isinstance(source, list) else str(source)
    metadata = cell.get("metadata") if isinstance(cell.get("metadata"), dict) else {}
    known = metadata.get("nbgrader") if isinstance(metadata.get("nbgrader"), dict) else {}
    tags = metadata.get("tags") if isinstance(metadata.get("tags"), list) else []
    result = NEW[cell["cell_type"]](source)
    result.metadata.tags = sorted(KEPT_TAGS & set(map(str, tags)))
    result.grade_id, result.old_id = str(known.get("grade_id", "")), str(cell.get("id", ""))
    return result


def restore(cells: list[NotebookNode], release: NotebookNode) -> tuple[NotebookNode, list[str]]:
    """Return the notebook of a student with the cells of the assignment as they were released.

    A cell of the assignment is known by its grade id, or else by the id of the cell. Students'
    answers are kept, the tests are those of the release, and missing ones are put back: behind the
    cell that they followed, or at the end. What remains is code of the student.
    """
    wanted = {c.metadata.nbgrader.grade_id: c for c in release.cells if "nbgrader" in c.metadata}
    by_id = {c.id: grade_id for grade_id, c in wanted.items()}
    found: dict[str, NotebookNode] = {}
    result, changed = [], []
    for cell in cells:
        grade_id = cell.pop("grade_id")
        old_id = cell.pop("old_id")
        grade_id = grade_id if grade_id in wanted else by_id.get(old_id, "")
        if cell.source.startswith(WRITES):
            continue  # the grader has the package
        if grade_id and grade_id not in found:
            original = wanted[grade_id]
            if is_solution(original):
                cell = NEW[original.cell_type](cell.source)
            else:
                changed += [grade_id] if cell.source != original.source else []
                cell = NEW[original.cell_type](original.source)
            cell.metadata = original.metadata
            found[grade_id] = cell
        result.append(cell)
    missing = [grade_id for grade_id in wanted if grade_id not in found]
    known = {cell.source for cell in release.cells} | {cell.source for cell in found.values()}
    put_back(missing, wanted, found, result, known)
    for number, cell in enumerate(result):
        cell.id = f"cell-{number}"  # the same notebook is the same file
    remarks = [f"changed and put back: {', '.join(changed)}"] if changed else []
    remarks += [f"missing and put back: {', '.join(missing)}"] if missing else []
    return NotebookNode(
        cells=result, metadata=release.metadata, nbformat=4, nbformat_minor=5
    ), remarks


def put_back(
    missing: list[str],
    wanted: dict[str, NotebookNode],
    found: dict[str, NotebookNode],
    cells: list[NotebookNode],
    known: set[str],
) -> None:
    """Insert the missing cells of the assignment among those of the student.

    Args:
        missing: the grade ids of the missing cells.
        wanted: the cells of the assignment by their grade id.
        found: those of them that the student has handed in.
        cells: all cells of the student.
        known: the texts that are no answer of the student.
    """
    names, answered = list(wanted), {n for n in found if is_solution(wanted[n])}
    for grade_id in missing:
        original, earlier = wanted[grade_id], names[: names.index(grade_id)]
        source = original.source
        if is_solution(original):
            # An answer without its mark is among the other cells: code is executed there, and a
            # text is what the student has added to the text of the release.
            texts = [c.source for c in cells if c.cell_type == "markdown" and c.source not in known]
            source = "" if original.cell_type == "code" else "\n\n".join(texts) or source
        cell = NEW[original.cell_type](source, metadata=original.metadata)
        answer = next((n for n in reversed(earlier) if is_solution(wanted[n])), None)
        if is_grade(original) and not is_solution(original) and answer not in answered:
            cells.append(cell)  # what it tests may be anywhere
            continue
        anchor = next((found[n] for n in reversed(earlier) if n in found), None)
        cells.insert(next((i + 1 for i, c in enumerate(cells) if c is anchor), 0), cell)
        found[grade_id] = cell


def collect_folder(course: Course, assignment: str, folder: Path) -> None:
    """Copy the submissions below `folder` into the course, with what is to be known of each.

    Raises:
        FileNotFoundError: there is no such folder, nothing is in it, or the assignment has not been
            released.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is no folder. Give one with a file per student: FROM=..."
        )
    release = course.released_notebook(assignment)
    submissions = latest_submissions(folder)
    if not submissions:
        raise FileNotFoundError(f"{folder} is empty. Give a folder with a file per student.")
    for submission in submissions:
        try:
            cells, remarks = read_submission(submission.path, f"{assignment}.ipynb")
            submission.remarks += remarks if cells else [*remarks, "the notebook has no cells"]
        except Unreadable as error:
            submission.remarks.append(str(error))
            cells = []
        notebook, changes = restore(cells, release)
        if cells:
            submission.remarks += changes
        else:
            text = "\n".join(f"**{remark}**" for remark in submission.remarks)
            notebook.cells.insert(0, new_markdown_cell(text, id="remark"))
        path = course.submitted(assignment, submission.student)
        path.parent.mkdir(parents=True, exist_ok=True)
        time = submission.time.strftime("%Y-%m-%d %H:%M:%S UTC")
        write_at_once(path.parent / "timestamp.txt", time)
        write_at_once(course.remarks(assignment, submission.student), "\n".join(submission.remarks))
        write_at_once(path, nbformat.writes(notebook))  # last: it makes a submission of the folder

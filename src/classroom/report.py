"""What comes out of the grading: a table, a file for a spreadsheet, pages for the students."""

import csv
import shutil
from datetime import UTC, datetime

from nbgrader.api import Gradebook

from classroom.course import Course
from classroom.one import is_graded, marks, read_record, write_feedback

MARK = "an answer waits to be marked"
ABSENT = "nothing handed in"


def write_results(course: Course, assignment: str, failed: dict[str, str]) -> list[dict]:
    """Write grades.csv and copy the feedback pages; return the rows.

    Args:
        failed: why the submission of a student could not be graded.
    """
    folder = course.results(assignment)
    (folder / "feedback").mkdir(parents=True, exist_ok=True)
    due = deadline(course, assignment)
    students, expected = course.students(assignment), course.expected()
    rows = [row(course, assignment, name, due) for name in sorted({*students, *expected})]
    for known in rows:
        name = known["student"]
        known["remarks"] += [failed[name]] if name in failed else []
        known["remarks"] += ["not in students.txt"] if expected and name not in expected else []
        known["remarks"] = "; ".join(known["remarks"])
    for student in students:
        if is_graded(course, assignment, student):
            page = folder / "feedback" / f"{student}.html"
            shutil.copyfile(course.page(assignment, student), page)
    names = dict.fromkeys(name for row in rows for name in row)
    last = ["submitted", "late", "status", "remarks"]
    columns = [name for name in names if name not in last] + last
    with (folder / "grades.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({key: no_formula(value) for key, value in row.items()} for row in rows)
    return rows


def row(course: Course, assignment: str, student: str, due: datetime | None) -> dict[str, object]:
    """Return what the table says of one student; write the feedback again if marks have changed."""
    result = {"student": student, "score": "", "max_score": ""}
    if not course.submitted(assignment, student).exists():
        return result | {"score": 0, "submitted": "", "late": "", "status": ABSENT, "remarks": []}
    path = course.submitted(assignment, student).parent / "timestamp.txt"
    submitted = datetime.strptime(path.read_text(), "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    late = round((submitted - due).total_seconds() / 3600, 1) if due and submitted > due else ""
    status = "not graded"
    remarks = course.remarks(assignment, student).read_text(encoding="utf-8").splitlines()
    if is_graded(course, assignment, student):
        record = read_record(course.record(assignment, student))
        now = marks(course, assignment, student)
        if record["shown"] != now:
            write_feedback(course, assignment, student, record)
        result["score"] = sum(points or 0 for points, _, _ in now.values())
        result["max_score"] = sum(most for _, most, _ in now.values())
        result |= {name: "" if points is None else points for name, (points, _, _) in now.items()}
        remarks += record["remarks"]
        status = MARK if any(points is None for points, _, _ in now.values()) else "graded"
    result |= {"submitted": submitted.astimezone().isoformat(" ", "minutes"), "late": late}
    return result | {"status": status, "remarks": remarks}


def no_formula(value: object) -> object:
    """Return a value that a spreadsheet does not take for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@") else value


def deadline(course: Course, assignment: str) -> datetime | None:
    """Return until when an assignment had to be handed in, if the gradebook knows it."""
    with Gradebook(course.gradebook) as book:
        due = book.find_assignment(assignment).duedate
    return due.replace(tzinfo=UTC) if due else None


def set_deadline(course: Course, assignment: str, time: datetime) -> None:
    with Gradebook(course.gradebook) as book:
        utc = time.astimezone(UTC).replace(tzinfo=None)
        book.update_or_create_assignment(assignment, duedate=utc.isoformat(" "))


def table(rows: list[dict]) -> str:
    """Return the results as text: a line per student and what is to be known about it."""
    width = max([len("student"), *(len(row["student"]) for row in rows)])
    lines = [f"{'student':{width}}  score  remarks"]
    for row in rows:
        absent = ABSENT if row["status"] == ABSENT else ""
        late = f"{row['late']:,} hours late; " if row["late"] else ""
        score = "-" if row["score"] == "" else f"{row['score']:g}"
        line = f"{row['student']:{width}}  {score:>5}  {late}{absent}{row['remarks']}"
        lines.append(line.rstrip("; "))
    return "\n".join(lines)

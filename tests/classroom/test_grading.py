"""Grading with nbgrader, from the folder of a class to points, remarks and feedback.

Student code may do anything. Each hostile submission gets the points that it has earned, its row
says what happened, and nothing outside its sandbox has changed.
"""

import csv
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from classroom import grade as command
from classroom import sandbox
from classroom.course import Course
from classroom.one import grade, graded, marks
from classroom.release import release
from classroom.report import harmless
from classroom.sandbox import MEGABYTE, Limits
from tests.classroom import courses
from tests.classroom.courses import DOUBLE, FULL, NAME, answered

pytestmark = pytest.mark.skipif(bool(sandbox.available()), reason=sandbox.available() or "-")


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A course in which nothing has been handed in: to release one takes seconds."""
    course = courses.make(tmp_path_factory.mktemp("released"))
    release(course, NAME)
    return course


@pytest.fixture(scope="module")
def course(released, tmp_path_factory):
    return copied(released, tmp_path_factory.mktemp("course"))


@pytest.fixture
def copy(released, tmp_path):
    return copied(released, tmp_path / "course")


def copied(course, root):
    shutil.copytree(course.root, root, dirs_exist_ok=True)
    return courses.Course(root, limits=courses.LIMITS)


@pytest.fixture
def score(course):
    """Grade a notebook and return the points of its tests, the remarks and what it printed."""

    def score(notebook, student="Eve", course=course):
        path = course.submitted(NAME, student)
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)
        record = grade(course, NAME, student)
        points = sum(p for name, (p, _, _) in marks(course, NAME, student).items() if name != "why")
        page = course.feedback(NAME, student).read_text()
        return points, "; ".join(record["remarks"]), page

    return score


def test_the_right_answers_get_all_points(course, score):
    assert score(answered(course))[:2] == (FULL, "")


def test_the_untouched_release_gets_none_and_leaves_no_remark(course, score):
    assert score(nbformat.read(course.release(NAME), as_version=4))[:2] == (0, "")


def test_a_wrong_answer_gets_the_points_of_the_tests_that_it_passes(course, score):
    points, _, page = score(answered(course, double="def double(x):\n    return x + 1"))
    assert points == FULL - 2
    assert "twice three" in page


def test_the_feedback_shows_the_message_of_a_hidden_test_and_not_its_code(course, score):
    _, _, page = score(answered(course, half="def half(x):\n    return x"))
    assert "half of three is not 3" in page
    assert "half(3)" not in page


def test_names_with_spaces_and_other_letters_are_graded(course, score):
    assert score(answered(course), "Zoë Müller 李雷")[0] == FULL


def test_what_students_write_into_markdown_is_no_program(course, score):
    _, _, page = score(answered(course, why="<script>alert('marked')</script>Because."))
    assert "<script>alert" not in page


# --- Hostile code ------------------------------------------------------------------------------

STOPPED = {
    "an endless loop": ("def double(x):\n    while True:\n        pass", "more than 4 seconds"),
    "an endless loop that catches everything": (
        "def double(x):\n    while True:\n        try:\n            while True: pass\n"
        "        except BaseException: pass",
        "more than 4 seconds",
    ),
    "an end of Python": ("import os\ndef double(x):\n    os._exit(0)", "it ended Python"),
    "a fork bomb": (
        "import os\ndef double(x):\n    while True:\n        os.fork()",
        "more than 32 processes",
    ),
    "many files among the sockets": (
        "import glob\ndef double(x):\n    folder = glob.glob('/tmp/k*')[0]\n"
        "    for i in range(10 ** 6):\n"
        "        open(f'{folder}/{i}', 'wb').write(b'0' * 2 ** 22)",
        "more than 64 MB of files",
    ),
}


@pytest.mark.parametrize("attack", STOPPED)
def test_a_cell_that_has_to_be_stopped_loses_its_own_points_alone(course, score, attack):
    code, reason = STOPPED[attack]
    points, remarks, page = score(answered(course, double=code))
    assert points == 3
    assert "double-visible: it " in remarks
    assert reason in remarks
    assert reason in page


def test_an_answer_that_ends_python_at_once_costs_its_own_points_alone(course, score):
    points, remarks, _ = score(answered(course, double="import os\nos._exit(0)"))
    assert (points, remarks) == (3, "double: it ended Python")


def test_a_memory_bomb_fails_its_tests_alone(course, score):
    bomb = (
        "def double(x):\n    bombs = []\n    while True:\n        bombs.append(bytearray(10 ** 8))"
    )
    # A bomb takes time, too: little memory, so that it is full before the time is over.
    course = Course(course.root, limits=Limits(cell_seconds=20, memory=1000 * MEGABYTE))
    points, _, page = score(answered(course, double=bomb), course=course)
    assert points == 3
    assert "MemoryError" in page or "MB of memory" in page


def test_a_flood_of_output_is_cut(course, score):
    flood = f"{DOUBLE}\nfor i in range(20_000):\n    print('all my homework', i)"
    points, _, page = score(answered(course, double=flood))
    assert points == FULL
    assert len(page) < 2_000_000


def test_a_notebook_that_breaks_off_again_and_again_keeps_its_points(course, score):
    notebook = answered(course)
    for number in range(6):
        notebook.cells.insert(2, nbformat.v4.new_code_cell(f"import os\nos._exit({number})"))
    points, remarks, _ = score(notebook)
    assert (points, remarks) == (FULL, "a cell of the student: it ended Python")


def test_a_notebook_has_a_time_of_its_own(course, score):
    course = Course(course.root, limits=Limits(cell_seconds=4, notebook_seconds=5))
    endless = "def double(x):\n    while True:\n        pass"
    points, remarks, _ = score(answered(course, double=endless), course=course)
    assert points == 0
    assert "half-hidden: the notebook took more than 5 seconds" in remarks


@pytest.fixture
def treasures(course, tmp_path, monkeypatch):
    """Return what no submission may see: paths, each with the word TREASURE in its file."""
    home = tmp_path / "home"
    other = course.submitted(NAME, "Mallory").parent / "notes.txt"
    for path in (home / ".ssh" / "id_rsa", other, tmp_path / "file"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("TREASURE")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TOKEN", "TREASURE")
    return [home / ".ssh" / "id_rsa", other, tmp_path / "file", course.source(NAME)]


def test_files_outside_cannot_be_read(course, score, treasures):
    code = f"""{DOUBLE}
import glob, os
for path in {list(map(str, treasures))} + [os.path.expanduser("~/.ssh/id_rsa")]:
    try:
        print("read", path, open(path).read())
    except OSError as error:
        print(type(error).__name__)
print(dict(os.environ))
print(glob.glob("{course.root}/*"), glob.glob("/proc/[0-9]*/environ"))
open("{course.root}/gradebook.db")
"""
    points, remarks, page = score(answered(course, double=code))
    assert points == FULL
    assert "double: FileNotFoundError" in remarks
    assert page.count("FileNotFoundError") >= len(treasures)
    # The paths are part of the code, which the page shows; what lies there is not.
    assert page.count("TREASURE") == 0
    assert "BEGIN HIDDEN" not in page


def test_nothing_outside_can_be_written(course, score, treasures):
    paths = [*treasures, course.root / "gradebook.db", Path(sys.prefix) / "broken", Path("/new")]
    before = {path: path.read_bytes() for path in treasures}
    code = f"""{DOUBLE}
for path in {list(map(str, paths))}:
    try:
        open(path, "w").write("broken")
        print("WRIT" + "TEN", path)
    except OSError:
        pass
open("/etc/passwd", "w")
"""
    points, remarks, page = score(answered(course, double=code))
    assert points == FULL
    assert "double: " in remarks
    assert "WRITTEN" not in page
    assert {path: path.read_bytes() for path in treasures} == before
    assert not Path("/new").exists()


def test_there_is_no_network(course, score):
    code = f"{DOUBLE}\nimport socket\nsocket.create_connection(('127.0.0.1', 22), 2)"
    points, remarks, _ = score(answered(course, double=code))
    assert points == FULL
    assert "double: ConnectionRefusedError" in remarks or "double: OSError" in remarks


def test_other_processes_cannot_be_killed(course, score):
    bystander = subprocess.Popen(["sleep", "60"])
    code = f"""{DOUBLE}
import os, signal
for process in [os.getppid(), 1, {bystander.pid}]:
    try:
        os.kill(process, signal.SIGKILL)
    except OSError:
        pass
os.kill({bystander.pid}, signal.SIGKILL)
"""
    points, remarks, _ = score(answered(course, double=code))
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()
    assert points == FULL
    assert "double: ProcessLookupError" in remarks


def test_submissions_leave_no_process_behind(course, score):
    code = (
        f"{DOUBLE}\nimport subprocess\nsubprocess.Popen(['sleep', '98765'], start_new_session=True)"
    )
    assert score(answered(course, double=code))[0] == FULL
    time.sleep(0.5)
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert "sleep 98765" not in running


# --- Cheats ------------------------------------------------------------------------------------

WRONG = "def half(x):\n    return 0"
CHEATS = {
    "asserts taken out of the code": """
import ast
class NoAsserts(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.copy_location(ast.Pass(), node)
get_ipython().ast_transformers.append(NoAsserts())""",
    "exceptions swallowed": """
get_ipython().set_custom_exc((Exception,), lambda *args, **options: None)""",
    "a run_cell of one's own": """
shell = get_ipython()
run = shell.run_cell
shell.run_cell = lambda code, *args, **options: run("pass")""",
    "a function of Python replaced": """
import builtins
builtins.abs = lambda x: 0""",
    "code compiled in another way": """
import builtins
compile_it = builtins.compile
builtins.compile = lambda code, *a, **o: compile_it(code.replace("assert", "0;"), *a, **o)""",
    "a function of math replaced": """
import math
math.isclose = lambda *args: True""",
    "a trace that steps in": """
import sys
def trace(frame, event, argument):
    return None
sys.setprofile(trace)""",
    "a thread that waits": """
import threading, time
threading.Thread(target=lambda: time.sleep(60), daemon=True).start()""",
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_test_that_was_tampered_with_counts_as_failed(course, score, cheat):
    points, remarks, _ = score(answered(course, half=f"{WRONG}\n{CHEATS[cheat]}"))
    assert points == FULL - 3  # what was tested before the cheat
    assert "half-hidden: the notebook replaces what the tests rely on" in remarks


FAKES = {
    "a printed result": 'print("half-hidden: 3.0 of 3 points")',
    "a result for nbgrader": """
kernel = get_ipython().kernel
content = {"data": {"text/plain": "3.0"}, "metadata": {}, "execution_count": 1}
kernel.session.send(kernel.iopub_socket, "execute_result", content)""",
    "a changed assert error": "AssertionError = None",
    "names of Python with another meaning": """
isinstance = lambda *args: True
math = None
__builtins__ = {}""",
    "an end with a good code": "import sys\nsys.exit(0)",
    "a result that equals everything": """
class Everything(float):
    __eq__ = lambda self, other: True
    __hash__ = None""",
}


@pytest.mark.parametrize("fake", FAKES)
def test_a_fake_result_is_worth_nothing(course, score, fake):
    assert score(answered(course, half=f"{WRONG}\n{FAKES[fake]}"))[0] <= FULL - 3


def test_torch_cannot_be_replaced(tmp_path, score):
    code = "import torch\nassert torch.allclose(half(torch.ones(2)), torch.tensor([0.5, 0.5]))"
    notebook = courses.assignment("import torch")
    notebook.cells[6] = courses.test("half-hidden", 3, code)
    course = courses.make(tmp_path, notebook)
    release(course, NAME)
    cheat = "import torch\ntorch.allclose = lambda *args: True\ndef half(x):\n    return x"
    points, remarks, _ = score(answered(course, half=cheat), course=course)
    assert points == FULL - 3
    assert "half-hidden: the notebook replaces what the tests rely on: torch.allclose" in remarks


def test_names_that_an_honest_student_gives_do_no_harm(course, score):
    honest = f"{DOUBLE}\nsum = 0\nmax = 1\nlist = [1]\nid = 7\nmath = 3"
    assert score(answered(course, double=honest))[:2] == (FULL, "")


# --- The whole class ---------------------------------------------------------------------------


@pytest.fixture
def folder(course, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    nbformat.write(answered(course), folder / "Ada Lövelace.ipynb")
    nbformat.write(answered(course, half=WRONG), folder / "Bob.ipynb")
    (folder / "Cid.ipynb").write_text("")
    return folder


def rows(course):
    with (course.results(NAME) / "grades.csv").open(encoding="utf-8-sig") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def test_a_class_is_graded_with_one_command(copy, folder, capsys):
    arguments = [NAME, str(folder), "--course", str(copy.root), "--processes", "1"]
    assert command.main([*arguments, "--deadline", "2001-01-01 18:00"]) == 0
    found = rows(copy)
    assert {name: float(row["score"]) for name, row in found.items()} == {
        "Ada Lövelace": 6,
        "Bob": 3,
        "Cid": 0,
    }
    assert found["Ada Lövelace"]["double-hidden"] == "2.0"
    assert found["Ada Lövelace"]["status"] == "an answer waits to be marked"
    assert found["Cid"]["remarks"] == "Cid.ipynb is empty"
    assert all(float(row["late"]) > 24 for row in found.values())
    pages = sorted(p.name for p in (copy.results(NAME) / "feedback").iterdir())
    assert pages == ["Ada Lövelace.html", "Bob.html", "Cid.html"]
    assert "Cid.ipynb is empty" in capsys.readouterr().out

    # Nothing is graded twice; a person's marks, a new submission and a list of the class count.
    (copy.root / "students.txt").write_text("Ada Lövelace\nBob\nDora\n", encoding="utf-8")
    times = {s: copy.record(NAME, s).stat().st_mtime_ns for s in found}
    nbformat.write(answered(copy), folder / "Bob.ipynb")
    nbformat.write(answered(copy, double="double = None"), folder / "Ada Lövelace.ipynb")
    with Gradebook(copy.gradebook) as book:
        mark = book.find_grade("why", NAME, NAME, "Ada Lövelace")
        mark.manual_score, mark.needs_manual_grade = 1.5, False
        book.find_comment("why", NAME, NAME, "Ada Lövelace").manual_comment = "Well argued."
        book.db.commit()
    assert command.main([*arguments, "--collect"]) == 0
    assert not graded(copy, NAME, "Bob")
    arguments.remove(str(folder))
    assert command.main(arguments) == 0
    found = rows(copy)
    assert (found["Dora"]["score"], found["Dora"]["status"]) == ("0", "nothing handed in")
    assert found["Cid"]["remarks"] == "Cid.ipynb is empty; not in students.txt"
    assert float(found["Ada Lövelace"]["score"]) == 4.5
    assert found["Ada Lövelace"]["status"] == "graded"
    page = (copy.results(NAME) / "feedback" / "Ada Lövelace.html").read_text()
    assert "1.5" in page and "Well argued." in page
    assert float(found["Bob"]["score"]) == 6

    # A mark counts as long as the answer is the same.
    nbformat.write(answered(copy, why="Because."), folder / "Ada Lövelace.ipynb")
    assert command.main([NAME, str(folder), *arguments[1:]]) == 0
    assert rows(copy)["Ada Lövelace"]["status"] == "an answer waits to be marked"
    assert copy.record(NAME, "Cid").stat().st_mtime_ns == times["Cid"]


def test_an_interrupted_run_goes_on_where_it_stopped(copy, folder):
    arguments = [sys.executable, command.__file__, NAME, str(folder)]
    arguments += ["--course", str(copy.root), "--processes", "1"]
    run = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while run.poll() is None and not copy.record(NAME, "Ada Lövelace").exists():
        time.sleep(0.05)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    time_of_first = copy.record(NAME, "Ada Lövelace").stat().st_mtime_ns
    assert subprocess.run(arguments, capture_output=True).returncode == 0
    assert copy.record(NAME, "Ada Lövelace").stat().st_mtime_ns == time_of_first
    assert {row["score"] for row in rows(copy).values()} == {"6.0", "3.0", "0"}
    assert all(graded(copy, NAME, student) for student in rows(copy))


def test_without_a_sandbox_nothing_is_executed_unless_asked_for(copy, folder, capsys, monkeypatch):
    monkeypatch.setattr(command, "available", lambda: "there is no bwrap")
    assert command.main([NAME, str(folder), "--course", str(copy.root)]) == 2
    assert "SANDBOX=none" in capsys.readouterr().err
    assert not (copy.root / "submitted").exists()


def test_an_unknown_assignment_is_named_with_those_that_there_are(copy, folder, capsys):
    assert command.main(["B7", str(folder), "--course", str(copy.root)]) == 2
    assert "'B7', but T" in capsys.readouterr().err


def test_a_name_is_no_formula():
    assert harmless("=SUM(A1)") == "'=SUM(A1)"

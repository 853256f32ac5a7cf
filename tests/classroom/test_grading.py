"""Grading with nbgrader, from the folder of a class to points, remarks and feedback.

Student code may do anything. Each hostile submission gets the points that it has earned, its row
says what happened, and nothing outside its sandbox has changed.
"""

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.utils import determine_grade, is_grade

from classroom import grade as command
from classroom import one, sandbox
from classroom.course import Course
from classroom.execute import Execute
from classroom.one import grade_one, is_graded, marks, problems
from classroom.report import no_formula
from classroom.sandbox import MEGABYTE
from tests.classroom import courses
from tests.classroom.courses import DOUBLE, FULL, LIMITS, NAME, answered, collected, rows

pytestmark = pytest.mark.skipif(bool(sandbox.available()), reason=sandbox.available() or "-")


@pytest.fixture
def grade(course):
    """Grade a notebook with nbgrader; return the points of its tests, the remarks and the page."""

    def grade(notebook, student="Eve"):
        path = course.submitted(NAME, student)
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)
        record = grade_one(course, NAME, student)
        points = sum(p for name, (p, _, _) in marks(course, NAME, student).items() if name != "why")
        return points, "; ".join(record["remarks"]), course.page(NAME, student).read_text()

    return grade


@pytest.fixture
def execute(tmp_path):
    """Execute a notebook as nbgrader would; return points, remarks and what its cells gave out."""

    def execute(notebook, **limits):
        course = Course(tmp_path, limits=replace(LIMITS, **limits))
        Execute(config=course.config(NAME)).preprocess(notebook, {})
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        points = sum(determine_grade(cell)[0] for cell in cells if is_grade(cell))
        return points, "; ".join(problems(notebook)), str([cell.outputs for cell in cells])

    return execute


def test_the_right_answers_get_all_points(course, grade):
    assert grade(answered(course))[:2] == (FULL, "")


def test_the_untouched_release_gets_none_and_leaves_no_remark(course, grade):
    assert grade(course.released_notebook(NAME))[:2] == (0, "")


def test_a_wrong_answer_gets_the_points_of_the_tests_that_it_passes(course, grade):
    points, _, page = grade(answered(course, double="def double(x):\n    return x + 1"))
    assert points == FULL - 2
    assert "twice three" in page


def test_the_feedback_shows_the_message_of_a_hidden_test_and_not_its_code(course, grade):
    _, _, page = grade(answered(course, half="def half(x):\n    return x"))
    assert "half of three is not 3" in page
    assert "half(3)" not in page


def test_names_with_spaces_and_other_letters_are_graded(course, grade):
    assert grade(answered(course), "Zoë Müller 李雷")[0] == FULL


def test_what_students_write_into_markdown_is_no_program(course, grade):
    _, _, page = grade(answered(course, why="<script>alert('marked')</script>Because."))
    assert "<script>alert" not in page


def test_a_submission_that_arrives_while_the_old_one_is_graded_is_graded_by_the_next_run(
    course, grade, monkeypatch
):
    def newer_arrives(*_):
        nbformat.write(answered(course), course.submitted(NAME, "Eve"))

    monkeypatch.setattr(one, "keep_marks", newer_arrives)
    assert grade(answered(course, double="def double(x):\n    return x + 1"))[0] == FULL - 2
    assert not is_graded(course, NAME, "Eve")


# --- Hostile code ------------------------------------------------------------------------------

STOPPED = {
    "an endless loop": ("def double(x):\n    while True:\n        pass", "more than 2 seconds"),
    "an endless loop that catches everything": (
        "def double(x):\n    while True:\n        try:\n            while True: pass\n"
        "        except BaseException: pass",
        "more than 2 seconds",
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
def test_a_cell_that_has_to_be_stopped_loses_its_own_points_alone(execute, attack):
    code, reason = STOPPED[attack]
    seconds = 2 if "seconds" in reason else 20
    points, remarks, _ = execute(collected(double=code), cell_seconds=seconds)
    assert points == 3
    assert "double-visible: it " in remarks
    assert reason in remarks


def test_an_answer_that_ends_python_at_once_costs_its_own_points_alone(course, grade):
    points, remarks, page = grade(answered(course, double="import os\nos._exit(0)"))
    assert (points, remarks) == (3, "double: it ended Python")
    assert "it ended Python" in page


def test_a_memory_bomb_fails_its_tests_alone(execute):
    bomb = (
        "def double(x):\n    bombs = []\n    while True:\n        bombs.append(bytearray(10 ** 8))"
    )
    # A bomb takes time, too: little memory, so that it is full before the time is over.
    points, _, out = execute(collected(double=bomb), memory=600 * MEGABYTE)
    assert points == 3
    assert "MemoryError" in out or "MB of memory" in out


def test_a_flood_of_output_is_cut(course, grade):
    flood = f"{DOUBLE}\nfor i in range(20_000):\n    print('all my homework', i)"
    points, _, page = grade(answered(course, double=flood))
    assert points == FULL
    assert len(page) < 2_000_000


def test_a_notebook_that_breaks_off_again_and_again_keeps_its_points(execute):
    notebook = collected()
    for number in range(2):
        notebook.cells.insert(2, nbformat.v4.new_code_cell(f"import os\nos._exit({number})"))
    points, remarks, _ = execute(notebook)
    assert (points, remarks) == (FULL, "a cell of the student: it ended Python")


def test_a_notebook_has_a_time_of_its_own(execute):
    endless = "def double(x):\n    while True:\n        pass"
    points, remarks, _ = execute(collected(double=endless), notebook_seconds=3)
    assert points == 0
    assert "half-hidden: the notebook took more than 3 seconds" in remarks


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


def test_files_outside_cannot_be_read(course, execute, treasures):
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
    points, remarks, out = execute(collected(double=code))
    assert points == FULL
    assert "double: FileNotFoundError" in remarks
    assert out.count("FileNotFoundError") >= len(treasures)
    assert out.count("TREASURE") == 0
    assert "BEGIN HIDDEN" not in out


def test_nothing_outside_can_be_written(course, execute, treasures):
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
    points, remarks, out = execute(collected(double=code))
    assert points == FULL
    assert "double: " in remarks
    assert "WRITTEN" not in out
    assert {path: path.read_bytes() for path in treasures} == before
    assert not Path("/new").exists()


def test_there_is_no_network(execute):
    code = f"{DOUBLE}\nimport socket\nsocket.create_connection(('127.0.0.1', 22), 2)"
    points, remarks, _ = execute(collected(double=code))
    assert points == FULL
    assert "double: ConnectionRefusedError" in remarks or "double: OSError" in remarks


def test_other_processes_cannot_be_killed(execute):
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
    points, remarks, _ = execute(collected(double=code))
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()
    assert points == FULL
    assert "double: ProcessLookupError" in remarks


def test_submissions_leave_no_process_behind(execute):
    code = (
        f"{DOUBLE}\nimport subprocess\nsubprocess.Popen(['sleep', '98765'], start_new_session=True)"
    )
    assert execute(collected(double=code))[0] == FULL
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
def test_a_cheat_is_worth_nothing(execute, cheat):
    assert execute(collected(half=f"{WRONG}\n{CHEATS[cheat]}"))[0] == FULL - 3


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
def test_a_fake_result_is_worth_nothing(execute, fake):
    assert execute(collected(half=f"{WRONG}\n{FAKES[fake]}"))[0] <= FULL - 3


def with_torch(half):
    """Return the small assignment with an answer about tensors."""
    test = "import torch\nassert torch.allclose(half(torch.ones(2)), torch.tensor([0.5, 0.5]))"
    notebook = courses.assignment("import torch")
    notebook.cells[5].source = f"import torch\n{half}"
    notebook.cells[6] = courses.test("half-hidden", 3, test)
    return notebook


def test_torch_cannot_be_replaced(execute):
    points, remarks, _ = execute(with_torch(f"torch.allclose = lambda *args: True\n{WRONG}"))
    assert points == FULL - 3
    own = "tested with the original, not with the notebook's own: torch.allclose"
    assert remarks == f"half-hidden: {own}"


def test_torch_cannot_be_replaced_during_the_test(execute):
    cheat = "def half(x):\n    torch.allclose = lambda *args: True"
    points, remarks, _ = execute(with_torch(cheat))
    assert points == FULL - 3
    assert remarks == "half-hidden: the notebook replaced torch.allclose during the test"


def test_where_nobody_can_tell_the_points_stay_and_a_remark_asks_to_look(execute):
    change = "torch.equal = max"  # it is no code of the notebook
    points, remarks, out = execute(with_torch(f"def half(x):\n    {change}\n    return x / 2"))
    look = "please look at what changes the process during the test: torch.equal"
    assert (points, remarks) == (FULL, f"half-hidden: {look}")
    assert look in out


def test_what_a_notebook_sets_costs_no_points(execute):
    # tests/classroom/test_integrity.py has each setting of the libraries by itself.
    settings = """
torch.set_default_dtype(torch.float64)
torch.set_default_device("cpu")
torch.compile(lambda x: x + 1)
%matplotlib inline
%load_ext autoreload
%autoreload 2
shell = get_ipython()
shell.ast_node_interactivity = "all"
shell.set_custom_exc((Exception,), lambda *args, **options: None)
shell.events.register("pre_run_cell", lambda *args: 1 / 0)
shell.display_formatter.formatters["text/plain"].for_type(str, lambda *args: 1 / 0)
"""
    assert execute(with_torch(f"{settings}{courses.HALF}"))[:2] == (FULL, "")


def test_names_that_an_honest_student_gives_do_no_harm(execute):
    honest = f"{DOUBLE}\nsum = 0\nmax = 1\nlist = [1]\nid = 7\nmath = 3"
    assert execute(collected(double=honest))[:2] == (FULL, "")


# --- The whole class ---------------------------------------------------------------------------


@pytest.fixture
def folder(course, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    nbformat.write(answered(course), folder / "Ada Lövelace.ipynb")
    nbformat.write(answered(course, half=WRONG), folder / "Bob.ipynb")
    (folder / "Cid.ipynb").write_text("")
    return folder


def test_a_class_is_graded_with_one_command(course, folder, capsys, monkeypatch):
    # The next test grades in processes; each takes seconds to start.
    monkeypatch.setattr(command, "ProcessPoolExecutor", lambda *_, **__: ThreadPoolExecutor(1))
    arguments = [NAME, str(folder), "--course", str(course.root), "--processes", "1"]
    assert command.main([*arguments, "--deadline", "2001-01-01 18:00"]) == 0
    found = rows(course)
    assert {name: float(row["score"]) for name, row in found.items()} == {
        "Ada Lövelace": 6,
        "Bob": 3,
        "Cid": 0,
    }
    assert found["Ada Lövelace"]["double-hidden"] == "2.0"
    assert found["Ada Lövelace"]["status"] == "an answer waits to be marked"
    assert found["Cid"]["remarks"] == "Cid.ipynb is empty"
    assert all(float(row["late"]) > 24 for row in found.values())
    pages = sorted(p.name for p in (course.results(NAME) / "feedback").iterdir())
    assert pages == ["Ada Lövelace.html", "Bob.html", "Cid.html"]
    assert "Cid.ipynb is empty" in capsys.readouterr().out

    # Nothing is graded twice; a person's marks, a new submission and a list of the class count.
    (course.root / "students.txt").write_text("Ada Lövelace\nBob\nDora\n", encoding="utf-8")
    times = {s: course.record(NAME, s).stat().st_mtime_ns for s in found}
    nbformat.write(answered(course), folder / "Bob.ipynb")
    nbformat.write(answered(course, double="double = None"), folder / "Ada Lövelace.ipynb")
    with Gradebook(course.gradebook) as book:
        mark = book.find_grade("why", NAME, NAME, "Ada Lövelace")
        mark.manual_score, mark.needs_manual_grade = 1.5, False
        book.find_comment("why", NAME, NAME, "Ada Lövelace").manual_comment = "Well argued."
        book.db.commit()
    assert command.main([*arguments, "--collect"]) == 0
    assert not is_graded(course, NAME, "Bob")
    arguments.remove(str(folder))
    assert command.main(arguments) == 0
    found = rows(course)
    assert (found["Dora"]["score"], found["Dora"]["status"]) == ("0", "nothing handed in")
    assert found["Cid"]["remarks"] == "Cid.ipynb is empty; not in students.txt"
    assert float(found["Ada Lövelace"]["score"]) == 4.5
    assert found["Ada Lövelace"]["status"] == "graded"
    page = (course.results(NAME) / "feedback" / "Ada Lövelace.html").read_text()
    assert "1.5" in page and "Well argued." in page
    assert float(found["Bob"]["score"]) == 6

    # A mark counts as long as the answer is the same.
    nbformat.write(answered(course, why="Because."), folder / "Ada Lövelace.ipynb")
    assert command.main([NAME, str(folder), *arguments[1:]]) == 0
    assert rows(course)["Ada Lövelace"]["status"] == "an answer waits to be marked"
    assert course.record(NAME, "Cid").stat().st_mtime_ns == times["Cid"]


def test_an_interrupted_run_goes_on_where_it_stopped(course, folder):
    arguments = [NAME, str(folder), "--course", str(course.root), "--processes", "1"]
    process = [sys.executable, "-m", "classroom.grade", *arguments]
    run = subprocess.Popen(process, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while run.poll() is None and not course.record(NAME, "Ada Lövelace").exists():
        time.sleep(0.05)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    half_written = course.autograded(NAME, "Bob")  # nbgrader does not write in one step
    half_written.parent.mkdir(parents=True, exist_ok=True)
    half_written.write_text('{"cells": [')
    time_of_first = course.record(NAME, "Ada Lövelace").stat().st_mtime_ns
    assert command.main(arguments) == 0
    assert course.record(NAME, "Ada Lövelace").stat().st_mtime_ns == time_of_first
    assert {row["score"] for row in rows(course).values()} == {"6.0", "3.0", "0"}
    assert all(is_graded(course, NAME, student) for student in rows(course))


def test_nothing_runs_without_a_sandbox_unless_asked_for(course, folder, capsys, monkeypatch):
    monkeypatch.setattr(command, "available", lambda: "there is no bwrap")
    assert command.main([NAME, str(folder), "--course", str(course.root)]) == 2
    assert "SANDBOX=none" in capsys.readouterr().err
    assert not (course.root / "submitted").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["B7"], "there is no assignment 'B7', but T"),
        (["T", "nowhere"], "nowhere is no folder"),
        (["T", "."], ". is empty"),
        (["T", "--only", "Ada"], "nothing of 'Ada' has been collected for T, but of nobody"),
        (["T", "--deadline", "tomorrow"], "'tomorrow' is no time, such as '2026-12-01 18:00'"),
        (["T", "--processes", "0"], "0 processes cannot grade anything"),
        ([], "required: assignment"),
    ],
)
def test_what_cannot_be_done_is_named(course, arguments, message, tmp_path, capsys, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(SystemExit, match="2"):
        raise SystemExit(command.main([*arguments, "--course", str(course.root)]))
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("source", "start in the project's folder, or give the folder of the course"),
        ("gradebook.db", "T has not been released here yet: make release"),
    ],
)
def test_a_course_that_lacks_a_part_says_what_to_do(course, part, message, capsys):
    (course.root / part).rename(course.root / "elsewhere")
    assert command.main([NAME, "--course", str(course.root)]) == 2
    assert message in capsys.readouterr().err


def test_a_name_is_no_formula():
    assert no_formula("=SUM(A1)") == "'=SUM(A1)"

"""A class graded by Slurm jobs, on a cluster of this one machine: `make test-slurm`."""

import shutil
import subprocess
import sys
import time
from collections import Counter

import nbformat
import pytest

from classroom import grade as command
from classroom import sandbox
from classroom.course import Course
from classroom.slurm import last_line
from tests import cluster
from tests.classroom.courses import FULL, NAME, answered, rows

SLOW = "import time\ntime.sleep(10)\ndef double(x):\n    return 2 * x"
missing = cluster.missing() or sandbox.available()


def on_a_cluster(test):
    """Mark a test that needs a cluster."""
    return pytest.mark.slow(pytest.mark.skipif(bool(missing), reason=missing or "-")(test))


@pytest.fixture(scope="module")
def slurm():
    """The environment of a cluster that the tests of this file share."""
    with cluster.cluster() as environment:
        yield environment


@pytest.fixture
def start(course, slurm, tmp_path):
    """Start the grading of notebooks, given by the name of the student."""

    def start(**notebooks: nbformat.NotebookNode) -> subprocess.Popen:
        folder = tmp_path / "in"
        folder.mkdir(exist_ok=True)
        for student, notebook in notebooks.items():
            nbformat.write(notebook, folder / f"{student}.ipynb")
        arguments = [NAME, str(folder), "--course", str(course.root), "--slurm", "2"]
        return subprocess.Popen(
            [sys.executable, "-m", "classroom.grade", *arguments],
            env=slurm, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    return start


def job_of(student: str, course: Course, environment: dict[str, str]) -> str:
    """Wait until the job of a student runs; return its number, such as 7_2."""
    for _ in range(600):
        squeue = ["squeue", "--noheader", "--states=RUNNING", "--format=%i"]
        run = subprocess.run(squeue, env=environment, capture_output=True, text=True)
        names = course.root / "jobs" / NAME / "students.txt"
        for job in run.stdout.split():
            if names.read_text().splitlines()[int(job.partition("_")[2]) - 1] == student:
                return job
        time.sleep(0.1)
    raise TimeoutError(f"no job grades {student}")


def jobs(course: Course) -> list[int]:
    """Return the sizes of the arrays that graded a course, in their order."""
    logs = (course.root / "jobs" / NAME).glob("*.log")
    sizes = Counter(int(path.stem.partition("_")[0]) for path in logs)
    return [sizes[number] for number in sorted(sizes)]


@on_a_cluster
def test_each_submission_is_one_job_and_a_killed_one_is_graded_again(course, slurm, start):
    run = start(Ada=answered(course), Bo=answered(course), Cy=answered(course, double=SLOW))
    killed = job_of("Cy", course, slurm)
    subprocess.run(["scancel", "--signal=KILL", killed], env=slurm, check=True)
    _, errors = run.communicate(timeout=180)
    assert run.returncode == 0, errors
    assert {name: row["score"] for name, row in rows(course).items()} == dict.fromkeys(
        ("Ada", "Bo", "Cy"), f"{FULL:.1f}"
    )
    assert jobs(course) == [3, 1]


@on_a_cluster
def test_while_jobs_run_no_submission_is_graded_twice(course, slurm, start):
    first = start(Ada=answered(course, double=SLOW))
    job_of("Ada", course, slurm)
    _, errors = start().communicate(timeout=60)
    assert "jobs of an earlier call still grade T" in errors
    assert first.wait(120) == 0
    assert start().wait(60) == 0
    assert jobs(course) == [1]


@on_a_cluster
def test_a_submission_that_no_job_can_grade_is_named_and_the_others_are_graded(
    course, slurm, start
):
    start(Ada=answered(course)).wait(120)
    course.submitted(NAME, "Bo").parent.mkdir(parents=True)
    for name in ("timestamp.txt", "remarks.txt"):
        shutil.copy(
            course.submitted(NAME, "Ada").parent / name, course.submitted(NAME, "Bo").parent
        )
    course.submitted(NAME, "Bo").write_text("no notebook")
    run = start()
    run.communicate(timeout=180)
    assert run.returncode == 1
    assert rows(course)["Ada"]["score"] == f"{FULL:.1f}"
    assert "could not be graded: " in rows(course)["Bo"]["remarks"]
    assert jobs(course) == [1, 1, 1]


def test_without_slurm_the_message_says_so(course, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    assert command.main([NAME, "--course", str(course.root), "--slurm", "2"]) == 2
    assert "there is no sbatch" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "-3"])
def test_a_number_of_jobs_that_grades_nothing_is_refused(number, capsys):
    with pytest.raises(SystemExit):
        command.main([NAME, "--slurm", number])
    assert f"{number} jobs cannot grade anything" in capsys.readouterr().err


def test_the_reason_is_the_last_line_that_a_job_wrote(tmp_path):
    log = tmp_path / "7_1.log"
    assert "its job wrote nothing" in last_line(log)
    log.write_text("Traceback\nSandboxError: there is no bwrap\n\n")
    assert last_line(log) == "SandboxError: there is no bwrap"

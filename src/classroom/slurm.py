"""Grade a class on many machines: a Slurm job array, one submission a job.

The machines share the project's folder. A job runs `python -m classroom.grade A1 --only STUDENT`,
which writes a record last; what has none when the array has ended is submitted once more.
"""

import shlex
import shutil
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

from tqdm import tqdm

from classroom.course import Course
from classroom.one import is_graded

TRIES = 2  # of a submission whose job was lost
LARGEST = 1000  # jobs of an array: what Slurm allows unless MaxArraySize says otherwise
INTERVAL = 2  # seconds between two looks at what has been graded
# More than a sandbox may use, beside the grader itself; more than a notebook may take.
JOB = """#!/bin/bash
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --time=15
#SBATCH --no-requeue
student=$(sed -n "${SLURM_ARRAY_TASK_ID}p" %s)
exec %s --only="$student"
"""


class SlurmError(RuntimeError):
    """No jobs can be submitted."""


def grade_with_slurm(course: Course, assignment: str, together: int) -> dict[str, str]:
    """Grade all submissions that are not; return why some of them could not be.

    Args:
        together: at most so many jobs run at a time.

    Raises:
        SlurmError: there is no Slurm here, it takes no jobs, or jobs of an earlier call still run.
    """
    if not shutil.which("sbatch"):
        raise SlurmError(
            "there is no sbatch: run this where jobs are submitted, or without --slurm"
        )
    name = f"grade-{assignment}-{sha256(bytes(course.root)).hexdigest()[:8]}"
    if running := said("squeue", "--noheader", f"--name={name}", "--format=%i").split():
        raise SlurmError(
            f"jobs of an earlier call still grade {assignment}: {' '.join(running)}. "
            f"Wait for them, or end them: scancel --name={name}"
        )
    folder = course.root / "jobs" / assignment
    folder.mkdir(parents=True, exist_ok=True)
    waiting = [s for s in course.students(assignment) if not is_graded(course, assignment, s)]
    lost: dict[str, int] = {}
    failed: dict[str, str] = {}
    with tqdm(total=len(waiting), desc=assignment, unit="submission") as bar:
        while waiting:
            logs = run_array(course, assignment, waiting[:LARGEST], folder, name, together, bar)
            for student, log in logs.items():
                lost[student] = lost.get(student, 0) + 1
                if is_graded(course, assignment, student):
                    waiting.remove(student)
                elif lost[student] == TRIES:
                    waiting.remove(student)
                    failed[student] = f"could not be graded: {last_line(log)}"
    return failed


def run_array(
    course: Course,
    assignment: str,
    students: list[str],
    folder: Path,
    name: str,
    together: int,
    bar: tqdm,
) -> dict[str, Path]:
    """Submit a job for each student and wait for all of them; return where each one wrote."""
    names = folder / "students.txt"
    names.write_text("\n".join(students) + "\n", encoding="utf-8")
    grade = [sys.executable, "-m", "classroom.grade", assignment, "--course", str(course.root)]
    grade += [] if course.sandbox else ["--no-sandbox"]
    script = folder / "job.sh"
    script.write_text(JOB % (shlex.quote(str(names)), shlex.join(grade)), encoding="utf-8")
    command = ["sbatch", "--parsable", "--wait", f"--job-name={name}"]
    command += [f"--array=1-{len(students)}%{together}", f"--output={folder}/%A_%a.log", script]
    done = bar.n
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as array:
        number = array.stdout.readline().strip().partition(";")[0]
        while array.poll() is None:
            time.sleep(INTERVAL)
            graded = sum(is_graded(course, assignment, student) for student in students)
            bar.update(done + graded - bar.n)
    if not number:
        raise SlurmError(f"sbatch takes no jobs here: it ended with {array.returncode}")
    return {s: folder / f"{number}_{i}.log" for i, s in enumerate(students, 1)}


def said(*command: str) -> str:
    """Return what a program of Slurm prints.

    Raises:
        SlurmError: it fails; the message is its own.
    """
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise SlurmError(run.stderr.strip() or f"{command[0]} ended with {run.returncode}")
    return run.stdout


def last_line(log: Path) -> str:
    """Return the last line that a job wrote."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    return next((line for line in reversed(lines) if line.strip()), f"its job wrote nothing: {log}")

"""Grade what a class has handed in.

    python -m classroom.grade A1 path/to/folder --deadline "2026-12-01 18:00"
    python -m classroom.grade A1                               again, without new submissions
    python -m classroom.grade A1 path/to/folder --collect      collect, and grade nothing
    python -m classroom.grade A1 --only "Ada Lovelace"         one that has been collected
    python -m classroom.grade A1 path/to/folder --slurm 20     as jobs, at most 20 at a time

Submissions are collected, graded side by side and reported. What has been graded and has not
changed is left as it is: after an interruption the same command goes on. Marks that a person gave
since then appear in the results.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import sysconfig
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import datetime
from importlib.util import cache_from_source
from pathlib import Path

import nbformat
from tqdm import tqdm

from classroom.collect import collect_folder
from classroom.course import FOLDER, Course
from classroom.execute import imported
from classroom.one import grade_one, is_graded
from classroom.report import MARK, set_deadline, table, write_results
from classroom.sandbox import SandboxError, available
from classroom.slurm import SlurmError, grade_with_slurm

TASKS = 25  # submissions that a process grades before a new one takes its place


def end_with_parent() -> None:
    """Let this process end when the one that started it has been killed."""

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def write_bytecode(course: Course, assignment: str) -> None:
    """Import what an assignment imports: Python keeps it compiled, which the sandbox cannot do.

    Packages that have been compiled before are left out: to import torch takes seconds.
    """
    cells = nbformat.read(course.source(assignment), as_version=4).cells
    names = {n for c in cells if c.cell_type == "code" for n in imported(c.source)}
    if "torch" in names:
        names.add("torch._dynamo")  # the first optimizer of a process imports it
    packages = Path(sysconfig.get_path("purelib"))
    files = {name: packages.joinpath(*name.split("."), "__init__.py") for name in sorted(names)}
    names = [n for n, f in files.items() if f.exists() and not Path(cache_from_source(f)).exists()]
    if not names:
        return
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", code, *names], env=environment, capture_output=True)


def grade_all(course: Course, assignment: str, processes: int) -> dict[str, str]:
    """Grade all submissions that are not; return why some of them could not be."""
    waiting = [s for s in course.students(assignment) if not is_graded(course, assignment, s)]
    failed = {}
    pool = ProcessPoolExecutor(
        processes,
        # A fresh process has no threads or locks of this one.
        mp_context=multiprocessing.get_context("spawn"),
        max_tasks_per_child=TASKS,
        initializer=end_with_parent,
    )
    with pool, tqdm(total=len(waiting), desc=assignment, unit="submission") as bar:
        jobs = {pool.submit(grade_one, course, assignment, student): student for student in waiting}
        try:
            for job in as_completed(jobs):
                if error := job.exception():
                    failed[jobs[job]] = f"could not be graded: {error}"
                bar.update()
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failed


def point_in_time(text: str) -> datetime:
    """Read a date and a time of day; raise ArgumentTypeError where it is none."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        example = "2026-12-01 18:00"
        raise argparse.ArgumentTypeError(f"{text!r} is no time, such as {example!r}") from None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Grade what a class has handed in.",
        usage="make grade A=A1 FROM=folder, or python -m classroom.grade A1 folder [options]",
    )
    parser.add_argument("assignment", help="such as A1")
    parser.add_argument("folder", nargs="?", type=Path, help="a notebook or zip file per student")
    parser.add_argument("--deadline", type=point_in_time, help='"2026-12-01 18:00"')
    parser.add_argument("--collect", action="store_true", help="collect only, grade nothing")
    parser.add_argument("--only", metavar="STUDENT", help="grade this one, write no results")
    parser.add_argument("--no-sandbox", action="store_true", help="run the code unprotected")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="side by side")
    parser.add_argument("--slurm", type=int, metavar="JOBS", help="as jobs, so many at a time")
    parser.add_argument("--course", type=Path, default=FOLDER, help="where it all lies")
    options = parser.parse_args(arguments)
    for number, name in ((options.processes, "processes"), (options.slurm, "jobs")):
        if number is not None and number < 1:
            parser.error(f"{number} {name} cannot grade anything: give 1 or more")
    course = Course(options.course.resolve(), sandbox=not options.no_sandbox)
    assignment = options.assignment
    try:
        # Jobs look at the machine on which they run.
        if course.sandbox and not options.slurm and (reason := available()):
            raise SandboxError(
                f"{reason}. Students' code would run unprotected, with your rights. "
                "If you want that: make grade SANDBOX=none ..."
            )
        course.require(assignment)
        course.released_notebook(assignment)
        if options.only:
            record = grade_one(course, assignment, options.only)
            print(f"{options.only}: graded in {record['seconds']} s", *record["remarks"], sep="; ")
            return 0
        if options.folder:
            collect_folder(course, assignment, options.folder)
    except (SandboxError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    if options.deadline:
        set_deadline(course, assignment, options.deadline)
    students = course.students(assignment)
    if options.collect:
        print(f"{len(students)} submissions are collected, of: {', '.join(students)}")
        return 0
    write_bytecode(course, assignment)
    try:
        if options.slurm:
            failed = grade_with_slurm(course, assignment, options.slurm)
        else:
            failed = grade_all(course, assignment, options.processes)
    except SlurmError as error:
        print(error, file=sys.stderr)
        return 2
    rows = write_results(course, assignment, failed)
    results = course.results(assignment)
    print(table(rows))
    print(f"{len(students)} submissions, {len(failed)} not graded.", end=" ")
    print(f"{sum(row['status'] == MARK for row in rows)} with an answer to mark: make marking")
    print(f"The grades: {results / 'grades.csv'}, the feedback: {results / 'feedback'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

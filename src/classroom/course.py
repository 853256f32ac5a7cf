"""Where the parts of a course lie, and how nbgrader is set up for it."""

import logging
import unicodedata
import warnings
from dataclasses import dataclass
from pathlib import Path

import nbformat
import nbgrader.api
from alembic.script import ScriptDirectory
from nbconvert.preprocessors import ClearMetadataPreprocessor
from nbformat import NotebookNode
from nbgrader.coursedir import CourseDirectory
from nbgrader.dbutil import ALEMBIC_DIR
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    ClearHiddenTests,
    IgnorePattern,
    LimitOutput,
    SaveAutoGrades,
)
from sqlalchemy.exc import SAWarning
from traitlets.config import Config

from classroom.execute import Execute
from classroom.feedback import GetMarks
from classroom.sandbox import Limits

# They say nothing about our use of nbgrader.
warnings.filterwarnings("ignore", category=SAWarning)
logging.getLogger("traitlets").setLevel(logging.ERROR)

# To learn the version of a new gradebook, nbgrader would start a process that takes seconds.
nbgrader.api.get_alembic_version = ScriptDirectory(ALEMBIC_DIR).get_current_head


FOLDER = Path("assignments")  # where the course lies in the project's folder


@dataclass(frozen=True)
class Course:
    """A folder with assignments: sources go in, releases, grades and feedback come out.

    Args:
        root: the folder; nbgrader's names hold in it (source, release, submitted, ...).
        sandbox: whether student code runs in bubblewrap.
        limits: what a submission may use.
    """

    root: Path
    sandbox: bool = True
    limits: Limits = Limits()

    @property
    def assignments(self) -> list[str]:
        return sorted(path.parent.name for path in self.root.glob("source/*/*.ipynb"))

    def require(self, *assignments: str) -> None:
        """Raise FileNotFoundError, with what there is, where one of the assignments is missing."""
        if not self.assignments:
            raise FileNotFoundError(
                f"there are no assignments in {self.root / 'source'}: start in the project's "
                "folder, or give the folder of the course with --course"
            )
        for name in assignments:
            if name not in self.assignments:
                known = ", ".join(self.assignments)
                raise FileNotFoundError(f"there is no assignment {name!r}, but {known}")

    @property
    def gradebook(self) -> str:
        return f"sqlite:///{self.gradebook_file}"

    @property
    def gradebook_file(self) -> Path:
        return self.root / "gradebook.db"

    def source(self, assignment: str) -> Path:
        return self.root / "source" / assignment / f"{assignment}.ipynb"

    def released(self, assignment: str) -> Path:
        return self.root / "release" / assignment / f"{assignment}.ipynb"

    def released_notebook(self, assignment: str) -> NotebookNode:
        """Read what students got.

        Raises:
            FileNotFoundError: nothing has been released.
        """
        path = self.released(assignment)
        if not path.exists() or not self.gradebook_file.exists():
            raise FileNotFoundError(f"{assignment} has not been released here yet: make release")
        return nbformat.read(path, as_version=4)

    def submitted(self, assignment: str, student: str) -> Path:
        return self.root / "submitted" / student / assignment / f"{assignment}.ipynb"

    def remarks(self, assignment: str, student: str) -> Path:
        """What was found when a submission was collected, a remark on each line."""
        return self.submitted(assignment, student).parent / "remarks.txt"

    def autograded(self, assignment: str, student: str) -> Path:
        return self.root / "autograded" / student / assignment / f"{assignment}.ipynb"

    def page(self, assignment: str, student: str) -> Path:
        return self.root / "feedback" / student / assignment / f"{assignment}.html"

    def record(self, assignment: str, student: str) -> Path:
        """What is known of a graded submission; it is written last."""
        return self.root / "graded" / assignment / f"{student}.json"

    def results(self, assignment: str) -> Path:
        return self.root / "results" / assignment

    def students(self, assignment: str) -> list[str]:
        return sorted(
            path.parts[-3] for path in self.root.glob(f"submitted/*/{assignment}/*.ipynb")
        )

    def expected(self) -> list[str]:
        """Return the names of students.txt, one on each line, if there is such a file."""
        path = self.root / "students.txt"
        lines = path.read_text(encoding="utf-8-sig").splitlines() if path.exists() else []
        return [name for line in lines if (name := student_id(line))]

    def config(self, assignment: str = "", student: str = "*") -> Config:
        """Return the configuration of nbgrader for one assignment and one student."""
        config = Config()
        config.CourseDirectory.root = str(self.root)
        config.CourseDirectory.course_id = "normalization"
        config.CourseDirectory.db_url = self.gradebook
        config.CourseDirectory.assignment_id = assignment
        config.CourseDirectory.student_id = student
        config.Autograde.autograde_preprocessors = [
            Execute,
            IgnorePattern,
            ClearMetadataPreprocessor,
            LimitOutput,
            SaveAutoGrades,
            AssignLatePenalties,
            CheckCellMetadata,
        ]
        # Hidden tests stay hidden, or the next class would have them.
        config.GenerateFeedback.preprocessors = [GetMarks, ClearHiddenTests]
        config.Execute.limits = self.limits
        config.SandboxedKernelManager.sandbox = self.sandbox
        return config

    def coursedir(self, assignment: str = "", student: str = "*") -> CourseDirectory:
        return CourseDirectory(config=self.config(assignment, student))


def student_id(name: str) -> str:
    """Return a name as a folder can be called everywhere, with its spaces and letters."""
    name = unicodedata.normalize("NFC", name).strip()
    return "".join(c if c.isalnum() or c in " ._-@'," else f"%{ord(c):02X}" for c in name)


def write_at_once(path: Path, text: str) -> None:
    """Write a file in one step."""
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)

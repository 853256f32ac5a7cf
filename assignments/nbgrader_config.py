"""What nbgrader needs when it is started in this folder: `make marking`."""

from pathlib import Path

from classroom.course import Course

get_config().merge(Course(Path(__file__).resolve().parent).config())  # noqa: F821

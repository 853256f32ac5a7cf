"""Courses to try the grading on. Each is released once for all tests of a process."""

import pytest

from classroom.course import Course
from classroom.release import release_assignment
from tests.classroom import courses
from tests.classroom.scoring import ASSIGNMENTS, SOURCE


@pytest.fixture(scope="session")
def released(tmp_path_factory) -> Course:
    """The small course, in which nothing has been handed in."""
    course = courses.make(tmp_path_factory.mktemp("released"))
    release_assignment(course, courses.NAME)
    return course


@pytest.fixture
def course(released, tmp_path_factory) -> Course:
    """The small course, in a folder of the test's own."""
    return courses.copied(released, tmp_path_factory.mktemp("course") / "T")


@pytest.fixture(scope="session")
def real_course(tmp_path_factory) -> Course:
    """The assignments of this project, released."""
    course = Course(tmp_path_factory.mktemp("assignments"))
    (course.root / "source").symlink_to(SOURCE)
    for name in ASSIGNMENTS:
        release_assignment(course, name)
    return course

"""Make what students get of the assignments: notebooks without solutions, and zip files of them.

python tools/release.py          every assignment
python tools/release.py A1 A3    some of them
"""

import sys

from tqdm import tqdm

from grading.course import Course
from grading.release import release


def main(*names: str) -> None:
    course = Course()
    archives = [
        release(course, name) for name in tqdm(names or course.assignments, unit="notebook")
    ]
    for archive in archives:
        print(archive)


if __name__ == "__main__":
    main(*sys.argv[1:])

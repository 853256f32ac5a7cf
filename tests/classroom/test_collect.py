"""What students hand in, and what the grader makes of it before anything is executed."""

import json
import os
import zipfile

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell

from classroom.collect import (
    Unreadable,
    collect_folder,
    latest_submissions,
    read_submission,
    restore,
)
from classroom.course import student_id
from tests.classroom import courses
from tests.classroom.courses import ANSWER, DOUBLE, HALF, NAME, answered


@pytest.fixture
def release(course):
    return course.released_notebook(NAME)


def handed_in(notebook, path):
    """Return the cells of a notebook after it has been a file."""
    nbformat.write(notebook, path)
    return read_submission(path, f"{NAME}.ipynb")[0]


def sources(notebook):
    return [cell.source for cell in notebook.cells]


def order(notebook):
    return [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in notebook.cells]


def test_an_honest_notebook_stays_as_it_is(course, release, tmp_path):
    notebook = answered(course)
    result, remarks = restore(handed_in(notebook, tmp_path / "a.ipynb"), release)
    assert (sources(result), order(result), remarks) == (sources(notebook), order(notebook), [])


def test_changed_tests_are_put_back(course, release, tmp_path):
    notebook = answered(course, **{"double-visible": "pass", "half-hidden": "pass"})
    result, remarks = restore(handed_in(notebook, tmp_path / "a.ipynb"), release)
    assert sources(result) == sources(answered(course))
    assert remarks == ["changed and put back: double-visible, half-hidden"]


def test_a_deleted_test_comes_back_behind_the_answer_that_it_tests(course, release, tmp_path):
    notebook = answered(course)
    notebook.cells = [c for c in notebook.cells if "hidden" not in c.id]
    result, remarks = restore(handed_in(notebook, tmp_path / "a.ipynb"), release)
    assert order(result) == order(answered(course))
    assert remarks == ["missing and put back: double-hidden, half-hidden"]


def test_cells_without_metadata_are_known_by_their_id(course, release, tmp_path):
    notebook = answered(course)
    for cell in notebook.cells:
        cell.metadata = {}
    result, remarks = restore(handed_in(notebook, tmp_path / "a.ipynb"), release)
    assert (order(result), remarks) == (order(answered(course)), [])


def test_without_metadata_and_ids_all_tests_follow_the_code_of_the_student(
    course, release, tmp_path
):
    notebook = answered(course)
    for number, cell in enumerate(notebook.cells):
        cell.metadata, cell.id = {}, f"new-{number}"
    result, _ = restore(handed_in(notebook, tmp_path / "a.ipynb"), release)
    tests = ["double-visible", "double-hidden", "half-hidden"]
    assert [name for name in order(result) if name in tests] == tests
    assert sources(result).index(HALF) < order(result).index("double-visible")
    assert result.cells[order(result).index("why")].source == ANSWER


def test_a_copied_answer_counts_as_code_and_not_as_a_second_answer(course, release, tmp_path):
    notebook = answered(course)
    copy = new_code_cell(HALF, metadata=courses.mark("double", solution=True))
    notebook.cells.append(copy)
    result, _ = restore(handed_in(notebook, tmp_path / "a.ipynb"), release)
    assert order(result) == [*order(answered(course)), None]


def test_points_and_tags_are_those_of_the_release(course, release, tmp_path):
    notebook = answered(course)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            cell.metadata.nbgrader.points = 1000
            cell.metadata.tags = ["skip-execution"]
    result, _ = restore(handed_in(notebook, tmp_path / "a.ipynb"), release)
    assert [c.metadata for c in result.cells if "nbgrader" in c.metadata] == [
        c.metadata for c in release.cells if "nbgrader" in c.metadata
    ]


def test_a_test_turned_into_text_is_code_again(course, release, tmp_path):
    notebook = answered(course)
    metadata = notebook.cells[4].metadata
    notebook.cells[4] = new_markdown_cell("nothing to test", id="text", metadata=metadata)
    result, _ = restore(handed_in(notebook, tmp_path / "a.ipynb"), release)
    assert [c.cell_type for c in result.cells] == [c.cell_type for c in release.cells]


def test_outputs_are_left_behind(course, release, tmp_path):
    notebook = answered(course)
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", text="6 of 6 points")]
    result, _ = restore(handed_in(notebook, tmp_path / "a.ipynb"), release)
    assert all(not cell.get("outputs") for cell in result.cells)


def test_cells_that_write_the_package_are_left_out(course, release, tmp_path):
    notebook = answered(course)
    notebook.cells.insert(1, new_code_cell("%%writefile normlab/training.py\nraise SystemExit"))
    result, _ = restore(handed_in(notebook, tmp_path / "a.ipynb"), release)
    assert order(result) == order(answered(course))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.ipynb", b"", "empty"),
        ("a.ipynb", b"  \n", "empty"),
        ("a.ipynb", b"print(1)", "not a notebook"),
        ("a.ipynb", b"\xff\xfe\x00", "not a notebook"),
        ("a.ipynb", b"[1, 2]", "not a notebook"),
        ("a.ipynb", json.dumps({"nbformat": 4, "nbformat_minor": 5}).encode(), "not a notebook"),
        ("a.zip", b"no zip", "cannot be unpacked"),
        ("a.pdf", b"%PDF", "neither a notebook nor a zip file"),
    ],
)
def test_what_is_no_notebook_says_why(tmp_path, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(Unreadable, match=reason):
        read_submission(path, "T.ipynb")


def test_cells_that_are_no_cells_are_left_out(tmp_path):
    path = tmp_path / "a.ipynb"
    cells = [{"cell_type": "code", "source": ["x = ", "1"], "metadata": "none"}]
    cells += [{"cell_type": "spell", "source": "abracadabra"}]
    document = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    path.write_text(json.dumps(document))
    try:
        assert [cell.source for cell in read_submission(path, "T.ipynb")[0]] == ["x = 1"]
    except Unreadable as error:
        assert "not a notebook" in str(error)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_does_no_harm(course, tmp_path, encoding):
    path = tmp_path / "a.ipynb"
    path.write_bytes(nbformat.writes(answered(course)).encode(encoding))
    assert len(read_submission(path, "T.ipynb")[0]) == len(answered(course).cells)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_file_with_a_wrong_byte_says_so(course, tmp_path, method):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("T.ipynb", nbformat.writes(answered(course)))
    data = bytearray(path.read_bytes())
    data[60:80] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(Unreadable, match="cannot be unpacked"):
        read_submission(path, "T.ipynb")


def test_endings_may_be_written_in_capitals(course, tmp_path):
    path = tmp_path / "Ada.ZIP"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("T.IPYNB", nbformat.writes(answered(course)))
    (tmp_path / "Ada.pdf").write_text("later")
    (submission,) = latest_submissions(tmp_path)
    assert submission.path == path
    assert read_submission(path, "T.ipynb")[0]


def test_the_notebook_in_a_zip_file_is_found_by_its_name(course, tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("work/draft.ipynb", "nothing")
        archive.writestr("__MACOSX/work/._T.ipynb", "nothing")
        archive.writestr("work/T.ipynb", nbformat.writes(answered(course)))
    cells, remarks = read_submission(path, "T.ipynb")
    assert len(cells) == len(answered(course).cells)
    assert remarks == ["more than one notebook in a.zip: work/T.ipynb counts, not work/draft.ipynb"]


def test_a_zip_file_is_read_and_never_unpacked(course, tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../T.ipynb", nbformat.writes(answered(course)))
    read_submission(path, "T.ipynb")
    assert [p.name for p in tmp_path.rglob("*")] == ["a.zip"]


def test_a_zip_bomb_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr("classroom.collect.LARGEST", 1000)
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("T.ipynb", " " * 1_000_000)
    with pytest.raises(Unreadable, match="larger than"):
        read_submission(path, "T.ipynb")


def test_of_two_submissions_the_later_one_counts(course, tmp_path):
    nbformat.write(answered(course), tmp_path / "Ada.ipynb")
    nbformat.write(answered(course), tmp_path / "Ada (1).ipynb")
    os.utime(tmp_path / "Ada (1).ipynb", (1_000_000, 1_000_000))
    (submission,) = latest_submissions(tmp_path)
    assert (submission.student, submission.path.name) == ("Ada", "Ada.ipynb")
    assert submission.remarks == ["handed in more than once: Ada.ipynb counts, not Ada (1).ipynb"]


def test_a_folder_named_by_a_student_holds_the_submission(course, tmp_path):
    (tmp_path / "Ada").mkdir()
    nbformat.write(answered(course), tmp_path / "Ada" / "T.ipynb")
    (tmp_path / ".DS_Store").write_text("")
    assert [(s.student, s.path.name) for s in latest_submissions(tmp_path)] == [("Ada", "T.ipynb")]


@pytest.mark.parametrize("name", ["Zoë Müller", "李 雷", "O'Brien, Ann", "a@uni.edu"])
def test_names_keep_their_letters(name):
    assert student_id(name) == name


def test_one_name_in_two_encodings_is_one_student():
    assert student_id("Zoe\u0308") == student_id("Zo\u00eb")


def test_letters_that_mean_something_to_the_system_are_written_as_numbers():
    assert student_id("a*b[c]/d") == "a%2Ab%5Bc%5D%2Fd"


def test_what_cannot_be_read_becomes_an_empty_submission_that_says_why(course, tmp_path):
    (tmp_path / "Bob.ipynb").write_text("")
    collect_folder(course, NAME, tmp_path)
    notebook = nbformat.read(course.submitted(NAME, "Bob"), as_version=4)
    assert course.remarks(NAME, "Bob").read_text() == "Bob.ipynb is empty"
    assert notebook.cells[0].source == "**Bob.ipynb is empty**"
    assert DOUBLE not in sources(notebook)


def test_a_folder_that_is_not_there_is_named(course, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        collect_folder(course, NAME, tmp_path / "nowhere")

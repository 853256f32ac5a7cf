"""`make run`: what it writes, and when it writes nothing."""

import io
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

from tools import notebooks, run
from tools.rules import results_belong_to_the_code

CELLS = [
    "import os\n\nEPOCHS = 10",
    'print(f"CIFAR-10: {EPOCHS} images, {os.getcwd()[-8:]}")\n'
    'print(os.environ["TQDM_DISABLE"], os.environ.get("NORMLAB_QUICK"))',
    "assert EPOCHS == 10",
]


@pytest.fixture
def chapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A chapter in a project of its own, without a stamp and with the traces of an editor."""
    for module in (run, notebooks):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setenv("NORMLAB_QUICK", "1")  # must not reach the stored results
    path = tmp_path / "chapters" / "06-tiny.ipynb"
    path.parent.mkdir()
    cells = [new_code_cell(source, metadata={"scrolled": True}) for source in CELLS]
    cells.append(new_code_cell("1 / 0", metadata={"tags": ["raises-exception"]}))
    for cell in cells:
        del cell["id"]
    kernel = {"display_name": "mine", "language": "python", "name": "mine"}
    language = {"name": "python", "version": "3.9.9"}
    metadata = {"kernelspec": kernel, "language_info": language, "widgets": {}}
    write(new_notebook(cells=cells, metadata=metadata, nbformat_minor=4), path)
    return path


def write(notebook: NotebookNode, path: Path) -> None:
    path.write_text(nbformat.v4.writes(notebook) + "\n", encoding="utf-8")


def texts(path: Path) -> list[str]:
    cells = nbformat.read(path, as_version=4).cells
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in cells]


def test_a_chapter_is_executed_cleaned_and_stamped(chapter: Path) -> None:
    run.main(["06"])
    notebook = nbformat.read(chapter, as_version=4)
    assert texts(chapter)[1] == "CIFAR-10: 10 images, chapters\n1 None\n"
    assert [cell.execution_count for cell in notebook.cells] == [1, 2, 3, 4]
    assert notebook.cells[3].outputs[0].traceback == ["ZeroDivisionError: division by zero"]
    assert results_belong_to_the_code(notebook) == []
    assert notebook.metadata.normlab.data == "CIFAR-10"
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.keys() == {"kernelspec", "language_info", "normlab"}
    assert "version" not in notebook.metadata.language_info
    assert [dict(cell.metadata) for cell in notebook.cells[:3]] == [{}, {}, {}]
    assert [cell.id for cell in notebook.cells] == ["cell-0", "cell-1", "cell-2", "cell-3"]

    # A second run changes nothing, except perhaps the minutes.
    first = chapter.read_text(encoding="utf-8")
    run.main([])
    notebook = nbformat.read(chapter, as_version=4)
    notebook.metadata.normlab.minutes = nbformat.reads(first, as_version=4).metadata.normlab.minutes
    assert nbformat.writes(notebook) + "\n" == first
    assert list(chapter.parent.iterdir()) == [chapter]


def test_a_failing_cell_is_shown_and_nothing_is_written(chapter: Path) -> None:
    notebook = nbformat.read(chapter, as_version=4)
    notebook.cells.insert(2, new_code_cell('int("many")'))
    write(notebook, chapter)
    before = chapter.read_bytes()
    with pytest.raises(SystemExit, match=r"(?s)cell 3 failed.*int\(.many.\).*invalid literal"):
        run.main(["06"])
    assert chapter.read_bytes() == before
    assert list(chapter.parent.iterdir()) == [chapter]


def test_a_failed_claim_stops_a_full_run(chapter: Path) -> None:
    notebook = nbformat.read(chapter, as_version=4)
    notebook.cells[2].source = "assert EPOCHS == 11"
    write(notebook, chapter)
    with pytest.raises(SystemExit, match="cell 3 failed"):
        run.main(["06"])


def test_results_on_shapes_do_not_replace_those_on_cifar10(chapter: Path) -> None:
    run.main(["06"])
    notebook = nbformat.read(chapter, as_version=4)
    notebook.cells[1].source = 'print("Shapes-10: drawn by code")'
    write(notebook, chapter)
    before = chapter.read_bytes()
    with pytest.raises(
        SystemExit, match="stores results on CIFAR-10, and this run found Shapes-10"
    ):
        run.main(["06"])
    assert chapter.read_bytes() == before
    run.main(["06", "--output", str(chapter.parent / "copy")])
    assert texts(chapter.parent / "copy" / chapter.name)[1] == "Shapes-10: drawn by code\n"


def test_only_what_is_stale_runs_if_asked(
    chapter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run.main(["--stale"])
    assert "06-tiny is stale: it has no stamp\n" in capsys.readouterr().out
    before = chapter.read_bytes()
    run.main(["--stale"])
    assert capsys.readouterr().out == "nothing is stale: all stored results belong to their code\n"
    assert chapter.read_bytes() == before
    notebook = nbformat.read(chapter, as_version=4)
    notebook.cells[0].source += "  # ten\nSEEDS = 3"
    write(notebook, chapter)
    run.main(["06", "--stale"])
    assert "06-tiny is stale: changed: cells\n" in capsys.readouterr().out
    assert results_belong_to_the_code(nbformat.read(chapter, as_version=4)) == []


def test_a_short_run_goes_to_a_copy_and_passes_over_claims(
    chapter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, folder = chapter.read_bytes(), chapter.parents[1] / "short"
    run.main(["06", "--set", "EPOCHS=1", "--output", str(folder)])
    assert chapter.read_bytes() == before
    assert texts(folder / chapter.name)[1].startswith("CIFAR-10: 1 images")
    assert "passed over in a short run: AssertionError" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["07"], "no such notebook: 07. There are: 06-tiny"),
        (["06", "--set", "EPOCH=1", "--output", "x"], "no cell assigns EPOCH"),
        (["06", "--set", "EPOCHS=1"], "2"),  # the exit code of argparse
    ],
)
def test_a_wrong_call_is_refused(chapter: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        run.main(arguments)


def test_a_chapter_out_of_style_is_refused(chapter: Path) -> None:
    notebook = nbformat.read(chapter, as_version=4)
    notebook.cells[0].source = "EPOCHS=10"
    write(notebook, chapter)
    with pytest.raises(SystemExit, match="make format"):
        run.main(["06"])


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(buffer, "PNG")
    return buffer.getvalue()


def test_a_chart_gets_a_palette_and_stays_the_same_to_the_eye() -> None:
    pixels = np.zeros((200, 300, 4), dtype=np.uint8)
    pixels[50:100] = [44, 127, 184, 255]
    pixels[100:110] = [122, 122, 122, 128]
    small = run.shrink(png(pixels))
    assert Image.open(io.BytesIO(small)).mode == "P"
    shown = np.asarray(Image.open(io.BytesIO(small)).convert("RGBA")).astype(int)
    assert abs(shown - pixels)[pixels[..., 3] > 0].max() <= 8
    assert (shown[..., 3] == 0).sum() == (pixels[..., 3] == 0).sum()
    assert run.shrink(small) == small


def test_a_photograph_keeps_its_colours() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 4), dtype=np.uint8)
    assert run.shrink(png(noise)) == png(noise)

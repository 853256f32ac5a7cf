"""The command that the chapter on deployment writes: without PyTorch, and clear about errors."""

import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from tools import ROOT
from tools.notebooks import code_cells

NOTEBOOK = ROOT / "chapters" / "15-deployment.ipynb"
COLORS = {"blue.png": (0, 0, 255), "green.jpg": (0, 255, 0), "red.jpeg": (255, 0, 0)}


def model(
    classes: str | None = "red,green,blue",
    image_type: int = TensorProto.UINT8,
    shape: tuple = ("N", 3, 4, 6),
) -> bytes:
    """Return a file whose classes are the channels: their means, as shares of their sum."""
    images = helper.make_tensor_value_info("pixels", image_type, shape)
    shares = helper.make_tensor_value_info("shares", TensorProto.FLOAT, ["N", 3])
    axes = helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3])
    nodes = [
        helper.make_node("Cast", ["pixels"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["x", "axes"], ["means"], keepdims=0),
        helper.make_node("Softmax", ["means"], ["shares"], axis=1),
    ]
    graph = helper.make_graph(nodes, "colors", [images], [shares], [axes])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    if classes:
        helper.set_model_props(made, {"classes": classes})
    onnx.checker.check_model(made)
    return made.SerializeToString()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the command, a model, and three images of one colour each."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in code_cells(notebook):
        if cell.source.startswith("%%writefile ") and "classify.py" in cell.source.split("\n")[0]:
            with open(tmp_path / "classify.py", "a", encoding="utf-8") as file:
                file.write(cell.source.partition("\n")[2])
    (tmp_path / "model.onnx").write_bytes(model())
    (tmp_path / "images").mkdir()
    for name, color in COLORS.items():
        Image.new("RGB", (6, 4), color).save(tmp_path / "images" / name)
    # Whoever serves the file has no PyTorch.
    for absent in ("torch", "torchvision", "normlab", "onnx"):
        (tmp_path / f"{absent}.py").write_text("raise ImportError('not here')\n", encoding="utf-8")
    return tmp_path


def classify(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "classify.py", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_it_names_the_class_of_each_image_without_pytorch(folder: Path) -> None:
    run = classify(folder, "model.onnx", "images")
    rows = [line.split("  ") for line in run.stdout.splitlines()]
    expected = [[name, name.partition(".")[0], "100%"] for name in sorted(COLORS)]
    assert (run.returncode, rows, run.stderr) == (0, expected, "")


def test_images_of_other_modes_and_other_files_do_no_harm(folder: Path) -> None:
    images = folder / "images"
    Image.new("RGBA", (6, 4), (255, 0, 0, 255)).save(images / "red.png")
    Image.new("L", (6, 4), 9).save(images / "grey.PNG")
    Image.new("RGB", (6, 4), (255, 0, 0)).save(images / "red.webp", lossless=True)
    Image.new("RGB", (6, 4), (0, 0, 255)).convert("P").save(images / "palette.png")
    (images / "._red.png").write_bytes(b"left by macOS")
    (images / "more.png").mkdir()
    (images / "notes.txt").write_text("no image", encoding="utf-8")
    run = classify(folder, "model.onnx", "images")
    assert run.returncode == 0 and len(run.stdout.splitlines()) == 7
    assert "red.webp  red  100%" in run.stdout and "palette.png  blue" in run.stdout
    assert run.stderr.replace("\\", "/").splitlines() == [
        f"images/{name} is passed over: it is no .png, .jpg, .jpeg, .webp"
        for name in ("more.png", "notes.txt")
    ]


def test_an_image_lies_as_its_camera_was_held(folder: Path) -> None:
    images = folder / "images"
    turned = Image.new("RGB", (4, 6), (0, 255, 0))
    exif = turned.getexif()
    exif[0x0112] = 6  # turn it by 90 degrees to see it
    turned.save(images / "turned.jpg", exif=exif)
    run = classify(folder, "model.onnx", "images")
    assert (run.returncode, run.stderr) == (0, "")
    assert "turned.jpg  green  100%" in run.stdout


def test_what_cannot_be_read_as_8_bits_a_channel_without_a_choice_is_refused(folder: Path) -> None:
    images = folder / "images"
    deep = np.full((4, 6), 30_000, dtype=np.uint16)
    Image.fromarray(deep).save(images / "deep.png")
    Image.new("RGBA", (6, 4), (255, 0, 0, 128)).save(images / "glass.png")
    hole = Image.new("P", (6, 4))
    hole.save(images / "hole.png", transparency=0)
    run = classify(folder, "model.onnx", "images")
    assert run.returncode == 1 and len(run.stdout.splitlines()) == 3
    assert run.stderr.replace("\\", "/").splitlines() == [
        "images/deep.png has 16 bits a channel: convert it to 8",
        "images/glass.png is partly transparent: put it on a background",
        "images/hole.png is partly transparent: put it on a background",
    ]


def test_one_bad_image_does_not_stop_the_others(folder: Path) -> None:
    (folder / "images" / "broken.png").write_bytes(b"\x89PNG and then nothing")
    Image.new("RGB", (60, 40)).save(folder / "images" / "large.png")
    whole = (folder / "images" / "blue.png").read_bytes()
    (folder / "images" / "cut.png").write_bytes(whole[: len(whole) // 2])
    run = classify(folder, "model.onnx", "images")
    assert run.returncode == 1 and len(run.stdout.splitlines()) == 3
    assert run.stderr.replace("\\", "/").splitlines() == [
        "images/broken.png is damaged or no image: replace it",
        "images/cut.png is damaged or no image: replace it",
        "images/large.png is 60x40: resize it to 6x4",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.onnx", "images"], "missing.onnx is missing: export the model, or correct"),
        (["images", "images"], "images is missing: export the model, or correct the path"),
        (["noise.onnx", "images"], "noise.onnx is damaged or no ONNX model: export it again"),
        (["cut.onnx", "images"], "cut.onnx is damaged or no ONNX model: export it again"),
        (
            ["unnamed.onnx", "images"],
            "unnamed.onnx has 3 outputs and 0 names: export it with the names",
        ),
        (["float.onnx", "images"], "float.onnx takes tensor(float)"),
        (["open.onnx", "images"], "open.onnx takes tensor(uint8)"),
        (
            ["few.onnx", "images"],
            "few.onnx has 3 outputs and 2 names: export it with the names of all",
        ),
        (["model.onnx", "empty"], "empty holds no .png, .jpg, .jpeg, .webp: correct the path"),
        (["model.onnx", "nowhere"], "nowhere holds no .png, .jpg, .jpeg, .webp: correct"),
        (["model.onnx"], "usage: python classify.py MODEL.onnx FOLDER"),
    ],
)
def test_an_error_names_the_value_and_the_way_out(
    folder: Path, arguments: list[str], said: str
) -> None:
    (folder / "noise.onnx").write_bytes(np.random.default_rng(0).bytes(1000))
    (folder / "cut.onnx").write_bytes(model()[:-60])
    (folder / "unnamed.onnx").write_bytes(model(classes=None))
    (folder / "float.onnx").write_bytes(model(image_type=TensorProto.FLOAT))
    (folder / "open.onnx").write_bytes(model(shape=("N", 3, "H", "W")))
    (folder / "few.onnx").write_bytes(model(classes="red,green"))
    (folder / "empty").mkdir()
    run = classify(folder, *arguments)
    assert (run.returncode, run.stdout) == (1, "")
    assert said in run.stderr and "Traceback" not in run.stderr
    assert len(run.stderr.splitlines()) == 1

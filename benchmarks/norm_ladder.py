"""The ladder of chapter 17 on any device: BN, LayerNorm and GroupNorm, forward and backward.

    python benchmarks/norm_ladder.py [--device cuda] [--compile] [--turns 30]
    TRITON_INTERPRET=1 python benchmarks/norm_ladder.py --check

The ways to write a norm are those of the chapter: their cells are read from the notebook. Beside
the time relative to torch.nn stands how much of the speed of a copy the way reaches if it reads and
writes five tensors of the input's size, the least that is possible. Triton's kernels run where
there is a GPU, and in Triton's interpreter, where they are checked and not timed.
It has been tried on a CPU only.
"""

import argparse
import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import nbformat
import torch

NOTEBOOK = Path(__file__).parents[1] / "chapters" / "17-how-fast.ipynb"
CELLS = ("formula", "ways", "ways-2", "family", "triton", "triton-back", "triton-bn",
         "triton-bn-back", "triton-run")  # fmt: skip
HEAD = "import torch\nfrom torch.nn import functional as F\n"
HEAD += "from normlab.functional import batch_norm, normalize_backward\nEPS = 1e-5\n"
SHAPES = [(64, 6, 28, 28), (64, 16, 10, 10), (128, 64, 32, 32), (8192, 256, 1, 1)]
# Triton takes one row per program, which must fit into its registers.
CHECKED = {
    "layer": [(1, 2), (7, 5), (70, 120), (3, 1000), (64, 64), (65, 33), (2, 4096)],
    "batch": [(2, 1), (9, 3), (3, 5, 7), (3, 5, 7, 11), (2, 3, 33, 37), (4, 2, 16, 16)],
}


def ways_of_the_chapter() -> ModuleType:
    """Return what the cells of the chapter define, as a module.

    It is imported from a file, since Triton reads the source of its kernels.
    """
    cells = {cell.id: cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells}
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name, "ladder_cells.py")
    path.write_text("\n\n".join([HEAD, *(cells[name] for name in CELLS)]), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.folder = folder  # the interpreter reads the source when a kernel is called
    return module


def step(layer: Callable, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the gradients of all inputs but the last, which is the gradient of the output."""
    *inputs, dy = inputs
    return torch.autograd.grad(layer(*inputs), inputs, dy)


def medians(calls: dict[str, Callable], device: str, turns: int) -> dict[str, float]:
    """Return the median seconds of calls that take turns; three calls of each come before."""
    found = {name: [] for name in calls}
    wait = getattr(torch, device).synchronize
    for turn in range(turns + 3):
        for name, call in calls.items():
            wait()
            start = time.perf_counter()
            call()
            wait()
            if turn > 2:
                found[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def calls_of(
    cells: ModuleType, norm: str, shape: tuple, compiled: bool, kernels: bool
) -> dict[str, Callable]:
    """Return what there is to time of a norm, by name."""
    draw = cells.layer_sample if norm == "LayerNorm" else cells.sample
    inputs = draw(shape)
    ways = {
        "BatchNorm": {
            "torch.nn": cells.library,
            "formula": cells.formula,
            "closed form": cells.closed_form,
            "normlab": cells.in_pieces,
        },
        "LayerNorm": {
            "torch.nn": cells.layer_library,
            "formula": cells.in_groups(cells.formula, 1),
            "closed form": cells.in_groups(cells.closed_form, 1),
        },
        "GroupNorm": {
            "torch.nn": cells.group_library,
            "formula": cells.in_groups(cells.formula, cells.GROUPS),
            "closed form": cells.in_groups(cells.closed_form, cells.GROUPS),
        },
    }[norm]
    if compiled:
        for name in ("torch.nn", "formula", "closed form"):
            ways[f"{name}, compiled"] = torch.compile(ways[name], fullgraph=True, dynamic=False)
    calls = {name: lambda way=way: step(way, *inputs) for name, way in ways.items()}
    x, weight, bias, dy = (t.detach() for t in inputs)
    affine = weight.flatten(), bias.flatten()
    if kernels and norm == "BatchNorm":
        calls["Triton"] = lambda: cells.triton_batch_norm(x, *affine, dy)
    if kernels and norm == "LayerNorm" and affine[0].numel() <= 2**14:
        rows = x.flatten(1), dy.flatten(1)
        calls["Triton"] = lambda: cells.triton_layer_norm(rows[0], *affine, rows[1])
    values = {"copy": lambda: torch.empty_like(x).copy_(x)}
    return values | calls


def check(cells: ModuleType) -> int:
    """Compare Triton's kernels with torch.nn, and return how many results differ."""
    wrong = 0
    for kind, shapes in CHECKED.items():
        for shape in shapes:
            x, dy = (3 + torch.randn(shape)).requires_grad_(), torch.randn(shape)
            weight, bias = (torch.rand(shape[1]).requires_grad_() for _ in range(2))
            if kind == "layer":
                layer, kernel = torch.nn.functional.layer_norm, cells.triton_layer_norm
                y = layer(x, x.shape[1:], weight, bias)
            else:
                layer, kernel = torch.nn.functional.batch_norm, cells.triton_batch_norm
                y = layer(x, None, None, weight, bias, True)
            wanted = y, *torch.autograd.grad(y, [x, weight, bias], dy)
            with torch.no_grad():
                found = kernel(x, weight, bias, dy)
            scale = [max(1.0, b.abs().max().item()) for b in wanted]
            errors = [
                (a - b).abs().max().item() / s for a, b, s in zip(found, wanted, scale, strict=True)
            ]
            wrong += sum(error > 1e-4 for error in errors)
            print(f"{kind:6} {shape!s:16} largest error {max(errors):.0e}")
    return wrong


def main() -> int:
    """Print the ladder; with --check, return 1 where a kernel of Triton differs from torch.nn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="torch.compile too; takes minutes")
    parser.add_argument("--turns", type=int, default=30, help="calls of each way (default: 30)")
    parser.add_argument("--shapes", nargs="+", help="such as 64x6x28x28")
    parser.add_argument("--check", action="store_true", help="compare Triton's kernels, no times")
    options = parser.parse_args()
    torch.manual_seed(0)
    cells = ways_of_the_chapter()
    if options.check:
        if cells.triton is None:
            parser.error("Triton is missing; it comes with PyTorch on Linux")
        if options.device != "cpu":
            torch.set_default_device(options.device)
        return int(check(cells) > 0)
    torch.set_default_device(options.device)
    where = torch.cuda.get_device_name() if options.device == "cuda" else options.device
    print(f"torch {torch.__version__}, {where}, {torch.get_num_threads()} threads, float32")
    shapes = [tuple(map(int, s.split("x"))) for s in options.shapes or ()] or SHAPES
    kernels = cells.triton is not None and options.device == "cuda"
    for norm in ("BatchNorm", "LayerNorm", "GroupNorm"):
        for shape in shapes:
            torch.compiler.reset()
            calls = calls_of(cells, norm, shape, options.compile, kernels)
            seconds = medians(calls, options.device, options.turns)
            copy, best = seconds.pop("copy"), seconds["torch.nn"]
            print(f"\n{norm} {shape}: torch.nn {1e6 * best:.0f} us, a copy {1e6 * copy:.0f} us")
            for name, t in seconds.items():
                # A copy moves 2 tensors, a step at least 5.
                print(f"  {name:18} {t / best:6.2f}  {2.5 * copy / t:4.0%} of the copy's speed")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Errors of normlab's layers and of torch.nn's in training, measured against float64.

    python benchmarks/accuracy.py [--write]

With --write the tables go to the file that the book includes. An error is the largest difference
from the truth, in units of the largest true number, or of 1 where all are smaller.
"""

import argparse
import copy
import itertools
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, func, nn

from normlab import layers

PAGE = Path(__file__).with_suffix(".md")
# The larger shapes are those that normlab computes in pieces.
LAYERS: list[tuple[str, tuple, dict, list[tuple[int, ...]]]] = [  # arguments, shapes
    ("BatchNorm1d", (8,), {}, [(64, 8), (65_536, 8)]),
    ("BatchNorm2d", (8,), {}, [(16, 8, 16, 16), (16, 8, 64, 64)]),
    ("BatchNorm3d", (4,), {}, [(4, 4, 4, 8, 8)]),
    ("LayerNorm", (64,), {}, [(32, 64), (8192, 64)]),
    ("RMSNorm", (64,), {}, [(32, 64), (8192, 64)]),
    ("GroupNorm", (2, 8), {}, [(16, 8, 16, 16), (64, 8, 32, 32)]),
    ("InstanceNorm1d", (8,), {"affine": True, "track_running_stats": True}, [(16, 8, 256)]),
    ("InstanceNorm2d", (8,), {"affine": True, "track_running_stats": True}, [(16, 8, 64, 64)]),
    ("InstanceNorm3d", (4,), {"affine": True, "track_running_stats": True}, [(4, 4, 4, 8, 8)]),
]
# At 1e5 neighbours in bfloat16 are 512 apart, and float16 has ended.
INPUTS = [
    (torch.float32, 0.0),
    (torch.float32, 1e3),
    (torch.float32, 1e5),
    (torch.bfloat16, 0.0),
    (torch.bfloat16, 1e3),
    (torch.float16, 0.0),
    (torch.float16, 1e3),
]
RESULTS = {  # what a step computes, by the names in `step`
    "output": ["y"],
    "gradient of the input": ["dx"],
    "gradients of gamma and beta": ["dweight", "dbias"],
    "running statistics": ["running_mean", "running_var"],
}
Errors = tuple[float, float]  # of normlab, of torch.nn


def error(found: Tensor, truth: Tensor) -> float:
    truth = truth.double()
    scale = max(1.0, truth.abs().max().item())
    return (found.double() - truth).abs().max().item() / scale


def step(layer: nn.Module, x: Tensor, dy: Tensor) -> dict[str, Tensor]:
    """Return the output, all gradients and the running statistics of a training step, by name."""
    x = x.clone().requires_grad_()
    y = layer(x)
    gradients = torch.autograd.grad(y, [x, *layer.parameters()], dy)
    names = ["dx", *(f"d{name}" for name, _ in layer.named_parameters())]
    state = {name: b for name, b in layer.named_buffers() if b.is_floating_point()}
    return {"y": y.detach(), **dict(zip(names, gradients, strict=True)), **state}


def errors(name: str, args: tuple, options: dict, shape, dtype, mean: float) -> dict[str, Errors]:
    """Return the errors of a step on normal numbers around `mean`, by the name of the result."""
    torch.manual_seed(0)
    ours, theirs = (getattr(m, name)(*args, **options, dtype=dtype) for m in (layers, nn))
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(torch.randn(p.shape) / 2 + 1)
    ours.load_state_dict(theirs.state_dict())
    truth = copy.deepcopy(theirs).double()
    x, dy = (torch.randn(shape) + mean).to(dtype), torch.randn(shape).to(dtype)
    right = step(truth, x.double(), dy.double())
    pair = [step(layer, x, dy) for layer in (ours, theirs)]
    return {key: tuple(error(found[key], right[key]) for found in pair) for key in right}


@cache
def grid(dtype: torch.dtype, mean: float) -> dict[str, dict[str, Errors]]:
    """Return the errors of all layers on such an input, by layer and shape."""
    return {
        f"{name} {shape}": errors(name, args, options, shape, dtype, mean)
        for name, args, options, shapes in LAYERS
        for shape in shapes
    }


def gamma_over_many_rows() -> Errors:
    return errors("LayerNorm", (8,), {}, (262_144, 8), torch.float32, 3.0)["dweight"]


def statistics_in_bfloat16() -> Errors:
    torch.manual_seed(0)
    batches = 3 * torch.randn(300, 64, 8).bfloat16()
    pair = [m.BatchNorm1d(8, dtype=torch.bfloat16) for m in (layers, nn)]
    truth = nn.BatchNorm1d(8, dtype=torch.float64)
    for x, layer in itertools.product(batches, [*pair, truth]):
        layer(x.to(layer.running_var.dtype))
    return tuple(error(layer.running_var, truth.running_var) for layer in pair)


def by_hand(x: Tensor) -> Tensor:
    """Layer normalization as it is defined, for autograd to differentiate."""
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-5)


def third_derivatives() -> Errors:
    """Of a sum of cubes, along one direction, in float64."""
    torch.manual_seed(0)
    start, direction = torch.randn(2, 1, 5, dtype=torch.float64)

    def third(function: Callable[[Tensor], Tensor]) -> Tensor:
        x = start.clone().requires_grad_()
        y = function(x).pow(3).sum()
        for _ in range(3):
            (gradient,) = torch.autograd.grad(y, x, create_graph=True)
            y = (gradient * direction).sum()
        return y.detach()

    right = third(by_hand)
    return tuple(error(third(m.LayerNorm(5, dtype=torch.float64)), right) for m in (layers, nn))


def reverse_over_forward() -> Errors:
    """`jacrev(jacfwd(f))`, which is the Hessian, in float64."""
    torch.manual_seed(0)
    x = torch.randn(2, 5, dtype=torch.float64)

    def matrix(function: Callable[[Tensor], Tensor]) -> Tensor:
        return func.jacrev(func.jacfwd(lambda x: function(x).pow(3).sum()))(x).detach()

    right = matrix(by_hand)
    return tuple(error(matrix(m.LayerNorm(5, dtype=torch.float64)), right) for m in (layers, nn))


def training_before_backward() -> Errors:
    """The gradient of a forward pass in eval mode, after a training batch came between.

    torch's buffers change and their version does not (github.com/pytorch/pytorch/issues/120622).
    """
    torch.manual_seed(0)
    x, dy = torch.randn(2, 5, 3, dtype=torch.float64)

    def gradient(module) -> Tensor:
        layer, leaf = module.BatchNorm1d(3, dtype=torch.float64), x.clone().requires_grad_()
        y = layer.eval()(leaf)
        layer.train()(3 * x + 1)
        return torch.autograd.grad(y, leaf, dy)[0]

    right = dy / (1 + 1e-5) ** 0.5  # the running variance was 1
    return tuple(error(gradient(module), right) for module in (layers, nn))


SINGLE_CASES: dict[str, Callable[[], Errors]] = {
    "LayerNorm, float32: gradient of gamma over 262,144 rows": gamma_over_many_rows,
    "BatchNorm1d, bfloat16: running variance after 300 batches": statistics_in_bfloat16,
    "LayerNorm, float64: third derivative": third_derivatives,
    "LayerNorm, float64: `jacrev(jacfwd(f))`": reverse_over_forward,
    "BatchNorm1d, float64: forward in eval mode, a training batch, backward": (
        training_before_backward
    ),
}


def rows() -> dict[str, Errors]:
    """Return the errors of every row; those of the layers are the largest of all layers."""
    found = {}
    for dtype, mean in INPUTS:
        for result, keys in RESULTS.items():
            pairs = [e[key] for e in grid(dtype, mean).values() for key in keys if key in e]
            name = f"all layers, {str(dtype).removeprefix('torch.')}, mean {mean:,g}: {result}"
            found[name] = tuple(max(side) for side in zip(*pairs, strict=True))
    return found | {name: case() for name, case in SINGLE_CASES.items()}


def table(errors: dict[str, Errors], version: str) -> str:
    lines = [f"| Error against float64, torch {version}, on a CPU | normlab | torch.nn |"]
    lines += ["|---|--:|--:|"]
    lines += [f"| {name} | {ours:.0e} | {theirs:.0e} |" for name, (ours, theirs) in errors.items()]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} for the book")
    options = parser.parse_args()
    text = table(rows(), torch.__version__.split("+")[0])
    print(text, end="")
    if options.write:
        PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

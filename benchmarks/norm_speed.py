"""Time of a training step (forward and backward) of normlab's layers relative to torch.nn's.

    python benchmarks/norm_speed.py [--reps 10] [--threads 2] [--check]

A busy machine disturbs single calls. So the two layers take turns call by call, and what counts is
the median: it does not move as long as most calls are left alone.
"""

import argparse
import statistics
import sys
import time

import torch
from torch import nn

from normlab import layers

LIMIT = 2.0  # for batch normalization; the other rows are there for information
SECONDS = 0.25  # per repetition
CASES: list[tuple[str, tuple, tuple[int, ...]]] = [
    ("BatchNorm2d", (6,), (64, 6, 28, 28)),  # three of the four places of LeNet-5 ...
    ("BatchNorm2d", (16,), (64, 16, 10, 10)),
    ("BatchNorm1d", (120,), (64, 120)),
    ("BatchNorm2d", (64,), (128, 64, 32, 32)),  # ... and an early stage of a ResNet
    ("LayerNorm", (120,), (64, 120)),
    ("LayerNorm", ((16, 10, 10),), (64, 16, 10, 10)),
    ("GroupNorm", (4, 16), (64, 16, 10, 10)),
    ("GroupNorm", (8, 64), (128, 64, 32, 32)),
    ("InstanceNorm2d", (16,), (64, 16, 10, 10)),
    ("InstanceNorm2d", (64,), (128, 64, 32, 32)),
]


def microseconds(layer: nn.Module, x: torch.Tensor, dy: torch.Tensor) -> float:
    """Return the time of one training step: forward, then all gradients."""
    start = time.perf_counter()
    torch.autograd.grad(layer(x), [x, *layer.parameters()], dy)
    return (time.perf_counter() - start) * 1e6


def repetition(pair: list[nn.Module], x: torch.Tensor, dy: torch.Tensor) -> list[float]:
    """Return the median time of each of two layers, which take turns."""
    calls = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(calls) < 3:
        calls.append([microseconds(layer, x, dy) for layer in pair])
    return [statistics.median(times) for times in zip(*calls, strict=True)]


def compare(name: str, args: tuple, shape: tuple[int, ...], reps: int) -> float:
    """Print the row of one layer and shape, and return the ratio of the times."""
    pair = [getattr(module, name)(*args) for module in (nn, layers)]
    x = torch.randn(shape, requires_grad=True)
    dy = torch.randn(shape)
    repetition(pair, x, dy)  # the first calls load code and allocate memory
    medians = [repetition(pair, x, dy) for _ in range(reps)]
    ratios = [ours / theirs for theirs, ours in medians]
    theirs, ours = (statistics.median(times) for times in zip(*medians, strict=True))
    ratio, spread = statistics.median(ratios), f"{min(ratios):.2f}-{max(ratios):.2f}"
    print(f"{name:15}{shape!s:>18}{theirs:13.1f}{ours:12.1f}{ratio:7.2f}{spread:>11}", flush=True)
    return ratio


def main() -> int:
    """Print the table; with --check, return 1 where batch normalization is slower than LIMIT."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reps", type=int, default=10, help="repetitions per row (default: 10)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--check", action="store_true", help=f"fail where BatchNorm > {LIMIT:g}x")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)

    print(f"torch {torch.__version__}, {options.threads} threads, training, float32")
    print(
        f"{'layer':15}{'shape':>18}{'torch.nn us':>13}{'normlab us':>12}{'ratio':>7}{'spread':>11}"
    )
    ratios = {case: compare(*case, options.reps) for case in CASES}
    slow = any(ratio > LIMIT for case, ratio in ratios.items() if "Batch" in case[0])
    return int(options.check and slow)


if __name__ == "__main__":
    sys.exit(main())

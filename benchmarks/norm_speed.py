"""Time of a training step (forward and backward) of normlab's layers relative to torch.nn's.

    python benchmarks/norm_speed.py [--reps 10] [--threads 2] [--compile] [--check]

A busy machine disturbs single calls. So the layers take turns call by call, and what counts is the
median: it does not move as long as most calls are left alone. With --compile, normlab's layer under
torch.compile is compared with torch.nn's layer, as it is and compiled too.
"""

import argparse
import shutil
import statistics
import sys
import time

import torch
from torch import nn

from normlab import layers

SECONDS = 0.25  # per repetition
# The aims, above which --check fails. LayerNorm, GroupNorm and BatchNorm1d miss theirs: they take
# about ten full-size steps where torch.nn takes two.
SMALL, LARGE = 2.0, 1.3
# Arguments, input shape, aim.
CASES: list[tuple[str, tuple, tuple[int, ...], float]] = [
    ("BatchNorm2d", (6,), (64, 6, 28, 28), SMALL),  # three of the four places of LeNet-5 ...
    ("BatchNorm2d", (16,), (64, 16, 10, 10), SMALL),
    ("BatchNorm1d", (120,), (64, 120), SMALL),
    ("BatchNorm2d", (64,), (128, 64, 32, 32), LARGE),  # ... and an early stage of a ResNet
    ("LayerNorm", (120,), (64, 120), SMALL),
    ("LayerNorm", ((16, 10, 10),), (64, 16, 10, 10), SMALL),
    ("LayerNorm", (256,), (8192, 256), LARGE),  # the tokens of a small transformer
    ("LayerNorm", ((64, 32, 32),), (128, 64, 32, 32), LARGE),
    ("RMSNorm", (120,), (64, 120), SMALL),
    ("RMSNorm", (256,), (8192, 256), LARGE),
    ("RMSNorm", ((64, 32, 32),), (128, 64, 32, 32), LARGE),
    ("GroupNorm", (4, 16), (64, 16, 10, 10), SMALL),
    ("GroupNorm", (8, 64), (128, 64, 32, 32), LARGE),
    ("InstanceNorm2d", (16,), (64, 16, 10, 10), SMALL),
    ("InstanceNorm2d", (64,), (128, 64, 32, 32), LARGE),
]


def microseconds(layer: nn.Module, x: torch.Tensor, dy: torch.Tensor) -> float:
    """Return the time of one training step: forward, then all gradients."""
    start = time.perf_counter()
    torch.autograd.grad(layer(x), [x, *layer.parameters()], dy)
    return (time.perf_counter() - start) * 1e6


def repetition(turns: list[nn.Module], x: torch.Tensor, dy: torch.Tensor) -> list[float]:
    """Return the median time of each of the layers, which take turns."""
    calls = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(calls) < 3:
        calls.append([microseconds(layer, x, dy) for layer in turns])
    return [statistics.median(times) for times in zip(*calls, strict=True)]


def compare(name: str, args: tuple, shape: tuple[int, ...], reps: int, compiled: bool) -> float:
    """Print the row of one layer and shape, and return the ratio of the times."""
    turns = [getattr(module, name)(*args) for module in (nn, layers)]
    if compiled:
        torch.compiler.reset()
        turns += [torch.compile(layer) for layer in turns]
    x = torch.randn(shape, requires_grad=True)
    dy = torch.randn(shape)
    repetition(turns, x, dy)  # the first calls load code, allocate memory and compile
    medians = [repetition(turns, x, dy) for _ in range(reps)]
    ratios = [ours / theirs for theirs, ours, *_ in medians]
    theirs, ours, *fast = (statistics.median(times) for times in zip(*medians, strict=True))
    ratio, spread = statistics.median(ratios), f"{min(ratios):.2f}-{max(ratios):.2f}"
    row = f"{name:15}{shape!s:>18}{theirs:13.1f}{ours:12.1f}{ratio:7.2f}{spread:>11}"
    if compiled:
        row += f"{fast[1] / theirs:18.2f}{fast[1] / fast[0]:18.2f}"
    print(row, flush=True)
    return ratio


def main() -> int:
    """Print the table; with --check, return 1 where a ratio is above the limit of its row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reps", type=int, default=10, help="repetitions per row (default: 10)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--compile", action="store_true", help="torch.compile too; takes minutes")
    parser.add_argument("--check", action="store_true", help="fail where a row is over its limit")
    options = parser.parse_args()
    if options.compile and not any(map(shutil.which, ("g++", "clang++"))):
        parser.error("--compile needs a C++ compiler, and neither g++ nor clang++ is installed")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)

    print(f"torch {torch.__version__}, {options.threads} threads, training, float32")
    head = (
        f"{'layer':15}{'shape':>18}{'torch.nn us':>13}{'normlab us':>12}{'ratio':>7}{'spread':>11}"
    )
    print(head + f"{'compiled/torch.nn':>18}{'/compiled of it':>18}" * options.compile)
    slow = []
    for *case, limit in CASES:
        ratio = compare(*case, options.reps, options.compile)
        if ratio > limit:
            slow.append(f"{case[0]} {case[2]}: {ratio:.2f}, at most {limit:g} is allowed")
    if options.check and slow:
        print("too slow:", *slow, sep="\n", file=sys.stderr)
    return int(options.check and bool(slow))


if __name__ == "__main__":
    sys.exit(main())

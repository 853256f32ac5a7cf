"""Time and memory of the ways to run a network with BN, relative to PyTorch's eval mode.

    python benchmarks/deployment.py [--net separable] [--batch 1 64] [--reps 10] [--threads 1]

The ways are those of chapter 15: as it is, folded, compiled, in half precision, under autocast, and
in ONNX Runtime in float32 and in 8 bits, folded and not. They take turns call by call, and what
counts is the median, so that a busy machine disturbs all alike; beside the median ratio of the
repetitions stands how far they spread. Memory is the peak of a process of its own, which loads a
file and answers once for the largest batch. The weights are random: no accuracy is measured.
"""

import argparse
import copy
import logging
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, quantize_static
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from normlab.models import ResNet

Way = Callable[[Tensor], Tensor]
STATUS = Path("/proc/self/status")  # where Linux tells a process about itself
HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
FORMS = {"": True, ", with BN": False}  # of a file: whether the exporter folds


def separable(widths: tuple[int, ...] = (16, 32, 64)) -> nn.Sequential:
    """Return the network of chapter 15: depthwise and 1 x 1 convolutions, BN behind each."""
    layers = [nn.Conv2d(3, widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0])]
    for before, after, stride in zip(widths, (*widths[1:], widths[-1]), (2, 2, 1), strict=True):
        depthwise = nn.Conv2d(before, before, 3, stride, 1, groups=before, bias=False)
        mix = nn.Conv2d(before, after, 1, bias=False)
        layers += [nn.ReLU(), depthwise, nn.BatchNorm2d(before), nn.ReLU(), mix]
        layers += [nn.BatchNorm2d(after)]
    layers += [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 10)]
    return nn.Sequential(*layers)


NETS: dict[str, tuple[Callable[[], nn.Module], int]] = {  # how to build it, size of its images
    "separable": (separable, 16),
    "resnet": (lambda: ResNet(norm=nn.BatchNorm2d), 32),
}


class Calibration(CalibrationDataReader):
    """Batches from which the ranges for 8 bits are taken."""

    def __init__(self, x: Tensor) -> None:
        self.batches = iter([{"images": part.numpy()} for part in x.split(64)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.batches, None)


def narrow(net: nn.Module, dtype: torch.dtype) -> Way:
    net = copy.deepcopy(net).to(dtype)
    return lambda x: net(x.to(dtype)).float()


def autocast(net: nn.Module, dtype: torch.dtype) -> Way:
    def way(x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype):
            return net(x).float()

    return way


def from_file(path: Path, threads: int) -> Way:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(path, options)
    return lambda x: torch.from_numpy(session.run(None, {"images": x.numpy()})[0])


def write(net: nn.Module, x: Tensor, folder: Path) -> None:
    """Write the network into `folder`: exported, as ONNX, in 8 bits, each folded and with BN."""
    dynamic = [{0: torch.export.Dim.DYNAMIC}]
    for form, folds in FORMS.items():
        model = fuse(net) if folds else net
        program = torch.export.export(model, (x[:4],), dynamic_shapes=dynamic)
        torch.export.save(program, folder / f"net{form}.pt2")
        float32, int8 = folder / f"net{form}.onnx", folder / f"int8{form}.onnx"
        with warnings.catch_warnings(action="ignore"):
            torch.onnx.export(
                net, (x[:4],), float32, dynamic_shapes=dynamic, input_names=["images"],
                external_data=False, dynamo=True, verbose=False, optimize=folds,
            )  # fmt: skip
        quantize_static(float32, int8, Calibration(x), per_channel=True)


def ways(net: nn.Module, folder: Path, threads: int, compiles: bool) -> dict[str, Way]:
    found: dict[str, Way] = {"as it is": net, "folded": fuse(net)}
    if compiles:
        found |= {"compiled": torch.compile(net), "folded, compiled": torch.compile(fuse(net))}
    for name, dtype in HALVES.items():
        found |= {name: narrow(net, dtype), f"autocast to {name}": autocast(net, dtype)}
    for form in FORMS:
        found[f"ONNX{form}"] = from_file(folder / f"net{form}.onnx", threads)
        found[f"ONNX int8{form}"] = from_file(folder / f"int8{form}.onnx", threads)
    return found


@torch.inference_mode()
def repetition(turns: dict[str, Way], x: Tensor, seconds: float) -> dict[str, float]:
    """Return the median milliseconds of a call of each of the ways, which take turns."""
    calls: dict[str, list[float]] = {name: [] for name in turns}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(calls["as it is"]) < 3:
        for name, way in turns.items():
            start = time.perf_counter()
            way(x)
            calls[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(times) for name, times in calls.items()}


def table(turns: dict[str, Way], x: Tensor, reps: int, seconds: float) -> None:
    """Print how long a batch takes each of the ways, and the ratio to the network as it is."""
    repetition(turns, x, 0)  # the first calls load code, allocate memory and compile
    medians = [repetition(turns, x, seconds) for _ in range(reps)]
    print(f"\n{f'batch of {len(x)}':24}{'ms':>8}{'ratio':>8}{'spread':>12}")
    for name in turns:
        ratios = [by_way[name] / by_way["as it is"] for by_way in medians]
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
        time_of_call = statistics.median(by_way[name] for by_way in medians)
        print(f"{name:24}{time_of_call:8.2f}{statistics.median(ratios):8.2f}{spread:>12}")


def peak(file: Path, shape: tuple[int, ...], compiles: bool = False) -> float:
    """Return the MiB that a process takes at most which loads the file and answers once."""
    if file.suffix == ".onnx":
        code = "import numpy, onnxruntime\n"
        code += f"run = onnxruntime.InferenceSession({str(file)!r}).run\n"
        code += f"run(None, {{'images': numpy.zeros({shape}, 'f')}})\n"
    else:
        code = f"import torch\nrun = torch.export.load({str(file)!r}).module()\n"
        code += "run = torch.compile(run)\n" * compiles
        code += f"with torch.inference_mode(): run(torch.zeros({shape}))\n"
    code += f"print(open({str(STATUS)!r}).read().split('VmHWM:')[1].split()[0])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]) / 1024


def memory(folder: Path, shape: tuple[int, ...], compiles: bool) -> None:
    """Print the peak of a process for each file, and its size."""
    rows = [("as it is", "net, with BN.pt2", False), ("folded", "net.pt2", False)]
    rows += [("compiled", "net, with BN.pt2", True)] * compiles
    for form in FORMS:
        rows += [(f"ONNX{form}", f"net{form}.onnx", False)]
        rows += [(f"ONNX int8{form}", f"int8{form}.onnx", False)]
    print(f"\n{'process, from a file':24}{'MiB':>8}{'ratio':>8}{'file, kB':>12}")
    base = 0.0
    for name, file, compiled in rows:
        mib = peak(folder / file, shape, compiled)
        base = base or mib
        size = (folder / file).stat().st_size / 1000
        print(f"{name:24}{mib:8.0f}{mib / base:8.2f}{size:12.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", choices=NETS, default="separable")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 64], help="sizes of a batch")
    parser.add_argument("--reps", type=int, default=10, help="repetitions (default: 10)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each of them (default: 1)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    options = parser.parse_args()
    compiles = not options.no_compile and any(map(shutil.which, ("g++", "clang++")))
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    logging.disable(logging.WARNING)  # advice of the quantizer

    build, size = NETS[options.net]
    net, x = build(), torch.randn(max(256, *options.batch), 3, size, size)
    with torch.no_grad():
        net(x)  # moves the running statistics
    net.eval()
    print(f"{options.net}, torch {torch.__version__}, {options.threads} threads, eval mode")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        write(net, x, Path(name))
        turns = ways(net, Path(name), options.threads, compiles)
        for n in options.batch:
            table(turns, x[:n], options.reps, options.seconds)
        if STATUS.exists():
            memory(Path(name), (max(options.batch), 3, size, size), compiles)


if __name__ == "__main__":
    main()

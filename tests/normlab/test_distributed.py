"""Statistics shared by several processes: real ones, with gloo on the CPU, against one process.

Processes take seconds to start, so all checks share one launch: each rank computes every case and
writes what came out, the tests compare. At the end of the launch a rank is killed.
"""

import copy
import inspect
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from torch import distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.testing import assert_close

import normlab
from normlab import layers
from normlab.distributed import SyncBatchNorm, combine, moments
from normlab.models import LeNet5, mlp
from tests.normlab.older_torch import skip_on_older_torch

RANKS = 3
LIMIT = 10.0  # seconds that a rank waits for another
C = 4

# What each rank gets: shapes without the channels, samples first. The rest of a case is made of it.
SHAPES = {
    "even": [(4,), (4,), (4,)],
    "uneven": [(5,), (1,), (2,)],
    "one sample each": [(1,), (1,), (1,)],
    "an empty rank": [(4,), (0,), (3,)],
    "only one rank has samples": [(0,), (5,), (0,)],
    "images": [(2, 3, 3), (1, 3, 3), (3, 3, 3)],
    "images of other sizes": [(2, 3, 3), (1, 5, 2), (0, 4, 4)],
}
OPTIONS = {
    "default": {},
    "average of all batches": {"momentum": None},
    "without gamma and beta": {"affine": False},
    "without beta": {"bias": False},
    "without tracking": {"track_running_stats": False},
    "large eps, momentum 1": {"eps": 0.5, "momentum": 1.0},
}
CASES = {f"{shape}, default": (shape, {}) for shape in SHAPES} | {
    f"uneven, {name}": ("uneven", options) for name, options in OPTIONS.items()
}
STEPS = 2


def draw(shape: str, seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return input and gradient of the output [N, C, *] of each rank; their means differ."""
    generator = torch.Generator().manual_seed(seed)
    return [
        tuple(
            shift * rank + torch.randn(n, C, *size, dtype=torch.float64, generator=generator)
            for shift in (2.0, 0.3)
        )
        for rank, (n, *size) in enumerate(SHAPES[shape])
    ]


def layer(options: dict, of=SyncBatchNorm) -> nn.Module:
    torch.manual_seed(0)
    made = of(C, dtype=torch.float64, **options)
    for param in made.parameters():
        nn.init.normal_(param)
    return made


def step(module: nn.Module, x: torch.Tensor, dy: torch.Tensor) -> dict[str, torch.Tensor]:
    """Run forward and backward; return the outputs, the gradients and the buffers."""
    module.zero_grad()
    x = x.clone().requires_grad_()
    y = module(x)
    y.backward(dy)
    grads = {f"gradient of {n}": p.grad.clone() for n, p in module.named_parameters()}
    buffers = {n: b.clone() for n, b in module.named_buffers()}
    return {"y": y.detach(), "dx": x.grad} | grads | buffers


def each_case(rank: int) -> dict:
    """Train each layer for some steps, then look at eval mode."""
    found = {}
    for name, (shape, options) in CASES.items():
        module = layer(options)
        for number in range(STEPS):
            found[name, number] = step(module, *draw(shape, number)[rank])
        if module.track_running_stats:  # else each rank has the statistics of its own batch
            module.eval()
            found[name, "eval"] = step(module, *draw(shape, 7)[rank])
    return found


def of_several_dtypes(rank: int) -> dict:
    found = {}
    for name, (dtype, center) in DTYPES.items():
        module = SyncBatchNorm(C).to(torch.float32)
        x, dy = (t.to(dtype) for t in draw("uneven", 0)[rank])
        found[name] = step(module, x + center, dy)
    return found


DTYPES = {
    "float32": (torch.float32, 0.0),
    "float32 around 1e4": (torch.float32, 1e4),
    "bfloat16": (torch.bfloat16, 0.0),
}


def twice(module: nn.Module, x: torch.Tensor, dy: torch.Tensor) -> torch.Tensor:
    """Differentiate the sum of squares of a gradient."""
    x = x.clone().requires_grad_()
    (dx,) = torch.autograd.grad(module(x), x, dy, create_graph=True)
    dx.square().sum().backward()
    return x.grad


def everything_else(rank: int) -> dict:
    """Groups, errors, networks: see the tests of the same names."""
    found = {"twice": twice(layer({}), *draw("uneven", 0)[rank])}
    pair = dist.new_group([0, 1])
    alone = dist.new_group([2])
    group = pair if rank < 2 else alone
    found["group"] = step(layer({"process_group": group}), *draw("uneven", 0)[rank])
    found["strides"] = step(layer({}), *(t.mT.contiguous().mT for t in draw("even", 0)[rank]))
    for name, call in {
        "one value": lambda: SyncBatchNorm(C)(torch.ones(int(rank == 1), C)),
        "channels": lambda: SyncBatchNorm(C)(torch.ones(2, C + 1)),
        "dtype": lambda: SyncBatchNorm(C)(torch.ones(2, C).double()),
        "torch": lambda: nn.SyncBatchNorm(C)(torch.ones(2, C)),
        "torch in DDP": lambda: DistributedDataParallel(nn.SyncBatchNorm(C)),
    }.items():
        try:
            call()
        except Exception as error:
            found[name] = error
    module = SyncBatchNorm(C)
    module(torch.empty(0, C))
    found["nothing"] = module.state_dict()
    for name in NETS:
        net, inputs, targets = network(name)
        wrapped = DistributedDataParallel(SyncBatchNorm.convert_sync_batchnorm(net))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for x, y in zip(inputs, targets, strict=True):
            own = slice(rank, None, RANKS)
            loss = nn.functional.cross_entropy(wrapped(x[own]), y[own], reduction="sum")
            optimizer.zero_grad()
            (loss * RANKS / len(x)).backward()  # DDP averages over the ranks
            optimizer.step()
        found[name] = net.state_dict()
    return found


NETS = {"mlp of torch": nn.BatchNorm1d, "mlp of normlab": layers.BatchNorm1d, "LeNet": None}


def network(name: str) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """Return a network with BN, and its batches: the last rank gets fewer samples."""
    torch.manual_seed(1)
    if NETS[name]:
        net, x = mlp([3, 8, 8, 2], NETS[name]), torch.randn(3, 8, 3)
    else:
        norms = layers.BatchNorm2d, nn.BatchNorm1d
        net, x = LeNet5(*norms, channels=1, fig_size=28, padding=2), torch.randn(3, 8, 1, 28, 28)
    return net.double(), x.double(), torch.randint(2, x.shape[:2])


def dying(rank: int) -> tuple[str, str, float]:
    """Lose the last rank in the middle of a layer; the others say what they saw, and how late."""
    module, start = SyncBatchNorm(C), time.monotonic()
    if rank == RANKS - 1:
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        module(torch.ones(3, C))
    except Exception as error:
        return type(error).__name__, str(error), time.monotonic() - start
    return "nothing", "", time.monotonic() - start


def work(rank: int, folder: str) -> None:
    """What each process does."""
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    limit = timedelta(seconds=LIMIT)
    dist.init_process_group("gloo", store, limit, RANKS, rank)
    found = each_case(rank) | of_several_dtypes(rank) | everything_else(rank)
    torch.save(found, Path(folder, f"{rank}.pt"))
    dist.barrier()
    torch.save(dying(rank), Path(folder, f"{rank}-dying.pt"))
    os._exit(0)  # the group is broken: nothing is left to be said goodbye to


@pytest.fixture(scope="module")
def launch(tmp_path_factory) -> tuple[list[dict], list[int | None], Path]:
    """Start the ranks once; return what each found, their exit codes and their folder."""
    folder = tmp_path_factory.mktemp("ranks")
    context = multiprocessing.get_context("spawn")
    ranks = [context.Process(target=work, args=(rank, str(folder))) for rank in range(RANKS)]
    try:
        for process in ranks:
            process.start()
        deadline = time.monotonic() + 120
        for process in ranks:
            process.join(max(0, deadline - time.monotonic()))
    finally:
        for process in ranks:
            if process.is_alive():
                process.kill()
    found = [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(RANKS)]
    return found, [process.exitcode for process in ranks], folder


@pytest.fixture
def found(launch) -> list[dict]:
    return launch[0]


def whole(parts: list[torch.Tensor]) -> torch.Tensor:
    """Return the batch of all ranks as one of [N, C]: BN is blind to which value is whose."""
    return torch.cat([part.movedim(1, -1).reshape(-1, C) for part in parts])


def assert_as_one(results: list[dict], expected: dict, **tolerance) -> None:
    """Compare the results of all ranks with those of one process with the whole batch."""
    for name, value in expected.items():
        each = [result[name] for result in results]
        if name in ("y", "dx"):
            assert_close(whole(each), value, **tolerance, msg=lambda m, n=name: f"{n}: {m}")
        elif name.startswith("gradient"):
            assert_close(sum(each), value, **tolerance, msg=lambda m, n=name: f"{n}: {m}")
        else:
            for one in each:
                assert_close(one, value, **tolerance, msg=lambda m, n=name: f"{n}: {m}")
                assert torch.equal(one, each[0])  # to the last bit


@pytest.mark.parametrize("name", CASES)
def test_all_ranks_together_are_one_process_with_the_whole_batch(found, name):
    shape, options = CASES[name]
    if "bias" in options:
        skip_on_older_torch("has no `bias` of BatchNorm")
    torch.manual_seed(0)
    reference = layer(options, nn.BatchNorm1d)
    for number in [*range(STEPS), *["eval"] * reference.track_running_stats]:
        reference.train(number != "eval")
        pairs = draw(shape, 7 if number == "eval" else number)
        x, dy = (whole([pair[i] for pair in pairs]) for i in (0, 1))
        expected = step(reference, x, dy)
        results = [ours[name, number] for ours in found]
        assert {*results[0]} == {*expected}
        assert_as_one(results, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", DTYPES)
def test_in_single_and_half_precision(found, name):
    dtype, center = DTYPES[name]
    pairs = draw("uneven", 0)
    x, dy = (whole([pair[i].to(dtype) for pair in pairs]) for i in (0, 1))
    x = (x + center).double()
    expected = step(nn.BatchNorm1d(C).double(), x, dy.double())
    results = [ours[name] for ours in found]
    assert {r["y"].dtype for r in results} == {r["dx"].dtype for r in results} == {dtype}
    assert results[0]["running_var"].dtype == torch.float32
    # The input itself is rounded to 1e4 * 2**-24; half precision has 8 bits.
    limit = {"float32": 1e-5, "float32 around 1e4": 5e-3, "bfloat16": 5e-2}[name]
    for result in results:
        for key, value in result.items():
            result[key] = value.double() if value.is_floating_point() else value
    assert_as_one(results, expected, rtol=limit, atol=limit)


def test_derivatives_of_gradients(found):
    pairs = draw("uneven", 0)
    x, dy = (whole([pair[i] for pair in pairs]) for i in (0, 1))
    expected = twice(layer({}, nn.BatchNorm1d), x, dy)
    assert_close(whole([ours["twice"] for ours in found]), expected)


def test_a_group_shares_its_statistics_and_no_others(found):
    pairs = draw("uneven", 0)
    for ranks in ([0, 1], [2]):
        x, dy = (whole([pairs[rank][i] for rank in ranks]) for i in (0, 1))
        expected = step(layer({}, nn.BatchNorm1d), x, dy)
        assert_as_one([found[rank]["group"] for rank in ranks], expected)


def test_any_arrangement_in_memory(found):
    for ours in found:
        for name, value in ours["strides"].items():
            assert_close(value, ours["even, default", 0][name])


def test_one_value_on_all_processes_is_an_error_on_all(found):
    for ours in found:
        assert type(ours["one value"]) is ValueError
        assert "value per channel on all processes" in str(ours["one value"])


def test_a_batch_that_does_not_fit(found):
    for ours in found:
        assert type(ours["channels"]) is type(ours["dtype"]) is RuntimeError


def test_without_samples_nothing_moves_but_the_counter(found):
    for ours in found:
        expected = nn.BatchNorm1d(C).state_dict() | {"num_batches_tracked": torch.tensor(1)}
        assert_close(dict(ours["nothing"]), dict(expected))


def test_torch_refuses_a_cpu_where_ours_runs(found):
    """If this fails, the chapter and the docstring may say something else."""
    assert "GPU" in str(found[0]["torch"]) and "GPU" in str(found[0]["torch in DDP"])


@pytest.mark.parametrize("name", NETS)
def test_a_converted_network_learns_as_one_process_does(found, name):
    net, inputs, targets = network(name)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for x, y in zip(inputs, targets, strict=True):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    for ours in found:
        assert_close(dict(ours[name]), dict(net.state_dict()))


def test_a_killed_rank_is_an_error_on_the_others_in_time(launch):
    _, codes, folder = launch
    assert codes == [0, 0, -signal.SIGKILL]
    for rank in range(RANKS - 1):
        kind, message, seconds = torch.load(folder / f"{rank}-dying.pt")
        assert kind.endswith("Error") and message
        assert seconds < LIMIT + 5


# --- one process --------------------------------------------------------------------------------


def test_the_package_offers_it():
    assert normlab.SyncBatchNorm is SyncBatchNorm
    with pytest.raises(AttributeError, match="Nonsense"):
        normlab.Nonsense  # noqa: B018


def test_arguments_and_state_are_those_of_torch():
    ours = inspect.signature(SyncBatchNorm).parameters
    theirs = inspect.signature(nn.SyncBatchNorm).parameters
    names = [name for name in ours if name in theirs or name != "bias"]
    assert names == [*theirs]
    assert all(ours[name].default == theirs[name].default for name in theirs)
    assert [*SyncBatchNorm(C).state_dict()] == [*nn.SyncBatchNorm(C).state_dict()]
    SyncBatchNorm(C).load_state_dict(nn.SyncBatchNorm(C).state_dict())
    assert str(SyncBatchNorm(C)) == str(nn.SyncBatchNorm(C))


@pytest.mark.parametrize("size", [(5, C), (2, C, 3), (2, C, 3, 3)])
def test_without_a_process_group_it_is_batch_norm(size):
    ours, theirs = (of(C) for of in (SyncBatchNorm, nn.SyncBatchNorm))
    x, dy = torch.randn(2, *size)
    for training in (True, False):
        results = [step(module.train(training), x, dy) for module in (ours, theirs)]
        assert_close(*results)


def test_errors_without_a_process_group_are_those_of_torch():
    for x in (torch.ones(C), torch.ones(1, C), torch.ones(2, C + 1)):
        with pytest.raises(Exception) as theirs:
            nn.SyncBatchNorm(C)(x)
        with pytest.raises(theirs.type):
            SyncBatchNorm(C)(x)


def networks() -> dict[str, nn.Module]:
    shared = layers.BatchNorm1d(C)
    return {
        "of torch": nn.Sequential(nn.Linear(C, C), nn.BatchNorm1d(C, eps=0.1, momentum=None)),
        "of normlab": nn.Sequential(nn.Linear(C, C), layers.BatchNorm1d(C, affine=False)),
        "a layer": layers.BatchNorm2d(C, track_running_stats=False),
        "torch's own": nn.Sequential(nn.SyncBatchNorm(C)),
        "already ours": nn.Sequential(SyncBatchNorm(C)),
        "nested": nn.Sequential(nn.Sequential(nn.BatchNorm3d(C)), layers.InstanceNorm2d(C)),
        "one layer, two names": nn.Sequential(shared, nn.Sequential(shared), shared),
    }


@pytest.mark.parametrize("name", networks())
@pytest.mark.parametrize("of", [SyncBatchNorm, nn.SyncBatchNorm])
def test_convert_replaces_each_batch_norm(name, of):
    net = networks()[name].eval()
    before, params = dict(net.state_dict(keep_vars=True)), [*net.parameters()]
    settings = [str(m).partition("(")[2] for m in net.modules() if not [*m.children()]]
    net = of.convert_sync_batchnorm(net)
    after = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if of is SyncBatchNorm:
        assert after and {type(m) for m in after} == {SyncBatchNorm}
        assert settings == [str(m).partition("(")[2] for m in net.modules() if not [*m.children()]]
        now = net.state_dict(keep_vars=True)
        assert all(now[key] is value for key, value in before.items())
        assert all(p is q for p, q in zip(params, net.parameters(), strict=True))
        assert not any(m.training for m in after)
    else:  # torch's leaves the second name of a layer as it was
        assert nn.SyncBatchNorm in {type(m) for m in after} and SyncBatchNorm not in map(
            type, after
        )


def test_convert_keeps_the_group_and_copies():
    group = object()
    net = SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(nn.BatchNorm1d(C)), group)
    assert net[0].process_group is group
    plain = SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(nn.BatchNorm1d(C)))
    assert_close(copy.deepcopy(plain)(torch.ones(2, C)), plain(torch.ones(2, C)))


def test_a_lazy_layer_must_have_seen_a_batch():
    net = nn.Sequential(nn.LazyBatchNorm1d())
    with pytest.raises(ValueError, match="pass a batch first"):
        SyncBatchNorm.convert_sync_batchnorm(net)
    net(torch.ones(2, C))
    assert type(SyncBatchNorm.convert_sync_batchnorm(net)[0]) is SyncBatchNorm


@pytest.mark.parametrize("sizes", [(3, 5), (1, 1, 4), (0, 6), (0, 0, 2), (7,)])
def test_moments_of_parts_combine_to_those_of_all_values(sizes):
    generator = torch.Generator().manual_seed(0)
    x = 100 + torch.randn(sum(sizes), C, 3, dtype=torch.float64, generator=generator)
    count, mean, var = combine(torch.stack([moments(part) for part in x.split(sizes)]))
    assert (count == sum(sizes) * 3).all()
    assert_close(mean, x.mean((0, 2)))
    assert_close(var, x.var((0, 2), correction=0))


# --- torchrun -----------------------------------------------------------------------------------

TRAIN = """
import os, signal, time, torch
from torch import distributed as dist
from normlab.distributed import SyncBatchNorm
dist.init_process_group("gloo")
layer = SyncBatchNorm(4)
for number in range(1_000_000):
    layer(torch.randn(8, 4))
    if number == 100:
        # In one piece: unbuffered, the two ranks would write into each other's lines.
        print(f"port {os.environ['MASTER_PORT']}\\n", end="", flush=True)
        if dist.get_rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def test_torchrun_ends_with_the_rank_that_was_killed_and_leaves_nothing(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(TRAIN)
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    run = subprocess.run(
        [*command, "--nproc_per_node=2", str(script)],
        env=env, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert run.returncode == 1
    assert re.search(r"rank +: 1 \(local_rank: 1\)\s+exitcode +: -9", run.stderr)
    assert "Signal 9 (SIGKILL)" in run.stderr
    deadline = time.monotonic() + 5  # what was ended may take a moment to be gone
    while left := [p for p in Path("/proc").glob("[0-9]*/cmdline") if names(p, script)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    port = int(re.search(r"port (\d+)", run.stdout)[1])
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("localhost", port))


def names(cmdline: Path, script: Path) -> bool:
    try:
        return str(script) in cmdline.read_text()
    except OSError:  # it ended meanwhile
        return False

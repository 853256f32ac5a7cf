"""Resuming is exact, a crash costs nothing, and a bad file is an error, not a model."""

import errno
import hashlib
import io
import json
import math
import os
import pickle
import random
import shutil
import stat
import subprocess
import sys
import textwrap
import zipfile
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, lr_scheduler

from normlab import checkpoints
from normlab.checkpoints import CheckpointError, load, save
from normlab.models import mlp
from normlab.training import Batches, fit, seed_everything

posix = pytest.mark.skipif(os.name != "posix", reason="needs fork, signals and limits of POSIX")

OPTIMIZERS = {
    "SGD with momentum": partial(SGD, lr=0.1, momentum=0.9),
    "Adam": partial(Adam, lr=0.01),
}
SCHEDULERS = {
    "no scheduler": None,
    "steps": partial(lr_scheduler.StepLR, step_size=2, gamma=0.5),
    "cosine": partial(lr_scheduler.CosineAnnealingLR, T_max=6),
}


def network() -> nn.Sequential:
    return nn.Sequential(mlp([2, 16, 16], nn.BatchNorm1d), nn.Dropout(0.2), nn.Linear(16, 2))


class Jittered(Batches):
    """Shuffled by torch; moved and scaled at random by Python and NumPy."""

    def __iter__(self):
        for x, y in super().__iter__():
            yield x * random.uniform(0.9, 1.1) + float(np.random.normal(0, 0.1)), y


POINTS = torch.randn(140, 2, generator=torch.Generator().manual_seed(0))
TRAIN = Jittered(POINTS, (POINTS.norm(dim=1) < 1.2).long(), batch_size=32, shuffle=True)


def start(optimizer="Adam", scheduler="no scheduler"):
    """Return a new network with its optimizer and scheduler (or None)."""
    model = network()
    optimizer = OPTIMIZERS[optimizer](model.parameters())
    build = SCHEDULERS[scheduler]
    return model, optimizer, build and build(optimizer)


def train(model, optimizer, scheduler, epochs, after=lambda epoch: None):
    def after_epoch(epoch):
        if scheduler is not None:
            scheduler.step()
        after(epoch)

    fit(model, optimizer, TRAIN, epochs=epochs, after_epoch=after_epoch)


def snapshot(*parts) -> str:
    """Everything about models, optimizers, schedulers and random states, exactly, as text."""
    states = [part.state_dict() for part in parts if part is not None]
    return repr(_exact(states)) + repr(_exact(checkpoints._random_states()))


def _exact(value):
    if isinstance(value, torch.Tensor):
        return str(value.dtype), list(value.shape), value.cpu().contiguous().numpy().tobytes()
    if isinstance(value, dict):
        return {key: _exact(v) for key, v in value.items()}
    return [_exact(v) for v in value] if isinstance(value, (list, tuple)) else value


@pytest.fixture
def run(tmp_path):
    """The path of a checkpoint after two epochs, and what was saved in it."""
    seed_everything(0)
    parts = start("Adam", "steps")
    train(*parts, epochs=2)
    save(tmp_path / "run.pt", *parts, arguments={"sizes": [2, 16]}, epoch=2, accuracy=0.75)
    return tmp_path / "run.pt", parts


def in_python(script: str, *arguments, cwd) -> dict:
    """Run `script` in a process of its own and return the JSON that it prints."""
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# --- resuming -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("interrupted", [1, 3])
def test_resumed_training_equals_uninterrupted_training_bit_for_bit(
    tmp_path, optimizer, scheduler, interrupted
):
    seed_everything(0)
    whole = start(optimizer, scheduler)
    path = tmp_path / "run.pt"

    def after(epoch):
        if epoch == interrupted:
            save(path, *whole, epoch=epoch)

    train(*whole, epochs=5, after=after)
    expected = snapshot(*whole)

    seed_everything(12345)
    resumed = start(optimizer, scheduler)
    train(*resumed, epochs=1)  # another past, which must not shine through
    checkpoint = load(path)
    checkpoint.restore(*resumed)
    train(*resumed, epochs=5 - checkpoint.epoch)
    assert snapshot(*resumed) == expected


def test_a_new_process_resumes_bit_for_bit(tmp_path):
    script = """
        import hashlib, json, sys
        sys.path.insert(0, sys.argv[1])
        from tests.normlab.test_checkpoints import *

        parts = start("Adam", "cosine")
        load("run.pt").restore(*parts)
        train(*parts, epochs=2)
        print(json.dumps(hashlib.sha256(snapshot(*parts).encode()).hexdigest()))
    """
    seed_everything(0)
    parts = start("Adam", "cosine")
    train(*parts, epochs=3, after=lambda epoch: epoch == 1 and save(tmp_path / "run.pt", *parts))
    expected = hashlib.sha256(snapshot(*parts).encode()).hexdigest()
    assert in_python(script, Path(__file__).parents[2], cwd=tmp_path) == expected


@pytest.mark.parametrize("forgotten", ["optimizer", "random", "model"])
def test_each_part_of_a_checkpoint_is_needed_to_resume_exactly(tmp_path, forgotten, monkeypatch):
    """Otherwise the tests above could pass without it."""
    seed_everything(0)
    whole = start()
    train(*whole, epochs=3, after=lambda epoch: epoch == 1 and save(tmp_path / "run.pt", *whole))
    parts = start()
    if forgotten == "optimizer":
        monkeypatch.setattr(parts[1], "load_state_dict", lambda state: None)
    elif forgotten == "random":
        monkeypatch.setattr(checkpoints, "_set_random_states", lambda states: None)
    else:
        monkeypatch.setattr(parts[0], "load_state_dict", lambda state: None)
    load(tmp_path / "run.pt").restore(*parts)
    train(*parts, epochs=2)
    assert snapshot(parts[0]) != snapshot(whole[0])


@pytest.mark.parametrize(
    "build",
    [
        partial(lr_scheduler.MultiStepLR, milestones=[1, 2]),
        partial(lr_scheduler.ExponentialLR, gamma=0.9),
        partial(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=10),
        partial(lr_scheduler.CosineAnnealingWarmRestarts, T_0=2),
        partial(lr_scheduler.LambdaLR, lr_lambda=lambda epoch: 0.9**epoch),
        partial(lr_scheduler.ReduceLROnPlateau, patience=2),
        lambda optimizer: lr_scheduler.SequentialLR(
            optimizer,
            [lr_scheduler.LinearLR(optimizer), lr_scheduler.StepLR(optimizer, 2)],
            milestones=[2],
        ),
    ],
)
def test_the_schedulers_of_torch_are_restored(tmp_path, build):
    ends = []
    for resumed in (False, True):
        model = nn.Linear(2, 2)
        optimizer = AdamW(model.parameters(), lr=0.01)
        scheduler = build(optimizer)
        if resumed:
            load(tmp_path / "run.pt").restore(model, optimizer, scheduler)
        for step in range(1, 7):
            if step > 3 or not resumed:
                optimizer.step()
                scheduler.step(*[1.0] * isinstance(scheduler, lr_scheduler.ReduceLROnPlateau))
            if step == 3 and not resumed:
                save(tmp_path / "run.pt", model, optimizer, scheduler)
        ends.append(snapshot(optimizer, scheduler))
    assert ends[0] == ends[1]


def test_a_checkpoint_tells_how_to_build_the_model_and_how_far_it_was(run):
    path, _ = run
    checkpoint = load(str(path))
    assert checkpoint.arguments == {"sizes": [2, 16]}
    assert (checkpoint.epoch, checkpoint.accuracy) == (2, 0.75)
    save(path, nn.BatchNorm1d(2))
    assert load(path).arguments == {} and math.isnan(load(path).accuracy)


def test_the_model_alone_is_restored_without_touching_random_states_or_modes(run):
    path, (model, *_) = run
    other = network().eval()
    randoms = snapshot()
    load(path).restore(other)
    assert snapshot(other) == snapshot(model) and snapshot() == randoms
    assert not other.training
    assert other[0][0][1].num_batches_tracked == 2 * len(TRAIN)


def test_a_checkpoint_can_be_restored_twice(run):
    path, parts = run
    checkpoint = load(path)
    results = []
    for _ in range(2):
        checkpoint.restore(*parts)
        train(*parts, epochs=2)
        results.append(snapshot(*parts))
    assert results[0] == results[1]


def test_running_statistics_of_the_layers_of_normlab_are_in_the_file(tmp_path):
    import normlab

    bn = normlab.BatchNorm1d(2)
    bn(5 + torch.randn(16, 2))
    save(tmp_path / "bn.pt", bn)
    other = nn.BatchNorm1d(2)
    load(tmp_path / "bn.pt").restore(other)
    assert torch.equal(other.running_mean, bn.running_mean) and other.num_batches_tracked == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_checkpoint_of_a_cuda_model_loads_on_the_cpu_and_keeps_the_cuda_generator(tmp_path):
    model = nn.Linear(2, 2).cuda()
    optimizer = Adam(model.parameters())
    model(torch.randn(4, 2, device="cuda")).sum().backward()
    optimizer.step()
    save(tmp_path / "run.pt", model, optimizer)
    expected = torch.rand(3, device="cuda")
    assert load(tmp_path / "run.pt").model["weight"].device.type == "cpu"
    load(tmp_path / "run.pt").restore(model, optimizer)
    assert torch.equal(torch.rand(3, device="cuda"), expected)
    assert optimizer.state[model.weight]["exp_avg"].is_cuda


# --- the file -----------------------------------------------------------------------------------


def test_torch_opens_a_checkpoint_without_normlab(run):
    path, (model, *_) = run
    content = torch.load(path, weights_only=True)
    assert torch.equal(content["model"]["2.bias"], model[2].bias)
    assert zipfile.ZipFile(path).comment.startswith(b"normlab checkpoint 1, sha256 ")


def test_the_folder_holds_the_checkpoint_with_the_usual_permissions_and_nothing_else(run):
    path, parts = run
    save(path, *parts)
    (path.parent / "other").touch()
    assert sorted(p.name for p in path.parent.iterdir()) == ["other", "run.pt"]
    assert path.stat().st_mode == (path.parent / "other").stat().st_mode


@posix
@pytest.mark.parametrize("mode", [0o600, 0o444, 0o666])
def test_a_file_keeps_its_mode_and_is_never_more_open_than_it(run, mode, monkeypatch):
    path, parts = run
    path.chmod(mode)
    seen = []

    def replace(source, target, original=os.replace):
        seen.append(stat.S_IMODE(os.stat(source).st_mode))
        original(source, target)

    def fsync(descriptor, original=os.fsync):
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(os, "fsync", fsync)
    save(path, *parts)
    assert seen == [mode, mode] and stat.S_IMODE(path.stat().st_mode) == mode


@posix
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_a_new_file_follows_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        save(tmp_path / "run.pt", nn.Linear(1, 1))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "run.pt").stat().st_mode) == mode


@posix
@pytest.mark.parametrize("there", [True, False])
def test_a_symbolic_link_stays_one_and_what_it_leads_to_is_replaced(run, there):
    path, parts = run
    (path.parent / "folder").mkdir()
    target, link = path.parent / "folder" / "epoch.pt", path.parent / "last.pt"
    if there:
        path.rename(target)
    link.symlink_to(Path("folder") / "epoch.pt")
    save(link, *parts, epoch=3)
    assert link.is_symlink() and load(target).epoch == load(link).epoch == 3
    assert [p.name for p in target.parent.iterdir()] == ["epoch.pt"]


@posix
@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "folder", "link to itself"])
def test_what_is_no_file_is_not_replaced_by_one(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("run.pt")
    if kind == "link to itself":
        path.symlink_to(path)
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo("pipe" if "link" in kind else path)
        if "link" in kind:
            path.symlink_to("pipe")
    before = sorted(p.name for p in Path().iterdir()), path.lstat()
    with pytest.raises(OSError, match=r"nothing was saved: 'run\.pt'"):
        save(path, nn.Linear(1, 1))
    after = path.lstat()
    assert sorted(p.name for p in Path().iterdir()) == before[0]
    assert (after.st_ino, after.st_mode) == (before[1].st_ino, before[1].st_mode)


def test_a_tilde_is_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    save("~/run.pt", nn.Linear(1, 1), epoch=3)
    assert load(Path("~/run.pt")).epoch == 3 and (tmp_path / "run.pt").is_file()


@posix
def test_the_content_is_on_disk_before_the_name_and_the_name_before_save_returns(run, monkeypatch):
    path, parts = run
    calls = []

    def fsync(descriptor, original=os.fsync):
        status = os.fstat(descriptor)
        calls.append("folder" if stat.S_ISDIR(status.st_mode) else ("file", status.st_size))
        original(descriptor)

    def replace(source, target, original=os.replace):
        assert Path(source).parent == Path(target).parent == path.parent
        calls.append("rename")
        original(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    save(path, *parts)
    assert calls == [("file", path.stat().st_size), "rename", "folder"]
    checkpoints._write(path, b"so little that it stays in Python's buffer")
    assert calls[3:] == [("file", path.stat().st_size), "rename", "folder"]


@posix
def test_a_folder_that_cannot_be_flushed_does_not_undo_a_save(run, monkeypatch):
    path, parts = run

    def fsync(descriptor, original=os.fsync):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "as network drives do")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    save(path, *parts, epoch=3)
    assert load(path).epoch == 3


KILL = """
    import json, os, random, signal, statistics, sys, time
    import torch
    from torch import nn
    from normlab import checkpoints

    torch.set_num_threads(1)
    model = nn.Linear(300, 300)

    def save(value):
        for parameter in model.parameters():
            nn.init.constant_(parameter, value)
        checkpoints.save("run.pt", model, arguments={"value": value})

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def at_line(moment):  # of checkpoints.py
        def trace(frame, event, argument):
            global lines
            if frame.f_code.co_filename != checkpoints.__file__:
                return None
            if event == "line":
                lines += 1
                if lines == moment:
                    die()
            return trace
        return trace

    def attempt(moment=None, delay=None):  # save 2.0 over 1.0; return which of the two is there
        global lines
        lines = 0
        with open("run.pt", "wb") as file:
            file.write(old)
        child = os.fork()
        if child == 0:
            if moment is not None:
                sys.settrace(at_line(moment))
            save(2.0)
            os._exit(0)
        if delay is not None:
            time.sleep(delay)
            os.kill(child, signal.SIGKILL)
        killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        checkpoint = checkpoints.load("run.pt")
        values = {v for t in checkpoint.model.values() for v in t.unique().tolist()}
        assert values == {checkpoint.arguments["value"]}, values
        return killed, values.pop()

    save(1.0)
    with open("run.pt", "rb") as file:
        old = file.read()
    by_line, moment = [], 1
    while not by_line or by_line[-1][0]:
        by_line.append(attempt(moment=moment))
        moment += 1
    saves = []
    for _ in range(5):
        start = time.monotonic()
        save(1.0)
        saves.append(time.monotonic() - start)
    seconds = statistics.median(saves)
    random.seed(0)
    by_time = [attempt(delay=1.5 * seconds * random.random()) for _ in range(40)]
    parts = sum(name.endswith(".part") for name in os.listdir())
    print(json.dumps({"by_line": by_line, "by_time": by_time, "parts": parts}))
"""


@posix
def test_a_process_killed_at_any_moment_of_a_save_leaves_the_old_checkpoint_or_the_new(tmp_path):
    result = in_python(KILL, cwd=tmp_path)
    *by_line, last = [tuple(outcome) for outcome in result["by_line"]]
    values = [value for _, value in by_line]
    assert last == (False, 2.0)  # killed at every line until no line was left
    assert values == sorted(values) and set(values) == {1.0, 2.0}  # at the rename, and once
    assert values.count(1.0) > 30
    outcomes = Counter(tuple(outcome) for outcome in result["by_time"])
    assert outcomes[True, 1.0] > 10 and set(outcomes) <= {(True, 1.0), (True, 2.0), (False, 2.0)}
    assert result["parts"] > 0  # some did die between the first byte and the rename


# --- bad input ----------------------------------------------------------------------------------


class Payload:
    """What a malicious file holds: unpickling it calls a function. This one makes a folder."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def archive(content) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


BAD = {
    "empty": (b"", "is empty"),
    "text": (b"epoch,loss\n1,0.5\n", "does not begin like a zip file"),
    "a plain pickle": (pickle.dumps({"epoch": 1}), "does not begin like a zip file"),
    "a malicious pickle": (pickle.dumps(Payload()), "does not begin like a zip file"),
    "another file of torch.save": (archive({"epoch": 1}), "did not write it: try torch.load"),
    "a malicious archive": (archive(Payload()), "has no checksum"),
    "a malicious archive with a checksum": (
        checkpoints._seal(archive(Payload())),
        r"is refused: \w+\.mkdir is not data",
    ),
    "another content with a checksum": (
        checkpoints._seal(archive({"epoch": 1})),
        "something else than a checkpoint",
    ),
    "wrong types with a checksum": (
        checkpoints._seal(archive(dict.fromkeys(checkpoints.Checkpoint.__dataclass_fields__, "x"))),
        "something else as arguments, epoch",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_with_one_message_and_not_run(tmp_path, kind, monkeypatch):
    content, message = BAD[kind]
    monkeypatch.chdir(tmp_path)
    Path("bad.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"^bad\.pt .*{message}") as caught:
        load("bad.pt")
    assert "\n" not in str(caught.value)
    assert not Path("ran").exists()


def test_the_payload_would_run_if_it_were_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.load(io.BytesIO(archive(Payload())), weights_only=False)
    assert Path("ran").exists()


def test_a_checkpoint_cut_off_anywhere_is_refused(run):
    path, _ = run
    data = path.read_bytes()
    for length in {*range(0, len(data), 97), *range(len(data) - 120, len(data))}:
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match="empty|begin|cut off|damaged"):
            load(path)


def test_a_file_that_the_system_cannot_read_is_its_own_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"missing\.pt"):
        load("missing.pt")
    with pytest.raises(OSError, match=r"'\.'"):  # a folder
        load(".")


def test_a_file_that_lost_a_key_of_its_optimizer_is_refused(run):
    path, _ = run
    content = torch.load(path, weights_only=True)
    del content["optimizer"]["class"]
    path.write_bytes(checkpoints._seal(archive(content)))
    with pytest.raises(CheckpointError, match="something else than an optimizer"):
        load(path)


def corruptions(data: bytes, n: int, seed: int):
    """Yield `n` damaged copies of `data`: bits flipped, pieces cut, inserted, swapped."""
    draw = random.Random(seed)
    while n:
        damaged = bytearray(data)
        a, b = sorted(draw.sample(range(len(data)), 2))
        size = draw.choice([1, 2, 8, 64, 512])
        kind = draw.choice(["flip", "truncate", "cut", "insert", "swap", "zero"])
        if kind == "flip":
            for _ in range(draw.choice([1, 1, 1, 3, 10])):
                damaged[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        elif kind == "truncate":
            del damaged[a:]
        elif kind == "cut":
            del damaged[a : a + size]
        elif kind == "insert":
            damaged[a:a] = draw.randbytes(size)
        elif kind == "swap":
            damaged[a : a + size], damaged[b : b + size] = data[b : b + size], data[a : a + size]
        else:
            damaged[a : a + size] = bytes(size)
        if damaged != data:
            n -= 1
            yield bytes(damaged)


def test_none_of_500_corrupted_checkpoints_is_loaded(run):
    path, _ = run
    messages = Counter()
    for damaged in corruptions(path.read_bytes(), 500, seed=0):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError) as caught:
            load(path)
        messages[str(caught.value).removeprefix(str(path))[:12]] += 1
    assert set(messages) == {" is damaged:", " is cut off:"} and min(messages.values()) > 50


def test_every_single_flipped_bit_is_found(run):
    path, _ = run
    data = path.read_bytes()
    for position in range(0, len(data), max(1, len(data) // 2000)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        with pytest.raises(CheckpointError):
            checkpoints._unseal(bytes(damaged), path)


def test_damage_under_a_forged_checksum_raises_nothing_but_the_documented_error(run):
    """Values can be wrong here: no checksum can tell. The model must not be half loaded."""
    path, parts = run
    inner = checkpoints._unseal(path.read_bytes(), path)
    outcomes = Counter()
    for damaged in corruptions(inner, 500, seed=1):
        path.write_bytes(checkpoints._seal(damaged))
        before = snapshot(*parts)
        try:
            load(path).restore(*parts)
            outcomes["loaded"] += 1
        except CheckpointError:
            outcomes["refused"] += 1
            assert snapshot(*parts) == before
    assert outcomes["loaded"] > 50 and outcomes["refused"] > 50


# --- what does not fit --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            mlp([2, 16, 16], nn.BatchNorm1d),
            r"0\.0\.0\.weight is \[16, 2\] float32 in the file, missing in the model; .*"
            r"and \d+ more$",
        ),
        (
            nn.Sequential(mlp([2, 16, 16], nn.BatchNorm1d), nn.Dropout(), nn.Linear(16, 3)),
            r": 2\.weight is \[2, 16\] float32 in the file, \[3, 16\] float32 in the model; "
            r"2\.bias is \[2\] float32 in the file, \[3\] float32 in the model$",
        ),
        (network().double(), r"\[16, 2\] float32 in the file, \[16, 2\] float64 in the model"),
    ],
)
def test_another_architecture_is_named_by_its_first_keys_and_shapes(run, other, message):
    path, (_, optimizer, scheduler) = run
    before = snapshot(other, optimizer, scheduler)
    with pytest.raises(CheckpointError, match=message):
        load(path).restore(other, optimizer, scheduler)
    assert snapshot(other, optimizer, scheduler) == before


@pytest.mark.parametrize(
    ("choose", "message"),
    [
        (lambda m, o, s: (m, o), "pass what was saved: StepLR, not none"),
        (lambda m, o, s: (m, None, s), "pass what was saved: Adam, not none"),
        (
            lambda m, o, s: (m, SGD(m.parameters(), lr=1, momentum=0.9), s),
            "pass what was saved: Adam, not SGD",
        ),
        (
            lambda m, o, s: (m, o, lr_scheduler.ExponentialLR(o, 0.9)),
            "pass what was saved: StepLR, not ExponentialLR",
        ),
        (
            lambda m, o, s: (m, Adam(list(m.parameters())[::-1]), s),
            r"saved Adam has 0\.0\.0\.weight in group 0, yours has 2\.bias in group 0: pass the",
        ),
        (
            lambda m, o, s: (m, Adam([{"params": [p]} for p in m.parameters()]), s),
            r"0\.0\.0\.bias in group 0, yours has 0\.0\.0\.bias in group 1: .* order and groups$",
        ),
        (
            lambda m, o, s: (m, Adam(list(m.parameters())[:-1]), s),
            r"the saved Adam has 2\.bias in group 0, yours has none: pass the same parameters",
        ),
        (
            lambda m, o, s: (m, Adam([*m.parameters(), nn.Parameter(torch.ones(3))]), s),
            r"the Adam holds a parameter of shape \[3\] that the model does not",
        ),
    ],
)
def test_to_resume_the_optimizer_and_the_scheduler_must_be_those_that_were_saved(
    run, choose, message
):
    path, _ = run
    parts = choose(*start("Adam", "steps"))
    before = snapshot(*parts)
    with pytest.raises(CheckpointError, match=message):
        load(path).restore(*parts)
    assert snapshot(*parts) == before


def twins(reverse=False):
    """Two layers of the same shapes under one optimizer with moments, in either order."""
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    optimizer = Adam(list(model.parameters())[:: -1 if reverse else 1])
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


def test_moments_of_one_layer_do_not_land_on_another_of_equal_shape(tmp_path):
    seed_everything(0)
    save(tmp_path / "run.pt", *twins())
    parts = twins(reverse=True)
    before = snapshot(*parts)
    with pytest.raises(CheckpointError, match=r"has 0\.weight in group 0, yours has 1\.weight in"):
        load(tmp_path / "run.pt").restore(*parts)
    assert snapshot(*parts) == before


@pytest.fixture
def old_run(run):
    """A checkpoint as version 0.2 wrote it: without the names of the optimizer's parameters."""
    path, parts = run
    content = torch.load(path, weights_only=True)
    for part in ("optimizer", "scheduler"):
        del content[part]["names"]
    path.write_bytes(checkpoints._seal(archive(content)))
    return path, parts


def test_a_file_without_names_resumes_with_a_warning(old_run):
    path, parts = old_run
    expected = snapshot(*parts)
    resumed = start("Adam", "steps")
    with pytest.warns(UserWarning, match="does not name the parameters of its Adam") as caught:
        load(path).restore(*resumed)
    assert snapshot(*resumed) == expected
    assert len(caught) == 1 and caught[0].filename == __file__
    load(path).restore(network())  # a warning would be an error here


@pytest.mark.filterwarnings("ignore:the file does not name")
def test_a_file_without_names_is_compared_by_shapes(old_run):
    path, _ = old_run
    model, _, scheduler = start("Adam", "steps")
    with pytest.raises(
        CheckpointError, match=r"has \[16, 2\] in group 0, yours has \[2\] in group"
    ):
        load(path).restore(model, Adam(list(model.parameters())[::-1]), scheduler)


def test_a_trained_parameter_that_is_not_in_the_model_is_not_forgotten_in_silence(tmp_path):
    model, temperature = nn.Linear(2, 2), nn.Parameter(torch.ones(1))
    optimizer = Adam([*model.parameters(), temperature])
    with pytest.raises(CheckpointError, match=r"shape \[1\] that the model does not, .*ModuleList"):
        save(tmp_path / "run.pt", model, optimizer)
    assert list(tmp_path.iterdir()) == []


class Compiled(nn.Module):
    """Has the keys of `torch.compile`, which takes seconds to import."""

    def __init__(self, model):
        super().__init__()
        self._orig_mod = model


@pytest.mark.parametrize(
    ("wrap", "prefix", "inner"),
    [
        (Compiled, "_orig_mod.", "model._orig_mod"),
        (nn.DataParallel, "module.", "model.module"),
        (lambda m: nn.DataParallel(Compiled(m)), "module._orig_mod.", "model.module._orig_mod"),
    ],
)
def test_wrapped_and_plain_models_are_told_how_to_meet(tmp_path, wrap, prefix, inner):
    plain, wrapped = nn.Linear(2, 2), wrap(nn.Linear(2, 2))
    save(tmp_path / "plain.pt", plain)
    save(tmp_path / "wrapped.pt", wrapped)
    before = snapshot(plain, wrapped)
    with pytest.raises(CheckpointError, match=f"begin with '{prefix}', .*: restore into {inner}, "):
        load(tmp_path / "plain.pt").restore(wrapped)
    with pytest.raises(
        CheckpointError, match=f"begin with '{prefix}', the model's do not"
    ) as caught:
        load(tmp_path / "wrapped.pt").restore(plain)
    assert snapshot(plain, wrapped) == before
    way_out = str(caught.value).partition("or use ")[2]
    exec(way_out, {"model": plain, "checkpoint": load(tmp_path / "wrapped.pt")})
    assert torch.equal(plain.weight, next(wrapped.parameters()))
    load(tmp_path / "plain.pt").restore(eval(inner, {"model": wrapped}))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: nn.Linear(2, 2, device="meta"), r"weight is on meta, .*: call model\.to_empty"),
        (lambda: nn.LazyLinear(2), "weight has no shape yet: call the model on a batch first"),
        (lambda: nn.LazyBatchNorm1d(), "weight has no shape yet"),
    ],
)
def test_a_model_without_numbers_is_neither_saved_nor_restored(tmp_path, build, message):
    path, model = tmp_path / "run.pt", build()
    save(path, nn.Linear(2, 2))
    before = path.read_bytes()
    with pytest.raises(
        CheckpointError, match=r"run\.pt cannot be saved: weight (is on meta|has no)"
    ):
        save(path, model)
    assert path.read_bytes() == before
    with pytest.raises(CheckpointError, match=f"cannot be restored: {message}"):
        load(path).restore(model)
    assert nn.parameter.is_lazy(model.weight) or model.weight.is_meta


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_half_way_changes_nothing(run, monkeypatch, error):
    path, _ = run
    parts = start("Adam", "steps")
    train(*parts, epochs=1)
    before = snapshot(*parts)
    failures = iter([error("half way")])
    original = checkpoints._set_random_states

    def fail_once(states):
        original(states)
        for failure in failures:
            raise failure

    monkeypatch.setattr(checkpoints, "_set_random_states", fail_once)
    expected = KeyboardInterrupt if error is KeyboardInterrupt else CheckpointError
    with pytest.raises(expected, match="half way"):
        load(path).restore(*parts)
    assert snapshot(*parts) == before


# --- saving that fails --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"norm": nn.ReLU},
            r"arguments\['norm'\] is the class torch\.nn\.modules.*\.ReLU: pass num",
        ),
        ({"norm": lambda x: x}, r"arguments\['norm'\] is a builtins\.function"),
        ({"rate": np.float64(1)}, r"arguments\['rate'\] is a numpy\.float64: pass numbers"),
        ({"sizes": [2, np.int64(3)]}, r"arguments\['sizes'\]\[1\] is a numpy\.int64"),
        ({"sizes": np.ones(2)}, r"arguments\['sizes'\] is a numpy\.ndarray: .*tolist\(\)"),
        ({"deep": {"sizes": (range(3),)}}, r"\['deep'\]\['sizes'\]\[0\] is a builtins\.range"),
        (
            {"data": {"path": Path("x")}},
            r"\['data'\]\['path'\] is a pathlib\.\S*PosixPath: .*str\(\)",
        ),
        ({"labels": {np.int64(3): "x"}}, r"the key np\S*\(3\) of arguments\['labels'\] is a numpy"),
        ({"net": nn.Linear(2, 2)}, r"arguments\['net'\] is a torch\.nn\.modules\.linear\.Linear"),
        ({"gift": Payload()}, r"arguments\['gift'\] is a \S*\.Payload"),
        ([1, 2], "cannot convert"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved_and_named(run, arguments, message):
    path, parts = run
    data = path.read_bytes()
    with pytest.raises(CheckpointError, match=rf"run\.pt cannot be saved: .*{message}"):
        save(path, *parts, arguments=arguments)
    assert path.read_bytes() == data and len(list(path.parent.iterdir())) == 1


def test_a_setting_of_the_optimizer_that_is_no_data_is_named(tmp_path):
    model = nn.Linear(2, 2)
    optimizer = SGD(model.parameters(), lr=np.float64(0.1))
    with pytest.raises(
        CheckpointError, match=r"optimizer\['state'\]\['param_groups'\]\[0\]\['lr'\] is"
    ):
        save(tmp_path / "run.pt", model, optimizer)


PLAIN = {"a": [1, 2.5, 1j, True, None, "x", b"x", (1, 2), {3}, torch.ones(2)], 4: {}}


def test_plain_data_comes_back_as_it_was(tmp_path):
    save(tmp_path / "run.pt", nn.Linear(1, 1), arguments=PLAIN)
    assert repr(load(tmp_path / "run.pt").arguments) == repr(PLAIN)


def test_an_interrupt_during_a_save_leaves_the_old_checkpoint(run, monkeypatch):
    path, parts = run
    data = path.read_bytes()

    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(path, *parts, epoch=3)
    assert path.read_bytes() == data and len(list(path.parent.iterdir())) == 1


def test_saving_where_no_file_can_be_is_the_error_of_the_system(run, monkeypatch):
    path, parts = run
    monkeypatch.chdir(path.parent)
    with pytest.raises(FileNotFoundError, match=r"nothing was saved: 'missing.run\.pt'"):
        save(Path("missing") / "run.pt", *parts)
    with pytest.raises(OSError, match="nothing was saved"):  # its folder is a file
        save(Path("run.pt") / "run.pt", *parts)
    Path("folder").mkdir()
    with pytest.raises(OSError, match="nothing was saved: 'folder'"):
        save("folder", *parts)
    assert sorted(p.name for p in Path().iterdir()) == ["folder", "run.pt"]


# One process for both, since it takes seconds to import torch. A limit on the size of a file stops
# a write in the middle, as a full disk does. Root may write everywhere, so it becomes nobody.
REFUSALS = """
    import json, os, resource, sys
    from torch import nn
    from normlab import checkpoints

    def attempt(path):
        try:
            checkpoints.save(path, nn.Linear(50, 50))
            error = None
        except OSError as caught:
            error = [type(caught).__name__, str(caught)]
        folder = os.path.dirname(path) or "."
        return [error, sorted(os.listdir(folder))]

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limit[1]))
    result = {"limit": attempt("run.pt")}
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    if len(sys.argv) > 1:
        result["disk"] = attempt(sys.argv[1] + "/run.pt")
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    result["forbidden"] = attempt("forbidden/run.pt")
    result["allowed"] = attempt("allowed/run.pt")
    try:
        checkpoints.load("secret.pt")
    except OSError as caught:
        result["secret"] = [type(caught).__name__, str(caught)]
    print(json.dumps(result))
"""


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 KiB, or None where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", folder]
    mounted = shutil.which("mount") and not subprocess.run(mount, capture_output=True).returncode
    yield folder if mounted else None
    if mounted:
        subprocess.run(["umount", folder], check=True)


@posix
def test_a_full_disk_or_a_missing_permission_leaves_the_old_checkpoint_and_no_other_file(
    run, small_disk
):
    path, _ = run
    path.parent.chmod(0o755)
    for name, mode in (("forbidden", 0o555), ("allowed", 0o777)):
        (path.parent / name).mkdir()
        shutil.copy(path, path.parent / name)
        (path.parent / name).chmod(mode)
    shutil.copy(path, path.parent / "secret.pt")
    (path.parent / "secret.pt").chmod(0)
    before = path.read_bytes()
    result = in_python(REFUSALS, *[small_disk] * bool(small_disk), cwd=path.parent)

    (kind, message), files = result["limit"]
    assert (kind, message) == (
        "OSError",
        f"[Errno {errno.EFBIG}] File too large; nothing was saved: 'run.pt'",
    )
    assert files == sorted(["allowed", "disk", "forbidden", "run.pt", "secret.pt"])
    if small_disk:
        (kind, message), files = result["disk"]
        assert "No space left on device; nothing was saved" in message and files == []
    (kind, message), files = result["forbidden"]
    assert kind == "PermissionError" and "nothing was saved: 'forbidden/run.pt'" in message
    assert files == ["run.pt"]
    assert result["allowed"] == [None, ["run.pt"]]
    assert result["secret"][0] == "PermissionError" and "secret.pt" in result["secret"][1]
    for name in ("run.pt", "forbidden/run.pt"):
        assert (path.parent / name).read_bytes() == before

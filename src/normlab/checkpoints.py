"""Checkpoints: training resumes from them as if it had never stopped::

    save("run.pt", model, optimizer, arguments={"sizes": [2, 8, 2]}, epoch=5)

    checkpoint = load("run.pt")
    model = mlp(checkpoint.arguments["sizes"])
    checkpoint.restore(model, optimizer)

Two kinds of error, and no others: the system's `OSError` where a file cannot be read or written
(`FileNotFoundError`, `PermissionError`, no space left), `CheckpointError` for what is in it.
After either, the file at `path` and the objects to restore are as they were before the call.
A `~` at the beginning of a path is the home directory.
"""

import contextlib
import copy
import errno
import hashlib
import io
import math
import os
import random
import secrets
import stat
import struct
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

# `torch.load` skips the checksums of the zip format, so that a flipped bit is a wrong weight and no
# error. Ours is in the comment that may end a zip file: unlike a second file it is replaced in the
# same step as the content, and unlike a header it leaves a file that `torch.load` opens. It finds
# accidents. It is no signature: whoever forges the content can forge it too.
_MARK = b"normlab checkpoint 1, sha256 "
_COMMENT = len(_MARK) + 64


class CheckpointError(Exception):
    """What is to be saved, loaded or restored is not intact, not data, or does not fit."""


@contextlib.contextmanager
def _one_kind_of_error(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # those of torch and pickle are of many types
        cause = None if isinstance(error, CheckpointError) else error
        raise CheckpointError(f"{what}: {error}") from cause


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds; all tensors are on the CPU.

    Args:
        arguments: those of the model's constructor, as given to `save`.
        epoch: number of epochs done.
        accuracy: 0..1 after that epoch, NaN if not given.
        model: the model's `state_dict`.
        optimizer: class, shapes and names of the parameters, `state_dict`; None if not saved.
        scheduler: class and `state_dict`; None if not saved.
        random: states of Python, NumPy, torch and each CUDA device.
    """

    arguments: dict
    epoch: int
    accuracy: float
    model: dict
    optimizer: dict | None
    scheduler: dict | None
    random: dict

    def restore(
        self,
        model: nn.Module,
        optimizer: Optimizer | None = None,
        scheduler: LRScheduler | None = None,
    ) -> None:
        """Copy the saved states into `model` alone (to use it), or into all that was saved.

        In the second case, to resume, the random states are set too, those of CUDA if the number of
        devices is the same. Devices and modes (`train`, `eval`) stay as they are. The optimizer
        must hold the parameters of the same names in the same order and groups; a file written
        before names were kept can tell their shapes alone, which is a warning.

        Raises:
            CheckpointError: the states do not fit; nothing was changed.
        """
        with _one_kind_of_error("the checkpoint cannot be restored"):
            _check_numbers(self.model, "it was saved so")
            _check_numbers(model.state_dict(), "call model.to_empty(device='cpu') first")
            _compare_models(self.model, model.state_dict())
            states = [(model, self.model)]
            resume = optimizer is not None or scheduler is not None
            if resume:
                for given, saved in ((optimizer, self.optimizer), (scheduler, self.scheduler)):
                    _compare_parts(saved, _part(given, model))
                    if given is not None:
                        states.append((given, saved["state"]))
            before = copy.deepcopy([part.state_dict() for part, _ in states]), _random_states()
            try:
                for part, state in states:
                    part.load_state_dict(copy.deepcopy(state))  # an optimizer keeps what it gets
                if resume:
                    _set_random_states(self.random)
            except BaseException:
                for (part, _), state in zip(states, before[0], strict=True):
                    part.load_state_dict(state)
                _set_random_states(before[1])
                raise


def save(
    path: str | os.PathLike[str],
    model: nn.Module,
    optimizer: Optimizer | None = None,
    scheduler: LRScheduler | None = None,
    *,
    arguments: Mapping[str, Any] | None = None,
    epoch: int = 0,
    accuracy: float = math.nan,
) -> None:
    """Write a checkpoint, or leave the file at `path` as it was.

    The mode of that file is kept; where `path` is a symbolic link, what it leads to is replaced.
    A process that is killed meanwhile can leave a file `<path>.<8 digits>.part`: delete it.

    Args:
        path: its folder must exist.
        model: what `Checkpoint.restore` shall restore.
        optimizer: needed to resume; None saves none. All its parameters must be the model's.
        scheduler: the same, where the training uses one.
        arguments: those of the model's constructor, made of numbers, strings, lists and dicts.
            Others, such as NumPy's numbers, are refused, for `load` returns what was saved.
        epoch: number of epochs done.
        accuracy: 0..1.

    Raises:
        CheckpointError: `load` would refuse the file, or the model lacks numbers (on meta, lazy).
        OSError: the file cannot be written.
    """
    path = os.path.expanduser(path)
    with _one_kind_of_error(f"{path} cannot be saved"):
        state = model.state_dict()
        _check_numbers(state, "fill the model first")
        content = {
            "arguments": dict(arguments or {}),
            "epoch": int(epoch),
            "accuracy": float(accuracy),
            "model": state,
            "optimizer": _part(optimizer, model),
            "scheduler": _part(scheduler, model),
            "random": _random_states(),
        }
        try:
            archive = _archive(content)
            _unpack(archive, path)  # what cannot be loaded should not be found out later
        except Exception:
            for name, value in content.items():
                _refuse(name, value)
            raise
    _write(path, _seal(archive))


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Read and check the whole file; no code in it is run.

    Raises:
        CheckpointError: the file is empty, cut off, damaged, foreign or holds more than data.
        OSError: there is no file, or it cannot be read.
    """
    path = os.path.expanduser(path)
    return _unpack(_unseal(Path(path).read_bytes(), path), path)


# --- the file -----------------------------------------------------------------------------------


def _seal(archive: bytes) -> bytes:
    """Write the checksum of a zip file into its comment: the last field, after its length."""
    comment = _MARK + hashlib.sha256(archive).hexdigest().encode()
    return archive[:-2] + struct.pack("<H", len(comment)) + comment


def _unseal(data: bytes, path: str) -> bytes:
    if not data:
        raise CheckpointError(f"{path} is empty")
    if not data.startswith(b"PK\3\4"):
        raise CheckpointError(f"{path} is no checkpoint: it does not begin like a zip file")
    if not data[-_COMMENT:].startswith(_MARK):
        end = data[-22:]  # of a zip file without a comment: begins with a mark, ends with length 0
        if end.startswith(b"PK\5\6") and end.endswith(b"\0\0"):
            raise CheckpointError(
                f"{path} has no checksum, so normlab.checkpoints did not write it: try torch.load"
            )
        raise CheckpointError(f"{path} is cut off: its end, which holds the checksum, is missing")
    archive = data[: -_COMMENT - 2] + b"\0\0"
    if _seal(archive) != data:
        raise CheckpointError(f"{path} is damaged: its content does not match its checksum")
    return archive


def _archive(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _refuse(name: str, value: Any) -> None:
    """Raise an error that names the innermost part of `value` that `load` would refuse, if any."""
    try:
        torch.load(io.BytesIO(_archive(value)), map_location="cpu", weights_only=True)
    except Exception as error:
        parts = enumerate(value) if isinstance(value, (list, tuple, set)) else ()
        for key, part in value.items() if isinstance(value, dict) else parts:
            _refuse(f"the key {key!r} of {name}", key)
            _refuse(f"{name}[{key!r}]", part)
        kind = value if isinstance(value, type) else type(value)
        raise CheckpointError(
            f"{name} is {'the class' if kind is value else 'a'} {kind.__module__}.{kind.__name__}: "
            "pass numbers, strings, lists and dicts, as int(), str(), item() and tolist() make them"
        ) from error


def _unpack(archive: bytes, path: str) -> Checkpoint:
    try:
        content = torch.load(io.BytesIO(archive), map_location="cpu", weights_only=True)
    except Exception as error:  # the errors of torch.load are of many types
        names = _not_data(archive)
        reason = f"{', '.join(names)} is not data" if names else "torch.load cannot read it"
        raise CheckpointError(f"{path} is refused: {reason}") from error
    kinds = {field.name: field.type for field in fields(Checkpoint)}
    if not isinstance(content, dict) or content.keys() != kinds.keys():
        raise CheckpointError(f"{path} holds something else than a checkpoint")
    if wrong := [name for name, kind in kinds.items() if not isinstance(content[name], kind)]:
        raise CheckpointError(f"{path} holds something else as {', '.join(wrong)}")
    for part in (content["optimizer"], content["scheduler"]):
        if part is not None and part.keys() | {"names"} != {"class", "shapes", "state", "names"}:
            raise CheckpointError(f"{path} holds something else than an optimizer or a scheduler")
    return Checkpoint(**content)


def _not_data(archive: bytes) -> list[str]:
    """Name the functions and classes that `weights_only` refuses, without running anything."""
    try:
        return torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(archive))
    except Exception:
        return []


def _write(path: str, data: bytes) -> None:
    """Replace the file at `path` in one step; whoever looks finds the old file or the new one."""
    target = Path(os.path.realpath(path) if os.path.islink(path) else path)  # a link stays one
    part = Path(f"{target}.{secrets.token_hex(4)}.part")  # in the same folder, and nobody else's
    try:
        mode = _mode(path)
        new = 0o666 if mode is None else mode  # from the start: what was secret stays so
        with open(part, "xb", opener=lambda name, flags: os.open(name, flags, new)) as file:
            file.write(data)
            file.flush()
            if mode is not None:
                os.chmod(part, mode)  # which the umask may have narrowed
            os.fsync(file.fileno())  # else the new name may reach the disk before the content
        os.replace(part, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink()
        if not isinstance(error, OSError):
            raise
        raise OSError(error.errno, f"{error.strerror}; nothing was saved", path) from error
    if os.name == "posix":  # the new name is in the folder, which is flushed for itself
        with contextlib.suppress(OSError):  # some file systems cannot; the file is there anyway
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def _mode(path: str) -> int | None:
    """Return the mode of the file at `path`, None if there is none; refuse what is no file."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "A folder, pipe or device cannot become a checkpoint")
    return stat.S_IMODE(mode)


# --- the content --------------------------------------------------------------------------------


def _check_numbers(state: Mapping[str, Any], way_out: str) -> None:
    for key, value in state.items():
        if nn.parameter.is_lazy(value):
            raise CheckpointError(f"{key} has no shape yet: call the model on a batch first")
        if isinstance(value, torch.Tensor) and value.is_meta:
            raise CheckpointError(f"{key} is on meta, which holds no numbers: {way_out}")


def _part(part: Optimizer | LRScheduler | None, model: nn.Module) -> dict | None:
    if part is None:
        return None
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = [group["params"] for group in getattr(part, "param_groups", [])]
    for parameter in (p for group in groups for p in group if p not in names):
        raise CheckpointError(
            f"the {type(part).__name__} holds a parameter of shape {list(parameter.shape)} that "
            "the model does not, so that its numbers would be lost: make one model of all that "
            "is trained, such as nn.ModuleList([model, loss])"
        )
    return {
        "class": type(part).__name__,
        "shapes": [[list(p.shape) for p in group] for group in groups],
        "state": part.state_dict(),
        "names": [[names[p] for p in group] for group in groups],
    }


def _compare_parts(saved: dict | None, given: dict | None) -> None:
    there, here = (part["class"] if part else "none" for part in (saved, given))
    if there != here:
        raise CheckpointError(f"to resume, pass what was saved: {there}, not {here}")
    if not saved:
        return
    by = "names" if "names" in saved else "shapes"
    if by == "shapes" and saved["shapes"]:  # as version 0.2 wrote it
        warnings.warn(
            f"the file does not name the parameters of its {there}: see to it that yours holds the "
            "same ones in the same order. A checkpoint saved anew will name them.",
            stacklevel=3,
        )
    lists = [
        [f"{parameter} in group {i}" for i, group in enumerate(part[by]) for parameter in group]
        for part in (saved, given)
    ]
    for old, new in zip_longest(*lists, fillvalue="none"):
        if old != new:
            raise CheckpointError(
                f"where the saved {there} has {old}, yours has {new}: "
                "pass the same parameters, in the same order and groups"
            )


def _compare_models(saved: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    there, here = ({key: _shape(value) for key, value in s.items()} for s in (saved, given))
    for prefix in ("_orig_mod.", "module.", "module._orig_mod."):  # compile, DataParallel, both
        if {prefix + key: shape for key, shape in there.items()} == here:
            raise CheckpointError(
                f"the model's keys begin with {prefix!r}, those in the file do not: "
                f"restore into model.{prefix[:-1]}, with an optimizer of its parameters"
            )
        if {prefix + key: shape for key, shape in here.items()} == there:
            raise CheckpointError(
                f"the keys in the file begin with {prefix!r}, the model's do not: wrap it as it "
                f"was, or use model.load_state_dict({{key.removeprefix({prefix!r}): value "
                "for key, value in checkpoint.model.items()})"
            )
    keys = [key for key in {**there, **here} if there.get(key) != here.get(key)]
    if keys:
        lines = (
            f"{key} is {there.get(key, 'missing')} in the file, "
            f"{here.get(key, 'missing')} in the model"
            for key in keys[:3]
        )
        more = f"; and {len(keys) - 3} more" if len(keys) > 3 else ""
        raise CheckpointError(f"it is of another model: {'; '.join(lines)}{more}")


def _shape(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{list(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    return type(value).__name__


def _random_states() -> dict[str, Any]:
    name, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (name, keys.tolist(), *rest),  # weights_only knows no arrays
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _set_random_states(states: Mapping[str, Any]) -> None:
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    if states["cuda"] and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])

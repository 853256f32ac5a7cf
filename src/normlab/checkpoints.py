"""Checkpoints: training resumes from them as if it had never stopped::

    save("run.pt", model, optimizer, arguments={"sizes": [2, 8, 2]}, epoch=5)

    checkpoint = load("run.pt")
    model = mlp(checkpoint.arguments["sizes"])
    checkpoint.restore(model, optimizer)

Two kinds of error, and no others: the system's `OSError` where a file cannot be read or written
(`FileNotFoundError`, `PermissionError`, no space left), `CheckpointError` for what is in it.
After either, the file at `path` and the objects to restore are as they were before the call.
"""

import contextlib
import copy
import hashlib
import io
import math
import os
import random
import reprlib
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass, fields
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
    """The file is no intact checkpoint, or does not fit what it is to be restored into."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds; all tensors are on the CPU.

    Args:
        arguments: those of the model's constructor, as given to `save`.
        epoch: number of epochs done.
        accuracy: 0..1 after that epoch, NaN if not given.
        model: the model's `state_dict`.
        optimizer: class, shapes of the parameters and `state_dict`; None if not saved.
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
        devices is the same. Devices and modes (`train`, `eval`) stay as they are.

        Raises:
            CheckpointError: the states do not fit; nothing was changed.
        """
        _compare_models(self.model, model.state_dict())
        states = [(model, self.model)]
        resume = optimizer is not None or scheduler is not None
        if resume:
            for given, saved in ((optimizer, self.optimizer), (scheduler, self.scheduler)):
                _compare_parts(saved, _part(given))
                if given is not None:
                    states.append((given, saved["state"]))
        before = copy.deepcopy([part.state_dict() for part, _ in states]), _random_states()
        try:
            for part, state in states:
                part.load_state_dict(copy.deepcopy(state))  # an optimizer would keep the tensors
            if resume:
                _set_random_states(self.random)
        except BaseException as error:
            for (part, _), state in zip(states, before[0], strict=True):
                part.load_state_dict(state)
            _set_random_states(before[1])
            if not isinstance(error, Exception):  # an interrupt stays one
                raise
            raise CheckpointError(f"the checkpoint cannot be restored: {error}") from error


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

    A process that is killed meanwhile can leave a file `<path>.<8 digits>.part`: delete it.

    Args:
        path: its folder must exist.
        model: what `Checkpoint.restore` shall restore.
        optimizer: needed to resume; None saves none.
        scheduler: the same, where the training uses one.
        arguments: those of the model's constructor, made of numbers, strings, lists and dicts.
        epoch: number of epochs done.
        accuracy: 0..1.

    Raises:
        CheckpointError: something is not data, so that `load` would refuse the file.
        OSError: the file cannot be written.
    """
    content = {
        "arguments": dict(arguments or {}),
        "epoch": int(epoch),
        "accuracy": float(accuracy),
        "model": model.state_dict(),
        "optimizer": _part(optimizer),
        "scheduler": _part(scheduler),
        "random": _random_states(),
    }
    buffer = io.BytesIO()
    try:
        torch.save(content, buffer)
    except Exception as error:  # pickle's errors are of many types
        raise CheckpointError(f"{path} cannot be saved: {error}") from error
    archive = buffer.getvalue()
    _unpack(archive, path)  # what cannot be loaded should not be found out later
    _write(Path(path), _seal(archive))


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Read and check the whole file; no code in it is run.

    Raises:
        CheckpointError: the file is empty, cut off, damaged, foreign or holds more than data.
        OSError: there is no file, or it cannot be read.
    """
    return _unpack(_unseal(Path(path).read_bytes(), path), path)


# --- the file -----------------------------------------------------------------------------------


def _seal(archive: bytes) -> bytes:
    """Write the checksum of a zip file into its comment: the last field, after its length."""
    comment = _MARK + hashlib.sha256(archive).hexdigest().encode()
    return archive[:-2] + struct.pack("<H", len(comment)) + comment


def _unseal(data: bytes, path: str | os.PathLike[str]) -> bytes:
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


def _unpack(archive: bytes, path: str | os.PathLike[str]) -> Checkpoint:
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
        if part is not None and part.keys() != {"class", "shapes", "state"}:
            raise CheckpointError(f"{path} holds something else than an optimizer or a scheduler")
    return Checkpoint(**content)


def _not_data(archive: bytes) -> list[str]:
    """Name the functions and classes that `weights_only` refuses, without running anything."""
    try:
        return torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(archive))
    except Exception:
        return []


def _write(path: Path, data: bytes) -> None:
    """Replace the file at `path` in one step; whoever looks finds the old file or the new one."""
    part = Path(f"{path}.{secrets.token_hex(4)}.part")  # in the same folder, and nobody else's
    try:
        with open(part, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else the new name may reach the disk before the content
        os.replace(part, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink()
        if not isinstance(error, OSError):
            raise
        message = f"{error.strerror}; nothing was saved"
        raise OSError(error.errno, message, os.fspath(path)) from error
    if os.name == "posix":  # the new name is in the folder, which is flushed for itself
        with contextlib.suppress(OSError):  # some file systems cannot; the file is there anyway
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


# --- the content --------------------------------------------------------------------------------


def _part(part: Optimizer | LRScheduler | None) -> dict | None:
    if part is None:
        return None
    groups = getattr(part, "param_groups", [])
    shapes = [[list(p.shape) for p in group["params"]] for group in groups]
    return {"class": type(part).__name__, "shapes": shapes, "state": part.state_dict()}


def _compare_parts(saved: dict | None, given: dict | None) -> None:
    there, here = (part["class"] if part else "none" for part in (saved, given))
    if there != here:
        raise CheckpointError(f"to resume, pass what was saved: {there}, not {here}")
    if saved and saved["shapes"] != given["shapes"]:
        shapes = [reprlib.repr(part["shapes"]) for part in (saved, given)]  # the first ones
        raise CheckpointError(
            f"the saved {there} has parameters of shapes {shapes[0]}, yours {shapes[1]}: "
            "pass the same ones, in the same order and groups"
        )


def _compare_models(saved: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    there, here = ({key: _shape(value) for key, value in s.items()} for s in (saved, given))
    keys = [key for key in {**there, **here} if there.get(key) != here.get(key)]
    if keys:
        lines = (
            f"{key} is {there.get(key, 'missing')} in the file, "
            f"{here.get(key, 'missing')} in the model"
            for key in keys[:3]
        )
        more = f"; and {len(keys) - 3} more" if len(keys) > 3 else ""
        raise CheckpointError(f"the checkpoint is of another model: {'; '.join(lines)}{more}")


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

"""One training loop for the whole course, and what it records.

All of it computes on a `device`: None is the accelerator of the machine if it has one, such as the
GPU of a Colab runtime, else the CPU. Models come back to where they were, and predictions come to
where the model is, so that code which follows need not know.
"""

import copy
import operator
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from numbers import Integral
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

Batch = tuple[Tensor, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]
Setting = TypeVar("Setting")
Device = torch.device | str | None


def full_or_quick(full: Setting, quick: Setting) -> Setting:
    """Return `full`, or `quick` where the environment variable NORMLAB_QUICK is 1.

    The tests set it: they train less, and the claims of the chapter must hold all the same.

    Raises:
        ValueError: NORMLAB_QUICK is neither 1, 0, empty nor unset.
    """
    choice = os.environ.get("NORMLAB_QUICK") or "0"
    if choice not in ("0", "1"):
        raise ValueError(f"NORMLAB_QUICK={choice} is unknown: set it to 1, or unset it")
    return quick if choice == "1" else full


def seed_everything(seed: int) -> None:
    """Start the random numbers of Python, NumPy and torch, on every device, from `seed`.

    From then on cuDNN uses only methods that give the same result each time.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    torch.backends.cudnn.deterministic = True


@dataclass
class History:
    """What `fit` measured: one entry per epoch in each list.

    The training figures are averages over the epoch, taken in training mode while the weights were
    moving. The test figures are taken after the epoch, in eval mode.
    """

    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    test_loss: list[float] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # training alone, without evaluation


class Batches:
    """A data loader in five lines: images stay uint8 in memory until their batch is due.

    Iterating yields `(inputs, targets)`. Images of dtype uint8 [N, C, H, W] become float32 in
    [-1, 1]; other inputs pass as they are. Shuffling draws from torch's global generator of the
    CPU, so that the order is the same on every device.

    Args:
        inputs: [N, ...].
        targets: [N, ...].
        batch_size: samples per batch; the last batch holds the rest.
        shuffle: a new order in every epoch.
        device: where to hold inputs and targets; None leaves them where they are.
        drop_last: leave out the rest that makes no full batch.

    Raises:
        ValueError: numbers of inputs and targets differ, or `batch_size` is no number from 1.
    """

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        batch_size: int = 64,
        shuffle: bool = False,
        device: Device = None,
        drop_last: bool = False,
    ) -> None:
        if len(inputs) != len(targets):
            raise ValueError(f"{len(inputs)} inputs do not go with {len(targets)} targets")
        if not isinstance(batch_size, Integral) or batch_size < 1:
            raise ValueError(
                f"batch_size={batch_size!r}: pass a whole number of samples, 1 or more"
            )
        device = device and pick_device(device)
        self.inputs, self.targets = inputs.to(device), targets.to(device)
        self.batch_size, self.shuffle, self.drop_last = int(batch_size), shuffle, drop_last

    def to(self, device: Device) -> "Batches":
        """Return the same batches, held on `device`."""
        moved, device = copy.copy(self), device and pick_device(device)
        moved.inputs, moved.targets = self.inputs.to(device), self.targets.to(device)
        return moved

    def __len__(self) -> int:
        n = len(self.inputs)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        n = len(self.inputs)
        order = torch.randperm(n) if self.shuffle else torch.arange(n)
        for index in order.to(self.inputs.device).split(self.batch_size)[: len(self)]:
            yield as_float(self.inputs[index]), self.targets[index]


def as_float(images: Tensor) -> Tensor:
    """Map uint8 images from 0..255 to -1..1 (float32), as Normalize(0.5, 0.5) does."""
    return images.float().div_(127.5).sub_(1) if images.dtype == torch.uint8 else images


def pick_device(device: Device = None, model: nn.Module | None = None) -> torch.device:
    """Return the device to compute on.

    Args:
        device: the one that is wanted. None is that of `model` unless it lies on the CPU, then the
            accelerator, then the CPU.
        model: what is to be computed.

    Raises:
        ValueError: there is no such device here.
    """
    available = torch.accelerator.is_available()  # torch 2.6 raises if asked for what is not there
    accelerator = torch.accelerator.current_accelerator() if available else None
    if device is None:
        home = _home(model) if model is not None else torch.device("cpu")
        if home.type != "cpu" or accelerator is None:
            return home
        # Apple's GPUs have no double precision.
        doubles = model is not None and any(p.dtype == torch.float64 for p in model.parameters())
        return home if doubles and accelerator.type == "mps" else accelerator
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        known = ["cpu", str(accelerator)] if accelerator else ["cpu"]
        raise ValueError(
            f"device {str(device)!r} cannot be used here: name one of {known}, or None for the "
            "fastest of them"
        ) from error


def _home(model: nn.Module) -> torch.device:
    return next((tensor.device for tensor in model.parameters()), torch.device("cpu"))


@contextmanager
def _moved(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Have `model` on `device` for a while, then where it was."""
    home = _home(model)
    if home == device:  # also the model that lies on several devices, as its owner wants it
        yield
        return
    try:
        model.to(device)
        yield
    finally:
        model.to(home)


def _on(device: torch.device, data: Iterable[Batch]) -> Iterator[Batch]:
    """Yield the batches of `data`, on `device`."""
    if isinstance(data, Batches):  # as bytes, before they become four times as large
        data = data.to(device)
    empty = True
    for inputs, targets in data:
        yield inputs.to(device), None if targets is None else targets.to(device)
        empty = False
    if empty:
        raise ValueError("the data yielded no batch: it is empty, or it was passed over before")


def _check_data(name: str, data: Iterable[Batch] | None, passes: int) -> None:
    """Refuse what will not yield batches in every pass, as far as one can know beforehand."""
    if passes > 1 and isinstance(data, Iterator):
        raise ValueError(
            f"{name} is a {type(data).__name__}, which can be passed over once, not {passes} times:"
            " pass a list of batches, or Batches"
        )
    if operator.length_hint(data, 1) == 0:
        raise ValueError(f"{name} holds no batch: it is empty, or smaller than a full batch")


def fit(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    train: Iterable[Batch],
    test: Iterable[Batch] | None = None,
    *,
    epochs: int,
    loss_fn: Loss = F.cross_entropy,
    progress: tqdm | None = None,
    after_epoch: Callable[[int], None] | None = None,
    device: Device = None,
) -> History:
    """Train `model` in place and return what was measured.

    A model in eval mode is put into training mode as a whole. In one that is in training mode, the
    layers that you have put into eval mode stay frozen so: call `model.train()` first, then freeze.

    An exception, Ctrl-C too, carries the epochs done before it as its attribute `history`.

    Args:
        model: any module; left in training mode, and on the device where it was.
        optimizer: holds parameters of `model`; those that it does not hold stay as they are.
        train: anything that yields `(inputs, targets)`; one pass over it is an epoch.
        test: the same, evaluated after each epoch; None means never.
        epochs: number of passes.
        loss_fn: mean loss of a batch from outputs and targets.
        progress: a bar to advance by one per epoch; None makes one.
        after_epoch: called with the number of epochs done, for snapshots of the model, which is
            back where it was.
        device: where to compute, see `pick_device`.

    Raises:
        ValueError: before the first step, where `train` or `test` is empty or cannot be passed over
            `epochs` times, `optimizer` holds no parameter of `model`, the loss broadcasts outputs
            [N, 1] against targets [N], or there is no such device.
    """
    _check_data("train", train, epochs)
    _check_data("test", test, epochs)
    own = set(model.parameters())
    if own.isdisjoint(p for group in optimizer.param_groups for p in group["params"]):
        raise ValueError(
            f"the {type(optimizer).__name__} holds no parameter of the model, which would not "
            "learn: build it from model.parameters()"
        )
    history = History()
    device = pick_device(device, model)
    own_bar = progress is None  # the truth of a bar is its length
    bar = tqdm(total=epochs, unit="epoch", leave=False) if own_bar else nullcontext(progress)
    with bar as bar, _keeping("history", history):
        for epoch in range(1, epochs + 1):
            try:
                with _moved(model, device):
                    _follow(optimizer)
                    start = time.perf_counter()
                    trained = _train_epoch(model, optimizer, _on(device, train), loss_fn)
                    seconds = time.perf_counter() - start
            finally:
                _follow(optimizer)
            tested = (None, None) if test is None else evaluate(model, test, loss_fn, device)
            measured = (*trained, *tested, seconds)
            for values, value in zip(vars(history).values(), measured, strict=True):
                if value is not None:
                    values.append(value)
            if after_epoch is not None:
                modes = _modes(model)
                after_epoch(epoch)
                if not model.training:  # else it may have frozen a layer
                    _set_modes(modes)
            bar.update()
    return history


@contextmanager
def _keeping(name: str, value: object) -> Iterator[None]:
    """Give an exception, Ctrl-C too, what was measured before it."""
    try:
        yield
    except BaseException as error:
        setattr(error, name, value)
        error.add_note(f"What was done before is kept: error.{name}, or sys.last_value.{name}")
        raise


def _follow(optimizer: torch.optim.Optimizer) -> None:
    """Move the state of `optimizer`, such as momenta, to where its parameters are now."""
    away = (
        value.device != parameter.device
        for parameter, state in optimizer.state.items()
        for value in state.values()
        if isinstance(value, Tensor) and value.shape == parameter.shape
    )
    if any(away):
        optimizer.load_state_dict(optimizer.state_dict())  # which moves what it loads


def _train_epoch(model, optimizer, train: Iterable[Batch], loss_fn: Loss) -> tuple[float, float]:
    if not model.training:
        model.train()
    meter = _Meter(loss_fn)
    for inputs, targets in train:
        loss = meter.add(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return meter.averages()


def evaluate(
    model: nn.Module,
    data: Iterable[Batch],
    loss_fn: Loss = F.cross_entropy,
    device: Device = None,
) -> tuple[float, float]:
    """Return the mean loss and the accuracy (0..1) of `model` in eval mode; modes are restored.

    The accuracy is NaN where the targets are not class numbers. `device` as in `pick_device`.
    """
    meter = _Meter(loss_fn)
    device = pick_device(device, model)
    with _eval_mode(model), _moved(model, device):
        for inputs, targets in _on(device, data):
            meter.add(model(inputs), targets)
    return meter.averages()


def predict(model: nn.Module, data: Iterable[Batch], device: Device = None) -> Tensor:
    """Return the outputs [N, ...] of `model` in eval mode for all of `data`; restore the modes.

    Targets may be None. `device` as in `pick_device`; the outputs come to where the model was.
    """
    home, device = _home(model), pick_device(device, model)
    with _eval_mode(model), _moved(model, device):
        return torch.cat([model(inputs) for inputs, _ in _on(device, data)]).to(home)


def _modes(model: nn.Module) -> dict[nn.Module, bool]:
    return {module: module.training for module in model.modules()}


def _set_modes(modes: Mapping[nn.Module, bool]) -> None:
    for module, mode in modes.items():  # model.train() would thaw frozen layers
        module.training = mode


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    """Put `model` into eval mode without gradients, then each layer into its own mode again."""
    modes = _modes(model)
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        _set_modes(modes)


class _Meter:
    """Average over samples, not over batches: the last batch may be smaller.

    Numbers are read at the end: an accelerator would have to wait for each.
    """

    def __init__(self, loss_fn: Loss) -> None:
        self.loss_fn = loss_fn
        self.losses: list[Tensor] = []
        self.correct: list[Tensor] = []
        self.sizes: list[int] = []

    def add(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Measure a batch and return its loss."""
        _check_shapes(self.loss_fn, outputs, targets)
        loss = self.loss_fn(outputs, targets)
        self.losses.append(loss.detach())
        self.sizes.append(len(targets))
        if not targets.is_floating_point():
            self.correct.append((outputs.argmax(1) == targets).sum())
        return loss

    def averages(self) -> tuple[float, float]:
        count = sum(self.sizes)
        losses = torch.stack(self.losses).tolist()
        loss = sum(loss * n for loss, n in zip(losses, self.sizes, strict=True)) / count
        correct = sum(torch.stack(self.correct).tolist()) if self.correct else float("nan")
        return loss, correct / count


def _check_shapes(loss_fn: Loss, outputs: Tensor, targets: Tensor) -> None:
    """Refuse outputs [N, 1] and targets [N] where the loss compares each with all, as [N, N]."""
    try:
        shape = torch.broadcast_shapes(outputs.shape, targets.shape)
        larger = shape.numel() > max(outputs.numel(), targets.numel())
        if not larger or targets.min() == targets.max():
            return
        # Made-up outputs in (0, 1): a loss that squeezes its outputs would give something else for
        # the expanded ones, and a loss that takes class numbers would raise.
        made_up = (0.5 + 0.4 * torch.arange(outputs.numel()).sin()).view_as(outputs).to(outputs)
        expanded = loss_fn(made_up.expand(shape), targets.expand(shape))
        if not torch.allclose(loss_fn(made_up, targets), expanded):
            return
    except Exception:
        return
    raise ValueError(
        f"outputs {list(outputs.shape)} and targets {list(targets.shape)} are not compared one by "
        f"one, but as {list(shape)}: give both one shape, by targets.view_as(outputs) for example"
    )


def compare(
    models: Mapping[str, Callable[[], nn.Module]],
    optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
    train: Iterable[Batch],
    test: Iterable[Batch] | None = None,
    *,
    seeds: Sequence[int],
    epochs: int,
    loss_fn: Loss = F.cross_entropy,
    device: Device = None,
) -> tuple[dict[str, list[History]], dict[str, list[nn.Module]]]:
    """Train every model once per seed; a seed fixes the initial weights and the order of the data.

    Normalization layers draw no random numbers, so that networks which differ in them alone start
    from the same weights and see the same batches.

    Args:
        models: functions that build a model, by name.
        optimizer: builds the optimizer from parameters.
        train, test, epochs, loss_fn, device: as in `fit`.
        seeds: one run per model and seed.

    Returns:
        The histories and the trained models, by name, in the order of `seeds`. An exception,
        Ctrl-C too, carries those of the runs before it as its attribute `results`.
    """
    runs = len(models) * len(seeds)
    _check_data("train", train, runs * epochs)
    _check_data("test", test, runs * epochs)
    histories: dict[str, list[History]] = {name: [] for name in models}
    trained: dict[str, list[nn.Module]] = {name: [] for name in models}
    results = histories, trained
    options = {"epochs": epochs, "loss_fn": loss_fn, "device": device}
    with tqdm(total=runs * epochs, unit="epoch") as bar, _keeping("results", results):
        for name, build in models.items():
            for seed in seeds:
                bar.set_description(f"{name}, seed {seed}")
                seed_everything(seed)
                model = build()
                own = optimizer(model.parameters())
                histories[name].append(fit(model, own, train, test, progress=bar, **options))
                trained[name].append(model)
    return results

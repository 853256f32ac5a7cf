"""One training loop for the whole course, and what it records."""

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

Batch = tuple[Tensor, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]
Setting = TypeVar("Setting")


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
    """Start the random numbers of Python, NumPy and torch from `seed`."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


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
    [-1, 1]; other inputs pass as they are. Shuffling draws from torch's global generator.

    Args:
        inputs: [N, ...].
        targets: [N, ...].
        batch_size: samples per batch; the last batch holds the rest.
        shuffle: a new order in every epoch.
    """

    def __init__(
        self, inputs: Tensor, targets: Tensor, batch_size: int = 64, shuffle: bool = False
    ) -> None:
        if len(inputs) != len(targets):
            raise ValueError(f"{len(inputs)} inputs do not go with {len(targets)} targets")
        self.inputs, self.targets = inputs, targets
        self.batch_size, self.shuffle = batch_size, shuffle

    def __len__(self) -> int:
        return -(-len(self.inputs) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        n = len(self.inputs)
        order = torch.randperm(n) if self.shuffle else torch.arange(n)
        for index in order.split(self.batch_size):
            yield as_float(self.inputs[index]), self.targets[index]


def as_float(images: Tensor) -> Tensor:
    """Map uint8 images from 0..255 to -1..1 (float32), as Normalize(0.5, 0.5) does."""
    return images.float().div_(127.5).sub_(1) if images.dtype == torch.uint8 else images


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
) -> History:
    """Train `model` in place and return what was measured.

    Args:
        model: any module; left in training mode.
        optimizer: holds the parameters of `model`.
        train: anything that yields `(inputs, targets)`; one pass over it is an epoch.
        test: the same, evaluated after each epoch; None means never.
        epochs: number of passes.
        loss_fn: mean loss of a batch from outputs and targets.
        progress: a bar to advance by one per epoch; None makes one.
        after_epoch: called with the number of epochs done, for snapshots.
    """
    history = History()
    bar = tqdm(total=epochs, unit="epoch", leave=False) if progress is None else progress
    for epoch in range(1, epochs + 1):
        start = time.perf_counter()
        loss, accuracy = _train_epoch(model, optimizer, train, loss_fn)
        history.seconds.append(time.perf_counter() - start)
        history.train_loss.append(loss)
        history.train_accuracy.append(accuracy)
        if test is not None:
            loss, accuracy = evaluate(model, test, loss_fn)
            history.test_loss.append(loss)
            history.test_accuracy.append(accuracy)
        if after_epoch is not None:
            after_epoch(epoch)
        bar.update()
    if progress is None:
        bar.close()
    return history


def _train_epoch(model, optimizer, train: Iterable[Batch], loss_fn: Loss) -> tuple[float, float]:
    model.train()
    meter = _Meter()
    for inputs, targets in train:
        outputs = model(inputs)
        loss = loss_fn(outputs, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        meter.add(loss, outputs, targets)
    return meter.averages()


def evaluate(
    model: nn.Module, data: Iterable[Batch], loss_fn: Loss = F.cross_entropy
) -> tuple[float, float]:
    """Return the mean loss and the accuracy (0..1) of `model` in eval mode; modes are restored.

    The accuracy is NaN where the targets are not class numbers.
    """
    meter = _Meter()
    with _eval_mode(model):
        for inputs, targets in data:
            outputs = model(inputs)
            meter.add(loss_fn(outputs, targets), outputs, targets)
    return meter.averages()


def predict(model: nn.Module, data: Iterable[Batch]) -> Tensor:
    """Return the outputs [N, ...] of `model` in eval mode for all of `data`; restore the modes."""
    with _eval_mode(model):
        return torch.cat([model(inputs) for inputs, _ in data])


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    """Put `model` into eval mode without gradients, then each layer into its own mode again."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:  # model.train() would thaw frozen layers
            module.training = mode


class _Meter:
    """Average over samples, not over batches: the last batch may be smaller."""

    def __init__(self) -> None:
        self.loss, self.correct, self.count = 0.0, 0.0, 0

    def add(self, loss: Tensor, outputs: Tensor, targets: Tensor) -> None:
        n = len(targets)
        self.count += n
        self.loss += loss.item() * n
        classes = not targets.is_floating_point()
        self.correct += (outputs.argmax(1) == targets).sum().item() if classes else float("nan")

    def averages(self) -> tuple[float, float]:
        if self.count == 0:
            raise ValueError("the data yielded no batch")
        return self.loss / self.count, self.correct / self.count


def compare(
    models: Mapping[str, Callable[[], nn.Module]],
    optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
    train: Iterable[Batch],
    test: Iterable[Batch] | None = None,
    *,
    seeds: Sequence[int],
    epochs: int,
    loss_fn: Loss = F.cross_entropy,
) -> tuple[dict[str, list[History]], dict[str, list[nn.Module]]]:
    """Train every model once per seed; a seed fixes the initial weights and the order of the data.

    Normalization layers draw no random numbers, so that networks which differ in them alone start
    from the same weights and see the same batches.

    Args:
        models: functions that build a model, by name.
        optimizer: builds the optimizer from parameters.
        train, test, epochs, loss_fn: as in `fit`.
        seeds: one run per model and seed.

    Returns:
        The histories and the trained models, by name, in the order of `seeds`.
    """
    histories: dict[str, list[History]] = {name: [] for name in models}
    trained: dict[str, list[nn.Module]] = {name: [] for name in models}
    with tqdm(total=len(models) * len(seeds) * epochs, unit="epoch") as bar:
        for name, build in models.items():
            for seed in seeds:
                bar.set_description(f"{name}, seed {seed}")
                seed_everything(seed)
                model = build()
                history = fit(
                    model,
                    optimizer(model.parameters()),
                    train,
                    test,
                    epochs=epochs,
                    loss_fn=loss_fn,
                    progress=bar,
                )
                histories[name].append(history)
                trained[name].append(model)
    return histories, trained

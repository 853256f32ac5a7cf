import math
import random

import numpy as np
import pytest
import torch
from torch import nn

from normlab import training
from normlab.models import mlp
from normlab.training import (
    Batches,
    as_float,
    compare,
    evaluate,
    fit,
    full_or_quick,
    pick_device,
    predict,
    seed_everything,
)


@pytest.fixture
def frozen():
    """A network in training mode but for its BN layer."""
    model = mlp([2, 3, 2], nn.BatchNorm1d)
    model[0][1].eval()
    return model


@pytest.fixture
def points():
    """200 points in the plane; the class is the sign of the first coordinate."""
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > 0).long()


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.5)


def test_a_seed_repeats_the_numbers_of_python_numpy_and_torch():
    draws = []
    for _ in range(2):
        seed_everything(5)
        draws.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert draws[0] == draws[1]


@pytest.mark.parametrize("value, chosen", [("1", 2), ("0", 10), ("", 10), (None, 10)])
def test_less_is_done_only_where_the_environment_asks_for_it(monkeypatch, value, chosen):
    monkeypatch.delenv("NORMLAB_QUICK", raising=False)
    if value is not None:
        monkeypatch.setenv("NORMLAB_QUICK", value)
    assert full_or_quick(10, quick=2) == chosen


def test_a_seed_asks_cudnn_for_results_that_repeat(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    seed_everything(0)
    assert torch.backends.cudnn.deterministic


def test_an_unknown_choice_of_quick_is_an_error(monkeypatch):
    monkeypatch.setenv("NORMLAB_QUICK", "yes")
    with pytest.raises(ValueError, match="NORMLAB_QUICK=yes is unknown: set it to 1, or unset it"):
        full_or_quick(10, 2)


def test_batches_cover_every_sample_once_in_a_new_order_per_epoch():
    seed_everything(0)
    x = torch.arange(10).float()
    loader = Batches(x, x.long(), batch_size=4, shuffle=True)
    first, second = (torch.cat([batch for batch, _ in loader]) for _ in range(2))
    assert [len(batch) for batch, _ in loader] == [4, 4, 2] and len(loader) == 3
    assert first.tolist() != second.tolist()
    assert sorted(first.tolist()) == sorted(second.tolist()) == x.tolist()


def test_inputs_and_targets_stay_together_when_shuffled():
    x = torch.arange(100).float()
    for inputs, targets in Batches(x, x.long(), batch_size=7, shuffle=True):
        assert torch.equal(inputs.long(), targets)


def test_batches_refuse_inputs_and_targets_of_different_length():
    with pytest.raises(ValueError, match="3 inputs do not go with 2 targets"):
        Batches(torch.zeros(3), torch.zeros(2))


def test_images_become_float_between_minus_one_and_one():
    images = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2)
    assert as_float(images).flatten().tolist() == [-1.0, 1.0]
    assert as_float(images).dtype == torch.float32


def test_fit_learns_and_records_every_epoch(points):
    seed_everything(0)
    model = mlp([2, 8, 2], nn.BatchNorm1d)
    epochs = []
    data = Batches(*points, batch_size=20, shuffle=True)
    history = fit(model, sgd(model.parameters()), data, data, epochs=3, after_epoch=epochs.append)
    assert epochs == [1, 2, 3]
    for values in vars(history).values():
        assert len(values) == 3
    assert history.test_accuracy[-1] > 0.95 > history.train_accuracy[0]


def test_the_loss_of_an_epoch_is_the_average_over_samples():
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    x = torch.tensor([[1.0], [1.0], [4.0]])  # batches of two and of one
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    data = Batches(x, torch.zeros(3, 1), batch_size=2)
    history = fit(model, optimizer, data, epochs=1, loss_fn=nn.functional.mse_loss)
    assert history.train_loss == [pytest.approx((1 + 1 + 16) / 3)]
    assert math.isnan(history.train_accuracy[0])


def test_evaluation_uses_eval_mode_and_changes_nothing(points):
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(), nn.Linear(2, 2)).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    data = Batches(*points, batch_size=50)
    assert evaluate(model, data) == evaluate(model, data)
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_predictions_keep_the_order_of_the_data(points):
    model = nn.Linear(2, 2).eval()
    outputs = predict(model, Batches(*points, batch_size=33))
    assert torch.allclose(outputs, model(points[0]), atol=1e-6) and not outputs.requires_grad


def test_evaluating_on_nothing_is_an_error():
    with pytest.raises(ValueError, match="no batch"):
        evaluate(nn.Linear(2, 2), [])


def test_comparing_gives_every_model_the_same_seeds(points):
    data = Batches(*points, batch_size=50, shuffle=True)
    same = {"without BN": lambda: mlp([2, 4, 2]), "with BN": lambda: mlp([2, 4, 2])}
    histories, models = compare(same, sgd, data, data, seeds=[0, 1], epochs=2)
    a, b = histories["without BN"], histories["with BN"]
    assert [h.train_loss for h in a] == [h.train_loss for h in b]
    assert a[0].train_loss != a[1].train_loss
    assert [len(runs) for runs in models.values()] == [2, 2]


@pytest.mark.parametrize("use", [evaluate, predict])
def test_measuring_leaves_a_frozen_layer_frozen(use, frozen, points):
    modes = [module.training for module in frozen.modules()]
    use(frozen, Batches(*points))
    assert [module.training for module in frozen.modules()] == modes
    assert not all(modes) and any(modes)


@pytest.mark.parametrize("use", [evaluate, predict])
def test_measuring_that_fails_restores_the_modes_too(use, frozen, points):
    modes = [module.training for module in frozen.modules()]
    with pytest.raises(RuntimeError):
        use(frozen, Batches(points[0][:, :1], points[1]))
    assert [module.training for module in frozen.modules()] == modes


# --- devices: meta is a second device that every machine has, and from which nothing comes back ---


@pytest.fixture
def accelerator(monkeypatch):
    """A machine with a GPU called meta."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("meta"))


def test_a_machine_without_an_accelerator_computes_on_the_cpu(monkeypatch):
    def none_is_there():  # as torch 2.6
        raise RuntimeError("Cannot access accelerator device when none is available.")

    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", none_is_there)
    assert pick_device() == torch.device("cpu")
    with pytest.raises(ValueError, match=r"name one of \['cpu'\]"):
        pick_device("gpu")


def test_the_accelerator_computes_where_there_is_one(accelerator):
    assert pick_device(None, mlp([2, 2])) == torch.device("meta")


def test_a_model_on_a_device_stays_there(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    assert pick_device(None, mlp([2, 2]).to("meta")) == torch.device("meta")


def test_double_precision_stays_on_the_cpu_where_the_accelerator_has_none(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("mps"))
    assert pick_device(None, mlp([2, 2])).type == "mps"
    assert pick_device(None, mlp([2, 2]).double()).type == "cpu"


def test_the_device_that_is_named_is_used(accelerator):
    assert pick_device("cpu", mlp([2, 2])) == torch.device("cpu")


@pytest.mark.parametrize("device", ["gpu", "xla:7"])
def test_a_device_that_is_not_there_is_an_error(device):
    with pytest.raises(ValueError, match=f"device '{device}' cannot be used here.*'cpu'"):
        pick_device(device)


def test_batches_are_held_where_one_asks(points):
    inputs, targets = next(iter(Batches(*points, 8, shuffle=True, device="meta")))
    assert (inputs.device.type, targets.device.type) == ("meta", "meta")


def test_the_order_of_batches_is_that_of_the_cpu(points):
    seed_everything(0)
    expected = [x for x, _ in Batches(*points, 8, shuffle=True)]
    seed_everything(0)
    for (x, _), y in zip(Batches(*points, 8, shuffle=True).to("cpu"), expected, strict=True):
        assert torch.equal(x, y)


class Traveller(nn.Module):
    """Notes where it is sent and where its inputs come from, and stays on the CPU."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.journey = []

    def to(self, device):
        self.journey.append(device.type)
        return self

    def forward(self, x):
        self.journey.append(f"input on {x.device.type}")
        return self.layer(torch.ones(len(x), 2))


@pytest.mark.parametrize("kind", [lambda data: data, list], ids=["Batches", "any loader"])
def test_model_and_batches_meet_on_the_device(accelerator, points, kind):
    model = Traveller()
    outputs = predict(model, kind(Batches(*points, 100)))
    assert model.journey == ["meta", "input on meta", "input on meta", "cpu"]
    assert outputs.device.type == "cpu"


def test_a_model_comes_home_when_measuring_fails(accelerator):
    model = Traveller()
    with pytest.raises(TypeError):
        predict(model, None)
    assert model.journey == ["meta", "cpu"]


@pytest.mark.parametrize("away", [False, True])
def test_the_state_of_an_optimizer_follows_its_parameters(monkeypatch, points, away):
    model = mlp([2, 2])
    optimizer = torch.optim.Adam(model.parameters())
    fit(model, optimizer, Batches(*points), epochs=1, device="cpu")
    state = optimizer.state[model[0].weight]
    state["exp_avg"] = state["exp_avg"].to("meta" if away else "cpu")
    loaded = []
    monkeypatch.setattr(optimizer, "load_state_dict", loaded.append)
    training._follow(optimizer)
    assert len(loaded) == away  # loading moves what it loads, and knows the step count's place


def test_a_model_is_back_after_each_epoch(accelerator, monkeypatch, points):
    monkeypatch.setattr(training, "_train_epoch", lambda *_: (0.0, 0.0))
    model = Traveller()
    optimizer = sgd(model.parameters())
    note = lambda epoch: model.journey.append(epoch)  # noqa: E731
    fit(model, optimizer, Batches(*points), epochs=2, after_epoch=note)
    assert model.journey == ["meta", "cpu", 1, "meta", "cpu", 2]


def test_the_device_changes_nothing_but_the_place(points):
    histories = []
    for device in (None, "cpu"):
        runs, _ = compare(
            {"a": lambda: mlp([2, 4, 2])}, sgd, Batches(*points), seeds=[0], epochs=2, device=device
        )
        histories.append(runs["a"][0].train_loss)
    # An accelerator rounds otherwise; on the CPU the numbers are equal.
    assert histories[0] == pytest.approx(histories[1], rel=1e-4)


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_needs_a_sample(points, size):
    with pytest.raises(ValueError, match=f"batch_size={size}: a batch needs at least one sample"):
        Batches(*points, size)

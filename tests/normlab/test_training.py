import math
import random

import numpy as np
import pytest
import torch
from torch import nn

from normlab.models import mlp
from normlab.training import (
    Batches,
    as_float,
    compare,
    evaluate,
    fit,
    full_or_quick,
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

import math
import random
import re

import numpy as np
import pytest
import torch
from torch import nn
from tqdm import tqdm

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


@pytest.mark.parametrize("size", [0, -1, 1.5, "64", None, np.int64(0)])
def test_a_batch_needs_a_sample(points, size):
    with pytest.raises(
        ValueError, match=f"batch_size={re.escape(repr(size))}: pass a whole number"
    ):
        Batches(*points, size)


# --- layers that the caller froze ---------------------------------------------------------------


def test_training_leaves_a_frozen_layer_frozen(frozen, points):
    fit(frozen, sgd(frozen.parameters()), Batches(*points), Batches(*points), epochs=2)
    assert frozen[0][1].num_batches_tracked == 0 and not frozen[0][1].training
    assert frozen.training and frozen[0].training


def test_a_model_in_eval_mode_is_trained_in_training_mode(points):
    model = mlp([2, 3, 2], nn.BatchNorm1d).eval()
    fit(model, sgd(model.parameters()), Batches(*points, 100), epochs=2)
    assert model[0][1].num_batches_tracked == 4
    assert all(module.training for module in model.modules())


def test_what_follows_an_epoch_may_freeze_a_layer(points):
    model = mlp([2, 3, 2], nn.BatchNorm1d)
    freeze = lambda epoch: model[0][1].eval()  # noqa: E731
    fit(model, sgd(model.parameters()), Batches(*points, 100), epochs=3, after_epoch=freeze)
    assert model[0][1].num_batches_tracked == 2 and model.training


def test_what_follows_an_epoch_thaws_nothing_by_measuring_in_eval_mode(frozen, points):
    measure = lambda epoch: frozen.eval()  # noqa: E731
    fit(frozen, sgd(frozen.parameters()), Batches(*points), epochs=2, after_epoch=measure)
    assert frozen[0][1].num_batches_tracked == 0 and frozen.training


# --- mistakes are found before the first step ---------------------------------------------------


def generator(points):
    yield from Batches(*points)


def mistakes(points):
    """Arguments of fit with a mistake, and the words that say so."""
    inputs, targets = points
    none = Batches(inputs[:0], targets[:0])
    rest = Batches(inputs, targets, 500, drop_last=True)
    spent = iter([])
    good = Batches(*points)
    return {
        "generator": (
            (generator(points),),
            2,
            "train is a generator, .* once, not 2 times: pass a",
        ),
        "map": ((map(tuple, good),), 2, "train is a map, which can be passed over once"),
        "test": ((good, generator(points)), 2, "test is a generator, which can be passed over"),
        "empty list": (([],), 1, "train holds no batch: it is empty"),
        "no samples": ((none,), 1, "train holds no batch"),
        "no full batch": ((rest,), 1, "train holds no batch: .* smaller than a full batch"),
        "spent": ((spent,), 1, "train holds no batch"),
        "spent generator": ((x for x in ()), 1, "yielded no batch: it is empty, or it was passed"),
        "empty test": ((good, []), 1, "test holds no batch"),
    }


@pytest.mark.parametrize("mistake", mistakes((torch.zeros(4, 2), torch.zeros(4).long())))
def test_data_that_yield_too_little_are_refused_before_the_first_step(points, mistake):
    data, epochs, message = mistakes(points)[mistake]
    data = data if isinstance(data, tuple) else (data,)
    model = mlp([2, 2])
    before = model[0].weight.clone()
    with pytest.raises(ValueError, match=message):
        fit(model, sgd(model.parameters()), *data, epochs=epochs)
    assert torch.equal(model[0].weight, before)


def test_one_pass_over_a_generator_is_fine(points):
    model = mlp([2, 2])
    data = generator(points), generator(points)
    assert len(fit(model, sgd(model.parameters()), *data, epochs=1).test_loss) == 1


def test_a_generator_cannot_serve_two_runs(points):
    with pytest.raises(ValueError, match="train is a generator, .* not 2 times"):
        compare({"a": lambda: mlp([2, 2])}, sgd, generator(points), seeds=[0, 1], epochs=1)


def test_predicting_on_nothing_is_an_error():
    with pytest.raises(ValueError, match="yielded no batch"):
        predict(nn.Linear(2, 2), [])


def test_an_optimizer_of_another_model_is_refused(points):
    model = mlp([2, 2])
    with pytest.raises(
        ValueError, match=r"the SGD holds no parameter of the model.*parameters\(\)"
    ):
        fit(model, sgd(mlp([2, 2]).parameters()), Batches(*points), epochs=1)


def test_an_optimizer_of_a_part_trains_that_part(points):
    model = mlp([2, 3, 2])
    body, head = model[0][0].weight.clone(), model[1].weight.clone()
    fit(model, sgd(model[1].parameters()), Batches(*points), epochs=1)
    assert torch.equal(model[0][0].weight, body) and not torch.equal(model[1].weight, head)


def mean_square(outputs, targets):
    return ((outputs - targets) ** 2).mean()


@pytest.mark.parametrize("loss_fn", [mean_square, nn.functional.mse_loss, nn.functional.l1_loss])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_outputs_that_would_be_compared_with_every_target_are_refused(loss_fn, dtype):
    model = nn.Linear(2, 1)
    nn.init.zeros_(model.weight)  # so that all outputs are equal
    before = model.bias.clone()
    data = Batches(torch.randn(8, 2), torch.arange(8).to(dtype))
    message = r"outputs \[8, 1\] and targets \[8\] .* as \[8, 8\]: .* targets\.view_as\(outputs\)"
    with pytest.raises(ValueError, match=message):
        fit(model, sgd(model.parameters()), data, epochs=1, loss_fn=loss_fn)
    assert torch.equal(model.bias, before)
    with pytest.raises(ValueError, match=message):
        evaluate(model, data, loss_fn)


@pytest.mark.parametrize(
    ("outputs", "targets", "loss_fn"),
    [
        ([8, 8], torch.arange(8), nn.functional.cross_entropy),
        ([8, 1], torch.zeros(8).long(), nn.functional.cross_entropy),
        ([8, 8, 3], torch.arange(24).view(8, 3) % 8, nn.functional.cross_entropy),
        ([8, 1], torch.randn(8), lambda o, t: mean_square(o.squeeze(1), t)),
        ([8, 1], torch.randn(8), lambda o, t: mean_square(o.view_as(t), t)),
        ([8, 2], torch.randn(8, 1), lambda o, t: mean_square(o[:, :1], t) / o[:, 1].exp().mean()),
        ([1, 1], torch.randn(1), mean_square),
        ([8], torch.randn(1, 8), mean_square),
    ],
)
def test_losses_that_know_their_shapes_are_left_alone(outputs, targets, loss_fn):
    training._check_shapes(loss_fn, torch.zeros(outputs), targets)


# --- what was measured survives -----------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("when", ["training", "testing", "after the epoch"])
def test_an_interrupt_keeps_the_epochs_before_it(points, error, when):
    model, data, passes = mlp([2, 2]), Batches(*points), []

    def fail(where):
        passes.append(where)
        if where == when and passes.count(where) == 3:
            raise error("now")

    class Failing(list):
        def __iter__(self):
            fail("training" if model.training else "testing")
            return super().__iter__()

    data = Failing(data)
    with pytest.raises(error, match="now") as caught:
        options = {"epochs": 5, "after_epoch": lambda _: fail("after the epoch")}
        fit(model, sgd(model.parameters()), data, data, **options)
    done = 3 if when == "after the epoch" else 2
    assert [len(values) for values in vars(caught.value.history).values()] == [done] * 5
    assert "error.history" in caught.value.__notes__[0] and model.training


def test_an_interrupted_comparison_keeps_the_runs_before_it(points):
    builds = []

    def build():
        builds.append(mlp([2, 2]))
        if len(builds) == 4:
            raise KeyboardInterrupt
        return builds[-1]

    with pytest.raises(KeyboardInterrupt) as caught:
        compare({"a": build, "b": build}, sgd, Batches(*points), seeds=[0, 1], epochs=1)
    histories, models = caught.value.results
    assert [len(runs) for runs in histories.values()] == [2, 1]
    assert models == {"a": builds[:2], "b": builds[2:3]}


def test_an_interrupt_brings_model_and_optimizer_home_and_closes_the_bar(
    accelerator, monkeypatch, points
):
    def interrupt(*_):
        raise KeyboardInterrupt

    followed, bars = [], []
    monkeypatch.setattr(training, "_train_epoch", interrupt)
    monkeypatch.setattr(training, "_follow", lambda _: followed.append(model.journey[-1:]))
    monkeypatch.setattr(training, "tqdm", lambda **o: bars.append(tqdm(**o)) or bars[-1])
    model = Traveller()
    with pytest.raises(KeyboardInterrupt):
        fit(model, sgd(model.parameters()), Batches(*points), epochs=1)
    assert followed == [["meta"], ["cpu"]] and bars[0].disable


def test_a_model_comes_home_when_it_does_not_fit_on_the_device(accelerator, monkeypatch):
    model = Traveller()
    travel = model.to

    def to(device):
        travel(device)
        if device.type == "meta":
            raise RuntimeError("out of memory, half way")

    monkeypatch.setattr(model, "to", to)
    with pytest.raises(RuntimeError, match="half way"):
        predict(model, [])
    assert model.journey == ["meta", "cpu"]


# --- Batches ------------------------------------------------------------------------------------


def test_the_rest_can_be_dropped(points):
    batches = Batches(*points, 60, shuffle=True, drop_last=True)
    for data in (batches, batches.to("cpu")):
        assert [len(x) for x, _ in data] == [60, 60, 60] and len(data) == 3


def test_batches_of_nothing_are_none(points):
    assert list(Batches(points[0][:0], points[1][:0])) == []


def test_a_kind_of_batches_stays_its_kind_on_another_device(points):
    class Doubled(Batches):
        def __iter__(self):
            yield from ((2 * x, y) for x, y in super().__iter__())

    outputs = predict(nn.Identity(), Doubled(*points))
    assert torch.equal(outputs, 2 * points[0])

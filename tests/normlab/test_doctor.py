"""Healthy models give no finding, and each planted fault gives its own."""

import copy
import functools
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from normlab import layers
from normlab.doctor import examine
from normlab.models import LeNet5, ResNet, Transformer, mlp
from normlab.training import fit

SOURCES = pytest.mark.parametrize("source", [nn, layers], ids=["torch", "normlab"])
IMAGES = torch.randn(64, 3, 16, 16, generator=torch.Generator().manual_seed(0))
POINTS = IMAGES[:, :, 0, 0].contiguous()
LABELS = (POINTS[:, 0] > 0).long()
TOKENS = (IMAGES[:, 0].flatten(1)[:, :8] > 0).long()

# name: what makes the model from a module with layers, and its batch
MODELS = {
    "mlp": (lambda of: mlp([3, 8, 8, 2], of.BatchNorm1d), POINTS),
    "mlp LN": (lambda of: mlp([3, 8, 8, 2], of.LayerNorm, nn.Tanh), POINTS),
    "mlp RMS": (lambda of: mlp([3, 8, 8, 2], of.RMSNorm), POINTS),
    "mlp GN": (lambda of: mlp([3, 8, 8, 2], functools.partial(of.GroupNorm, 2)), POINTS),
    "mlp bare": (lambda of: mlp([3, 8, 8, 2]), POINTS),
    "LeNet5": (lambda of: LeNet5(of.BatchNorm2d, of.BatchNorm1d, fig_size=16), IMAGES),
    "LeNet5 IN": (lambda of: LeNet5(of.InstanceNorm2d, of.LayerNorm, fig_size=16), IMAGES),
    "LeNet5 IN tracking": (
        lambda of: LeNet5(tracking(of.InstanceNorm2d), of.BatchNorm1d, fig_size=16),
        IMAGES,
    ),
    "ResNet": (lambda of: ResNet(8, of.BatchNorm2d, widths=(4, 8, 8)), IMAGES),
    "ResNet GN": (
        lambda of: ResNet(8, functools.partial(of.GroupNorm, 4), widths=(4, 8, 8)),
        IMAGES,
    ),
    "ResNet zero": (
        lambda of: ResNet(8, of.BatchNorm2d, widths=(4, 8, 8), zero_init_residual=True),
        IMAGES,
    ),
    "ResNet pre": (
        lambda of: ResNet(8, of.BatchNorm2d, widths=(4, 8, 8), preactivate=True, scale=0.0),
        IMAGES,
    ),
    "Transformer": (
        lambda of: Transformer(2, of.LayerNorm, width=16, context=8, qk_norm=of.RMSNorm),
        TOKENS,
    ),
    "Transformer post": (
        lambda of: Transformer(2, of.RMSNorm, "post", width=16, context=8),
        TOKENS,
    ),
}
MODEL = pytest.mark.parametrize("name", MODELS)


def tracking(kind):
    return functools.partial(kind, track_running_stats=True)


def kinds(model, *batches, **options):
    return {finding.kind for finding in examine(model, *batches, **options)}


@functools.cache
def trained(name, source):
    """A model of the course after 48 small steps, in training mode."""
    build, batch = MODELS[name]
    torch.manual_seed(0)
    model = build(source)
    steps = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    targets = LABELS
    classifier = model
    if batch is TOKENS:
        classifier, targets = nn.Sequential(model, nn.Flatten(0, 1)), TOKENS
    batches = [(x, t.flatten()) for x, t in zip(batch.split(16), targets.split(16), strict=True)]
    fit(classifier, steps, batches, epochs=12, device="cpu")
    return model


def model_of(name, source):
    return copy.deepcopy(trained(name, source))


@MODEL
@SOURCES
def test_a_fresh_model_has_no_fault(name, source):
    build, batch = MODELS[name]
    torch.manual_seed(1)
    model = build(source)
    assert examine(model) == examine(model, batch) == []


@MODEL
@SOURCES
def test_a_trained_model_has_no_fault(name, source):
    model, batch = model_of(name, source), MODELS[name][1]
    plain = torch.optim.SGD(model.parameters(), lr=0.1)
    assert examine(model, batch, batch[:32], optimizer=plain) == []
    assert examine(model.eval(), batch) == []
    assert examine(model, batch[:1]) == []  # served one by one


def change(path, **values):
    """Return what sets attributes of a layer."""

    def plant(model):
        for key, value in values.items():
            setattr(model.get_submodule(path), key, value)

    return plant


def fill(path, name, value, channels=slice(None)):
    def plant(model):
        with torch.no_grad():
            getattr(model.get_submodule(path), name)[channels] = value

    return plant


def frozen(model):
    model.layers[0][1].requires_grad_(False)


def reset(model):
    model.eval().layers[0][1].reset_running_stats()


def shifted(model):
    layer = model.eval().layers[0][1]
    layer.running_mean += 3 * layer.running_var.sqrt()


def stretched(model):
    model.eval().layers[3][1].running_var *= 16


FIRST, LATER, LAST = "layers.0.1", "layers.3.1", "layers.4.1"
FAULTS = {
    "not-finite": [
        fill(FIRST, "running_var", torch.inf, 0),
        fill(LATER, "bias", torch.nan, 1),
        fill("layers.0.0", "weight", torch.nan, 0),
    ],
    "momentum-zero": [change(FIRST, momentum=0.0)],
    "momentum-none": [change(LATER, momentum=None)],
    "never-updated": [reset],
    "statistics-differ": [shifted, stretched],
    "frozen-moving": [frozen],
    "small-gamma": [fill(LAST, "weight", 1e-5, slice(0, 84, 3))],
}


@pytest.mark.parametrize(
    ("kind", "plant"), [(kind, plant) for kind in FAULTS for plant in FAULTS[kind]]
)
@SOURCES
def test_each_planted_fault_gives_its_own_finding(kind, plant, source):
    model = model_of("LeNet5", source)
    plant(model)
    [finding] = examine(model, IMAGES)
    assert finding.kind == kind
    assert finding.layer in (FIRST, LATER, LAST, "layers.0.0")
    assert str(finding).startswith(f"{finding.layer} [{kind}] ")


@SOURCES
def test_other_data_differ_in_the_layer_that_meets_them(source):
    model = model_of("LeNet5", source)
    [finding] = examine(model.eval(), 127.5 * (IMAGES + 1))  # bytes
    assert (finding.layer, finding.kind) == (FIRST, "statistics-differ")


@SOURCES
def test_a_batch_with_inf_is_named(source):
    images = IMAGES.clone()
    images[0, 0, 0, 0] = torch.inf
    [finding] = examine(model_of("LeNet5", source), IMAGES, images)
    assert (finding.layer, finding.kind) == ("", "not-finite")


@SOURCES
def test_one_value_for_a_mean_is_a_fault_where_the_batch_normalizes(source):
    model = model_of("mlp", source)
    assert {f.layer for f in examine(model, POINTS[:1])} == {"0.1", "1.1"}
    assert kinds(model, POINTS[:1]) == {"one-value"}
    assert examine(model.eval(), POINTS[:1]) == []
    for norm in (source.GroupNorm(3, 3), source.LayerNorm(1), source.InstanceNorm2d(3)):
        x = IMAGES[..., :1, :1]
        assert kinds(nn.Sequential(norm), x) == {"one-value"}


@SOURCES
def test_dropout_counts_where_it_reaches_a_norm(source):
    def net(*names):
        parts = {"L": lambda: nn.Linear(16, 16), "B": lambda: source.BatchNorm1d(16)}
        parts |= {"D": lambda: nn.Dropout(0.5), "R": nn.ReLU, "N": lambda: source.LayerNorm(16)}
        return nn.Sequential(*[parts[name]() for name in names])

    x = IMAGES[:, 0, 0]
    assert kinds(net(*"LBRDL"), x) == kinds(net(*"LDNRL"), x) == set()
    assert kinds(net(*"LDBRL"), x) == kinds(net(*"LRDLB"), x) == {"dropout-before-norm"}


@SOURCES
def test_decayed_parameters_of_norms_are_found_through_the_optimizer(source):
    model = model_of("LeNet5", source)
    [*findings] = examine(model, IMAGES, optimizer=torch.optim.AdamW(model.parameters()))
    assert [f.kind for f in findings] == ["decayed"] * 4
    norms = [p for n, p in model.named_parameters() if n.split(".")[2] == "1"]
    others = [p for n, p in model.named_parameters() if n.split(".")[2] != "1"]
    groups = [{"params": norms, "weight_decay": 0.0}, {"params": others}]
    assert examine(model, optimizer=torch.optim.AdamW(groups)) == []


class Functional(nn.Module):
    """A convolution, what stands between, and a norm, called by hand."""

    def __init__(self, norm, between):
        super().__init__()
        self.conv, self.norm, self.between = nn.Conv2d(3, 4, 3), norm, between

    def forward(self, x, scale=1.0):
        return self.norm(self.between(self.conv(x))) * scale


@SOURCES
def test_a_bias_is_dead_only_directly_before_a_norm_of_channels(source):
    def dead(norm, between):
        findings = examine(Functional(norm, between), IMAGES, waste=True)
        assert {(f.layer, f.kind) for f in findings} <= {("conv", "dead-bias")}
        return bool(findings)

    assert dead(source.BatchNorm2d(4), lambda x: x)
    assert dead(source.BatchNorm1d(4), lambda x: x.flatten(2))
    assert dead(source.InstanceNorm2d(4), lambda x: x)
    assert not dead(source.BatchNorm2d(4), F.relu)
    assert not dead(source.BatchNorm2d(4), F.relu_)
    assert not dead(source.BatchNorm2d(2), lambda x: x.reshape(64, 2, 28, 14))
    assert not dead(source.BatchNorm2d(2), lambda x: x.chunk(2, 1)[0])
    assert not dead(source.LayerNorm(14), lambda x: x)


@SOURCES
def test_the_biases_of_the_course_that_do_nothing_are_found_on_request(source):
    model = model_of("LeNet5", source)
    expected = [f"layers.{i}.0" for i in (0, 1, 3, 4)]
    assert [f.layer for f in examine(model, IMAGES, waste=True)] == expected


def test_arguments_come_as_a_tuple_or_by_name():
    model = Functional(nn.BatchNorm2d(4), F.relu)
    assert examine(model, (IMAGES, 2.0), {"x": IMAGES, "scale": 3.0}) == []


def test_a_wrong_call_says_what_was_called():
    with pytest.raises(TypeError) as caught:
        examine(nn.Sequential(nn.BatchNorm2d(3)), (IMAGES, LABELS))
    assert "without targets" in caught.value.__notes__[0]


def test_a_synchronized_norm_is_one_too():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SyncBatchNorm(4, momentum=0.0))
    assert kinds(model, IMAGES) == {"momentum-zero"}


@SOURCES
def test_an_instance_norm_without_momentum_never_moves(source):
    model = nn.Sequential(source.InstanceNorm2d(3, track_running_stats=True, momentum=None))
    assert kinds(model, IMAGES) == {"momentum-zero"}


def test_a_shared_layer_is_named_once():
    norm = nn.BatchNorm2d(3, momentum=0.0)
    assert [f.layer for f in examine(nn.Sequential(norm, norm), IMAGES)] == ["0"]


@SOURCES
@pytest.mark.parametrize("mode", [True, False])
def test_the_model_is_as_before(source, mode):
    model = model_of("LeNet5", source)
    model.layers.append(nn.Dropout(0.5))
    model.train(mode).layers[1][1].eval()
    model(IMAGES).sum().backward()
    pending = model(IMAGES).sum()
    before = copy.deepcopy(dict(model.state_dict()))
    versions = {name: t._version for name, t in model.state_dict().items()}
    gradients = [p.grad.clone() for p in model.parameters()]
    asks = [p.requires_grad for p in model.parameters()]
    modes = [m.training for m in model.modules()]
    states = torch.get_rng_state(), random.getstate()
    examine(model, IMAGES, IMAGES[:1])
    with pytest.raises(RuntimeError, match="channels"):
        examine(model, IMAGES, IMAGES[:, :2])
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert versions == {name: t._version for name, t in model.state_dict().items()}
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients, strict=True))
    assert [p.requires_grad for p in model.parameters()] == asks
    assert [m.training for m in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[1]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    pending.backward()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), channels=st.integers(1, 64), samples=st.integers(64, 80),
       scale=st.floats(0.01, 100), tails=st.booleans())  # fmt: skip
def test_noise_does_not_differ_from_noise(seed, channels, samples, scale, tails):
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(8 * 64 + samples, channels, generator=generator) * scale
    draw = F.relu(draw) if tails else draw
    norm = nn.BatchNorm1d(channels, momentum=None)  # the plain average
    for batch in draw[samples:].split(64):
        norm(batch)
    norm.momentum = 0.1
    assert examine(norm.eval(), draw[:samples]) == []


@pytest.mark.parametrize(
    ("model", "batch", "error", "message"),
    [
        (nn.Sequential(nn.LazyBatchNorm1d()), POINTS, ValueError, "'0' has no parameters yet"),
        (nn.BatchNorm1d(3, device="meta"), POINTS, ValueError, "on meta"),
        (nn.BatchNorm1d(3), POINTS.to("meta"), ValueError, "batch 0 is on meta, the model on cpu"),
        ("model", POINTS, TypeError, "model is a str"),
        (torch.jit.trace(nn.BatchNorm1d(3), POINTS), POINTS, TypeError, "TopLevelTracedModule"),
    ],
)
def test_what_cannot_be_examined_is_refused(model, batch, error, message):
    with pytest.raises(error, match=message):
        examine(model, batch)


def test_an_optimizer_of_another_model_is_refused():
    other = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)
    with pytest.raises(ValueError, match="the SGD holds no parameter of the model"):
        examine(nn.BatchNorm1d(3), optimizer=other)

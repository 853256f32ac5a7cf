"""Every layer against the torch.nn class of the same name, in all modes."""

import copy
import inspect
import io
import pickle
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from normlab import layers
from tests.normlab.older_torch import skip_on_older_torch
from tests.normlab.pairs import (
    DOUBLE,
    HALF,
    IMAGES,
    KINDS,
    OPTIONS,
    SINGLE,
    TOLERANCE,
    TRACKING,
    assert_same,
    assert_same_step,
    build,
    make_pair,
    step,
    torch_has_bias,
    torch_widens,
)

# The same examples in every run: a failure must be there for the next person too.
examples = settings(deadline=None, derandomize=True, max_examples=100)


def arrange(x: torch.Tensor, layout: str) -> torch.Tensor:
    """Return `x` in another arrangement in memory."""
    if layout == "channels_last" and x.dim() > 2:
        return x.movedim(1, -1).contiguous().movedim(-1, 1)
    if layout == "every second" and x.dim() > 0:
        return torch.stack([x, -x], -1).flatten(-2)[..., ::2]
    if layout == "reversed":
        return x.permute(*reversed(range(x.dim()))).contiguous().permute(*reversed(range(x.dim())))
    return x


def refuses(call) -> bool:
    try:
        call()
    except ValueError:
        return True
    return False


def assert_same_step_or_error(pair, x, dy, tolerance: float, match: str) -> None:
    """Compare one step of both layers; where torch's raises, ours must raise the same type."""
    try:
        theirs = step(pair[1], x, dy)
    except Exception as error:
        with pytest.raises(type(error), match=match):
            pair[0](x)
    else:
        assert_same(step(pair[0], x, dy), theirs, tolerance)


def assert_exact_half_step(pair, x, dy, tolerance: float) -> None:
    """Compare our step in half precision with float64, and its dtypes with torch's.

    Not its values: without float32 parameters torch keeps the statistics in half precision, and
    where the values of a group lie close together its gradients are off by more than their size.
    """
    exact = copy.deepcopy(pair[1]).double()
    exact.load_state_dict(pair[0].state_dict())
    ours, theirs = (step(layer, x, dy) for layer in pair)
    assert {k: v.dtype for k, v in ours.items()} == {k: v.dtype for k, v in theirs.items()}
    truth = step(exact, x.double(), dy.double())
    wide = {k: v.double() if v.is_floating_point() else v for k, v in ours.items()}
    assert_same(wide, truth, tolerance)


def test_every_layer_has_a_row():
    public = {k for k, v in vars(layers).items() if isinstance(v, type) and k[0] != "_"}
    assert {name for name in public if vars(layers)[name].__module__ == layers.__name__} == {*KINDS}


@st.composite
def settings_of(draw, name: str):
    """Constructor arguments of a layer."""
    options = {"eps": draw(st.sampled_from([1e-5, 1e-3, 0.1]))}
    options |= {key: draw(st.booleans()) for key in ("affine", "bias", "track")}
    if "momentum" in OPTIONS[name]:
        options["momentum"] = draw(st.sampled_from([0.1, None, 0, 0.0, 1, 0.5]))
    return options


@pytest.mark.parametrize("name", KINDS)
@examples
@given(st.data())
def test_training_then_evaluating_gives_what_torch_gives(name, data):
    dtypes = data.draw(st.sampled_from(list(TOLERANCE)))
    options = data.draw(settings_of(name))
    shape = data.draw(st.sampled_from(KINDS[name][1]))
    layout = data.draw(st.sampled_from(["as is", "channels_last", "every second", "reversed"]))
    modes = data.draw(st.lists(st.booleans(), min_size=1, max_size=3)) + [False]
    seed = data.draw(st.integers(0, 2**20))
    pair = make_pair(name, dtype=dtypes[1], seed=seed, **options)
    if dtypes == (HALF, SINGLE) and torch_widens(name):
        skip_on_older_torch(f"returns float32 from {name} of bfloat16")
    for training in modes:
        x, dy = torch.randn(2, *shape)
        x = arrange((2 * x + 0.5).to(dtypes[0]), layout)
        dy = arrange(dy.to(dtypes[0]), layout)
        for layer in pair:
            layer.train(training)
        compare = assert_exact_half_step if HALF in dtypes else assert_same_step
        compare(pair, x, dy, TOLERANCE[dtypes])


@pytest.mark.parametrize("name", TRACKING)
@examples
@given(st.data())
def test_switching_tracking_later_does_what_torch_does(name, data):
    first, later, training = (data.draw(st.booleans()) for _ in range(3))
    pair = make_pair(name, dtype=DOUBLE, track=first)
    shape = data.draw(st.sampled_from(KINDS[name][1]))
    x, dy = torch.randn(2, *shape, dtype=DOUBLE)
    assert_same_step(pair, x, dy, 1e-10)
    for layer in pair:
        layer.track_running_stats = later
        layer.train(training)
    # Instance norm can be told to use statistics that it never had.
    assert_same_step_or_error(pair, x, dy, 1e-10, match="running_mean")


@pytest.mark.parametrize("module", [layers, nn])
def test_a_batch_that_is_not_tracked_cannot_spoil_the_statistics(module):
    layer = trained(module, "BatchNorm1d")
    before = layer.running_mean.clone(), layer.running_var.clone()
    layer.track_running_stats = False
    layer(torch.full((5, 4), torch.nan))  # 0 times NaN would be NaN
    assert torch.equal(layer.running_mean, before[0])
    assert torch.equal(layer.running_var, before[1])


@pytest.mark.parametrize("name", TRACKING)
def test_without_buffers_evaluation_uses_the_batch(name):
    pair = make_pair(name)
    x, dy = torch.randn(2, *KINDS[name][1][0])
    for layer in pair:
        layer.running_mean = layer.running_var = None
        layer.eval()
    assert_same_step(pair, x, dy, 1e-4)


@pytest.mark.parametrize("momentum", [None, 0.1])
def test_batches_are_counted_by_batch_norm_alone(momentum):
    batch, instance = layers.BatchNorm1d(4), layers.InstanceNorm1d(4, track_running_stats=True)
    for layer in (batch, instance):
        layer.momentum = momentum
        for _ in range(3):
            layer(torch.randn(2, 4, 6))
        layer.eval()(torch.randn(2, 4, 6))
    assert batch.num_batches_tracked == 3
    assert instance.num_batches_tracked == 0  # in torch.nn too


def test_momentum_none_averages_all_batches():
    layer = layers.BatchNorm1d(4, momentum=None)
    batches = torch.randn(7, 5, 4)
    for batch in batches:
        layer(batch)
    assert_close(layer.running_mean, batches.mean((0, 1)))
    assert_close(layer.running_var, batches.var(1).mean(0))


def test_a_gradient_that_is_one_number_in_memory_is_enough():
    x = torch.randn(3, 4, 2, 3)
    ours, theirs = make_pair("BatchNorm2d")
    grads = []
    for layer in (ours, theirs):
        leaf = x.clone().requires_grad_()
        (layer(leaf) * 2).sum().backward()  # dy is expanded, all strides 0
        grads.append((leaf.grad, layer.weight.grad, layer.bias.grad))
    for g, h in zip(*grads, strict=True):
        assert_close(g, h, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name, shape", IMAGES)
def test_channels_last_input_gives_channels_last_output(name, shape):
    x = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    assert make_pair(name)[0](x).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", KINDS)
def test_an_empty_batch_passes_through(name, training):
    pair = make_pair(name)
    for layer in pair:
        layer.train(training)
    x = torch.randn(0, *KINDS[name][1][0][1:])
    assert_same_step(pair, x, x, 0.0)


@pytest.mark.parametrize("training", [True, False])
def test_an_empty_batch_is_counted_and_changes_no_statistic(training):
    layer = layers.BatchNorm1d(4).train(training)
    layer(torch.randn(0, 4))
    assert layer.num_batches_tracked == int(training)
    assert torch.equal(layer.running_var, torch.ones(4))


# --- state ---

tracked = pytest.mark.parametrize("track", [True, False])
with_affine = pytest.mark.parametrize("affine, bias", [(True, True), (True, False), (False, True)])


def trained(module, name, affine=True, bias=True, track=True):
    """Return a layer of ours or torch's whose state is no longer that of a fresh one."""
    layer = build(module, name, affine, bias, track)
    layer(torch.randn(KINDS[name][1][0]))
    with torch.no_grad():
        for p in layer.parameters():
            p.normal_()
    return layer


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("source, target", [(layers, nn), (nn, layers)])
@with_affine
@tracked
def test_either_library_loads_the_state_of_the_other(name, source, target, affine, bias, track):
    state = trained(source, name, affine, bias, track).state_dict()
    loaded = trained(target, name, affine, bias, track)
    loaded.load_state_dict(state)
    assert list(loaded.state_dict()) == list(state)
    for key, value in loaded.state_dict().items():
        assert torch.equal(value, state[key]) and value.dtype == state[key].dtype
    assert loaded.state_dict()._metadata == state._metadata


@pytest.mark.parametrize("name", TRACKING)
@pytest.mark.parametrize("metadata", [{"version": 1}, {}, None])
def test_a_state_from_before_batches_were_counted_loads(name, metadata):
    states = [trained(module, name).state_dict() for module in (layers, nn)]
    for state, module in zip(states, (layers, nn), strict=True):
        del state["num_batches_tracked"]
        state._metadata = {"": metadata or {}}
        if metadata is None:
            del state._metadata
        layer = trained(module, name)
        count = layer.num_batches_tracked.clone()
        layer.load_state_dict(state)
        assert torch.equal(layer.running_mean, state["running_mean"])
        assert layer.num_batches_tracked == count


def test_a_new_state_without_a_count_is_refused():
    state = layers.BatchNorm1d(4).state_dict()
    del state["num_batches_tracked"]
    with pytest.raises(RuntimeError, match="num_batches_tracked"):
        layers.BatchNorm1d(4).load_state_dict(state)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("copied", ["deepcopy", "pickle", "torch.save"])
def test_a_copy_has_the_state_and_the_behaviour_but_not_the_memory(name, copied):
    layer = trained(layers, name)
    if copied == "deepcopy":
        other = copy.deepcopy(layer)
    elif copied == "pickle":
        other = pickle.loads(pickle.dumps(layer))
    else:
        file = io.BytesIO()
        torch.save(layer, file)
        file.seek(0)
        other = torch.load(file, weights_only=False)
    x = torch.randn(KINDS[name][1][0])
    assert torch.equal(other.eval()(x), layer.eval()(x))
    with torch.no_grad():
        layer.weight.add_(1)
    assert not torch.equal(other.weight, layer.weight)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("dtype", [DOUBLE, HALF, torch.float16])
def test_to_dtype_converts_what_torch_converts(name, dtype):
    ours, theirs = (trained(module, name).to(dtype).state_dict() for module in (layers, nn))
    assert {k: v.dtype for k, v in ours.items()} == {k: v.dtype for k, v in theirs.items()}


@pytest.mark.parametrize("name", KINDS)
def test_a_layer_on_the_meta_device_has_shapes_only(name):
    layer = build(layers, name, device="meta")
    assert all(t.is_meta for t in layer.state_dict().values())


@pytest.mark.parametrize("name", KINDS)
def test_resetting_restores_a_fresh_layer(name):
    layer = trained(layers, name)
    layer.reset_parameters()
    fresh = build(nn, name, affine=True, track=True)
    for key, value in fresh.state_dict().items():
        assert torch.equal(layer.state_dict()[key], value)


def test_resetting_the_statistics_keeps_gamma_and_beta():
    layer = trained(layers, "BatchNorm1d")
    weight = layer.weight.clone()
    layer.reset_running_stats()
    assert torch.equal(layer.weight, weight)
    assert layer.num_batches_tracked == 0 and torch.equal(layer.running_var, torch.ones(4))


# --- the look of torch.nn ---


@pytest.mark.parametrize("name", KINDS)
def test_the_constructor_takes_the_arguments_of_torch(name):
    if "bias" in OPTIONS[name] and not torch_has_bias(name):
        skip_on_older_torch(f"has no keyword bias of {name}")

    def parameters(module):
        signature = inspect.signature(getattr(module, name))
        return [(p.name, p.kind, p.default) for p in signature.parameters.values()]

    assert parameters(layers) == parameters(nn)


@pytest.mark.parametrize("name", KINDS)
@with_affine
@tracked
def test_the_printed_layer_is_that_of_torch(name, affine, bias, track):
    ours, theirs = (repr(trained(module, name, affine, bias, track)) for module in (layers, nn))
    if "bias" in OPTIONS[name] and "bias=" not in theirs:
        skip_on_older_torch(f"prints no bias of {name}")
    assert ours == theirs


@pytest.mark.parametrize("name", KINDS)
def test_a_fresh_layer_has_the_attributes_and_the_state_of_torch(name):
    ours, theirs = (build(module, name) for module in (layers, nn))
    for key, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value)
    public = {k: v for k, v in vars(theirs).items() if not k.startswith("_")}
    assert {k: getattr(ours, k) for k in public} == public


# --- derivatives, modes of autograd ---


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
@pytest.mark.parametrize("name", KINDS)
def test_derivatives_agree_with_finite_differences(name, check, training):
    layer = trained(layers, name).to(DOUBLE).train(training)
    x = torch.randn(KINDS[name][1][0], dtype=DOUBLE, requires_grad=True)
    names, params = zip(*layer.named_parameters(), strict=True)

    def forward(x, *params):
        return torch.func.functional_call(layer, dict(zip(names, params, strict=True)), (x,))

    assert check(forward, (x, *params))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", KINDS)
def test_without_gradients_the_output_and_the_state_are_the_same(name, training, mode):
    plain, pair = trained(layers, name).train(training), []
    x = torch.randn(KINDS[name][1][0])
    for context in (torch.enable_grad, mode):
        layer = copy.deepcopy(plain)
        with context():
            y = layer(x)
        pair.append((y, layer.state_dict()))
    (with_grad, state), (without, other) = pair
    assert torch.equal(with_grad, without) and not without.requires_grad
    assert all(torch.equal(state[key], other[key]) for key in state)


@pytest.mark.parametrize("name", KINDS)
def test_only_the_input_may_need_gradients(name):
    ours, theirs = make_pair(name)
    x, dy = torch.randn(2, *KINDS[name][1][0])
    for layer in (ours, theirs):
        layer.requires_grad_(False)
    grads = []
    for layer in (ours, theirs):
        leaf = x.clone().requires_grad_()
        layer(leaf).backward(dy)
        grads.append(leaf.grad)
    assert_close(*grads, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", KINDS)
def test_only_the_parameters_may_need_gradients(name):
    pair = make_pair(name, affine=True)
    x, dy = torch.randn(2, *KINDS[name][1][0])
    for layer in pair:
        layer(x).backward(dy)
    for ours, theirs in zip(pair[0].parameters(), pair[1].parameters(), strict=True):
        assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", KINDS)
def test_autocast_gives_the_dtype_and_the_values_that_torch_gives(name, training):
    if torch_widens(name):
        skip_on_older_torch(f"returns float32 from {name} of bfloat16")
    pair = make_pair(name)
    x = torch.randn(KINDS[name][1][0]).to(HALF)
    with torch.autocast("cpu", dtype=HALF):
        ours, theirs = (layer.train(training)(x) for layer in pair)
    assert ours.dtype == theirs.dtype
    assert_close(ours, theirs, rtol=2**-7, atol=2**-7)  # an output is rounded to 8 bits


def test_a_network_trains_under_autocast():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), layers.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 2))
    with torch.autocast("cpu", dtype=HALF):
        loss = net(torch.randn(8, 3, 6, 6)).square().mean()
    loss.backward()
    assert all(p.grad.isfinite().all() and p.grad.dtype == SINGLE for p in net.parameters())


# --- bad input ---

BAD = {  # class, keyword arguments, input, whether in training
    "BatchNorm1d, 4D": ("BatchNorm1d", {}, torch.randn(2, 4, 3, 3), True),
    "BatchNorm1d, 1D": ("BatchNorm1d", {}, torch.randn(4), True),
    "BatchNorm2d, 3D": ("BatchNorm2d", {}, torch.randn(2, 4, 3), True),
    "BatchNorm2d, 3D, eval": ("BatchNorm2d", {}, torch.randn(2, 4, 3), False),
    "BatchNorm3d, 4D": ("BatchNorm3d", {}, torch.randn(2, 4, 3, 3), True),
    "BatchNorm1d, channels": ("BatchNorm1d", {}, torch.randn(5, 3), True),
    "BatchNorm1d, channels, eval": ("BatchNorm1d", {}, torch.randn(5, 3), False),
    "BatchNorm2d, channels last": ("BatchNorm2d", {}, torch.randn(2, 3, 3, 4), True),
    "BatchNorm1d, channels, no statistics": (
        "BatchNorm1d",
        {"track_running_stats": False},
        torch.randn(5, 3),
        True,
    ),
    "BatchNorm1d, one value": ("BatchNorm1d", {}, torch.randn(1, 4), True),
    "BatchNorm2d, one value": ("BatchNorm2d", {}, torch.randn(1, 4, 1, 1), True),
    "BatchNorm1d, one value, no statistics, eval": (
        "BatchNorm1d",
        {"track_running_stats": False},
        torch.randn(1, 4),
        False,
    ),
    "BatchNorm1d, integers": ("BatchNorm1d", {}, torch.ones(5, 4).long(), True),
    "BatchNorm1d, integers, eval": ("BatchNorm1d", {}, torch.ones(5, 4).long(), False),
    "BatchNorm1d, booleans": ("BatchNorm1d", {}, torch.ones(5, 4).bool(), True),
    "BatchNorm1d, double": ("BatchNorm1d", {}, torch.randn(5, 4).double(), True),
    "BatchNorm1d, double, eval": ("BatchNorm1d", {}, torch.randn(5, 4).double(), False),
    "BatchNorm1d, bfloat16 layer": ("BatchNorm1d", {"dtype": HALF}, torch.randn(5, 4), True),
    "InstanceNorm1d, 4D": ("InstanceNorm1d", {}, torch.randn(2, 4, 3, 3), True),
    "InstanceNorm2d, 2D": ("InstanceNorm2d", {}, torch.randn(4, 3), True),
    "InstanceNorm3d, 3D": ("InstanceNorm3d", {}, torch.randn(4, 3, 3), True),
    "InstanceNorm1d, channels": ("InstanceNorm1d", {"affine": True}, torch.randn(2, 3, 5), True),
    "InstanceNorm1d, channels, unbatched": (
        "InstanceNorm1d",
        {"affine": True},
        torch.randn(3, 5),
        True,
    ),
    "InstanceNorm2d, one element": ("InstanceNorm2d", {}, torch.randn(2, 4, 1, 1), True),
    "InstanceNorm2d, one element, eval": ("InstanceNorm2d", {}, torch.randn(2, 4, 1, 1), False),
    "InstanceNorm1d, integers": ("InstanceNorm1d", {}, torch.ones(2, 4, 5).long(), True),
    "InstanceNorm1d, double": (
        "InstanceNorm1d",
        {"affine": True},
        torch.randn(2, 4, 5).double(),
        True,
    ),
    "LayerNorm, another size": ("LayerNorm", {}, torch.randn(5, 3), True),
    "LayerNorm, integers": ("LayerNorm", {}, torch.ones(5, 4).long(), True),
    "LayerNorm, double": ("LayerNorm", {}, torch.randn(5, 4).double(), True),
    "GroupNorm, channels": ("GroupNorm", {}, torch.randn(5, 6), True),
    "GroupNorm, a remainder": ("GroupNorm", {}, torch.randn(5, 5), True),
    "GroupNorm, 1D": ("GroupNorm", {}, torch.randn(4), True),
    "GroupNorm, integers": ("GroupNorm", {}, torch.ones(5, 4).long(), True),
    "GroupNorm, double": ("GroupNorm", {}, torch.randn(5, 4).double(), True),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_raises_what_torch_raises_and_names_the_shape(case):
    name, kwargs, x, training = BAD[case]
    ours, theirs = (
        getattr(m, name)(*KINDS[name][0], **kwargs).train(training) for m in (layers, nn)
    )
    with pytest.raises(Exception) as expected:  # whichever it is
        theirs(x)
    with pytest.raises(expected.type) as raised:  # a subclass passes too: `except` catches it
        ours(x)
    assert str(list(x.shape)) in str(raised.value)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("eps", [0.0, -1e-5])
@pytest.mark.parametrize("name", KINDS)
def test_an_eps_that_is_not_positive_is_refused_where_torch_refuses_it(name, eps, training):
    if not refuses(lambda: nn.BatchNorm1d(4, eps=0.0)(torch.randn(5, 4))):
        skip_on_older_torch("accepts any eps")
    if refuses(lambda: nn.BatchNorm1d(4, eps=0.0).eval()(torch.randn(5, 4))):
        skip_on_older_torch("refuses an eps of 0 in eval mode too")
    pair = make_pair(name, eps=eps)
    for layer in pair:
        layer.train(training)
    x, dy = torch.randn(2, *KINDS[name][1][0])
    assert_same_step_or_error(pair, x, dy, 1e-4, match="eps")


def test_batch_norm_refuses_an_eps_of_zero_in_training():
    with pytest.raises(ValueError, match="eps"):
        layers.BatchNorm1d(4, eps=0.0)(torch.randn(5, 4))


def test_group_norm_refuses_groups_that_do_not_divide_the_channels():
    with pytest.raises(ValueError, match="num_channels.*num_groups"):
        nn.GroupNorm(3, 4)
    with pytest.raises(ValueError, match=r"num_channels \(4\).*num_groups \(3\)"):
        layers.GroupNorm(3, 4)


@pytest.mark.parametrize("shape", [(2, 3, 5), (3, 5)])
def test_instance_norm_without_affine_warns_of_a_wrong_channel_count_and_works(shape):
    ours, theirs = make_pair("InstanceNorm1d")
    x = torch.randn(shape)
    with pytest.warns(UserWarning, match="num_features"):
        y = ours(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_close(y, theirs(x), rtol=1e-4, atol=1e-4)


def test_evaluating_instance_norm_with_statistics_it_never_had_is_an_error():
    layer = layers.InstanceNorm1d(4)
    layer.track_running_stats = True
    with pytest.raises(RuntimeError, match="running_mean"):
        layer.eval()(torch.randn(2, 4, 5))

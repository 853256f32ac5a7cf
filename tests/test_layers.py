"""The layers against those of the same name in torch.nn, in every mode."""

import copy
import inspect
import io
import pickle
import warnings
from contextlib import nullcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import normlab

BATCH = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d"]
INSTANCE = ["InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"]
ALL = [*BATCH, *INSTANCE, "LayerNorm", "GroupNorm"]
DTYPES = {
    # parameters, input, tolerance relative to the largest value: some hundred roundings
    "float64": (torch.float64, torch.float64, 1e-11),
    "float32": (torch.float32, torch.float32, 1e-4),
    "bfloat16": (torch.bfloat16, torch.bfloat16, 4e-2),
    "mixed": (torch.float32, torch.bfloat16, 4e-2),
}
# Where hypothesis draws from a small product, 80 examples meet every value many times.
thorough = settings(max_examples=80, deadline=None, derandomize=True)


def assert_close(ours, theirs, tolerance, what):
    assert (ours is None) == (theirs is None), what
    if theirs is None:
        return
    assert ours.shape == theirs.shape, what
    scale = max(1.0, theirs.double().abs().max().item()) if theirs.numel() else 1.0
    torch.testing.assert_close(
        ours.double(), theirs.double(), rtol=0, atol=tolerance * scale, msg=lambda m: f"{what}: {m}"
    )


def pair(name, *args, **kwargs):
    """The layer of torch.nn with random parameters, and ours with its state."""
    theirs = getattr(nn, name)(*args, **kwargs)
    ours = getattr(normlab, name)(*args, **kwargs)
    with torch.no_grad():
        for p in theirs.parameters():
            p.uniform_(-2, 2)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def step(layer, x, dy):
    """Return the output and the gradients of the input and the parameters."""
    x = x.detach().clone().requires_grad_()
    layer.zero_grad()
    y = layer(x)
    y.backward(dy)
    return [y.detach(), x.grad, *(p.grad for p in layer.parameters())]


def assert_same_steps(ours, theirs, inputs, tolerance):
    """Feed both with `inputs` and compare outputs, gradients and state.

    torch.nn keeps the statistics of a bfloat16 batch in bfloat16 and loses digits that ours keeps.
    There the values are compared with those of torch.nn in float64, and only the types with its own.
    """
    low = inputs[0].dtype == torch.bfloat16
    exact = copy.deepcopy(theirs).double() if low else theirs
    for number, x in enumerate(inputs):
        dy = torch.randn(x.shape).to(x.dtype)
        results, expected = step(ours, x, dy), step(theirs, x, dy)
        assert [r.dtype for r in results] == [e.dtype for e in expected]
        if low:
            expected = step(exact, x.double(), dy.double())
        for a, b in zip(results, expected, strict=True):
            assert_close(a, b, tolerance, f"step {number}")
        assert_same_state(ours, exact, tolerance)


def assert_same_state(ours, theirs, tolerance):
    mine, state = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(state)
    for key in state:
        assert_close(mine[key], state[key], tolerance, key)


@st.composite
def cases(draw):
    name = draw(st.sampled_from(ALL))
    kind = draw(st.sampled_from(sorted(DTYPES)))
    n, c = draw(st.integers(2, 5)), draw(st.sampled_from([1, 2, 4, 6]))
    sizes = st.integers(2, 4)
    affine, bias = draw(st.booleans()), draw(st.booleans())
    options = {"eps": draw(st.sampled_from([1e-5, 1e-2])), "bias": bias}
    if name in BATCH + INSTANCE:
        rank = int(name[-2])
        spatial = [draw(sizes) for _ in range(rank)]
        if name == "BatchNorm1d" and draw(st.booleans()):
            spatial = []
        unbatched = name in INSTANCE and draw(st.booleans())
        shape = [c, *spatial] if unbatched else [n, c, *spatial]
        args = [c]
        options |= {
            "affine": affine,
            "momentum": draw(st.sampled_from([None, 0, 0.1, 1])),
            "track_running_stats": draw(st.booleans()),
        }
    elif name == "LayerNorm":
        shape = [n, c, *[draw(sizes) for _ in range(draw(st.integers(1, 2)))]]
        args = [shape[draw(st.integers(1, len(shape) - 1)) :]]
        options["elementwise_affine"] = affine
    else:
        shape = [n, c, *[draw(sizes) for _ in range(draw(st.integers(1, 3)))]]
        args = [draw(st.sampled_from([g for g in range(1, c + 1) if c % g == 0])), c]
        options["affine"] = affine
    return name, args, options, shape, kind, draw(st.integers(0, 99))


@thorough
@given(cases(), st.integers(1, 3))
def test_training_and_then_eval_agree_with_torch(case, steps):
    name, args, options, shape, kind, seed = case
    torch.manual_seed(seed)
    params, inputs, tolerance = DTYPES[kind]
    ours, theirs = pair(name, *args, **options, dtype=params)
    # Around 1 and of spread 2: a mean that is not 0, without digits lost to bfloat16.
    batches = [(1 + 2 * torch.randn(shape)).to(inputs) for _ in range(steps)]
    assert_same_steps(ours.train(), theirs.train(), batches, tolerance)
    assert_same_steps(ours.eval(), theirs.eval(), batches[:1], tolerance)


@pytest.mark.parametrize("name", BATCH + INSTANCE)
@pytest.mark.parametrize("built_with", [True, False])
@pytest.mark.parametrize("toggled_to", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_tracking_that_is_toggled_later_behaves_as_in_torch(name, built_with, toggled_to, training):
    ours, theirs = pair(name, 3, track_running_stats=built_with)
    x = torch.randn(4, 3, *[2] * int(name[-2]))
    for layer in (ours, theirs):
        layer(x)
        layer.track_running_stats = toggled_to
        layer.train(training)
    if name in INSTANCE and toggled_to and not built_with and not training:
        for layer in (ours, theirs):  # it asks for statistics that it never kept
            with pytest.raises(RuntimeError):
                layer(x)
    else:
        assert_same_steps(ours, theirs, [x + 1], 1e-4)


@pytest.mark.parametrize("name", ALL)
def test_signature_and_representation_are_those_of_torch(name):
    ours, theirs = getattr(normlab, name), getattr(nn, name)
    parameters = [
        [(p.name, p.default, p.kind) for p in inspect.signature(c).parameters.values()]
        for c in (ours, theirs)
    ]
    assert parameters[0] == parameters[1]
    args = (2, 4) if name == "GroupNorm" else (4,)
    assert repr(ours(*args)) == repr(theirs(*args))


@pytest.mark.parametrize("name", ALL)
def test_state_loads_in_both_directions(name):
    args = (2, 4) if name == "GroupNorm" else (4,)
    ours, theirs = pair(name, *args)
    x = torch.randn(3, 4, *[4] * max(1, int(name[-2]) if name[-1] == "d" else 1))
    ours(x), theirs(x)
    fresh = getattr(nn, name)(*args)
    assert str(fresh.load_state_dict(ours.state_dict())) == "<All keys matched successfully>"
    assert_same_state(ours, fresh, 0)


@pytest.mark.parametrize("name", ["BatchNorm2d", "InstanceNorm2d", "LayerNorm", "GroupNorm"])
@pytest.mark.parametrize("copier", ["deepcopy", "pickle", "torch.save"])
def test_a_used_layer_can_be_copied_and_saved(name, copier):
    args = (2, 4) if name == "GroupNorm" else (4,)
    layer = getattr(normlab, name)(*args)
    x = torch.randn(3, 4, 4, 4)
    layer(x.requires_grad_()).sum().backward()
    if copier == "deepcopy":
        twin = copy.deepcopy(layer)
    elif copier == "pickle":
        twin = pickle.loads(pickle.dumps(layer))
    else:
        file = io.BytesIO()
        torch.save(layer, file)
        file.seek(0)
        twin = torch.load(file, weights_only=False)
    assert torch.equal(twin.eval()(x), layer.eval()(x))


def test_a_checkpoint_from_before_the_batch_counter_still_loads():
    old = nn.BatchNorm1d(3).state_dict()
    del old["num_batches_tracked"]
    old._metadata[""]["version"] = 1
    layer = normlab.BatchNorm1d(3)
    layer.load_state_dict(copy.deepcopy(old))
    assert layer.num_batches_tracked == 0
    old._metadata[""]["version"] = 2
    with pytest.raises(RuntimeError, match="num_batches_tracked"):
        normlab.BatchNorm1d(3).load_state_dict(old)


def test_conversion_moves_parameters_and_statistics_but_not_the_counter():
    layer = normlab.BatchNorm1d(3).to(torch.float64)
    kinds = {key: value.dtype for key, value in layer.state_dict().items()}
    assert kinds.pop("num_batches_tracked") == torch.int64
    assert set(kinds.values()) == {torch.float64}
    assert {p.device.type for p in normlab.BatchNorm1d(3).to("meta").buffers()} == {"meta"}


def test_running_statistics_carry_no_gradient():
    layer = normlab.BatchNorm2d(3)
    for _ in range(3):
        layer(torch.randn(4, 3, 2, 2, requires_grad=True))
    assert not layer.running_mean.requires_grad and layer.running_mean.grad_fn is None
    assert not layer.running_var.requires_grad and layer.running_var.grad_fn is None


def test_reset_forgets_every_batch():
    layer = normlab.BatchNorm1d(3)
    layer(torch.randn(4, 3))
    layer.reset_parameters()
    assert_same_state(layer, nn.BatchNorm1d(3), 0)


@pytest.mark.parametrize("name", BATCH)
def test_an_empty_batch_changes_nothing_but_the_counter(name):
    ours, theirs = pair(name, 3)
    x = torch.randn(0, 3, *[2] * int(name[-2]))
    assert_same_steps(ours, theirs, [x], 0)


@pytest.mark.parametrize(
    "arrange",
    [
        lambda x: x.contiguous(memory_format=torch.channels_last),
        lambda x: x.transpose(2, 3),
        lambda x: x[::2],
        lambda x: x[:1].expand(4, -1, -1, -1),
    ],
    ids=["channels last", "transposed", "strided", "expanded"],
)
@pytest.mark.parametrize("name", ["BatchNorm2d", "InstanceNorm2d", "GroupNorm", "LayerNorm"])
def test_the_layout_in_memory_does_not_matter(name, arrange):
    args = {"GroupNorm": (2, 4), "LayerNorm": ([4, 5, 5],)}.get(name, (4,))
    ours, theirs = pair(name, *args)
    assert_same_steps(ours, theirs, [arrange(torch.randn(6, 4, 5, 5))], 1e-4)


@pytest.mark.parametrize("name", ["BatchNorm2d", "InstanceNorm2d", "GroupNorm", "LayerNorm"])
@pytest.mark.parametrize("training", [True, False])
def test_first_and_second_derivatives_agree_with_finite_differences(name, training):
    torch.manual_seed(0)
    args = {"GroupNorm": (2, 4), "LayerNorm": ([4, 2, 2],)}.get(name, (4,))
    options = {"affine": True, "track_running_stats": True} if name == "InstanceNorm2d" else {}
    layer = getattr(normlab, name)(*args, **options, dtype=torch.float64).train(training)
    if hasattr(layer, "momentum"):
        layer.momentum = 0.0  # a function that changes from call to call has no derivative
    x = torch.randn(3, 4, 2, 2, dtype=torch.float64, requires_grad=True)
    named = {key: p.detach().clone() for key, p in layer.named_parameters()}
    for p in named.values():
        p.uniform_(0.5, 2).requires_grad_()

    def function(x, *params):
        return torch.func.functional_call(layer, dict(zip(named, params, strict=True)), (x,))

    assert torch.autograd.gradcheck(function, (x, *named.values()))
    assert torch.autograd.gradgradcheck(function, (x, *named.values()))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_statistics_move_where_gradients_are_off(context):
    ours, theirs = pair("BatchNorm1d", 3)
    x = torch.randn(5, 3)
    with context():
        assert_close(ours(x), theirs(x), 1e-5, "output")
    assert_same_state(ours, theirs, 1e-5)


def test_autocast_keeps_the_low_precision_of_the_input():
    layer = normlab.BatchNorm1d(3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(nn.Linear(3, 3)(torch.randn(5, 3)))
    assert y.dtype == torch.bfloat16 and layer.running_mean.dtype == torch.float32


# --- bad input: whoever catches torch's error catches ours, and reads the shape ------------------

BAD = {
    "BatchNorm2d gets three dimensions": ("BatchNorm2d", (3,), {}, (4, 3, 2)),
    "BatchNorm1d gets four dimensions": ("BatchNorm1d", (3,), {}, (4, 3, 2, 2)),
    "InstanceNorm2d gets two dimensions": ("InstanceNorm2d", (3,), {}, (3, 2)),
    "BatchNorm2d gets six channels": ("BatchNorm2d", (3,), {}, (4, 6, 2, 2)),
    "BatchNorm2d without statistics gets six channels": (
        "BatchNorm2d", (3,), {"track_running_stats": False}, (4, 6, 2, 2),
    ),
    "InstanceNorm2d gets six channels": ("InstanceNorm2d", (3,), {"affine": True}, (4, 6, 2, 2)),
    "GroupNorm gets six channels": ("GroupNorm", (2, 4), {}, (4, 6, 2)),
    "GroupNorm gets five channels for two groups": ("GroupNorm", (2, 4), {}, (4, 5, 2)),
    "GroupNorm gets one dimension": ("GroupNorm", (2, 4), {}, (4,)),
    "LayerNorm gets another trailing shape": ("LayerNorm", ([3, 2],), {}, (4, 2, 3)),
    "LayerNorm gets too few dimensions": ("LayerNorm", ([3, 2],), {}, (2,)),
    "BatchNorm1d gets one value per channel": ("BatchNorm1d", (3,), {}, (1, 3)),
    "BatchNorm2d gets one value per channel": ("BatchNorm2d", (3,), {}, (1, 3, 1, 1)),
    "InstanceNorm2d gets one value per channel": ("InstanceNorm2d", (3,), {}, (4, 3, 1, 1)),
    "GroupNorm gets one value per group": ("GroupNorm", (4, 4), {}, (1, 4)),
}  # fmt: skip
KINDS = {
    "BatchNorm2d": (3,), "InstanceNorm2d": (3,), "LayerNorm": ([3, 2, 2],), "GroupNorm": (3, 3),
}  # fmt: skip


def errors(name, args, options, x):
    caught = []
    for package in (normlab, nn):
        with pytest.raises(Exception) as error:  # noqa: B017
            getattr(package, name)(*args, **options)(x)
        caught.append(error.value)
    return caught


@pytest.mark.parametrize("case", BAD)
def test_a_bad_shape_gets_the_error_of_torch_and_is_named(case):
    name, args, options, shape = BAD[case]
    ours, theirs = errors(name, args, options, torch.randn(shape))
    assert isinstance(ours, type(theirs))
    assert str(list(shape)) in str(ours)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("dtype", [torch.int64, torch.float64])
def test_a_bad_dtype_gets_the_error_of_torch_and_is_named(name, dtype):
    # Without parameters there is nothing that a float64 input could fail to match.
    options = {"affine": True} if name == "InstanceNorm2d" else {}
    ours, theirs = errors(name, KINDS[name], options, torch.ones(4, 3, 2, 2, dtype=dtype))
    assert isinstance(ours, type(theirs))
    assert str(dtype) in str(ours) and "[4, 3, 2, 2]" in str(ours)


def test_groups_that_do_not_divide_the_channels_are_refused_at_once():
    ours, theirs = [], []
    for caught, package in ((ours, normlab), (theirs, nn)):
        with pytest.raises(ValueError, match="must be divisible") as error:
            package.GroupNorm(3, 4)
        caught.append(str(error.value))
    assert ours == theirs


@pytest.mark.parametrize("eps", [0, -1])
def test_an_eps_that_is_not_positive_is_refused_in_training(eps):
    ours, theirs = errors("BatchNorm1d", (3,), {"eps": eps}, torch.randn(4, 3))
    assert type(ours) is type(theirs) is ValueError
    assert f"{eps}" in str(ours)


def test_eval_without_statistics_is_an_error_if_one_is_missing():
    layer = normlab.BatchNorm1d(3).eval()
    layer.running_mean = None
    with pytest.raises(RuntimeError, match="running_mean"):
        layer(torch.randn(4, 3))


@pytest.mark.parametrize("affine", [True, False])
def test_instance_norm_without_affine_warns_of_other_channels_and_goes_on(affine):
    layer = normlab.InstanceNorm2d(3, affine=affine)
    x = torch.randn(2, 6, 4, 4)
    expect = pytest.raises(ValueError) if affine else pytest.warns(UserWarning, match=r"\[2, 6, 4")
    with expect:
        layer(x)
    with warnings.catch_warnings(), nullcontext():
        warnings.simplefilter("error")
        normlab.InstanceNorm2d(6)(x)

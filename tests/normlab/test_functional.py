"""The math of normlab against its definition, against finite differences and against torch."""

import inspect
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as T
from torch.testing import assert_close

from normlab import functional as F
from tests.normlab.older_torch import skip_on_older_torch

# The same examples in every run: a failure must be there for the next person too.
examples = settings(deadline=None, derandomize=True, max_examples=50)

# Who shares a mean, and in which shape gamma varies: [N, C, H, W] except where noted.
SHAPE = (3, 4, 2, 3)
PATTERNS = {
    "batch": (SHAPE, (0, 2, 3), (1, 4, 1, 1)),
    "layer": (SHAPE, (1, 2, 3), (1, 4, 2, 3)),
    "instance": (SHAPE, (2, 3), (1, 4, 1, 1)),
    "group": ((3, 2, 2, 2, 3), (2, 3, 4), (1, 2, 2, 1, 1)),  # [N, G, C/G, H, W]
    "everything": (SHAPE, (0, 1, 2, 3), (1, 1, 1, 1)),
    "features": ((5, 4), (0,), (1, 4)),  # [N, C]
}
patterns = pytest.mark.parametrize("pattern", PATTERNS)
affine = pytest.mark.parametrize(
    "gamma, beta", [(True, True), (True, False), (False, True), (0, 0)]
)


def make(pattern: str, gamma: bool = True, beta: bool = True, seed: int = 0):
    """Return x, dims, weight, bias and affine_shape of a pattern, in float64, with gradients."""
    shape, dims, affine_shape = PATTERNS[pattern]
    torch.manual_seed(seed)
    x = (2 * torch.randn(shape, dtype=torch.float64) + 1).requires_grad_()
    size = [n for n in affine_shape if n > 1]
    weight = torch.randn(size, dtype=torch.float64, requires_grad=True) if gamma else None
    bias = torch.randn(size, dtype=torch.float64, requires_grad=True) if beta else None
    return x, dims, weight, bias, affine_shape


def definition(x, dims, weight=None, bias=None, eps=1e-5, affine_shape=()):
    """Equations of the paper, step by step, differentiated by autograd."""
    mean = x.mean(dims, keepdim=True)
    var = ((x - mean) ** 2).mean(dims, keepdim=True)
    y = (x - mean) / torch.sqrt(var + eps)
    y = y if weight is None else y * weight.view(affine_shape)
    return y if bias is None else y + bias.view(affine_shape)


def given_only(*tensors):
    return [t for t in tensors if t is not None]


# --- normalize: values and derivatives ---


@patterns
@affine
@pytest.mark.parametrize("eps", [0.0, 1e-5, 0.5])
def test_normalize_and_its_gradients_follow_the_definition(pattern, gamma, beta, eps):
    x, dims, weight, bias, shape = make(pattern, gamma, beta)
    inputs = given_only(x, weight, bias)
    ours = F.normalize(x, dims, weight, bias, eps, shape)[0]
    theirs = definition(x, dims, weight, bias, eps, shape)
    dy = torch.randn_like(ours)
    # float64 on both sides, a dozen operations: only the last few of 16 digits may differ.
    assert_close(ours, theirs, rtol=1e-11, atol=1e-11)
    for g, h in zip(
        torch.autograd.grad(ours, inputs, dy), torch.autograd.grad(theirs, inputs, dy), strict=True
    ):
        assert_close(g, h, rtol=1e-10, atol=1e-10)


@patterns
@affine
def test_first_derivatives_agree_with_finite_differences(pattern, gamma, beta):
    x, dims, weight, bias, shape = make(pattern, gamma, beta)
    assert gradcheck(
        lambda x, *p: F.normalize(x, dims, *unpack(p, gamma, beta), 1e-5, shape)[0],
        given_only(x, weight, bias),
    )


@patterns
@affine
def test_second_derivatives_agree_with_finite_differences(pattern, gamma, beta):
    x, dims, weight, bias, shape = make(pattern, gamma, beta)
    # Not with fast_mode=True: its random projections miss a wrong power of sigma in our backward.
    assert gradgradcheck(
        lambda x, *p: F.normalize(x, dims, *unpack(p, gamma, beta), 1e-5, shape)[0],
        given_only(x, weight, bias),
    )


def unpack(params, gamma, beta):
    """Put None where a parameter was left out."""
    params = iter(params)
    return next(params) if gamma else None, next(params) if beta else None


def test_third_derivatives_follow_the_definition():
    x, dims, weight, bias, shape = make("batch")

    def third(function):
        y = function(x, dims, weight, bias, 1e-5, shape)
        y = y[0] if isinstance(y, tuple) else y
        (g,) = torch.autograd.grad((y**3).sum(), x, create_graph=True)
        (h,) = torch.autograd.grad((g**3).sum(), x, create_graph=True)
        return torch.autograd.grad((h**2).sum(), [x, weight, bias])

    for ours, theirs in zip(third(F.normalize), third(definition), strict=True):
        # Three derivatives of cubes multiply the numbers up to about 1e4: relative, not absolute.
        assert_close(ours, theirs, rtol=1e-8, atol=1e-8 * theirs.abs().max().item())


def test_normalize_backward_returns_the_gradients_of_the_formula():
    x, dims, weight, bias, shape = make("batch")
    y = definition(x, dims, weight, bias, 1e-5, shape)
    dy = torch.randn_like(y)
    rstd = torch.rsqrt(x.var(dims, correction=0, keepdim=True) + 1e-5)
    x_hat = (x - x.mean(dims, keepdim=True)) * rstd
    scale = weight.view(shape) * rstd
    ours = F.normalize_backward(dy, x_hat.detach(), scale.detach(), dims)
    theirs = torch.autograd.grad(y, [x, weight, bias], dy)
    for g, h in zip(ours, theirs, strict=True):
        assert_close(g.view_as(h), h, rtol=1e-10, atol=1e-10)


@patterns
def test_normalize_returns_mean_and_biased_variance_with_their_gradients(pattern):
    x, dims, *_ = make(pattern)
    _, mean, var = F.normalize(x, dims)
    assert_close(mean, x.mean(dims, keepdim=True))
    assert_close(var, x.var(dims, correction=0, keepdim=True))
    for check in (gradcheck, gradgradcheck):
        assert check(lambda x: F.normalize(x, dims), (x,))


@patterns
@affine
@pytest.mark.parametrize("known", ["mean", "mean and var"])
def test_a_statistic_that_is_given_is_a_constant(pattern, gamma, beta, known):
    x, dims, weight, bias, shape = make(pattern, gamma, beta)
    size = [1 if d in dims else n for d, n in enumerate(x.shape)]
    mean = torch.randn(size, dtype=torch.float64)
    var = torch.rand(size, dtype=torch.float64) + 0.5 if "var" in known else None

    def ours(x, *p):
        return F.normalize(x, dims, *unpack(p, gamma, beta), 1e-5, shape, mean, var)[0]

    def by_hand(x, *p):
        around = ((x - mean) ** 2).mean(dims, keepdim=True) if var is None else var
        y = (x - mean) / torch.sqrt(around + 1e-5)
        w, b = unpack(p, gamma, beta)
        y = y if w is None else y * w.view(shape)
        return y if b is None else y + b.view(shape)

    inputs = given_only(x, weight, bias)
    assert_close(ours(*inputs), by_hand(*inputs), rtol=1e-11, atol=1e-11)
    for check in (gradcheck, gradgradcheck):
        assert check(ours, inputs)


@pytest.mark.parametrize("size", [(), (1,), (40, 1)])
def test_a_statistic_that_is_given_broadcasts_in_pieces_too(size, monkeypatch):
    torch.manual_seed(0)
    x, mean = torch.randn(40, 70, dtype=torch.float64), torch.randn(size, dtype=torch.float64)
    whole = F.normalize(x, (1,), mean=mean, var=mean.exp())
    monkeypatch.setattr(F, "_PIECE", 4)
    assert whole[1].shape == (40, 1)
    for piece, right in zip(F.normalize(x, (1,), mean=mean, var=mean.exp()), whole, strict=True):
        assert_close(piece, right)


def test_a_statistic_that_does_not_fit_is_refused():
    with pytest.raises(RuntimeError, match="5"):
        F.normalize(torch.randn(4, 5), (1,), mean=torch.randn(4, 5))


@pytest.mark.parametrize("dim", [2, -3])
def test_a_dimension_that_does_not_exist_is_refused(dim):
    with pytest.raises(IndexError):
        F.normalize(torch.randn(4, 5), (dim,))


def test_no_dimensions_mean_all_as_in_torch():
    x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    (dx,) = torch.autograd.grad(F.normalize(x, ())[0].pow(3).sum(), x)
    (right,) = torch.autograd.grad(F.normalize(x, (0, 1))[0].pow(3).sum(), x)
    assert_close(dx, right)


def test_instance_norm_without_spatial_dimensions_uses_statistics_and_has_gradients():
    torch.manual_seed(0)
    grads = []
    x, mean, weight = torch.randn(5, 4), torch.randn(4), torch.rand(4, requires_grad=True)
    for module in (F, T):
        y = module.instance_norm(x, mean, mean.exp(), weight, weight, use_input_stats=False)
        grads.append(torch.autograd.grad(y.pow(2).sum(), weight)[0])
    assert_close(*grads)


def test_without_affine_shape_gamma_and_beta_broadcast_as_they_are():
    x, weight, bias = torch.randn(5, 4), torch.randn(4), torch.randn(4)
    ours = F.normalize(x, (0,), weight, bias)[0]
    assert_close(ours, F.normalize(x, (0,), weight, bias, 1e-5, (1, 4))[0])
    assert_close(ours, definition(x, (0,), weight, bias, affine_shape=(1, 4)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    x = torch.randn(4096, 3).to(dtype) + 3
    y, mean, var = F.normalize(x, (0,))
    wide = F.normalize(x.float(), (0,))
    assert y.dtype == dtype and mean.dtype == torch.float32
    # Sums of 4096 numbers in bfloat16 stall at a few hundred; here they are those of float32.
    assert torch.equal(mean, wide[1]) and torch.equal(var, wide[2])
    assert torch.equal(y, wide[0].to(dtype))


def test_what_backward_saved_is_freed_with_the_output():
    # An output saved by its own node is a cycle, and a leak, if it is not saved in the right way.
    y = F.normalize(torch.randn(4, 3, requires_grad=True), (0,))[0]
    node = weakref.ref(y.grad_fn)
    assert node() is not None
    del y
    assert node() is None


# --- the statistics of large numbers ---


@pytest.mark.parametrize("mean", [1e4, 1e5])
def test_the_variance_is_accurate_where_the_mean_is_large(mean):
    torch.manual_seed(0)
    values = torch.randn(65_536, 1) + mean  # in float32: steps of 0.001 and 0.008
    exact = values.double().var(0, correction=0)
    y, _, var = F.normalize(values, (0,))
    # The mean itself is off by up to half such a step, which adds its square to the variance:
    # far below 1e-2. Squaring before subtracting, below, loses all digits.
    assert_close(var.double().view(1), exact, rtol=1e-2, atol=0)
    assert y.isfinite().all() and abs(y.var(correction=0).item() - 1) < 1e-2
    naive = values.square().mean(0) - values.mean(0).square()
    assert abs(naive.item() - exact.item()) > 0.5


@pytest.mark.parametrize("mean", [1e4, 1e5])
def test_gradients_are_finite_where_the_mean_is_large(mean):
    torch.manual_seed(0)
    x = (torch.randn(65_536, 2) + mean).requires_grad_()
    y = F.batch_norm(x, torch.zeros(2), torch.ones(2), training=True)
    y.backward(torch.randn_like(y))
    assert x.grad.isfinite().all()


def test_a_constant_channel_becomes_beta_and_not_nan():
    x = torch.full((8, 3), 1e5, requires_grad=True)
    y = F.normalize(x, (0,), torch.ones(3), torch.arange(3.0))[0]
    y.sum().backward()
    assert_close(y, torch.arange(3.0).expand(8, 3))
    assert x.grad.isfinite().all()


# --- properties ---


@st.composite
def problems(draw):
    """A pattern with data, gamma and beta in float64; scales from 0.1 to 10, any eps in use."""
    pattern = draw(st.sampled_from(sorted(PATTERNS)))
    x, dims, weight, bias, shape = make(pattern, seed=draw(st.integers(0, 2**20)))
    scale = draw(st.sampled_from([0.1, 1.0, 10.0]))
    eps = draw(st.sampled_from([1e-12, 1e-5, 1e-2]))
    return (scale * x).detach().requires_grad_(), dims, weight, bias, eps, shape


@examples
@given(problems())
def test_gradients_sum_to_zero_over_the_values_that_share_a_mean(problem):
    x, dims, weight, bias, eps, shape = problem
    y = F.normalize(x, dims, weight, bias, eps, shape)[0]
    (dx,) = torch.autograd.grad(y, x, torch.randn_like(y))
    # Up to rounding: 1e-16 a term, and terms as large as gamma / sigma.
    assert dx.sum(dims).abs().max() < 1e-10


@examples
@given(problems())
def test_gradients_are_orthogonal_to_x_hat_up_to_eps(problem):
    x, dims, _, _, eps, _ = problem
    y, _, var = F.normalize(x, dims, eps=eps)
    dy = torch.randn_like(y)
    (dx,) = torch.autograd.grad(y, x, dy)
    # Exactly: <dx, x_hat> = <dy, x_hat> / sigma * eps / (var + eps), because <x_hat, x_hat> is
    # m * var / (var + eps) rather than m. So it vanishes with eps.
    along = (dy * y).sum(dims, keepdim=True) / torch.sqrt(var + eps)
    assert_close(
        (dx * y.detach()).sum(dims, keepdim=True), along * eps / (var + eps), rtol=1e-6, atol=1e-9
    )


@examples
@given(problems())
def test_the_output_has_mean_zero_and_variance_sigma2_over_sigma2_plus_eps(problem):
    x, dims, _, _, eps, _ = problem
    y, _, var = F.normalize(x.detach(), dims, eps=eps)
    assert y.mean(dims).abs().max() < 1e-12
    assert_close(y.var(dims, correction=0, keepdim=True), var / (var + eps), rtol=1e-10, atol=0)


@examples
@given(problems(), st.floats(0.1, 10), st.floats(-100, 100))
def test_the_output_does_not_depend_on_scale_and_shift_of_the_input(problem, scale, shift):
    x, dims, weight, bias, eps, shape = problem
    y = F.normalize(x, dims, weight, bias, eps, shape)[0]
    # Exactly so only if eps, in the square of the unit of x, is scaled along.
    same = F.normalize(scale * x + shift, dims, weight, bias, eps * scale**2, shape)[0]
    assert_close(same, y, rtol=1e-8, atol=1e-8)


@examples
@given(problems())
def test_the_gradient_shrinks_as_the_input_grows(problem):
    x, dims, weight, bias, eps, shape = problem
    y = F.normalize(x, dims, weight, bias, eps, shape)[0]
    dy = torch.randn_like(y)
    large = (10 * x).detach().requires_grad_()
    y10 = F.normalize(large, dims, weight, bias, 100 * eps, shape)[0]
    (dx,), (dx10,) = torch.autograd.grad(y, x, dy), torch.autograd.grad(y10, large, dy)
    assert_close(10 * dx10, dx, rtol=1e-8, atol=1e-8)


@examples
@given(st.integers(1, 4), st.integers(1, 6), st.integers(2, 4), st.integers(1, 4))
def test_group_norm_with_one_group_is_layer_norm(n, c, h, w):
    x = torch.randn(n, c, h, w, dtype=torch.float64)
    assert_close(F.group_norm(x, 1), F.layer_norm(x, (c, h, w)), rtol=1e-10, atol=1e-10)


@examples
@given(st.integers(1, 4), st.integers(1, 6), st.integers(2, 4), st.integers(1, 4))
def test_group_norm_with_a_group_per_channel_is_instance_norm(n, c, h, w):
    x = torch.randn(n, c, h, w, dtype=torch.float64)
    weight, bias = torch.randn(2, c, dtype=torch.float64)
    ours = F.group_norm(x, c, weight, bias)
    assert_close(ours, F.instance_norm(x, None, None, weight, bias), rtol=1e-10, atol=1e-10)


@examples
@given(st.integers(1, 6), st.integers(2, 4), st.integers(1, 4))
def test_batch_norm_of_one_image_is_instance_norm(c, h, w):
    x = torch.randn(1, c, h, w, dtype=torch.float64)
    ours = F.batch_norm(x, None, None, training=True)
    assert_close(ours, F.instance_norm(x), rtol=1e-10, atol=1e-10)


# --- batch_norm and its relatives as functions ---


@pytest.mark.parametrize("name", ["batch_norm", "instance_norm", "layer_norm", "group_norm"])
def test_the_functions_take_the_arguments_of_torch(name):
    def parameters(module):
        signature = inspect.signature(getattr(module, name))
        return [(p.name, p.default) for p in signature.parameters.values()][
            1:
        ]  # x is `input` there

    assert parameters(F) == parameters(T)


def test_batch_norm_uses_the_running_statistics_unless_told_to_train():
    x, mean, var = torch.randn(5, 3), torch.randn(3), torch.rand(3) + 0.5
    before = mean.clone(), var.clone()
    y = F.batch_norm(x, mean, var)
    assert_close(y, (x - mean) / torch.sqrt(var + 1e-5))
    assert torch.equal(mean, before[0]) and torch.equal(var, before[1])


def test_running_statistics_move_by_momentum_towards_mean_and_unbiased_variance():
    x = torch.randn(5, 3, 2, dtype=torch.float64)
    mean, var = torch.full((2, 3), 7.0, dtype=torch.float64)
    F.batch_norm(x, mean, var, training=True, momentum=0.3)
    assert_close(mean, 0.7 * 7 + 0.3 * x.mean((0, 2)))
    assert_close(var, 0.7 * 7 + 0.3 * x.var((0, 2), correction=1))


def test_batch_norm_without_running_statistics_can_train():
    x = torch.randn(5, 3)
    assert_close(F.batch_norm(x, None, None, training=True), F.normalize(x, (0,))[0])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 2, 2)])
def test_an_empty_batch_changes_no_statistics_and_has_zero_gradients(shape, training):
    mean, var = torch.full((2, 3), 7.0)
    x = torch.empty(shape, requires_grad=True)
    weight, bias = torch.ones(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    y = F.batch_norm(x, mean, var, weight, bias, training=training)
    y.sum().backward()
    assert y.shape == shape and x.grad.shape == shape
    assert torch.equal(mean, torch.full((3,), 7.0)) and torch.equal(var, mean)
    assert torch.equal(weight.grad, torch.zeros(3)) and torch.equal(bias.grad, torch.zeros(3))


def test_no_channels_at_all_are_no_error():
    x = torch.randn(5, 0)
    assert F.batch_norm(x, torch.zeros(0), torch.ones(0), training=True).shape == (5, 0)


z, o = torch.zeros, torch.ones
BAD = {  # function, arguments, and what the message must name
    "batch: a vector": ("batch_norm", (z(5), z(5), o(5)), "[5]"),
    "batch: a vector in training": (
        "batch_norm",
        (z(5), z(5), o(5), None, None, True),
        "[5]",
    ),
    "batch: too few running means": ("batch_norm", (z(5, 4), z(3), o(4)), "[5, 4]"),
    "batch: too few running variances": ("batch_norm", (z(5, 4), z(4), o(3)), "[5, 4]"),
    "batch: too few weights": ("batch_norm", (z(5, 4), z(4), o(4), o(3), z(4)), "[5, 4]"),
    "batch: too few biases": ("batch_norm", (z(5, 4), z(4), o(4), o(4), z(3), True), "[5, 4]"),
    "batch: a single weight": ("batch_norm", (z(5, 4), z(4), o(4), o(1), z(4), True), "[5, 4]"),
    "batch: one value": ("batch_norm", (z(1, 4), z(4), o(4), None, None, True), "[1, 4]"),
    "batch: one pixel": (
        "batch_norm",
        (z(1, 4, 1, 1), None, None, None, None, True),
        "[1, 4, 1, 1]",
    ),
    "batch: integers": ("batch_norm", (o(5, 4).long(), z(4), o(4)), "[5, 4]"),
    "batch: integers in training": (
        "batch_norm",
        (o(5, 4).long(), z(4), o(4), None, None, True),
        "[5, 4]",
    ),
    "batch: complex": ("batch_norm", (o(5, 4) + 1j, z(4), o(4)), "[5, 4]"),
    "batch: double input": ("batch_norm", (z(5, 4).double(), z(4), o(4)), "[5, 4]"),
    "batch: double weight": (
        "batch_norm",
        (z(5, 4), z(4), o(4), o(4).double(), z(4).double(), True),
        "[5, 4]",
    ),
    "batch: half parameters": (
        "batch_norm",
        (z(5, 4), z(4).half(), o(4).half(), o(4).half(), z(4).half(), True),
        "[5, 4]",
    ),
    "batch: parameters of two kinds": (
        "batch_norm",
        (z(5, 4).bfloat16(), z(4), o(4), o(4).bfloat16(), z(4).bfloat16(), True),
        "[5, 4]",
    ),
    "batch: no statistics": ("batch_norm", (z(5, 4), None, None), "running_mean"),
    "batch: no running variance": ("batch_norm", (z(5, 4), z(4), None), "running_var"),
    "batch: a mean alone in training": (
        "batch_norm",
        (z(5, 4), z(4), None, None, None, True),
        "running_var",
    ),
    "batch: a variance alone in training": (
        "batch_norm",
        (z(5, 4), None, o(4), None, None, True),
        "running_mean",
    ),
    "batch: eps 0 in training": (
        "batch_norm",
        (z(5, 4), z(4), o(4), None, None, True, 0.1, 0.0),
        "eps",
    ),
    "batch: negative eps": (
        "batch_norm",
        (z(5, 4), z(4), o(4), None, None, True, 0.1, -1e-5),
        "eps",
    ),
    "batch: negative eps in eval": (
        "batch_norm",
        (z(5, 4), z(4), o(4), None, None, False, 0.1, -1e-5),
        "eps",
    ),
    "instance: one element": ("instance_norm", (z(5, 4, 1),), "[5, 4, 1]"),
    "instance: no spatial dimension": ("instance_norm", (z(5, 4),), "[5, 4]"),
    "instance: a vector": ("instance_norm", (z(5),), "[5]"),
    "instance: a vector in eval": ("instance_norm", (z(5), None, None, None, None, False), "[5]"),
    "instance: too few weights": ("instance_norm", (z(2, 4, 3), None, None, o(3)), "[2, 4, 3]"),
    "instance: integers": ("instance_norm", (o(2, 4, 3).long(),), "[2, 4, 3]"),
    "instance: float weight": (
        "instance_norm",
        (z(2, 4, 3).double(), None, None, o(4)),
        "[2, 4, 3]",
    ),
    "instance: no statistics": (
        "instance_norm",
        (z(2, 4, 3), None, None, None, None, False),
        "running_mean",
    ),
    "instance: a mean alone": ("instance_norm", (z(2, 4, 3), z(4), None), "running_var"),
    "layer: no dimension": ("layer_norm", (z(3, 4), []), "[3, 4]"),
    "layer: another size": ("layer_norm", (z(3, 4), [3]), "[3, 4]"),
    "layer: too few dimensions": ("layer_norm", (z(4), [3, 4]), "[4]"),
    "layer: weight of another shape": ("layer_norm", (z(3, 2, 2), [2, 2], o(4)), "[3, 2, 2]"),
    "layer: integers": ("layer_norm", (o(3, 4).long(), [4]), "[3, 4]"),
    "layer: float weight": ("layer_norm", (z(3, 4).double(), [4], o(4)), "[3, 4]"),
    "group: a vector": ("group_norm", (z(4), 2), "[4]"),
    "group: a remainder": ("group_norm", (z(3, 4), 3), "[3, 4]"),
    "group: one value": ("group_norm", (z(1, 4), 4), "[1, 4]"),
    "group: too few weights": ("group_norm", (z(3, 4), 2, o(3)), "[3, 4]"),
    "group: integers": ("group_norm", (o(3, 4).long(), 2), "[3, 4]"),
    "group: float weight": ("group_norm", (z(3, 4).double(), 2, o(4)), "[3, 4]"),
}


def raised_by_torch(name: str, args: tuple) -> type[Exception]:
    try:
        getattr(T, name)(*args)
    except Exception as error:  # whichever it is
        return type(error)
    skip_on_older_torch("accepts it")
    pytest.fail("torch accepts it")


@pytest.mark.parametrize("case", BAD)
def test_bad_input_raises_what_torch_raises_and_names_the_shape(case):
    name, args, named = BAD[case]
    expected = raised_by_torch(name, args)
    with pytest.raises(expected) as ours:  # a subclass passes too: `except` catches it
        getattr(F, name)(*args)
    assert named in str(ours.value)


def test_a_refused_batch_leaves_the_running_statistics_alone():
    mean, var = torch.zeros(4), torch.ones(4)
    with pytest.raises(RuntimeError):
        F.batch_norm(torch.randn(5, 4), mean, var, torch.ones(3), torch.zeros(4), training=True)
    assert torch.equal(mean, torch.zeros(4)) and torch.equal(var, torch.ones(4))


@pytest.mark.parametrize("dims", [(0, 2), (2,)])
def test_a_large_mean_costs_no_digits_of_the_output(dims):
    torch.manual_seed(0)
    x = torch.randn(256, 4, 256) + 1e5  # neighbours in float32 are 0.008 apart there
    found, expected = (F.normalize(x.to(t), dims) for t in (torch.float32, torch.float64))
    assert_close(found[0].double(), expected[0], rtol=0, atol=1e-5)
    assert_close(found[2].double(), expected[2], rtol=1e-5, atol=0)

"""The math of normalization, and nothing else.

One function does the work: `normalize` subtracts the mean and divides by the standard deviation
over the dimensions it is given. Batch, layer, instance, group and RMS normalization differ in these
dimensions, and in what they remember. Arguments and errors are those of `torch.nn.functional`.
"""

from collections.abc import Callable, Sequence
from itertools import repeat

import torch
from torch import Tensor

Dims = tuple[int, ...]
_HALF = (torch.bfloat16, torch.float16)
_PIECE = 2**17  # numbers: half a megabyte of them stays in the cache of a core


def normalize_backward(
    dy: Tensor, x_hat: Tensor, scale: Tensor, dims: Dims, given: tuple[bool, bool] = (False, False)
) -> tuple[Tensor, Tensor, Tensor]:
    """Return `(dx, dgamma, dbeta)` for `y = gamma * x_hat + beta`; gamma is constant over `dims`.

    `scale` is gamma / sigma. With m the number of values that share a mean:
    `dx = scale * (dy - sum(dy) / m - x_hat * sum(dy * x_hat) / m)`. The second term comes from the
    mean and the third from the variance: what is `given`, rather than computed from x, has none.

    Source: Ioffe & Szegedy 2015, section 3, simplified.
    """
    m = _count(x_hat, dims)
    dgamma = (dy * x_hat).sum(dims, keepdim=True)
    dbeta = dy.sum(dims, keepdim=True)
    dx = dy.clone() if given[0] else torch.sub(dy, dbeta, alpha=1 / m)
    if not given[1]:
        dx = _over("addcmul", dx, x_hat, dgamma, value=-1 / m)
    return _over("mul", dx, scale), dgamma, dbeta


def _forward(x, weight, bias, mean, var, dims: Dims, eps: float) -> tuple[Tensor, ...]:
    """Return `(y, mean, var)`, with the statistics of `x` where none are given."""
    wide, own = _wide(x), mean is None
    mean = wide.mean(dims, keepdim=True) if own else mean
    y = wide - mean  # before squaring: E[x^2] - E[x]^2 cancels where the mean is large
    if own:  # a sum over a large mean is rounded; the mean of what is left says by how much
        rest = y.mean(dims, keepdim=True).nan_to_num()
        y, mean = _over("sub", y, rest), mean + rest
    var = y.square().mean(dims, keepdim=True) if var is None else var
    scale = torch.rsqrt(var + eps)
    if weight is not None and all(weight.shape[d] == 1 for d in dims):
        scale = scale * weight  # few numbers times few numbers
    elif weight is not None:
        y, scale = _over("mul", y, scale), weight
    y = _over("mul", y, scale)
    y = y if bias is None else _over("add", y, bias)
    return y.to(x.dtype), mean, var


def _backward(dy, x, weight, mean, var, dims: Dims, eps: float, given, shape) -> tuple[Tensor, ...]:
    """Return the gradients of `x`, gamma and beta, the latter two summed to `shape`."""
    wide, rstd = _wide(dy), torch.rsqrt(var + eps)
    x_hat = _over("mul", _wide(x) - mean, rstd)
    if all(shape[d] == 1 for d in dims):  # gamma is constant where a statistic is shared
        scale = rstd if weight is None else rstd * weight
        dx, dgamma, dbeta = normalize_backward(wide, x_hat, scale, dims, given)
    else:
        dgamma, dbeta = wide * x_hat, wide
        wide = wide if weight is None else wide * weight
        dx = normalize_backward(wide, x_hat, rstd, dims, given)[0]
    return dx.to(dy.dtype), _sum_to(dgamma, shape), _sum_to(dbeta, shape)


class _Normalize(torch.autograd.Function):
    """`normalize` with the closed-form backward: autograd would keep and revisit every step.

    What backward reads is an input or an output, so that derivatives of any order flow through it.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x, weight, bias, mean, var, dims, eps, shape):
        weight, bias = (p if p is None else p.view(shape) for p in (weight, bias))
        # What is given may be a buffer, which the next training batch changes before backward.
        mean, var = (s if s is None else s.clone() for s in (mean, var))
        size = [1 if d in dims else n for d, n in enumerate(x.shape)]
        return _in_pieces(_forward, (x, weight, bias, mean, var), (dims, eps), (size, size))

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, weight, bias, *statistics, ctx.dims, ctx.eps, ctx.shape = inputs
        ctx.given = tuple(s is not None for s in statistics)
        ctx.params = [None if p is None else p.shape for p in (weight, bias)]
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, weight, *output[1:])
        ctx.save_for_forward(x, weight, *output[1:])

    @staticmethod
    def backward(ctx, dy, dmean, dvar):
        if dy is None and dmean is None and dvar is None:
            return (None,) * 8
        x, weight, mean, var = ctx.saved_tensors
        dy = torch.zeros_like(x) if dy is None else dy
        weight = None if weight is None else weight.view(ctx.shape)
        settings, sizes = (ctx.dims, ctx.eps, ctx.given, ctx.shape), (ctx.shape, ctx.shape)
        dx, *grads = _in_pieces(_backward, (dy, x, weight, mean, var), settings, sizes)
        # The gradients of the statistics are None unless the caller differentiates twice.
        if dmean is not None and not ctx.given[0]:
            dx = dx + dmean / _count(x, ctx.dims)
        if dvar is not None and not ctx.given[1]:
            dx = dx + (x - mean) * (2 * dvar / _count(x, ctx.dims))
        grads = (None if s is None else g.view(s) for g, s in zip(grads, ctx.params, strict=True))
        return dx, *grads, None, None, None, None, None

    @staticmethod
    def jvp(ctx, dx, dweight, dbias, *_):
        x, weight, mean, var = ctx.saved_tensors
        rstd = torch.rsqrt(var + ctx.eps)
        x_hat = (_wide(x) - mean) * rstd
        dx = torch.zeros_like(x_hat) if dx is None else _wide(dx)
        # The derivative of x_hat is a symmetric matrix: what goes back through it goes forward too.
        dy, along, total = normalize_backward(dx, x_hat, rstd, ctx.dims, ctx.given)
        dmean, dvar = total / _count(x, ctx.dims), along / rstd * (2 / _count(x, ctx.dims))
        dmean = torch.zeros_like(mean) if ctx.given[0] else dmean
        dvar = torch.zeros_like(var) if ctx.given[1] else dvar
        dy = dy if weight is None else dy * weight.view(ctx.shape)
        dy = dy if dweight is None else dy + x_hat * dweight.view(ctx.shape)
        dy = dy if dbias is None else dy + dbias.view(ctx.shape)
        return dy.to(x.dtype), dmean, dvar


class _Eager(_Normalize):
    """`_Normalize` where no transform of torch.func is active: each call takes 60 us less."""

    setup_context = torch.autograd.Function.setup_context

    @staticmethod
    def forward(ctx, *inputs):
        output = _Normalize.forward(*inputs)
        _Normalize.setup_context(ctx, inputs, output)
        return output


def _over(step: str, result: Tensor, *args, **kwargs) -> Tensor:
    """Do a step over the memory of `result`, which is ours: new memory costs more than the step."""
    return getattr(result, step + "_" if _unrecorded() else step)(*args, **kwargs)


def _unrecorded() -> bool:
    """Whether nobody writes down the steps, to differentiate or repeat them (make_fx, jit)."""
    recorded = torch.is_grad_enabled() or torch._C._are_functorch_transforms_active()
    return not (recorded or torch.jit.is_tracing() or torch._C._len_torch_dispatch_stack())


def _in_pieces(function: Callable, tensors: Sequence, settings: Sequence, sizes: Sequence):
    """Return `function(*tensors, *settings)`, computed piece by piece where that saves time.

    Pieces fit the cache, and each uses the memory of the one before. The first result is as large
    as the first tensor; the others, of the given `sizes`, are added up where pieces share them.
    """
    x, dims = tensors[0], settings[0]
    cut = next((d for d, n in enumerate(x.shape) if n > 1 and d not in dims), None)
    whole = x.numel() < 4 * _PIECE or cut is None or x.stride(cut) < 64
    if whole or not _unrecorded():
        return function(*tensors, *settings)
    result = torch.empty_like(x)
    totals = [_wide(x.new_zeros(size)) for size in sizes]
    step = max(1, _PIECE * x.shape[cut] // x.numel())

    def split(tensor):
        shared = tensor is None or tensor.shape[cut] == 1
        return repeat(tensor) if shared else tensor.split(step, cut)

    for out, *parts in zip(*map(split, (result, *totals, *tensors)), strict=False):
        first, *others = function(*parts[len(totals) :], *settings)
        out.copy_(first)
        for total, other in zip(parts, others, strict=False):
            total.add_(other)
    return result, *totals


def _is_traced() -> bool:
    """Whether somebody records steps who knows no autograd.Function, and differentiates them."""
    if torch.jit.is_tracing() or torch.compiler.is_compiling():
        return True
    transforms = torch._C._functorch.get_interpreter_stack() or ()
    return any(t.key() == torch._C._functorch.TransformType.Functionalize for t in transforms)


def normalize(
    x: Tensor,
    dims: Dims,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    affine_shape: Sequence[int] | None = None,
    mean: Tensor | None = None,
    var: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalize `x` over `dims`, then scale and shift: the one function behind every layer.

    Args:
        x: floating-point tensor of any shape. Half precision is computed in float32.
        dims: the dimensions whose values share one mean and one variance; () means all.
        weight: gamma; None means 1.
        bias: beta, of the shape of gamma; None means 0.
        eps: added to the variance, in the square of the unit of `x`.
        affine_shape: the shape, of the rank of `x`, in which gamma and beta broadcast against `x`;
            by default their own shape.
        mean: to be used instead of that of `x`, and constant for derivatives; broadcasts to it.
        var: the same for the biased variance. If a mean alone is given, the variance is around it.

    Returns:
        `(y, mean, var)`: `y` has the shape and dtype of `x`; the statistics keep the reduced
        dimensions with size 1.
    """
    dims = tuple(range(x.dim())[d] for d in dims or range(x.dim()))
    size = [1 if d in dims else n for d, n in enumerate(x.shape)]
    mean, var = (s if s is None else s.expand(size) for s in (mean, var))
    own = tuple(getattr(bias if weight is None else weight, "shape", ()))
    shape = affine_shape or (1,) * (x.dim() - len(own)) + own
    if _is_traced():
        weight, bias = (p if p is None else p.view(shape) for p in (weight, bias))
        return _forward(x, weight, bias, mean, var, dims, eps)
    function = _Normalize if torch._C._are_functorch_transforms_active() else _Eager
    return function.apply(x, weight, bias, mean, var, dims, eps, shape)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each channel of `input` [N, C, *] over all other dimensions.

    In training the statistics are those of the batch, and the running statistics (both [C]) move
    towards them in place by the fraction `momentum`: the mean towards the batch mean, the variance
    towards the unbiased variance. Otherwise the running statistics take their place.

    Raises:
        ValueError: one value per channel or eps 0 in training, a negative eps, one statistic alone.
        RuntimeError: a shape or dtype that does not fit, or no running statistics in eval.

    Source: Ioffe & Szegedy 2015 (arXiv 1502.03167); `torch.nn.functional.batch_norm`.
    """
    if eps < 0 or (training and eps == 0):
        raise ValueError(f"batch_norm eps must be positive, but got {eps}")
    shape = _channel_shape(input)
    # A weight of [C, 1, 1, 1] is taken too, as torch does.
    weight, bias = (p.flatten() if p is not None and p.dim() == 4 else p for p in (weight, bias))
    _check(input, shape[1:2], weight, bias, running_mean, running_var)
    if training and input.numel() == input.shape[1] > 0:
        raise ValueError(_one_value("value per channel", input))
    dims = (0, *range(2, input.dim()))
    if not training:
        mean, var = _given(running_mean, running_var, shape)
        return normalize(input, dims, weight, bias, eps, shape, mean, var)[0]
    _check_both(running_mean, running_var, input)
    y, mean, var = normalize(input, dims, weight, bias, eps, shape)
    if running_mean is not None and input.numel() > 0:
        m = _count(input, dims)
        _move(running_mean, mean, momentum)
        _move(running_var, var * (m / (m - 1)), momentum)
    return y


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each channel of each sample of `input` [N, C, *] over its spatial dimensions.

    Running statistics, where given, move towards the batch average of the samples' statistics.

    Raises:
        ValueError: one spatial element where the input's statistics are used, one statistic alone.
        RuntimeError: a shape or dtype that does not fit, or no running statistics to be used.

    Source: Ulyanov et al. 2016 (arXiv 1607.08022); `torch.nn.functional.instance_norm`.
    """
    if use_input_stats and input.shape[2:].numel() == 1:
        raise ValueError(_one_value("spatial element", input))
    if not use_input_stats:  # nobody's own: what all samples share
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    shape, dims = _channel_shape(input), tuple(range(2, input.dim()))
    _check(input, shape[1:2], weight, bias, running_mean, running_var)
    _check_both(running_mean, running_var, input)
    y, mean, var = normalize(input, dims, weight, bias, eps, shape)
    if running_mean is not None and input.numel() > 0:
        m = _count(input, dims)
        _move(running_mean, mean.mean(0), momentum)
        _move(running_var, var.mean(0) * (m / (m - 1)), momentum)
    return y


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each sample of `input` [*, *normalized_shape] over its last dimensions.

    Raises:
        RuntimeError: the input does not end in `normalized_shape`, or a dtype that does not fit.

    Source: Ba et al. 2016 (arXiv 1607.06450); `torch.nn.functional.layer_norm`.
    """
    if getattr(input, "is_nested", False):
        return _on_values(layer_norm, input, normalized_shape, weight, bias, eps)
    dims = _last_dims(input, normalized_shape, weight, bias)
    return normalize(input, dims, weight, bias, eps)[0]


def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Divide each sample of `input` [*, *normalized_shape] by its root mean square.

    It is layer normalization with the mean 0 given, and without a beta. An `eps` of None is the
    machine epsilon of the type in which `input` is computed.

    Raises:
        RuntimeError: as in `layer_norm`.

    Source: Zhang & Sennrich 2019 (arXiv 1910.07467); `torch.nn.functional.rms_norm`.
    """
    if getattr(input, "is_nested", False):
        return _on_values(rms_norm, input, normalized_shape, weight, eps)
    dims = _last_dims(input, normalized_shape, weight)
    zero = _wide(input.new_zeros(()))
    eps = torch.finfo(zero.dtype).eps if eps is None else eps
    return normalize(input, dims, weight, None, eps, mean=zero)[0]


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each sample of `input` [N, C, *] over each of `num_groups` groups of channels.

    Raises:
        ValueError: a single sample with one value per group.
        RuntimeError: channels that `num_groups` does not divide, a wrong shape or dtype.

    Source: Wu & He 2018 (arXiv 1803.08494); `torch.nn.functional.group_norm`.
    """
    channels = _channel_shape(input)[1]
    if input.numel() // num_groups == 1:
        raise ValueError(_one_value("value per group", input))
    if channels % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of "
            f"shape {list(input.shape)} and num_groups={num_groups}"
        )
    _check(input, (channels,), weight, bias)
    groups = input.unflatten(1, (num_groups, channels // num_groups))  # [N, G, C/G, *]
    affine_shape = (1, *groups.shape[1:3]) + (1,) * (input.dim() - 2)  # [1, G, C/G, 1, ...]
    dims = tuple(range(2, groups.dim()))
    return normalize(groups, dims, weight, bias, eps, affine_shape)[0].flatten(1, 2)


def _given(mean: Tensor | None, var: Tensor | None, shape: Dims) -> tuple[Tensor, Tensor]:
    if mean is None or var is None:
        raise RuntimeError("running_mean and running_var must be defined in evaluation mode")
    return _wide(mean).view(shape), _wide(var).view(shape)


def _move(running: Tensor, batch: Tensor, momentum: float) -> None:
    """Move `running` [C] towards `batch` [1, C, 1, ...] by the fraction `momentum`, in place."""
    batch = batch.detach().view_as(running)  # a record is no part of the graph
    running.copy_((1 - momentum) * _wide(running) + momentum * batch)


def _on_values(function: Callable, nested: Tensor, *args) -> Tensor:
    """Call `function` on what is inside a nested tensor."""
    if nested.layout != torch.jagged:
        return torch.nested.as_nested_tensor([function(part, *args) for part in nested.unbind()])
    values = function(nested.values(), *args)
    return torch.nested.nested_tensor_from_jagged(values, nested.offsets(), nested.lengths())


def _last_dims(x: Tensor, shape: Sequence[int], *params: Tensor | None) -> Dims:
    """The last dimensions of `x`, which must have this shape, as `params` must."""
    if not isinstance(x, Tensor):
        raise TypeError(f"expected input to be a Tensor, but got {type(x).__name__}")
    rank = len(shape)
    if rank == 0 or x.shape[-rank:] != tuple(shape):
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, of at least one dimension, expected input of "
            f"shape [*, {str(list(shape))[1:-1]}], but got input of shape {list(x.shape)}"
        )
    _check(x, tuple(shape), *params)
    return tuple(range(x.dim() - rank, x.dim()))


def _count(x: Tensor, dims: Dims) -> int:
    """How many values share one statistic; 1 if there are none, to have something to divide by."""
    return torch.Size([x.shape[d] for d in dims]).numel() or 1


def _sum_to(grad: Tensor, shape: Sequence[int]) -> Tensor:
    """Sum over the dimensions that are 1 in `shape`; the others may be those of a piece."""
    dims = [d for d, n in enumerate(shape) if n == 1 != grad.shape[d]]
    return grad.sum(dims, keepdim=True) if dims else grad


def _channel_shape(x: Tensor) -> Dims:
    """The shape in which one number per channel broadcasts against `x` [N, C, *]."""
    if x.dim() < 2:
        raise RuntimeError(f"Expected input of shape [N, C, *], but got shape {list(x.shape)}")
    return (1, x.shape[1]) + (1,) * (x.dim() - 2)


def _wide(x: Tensor | None) -> Tensor | None:
    """At least float32: sums of many half-precision numbers lose their digits."""
    return x if x is None or x.dtype not in _HALF else x.float()


def _check(x: Tensor, shape: Dims, *params: Tensor | None) -> None:
    """Refuse integers, and parameters of another shape or dtype; float32 fits half precision."""
    if not x.is_floating_point():
        raise NotImplementedError(
            f"normalization is not implemented for {x.dtype} {list(x.shape)}: call .float() first"
        )
    names = ("weight", "bias", "running_mean", "running_var")
    given = [(n, p) for n, p in zip(names[: len(params)], params, strict=True) if p is not None]
    for name, p in given:
        if p.shape != shape:
            raise RuntimeError(
                f"{name} of input {list(x.shape)} should be {list(shape)}, not {list(p.shape)}"
            )
    dtypes = (x.dtype, torch.float32) if x.dtype in _HALF else (x.dtype,)
    if not any(all(p.dtype == dtype for _, p in given) for dtype in dtypes):
        raise RuntimeError(
            f"mixed dtype: input of shape {list(x.shape)} is {x.dtype}, but "
            + ", ".join(f"{name} is {p.dtype}" for name, p in given)
        )


def _check_both(running_mean: Tensor | None, running_var: Tensor | None, x: Tensor) -> None:
    """Refuse one running statistic without the other, and any that `x` cannot move."""
    if (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must either both be None or neither")
    if running_mean is None or torch.compiler.is_compiling():
        return
    if torch._C._functorch.is_batchedtensor(x) > torch._C._functorch.is_batchedtensor(running_mean):
        raise RuntimeError(
            "under vmap each element of the batch would need running statistics of its own: call "
            "torch.func.replace_all_batch_norm_modules_(model) first, or track_running_stats=False"
        )


def _one_value(what: str, x: Tensor) -> str:
    return (
        f"Expected more than 1 {what} when training, got input size {list(x.shape)}: "
        "the deviation of a single value from its own mean is always 0"
    )

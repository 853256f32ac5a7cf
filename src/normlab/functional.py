"""The math of normalization, and nothing else.

One function does the work: `normalize` subtracts the mean and divides by the standard deviation
over the dimensions it is given. Batch, layer, instance and group normalization differ in these
dimensions, and in what they remember. Arguments and errors are those of `torch.nn.functional`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

Dims = tuple[int, ...]
_HALF = (torch.bfloat16, torch.float16)


def normalize_backward(
    dy: Tensor, x_hat: Tensor, scale: Tensor, dims: Dims
) -> tuple[Tensor, Tensor, Tensor]:
    """Return `(dx, dgamma, dbeta)` for `y = gamma * x_hat + beta`; gamma is constant over `dims`.

    `scale` is gamma / sigma. With m the number of values that share a mean:
    `dx = scale * (dy - sum(dy) / m - x_hat * sum(dy * x_hat) / m)`.

    Source: Ioffe & Szegedy 2015, section 3, simplified.
    """
    m = _count(x_hat, scale)
    dx = dy * x_hat
    dgamma = dx.sum(dims, keepdim=True)
    dbeta = dy.sum(dims, keepdim=True)
    dx.copy_(dy)  # over the products: fresh memory costs more than the math
    dx.sub_(dbeta, alpha=1 / m).addcmul_(x_hat, dgamma, value=-1 / m).mul_(scale)
    return dx, dgamma, dbeta


def _standardize(x: Tensor, dims: Dims, eps: float) -> tuple[Tensor, ...]:
    """Return `(x_hat, rstd, mean, var)` of `x` over `dims`, and memory of the size of `x`."""
    mean = x.mean(dims, keepdim=True)
    x_hat = x - mean  # before squaring: E[x^2] - E[x]^2 cancels where the mean is large
    squares = x_hat.square()
    var = squares.mean(dims, keepdim=True)
    rstd = (var + eps).rsqrt_()
    return x_hat.mul_(rstd), rstd, mean, var, squares


class _Normalize(torch.autograd.Function):
    """`normalize` with the closed-form backward: autograd would keep and revisit every step.

    gamma and beta, viewed as `shape`, are constant over `dims`.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, dims, eps, shape):
        x_hat, rstd, mean, var, y = _standardize(x, dims, eps)
        if weight is None:
            y.copy_(x_hat)
        else:
            torch.mul(x_hat, weight.view(*shape), out=y)
        if bias is not None:
            y.add_(bias.view(*shape))
        ctx.dims, ctx.shape = dims, shape
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(mean, var)
        # What backward reads is an input or an output: second derivatives flow through it.
        ctx.save_for_backward(x_hat, rstd, weight, bias)
        return y, x_hat, rstd, mean, var

    @staticmethod
    def backward(ctx, dy, dx_hat, drstd, *_):
        x_hat, rstd, weight, bias = ctx.saved_tensors
        dy = torch.zeros_like(x_hat) if dy is None else dy
        scale = rstd if weight is None else rstd * weight.view(*ctx.shape)
        dx, dgamma, dbeta = normalize_backward(dy, x_hat, scale, ctx.dims)
        # The next two are None unless the caller differentiates twice.
        if dx_hat is not None:
            dx = dx + normalize_backward(dx_hat, x_hat, rstd, ctx.dims)[0]
        if drstd is not None:
            dx = dx - x_hat * (drstd * rstd**2 / _count(x_hat, rstd))
        dweight, dbias = _fit(dgamma, weight, ctx.shape), _fit(dbeta, bias, ctx.shape)
        return dx, dweight, dbias, None, None, None


def normalize(
    x: Tensor,
    dims: Dims,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    affine_shape: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalize `x` over `dims`, then scale and shift: the one function behind every layer.

    Args:
        x: floating-point tensor of any shape. Half precision is computed in float32.
        dims: the dimensions whose values share one mean and one variance.
        weight: gamma; None means 1.
        bias: beta, of the shape of gamma; None means 0.
        eps: added to the variance, in the square of the unit of `x`.
        affine_shape: the shape, of the rank of `x`, in which gamma and beta broadcast against `x`;
            by default their own shape.

    Returns:
        `(y, mean, var)`: `y` has the shape and dtype of `x`; the statistics keep the reduced
        dimensions with size 1 and carry no gradient. The variance is biased.
    """
    if x.dtype in _HALF:
        y, mean, var = normalize(x.float(), dims, _wide(weight), _wide(bias), eps, affine_shape)
        return y.to(x.dtype), mean, var
    shape = affine_shape or _affine_shape(x, weight, bias)
    if all(shape[d] == 1 for d in dims):
        y, _, _, mean, var = _Normalize.apply(x, weight, bias, dims, eps, shape)
        return y, mean, var
    # gamma and beta differ between values that share a mean: left to autograd.
    y, _, _, mean, var = _Normalize.apply(x, None, None, dims, eps, shape)
    y = y if weight is None else y * weight.view(*shape)
    y = y if bias is None else y + bias.view(*shape)
    return y, mean, var


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each channel of `x` [N, C, *] over all other dimensions.

    In training the statistics are those of the batch, and the running statistics (both [C]) move
    towards them in place by the fraction `momentum`: the mean towards the batch mean, the variance
    towards the unbiased variance. Otherwise the running statistics take their place.

    Raises:
        ValueError: one value per channel in training, an `eps` that is negative, or 0 in training,
            or one running statistic without the other.
        RuntimeError: a shape or dtype that does not fit, or no running statistics in eval.

    Source: Ioffe & Szegedy 2015 (arXiv 1502.03167); `torch.nn.functional.batch_norm`.
    """
    if eps < 0 or (training and eps == 0):
        raise ValueError(f"batch_norm eps must be positive, but got {eps}")
    shape = _channel_shape(x)
    _check(x, shape[1:2], weight, bias, running_mean, running_var)
    if not training:
        return _normalize_with(x, running_mean, running_var, weight, bias, eps)
    if x.numel() == x.shape[1] > 0:
        raise ValueError(_one_value("value per channel", x))
    _check_both(running_mean, running_var)

    dims = (0, *range(2, x.dim()))
    y, mean, var = normalize(x, dims, weight, bias, eps, shape)
    if running_mean is not None and x.numel() > 0:
        m = _count(x, mean)
        _move(running_mean, mean, momentum)
        _move(running_var, var * (m / (m - 1)), momentum)
    return y


def instance_norm(
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each channel of each sample of `x` [N, C, *] over its spatial dimensions.

    Running statistics, where given, move towards the batch average of the samples' statistics.

    Raises:
        ValueError: one spatial element per channel while the input's statistics are used, or one
            running statistic without the other.
        RuntimeError: a shape or dtype that does not fit, or no running statistics while they are to
            be used.

    Source: Ulyanov et al. 2016 (arXiv 1607.08022); `torch.nn.functional.instance_norm`.
    """
    if use_input_stats and x.shape[2:].numel() == 1:
        raise ValueError(_one_value("spatial element", x))
    shape = _channel_shape(x)
    _check(x, shape[1:2], weight, bias, running_mean, running_var)
    if not use_input_stats:
        return _normalize_with(x, running_mean, running_var, weight, bias, eps)

    _check_both(running_mean, running_var)
    dims = tuple(range(2, x.dim()))
    y, mean, var = normalize(x, dims, weight, bias, eps, shape)
    if running_mean is not None and x.numel() > 0:
        m = _count(x, mean)
        _move(running_mean, mean.mean(0), momentum)
        _move(running_var, var.mean(0) * (m / (m - 1)), momentum)
    return y


def layer_norm(
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each sample of `x` [*, *normalized_shape] over its last dimensions.

    Raises:
        RuntimeError: the input does not end in `normalized_shape`, or a dtype that does not fit.

    Source: Ba et al. 2016 (arXiv 1607.06450); `torch.nn.functional.layer_norm`.
    """
    shape, rank = tuple(normalized_shape), len(normalized_shape)
    if rank == 0 or x.shape[-rank:] != shape:
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, of at least one dimension, expected input of "
            f"shape [*, {str(list(shape))[1:-1]}], but got input of shape {list(x.shape)}"
        )
    _check(x, shape, weight, bias)
    dims = tuple(range(x.dim() - rank, x.dim()))
    return normalize(x, dims, weight, bias, eps)[0]


def group_norm(
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each sample of `x` [N, C, *] over each of `num_groups` groups of channels.

    Raises:
        ValueError: a single sample with one value per group.
        RuntimeError: channels that `num_groups` does not divide, or a shape or dtype that does not
            fit.

    Source: Wu & He 2018 (arXiv 1803.08494); `torch.nn.functional.group_norm`.
    """
    channels = _channel_shape(x)[1]
    if channels % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of "
            f"shape {list(x.shape)} and num_groups={num_groups}"
        )
    if x.numel() == num_groups:
        raise ValueError(_one_value("value per group", x))
    _check(x, (channels,), weight, bias)
    groups = x.reshape(x.shape[0], num_groups, channels // num_groups, *x.shape[2:])
    affine_shape = (1, *groups.shape[1:3]) + (1,) * (x.dim() - 2)  # [1, G, C/G, 1, ...]
    dims = tuple(range(2, groups.dim()))
    return normalize(groups, dims, weight, bias, eps, affine_shape)[0].reshape(x.shape)


def _normalize_with(x, mean, var, weight, bias, eps: float) -> Tensor:
    """Normalize [N, C, *] by given statistics [C]: an affine map, the same for every sample."""
    if mean is None or var is None:
        raise RuntimeError("running_mean and running_var must be defined in evaluation mode")
    shape = _channel_shape(x)
    scale = torch.rsqrt(_wide(var) + eps)
    if weight is not None:
        scale = scale * weight
    y = (_wide(x) - mean.view(shape)) * scale.view(shape)
    if bias is not None:
        y = y + bias.view(shape)
    return y.to(x.dtype)


def _move(running: Tensor, batch: Tensor, momentum: float) -> None:
    """Move `running` [C] towards `batch` [1, C, 1, ...] by the fraction `momentum`, in place."""
    running.lerp_(batch.view(-1).type_as(running), momentum)


def _count(values: Tensor, statistics: Tensor) -> int:
    """How many values share one statistic; 1 if there are none, to have something to divide by."""
    return values.numel() // (statistics.numel() or 1) or 1


def _fit(grad: Tensor, param: Tensor | None, shape: Dims) -> Tensor | None:
    """Give `grad` the shape of `param`; in instance norm, samples that share gamma are summed."""
    if param is None:
        return None
    return (grad if grad.shape == shape else grad.sum_to_size(shape)).view_as(param)


def _affine_shape(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Dims:
    """The shape of gamma and beta, with leading ones up to the rank of `x`."""
    param = bias if weight is None else weight
    own = () if param is None else tuple(param.shape)
    return (1,) * (x.dim() - len(own)) + own


def _channel_shape(x: Tensor) -> Dims:
    """The shape in which one number per channel broadcasts against `x` [N, C, *]."""
    if x.dim() < 2:
        raise RuntimeError(f"Expected input of shape [N, C, *], but got shape {list(x.shape)}")
    return (1, x.shape[1]) + (1,) * (x.dim() - 2)


def _wide(x: Tensor | None) -> Tensor | None:
    """At least float32: sums of many half-precision numbers lose their digits."""
    return x if x is None or x.dtype not in _HALF else x.float()


def _check(x: Tensor, shape: Dims, *params: Tensor | None) -> None:
    """Refuse an integer `x`, and parameters that do not have this shape or the dtype of `x`."""
    if not x.is_floating_point():
        raise NotImplementedError(
            f"normalization is not implemented for {x.dtype} (input of shape {list(x.shape)}): "
            "call .float() first"
        )
    for p in params:
        if p is not None and (p.shape != shape or p.dtype != x.dtype):
            _explain(x, shape, *params)
            break


def _check_both(running_mean: Tensor | None, running_var: Tensor | None) -> None:
    if (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must either both be None or neither")


def _explain(x: Tensor, shape: Dims, *params: Tensor | None) -> None:
    """Raise, unless all that is unusual is half-precision input with float32 parameters."""
    names = ("weight", "bias", "running_mean", "running_var")
    given = {name: p for name, p in zip(names, params, strict=False) if p is not None}
    for name, p in given.items():
        if p.shape != shape:
            raise RuntimeError(
                f"{name} should have shape {list(shape)}, not {list(p.shape)}, "
                f"for input of shape {list(x.shape)}"
            )
    dtypes = {p.dtype for p in given.values()}
    if dtypes != {x.dtype} and not (x.dtype in _HALF and dtypes == {torch.float32}):
        raise RuntimeError(
            f"mixed dtype: input of shape {list(x.shape)} is {x.dtype}, but "
            + ", ".join(f"{name} is {p.dtype}" for name, p in given.items())
        )


def _one_value(what: str, x: Tensor) -> str:
    return (
        f"Expected more than 1 {what} when training, got input size {list(x.shape)}: "
        "the deviation of a single value from its own mean is always 0"
    )

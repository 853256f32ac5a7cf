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
    dy: Tensor, centred: Tensor, rstd: Tensor, scale: Tensor, dims: Dims
) -> tuple[Tensor, Tensor, Tensor]:
    """Return `(dx, dgamma, dbeta)` for `y = scale * centred + beta`, `scale = gamma * rstd`.

    gamma is constant over `dims`. With m the number of values that share a mean and
    x_hat = centred * rstd:  dx = scale * (dy - mean(dy) - x_hat * mean(dy * x_hat)).
    Source: Ioffe & Szegedy 2015, section 3, simplified.
    """
    m = centred.numel() // max(rstd.numel(), 1)
    dbeta = dy.sum(dims, keepdim=True)
    dgamma = (dy * centred).sum(dims, keepdim=True) * rstd
    dx = centred * (dgamma * rstd / -m)
    dx.add_(dy).sub_(dbeta, alpha=1 / m).mul_(
        scale
    )  # in place: fresh memory costs more than the math
    return dx, dgamma, dbeta


class _Normalize(torch.autograd.Function):
    """`normalize` with the closed-form backward: autograd would keep and revisit every step."""

    @staticmethod
    def forward(ctx, x, weight, bias, dims, eps, affine_shape):
        mean = x.mean(dims, keepdim=True)
        centred = x - mean  # before squaring: E[x^2] - E[x]^2 cancels where the mean is large
        y = centred.square()
        var = y.mean(dims, keepdim=True)
        scale = rstd = torch.rsqrt(var + eps)
        # gamma joins the scale where it is constant over `dims` (batch and instance norm).
        joins = weight is not None and all(affine_shape[d] == 1 for d in dims)
        if joins:
            scale = rstd * weight.view(affine_shape)
        torch.mul(centred, scale, out=y)  # into the memory of the squares
        if weight is not None and not joins:
            y.mul_(weight.view(affine_shape))
        if bias is not None:
            y.add_(bias.view(affine_shape))
        ctx.args = dims, affine_shape, joins
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(mean, var)
        # What backward reads is an input or an output: second derivatives flow through it.
        ctx.save_for_backward(centred, rstd, weight, bias)
        return y, centred, rstd, mean, var

    @staticmethod
    def backward(ctx, dy, dcentred, drstd, *_):
        centred, rstd, weight, bias = ctx.saved_tensors
        dims, affine_shape, joins = ctx.args
        dy = torch.zeros_like(centred) if dy is None else dy
        gamma = None if weight is None else weight.view(affine_shape)
        if gamma is None:
            dx, dgamma, dbeta = normalize_backward(dy, centred, rstd, rstd, dims)
        elif joins:
            dx, dgamma, dbeta = normalize_backward(dy, centred, rstd, rstd * gamma, dims)
        else:
            dx, _, _ = normalize_backward(dy * gamma, centred, rstd, rstd, dims)
            dgamma, dbeta = dy * centred * rstd, dy
        # The next two are None unless the caller differentiates twice.
        if dcentred is not None:
            dx = dx + dcentred - dcentred.mean(dims, keepdim=True)
        if drstd is not None:
            m = centred.numel() // rstd.numel()
            dx = dx - centred * (drstd * rstd**3 / m)
        dweight = None if weight is None else dgamma.sum_to_size(affine_shape).view(weight.shape)
        dbias = None if bias is None else dbeta.sum_to_size(affine_shape).view(bias.shape)
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
        weight, bias: gamma and beta; None means 1 and 0.
        eps: added to the variance, in the square of the unit of `x`.
        affine_shape: the shape, of the rank of `x`, in which gamma and beta broadcast against `x`;
            by default their own shape.

    Returns:
        `(y, mean, var)`: `y` has the shape and dtype of `x`; the statistics keep the reduced
        dimensions with size 1 and carry no gradient. The variance is biased.
    """
    if affine_shape is None and (weight is not None or bias is not None):
        affine_shape = (bias if weight is None else weight).shape
    y, _, _, mean, var = _Normalize.apply(
        _wide(x), _wide(weight), _wide(bias), dims, eps, affine_shape
    )
    return y.to(x.dtype), mean, var


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
    towards the *unbiased* variance. Otherwise the running statistics take their place.

    Raises:
        ValueError: one value per channel in training, or an `eps` that is not positive.
        RuntimeError: a channel count or dtype that does not fit, or no running statistics in eval.

    Source: Ioffe & Szegedy 2015 (arXiv 1502.03167); `torch.nn.functional.batch_norm`.
    """
    if training and x.numel() == x.shape[1]:
        raise ValueError(_one_value("value per channel", x.shape))
    if eps < 0 or (training and eps == 0):
        raise ValueError(f"batch_norm eps must be positive, but got {eps}")
    _check(
        "batch_norm",
        x,
        x.shape[1],
        running_mean=running_mean,
        running_var=running_var,
        weight=weight,
        bias=bias,
    )
    if not training:
        return _with_statistics(x, running_mean, running_var, weight, bias, eps)

    dims = (0, *range(2, x.dim()))
    y, mean, var = normalize(x, dims, weight, bias, eps, _channels(x))
    m = x.numel() // max(mean.numel(), 1)
    if m > 0:
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
        ValueError: one spatial element per channel while the input's statistics are used.
        RuntimeError: a channel count or dtype that does not fit.

    Source: Ulyanov et al. 2016 (arXiv 1607.08022); `torch.nn.functional.instance_norm`.
    """
    if use_input_stats and x.shape[2:].numel() == 1:
        raise ValueError(_one_value("spatial element", x.shape))
    _check(
        "instance_norm",
        x,
        x.shape[1],
        running_mean=running_mean,
        running_var=running_var,
        weight=weight,
        bias=bias,
    )
    if not use_input_stats:
        return _with_statistics(x, running_mean, running_var, weight, bias, eps)

    dims = tuple(range(2, x.dim()))
    y, mean, var = normalize(x, dims, weight, bias, eps, _channels(x))
    m = x.shape[2:].numel()
    if x.numel() > 0:
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
    shape, rank = list(normalized_shape), len(normalized_shape)
    if rank == 0:
        raise RuntimeError("Expected normalized_shape to have at least one dimension, but got []")
    if list(x.shape[-rank:]) != shape:
        raise RuntimeError(
            f"Given normalized_shape={shape}, expected input with shape "
            f"[*, {str(shape)[1:-1]}], but got input of size {list(x.shape)}"
        )
    _check("layer_norm", x, weight=weight, bias=bias)
    dims = tuple(range(x.dim() - rank, x.dim()))
    affine_shape = (1,) * (x.dim() - rank) + tuple(shape)
    return normalize(x, dims, weight, bias, eps, affine_shape)[0]


def group_norm(
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each sample of `x` [N, C, *] over each of `num_groups` groups of channels.

    Raises:
        ValueError: one value per group.
        RuntimeError: channels that `num_groups` does not divide, a rank below 2, a channel count or
            dtype that does not fit.

    Source: Wu & He 2018 (arXiv 1803.08494); `torch.nn.functional.group_norm`.
    """
    if x.dim() < 2:
        raise RuntimeError(
            f"Expected at least 2 dimensions for input tensor but received {x.dim()} "
            f"(shape {list(x.shape)})"
        )
    if x.shape[1] % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of "
            f"shape {list(x.shape)} and num_groups={num_groups}"
        )
    if x.numel() == num_groups:
        raise ValueError(_one_value("value per group", x.shape))
    _check("group_norm", x, x.shape[1], weight=weight, bias=bias)
    split = (num_groups, x.shape[1] // num_groups, *x.shape[2:])
    groups = x.reshape(x.shape[0], *split)  # [N, G, C/G, *]
    affine_shape = (1, *split[:2]) + (1,) * (x.dim() - 2)  # [1, G, C/G, 1, ...]
    dims = tuple(range(2, groups.dim()))
    return normalize(groups, dims, weight, bias, eps, affine_shape)[0].view(x.shape)


def _with_statistics(x, mean, var, weight, bias, eps: float) -> Tensor:
    """Normalize [N, C, *] by given statistics [C]: an affine map, the same for every sample."""
    if mean is None or var is None:
        raise RuntimeError("running_mean and running_var must be defined in evaluation mode")
    shape = _channels(x)
    y = (_wide(x) - mean.view(shape)) * torch.rsqrt(_wide(var) + eps).view(shape)
    if weight is not None:
        y = y * weight.view(shape)
    if bias is not None:
        y = y + bias.view(shape)
    return y.to(x.dtype)


def _move(running: Tensor | None, batch: Tensor, momentum: float) -> None:
    """Move `running` [C] towards `batch` [1, C, 1, ...] by the fraction `momentum`, in place."""
    if running is not None:
        running.lerp_(batch.view(-1).to(running.dtype), momentum)


def _channels(x: Tensor) -> tuple[int, ...]:
    """The shape in which one number per channel broadcasts against `x` [N, C, *]."""
    return (1, x.shape[1]) + (1,) * (x.dim() - 2)


def _wide(x: Tensor | None) -> Tensor | None:
    """At least float32: sums of many half-precision numbers lose their digits."""
    return x if x is None or x.dtype not in _HALF else x.float()


def _one_value(what: str, shape: torch.Size) -> str:
    return (
        f"Expected more than 1 {what} when training, got input size {list(shape)}: "
        "the deviation of a single value from its own mean is always 0"
    )


def _check(op: str, x: Tensor, channels: int | None = None, **params: Tensor | None) -> None:
    """Refuse parameters whose size is not `channels` or whose dtype does not go with `x`."""
    if not x.is_floating_point():
        raise NotImplementedError(
            f'"{op}" not implemented for {x.dtype} (input of shape {list(x.shape)}): call .float()'
        )
    for name, p in params.items():
        if p is None:
            continue
        if channels is not None and p.numel() != channels:
            raise RuntimeError(
                f"{name} should contain {channels} elements not {p.numel()}: "
                f"got input of shape {list(x.shape)}, whose dimension 1 holds the channels"
            )
        if p.dtype != x.dtype and not (x.dtype in _HALF and p.dtype == torch.float32):
            raise RuntimeError(
                f"mixed dtype: input of shape {list(x.shape)} is {x.dtype}, {name} is {p.dtype}; "
                "convert one of them with .to(dtype)"
            )

"""Bookkeeping: parameters, buffers, modes. The math is in `functional`.

Every class is a drop-in replacement for the class of the same name in `torch.nn`: the same
arguments and defaults, the same `state_dict` keys, the same results, the same exception types.
It is a subclass of that class too, so that whoever asks `isinstance` finds it, as `update_bn` does.
Of torch's classes it uses how they print, reset statistics and read old states; what the course
teaches is written here.
"""

import numbers
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, fx, nn

from normlab import functional as F


class _Affine(nn.Module):
    """A module with an optional gamma (`weight`, from 1) and beta (`bias`, from 0)."""

    def __call__(self, *args, **kwargs):
        proxies = [x for x in (*args, *kwargs.values()) if isinstance(x, fx.Proxy)]
        if not proxies:
            return super().__call__(*args, **kwargs)
        tracer = proxies[0].tracer  # symbolic tracing: one node, as for a layer of torch

        def node(*args, **kwargs):
            return tracer.create_proxy("call_module", tracer.path_of_module(self), args, kwargs)

        return tracer.call_module(self, node, args, kwargs)

    def _make_affine(self, shape: int | Sequence[int], affine: bool, bias: bool, **factory) -> None:
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            param = nn.Parameter(torch.empty(shape, **factory)) if wanted else None
            self.register_parameter(name, param)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set gamma to 1 and beta to 0."""
        for param, initial in ((self.weight, 1.0), (self.bias, 0.0)):
            if param is not None:
                nn.init.constant_(param, initial)


class _NormBase(_Affine):
    """Parameters and running statistics that batch and instance normalization share."""

    _ranks: tuple[int, ...]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device=None,
        dtype=None,
        *,
        bias: bool = True,
    ) -> None:
        nn.Module.__init__(self)  # not that of torch's class, which makes its own parameters
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        mean = var = count = None
        if track_running_stats:
            mean = torch.empty(num_features, device=device, dtype=dtype)
            var = torch.empty_like(mean)
            count = torch.tensor(0, device=device)
        # Buffers, not attributes: they are saved, loaded and moved with the module.
        self.register_buffer("running_mean", mean)
        self.register_buffer("running_var", var)
        self.register_buffer("num_batches_tracked", count)
        self._make_affine(num_features, affine, bias, device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Reset the running statistics, gamma and beta."""
        self.reset_running_stats()
        super().reset_parameters()

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in self._ranks:
            expected = " or ".join(f"{rank}D" for rank in self._ranks)
            raise ValueError(
                f"expected {expected} input (got {input.dim()}D input of shape {list(input.shape)})"
            )


class _BatchNorm(_NormBase):
    def forward(self, input: Tensor) -> Tensor:
        """Normalize `input` [N, C, *] by the batch (training) or the running statistics (eval)."""
        self._check_input_dim(input)
        mean, var = self.running_mean, self.running_var
        use_batch = self.training or (mean is None and var is None)
        tracking = self.training and self.track_running_stats
        momentum = self._count_batch() if tracking else 0.0
        if self.training and not tracking:
            mean = var = None  # not tracked any more: they stay, and eval mode still uses them
        affine = self.weight, self.bias
        return F.batch_norm(input, mean, var, *affine, use_batch, momentum, self.eps)

    def _count_batch(self) -> float:
        """Count a training batch and return its weight in the running statistics."""
        count, momentum = self.num_batches_tracked, self.momentum
        if count is not None:
            count.add_(1)
            if momentum is None:
                return 1.0 / float(count)  # the average of all batches
        return 0.0 if momentum is None else momentum


class BatchNorm1d(_BatchNorm, nn.BatchNorm1d):
    """Batch normalization of [N, C] or [N, C, L]: each of C channels over N and L.

    Args:
        num_features: number of channels C.
        eps: added to the variance.
        momentum: weight of a new batch in the running statistics; None averages all batches.
        affine: learn gamma (`weight`, [C]) and beta (`bias`, [C]).
        track_running_stats: keep `running_mean` and `running_var` [C] for eval mode.
        bias: with `affine`, learn beta.

    Raises:
        ValueError: wrong rank, or one value per channel in training.
        RuntimeError: wrong number of channels or dtype.

    Source: `torch.nn.BatchNorm1d`; Ioffe & Szegedy 2015 (arXiv 1502.03167).
    """

    _ranks = (2, 3)


class BatchNorm2d(_BatchNorm, nn.BatchNorm2d):
    """Batch normalization as `BatchNorm1d`, of images [N, C, H, W]: each channel over N, H, W."""

    _ranks = (4,)


class BatchNorm3d(_BatchNorm, nn.BatchNorm3d):
    """Batch normalization as `BatchNorm1d`, of volumes [N, C, D, H, W]: over N, D, H, W."""

    _ranks = (5,)


class _InstanceNorm(_NormBase):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device=None,
        dtype=None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def forward(self, input: Tensor) -> Tensor:
        """Normalize each channel of each sample of [N, C, *] or, without a batch, of [C, *]."""
        self._check_input_dim(input)
        unbatched = input.dim() == self._ranks[0]
        x = input.unsqueeze(0) if unbatched else input
        if x.shape[1] != self.num_features:
            message = (
                f"expected input's size at dim={1 - unbatched} to match num_features "
                f"({self.num_features}), but got: {x.shape[1]} (shape {list(input.shape)})"
            )
            if self.affine:
                raise ValueError(message)
            warnings.warn(f"{message}; gamma and beta do not use it: affine=False", stacklevel=3)
        statistics, affine = (self.running_mean, self.running_var), (self.weight, self.bias)
        use_input = self.training or not self.track_running_stats
        momentum = 0.0 if self.momentum is None else self.momentum
        y = F.instance_norm(x, *statistics, *affine, use_input, momentum, self.eps)
        return y.squeeze(0) if unbatched else y


class InstanceNorm1d(_InstanceNorm, nn.InstanceNorm1d):
    """Instance normalization of [N, C, L] or [C, L]: each channel of each sample over L.

    Arguments are those of `BatchNorm1d`, but `affine` and `track_running_stats` default to False,
    and with `momentum=None` the running statistics never move.

    Raises:
        ValueError: wrong rank, one spatial element, or (with `affine`) a wrong channel count.

    Source: `torch.nn.InstanceNorm1d`; Ulyanov et al. 2016 (arXiv 1607.08022).
    """

    _ranks = (2, 3)


class InstanceNorm2d(_InstanceNorm, nn.InstanceNorm2d):
    """Instance normalization of [N, C, H, W] or [C, H, W]. Source: `torch.nn.InstanceNorm2d`."""

    _ranks = (3, 4)


class InstanceNorm3d(_InstanceNorm, nn.InstanceNorm3d):
    """Instance normalization of [(N,) C, D, H, W]. Source: `torch.nn.InstanceNorm3d`."""

    _ranks = (4, 5)


class _LastDims(_Affine):
    def _make(self, normalized_shape, eps, elementwise_affine, bias, **factory) -> None:
        nn.Module.__init__(self)
        number = isinstance(normalized_shape, numbers.Integral)  # of NumPy too
        self.normalized_shape = (normalized_shape,) if number else tuple(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self._make_affine(self.normalized_shape, elementwise_affine, bias, **factory)


class LayerNorm(_LastDims, nn.LayerNorm):
    """Layer normalization: each sample over its last dimensions, which are `normalized_shape`.

    Args:
        normalized_shape: the shape in which the input ends; an int means its last dimension.
        eps: added to the variance.
        elementwise_affine: learn gamma and beta, one number per element of `normalized_shape`.
        bias: with `elementwise_affine`, learn beta.

    Raises:
        RuntimeError: the input does not end in `normalized_shape`, or has another dtype.

    Source: `torch.nn.LayerNorm`; Ba et al. 2016 (arXiv 1607.06450).
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device=None,
        dtype=None,
    ) -> None:
        self._make(normalized_shape, eps, elementwise_affine, bias, device=device, dtype=dtype)

    def forward(self, input: Tensor) -> Tensor:
        """Normalize `input` [*, *normalized_shape], in training and eval alike."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)


class RMSNorm(_LastDims, nn.RMSNorm):
    """RMS normalization: each sample divided by the root mean square over its last dimensions.

    Args:
        normalized_shape: as in `LayerNorm`.
        eps: added to the mean square; None is the machine epsilon of the input, at least float32's.
        elementwise_affine: learn gamma, one number per element of `normalized_shape`.

    Raises:
        RuntimeError: as in `LayerNorm`.

    Source: `torch.nn.RMSNorm`; Zhang & Sennrich 2019 (arXiv 1910.07467).
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device=None,
        dtype=None,
    ) -> None:
        self._make(normalized_shape, eps, elementwise_affine, False, device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Divide `x` [*, *normalized_shape], in training and eval alike."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)


class GroupNorm(_Affine, nn.GroupNorm):
    """Group normalization of [N, C, *]: each sample over each of `num_groups` groups of channels.

    Args:
        num_groups: G; 1 is layer normalization over [C, *], C is instance normalization.
        num_channels: C, a multiple of `num_groups`.
        eps: added to the variance.
        affine: learn gamma and beta, one number per channel.
        bias: with `affine`, learn beta.

    Raises:
        ValueError: `num_groups` does not divide `num_channels`, or one value per group.
        RuntimeError: wrong number of channels or dtype.

    Source: `torch.nn.GroupNorm`; Wu & He 2018 (arXiv 1803.08494).
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device=None,
        dtype=None,
        *,
        bias: bool = True,
    ) -> None:
        nn.Module.__init__(self)
        if num_channels % num_groups:
            raise ValueError(
                f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self._make_affine(num_channels, affine, bias, device=device, dtype=dtype)

    def forward(self, input: Tensor) -> Tensor:
        """Normalize `input` [N, C, *], in training and eval alike."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

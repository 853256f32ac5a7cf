"""Batch normalization over the batches of several processes, on any device.

`torch.nn.SyncBatchNorm` does the same on a GPU and refuses a CPU. Here a step is a few lines to be
read, and autograd differentiates them: it takes more time and memory than torch's closed form.
"""

from __future__ import annotations  # a build of torch may lack ProcessGroup

import torch
from torch import Tensor, nn
from torch import distributed as dist

from normlab import functional as F
from normlab.layers import _BatchNorm


class AllReduce(torch.autograd.Function):
    """The sum of a tensor over the processes of a group, known to all of them.

    What one process holds enters the results of all, so its gradient is a sum over them too.
    """

    @staticmethod
    def forward(ctx, x, group):
        ctx.group = group
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx, dy):
        return AllReduce.apply(dy, ctx.group), None


def moments(x: Tensor) -> Tensor:
    """Return count, mean, and sum of squares around it of each channel of `x` [N, C, *]: [3, C].

    Without a value (N = 0) all three are 0.
    """
    values = x.transpose(0, 1).flatten(1)  # [C, m]
    count = x.new_full(values.shape[:1], values.shape[1])
    mean = values.sum(1) / count.clamp(min=1)
    squares = (values - mean[:, None]).square().sum(1)
    return torch.stack([count, mean, squares])


def combine(parts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return count, mean and biased variance [C] of all values from `moments` of parts [R, 3, C].

    A variance of parts is more than the average of their variances: the means differ too.

    Source: Chan, Golub & LeVeque 1979, for any number of parts.
    """
    count, mean, squares = parts.unbind(1)  # [R, C] each
    total = count.sum(0)
    m = total.clamp(min=1)
    center = (count * mean).sum(0) / m
    between = (count * (mean - center).square()).sum(0)
    return total, center, (squares.sum(0) + between) / m


def all_moments(x: Tensor, group: dist.ProcessGroup | None = None) -> Tensor:
    """Return the `moments` of every process [R, 3, C]: each writes its row, and rows are added."""
    own = moments(x)
    parts = own.new_zeros(dist.get_world_size(group), *own.shape)
    parts[dist.get_rank(group)] = own
    return AllReduce.apply(parts, group)


class SyncBatchNorm(_BatchNorm, nn.modules.batchnorm._BatchNorm):
    """Batch normalization of [N, C, *] over N, * and all processes of a group.

    In training every process must call it equally often; one without samples passes [0, C, *].
    The result on all processes, its gradient and the running statistics are those of one process
    with the whole batch. In eval mode, and without a process group, it is `BatchNorm`.

    It is no subclass of `torch.nn.SyncBatchNorm`: `DistributedDataParallel` refuses that class on a
    CPU. The `convert_sync_batchnorm` of that class makes a layer of torch of this one.

    Args:
        num_features: number of channels C.
        eps: added to the variance.
        momentum: weight of a new batch in the running statistics; None averages all batches.
        affine: learn gamma (`weight`, [C]) and beta (`bias`, [C]).
        track_running_stats: keep `running_mean` and `running_var` [C] for eval mode.
        process_group: the processes that share statistics; None means all.
        bias: with `affine`, learn beta.

    Raises:
        ValueError: less than two dimensions, or one value per channel in training.
        RuntimeError: wrong number of channels or dtype; another process died or is late.

    Source: `torch.nn.SyncBatchNorm`.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: dist.ProcessGroup | None = None,
        device=None,
        dtype=None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )
        self.process_group = process_group

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2D input (got {input.dim()}D input)")

    def forward(self, input: Tensor) -> Tensor:
        """Normalize `input` [N, C, *] by the batches of all processes, or by running statistics."""
        group = self.process_group
        ready = dist.is_available() and dist.is_initialized()
        if not (self.training and ready and dist.get_world_size(group) > 1):
            return super().forward(input)
        self._check_input_dim(input)
        x, shape = F._wide(input), F._channel_shape(input)
        statistics = self.running_mean, self.running_var
        F._check(input, shape[1:2], self.weight, self.bias, *statistics)
        count, mean, var = combine(all_moments(x, group))
        m = int(count[0]) if len(count) else 0
        if m == 1:
            raise ValueError(F._one_value("value per channel on all processes", input))
        if self.track_running_stats:
            momentum = self._count_batch()
            if self.running_mean is not None and m:
                F._move(self.running_mean, mean, momentum)
                F._move(self.running_var, var * (m / (m - 1)), momentum)
        y = (x - mean.view(shape)) * torch.rsqrt(var + self.eps).view(shape)
        y = y if self.weight is None else y * self.weight.view(shape)
        y = y if self.bias is None else y + self.bias.view(shape)
        return y.to(input.dtype)

    @classmethod
    def convert_sync_batchnorm(
        cls, module: nn.Module, process_group: dist.ProcessGroup | None = None
    ) -> nn.Module:
        """Put this layer in the place of every batch normalization of torch or normlab in `module`.

        Parameters and statistics stay the same tensors, so an optimizer need not know.

        Returns:
            `module` itself, or the new layer if it is a batch normalization.

        Raises:
            ValueError: a lazy layer has not seen a batch.
        """
        made = {}
        for old in module.modules():
            if not isinstance(old, nn.modules.batchnorm._BatchNorm):
                continue
            if not old.num_features:
                raise ValueError(f"{type(old).__name__} has no parameters yet: pass a batch first")
            settings = old.num_features, old.eps, old.momentum, old.affine, old.track_running_stats
            new = made[old] = cls(*settings, process_group, device="meta")
            for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
                setattr(new, name, getattr(old, name))
            new.train(old.training)
        for parent in [*module.modules()]:
            for name, child in parent._modules.items():  # one layer may have two names
                parent._modules[name] = made.get(child, child)
        return made.get(module, module)

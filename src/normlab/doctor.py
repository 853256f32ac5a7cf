"""What normalization does wrong in silence: `examine` a model and a batch, and read the findings::

    for finding in examine(model, images):
        print(finding)

The model is run without gradients, and is as before afterwards: modes, buffers, gradients, hooks,
random numbers. Meanwhile BN layers use the statistics of the batch and dropout is active, as in
training, so that what is wrong in one layer does not show in those behind it.
"""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm

_NORMS = _BatchNorm, _InstanceNorm, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm
_AFFINE = nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d
_SHIFT, _STRETCH, _SAMPLES, _NOISE = 0.75, 2.5, 64, 1.1  # see `examine`
_CURES = {
    "not-finite": "go back to a checkpoint, skip batches that are not finite, and lower the rate",
    "momentum-zero": "set momentum to 0.1, and train or call update_bn",
    "momentum-none": "set momentum to 0.1 to train; None suits one pass of update_bn",
    "never-updated": "load the buffers with the weights (strict=True), or call update_bn",
    "statistics-differ": "prepare the data as in training; if they are, call update_bn on training "
    "data, not on batches unlike them, which would harm",
    "frozen-moving": "call eval() on the layer after every model.train()",
    "dropout-before-norm": "move dropout behind the last BN, or call update_bn without dropout",
    "one-value": "use larger batches (drop_last=True) or maps, or eval mode, or another norm",
    "small-gamma": "remove these channels, or take gamma out of L1 penalty and weight decay",
    "decayed": "put it into a parameter group of weight_decay=0",
    "dead-bias": "make it with bias=False",
}


@dataclass(frozen=True)
class Finding:
    """A fault: in which layer (as in `named_modules`), of which kind, what was seen, the cure."""

    layer: str
    kind: str
    says: str
    cure: str

    def __str__(self) -> str:
        return f"{self.layer or 'model'} [{self.kind}] {self.says}. Cure: {self.cure}."


@dataclass
class _Seen:
    """What reached a norm: means and variances [N, C] of the channels of each sample, and more."""

    means: list[Tensor] = field(default_factory=list)
    variances: list[Tensor] = field(default_factory=list)
    single: list[int] | None = None  # shape of an input with one value for each mean
    dead: set[nn.Module] = field(default_factory=set)

    def moments(self, pooled: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean, variance and squared standard error of the mean, each [C]."""
        means, inside = torch.cat(self.means), torch.cat(self.variances).mean(0)
        between = means.var(0, correction=0)
        return means.mean(0), inside + between if pooled else inside, between / len(means)


def examine(
    model: nn.Module,
    *batches: Tensor | Sequence[Any] | Mapping[str, Any],
    optimizer: torch.optim.Optimizer | None = None,
    waste: bool = False,
) -> list[Finding]:
    """Return what looks wrong with the normalization layers of `model`, in the mode in which it is.

    It judges by the batches that it gets: those of one class, or of other data, differ from what a
    healthy model has stored. `update_bn` restarts the count of batches, so ask in eval mode then.

    Running statistics differ where, over the channels of a layer, the root mean square distance of
    the means is over 0.75 standard deviations, sampling error subtracted, or the variances are
    apart by a factor over 2.5 (geometric mean). LeNet-5 and a ResNet, trained for an epoch at rates
    up to 1, reach 0.4 and 1.7; pixels of 0..1 instead of -1..1 bring at least 0.8. Samples count,
    not pixels, from 64 on. A layer in training mode is judged after 10 / momentum batches; in eval
    mode at once, and there alone it is a fault to have had none.

    Dropout counts where it changes the variance by 10 %. Gammas are small under 1/1000 of the
    layer's largest, if a tenth of them is; where all are 0, as at the end of a residual branch,
    that is a choice. Not seen: what eval mode does not reach, functional dropout, and whether
    something besides BN reads the output that has a dead bias.

    Args:
        model: any module, also one in DataParallel or DistributedDataParallel.
        batches: what the model is called with: a tensor, several arguments as a tuple, or keyword
            arguments as a mapping; no targets. None finds what shows without data.
        optimizer: to find parameters of norms with weight decay.
        waste: report biases in front of BN too, which do no harm and nothing else.

    Raises:
        TypeError: `model` is no module, or compiled by `torch.jit`.
        ValueError: layers without parameters yet, another device, an optimizer of another model.
    """
    _check(model, batches, optimizer)
    layers = {m: name for name, m in model.named_modules()}
    tracking = [m for m in layers if getattr(m, "running_mean", None) is not None]
    findings = [
        Finding("", "not-finite", f"batch {i} holds NaN or inf", "mend or skip such batches")
        for i, batch in enumerate(batches)
        if not all(_finite(x) for x in _tensors(batch))
    ]
    seen = _run(model, batches, dropout=True)
    dropout = any(isinstance(m, _DropoutNd) and m.p > 0 for m in layers) and tracking
    still = _run(model, batches, dropout=False) if dropout else {}
    decayed = {
        p: group["weight_decay"]
        for group in (optimizer.param_groups if optimizer else ())
        for p in group["params"]
        if group.get("weight_decay")
    }
    for layer, name in layers.items():
        for kind, says in _faults(layer, seen.get(layer), still.get(layer), decayed):
            findings.append(Finding(name, kind, says, _CURES[kind]))
        if waste and layer in seen and (layer.training or not model.training):
            says = f"{name or 'the layer behind it'} subtracts its bias"
            for source in seen[layer].dead:
                findings.append(Finding(layers[source], "dead-bias", says, _CURES["dead-bias"]))
    return findings


def _faults(
    layer: nn.Module, seen: _Seen | None, still: _Seen | None, decayed: Mapping[Tensor, float]
) -> Iterator[tuple[str, str]]:
    """Yield kind and sentence of each fault of `layer`."""
    own = {
        **dict(layer.named_parameters(recurse=False)),
        **dict(layer.named_buffers(recurse=False)),
    }
    broken = [name for name, tensor in own.items() if not _finite(tensor)]
    if broken:
        yield "not-finite", f"NaN or inf in {', '.join(broken)}"
    if not isinstance(layer, _NORMS):
        return
    affine = [p for p in (layer.weight, getattr(layer, "bias", None)) if p is not None]
    rates = {decayed[p] for p in affine if p in decayed}
    if rates:
        yield "decayed", f"gamma or beta has a weight decay of {max(rates):g}"
    if affine:
        gamma = affine[0].detach().abs()
        small = (gamma < gamma.max() / 1000).double().mean().item()
        if small >= 0.1:
            yield "small-gamma", f"gamma is nearly zero in {small:.0%} of the channels"
    moving = isinstance(layer, _BatchNorm | _InstanceNorm)
    if seen and seen.single and not (moving and layer.track_running_stats and not layer.training):
        yield "one-value", f"an input {seen.single} has one value for each mean"
    if moving and layer.running_mean is not None:
        yield from _statistics(layer, affine, seen, still)


def _statistics(
    layer: _BatchNorm | _InstanceNorm,
    affine: list[Tensor],
    seen: _Seen | None,
    still: _Seen | None,
) -> Iterator[tuple[str, str]]:
    pooled = isinstance(layer, _BatchNorm)
    mean, var = (x.double().cpu() for x in (layer.running_mean, layer.running_var))
    momentum, count = layer.momentum, layer.num_batches_tracked
    stuck = momentum == 0 or (momentum is None and not pooled)
    if stuck:
        yield "momentum-zero", f"momentum is {momentum}: the running statistics never move"
    elif momentum is None:
        yield "momentum-none", "momentum is None: the first batches weigh as much as the last"
    moves = layer.training and layer.track_running_stats and not stuck
    if moves and affine and not any(p.requires_grad for p in affine):
        yield "frozen-moving", "gamma and beta are frozen, the running statistics still move"
    enough = seen and sum(map(len, seen.means)) >= _SAMPLES
    if enough and still and still.means:
        noisy, quiet = (x.moments(pooled)[1] + layer.eps for x in (seen, still))
        ratio = (noisy / quiet).log().mean().exp().item()
        if max(ratio, 1 / ratio) > _NOISE:
            yield "dropout-before-norm", f"dropout multiplies the variance it gets by {ratio:.2f}"
    if bool((mean == 0).all() and (var == 1).all()):
        if not layer.training and not stuck:
            yield "never-updated", "the running statistics are 0 and 1, as at the beginning"
    elif enough and not stuck and _finite(mean) and _finite(var):
        early = pooled and momentum and count is not None and int(count) < 10 / momentum
        now, now_var, error = seen.moments(pooled)
        squares = ((now - mean).square() - error).clamp(min=0) / (var + layer.eps)
        shift = squares.mean().sqrt().item()
        ratios = (now_var + layer.eps) / (var + layer.eps)
        stretch = ratios.log().abs().mean().exp().item()
        if (shift > _SHIFT or stretch > _STRETCH) and not (layer.training and early):
            yield (
                "statistics-differ",
                f"the running means are {shift:.1f} standard deviations from those of the batches, "
                f"the variances a factor of {stretch:.1f}",
            )


def _run(model: nn.Module, batches: Sequence[Any], dropout: bool) -> dict[nn.Module, _Seen]:
    """Call `model` with each batch and return what each norm got."""
    seen: dict[nn.Module, _Seen] = {}
    wrapped = nn.DataParallel, nn.parallel.DistributedDataParallel
    call = model.module if isinstance(model, wrapped) else model
    stance = torch.compiler.set_stance if "torch._dynamo" in sys.modules else nullcontext
    with _as_before(model), torch.no_grad(), stance("force_eager"):  # compiled code has no hooks
        hooks = []
        try:
            for m in model.modules():
                m.training = isinstance(m, _InstanceNorm) or (dropout and isinstance(m, _DropoutNd))
                if isinstance(m, _NORMS):
                    look = lambda m, args, kwargs: _look(  # noqa: E731
                        m, next(iter((*args, *kwargs.values()))), seen.setdefault(m, _Seen())
                    )
                    hooks.append(m.register_forward_pre_hook(look, with_kwargs=True))
                elif isinstance(m, _AFFINE) and m.bias is not None:
                    hooks.append(m.register_forward_hook(_sign))
            for batch in batches:
                try:
                    if isinstance(batch, Mapping):
                        call(**batch)
                    else:
                        call(*([batch] if isinstance(batch, Tensor) else batch))
                except Exception as error:
                    if any(s.single for s in seen.values()):  # then this is why
                        continue
                    error.add_note("examine called the model with a batch: a tensor, or a tuple "
                                   "of the arguments of forward, without targets")  # fmt: skip
                    raise
        finally:
            for hook in hooks:
                hook.remove()
    return seen


def _look(layer: nn.Module, x: Tensor, seen: _Seen) -> None:
    """Note what `layer` gets; have BN normalize by it, in eval mode."""
    shape = list(x.shape)
    if isinstance(layer, nn.LayerNorm | nn.RMSNorm):
        values = math.prod(layer.normalized_shape)
    elif isinstance(layer, nn.GroupNorm):
        values = x[0].numel() // layer.num_groups if len(x) else 0
    else:
        if isinstance(layer, _InstanceNorm) and x.dim() == layer._get_no_batch_dim():
            x = x.unsqueeze(0)
        numbers = x.detach().to("cpu", torch.float64).reshape(*x.shape[:2], -1)  # [N, C, values]
        per_batch = isinstance(layer, _BatchNorm)
        values = numbers.shape[2] * (len(numbers) if per_batch else 1)
        if values:
            seen.means.append(numbers.mean(2))
            seen.variances.append(numbers.var(2, correction=0))
        if per_batch and values:
            like = next(t for t in (layer.weight, layer.running_mean, x) if t is not None)
            var, mean = torch.var_mean(numbers, (0, 2), correction=0)
            for name, value in (("running_mean", mean), ("running_var", var)):
                layer._buffers[name] = value.to(like)
        root = x if x._base is None else x._base
        source, version, layout = getattr(root, "_normlab_source", (None, None, None))
        if source is not None and version == root._version and _owned(x, layout):
            seen.dead.add(source)
    if values == 1:
        seen.single = shape


def _sign(layer: nn.Module, args: tuple, y: Tensor) -> None:
    """Write on the output whose it is: its views lead there too, its version tells changes."""
    root = y if y._base is None else y._base
    axis = y.dim() - 1 - len(getattr(layer, "kernel_size", ()))
    root._normlab_source = layer, root._version, (y.shape, y.stride(), y.storage_offset(), axis)


def _owned(x: Tensor, layout: tuple) -> bool:
    """Does each channel of `x`, a view, hold one channel of the output with this layout?"""
    shape, stride, offset, axis = layout
    if x.numel() != shape.numel():
        return False
    names = torch.full((x.untyped_storage().nbytes() // x.element_size(),), -1)
    column = [-1 if i == axis else 1 for i in range(len(shape))]
    names.as_strided(shape, stride, offset).copy_(torch.arange(shape[axis]).view(column))
    rows = names.as_strided(x.shape, x.stride(), x.storage_offset()).movedim(1, 0).flatten(1)
    return bool((rows == rows[:, :1]).all())


@contextmanager
def _as_before(model: nn.Module) -> Iterator[None]:
    """Put modes, buffers and random numbers back; meanwhile the buffers are copies."""
    kept = [(m, m.training, dict(m._buffers)) for m in model.modules()]
    devices = {t.device for t in _tensors([*model.parameters(), *model.buffers()])}
    others = [d for d in devices if d.type != "cpu"]
    kind = others[0].type if others else "cuda"
    with torch.random.fork_rng([d.index or 0 for d in others], device_type=kind):
        torch.random.default_generator.manual_seed(0)
        try:
            for m, _, buffers in kept:
                m._buffers.update({k: b if b is None else b.clone() for k, b in buffers.items()})
            yield
        finally:
            for m, training, buffers in kept:
                m.training = training
                m._buffers.clear()
                m._buffers.update(buffers)


def _check(model: Any, batches: Sequence[Any], optimizer: torch.optim.Optimizer | None) -> None:
    if not isinstance(model, nn.Module) or isinstance(model, torch.jit.ScriptModule):
        raise TypeError(f"model is a {type(model).__name__}: pass an nn.Module written in Python")
    for name, m in model.named_modules():
        if isinstance(m, nn.modules.lazy.LazyModuleMixin) and m.has_uninitialized_params():
            raise ValueError(f"{name!r} has no parameters yet: call the model with a batch first")
    devices = {t.device for t in (*model.parameters(), *model.buffers())}
    if any(device.type == "meta" for device in devices):
        raise ValueError(
            "the model is on meta, without numbers: call model.to_empty(device='cpu') and load them"
        )
    for i, batch in enumerate(batches):
        away = {t.device for t in _tensors(batch)}
        if away and devices and away.isdisjoint(devices):
            raise ValueError(
                f"batch {i} is on {', '.join(map(str, away))}, the model on "
                f"{', '.join(map(str, devices))}: move one of them"
            )
    if optimizer is not None:
        held = {p for group in optimizer.param_groups for p in group["params"]}
        if held.isdisjoint(model.parameters()):
            raise ValueError(
                f"the {type(optimizer).__name__} holds no parameter of the model: build it from "
                "model.parameters()"
            )


def _tensors(batch: Any) -> list[Tensor]:
    if isinstance(batch, Tensor):
        return [batch]
    values = batch.values() if isinstance(batch, Mapping) else batch
    return [x for x in values if isinstance(x, Tensor)]


def _finite(x: Tensor) -> bool:
    return not x.is_floating_point() or bool(x.isfinite().all())

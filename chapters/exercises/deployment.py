"""The exercises of the chapter on deployment."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from normlab.exercise import Exercise


class _OfWeights(Exercise):
    """An exercise on weights: what is off by one factor misses no mean and no variance."""

    def _difference(self, found: Any, expected: Any) -> str:
        said = super()._difference(found, expected)
        return said.replace(", as by a mean", "").replace(", as by a variance", "")


def _folded_bias(bias: Tensor | None, bn: _BatchNorm) -> Tensor:
    scale = bn.weight.detach() / torch.sqrt(bn.running_var + bn.eps)
    bias = 0 if bias is None else bias
    return bn.bias.detach() + scale * (bias - bn.running_mean)


def _bn(size: int, seed: int, eps: float = 1e-5) -> nn.BatchNorm1d:
    """A layer whose statistics, gamma and beta are no defaults."""
    draw = torch.Generator().manual_seed(seed)
    bn = nn.BatchNorm1d(size, eps=eps).eval()
    with torch.no_grad():
        bn.weight.copy_(0.5 + torch.rand(size, generator=draw))
        bn.bias.copy_(torch.randn(size, generator=draw))
        bn.running_mean.copy_(torch.randn(size, generator=draw))
        bn.running_var.copy_(0.2 + 3 * torch.rand(size, generator=draw))
    return bn


def _scale(bn: _BatchNorm) -> Tensor:
    return bn.weight.detach() / torch.sqrt(bn.running_var + bn.eps)


def _zero(bias: Tensor | None) -> Tensor | int:
    return 0 if bias is None else bias


folded_bias = _OfWeights(
    _folded_bias,
    cases=[
        (torch.tensor([1.0, -2.0, 0.5]), _bn(3, seed=0)),
        (torch.tensor([0.3, 0.2]), _bn(2, seed=1, eps=0.5)),
        (None, _bn(3, seed=2)),
    ],
    observe=lambda b: b.detach() if isinstance(b, Tensor) else b,
    tolerance=1e-5,
    mistakes=[
        (
            lambda bias, bn: bn.bias.detach() - _scale(bn) * bn.running_mean,
            "a bias that the layer had is lost. What does BN do with the value that comes in?",
        ),
        (
            lambda bias, bn: _zero(bias) + bn.bias.detach() - _scale(bn) * bn.running_mean,
            "the layer's bias arrives unscaled. Does BN scale what comes in, or a part of it?",
        ),
        (
            lambda bias, bn: _scale(bn) * _zero(bias) + bn.bias.detach() - bn.running_mean,
            "the running mean arrives unscaled. Does BN subtract it before it scales, or after?",
        ),
        (
            lambda bias, bn: _zero(bias) + bn.bias.detach() - bn.running_mean,
            "nothing is scaled. Which of the three numbers does BN multiply?",
        ),
        (
            lambda bias, bn: _scale(bn) * (_zero(bias) - bn.running_mean),
            "beta is missing. What does BN add at the end?",
        ),
        (
            lambda bias, bn: bn.bias.detach() + _scale(bn) * (_zero(bias) + bn.running_mean),
            "you add the running mean. What does BN do with it?",
        ),
        (
            lambda bias, bn: (
                bn.bias.detach()
                + bn.weight.detach() / torch.sqrt(bn.running_var) * (_zero(bias) - bn.running_mean)
            ),
            "with a large eps it is wrong. Where does BN add eps?",
        ),
        (
            lambda bias, bn: (
                bn.bias.detach()
                + bn.weight.detach() / (bn.running_var + bn.eps) * (_zero(bias) - bn.running_mean)
            ),
            "you divide by the variance. By what does BN divide?",
        ),
        (
            lambda bias, bn: (
                bn.bias.detach()
                + bn.weight.detach()
                / (torch.sqrt(bn.running_var) + bn.eps)
                * (_zero(bias) - bn.running_mean)
            ),
            "you add eps to the standard deviation. To what does BN add it?",
        ),
        (
            lambda bias, bn: (
                bn.bias.detach()
                + (_zero(bias) - bn.running_mean) / torch.sqrt(bn.running_var + bn.eps)
            ),
            "gamma is missing. What multiplies the normalized value?",
        ),
    ],
)


_AFFINE = nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d


def _foldable(layers: nn.Sequential) -> list[int]:
    return [
        i
        for i in range(1, len(layers))
        if isinstance(layers[i], _BatchNorm)
        and layers[i].running_var is not None
        and not layers[i].training
        and isinstance(layers[i - 1], _AFFINE)
    ]


def _chains() -> list[tuple[nn.Sequential]]:
    plain = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.BatchNorm2d(8)
    )
    first = nn.Sequential(
        nn.BatchNorm1d(4), nn.Linear(4, 6), nn.BatchNorm1d(6, affine=False), nn.ReLU(),
        nn.Linear(6, 6), nn.BatchNorm1d(6, track_running_stats=False),
        nn.Linear(6, 6), nn.BatchNorm1d(6),
    )  # fmt: skip
    mixed = nn.Sequential(
        nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.Conv1d(4, 4, 3), nn.GroupNorm(2, 4),
        nn.Conv1d(4, 4, 3), nn.InstanceNorm1d(4, affine=True, track_running_stats=True),
        nn.Conv1d(4, 6, 1), nn.BatchNorm1d(6), nn.BatchNorm1d(6),
    ).eval()  # fmt: skip
    mixed[7].train()
    again = nn.Sequential(
        nn.Linear(3, 3), nn.BatchNorm1d(3), nn.BatchNorm1d(3),
        nn.ConvTranspose1d(3, 3, 2), nn.BatchNorm1d(3),
    )  # fmt: skip
    return [(plain.eval(),), (first.eval(),), (mixed,), (again.eval(),)]


def _where(wanted) -> list:
    return lambda layers: [i for i in range(len(layers)) if wanted(layers, i)]


def _is_bn(layers: nn.Sequential, i: int) -> bool:
    return isinstance(layers[i], _BatchNorm)


def _behind(layers: nn.Sequential, i: int) -> bool:
    return i > 0 and isinstance(layers[i - 1], _AFFINE)


def _tracks(layers: nn.Sequential, i: int) -> bool:
    return layers[i].running_var is not None


foldable = Exercise(
    _foldable,
    cases=_chains(),
    observe=lambda found: found if isinstance(found, int) else [i + 0 for i in found],
    mistakes=[
        (
            _where(_is_bn),
            "all BN layers are on your list. Which of them stands behind a layer that is affine?",
        ),
        (
            _where(lambda m, i: _is_bn(m, i) and _behind(m, i)),
            "a layer without running statistics is on your list, or one in training mode. Are "
            "those constants?",
        ),
        (
            _where(lambda m, i: _is_bn(m, i) and _behind(m, i) and _tracks(m, i)),
            "a layer in training mode is on your list. What does it normalize with?",
        ),
        (
            _where(lambda m, i: _is_bn(m, i) and _behind(m, i) and not m[i].training),
            "a layer without running statistics is on your list. What does it normalize with?",
        ),
        (
            _where(
                lambda m, i: _is_bn(m, i) and _behind(m, i) and _tracks(m, i)
                and not m[i].training and m[i].affine
            ),
            "a layer without gamma and beta is not on your list. What are the two then?",
        ),
        (
            _where(
                lambda m, i: _is_bn(m, i) and _behind(m, i) and _tracks(m, i)
                and not m[i].training and m[i - 1].bias is not None
            ),
            "a layer behind one without a bias is not on your list. Can a folded layer get one?",
        ),
        (
            _where(
                lambda m, i: _is_bn(m, i) and i > 0
                and isinstance(m[i - 1], (*_AFFINE, _BatchNorm))
                and _tracks(m, i) and not m[i].training
            ),
            "a BN layer behind another BN is on your list. Into which kinds of layers does this "
            "exercise fold?",
        ),
        (
            _where(
                lambda m, i: _is_bn(m, i) and i > 0
                and isinstance(m[i - 1], (nn.Linear, _ConvNd))
                and _tracks(m, i) and not m[i].training
            ),
            "a layer behind a transposed convolution is on your list. Which kinds does this "
            "exercise leave out?",
        ),
        (
            lambda layers: [i - 1 for i in _foldable(layers)],
            "those are the layers in front. Which indices have the BN layers?",
        ),
        (
            lambda layers: len(_foldable(layers)),
            "you return how many there are. Which are they?",
        ),
    ],
)  # fmt: skip


def _rounded(weight: Tensor, per_channel: bool) -> Tensor:
    dims = [*range(1, weight.dim())] if per_channel else [*range(weight.dim())]
    step = weight.abs().amax(dims, keepdim=True) / 127
    return torch.round(weight / step) * step


def _weights() -> list[tuple[Tensor, bool]]:
    draw = torch.Generator().manual_seed(3)
    matrix = torch.randn(3, 4, generator=draw) * torch.tensor([[1.0], [0.1], [8.0]])
    matrix[2, 0] = -20.0  # the largest is negative
    conv = torch.randn(2, 3, 3, 3, generator=draw) * torch.tensor([0.2, 5.0]).view(2, 1, 1, 1)
    return [(matrix, False), (matrix, True), (conv, True), (conv, False)]


def _by(reach, steps: int = 127, rounding=torch.round):
    """A quantizer of this reach per channel and per tensor."""

    def quantize(weight: Tensor, per_channel: bool) -> Tensor:
        dims = [*range(1, weight.dim())] if per_channel else [*range(weight.dim())]
        step = reach(weight, dims) / steps
        return rounding(weight / step) * step

    return quantize


def _largest(weight: Tensor, dims: list[int]) -> Tensor:
    return weight.abs().amax(dims, keepdim=True)


rounded = _OfWeights(
    _rounded,
    cases=_weights(),
    tolerance=1e-5,
    mistakes=[
        (
            _by(lambda w, dims: w.amax(dims, keepdim=True)),
            "the largest weight may be negative. Which number must 127 stand for?",
        ),
        (
            _by(_largest, 128),
            "your largest weight is 128 steps. Which whole numbers do 8 bits with a sign hold?",
        ),
        (
            _by(_largest, 255),
            "you have 255 steps on each side of zero. How many for both sides together?",
        ),
        (
            _by(_largest, 63),
            "your largest weight is 63 steps: half the range. How many steps do 8 bits with a "
            "sign allow on each side?",
        ),
        (
            _by(_largest, 64),
            "your largest weight is 64 steps, half of 128. On how many sides of zero are 127?",
        ),
        (
            _by(lambda w, dims: w.amax(dims, keepdim=True) - w.amin(dims, keepdim=True), 255),
            "you spread the whole numbers from the smallest weight to the largest. Which number "
            "do 127 steps reach?",
        ),
        (
            _by(_largest, rounding=torch.floor),
            "every weight goes down. Which whole number is nearest?",
        ),
        (
            _by(_largest, rounding=torch.trunc),
            "every weight moves towards zero. Which whole number is nearest?",
        ),
        (
            lambda weight, per_channel: _rounded(weight, False),
            "one step serves all channels, also where each is to have its own. What does "
            "`per_channel` ask for?",
        ),
        (
            lambda weight, per_channel: _rounded(weight, True),
            "each channel has its own step, also where one is to serve all.",
        ),
        (
            lambda weight, per_channel: (
                _rounded(weight.transpose(0, 1), True).transpose(0, 1)
                if per_channel
                else _rounded(weight, False)
            ),
            "each *input* channel has its own step. Which dimension of a weight is the output?",
        ),
        (
            lambda weight, per_channel: torch.round(
                weight / _by_step(weight, per_channel)
            ),
            "those are the whole numbers. What does a layer compute with?",
        ),
    ],
)  # fmt: skip


def _by_step(weight: Tensor, per_channel: bool) -> Tensor:
    dims = [*range(1, weight.dim())] if per_channel else [*range(weight.dim())]
    return _largest(weight, dims) / 127


def _equalize(first: nn.Linear, second: nn.Linear) -> tuple[nn.Linear, nn.Linear]:
    with torch.no_grad():
        rows = first.weight.abs().amax(1)  # [hidden]
        columns = second.weight.abs().amax(0)  # [hidden]
        factor = torch.sqrt(columns / rows)
        first.weight *= factor[:, None]
        first.bias *= factor
        second.weight /= factor
    return first, second


def _two_layers() -> list[tuple[nn.Linear, nn.Linear]]:
    torch.manual_seed(4)
    found = []
    for sizes in ((3, 4, 2), (2, 2, 2)):
        first, second = nn.Linear(*sizes[:2]), nn.Linear(*sizes[1:])
        with torch.no_grad():
            first.weight *= torch.logspace(-1, 2, sizes[1])[:, None]
            first.bias += 1
        found.append((first, second))
    return found


def _layers(pair: tuple[nn.Linear, nn.Linear]) -> tuple[Tensor, ...]:
    first, second = pair
    return tuple(
        getattr(layer, name).detach() for layer in (first, second) for name in ("weight", "bias")
    )


def _with_factor(of, bias: bool = True, back: bool = True):
    """An equalizer with another factor, or one that forgets a part."""

    def change(first: nn.Linear, second: nn.Linear) -> tuple[nn.Linear, nn.Linear]:
        with torch.no_grad():
            factor = of(first.weight.abs().amax(1), second.weight.abs().amax(0))
            first.weight *= factor[:, None]
            if bias:
                first.bias *= factor
            if back:
                second.weight /= factor
        return first, second

    return change


def _root(rows: Tensor, columns: Tensor) -> Tensor:
    return torch.sqrt(columns / rows)


equalize = _OfWeights(
    _equalize,
    cases=_two_layers(),
    observe=_layers,
    tolerance=1e-4,
    parts=("the first weight", "the first bias", "the second weight", "the second bias"),
    mistakes=[
        (
            _with_factor(_root, bias=False),
            "the weights are right, and the outputs change. What else does a hidden unit add?",
        ),
        (
            _with_factor(_root, back=False),
            "only the first layer is scaled. What must the second do for the same outputs?",
        ),
        (
            _with_factor(lambda rows, columns: torch.sqrt(rows / columns)),
            "rows that were large become larger. Which way round is the factor?",
        ),
        (
            _with_factor(lambda rows, columns: columns / rows),
            "the two ranges have changed places. Which factor makes them equal?",
        ),
        (
            _with_factor(lambda rows, columns: 1 / rows),
            "every row now reaches 1, and the columns reach as far as they must. Which factor "
            "makes the two ranges equal?",
        ),
        (
            lambda first, second: (first, second),
            "nothing is scaled. Where does a ReLU let a positive factor pass?",
        ),
        (
            _with_factor(
                lambda rows, columns: torch.sqrt(columns.max() / rows.max()).expand_as(rows)
            ),
            "one factor serves all units. Does every unit have the same two ranges?",
        ),
    ],
)

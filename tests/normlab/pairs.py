"""Every layer of ours beside the torch.nn class of the same name: rows, pairs, comparisons."""

import inspect

import torch
from torch import nn
from torch.testing import assert_close

from normlab import layers

# A row for each layer: its arguments, and the shapes that it takes, [N, C, *] first, then others,
# some without N; C is 4 everywhere. What else it can do is read from its constructor.
KINDS = {
    "BatchNorm1d": ((4,), [(5, 4), (3, 4, 6), (1, 4, 6)]),
    "BatchNorm2d": ((4,), [(3, 4, 2, 3), (1, 4, 3, 3)]),
    "BatchNorm3d": ((4,), [(2, 4, 2, 3, 2)]),
    "InstanceNorm1d": ((4,), [(3, 4, 6), (4, 6)]),
    "InstanceNorm2d": ((4,), [(3, 4, 2, 3), (4, 3, 3)]),
    "InstanceNorm3d": ((4,), [(2, 4, 2, 3, 2), (4, 2, 3, 2)]),
    "LayerNorm": ((4,), [(5, 4), (3, 2, 4), (4,)]),
    "RMSNorm": ((4,), [(5, 4), (3, 2, 4), (4,)]),
    "GroupNorm": ((2, 4), [(5, 4), (3, 4, 6), (3, 4, 2, 3)]),
}
OPTIONS = {name: inspect.signature(getattr(layers, name)).parameters for name in KINDS}
TRACKING = [name for name in KINDS if "track_running_stats" in OPTIONS[name]]
IMAGES = [(name, shape) for name in KINDS for shape in KINDS[name][1] if len(shape) == 4]
DOUBLE, SINGLE, HALF = torch.float64, torch.float32, torch.bfloat16

# (input, parameters): tolerance. Both sides compute the same formula in another order, on numbers
# of order 1: rounding is 1e-16 or 1e-7 a step, and up to a thousand times that for gradients that
# cancel, as where the two values of a group lie close together. With bfloat16 input, the truth is
# what torch computes in float64, and a result rounds to 8 bits, by 2**-9.
TOLERANCE = {
    (DOUBLE, DOUBLE): 1e-10,
    (SINGLE, SINGLE): 1e-3,
    (HALF, SINGLE): 2**-8,
    (HALF, HALF): 2**-8,
}


def build(module, name: str, affine=None, bias=True, track=None, **kwargs) -> nn.Module:
    """Make the layer of ours or of torch; an option that it does not have is left out."""
    options = {"affine": affine, "elementwise_affine": affine, "track_running_stats": track}
    kwargs |= {k: v for k, v in options.items() if v is not None and k in OPTIONS[name]}
    without = not bias and "bias" in OPTIONS[name]
    by_hand = without and module is nn and not torch_has_bias(name)
    if without and not by_hand:
        kwargs["bias"] = False
    layer = getattr(module, name)(*KINDS[name][0], **kwargs)
    if by_hand:
        layer.bias = None
    return layer


def torch_widens(name: str) -> bool:
    """Older versions of torch return float32 from RMSNorm of bfloat16 with a float32 gamma."""
    y = nn.functional.rms_norm(torch.ones(2, 2, dtype=HALF), [2], torch.ones(2))
    return name == "RMSNorm" and y.dtype != HALF


def torch_has_bias(name: str) -> bool:
    """Older versions of torch lack the keyword in all layers but LayerNorm."""
    return "bias" in inspect.signature(getattr(nn, name)).parameters


def make_pair(name: str, dtype=SINGLE, seed=0, **options) -> tuple[nn.Module, nn.Module]:
    """Return our layer and torch's, with the same random gamma and beta."""
    ours, theirs = (build(module, name, dtype=dtype, **options) for module in (layers, nn))
    torch.manual_seed(seed)
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(torch.randn(p.shape) / 2 + 1)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def step(layer: nn.Module, x: torch.Tensor, dy: torch.Tensor) -> dict[str, torch.Tensor]:
    """Run forward and backward; return the output, all gradients and the state, by name."""
    x = x.detach().requires_grad_()
    layer.zero_grad()
    y = layer(x)
    y.backward(dy)
    result = {"y": y.detach(), "dx": x.grad}
    result |= {f"d{name}": p.grad for name, p in layer.named_parameters()}
    return result | {name: buffer.clone() for name, buffer in layer.named_buffers()}


def assert_same_step(pair, x, dy, tolerance: float) -> None:
    """Compare output, gradients and state after one step of both layers."""
    assert_same(step(pair[0], x, dy), step(pair[1], x, dy), tolerance)


def assert_same(ours, theirs, tolerance: float) -> None:
    assert ours.keys() == theirs.keys()
    for name in ours:
        scale = max(1.0, theirs[name].abs().max().item()) if theirs[name].numel() else 1.0
        assert_close(
            ours[name],
            theirs[name],
            rtol=tolerance,
            atol=tolerance * scale,
            msg=lambda m, name=name: f"{name}: {m}",
        )

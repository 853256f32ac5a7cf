"""The exercises of the chapter on the mathematics."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from normlab.exercise import Exercise


def _batch_forward(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    return _affine(x, x.mean(0), x.var(0, correction=0) + eps, gamma, beta)


def _affine(x: Tensor, mean: Tensor, square: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    return gamma * (x - mean) / torch.sqrt(square) + beta


def _tensor(*values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


_X = _tensor([3, 0.2], [9, 0.1], [11, 0.4], [17, 0.3])  # [N, C]
_WIDE = _tensor([1, 5, 2], [4, -5, 2.5])  # [N, C], N < C
_GAMMA, _BETA, _EPS = _tensor(2, 0.5), _tensor(1, -1), 0.01

batch_forward = Exercise(
    _batch_forward,
    cases=[
        (_X, _GAMMA, _BETA, _EPS),
        (_WIDE, _tensor(1, 2, 3), _tensor(0, 1, 2), _EPS),
        (_WIDE[:, :2], _GAMMA, _BETA, 0.5),
    ],
    tolerance=1e-5,  # an answer may compute in float32
    mistakes=[
        (
            lambda x, g, b, eps: _affine(x, x.mean(0), x.var(0) + eps, g, b),
            "every distance from beta is too small, by a quarter for two samples. By what does "
            "`x.var(dim=0)` divide, and by what does BN?",
        ),
        (
            lambda x, g, b, eps: g * (x - x.mean(0)) / (x.std(0, correction=0) + eps) + b,
            "right for small eps, not for large. Is eps added to the standard deviation, or to "
            "the variance, inside the root?",
        ),
        (
            lambda x, g, b, eps: g * (x - x.mean(0)) / (x.std(0) + eps) + b,
            "two things at once: eps outside the root, and a variance that divides by N - 1. "
            "Where does each stand in the equations?",
        ),
        (
            lambda x, g, b, eps: _affine(x, x.mean(0), x.var(0, correction=0), g, b),
            "eps does not occur. What would a feature that is constant in the batch give?",
        ),
        (
            lambda x, g, b, eps: g * (x - x.mean(0)) / (x.var(0, correction=0) + eps) + b,
            "a feature in metres and the same one in centimetres give different outputs. Did you "
            "divide by the variance, or by its root?",
        ),
        (
            lambda x, g, b, eps: _affine(
                x, x.mean(1, keepdim=True), x.var(1, keepdim=True, correction=0) + eps, g, b
            ),
            "each row has mean 0, so each sample is normalized over its features. Over which "
            "dimension does BN take the mean?",
        ),
        (
            lambda x, g, b, eps: _affine(x, x.mean(), x.var(correction=0) + eps, g, b),
            "all features share one mean. How many means does a batch of shape [N, C] have?",
        ),
        (
            lambda x, g, b, eps: _batch_forward(x, torch.ones_like(g), torch.zeros_like(b), eps),
            "the normalization is right. What happens to x_hat after it?",
        ),
        (
            lambda x, g, b, eps: g * (_batch_forward(x, torch.ones_like(g), b, eps)),
            "beta is multiplied by gamma. Which of the two comes first?",
        ),
    ],
)


def _values_per_statistic(shape: Sequence[int]) -> int:
    return shape[0] * math.prod(shape[2:])


values_per_statistic = Exercise(
    _values_per_statistic,
    cases=[([8, 3],), ([8, 3, 100],), ([4, 6, 5, 7],), ([2, 3, 4, 5, 6],)],
    mistakes=[
        (
            lambda s: s[0],
            "right for [N, C] alone. In an image, do pixels at different places have different "
            "means?",
        ),
        (
            lambda s: math.prod(s[2:]),
            "that is one sample. Does BN not take the samples of a batch together?",
        ),
        (
            lambda s: math.prod(s),
            "that is every value of the batch. Do different channels share a mean?",
        ),
        (
            lambda s: s[1],
            "that is how many statistics there are. How many values stand behind each?",
        ),
        (
            lambda s: math.prod(s[1:]),
            "that is the size of a sample, as for layer normalization. Which dimensions does BN "
            "reduce?",
        ),
    ],
)


def _expected_statistics(
    mean: float, var: float, momentum: float, k: int, var_start: float = 1.0
) -> tuple[float, float]:
    start = (1 - momentum) ** k
    return (1 - start) * mean, start * var_start + (1 - start) * var


expected_statistics = Exercise(
    _expected_statistics,
    cases=[(20.0, 4.0, 0.1, 4), (-2.0, 9.0, 0.5, 1), (5.0, 0.5, 0.01, 100), (3.0, 2.0, 0.1, 0)],
    mistakes=[
        (
            lambda mean, var, a, k: _expected_statistics(mean, var, a, k, var_start=0.0),
            "the mean is right. Before the first batch your variance is 0, and eval mode would "
            "divide by the root of eps. What does PyTorch start with?",
        ),
        (
            lambda mean, var, a, k: (mean, var),
            "that is what the layer believes after very many batches. What does it believe before "
            "the first?",
        ),
        (
            lambda mean, var, a, k: _expected_statistics(mean, var, 1 - a, k),
            "after one batch your layer believes nearly all of it at momentum 0.1. Is momentum "
            "the weight of the new batch or of the old value?",
        ),
        (
            lambda mean, var, a, k: _expected_statistics(mean, var, a, min(k, 1)),
            "right for one batch. What happens to the weight of the start with the second?",
        ),
        (
            lambda mean, var, a, k: ((1 - (1 - a) ** k) * mean, (1 - a) ** k + var),
            "the variance is larger than both the start and that of the data. Which weight "
            "belongs to the data?",
        ),
        (
            lambda mean, var, a, k: (
                (1 - a) ** k * mean,
                (1 - (1 - a) ** k) + (1 - a) ** k * var,
            ),
            "with more and more batches your layer moves away from the data. Which of the two "
            "weights fades?",
        ),
        (
            lambda mean, var, a, k: (
                (1 - a) ** k + (1 - (1 - a) ** k) * mean,
                (1 - a) ** k + (1 - (1 - a) ** k) * var,
            ),
            "the variance is right. Before the first batch your mean is 1. What is PyTorch's?",
        ),
    ],
    parts=("the running mean", "the running variance"),
)


def _identity_affine(running_mean: float, running_var: float, eps: float) -> tuple[float, float]:
    return math.sqrt(running_var + eps), running_mean


identity_affine = Exercise(
    _identity_affine,
    cases=[(3.0, 4.0, 0.01), (-1.0, 0.25, 0.5), (0.5, 1e-6, 1e-5)],
    mistakes=[
        (
            lambda mean, var, eps: (math.sqrt(var), mean),
            "nearly, while var is much larger than eps; for the last case the outputs shrink to "
            "less than a third. By what does BN divide?",
        ),
        (
            lambda mean, var, eps: (var + eps, mean),
            "gamma has the unit of x squared. By what does BN divide?",
        ),
        (
            lambda mean, var, eps: (1 / math.sqrt(var + eps), mean),
            "BN divides by the root already, and your gamma divides once more. What undoes a "
            "division?",
        ),
        (
            lambda mean, var, eps: (mean, math.sqrt(var + eps)),
            "the two are exchanged. Which comes first, gamma or beta?",
        ),
        (
            lambda mean, var, eps: (math.sqrt(var + eps), -mean),
            "every output is too small by twice the mean. BN has subtracted the mean; what brings "
            "it back?",
        ),
        (
            lambda mean, var, eps: (1.0, 0.0),
            "that leaves x_hat as it is. What does it take to get from x_hat back to x?",
        ),
    ],
    parts=("gamma", "beta"),
)


def inside_a_network(seed: int) -> tuple[Tensor, Tensor, Tensor, float]:
    """Return what the backward pass of a BN layer is given in a small convolutional network.

    The network has taken 20 steps, so that gamma is no longer 1.

    Args:
        seed: determines the images, the labels and the network.

    Returns:
        dy and x [N, C, H, W], gamma [C], eps.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        images, labels = torch.randn(6, 1, 6, 7).double(), torch.arange(6) % 3
        conv, bn = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, eps=0.01)
        head = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4 * 5, 3))
        net = nn.Sequential(conv, bn, head).double()
        sgd = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(20):
            sgd.zero_grad()
            nn.functional.cross_entropy(net(images), labels).backward()
            sgd.step()
        x = conv(images)  # [N, C, H, W]
        y = bn(x)  # [N, C, H, W]
        loss = 100 * nn.functional.cross_entropy(head(y), labels.roll(1))
        [dy] = torch.autograd.grad(loss, y)
    return dy, x.detach(), bn.weight.detach(), bn.eps


_DIMS = (0, 2, 3)


def _wide(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1)


def _nine_lines(
    dy: Tensor,
    x: Tensor,
    gamma: Tensor,
    eps: float,
    m: int | None = None,
    second_path: float = 2.0,
    mean_path: bool = True,
) -> list[Tensor]:
    m = m or x.numel() // x.shape[1]
    c = x - x.mean(_DIMS, keepdim=True)
    r = ((c**2).mean(_DIMS) + eps) ** -0.5
    x_hat = c * _wide(r)
    dx_hat = _wide(gamma) * dy
    dr = (dx_hat * c).sum(_DIMS)
    dv = -0.5 * r**3 * dr
    ds = _wide(dv / m).expand_as(x)
    dc = _wide(r) * dx_hat + second_path * c * ds
    dmu = -dc.sum(_DIMS)
    dx = dc + _wide(dmu / m) * mean_path
    return [(dy * x_hat).sum(_DIMS), dy.sum(_DIMS), dx_hat, dr, dv, ds, dc, dmu, dx]


def _instead(number: int, change: Callable[[Tensor], Tensor]) -> Callable[..., list[Tensor]]:
    def answer(dy: Tensor, x: Tensor, gamma: Tensor, eps: float) -> list[Tensor]:
        results = _nine_lines(dy, x, gamma, eps)
        results[number] = change(results[number])
        return results

    return answer


nine_lines = Exercise(
    _nine_lines,
    cases=[inside_a_network(0), inside_a_network(1)],
    mistakes=[
        (
            lambda dy, x, gamma, eps: _nine_lines(dy, x, gamma, eps, m=len(x)),
            "all is right up to dv, and ds is too large. How many values of a channel share its "
            "mean: as many as there are images?",
        ),
        (
            _instead(5, lambda ds: ds[0, :, 0, 0]),
            "every number is right, and ds has one per channel. Which shape has s?",
        ),
        (
            _instead(7, lambda dmu: -dmu),
            "dx is right, and dmu has the wrong sign. With which sign does mu stand in c?",
        ),
        (
            lambda dy, x, gamma, eps: _nine_lines(dy, x, gamma, eps, second_path=1.0),
            "dc is the first that differs. What is the derivative of c**2?",
        ),
        (
            lambda dy, x, gamma, eps: _nine_lines(dy, x, gamma, eps, second_path=0.0),
            "dc is the first that differs. The node c is used twice: where else than in x_hat?",
        ),
        (
            lambda dy, x, gamma, eps: _nine_lines(dy, x, gamma, eps, mean_path=False),
            "eight are right; dx does not sum to 0 over a channel. Along which other path than c "
            "does x reach y?",
        ),
    ],
    parts=[f"d{name}" for name in ["gamma", "beta", "x_hat", "r", "v", "s", "c", "mu", "x"]],
)


def _norm_backward(dx_hat: Tensor, x: Tensor, eps: float, dim: int = 1) -> Tensor:
    """The three terms for `x` normalized over `dim`, without gamma."""
    x_hat, r = _standardized(x, eps, dim)
    along = (dx_hat * x_hat).mean(dim, keepdim=True)
    return r * (dx_hat - dx_hat.mean(dim, keepdim=True) - x_hat * along)


def _standardized(x: Tensor, eps: float, dim: int = 1) -> tuple[Tensor, Tensor]:
    c = x - x.mean(dim, keepdim=True)
    r = ((c**2).mean(dim, keepdim=True) + eps).rsqrt()
    return c * r, r


def _without_mean_term(dy: Tensor, x: Tensor, gamma: Tensor, eps: float) -> Tensor:
    x_hat, r = _standardized(x, eps)
    return r * (gamma * dy - x_hat * (gamma * dy * x_hat).mean(1, keepdim=True))


def _without_scale_term(dy: Tensor, x: Tensor, gamma: Tensor, eps: float) -> Tensor:
    _, r = _standardized(x, eps)
    return r * (gamma * dy - (gamma * dy).mean(1, keepdim=True))


def _with_sums(dy: Tensor, x: Tensor, gamma: Tensor, eps: float) -> Tensor:
    x_hat, r = _standardized(x, eps)
    dx_hat = gamma * dy
    along = (dx_hat * x_hat).sum(1, keepdim=True)
    return r * (dx_hat - dx_hat.sum(1, keepdim=True) - x_hat * along)


sample_norm_backward = Exercise(
    lambda dy, x, gamma, eps: _norm_backward(gamma * dy, x, eps),
    cases=[
        (_tensor([1, 2, 3], [0, 1, -1]), _WIDE, _tensor(1, 2, -1), 0.5),
        (_tensor([1, 0], [0, 2], [-1, 1], [0.5, 0]), _X, _GAMMA, _EPS),
    ],
    mistakes=[
        (
            lambda dy, x, gamma, eps: gamma * _norm_backward(dy, x, eps),
            "right if all of gamma is equal. You multiply by it at the end, outside the means. Do "
            "the values that share a mean still share gamma?",
        ),
        (
            lambda dy, x, gamma, eps: gamma * _norm_backward(dy, x, eps, dim=0),
            "that is the gradient of BN: each column sums to 0. Which sums are 0 if each sample "
            "is normalized?",
        ),
        (
            lambda dy, x, gamma, eps: _norm_backward(dy, x, eps),
            "gamma does not occur. Which gradient arrives at x_hat?",
        ),
        (
            lambda dy, x, gamma, eps: gamma * dy * _standardized(x, eps)[1],
            "you treat mean and variance as constants. Along which other paths does x reach y?",
        ),
        (
            _without_mean_term,
            "your gradient does not sum to 0 over the features. Which path leads through mu?",
        ),
        (
            _without_scale_term,
            "your gradient has a share along x_hat. Which path leads through the variance?",
        ),
        (
            _with_sums,
            "the two subtracted terms are C times too large. What does a mean pass to each of its "
            "values?",
        ),
    ],
)

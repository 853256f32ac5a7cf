"""The exercises of the chapter on transformers."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normlab.exercise import Exercise
from normlab.models import Transformer


def _random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _added(
    x: Tensor, branch: Callable[[Tensor], Tensor], norm: Callable[[Tensor], Tensor], place: str
) -> Tensor:
    if place == "pre":
        return x + branch(norm(x))
    if place == "post":
        return norm(x + branch(x))
    if place == "inside":
        return x + norm(branch(x))
    return x + norm(branch(norm(x)))


def _branch() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(8, 8)


def _norm() -> nn.RMSNorm:
    torch.manual_seed(1)
    norm = nn.RMSNorm(8)
    nn.init.uniform_(norm.weight, 0.5, 2)  # a norm of a norm is another
    return norm


add_branch = Exercise(
    _added,
    cases=[
        (3 * _random(2, 5, 8, seed=0), _branch(), _norm(), place)
        for place in ("pre", "post", "inside", "both")
    ],
    tolerance=1e-4,
    mistakes=[
        (
            lambda x, branch, norm, place: _added(
                x, branch, norm, {"pre": "post", "post": "pre"}.get(place, place)
            ),
            'your "pre" and "post" are exchanged. What does a pre-norm stand before?',
        ),
        (
            lambda x, branch, norm, place: (
                norm(x) + branch(norm(x)) if place == "pre" else _added(x, branch, norm, place)
            ),
            'with "pre" your stream itself is normalized. Which of the two terms reads the norm?',
        ),
        (
            lambda x, branch, norm, place: (
                norm(x) + norm(branch(x)) if place == "inside" else _added(x, branch, norm, place)
            ),
            'with "inside" your stream itself is normalized. What is the norm inside of?',
        ),
        (
            lambda x, branch, norm, place: (
                norm(x + branch(x)) if place == "inside" else _added(x, branch, norm, place)
            ),
            'your "inside" is "post". Is the norm inside of the branch, or of the sum?',
        ),
        (
            lambda x, branch, norm, place: (
                norm(x + branch(norm(x))) if place == "both" else _added(x, branch, norm, place)
            ),
            'with "both" your stream itself is normalized. Where does a branch end?',
        ),
        (
            lambda x, branch, norm, place: _added(
                x, branch, norm, "inside" if place == "both" else place
            ),
            'with "both" your branch reads a stream that is not normalized. How many norms has it?',
        ),
        (
            lambda x, branch, norm, place: (
                x + norm(x + branch(x)) if place == "post" else _added(x, branch, norm, place)
            ),
            'with "post" your stream is added twice. What is the output of a post-LN block?',
        ),
        (
            lambda x, branch, norm, place: _added(x, branch, norm, place) - x,
            "the stream is lost. What is the output of the branch added to?",
        ),
        (
            lambda x, branch, norm, place: x + branch(norm(x)),
            "you always normalize what the branch reads. What does `place` change?",
        ),
    ],
)


def _logits(
    q: Tensor,
    k: Tensor,
    gamma_q: Tensor,
    gamma_k: Tensor,
    eps: float,
    dim: int = -1,
    centre: bool = False,
) -> Tensor:
    def normed(x, gamma):
        x = x - x.mean(dim, keepdim=True) if centre else x
        return gamma * x / torch.sqrt(x.square().mean(dim, keepdim=True) + eps)

    return normed(q, gamma_q) @ normed(k, gamma_k).mT / q.shape[-1] ** 0.5


def _l2(x: Tensor, eps: float) -> Tensor:
    return x / torch.sqrt(x.square().sum(-1, keepdim=True) + eps)


def _after_gamma(q, k, gamma_q, gamma_k, eps):
    one = torch.ones_like(gamma_q)
    return _logits(gamma_q * q, gamma_k * k, one, one, eps)


qk_logits = Exercise(
    _logits,
    cases=[
        (
            scale * _random(2, 3, 5, 4, seed=1) + shift,
            scale * _random(2, 3, 5, 4, seed=2),
            _random(4, seed=3).abs() + 0.5,
            _random(4, seed=4).abs() + 0.5,
            eps,
        )
        for scale, shift, eps in ((1.0, 0.0, 1e-6), (3.0, 1.0, 1e-1))
    ],
    tolerance=1e-4,
    mistakes=[
        (
            lambda q, k, gamma_q, gamma_k, eps: (
                (gamma_q * q) @ (gamma_k * k).mT / q.shape[-1] ** 0.5
            ),
            "your logits grow with the queries. Which norm is missing?",
        ),
        (
            lambda q, k, gamma_q, gamma_k, eps: q @ k.mT / q.shape[-1] ** 0.5,
            "these are the logits without QK-norm. What is done to q and k before the product?",
        ),
        (
            lambda q, k, gamma_q, gamma_k, eps: (
                F.rms_norm(q, gamma_q.shape, gamma_q, eps) @ k.mT / q.shape[-1] ** 0.5
            ),
            "your logits grow with the keys. Which of the two is normalized?",
        ),
        (
            lambda q, k, gamma_q, gamma_k, eps: (
                _logits(q, k, gamma_q, gamma_k, eps) * q.shape[-1] ** 0.5
            ),
            "your logits are twice too large with four features. By what is the product divided?",
        ),
        (
            lambda q, k, gamma_q, gamma_k, eps: (
                _logits(q, k, gamma_q, gamma_k, eps) / q.shape[-1] ** 0.5
            ),
            "your logits are half as large as they should be with four features. How often do you "
            "divide?",
        ),
        (
            lambda q, k, gamma_q, gamma_k, eps: (
                (gamma_q * _l2(q, eps)) @ (gamma_k * _l2(k, eps)).mT / q.shape[-1] ** 0.5
            ),
            "your queries have length 1. What is the length of a vector of root mean square 1?",
        ),
        (
            lambda q, k, gamma_q, gamma_k, eps: (
                (gamma_q * _l2(q, eps)) @ (gamma_k * _l2(k, eps)).mT
            ),
            "your queries have length 1, and nothing is divided. What does RMSNorm divide by?",
        ),
        (
            lambda q, k, gamma_q, gamma_k, eps: _logits(q, k, 1 + gamma_q, 1 + gamma_k, eps),
            "you multiply by 1 + gamma, which is for a layer that stores gamma - 1. What is given?",
        ),
        (
            lambda q, k, gamma_q, gamma_k, eps: _logits(
                q, k, torch.ones_like(gamma_q), torch.ones_like(gamma_k), eps
            ),
            "your logits do not depend on gamma. What does a norm do after it has divided?",
        ),
        (
            lambda q, k, gamma_q, gamma_k, eps: (
                (gamma_q * _l2(q, eps)) @ (gamma_k * _l2(k, eps)).mT * q.shape[-1]
            ),
            "right without the division by the root of D. Which division does attention do?",
        ),
        (
            lambda *args: _logits(*args, centre=True),
            "you subtract the mean. Does RMSNorm?",
        ),
        (
            lambda *args: _logits(*args, dim=1),
            "your queries are normalized across the heads. Over which dimension of "
            "[N, heads, T, D] does each vector lie?",
        ),
        (
            lambda *args: _logits(*args, dim=2),
            "your queries are normalized across time, and see later steps. Over which dimension of "
            "[N, heads, T, D] does each vector lie?",
        ),
        (
            lambda q, k, gamma_q, gamma_k, eps: _logits(
                q, torch.zeros_like(k) + k, gamma_q, gamma_q, eps
            ),
            "queries and keys share a gamma in yours. How many are given?",
        ),
        (
            _after_gamma,
            "the norm removes a part of your gamma. Which of the two comes first?",
        ),
        (
            lambda q, k, gamma_q, gamma_k, eps: _logits(q, k, gamma_q, gamma_k, 0.0),
            "with eps=0.1 your logits are too large. Where does your answer use eps?",
        ),
        (
            lambda q, k, gamma_q, gamma_k, eps: _logits(k, q, gamma_k, gamma_q, eps),
            "rows and columns are exchanged. Which index belongs to the queries?",
        ),
        (
            lambda q, k, gamma_q, gamma_k, eps: _logits(q, k, gamma_q, gamma_k, eps).masked_fill(
                ~torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool).tril(), float("-inf")
            ),
            "you mask later steps, which is not asked for. What does a logit of -inf stand for?",
        ),
    ],
)

_NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)


def _decays(model: nn.Module) -> list[bool]:
    spared = {
        id(p) for m in model.modules() if isinstance(m, _NORMS) for p in m.parameters(recurse=False)
    }
    return [
        id(p) not in spared and name.split(".")[-1] != "bias"
        for name, p in model.named_parameters()
    ]


def _models() -> list[nn.Module]:
    torch.manual_seed(0)
    images = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.LayerNorm([4, 6, 6]),
        nn.LayerNorm([6, 6]),
    )
    return [Transformer(5, width=8, depth=1), Transformer(5, nn.RMSNorm, width=8, depth=1), images]


decays = Exercise(
    _decays,
    cases=[(model,) for model in _models()],
    mistakes=[
        (
            lambda model: [p.dim() > 1 for p in model.parameters()],
            "right for a transformer, but nn.LayerNorm([4, 6, 6]) has a gamma of three dimensions. "
            "What tells a norm from a matrix?",
        ),
        (
            lambda model: [True for _ in model.parameters()],
            "everything decays. What happens to a gamma that is pulled to 0?",
        ),
        (
            lambda model: ["norm" not in name for name, _ in model.named_parameters()],
            "the biases of linear layers decay in yours, and a norm in an nn.Sequential has no "
            "name. What tells a norm apart?",
        ),
        (
            lambda model: [
                not name.endswith("bias") for name, _ in model.named_parameters()
            ],
            "the gammas decay in yours. Which layers do they belong to?",
        ),
        (
            lambda model: [
                "norm" not in name and not name.endswith("bias")
                for name, _ in model.named_parameters()
            ],
            "in an nn.Sequential a norm has no name but a number. What else tells it apart?",
        ),
        (
            lambda model: [not value for value in _decays(model)],
            "you return which parameters are left out. Which are decayed?",
        ),
        (
            lambda model: [
                any(p is q for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)
                    for q in [m.weight])
                for p in model.parameters()
            ],
            "the embeddings are left out in yours. Are they matrices?",
        ),
    ],
)  # fmt: skip


def _folded(norm: nn.LayerNorm, linear: nn.Linear) -> tuple[Tensor, Tensor]:
    weight, bias = linear.weight.detach(), linear.bias.detach()
    return weight * norm.weight.detach(), bias + weight @ norm.bias.detach()


def _pairs() -> list[tuple[nn.LayerNorm, nn.Linear]]:
    torch.manual_seed(1)
    found = []
    for before, after in ((4, 4), (4, 6)):
        norm, linear = nn.LayerNorm(before), nn.Linear(before, after)
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.normal_(norm.bias)
        found.append((norm, linear))
    return found


def _rows(norm: nn.LayerNorm, linear: nn.Linear) -> tuple[Tensor, Tensor] | None:
    weight, bias = linear.weight.detach(), linear.bias.detach()
    gamma = norm.weight.detach()
    wide = gamma.repeat(2)[: len(weight)]
    return wide[:, None] * weight, bias + weight @ norm.bias.detach()


fold = Exercise(
    _folded,
    cases=_pairs(),
    observe=lambda pair: tuple(torch.as_tensor(p).detach() for p in pair),
    tolerance=1e-5,
    parts=("the weight", "the bias"),
    mistakes=[
        (
            lambda norm, linear: (linear.weight.detach(), linear.bias.detach()),
            "that is the layer as it was. What does the norm do after it has divided?",
        ),
        (
            lambda norm, linear: (
                linear.weight.detach() * norm.weight.detach(),
                linear.bias.detach(),
            ),
            "the weight is right. What does the layer make of a beta that it reads?",
        ),
        (
            lambda norm, linear: (
                linear.weight.detach() * norm.weight.detach(),
                linear.bias.detach() + (linear.weight * norm.weight @ norm.bias).detach(),
            ),
            "your bias multiplies beta by gamma. In which order does a norm apply the two?",
        ),
        (
            lambda norm, linear: (
                linear.weight.detach() * norm.weight.detach(),
                (linear.weight @ norm.bias).detach(),
            ),
            "the weight is right. Where is the bias that the layer had?",
        ),
        (
            lambda norm, linear: (
                linear.weight.detach() * norm.weight.detach(),
                linear.bias.detach() - (linear.weight @ norm.bias).detach(),
            ),
            "the weight is right, and your bias subtracts. Does a norm add or subtract beta?",
        ),
        (
            lambda norm, linear: (
                linear.weight.detach() * (1 + norm.weight.detach()),
                linear.bias.detach() + (linear.weight @ norm.bias).detach(),
            ),
            "you multiply by 1 + gamma, which is for a layer that stores gamma - 1. Does this one?",
        ),
        (
            lambda norm, linear: (
                linear.weight.detach() * norm.weight.detach().square(),
                linear.bias.detach() + (linear.weight @ norm.bias).detach(),
            ),
            "you multiply by gamma twice. How often does the norm?",
        ),
        (
            lambda norm, linear: (
                linear.weight.detach() * norm.weight.detach().mean(),
                linear.bias.detach() + (linear.weight @ norm.bias).detach(),
            ),
            "you multiply by one number. How many gammas has the norm?",
        ),
        (
            lambda norm, linear: (
                linear.weight.detach(),
                linear.bias.detach() + (linear.weight @ norm.bias).detach(),
            ),
            "the bias is right. What does the norm multiply by?",
        ),
        (
            lambda norm, linear: (
                linear.weight.detach() / norm.weight.detach(),
                linear.bias.detach() + (linear.weight @ norm.bias).detach(),
            ),
            "you divide by gamma. What does the norm do with it?",
        ),
        (
            _rows,
            "you multiply the rows of the weight. Which index of [after, before] belongs to the "
            "features that the norm reads?",
        ),
    ],
)

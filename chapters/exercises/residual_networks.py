"""The exercises of the chapter on residual networks."""

import torch
from torch import Tensor

from normlab.exercise import Exercise


def _stream(first: float, blocks: int, norm: bool) -> float:
    return first + blocks if norm else first * 2**blocks


stream = Exercise(
    _stream,
    cases=[(1.0, 27, False), (1.0, 27, True), (4.0, 3, False), (4.0, 3, True), (0.5, 0, True)],
    mistakes=[
        (
            lambda first, blocks, norm: first * 2**blocks,
            "with a norm at its start, does the branch know how large the stream is?",
        ),
        (
            lambda first, blocks, norm: first + blocks,
            "without a norm the branch grows with the stream. What does a block add to a stream "
            "of variance 4?",
        ),
        (
            lambda first, blocks, norm: first * (1 + blocks) if norm else first * 2**blocks,
            "right without a norm. With one, the branch sees variance 1 whatever the stream has: "
            "what does the first block add to a stream of variance 4?",
        ),
        (
            lambda first, blocks, norm: first if norm else first * 2**blocks,
            "right without a norm. The norm stands in the branch: what normalizes the sum?",
        ),
        (
            lambda first, blocks, norm: first + blocks if norm else first * (1 + blocks),
            "right with a norm. Without one, is what the second block adds as large as what the "
            "first block added?",
        ),
        (
            lambda first, blocks, norm: first + blocks if norm else first * 2 ** (2 * blocks),
            "you double twice in a block. How many sums does a block have?",
        ),
        (
            lambda first, blocks, norm: first + 2 * blocks if norm else first * 2 ** (2 * blocks),
            "you count two steps for a block. How many sums does a block have?",
        ),
        (
            lambda first, blocks, norm: (
                (first + blocks) ** 0.5 if norm else (first * 2**blocks) ** 0.5
            ),
            "that is the standard deviation. The question was about its square.",
        ),
    ],
)


def _standardized(w: Tensor, dims: tuple[int, ...] = (1, 2, 3), unit: bool = True) -> Tensor:
    w = w - w.mean(dim=dims, keepdim=True)
    square = w.square().sum if unit else w.square().mean
    return w / square(dim=dims, keepdim=True).sqrt()


def _means_and_sizes(w: Tensor) -> Tensor | tuple[Tensor, ...]:
    if not isinstance(w, Tensor) or w.dim() != 4:
        return w
    rows = w.flatten(1)
    size = rows.square().sum(dim=1)
    return (
        rows.mean(dim=1).abs().max(),
        size.min(),
        size.max(),
        rows / size[:, None].sqrt().clamp(min=1e-12),
    )


def _filters(seed: int, *shape: int) -> tuple[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (0.7 + 1.5 * torch.randn(*shape, generator=generator),)


standardized = Exercise(
    _standardized,
    cases=[_filters(0, 4, 3, 3, 3), _filters(1, 5, 2, 1, 3), _filters(2, 2, 6, 5, 5)],
    observe=_means_and_sizes,
    parts=(
        "the largest mean of a filter",
        "the smallest sum of squares of a filter",
        "the largest sum of squares of a filter",
        "the direction of each filter",
    ),
    tolerance=1e-5,
    mistakes=[
        (
            lambda w: _standardized(w, unit=False),
            "each filter has a mean square of 1. Its output is a sum over all inputs: for which "
            "sum of squares does it keep the variance?",
        ),
        (
            lambda w: _standardized(w, (0, 1, 2, 3)),
            "your mean is one for all filters. Which values meet in the sum that makes one "
            "output channel?",
        ),
        (
            lambda w: _standardized(w, (0, 2, 3)),
            "you standardize over the output channels. Which dimension of a weight is the input?",
        ),
        (
            lambda w: _standardized(w, (2, 3)),
            "each 3 by 3 square has mean 0 by itself. Which values meet in the sum that makes "
            "one output channel?",
        ),
        (
            lambda w: w - w.mean(dim=(1, 2, 3), keepdim=True),
            "the mean is gone. And the size of the filter?",
        ),
        (
            lambda w: w / w.square().sum(dim=(1, 2, 3), keepdim=True).sqrt(),
            "the size is right, but the mean of a filter is not 0. What does a constant input "
            "become?",
        ),
        (
            lambda w: _standardized(w) * ((w[0].numel() - 1) / w[0].numel()) ** 0.5,
            "your variance divides by N - 1. The filter is all there is: what does it divide by?",
        ),
        (
            lambda w: _standardized(w, unit=False) / w[0].numel(),
            "you divide by the number of inputs. A sum of N terms grows in variance by N: by "
            "what in size?",
        ),
    ],
)


def _clipped(w: Tensor, g: Tensor, limit: float) -> Tensor:
    return g * min(1.0, (limit * w.norm() / g.norm()).item())


def _length_and_direction(g: Tensor) -> Tensor | tuple[Tensor, Tensor]:
    if not isinstance(g, Tensor) or g.dim() != 2:
        return g
    return g.norm(), g / g.norm().clamp(min=1e-12)  # a gradient of zero has none


def _weight_and_gradient(size: float, limit: float) -> tuple[Tensor, Tensor, float]:
    generator = torch.Generator().manual_seed(3)
    return (
        torch.randn(4, 6, generator=generator),
        size * torch.randn(4, 6, generator=generator),
        limit,
    )


clipped = Exercise(
    _clipped,
    cases=[
        _weight_and_gradient(10.0, 0.1),
        _weight_and_gradient(0.001, 0.1),
        _weight_and_gradient(1.0, 0.02),
    ],
    observe=_length_and_direction,
    parts=("the length of the gradient", "its direction"),
    tolerance=1e-5,
    mistakes=[
        (
            lambda w, g, limit: g,
            "nothing is clipped. When is a gradient too long?",
        ),
        (
            lambda w, g, limit: torch.stack(
                [_clipped(*row, limit) for row in zip(w, g, strict=True)]
            ),
            "you clip each row by itself, as the authors do. Here it is the weight as a whole: how "
            "many norms does it have?",
        ),
        (
            lambda w, g, limit: -_clipped(w, g, limit),
            "the length is right, and the gradient points the other way. What changes its sign?",
        ),
        (
            lambda w, g, limit: limit * w.norm() * g / g.norm(),
            "a gradient that was small enough has grown. What should happen to it?",
        ),
        (
            lambda w, g, limit: g * min(1.0, (limit / g.norm()).item()),
            "that is ordinary clipping. To what does the adaptive kind compare the gradient?",
        ),
        (
            lambda w, g, limit: g.clamp(-limit, limit),
            "you clip each value, which turns the gradient. What keeps its direction?",
        ),
        (
            lambda w, g, limit: torch.minimum(g.abs(), limit * w.abs()) * g.sign(),
            "you compare value by value, which turns the gradient. Which two numbers does the "
            "rule compare?",
        ),
        (
            lambda w, g, limit: g * min(1.0, limit),
            "every gradient shrinks, the small ones too. When is nothing to be done?",
        ),
        (
            lambda w, g, limit: g if g.norm() <= limit * w.norm() else torch.zeros_like(g),
            "you throw a large gradient away. Its direction is of use: what is its new length?",
        ),
        (
            lambda w, g, limit: g if g.norm() <= limit * w.norm() else limit * g,
            "a large gradient shrinks by the same factor, however large it is. Which length "
            "should it have?",
        ),
        (
            lambda w, g, limit: g * min(1.0, (limit * g.norm() / w.norm()).item()),
            "the larger the gradient, the less you clip it. Which of the two norms belongs below?",
        ),
        (
            lambda w, g, limit: g * min(1.0, (w.norm() / g.norm()).item()),
            "you allow a gradient as large as the weight. Where has the limit gone?",
        ),
    ],
)


def _entropy(logits: Tensor) -> Tensor:
    return -(logits.softmax(1) * logits.log_softmax(1)).sum(1).mean()


entropy = Exercise(
    _entropy,
    cases=[
        (torch.tensor([[0.0, 0.0, 0.0, 0.0], [5.0, 0.0, 0.0, 1.0]]),),
        (torch.tensor([[3.0, -1.0, 0.5], [0.2, 0.1, 0.0], [-2.0, 4.0, 1.0]]),),
    ],
    tolerance=1e-5,
    mistakes=[
        (
            lambda logits: -_entropy(logits),
            "yours is negative: to lower it would make the network unsure. Which sign has the "
            "logarithm of a probability?",
        ),
        (
            lambda logits: _entropy(logits) * len(logits),
            "that is the sum over the images. Should two copies of a batch count twice?",
        ),
        (
            lambda logits: _entropy(logits) / logits.shape[1],
            "you average over the classes too. Over which dimension does the entropy sum?",
        ),
        (
            lambda logits: _entropy(logits.T),
            "your probabilities sum to one over the images. Over what should they?",
        ),
        (
            lambda logits: _entropy(logits) / torch.tensor(2.0).log(),
            "that is the entropy in bits. The loss uses the natural logarithm.",
        ),
        (
            lambda logits: -logits.log_softmax(1).mean(),
            "every class counts the same in yours. By what is each logarithm weighted?",
        ),
        (
            lambda logits: torch.nn.functional.cross_entropy(logits, logits.argmax(1)),
            "you take the guess for the label. Which probability weighs the second class?",
        ),
        (
            lambda logits: -(logits.mean(0).softmax(0) * logits.mean(0).log_softmax(0)).sum(),
            "you average the images first. Whose doubt is to be measured?",
        ),
        (
            lambda logits: -(logits * logits.log_softmax(1)).sum(1).mean(),
            "you weigh by the logits. What turns them into probabilities?",
        ),
    ],
)

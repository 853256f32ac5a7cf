"""The exercises of the chapter on the normalization family."""

import torch
from torch import Tensor
from torch.nn import functional as F

from normlab.exercise import Exercise
from normlab.functional import normalize


def _largest_groups(channels: int, at_most: int) -> int:
    return max(groups for groups in range(1, at_most + 1) if channels % groups == 0)


largest_groups = Exercise(
    _largest_groups,
    cases=[(48, 32), (64, 32), (6, 4), (7, 4), (3, 32), (12, 12), (90, 32), (35, 10)],
    mistakes=[
        (
            lambda channels, at_most: at_most,
            "nn.GroupNorm(32, 48) raises an error. What does its message ask for?",
        ),
        (
            lambda channels, at_most: min(channels, at_most),
            "for 48 channels you return 32. How many channels would a group have?",
        ),
        (
            lambda channels, at_most: channels,
            "a group per channel always fits, but `at_most` is a limit. Is 48 within 32?",
        ),
        (
            lambda channels, at_most: max(
                g for g in range(1, at_most) if channels % g == 0 or g == 1
            ),
            "for 64 channels and at most 32 groups, 32 itself is allowed. Does your search "
            "include the limit?",
        ),
        (
            lambda channels, at_most: torch.gcd(
                torch.tensor(channels), torch.tensor(at_most)
            ).item(),
            "for 48 and 32 you return 16, the greatest common divisor. Must the result divide "
            "`at_most` too?",
        ),
        (
            lambda channels, at_most: max(
                g for g in (1, 2, 4, 8, 16, 32) if g <= at_most and channels % g == 0
            ),
            "for 48 channels you return 16, and a larger number fits too. Must the number of "
            "groups be a power of two?",
        ),
        (
            lambda channels, at_most: channels // -(-channels // at_most),
            "for 7 channels and at most 4 groups you return 3. How many channels would each of "
            "three groups have?",
        ),
        (
            lambda channels, at_most: channels // _largest_groups(channels, at_most),
            "that is the number of channels in a group. How many groups are there?",
        ),
    ],
)


def _rows(x: Tensor, groups: int, eps: float) -> Tensor:
    return normalize(x.reshape(len(x), groups, -1), (2,), eps=eps)[0].reshape(x.shape)


def _interleaved(x: Tensor, groups: int, eps: float) -> Tensor:
    """Groups of every `groups`-th channel instead of neighbours."""
    split = x.reshape(len(x), -1, groups, x[0, 0].numel())
    return normalize(split, (1, 3), eps=eps)[0].reshape(x.shape)


def _per_position(x: Tensor, groups: int, eps: float) -> Tensor:
    split = x.reshape(len(x), groups, x.shape[1] // groups, -1)
    return normalize(split, (2,), eps=eps)[0].reshape(x.shape)


def _over_the_batch(x: Tensor, groups: int, eps: float) -> Tensor:
    split = x.reshape(len(x), groups, -1)
    return normalize(split, (0, 2), eps=eps)[0].reshape(x.shape)


def _unbiased(x: Tensor, groups: int, eps: float) -> Tensor:
    rows = x.reshape(len(x), groups, -1)
    centred = rows - rows.mean(2, keepdim=True)
    return (centred / torch.sqrt(rows.var(2, keepdim=True) + eps)).reshape(x.shape)


def _eps_outside(x: Tensor, groups: int, eps: float) -> Tensor:
    rows = x.reshape(len(x), groups, -1)
    centred = rows - rows.mean(2, keepdim=True)
    return (centred / (rows.std(2, correction=0, keepdim=True) + eps)).reshape(x.shape)


def _by_the_variance(x: Tensor, groups: int, eps: float) -> Tensor:
    rows = x.reshape(len(x), groups, -1)
    centred = rows - rows.mean(2, keepdim=True)
    return (centred / (rows.var(2, correction=0, keepdim=True) + eps)).reshape(x.shape)


def _not_centred(x: Tensor, groups: int, eps: float) -> Tensor:
    rows = x.reshape(len(x), groups, -1)
    return (rows / torch.sqrt(rows.var(2, correction=0, keepdim=True) + eps)).reshape(x.shape)


def _random(*shape: int, seed: int) -> Tensor:
    return 3 + 2 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


normalize_groups = Exercise(
    _rows,
    cases=[
        (_random(4, 6, 3, 5, seed=0), 2, 1e-5),
        (_random(3, 8, 7, seed=1), 4, 1e-1),
        (_random(5, 12, seed=2), 3, 1e-5),
        (_random(1, 6, 1, 4, seed=12), 2, 1e-5),
    ],
    tolerance=1e-4,
    mistakes=[
        (
            _interleaved,
            "your first group takes every second channel, 0, 2, 4. Which channels are neighbours "
            "after a reshape to [N, G, C/G]?",
        ),
        (
            _per_position,
            "you average over the channels of a group at each position. Do the positions of a "
            "group share a mean?",
        ),
        (
            _over_the_batch,
            "a sample gets another result when its companions change. Which dimension should not "
            "be reduced?",
        ),
        (
            _unbiased,
            "the outputs are a little too small, most where a group holds few values. By what do "
            "you divide the sum of squares?",
        ),
        (
            _eps_outside,
            "with eps=0.1 your outputs are off. Is eps added to the deviation or the variance?",
        ),
        (
            lambda x, groups, eps: _rows(x, 1, eps),
            "all channels of a sample share a mean, as in LN. Where does your answer use `groups`?",
        ),
        (
            lambda x, groups, eps: _rows(x, groups, eps).squeeze(),
            "for a batch of one sample the result has lost a dimension. What shape does `x` have?",
        ),
        (
            lambda x, groups, eps: _rows(x, groups, 0.0),
            "with eps=0.1 your outputs are a little too large. Where does your answer use eps?",
        ),
        (
            _by_the_variance,
            "the outputs of a group do not have the deviation 1. Do you divide by the variance or "
            "by its root?",
        ),
        (
            _not_centred,
            "the outputs of a group do not have the mean 0. What is subtracted before you divide?",
        ),
        (
            lambda x, groups, eps: _rows(x, x.shape[1] // groups, eps),
            "6 channels in 2 groups become 3 groups of 2. Which number is `groups`?",
        ),
    ],
)


def _masked_statistics(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    real = x[valid]
    return real.mean(0), real.var(0, correction=0)


def _zeroed_statistics(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    return _masked_statistics(x * valid[..., None], torch.ones_like(valid))


def _mean_of_means(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    parts = [_masked_statistics(row, mask) for row, mask in zip(x, valid, strict=True)]
    means, variances = zip(*parts, strict=True)
    return torch.stack(means).mean(0), torch.stack(variances).mean(0)


def _steps_that_are_not_zero(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    return _masked_statistics(x, (x != 0).any(-1))


def _mean_right_variance_padded(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    mean = _masked_statistics(x, valid)[0]
    zeroed = x * valid[..., None]
    return mean, (zeroed - mean).square().sum((0, 1)) / valid.sum()


def _up_to_the_length(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    lengths = valid.sum(1, keepdim=True)
    return _masked_statistics(x, torch.arange(x.shape[1]) < lengths)


_VALID = torch.arange(7) < torch.tensor([[7], [2], [4], [3]])  # [N, T]

masked_statistics = Exercise(
    _masked_statistics,
    cases=[
        (_random(4, 7, 3, seed=3), _VALID),
        (_random(4, 7, 3, seed=4) * _VALID[..., None], _VALID),
        (_random(2, 7, 1, seed=5), _VALID[1:3]),
        (_random(4, 7, 2, seed=13), _VALID.flip(1)),  # the padding comes first
    ],
    tolerance=1e-4,
    parts=("the mean", "the variance"),
    mistakes=[
        (
            lambda x, valid: (x.mean((0, 1)), x.var((0, 1), correction=0)),
            "whatever lies behind the end of a sequence still counts. Where does your answer use "
            "`valid`?",
        ),
        (
            lambda x, valid: _masked_statistics(x, valid)[::-1],
            "both numbers are there, in the other order. Which of the two comes first?",
        ),
        (
            _zeroed_statistics,
            "the padding is set to zero, and the zeros are counted. By how many steps do you "
            "divide?",
        ),
        (
            _steps_that_are_not_zero,
            "padding that is not zero is counted. Which argument says what is real?",
        ),
        (
            lambda x, valid: (x[valid].mean(), x[valid].var(correction=0)),
            "you return one mean for all features. Which dimension of the real steps remains?",
        ),
        (
            _up_to_the_length,
            "where the padding comes first, you take it for the sequence. Does `valid` say how "
            "many steps are real, or which?",
        ),
        (
            lambda x, valid: (x[valid].mean(0), x.var((0, 1), correction=0)),
            "the mean is right, the variance counts the padding. Where does it use `valid`?",
        ),
        (
            lambda x, valid: (x.mean((0, 1)), x[valid].var(0, correction=0)),
            "the variance is right, the mean counts the padding. Where does it use `valid`?",
        ),
        (
            _mean_right_variance_padded,
            "the mean is right, the variance too large. What is the deviation of a padded zero "
            "from the mean?",
        ),
        (
            _mean_of_means,
            "you average the statistics of the sequences. Should a step of a short sequence weigh "
            "more than one of a long sequence?",
        ),
        (
            lambda x, valid: (x[valid].mean(0), x[valid].var(0)),
            "the mean is right, the variance a little too large. Is it biased, as the exercise "
            "asks?",
        ),
        (
            lambda x, valid: (x[valid].mean(0), x[valid].std(0, correction=0)),
            "the second number is the standard deviation. Which of the two is asked for?",
        ),
    ],
)


def _moments(images: Tensor, dims: tuple[int, ...], eps: float) -> tuple[Tensor, Tensor]:
    var = images.var(dims, correction=0, keepdim=True)
    return images.mean(dims, keepdim=True), torch.sqrt(var + eps)


def _transfer(content: Tensor, style: Tensor, eps: float, dims=(2, 3)) -> Tensor:
    mean, std = _moments(content, dims, eps)
    new_mean, new_std = _moments(style, dims, eps)
    return new_std * (content - mean) / std + new_mean


def _without_mean(content: Tensor, style: Tensor, eps: float) -> Tensor:
    return F.instance_norm(content, eps=eps) * _moments(style, (2, 3), eps)[1]


def _without_normalizing(content: Tensor, style: Tensor, eps: float) -> Tensor:
    mean, std = _moments(style, (2, 3), eps)
    return content * std + mean


def _without_contrast(content: Tensor, style: Tensor, eps: float) -> Tensor:
    return content - content.mean((2, 3), keepdim=True) + style.mean((2, 3), keepdim=True)


def _by_variance(content: Tensor, style: Tensor, eps: float) -> Tensor:
    mean, std = _moments(style, (2, 3), eps)
    return F.instance_norm(content, eps=eps) * std**2 + mean


def _deviation_plus_eps(content: Tensor, style: Tensor, eps: float) -> Tensor:
    mean, std = _moments(content, (2, 3), 0.0)
    new_mean, new_std = _moments(style, (2, 3), 0.0)
    return (new_std + eps) * (content - mean) / (std + eps) + new_mean


def _unbiased_styles(content: Tensor, style: Tensor, eps: float) -> Tensor:
    stds = [torch.sqrt(z.var((2, 3), keepdim=True) + eps) for z in (content, style)]
    centred = content - content.mean((2, 3), keepdim=True)
    return centred / stds[0] * stds[1] + style.mean((2, 3), keepdim=True)


transfer_style = Exercise(
    _transfer,
    cases=[
        (_random(3, 4, 5, 5, seed=6), 2 - 3 * _random(3, 4, 6, 4, seed=7), 1e-5),
        (_random(2, 3, 4, 6, seed=8), 5 * _random(2, 3, 3, 3, seed=9), 1e-1),
    ],
    tolerance=1e-4,
    mistakes=[
        (
            lambda content, style, eps: F.instance_norm(content, eps=eps),
            "the content is normalized, and stays so. What does `style` contribute?",
        ),
        (
            _without_mean,
            "the contrast is that of the style, the mean of each channel is 0. What else makes "
            "the style?",
        ),
        (
            _without_normalizing,
            "the content keeps its own contrast and adds the new one. What must happen to it "
            "first?",
        ),
        (
            _without_contrast,
            "the mean of each channel is that of the style, the contrast is still the content's. "
            "What else makes the style?",
        ),
        (
            _by_variance,
            "the contrast is exaggerated where the style varies much. Do you multiply by the "
            "variance or by the deviation?",
        ),
        (
            lambda content, style, eps: _transfer(content, style, 0.0),
            "with eps=0.1 your outputs are off. Where does your answer use eps?",
        ),
        (
            _deviation_plus_eps,
            "with eps=0.1 your outputs are off. Is eps added to the deviation or the variance?",
        ),
        (
            _unbiased_styles,
            "the contrast is a little off, most for small images. Is the variance biased, as in "
            "nn.InstanceNorm2d?",
        ),
        (
            lambda content, style, eps: _transfer(style, content, eps),
            "you return the style image with the look of the content. Which of the two keeps its "
            "shapes?",
        ),
        (
            lambda content, style, eps: _transfer(content, style, eps, (0, 2, 3)),
            "every image gets the average style of the batch. Whose statistics does IN use?",
        ),
        (
            lambda content, style, eps: _transfer(content, style, eps, (1, 2, 3)),
            "all channels of an image get one mean: its colours stay. Which dimensions does IN "
            "reduce?",
        ),
    ],
)

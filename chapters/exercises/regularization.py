"""The exercises of the chapter on regularization."""

import math

from torch import nn

from normlab.exercise import Exercise
from normlab.models import mlp

decayed_step = Exercise(
    lambda w, g, rate, decay: w - rate * (g + decay * w),
    cases=[(2.0, 3.0, 0.1, 0.5), (-1.0, 0.5, 0.01, 0.1), (4.0, 0.0, 0.2, 1.0)],
    mistakes=[
        (
            lambda w, g, rate, decay: (1 - decay) * w - g,
            "for w = 2, g = 3 the weight jumps to -2. Which of the two terms should a small "
            "learning rate make small?",
        ),
        (
            lambda w, g, rate, decay: (1 - decay) * w - rate * g,
            "without a gradient and with decay 1, a single step erases the weight. The penalty is "
            "part of the gradient: what is every gradient multiplied by?",
        ),
        (
            lambda w, g, rate, decay: (1 - 2 * rate * decay) * w - rate * g,
            "your weight decays twice as fast. What is the derivative of the penalty when it is "
            "written with a half?",
        ),
        (
            lambda w, g, rate, decay: (1 + rate * decay) * w - rate * g,
            "without a gradient your weight grows. In which direction does the penalty pull?",
        ),
        (
            lambda w, g, rate, decay: w - rate * g,
            "this is the step without decay. What does the penalty add to the gradient?",
        ),
        (
            lambda w, g, rate, decay: w - rate * (g + decay),
            "every weight loses the same amount, whether it is large or small. That is another "
            "penalty than L2: what is the derivative of the squared weight?",
        ),
        (
            lambda w, g, rate, decay: (1 - rate * decay) * (w - rate * g),
            "the step on the gradient has shrunk too. At which weight is the decay taken: the one "
            "before the step, or the one after it?",
        ),
        (
            lambda w, g, rate, decay: w - rate * (g + decay * w / 2),
            "your weight decays at half the speed. The penalty has the half already: what is the "
            "derivative of half the square?",
        ),
        (
            lambda w, g, rate, decay: (1 - rate * decay) * w + rate * g,
            "a positive gradient makes your weight grow. Does the loss then fall?",
        ),
    ],
)


shifted_variance = Exercise(
    lambda mean, std, p: std**2 / ((std**2 + mean**2) / (1 - p) - mean**2),
    cases=[(0.0, 1.0, 0.5), (0.4, 0.6, 0.5), (1.0, 2.0, 0.3), (-1.0, 0.5, 0.2)],
    tolerance=1e-4,  # an answer may count eps
    mistakes=[
        (
            lambda mean, std, p: 1 - p,
            "right for a mean of 0. A feature behind ReLU has another mean: what does dropout do "
            "to the variance of a constant 1?",
        ),
        (
            lambda mean, std, p: ((std**2 + mean**2) / (1 - p) - mean**2) / std**2,
            "yours is above 1. In eval mode the input varies less than in training: does the "
            "output then vary more?",
        ),
        (
            lambda mean, std, p: std**2 / ((std**2 + mean**2) / (1 - p)),
            "you divide by the second moment. What is left of it when it is taken around the mean?",
        ),
        (
            lambda mean, std, p: math.sqrt(std**2 / ((std**2 + mean**2) / (1 - p) - mean**2)),
            "that is the standard deviation of the output. The question was about its square.",
        ),
        (
            lambda mean, std, p: std**2 / ((std**2 + mean**2) * (1 - p) - (mean * (1 - p)) ** 2),
            "you drop without scaling what is kept. By what does nn.Dropout divide it?",
        ),
        (
            lambda mean, std, p: (std**2 + mean**2) / (1 - p) - mean**2,
            "that is the variance of the input in training mode, which BN has recorded. What does "
            "BN do with it in eval mode, and to which input?",
        ),
        (
            lambda mean, std, p: std**2 / ((std**2 + mean**2) / p - mean**2),
            "you divide by p. Which share of the values stays, and by what does nn.Dropout divide "
            "them?",
        ),
        (
            lambda mean, std, p: 1.0,
            "that is the variance of the output in training mode. Which variance does BN divide "
            "by in eval mode, and which one does its input have then?",
        ),
    ],
)


def _exposed(model: nn.Sequential, which: str = "right") -> list[int]:
    layers = list(model)
    norms = [i for i, layer in enumerate(layers) if isinstance(layer, nn.BatchNorm1d)]
    drops = [i for i, layer in enumerate(layers) if isinstance(layer, nn.Dropout)]
    acting = [i for i in drops if layers[i].p > 0]
    if which == "adjacent":
        return [i for i in norms if i - 1 in acting]
    if which == "behind":
        return [i for i in norms if any(i < d for d in acting)]
    if which == "every":
        return norms
    if which == "drops":
        return acting
    if which == "last":
        return [i for i in norms if acting and i > acting[-1]]
    if which == "all":
        return norms if acting else []
    return [i for i in norms if any(d < i for d in (drops if which == "p = 0" else acting))]


def _dropped(*layers: nn.Module) -> tuple[nn.Sequential]:
    return (nn.Sequential(*layers),)


exposed_norms = Exercise(
    _exposed,
    cases=[
        _dropped(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2)),
        _dropped(
            nn.BatchNorm1d(2), nn.Dropout(0.2), nn.BatchNorm1d(2), nn.ReLU(), nn.BatchNorm1d(2)
        ),
        _dropped(nn.Dropout(0.0), nn.BatchNorm1d(2), nn.Linear(2, 2)),
        _dropped(nn.Dropout(0.1), nn.Linear(2, 2), nn.BatchNorm1d(2)),
        _dropped(nn.Dropout(0.3), nn.BatchNorm1d(2), nn.ReLU(), nn.Dropout(0.5), nn.BatchNorm1d(2)),
    ],
    mistakes=[
        (
            lambda model: _exposed(model, "adjacent"),
            "you look at the layer directly before. The noise passes through a linear layer: what "
            "does the next BN record?",
        ),
        (
            lambda model: _exposed(model, "all"),
            "a BN in front of the dropout is on your list. Has anything been dropped when its "
            "input arrives?",
        ),
        (
            lambda model: _exposed(model, "p = 0"),
            "a dropout with p = 0 raises your alarm. What does it change in training mode?",
        ),
        (
            lambda model: _exposed(model, "behind"),
            "you list the layers in front of a dropout. Which way do the activations flow?",
        ),
        (
            lambda model: _exposed(model, "every"),
            "every BN is on your list. In the first model the only dropout comes after it: does "
            "it see anything that was dropped?",
        ),
        (
            lambda model: _exposed(model, "last"),
            "with two dropouts you list what follows the last one. Does the first one change "
            "nothing for the layers between them?",
        ),
        (
            lambda model: _exposed(model)[:1],
            "your list ends after the first layer. Does the noise stop at a BN, or does the next "
            "one record it too?",
        ),
        (
            lambda model: [i + 1 for i in _exposed(model)],
            "every position is one too high. At which number does Python begin to count?",
        ),
        (
            lambda model: [
                number for number, i in enumerate(_exposed(model, "every")) if i in _exposed(model)
            ],
            "you number the BN layers among themselves. Which number gives `model[...]`?",
        ),
        (
            lambda model: len(_exposed(model)),
            "that is how many there are. Where do they stand?",
        ),
        (
            lambda model: _exposed(model, "drops"),
            "those are the positions of the dropouts. Whose running statistics are wrong?",
        ),
    ],
)


def _scale_free(model: nn.Module, which: str = "right") -> int:
    count = 0
    for block in [m for m in model.modules() if isinstance(m, nn.Sequential)]:
        layers = list(block)
        for i, layer in enumerate(layers):
            following = layers[i + 1] if i + 1 < len(layers) else None
            later = layers[i + 1 :] if which == "somewhere" else [following]
            normed = any(isinstance(other, nn.BatchNorm1d) for other in later)
            if isinstance(layer, nn.Linear) and (normed or which == "every"):
                count += layer.weight.numel()
                count += layer.out_features if which == "bias" else 0
    return count


def _top_level(model: nn.Sequential) -> int:
    pairs = zip(list(model)[:-1], list(model)[1:], strict=True)
    return sum(
        layer.weight.numel()
        for layer, following in pairs
        if isinstance(layer, nn.Linear) and isinstance(following, nn.BatchNorm1d)
    )


def _all_numbers(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.dim() >= 2)


_MIXED = nn.Sequential(
    nn.Linear(3, 5), nn.ReLU(), nn.BatchNorm1d(5), nn.Linear(5, 4), nn.BatchNorm1d(4)
)

scale_free_weights = Exercise(
    _scale_free,
    cases=[(mlp([2, 8, 4, 3], nn.BatchNorm1d),), (mlp([2, 8, 3]),), (_MIXED,)],
    mistakes=[
        (
            _all_numbers,
            "every matrix counts for you, the last layer too. What follows the last layer?",
        ),
        (
            lambda model: _scale_free(model, "bias"),
            "you count biases. Ten times the bias alone: is that a change of scale? The question "
            "was about `weight`.",
        ),
        (
            lambda model: _scale_free(model, "somewhere"),
            "a layer with a ReLU between itself and BN is on your list. Its bias stays as it is: "
            "does ten times the weight still mean ten times the output? Take only direct "
            "neighbours.",
        ),
        (
            lambda model: sum(
                m.weight.numel() for m in model.modules() if isinstance(m, nn.BatchNorm1d)
            ),
            "those are the gammas. They come after the division by the standard deviation: which "
            "weights come before it?",
        ),
        (
            _top_level,
            "a model made of blocks gives 0, since none of its own layers is linear. Where are "
            "the linear layers, and what does `model.modules()` go through?",
        ),
    ],
)

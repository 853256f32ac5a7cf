"""The exercises of the chapter on a layer from scratch."""

import torch
from torch import Tensor, nn

from normlab.exercise import Exercise


def _numbers(*shape: int, shift: float = 0.0) -> Tensor:
    """Return fixed float64 numbers around `shift`, without touching the global generator."""
    generator = torch.Generator().manual_seed(sum(shape))
    return shift + torch.randn(shape, generator=generator, dtype=torch.double)


def _moved_statistics(
    mean: Tensor, var: Tensor, x: Tensor, momentum: float, correction: int = 1
) -> tuple[Tensor, Tensor]:
    batch_mean, batch_var = x.mean(0), x.var(0, correction=correction)
    return mean + momentum * (batch_mean - mean), var + momentum * (batch_var - var)


_STATE = (_numbers(3), _numbers(3).square())  # running mean and variance

moved_statistics = Exercise(
    _moved_statistics,
    cases=[
        (*_STATE, _numbers(8, 3), 0.1),
        (*_STATE, _numbers(4, 3, shift=5.0), 0.25),
        (*_STATE, _numbers(6, 3), 1.0),
    ],
    parts=("the running mean", "the running variance"),
    mistakes=[
        (
            lambda mean, var, x, m: _moved_statistics(mean, var, x, 1 - m),
            "with momentum 0.1 a new batch moves the statistics nine tenths of the way. Which of "
            "the two terms does PyTorch's momentum weight?",
        ),
        (
            lambda mean, var, x, m: _moved_statistics(mean, var, x, m, correction=0),
            "the mean is right, and the variance of a batch of 8 is an eighth too small. By what "
            "does nn.BatchNorm divide before it stores the variance?",
        ),
        (
            lambda mean, var, x, m: _moved_statistics(mean, var, x, 1 - m, correction=0),
            "two things at once: a new batch moves the statistics nine tenths of the way, and its "
            "variance is the biased one. Which of each does nn.BatchNorm store?",
        ),
        (
            lambda mean, var, x, m: _moved_statistics(mean, var, x, m)[::-1],
            "the numbers are right, and the variance comes first. In which order does the exercise "
            "ask for the two?",
        ),
        (
            lambda mean, var, x, m: (mean + m * x.mean(0), var + m * x.var(0)),
            "the statistics grow with every batch. What becomes of the old value?",
        ),
        (
            lambda mean, var, x, m: (
                mean + m * (x.mean(0) - mean),
                (var.sqrt() + m * (x.std(0) - var.sqrt())).square(),
            ),
            "you average standard deviations. Which quantity does nn.BatchNorm average?",
        ),
    ],
)


def _merged_statistics(n_a, mean_a, var_a, n_b, mean_b, var_b) -> tuple[float, float]:
    a, b = n_a / (n_a + n_b), n_b / (n_a + n_b)
    mean = a * mean_a + b * mean_b
    return mean, a * var_a + b * var_b + a * b * (mean_a - mean_b) ** 2


merged_statistics = Exercise(
    _merged_statistics,
    cases=[
        (4, 1.0, 2.0, 12, 3.0, 0.5),
        (1, 5.0, 0.0, 1, 7.0, 0.0),
        (10, 0.0, 1.0, 10, 0.0, 3.0),
    ],
    parts=("the mean", "the variance"),
    mistakes=[
        (
            lambda n, m, v, k, p, w: ((n * m + k * p) / (n + k), (n * v + k * w) / (n + k)),
            "two chunks of one value each, 5 and 7, come out with variance 0. Where does the "
            "distance between the two means enter?",
        ),
        (
            lambda n, m, v, k, p, w: ((m + p) / 2, (v + w) / 2 + (m - p) ** 2 / 4),
            "a chunk of 4 values weighs as much as one of 12. What should each weigh?",
        ),
        (
            lambda n, m, v, k, p, w: (
                (n * m + k * p) / (n + k),
                (n * v + k * w) / (n + k) + (m - p) ** 2,
            ),
            "the chunks {5} and {7} come out with variance 4. The values lie 1 from their common "
            "mean: by what must the squared distance of the means be multiplied?",
        ),
        (
            lambda n, m, v, k, p, w: (
                (n * m + k * p) / (n + k),
                (n * v + k * w + n * k / (n + k) * (m - p) ** 2) / (n + k - 1),
            ),
            "the sum of squares is right, and you divide by one less than the number of values. "
            "Which variance do the chunks come with, the biased or the unbiased one?",
        ),
    ],
)


def _rms_backward(dy: Tensor, x_hat: Tensor, rstd: Tensor) -> Tensor:
    return rstd * (dy - x_hat * (dy * x_hat).mean(1, keepdim=True))


def _rms_case(n: int, c: int) -> tuple[Tensor, Tensor, Tensor]:
    x = _numbers(n, c, shift=1.0)
    rstd = x.square().mean(1, keepdim=True).rsqrt()  # [N, 1]
    return _numbers(c, n).T, x * rstd, rstd


rms_backward = Exercise(
    _rms_backward,
    cases=[_rms_case(4, 6), _rms_case(3, 2)],
    mistakes=[
        (
            lambda dy, x_hat, rstd: _rms_backward(dy - dy.mean(1, keepdim=True), x_hat, rstd),
            "your gradient sums to zero in each row, as it does where a mean is subtracted. Does "
            "this layer subtract one?",
        ),
        (
            lambda dy, x_hat, rstd: rstd * dy,
            "you treat the root mean square as a constant. What does a larger x do to it?",
        ),
        (
            lambda dy, x_hat, rstd: dy - x_hat * (dy * x_hat).mean(1, keepdim=True),
            "the direction is right and the length is not. If the input is ten times as large, "
            "how much does the output react to a change of the input?",
        ),
        (
            lambda dy, x_hat, rstd: rstd * (dy - x_hat * (dy * x_hat).sum(1, keepdim=True)),
            "the projection is C times too long. The mean of x_hat squared is 1: what is the sum?",
        ),
        (
            lambda dy, x_hat, rstd: rstd * (dy - x_hat * (dy * x_hat).mean(0, keepdim=True)),
            "you average over the batch. Over which dimension is the root mean square taken?",
        ),
    ],
)


class _DebiasedNorm(nn.Module):
    """The solution. Subclasses that change an option are the typical mistakes."""

    debias_mean = debias_var = save_count = detach = guard = True
    correction, correction_in_training = 1, 0
    momentum = 0.1

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("var", torch.zeros(num_features))
        if self.save_count:
            self.register_buffer("count", torch.tensor(0))
        else:
            self.count = torch.tensor(0)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            mean, var = x.mean(0), x.var(0, correction=self.correction_in_training)
            self._track(x.detach() if self.detach else x)
        elif self.guard and self.count == 0:
            return x
        else:
            filled = 1 - (1 - self.momentum) ** self.count
            mean = self.mean / (filled if self.debias_mean else 1)
            var = self.var / (filled if self.debias_var else 1)
        return (x - mean) / torch.sqrt(var + 1e-5)

    def _track(self, x: Tensor) -> None:
        self.count += 1
        old, new = 1 - self.momentum, self.momentum
        self.mean = old * self.mean + new * x.mean(0)
        self.var = old * self.var + new * x.var(0, correction=self.correction)


def _wrong(**options) -> type[nn.Module]:
    return type("_WrongNorm", (_DebiasedNorm,), options)


def _observe_norm(layer: nn.Module) -> list[Tensor] | None:
    """Return what the layer does in training, in eval, new, and after it was saved and loaded."""
    probe = _numbers(5, 3).float()
    # A NaN differs from itself, so it would not be recognised.
    new, train, after = layer.eval()(probe), [], []
    for i in range(3):
        batch = _numbers(8, 3, shift=4.0 + i).float().requires_grad_()
        train.append(layer.train()(batch))
        after.append(layer.eval()(probe))
    if any(result is None for result in (new, *train, *after)):
        return None
    loaded = type(layer)(3)
    loaded.load_state_dict({k: v.detach() for k, v in layer.state_dict().items()})
    # What learns is no statistic, even where its numbers are right.
    learns = sum(p.requires_grad for p in (*layer.buffers(), *layer.parameters()))
    results = [torch.cat(train), *after, new.nan_to_num(7, 7, 7), loaded.eval()(probe)]
    return [result.detach() for result in results] + [torch.tensor(learns)]


DebiasedNorm = Exercise(
    _DebiasedNorm,
    cases=[(3,)],
    observe=_observe_norm,
    parts=(
        "the output in training",
        "eval mode after one batch",
        "eval mode after two",
        "eval mode after three",
        "a new layer in eval mode",
        "a saved and loaded layer",
        "what requires a gradient",
    ),
    tolerance=1e-4,  # float32, in whatever order an answer computes
    mistakes=[
        (
            _wrong(guard=False),
            "right from the first batch on. Before it, eval mode returns NaN or infinity: what is "
            "0 divided by 0?",
        ),
        (
            _wrong(debias_mean=False, debias_var=False),
            "after one batch your running variance is a tenth of the batch's. By what do you "
            "divide it in eval mode?",
        ),
        (
            _wrong(debias_mean=False),
            "the variance is right. The mean started at 0 too: is it not just as small?",
        ),
        (
            _wrong(debias_var=False),
            "the mean is right. The variance started at 0 too: is it not just as small?",
        ),
        (
            _wrong(save_count=False),
            "right until the layer is saved and loaded, then eval mode is wrong. Which of your "
            "values is missing from the state_dict?",
        ),
        (
            _wrong(correction=0),
            "the running variance of batches of 8 is an eighth too small. Which variance does "
            "nn.BatchNorm store?",
        ),
        (
            _wrong(correction_in_training=1),
            "right in eval mode. In training the outputs of a batch have variance 7/8: by which "
            "variance is a batch normalized?",
        ),
        (
            _wrong(momentum=0.9),
            "a new batch moves your statistics nine tenths of the way. How far should it?",
        ),
        (
            _wrong(detach=False),
            "the numbers are right, and the running statistics require a gradient: they remember "
            "every batch, or learn. What cuts them off?",
        ),
    ],
)

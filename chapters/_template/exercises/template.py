"""The exercises of the chapter on a topic."""

from normlab.exercise import Exercise


def _spread_of_mean(spread: float, size: int) -> float:
    return spread / size**0.5


spread_of_mean = Exercise(
    _spread_of_mean,
    cases=[(1.0, 4), (2.0, 100)],
    mistakes=[
        (
            lambda spread, size: spread / size,
            "that falls too fast. Which of the two does the size divide, variance or spread?",
        ),
    ],
)


def _size_for(spread: float, wanted: float) -> int:
    return round((spread / wanted) ** 2)


size_for = Exercise(
    _size_for,
    cases=[(1.0, 0.5), (2.0, 0.1)],
    mistakes=[
        (
            lambda spread, wanted: round(spread / wanted),
            "that many samples halve nothing. By which power of the size does the spread fall?",
        ),
    ],
)


def _pooled_mean(means: list[float], sizes: list[int]) -> float:
    return sum(mean * size for mean, size in zip(means, sizes, strict=True)) / sum(sizes)


pooled_mean = Exercise(
    _pooled_mean,
    cases=[([1.0, 3.0], [1, 3]), ([0.0, 1.0, 2.0], [5, 5, 10])],
    mistakes=[
        (
            lambda means, sizes: sum(means) / len(means),
            "every batch counts the same in yours. How much should a batch of one weigh?",
        ),
    ],
)

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
        (
            lambda spread, size: spread**2 / size,
            "that is a variance. In which unit is the spread of the samples?",
        ),
        (
            lambda spread, size: spread,
            "that is the spread of one sample. What do the others do to the mean?",
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
            "that is too few. By which power of the size does the spread fall?",
        ),
        (
            lambda spread, wanted: round((wanted / spread) ** 2),
            "the smaller the wanted spread, the fewer samples you take. Which of the two grows?",
        ),
        (
            lambda spread, wanted: round(spread**2 / wanted),
            "you squared one of the two. What is the variance of the mean to be?",
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
        (
            lambda means, sizes: sum(m * n for m, n in zip(means, sizes, strict=True)),
            "that is the sum of all samples. How many are there?",
        ),
        (
            lambda means, sizes: sum(m * n for m, n in zip(means, sizes, strict=True)) / len(sizes),
            "you divide by the number of batches. How many samples are there?",
        ),
    ],
)

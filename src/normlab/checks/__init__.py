"""Checks behind the exercises: "Correct", or a hint about the mistake that was made.

There is one module per chapter; `check` finds an exercise by its name.
"""

from normlab.checks import (
    first_experiments,
    from_scratch,
    initialization,
    lenet_cifar10,
    nn_batchnorm,
    normalization_family,
    regularization,
    saving_and_loading,
    the_mathematics,
    why_normalize,
)
from normlab.checks.core import Answer, Check

CHECKS: dict[str, Check] = {
    **why_normalize.CHECKS,
    **the_mathematics.CHECKS,
    **from_scratch.CHECKS,
    **nn_batchnorm.CHECKS,
    **first_experiments.CHECKS,
    **lenet_cifar10.CHECKS,
    **initialization.CHECKS,
    **regularization.CHECKS,
    **normalization_family.CHECKS,
    **saving_and_loading.CHECKS,
}


def check(name: str, answer: Answer) -> None:
    """Print the verdict on `answer` to the exercise `name`.

    Raises:
        KeyError: there is no exercise of that name.
    """
    if name not in CHECKS:
        raise KeyError(f"no exercise is called {name!r}; there are {sorted(CHECKS)}")
    print(CHECKS[name].verdict(answer))

"""Checks behind the exercises: "Correct", or a hint about the mistake that was made.

There is one module per chapter; `check` finds an exercise by its name.
"""

from normlab.checks import (
    from_scratch,
    lenet_cifar10,
    nn_batchnorm,
    the_mathematics,
    why_normalize,
)
from normlab.checks.core import Answer, Check

CHECKS: dict[str, Check] = {
    **why_normalize.CHECKS,
    **the_mathematics.CHECKS,
    **from_scratch.CHECKS,
    **nn_batchnorm.CHECKS,
    **lenet_cifar10.CHECKS,
}


def check(name: str, answer: Answer) -> None:
    """Print the verdict on `answer` to the exercise `name`.

    Raises:
        KeyError: there is no exercise of that name.
    """
    if name not in CHECKS:
        raise KeyError(f"no exercise is called {name!r}; there are {sorted(CHECKS)}")
    print(CHECKS[name].verdict(answer))

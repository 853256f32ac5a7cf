"""Checks behind the exercises: "Correct", or a hint about the mistake that was made.

There is one module per chapter; `check` finds an exercise by its name.
"""

import importlib
import pkgutil

from normlab.checks.core import Answer, Check

CHECKS: dict[str, Check] = {}
for _module in pkgutil.iter_modules(__path__):
    CHECKS |= getattr(importlib.import_module(f"{__name__}.{_module.name}"), "CHECKS", {})


def check(name: str, answer: Answer) -> None:
    """Print the verdict on `answer` to the exercise `name`.

    Raises:
        KeyError: there is no exercise of that name.
    """
    if name not in CHECKS:
        raise KeyError(f"no exercise is called {name!r}; there are {sorted(CHECKS)}")
    print(CHECKS[name].verdict(answer))

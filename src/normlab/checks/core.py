"""What a check is.

It runs the answer on a few cases and compares the results with those of the solution. If they
differ, it compares them with those of typical wrong answers: the one that agrees knows the hint.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

Answer = Callable[..., Any]


@dataclass(frozen=True)
class Check:
    """An exercise: its solution, cases to try, and typical mistakes with their hints."""

    solution: Answer
    cases: Sequence[tuple]
    mistakes: Sequence[tuple[Answer, str]]

    def verdict(self, answer: Answer) -> str:
        """Return "Correct." or "Not yet: " and a hint for `answer`."""
        results = []
        for case in self.cases:
            try:
                results.append(_try(answer, case))
            except Exception as error:  # whatever a student's code raises becomes a hint
                return f"Not yet: for {_show(case)} it raises {type(error).__name__}: {error}"
            if results[-1] is None or results[-1] is ...:
                return f"Not yet: for {_show(case)} it returns nothing. Write the body first."
        if self._agrees(self.solution, results):
            return "Correct."
        for mistake, hint in self.mistakes:
            if self._agrees(mistake, results):
                return f"Not yet: {hint}"
        for case, found in zip(self.cases, results, strict=True):
            expected = _try(self.solution, case)
            if not _same(found, expected):
                return (
                    f"Not yet: for {_show(case)} expected {_short(expected)}, not {_short(found)}."
                )
        raise AssertionError("unreachable: some result differs from the solution's")

    def _agrees(self, other: Answer, results: Sequence[Any]) -> bool:
        pairs = zip(results, self.cases, strict=True)
        return all(_same(found, _try(other, case)) for found, case in pairs)


def _try(function: Answer, case: tuple) -> Any:
    return function(*copy.deepcopy(case))  # an answer may change what it is given


def _show(case: tuple) -> str:
    return ", ".join(_short(value) for value in case)


def _short(value: Any) -> str:
    return (
        f"a model with {_numbers(value)} parameters" if isinstance(value, nn.Module) else str(value)
    )


def _numbers(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, nn.Module) and isinstance(b, nn.Module):
        return _description(a) == _description(b)
    try:
        a, b = torch.as_tensor(a), torch.as_tensor(b)
    except (TypeError, ValueError, RuntimeError):
        return False
    return a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=1e-6, atol=1e-9)


def _description(model: nn.Module) -> list[str]:
    return [repr(m) for m in model.modules() if not list(m.children())]

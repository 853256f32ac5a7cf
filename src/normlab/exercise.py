"""What an exercise is: it says "Correct." of an answer, or gives a hint about its mistake.

The answer runs on a few cases, and the results are compared with those of the solution. If they
differ, they are compared with those of typical wrong answers: the one that agrees knows the hint.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

Answer = Callable[..., Any]


@dataclass(frozen=True)
class Exercise:
    """The solution of an exercise, cases to try, and typical mistakes with their hints.

    Args:
        solution: what is called with each case, as the answer is.
        cases: tuples of arguments.
        mistakes: typical wrong answers, each with its hint.
        observe: what of a result is compared, such as the outputs of a layer; None is nothing yet.
        tolerance: largest difference of two equal numbers, relative and absolute.
    """

    solution: Answer
    cases: Sequence[tuple]
    mistakes: Sequence[tuple[Answer, str]]
    observe: Callable[[Any], Any] | None = None
    tolerance: float | None = None

    def check(self, answer: Answer) -> None:
        """Print the verdict on `answer`."""
        print(self.verdict(answer))

    def verdict(self, answer: Answer) -> str:
        """Return "Correct." or "Not yet: " and a hint for `answer`."""
        results = []
        for case in self.cases:
            try:
                results.append(self._try(answer, case))
            except Exception as error:  # whatever a student's code raises becomes a hint
                return f"Not yet: for {_show(case)} it raises {type(error).__name__}: {error}"
            if results[-1] is None or results[-1] is ...:
                if case is self.cases[0]:
                    return "Not yet: it returns nothing. Write the body first."
                return f"Not yet: for {_show(case)} it returns nothing."
        if self._agrees(self.solution, results):
            return "Correct."
        for mistake, hint in self.mistakes:
            if self._agrees(mistake, results):
                return f"Not yet: {hint}"
        for case, found in zip(self.cases, results, strict=True):
            expected = self._try(self.solution, case)
            if not _same(found, expected, self.tolerance):
                return f"Not yet: for {_show(case)} {_difference(found, expected)}."
        raise AssertionError("unreachable: some result differs from the solution's")

    def _agrees(self, other: Answer, results: Sequence[Any]) -> bool:
        pairs = zip(results, self.cases, strict=True)
        return all(_same(found, self._try(other, case), self.tolerance) for found, case in pairs)

    def _try(self, function: Answer, case: tuple) -> Any:
        result = function(*copy.deepcopy(case))  # an answer may change what it is given
        nothing = self.observe is None or result is None or result is ...
        return result if nothing else self.observe(result)


def _show(case: tuple) -> str:
    return ", ".join(_short(value) for value in case)


def _short(value: Any) -> str:
    if isinstance(value, nn.Module):
        return f"a model with {_numbers(value)} parameters"
    if isinstance(value, torch.Tensor) and value.numel() > 12:
        return f"a tensor {list(value.shape)}"
    if isinstance(value, list) and any(isinstance(v, torch.Tensor) for v in value):
        return f"[{', '.join(map(_short, value))}]"
    return str(value)


def _difference(found: Any, expected: Any) -> str:
    tensors = isinstance(found, torch.Tensor) and isinstance(expected, torch.Tensor)
    if tensors and found.shape == expected.shape and found.numel() > 12:
        return f"the numbers are off by up to {(found - expected).abs().max():.2g}"
    return f"expected {_short(expected)}, not {_short(found)}"


def _numbers(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _same(a: Any, b: Any, tolerance: float | None = None) -> bool:
    if isinstance(a, nn.Module) and isinstance(b, nn.Module):
        return _description(a) == _description(b)
    if _holds_tensors(a) and isinstance(b, (tuple, list)) and len(a) == len(b):
        return all(_same(x, y, tolerance) for x, y in zip(a, b, strict=True))
    try:
        a, b = torch.as_tensor(a), torch.as_tensor(b)
    except (TypeError, ValueError, RuntimeError):
        return False
    rtol, atol = (1e-6, 1e-9) if tolerance is None else (tolerance, tolerance)
    return a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=rtol, atol=atol)


def _holds_tensors(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and any(isinstance(v, torch.Tensor) for v in value)


def _description(model: nn.Module) -> list[str]:
    return [repr(m) for m in model.modules() if not list(m.children())]

"""What an exercise is: it says "Correct." of an answer, or gives a hint about its mistake.

The answer runs on a few cases, and the results are compared with those of the solution. If they
differ, they are compared with those of typical wrong answers: the one that agrees knows the hint.
An answer that is on no list is told which case and which part of its result differ, and how.
"""

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

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
        parts: what the entries of an observed tuple or list are, such as "the running variance".
    """

    solution: Answer
    cases: Sequence[tuple]
    mistakes: Sequence[tuple[Answer, str]]
    observe: Callable[[Any], Any] | None = None
    tolerance: float | None = None
    parts: Sequence[str] = ()

    def check(self, answer: Answer) -> None:
        """Print the verdict on `answer`."""
        print(self.verdict(answer))

    def verdict(self, answer: Answer) -> str:
        """Return "Correct." or "Not yet: " and a hint for `answer`."""
        results = []
        for number, case in enumerate(self.cases):
            where = _where(case, number, len(self.cases))
            try:
                results.append(self._try(answer, case))
            except Exception as error:  # whatever a student's code raises becomes a hint
                said = f"{type(error).__name__}: {_cut(str(error), 200)}"
                return f"Not yet: {where}it raises {said}"
            if results[-1] is None or results[-1] is ...:
                if number == 0:
                    return "Not yet: it returns nothing. Write the body first."
                return f"Not yet: {where}it returns nothing."
        if self._agrees(self.solution, results):
            return "Correct."
        for mistake, hint in self.mistakes:
            if self._agrees(mistake, results):
                return f"Not yet: {hint}"
        for number, (case, found) in enumerate(zip(self.cases, results, strict=True)):
            expected = self._try(self.solution, case)
            if not _same(found, expected, self.tolerance):
                where = _where(case, number, len(self.cases))
                return f"Not yet: {where}{self._difference(found, expected)}."
        raise AssertionError("unreachable: some result differs from the solution's")

    def _difference(self, found: Any, expected: Any) -> str:
        """Say which part of a result differs, and how; what is right is for the reader to find."""
        several = isinstance(expected, (tuple, list)) and (self.parts or _holds_tensors(expected))
        if not several:
            return _how("the result", found, expected, self.tolerance)
        if not isinstance(found, (tuple, list)) or len(found) != len(expected):
            return f"the result is {_short(found)}, not {len(expected)} values"
        names = self.parts or [f"value {i + 1} of the result" for i in range(len(expected))]
        parts = zip(names, found, expected, strict=True)
        differ = [part for part in parts if not _same(*part[1:], self.tolerance)]
        right = [name for name in names if name not in [part[0] for part in differ]]
        said = _how(*differ[0], self.tolerance)
        return f"{said}; {_listed(right)} right" if right else said

    def _agrees(self, other: Answer, results: Sequence[Any]) -> bool:
        pairs = zip(results, self.cases, strict=True)
        return all(_same(found, self._try(other, case), self.tolerance) for found, case in pairs)

    def _try(self, function: Answer, case: tuple) -> Any:
        result = function(*copy.deepcopy(case))  # an answer may change what it is given
        nothing = self.observe is None or result is None or result is ...
        return result if nothing else self.observe(result)


def _where(case: tuple, number: int, count: int) -> str:
    if not case:
        return ""
    shown = ", ".join(map(_short, case))
    return f"for {shown} " if count == 1 else f"for case {number + 1} ({shown}) "


def _short(value: Any) -> str:
    """Show a value in a few words: never a wall of numbers."""
    if isinstance(value, nn.Module):  # as it prints, in one line
        return _cut(re.sub(r"\(\w+\): ", "", re.sub(r"\s+", " ", repr(value))), 120)
    if isinstance(value, Tensor) and value.numel() > 1:
        return f"a tensor {list(value.shape)}"
    if isinstance(value, (tuple, list)) and any(isinstance(v, Tensor) for v in value):
        return f"[{', '.join(map(_short, value))}]"
    return _cut(f"{value:.4g}" if isinstance(value, float) else str(value), 80)


def _cut(text: str, length: int) -> str:
    text = text.partition("\n")[0]
    return text if len(text) <= length else f"{text[:length]}..."


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"


def _how(name: str, found: Any, expected: Any, tolerance: float | None) -> str:
    """Say how `found` differs from `expected`, without telling the latter."""
    if isinstance(found, nn.Module) and isinstance(expected, nn.Module):
        return _how_models(_layers(found), _layers(expected))
    a, b = _as_numbers(found), _as_numbers(expected)
    if a is None or b is None or isinstance(found, bool):
        return f"{name} is {_short(found)}, which is not right"
    if a.shape != b.shape:
        return f"{name} has shape {list(a.shape)}, not {list(b.shape)}"
    wrong = ~torch.isclose(a, b, **_tolerances(tolerance))
    if a.isfinite().logical_not().any() and b.isfinite().all():
        return f"{name} holds {a[~a.isfinite()][0].item()}"
    if a.dim() == 0:
        return f"{name} is {_short(a.item())}, which is too {'large' if a > b else 'small'}"
    # What a forgotten or wrong statistic changes, where the numbers are no counts or places.
    apart = (
        {"a mean": a - b, "a variance": a / b} if torch.as_tensor(found).is_floating_point() else {}
    )
    for reason, off in apart.items():
        for dim in (None, *range(a.dim() if a.dim() > 1 else 0)):
            rows = off.reshape(1, -1) if dim is None else off.transpose(0, dim).flatten(1)
            if rows.shape[1] > 1 and torch.allclose(rows, rows[:, :1].expand_as(rows), rtol=1e-3):
                within = "in all its values" if dim is None else f"at each index of dimension {dim}"
                by = "amount" if reason == "a mean" else "factor"
                return f"{name} is off by the same {by} {within}, as by {reason}"
    place = wrong.nonzero()[0].tolist()
    size = "large" if a[tuple(place)] > b[tuple(place)] else "small"
    return (
        f"{name} differs in {wrong.sum().item()} of {wrong.numel()} values; the first, "
        f"at {place}, is {a[tuple(place)].item():.4g} and too {size}"
    )


def _how_models(found: Sequence[nn.Module], expected: Sequence[nn.Module]) -> str:
    for number, (a, b) in enumerate(zip(found, expected, strict=False), 1):
        if not _same_layer(a, b):
            return f"layer {number} is {_short(a)}, which does not belong there"
    return f"the model has {len(found)} layers, not {len(expected)}"


def _as_numbers(value: Any) -> Tensor | None:
    try:
        return torch.as_tensor(value).detach().double()
    except (TypeError, ValueError, RuntimeError):
        return None


def _tolerances(tolerance: float | None) -> dict[str, float]:
    rtol, atol = (1e-6, 1e-9) if tolerance is None else (tolerance, tolerance)
    return {"rtol": rtol, "atol": atol}


def _same(a: Any, b: Any, tolerance: float | None = None) -> bool:
    if isinstance(a, nn.Module) and isinstance(b, nn.Module):
        pairs = _layers(a), _layers(b)
        return len(pairs[0]) == len(pairs[1]) and all(map(_same_layer, *pairs))
    if _holds_tensors(b) and isinstance(a, (tuple, list)) and len(a) == len(b):
        return all(_same(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if isinstance(a, str) or isinstance(b, str):
        return a == b
    a, b = _as_numbers(a), _as_numbers(b)
    if a is None or b is None or a.shape != b.shape:
        return False
    return torch.allclose(a, b, **_tolerances(tolerance))


def _holds_tensors(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and any(isinstance(v, Tensor) for v in value)


def _layers(model: nn.Module) -> list[nn.Module]:
    return [m for m in model.modules() if not list(m.children())]


def _same_layer(a: nn.Module, b: nn.Module) -> bool:
    """Whether two layers print alike; a lazy one, which learns its input's size, fits any size."""
    if isinstance(a, LazyModuleMixin):
        text, other = (re.sub(r"(\(\D*)\d+", r"\1*", repr(m), count=1) for m in (a, b))
        return text.replace(type(a).__name__, a.cls_to_become.__name__) == other
    return repr(a) == repr(b)

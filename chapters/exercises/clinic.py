"""The exercises of the clinic."""

import copy
from collections.abc import Callable, Iterator, Sized
from typing import Any

import torch
from torch import Tensor, nn

from normlab.exercise import Exercise
from normlab.models import mlp

recompute_momentum = Exercise(
    lambda momentum, passes: 1 - (1 - momentum) ** (1 / passes),
    cases=[(0.1, 2), (0.1, 3), (0.5, 2), (0.3, 1), (1.0, 4)],
    mistakes=[
        (
            lambda momentum, passes: momentum / passes,
            "with momentum 1 two passes of 1/2 leave a quarter of the old value. What is left of "
            "it after one pass?",
        ),
        (
            lambda momentum, passes: (1 - momentum) ** (1 / passes),
            "that is what one pass keeps. Does momentum weigh the old value, or the new one?",
        ),
        (
            lambda momentum, passes: 1 - (1 - momentum) ** 0.5,
            "with one pass momentum should stay, and yours changes. Where do `passes` come in?",
        ),
        (
            lambda momentum, passes: momentum ** (1 / passes),
            "you take the root of what the new batch weighs. Which weight do the passes multiply?",
        ),
        (
            lambda momentum, passes: 1 - (1 - momentum) ** passes,
            "that is the momentum that the passes have together. Which one must each of them have?",
        ),
        (
            lambda momentum, passes: 1 - (1 - momentum / passes) ** passes,
            "that is what passes of momentum / passes have together. Which momentum has each?",
        ),
        (
            lambda momentum, passes: 1 - momentum ** (1 / passes),
            "you take the root of the weight of the new batch. Which weight do passes multiply?",
        ),
        (
            lambda momentum, passes: momentum**passes,
            "you multiply what the new batch weighs. Which weight do the passes multiply?",
        ),
    ],
)


def _listed(names: list[str]) -> tuple[Tensor, str]:
    """How many names there are, and the names in their order; what is no list shows as it is."""
    if isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names):
        return torch.tensor(len(names)), ", ".join(names)
    count = len(names) if isinstance(names, Sized) else 0
    return torch.tensor(count), f"a {type(names).__name__}, no list of names"


def _held(optimizer: torch.optim.Optimizer) -> set[Tensor]:
    return {p for group in optimizer.param_groups for p in group["params"]}


def _left_out(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[str]:
    held = _held(optimizer)
    return [n for n, p in model.named_parameters() if p.requires_grad and p not in held]


def _surgery(groups: int = 1, freeze: bool = False) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A network of which a norm and the head were replaced after its optimizer was built."""
    model = mlp([2, 4, 4, 2], nn.BatchNorm1d)
    parts = [model[0].parameters(), [*model[1].parameters(), *model[2].parameters()]]
    optimizer = torch.optim.SGD(
        [{"params": p} for p in parts] if groups == 2 else model.parameters(), lr=0.1
    )
    model[1][1] = nn.GroupNorm(2, 4)
    model[2] = nn.Linear(4, 1 + groups)
    model[0].requires_grad_(not freeze)
    if freeze:
        model[2].bias.requires_grad_(False)
    return model, optimizer


def _whole() -> tuple[nn.Module, torch.optim.Optimizer]:
    model = mlp([2, 4, 2], nn.BatchNorm1d)
    return model, torch.optim.Adam(model.parameters())


class _OfTensors(Exercise):
    """`tensor in list` asks each entry for ==, which of tensors is no yes or no, and raises."""

    def _try(self, function: Callable, case: tuple) -> Any:
        try:
            return super()._try(function, case)
        except RuntimeError as error:
            if "Boolean value of Tensor" in str(error) or "must match the size" in str(error):
                return self.observe(["two tensors compared by their values"])
            raise


left_out = _OfTensors(
    _left_out,
    cases=[_surgery(), _surgery(groups=2), _surgery(freeze=True), _whole()],
    observe=_listed,
    parts=["the number of names", "the list"],
    mistakes=[
        (
            lambda model, optimizer: [],
            "an empty list would say that nothing is missing. Which layers are new?",
        ),
        (
            lambda model, optimizer: sorted(_left_out(model, optimizer), reverse=True),
            "these are the right names. In which order does `named_parameters` give them?",
        ),
        (
            lambda model, optimizer: [
                n for n, p in model.named_parameters() if p not in _held(optimizer)
            ],
            "a frozen parameter is on your list. Should an optimizer hold what cannot learn?",
        ),
        (
            lambda model, optimizer: [
                n
                for n, p in model.named_parameters()
                if p.requires_grad and p not in set(optimizer.param_groups[0]["params"])
            ],
            "one model has an optimizer with two groups. Which of them did you look into?",
        ),
        (
            lambda model, optimizer: [
                n
                for n, p in model.named_parameters()
                if p.requires_grad and p not in [*_held(optimizer)]
            ],
            "`in` of a list compares tensors by ==, value by value, and raises. In what may one "
            "look for the tensor itself?",
        ),
        (
            lambda model, optimizer: [
                n
                for n, p in model.named_parameters()
                if p.requires_grad and all(p.shape != q.shape for q in _held(optimizer))
            ],
            "a new layer with the shapes of the old one escapes you. What makes two tensors the "
            "same parameter?",
        ),
        (
            lambda model, optimizer: [
                n for n, p in model.named_parameters() if p.requires_grad and p in _held(optimizer)
            ],
            "these are the parameters that it holds. Which ones does it lack?",
        ),
        (
            lambda model, optimizer: [
                n for n, p in model.named_parameters() if p.requires_grad and p.grad is None
            ],
            "before the first step no parameter has a gradient. Where does an optimizer keep its "
            "parameters?",
        ),
        (
            lambda model, optimizer: [
                p for p in model.parameters() if p.requires_grad and p not in _held(optimizer)
            ],
            "these are the parameters. Which method of a module gives their names too?",
        ),
    ],
)


class _Reversed(nn.Module):
    """Layers that are called in another order than they are defined in."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(3, 2)
        self.first = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x))


def _sick(model: nn.Module, name: str, part: str, value: float) -> nn.Module:
    """The model in eval mode, with a value written into one tensor of one layer."""
    torch.manual_seed(0)
    tensor = getattr(model.get_submodule(name), part)
    with torch.no_grad():
        tensor[0] = value
    return model.eval()


class _OfHooks(Exercise):
    """Beside what an answer returns stands how many hooks it leaves on the model."""

    def _try(self, function: Callable, case: tuple) -> Any:
        model, x = copy.deepcopy(case)
        name = function(model, x)
        if name is None or name is ...:
            return name
        hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
        return torch.tensor(hooks), repr(name) if isinstance(name, str) else type(name).__name__


def _first_bad(
    model: nn.Module,
    x: Tensor,
    bad: Callable[[Tensor], bool] = lambda y: not y.isfinite().all(),
    leaves: bool = True,
    called: bool = True,
    last: bool = False,
    stay: bool = False,
) -> str:
    """The solution; the other arguments make typical mistakes."""
    found, hooks = [], []
    for name, module in model.named_modules():
        if leaves and list(module.children()):
            continue
        hooks.append(
            module.register_forward_hook(
                lambda m, args, y, name=name: found.append(name) if bad(y) else None
            )
        )
    model(x)
    for hook in [] if stay else hooks:
        hook.remove()
    if not called:
        found = [name for name, _ in model.named_modules() if name in found]
    return (found or ["none"])[-1 if last else 0]


def _holders(model: nn.Module) -> Iterator[str]:
    for name, module in model.named_modules():
        own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        if any(not tensor.isfinite().all() for tensor in own):
            yield name


_INF, _NAN = float("inf"), float("nan")
_ONES = torch.ones(4, 2)

first_bad = _OfHooks(
    _first_bad,
    cases=[
        (_sick(mlp([2, 4, 4, 2], nn.BatchNorm1d), "1.1", "running_mean", _NAN), _ONES),
        (_sick(mlp([2, 4, 4, 2], nn.BatchNorm1d), "0.1", "running_mean", _INF), _ONES),
        (_sick(_Reversed(), "first.1", "running_mean", _NAN), _ONES),
        (_sick(mlp([2, 4, 2], nn.BatchNorm1d), "0.1", "running_var", _INF), _ONES),
        (mlp([2, 4, 2], nn.BatchNorm1d).eval(), torch.tensor([[_NAN, 1.0]])),
    ],
    parts=["the number of hooks that stay", "the name"],
    mistakes=[
        (
            lambda model, x: _first_bad(model, x, stay=True),
            "the name is right, and your hooks stay on the model: each later call runs them "
            "again. What does `register_forward_hook` return?",
        ),
        (
            lambda model, x: _first_bad(model, x, bad=lambda y: bool(y.isnan().any())),
            "an output that is infinite passes. Which function asks for NaN and inf at once?",
        ),
        (
            lambda model, x: _first_bad(model, x, bad=lambda y: not y.isfinite().any()),
            "an output with some bad values passes. Must all of them be bad?",
        ),
        (
            lambda model, x: _first_bad(model, x, called=False),
            "one model calls its layers in another order than it defines them. Which order does "
            "`named_modules` follow?",
        ),
        (
            lambda model, x: _first_bad(model, x, leaves=False, called=False),
            "the model contains all others, and so its output is bad too. Which modules have no "
            "children?",
        ),
        (
            lambda model, x: _first_bad(model, x, last=True),
            "that is the last one. What did the layers in front of it give on?",
        ),
        (
            lambda model, x: next(_holders(model), "none"),
            "one layer holds inf in its running variance, and its output is finite. What does "
            "dividing by infinity give?",
        ),
    ],
)

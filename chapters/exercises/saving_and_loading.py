"""The exercises of the chapter on saving and loading."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from normlab.exercise import Exercise
from normlab.models import mlp


def _saved_numbers(model: nn.Module) -> int:
    return sum(value.numel() for value in model.state_dict().values())


class _WithScratch(nn.Linear):
    """A linear layer that also has a buffer which is not saved."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self.register_buffer("scratch", torch.zeros(5), persistent=False)


saved_numbers = Exercise(
    _saved_numbers,
    cases=[
        (nn.BatchNorm1d(3),),
        (mlp([2, 8, 4], nn.BatchNorm1d),),
        (nn.Sequential(nn.Conv2d(3, 6, 5), nn.BatchNorm2d(6, affine=False), nn.ReLU()),),
        (_WithScratch(2, 3),),
    ],
    mistakes=[
        (
            lambda model: sum(p.numel() for p in model.parameters()),
            "you count what the optimizer changes. What else does a BN layer save?",
        ),
        (
            lambda model: len(model.state_dict()),
            "you count tensors. How many numbers does each of them hold?",
        ),
        (
            lambda model: sum(v.numel() for v in model.state_dict().values() if v.dim()),
            "one number per BN layer is missing. Which of its buffers has no dimension?",
        ),
        (
            lambda model: sum(len(v) for v in model.state_dict().values() if v.dim()),
            "you count rows. How many numbers has a matrix?",
        ),
        (
            lambda model: sum(b.numel() for b in model.buffers()),
            "you count the buffers. What else is in a state_dict?",
        ),
        (
            lambda model: sum(v.numel() for v in [*model.parameters(), *model.buffers()]),
            "you count a buffer that is not saved. What does `persistent=False` mean?",
        ),
    ],
)


_State = Mapping[str, Tensor]


def _strip_prefix(state: _State, prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items()}


_PARTS = ("the list of keys", "the list of shapes", "the list of dtypes", "the list of values")


def _entries(state: _State) -> tuple[str, str, str, Tensor]:
    """Keys, shapes, dtypes and values, in the order of the keys."""
    if not isinstance(state, Mapping):
        return f"missing: a {type(state).__name__} came back", "", "", torch.empty(0)
    keys = sorted(state, key=str)
    if others := [key for key in keys if not isinstance(state[key], Tensor)]:
        kind = type(state[others[0]]).__name__
        return f"broken: {others[0]} leads to a {kind}, no tensor", "", "", torch.empty(0)
    values = [state[key] for key in keys]
    return (
        ", ".join(map(str, keys)) or "empty",
        " ".join(str(list(value.shape)) for value in values),
        " ".join(str(value.dtype).removeprefix("torch.") for value in values),
        torch.cat([torch.empty(0).double(), *(value.double().flatten() for value in values)]),
    )


class _Shown(dict):
    """A state that a hint shows by its keys, not by its numbers."""

    def __repr__(self) -> str:
        keys = list(self)
        return f"a state with {', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''}"


def _named(*keys: str) -> _Shown:
    return _Shown({key: torch.tensor([float(i), 1.0]) for i, key in enumerate(keys)})


strip_prefix = Exercise(
    _strip_prefix,
    cases=[
        (_named("module.0.weight", "module.module.weight", "module.du.bias"), "module."),
        (_named("scale.weight", "model.head.weight", "model.edge.bias"), "model."),
        (_named("head.model.scale", "models.weight", "model.bias"), "model."),
    ],
    observe=_entries,
    parts=_PARTS,
    mistakes=[
        (
            lambda state, prefix: {k.replace(prefix, ""): v for k, v in state.items()},
            "`module.module.weight` became `weight`. How often should the prefix go?",
        ),
        (
            lambda state, prefix: {k.replace(prefix, "", 1): v for k, v in state.items()},
            "`head.model.scale` lost a part of its middle. Where must the prefix stand?",
        ),
        (
            lambda state, prefix: {k.lstrip(prefix): v for k, v in state.items()},
            "`module.du.bias` lost letters of its own. Does `lstrip` remove a word, or any of its "
            "letters?",
        ),
        (
            lambda state, prefix: {k[len(prefix) :]: v for k, v in state.items()},
            "a key without the prefix was cut too. What should happen to `scale.weight`?",
        ),
        (
            lambda state, prefix: {
                k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)
            },
            "entries without the prefix are gone. What should happen to `scale.weight`?",
        ),
        (
            lambda state, prefix: dict(state),
            "no key has changed. Does a method of a string change it, or return another one?",
        ),
        (
            lambda state, prefix: {k.removeprefix("module."): v for k, v in state.items()},
            "`model.` stays where it is. Which prefix does your answer take off?",
        ),
        (
            lambda state, prefix: [k.removeprefix(prefix) for k in state],
            "that is no dictionary. What belongs to each key?",
        ),
    ],
)


def _fitting_entries(
    state: _State, model: nn.Module, keys: bool = True, shapes: bool = True, numbers: bool = False
) -> dict[str, Tensor]:
    """The solution; the other arguments make typical mistakes."""
    own = model.state_dict()
    chosen = {}
    for key, value in state.items():
        there = own.get(key)
        fits = there is not None and value.shape == there.shape
        if numbers:
            fits = there is not None and value.numel() == there.numel()
        elif not shapes:
            fits = there is not None
        elif not keys:
            fits = any(value.shape == other.shape for other in own.values())
        if fits:
            chosen[key] = value
    return chosen


def _state(model: nn.Module, seed: int, batches: int = 0) -> _Shown:
    """A state of `model` with reproducible numbers, its counters set to `batches`."""
    generator = torch.Generator().manual_seed(seed)
    return _Shown(
        (
            key,
            torch.rand(value.shape, generator=generator)
            if value.is_floating_point()
            else torch.tensor(batches),
        )
        for key, value in model.state_dict().items()
    )


_NET = mlp([2, 4, 3], nn.BatchNorm1d)

fitting_entries = Exercise(
    _fitting_entries,
    cases=[
        (_state(mlp([2, 4, 5], nn.BatchNorm1d), 0), _NET),
        (_state(mlp([2, 4, 4, 3], nn.BatchNorm1d), 1), _NET),
        (_Shown({"0.0.weight": torch.ones(2, 4), "0.0.bias": torch.ones(4)}), _NET),
        (_Shown({"0.0.bias": torch.ones(4, dtype=torch.float64), "0.1.bias": torch.ones(1)}), _NET),
        (_Shown({"0.0.weight": torch.ones(4, 3), "1.weight": torch.ones(2, 4)}), _NET),
        (_Shown({"0.0.weight": torch.ones(3, 2), "1.bias": torch.ones(3)}), _NET),
    ],
    observe=_entries,
    parts=_PARTS,
    mistakes=[
        (
            lambda state, model: _fitting_entries(state, model, shapes=False),
            "an entry of another shape is among them. What does `load_state_dict` say to it, even "
            "with strict=False?",
        ),
        (
            lambda state, model: {
                k: v
                for k, v in _fitting_entries(state, model).items()
                if v.dtype == model.state_dict()[k].dtype
            },
            "a float64 entry is left behind. Does `load_state_dict` refuse another dtype?",
        ),
        (
            lambda state, model: _fitting_entries(state, model, keys=False),
            "an entry that the model does not know is among them. Is a shape that occurs "
            "somewhere in the model enough?",
        ),
        (
            lambda state, model: _fitting_entries(state, model, numbers=True),
            "[2, 4] and [4, 2] hold equally many numbers. Do they fit?",
        ),
        (
            lambda state, model: {
                k: v for k, v in _fitting_entries(state, model).items() if "running" not in k
            },
            "the running statistics are left behind. Do they not fit?",
        ),
        (
            lambda state, model: {
                k: v for k, v in model.state_dict().items() if k in _fitting_entries(state, model)
            },
            "the keys are right, the numbers are those of the model. Which ones shall it load?",
        ),
        (
            lambda state, model: {
                k: v
                for k, v in _fitting_entries(state, model).items()
                if k in dict(model.named_parameters())
            },
            "the buffers are left behind. Which method of a module lists them too?",
        ),
    ],
)


def _average_states(states: Sequence[_State]) -> dict[str, Tensor]:
    average = {}
    for key, last in states[-1].items():
        average[key] = last.clone()
        if last.is_floating_point():
            average[key] = torch.stack([state[key] for state in states]).mean(0)
    return average


def _in_place(states: Sequence[_State]) -> dict[str, Tensor]:
    """Add all others to the first one: its tensors change."""
    total = dict(states[0])
    for state in states[1:]:
        for key, value in state.items():
            total[key] += value
    return {k: v / len(states) if v.is_floating_point() else v for k, v in total.items()}


def _everything(states: Sequence[_State]) -> dict[str, Tensor]:
    return {k: torch.stack([s[k].float() for s in states]).mean(0) for k in states[0]}


def _into_the_last(states: Sequence[_State]) -> dict[str, Tensor]:
    """Add all others to the tensors of the last one, which change."""
    total = dict(states[-1])
    for key, value in total.items():
        if value.is_floating_point():
            for state in states[:-1]:
                value += state[key]
            value /= len(states)
    return total


def _rounded(states: Sequence[_State]) -> dict[str, Tensor]:
    return {key: value.to(states[0][key].dtype) for key, value in _everything(states).items()}


def _learned_only(states: Sequence[_State]) -> dict[str, Tensor]:
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    average = _average_states(states)
    return {k: states[-1][k] if k.endswith(buffers) else v for k, v in average.items()}


def _counters_of_the_first(states: Sequence[_State]) -> dict[str, Tensor]:
    average = _average_states(states)
    return {k: v if v.is_floating_point() else states[0][k] for k, v in average.items()}


def _pairwise(states: Sequence[_State]) -> dict[str, Tensor]:
    """Average the result so far with the next state: the last one counts half."""
    result = dict(states[0])
    for state in states[1:]:
        result = _average_states([result, state])
    return result


_STATES = [_state(_NET, seed, batches) for seed, batches in enumerate((10, 25, 41))]

average_states = Exercise(
    _average_states,
    cases=[
        (_STATES,),
        (_STATES[:2],),
        (_STATES[:1],),
        (_STATES[1::-1],),  # the counters of the last are smaller
        ([*_STATES[:2], _STATES[1]],),  # whoever changes one of the last two changes both
    ],
    observe=_entries,
    parts=_PARTS,
    mistakes=[
        (
            _everything,
            "the counters of BN became floating-point numbers. Which entries are averaged?",
        ),
        (
            _learned_only,
            "the running means and variances are those of the last state. Are they not "
            "floating-point entries?",
        ),
        (
            _counters_of_the_first,
            "the counters are those of the first state. Which state came last?",
        ),
        (
            _pairwise,
            "with three states the last one weighs as much as the two others together. What "
            "should each weigh?",
        ),
        (
            lambda states: dict(states[-1]),
            "that is the last state. What about the states before it?",
        ),
        (
            _in_place,
            "the counters are added up. Which entries are averaged, and which are taken over?",
        ),
        (
            _into_the_last,
            "a dictionary that was given has changed. Does `dict(state)` copy the tensors?",
        ),
        (_rounded, "the counters are averaged and rounded. From which state are they to be taken?"),
    ],
)

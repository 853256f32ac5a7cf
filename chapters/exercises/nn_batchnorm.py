"""The exercises of the chapter on nn.BatchNorm."""

import copy
import io
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from normlab.exercise import Exercise
from normlab.models import mlp

_CLASSES = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


def _layer_for(shape: tuple[int, ...]) -> nn.Module:
    return _CLASSES[len(shape)](shape[1])


layer_for = Exercise(
    _layer_for,
    cases=[((8, 6),), ((8, 6, 10),), ((4, 3, 8, 9),), ((2, 7, 4, 5, 6),)],
    mistakes=[
        (
            lambda s: _CLASSES[len(s)](s[0]),
            "your layer has as many channels as the batch has samples. Which dimension holds the "
            "channels?",
        ),
        (
            lambda s: _CLASSES[len(s)](s[-1]),
            "your layer counts the last dimension. What would that be for images [N, C, H, W]?",
        ),
        (
            lambda s: {2: nn.BatchNorm1d, 3: nn.BatchNorm2d, 4: nn.BatchNorm2d}.get(
                len(s), nn.BatchNorm3d
            )(s[1]),
            "[N, C, L] goes to BatchNorm2d, which expects four dimensions. How many positions has "
            "L, a line or an area?",
        ),
        (
            lambda s: {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}.get(len(s), nn.BatchNorm3d)(s[1]),
            "you take the number of dimensions for the number in the name. Do N and C count there?",
        ),
        (
            lambda s: nn.BatchNorm1d(s[1]),
            "BatchNorm1d for every shape. Which ranks does it accept?",
        ),
    ],
)


def _epoch_crashes(n: int, batch_size: int, drop_last: bool) -> bool:
    if batch_size == 1:
        return n >= 1
    return n % batch_size == 1 and not drop_last


epoch_crashes = Exercise(
    _epoch_crashes,
    cases=[
        (129, 64, False),
        (129, 64, True),
        (128, 64, False),
        (130, 64, False),
        (5, 1, True),
        (5, 1, False),
        (1, 64, False),
        (1, 64, True),
        (100, 3, False),
        (3, 2, False),
        (7, 8, False),
    ],
    mistakes=[
        (
            lambda n, b, d: _epoch_crashes(n, b, False),
            "129 samples in batches of 64 with drop_last=True still crash for you. What happens "
            "to the last batch?",
        ),
        (
            lambda n, b, d: n % b == 1 and not d,
            "batches of 64 are right. How large is *every* batch if batch_size is 1?",
        ),
        (
            lambda n, b, d: n % b == 1,
            "you look at the rest alone. What does drop_last do with it, and how large is every "
            "batch if batch_size is 1?",
        ),
        (
            lambda n, b, d: n % b != 0 and not d,
            "130 samples leave a batch of two, and you call that a crash. How many values per "
            "channel does the layer need?",
        ),
        (
            lambda n, b, d: b == 1 or (n % b != 0 and not d),
            "batches of one are right. 130 samples leave a batch of *two*: does it raise?",
        ),
        (
            lambda n, b, d: b == 1,
            "that is every batch. How large is the last one for 129 samples in batches of 64?",
        ),
        (
            lambda n, b, d: n % b == 0,
            "n % batch_size == 0 says that no batch is incomplete. Which rest is the dangerous "
            "one?",
        ),
    ],
)


def _bn_case(training: bool, has_buffers: bool, track: bool) -> tuple[bool, bool]:
    return training or not has_buffers, training and has_buffers and track


bn_case = Exercise(
    _bn_case,
    cases=[(t, b, s) for t in (True, False) for b in (True, False) for s in (True, False)],
    parts=("the answer on the batch", "the answer on the buffers"),
    mistakes=[
        (
            lambda t, b, s: (t or not s, t and b and s),
            "in eval mode your layer looks at the attribute: built with True and later set to "
            "False, it would use the batch. The table says otherwise. What does it look at?",
        ),
        (
            lambda t, b, s: (t, t and b and s),
            "in eval mode your layer always uses running statistics. What if it was built without "
            "buffers?",
        ),
        (
            lambda t, b, s: (t or not b, t and b),
            "your buffers move in training mode even after tracking was turned off. Which row of "
            "the table is that?",
        ),
        (
            lambda t, b, s: (t or not b, t and s),
            "built with False and set to True later, your buffers move. Which buffers?",
        ),
        (
            lambda t, b, s: (t or not b, b and s),
            "your buffers move in eval mode too. Who writes them, and in which mode?",
        ),
        (
            lambda t, b, s: (not b or not s, t and b and s),
            "in training mode your layer normalizes with running statistics. Training and eval "
            "are swapped: which one uses the batch?",
        ),
        (
            lambda t, b, s: _bn_case(t, b, s)[::-1],
            "your two answers are right and in the other order. Which one comes first?",
        ),
        (
            lambda t, b, s: (not t, t and b and s),
            "you use the batch in eval mode and the memory in training. In which mode does a "
            "single sample need an answer?",
        ),
    ],
)


def _recalibrate(
    model: nn.Module,
    batches: Sequence[Tensor],
    reset: str | None = "reset_running_stats",
    momentum: float | None = None,
    training: bool = True,
    restore: bool = True,
    evaluating: bool = True,
    kind: type[nn.Module] = _BatchNorm,
) -> nn.Module:
    """The solution; each other argument makes a typical mistake."""
    layers = [m for m in model.modules() if isinstance(m, kind)]
    momenta = [bn.momentum for bn in layers]
    for bn in layers:
        if reset:
            getattr(bn, reset)()
        bn.momentum = momentum
    model.train(training)
    with torch.no_grad():
        for x in batches:
            model(x)
    for bn, old in zip(layers, momenta, strict=True):
        bn.momentum = old if restore else momentum
    return model.eval() if evaluating else model


def _with_momentum(model: nn.Module, batches: Sequence[Tensor]) -> nn.Module:
    _recalibrate(model, batches)
    for bn in _bn_layers(model):
        bn.momentum = 0.1
    return model


def _all_in_one(model: nn.Module, batches: Sequence[Tensor]) -> nn.Module:
    return _recalibrate(model, [torch.cat(tuple(batches))])


def _only_bn_evaluates(model: nn.Module, batches: Sequence[Tensor]) -> nn.Module:
    _recalibrate(model, batches).train()
    for bn in _bn_layers(model):
        bn.eval()
    return model


def _without_gradients(model: nn.Module, batches: Sequence[Tensor]) -> nn.Module:
    return _recalibrate(model.requires_grad_(False), batches)


_PARTS = {
    "the running mean": "running_mean",
    "the running variance": "running_var",
    "the counter": "num_batches_tracked",
}


def _statistics(model: nn.Module) -> list[Tensor]:
    """All statistics and parameters, the momenta (-1 for None), and the mode of each module."""
    layers = _bn_layers(model)
    found = [torch.cat([getattr(bn, b).flatten() for bn in layers]) for b in _PARTS.values()]
    found.append(torch.tensor([-1.0 if bn.momentum is None else bn.momentum for bn in layers]))
    found.append(torch.tensor([module.training for module in model.modules()]))
    return found + _learned(model)


def _learned(model: nn.Module) -> list[Tensor]:
    parameters = list(model.parameters())
    values = torch.cat([p.detach().flatten() for p in parameters])
    return [values, torch.tensor([p.requires_grad for p in parameters])]


def _used_model() -> tuple[nn.Module, list[Tensor]]:
    """A nested model that has learned and has seen other data, and a list of batches."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        conv = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=0.3), nn.ReLU())
        head = [nn.Linear(64, 5), nn.BatchNorm1d(5, momentum=None), nn.Dropout(0.3)]
        model = nn.Sequential(conv, nn.Flatten(), *head)
        for bn in _bn_layers(model):
            nn.init.uniform_(bn.weight, 0.5, 2.0)
            nn.init.normal_(bn.bias)
        for _ in range(3):
            model(3 * torch.randn(8, 3, 6, 6) - 2)
        sizes = (8, 8, 4, 8)
        scales = (1.0, 2.0, 5.0, 0.5)
        return model, [k * torch.randn(n, 3, 6, 6) + k for n, k in zip(sizes, scales, strict=True)]


def _bn_layers(model: nn.Module) -> list[nn.Module]:
    return [m for m in model.modules() if isinstance(m, _BatchNorm)]


recalibrate = Exercise(
    _recalibrate,
    cases=[_used_model()],
    mistakes=[
        (
            partial(_recalibrate, reset=None),
            "the batches of before still weigh in: the counter goes on from 3. Which method "
            "forgets them?",
        ),
        (
            partial(_recalibrate, momentum=0.1),
            "four batches with a momentum of 0.1 go 34 % of the way. Which momentum gives every "
            "batch the same weight?",
        ),
        (
            partial(_recalibrate, momentum=1.0),
            "with a momentum of 1 only the last batch is left. Which momentum gives every batch "
            "the same weight?",
        ),
        (
            partial(_recalibrate, training=False),
            "the statistics are those of a new layer, no batch was counted. In which mode do the "
            "buffers move?",
        ),
        (
            partial(_recalibrate, restore=False),
            "the statistics are right, and the momentum is None from now on. What was it before?",
        ),
        (
            partial(_recalibrate, evaluating=False),
            "the statistics are right, and the model is still in training mode. What happens to "
            "them when someone predicts with it?",
        ),
        (
            partial(_recalibrate, kind=nn.BatchNorm2d),
            "nn.BatchNorm2d is right, the layer after the linear one is not. What is the common "
            "base of all BN layers?",
        ),
        (
            partial(_recalibrate, reset="reset_parameters"),
            "the statistics are right, and gamma and beta are 1 and 0 again: what was learned is "
            "gone. Which method forgets the statistics alone?",
        ),
        (
            _with_momentum,
            "the statistics are right, and every momentum is 0.1 now. What was it before?",
        ),
        (
            _all_in_one,
            "all inputs are one large batch. What does each batch of the list count in a plain "
            "average?",
        ),
        (
            _only_bn_evaluates,
            "the BN layers are in eval mode, the rest of the model is not. What would dropout do?",
        ),
        (
            _without_gradients,
            "the statistics are right, and no parameter can learn any more. Does no_grad need "
            "requires_grad=False?",
        ),
    ],
    observe=_statistics,
    tolerance=1e-5,
    parts=[
        *_PARTS,
        "the momentum",
        "the mode",
        "the value of the parameters",
        "requires_grad",
    ],
)


def _stay(bn: nn.Module, mode: bool = True) -> nn.Module:
    return bn


def _freeze_statistics(model: nn.Module) -> nn.Module:
    for bn in _bn_layers(model):
        bn.eval()
        bn.train = partial(_stay, bn)
    return model


def _unsavable(model: nn.Module) -> nn.Module:
    for bn in _bn_layers(model):
        bn.eval()
        bn.train = lambda mode=True, bn=bn: bn
    return model


def _no_gradient(model: nn.Module) -> nn.Module:
    return model.requires_grad_(False)


def _eval_once(model: nn.Module) -> nn.Module:
    for bn in _bn_layers(model):
        bn.eval()
    return model


def _no_tracking(model: nn.Module) -> nn.Module:
    for bn in _bn_layers(model):
        bn.track_running_stats = False
    return model


def _no_momentum(model: nn.Module) -> nn.Module:
    for bn in _bn_layers(model):
        bn.momentum = 0.0
    return model


def _whole_model(model: nn.Module) -> nn.Module:
    model.eval()
    model.train = partial(_stay, model)
    return model


def _without_gamma_and_beta(model: nn.Module) -> nn.Module:
    for bn in _bn_layers(_freeze_statistics(model)):
        bn.requires_grad_(False)
    return model


def _one_class(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
            module.train = partial(_stay, module)
    return model


def _forgetful(model: nn.Module) -> nn.Module:
    for bn in _bn_layers(model):
        bn.reset_running_stats()
    return _freeze_statistics(model)


def _behaviour(model: nn.Module) -> list[Tensor]:
    """What training does to the model, to its deep copy, and to what torch.save makes of it."""
    copied = _after_training(copy.deepcopy(model))
    try:
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        loaded = torch.load(file, weights_only=False)
        savable, saved = torch.tensor(True), _after_training(loaded)
    except Exception:  # pickle raises many types
        savable, saved = torch.tensor(False), copied
    return [*_after_training(model), copied[2], savable, saved[2]]


def _after_training(model: nn.Module) -> list[Tensor]:
    """What one pass in training mode does to each BN layer, to dropout and to the parameters."""
    model.eval()
    model.train()
    layers = _bn_layers(model)
    before = [[b.clone() for b in bn.buffers()] for bn in layers]
    shape = (8, 3, 6, 6) if any(isinstance(m, nn.Conv2d) for m in model.modules()) else (8, 3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model(torch.randn(shape))
    pairs = list(zip(before, layers, strict=True))
    moved = [not torch.equal(a, b) for old, bn in pairs for a, b in zip(old, bn.buffers())]  # noqa: B905
    remembered = [b.double().flatten() for old in before for b in old]
    return [
        torch.tensor(len(layers)),
        torch.cat(remembered) if remembered else torch.zeros(0),
        torch.tensor(moved),
        torch.tensor([bn.training for bn in layers]),
        torch.tensor([m.training * m.p for m in model.modules() if isinstance(m, nn.Dropout)]),
        *_learned(model),
    ]


def _models() -> list[tuple[nn.Module]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        body = mlp([3, 8, 4], nn.BatchNorm1d)
        conv = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten())
        head = nn.Sequential(nn.Linear(64, 5), nn.BatchNorm1d(5), nn.Dropout(), nn.Linear(5, 2))
        first, second = nn.Sequential(body, nn.Dropout()), nn.Sequential(conv, head)
        for bn in (*_bn_layers(first), *_bn_layers(second)):
            nn.init.uniform_(bn.weight, 0.5, 2.0)
        first(2 + torch.randn(8, 3))
        second(2 + torch.randn(8, 3, 6, 6))
        return [(first,), (second,)]


freeze_statistics = Exercise(
    _freeze_statistics,
    cases=_models(),
    mistakes=[
        (
            _no_gradient,
            "the parameters are frozen and the statistics still move. Who writes the buffers: the "
            "optimizer or forward?",
        ),
        (
            _eval_once,
            "after model.train() the statistics move again. What does model.train() do to each of "
            "its children?",
        ),
        (
            _no_tracking,
            "the buffers stay, but in training mode the layer normalizes with the batch. Which "
            "mode uses the buffers?",
        ),
        (
            _no_momentum,
            "the mean and the variance stay, but the counter moves and the layer normalizes with "
            "the batch. Which mode uses the buffers?",
        ),
        (
            _whole_model,
            "the statistics stay, and dropout has stopped too. Which modules should ignore "
            "model.train(), and which should not?",
        ),
        (
            _without_gamma_and_beta,
            "the statistics stay, and gamma and beta no longer learn. Which of the two switches "
            "did the exercise ask for?",
        ),
        (
            _one_class,
            "you found nn.BatchNorm2d and missed other BN layers. What is their common base?",
        ),
        (
            _unsavable,
            "the layers stay frozen, and the model cannot be saved and loaded: pickle looks for a "
            "function under its name in a module. Is yours a lambda, a method, or defined inside "
            "another? Where would it have to stand?",
        ),
        (
            _forgetful,
            "the statistics stay, at 0 and 1: what the layers had seen is gone. Which call resets "
            "them?",
        ),
    ],
    observe=_behaviour,
    parts=[
        "the number of BN layers",
        "the memory of the buffers",
        "the list of buffers that move after model.train()",
        "the mode of the BN layers after model.train()",
        "dropout after model.train()",
        "the value of the parameters",
        "requires_grad",
        "the list of buffers that move in a deep copy",
        "whether torch.save(model) works",
        "the list of buffers that move in a saved model",
    ],
)

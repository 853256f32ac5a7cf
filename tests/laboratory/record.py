"""What torch computes in float64 for small networks: the cases that the laboratory must repeat.

python -m tests.laboratory.record     writes cases.json, which tests/laboratory/*.test.js reads
"""

import json
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CASES = Path(__file__).with_name("cases.json")
DEFAULTS = {"norm": "batch", "place": "before", "activation": "relu", "optimizer": "sgd"}
DEFAULTS |= {"widths": [6, 4], "rate": 0.1, "weightDecay": 0, "dropout": 0, "momentum": 0.1}
DEFAULTS |= {"eps": 1e-5, "groups": 2, "batchSize": 5}  # an odd batch: the products have a rest
NORMS = ["batch", "layer", "group", "rms"]
ACTIVATIONS = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "sigmoid": torch.sigmoid,
}
OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "momentum": lambda parameters, **given: torch.optim.SGD(parameters, momentum=0.9, **given),
    "adam": torch.optim.Adam,
}
STEPS, DIGITS = 3, 12


def settings() -> Iterator[dict]:
    """Yield what differs from DEFAULTS: all pairs of choices, and what stands for itself."""
    kinds = [("none", "before"), *product(NORMS, ["before", "after"])]
    for (i, (norm, place)), (j, activation) in product(enumerate(kinds), enumerate(ACTIVATIONS)):
        optimizer = list(OPTIMIZERS)[(i + j) % len(OPTIMIZERS)]
        names = {"norm": norm, "place": place, "activation": activation, "optimizer": optimizer}
        yield names | {"rate": 0.01 if optimizer == "adam" else 0.1}
    for norm in ["none", *NORMS]:
        yield {"norm": norm, "batchSize": 2}
        yield {"norm": norm, "widths": [7], "groups": 1, "activation": "tanh"}
        yield {"norm": norm, "widths": [4, 6, 4, 2], "groups": 1, "optimizer": "momentum"}
        for place in ["before", "after"]:
            yield {"norm": norm, "place": place, "dropout": 0.25, "optimizer": "adam"}
    for optimizer in OPTIMIZERS:
        yield {"optimizer": optimizer, "weightDecay": 0.1}
    yield {"momentum": 0.5, "eps": 1e-2}
    yield {"momentum": 1, "batchSize": 8}


class Block(nn.Module):
    """A hidden layer: linear, norm and activation in one of two orders, dropout by a given mask."""

    def __init__(self, inputs: int, width: int, case: Mapping) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, width)
        self.norm = {
            "none": lambda: nn.Identity(),
            "batch": lambda: nn.BatchNorm1d(width, case["eps"], case["momentum"]),
            "layer": lambda: nn.LayerNorm(width, case["eps"]),
            "group": lambda: nn.GroupNorm(case["groups"], width, case["eps"]),
            "rms": lambda: nn.RMSNorm(width, case["eps"]),
        }[case["norm"]]()
        self.first, self.dropout = case["place"] == "before", case["dropout"]
        self.activation = ACTIVATIONS[case["activation"]]
        self.mask = None  # 0 or 1 [N, width], in training only

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x)
        x = self.activation(self.norm(x)) if self.first else self.norm(self.activation(x))
        return x if self.mask is None else x * self.mask / (1 - self.dropout)


class Network(nn.Module):
    """The laboratory's network, with its names of parameters."""

    def __init__(self, case: Mapping) -> None:
        super().__init__()
        sizes = [2, *case["widths"]]
        blocks = zip(sizes, case["widths"], strict=False)
        self.hidden = nn.ModuleList(Block(inputs, width, case) for inputs, width in blocks)
        self.output = nn.Linear(sizes[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.hidden:
            x = layer(x)
        return self.output(x)[:, 0]


def numbers(t: Tensor) -> list[float]:
    """Return the numbers of a tensor in a row, as many digits as the comparison needs."""
    return [float(f"{v:.{DIGITS}g}") for v in t.detach().flatten().tolist()]


def short(t: Tensor) -> Tensor:
    """Round what a case starts from, so that it is short and exact in the file."""
    return (t * 1000).round() / 1000


def state(model: nn.Module) -> dict[str, list[float]]:
    entries = model.state_dict().items()
    return {k: numbers(v) for k, v in entries if not k.endswith("num_batches_tracked")}


def record(changes: Mapping, seed: int) -> dict:
    """Train a network for a few steps, and return all that goes in and comes out."""
    case = DEFAULTS | dict(changes)
    g = torch.Generator().manual_seed(seed)
    model = Network(case).double()
    with torch.no_grad():
        for p in model.parameters():  # gamma and beta too: at 1 and 0 they would show little
            p.copy_(short(torch.randn(p.shape, generator=g, dtype=p.dtype) * 0.6 + (p == 1)))
    start, n = state(model), case["batchSize"]
    given = {"lr": case["rate"], "weight_decay": case["weightDecay"]}
    optimizer = OPTIMIZERS[case["optimizer"]](model.parameters(), **given)
    steps = []
    for _ in range(STEPS):
        x = short(torch.randn(n, 2, generator=g, dtype=torch.double))
        y = (torch.rand(n, generator=g) < 0.5).double()
        if case["dropout"]:
            for layer, width in zip(model.hidden, case["widths"], strict=True):
                layer.mask = (torch.rand(n, width, generator=g) < 0.75).double()
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(model(x), y)
        loss.backward()
        optimizer.step()
        masks = [numbers(layer.mask) for layer in model.hidden] if case["dropout"] else None
        steps += [{"x": numbers(x), "y": numbers(y), "masks": masks, "loss": numbers(loss)[0]}]
    gradients = {name: numbers(p.grad) for name, p in model.named_parameters()}
    end = state(model)
    for layer in model.hidden:
        layer.mask = None
    x = short(torch.randn(3, 2, generator=g, dtype=torch.double))
    evaluated = numbers(model.eval()(x))
    trained = numbers(model.train()(x))  # moves the running statistics: after the state was taken
    points = {"x": numbers(x), "eval": evaluated, "train": trained}
    keep = {"settings": case, "start": start, "steps": steps}
    return keep | {"gradients": gradients, "end": end, "points": points}


def cases() -> list[dict]:
    return [record(changes, seed) for seed, changes in enumerate(settings())]


if __name__ == "__main__":
    torch.set_num_threads(1)
    lines = (json.dumps(case, separators=(",", ":")) for case in cases())
    CASES.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")

"""Assignment 1, the mathematics: what students get wrong, and the tests that tell them."""

from tests.classroom.scoring import Wrong

FORWARD = """
def forward(x, counts, weight, bias, eps):
    dims = (0, *range(2, x.dim()))
    shape = (1, -1) + (1,) * (x.dim() - 2)
    share = counts.view(-1, *(1,) * (x.dim() - 1))
    m = int(counts.sum()) * x.shape[2:].numel()
    mean = (share * x).sum(dims) / m
    c = x - mean.view(shape)
    var = (share * c * c).sum(dims) / m
    x_hat = c / torch.sqrt(var + eps).view(shape)
    return weight.view(shape) * x_hat + bias.view(shape), mean, var, m
"""
UPDATE = """
def update(running_mean, running_var, batches, mean, var, m, momentum):
    new = 1 / (batches + 1) if momentum is None else momentum
    var = var * m / (m - 1)
    a = (1 - new) * running_mean + new * mean
    return a, (1 - new) * running_var + new * var
"""
FOLD = """
def fold(running_mean, running_var, weight, bias, eps, next_weight, next_bias):
    a = weight / torch.sqrt(running_var + eps)
    b = bias - a * running_mean
    return next_weight * a, next_weight @ b + next_bias
"""
BACKWARD = """
def backward(dy, x_hat, sigma, weight, counts):
    dims = (0, *range(2, dy.dim()))
    shape = (1, -1) + (1,) * (dy.dim() - 2)
    m = counts.sum() * dy.shape[2:].numel()
    share = counts.view(-1, *(1,) * (dy.dim() - 1)) / m
    dbias = dy.sum(dims)
    dweight = (dy * x_hat).sum(dims)
    common = dbias.view(shape) + x_hat * dweight.view(shape)
    dx = (weight / sigma).view(shape) * (dy - share * common)
    return dx, dweight, dbias
"""
INPUT_FROM_X_HAT = """
def backward(dy, x_hat, sigma, weight, counts):
    dims = (0, *range(2, dy.dim()))
    shape = (1, -1) + (1,) * (dy.dim() - 2)
    share = counts.view(-1, *(1,) * (dy.dim() - 1))
    m = counts.sum() * dy.shape[2:].numel()
    x = x_hat * sigma.view(shape)  # the mean is 0 without loss of generality
    eps = sigma**2 - (share * x * x).sum(dims) / m
"""
RESCALED = """
def rescaled(x_hat, dx, dweight, dbias, k):
    shape = (1, -1) + (1,) * (dx.dim() - 2)
    s, size = k.sign(), k.abs()
    return x_hat * s.view(shape), dx / size.view(shape), dweight * s, dbias
"""
FORWARD_HIDDEN = ("forward-plain", "forward-counts", "forward-large-mean")
BACKWARD_HIDDEN = ("backward-parameters", "backward-plain", "backward-counts")


def wrong(mistake: str, fails: tuple[str, ...], code: str, *changes: tuple[str, str]) -> Wrong:
    """Return a wrong solution: right code, and what is wrong in it."""
    for right, mistaken in changes:
        assert right in code, f"{mistake}: {right!r} is not there"
        code = code.replace(right, mistaken)
    name = code.split("def ")[1].split("(")[0]
    return Wrong(mistake, {name: code.strip()}, frozenset(fails))


WRONG = [
    wrong(
        "forward: the variance is unbiased",
        ("forward-visible",),
        FORWARD,
        ("(share * c * c).sum(dims) / m", "(share * c * c).sum(dims) / (m - 1)"),
    ),
    wrong(
        "forward: eps outside the root",
        ("forward-visible",),
        FORWARD,
        ("torch.sqrt(var + eps)", "(torch.sqrt(var) + eps)"),
    ),
    wrong(
        "forward: the counts are ignored",
        ("forward-visible", "forward-counts"),
        FORWARD,
        ("share = counts", "counts = torch.ones_like(counts)\n    share = counts"),
    ),
    wrong(
        "forward: the variance is the plain one around the counted mean",
        ("forward-visible", "forward-counts"),
        FORWARD,
        ("(share * c * c).sum(dims) / m", "(c * c).mean(dims)"),
    ),
    wrong(
        "forward: m counts rows, not values",
        ("forward-plain", "forward-counts"),
        FORWARD,
        (" * x.shape[2:].numel()", ""),
    ),
    wrong(
        "forward: only for [N, C]",
        ("forward-plain", "forward-counts"),
        FORWARD,
        ("(0, *range(2, x.dim()))", "0"),
        (".view(shape)", ""),
    ),
    wrong(
        "forward: gamma and beta go along the last dimension",
        ("forward-plain", "forward-counts"),
        FORWARD,
        ("weight.view(shape)", "weight"),
        ("bias.view(shape)", "bias"),
    ),
    wrong(
        "forward: the mean of squares minus the square of the mean",
        ("forward-large-mean",),
        FORWARD,
        ("(share * c * c).sum(dims) / m", "(share * x * x).sum(dims) / m - mean**2"),
    ),
    wrong(
        "forward: rows with count 0 become 0",
        ("forward-counts",),
        FORWARD,
        ("x_hat = c /", "x_hat = (share > 0) * c /"),
    ),
    wrong(
        "forward: x is centered in place",
        ("forward-counts",),
        FORWARD,
        ("c = x - mean.view(shape)", "c = x.sub_(mean.view(shape))"),
    ),
    wrong(
        "forward, a cheat: F.batch_norm on the long batch",
        FORWARD_HIDDEN,
        FORWARD,
        (
            "    x_hat =",
            "    long = x.repeat_interleave(counts.long(), 0)\n"
            "    nn.functional.batch_norm(long, None, None, weight, bias, True, 0.1, eps)\n"
            "    x_hat =",
        ),
    ),
    wrong(
        "forward, a cheat: the numbers of the visible test",
        FORWARD_HIDDEN,
        """
def forward(x, counts, weight, bias, eps):
    y = torch.tensor([[-11.0, -1], [9, -1]])
    return y, torch.tensor([6.0, 7]), torch.tensor([24.0, 0]), 5
""",
    ),
    wrong(
        "update: the momentum weighs the old value",
        ("update-visible",),
        UPDATE,
        ("else momentum", "else 1 - momentum"),
    ),
    wrong(
        "update: stores the biased variance",
        ("update-unbiased",),
        UPDATE,
        ("var = var * m / (m - 1)", ""),
    ),
    wrong(
        "update: the factor of the variance is upside down",
        ("update-unbiased",),
        UPDATE,
        ("m / (m - 1)", "(m - 1) / m"),
    ),
    wrong(
        "update: momentum=None is not treated",
        ("update-cumulative", "update-arguments"),
        UPDATE,
        ("1 / (batches + 1) if momentum is None else momentum", "momentum"),
    ),
    wrong(
        "update: momentum=None means 0.1",
        ("update-cumulative",),
        UPDATE,
        ("1 / (batches + 1)", "0.1"),
    ),
    wrong(
        "update: the cumulative average is one batch late",
        ("update-cumulative",),
        UPDATE,
        ("1 / (batches + 1)", "1 / max(batches, 1)"),
    ),
    wrong(
        "update: the cumulative average counts the start as a batch",
        ("update-cumulative",),
        UPDATE,
        ("1 / (batches + 1)", "1 / (batches + 2)"),
    ),
    wrong(
        "update: momentum=0.0 is taken for None",
        ("update-cumulative",),
        UPDATE,
        ("1 / (batches + 1) if momentum is None else momentum", "momentum or 1 / (batches + 1)"),
    ),
    wrong(
        "update: the running statistics move in place",
        ("update-arguments",),
        UPDATE,
        (
            "    a = (1 - new) * running_mean + new * mean\n"
            "    return a, (1 - new) * running_var + new * var\n",
            "    return running_mean.lerp_(mean, new), running_var.lerp_(var, new)\n",
        ),
    ),
    wrong(
        "fold: eps is forgotten",
        ("fold-any",),
        FOLD,
        ("running_var + eps", "running_var"),
    ),
    wrong(
        "fold: the running variance is taken for a standard deviation",
        ("fold-visible", "fold-any"),
        FOLD,
        ("torch.sqrt(running_var + eps)", "(running_var + eps)"),
    ),
    wrong(
        "fold: scales rows, as before a BN layer",
        ("fold-visible", "fold-any"),
        FOLD,
        ("next_weight * a", "a[:, None] * next_weight"),
    ),
    wrong(
        "fold: b does not pass through W",
        ("fold-visible", "fold-any"),
        FOLD,
        ("next_weight @ b + next_bias", "next_bias + b.sum()"),
    ),
    wrong(
        "fold: b passes through the folded W",
        ("fold-visible", "fold-any"),
        FOLD,
        ("next_weight @ b", "next_weight @ (a * b)"),
    ),
    wrong(
        "fold: the next weight is scaled in place",
        ("fold-any",),
        FOLD,
        (
            "    return next_weight * a, next_weight @ b + next_bias",
            "    d = next_weight @ b + next_bias\n    return next_weight.mul_(a), d",
        ),
    ),
    wrong(
        "fold, a cheat: F.batch_norm of zeros and ones",
        ("fold-any",),
        FOLD,
        (
            "    a = weight / torch.sqrt(running_var + eps)\n    b = bias - a * running_mean\n",
            "    both = torch.stack([torch.zeros_like(bias), torch.ones_like(bias)])\n"
            "    statistics = running_mean, running_var, weight, bias\n"
            "    both = nn.functional.batch_norm(both, *statistics, eps=eps)\n"
            "    b, a = both[0], both[1] - both[0]\n",
        ),
    ),
    wrong(
        "fold, a cheat: the numbers of the visible test",
        ("fold-any",),
        """
def fold(running_mean, running_var, weight, bias, eps, next_weight, next_bias):
    return torch.tensor([[30.0, 100]]), torch.tensor([-173.0])
""",
    ),
    wrong(
        "backward: the formula of the book, without counts",
        ("backward-counts",),
        BACKWARD,
        ("m = counts.sum()", "m = len(dy)"),
        ("share = counts.view(-1, *(1,) * (dy.dim() - 1)) / m", "share = 1 / m"),
    ),
    wrong(
        "backward: m is counted, the share of a row is not",
        ("backward-counts",),
        BACKWARD,
        ("share = counts.view(-1, *(1,) * (dy.dim() - 1)) / m", "share = 1 / m"),
    ),
    wrong(
        "backward: the statistics are constants",
        ("backward-visible", "backward-plain", "backward-counts"),
        BACKWARD,
        ("dy - share * common", "dy"),
    ),
    wrong(
        "backward: the path through the variance is forgotten",
        ("backward-visible", "backward-plain", "backward-counts"),
        BACKWARD,
        (" + x_hat * dweight.view(shape)", ""),
    ),
    wrong(
        "backward: the counts weight dy",
        ("backward-parameters", "backward-counts"),
        BACKWARD,
        ("    dbias =", "    dy = dy * share * m\n    dbias ="),
    ),
    wrong(
        "backward: m counts rows, not values",
        ("backward-plain", "backward-counts"),
        BACKWARD,
        (" * dy.shape[2:].numel()", ""),
    ),
    wrong(
        "backward: only for [N, C]",
        BACKWARD_HIDDEN,
        BACKWARD,
        ("(0, *range(2, dy.dim()))", "0"),
        (".view(shape)", ""),
    ),
    wrong(
        "backward: gamma is forgotten",
        ("backward-visible", "backward-plain", "backward-counts"),
        BACKWARD,
        ("(weight / sigma)", "(1 / sigma)"),
    ),
    wrong(
        "backward: dweight is taken by y instead of x_hat",
        ("backward-visible", *BACKWARD_HIDDEN),
        BACKWARD,
        ("(dy * x_hat).sum", "(dy * weight.view(shape) * x_hat).sum"),
    ),
    wrong(
        "backward: dy is overwritten",
        ("backward-plain",),
        BACKWARD,
        ("(dy - share * common)", "dy.sub_(share * common)"),
    ),
    wrong(
        "backward, a cheat: autograd",
        BACKWARD_HIDDEN,
        INPUT_FROM_X_HAT
        + """
    inputs = [x, weight.clone(), torch.zeros_like(weight)]
    x, weight, bias = (tensor.requires_grad_() for tensor in inputs)
    c = x - ((share * x).sum(dims) / m).view(shape)
    var = (share * c * c).sum(dims) / m
    y = weight.view(shape) * c / (var + eps).sqrt().view(shape) + bias.view(shape)
    return torch.autograd.grad((dy * y).sum(), inputs)
""",
    ),
    wrong(
        "backward, a cheat: autograd in forward mode",
        BACKWARD_HIDDEN,
        INPUT_FROM_X_HAT
        + """
    def loss(x, weight, bias):
        c = x - ((share * x).sum(dims) / m).view(shape)
        var = (share * c * c).sum(dims) / m
        x_hat = c / (var + eps).sqrt().view(shape)
        return (dy * (weight.view(shape) * x_hat + bias.view(shape))).sum()

    jacobians = torch.func.jacfwd(loss, argnums=(0, 1, 2))
    return jacobians(x, weight, torch.zeros_like(weight))
""",
    ),
    wrong(
        "rescaled: the sign of k is lost",
        ("rescaled-negative",),
        RESCALED,
        ("k.sign()", "torch.ones_like(k)"),
    ),
    wrong(
        "rescaled: the gradient keeps the sign of k",
        ("rescaled-negative",),
        RESCALED,
        ("k.abs()", "k"),
    ),
    wrong(
        "rescaled: the gradient grows with the input",
        ("rescaled-visible", "rescaled-negative"),
        RESCALED,
        ("dx / size", "dx * size"),
    ),
    wrong(
        "rescaled: the gradient of gamma scales as well",
        ("rescaled-visible", "rescaled-negative"),
        RESCALED,
        ("dweight * s", "dweight / k"),
    ),
    wrong(
        "rescaled: x_hat scales with x",
        ("rescaled-visible", "rescaled-negative"),
        RESCALED,
        ("x_hat * s.view(shape)", "x_hat * k.view(shape)"),
    ),
    wrong(
        "rescaled: x_hat is flipped in place",
        ("rescaled-negative",),
        RESCALED,
        ("x_hat * s.view(shape)", "x_hat.mul_(s.view(shape))"),
    ),
    wrong(
        "rescaled: k goes along the last dimension",
        ("rescaled-visible", "rescaled-negative"),
        RESCALED,
        (".view(shape)", ""),
    ),
    wrong(
        "rescaled, a cheat: the numbers of the visible test",
        ("rescaled-negative",),
        """
def rescaled(x_hat, dx, dweight, dbias, k):
    return x_hat, dx / torch.tensor([10.0, 2]).view(1, 2, 1, 1), dweight, dbias
""",
    ),
]

"""Assignment 2, your own layer: what students get wrong, as changes of the reference solution."""

from tests.classroom.scoring import Wrong, grade_id, source

REFERENCE = {grade_id(cell): cell.source for cell in source("A2").cells}


def changed(cell: str, *changes: tuple[str, str]) -> dict[str, str]:
    """Return the solution cell with some of its text replaced."""
    code = REFERENCE[cell]
    for right, wrong in changes:
        assert code.count(right) == 1, f"{right!r} should occur once in {cell}"
        code = code.replace(right, wrong)
    return {cell: code}


def after_signature(cell: str, end: str, body: str) -> dict[str, str]:
    """Return the solution cell with everything after the line `end` replaced."""
    head, found, _ = REFERENCE[cell].partition(end)
    assert found, f"{end!r} should occur in {cell}"
    return {cell: head + end + body}


CONVERT = """def convert(model, make=BatchNorm):
    if isinstance(model, _BatchNorm):
        new = make(
            model.num_features,
            model.eps,
            model.momentum,
            model.affine,
            model.track_running_stats,
        )
        new.load_state_dict(model.state_dict())
        return new.train(model.training)
    for name, child in model.named_children():
        setattr(model, name, convert(child, make))
    return model
"""
CONVERT_WITH_TENSORS = CONVERT.replace(
    "new.load_state_dict(model.state_dict())",
    "new._parameters, new._buffers = model._parameters, model._buffers",
)

WRONG = [
    # 1 state
    Wrong(
        "running statistics are plain attributes",
        changed(
            "state",
            ('self.register_buffer("running_mean", mean)', "self.running_mean = mean"),
            ('self.register_buffer("running_var", var)', "self.running_var = var"),
            (
                'self.register_buffer("num_batches_tracked", count)',
                "self.num_batches_tracked = count",
            ),
        ),
        frozenset({"state-visible", "state-travels"}),
    ),
    Wrong(
        "running statistics are parameters without a gradient",
        changed(
            "state",
            (
                'self.register_buffer("running_mean", mean)',
                "self.running_mean = mean if mean is None else "
                "nn.Parameter(mean, requires_grad=False)",
            ),
            (
                'self.register_buffer("running_var", var)',
                "self.running_var = var if var is None else nn.Parameter(var, requires_grad=False)",
            ),
        ),
        frozenset({"state-visible"}),
    ),
    Wrong(
        "running variance starts at zero",
        changed("state", ("var = torch.ones(num_features)", "var = torch.zeros(num_features)")),
        frozenset({"state-visible"}),
    ),
    Wrong(
        "weight and bias are frozen from the start",
        changed(
            "state",
            (
                "nn.Parameter(torch.ones(num_features))",
                "nn.Parameter(torch.ones(num_features), requires_grad=False)",
            ),
            (
                "nn.Parameter(torch.zeros(num_features))",
                "nn.Parameter(torch.zeros(num_features), requires_grad=False)",
            ),
        ),
        frozenset({"state-visible"}),
    ),
    Wrong(
        "counter is a float and gets converted",
        changed("state", ("torch.tensor(0)", "torch.tensor(0.0)")),
        frozenset({"state-visible", "state-travels"}),
    ),
    Wrong(
        "counter is a Python number",
        changed(
            "state",
            ('self.register_buffer("num_batches_tracked", count)', "self.num_batches_tracked = 0"),
        ),
        frozenset({"layer-visible", "state-options", "state-travels", "state-visible"}),
    ),
    Wrong(
        "what is switched off exists all the same",
        changed("state", ("if affine:", "if True:"), ("if track_running_stats:", "if True:")),
        frozenset({"state-options"}),
    ),
    Wrong(
        "what is switched off is missing",
        changed(
            "state",
            (
                'self.register_parameter("weight", weight)\n'
                '        self.register_parameter("bias", bias)',
                "if affine:\n            self.weight, self.bias = weight, bias",
            ),
        ),
        frozenset({"state-options"}),
    ),
    Wrong(
        "momentum=None becomes 0.1",
        changed("state", ("self.momentum = momentum", "self.momentum = momentum or 0.1")),
        frozenset({"state-options"}),
    ),
    Wrong(
        "buffers are shared by all layers",
        {
            "state": "ZEROS, ONES = torch.zeros(3), torch.ones(3)\n\n\n"
            + changed(
                "state",
                ("mean = torch.zeros(num_features)", "mean = ZEROS"),
                ("var = torch.ones(num_features)", "var = ONES"),
            )["state"]
        },
        # the second layer of the tests in question 4 has other channels, but is lent a state
        frozenset({"state-travels", "layer-visible"}),
    ),
    Wrong(
        "cheat: inherits from a layer of PyTorch",
        {"state": "class State(nn.BatchNorm1d):\n    pass\n"},
        frozenset({"state-options"}),
    ),
    Wrong(
        "cheat: takes the tensors of a layer of PyTorch",
        changed(
            "state",
            (
                "weight = bias = mean",
                "inner = nn.BatchNorm1d(num_features)\n        weight = bias = mean",
            ),
            ("mean = torch.zeros(num_features)", "mean = inner.running_mean"),
        ),
        frozenset({"state-options"}),
    ),
    # 2 normalize
    Wrong(
        "unbiased variance normalizes",
        changed("normalize", ("correction=0", "correction=1")),
        frozenset({"normalize-visible"}),
    ),
    Wrong(
        "eps is added to the standard deviation",
        changed(
            "normalize",
            ("torch.sqrt(var + eps).view(shape)", "(torch.sqrt(var) + eps).view(shape)"),
        ),
        frozenset({"normalize-ranks", "normalize-visible"}),
    ),
    Wrong(
        "reduces the batch dimension alone",
        after_signature(
            "normalize",
            "    ### BEGIN SOLUTION\n",
            """    if mean is None:
        mean, var = x.mean(0), x.var(0, correction=0)
    y = (x - mean) / torch.sqrt(var + eps)
    if weight is not None:
        y = y * weight
    if bias is not None:
        y = y + bias
    return y, mean, var
""",
        ),
        # the tests of question 4 that need images are lent a normalize
        frozenset({"normalize-ranks"}),
    ),
    Wrong(
        "weight and bias go along the width",
        changed(
            "normalize",
            ("y * weight.view(shape)", "y * weight"),
            ("y + bias.view(shape)", "y + bias"),
        ),
        frozenset({"normalize-ranks"}),
    ),
    Wrong(
        "images only",
        changed(
            "normalize",
            ("dims = (0, *range(2, x.dim()))", "dims = (0, 2, 3)"),
            ("shape = (1, -1) + (1,) * (x.dim() - 2)", "shape = (1, -1, 1, 1)"),
        ),
        frozenset({"layer-visible", "normalize-ranks", "normalize-visible"}),
    ),
    Wrong(
        "returns the statistics of images as [C, 1, 1]",
        changed(
            "normalize",
            ("mean = x.mean(dims)", "mean = x.mean(dims, keepdim=True)"),
            ("x.var(dims, correction=0)", "x.var(dims, correction=0, keepdim=True)"),
            ("return y, mean, var", "return y, mean.squeeze(0), var.squeeze(0)"),
        ),
        # the tests of question 4 that need images are lent a normalize
        frozenset({"normalize-ranks"}),
    ),
    Wrong(
        "returns the mean of the variances of the positions",
        changed(
            "normalize",
            (
                "    return y, mean, var",
                "    if x.dim() > 2:\n"
                "        var = x.var(0, correction=0).flatten(1).mean(1)\n"
                "    return y, mean, var",
            ),
        ),
        frozenset({"normalize-ranks"}),
    ),
    Wrong(
        "statistics are cut out of the graph",
        changed("normalize", ("mean = x.mean(dims)", "mean = x.detach().mean(dims)")),
        frozenset({"normalize-gradient"}),
    ),
    Wrong(
        "statistics under no_grad",
        changed(
            "normalize",
            (
                "mean = x.mean(dims)  # [C]\n        var = x.var(dims, correction=0)  # [C]",
                "with torch.no_grad():\n            mean = x.mean(dims)\n"
                "            var = x.var(dims, correction=0)",
            ),
        ),
        frozenset({"normalize-gradient"}),
    ),
    Wrong(
        "writes into its input",
        changed(
            "normalize", ("(x - mean.view(shape)) / torch", "x.sub_(mean.view(shape)) / torch")
        ),
        frozenset({"normalize-gradient"}),
    ),
    Wrong(
        "bias is forgotten without a weight",
        changed("normalize", ("if bias is not None", "if weight is not None and bias is not None")),
        frozenset({"normalize-ranks"}),
    ),
    Wrong(
        "given statistics are ignored",
        changed("normalize", ("if mean is None:", "if True:")),
        frozenset({"normalize-ranks", "normalize-visible"}),
    ),
    Wrong(
        "cheat: the function of PyTorch",
        after_signature(
            "normalize",
            "    ### BEGIN SOLUTION\n",
            """    dims = (0, *range(2, x.dim()))
    batch = mean is None
    y = nn.functional.batch_norm(x, mean, var, weight, bias, batch, 0.0, eps)
    if batch:
        mean, var = x.mean(dims), x.var(dims, correction=0)
    return y, mean, var
""",
        ),
        frozenset({"normalize-ranks", "normalize-gradient"}),
    ),
    Wrong(
        "cheat: group norm of the transposed input",
        after_signature(
            "normalize",
            "    ### BEGIN SOLUTION\n",
            """    dims, shape = (0, *range(2, x.dim())), (1, -1) + (1,) * (x.dim() - 2)
    if mean is None:
        mean, var = x.mean(dims), x.var(dims, correction=0)
        t = x.transpose(0, 1).flatten(1)
        t = nn.functional.layer_norm(t, t.shape[1:], eps=eps)
        y = t.view(x.transpose(0, 1).shape).transpose(0, 1)
    else:
        y = (x - mean.view(shape)) / torch.sqrt(var + eps).view(shape)
    y = y if weight is None else y * weight.view(shape)
    return (y if bias is None else y + bias.view(shape)), mean, var
""",
        ),
        frozenset({"normalize-ranks", "normalize-gradient"}),
    ),
    Wrong(
        "cheat: knows the visible case",
        after_signature(
            "normalize",
            "    ### BEGIN SOLUTION\n",
            """    if mean is None:
        mean, var = torch.tensor([3.0, 10.0]), torch.tensor([5.0, 45.0])
    y = (x - mean) / torch.sqrt(var + eps)
    y = y if weight is None else y * weight
    return (y if bias is None else y + bias), mean, var
""",
        ),
        frozenset({"normalize-ranks", "normalize-gradient"}),
    ),
    # 3 remember
    Wrong(
        "momentum turned round",
        changed(
            "remember",
            (
                "layer.running_mean.lerp_(mean, momentum)",
                "layer.running_mean.lerp_(mean, 1 - momentum)",
            ),
            (
                "lerp_(var * (count / (count - 1)), momentum)",
                "lerp_(var * (count / (count - 1)), 1 - momentum)",
            ),
        ),
        frozenset({"remember-visible", "remember-average"}),
    ),
    Wrong(
        "stores the biased variance",
        changed("remember", ("var * (count / (count - 1))", "var")),
        frozenset({"remember-visible"}),
    ),
    Wrong(
        "unbiased the wrong way round",
        changed("remember", ("count / (count - 1)", "(count - 1) / count")),
        frozenset({"remember-visible"}),
    ),
    Wrong(
        "assigns new tensors, in the graph",
        changed(
            "remember",
            ("    with torch.no_grad():\n", "    if True:\n"),
            (
                "layer.running_mean.lerp_(mean, momentum)",
                "layer.running_mean = layer.running_mean.lerp(mean, momentum)",
            ),
            ("layer.running_var.lerp_(", "layer.running_var = layer.running_var.lerp("),
        ),
        frozenset({"remember-graph"}),
    ),
    Wrong(
        "assigns new tensors",
        changed(
            "remember",
            (
                "layer.running_mean.lerp_(mean, momentum)",
                "layer.running_mean = layer.running_mean.lerp(mean, momentum)",
            ),
            ("layer.running_var.lerp_(", "layer.running_var = layer.running_var.lerp("),
        ),
        frozenset({"remember-graph"}),
    ),
    Wrong(
        "corrects the variance in place",
        changed(
            "remember",
            (
                "layer.running_var.lerp_(var * (count / (count - 1)), momentum)",
                "layer.running_var.lerp_(var.mul_(count / (count - 1)), momentum)",
            ),
        ),
        frozenset({"remember-graph"}),
    ),
    Wrong(
        "momentum=None means 0.1",
        changed("remember", ("1 / layer.num_batches_tracked.item()", "0.1")),
        frozenset({"remember-average"}),
    ),
    Wrong(
        "momentum=None stores the biased variance",
        changed(
            "remember",
            (
                "            momentum = 1 / layer.num_batches_tracked.item()\n",
                "            momentum = 1 / layer.num_batches_tracked.item()\n"
                "            var = var * ((count - 1) / count)\n",
            ),
        ),
        frozenset({"remember-average"}),
    ),
    Wrong(
        "counts after dividing by the count",
        changed(
            "remember",
            ("        layer.num_batches_tracked.add_(1)\n", ""),
            (
                "momentum = 1 / layer.num_batches_tracked.item()",
                "momentum = 1 / max(1, layer.num_batches_tracked.item())",
            ),
            (
                "        layer.running_mean.lerp_(mean, momentum)\n",
                "        layer.running_mean.lerp_(mean, momentum)\n"
                "        layer.num_batches_tracked.add_(1)\n",
            ),
        ),
        frozenset({"remember-average"}),
    ),
    Wrong(
        "momentum=0.0 taken for None",
        changed("remember", ("if momentum is None:", "if not momentum:")),
        frozenset({"remember-average"}),
    ),
    Wrong(
        "forgets to count",
        changed(
            "remember",
            (
                "        layer.num_batches_tracked.add_(1)\n",
                "        if layer.momentum is None:\n"
                "            layer.num_batches_tracked.add_(1)\n",
            ),
        ),
        frozenset({"remember-average", "remember-visible"}),
    ),
    Wrong(
        "ignores that tracking was switched off",
        changed("remember", ("not layer.track_running_stats or ", "")),
        # the test of the modes is lent a remember that does not ignore it
        frozenset({"remember-off"}),
    ),
    Wrong(
        "relies on the flag alone",
        changed("remember", (" or layer.running_mean is None", "")),
        frozenset({"remember-off"}),
    ),
    Wrong(
        "counts although tracking is off",
        changed(
            "remember",
            (
                "    if not layer.track_running_stats",
                "    if layer.num_batches_tracked is not None and not layer.track_running_stats:\n"
                "        layer.num_batches_tracked.add_(1)\n"
                "    if not layer.track_running_stats",
            ),
        ),
        frozenset({"remember-off"}),
    ),
    # 4 layer
    Wrong(
        "eval mode uses the batch",
        changed("layer", ("if not self.training:\n", "if False:\n")),
        frozenset({"layer-modes", "layer-visible"}),
    ),
    Wrong(
        "training mode uses the running statistics",
        changed("layer", ("if not self.training:\n", "if True:\n")),
        frozenset({"layer-lasts", "layer-modes", "layer-refuses", "layer-visible"}),
    ),
    Wrong(
        "the flag of now decides in eval mode",
        changed(
            "layer",
            ("if not self.training:\n", "if not self.training and self.track_running_stats:\n"),
        ),
        frozenset({"layer-modes"}),
    ),
    Wrong(
        "the flag of now decides in training mode",
        changed(
            "layer",
            ("if not self.training:\n", "if not (self.training and self.track_running_stats):\n"),
        ),
        frozenset({"layer-modes"}),
    ),
    Wrong(
        "remembers in eval mode",
        changed("layer", ("        if self.training:\n", "        if True:\n")),
        frozenset({"layer-visible", "layer-modes"}),
    ),
    Wrong(
        "remembers only where parameters learn",
        changed(
            "layer",
            ("        if self.training:\n", "        if self.training and y.requires_grad:\n"),
        ),
        frozenset({"layer-lasts"}),
    ),
    Wrong(
        "no checks",
        after_signature(
            "layer",
            "        ### BEGIN SOLUTION\n",
            """        statistics = None, None
        if not self.training:
            statistics = self.running_mean, self.running_var
        y, mean, var = normalize(
            x, self.weight, self.bias, self.eps, *statistics
        )
        if self.training:
            remember(self, mean, var, x.numel() // self.num_features)
        return y
""",
        ),
        frozenset({"layer-refuses"}),
    ),
    Wrong(
        "refuses single samples in eval mode too",
        changed("layer", ("if by_batch and count == 1", "if count == 1")),
        frozenset({"layer-visible"}),
    ),
    Wrong(
        "refuses one dimension, but not none",
        changed("layer", ("if x.dim() < 2:", "if x.dim() == 1:")),
        frozenset({"layer-refuses"}),
    ),
    Wrong(
        "refuses a batch of one image",
        changed("layer", ("by_batch and count == 1", "by_batch and len(x) == 1")),
        frozenset({"layer-refuses"}),
    ),
    Wrong(
        "refuses after counting",
        changed(
            "layer",
            (
                "        shape = list(x.shape)\n",
                "        shape = list(x.shape)\n"
                "        if self.training and self.num_batches_tracked is not None:\n"
                "            self.num_batches_tracked.add_(1)\n",
            ),
        ),
        frozenset({"layer-visible", "layer-modes", "layer-refuses"}),
    ),
    Wrong(
        "messages without numbers",
        changed(
            "layer",
            ("one value per channel: got the shape {shape}", "expected more than one value"),
        ),
        frozenset({"layer-refuses"}),
    ),
    Wrong(
        "counts samples, not values",
        changed("layer", ("x.numel() // self.num_features", "len(x)")),
        frozenset({"layer-refuses", "layer-lasts"}),
    ),
    Wrong(
        "remembers twice",
        changed(
            "layer",
            (
                "            remember(self, mean, var, count)\n",
                "            remember(self, mean, var, count)\n"
                "            remember(self, mean, var, count)\n",
            ),
        ),
        frozenset({"layer-visible"}),
    ),
    Wrong(
        "keeps its last input",
        changed("layer", ("        return y\n", "        self.last = x\n        return y\n")),
        frozenset({"layer-lasts"}),
    ),
    Wrong(
        "keeps the mean of the batch",
        changed(
            "layer", ("        return y\n", "        self.batch_mean = mean\n        return y\n")
        ),
        frozenset({"layer-lasts"}),
    ),
    Wrong(
        "cheat: the function of PyTorch",
        changed(
            "layer",
            (
                "        return y\n",
                "        return nn.functional.batch_norm(\n"
                "            x,\n            *statistics,\n            self.weight,\n"
                "            self.bias,\n            by_batch,\n            0.0,\n"
                "            self.eps,\n        )\n",
            ),
        ),
        frozenset({"layer-modes"}),
    ),
    # 5 convert
    Wrong(
        "copies of the parameters, of one type, one per place",
        {"convert": CONVERT},
        frozenset({"convert-settings", "convert-shared"}),
    ),
    Wrong(
        "a shared layer becomes several",
        {"convert": CONVERT_WITH_TENSORS},
        frozenset({"convert-shared"}),
    ),
    Wrong(
        "children only",
        {
            "convert": CONVERT_WITH_TENSORS.replace(
                "convert(child, make)",
                "convert(child, make) if isinstance(child, _BatchNorm) else child",
            )
        },
        frozenset({"convert-visible", "convert-shared"}),
    ),
    Wrong(
        "new layers are in training mode",
        changed("convert", ("new.train(old.training)", "new")),
        frozenset({"convert-visible", "convert-settings"}),
    ),
    Wrong(
        "eps and momentum are lost",
        changed("convert", ("old.eps", "1e-5"), ("old.momentum", "0.1")),
        frozenset({"convert-settings"}),
    ),
    Wrong(
        "mode of the model for all layers",
        changed("convert", ("    return model", "    return model.train(model.training)")),
        frozenset({"convert-settings"}),
    ),
    Wrong(
        "a shared layer is found once in each module",
        changed("convert", ("module._modules.items()", "list(module.named_children())")),
        frozenset({"convert-shared"}),
    ),
    Wrong(
        "the family is searched by the wrong base",
        changed(
            "convert",
            (
                "            if isinstance(child, _BatchNorm):",
                "            if isinstance(child, _BatchNorm.__base__):",
            ),
        ),
        frozenset({"convert-shared"}),
    ),
    Wrong(
        "one class of the family is forgotten",
        changed(
            "convert",
            (
                "            if isinstance(child, _BatchNorm):",
                "            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):",
            ),
        ),
        frozenset({"convert-shared"}),
    ),
    Wrong(
        "a model that is a layer itself is forgotten",
        changed("convert", ("    if isinstance(model, _BatchNorm):", "    if False:")),
        frozenset({"convert-visible"}),
    ),
    Wrong(
        "a copy is converted",
        changed(
            "convert",
            ("    new_layers = {}\n", "    model, new_layers = copy.deepcopy(model), {}\n"),
        ),
        frozenset({"convert-visible", "convert-settings", "convert-shared"}),
    ),
]

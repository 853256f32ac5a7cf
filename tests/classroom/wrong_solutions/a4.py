"""Assignment 4, the family and the checkpoint: what students get wrong, and what finds it."""

from tests.classroom.scoring import Wrong

GROUP_NORM = """
def group_norm(x, groups, weight=None, bias=None, eps=1e-5):
    channels = x.shape[1]
    if isinstance(groups, int):
        if groups < 1 or channels % groups:
            raise ValueError("groups do not divide channels")
        groups = [channels // groups] * groups
    if min(groups) < 1 or sum(groups) != channels:
        raise ValueError("sizes do not add up")
    if min(groups) * x[0, 0].numel() < 2:
        raise ValueError("a single value")
    parts = []
    for part in x.split(tuple(groups), dim=1):
        rows = part.flatten(1)
        mean = rows.mean(1, keepdim=True)
        var = rows.var(1, correction=0, keepdim=True)
        rows = (rows - mean) / (var + eps).sqrt()
        parts.append(rows.reshape(part.shape))
    y = torch.cat(parts, 1)
    shape = [1, channels] + [1] * (x.dim() - 2)
    if weight is not None:
        y = y * weight.view(shape)
    return y if bias is None else y + bias.view(shape)
"""
COMPANY_NOISE = """
def company_noise(layer, x, size, draws, generator):
    layer = copy.deepcopy(layer)
    layer.train()
    outputs = []
    for _ in range(draws):
        others = torch.randperm(len(x) - 1, generator=generator) + 1
        batch = torch.cat([x[:1], x[others[: size - 1]]])
        outputs.append(layer(batch)[0].detach())
    return torch.stack(outputs).std(0, correction=0)
"""
FINE_TUNE = """
def fine_tune(model, batches, val, path, epochs, lr=0.1, decay=0.01):
    backbone, head = model
    backbone.requires_grad_(False)
    params = list(head.parameters())
    groups = [
        {"params": [p for p in params if p.dim() > 1], "weight_decay": decay},
        {"params": [p for p in params if p.dim() <= 1]},
    ]
    optimizer = torch.optim.SGD(groups, lr=lr, momentum=0.9)
    best, history = -1.0, []
    for _ in range(epochs):
        backbone.eval()
        head.train()
        for inputs, targets in batches:
            if len(inputs) > 1:
                loss = F.cross_entropy(model(inputs), targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        model.eval()
        with torch.no_grad():
            hits = model(val[0]).argmax(dim=1) == val[1]
        history.append(hits.float().mean().item())
        if history[-1] > best:
            best = history[-1]
            kept = {k: v.clone() for k, v in model.state_dict().items()}
    torch.save(kept, path)
    return history
"""
SAVE_RUN = """
def save_run(path, run):
    content = {
        "step": run.step,
        "order": run.order,
        "shuffler": run.shuffler.get_state(),
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
    }
    for name in ("model", "optimizer", "scheduler"):
        content[name] = getattr(run, name).state_dict()
    part = str(path) + ".new"
    torch.save(content, part)
    os.replace(part, path)
"""
LOAD_RUN = """
def load_run(path, run):
    content = torch.load(path, weights_only=True)
    for name in ("model", "optimizer", "scheduler"):
        getattr(run, name).load_state_dict(content[name])
    run.shuffler.set_state(content["shuffler"])
    run.step, run.order = content["step"], content["order"]
    torch.set_rng_state(content["torch"])
    random.setstate(content["python"])
"""
REPLACE = """torch.save(content, part)
    os.replace(part, path)"""
GROUP_VALUES = ("group-norm-visible", "group-norm-ranks")
RESUMED = ("resume-visible", "resume-optimizer", "resume-random", "resume-middle")
Change = tuple[str, str]


def mistaken(code: str, *changes: Change) -> dict[str, str]:
    """Return a solution cell, by its grade id, with changes to right code."""
    for right, wrong in changes:
        assert right in code, f"{right!r} is not there"
        code = code.replace(right, wrong)
    name = code.split("def ")[1].split("(")[0]
    return {name.replace("_", "-"): code.strip()}


def wrong(mistake: str, fails: tuple[str, ...], code: str, *changes: Change) -> Wrong:
    return Wrong(mistake, mistaken(code, *changes), frozenset(fails))


def resumes(
    mistake: str, fails: tuple[str, ...], save: tuple[Change, ...], load: tuple[Change, ...]
) -> Wrong:
    """Return a wrong checkpoint: changes to both functions."""
    cells = mistaken(SAVE_RUN, *save) | mistaken(LOAD_RUN, *load)
    return Wrong(mistake, cells, frozenset(fails))


WRONG = [
    # 1. group_norm
    wrong("group norm: the variance is unbiased", GROUP_VALUES, GROUP_NORM, (", correction=0", "")),
    wrong(
        "group norm: eps outside the root",
        ("group-norm-ranks",),
        GROUP_NORM,
        ("(var + eps).sqrt()", "(var.sqrt() + eps)"),
    ),
    wrong(
        "group norm: eps is always the default",
        ("group-norm-ranks",),
        GROUP_NORM,
        ("(var + eps)", "(var + 1e-5)"),
    ),
    wrong(
        "group norm: all samples share the statistics",
        ("group-norm-ranks",),
        GROUP_NORM,
        ("rows.mean(1, keepdim=True)", "rows.mean()"),
        ("rows.var(1, correction=0, keepdim=True)", "rows.var(correction=0)"),
    ),
    wrong(
        "group norm: every position has its own statistics",
        GROUP_VALUES,
        GROUP_NORM,
        ("rows = part.flatten(1)", "rows = part"),
    ),
    wrong(
        "group norm: gamma and beta belong to the last dimension",
        GROUP_VALUES,
        GROUP_NORM,
        ("[1, channels] + [1] * (x.dim() - 2)", "[1] * (x.dim() - 1) + [channels]"),
    ),
    wrong(
        "group norm: view instead of reshape",
        ("group-norm-ranks",),
        GROUP_NORM,
        ("part.flatten(1)", "part.view(len(x), -1)"),
    ),
    wrong(
        "group norm: no gradient through the statistics",
        ("group-norm-ranks",),
        GROUP_NORM,
        ("rows.mean(1, keepdim=True)", "rows.mean(1, keepdim=True).detach()"),
    ),
    wrong(
        "group norm: standardizes x in place",
        ("group-norm-ranks",),
        GROUP_NORM,
        ("    shape = ", "    x.data.copy_(y.data)\n    shape = "),
    ),
    wrong(
        "group norm: no error for a single value",
        ("group-norm-errors",),
        GROUP_NORM,
        ("< 2", "< 0"),
    ),
    wrong(
        "group norm: an error for a batch of one",
        ("group-norm-ranks", "group-norm-errors", "group-norm-visible"),
        GROUP_NORM,
        ("if min(groups) * x[0, 0].numel() < 2", "if len(x) < 2"),
    ),
    wrong(
        "group norm: sizes are not checked",
        ("group-norm-errors",),
        GROUP_NORM,
        ("if min(groups) < 1 or sum(groups) != channels", "if False"),
    ),
    wrong(
        "group norm, a cheat: PyTorch's layer computes",
        ("group-norm-ranks",),
        GROUP_NORM,
        (
            "        rows = part.flatten(1)\n",
            "        part = F.group_norm(part, 1, eps=eps)\n"
            "        parts.append(part)\n        continue\n",
        ),
    ),
    # 2. company_noise
    wrong(
        "company noise: in eval mode",
        ("company-visible", "company-theory", "company-trace"),
        COMPANY_NOISE,
        ("layer.train()", "layer.eval()"),
    ),
    wrong(
        "company noise: the layer itself is measured",
        ("company-trace",),
        COMPANY_NOISE,
        ("copy.deepcopy(layer)", "layer"),
    ),
    wrong(
        "company noise: the mode is set back for all modules at once",
        ("company-trace",),
        COMPANY_NOISE,
        (
            "    layer = copy.deepcopy(layer)\n",
            "    mode = layer.training\n    before = copy.deepcopy(layer.state_dict())\n",
        ),
        ("    return", "    layer.load_state_dict(before)\n    layer.train(mode)\n    return"),
    ),
    wrong(
        "company noise: the mode is the caller's",
        ("company-trace",),
        COMPANY_NOISE,
        ("    layer.train()\n", ""),
    ),
    wrong(
        "company noise: companions with replacement",
        ("company-visible",),
        COMPANY_NOISE,
        (
            "torch.randperm(len(x) - 1, generator=generator) + 1",
            "torch.randint(1, len(x), (size,), generator=generator)",
        ),
    ),
    wrong(
        "company noise: the probe may accompany itself",
        ("company-visible", "company-theory"),
        COMPANY_NOISE,
        (
            "torch.randperm(len(x) - 1, generator=generator) + 1",
            "torch.randperm(len(x), generator=generator)",
        ),
    ),
    wrong(
        "company noise: one company for all batches",
        ("company-visible", "company-theory", "company-trace"),
        COMPANY_NOISE,
        ("for _ in range(draws):\n        others", "others"),
        ("        batch", "    for _ in range(draws):\n        batch"),
    ),
    wrong(
        "company noise: the unbiased deviation",
        ("company-theory", "company-visible"),
        COMPANY_NOISE,
        (", correction=0", ""),
    ),
    wrong(
        "company noise: the first row of a batch without the probe",
        ("company-theory", "company-visible"),
        COMPANY_NOISE,
        ("torch.cat([x[:1], x[others[: size - 1]]])", "x[(others - 1)[:size]]"),
    ),
    wrong(
        "company noise: torch's global generator",
        ("company-theory", "company-trace"),
        COMPANY_NOISE,
        (", generator=generator", ""),
    ),
    wrong(
        "company noise: the result is part of a graph",
        ("company-trace",),
        COMPANY_NOISE,
        ("[0].detach()", "[0]"),
    ),
    # 3. fine_tune
    wrong(
        "fine-tuning: every incomplete batch is left out",
        ("fine-tune-visible",),
        FINE_TUNE,
        ("len(inputs) > 1", "len(inputs) == len(batches[0][0])"),
    ),
    wrong(
        "fine-tuning: a batch of one crashes",
        ("fine-tune-visible",),
        FINE_TUNE,
        ("len(inputs) > 1", "True"),
    ),
    wrong(
        "fine-tuning: the last batch is left out if it is one of one",
        ("fine-tune-visible",),
        FINE_TUNE,
        (
            "    best, ",
            "    batches = batches[: -1 if len(batches[-1][0]) == 1 else None]\n    best, ",
        ),
        ("len(inputs) > 1", "True"),
    ),
    wrong(
        "fine-tuning: a batch of one is normalized in eval mode",
        ("fine-tune-visible",),
        FINE_TUNE,
        ("if len(inputs) > 1", "head.train(len(inputs) > 1)\n            if True"),
    ),
    wrong(
        "fine-tuning: training mode in the first epoch alone",
        ("fine-tune-modes",),
        FINE_TUNE,
        (
            "    for _ in range(epochs):\n        backbone.eval()\n        head.train()\n",
            "    backbone.eval()\n    head.train()\n    for _ in range(epochs):\n",
        ),
    ),
    wrong(
        "fine-tuning: the accuracy is taken in training mode",
        ("fine-tune-visible", "fine-tune-modes"),
        FINE_TUNE,
        ("        model.eval()\n", ""),
    ),
    wrong(
        "fine-tuning: the backbone is in eval mode once",
        ("fine-tune-frozen",),
        FINE_TUNE,
        ("        backbone.eval()\n        head.train()\n", "        model.train()\n"),
        ("    best, ", "    backbone.eval()\n    best, "),
    ),
    wrong(
        "fine-tuning: a momentum of 0 freezes the statistics",
        ("fine-tune-frozen",),
        FINE_TUNE,
        (
            "        backbone.eval()\n        head.train()\n",
            "        model.train()\n        for m in backbone.modules():\n"
            "            if hasattr(m, 'momentum'):\n                m.momentum = 0.0\n",
        ),
    ),
    wrong(
        "fine-tuning: only the BN layers directly in the backbone are in eval mode",
        ("fine-tune-frozen",),
        FINE_TUNE,
        (
            "        backbone.eval()\n        head.train()\n",
            "        model.train()\n        for m in backbone.children():\n"
            "            if 'BatchNorm' in type(m).__name__:\n                m.eval()\n",
        ),
    ),
    wrong(
        "fine-tuning: no weight decay at all",
        ("fine-tune-decay",),
        FINE_TUNE,
        ('"weight_decay": decay', '"weight_decay": 0.0'),
    ),
    wrong(
        "fine-tuning: the gradients of all batches add up",
        ("fine-tune-decay",),
        FINE_TUNE,
        ("                optimizer.zero_grad()\n", ""),
    ),
    wrong(
        "fine-tuning: biases are spared, gamma is not",
        ("fine-tune-decay",),
        FINE_TUNE,
        (
            "params = list(head.parameters())",
            "params = list(head.parameters())\n    named = list(head.named_parameters())",
        ),
        ("[p for p in params if p.dim() > 1]", "[p for k, p in named if 'bias' not in k]"),
        ("[p for p in params if p.dim() <= 1]", "[p for k, p in named if 'bias' in k]"),
    ),
    wrong(
        "fine-tuning: the decay is on the wrong group",
        ("fine-tune-decay",),
        FINE_TUNE,
        ("p.dim() > 1", "p.dim() < 2"),
        ("p.dim() <= 1", "p.dim() >= 2"),
    ),
    wrong(
        "fine-tuning: the file holds the parameters",
        ("fine-tune-file",),
        FINE_TUNE,
        ("model.state_dict().items()", "model.named_parameters()"),
    ),
    wrong(
        "fine-tuning: the file holds the head",
        ("fine-tune-file", "fine-tune-best"),
        FINE_TUNE,
        ("model.state_dict().items()", "head.state_dict().items()"),
    ),
    wrong(
        "fine-tuning: the file holds the whole model",
        ("fine-tune-file",),
        FINE_TUNE,
        ("{k: v.clone() for k, v in model.state_dict().items()}", "copy.deepcopy(model)"),
    ),
    wrong(
        "fine-tuning: the best state is not copied",
        ("fine-tune-best",),
        FINE_TUNE,
        ("v.clone() for", "v for"),
    ),
    wrong(
        "fine-tuning: a shallow copy of the best state",
        ("fine-tune-best",),
        FINE_TUNE,
        ("{k: v.clone() for k, v in model.state_dict().items()}", "copy.copy(model.state_dict())"),
    ),
    wrong(
        "fine-tuning: the parameters of the best state are copied, the buffers are not",
        ("fine-tune-best",),
        FINE_TUNE,
        (
            "kept = {k: v.clone() for k, v in model.state_dict().items()}",
            "kept = {k: p.detach().clone() for k, p in model.named_parameters()}\n"
            "            kept.update(model.named_buffers())",
        ),
    ),
    wrong(
        "fine-tuning: the last of equal epochs",
        ("fine-tune-best",),
        FINE_TUNE,
        ("history[-1] > best", "history[-1] >= best"),
    ),
    # 4. save_run and load_run
    resumes(
        "resume: the model alone",
        RESUMED,
        (('("model", "optimizer", "scheduler")', '("model",)'), ('"step": run.step', '"step": 0')),
        (
            ('("model", "optimizer", "scheduler")', '("model",)'),
            ('run.shuffler.set_state(content["shuffler"])', ""),
            ('torch.set_rng_state(content["torch"])', ""),
            ('random.setstate(content["python"])', ""),
        ),
    ),
    resumes(
        "resume: the optimizer is forgotten",
        ("resume-visible", "resume-optimizer", "resume-middle"),
        (('"optimizer", ', ""),),
        (('"optimizer", ', ""),),
    ),
    resumes(
        "resume: the scheduler is forgotten",
        ("resume-optimizer", "resume-middle"),
        ((', "scheduler"', ""),),
        ((', "scheduler"', ""),),
    ),
    resumes(
        "resume: Python's random is forgotten",
        ("resume-random", "resume-middle"),
        (),
        (('random.setstate(content["python"])', ""),),
    ),
    resumes(
        "resume: torch's generator is forgotten",
        ("resume-random", "resume-middle"),
        (),
        (('torch.set_rng_state(content["torch"])', ""),),
    ),
    resumes(
        "resume: the shuffler is forgotten",
        ("resume-random", "resume-middle"),
        (),
        (('run.shuffler.set_state(content["shuffler"])', ""),),
    ),
    resumes(
        "resume: seeds instead of states",
        ("resume-random", "resume-middle"),
        (),
        (
            ('torch.set_rng_state(content["torch"])', "torch.manual_seed(0)"),
            ('random.setstate(content["python"])', "random.seed(0)"),
        ),
    ),
    resumes(
        "resume: saving seeds the generators",
        ("resume-random", "resume-middle"),
        (("    content = {", "    torch.manual_seed(run.step)\n    content = {"),),
        (),
    ),
    resumes(
        "resume: the order is forgotten",
        ("resume-middle",),
        (),
        (('content["step"], content["order"]', 'content["step"], run.order'),),
    ),
    resumes(
        "resume: the order is drawn anew",
        ("resume-random", "resume-middle"),
        (),
        (('content["step"], content["order"]', 'content["step"], torch.randperm(20)'),),
    ),
    resumes(
        "resume: an order is expected before the first step",
        ("resume-random",),
        (('"order": run.order', '"order": run.order.tolist()'),),
        (('content["step"], content["order"]', 'content["step"], torch.tensor(content["order"])'),),
    ),
    resumes(
        "resume: strict=False, and parameters alone",
        ("resume-visible", "resume-optimizer", "resume-middle"),
        (("    part =", "    content['model'] = dict(run.model.named_parameters())\n    part ="),),
        (
            (
                "getattr(run, name).load_state_dict(content[name])",
                "extra = {'strict': False} if name == 'model' else {}\n"
                "        getattr(run, name).load_state_dict(content[name], **extra)",
            ),
        ),
    ),
    resumes(
        "resume: written over in place",
        ("resume-file",),
        ((REPLACE, "torch.save(content, path)"),),
        (),
    ),
    resumes(
        "resume: written over line by line",
        ("resume-file",),
        ((REPLACE, "with open(path, 'wb') as file:\n        torch.save(content, file)"),),
        (),
    ),
    resumes(
        "resume: the old file is removed first",
        ("resume-file",),
        (
            (
                REPLACE,
                "torch.save(content, part)\n    if os.path.exists(path):\n"
                "        os.remove(path)\n    os.rename(part, path)",
            ),
        ),
        (),
    ),
    resumes(
        "resume: a function of another cell removes the old file",
        ("resume-file",),
        (
            (
                REPLACE,
                'torch.save(content, part)\n    put(part, path)\n\n\nCELL = """\n'
                "def put(part, path):\n    if os.path.exists(path):\n"
                "        os.remove(path)\n    os.rename(part, path)\n"
                "\"\"\"\nexec(compile(CELL, '<another cell>', 'exec'))",
            ),
        ),
        (),
    ),
    resumes(
        "resume: a backup is left",
        ("resume-file", "resume-visible"),
        (
            (
                REPLACE,
                "torch.save(content, part)\n    import shutil\n"
                "    shutil.copy(part, str(path) + '.copy')\n    os.replace(part, path)",
            ),
        ),
        (),
    ),
    resumes(
        "resume: objects are pickled, and loaded without care",
        ("resume-file", "resume-visible"),
        (
            (
                "content[name] = getattr(run, name).state_dict()",
                "content[name] = getattr(run, name)",
            ),
        ),
        (
            ("weights_only=True", "weights_only=False"),
            (
                "getattr(run, name).load_state_dict(content[name])",
                "setattr(run, name, content[name])",
            ),
        ),
    ),
    resumes(
        "resume: weights_only=False",
        ("resume-file",),
        (),
        (("weights_only=True", "weights_only=False"),),
    ),
    resumes(
        "resume: what cannot be loaded is passed over",
        ("resume-file",),
        (),
        (
            (
                "    content = torch.load(path, weights_only=True)\n",
                "    try:\n        content = torch.load(path, weights_only=True)\n"
                "    except Exception:\n        return print('not a checkpoint')\n",
            ),
        ),
    ),
    resumes(
        "resume: the path must be a string",
        RESUMED + ("resume-file",),
        (("str(path) + ", "path + "),),
        (),
    ),
    resumes(
        "resume, a cheat: the memory of the process",
        ("resume-optimizer", "resume-middle", "resume-file"),
        (
            ("    content = {", "    global KEPT\n    content = {"),
            (REPLACE, "KEPT = copy.deepcopy(content)\n    open(path, 'wb').close()"),
        ),
        (("torch.load(path, weights_only=True)", "KEPT"),),
    ),
]

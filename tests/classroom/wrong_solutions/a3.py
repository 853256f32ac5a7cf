"""What students hand in for A3, and the tests that should fail for it."""

from tests.classroom.scoring import Wrong, grade_id, source

REFERENCE = {grade_id(cell): cell.source for cell in source("A3").cells if grade_id(cell)}


def altered(name: str, *changes: tuple[str, str]) -> dict[str, str]:
    """Return the reference solution of one cell with some of its text replaced."""
    code = REFERENCE[name]
    for old, new in changes:
        assert old in code, f"{name} has no {old!r}"
        code = code.replace(old, new)
    return {name: code}


EXPERIMENT = [
    Wrong(
        "one seed for all networks, set before the first",
        altered(
            "experiment",
            ("            torch.manual_seed(seed)\n", ""),
            (
                "        for i, seed in",
                "        torch.manual_seed(seeds[0])\n        for i, seed in",
            ),
        ),
        frozenset({"experiment-visible", "experiment-draws"}),
    ),
    Wrong(
        "the seed set after the network was built",
        altered(
            "experiment",
            ("            torch.manual_seed(seed)\n", ""),
            ("model = build()", "model = build()\n            torch.manual_seed(seed)"),
        ),
        frozenset({"experiment-visible", "experiment-draws", "experiment-state"}),
    ),
    Wrong(
        "the batches shuffled with the global generator",
        {
            "experiment": """
def experiment(build, rate, train, held_out, *, seeds, epochs, batch_size=64):
    curves = torch.full((len(seeds), epochs), torch.nan, dtype=torch.float64)
    with torch.random.fork_rng(devices=[]):
        for i, seed in enumerate(seeds):
            torch.manual_seed(seed)
            model = build()
            batches = Batches(*train, batch_size, shuffle=True)
            for epoch in range(epochs):
                train_epoch(model, rate, batches)
                loss, accuracy = evaluate(model, Batches(*held_out))
                if abs(loss) < float("inf"):
                    curves[i, epoch] = accuracy
    return curves
"""
        },
        frozenset({"experiment-draws"}),
    ),
    Wrong(
        "the orders drawn between the seed and the network",
        altered(
            "experiment",
            (
                "            model = build()\n"
                "            generator = torch.Generator().manual_seed(seed)\n",
                "            n = len(train.inputs)\n"
                "            orders = [torch.randperm(n) for _ in range(epochs)]\n"
                "            model = build()\n",
            ),
            (
                "                order = torch.randperm(len(train.inputs), generator=generator)\n",
                "                order = orders[epoch]\n",
            ),
        ),
        frozenset({"experiment-draws"}),
    ),
    Wrong(
        "another seed than the one that was given",
        altered("experiment", ("torch.manual_seed(seed)", "torch.manual_seed(seed + 1)")),
        frozenset({"experiment-draws"}),
    ),
    Wrong(
        "the same order in every epoch",
        altered("experiment", ("generator=generator", "generator=generator.manual_seed(seed)")),
        frozenset({"experiment-draws"}),
    ),
    Wrong(
        "the same order for every seed",
        altered("experiment", ("torch.Generator().manual_seed(seed)", "torch.Generator()")),
        frozenset({"experiment-draws"}),
    ),
    Wrong(
        "batches never shuffled",
        altered(
            "experiment",
            ("order = torch.randperm(", "order = torch.arange("),
            (", generator=generator)", ")"),
        ),
        frozenset({"experiment-draws"}),
    ),
    Wrong(
        "samples drawn with replacement",
        altered(
            "experiment",
            (
                "torch.randperm(len(train.inputs), generator=generator)",
                "torch.randint(len(train.inputs), (len(train.inputs),), generator=generator)",
            ),
        ),
        frozenset({"experiment-visible"}),
    ),
    Wrong(
        "the last batch dropped",
        altered(
            "experiment",
            (
                "order = torch.randperm(len(train.inputs), generator=generator)",
                "n = len(train.inputs)\n"
                "                order = torch.randperm(n, generator=generator)\n"
                "                order = order[: n - n % batch_size]",
            ),
        ),
        frozenset({"experiment-visible", "experiment-draws"}),
    ),
    Wrong(
        "the global generator left at the last seed",
        altered("experiment", ("with torch.random.fork_rng(devices=[]):", "if True:")),
        frozenset({"experiment-state"}),
    ),
    Wrong(
        "the class that argmax gives to NaN taken for an answer",
        altered("experiment", ("if torch.tensor(loss).isfinite():", "if True:")),
        frozenset({"experiment-measured"}),
    ),
    Wrong(
        "an infinite loss taken for a finite one",
        altered("experiment", ("if torch.tensor(loss).isfinite():", "if loss == loss:")),
        frozenset({"experiment-measured"}),
    ),
    Wrong(
        "measured in training mode",
        altered(
            "experiment",
            (
                "loss, accuracy = evaluate(model, Batches(*held_out, 500))",
                "outputs = model(next(iter(Batches(*held_out, len(held_out[0]))))[0])\n"
                "                loss = nn.functional.cross_entropy(outputs, held_out[1]).item()\n"
                "                accuracy = (outputs.argmax(1) == held_out[1]).double().mean()",
            ),
        ),
        frozenset({"experiment-visible", "experiment-draws", "experiment-measured"}),
    ),
    Wrong(
        "measured on the training samples",
        altered("experiment", ("Batches(*held_out, 500)", "Batches(*train, 500)")),
        frozenset({"experiment-measured"}),
    ),
    Wrong(
        "the best epoch so far in place of the last",
        altered(
            "experiment",
            (
                "curves[i, epoch] = accuracy",
                "curves[i, epoch] = max([accuracy, *curves[i, :epoch].tolist()])",
            ),
        ),
        frozenset({"experiment-measured"}),
    ),
    Wrong(
        "one curve for all seeds: twins cannot differ",
        altered(
            "experiment",
            (
                "seeds, epochs, batch_size=64\n) -> Tensor:",
                "seeds, epochs, batch_size=64\n) -> Tensor:\n    n, seeds = len(seeds), [0]",
            ),
            ("return curves", "return curves.repeat(n, 1)"),
        ),
        frozenset({"experiment-visible", "experiment-draws"}),
    ),
]

TUNED = [
    Wrong(
        "the rate chosen on the test set",
        altered("tuned-comparison", ("data.validation", "data.test")),
        frozenset({"tuned-test-set"}),
    ),
    Wrong(
        "every rate measured on the test set",
        altered(
            "tuned-comparison",
            (
                "            score = ",
                "            run(build, rate, data.train, data.test, seeds=seeds, epochs=epochs)\n"
                "            score = ",
            ),
        ),
        frozenset({"tuned-test-set"}),
    ),
    Wrong(
        "the result on the validation set",
        altered("tuned-comparison", ("data.test", "data.validation")),
        frozenset({"tuned-visible", "tuned-test-set"}),
    ),
    Wrong(
        "the result from the tuning seeds",
        altered("tuned-comparison", ("seeds=seeds", "seeds=tuning_seeds")),
        frozenset({"tuned-visible", "tuned-test-set"}),
    ),
    Wrong(
        "one rate for all methods, the best of the first",
        altered(
            "tuned-comparison",
            (
                "chosen[name] = max(scores, key=scores.get)",
                "chosen[name] = next(iter(chosen.values()), max(scores, key=scores.get))",
            ),
        ),
        frozenset({"tuned-visible", "tuned-test-set"}),
    ),
    Wrong(
        "the score at the best epoch",
        altered("tuned-comparison", ("tried[:, -1].mean()", "tried.max(dim=1).values.mean()")),
        frozenset({"tuned-score"}),
    ),
    Wrong(
        "the score of the luckiest seed",
        altered("tuned-comparison", ("tried[:, -1].mean()", "tried[:, -1].max()")),
        frozenset({"tuned-score"}),
    ),
    Wrong(
        "the score of the unluckiest seed",
        altered("tuned-comparison", ("tried[:, -1].mean()", "tried[:, -1].min()")),
        frozenset({"tuned-score"}),
    ),
    Wrong(
        "of equal scores the larger rate",
        altered("tuned-comparison", ("sorted(rates)", "sorted(rates, reverse=True)")),
        frozenset({"tuned-score"}),
    ),
    Wrong(
        "of equal scores the first in the list",
        altered("tuned-comparison", ("sorted(rates)", "rates")),
        frozenset({"tuned-score"}),
    ),
    Wrong(
        "diverged seeds left out of the mean",
        altered("tuned-comparison", ("tried[:, -1].mean()", "tried[:, -1].nanmean()")),
        frozenset({"tuned-diverged"}),
    ),
    Wrong(
        "NaN taken for the highest score",
        {
            "tuned-comparison": """
def tuned_comparison(run, methods, rates, data, *, tuning_seeds, seeds, epochs):
    chosen, curves = {}, {}
    rates = sorted(rates)
    for name, build in methods.items():
        scores = torch.stack([
            run(build, rate, data.train, data.validation,
                seeds=tuning_seeds, epochs=epochs)[:, -1].mean()
            for rate in rates
        ])
        chosen[name] = rates[scores.argmax()]
        curves[name] = run(build, chosen[name], data.train, data.test,
                           seeds=seeds, epochs=epochs)
    return chosen, curves
"""
        },
        frozenset({"tuned-diverged"}),
    ),
    Wrong(
        "no ValueError when no rate is left",
        altered(
            "tuned-comparison",
            ('raise ValueError(f"{name} survives none of the rates")', "scores[min(rates)] = 0.0"),
        ),
        frozenset({"tuned-diverged"}),
    ),
    Wrong(
        "the numbers of the visible test",
        {
            "tuned-comparison": """
def tuned_comparison(run, methods, rates, data, *, tuning_seeds, seeds, epochs):
    chosen = {"A": 0.1, "B": 1.0}
    curves = {
        name: run(build, chosen[name], data.train, data.test, seeds=seeds, epochs=epochs)
        for name, build in methods.items()
    }
    return chosen, curves
"""
        },
        frozenset({"tuned-test-set", "tuned-score", "tuned-diverged"}),
    ),
]

PAIRED = [
    Wrong(
        "a standard deviation that divides by n",
        altered("paired", ("correction=1", "correction=0")),
        frozenset({"paired-visible", "paired-cases"}),
    ),
    Wrong(
        "1.96 for every number of seeds",
        altered("paired", ("T95[n]", "1.96")),
        frozenset({"paired-visible", "paired-cases"}),
    ),
    Wrong(
        "the table read by degrees of freedom",
        altered("paired", ("T95[n]", "T95[n - 1]")),
        frozenset({"paired-visible", "paired-cases"}),
    ),
    Wrong(
        "the spread of one difference for that of the mean",
        altered("paired", (" / n**0.5", "")),
        frozenset({"paired-visible", "paired-cases"}),
    ),
    Wrong(
        "the spreads of both methods added",
        altered(
            "paired",
            ("differences.std(dim=0, correction=1)", "(a.var(dim=0) + b.var(dim=0)).sqrt()"),
        ),
        frozenset({"paired-visible", "paired-cases"}),
    ),
    Wrong(
        "a minus b",
        altered("paired", ("differences = b - a", "differences = a - b")),
        frozenset({"paired-visible", "paired-cases"}),
    ),
    Wrong(
        "the special cases forgotten",
        {
            "paired": """
def paired(a, b):
    d = b - a
    half = T95.get(len(d), 0) * d.std(dim=0) / len(d) ** 0.5
    return d.mean(dim=0), d.mean(dim=0) - half, d.mean(dim=0) + half
"""
        },
        frozenset({"paired-cases"}),
    ),
    Wrong(
        "one seed with an interval of no width",
        altered("paired", ("torch.full_like(mean, torch.inf)", "torch.zeros_like(mean)")),
        frozenset({"paired-cases"}),
    ),
    Wrong(
        "diverged runs left out",
        altered("paired", ("differences.mean(dim=0)", "differences.nanmean(dim=0)")),
        frozenset({"paired-cases"}),
    ),
    Wrong(
        "one seed of a paired with all seeds of b",
        altered("paired", ("if a.shape != b.shape:", "if a.shape[1] != b.shape[1]:")),
        frozenset({"paired-cases"}),
    ),
    Wrong(
        "the numbers of seeds compared, not the shapes",
        altered("paired", ("if a.shape != b.shape:", "if len(a) != len(b):")),
        frozenset({"paired-cases"}),
    ),
    Wrong(
        "the numbers of the visible test",
        {
            "paired": """
def paired(a, b):
    mean = torch.tensor([2.0])
    return mean, mean - 2.4843, mean + 2.4843
"""
        },
        frozenset({"paired-cases"}),
    ),
]

VERDICT = [
    Wrong(
        "the sign of the mean",
        {
            "verdict": """
def verdict(differences, level=0.05):
    if 2 ** (1 - len(differences)) > level:
        return "open"
    mean = differences.mean()
    return "better" if mean > 0 else "worse" if mean < 0 else "open"
"""
        },
        frozenset({"verdict-visible", "verdict-cases"}),
    ),
    Wrong(
        "any number of seeds",
        altered("verdict", ("2 ** (1 - len(differences)) <= level", "True")),
        frozenset({"verdict-visible", "verdict-seeds"}),
    ),
    Wrong(
        "six seeds whatever the level",
        altered("verdict", ("2 ** (1 - len(differences)) <= level", "len(differences) >= 6")),
        frozenset({"verdict-seeds"}),
    ),
    Wrong(
        "below the level in place of at most",
        altered("verdict", ("<= level", "< level")),
        frozenset({"verdict-seeds"}),
    ),
    Wrong(
        "the chance of one sign alone",
        altered("verdict", ("(1 - len(differences))", "-len(differences)")),
        frozenset({"verdict-seeds"}),
    ),
    Wrong(
        "no difference below zero, NaN and ties included",
        altered(
            "verdict",
            ("(differences > 0).all()", "not (differences < 0).any()"),
            ("(differences < 0).all()", "not (differences > 0).any()"),
        ),
        frozenset({"verdict-cases"}),
    ),
    Wrong(
        "diverged runs left out",
        altered(
            "verdict",
            ("    enough = ", "    differences = differences[~differences.isnan()]\n    enough = "),
        ),
        frozenset({"verdict-cases"}),
    ),
    Wrong(
        "ties left out, as in the classical sign test",
        altered(
            "verdict",
            ("    enough = ", "    differences = differences[differences != 0]\n    enough = "),
        ),
        frozenset({"verdict-cases"}),
    ),
    Wrong(
        "an interval that leaves out zero",
        {
            "verdict": """
def verdict(differences, level=0.05):
    n = len(differences)
    if n < 2:
        return "open"
    half = T95[n] * differences.std() / n**0.5
    mean = differences.mean()
    return "better" if mean > half else "worse" if mean < -half else "open"
"""
        },
        frozenset({"verdict-visible", "verdict-seeds", "verdict-cases"}),
    ),
    Wrong(
        "always better",
        {"verdict": 'def verdict(differences, level=0.05):\n    return "better"\n'},
        frozenset({"verdict-visible", "verdict-seeds", "verdict-cases"}),
    ),
]

AUDIT = [
    Wrong(
        "two networks that draw alike",
        altered("audit", ("Probe(b, draws=5)", "Probe(b)")),
        frozenset({"audit-order"}),
    ),
    Wrong(
        "the first pair only",
        altered("audit", ("zip(a, b, strict=False)", "[(a[0], b[0])]")),
        frozenset({"audit-start"}),
    ),
    Wrong(
        "one epoch only",
        altered("audit", ("epochs=2", "epochs=1")),
        frozenset({"audit-order"}),
    ),
    Wrong(
        "the number of networks not compared",
        altered("audit", ("if len(a) != len(b):", "if False:")),
        frozenset({"audit-start"}),
    ),
    Wrong(
        "every visit counted as a step",
        altered("audit", ("steps(probe)", "[v.inputs for v in probe.visits]")),
        frozenset({"audit-visible", "audit-fair"}),
    ),
    Wrong(
        "measurements on the training samples counted as steps",
        altered(
            "audit",
            ("steps(probe)", "[v.inputs for v in probe.visits if not v.of_test]"),
        ),
        frozenset({"audit-fair"}),
    ),
    Wrong(
        "order compared between different numbers of steps",
        altered(
            "audit",
            (
                "if not all(map(torch.equal, *batches)):",
                "a_, b_ = batches\n"
                "        if len(a_) != len(b_) or not all(map(torch.equal, a_, b_)):",
            ),
        ),
        frozenset({"audit-visible", "audit-fair"}),
    ),
    Wrong(
        "the training steps of all pairs counted together",
        altered(
            "audit",
            ("        if len(batches[0]) != len(batches[1]):", "        if False:"),
            (
                "    if len(a) != len(b):",
                "    totals = [sum(len(steps(probe)) for probe in kind) for kind in (a, b)]\n"
                "    if len(a) != len(b) or totals[0] != totals[1]:",
            ),
        ),
        frozenset({"audit-fair"}),
    ),
    Wrong(
        "the mode in the measurement only",
        altered(
            "audit",
            ("if visit.learning and not visit.of_test and not visit.training:", "if False:"),
        ),
        frozenset({"audit-fair"}),
    ),
    Wrong(
        "the mode of A only",
        altered("audit", ("for probe in a + b:", "for probe in a:")),
        frozenset({"audit-fair"}),
    ),
    Wrong(
        "every visit in eval mode with training samples taken for a fault",
        altered("audit", ("if visit.learning and not visit.of_test", "if not visit.of_test")),
        frozenset({"audit-fair"}),
    ),
    Wrong(
        "no comparison has a fault",
        {"audit": "def audit(comparison):\n    return set()\n"},
        frozenset({"audit-visible", "audit-start", "audit-order", "audit-fair"}),
    ),
    Wrong(
        "every comparison has every fault",
        {"audit": 'def audit(comparison):\n    return {"start", "order", "budget", "mode"}\n'},
        frozenset({"audit-visible", "audit-start", "audit-order", "audit-fair"}),
    ),
]

WRONG = EXPERIMENT + TUNED + PAIRED + VERDICT + AUDIT

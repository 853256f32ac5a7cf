"""Claims are found, challenged and answered for; a planted breach of each rule is noticed."""

import json
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import challenge, claims, notebooks, reach
from tools.claims import HELD, Challenge, read_challenges
from tools.contents import read_contents

TRAINED = "# Claim: The loss falls\n# in every run.\nassert losses[0] > 0.5"
CHALLENGES = """
[[every]]
name = "seeds from 1000"
seeds = 1000
[[every]]
name = "rate × 3"
rate = 3.0
[01-a]
challenges = [{name = "large", set = {SCALE = "100"}, claims = ["claim"]}]
limits = []
"""


@pytest.mark.parametrize("path", notebooks.notebooks(), ids=lambda path: path.stem)
def test_every_claim_has_met_its_challenges(path: Path) -> None:
    assert claims.complaints(path) == []


def test_ninety_five_percent_of_claims_hold_against_their_challenges() -> None:
    pairs, held = claims.score()
    assert pairs > 100 and held >= 0.95 * pairs


def write_book(root: Path, *cells: str, toml: str = CHALLENGES) -> Path:
    """Write a book of one notebook; the cells are named one, two, ... and the last one claim."""
    (root / "chapters").mkdir(exist_ok=True)
    names = ["one", "two", "three"][: len(cells) - 1] + ["claim"]
    made = [new_code_cell(source, id=name) for source, name in zip(cells, names, strict=True)]
    path = root / "chapters" / "01-a.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell("# A\n\n## B", id="top"), *made]), path)
    (root / claims.CHALLENGES).write_text(toml, encoding="utf-8")
    return path


def store(root: Path, path: Path, **said: str) -> None:
    """Store results in which the claim was held, but for the challenges in `said`."""
    notebook = nbformat.read(path, as_version=4)
    results = {
        c.name: {
            "challenge": c.digest,
            "code": claims.code_of(notebook),
            "claims": {"claim": said.get(c.name.split()[0], HELD)},
        }
        for c in read_challenges(root)[path.stem][0]
    }
    file = claims.results_file(path.stem, root)
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(results), encoding="utf-8")


CELLS = "SEEDS = range(5)\nSCALE = 1", "losses = [1.0 for seed in SEEDS]", TRAINED


def test_a_claim_is_the_comment_above_its_asserts() -> None:
    source = "x = 1\n# Claim: One.\nassert x\n# not a claim\nassert x > 0\n# Claim: Two.\nassert 2"
    first, second = claims.claims_of(new_code_cell(source, id="a"))
    assert (first.key, first.sentence, first.first, first.last) == ("a", "One.", 2, 5)
    assert (second.key, second.sentence) == ("a-2", "Two.")


def test_a_sentence_may_take_several_lines() -> None:
    (claim,) = claims.claims_of(new_code_cell(TRAINED + ".", id="a"))
    assert claim.sentence == "The loss falls in every run."


@pytest.mark.parametrize(
    "cell, complaint",
    [
        ("assert max(losses) > 0.5", "claim asserts what was measured"),
        ("# Claim: It falls.\nx = losses", "claim claims and asserts nothing"),
        ("# Claim: It falls\nassert losses", "a claim is a sentence"),
    ],
)
def test_a_claim_without_sentence_or_assert_is_found(tmp_path, cell: str, complaint: str) -> None:
    path = write_book(tmp_path, *CELLS[:2], cell)
    assert any(complaint in line for line in claims.complaints(path, tmp_path))


@pytest.mark.parametrize(
    "code, measured",
    [
        ("r = [f(s) for s in SEEDS]\nassert r", True),
        ("r = {}\nr[1] = f(LONG_SEEDS)\nassert r[1]", True),
        ("r = []\nfor s in SEEDS:\n    r.append(s)\nassert r", True),
        ("def f(x):\n    return x * len(SEEDS)\nr = [f(1)]\nassert max(r) > 0", True),
        ("for s in SEEDS:\n    torch.manual_seed(s)\nassert torch.ones(1)", False),
        ("a = f(SEEDS)\nfor a in 'ab':\n    assert a", False),
        ("r = f(SEEDS)\nfor a in r:\n    assert a", True),
        ("nets = f(SEEDS)\nnet = nets[0]\nassert net", False),
        ("SEEDS = range(3)\nr = fit(0)\nassert r", False),
        ("for seed in SEEDS:\n    f(seed)\nseed = 1\nassert seed", False),
        ("r = [f(name) for name in SEEDS]\nassert [name for name in 'ab']", False),
        ("r = f(SEEDS)\nr = 1\nassert r", False),
        ("def f(SEEDS):\n    return SEEDS\nassert f(1)", False),
    ],
)
def test_what_comes_of_an_experiment_is_measured(code: str, measured: bool) -> None:
    notebook = new_notebook(cells=[new_code_cell(code)])
    assert bool(list(claims.measured(notebook))) == measured


def test_exact_mathematics_needs_no_claim(tmp_path: Path) -> None:
    path = write_book(tmp_path, "x = 1", "assert x == 1", toml=CHALLENGES.partition("[01-a]")[0])
    assert claims.complaints(path, tmp_path) == []


def test_a_claim_that_met_all_its_challenges_is_fine(tmp_path: Path) -> None:
    path = write_book(tmp_path, *CELLS)
    store(tmp_path, path)
    assert claims.complaints(path, tmp_path) == []
    assert claims.score(tmp_path) == (3, 3)


def test_the_record_counts_for_each_claim_what_it_met_and_held(tmp_path: Path) -> None:
    path = write_book(tmp_path, *CELLS)
    assert claims.record(tmp_path) == [(0, 0)]
    store(tmp_path, path, large="fell")
    assert claims.record(tmp_path) == [(3, 2)]
    assert claims.score(tmp_path) == (3, 2)


def test_a_missing_challenge_is_found(tmp_path: Path) -> None:
    path = write_book(tmp_path, *CELLS)
    assert [line.split(" is ")[1] for line in claims.complaints(path, tmp_path)] == [
        "missing or stale: make challenge"
    ] * 3


def test_a_notebook_may_be_pending_until_all_has_run(tmp_path: Path) -> None:
    toml = CHALLENGES.replace("[01-a]", "[01-a]\npending = true")
    path = write_book(tmp_path, *CELLS, toml=toml)
    assert claims.complaints(path, tmp_path) == []
    store(tmp_path, path, large="fell")
    assert ["fell in 'large'" in line for line in claims.complaints(path, tmp_path)] == [
        False,
        True,
    ]
    store(tmp_path, path)
    assert claims.complaints(path, tmp_path) == ["every challenge has run: nothing is pending"]


def test_a_challenge_is_stale_after_a_change_of_code_and_not_of_a_comment(tmp_path: Path) -> None:
    path = write_book(tmp_path, *CELLS)
    store(tmp_path, path)
    write_book(tmp_path, *CELLS[:2], TRAINED.replace("falls", "really falls"))
    assert claims.complaints(path, tmp_path) == []
    write_book(tmp_path, *CELLS[:2], TRAINED.replace("0.5", "0.6"))
    assert len(claims.complaints(path, tmp_path)) == 3


def test_a_challenge_is_stale_after_its_setting_moved(tmp_path: Path) -> None:
    path = write_book(tmp_path, *CELLS)
    store(tmp_path, path)
    write_book(tmp_path, *CELLS, toml=CHALLENGES.replace('"100"', '"200"'))
    (complaint,) = claims.complaints(path, tmp_path)
    assert "'large' is missing or stale" in complaint


def test_a_claim_that_fell_needs_a_limit_and_one_that_held_has_none(tmp_path: Path) -> None:
    limit = '{claim = "claim", challenges = ["rate × 3"], shown = "top", range = "up to 0.1"}'
    path = write_book(tmp_path, *CELLS)
    store(tmp_path, path, rate="fell")
    assert ["fell in 'rate × 3'" in line for line in claims.complaints(path, tmp_path)] == [True]
    limited = CHALLENGES.replace("limits = []", f"limits = [{limit}]")
    write_book(tmp_path, *CELLS, toml=limited)
    assert claims.complaints(path, tmp_path) == []
    store(tmp_path, path)
    assert ["held in 'rate × 3'" in line for line in claims.complaints(path, tmp_path)] == [True]


def test_a_claim_counts_that_fell_where_nobody_expected_it(tmp_path: Path) -> None:
    """A challenge is made for some claims; its settings may move others too."""
    toml = CHALLENGES.replace('claims = ["claim"]', 'claims = ["another"]')
    path = write_book(tmp_path, *CELLS, toml=toml)
    store(tmp_path, path, large="fell")
    assert any("claim fell in 'large'" in line for line in claims.complaints(path, tmp_path))


@pytest.mark.parametrize(
    "old, new, complaint",
    [
        ('claims = ["claim"]', 'claims = ["clam"]', "names no claim of the notebook: clam"),
        ("seeds = 1000", "seeds = 0", "fewer than five fresh seeds"),
        ('name = "large"', 'name = "rate × 3"', "two challenges are named"),
        (
            "limits = []",
            'limits = [{claim = "claim", challenges = ["x"], shown = "no", range = ""}]',
            "the limit of claim is shown in no cell: no",
        ),
    ],
)
def test_names_that_lead_nowhere_are_found(tmp_path, old: str, new: str, complaint: str) -> None:
    path = write_book(tmp_path, *CELLS, toml=CHALLENGES.replace(old, new))
    assert any(complaint in line for line in claims.complaints(path, tmp_path))


def test_challenges_of_no_notebook_are_refused(tmp_path: Path) -> None:
    write_book(tmp_path, *CELLS, toml=CHALLENGES.replace("[01-a]", "[01-b]"))
    with pytest.raises(ValueError, match="01-b"):
        read_challenges(tmp_path)


def test_a_run_moves_seeds_rates_and_constants_and_goes_on_where_a_claim_falls(tmp_path) -> None:
    cells = [
        "import numpy, torch\nfrom torch import nn\nSEEDS = [7]\nSCALE = 1",
        "torch.manual_seed(7)\na = torch.rand(3)\n"
        "b = torch.rand(3, generator=torch.Generator().manual_seed(7))\n"
        "numpy.random.default_rng(numpy.random.default_rng(7))\n"
        "sgd = torch.optim.SGD([{'params': [nn.Parameter(a)], 'lr': 0.1}], lr=0.2)\n"
        "rates = sgd.param_groups[0]['lr'], sgd.defaults['lr']",
        "torch.random.default_generator.manual_seed(1007)\nexpected = torch.rand(3)",
        "# Claim: Seeds move.\nassert torch.equal(a, expected) and torch.equal(b, expected)\n"
        "# Claim: Rates move.\nassert abs(rates[0] - 0.3) + abs(rates[1] - 0.6) < 1e-9\n"
        "# Claim: Constants move.\nassert SCALE == 100\n"
        "# Claim: This one falls.\nassert SCALE == 1\nassert SCALE == 100\n"
        "# Claim: This one stops.\nassert 1 / 0",
    ]
    path = write_book(tmp_path, *cells)
    found = challenge.meet(path, Challenge("all", seeds=1000, rate=3.0, set={"SCALE": "100"}))
    assert found["claims"] == dict.fromkeys(
        ["claim", "claim-2", "claim-3", "claim-4", "claim-5"], "ZeroDivisionError: division by zero"
    )
    write_book(tmp_path, *cells[:-1], cells[-1].rpartition("# Claim")[0])
    found = challenge.meet(path, Challenge("all", seeds=1000, rate=3.0, set={"SCALE": "100"}))
    assert found["claims"] == {"claim": HELD, "claim-2": HELD, "claim-3": HELD, "claim-4": "fell"}


def test_a_constant_that_no_cell_assigns_is_refused(tmp_path: Path) -> None:
    path = write_book(tmp_path, *CELLS)
    with pytest.raises(SystemExit, match="no cell assigns WIDTH"):
        challenge.challenged(nbformat.read(path, as_version=4), Challenge("w", set={"WIDTH": "3"}))


def test_the_page_shows_every_claim_with_a_link_to_its_cell() -> None:
    lines = "\n".join(reach.tables(read_contents(notebooks.ROOT), notebooks.ROOT / "appendix"))
    for path in notebooks.notebooks():
        for claim in claims.claims(nbformat.read(path, as_version=4)):
            assert f'{path.stem}.html#{reach.anchor(claim.cell)}">' in lines


@pytest.mark.parametrize(
    "found, said",
    [
        ([(3, 3), (4, 2), (5, 5)], ("Every claim was challenged", "2 of 3 held every time")),
        ([(3, 3), (4, 2), (0, 0)], ("2 of 3 claims were challenged", "1 of 2 held every time")),
    ],
)
def test_the_home_page_counts_the_claims_that_held(monkeypatch, found, said) -> None:
    monkeypatch.setattr(reach, "record", lambda: found)
    (line,) = reach.promise([], notebooks.ROOT)
    assert all(part in line.replace("**", "") for part in said)
    assert "(appendix/reach.md)" in line and reach.PAGE.exists()

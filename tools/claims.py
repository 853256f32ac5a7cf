"""The claims of the book: what they say, and how far they were found to reach.

A cell states a claim in a comment, `# Claim: ...`, and the asserts below it are what the sentence
says. chapters/challenges.toml moves the settings under which they were found; tools.challenge runs
the notebooks so and stores which claims hold, in chapters/challenges/.
"""

import ast
import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools import ROOT
from tools.notebooks import code_cells, notebooks, parse
from tools.stamps import digest, hashes, short

CHALLENGES = "chapters/challenges.toml"
RESULTS = "chapters/challenges"  # a folder with one file for each notebook
HELD, FELL = "held", "fell"
SENTENCE = re.compile(r"^\s*# Claim: (.+)")
LOOPS = (ast.For, ast.comprehension)
COMMENT = re.compile(r"^\s*# (?!Claim:)(.+)")
HARMLESS = ("exercises", "figures", "normlab.exercise", "normlab.style")  # to claims


@dataclass(frozen=True)
class Claim:
    """A sentence, and the asserts of its cell from one line up to another."""

    key: str  # the id of the cell, with -2 for the second claim in it
    cell: str
    sentence: str
    first: int
    last: int


@dataclass(frozen=True)
class Challenge:
    """Settings under which a notebook is run again.

    Args:
        name: what readers see.
        seeds: added to every seed.
        rate: a factor for the learning rate of every optimizer.
        set: Python expressions for constants that cells assign.
        claims: keys of the claims that it is made for; without, all of the notebook. Another that
            falls in it counts as well.
    """

    name: str
    seeds: int = 0
    rate: float = 1.0
    set: dict[str, str] = field(default_factory=dict)
    claims: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        moved = {"seeds": self.seeds, "rate": self.rate, "set": self.set}
        return short(json.dumps(moved, sort_keys=True))


@dataclass(frozen=True)
class Limit:
    """Where a chapter says that a claim ends: the claim, the challenges, the cell, the range."""

    claim: str
    challenges: tuple[str, ...]
    shown: str
    range: str


def claims(notebook: NotebookNode) -> list[Claim]:
    return [claim for cell in code_cells(notebook) for claim in claims_of(cell)]


def claims_of(cell: NotebookNode) -> list[Claim]:
    lines = cell.source.splitlines()
    starts = [i for i, line in enumerate(lines) if SENTENCE.match(line)]
    found = []
    for number, (start, end) in enumerate(pairwise([*starts, len(lines)]), 1):
        parts = [SENTENCE.match(lines[start])[1]]
        for line in lines[start + 1 : end]:
            if not (more := COMMENT.match(line)):
                break
            parts.append(more[1])
        key = cell.id if number == 1 else f"{cell.id}-{number}"
        found.append(Claim(key, cell.id, " ".join(parts), start + 1, end))
    return found


def asserts(cell: NotebookNode) -> list[int]:
    """Return the lines on which a cell asserts."""
    return [node.lineno for node in ast.walk(parse(cell)) if isinstance(node, ast.Assert)]


def measured(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, int]]:
    """Return cell and line of each assert on what was drawn over SEEDS, or came of it.

    A comparison runs several seeds, so what is done to a single network is no experiment.
    """
    known: set[str] = set()
    for cell in code_cells(notebook):
        for statement in parse(cell).body:
            used = _used(statement)
            drawn = any(name.endswith("SEEDS") for name in used)
            if drawn or (isinstance(statement, ast.Assign) and used & known):
                known |= _made(statement)
            elif not isinstance(statement, ast.Assert):
                known -= _made(statement)
            loops = [n.iter for n in ast.walk(statement) if isinstance(n, LOOPS)]
            over = set().union(*map(_looped, loops))
            for node in ast.walk(statement):
                if not isinstance(node, ast.Assert):
                    continue
                if drawn or (_used(node) | over) & used & known:
                    yield cell, node.lineno


def _looped(iterated: ast.expr) -> set[str]:
    """Return the names over which a loop runs: `x`, `x.items()`, `zip(x, y)`."""
    match iterated:
        case ast.Name(id=name) | ast.Call(func=ast.Attribute(value=ast.Name(id=name))):
            return {name}
        case ast.Call(func=ast.Name(), args=args):
            return set().union(*map(_looped, args))
    return set()


def _used(statement: ast.AST) -> set[str]:
    """Return the names that a statement reads, without those that it binds for itself."""
    targets = [n.target for n in ast.walk(statement) if isinstance(n, LOOPS)]
    if isinstance(statement, ast.FunctionDef):
        targets += statement.body
    bound = {n.id for t in targets for n in ast.walk(t) if _stores(n)}
    bound |= {n.arg for n in ast.walk(statement) if isinstance(n, ast.arg)}
    names = (n for n in ast.walk(statement) if isinstance(n, ast.Name))
    one = {ast.unparse(n.value) for n in ast.walk(statement) if _is_first(n)}
    return {n.id for n in names if isinstance(n.ctx, ast.Load)} - bound - one


def _made(statement: ast.stmt) -> set[str]:
    """Return the names that a statement assigns, fills or defines; loop variables do not count."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    found = set()
    for node in ast.walk(statement):
        match node:
            case ast.Assign(targets=targets):
                found |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
            case ast.AugAssign(target=ast.Name(id=name)):
                found.add(name)
            case ast.Call(func=ast.Attribute(ast.Name(id=name), "append" | "extend" | "update")):
                found.add(name)
    return found


def _is_first(node: ast.AST) -> bool:
    """Whether this is `networks[0]`: one network, of which facts hold and nothing is compared."""
    return isinstance(node, ast.Subscript) and ast.unparse(node.slice) == "0"


def _stores(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def pending(root: Path = ROOT) -> set[str]:
    """Return the notebooks of which some challenges have not run yet."""
    table = tomllib.loads((root / CHALLENGES).read_text(encoding="utf-8"))
    return {name for name, own in table.items() if name != "every" and own.get("pending")}


def read_challenges(root: Path = ROOT) -> dict[str, tuple[list[Challenge], list[Limit]]]:
    """Return the challenges and limits of every notebook, by the name of its file."""
    table = tomllib.loads((root / CHALLENGES).read_text(encoding="utf-8"))
    every = table.pop("every")
    names = [path.stem for path in notebooks(root)]
    if unknown := table.keys() - set(names):
        raise ValueError(
            f"{CHALLENGES} names no notebook of the book: {', '.join(sorted(unknown))}"
        )
    found = {}
    for name in names:
        own = table.get(name, {})
        challenges = [
            Challenge(**{**c, "claims": tuple(c.get("claims", ()))})
            for c in [*every, *own.get("challenges", [])]
        ]
        limits = [
            Limit(**{**x, "challenges": tuple(x["challenges"])}) for x in own.get("limits", [])
        ]
        found[name] = challenges, limits
    return found


def results_file(name: str, root: Path = ROOT) -> Path:
    return root / RESULTS / f"{name}.json"


def read_results(name: str, root: Path = ROOT) -> dict[str, dict]:
    """Return what is stored of a notebook, by the name of the challenge."""
    path = results_file(name, root)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def code_of(notebook: NotebookNode) -> str:
    """Return a hash of the code on which claims depend: not on how it draws, nor on exercises."""
    code = hashes(notebook).items()
    return digest({name: text for name, text in code if not name.startswith(HARMLESS)})


def is_fresh(result: dict | None, notebook: NotebookNode, challenge: Challenge) -> bool:
    """Whether a stored result is of this code and of this challenge."""
    now = code_of(notebook), challenge.digest
    return result is not None and (result["code"], result["challenge"]) == now


def must_meet(challenge: Challenge, found: Iterable[Claim], results: dict) -> list[Claim]:
    """Return the claims that a challenge is made for, and whatever else fell in it."""
    said = results.get(challenge.name, {"claims": {}})["claims"]
    wanted = {*challenge.claims, *(key for key in said if said[key] == FELL)}
    return [claim for claim in found if not challenge.claims or claim.key in wanted]


def complaints(path: Path, root: Path = ROOT) -> list[str]:
    """Say what a notebook's claims and their challenges lack."""
    notebook = nbformat.read(path, as_version=4)
    found = claims(notebook)
    challenges, limits = read_challenges(root)[path.stem]
    results = read_results(path.stem, root)
    run = [c for c in challenges if is_fresh(results.get(c.name), notebook, c)]
    excused = path.stem in pending(root)
    return [
        *(["every challenge has run: nothing is pending"] if excused and run == challenges else []),
        *_complaints_about_sentences(notebook, found),
        *_complaints_about_names(notebook, found, challenges, limits),
        *_complaints_about_results(
            notebook, found, run if excused else challenges, limits, results
        ),
    ]


def _complaints_about_sentences(notebook, found: list[Claim]) -> Iterator[str]:
    for claim in found:
        cell = next(cell for cell in notebook.cells if cell.id == claim.cell)
        if not any(claim.first <= line <= claim.last for line in asserts(cell)):
            yield f"{claim.key} claims and asserts nothing"
        if not claim.sentence.endswith("."):
            yield f"{claim.key}: a claim is a sentence, with a full stop: {claim.sentence!r}"
    for cell, line in measured(notebook):
        if not any(claim.cell == cell.id and claim.first <= line for claim in found):
            yield (
                f"{cell.id} asserts what was measured, in line {line}: say it above, in a comment "
                "`# Claim: ...`"
            )


def _complaints_about_names(notebook, found, challenges, limits) -> Iterator[str]:
    keys, cells = {claim.key for claim in found}, {cell.id for cell in notebook.cells}
    names = [challenge.name for challenge in challenges]
    for name in {name for name in names if names.count(name) > 1}:
        yield f"two challenges are named {name!r}"
    named = [key for c in challenges for key in c.claims] + [limit.claim for limit in limits]
    for key in sorted(set(named) - keys):
        yield f"{CHALLENGES} names no claim of the notebook: {key}"
    for limit in limits:
        if limit.shown not in cells:
            yield f"the limit of {limit.claim} is shown in no cell: {limit.shown}"
        for name in set(limit.challenges) - set(names):
            yield f"the limit of {limit.claim} names no challenge: {name!r}"
    if found and _fresh_seeds(notebook, challenges) < 5:
        yield "its claims meet fewer than five fresh seeds"


def _fresh_seeds(notebook: NotebookNode, challenges: list[Challenge]) -> int:
    """Return how many fresh seeds the experiment with the fewest of them meets.

    An experiment names its seeds in a constant such as SEEDS or LONG_SEEDS, or has one seed.
    """
    fresh = [challenge for challenge in challenges if challenge.seeds]
    counts = []
    for cell in code_cells(notebook):
        for node in parse(cell).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith("SEEDS"):
                name, own = ast.unparse(node.targets[0]), ast.unparse(node.value)
                counts.append(sum(_length(c.set.get(name, own)) for c in fresh))
    return min(counts, default=len(fresh))


def _length(seeds: str) -> int:
    """Return how many there are in a list, or in range(n), or in what is quick of both."""
    value = ast.parse(seeds, mode="eval").body
    if isinstance(value, ast.Call) and value.keywords:  # full_or_quick(..., quick=...)
        value = value.keywords[0].value
    return len(value.elts) if isinstance(value, ast.List) else value.args[-1].value


def _complaints_about_results(notebook, found, challenges, limits, results) -> Iterator[str]:
    if not found:
        return
    for challenge in challenges:
        result = results.get(challenge.name)
        if not is_fresh(result, notebook, challenge):
            yield f"the challenge {challenge.name!r} is missing or stale: make challenge"
            continue
        for claim in must_meet(challenge, found, results):
            held = result["claims"].get(claim.key) == HELD
            limited = any(x.claim == claim.key and challenge.name in x.challenges for x in limits)
            if held == limited:
                yield (
                    f"{claim.key} {'held' if held else 'fell'} in {challenge.name!r}, and "
                    f"{CHALLENGES} names {'a' if held else 'no'} limit of it"
                )


def record(root: Path = ROOT) -> list[tuple[int, int]]:
    """Return for each claim how many challenges it has met, and in how many of them it held."""
    found: list[tuple[int, int]] = []
    for path in notebooks(root):
        own = claims(nbformat.read(path, as_version=4))
        results = read_results(path.stem, root)
        challenges = [c for c in read_challenges(root)[path.stem][0] if c.name in results]
        for claim in own:
            met = [c for c in challenges if claim in must_meet(c, own, results)]
            held = [c for c in met if results[c.name]["claims"].get(claim.key) == HELD]
            found.append((len(met), len(held)))
    return found


def score(root: Path = ROOT) -> tuple[int, int]:
    """Return how many pairs of a claim and a challenge have run, and how many of them hold."""
    found = record(root)
    return sum(met for met, _ in found), sum(held for _, held in found)

"""The page that shows how far the claims reach: each of them against every challenge."""

import os
from html import escape
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools import ROOT
from tools.claims import (
    HELD,
    Challenge,
    Claim,
    Limit,
    claims,
    must_meet,
    read_challenges,
    read_results,
    record,
    score,
)
from tools.contents import Entry
from tools.markdown import read

OTHER = "Other settings"
PAGE = ROOT / "appendix" / "reach.md"  # shows what this module makes


def anchor(cell: str) -> str:
    """Return the id that the page of a notebook gives to a cell with a claim."""
    return f"claim-{cell}"


def summary(entries: list[Entry], folder: Path) -> list[str]:
    pairs, held = score()
    share = f", {100 * held / pairs:.0f} percent" if pairs else ""
    return [f"{held:,} of {pairs:,} pairs of a claim and a challenge that ran hold{share}."]


def promise(entries: list[Entry], folder: Path) -> list[str]:
    """Return what the home page says of all claims, with a link to where each of them stands."""
    found = record()
    met = [held == run for run, held in found if run]
    subject = (
        "Every claim was" if len(met) == len(found) else f"{len(met)} of {len(found)} claims were"
    )
    page = Path(os.path.relpath(PAGE, folder)).as_posix()
    return [
        f"**{subject} challenged** with other seeds, learning rates and settings: {sum(met)} of "
        f"{len(met)} held every time. Where the others end, the text says so. [See each]({page})."
    ]


def tables(entries: list[Entry], folder: Path) -> list[str]:
    """Return a section with a table for each notebook that claims something."""
    lines = []
    for entry in entries:
        if entry.path.suffix == ".ipynb":
            notebook = nbformat.read(entry.path, as_version=4)
            if found := claims(notebook):
                lines += [
                    "",
                    f"## {entry.plain_title}",
                    "",
                    *_table(entry, notebook, found, folder),
                ]
    return lines


def _table(entry: Entry, notebook: NotebookNode, found: list[Claim], folder: Path) -> list[str]:
    challenges, limits = read_challenges()[entry.path.stem]
    results = read_results(entry.path.stem)
    page = Path(os.path.relpath(entry.path.with_suffix(".html"), folder)).as_posix()
    columns: dict[str, list[Challenge]] = {}
    for challenge in challenges:
        columns.setdefault(_column(challenge), []).append(challenge)
    lines = [f"| Claim | {' | '.join(columns)} | Range |", "|---" * (len(columns) + 2) + "|"]
    for claim in found:
        cells = []
        for name, group in columns.items():
            run = [c for c in group if c.name in results]
            met = [c for c in run if claim in must_meet(c, found, results)]
            held = {c.name: results[c.name]["claims"].get(claim.key) == HELD for c in met}
            cells.append(_named(held) if name == OTHER else _counted(held))
        own = [limit for limit in limits if limit.claim == claim.key]
        ranges = "; ".join(_link(limit.range, page, _place(notebook, limit)) for limit in own)
        sentence = _link(claim.sentence, page, anchor(claim.cell))
        lines.append(f"| {' | '.join([sentence, *cells, ranges])} |")
    return lines


def _column(challenge: Challenge) -> str:
    """Return under which heading a challenge stands: all fresh seeds share one."""
    if challenge.claims or challenge.set:
        return OTHER
    return "Fresh seeds" if challenge.seeds else challenge.name.capitalize()


def _counted(held: dict[str, bool]) -> str:
    if not held:
        return "not run yet"
    fell = list(held.values()).count(False)
    return f"**fell** in {fell} of {len(held)}" if fell else "held"


def _named(held: dict[str, bool]) -> str:
    return ", ".join(f"{escape(name)}: {'held' if ok else '**fell**'}" for name, ok in held.items())


def _link(text: str, page: str, place: str) -> str:
    return f'<a href="{page}#{place}">{escape(text)}</a>'.replace("|", "&#124;")


def _place(notebook: NotebookNode, limit: Limit) -> str:
    """Return the anchor of the section in which a limit is shown."""
    last = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            last = next((h.anchor for h in reversed(read(cell.source).headings)), last)
        if cell.id == limit.shown:
            return last
    raise ValueError(f"no cell {limit.shown}")

"""Challenge the claims of the notebooks: run them with settings moved, and store what holds.

    python -m tools.challenge          what is missing or stale, of every notebook
    python -m tools.challenge 06       the same of chapter 6
    python -m tools.challenge 06 --all also what is fresh

Which settings move says chapters/challenges.toml. The runs use Shapes-10 and, as the tests do, the
fewer seeds and epochs that a chapter allows. Each result is stored when it is there: a run that is
interrupted goes on where it stopped.
"""

import argparse
import ast
import json
import os
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from tools import ROOT
from tools.claims import (
    FELL,
    HELD,
    Challenge,
    claims,
    claims_of,
    code_of,
    is_fresh,
    read_challenges,
    read_results,
    results_file,
)
from tools.notebooks import code_cells, find, parse
from tools.run import substitute, unexpected_error

SETTINGS = {
    "NORMLAB_DATA": "shapes",
    "NORMLAB_QUICK": "1",
    "OMP_NUM_THREADS": "1",  # one for each of the processes
    "TQDM_DISABLE": "1",
    "JUPYTER_PREFER_ENV_PATH": "1",
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src"), str(ROOT / "chapters")]),
}


class Watched(ast.NodeTransformer):
    """Asserts of a cell that are counted, and do not stop it."""

    def __init__(self, cell: NotebookNode) -> None:
        self.claims = claims_of(cell)

    def visit_Assert(self, node: ast.Assert) -> ast.With:
        own = [c.key for c in self.claims if c.first <= node.lineno <= c.last]
        watch = ast.parse(f"with challenged.part_of({(own or [''])[0]!r}): pass").body[0]
        watch.body = [node]
        return watch


def watched(cell: NotebookNode) -> str:
    """Return the code of a cell with its asserts counted."""
    watch = Watched(cell)
    code = ast.unparse(ast.fix_missing_locations(watch.visit(parse(cell))))
    keys = ", ".join(repr(claim.key) for claim in watch.claims)
    return f"{code}\nchallenged.end_of({keys})" if keys else code


def challenged(notebook: NotebookNode, challenge: Challenge) -> NotebookNode:
    """Return a copy of a notebook that runs under a challenge and prints which claims held."""
    notebook = nbformat.from_dict(notebook)
    substitute(notebook, challenge.set)
    for cell in code_cells(notebook):
        cell.outputs = []
        if any(isinstance(node, ast.Assert) for node in ast.walk(parse(cell))):
            cell.source = watched(cell)
    opening = [
        "from tools import challenged",
        f"challenged.move_seeds({challenge.seeds})",
        f"challenged.move_rates({challenge.rate})",
    ]
    notebook.cells.insert(0, new_code_cell("\n".join(opening)))
    notebook.cells.append(new_code_cell("challenged.report()"))
    return notebook


def meet(path: Path, challenge: Challenge) -> dict:
    """Run a notebook under a challenge and return what is to be stored."""
    os.environ.update(SETTINGS)
    notebook = nbformat.read(path, as_version=4)
    moved = challenged(notebook, challenge)
    start = time.monotonic()
    NotebookClient(
        moved,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        timeout=None,
        allow_errors=True,
        extra_arguments=["--log-level=ERROR"],
    ).execute()
    last = moved.cells[-1].outputs
    printed = json.loads("".join(output.get("text", "") for output in last) or "{}")
    errors = [e for cell in code_cells(moved) if (e := unexpected_error(cell))]
    reason = f"{errors[0].ename}: {errors[0].evalue}"[:100] if errors else "no assert was reached"
    found = {}
    for claim in claims(notebook):
        held = printed.get(claim.key)
        found[claim.key] = reason if held is None else HELD if held else FELL
    return {
        "challenge": challenge.digest,
        "code": code_of(notebook),
        "minutes": round((time.monotonic() - start) / 60, 1),
        "claims": found,
    }


def store(path: Path, challenge: Challenge, result: dict) -> None:
    """Write a result beside the others of its notebook, and drop those of no challenge."""
    names = [c.name for c in read_challenges()[path.stem][0]]
    results = {**read_results(path.stem), challenge.name: result}
    kept = {name: results[name] for name in names if name in results}
    file = results_file(path.stem)
    file.parent.mkdir(exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    os.replace(part, file)


def wanted(paths: Iterable[Path], everything: bool) -> list[tuple[Path, Challenge]]:
    """Return the runs that are to be made."""
    runs = []
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        results = read_results(path.stem)
        for challenge in read_challenges()[path.stem][0] if claims(notebook) else []:
            if everything or not is_fresh(results.get(challenge.name), notebook, challenge):
                runs.append((path, challenge))
    return runs


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="such as 06 or errata; every notebook without")
    parser.add_argument("--all", action="store_true", help="also what is fresh")
    parser.add_argument("--jobs", type=int, default=2, help="how many run at once (2)")
    chosen = parser.parse_args(arguments)
    runs = wanted(find(chosen.names), chosen.all)
    with ProcessPoolExecutor(chosen.jobs) as pool:
        waiting = {pool.submit(meet, *run): run for run in runs}
        for number, future in enumerate(as_completed(waiting), 1):
            path, challenge = waiting[future]
            result = future.result()
            store(path, challenge, result)
            fell = [f"{key}: {said}" for key, said in result["claims"].items() if said != HELD]
            count = f"{len(fell)} of {len(result['claims'])} fell" if fell else "all held"
            head = f"[{number}/{len(runs)}] {path.stem}, {challenge.name}: {count}"
            print(f"{head}, {result['minutes']} minutes", *fell, sep="\n    ", flush=True)
    print("every claim has met its challenges; what they lack, the tests of the book say")


if __name__ == "__main__":
    sys.exit(main())

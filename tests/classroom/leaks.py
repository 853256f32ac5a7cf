"""What of the assignments must not reach students: solutions, hidden tests, model answers."""

import json
import re
from functools import cache
from pathlib import Path

from bs4 import BeautifulSoup

from tests.classroom.scoring import ASSIGNMENTS, as_released, source
from tools import ROOT

REGION = re.compile(r"### BEGIN (?:SOLUTION|HIDDEN TESTS)\n(.*?)### END", re.DOTALL)
LONG = 40  # characters that two authors do not write by chance
# Lines that chapters and solutions share because there is one good way to write them.
SHARED = {
    "shape=(1,-1)+(1,)*(x.dim()-2)#[1,C,1,...]",
    "mean,var=x.mean(0),x.var(0,correction=0)",
    "mean,var=x.mean(dims),x.var(dims,correction=0)",
    "weight=nn.Parameter(torch.ones(num_features))",
    "bias=nn.Parameter(torch.zeros(num_features))",
    "ours.load_state_dict(theirs.state_dict())",
    "generator=torch.Generator().manual_seed(3)",
    "os.replace(part,path)#onestep:theoldfileorthenewone",
    "fromtorch.utils._python_dispatchimportTorchDispatchMode",
    "def__torch_dispatch__(self,func,types,args=(),kwargs=None):",
}
PACKAGE = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "src").rglob("*.py"))


def squeezed(text: str) -> str:
    """Return a text without spaces and quotes, which differ between formats."""
    return re.sub(r"[\s\"'`\\]", "", text)


@cache
def secrets(name: str) -> frozenset[str]:
    """Return the lines of an assignment that only its source may contain."""
    notebook = source(name)
    shown = squeezed("\n".join([PACKAGE, *(c.source for c in as_released(notebook).cells)]))
    found = set()
    for cell in notebook.cells:
        answer = cell.metadata.get("nbgrader", {}).get("solution")
        texts = REGION.findall(cell.source)
        if answer and cell.cell_type == "markdown":
            texts = [cell.source]
        for line in "\n".join(texts).splitlines():
            line = squeezed(line)
            if len(line) >= LONG and line not in shown:
                found.add(line)
    return frozenset(found - SHARED)


def text_of(path: Path) -> str:
    """Return the text of a file as a reader sees it."""
    text = path.read_text(encoding="utf-8", errors="ignore")
    if path.suffix == ".html":
        return BeautifulSoup(text, "html.parser").get_text()
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        return "\n".join("".join(cell["source"]) for cell in cells)
    return text


def leaks(path: Path) -> list[str]:
    """Return the secrets of all assignments that a file contains."""
    text = squeezed(text_of(path))
    return [line for name in ASSIGNMENTS for line in secrets(name) if line in text]

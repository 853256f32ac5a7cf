"""The clinic answers every question, and each of its links leads to a case."""

import re
from functools import cache

import nbformat
import pytest

from normlab import doctor
from tools import ROOT, search
from tools.markdown import read
from tools.search import links

CHAPTERS = ROOT / "chapters"
CLINIC = nbformat.read(CHAPTERS / "14-clinic.ipynb", as_version=4)
# The chapters in which some of the questions have their case, once they exist.
LATER = {"15-deployment": (19, 20, 21), "16-many-devices": (12, 13, 14, 15, 16)}

# What layers, training loops and files do wrong without an error or a warning, and where it is
# shown: each was tried beside torch.nn before the chapter was written.
SILENT = {
    "`update_bn`": "03-from-scratch.ipynb#the-drop-in",
    "`SyncBatchNorm` conversion": "03-from-scratch.ipynb#the-drop-in",
    "`replace_all_batch_norm_modules_`": "03-from-scratch.ipynb#the-drop-in",
    "freezing": "03-from-scratch.ipynb#the-drop-in",
    "weight decay groups": "03-from-scratch.ipynb#the-drop-in",
    "kept twice for the backward pass": "03-from-scratch.ipynb#what-it-buys",
    "the gradient of $\\beta$ in LayerNorm": "#in-bfloat16-beta-gets-a-tenth-of-its-gradient",
    "the third derivative of LayerNorm": "#a-third-derivative-that-nobody-checks",
    "the second derivative": "03-from-scratch.ipynb#second-derivatives",
    "large means in float32": "03-from-scratch.ipynb#a-variance-that-survives-a-large-mean",
    "`half()` with a variance above 65,504": "#right-in-float32-at-chance-in-half-precision",
    "running statistics in bfloat16": "15-deployment.ipynb#half-the-bits",
    "inf in one batch": "#running_var-is-nan-after-one-batch-under-autocast",
    "eval pass, training pass, backward": "#two-forward-passes-and-a-wrong-gradient",
    "`net.train()` thaws layers": "04-nn-batchnorm.ipynb#freezing-that-holds",
    "moments of an optimizer": "#resumed-and-the-moments-belong-to-other-layers",
    "an optimizer of other parameters": "#all-gammas-are-exactly-1",
}


def rows(cell: str) -> list[list[str]]:
    return search.rows(next(c.source for c in CLINIC.cells if c.id == cell))


@cache
def anchors(name: str) -> frozenset[str]:
    """Return what a link to a chapter may end with: its headings."""
    cells = nbformat.read(CHAPTERS / name, as_version=4).cells
    texts = (read(cell.source) for cell in cells if cell.cell_type == "markdown")
    return frozenset(heading.anchor for text in texts for heading in text.headings)


def missing(target: str) -> str | None:
    """Say what a link lacks: the chapter or the heading."""
    name, _, anchor = target.partition("#")
    name = name or "14-clinic.ipynb"
    if not (CHAPTERS / name).exists():
        return f"no chapter {name}"
    return None if anchor in anchors(name) else f"no heading {anchor!r} in {name}"


def pending() -> set[int]:
    """Return the numbers of the questions that wait for a chapter."""
    waiting = (n for n in LATER if not (CHAPTERS / f"{n}.ipynb").exists())
    return {number for name in waiting for number in LATER[name]}


def test_all_thirty_questions_have_a_row() -> None:
    assert [row[0] for row in rows("thirty")] == [str(n) for n in range(1, 31)]


@pytest.mark.parametrize("row", rows("thirty"), ids=lambda row: row[0])
def test_every_question_leads_to_its_case(row: list[str]) -> None:
    number, case = int(row[0]), row[-1]
    if number in pending():
        assert not links(case), "its chapter is not here yet"
        return
    assert links(case), f"question {number} has no case: {case}"
    assert [said for link in links(case) if (said := missing(link))] == []
    for name, numbers in LATER.items():
        if number in numbers:
            assert links(case)[0].startswith(f"{name}.ipynb#")


@pytest.mark.parametrize("cell", ["findings", "silent"])
def test_every_row_of_the_other_tables_leads_to_a_case(cell: str) -> None:
    assert [row[0] for row in rows(cell) if not links(row[-1])] == []
    targets = [link for row in rows(cell) for link in links(row[-1])]
    assert [said for link in targets if (said := missing(link))] == []


@pytest.mark.parametrize("fault", SILENT)
def test_a_silent_failure_has_its_row_and_its_case(fault: str) -> None:
    cases = [row[-1] for row in rows("silent") if fault in row[0]]
    assert len(cases) == 1 and SILENT[fault] in links(cases[0])


def test_no_case_is_left_to_belief() -> None:
    assert [c.id for c in CLINIC.cells if "not shown" in c.source] == []


def test_a_case_is_a_post_a_cell_and_its_cause() -> None:
    kinds = {cell.id: cell.cell_type for cell in CLINIC.cells}
    ids, begin = list(kinds), "g1"
    cases = ids[ids.index(begin) : ids.index("findings")]
    assert [kinds[i] for i in cases] == ["markdown", "code", "markdown"] * (len(cases) // 3)


def test_every_kind_of_finding_has_a_case() -> None:
    assert {row[0].strip("`") for row in rows("findings")} == set(doctor._CURES)


def related() -> list[tuple[str, str, str]]:
    """Return the lines on related cases: the chapter, the section that one ends, and the line."""
    found = []
    for path in sorted(CHAPTERS.glob("*.ipynb")):
        place, last = "", ""  # the section, and its last line
        for cell in nbformat.read(path, as_version=4).cells:
            titles = {h.lines[0]: h.anchor for h in read(cell.source).headings}
            for i, line in enumerate(cell.source.splitlines()):
                if cell.cell_type == "markdown" and i in titles:
                    place, last = titles[i], ""
                elif line.strip():
                    assert not search.RELATED.match(last), f"{path.stem}#{place} goes on after it"
                    last = line if cell.cell_type == "markdown" else ""
                    if search.RELATED.match(last):
                        found.append((path.name, place, last))
    return found


@pytest.mark.parametrize("line", related(), ids=lambda line: "#".join(line[:2]))
def test_a_line_on_related_cases_names_cases(line: tuple[str, str, str]) -> None:
    word, _, rest = line[2].partition(": ")
    link = r"\[[^]]+\]\(14-clinic\.ipynb#[^)]+\)"
    assert re.fullmatch(rf"{link}(, {link})*\.", rest), rest
    assert word == ("Related case" if len(links(rest)) == 1 else "Related cases")
    groups = search.cases_of_the_clinic(ROOT)
    known = {*groups, *(case for cases in groups.values() for case in cases)}
    assert {link.partition("#")[2] for link in links(rest)} <= known


def test_a_related_case_has_one_name() -> None:
    found = {pair for *_, line in related() for pair in re.findall(r"\[([^]]+)\]\(([^)]+)\)", line)}
    names = [link for _, link in found]
    assert [link for link in names if names.count(link) > 1] == []


def own_cases() -> list[str]:
    return [case for cases in search.cases_of_the_clinic(ROOT).values() for case in cases]


@pytest.mark.parametrize("case", own_cases())
def test_a_case_and_a_section_on_its_cause_link_to_each_other(case: str) -> None:
    here = f"14-clinic.ipynb#{case}"
    sections = {f"{name}#{place}" for name, place, line in related() if here in links(line)}
    assert sections, "no section of another chapter leads here"
    text, inside = [], False
    for cell in CLINIC.cells:
        for line in cell.source.splitlines() if cell.cell_type == "markdown" else ():
            titles = {h.anchor for h in read(line).headings}
            inside = case in titles if titles else inside
            text += [line] if inside else []
    assert sections & set(links("\n".join(text))), f"the case leads to none of {sections}"


def test_a_link_to_nothing_is_found() -> None:
    assert missing("#no-such-heading") == "no heading 'no-such-heading' in 14-clinic.ipynb"
    assert missing("99-none.ipynb#a") == "no chapter 99-none.ipynb"

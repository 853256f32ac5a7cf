"""The page that a student gets back: what nbgrader's page lacks."""

import html
import re
from pathlib import Path

import bleach
from latex2mathml.converter import convert
from nbformat import NotebookNode
from nbgrader.preprocessors import GetGrades

TEMPLATES = Path(__file__).parent / "templates"
TEMPLATE = "feedback-page"
FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^\s$](?:[^$\n]*[^\s$])?)\$", re.DOTALL)

TAGS = set(
    re.findall(
        r"\w+",
        "a blockquote br code div em h1 h2 h3 h4 h5 h6 hr li ol p pre span strong sub sup "
        "table tbody td th thead tr ul",
    )
)
ATTRIBUTES = {"a": ["href"], "div": ["class"], "span": ["class"]}


class GetMarks(GetGrades):
    """Note the points of each cell, and which answers a person has yet to mark."""

    def _get_score(self, cell: NotebookNode, resources: dict) -> None:
        super()._get_score(cell, resources)
        mark = cell.metadata.nbgrader
        grade = self.gradebook.find_grade(
            mark.grade_id, self.notebook_id, self.assignment_id, self.student_id
        )
        mark["unmarked"] = grade.needs_manual_grade


def without_scripts(page: str) -> str:
    """Return a piece of HTML without what runs or loads something; formulas become MathML.

    Browsers show MathML without a script.
    """
    page = bleach.clean(page, tags=TAGS, attributes=ATTRIBUTES, strip=True)

    def replace(match: re.Match[str]) -> str:
        block, inline = match.groups()
        try:
            formula = convert(
                html.unescape(block or inline), display="block" if block else "inline"
            )
        except Exception:  # a student may write anything between two dollars
            return match[0]
        return formula

    parts = re.split(r"(<pre.*?</pre>|<code.*?</code>)", page, flags=re.DOTALL)
    parts[::2] = [FORMULA.sub(replace, part) for part in parts[::2]]
    return "".join(parts)

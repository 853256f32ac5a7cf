"""What the book needs of Sphinx and no other extension gives."""

import os
import re
import sys
from html import escape, unescape
from pathlib import Path

import nbformat
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective, SphinxRole
from sphinx.util.nodes import make_refnode
from sphinx_codeautolink.extension.block import CodeBlockAnalyser
from sphinx_exercise.nodes import exercise_enumerable_node

from tools import ROOT, icons, rules, standalone, teaching
from tools.contents import Entry, map_of_chapters, position, read_contents
from tools.exercises import LEVELS, Exercise, list_of_exercises, list_of_levels, read_exercises
from tools.notebooks import notebooks, title
from tools.repository import repository_address, site_address
from tools.stamps import digest

STANDALONE = "standalone"  # their folder in the built book, and in the branch that is published
BRANCH = "gh-pages"
CARD = "social-card.png"
EXERCISES = "appendix/exercises"  # the page that says what the levels mean, under this anchor:
LEVELS_ANCHOR = "levels"


class Stamps(SphinxDirective):
    """A table of the notebooks and the stamps that `make run` gave them."""

    def run(self) -> list[nodes.Node]:
        for path in notebooks():
            self.env.note_dependency(str(path))
        page = Path(self.env.doc2path(self.env.docname))
        return self.parse_text_to_nodes("\n".join(stamp_table(notebooks(), page.parent)))


class CellTags(SphinxDirective):
    """What the tags of cells mean."""

    def run(self) -> list[nodes.Node]:
        lines = ["| Tag | Meaning |", "|---|---|"]
        lines += [f"| `{tag}` | {meaning} |" for tag, meaning in rules.TAGS.items()]
        return self.parse_text_to_nodes("\n".join(lines))


class ChapterMap(SphinxDirective):
    """The parts of the book with their chapters and the questions that these answer."""

    def run(self) -> list[nodes.Node]:
        entries = entries_to_watch(self.env)
        folder = Path(self.env.doc2path(self.env.docname)).parent
        return self.parse_text_to_nodes("\n".join(map_of_chapters(entries, folder)))


class ChapterTimes(SphinxDirective):
    """A table of the time that each chapter takes: to read, to run, and to solve its exercises."""

    def run(self) -> list[nodes.Node]:
        entries = entries_to_watch(self.env)
        folder = Path(self.env.doc2path(self.env.docname)).parent
        return self.parse_text_to_nodes("\n".join(teaching.table_of_work(entries, folder)))


class ChapterNeeds(SphinxDirective):
    """A drawing of the chapters with an arc from each to those that build on it."""

    def run(self) -> list[nodes.Node]:
        entries = entries_to_watch(self.env)
        folder = Path(self.env.doc2path(self.env.docname)).parent
        return [nodes.raw("", teaching.map_of_needs(entries, folder), format="html")]


class StudyTime(SphinxRole):
    """The time that some chapters take together, as in {study-time}`01 02`."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        return [nodes.Text(teaching.study_time(entries_to_watch(self.env), self.text))], []


def entries_to_watch(env: BuildEnvironment) -> list[Entry]:
    """Return the contents of the book; the page is built anew when one of them changes."""
    entries = read_contents(Path(env.srcdir))
    for entry in entries:
        env.note_dependency(str(entry.path))
    return entries


class Exercises(SphinxDirective):
    """What follows is made from the exercises of all chapters."""

    def chapters(self) -> list[tuple[Entry, list[Exercise]]]:
        return read_exercises(entries_to_watch(self.env))


class ExerciseLevels(Exercises):
    """The levels of difficulty, and how many exercises have each."""

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes("\n".join(list_of_levels(self.chapters())))


class ExerciseList(Exercises):
    """All exercises by part and chapter: difficulty, link, and the name of the function."""

    def run(self) -> list[nodes.Node]:
        folder = Path(self.env.doc2path(self.env.docname)).parent
        text = "\n".join(list_of_exercises(self.chapters(), folder))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class Level(SphinxRole):
    """The name of a level; custom.css puts its mark before it."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        return [level_node(self.text)], []


def level_node(level: str) -> nodes.inline:
    return nodes.inline(level, level, classes=["level", level])


def show_levels(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Put its level into the title of each exercise, linked to what the levels mean."""
    for exercise in doctree.findall(exercise_enumerable_node):
        for level in LEVELS:
            if level in exercise["classes"]:
                link = (page, EXERCISES, LEVELS_ANCHOR, level_node(level))
                exercise[0] += [nodes.Text(" "), make_refnode(app.builder, *link)]


def stamp_table(paths: list[Path], folder: Path) -> list[str]:
    """Return the stamps as lines of a Markdown table, with links as seen from `folder`."""
    lines = [
        "| Notebook | Images | torch | Minutes | Code (sha256) |",
        "|---|---|---|--:|---|",
    ]
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        link = f"[{title(notebook)}]({Path(os.path.relpath(path, folder)).as_posix()})"
        cells = [link, "not run yet", "", "", ""]
        if stamp := notebook.metadata.get("normlab"):
            cells[1:] = [stamp.data, stamp.torch, f"{stamp.minutes:.1f}", f"`{digest(stamp.code)}`"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def escape_stars(app, what, name, obj, options, lines: list[str]) -> None:
    """Let a star outside code, as in the shape [N, C, *], stand for itself: no emphasis begins."""
    even_backticks_follow = r"(?=[^`]*(`[^`]*`[^`]*)*$)"
    lines[:] = [re.sub(r"\*" + even_backticks_follow, r"\\*", line) for line in lines]


def allow_sections_without_title() -> None:
    """Keep sphinx-codeautolink from failing on the sections that sphinx-exercise makes."""
    depart_section = CodeBlockAnalyser.depart_section

    def depart_titled_section(self, node) -> None:
        if self.title_stack:
            depart_section(self, node)

    CodeBlockAnalyser.depart_section = depart_titled_section


def find_repository(app: Sphinx, config) -> None:
    """Show buttons that lead to the repository if its address is known, and only then."""
    options = config.html_theme_options
    address = repository_address(options.get("repository_url"), os.environ, Path(app.srcdir))
    options["repository_url"] = address or ""
    options["use_repository_button"] = address is not None


def offer_standalone_notebook(app: Sphinx, page: str, template: str, context, doctree) -> None:
    """Let the page of a notebook offer its standalone copy: for download, and on Colab."""
    if doctree is None or not app.env.doc2path(page).endswith(".ipynb"):
        return
    name = f"{page.split('/')[-1]}.ipynb"
    for group in context["header_buttons"]:
        if group["label"] == "download-buttons":
            notebook = next(b for b in group["buttons"] if b["text"] == ".ipynb")
            notebook["url"] = f"{context['pathto'](STANDALONE, 1)}/{name}"
            notebook["tooltip"] = "Download a notebook that runs without this project"
    address = app.config.html_theme_options["repository_url"]
    if address.startswith("https://github.com/"):
        path = address.removeprefix("https://github.com/")
        button = {
            "type": "link",
            "text": "",
            "label": "colab-button",
            "tooltip": "Open on Colab",
            "icon": "fas fa-rocket",
            "url": f"https://colab.research.google.com/github/{path}/blob/{BRANCH}/{STANDALONE}/{name}",
        }
        context["header_buttons"].insert(0, button)


def say_where(app: Sphinx, page: str, template: str, context, doctree) -> None:
    """Put a line above the title that says where in the book the page stands."""
    if doctree is not None:
        path = Path(app.env.doc2path(page))
        if line := position(read_contents(Path(app.srcdir)), path):
            context["body"] = f'<p class="where">{line}</p>\n{context["body"]}'


def describe(app: Sphinx, page: str, template: str, context, doctree) -> None:
    """Tell networks what a link to the page shows; the picture needs the address of the site."""
    book = icons.TITLE.replace("\n", " ")
    heading = re.sub("<[^>]+>", "", context.get("title", book))  # of a title with code in it
    tags = {"og:type": "website", "og:site_name": book, "og:title": unescape(heading)}
    tags["og:description"] = icons.CLAIM
    if site := site_address(app.config.html_theme_options["repository_url"]):
        tags |= {"og:url": f"{site}{page}.html", "og:image": f"{site}_static/{CARD}"}
    lines = [f'<meta property="{name}" content="{escape(text)}">' for name, text in tags.items()]
    context["metatags"] = context.get("metatags", "") + "\n".join(lines)


def draw_social_card(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        icons.social_card(Path(app.outdir) / "_static" / CARD)


def mend_roles(app: Sphinx, page: str, template: str, context, doctree) -> None:
    """Take the roles off the bibliography that ARIA has withdrawn; its elements say enough."""
    roles = r' role="(doc-biblioentry|doc-backlink|list|note)"'
    if "doc-biblioentry" in context.get("body", ""):
        context["body"] = re.sub(roles, "", context["body"])


def mend_titles_of_solutions(app: Sphinx, page: str, template: str, context, doctree) -> None:
    """Take the space out of the link that sphinx-exercise makes: it would be underlined."""
    if doctree is not None:
        context["body"] = re.sub(r"(Solution to)(<a [^>]*>) ", r"\1 \2", context["body"])


def keep_marks_with_formulas(app: Sphinx, page: str, template: str, context, doctree) -> None:
    """Let no line begin with the comma or the stop that follows a formula."""
    formula = r'<span class="math notranslate nohighlight">[^<]*</span>[,.;:?)]+'
    if doctree is not None:
        context["body"] = re.sub(formula, r'<span class="with-mark">\g<0></span>', context["body"])


def drop_thebe(app: Sphinx, page: str, template: str, context, doctree) -> None:
    """Leave out the scripts of sphinx-thebe: they are not used here, and fail on every page."""
    context["script_files"] = [
        script
        for script in context["script_files"]
        if "thebe" not in f"{script} {getattr(script, 'attributes', {})}".lower()
    ]


def write_standalone_notebooks(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        standalone.main(Path(app.outdir) / STANDALONE)


def setup(app: Sphinx) -> dict:
    sys.path.append(str(ROOT / "chapters"))  # sphinx-codeautolink imports what a chapter imports
    allow_sections_without_title()
    app.connect("autodoc-process-docstring", escape_stars)
    app.add_directive("stamps", Stamps)
    app.add_directive("cell-tags", CellTags)
    app.add_directive("chapter-map", ChapterMap)
    app.add_directive("exercise-levels", ExerciseLevels)
    app.add_directive("exercise-list", ExerciseList)
    app.add_role("level", Level())
    app.connect("doctree-resolved", show_levels)  # sphinx-exercise has written the titles
    app.add_directive("chapter-times", ChapterTimes)
    app.add_directive("chapter-needs", ChapterNeeds)
    app.add_role("study-time", StudyTime())
    app.connect("config-inited", find_repository, priority=100)  # before the theme reads it
    app.connect("html-page-context", offer_standalone_notebook, priority=600)  # after the theme
    app.connect("html-page-context", say_where, priority=600)
    app.connect("html-page-context", describe, priority=600)
    app.connect("html-page-context", mend_roles, priority=600)
    app.connect("html-page-context", mend_titles_of_solutions, priority=600)
    app.connect("html-page-context", keep_marks_with_formulas, priority=600)
    app.connect("html-page-context", drop_thebe, priority=600)
    app.connect("build-finished", write_standalone_notebooks)
    app.connect("build-finished", draw_social_card)
    return {"parallel_read_safe": True}

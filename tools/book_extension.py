"""What the book needs of Sphinx and no other extension gives."""

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import ClassVar

import nbformat
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective, SphinxRole
from sphinx.util.nodes import make_refnode
from sphinx_exercise.nodes import exercise_enumerable_node

from tools import (
    ROOT,
    claims,
    folds,
    glossary,
    laboratory,
    reach,
    rules,
    search,
    standalone,
    teaching,
)
from tools.contents import Entry, map_of_chapters, markdown_link, position, read_contents
from tools.exercises import LEVELS, list_of_exercises, list_of_levels
from tools.repository import repository_address, site_address
from tools.stamps import digest

STANDALONE = "standalone"  # their folder in the built book, and in the branch that is published
BRANCH = "gh-pages"
FORM = "error.yml"  # in .github/ISSUE_TEMPLATE
EXERCISES = "appendix/exercises"  # the page that says what the levels mean, under this anchor:
LEVELS_ANCHOR = "levels"
CONTROLS = "chapters/figures/controls.css"  # the figures carry it along; the laboratory loads it
OPENING = "opening-figure"  # a tag

# What the theme calls "Suggest edit" and "Open issue".
BUTTONS = {"source-edit-button": "Edit this page", "source-issues-button": "Report a problem"}
# What is mended in the body of a page.
MENDS = [
    # ARIA has withdrawn these roles of a bibliography; its elements say enough.
    (r' role="(?:doc-biblioentry|doc-backlink|list|note)"', ""),
    # The link that sphinx-exercise makes would be underlined from the space on.
    (r"(Solution to)(<a [^>]*>) ", r"\1 \2"),
    # No line begins with the comma or the stop that follows a formula.
    (
        r'<span class="math notranslate nohighlight">[^<]*</span>[,.;:?)]+',
        r'<span class="with-mark">\g<0></span>',
    ),
]


def made_of_contents(lines: Callable[[list[Entry], Path], list[str]]) -> type[SphinxDirective]:
    """Return a directive that stands for the Markdown that a function makes of the contents.

    The function gets the pages of the book and the folder from which links are seen.
    """

    class MadeOfContents(SphinxDirective):
        def run(self) -> list[nodes.Node]:
            folder = Path(self.env.doc2path(self.env.docname)).parent
            text = "\n".join(lines(entries_to_watch(self.env), folder))
            return self.parse_text_to_nodes(text, allow_section_headings=True)

    return MadeOfContents


contents = cache(read_contents)  # every page asks; the files stand still during a build


def entries_to_watch(env: BuildEnvironment) -> list[Entry]:
    """Return the contents of the book; the page is built anew when one of them changes."""
    entries = contents(Path(env.srcdir))
    for entry in entries:
        env.note_dependency(str(entry.path))
    return entries


class StudyTime(SphinxRole):
    """The time that some chapters take together, as in {study-time}`01 02`."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        return [nodes.Text(teaching.study_time(entries_to_watch(self.env), self.text))], []


class Level(SphinxRole):
    """The name of a level; custom.css puts its mark before it."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        return [level_node(self.text)], []


class Laboratory(SphinxDirective):
    """Two networks that train in the page; the text in it says what to look for.

    Its argument is one of the stories in _static/laboratory/presets.js.
    """

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"size": lambda said: directives.choice(said, laboratory.SIZES)}

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(laboratory.PRESETS))
        base = "../" * self.env.docname.count("/")
        try:
            html = laboratory.element(self.arguments[0], self.options.get("size", "small"), base)
        except ValueError as error:
            raise self.error(str(error)) from error
        return [*self.parse_content_to_nodes(), nodes.raw("", html, format="html")]


def level_node(level: str) -> nodes.inline:
    return nodes.inline(level, level, classes=["level", level])


def show_levels(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Put its level into the title of each exercise, linked to what the levels mean."""
    for exercise in doctree.findall(exercise_enumerable_node):
        for level in LEVELS:
            if level in exercise["classes"]:
                link = (page, EXERCISES, LEVELS_ANCHOR, level_node(level))
                exercise[0] += [nodes.Text(" "), make_refnode(app.builder, *link)]


def anchor_claims(app: Sphinx, doctree: nodes.document) -> None:
    """Give the cells that claim something an id, to which the page on their reach links."""
    path = Path(app.env.doc2path(app.env.docname))
    if path.suffix != ".ipynb":
        return
    cells = nbformat.read(path, as_version=4).cells
    for box in doctree.findall(nodes.container):
        if box.get("nb_element") == "cell_code":
            cell = cells[box["cell_index"]]
            if claims.claims_of(cell):
                box["ids"].append(reach.anchor(cell.id))


def mark_related_cases(app: Sphinx, doctree: nodes.document) -> None:
    """Give the lines that lead from sections to cases of the clinic a class of their own."""
    for line in doctree.findall(nodes.paragraph):
        if search.RELATED.match(line.astext()):
            line["classes"].append("related")


def show_opening_figure(app: Sphinx, doctree: nodes.document) -> None:
    """Show the figure of the cell with the tag at the top of the page too, with a link to it."""
    for cell in [*doctree.findall(nodes.container)]:
        if OPENING in cell.get("cell_metadata", {}).get("tags", []):
            image = next(cell.findall(nodes.image)).deepcopy()
            caption = next(cell.findall(nodes.caption)).astext()
            said = re.split(r"(?<=\.) ", caption, maxsplit=1)[0]
            section = cell.parent
            link = nodes.reference("", section[0].astext(), refid=section["ids"][0])
            text = nodes.paragraph("", f"{said} From: ", link, nodes.Text("."))
            page = doctree[0]
            box = nodes.container("", image, text, classes=[OPENING])
            page.insert(page.first_child_matching_class(nodes.section), box)


def stamp_table(entries: list[Entry], folder: Path) -> list[str]:
    """Return the stamps that `make run` gave the notebooks, as a Markdown table."""
    lines = [
        "| Notebook | Images | torch | Minutes | Code (sha256) |",
        "|---|---|---|--:|---|",
    ]
    for entry in entries:
        if entry.path.suffix == ".ipynb":
            cells = [markdown_link(entry, folder), "not run yet", "", "", ""]
            if stamp := nbformat.read(entry.path, as_version=4).metadata.get("normlab"):
                minutes, code = f"{stamp.minutes:.1f}", f"`{digest(stamp.code)}`"
                cells[1:] = [stamp.data, stamp.torch, minutes, code]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def tag_table(entries: list[Entry], folder: Path) -> list[str]:
    """Return what the tags of cells mean, as a Markdown table."""
    lines = ["| Tag | Meaning |", "|---|---|"]
    return lines + [f"| `{tag}` | {meaning} |" for tag, meaning in rules.TAGS.items()]


def find_repository(app: Sphinx, config) -> None:
    """Show what leads to the repository or needs its address, where somebody knows it."""
    options = config.html_theme_options
    address = repository_address(options.get("repository_url"), Path(app.srcdir))
    options["repository_url"] = address
    options["use_repository_button"] = options["use_edit_page_button"] = bool(address)
    options["use_issues_button"] = bool(address) and "bitbucket" not in address  # the theme's limit
    config.ogp_site_url = config.html_baseurl or site_address(address)


def serve_controls(app: Sphinx, config) -> None:
    """Copy the look of controls to the static files; those in _static are loaded by every page."""
    config.html_static_path.append(str(ROOT / CONTROLS))


def name_buttons(app: Sphinx, page: str, template: str, context, doctree) -> None:
    """Say what the theme's buttons do; a problem is reported in the form for errors."""
    address = app.config.html_theme_options["repository_url"]
    for group in context["header_buttons"]:
        for button in group.get("buttons", []):
            if name := BUTTONS.get(button["label"]):
                button["text"] = button["tooltip"] = name
            if name == "Report a problem" and address.startswith("https://github.com/"):
                button["url"] = f"{address}/issues/new?template={FORM}&place={page}"


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
        if line := position(contents(Path(app.srcdir)), path):
            left = f' data-minutes="{teaching.work(path).reading:.0f}"' if "chapter" in line else ""
            context["body"] = f'<p class="where"{left}>{line}</p>\n{context["body"]}'


def extend_search(app: Sphinx, env: BuildEnvironment) -> None:
    """Give Sphinx's search tools/search.js and what that needs, now that all headings have ids."""
    slugs = {page: data.get("myst_slugs", {}) for page, data in env.metadata.items()}
    ids = {page: {slug: found[1] for slug, found in of.items()} for page, of in slugs.items()}
    known = json.dumps(search.knowledge(Path(app.srcdir), ids), ensure_ascii=False)
    path = Path(app.doctreedir) / "search.js"
    path.write_text(f"const BOOK = {known};\n{search.SCRIPT.read_text(encoding='utf-8')}", "utf-8")
    app.config.html_search_scorer = str(path)


def drop_unknown_addresses(app: Sphinx, page: str, template: str, context, doctree) -> None:
    """Leave the address and the picture to those who know where the book will be published."""
    if doctree is not None and not app.config.ogp_site_url:
        tag = r'<meta property="og:(url|image|image:alt)" [^>]*>\n'
        context["metatags"] = re.sub(tag, "", context["metatags"])


def mend_body(app: Sphinx, page: str, template: str, context, doctree) -> None:
    if doctree is not None:
        for pattern, new in MENDS:
            context["body"] = re.sub(pattern, new, context["body"])


def keep_laboratory_apart(app: Sphinx, config) -> None:
    """Take back that Jupyter Book gives every page all scripts and styles below _static."""
    for name in ("html_js_files", "html_css_files"):
        files = getattr(config, name)
        files[:] = [file for file in files if not f"{file}".startswith(f"{laboratory.FOLDER}/")]


def add_laboratory(app: Sphinx, page: str, template: str, context, doctree) -> None:
    """Load the scripts and the style of the laboratory where there is one."""
    if laboratory.CLASS in context.get("body", ""):
        app.add_css_file(Path(CONTROLS).name, priority=890)
        app.add_css_file(f"{laboratory.FOLDER}/{laboratory.STYLE}", priority=900)
        for name in laboratory.SCRIPTS:
            app.add_js_file(f"{laboratory.FOLDER}/{name}", priority=900, loading_method="defer")


def drop_thebe(app: Sphinx, page: str, template: str, context, doctree) -> None:
    """Leave out the scripts of sphinx-thebe: they are not used here, and fail on every page."""
    context["script_files"] = [
        script
        for script in context["script_files"]
        if "thebe" not in f"{script} {getattr(script, 'attributes', {})}".lower()
    ]


def write_standalone_notebooks(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        pages = [Path(app.env.doc2path(page)) for page in sorted(app.env.found_docs)]
        notebooks = [page for page in pages if page.suffix == ".ipynb"]
        standalone.write_copies(notebooks, Path(app.outdir) / STANDALONE)


def setup(app: Sphinx) -> dict:
    for name, lines in {
        "stamps": stamp_table,
        "cell-tags": tag_table,
        "claims-reach": reach.tables,
        "claims-score": reach.summary,
        "claims-promise": reach.promise,
        "chapter-map": map_of_chapters,
        "chapter-needs": teaching.map_of_needs,
        "chapter-times": teaching.table_of_work,
        "exercise-levels": list_of_levels,
        "exercise-list": list_of_exercises,
    }.items():
        app.add_directive(name, made_of_contents(lines))
    app.add_directive("laboratory", Laboratory)
    app.add_role("level", Level())
    app.add_role("study-time", StudyTime())
    app.connect("config-inited", find_repository, priority=100)  # before the theme reads it
    app.connect("config-inited", serve_controls)
    app.connect("config-inited", keep_laboratory_apart, priority=100)
    app.connect("doctree-read", anchor_claims)
    app.connect("doctree-read", mark_related_cases)
    app.connect("doctree-read", glossary.name_entries)
    app.connect("doctree-resolved", glossary.link_terms)
    app.connect("doctree-read", show_opening_figure)
    folds.setup(app)
    app.connect("doctree-resolved", show_levels)  # sphinx-exercise has written the titles
    app.connect("env-updated", extend_search)
    for change in (
        name_buttons,
        offer_standalone_notebook,
        say_where,
        drop_unknown_addresses,
        mend_body,
        add_laboratory,
        drop_thebe,
    ):
        app.connect("html-page-context", change, priority=600)  # after the theme
    app.connect("build-finished", write_standalone_notebooks)
    return {"parallel_read_safe": True}

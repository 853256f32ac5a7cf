"""What a text in MyST Markdown holds. This module alone reads it, with the parser of the book."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.front_matter import front_matter_plugin
from mdit_py_plugins.myst_blocks import myst_block_plugin
from mdit_py_plugins.myst_role import myst_role_plugin
from mdit_py_plugins.substitution import substitution_plugin

# Directives whose body is no Markdown.
VERBATIM = {"code", "code-block", "code-cell", "eval-rst", "math", "raw"}
Rule = Callable[[StateInline, bool], bool]
Lines = tuple[int, int]  # the first line, counted from 0, and the one behind the last


@dataclass(frozen=True)
class Heading:
    level: int
    title: str  # as it is written
    lines: Lines

    @property
    def anchor(self) -> str:
        """What a link to the heading ends with."""
        return re.sub(r"[^\w\- ]", "", self.title.lower()).replace(" ", "-")


@dataclass(frozen=True)
class Directive:
    name: str
    argument: str
    options: dict[str, str]
    body: str
    lines: Lines
    depth: int  # 0 where it stands in no other directive


@dataclass(frozen=True)
class Inline:
    """A role, a link or an image, in the block that `lines` covers.

    A role has its name and its content. A link and an image have their address and their text.
    """

    kind: str  # "role", "link" or "image"
    target: str
    text: str
    source: str
    lines: Lines
    depth: int


@dataclass(frozen=True)
class Equation:
    label: str
    formula: str
    lines: Lines
    depth: int


@dataclass
class Text:
    """What a text holds, in its order, directives inside directives included."""

    headings: list[Heading] = field(default_factory=list)
    directives: list[Directive] = field(default_factory=list)
    inlines: list[Inline] = field(default_factory=list)
    equations: list[Equation] = field(default_factory=list)  # those with a label
    targets: list[Lines] = field(default_factory=list)  # labels such as (here)= at depth 0
    code: list[tuple[str, str]] = field(default_factory=list)  # language and code of the fences
    html: list[str] = field(default_factory=list)
    paragraphs: list[str] = field(default_factory=list)  # as they are written
    words: list[str] = field(default_factory=list)

    @property
    def prose(self) -> str:
        """What a reader reads: no code, tables or options; x for a formula and for inline code."""
        return "\n".join(self.words)

    def named(self, *names: str) -> list[Directive]:
        return [directive for directive in self.directives if directive.name in names]

    def of_kind(self, kind: str) -> list[Inline]:
        return [inline for inline in self.inlines if inline.kind == kind]


@cache
def read(markdown: str) -> Text:
    """Return what a text holds. It is shared: do not change it."""
    text = Text()
    _collect(text, markdown, first=0, depth=0)
    return text


def statements(markdown: str) -> dict[str, str]:
    """Return the lines that begin in bold: "**Time.** 2 minutes." says Time: "2 minutes."."""
    found = {}
    for paragraph in read(markdown).paragraphs:
        for bold, said in re.findall(r"^\*\*(.+?)\*\* (.+(?:\n(?!\*\*).+)*)", paragraph, re.M):
            found[bold.removesuffix(".")] = said.replace("\n", " ")
    return found


def _collect(text: Text, markdown: str, first: int, depth: int) -> None:
    in_table, lines = False, (first, first)
    tokens = parser().parse(markdown)
    for i, token in enumerate(tokens):
        if token.map:
            lines = first + token.map[0], first + token.map[1]
        match token.type:
            case "table_open" | "table_close":
                in_table = token.type == "table_open"
            case "heading_open":
                text.headings.append(Heading(int(token.tag[1]), tokens[i + 1].content, lines))
            case "paragraph_open":
                text.paragraphs.append(tokens[i + 1].content)
            case "inline":
                _collect_inline(text, token, lines, depth)
                text.words += [] if in_table else [_words(token)]
            case "math_block_label":
                text.equations.append(Equation(token.info, token.content.strip(), lines, depth))
                text.words.append("x")
            case "math_block" | "amsmath":
                text.words.append("x")
            case "myst_target" if depth == 0:
                text.targets.append(lines)
            case "html_block":
                text.html.append(token.content)
                text.words.append(re.sub(r"<!--.*?-->|<[^>]*>", " ", token.content, flags=re.S))
            case "fence" | "colon_fence":
                if directive := re.match(r"\{([\w:-]+)\} *(.*)", token.info.strip()):
                    _collect_directive(text, token, *directive.groups(), lines, depth)
                else:
                    text.code.append((token.info.strip(), token.content))


def _collect_directive(
    text: Text, token: Token, name: str, argument: str, lines: Lines, depth: int
) -> None:
    body, options = token.content.splitlines(), {}
    while body and (option := re.fullmatch(r":([\w-]+):(.*)", body[0])):
        options[option[1]] = option[2].strip()
        body.pop(0)
    inside = "\n".join(body)
    text.directives.append(Directive(name, argument.strip(), options, inside, lines, depth))
    if name not in VERBATIM:
        _collect(text, inside, lines[0] + 1 + len(options), depth + 1)


def _collect_inline(text: Text, block: Token, lines: Lines, depth: int) -> None:
    address = ""
    for token in block.children:
        match token.type:
            case "myst_role":
                found = ("role", token.meta["name"], token.content)
            case "link_open":
                address = token.attrs["href"]
                continue
            case "link_close":
                written = re.fullmatch(r"\[(.*)\]\(.*\)", token.meta["source"], re.S)
                found = ("link", address, written[1] if written else "")
            case "image":
                found = ("image", token.attrs["src"], token.content)
            case "html_inline":
                text.html.append(token.content)
                continue
            case _:
                continue
        text.inlines.append(Inline(*found, token.meta["source"], lines, depth))


def _words(block: Token) -> str:
    spoken = {"softbreak": " ", "hardbreak": " ", "html_inline": " "}
    mute = {"code_inline", "math_inline", "myst_role", "substitution_inline"}
    return "".join(
        "x" if token.type in mute else spoken.get(token.type, token.content)
        for token in block.children
    )


@cache
def parser() -> MarkdownIt:
    """Return a parser that knows what the book knows and notes where roles and links stand."""
    markdown = MarkdownIt("commonmark").enable("table")
    for plugin in (
        front_matter_plugin,
        myst_block_plugin,
        myst_role_plugin,
        footnote_plugin,
        dollarmath_plugin,
        colon_fence_plugin,
        amsmath_plugin,
        deflist_plugin,
        substitution_plugin,
    ):
        markdown.use(plugin)
    markdown.disable(["footnote_inline", "footnote_tail"])  # as MyST does
    ruler = markdown.inline.ruler
    rules = zip(markdown.get_active_rules()["inline"], ruler.getRules(""), strict=True)
    for name, rule in list(rules):
        if name in ("myst_role", "link", "autolink", "image"):
            ruler.at(name, _noting(rule))
    return markdown


def _noting(rule: Rule) -> Rule:
    """Let the tokens of an inline rule hold the source that they come from."""

    def noting(state: StateInline, silent: bool) -> bool:
        start = state.pos
        found = rule(state, silent)
        if found and not silent:
            state.tokens[-1].meta["source"] = state.src[start : state.pos]
        return found

    return noting

"""The words of a Markdown text that a reader reads."""

import re


def without_code(markdown: str) -> str:
    """Remove fenced code; keep what stands inside directives such as `:::{note}`."""
    kept, fences = [], []  # a fence is (its marker, whether it holds code)
    for line in markdown.splitlines():
        fence = re.match(r"\s*(`{3,}|~{3,}|:{3,})\s*(.*)$", line)
        inside_code = bool(fences) and fences[-1][1]
        if fence and fences and not fence[2] and fence[1].startswith(fences[-1][0]):
            fences.pop()
        elif fence and not inside_code:
            directive = re.match(r"\{([\w:-]+)\}", fence[2])
            code = directive is None or directive[1] in ("code", "code-block", "math")
            fences.append((fence[1], code))
        elif not inside_code:
            kept.append(line)
    return "\n".join(kept)


def prose(markdown: str) -> str:
    """Return the words a reader reads: no code, formulas, tables, options or addresses."""
    text = without_code(markdown)
    text = re.sub(r"\$\$.+?\$\$(\s*\([\w:-]+\))?|\$[^$\n]+\$", " x ", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->|<[^<>\n]+>", " ", text, flags=re.DOTALL)
    text = re.sub(r"^\s*(:[\w-]+:.*|\|.*|\([\w:-]+\)=)$", " ", text, flags=re.MULTILINE)
    text = re.sub(r"(\{[\w:-]+\})?`+[^`]+`+", " x ", text)
    return re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)

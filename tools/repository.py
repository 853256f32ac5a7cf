"""Where the project lives on the network, if that is known."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "NORMLAB_REPOSITORY"  # set by the publishing workflow
_USER, _HOST, _PORT = r"(?:[^@/]+@)?", r"(?!localhost\b|127\.)[\w.-]+", r":\d+"
_ADDRESS = re.compile(
    rf"(?:https?://{_USER}({_HOST}(?:{_PORT})?)/|ssh://{_USER}({_HOST})(?:{_PORT})?/|git@({_HOST}):)"
    r"([\w./~-]+?)(?:\.git)?/?"
)


def repository_address(
    configured: str | None, environment: Mapping[str, str], root: Path
) -> str | None:
    """Return the address of the repository as a web page, or None where nobody knows it.

    Looks, in order, at the configuration of the book, at the environment and at the git remote of
    the folder `root`. A remote on the same machine is no address.
    """
    for candidate in (configured, environment.get(VARIABLE), remote(root)):
        if found := _ADDRESS.fullmatch((candidate or "").strip()):
            return f"https://{found[1] or found[2] or found[3]}/{found[4]}"
    return None


def site_address(repository: str | None) -> str | None:
    """Return where GitHub Pages serves the book of a repository on GitHub."""
    found = re.fullmatch(r"https://github\.com/([\w.-]+)/([\w.-]+)", repository or "")
    if not found:
        return None
    site = f"{found[1].lower()}.github.io"
    return f"https://{site}/" if found[2].lower() == site else f"https://{site}/{found[2]}/"


def remote(root: Path) -> str | None:
    """Return the remote called origin, if `root` itself is the top of a repository."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        try:
            return subprocess.run(command, capture_output=True, text=True).stdout.strip()
        except FileNotFoundError:  # git is not installed
            return ""

    top = git("rev-parse", "--show-toplevel")
    # The book may have been unpacked inside the repository of another project.
    inside_another = not top or Path(top).resolve() != root.resolve()
    return None if inside_another else git("config", "--get", "remote.origin.url")

"""Where the project lives on the network, if that is known."""

import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

VARIABLE = "NORMLAB_REPOSITORY"  # set by the publishing workflow


def repository_address(configured: str | None, root: Path) -> str:
    """Return the address of the repository as a web page, or nothing where nobody knows it.

    Looks, in order, at the configuration of the book, at the environment and at the git remote of
    the folder `root`.
    """
    candidates = (configured, os.environ.get(VARIABLE), remote(root))
    return next(filter(None, map(web_address, candidates)), "")


def web_address(address: str | None) -> str:
    """Return the web page behind an address that git knows, if it is of a host with such pages."""
    address = re.sub(r"^[\w.-]+@([\w.-]+):", r"ssh://\1/", (address or "").strip())
    url = urlsplit(address)
    if not re.search("github|gitlab|bitbucket", url.hostname or ""):  # those that the theme knows
        return ""
    port = f":{url.port}" if url.port and url.scheme == "https" else ""
    return f"https://{url.hostname}{port}/{url.path.strip('/').removesuffix('.git')}"


def site_address(repository: str) -> str:
    """Return where GitHub Pages serves the book of a repository on GitHub, or nothing."""
    found = re.fullmatch(r"https://github\.com/([\w.-]+)/([\w.-]+)", repository)
    if not found:
        return ""
    site = f"{found[1].lower()}.github.io"
    return f"https://{site}/" if found[2].lower() == site else f"https://{site}/{found[2]}/"


def remote(root: Path) -> str:
    """Return the remote called origin of the repository whose top is `root`."""
    command = ["git", "--git-dir", str(root / ".git"), "config", "--get", "remote.origin.url"]
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout
    except FileNotFoundError:  # git is not installed
        return ""

"""The address of the repository: from the configuration, the environment, git, or nowhere."""

import subprocess
from pathlib import Path

import pytest

from tools.repository import VARIABLE, repository_address, site_address

ADDRESS = "https://github.com/someone/course"


@pytest.fixture
def cloned(tmp_path: Path) -> Path:
    """A repository with a remote."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    set_remote(tmp_path, "git@github.com:git/remote.git")
    return tmp_path


def set_remote(root: Path, address: str) -> None:
    subprocess.run(["git", "-C", root, "config", "remote.origin.url", address], check=True)


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def test_the_configuration_comes_first(cloned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "https://github.com/from/environment")
    assert repository_address(ADDRESS, cloned) == ADDRESS


def test_the_environment_comes_second(cloned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, ADDRESS)
    assert repository_address("", cloned) == ADDRESS


def test_the_remote_comes_last(cloned: Path) -> None:
    assert repository_address("", cloned) == "https://github.com/git/remote"


def test_without_any_of_them_there_is_no_address(tmp_path: Path) -> None:
    assert repository_address("", tmp_path) == ""


@pytest.mark.parametrize(
    "remote",
    [
        "git@github.com:someone/course.git",
        "ssh://git@github.com/someone/course.git",
        "ssh://git@github.com:2222/someone/course.git",
        "https://github.com/someone/course.git",
        "https://github.com/someone/course/",
        "https://user:token@github.com/someone/course.git",
    ],
)
def test_a_remote_becomes_a_web_address_without_its_secrets(cloned: Path, remote: str) -> None:
    set_remote(cloned, remote)
    assert repository_address("", cloned) == ADDRESS


def test_the_port_of_a_web_server_stays(cloned: Path) -> None:
    set_remote(cloned, "https://gitlab.uni.org:8443/a/course.git")
    assert repository_address("", cloned) == "https://gitlab.uni.org:8443/a/course"


@pytest.mark.parametrize(
    "remote",
    ["/srv/github/course", "../course", "file:///srv/course.git", "http://localhost:3000/a/c.git"],
)
def test_a_remote_on_this_machine_is_no_address(cloned: Path, remote: str) -> None:
    set_remote(cloned, remote)
    assert repository_address("", cloned) == ""


def test_a_host_that_the_theme_does_not_know_is_no_address(cloned: Path) -> None:
    set_remote(cloned, "https://git.uni.org/a/course.git")
    assert repository_address("", cloned) == ""


def test_the_remote_of_another_project_around_the_book_is_not_taken(cloned: Path) -> None:
    inside = cloned / "book"
    inside.mkdir()
    assert repository_address("", inside) == ""


def test_pages_are_served_at_the_address_that_github_gives_them() -> None:
    assert site_address("https://github.com/Someone/course") == "https://someone.github.io/course/"
    own = "https://github.com/Someone/someone.github.io"
    assert site_address(own) == "https://someone.github.io/"
    assert site_address("https://gitlab.com/someone/course") == ""
    assert site_address("") == ""

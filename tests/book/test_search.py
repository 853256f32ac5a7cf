"""The words in which people look for the cases of the clinic; test_pages.py searches for them."""

import tomllib
from pathlib import Path

import pytest

from tools import ROOT, search

SEARCHES = tomllib.loads((Path(__file__).parent / "searches.toml").read_text(encoding="utf-8"))


def test_what_must_be_found_is_a_case() -> None:
    cases = search.cases(ROOT)
    assert {case for case in SEARCHES["first"].values() if case not in cases} == set()
    assert len(SEARCHES["first"]) >= 40


def test_every_case_of_the_clinic_is_looked_for() -> None:
    own = (a for cases in search.cases_of_the_clinic(ROOT).values() for a in cases)
    looked_for = set(SEARCHES["first"].values())
    assert [a for a in own if f"{search.CLINIC}#{a}" not in looked_for] == []


def test_a_word_has_one_meaning() -> None:
    same = search.symptoms(ROOT)["same"]
    words = [word for words in same.values() for word in words.split()]
    assert [word for word in words if words.count(word) > 1 or word in same] == []


def test_no_word_is_added_that_a_case_has_already() -> None:
    for case, added in search.symptoms(ROOT)["said"].items():
        said = [text.lower() for text in search.cases(ROOT)[case]]
        assert [text for text in added if said.count(text.lower()) > 1] == [], case


def test_a_case_without_a_heading_is_reported(monkeypatch) -> None:
    there = {"same": {}, "said": {"14-clinic#no-such-heading": ["nothing works"]}}
    monkeypatch.setattr(search, "symptoms", lambda root: there)
    with pytest.raises(ValueError, match="no heading 'no-such-heading' in chapter 14-clinic"):
        search.cases(ROOT)


def test_a_book_without_a_clinic_has_no_cases(tmp_path: Path) -> None:
    assert search.cases(tmp_path) == {}

"""The recorded cases of the laboratory are what record.py writes today."""

import json

import pytest

from tests.laboratory import record


def close(found: object, expected: object) -> bool:
    """Compare numbers to 1e-9, the rest exactly: another machine may sum in another order."""
    if isinstance(expected, dict):
        pairs = ((found[key], expected[key]) for key in expected)
        return found.keys() == expected.keys() and all(close(*pair) for pair in pairs)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(close, found, expected))
    if isinstance(expected, float):
        return found == pytest.approx(expected, rel=1e-9, abs=1e-9)
    return found == expected


def test_the_recorded_cases_are_those_of_torch_today() -> None:
    stored = json.loads(record.CASES.read_text(encoding="utf-8"))
    assert len(stored) == len(list(record.settings()))
    for i, (case, today) in enumerate(zip(stored, record.cases(), strict=True)):
        assert close(case, today), f"case {i}: run python -m tests.laboratory.record"

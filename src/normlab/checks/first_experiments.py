"""Checks of the chapter on first experiments."""

from normlab.checks.core import Check

CHECKS: dict[str, Check] = {}

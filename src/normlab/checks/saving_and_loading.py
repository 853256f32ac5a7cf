"""Checks of the chapter on saving and loading."""

from normlab.checks.core import Check

CHECKS: dict[str, Check] = {}

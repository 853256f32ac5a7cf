"""Checks of the chapter on the normalization family."""

from normlab.checks.core import Check

CHECKS: dict[str, Check] = {}

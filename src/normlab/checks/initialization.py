"""Checks of the chapter on initialization and learning rate."""

from normlab.checks.core import Check

CHECKS: dict[str, Check] = {}

"""Checks of the chapter on regularization."""

from normlab.checks.core import Check

CHECKS: dict[str, Check] = {}

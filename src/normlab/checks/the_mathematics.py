"""The exercises of the chapter on the mathematics."""

from normlab.checks.core import Check

CHECKS: dict[str, Check] = {}

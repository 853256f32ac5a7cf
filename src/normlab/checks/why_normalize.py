"""The exercises of the chapter on why to normalize."""

from normlab.checks.core import Check

CHECKS: dict[str, Check] = {}

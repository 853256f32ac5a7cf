"""The exercises of the chapter on a layer from scratch."""

from normlab.checks.core import Check

CHECKS: dict[str, Check] = {}

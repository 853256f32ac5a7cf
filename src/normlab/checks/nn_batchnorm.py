"""The exercises of the chapter on nn.BatchNorm."""

from normlab.checks.core import Check

CHECKS: dict[str, Check] = {}

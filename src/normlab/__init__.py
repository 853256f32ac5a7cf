"""normlab: the normalization layers of the course, built to be read."""

import importlib

from normlab.layers import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    LayerNorm,
    RMSNorm,
)

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "RMSNorm",
    "SyncBatchNorm",
]


def __getattr__(name: str):
    """Import `SyncBatchNorm` when it is asked for: most code runs in one process."""
    if name == "SyncBatchNorm":
        return getattr(importlib.import_module("normlab.distributed"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

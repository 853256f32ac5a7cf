"""What an older torch cannot do is skipped, by name. The newest must do it all."""

import pytest
import torch

NEWEST = (2, 15)


def skip_on_older_torch(lacks: str) -> None:
    if tuple(map(int, torch.__version__.split(".")[:2])) < NEWEST:
        pytest.skip(f"torch {torch.__version__} {lacks}")

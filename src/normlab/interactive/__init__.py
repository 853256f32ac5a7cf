"""The interactive figures: each one piece of HTML and JavaScript that loads nothing."""

from normlab.interactive.axes import norm_axes
from normlab.interactive.playground import batch_norm_playground

__all__ = ["batch_norm_playground", "norm_axes"]

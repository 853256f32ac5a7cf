"""The interactive figures: each one piece of HTML, JavaScript and SVG that loads nothing."""

from normlab.interactive.playground import batch_norm_playground

__all__ = ["batch_norm_playground"]

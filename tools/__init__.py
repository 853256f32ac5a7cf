"""What the build of the book needs, and the one way in which its stored results are made."""

from pathlib import Path

ROOT = Path(__file__).parents[1]

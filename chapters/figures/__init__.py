"""The figures that one chapter alone draws, in a module named as the chapter."""

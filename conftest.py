"""What tests and the examples of docstrings need before anything else is imported."""

import os

# Figures are drawn to memory.
os.environ["MPLBACKEND"] = "Agg"

# HyperSpy writes a line where numba is missing; an example that imports it first would show it.
import exspy.signals  # noqa: F401

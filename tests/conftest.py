"""What all tests share: no windows, repeatable examples, and the real data where they are."""

import os
from pathlib import Path

# Before anything imports matplotlib: figures are drawn to memory.
os.environ["MPLBACKEND"] = "Agg"

import hypothesis
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"

# Timing is no property under test, and the same commit must give the same result.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The folder that holds ``eels_bayes``, ``examples`` and ``pyproject.toml``."""
    return ROOT


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real spectrum images and published fingerprints, which are not part of the project."""
    if not DATA.is_dir():
        pytest.skip(f"needs the development data in {DATA}, which are not part of the project")
    return DATA


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator that is the same for every test."""
    return np.random.default_rng(0)

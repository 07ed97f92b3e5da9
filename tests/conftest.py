"""What all tests share: no windows, repeatable examples, and the real data where they are."""

import functools
import os
from collections.abc import Iterator
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


@pytest.fixture(scope="module")
def short_fits() -> Iterator[None]:
    """The same way through every step of a classifier's fit, with little of each."""
    from eels_bayes import classifier, context, forward_model, gp, heads, update

    sizes = {"N_LATENTS": 1000, "N_PURE": 20, "N_PURE_ONLY": 150, "N_VALUES": 100}
    few = functools.partial(forward_model.fit_forward_model, iterations=12)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (sizes | {"N_SIMULATED": 200, "GP_STEPS": 120}).items():
            patch.setattr(heads, name, value)
        patch.setattr(heads, "fit_gp", functools.partial(gp.fit_gp, learning_rate=0.08))
        patch.setattr(classifier, "N_CLEAN", 600)
        patch.setattr(classifier, "fit_forward_model", few)
        patch.setattr(update, "fit_forward_model", few)
        patch.setattr(update, "FORWARD_PIXELS", 250)
        patch.setattr(context, "STEPS", 40)
        yield

"""What all tests share: no windows, repeatable examples, the real data where they are, and one
small simulated series with its spectra and a classifier fitted to them."""

from __future__ import annotations

import os
from pathlib import Path

# Before anything imports matplotlib: figures are drawn to memory.
os.environ["MPLBACKEND"] = "Agg"

import hypothesis
import numpy as np
import pytest

import eels_bayes as eb

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


# Made once a worker. A test that needs another dose, seed, axis or effort makes its own.


@pytest.fixture(scope="session")
def series() -> eb.simulate.Series:
    """Four images of 10 x 8 pixels. Signals are shared: copy one before changing it."""
    return eb.simulate.annealing_series(n_images=4, shape=(10, 8))


@pytest.fixture(scope="session")
def spectra(series: eb.simulate.Series) -> eb.Spectra:
    """The 320 edge spectra of the series; their ``preprocessor`` is calibrated."""
    pre = eb.Preprocessor(
        (677, 737), 0.5, background=(600, 675), normalize=(570, 592.5), align=(565, 600)
    )
    return pre(series.signals, show_progressbar=False)


@pytest.fixture(scope="session")
def quick_classifier(spectra: eb.Spectra) -> eb.EELSClassifier:
    """Fitted to the spectra with little effort. A test that changes it makes a deep copy."""
    clf = eb.EELSClassifier(eb.FingerprintLibrary.example(), latent_dim=4, effort=eb.Effort.quick())
    return clf.fit(spectra, show_progressbar=False)

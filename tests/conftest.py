"""What all tests share: no windows, repeatable examples, the real data where they are, and one
small simulated series with its spectra and a classifier fitted to them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

# Before anything imports matplotlib: figures are drawn to memory.
os.environ["MPLBACKEND"] = "Agg"

import hypothesis
import numpy as np
import pytest

import eels_bayes as eb
from helpers import specimens

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


class Specimen(NamedTuple):
    """A file of the development data, and what writes one like it."""

    real: str
    written: str
    write: Callable[[Path, np.random.Generator], None]

    def written_in(self, folder: Path) -> Path:
        """The file that is like the real one."""
        path = folder / self.written
        self.write(path, np.random.default_rng(0))
        return path


def real_and_written(specimen: Specimen) -> Any:
    """A fixture: the real file, then the written one."""

    @pytest.fixture(scope="session", params=["real", "written"])
    def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
        if request.param == "real":
            return request.getfixturevalue("data_dir") / specimen.real
        return specimen.written_in(tmp_path_factory.mktemp("written"))

    return file


def real_or_written(specimen: Specimen) -> Any:
    """A fixture for what takes long: the real file where it is, else the written one."""

    @pytest.fixture(scope="session")
    def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
        if DATA.is_dir():
            return DATA / specimen.real
        return specimen.written_in(tmp_path_factory.mktemp("written"))

    return file


COPPER_ZINC = Specimen("CuZn_EELS_mapping_tutorial.hspy", "copper_zinc.dm4", specimens.copper_zinc)
FOUR_PIXELS = Specimen("eels_si.dm4", "four_pixels.dm4", specimens.four_pixels)

copper_zinc = real_and_written(COPPER_ZINC)
a_copper_zinc = real_or_written(COPPER_ZINC)
four_pixels = real_and_written(FOUR_PIXELS)
a_four_pixels = real_or_written(FOUR_PIXELS)
oxide_interface = real_and_written(
    Specimen("LSMO_STO_linescan.hspy", "oxide_interface.dm3", specimens.oxide_interface)
)
dark_noise = real_and_written(Specimen("eels_spectrum.dm3", "dark_noise.dm3", specimens.dark_noise))


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


# Files that take longest, longest first. Worker processes take files in this order, so that none
# is left with a long one while the others have nothing to do.
LONG = (
    "fast/test_fast.py",
    "forward_model/test_forward_model.py",
    "classifier/test_classifier.py",
    "forward_model/test_reinsertion.py",
    "test_examples.py",
    "command_line/test_commands.py",
    "diagnostics/test_diagnostics.py",
    "preprocessing/test_preprocessor.py",
    "test_live_stream.py",
    "test_readme.py",
    "test_quiet_imports.py",
    "test_transcript.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files of LONG first, all else as it is."""
    place = {ROOT / "tests" / name: k for k, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path, len(LONG)))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Say at once what failed: a run that is cut off later prints no summary."""
    if report.failed:
        print(f"\n{report.nodeid} failed in its {report.when}\n{report.longreprtext}", flush=True)

"""What all tests share: no windows, repeatable examples, files of spectra, real and written."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Before anything imports matplotlib: figures are drawn to memory.
os.environ["MPLBACKEND"] = "Agg"

import hypothesis
import numpy as np
import pytest

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


def real_and_written(
    real: str, written: str, write: Callable[[Path, np.random.Generator], None]
) -> Any:
    """A fixture: the file `real` of the development data, then one that `write` makes like it."""

    @pytest.fixture(scope="session", params=["real", "written"])
    def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
        if request.param == "real":
            return request.getfixturevalue("data_dir") / real
        path = tmp_path_factory.mktemp("written") / written
        write(path, np.random.default_rng(0))
        return path

    return file


copper_zinc = real_and_written(
    "CuZn_EELS_mapping_tutorial.hspy", "copper_zinc.dm4", specimens.copper_zinc
)
oxide_interface = real_and_written(
    "LSMO_STO_linescan.hspy", "oxide_interface.dm3", specimens.oxide_interface
)
dark_noise = real_and_written("eels_spectrum.dm3", "dark_noise.dm3", specimens.dark_noise)
four_pixels = real_and_written("eels_si.dm4", "four_pixels.dm4", specimens.four_pixels)


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator that is the same for every test."""
    return np.random.default_rng(0)

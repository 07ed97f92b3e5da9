"""Libraries start silently, and say afterwards what they always say."""

import logging
import os
import subprocess
import sys
import warnings

import pytest

from eels_bayes.quiet_imports import LOGGER, MESSAGE, import_quietly, quiet

MAIN_PATH = """
import eels_bayes as eb
series = eb.simulate.annealing_series(n_images=1, shape=(3, 3))
pre = eb.Preprocessor((677, 737), 0.5, background=(600, 675), normalize=(570, 592.5))
spectra = pre(series.signals)
spectra.to_signals(), spectra.to_xarray()
eb.EELSClassifier(eb.FingerprintLibrary.example()), eb.fit_gp, eb.load_fast, eb.SpectrumVAE
"""


def test_the_main_path_says_nothing(project_root):
    environment = {**os.environ, "PYTHONPATH": str(project_root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "default", "-c", MAIN_PATH]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_only_what_is_listed_is_silent_and_only_inside(caplog):
    logger = logging.getLogger(LOGGER)
    with pytest.warns(UserWarning, match="another matter") as warned, quiet():
        logger.warning(MESSAGE)
        logger.warning("Something else")
        warnings.warn("Importing `LazySignal1D` from here is deprecated", stacklevel=1)
        warnings.warn("another matter", stacklevel=1)
    logger.warning(MESSAGE)
    assert [record.getMessage() for record in caplog.records] == ["Something else", MESSAGE]
    assert len(warned) == 1


def test_an_absent_module_is_an_error_and_leaves_no_filter():
    before = list(logging.getLogger(LOGGER).filters)
    with pytest.raises(ModuleNotFoundError, match="absent_module"):
        import_quietly("absent_module")
    assert logging.getLogger(LOGGER).filters == before

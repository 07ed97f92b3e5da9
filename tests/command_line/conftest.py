"""Files that the commands read, written once: a series, a model of it, and its fingerprints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import eels_bayes as eb
from eels_bayes.command_line.app import main


class Files(NamedTuple):
    """Names of files."""

    signals: list[str]
    library: str
    model: str


@pytest.fixture(scope="session")
def files(
    series: eb.simulate.Series,
    quick_classifier: eb.EELSClassifier,
    tmp_path_factory: pytest.TempPathFactory,
) -> Files:
    """The shared series as files, the model that was fitted to it and its library."""
    folder = tmp_path_factory.mktemp("files")
    names = [str(folder / f"image_{k}.hspy") for k in range(2)]
    for name, signal in zip(names, series.signals, strict=False):
        signal.save(name)
    quick_classifier.save(folder / "model.eels")
    quick_classifier.library.save(folder / "library.npz")
    return Files(names, str(folder / "library.npz"), str(folder / "model.eels"))


class Said(NamedTuple):
    """What a call of the command line came to."""

    code: int
    out: str
    err: str

    @property
    def values(self) -> Any:
        """The one JSON object of the standard output."""
        return json.loads(self.out)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Call the command line in this process."""

    def called(*arguments: str | Path | float) -> Said:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Said(code, *capsys.readouterr())

    return called

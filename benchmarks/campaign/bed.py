"""A small series and a classifier fitted to it in seconds."""

from __future__ import annotations

import functools
import warnings
from collections import Counter
from typing import Any

import eels_bayes as eb

Found = dict[str, Counter[str]]


@functools.cache
def series() -> eb.simulate.Series:
    """Four images of 10 x 8 pixels."""
    return eb.simulate.annealing_series(n_images=4, shape=(10, 8))


def preprocess(*, align: bool = True) -> eb.Spectra:
    """Edge spectra of the series, by a preprocessor of their own."""
    pre = eb.Preprocessor(
        (677, 737),
        0.5,
        background=(600, 675),
        normalize=(570, 592.5),
        align=(565, 600) if align else None,
    )
    return pre(series().signals, show_progressbar=False)


def fit(spectra: eb.Spectra, seed: int = 0, effort: eb.Effort | None = None) -> eb.EELSClassifier:
    """A classifier of little effort, which warns of what such a fit is bad at."""
    effort = effort or eb.Effort.quick()
    clf = eb.EELSClassifier(eb.FingerprintLibrary.example(), effort=effort, seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return clf.fit(spectra, show_progressbar=False)


@functools.cache
def classifier(*, align: bool = True) -> eb.EELSClassifier:
    """Fitted to the series."""
    return fit(preprocess(align=align))


def energy() -> Any:
    """Channel centres of the series, eV."""
    return series().signals[0].axes_manager.signal_axes[0].axis


def counts() -> Any:
    """All counts (n, E) of the series' first image."""
    return series().signals[0].data.reshape(-1, len(energy()))


@functools.cache
def compiled(backend: str = "torchscript", *, align: bool = True) -> eb.FastClassifier:
    """The classifier's fast path."""
    clf = classifier(align=align)
    return clf.compile(clf.preprocessor, energy=energy(), backend=backend, show_progressbar=False)


def signal(rows: Any) -> Any:
    """Counts (n, E) as a HyperSpy signal, a line on the axis of the series, with its noise."""
    from exspy.signals import EELSSpectrum

    like = series().signals[0]
    made = EELSSpectrum(rows)
    made.metadata.add_dictionary(like.metadata.as_dictionary())
    axis, of = made.axes_manager.signal_axes[0], like.axes_manager.signal_axes[0]
    axis.name, axis.units, axis.offset, axis.scale = of.name, of.units, of.offset, of.scale
    return made

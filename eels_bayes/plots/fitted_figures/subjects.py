"""What the figures read: the parts of a classifier, of edge spectra and of a prediction they use.

Figures stand below all three and import none of them; whatever has these attributes can be drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Image(Protocol):
    """Where pixels come from: an `ImageInfo`."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def axes(self) -> tuple[dict[str, Any], ...]: ...
    @property
    def title(self) -> str: ...


class OfPixels(Protocol):
    """Pixels with their places, n of them in I images."""

    @property
    def flag(self) -> NDArray[np.int64]: ...
    @property
    def ok(self) -> NDArray[np.bool_]: ...
    @property
    def image(self) -> NDArray[np.int64]: ...
    @property
    def position(self) -> NDArray[np.int64]: ...
    @property
    def images(self) -> Sequence[Image]: ...
    def __len__(self) -> int: ...


class EdgeSpectra(OfPixels, Protocol):
    """A `Spectra`."""

    @property
    def intensity(self) -> Array: ...
    @property
    def sd(self) -> Array: ...
    @property
    def energy(self) -> Array: ...
    @property
    def preprocessor(self) -> Any: ...
    def __getitem__(self, index: Any) -> EdgeSpectra: ...


class Reading(OfPixels, Protocol):
    """A `Prediction`."""

    @property
    def probabilities(self) -> Array: ...
    @property
    def labels(self) -> NDArray[np.int64]: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def total(self) -> Array: ...
    @property
    def aleatoric(self) -> Array: ...
    @property
    def encoder(self) -> Array: ...
    @property
    def classifier(self) -> Array: ...
    @property
    def neighbours(self) -> Array: ...
    @property
    def novelty(self) -> Array: ...
    @property
    def value(self) -> Array: ...
    @property
    def has_value(self) -> bool: ...
    @property
    def value_name(self) -> str: ...
    @property
    def value_unit(self) -> str: ...
    @property
    def latent_mean(self) -> Array: ...
    def value_interval(self, level: float = 0.9) -> tuple[Array, Array]: ...


class Classifier(Protocol):
    """A fitted `EELSClassifier`."""

    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def library(self) -> Any: ...
    def checked(self, spectra: Any) -> Any: ...
    def predict(self, spectra: Any, *, joint: bool, show_progressbar: bool) -> Any: ...
    def denoise(
        self, spectra: Any, *, level: float = 0.9, n_draws: int = 100, seed: int = 0
    ) -> Any: ...


def reading_of(clf: Classifier, spectra: EdgeSpectra, pred: Reading | None) -> Reading:
    """The prediction that was given, or a new one of every pixel by itself.

    Raises
    ------
    ValueError
        If the prediction is of another number of pixels.
    """
    if pred is None:
        found: Reading = clf.predict(spectra, joint=False, show_progressbar=False)
        return found
    if len(pred) != len(spectra):
        raise ValueError(
            f"pred is of {len(pred)} pixels and spectra of {len(spectra)}; "
            "give clf.predict(spectra)"
        )
    return pred


def shown_fingerprints(fitted: Any) -> Array:
    """Class fingerprints (K, L) as the data show them, with the overlapping shapes' mean.

    Decoded and measured edges carry the overlapping shapes, so that bare fingerprints beside them
    would look like misfit. Shift, broadening and gain are those that the fit found.
    """
    forward = fitted.forward
    shapes = forward.library.nuisances
    overlap = forward.mean[len(forward.mean) - len(shapes) :] @ shapes
    rows: Array = forward.library.class_spectra + overlap
    return rows


def unit_of(spectra: EdgeSpectra) -> str:
    """Label of the intensity axis."""
    normalised = getattr(spectra.preprocessor, "normalize", None) is not None
    return "intensity (edge units)" if normalised else "intensity (counts)"

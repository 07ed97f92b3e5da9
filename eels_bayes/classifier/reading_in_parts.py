"""Signals larger than memory to the numbers of a prediction: part by part, no spectrum is kept."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from eels_bayes.classifier.compatibility import Signals, check_spectra, given_as_signals
from eels_bayes.classifier.fitted import Fitted
from eels_bayes.classifier.pixel_columns import (
    COMPONENTS,
    PATIENCE,
    Joint,
    columns_of,
    kept,
    padded,
)
from eels_bayes.classifier.settings import Settings
from eels_bayes.data.spectra import ImageInfo, Spectra
from eels_bayes.data.unread_images import many_lazy_pixels
from eels_bayes.prediction.pixel_states import PixelStates


class Places(NamedTuple):
    """Where n pixels lie, and their flags (n,): what is kept of `Spectra`."""

    flag: NDArray[np.int64]
    image: NDArray[np.int64]
    position: NDArray[np.int64]
    images: tuple[ImageInfo, ...]


def is_large(given: Spectra | Signals) -> bool:
    """Whether what is to be read is lazy and large, by one image or by many."""
    return many_lazy_pixels(given_as_signals(given))


def read_in_parts(
    fitted: Fitted,
    given: Signals,
    settings: Settings,
    states: PixelStates,
    class_weights: NDArray[np.float64] | None,
    joint: Joint,
) -> tuple[Places, dict[str, NDArray[Any]]]:
    """Pixels of signals in their order, and the columns that `columns_of` gives.

    Parameters
    ----------
    fitted : Fitted
    given : EELSSpectrum or list of them
    settings : Settings
    states : PixelStates
    class_weights : (K,) array or None
        Prior weights of the classes, where they are others than those of the fit.
    joint : bool or "float16"
        Whether the Gaussians of each latent are kept, and how.
    """
    signals = given_as_signals(given)
    n_all = sum(math.prod(signal.axes_manager.navigation_shape) for signal in signals)
    quiet = settings._replace(show_progressbar=False)
    images: list[ImageInfo] = []
    where: list[tuple[NDArray[Any], ...]] = []
    found = Growing(n_all)
    shown = settings.show_progressbar
    with tqdm(total=n_all, desc="predict", unit="pixel", delay=PATIENCE, disable=not shown) as bar:
        for part in fitted.preprocessor.parts(signals):
            check_spectra(fitted, part)
            if not images or images[-1] is not part.images[0]:
                images.append(part.images[0])
            prior = None
            if class_weights is not None:
                prior = states.of_classes(np.tile(class_weights, (len(part), 1)))
            columns = columns_of(fitted, part, quiet, states, prior)
            found.add(kept(columns, joint))
            where.append((part.flag, np.full(len(part), len(images) - 1), part.position))
            bar.update(len(part))
    flag, image, position = (np.concatenate(rows) for rows in zip(*where, strict=True))
    return Places(flag, image, position, tuple(images)), found.columns


class Growing:
    """Columns of n pixels, in the order in which they come.

    What is read of a part is written to where it stays: parts that are kept until all are there
    would need as much again.
    """

    def __init__(self, n: int):
        self.n, self._done = n, 0
        self.columns: dict[str, NDArray[Any]] = {}

    def add(self, part: dict[str, NDArray[Any]]) -> None:
        """Columns of the next pixels, which may have more Gaussians a pixel, or fewer."""
        rows = slice(self._done, self._done + len(next(iter(part.values()))))
        for name, values in part.items():
            whole = self.columns.get(name)
            if whole is None:
                whole = np.empty((self.n, *values.shape[1:]), dtype=values.dtype)
            if name in COMPONENTS:
                most = max(values.shape[1], whole.shape[1])
                whole, values = _wide(whole, most), _wide(values, most)
            whole[rows] = values
            self.columns[name] = whole
        self._done = rows.stop


def _wide(columns: NDArray[Any], most: int) -> NDArray[Any]:
    """Columns of so many Gaussians; themselves where they are."""
    if columns.shape[1] == most:
        return columns
    return padded(torch.from_numpy(columns), most).numpy()

"""The forward model's components: classes, mixtures of two and what departs from both."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from eels_bayes.data.fingerprints import FingerprintLibrary

MIXING = (0.2, 0.4, 0.6, 0.8)  # share of the first partner in a two-class pixel; even steps
# Pairs for each class that every pixel is asked of at most: all of up to six classes, any two of
# which may mix. Of more classes most pairs are in no pixel.
PAIRS_PER_CLASS = 2.5
DEPARTURE = 0.1  # of its norm by which a mixture may miss a spectrum; chosen, not tuned

Pairs = Sequence[tuple[int, int]]  # of classes that may share a pixel, the smaller index first


def mixing_pairs(library: FingerprintLibrary) -> list[tuple[int, int]]:
    """Classes that may share a pixel, the smaller index first.

    Where classes have values, only those with no other between them: spectra that scale with the
    value make a mixture of the outer two the very spectrum of a class between them, and a
    composition that varies continuously passes through that class. A class whose spectrum is no
    such mixture, a defect, separates nothing. Without values, any two.

    Parameters
    ----------
    library : FingerprintLibrary

    Returns
    -------
    list of (int, int)
    """
    values = library.class_values
    if values is None:
        return list(combinations(range(library.n_classes), 2))
    between = values[_is_mixture(library)]
    order = np.argsort(values, kind="stable").tolist()
    return [
        (min(a, b), max(a, b))
        for a, b in combinations(order, 2)
        if not ((values[a] < between) & (between < values[b])).any()
    ]


def _is_mixture(library: FingerprintLibrary) -> NDArray[np.bool_]:
    """Whether each class (K,) is about a mixture of those of lower and of higher values."""
    values, spectra = library.class_values, library.class_spectra
    assert values is not None
    mixture = np.zeros(len(spectra), dtype=bool)
    for k, spectrum in enumerate(spectra):
        lower, higher = spectra[values < values[k]], spectra[values > values[k]]
        if len(lower) and len(higher):
            _, distance = nnls(np.concatenate([lower, higher]).T, spectrum)
            mixture[k] = distance <= DEPARTURE * np.linalg.norm(spectrum)
    return mixture


def most_pairs(n_classes: int) -> int:
    """How many pairs of so many classes are asked of every pixel at most."""
    return int(PAIRS_PER_CLASS * n_classes)


def pairs_at_once(library: FingerprintLibrary) -> list[tuple[int, int]]:
    """The pairs that may mix, where these are few; else none, and pixels choose: `pair_choice`."""
    pairs = mixing_pairs(library)
    return pairs if len(pairs) <= most_pairs(library.n_classes) else []


def components(n_classes: int, pairs: Pairs) -> list[tuple[int, int, float]]:
    """Every class pure, then every one of the pairs at the shares of ``MIXING``."""
    pure = [(k, k, 1.0) for k in range(n_classes)]
    return pure + [(a, b, share) for a, b in pairs for share in MIXING]


def shares(n_classes: int, pairs: Pairs) -> NDArray[np.float64]:
    """Share (components, K) of each class in each component."""
    members = components(n_classes, pairs)
    share = np.zeros((len(members), n_classes))
    for row, (a, b, of_first) in zip(share, members, strict=True):
        row[a] += of_first
        row[b] += 1.0 - of_first
    return share

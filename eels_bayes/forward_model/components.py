"""The forward model's components: classes, their intensities, and mixtures of two.

Where the library has a class without an edge, the others are there or not, and as much of them as
there is: the intensity of an edge is positive and of any size. A pixel that "mixes" such a class
with no edge shows a weak edge, and is of the class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from eels_bayes.data.fingerprints import FingerprintLibrary

MIXING = (0.2, 0.4, 0.6, 0.8)  # share of the first partner in a two-class pixel; even steps
# Intensities of an edge over its fingerprints', where a class may be absent, and how far each of
# them reaches: from where an edge is as good as none, without gaps, to what few pixels exceed.
# The fingerprints' own lies between the fourth and the fifth.
LEVELS = (0.2, 0.4, 0.6, 0.8, 1.25, 1.55, 1.95)
REACH = (0.1, 0.1, 0.1, 0.1, 0.15, 0.15, 0.25)
NO_EDGE = 1e-3  # of the strongest class's norm: a class with less has no edge
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
        none = absent(library)
        return [p for p in combinations(range(library.n_classes), 2) if none not in p]
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


def absent(library: FingerprintLibrary) -> int | None:
    """The class without an edge, if there is one and classes have no values.

    Where they do, what lies between no edge and one is a value between theirs.

    Raises
    ------
    ValueError
        If several have no edge: nothing tells them apart.
    """
    if library.class_values is not None:
        return None
    norm = np.linalg.norm(library.class_spectra, axis=1)
    none = np.flatnonzero(norm <= NO_EDGE * norm.max())
    if 1 < len(none) < len(norm):
        names = ", ".join(repr(library.class_names[k]) for k in none)
        raise ValueError(
            f"classes {names} have no edge in the window, and nothing tells them apart: give one "
            "class without an edge"
        )
    return int(none[0]) if len(none) == 1 else None


def mix_at_once(library: FingerprintLibrary) -> bool:
    """Whether the pairs that may mix are so few that every pixel is asked of each."""
    return len(mixing_pairs(library)) <= most_pairs(library.n_classes)


def most_pairs(n_classes: int) -> int:
    """How many pairs of so many classes are asked of every pixel at most."""
    return int(PAIRS_PER_CLASS * n_classes)


def pairs_at_once(library: FingerprintLibrary) -> list[tuple[int, int]]:
    """The pairs that may mix, where these are few; else none, and pixels choose: `pair_choice`."""
    return mixing_pairs(library) if mix_at_once(library) else []


def of_one_size(library: FingerprintLibrary) -> FingerprintLibrary:
    """Fingerprints of a class as large as their mean, where levels say how large edges are.

    Those of the class without an edge are nothing then, whatever moves or broadens the others.
    """
    none = absent(library)
    if none is None:
        return library
    rows, means = library.intensity, library.class_spectra[library.labels]
    along, norm = (rows * means).sum(1), (means**2).sum(1)
    there = (library.labels != none) & (along > NO_EDGE * norm)
    factor = np.divide(norm, along, out=np.ones_like(norm), where=there)
    factor[library.labels == none] = 0.0
    return replace(library, intensity=rows * factor[:, None])


def components(library: FingerprintLibrary, pairs: Pairs) -> list[tuple[int, int, float]]:
    """Every class pure, at the ``LEVELS`` of its intensity if it may be absent, then mixtures.

    Members are first class, second class and share of the first: of the ``pairs`` those of
    ``MIXING``; a level is one of a class with the absent one.
    """
    none = absent(library)
    pure = [(k, k, 1.0) for k in range(library.n_classes)]
    weaker = [
        (k, none, level)
        for k in range(library.n_classes)
        for level in LEVELS
        if none is not None and k != none
    ]
    return pure + weaker + [(a, b, share) for a, b in pairs for share in MIXING]


def n_single(library: FingerprintLibrary) -> int:
    """How many of the components, the first, hold one class alone."""
    n_levels = 0 if absent(library) is None else len(LEVELS)
    return library.n_classes + n_levels * (library.n_classes - 1)


def reach(library: FingerprintLibrary, member: tuple[int, int, float]) -> float:
    """How far the shares of a component's pixels may lie from its own: nothing lies between."""
    _, second, share = member
    if second == absent(library):
        return REACH[LEVELS.index(share)]
    return 0.5 * (MIXING[1] - MIXING[0])


def dominant(library: FingerprintLibrary, pairs: Pairs) -> list[int]:
    """The class that dominates each component."""
    none = absent(library)
    return [a if b == none or share >= 0.5 else b for a, b, share in components(library, pairs)]


def shares(library: FingerprintLibrary, pairs: Pairs) -> NDArray[np.float64]:
    """Share (components, K) of each class in each component; one that is absent has none."""
    members, none = components(library, pairs), absent(library)
    share = np.zeros((len(members), library.n_classes))
    for row, (a, b, of_first) in zip(share, members, strict=True):
        row[a] += of_first
        if b != none or a == none:
            row[b] += 1.0 - of_first
    return share

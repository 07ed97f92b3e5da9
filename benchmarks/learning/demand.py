"""Which structure to simulate next: how surely each candidate is in the specimen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.special import logsumexp, softmax
from scipy.stats import gamma

import eels_bayes as eb
from eels_bayes.data.energy_resampling import shift_and_broaden
from eels_bayes.forward_model.continuum import extended
from eels_bayes.forward_model.edge_shapes import onto_bins, wide_axis
from eels_bayes.forward_model.factor_mixture import Population, Shape, log_likelihood, rotated
from eels_bayes.prediction.novel_share import novel_among

from .specimens import SIZE, Array, composition, is_defect, kind_of

BEND = 0.5  # sd by which the intensity bends between two simulated compositions, of their distance
HEAP = 0.035  # sd of a composition's intensities, of the strongest one's
OUTSIDE = 1e-3  # density of pixels between the heaps, of a heap's highest
MISSED = 0.05  # share of the pixels by which a structure is missed, or not yet
LOOKS = {  # shift and splitting of an edge, eV, by the kind of defect
    "": ((-1.0, 0.0), (0.0, 0.0), (1.0, 0.0), (0.0, 2.0)),
    "shifted": tuple((shift, 0.0) for shift in (-6.0, -4.5, -3.0, 3.0, 4.5, 6.0)),
    "split": tuple((shift, split) for shift in (-2.0, 0.0, 2.0) for split in (4.0, 6.0, 8.0, 10.0)),
}
INDEPENDENT = 10.0  # pixels' weight: neighbours are alike, and the law is a rough one
EM_STEPS = 200


def demand(
    clf: eb.EELSClassifier, pred: eb.Prediction, spectra: eb.Spectra, names: list[str]
) -> Array:
    """How surely (candidates,) each structure is in the specimen, by the map's own doubt.

    What is there has to be simulated sooner or later, so that the surest is simulated first, and
    not the one that may claim most pixels: it tells of the others as well. What is like nothing in
    the library asks for the kind of defect that it looks like; edges that are neither moved nor
    split ask for compositions. Neighbours are alike: both are read from three by three pixels.
    """
    surprise = -np.log(np.maximum(1.0 - pred.novelty, 1e-7))
    novel = novel_among(gamma.cdf(9.0 * around(surprise, np.mean), 9.0))  # Fisher's method
    looks_like = kinds(clf, spectra)
    compositions = [name for name in names if not is_defect(name)]
    sure = dict(zip(compositions, claims(clf, pred, compositions, looks_like[""]), strict=True))
    for name in names:
        if is_defect(name):
            sure[name] = missed((novel * looks_like[kind_of(name)]).mean())
    return np.array([sure[name] for name in names])


def missed(share: Array) -> Array:
    """How much a structure that has these shares of the pixels is missed, 0 to 1."""
    return np.asarray(1.0 - np.exp(-share / MISSED))


def kinds(clf: eb.EELSClassifier, spectra: eb.Spectra) -> dict[str, Array]:
    """Probability (n,) of each kind of structure that a pixel's edge may look like.

    Beforehand a kind's name alone is known, and so roughly its looks: those of the strongest edge
    of the library, of any intensity, moved and split.
    """
    assert clf.fitted is not None
    model = clf.fitted.forward
    energy = model.continuum.energy
    columns = model.continuum.columns(energy, model.library) * model.white[:, None]
    population = Population(np.ones(1), model.mean, model.covariance)
    fine = wide_axis(energy, model.library.energy)
    shown = extended(model.library, fine).class_spectra
    strongest = shown[[int(shown.sum(1).argmax())] * 2]
    pixels = model.whiten(
        np.nan_to_num(spectra.profile).astype(float), np.nan_to_num(spectra.level).astype(float)
    )
    evidence = {}
    for kind, looks in LOOKS.items():
        of_looks = []
        for shift, split in looks:
            ends = np.array([shift - 0.5 * split, shift + 0.5 * split]) / (fine[1] - fine[0])
            edge = onto_bins(energy, fine, shift_and_broaden(strongest, ends, 0.0).mean(0))
            shape = 0.5 * edge * model.white
            likelihood, *_ = log_likelihood(
                *pixels, rotated(columns, population, Shape(shape, shape[:, None]))
            )
            of_looks.append(around(likelihood, np.sum))
        evidence[kind] = logsumexp(of_looks, axis=0) - np.log(len(looks))
    return dict(zip(evidence, softmax(list(evidence.values()), axis=0), strict=True))


def around(pixels: Array, summary: Callable[..., Array]) -> Array:
    """A summary of the three by three pixels around each (n,)."""
    images = pixels.reshape(-1, *SIZE["shape"])
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return np.asarray(summary(windows, axis=(-2, -1)).ravel())


def claims(clf: eb.EELSClassifier, pred: eb.Prediction, names: list[str], weight: Array) -> Array:
    """How surely (candidates,) pixels of weights (n,) are of each candidate composition.

    A composition that is not simulated shows as a heap of intensities between those of simulated
    ones, for whose mixture it is taken. Where between, its fraction tells, but for the unknown
    amount by which intensity bends between the simulated fractions. Far above the edge the
    intensity counts atoms, so that defective structures tell of it as well.
    """
    assert clf.fitted is not None
    library = clf.fitted.forward.library  # as the experiment shows it
    assert library.class_values is not None
    strongest = library.class_spectra[[int(library.class_spectra.sum(1).argmax())]]
    shapes = np.concatenate([strongest, library.nuisances])
    with torch.no_grad():
        clean = clf.fitted.vae.decode(torch.as_tensor(np.nan_to_num(pred.latent_mean))).numpy()
    pixels, simulated = (
        np.linalg.lstsq(shapes.T, rows.T, rcond=None)[0][0]
        for rows in (clean, library.class_spectra)
    )
    pixels = around(pixels, np.median)
    known = simulated[[not is_defect(name) for name in library.class_names]]
    fractions = np.array([composition(name) for name in names])
    knots, where = np.unique(library.class_values, return_inverse=True)
    heights = np.bincount(where, library.class_spectra.sum(1) / strongest.sum()) / np.bincount(
        where
    )
    upper = np.clip(np.searchsorted(knots, fractions), 1, len(knots) - 1)
    low, high = knots[upper - 1], knots[upper]
    bow = (fractions - low) * (high - fractions) / (high - low)
    log_weight, found = [], []
    for bend in np.linspace(-2.0, 2.0, 17):
        center = np.interp(fractions + BEND * bend * bow, knots, heights)
        counted, likelihood = heaps(pixels, np.concatenate([center, known]), weight)
        log_weight.append(-0.5 * bend**2 + INDEPENDENT * likelihood)
        found.append(missed(counted[: len(names)] / len(pixels)))
    return np.asarray(softmax(log_weight) @ np.array(found))


def heaps(pixels: Array, center: Array, weight: Array) -> tuple[Array, float]:
    """Number of pixels (n,), of weights (n,), in heaps around centers (C,); mean log-likelihood."""
    density = np.exp(-0.5 * ((pixels[:, None] - center) / HEAP) ** 2) + OUTSIDE
    share = np.full(len(center), 1.0 / len(center))
    for _ in range(EM_STEPS):
        each = density * share
        total = each.sum(1, keepdims=True)
        counted = weight @ (each / total)
        share = counted / weight.sum()
    return counted, float(weight @ np.log(total[:, 0]) / weight.sum())

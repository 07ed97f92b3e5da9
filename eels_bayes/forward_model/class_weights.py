"""Weights of classes, mixed pixels and images, from what an E-step makes of the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

from eels_bayes.arrays import Array
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.spectra import Spectra
from eels_bayes.forward_model.acceleration import converged
from eels_bayes.forward_model.components import (
    LEVELS,
    MIXING,
    Pairs,
    absent,
    components,
    dominant,
    mix_at_once,
    mixing_pairs,
    most_pairs,
    n_single,
    of_one_size,
)
from eels_bayes.forward_model.edge_shapes import mean_edges
from eels_bayes.forward_model.factor_mixture import (
    LEAST_WEIGHT,
    log_likelihood,
    overall_weights,
    weights_of_images,
)
from eels_bayes.forward_model.foreign import GAIN, log_density
from eels_bayes.forward_model.library_step import by_levels
from eels_bayes.forward_model.misfit import shared_on
from eels_bayes.forward_model.model import ForwardModel
from eels_bayes.forward_model.pair_choice import chosen, of_pairs
from eels_bayes.forward_model.registration import placed

MIXED = 0.1  # share of mixed pixels expected beforehand ...
MIXED_WEIGHT = 0.25  # ... as if seen in so many of the pixels: noise hides what is mixed
ASKED_STEPS = 20  # of weights, before pixels are asked which pairs mix
BALANCE = 0.05  # weight of equal classes beforehand, as if seen in so many of the pixels


def fit_weights(
    model: ForwardModel,
    spectra: Spectra,
    library: FingerprintLibrary,
    *,
    class_weights: Array | None = None,
    iterations: int = 200,
) -> ForwardModel:
    """Another library's class weights in pixels like those a model was fitted to.

    Everything else stays as it is: the continuum and its population, how the library stands in the
    experiment, and how much its fingerprints vary. Structures that the library lacks are then not
    taken for any of these; those that were found stay where the library still lacks them. Of many
    classes, the pairs that mix stay, and pixels are asked of those of a new class (`pair_choice`).

    Parameters
    ----------
    model : ForwardModel
        Fitted, with another library.
    spectra : Spectra
        Flagged pixels are left out.
    library : FingerprintLibrary
        Resampled to the spectra's axis here.
    class_weights : (K,) array, optional
        As in `fit_forward_model`.
    iterations : int
        Most steps of expectation-maximisation.

    Returns
    -------
    ForwardModel
        Its ``log_likelihood`` is of these iterations.
    """
    here = of_one_size(placed(library, spectra.energy, model.library_fit.moved))
    library = by_levels(here, replace(here, variations=model.library.variations))
    energy = model.continuum.energy
    known = model.known(library)
    along = model.along.of_classes(known, mean_edges(energy, library, model.library_fit))
    misfit = model.misfit.of_classes(known)
    shown = model.library_fit.apply(library.energy, library.intensity)
    shown = shown + shared_on(along, misfit, energy, library.energy)[library.labels]
    library = replace(library, intensity=shown)  # which may mix is asked of what is shown
    kept, asked = _kept_and_asked(model, library, known)
    model = replace(model, library=library, misfit=misfit, along=along)
    model = _with_weights(model, [*kept, *asked])
    ok = np.flatnonzero(spectra.ok)
    target, noise = model.whiten(spectra.profile[ok].astype(float), spectra.level[ok].astype(float))
    parts = model.rotated_components() + model.rotated_foreign()
    fits = np.stack([log_likelihood(target, noise, part)[0] for part in parts], axis=1)
    _, image = np.unique(spectra.image[ok], return_inverse=True)
    foreign = model.foreign
    if asked:
        entered, fits = _entered(fits, image, library, len(kept), len(asked), foreign.share)
        kept = [*kept, *(asked[column] for column in entered)]
    found = _weighed(fits, image, library, foreign.share, class_weights, iterations)
    if len(foreign) and None in known:
        # what a new class explains as well is no structure beside the library
        n = len(found.weight)
        alone = _weighed(fits[:, :n], image, library, np.zeros(0), class_weights, iterations)
        gain = len(ok) * (found.history[-1] - alone.history[-1])
        if gain + log_density(foreign, foreign.covariance) < GAIN:
            found, foreign = alone, foreign.left(np.zeros(len(foreign)))
    return replace(
        _with_weights(model, kept, found.weight),
        foreign=foreign.left(found.foreign),
        log_likelihood=np.array(found.history),
    )


def _kept_and_asked(
    model: ForwardModel, library: FingerprintLibrary, known: list[int | None]
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Pairs of a library that mix, and those that pixels are asked of."""
    candidates = mixing_pairs(library)
    if mix_at_once(library):
        return candidates, []
    if mix_at_once(model.library):
        return [], candidates  # all mixed, and pixels were never asked
    mixed = {frozenset(pair) for pair in model.pairs}
    kept = [(a, b) for a, b in candidates if frozenset((known[a], known[b])) in mixed]
    return kept, [(a, b) for a, b in candidates if None in (known[a], known[b])]


def _with_weights(model: ForwardModel, pairs: Pairs, weight: Array | None = None) -> ForwardModel:
    """The model with pairs and weights (C,) of its components, all alike if these are left out."""
    if weight is None:
        n = len(components(model.library, pairs))
        weight = np.full(n, 1.0 / n)
    return replace(model, pairs=pairs, **by_class(model.library, pairs, weight))


def _entered(
    fits: Array,
    image: Array,
    library: FingerprintLibrary,
    n_kept: int,
    n_asked: int,
    foreign: Array,
) -> tuple[list[int], Array]:
    """Pairs that enter, and the log-likelihoods (n, C + F) of what is left of these.

    ``fits`` are of the classes, the pairs that are kept and those that are asked of, and of foreign
    structures.
    """
    first = n_single(library) + n_kept * len(MIXING)
    before, together, beside = np.split(fits, [first, first + n_asked * len(MIXING)], axis=1)
    without = np.concatenate([before, beside], axis=1)
    found = _weighed(without, image, library, foreign, None, ASKED_STEPS)
    weight = np.append((1.0 - found.foreign.sum()) * found.weight, found.foreign)
    base = logsumexp(without + np.log(np.maximum(weight, LEAST_WEIGHT)), axis=1)
    most = max(0, most_pairs(library.n_classes) - n_kept)
    columns, _ = chosen(base, of_pairs(together), most)
    theirs = together.reshape(len(fits), n_asked, -1)[:, columns].reshape(len(fits), -1)
    return columns, np.concatenate([before, theirs, beside], axis=1)


class _Weighed(NamedTuple):
    """Weights of the components (C,) and shares of foreign structures (F,), and how they came."""

    weight: Array
    foreign: Array
    history: list[float]


def _weighed(
    fits: Array,
    image: Array,
    library: FingerprintLibrary,
    foreign: Array,
    class_weights: Array | None,
    iterations: int,
) -> _Weighed:
    """Weights of what has these log-likelihoods (n, C + F), those of foreign structures last."""
    n_known, pixels = fits.shape[1] - len(foreign), np.bincount(image)
    weight, of_one = np.full(n_known, 1.0 / n_known), dominant(library, ())
    weights = np.tile(weight, (len(pixels), 1))
    history: list[float] = []
    for _ in range(iterations):
        known = (1.0 - foreign.sum()) * weights
        every = np.column_stack([known, np.tile(foreign, (len(pixels), 1))])
        joint = fits + np.log(np.maximum(every, LEAST_WEIGHT))[image]
        total = logsumexp(joint, axis=1)
        history.append(float(total.mean()))
        if converged(history):
            break
        of_pixel, of_foreign = np.split(np.exp(joint - total[:, None]), [n_known], axis=1)
        foreign = of_foreign.mean(0)
        responsibility = np.array([of_pixel[image == i].sum(0) for i in range(len(pixels))])
        weight, weights = shared_out(responsibility, pixels, of_one, class_weights)
    return _Weighed(weight, foreign, history)


def shared_out(
    responsibility: Array, pixels: Array, of_one: Sequence[int], class_weights: Array | None
) -> tuple[Array, Array]:
    """Weights of the components overall (C,) and in each image (I, C) after an E-step.

    The first components are of one class alone, ``of_one`` says which: whatever the intensity of
    its edge. The others are mixed.
    """
    single, which = len(of_one), np.array(of_one)
    weight = overall_weights(responsibility.sum(0))
    _expect_mixing(weight, single)
    pure = np.bincount(which, weight[:single])
    if class_weights is not None:
        wanted = class_weights * pure.sum()
    else:
        wanted = pure / pure.sum() + BALANCE / len(pure)
        wanted = pure.sum() * wanted / (1.0 + BALANCE)
    weight[:single] = wanted[which] * (weight[:single] / pure[which])
    if len(pixels) == 1:  # a single image is the population
        return weight, weight[None]
    weights = weights_of_images(responsibility, pixels, weight)
    _expect_mixing(weights, single)
    if class_weights is not None:  # they hold for the images together
        found = np.bincount(which, (pixels @ weights / pixels.sum())[:single])
        weights[:, :single] *= (wanted / found)[which]
        weights /= weights.sum(1, keepdims=True)
    return weight, weights


def with_mixed(weight: Array, old: Array, n_classes: int) -> Array:
    """Weights (..., C) with the old ones (..., C) of mixed pixels, where these were not asked."""
    mixed = old[..., n_classes:]
    pure = weight[..., :n_classes]
    pure = pure * (1.0 - mixed.sum(-1, keepdims=True)) / pure.sum(-1, keepdims=True)
    return np.concatenate([pure, mixed], axis=-1)


def by_class(library: FingerprintLibrary, mixing: Pairs, weight: Array) -> dict[str, Any]:
    """A model's ``class_weights``, ``pair_weights`` and ``level_weights`` of components' (C,)."""
    n, none = library.n_classes, absent(library)
    shares, pairs, levels = np.zeros(n), np.zeros((n, n)), np.zeros((n, len(LEVELS)))
    for (a, b, share), w in zip(components(library, mixing), weight, strict=True):
        pairs[a, b] += w
        if b == none != a:
            levels[a, LEVELS.index(share)] = w
            share = 1.0  # an edge of any size is one
        shares[a] += share * w
        shares[b] += (1.0 - share) * w
    total = levels.sum(1, keepdims=True)
    levels = np.divide(levels, total, out=np.full_like(levels, 1.0 / len(LEVELS)), where=total > 0)
    return {"class_weights": shares, "pair_weights": pairs, "level_weights": levels}


def _expect_mixing(weight: Array, single: int) -> None:
    """Draw the share of mixed pixels towards `MIXED`, in place: a Beta prior's M-step.

    At low dose the likelihood hardly tells mixed pixels from an imperfect model of pure ones, and
    would call many of them mixed.
    """
    pure, mixed = weight[..., :single], weight[..., single:]
    if not mixed.shape[-1]:  # no two classes may mix
        return
    seen = mixed.sum(-1, keepdims=True)
    share = (seen + MIXED_WEIGHT * MIXED) / (1.0 + MIXED_WEIGHT)
    mixed *= share / seen
    pure *= (1.0 - share) / pure.sum(-1, keepdims=True)

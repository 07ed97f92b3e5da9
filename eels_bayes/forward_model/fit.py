"""The forward model's fit to unlabelled pixels by expectation-maximisation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import logsumexp

from eels_bayes.arrays import Array
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.spectra import Spectra
from eels_bayes.data.variations import Variations
from eels_bayes.effort import FULL, Effort
from eels_bayes.forward_model.acceleration import TOLERANCE, VARIED, State, accelerated
from eels_bayes.forward_model.components import components
from eels_bayes.forward_model.continuum import learn_continuum
from eels_bayes.forward_model.edge_shapes import LibraryFit, edge_shapes
from eels_bayes.forward_model.factor_mixture import (
    Expectation,
    Images,
    Population,
    Shape,
    expectation,
    image_weights,
    log_likelihood,
    maximisation,
    offsets,
    overall_weights,
    pooled,
    recentred,
)
from eels_bayes.forward_model.model import ForwardModel, middle_and_spread, whitened

MIXED = 0.1  # share of mixed pixels expected beforehand ...
MIXED_WEIGHT = 0.25  # ... as if seen in so many of the pixels: noise hides what is mixed
BALANCE = 0.05  # weight of equal classes beforehand, as if seen in so many of the pixels
IMAGE_SHARE = 0.1  # of the continuum's variance beforehand that an image's pixels share
VARIATION_PIXELS = 100.0  # weight of the library's own variations, in pixels
EXPLORED = (-1.0, 1.0)  # eV of shift that the compressed space allows for


def fit_forward_model(
    spectra: Spectra,
    library: FingerprintLibrary,
    *,
    class_weights: Array | None = None,
    start: ForwardModel | None = None,
    effort: Effort = FULL,
    seed: int = 0,
    show_progressbar: bool = True,
) -> ForwardModel:
    """Fit the population of continua, nuisances and classes to unlabelled pixels.

    Parameters
    ----------
    spectra : Spectra
        Flagged pixels are left out.
    library : FingerprintLibrary
        Resampled to the spectra's axis here.
    class_weights : (K,) array, optional
        Weights of the pure classes where they are known; learned if left out. Those of mixed
        pixels are always learned.
    start : ForwardModel, optional
        Fitted to pixels like these with another library: its continuum is kept, its population is
        where to begin.
    effort : Effort
        Most pixels and most steps of expectation-maximisation.
    seed : int
        Of the choice of pixels where there are more than are needed.

    Returns
    -------
    ForwardModel

    Raises
    ------
    ValueError
        If the profiles are too short to tell an edge from its continuum.
    """
    library = library.resample(spectra.energy)
    energy = spectra.profile_energy
    if len(energy) < 8:
        raise ValueError(
            f"the spectra's profiles hold {len(energy)} bins; at least 8 are needed to tell an "
            "edge from its continuum: widen the window or background"
        )
    rng = np.random.default_rng(seed)
    ok = np.flatnonzero(spectra.ok)
    if len(ok) > effort.forward_pixels:
        ok = np.sort(rng.choice(ok, effort.forward_pixels, replace=False))
    profile, level = spectra.profile[ok].astype(float), spectra.level[ok].astype(float)
    reference = np.median(spectra.background[ok], axis=0).astype(float)
    if not np.isfinite(reference).all() or reference[0] <= 0:
        reference = np.array([float(profile.mean()), 0.0])
    half = 0.5 * (library.energy[1] - library.energy[0])
    window = (float(library.energy[0]) - half, float(library.energy[-1]) + half)
    # means and principal components bear no spikes
    typical = np.maximum(np.median(profile, axis=0), 1e-6)
    middle, spread = middle_and_spread((profile - typical) / np.sqrt(typical), level)
    drawn_in, _ = whitened(profile, level, typical, typical, middle, spread)
    drawn_in = typical + drawn_in * np.sqrt(typical)
    if start is None:
        continuum = learn_continuum(
            energy,
            drawn_in,
            level,
            window,
            reference,
            library,
            rng,
            n_pixels=effort.continuum_pixels,
        )
    else:
        continuum = start.continuum
    mean_profile = np.maximum(drawn_in.mean(0), 1e-6)
    white = 1.0 / np.sqrt(mean_profile)
    middle, spread = middle_and_spread((profile - continuum.center(energy)) * white, level)
    target, noise = whitened(profile, level, mean_profile, continuum.center(energy), middle, spread)
    columns = continuum.columns(energy, library) * white[:, None]
    compressed = _span(energy, library, columns, white)
    target, columns = target @ compressed, compressed.T @ columns

    members = components(library)
    n_classes = library.n_classes
    weight = np.array([0.9 / n_classes if a == b else 0.0 for a, b, _ in members])
    weight[n_classes:] = 0.1 / max(1, len(members) - n_classes)
    prior_covariance = np.diag(continuum.prior_variances(library))
    width = np.sqrt(np.diag(prior_covariance))
    population = Population(weight, np.zeros(len(width)), prior_covariance)
    fit, varied = LibraryFit(), library
    if start is not None:
        population = Population(weight, start.mean, start.covariance)
        varied = replace(library, variations=start.library.variations)
        fit = start.library_fit
    _, image = np.unique(spectra.image[ok], return_inverse=True)
    shared = IMAGE_SHARE * np.diag(prior_covariance)
    # What overlapping shapes have in common in an image would be taken from its classes.
    shared[len(shared) - len(library.nuisances) :] *= 1e-3
    images = Images.alike(population, int(image.max(initial=0)) + 1)
    now = State(population, images, fit, varied)

    def improve(old: State) -> tuple[State, float]:
        """One step of expectation-maximisation, and the log-likelihood before it."""
        shapes = [
            Shape(compressed.T @ shape.mean, compressed.T @ shape.loadings)
            for shape in edge_shapes(energy, old.library, old.library_fit, white)
        ]
        step = expectation(target, noise, columns, old.population, shapes, old.images, image)
        found = offsets(step, old.population, old.images, shared)
        step = recentred(step, old.population, old.images, found)
        new = maximisation(step, old.population, prior_covariance)
        weight, weights = _shared_out(step.responsibility, step.pixels, n_classes, class_weights)
        new = replace(new, weight=weight)
        fit = _moved(old.library_fit, step.common, old.library)
        varied = _varied(library, old.library, step)
        return State(new, Images(weights, found.mean), fit, varied), step.log_likelihood

    now, history = accelerated(now, improve, width, effort.forward_iterations, show_progressbar)
    population = pooled(now.population, now.images, np.bincount(image))
    shares, pair_weights = _by_class(library, population.weight)
    shown = now.library_fit.apply(library.energy, library.intensity)
    return ForwardModel(
        library=replace(now.library, intensity=shown),
        library_fit=now.library_fit,
        continuum=continuum,
        mean_profile=mean_profile,
        middle=middle,
        spread=spread,
        mean=population.mean,
        covariance=population.covariance,
        class_weights=shares,
        pair_weights=pair_weights,
        log_likelihood=np.array(history),
    )


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
    taken for any of these.

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
    """
    library = replace(library.resample(spectra.energy), variations=model.library.variations)
    shown = model.library_fit.apply(library.energy, library.intensity)
    weight = np.full(len(components(library)), 1.0 / len(components(library)))
    shares, pair_weights = _by_class(library, weight)
    model = replace(
        model,
        library=replace(library, intensity=shown),
        class_weights=shares,
        pair_weights=pair_weights,
    )
    ok = np.flatnonzero(spectra.ok)
    target, noise = model.whiten(spectra.profile[ok].astype(float), spectra.level[ok].astype(float))
    fits = [log_likelihood(target, noise, one)[0] for one in model.rotated_components()]
    each = np.stack(fits, axis=1)
    _, image = np.unique(spectra.image[ok], return_inverse=True)
    pixels = np.bincount(image)
    weights = np.tile(weight, (len(pixels), 1))
    history: list[float] = []
    for _ in range(iterations):
        joint = each + np.log(np.maximum(weights, 1e-12))[image]
        total = logsumexp(joint, axis=1)
        history.append(float(total.mean()))
        if len(history) > 10 and history[-1] - history[-10] < TOLERANCE:
            break
        found = np.exp(joint - total[:, None])
        responsibility = np.array([found[image == i].sum(0) for i in range(len(pixels))])
        weight, weights = _shared_out(responsibility, pixels, library.n_classes, class_weights)
    shares, pair_weights = _by_class(library, weight)
    return replace(
        model,
        class_weights=shares,
        pair_weights=pair_weights,
        log_likelihood=np.array(history),
    )


def _shared_out(
    responsibility: Array, pixels: Array, n_classes: int, class_weights: Array | None
) -> tuple[Array, Array]:
    """Weights of the components overall (C,) and in each image (I, C) after an E-step."""
    weight = overall_weights(responsibility.sum(0))
    _expect_mixing(weight, n_classes)
    pure = weight[:n_classes]
    if class_weights is not None:
        pure[:] = class_weights * pure.sum()
    else:
        pure[:] = pure.sum() * (pure / pure.sum() + BALANCE / n_classes) / (1.0 + BALANCE)
    if len(pixels) == 1:  # a single image is the population
        return weight, weight[None]
    weights = image_weights(responsibility, pixels, weight)
    _expect_mixing(weights, n_classes)
    if class_weights is not None:  # they hold for the images together
        weights[:, :n_classes] *= pure / (pixels @ weights / pixels.sum())[:n_classes]
        weights /= weights.sum(1, keepdims=True)
    return weight, weights


def _by_class(library: FingerprintLibrary, weight: Array) -> tuple[Array, Array]:
    """Share (K,) of each class and weights (K, K) of pairs, of the components' weights (C,)."""
    shares, pairs = np.zeros(library.n_classes), np.zeros((library.n_classes, library.n_classes))
    for (a, b, share), w in zip(components(library), weight, strict=True):
        pairs[a, b] += w
        shares[a] += share * w
        shares[b] += (1.0 - share) * w
    return shares, pairs


def _span(energy: Array, library: FingerprintLibrary, columns: Array, white: Array) -> Array:
    """Orthonormal basis (B, R) of all that is not noise.

    The noise is white, so what is orthogonal to every shape says nothing of any of them.
    """
    directions = [columns]
    for shift in (0.0, *EXPLORED):
        for shape in edge_shapes(energy, library, LibraryFit(shift=shift), white):
            directions += [shape.mean[:, None], shape.loadings]
    stacked = np.concatenate(directions, axis=1)
    stacked = stacked / np.maximum(np.linalg.norm(stacked, axis=0), 1e-12)
    left, value, _ = np.linalg.svd(stacked, full_matrices=False)
    span: Array = left[:, value > 1e-6 * value[0]]
    return span


def _moved(fit: LibraryFit, common: Array, library: FingerprintLibrary) -> LibraryFit:
    """The library's standing after an E-step that found the common factors' means."""
    vary = library.variations
    return LibraryFit(
        float(fit.gain * (1.0 + vary.intensity * common[0])),
        float(fit.shift + vary.shift * common[1]),
        float(max(0.0, fit.broadening + np.sqrt(2.0) * vary.broadening**2 * common[2])),
    )


def _expect_mixing(weight: Array, n_classes: int) -> None:
    """Draw the share of mixed pixels towards `MIXED`, in place: a Beta prior's M-step.

    At low dose the likelihood hardly tells mixed pixels from an imperfect model of pure ones, and
    would call many of them mixed.
    """
    pure, mixed = weight[..., :n_classes], weight[..., n_classes:]
    found = mixed.sum(-1, keepdims=True)
    share = (found + MIXED_WEIGHT * MIXED) / (1.0 + MIXED_WEIGHT)
    mixed *= share / found
    pure *= (1.0 - share) / pure.sum(-1, keepdims=True)


def _varied(
    given: FingerprintLibrary, old: FingerprintLibrary, step: Expectation
) -> FingerprintLibrary:
    """The library with the variations that an E-step found, the given ones weighing a little."""
    n, prior = float(step.n), VARIATION_PIXELS
    # the broadening's factor is the square's: its sd goes as the broadening squared
    powers = (2.0, 2.0, 4.0)
    found = {}
    for name, power, centred in zip(
        VARIED, powers, step.common_square - step.common**2, strict=True
    ):
        now, first = getattr(old.variations, name), getattr(given.variations, name)
        found[name] = float(
            ((n * centred * now**power + prior * first**power) / (n + prior)) ** (1.0 / power)
        )
    return replace(old, variations=Variations(**found))

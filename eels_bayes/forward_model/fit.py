"""The forward model's fit to unlabelled pixels by expectation-maximisation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from eels_bayes.arrays import Array
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.spectra import Spectra
from eels_bayes.effort import FULL, Effort
from eels_bayes.forward_model.acceleration import (
    DEFAULT_STEPPING,
    Climb,
    State,
    Stepping,
)
from eels_bayes.forward_model.class_weights import MIXED, by_class
from eels_bayes.forward_model.components import components, of_one_size, pairs_at_once
from eels_bayes.forward_model.continuum import Continuum, learn_continuum
from eels_bayes.forward_model.edge_shapes import LibraryFit, mean_edges
from eels_bayes.forward_model.em_steps import Problem, log_likelihood_outside, span
from eels_bayes.forward_model.factor_mixture import Images, Population
from eels_bayes.forward_model.foreign import Foreign
from eels_bayes.forward_model.image_offsets import pooled
from eels_bayes.forward_model.misfit import Directions, Misfit, directions, shared_on
from eels_bayes.forward_model.model import ForwardModel
from eels_bayes.forward_model.other_standings import Elsewhere, other_standings
from eels_bayes.forward_model.registration import check_background, placed, registered
from eels_bayes.forward_model.stages import climbed
from eels_bayes.forward_model.whitening import Whitening

LEAST_BINS = 8  # of a profile: fewer cannot tell an edge from its continuum
LEAST_PROFILE = 1e-6  # units of the norm: keeps the noise of an empty bin finite
IMAGE_SHARE = 0.1  # of the continuum's variance beforehand that an image's pixels share
# Of that, for overlapping shapes: what they have in common in an image would be taken from its
# classes.
OVERLAP_SHARE = 1e-3


class _Pixels(NamedTuple):
    """The n pixels that are fitted to: profiles (n, B), noise levels (n,), image of each (n,).

    ``reference`` (2,) is the median amplitude and exponent of their background.
    """

    profile: Array
    level: Array
    image: Array
    reference: Array


def fit_forward_model(
    spectra: Spectra,
    library: FingerprintLibrary,
    *,
    class_weights: Array | None = None,
    start: ForwardModel | None = None,
    effort: Effort = FULL,
    seed: int = 0,
    stepping: Stepping = DEFAULT_STEPPING,
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
    stepping : Stepping
        How it steps and when it ends.
    show_progressbar : bool
        Whether to show a progress bar.

    Returns
    -------
    ForwardModel

    Raises
    ------
    ValueError
        If the profiles are too short to tell an edge from its continuum, or the fingerprints still
        hold their background.
    """
    check_background(library)
    given, energy = library, spectra.profile_energy
    library = of_one_size(given.resample(spectra.energy))
    _check_axis(energy)
    rng = np.random.default_rng(seed)
    pixels = _chosen_pixels(spectra, effort.forward_pixels, rng)
    drawn_in = _without_spikes(pixels)
    if start is None:
        continuum = _learned_continuum(energy, drawn_in, pixels, library, effort, rng)
    else:
        continuum = start.continuum
    whitening = _whitening(continuum.center(energy), pixels, drawn_in)
    if start is None:
        fit = registered(given, spectra.energy, continuum, whitening, pixels.profile, pixels.level)
    else:
        fit = start.library_fit
    library = of_one_size(placed(given, spectra.energy, fit.moved))

    def fitted_from(fit: LibraryFit) -> tuple[ForwardModel, float]:
        """The nearest maximum, and how high it is."""
        along = _misfits(library, fit, continuum, start)
        problem = _problem(library, fit, energy, continuum, whitening, pixels, along, class_weights)
        climb = climbed(
            problem,
            _first_state(problem, fit, start),
            np.sqrt(np.diag(problem.prior_covariance)),
            effort.forward_iterations,
            stepping,
            show_progressbar=show_progressbar,
        )
        return _fitted(problem, continuum, whitening, climb), climb.objective

    model, height = fitted_from(fit)
    others = [] if start is not None else other_standings(model, given, *pixels[:2])
    return _likeliest(model, height, fitted_from, others)


def _check_axis(energy: Array) -> None:
    """Raise ValueError where profiles are too short."""
    if len(energy) < LEAST_BINS:
        raise ValueError(
            f"the spectra's profiles hold {len(energy)} bins; at least {LEAST_BINS} are needed to "
            "tell an edge from its continuum: widen the window or background"
        )


def _whitening(center: Array, pixels: _Pixels, drawn_in: Array) -> Whitening:
    """By the mean of profiles without spikes, around the continuum's center."""
    mean_profile = np.maximum(drawn_in.mean(0), LEAST_PROFILE)
    deviation = (pixels.profile - center) / np.sqrt(mean_profile)
    return Whitening.of(deviation, pixels.level, mean_profile, center)


def _likeliest(
    model: ForwardModel,
    height: float,
    fitted_from: Callable[[LibraryFit], tuple[ForwardModel, float]],
    others: list[Elsewhere],
) -> ForwardModel:
    """A fit, or one from where else the library may stand.

    By what the fits end with: the course of a log-likelihood begins with part of the pixels.
    """
    found = [(model, height)]
    for other in others:
        tried, top = fitted_from(other.fit)
        found.append((replace(tried, begun_again=other.by_size), top))
    return max(found, key=lambda one: one[1])[0]


def _chosen_pixels(spectra: Spectra, n_pixels: int, rng: np.random.Generator) -> _Pixels:
    """At most ``n_pixels`` of the usable ones."""
    ok = np.flatnonzero(spectra.ok)
    if len(ok) > n_pixels:
        ok = np.sort(rng.choice(ok, n_pixels, replace=False))
    profile, level = spectra.profile[ok].astype(float), spectra.level[ok].astype(float)
    reference = np.median(spectra.background[ok], axis=0).astype(float)
    if not np.isfinite(reference).all() or reference[0] <= 0:
        reference = np.array([float(profile.mean()), 0.0])
    _, image = np.unique(spectra.image[ok], return_inverse=True)
    return _Pixels(profile, level, image, reference)


def _without_spikes(pixels: _Pixels) -> Array:
    """Profiles (n, B) for means and principal components, which bear no spikes."""
    typical = np.maximum(np.median(pixels.profile, axis=0), LEAST_PROFILE)
    deviation = (pixels.profile - typical) / np.sqrt(typical)
    whitening = Whitening.of(deviation, pixels.level, typical, typical)
    drawn_in, _ = whitening.apply(pixels.profile, pixels.level)
    profile: Array = typical + drawn_in * np.sqrt(typical)
    return profile


def _learned_continuum(
    energy: Array,
    drawn_in: Array,
    pixels: _Pixels,
    library: FingerprintLibrary,
    effort: Effort,
    rng: np.random.Generator,
) -> Continuum:
    """The continuum that profiles without spikes show beside the window."""
    half = 0.5 * (library.energy[1] - library.energy[0])
    window = (float(library.energy[0]) - half, float(library.energy[-1]) + half)
    return learn_continuum(
        energy,
        drawn_in,
        pixels.level,
        window,
        pixels.reference,
        library,
        rng,
        n_pixels=effort.continuum_pixels,
    )


def _misfits(
    library: FingerprintLibrary, fit: LibraryFit, continuum: Continuum, start: ForwardModel | None
) -> Directions:
    """Where fingerprints may miss the edge, as ``start`` has it."""
    edges = mean_edges(continuum.energy, library, fit)
    if start is None:
        return directions(continuum.energy, edges, continuum.window)
    return start.along.of_classes(start.known(library), edges)


def _problem(
    library: FingerprintLibrary,
    fit: LibraryFit,
    energy: Array,
    continuum: Continuum,
    whitening: Whitening,
    pixels: _Pixels,
    along: Directions,
    class_weights: Array | None,
) -> Problem:
    """The pixels in as few dimensions as matter, and what is expected beforehand."""
    white = 1.0 / np.sqrt(whitening.mean_profile)
    target, noise = whitening.apply(pixels.profile, pixels.level)
    columns = continuum.columns(energy, library) * white[:, None]
    whitened = along.shape * white[:, None]
    pairs = pairs_at_once(library)
    basis = span(energy, library, fit, columns, whitened, white, float(np.median(noise)), pairs)
    variances = continuum.prior_variances(library, fit.gain)
    return Problem(
        library=library,
        energy=energy,
        white=white,
        basis=basis,
        target=target @ basis,
        noise=noise,
        outside=log_likelihood_outside(target, noise, basis),
        columns=basis.T @ columns,
        along=along,
        directions=replace(along, shape=basis.T @ whitened),
        image=pixels.image,
        prior_covariance=np.diag(variances),
        offset_variances=image_variances(variances, library),
        class_weights=class_weights,
    )


def _first_state(problem: Problem, fit: LibraryFit, start: ForwardModel | None) -> State:
    """Where the fit begins: at the priors, or at what ``start`` found."""
    library = problem.library
    pairs, n_classes = pairs_at_once(library), library.n_classes
    members = components(library, pairs)
    mixed = MIXED if len(members) > n_classes else 0.0
    weight = np.array([(1.0 - mixed) / n_classes if a == b else 0.0 for a, b, _ in members])
    weight[n_classes:] = mixed / max(1, len(members) - n_classes)
    covariance = problem.prior_covariance
    population = Population(weight, np.zeros(len(covariance)), covariance)
    misfit = Misfit.unknown(n_classes, problem.along.shape.shape[1])
    if start is not None:
        population = Population(weight, start.mean, start.covariance)
        misfit = start.misfit.of_classes(start.known(library))
        library = replace(library, variations=start.library.variations)
    images = Images.alike(population, int(problem.image.max(initial=0)) + 1)
    n_bins, n_modes = problem.along.shape.shape
    return State(population, images, fit, library, misfit, Foreign.none(n_bins, n_modes), pairs)


def _fitted(
    problem: Problem,
    continuum: Continuum,
    whitening: Whitening,
    climb: Climb,
) -> ForwardModel:
    """The model of a fit that has ended."""
    library, state = problem.library, climb.state
    population = pooled(state.population, state.images, np.bincount(problem.image))
    shown = state.library_fit.apply(library.energy, library.intensity)
    along, misfit = problem.along, state.misfit
    shown = shown + shared_on(along, misfit, problem.energy, library.energy)[library.labels]
    return ForwardModel(
        library=replace(state.library, intensity=shown),
        library_fit=state.library_fit,
        misfit=misfit,
        along=along,
        noise=float(np.median(problem.noise)),
        continuum=continuum,
        mean_profile=whitening.mean_profile,
        middle=whitening.middle,
        spread=whitening.spread,
        mean=population.mean,
        covariance=population.covariance,
        within=state.population.covariance,
        **by_class(library, state.pairs, population.weight),
        pairs=state.pairs,
        foreign=state.foreign.left(state.foreign.share),
        log_likelihood=np.array(climb.likelihood),
        converged=climb.converged,
    )


def image_variances(variances: Array, library: FingerprintLibrary) -> Array:
    """Variances (P,) expected among images, of those (P,) that are expected beforehand."""
    shared = IMAGE_SHARE * variances
    shared[len(shared) - len(library.nuisances) :] *= OVERLAP_SHARE
    return shared

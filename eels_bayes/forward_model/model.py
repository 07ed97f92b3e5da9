"""The generative model of an experiment's pixels, fitted without labels.

A pixel's profile (its whole spectrum in bins of about 2 eV, in units of its norm) is

    y = center + columns u + (1 + e) f_k(E - d) + noise,    e ~ N(0, t^2),  d ~ N(0, s^2)

with the continuum of `continuum.Continuum`, a fingerprint ``f_k`` or a mixture of two, and Poisson
noise. The population of ``u``, the class weights and the library's overall gain, shift and
broadening come from the unlabelled pixels by expectation-maximisation (see `factors`), in which
every image has class weights of its own and a continuum of its own to vary around.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.special import logsumexp, softmax
from tqdm.auto import trange

from eels_bayes.arrays import Array
from eels_bayes.data.energy_resampling import shift_and_broaden
from eels_bayes.data.fingerprints import FingerprintLibrary, Variations
from eels_bayes.data.spectra import Spectra
from eels_bayes.effort import FULL, Effort
from eels_bayes.forward_model.continuum import Continuum, extended, learn_continuum
from eels_bayes.forward_model.factor_mixture import (
    N_COMMON,
    Expectation,
    Images,
    Population,
    Rotated,
    Shape,
    expectation,
    image_weights,
    log_likelihood,
    maximisation,
    offsets,
    overall_weights,
    pooled,
    recentred,
    rotated,
)

MIXING = (0.2, 0.4, 0.6, 0.8)  # share of the first partner in a two-class pixel
TOLERANCE = 1e-4  # nats a pixel in ten iterations
MEMORY = 10  # steps that an accelerated one is mixed from
DAMPING = 1e-6  # of the mixture's weights
SLACK = 1e-3  # nats a pixel that an accelerated step may lose
MIXED = 0.1  # share of mixed pixels expected beforehand ...
MIXED_WEIGHT = 0.25  # ... as if seen in so many of the pixels: noise hides what is mixed
BALANCE = 0.05  # weight of equal classes beforehand, as if seen in so many of the pixels
IMAGE_SHARE = 0.1  # of the continuum's variance beforehand that an image's pixels share
DEPARTURE = 0.1  # of its norm by which a mixture may miss a spectrum
VARIATION_PIXELS = 100.0  # weight of the library's own variations, in pixels
OUTLIER = 6.0  # sd beyond which a bin is a spike or a defect, and is drawn in
VARIED = ("intensity", "shift", "broadening")  # the common factors' scales
PAD = 3  # bins before the window that an edge may be shifted or broadened into
# Shift and splitting of an unknown structure's edge, eV
UNKNOWN = ((-3.0, 0.0), (3.0, 0.0), (-3.0, 4.0), (0.0, 4.0), (3.0, 4.0))
EXPLORED = (-1.0, 1.0)  # eV of shift that the compressed space allows for


@dataclass(frozen=True)
class LibraryFit:
    """How the library stands in this experiment: one gain, shift and broadening for all spectra.

    ``gain`` is measured over simulated intensity, ``shift`` is in eV, and ``broadening`` is the
    variance of a Gaussian in eV^2.
    """

    gain: float = 1.0
    shift: float = 0.0
    broadening: float = 0.0

    def apply(self, energy: Array, intensity: Array) -> Array:
        """Fingerprints (M, N) on ``energy`` (N,) as this experiment shows them."""
        step = energy[1] - energy[0]
        sigma = np.sqrt(max(self.broadening, 0.0)) / step
        return self.gain * shift_and_broaden(intensity, self.shift / step, sigma)


@dataclass(frozen=True, eq=False)
class ForwardModel:
    """The fitted population of an experiment's pixels; all intensities in edge units.

    Attributes
    ----------
    library : FingerprintLibrary
        On the window's axis, as this experiment shows it (``library_fit`` applied).
    library_fit : LibraryFit
    continuum : Continuum
    mean_profile : (B,) array
        Mean of the profiles: the shape of their Poisson noise.
    middle, spread : (B,) arrays
        Median deviation from the continuum's center and its sd among pixels, both over the root of
        ``mean_profile``; bins far outside are drawn in.
    mean, covariance : (P,) and (P, P) arrays
        Population of the continuum's coefficients ``u``.
    class_weights : (K,) array
        Share of each class, its part in mixed pixels included.
    pair_weights : (K, K) array
        Upper triangle: weight of pixels that mix two classes (see `mixing_pairs`); diagonal:
        weight of pure pixels.
    log_likelihood : (I,) array
        Mean log-likelihood of each iteration, nats a pixel.
    """

    library: FingerprintLibrary
    library_fit: LibraryFit
    continuum: Continuum
    mean_profile: Array
    middle: Array
    spread: Array
    mean: Array
    covariance: Array
    class_weights: Array
    pair_weights: Array
    log_likelihood: Array

    @property
    def white(self) -> Array:
        """What whitens the profile's noise (B,)."""
        white: Array = 1.0 / np.sqrt(self.mean_profile)
        return white

    def components(self) -> tuple[list[tuple[int, int, float]], Array]:
        """Components (first class, second class, share of the first) and their weights."""
        members = components(self.library)
        shares = len(MIXING)
        weight = [self.pair_weights[a, b] / (1 if a == b else shares) for a, b, _ in members]
        return members, np.array(weight)

    def dominance(self) -> Array:
        """Which class dominates each component, (components, K), rows one-hot."""
        members, _ = self.components()
        dominant = [a if share >= 0.5 else b for a, b, share in members]
        one_hot: Array = np.eye(self.library.n_classes)[dominant]
        return one_hot

    @property
    def dominant_weights(self) -> Array:
        """Share of pixels that each class dominates (K,), none quite zero."""
        shares = np.maximum(self.components()[1] @ self.dominance(), 1e-4)
        weights: Array = shares / shares.sum()
        return weights

    def rotated_components(self) -> list[Rotated]:
        """Every component's distribution in whitened bins; see `factor_mixture.rotated`."""
        energy = self.continuum.energy
        columns = self.continuum.columns(energy, self.library) * self.white[:, None]
        population = Population(self.components()[1], self.mean, self.covariance)
        # the library is as shown already
        shapes = edge_shapes(energy, self.library, LibraryFit(), self.white)
        return [rotated(columns, population, shape) for shape in shapes]

    def whiten(self, profile: Array, level: Array) -> tuple[Array, Array]:
        """Whitened deviations (n, B) of profiles (n, B) from the center, and their noise (n,)."""
        return _whiten(
            profile,
            level,
            self.mean_profile,
            self.continuum.center(self.continuum.energy),
            self.middle,
            self.spread,
        )


def _whiten(
    profile: Array, level: Array, mean: Array, center: Array, middle: Array, spread: Array
) -> tuple[Array, Array]:
    # Poisson noise follows the pixel's own brightness, which a norm already holds.
    brightness = np.clip(profile.mean(1) / mean.mean(), 0.05, 20.0)
    noise = level * brightness
    deviation = (profile - center) / np.sqrt(mean)
    reach = OUTLIER * np.sqrt(spread**2 + noise[:, None])
    return np.clip(deviation, middle - reach, middle + reach), noise


def _middle_and_spread(deviation: Array, level: Array) -> tuple[Array, Array]:
    """Median and sd of whitened deviations (n, B) among pixels, by the quartiles, less noise."""
    low, middle, high = np.quantile(deviation, [0.25, 0.5, 0.75], axis=0)
    return middle, np.sqrt(np.maximum(((high - low) / 1.349) ** 2 - level.mean(), 0.0))


def mixing_pairs(library: FingerprintLibrary) -> list[tuple[int, int]]:
    """Classes that may share a pixel, the smaller index first.

    Where classes have values, only those with no other between them: spectra that scale with the
    value make a mixture of the outer two the very spectrum of a class between them, and a
    composition that varies continuously passes through that class. A class whose spectrum is no
    such mixture, a defect, separates nothing. Without values, any two.
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
    found = np.zeros(len(spectra), dtype=bool)
    for k, spectrum in enumerate(spectra):
        lower, higher = spectra[values < values[k]], spectra[values > values[k]]
        if len(lower) and len(higher):
            _, left = nnls(np.concatenate([lower, higher]).T, spectrum)
            found[k] = left <= DEPARTURE * np.linalg.norm(spectrum)
    return found


def components(library: FingerprintLibrary) -> list[tuple[int, int, float]]:
    """Every class pure, then every pair that may mix at the shares of ``MIXING``."""
    pure = [(k, k, 1.0) for k in range(library.n_classes)]
    return pure + [(a, b, share) for a, b in mixing_pairs(library) for share in MIXING]


def onto_bins(energy: Array, fine: Array, rows: Array) -> Array:
    """Rows (..., N) on a fine axis as means over the bins (..., B) around ``energy``; 0 off it."""
    width, step = energy[1] - energy[0], fine[1] - fine[0]
    size = round(width / step)
    first = round((fine[0] - 0.5 * step - (energy[0] - 0.5 * width)) / width)
    binned = rows[..., : rows.shape[-1] // size * size]
    binned = binned.reshape(*rows.shape[:-1], -1, size).mean(-1)
    out = np.zeros((*rows.shape[:-1], len(energy)))
    out[..., first : first + binned.shape[-1]] = binned
    return out


def wide_axis(energy: Array, window_axis: Array) -> Array:
    """The window's channels continued from `PAD` bins before it to the last bin's end."""
    width, step = energy[1] - energy[0], window_axis[1] - window_axis[0]
    start = window_axis[0] - 0.5 * step - PAD * width
    start = max(start, energy[0] - 0.5 * width)
    n = round((energy[-1] + 0.5 * width - start) / step)
    fine: Array = start + step * (np.arange(n) + 0.5)
    return fine


def edge_shapes(
    energy: Array, library: FingerprintLibrary, fit: LibraryFit, white: Array
) -> list[Shape]:
    """Components of the mixture in whitened bins.

    The first `N_COMMON` factors are intensity, shift and squared broadening; the rest is the spread
    of the class's own fingerprints.
    """
    vary = library.variations
    fine = wide_axis(energy, library.energy)
    step = fine[1] - fine[0]
    # The population's mean broadening belongs to the mean; its spread is a factor.
    shown = replace(fit, broadening=fit.broadening + vary.broadening**2)
    intensity = shown.apply(fine, extended(library, fine).intensity)
    per_class = []
    for k in range(library.n_classes):
        rows = intensity[library.labels == k]
        mean = rows.mean(0)
        slope = np.gradient(mean, step)
        loadings = [
            vary.intensity * mean,
            -vary.shift * slope,
            # sd of sigma^2 for a half-normal sigma is sqrt(2) times its mean square.
            0.5 * np.sqrt(2.0) * vary.broadening**2 * np.gradient(slope, step),
            *((rows - mean) / np.sqrt(len(rows))),
        ]
        binned = onto_bins(energy, fine, np.array([mean, *loadings])) * white
        per_class.append((binned[0], binned[1:]))
    shapes = []
    for a, b, share in components(library):
        (mean_a, load_a), (mean_b, load_b) = per_class[a], per_class[b]
        if a == b:
            shapes.append(Shape(mean_a, load_a.T))
            continue
        common = share * load_a[:N_COMMON] + (1 - share) * load_b[:N_COMMON]
        spread = [share * load_a[N_COMMON:], (1 - share) * load_b[N_COMMON:]]
        mean = share * mean_a + (1 - share) * mean_b
        shapes.append(Shape(mean, np.concatenate([common, *spread]).T))
    return shapes


def unknown_shapes(energy: Array, library: FingerprintLibrary, white: Array) -> list[Shape]:
    """What the edge of a structure beside the library may look like, in whitened bins.

    Structures of the same element differ by chemical shifts and splittings: the strongest class's
    edge at `UNKNOWN`, its intensity uncertain by a tenth. Weak edges have no shape to speak of.
    """
    fine = wide_axis(energy, library.energy)
    step = fine[1] - fine[0]
    spectra = extended(library, fine).class_spectra
    strongest = spectra[[int(np.argmax(spectra.sum(1)))] * 2]
    shapes = []
    for shift, split in UNKNOWN:
        ends = np.array([shift - 0.5 * split, shift + 0.5 * split]) / step
        mean = shift_and_broaden(strongest, ends, 0.0).mean(0)
        binned = onto_bins(energy, fine, mean) * white
        shapes.append(Shape(binned, 0.1 * binned[:, None]))
    return shapes


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
    middle, spread = _middle_and_spread((profile - typical) / np.sqrt(typical), level)
    drawn_in, _ = _whiten(profile, level, typical, typical, middle, spread)
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
    middle, spread = _middle_and_spread((profile - continuum.center(energy)) * white, level)
    target, noise = _whiten(profile, level, mean_profile, continuum.center(energy), middle, spread)
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
    now = _State(population, images, fit, varied)

    def improve(old: _State) -> tuple[_State, float]:
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
        return _State(new, Images(weights, found.mean), fit, varied), step.log_likelihood

    now, history = _accelerated(now, improve, width, effort.forward_iterations, show_progressbar)
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


@dataclass(frozen=True, eq=False)
class _State:
    """What is fitted: population and images, how the library stands, and how much it varies."""

    population: Population
    images: Images
    library_fit: LibraryFit
    library: FingerprintLibrary

    def vector(self, width: Array) -> Array:
        """As free numbers of comparable size; ``width`` (P,) is the prior sd of ``u``."""
        population, fit = self.population, self.library_fit
        root = np.linalg.cholesky(population.covariance) / width[:, None]
        lower = np.tril_indices(len(root), -1)
        return np.concatenate(
            [
                np.log(np.maximum(population.weight, 1e-10)),
                population.mean / width,
                np.log(np.diag(root)),
                root[lower],
                [np.log(fit.gain), fit.shift, fit.broadening],
                np.log([max(getattr(self.library.variations, name), 1e-9) for name in VARIED]),
                np.log(np.maximum(self.images.weight, 1e-10)).ravel(),
                (self.images.offset / width).ravel(),
            ]
        )

    def replaced(self, vector: Array, width: Array) -> _State:
        """The state of such a vector."""
        n, p = len(self.population.weight), len(self.population.mean)
        own = len(self.images.weight)
        vector, own_weight, own_offset = np.split(vector, [-own * (n + p), -own * p])
        images = Images(
            softmax(own_weight.reshape(own, n), axis=1), own_offset.reshape(own, p) * width
        )
        weight = np.exp(vector[:n] - vector[:n].max())
        root = np.diag(np.exp(np.clip(vector[n + p : n + 2 * p], -20.0, 20.0)))
        root[np.tril_indices(p, -1)] = vector[n + 2 * p : -6]
        root = root * width[:, None]
        gain, shift, broadening = np.clip(vector[-6:-3], [-2.0, -10.0, 0.0], [2.0, 10.0, 100.0])
        varied = dict(zip(VARIED, np.exp(np.clip(vector[-3:], -12.0, 3.0)).tolist(), strict=True))
        return _State(
            Population(weight / weight.sum(), vector[n : n + p] * width, root @ root.T),
            images,
            LibraryFit(float(np.exp(gain)), float(shift), float(broadening)),
            replace(self.library, variations=Variations(**varied)),
        )


def _accelerated(
    start: _State,
    improve: Callable[[_State], tuple[_State, float]],
    width: Array,
    steps: int,
    show_progressbar: bool,
) -> tuple[_State, list[float]]:
    """Iterate expectation-maximisation, each step mixed with the last few.

    Anderson's acceleration with a damped least-squares fit, begun afresh where the likelihood falls
    (Henderson and Varadhan, J. Comput. Graph. Stat. 28, 834 (2019)).
    """
    history: list[float] = []
    now, best = start, start
    points: list[Array] = []
    images: list[Array] = []
    bar = trange(steps, desc="forward model", disable=not show_progressbar)
    for _ in bar:
        try:
            improved, likelihood = improve(now)
        except np.linalg.LinAlgError:  # a leap to where there is no covariance
            likelihood = -np.inf
        if history and likelihood < max(history) - SLACK:
            now, points, images = best, [], []
            continue
        best = improved
        history.append(likelihood)
        bar.set_postfix(loglik=f"{likelihood:.4f}", refresh=False)
        if len(history) > 10 and history[-1] - history[-10] < TOLERANCE:
            break
        points.append(now.vector(width))
        images.append(improved.vector(width))
        points, images = points[-MEMORY:], images[-MEMORY:]
        now = improved
        if len(points) > 1:
            residuals = np.array(images) - np.array(points)
            change = np.diff(residuals, axis=0).T
            gram = change.T @ change
            damping = DAMPING * np.trace(gram) / len(gram) * np.eye(len(gram))
            part = np.linalg.solve(gram + damping, change.T @ residuals[-1])
            leap = images[-1] - np.diff(images, axis=0).T @ part
            now = improved.replaced(leap, width)
    bar.close()
    return best, history

"""The forward model's fit: recovery of a known truth, its monotony, and what it leaves alone."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch

import eels_bayes as eb
from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.spectra import ImageInfo
from eels_bayes.data.variations import Variations
from eels_bayes.forward_model import em_steps
from eels_bayes.forward_model.acceleration import SLACK, State, Stepping
from eels_bayes.forward_model.class_weights import fit_weights, with_mixed
from eels_bayes.forward_model.components import MIXING, components, mixing_pairs
from eels_bayes.forward_model.directions import spanned
from eels_bayes.forward_model.edge_shapes import LibraryFit, edge_shapes, onto_bins, wide_axis
from eels_bayes.forward_model.em_steps import FEW, log_likelihood_outside
from eels_bayes.forward_model.factor_mixture import Population, Shape, log_likelihood, rotated
from eels_bayes.forward_model.factor_moments import N_COMMON
from eels_bayes.forward_model.fit import _likeliest
from eels_bayes.forward_model.library_step import VARIATION_PIXELS, moved
from eels_bayes.forward_model.model_evidence import evidence_of
from eels_bayes.forward_model.other_standings import Elsewhere
from eels_bayes.forward_model.stages import UNKNOWN_SHARE
from eels_bayes.forward_model.whitening import OUTLIER
from helpers.drawn_pixels import (
    BINS,
    ENERGY,
    FINE,
    NORM,
    SIZE,
    STEP,
    WEIGHTS,
    binned,
    continued,
    fit,
    library,
    make,
    simulate,
)


def class_probabilities(model, spectra):
    """p(dominant class | pixel), (n, K)."""
    out = evidence_of(model)(torch.from_numpy(spectra.profile), torch.from_numpy(spectra.level))
    return out.log_probability.double().exp().numpy() @ model.dominance()


@pytest.fixture(scope="module")
def data():
    return simulate()


@pytest.fixture(scope="module")
def fitted(data):
    return fit(data[0])


# What is recovered


@pytest.mark.parametrize("dose", [20.0, 100.0])
def test_a_wrong_fingerprint_is_no_constant_share_of_another_class(dose):
    true = library()
    rows = true.intensity.copy()
    rows[2] = 0.8 * rows[2] + 0.2 * rows[1]
    spectra, labels = simulate(
        n=600, seed=6, dose=dose, shown=dataclasses.replace(true, intensity=rows)
    )
    model = fit(spectra)
    assert model.pair_weights[1, 2] < 0.05
    assert model.pair_weights[2, 2] == pytest.approx((labels == 2).mean(), abs=0.03)


def test_likelihoods_of_pixels_do_not_depend_on_their_compression(rng):
    target, noise = rng.normal(size=(5, 9)), rng.uniform(0.5, 2.0, 5)
    edge, columns = rng.normal(size=(9, 2)), rng.normal(size=(9, 1))
    population = Population(np.ones(1), np.zeros(1), np.eye(1))
    whole = rotated(columns, population, Shape(edge[:, 0], edge[:, 1:]))
    basis = spanned(np.concatenate([edge, columns], axis=1))
    assert basis.shape == (9, 3)
    small = rotated(
        basis.T @ columns, population, Shape(*(basis.T @ x for x in (edge[:, 0], edge[:, 1:])))
    )
    found = log_likelihood(target @ basis, noise, small)[0]
    found = found + log_likelihood_outside(target, noise, basis)
    np.testing.assert_allclose(found, log_likelihood(target, noise, whole)[0])


def test_mixed_pixels_keep_their_weights_while_none_is_asked_for(rng):
    weight, old = rng.dirichlet(np.ones(7), 4), rng.dirichlet(np.ones(7), 4)
    found = with_mixed(weight, old, 3)
    np.testing.assert_allclose(found.sum(1), 1.0)
    np.testing.assert_array_equal(found[:, 3:], old[:, 3:])
    np.testing.assert_allclose(found[:, :2] / found[:, 2:3], weight[:, :2] / weight[:, 2:3])
    np.testing.assert_allclose(with_mixed(weight[0], old[0], 3), found[0])  # overall as of images


def test_what_varies_less_broadens_all_pixels():
    old = library()
    new = dataclasses.replace(old, variations=Variations(0.1, 0.2, 0.06))
    fit = moved(LibraryFit(broadening=0.3), np.array([0.0, 0.0, 0.1]), 0.0, old, new)
    mean = 0.3 + 0.2**2 + 0.3**2 + np.sqrt(2) * 0.3**2 * 0.1
    assert fit.broadening + 0.1**2 + 0.2**2 == pytest.approx(mean)
    assert moved(LibraryFit(), np.zeros(3), 0.0, new, old).broadening == 0.0  # no less than nothing


def test_a_known_population_is_recovered(data, fitted):
    shares = np.bincount(data[1], minlength=3) / len(data[1])
    np.testing.assert_allclose(fitted.class_weights, shares, atol=0.03)
    assert fitted.class_weights.sum() == pytest.approx(1.0)
    assert fitted.pair_weights.sum() == pytest.approx(1.0)
    assert (np.tril(fitted.pair_weights, -1) == 0).all()
    assert np.trace(fitted.pair_weights) > 0.9  # nothing is mixed here
    assert fitted.library_fit.gain == pytest.approx(1.0, abs=0.03)
    assert fitted.library_fit.shift == pytest.approx(0.0, abs=0.05)
    np.testing.assert_allclose(fitted.mean[:2], 0.0, atol=0.01)
    assert fitted.mean[-1] == pytest.approx(0.2, abs=0.03)
    sd = np.sqrt(np.diag(fitted.covariance))
    np.testing.assert_allclose(sd[[0, 1, -1]], [0.03, 0.05, 0.1], rtol=0.15)
    found = fitted.library.variations
    assert found.intensity == pytest.approx(0.06, rel=0.15)
    assert found.shift == pytest.approx(0.2, rel=0.15)
    # the mean continuum on the window is the true one, in units where an edge is about one
    continuum = fitted.continuum
    mean = continuum.center(ENERGY)
    mean = mean + continuum.columns(ENERGY, fitted.library) @ fitted.mean
    truth = 20 * (ENERGY / ENERGY[0]) ** -3.0 + 0.2 * library().nuisances[0]
    np.testing.assert_allclose(mean, truth, atol=0.06)


@pytest.mark.parametrize(("gain", "shift"), [(1.2, 0.6), (0.85, -0.4), (1.0, 2.5)])
def test_the_librarys_gain_and_shift_are_recovered(gain, shift):
    spectra, labels = simulate(n=800, seed=3, gain=gain, shift=shift)
    model = fit(spectra)
    assert model.library_fit.gain == pytest.approx(gain, rel=0.03)
    assert model.library_fit.shift == pytest.approx(shift, abs=0.1)
    np.testing.assert_allclose(model.class_weights, np.bincount(labels) / 800, atol=0.05)
    # the model's library is the one the experiment shows
    truth = library(gain, shift).intensity
    assert np.abs(model.library.intensity - truth).max() < 0.1 * truth.max()
    assert (class_probabilities(model, spectra).argmax(1) == labels).mean() > 0.95


def test_the_librarys_variations_are_learned(data):
    given = Variations(shift=0.1, broadening=0.3, intensity=0.12)
    lib = dataclasses.replace(library(), variations=given)
    spectra, _ = simulate(n=1000, dose=200.0)  # every pixel shows its own shift and intensity
    found = fit(spectra, lib).library.variations
    prior = VARIATION_PIXELS
    for name, truth in (("shift", 0.2), ("intensity", 0.06)):
        # the given ones weigh as so many pixels
        both = (1000 * truth**2 + prior * getattr(given, name) ** 2) / (1000 + prior)
        assert getattr(found, name) == pytest.approx(np.sqrt(both), rel=0.08)
    # a handful of noisy pixels says little
    few = fit(data[0][:5], lib).library.variations
    assert few.intensity == pytest.approx(0.12, rel=0.1)
    assert few.shift == pytest.approx(0.1, rel=0.1)


def test_mixed_pixels_are_found():
    spectra, labels = simulate(n=1000, mixed=0.3)
    model = fit(spectra)
    assert 1 - np.trace(model.pair_weights) == pytest.approx(0.3, abs=0.08)
    mean = model.dominance().T @ model.components()[1]
    np.testing.assert_allclose(mean, np.bincount(labels) / 1000, atol=0.06)


def in_images(spectra, n_images):
    """The same pixels, so many in a row an image."""
    image = np.arange(len(spectra)) * n_images // len(spectra)
    info = ImageInfo((len(spectra) // n_images,), (), {}, "", EnergyAxis(FINE[0], STEP, len(FINE)))
    return dataclasses.replace(spectra, image=image, images=(info,) * n_images)


def test_classes_that_come_with_an_images_background_do_not_shape_the_population():
    # at low dose, where the class is in doubt
    mixes = np.array([[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]])
    parts = [
        simulate(n=500, seed=20 + i, weights=mix, dose=0.02, background=1 + 0.1 * (i - 1))
        for i, mix in enumerate(mixes)
    ]
    together = make(np.concatenate([part[0].counts for part in parts]), NORM * 0.02)
    labels = np.concatenate([part[1] for part in parts])
    blind, seeing = fit(together), fit(in_images(together, 3))
    scores = [
        eb.metrics.summary(class_probabilities(model, together), labels)
        for model in (blind, seeing)
    ]
    assert scores[1]["nll"] < scores[0]["nll"] - 0.02
    np.testing.assert_allclose(seeing.class_weights, np.bincount(labels) / 1500, atol=0.08)


def test_images_that_share_one_mix_cost_nothing(data, fitted):
    spectra, labels = data
    model = fit(in_images(spectra, 10))
    np.testing.assert_allclose(model.class_weights, fitted.class_weights, atol=0.01)
    np.testing.assert_allclose(model.mean, fitted.mean, atol=0.02)
    nll = [eb.metrics.nll(class_probabilities(m, spectra), labels) for m in (fitted, model)]
    assert nll[1] < nll[0] + 0.005


def test_pixels_are_classified_as_well_as_they_say():
    spectra, labels = simulate(n=1500, seed=4, dose=0.05)
    p = class_probabilities(fit(spectra), spectra)
    np.testing.assert_allclose(p.sum(1), 1.0, rtol=1e-5)
    right = p.argmax(1) == labels
    assert 0.6 < right.mean() < 0.97  # neither hopeless nor easy
    assert p.max(1).mean() == pytest.approx(right.mean(), abs=0.05)
    assert -np.log(p[np.arange(1500), labels]).mean() < 0.6 * np.log(3)


def test_a_high_dose_series_is_classified_by_the_forward_model_alone():
    series = eb.simulate.annealing_series(n_images=8, shape=(8, 8), dose=10.0, seed=0)
    pre = eb.Preprocessor(
        (677, 737), 0.25, background=(650, 680), normalize=(570, 592.5), align=(567.5, 627.5)
    )
    spectra = pre(series.signals)
    model = fit(spectra, eb.FingerprintLibrary.example())
    truth = series.truth.label.to_numpy().ravel()
    p = class_probabilities(model, spectra)
    assert (p.argmax(1) == truth).mean() > 0.92
    assert -np.log(p[np.arange(len(truth)), truth]).mean() < 0.15
    np.testing.assert_allclose(model.class_weights, np.bincount(truth) / len(truth), atol=0.03)


# The iterations


def test_iterations_hardly_lower_the_likelihood(fitted):
    history = fitted.log_likelihood
    assert len(history) > 3
    # What a step increases is the likelihood with the priors, which are worth a few pixels, and the
    # library moves by an approximate step: the bare likelihood may give back that little.
    change = np.diff(history)
    # A stage in which pixels may be of no class begins with a loss: theirs is a hundredth of all.
    assert (change < -SLACK).sum() <= 2
    assert change.min() > np.log1p(-UNKNOWN_SHARE) - SLACK
    assert history[-1] > history[0] + 0.05


@pytest.mark.parametrize("case", [{"dose": 0.5}, {"gain": 0.8, "shift": 0.7, "mixed": 0.2}])
def test_a_third_of_the_steps_get_at_least_as_far_accelerated(case, monkeypatch):
    spectra, _ = simulate(n=600, seed=2, **case)
    improve, found = em_steps.Problem.improve, []

    def recorded(problem, state):
        step = improve(problem, state)
        found.append(step.objective)
        return step

    def highest(iterations, memory):
        found.clear()
        to_the_end = Stepping(tolerance=-1.0, memory=memory)  # all steps are taken
        fit(spectra, iterations=iterations, stepping=to_the_end)
        assert len(found) >= iterations
        return found[0], max(found)

    monkeypatch.setattr(em_steps.Problem, "improve", recorded)
    first, fast = highest(60, 10)
    plain_first, plain = highest(180, 1)  # nothing to mix a step with
    assert first == plain_first
    assert fast > plain - 2e-3


def test_leaps_to_where_there_is_no_model_are_taken_back(data, fitted, monkeypatch):
    leaps = []
    replaced = State.replaced

    def wild(self, vector, width):
        leaps.append(len(leaps))
        if leaps[-1] % 3 == 0:  # far away
            return replaced(self, np.full_like(vector, 1e3), width)
        state = replaced(self, vector, width)
        if leaps[-1] % 3 == 1:  # a covariance that is none
            none = dataclasses.replace(state.population, covariance=-state.population.covariance)
            return dataclasses.replace(state, population=none)
        return state

    monkeypatch.setattr(State, "replaced", wild)
    model = fit(data[0])
    assert len(leaps) > 5
    assert model.log_likelihood[-1] > fitted.log_likelihood[-1] - 0.01
    np.testing.assert_allclose(model.class_weights, fitted.class_weights, atol=0.01)


@pytest.mark.parametrize("n", [FEW, None])
def test_order_of_the_pixels_does_not_matter(data, n):
    """Few are reckoned in double precision; of all, rounding moves what says next to nothing."""
    spectra = data[0][:n]
    order = np.random.default_rng(2).permutation(len(spectra))
    words = {"iterations": 600, "stepping": Stepping(tolerance=1e-8)}  # ends where there is an end
    one, other = (fit(given, **words) for given in (spectra, spectra[order]))
    np.testing.assert_allclose(other.class_weights, one.class_weights, atol=1e-4)
    np.testing.assert_allclose(other.mean, one.mean, atol=1e-3)
    assert other.library_fit.shift == pytest.approx(one.library_fit.shift, abs=1e-3)
    assert other.log_likelihood[-1] == pytest.approx(one.log_likelihood[-1], abs=1e-3)
    np.testing.assert_allclose(other.covariance, one.covariance, atol=1e-3 if n else 5e-3)


def test_same_seed_same_fit_where_pixels_are_chosen(data):
    one, two, other = (fit(data[0], seed=seed, iterations=30, pixels=200) for seed in (0, 0, 1))
    assert np.array_equal(one.mean, two.mean)
    assert np.array_equal(one.log_likelihood, two.log_likelihood)
    assert not np.array_equal(one.mean, other.mean)
    np.testing.assert_allclose(one.class_weights, WEIGHTS, atol=0.1)


# What is given, and what is left out


def test_given_class_weights_are_kept(data):
    weights = np.array([0.2, 0.2, 0.6])
    model = fit(data[0], class_weights=weights, iterations=15)
    pure = np.diag(model.pair_weights)
    np.testing.assert_allclose(pure / pure.sum(), weights)


def with_rows(spectra, bad):
    """`spectra` and, behind them, `bad` ones."""
    names = {f.name for f in dataclasses.fields(spectra)}
    names -= {"energy", "profile_energy", "images", "preprocessor"}
    joined = {n: np.concatenate([getattr(spectra, n), getattr(bad, n)]) for n in names}
    return dataclasses.replace(spectra, **joined)


def test_flagged_pixels_are_left_out(data, fitted):
    first = data[0][:50]
    bad = dataclasses.replace(
        first,
        intensity=np.full_like(first.intensity, np.nan),
        profile=np.full_like(first.profile, np.nan),
        level=np.full_like(first.level, np.nan),
        spike=np.full_like(first.spike, np.nan),
        background=np.full_like(first.background, np.nan),
        flag=np.full(50, 2),
    )
    model = fit(with_rows(data[0], bad))
    np.testing.assert_allclose(model.class_weights, fitted.class_weights, atol=1e-9)
    np.testing.assert_allclose(model.mean, fitted.mean, atol=1e-9)


def test_spikes_do_not_move_the_fit(data, fitted):
    spectra, labels = data
    rng = np.random.default_rng(5)
    hit = rng.choice(len(spectra), 60, replace=False)
    profile = spectra.profile.copy()
    profile[hit, rng.integers(len(BINS), size=60)] += 300.0  # ten times what is there
    spiked = dataclasses.replace(spectra, profile=profile)
    model = fit(spiked)
    np.testing.assert_allclose(model.class_weights, fitted.class_weights, atol=0.01)
    np.testing.assert_allclose(model.mean[:2], fitted.mean[:2], atol=0.01)
    assert model.library_fit.gain == pytest.approx(fitted.library_fit.gain, abs=0.02)
    assert model.library_fit.shift == pytest.approx(fitted.library_fit.shift, abs=0.03)
    # they hardly show in the free shapes either
    free, plain = model.continuum.free[1:], fitted.continuum.free[1:]
    assert np.abs(free).max() < 5 * np.abs(plain).max()
    # and the pixels that were hit are still what they are
    p = class_probabilities(model, spiked)
    assert (p.argmax(1) == labels)[hit].mean() > 0.95


def test_whitened_bins_are_drawn_in_where_nothing_explains_them(data, fitted):
    spectra = data[0][:40]
    profile, level = spectra.profile.astype(float), spectra.level.astype(float)
    target, noise = fitted.whiten(profile, level)
    plain = (profile - fitted.continuum.center(BINS)) * fitted.white
    assert (np.abs(target - plain) < 1e-12).mean() > 0.999
    # Poisson noise goes with a pixel's brightness: about the same in whitened bins
    np.testing.assert_allclose(noise, level * profile.mean(1) / fitted.mean_profile.mean())
    profile[3, 20], profile[4, 20] = 1e4, -1e4
    spiked, louder = fitted.whiten(profile, level)
    reach = OUTLIER * np.sqrt(fitted.spread[20] ** 2 + louder[3:5])
    np.testing.assert_allclose(spiked[3:5, 20] - fitted.middle[20], reach * [1, -1])
    assert louder[3] < 6 * noise[3]
    others = ~np.isin(np.arange(40), [3, 4])
    np.testing.assert_array_equal(spiked[others], target[others])
    # a pixel without counts is not without noise, nor one with endless counts without a place
    for counts, factor in ((np.zeros_like(profile), 0.05), (np.full_like(profile, 1e6), 20)):
        np.testing.assert_allclose(fitted.whiten(counts, level)[1], factor * level)


def test_a_library_without_overlap_and_a_class_without_edge():
    rows = np.concatenate([library().intensity[:1], np.zeros((1, len(ENERGY)))])
    lib = FingerprintLibrary.from_arrays(ENERGY, rows, [0, 1])
    spectra, _ = simulate(n=300, weights=np.array([1.0, 0.0, 0.0]))
    model = fit(spectra, lib, iterations=10)
    assert all(np.isfinite(x).all() for x in (model.mean, model.covariance, model.class_weights))
    assert model.class_weights[0] > 0.9


def test_a_class_that_the_pixels_lack_keeps_a_little_weight():
    spectra, _ = simulate(n=500, weights=np.array([0.6, 0.4, 0.0]))
    model = fit(spectra)
    assert 0.5 / 500 < model.pair_weights[2, 2] < 0.05
    assert model.class_weights[2] < 0.05


@pytest.mark.parametrize("bins", [0, 7])
def test_profiles_too_short_to_tell_an_edge_are_an_error(data, bins):
    spectra = data[0]
    short = dataclasses.replace(
        spectra, profile=spectra.profile[:, :bins], profile_energy=BINS[:bins]
    )
    with pytest.raises(
        ValueError, match=rf"profiles hold {bins} bins; at least 8 .*widen the window or background"
    ):
        fit(short)


def test_library_off_the_window_is_an_error(data):
    short = FingerprintLibrary.from_arrays(ENERGY[:-10], library().intensity[:, :-10], [0, 1, 2])
    with pytest.raises(ValueError, match=r"cover 677 to 731.5 eV, but the axis asked"):
        fit(data[0], short)


# Components and their shapes


def test_classes_that_may_share_a_pixel_are_neighbours_in_value():
    lib = library()
    assert mixing_pairs(lib) == [(0, 1), (0, 2), (1, 2)]
    values = np.array([0.5, 0.0, 0.25])
    shape = lib.intensity[0]
    scaled = dataclasses.replace(lib, intensity=np.outer([1.0, 0.1, 0.6], shape))
    valued = dataclasses.replace(scaled, values=values)
    assert mixing_pairs(valued) == [(1, 2), (0, 2)]
    # one whose edge lies elsewhere does not come between the others
    assert mixing_pairs(dataclasses.replace(lib, values=values)) == [(1, 2), (0, 1), (0, 2)]
    spectra, _ = simulate(n=200)
    pair_weights = fit(spectra, valued, iterations=3).pair_weights
    assert pair_weights[0, 1] == 0 and (pair_weights[[0, 1], [2, 2]] > 0).all()
    example = eb.FingerprintLibrary.example()
    assert sorted(mixing_pairs(example)) == list(pairwise(range(4)))


def test_weights_alone_are_those_of_the_whole_fit(data, fitted):
    spectra, labels = data
    found = fit_weights(fitted, spectra, library())
    shares = np.bincount(labels, minlength=3) / len(labels)
    np.testing.assert_allclose(found.class_weights, shares, atol=0.03)
    np.testing.assert_allclose(found.class_weights, fitted.class_weights, atol=0.01)
    assert found.pair_weights.sum() == pytest.approx(1.0)
    assert (np.diff(found.log_likelihood) > -1e-6).all()
    given = np.array([0.2, 0.2, 0.6])
    told = fit_weights(fitted, spectra, library(), class_weights=given).pair_weights
    np.testing.assert_allclose(np.diag(told) / np.trace(told), given, atol=1e-6)


def test_weights_alone_leave_the_rest_to_an_unknown_structure(data, fitted):
    """Fitted to a class that lies elsewhere: taken for a variation by a fit, not by weights."""
    spectra, _ = simulate(n=400, seed=3, shift=3.0)
    found = fit_weights(fitted, spectra, library())
    for name in ("library_fit", "continuum", "mean_profile", "mean", "covariance"):
        assert getattr(found, name) is getattr(fitted, name), name
    assert found.library.variations == fitted.library.variations
    np.testing.assert_allclose(found.library.intensity, fitted.library.intensity)
    refitted = fit(spectra, start=fitted)
    assert refitted.library_fit.shift > 2.0


def test_weights_alone_of_a_class_that_is_a_mixture_until_it_is_shown(data, fitted):
    """What pixels share of misfit makes of a mixture what is none: more classes may mix then."""
    low, _, high = library().intensity
    rows = np.stack([low, 0.5 * (low + high), high])
    lib = FingerprintLibrary.from_arrays(
        ENERGY, rows, [0, 1, 2], values=[1.0, 0.5, 0.0], nuisances=library().nuisances
    )
    shared = np.zeros_like(fitted.misfit.shared)
    shared[1] = 1.0
    off = dataclasses.replace(fitted, misfit=dataclasses.replace(fitted.misfit, shared=shared))
    found = fit_weights(off, data[0], lib, iterations=3)
    assert len(mixing_pairs(lib)) == 2
    assert list(found.pairs) == mixing_pairs(found.library)
    assert len(found.pairs) == 3
    assert found.components()[1].sum() == pytest.approx(1.0)


def test_components_and_their_weights_belong_together(fitted):
    members, weight = fitted.components()
    assert members == components(library(), [(0, 1), (0, 2), (1, 2)])
    assert len(members) == 3 + 3 * len(MIXING)
    assert weight.sum() == pytest.approx(1.0)
    shares = np.zeros(3)
    dominant = []
    for (a, b, share), w in zip(members, weight, strict=True):
        assert (a == b) == (share == 1.0)
        shares += w * (share * np.eye(3)[a] + (1 - share) * np.eye(3)[b])
        dominant.append(a if share > 0.5 else b)
        if a != b:  # the shares of a pair have equal weights
            assert w == pytest.approx(fitted.pair_weights[a, b] / len(MIXING))
    # the fit spread a pair's weight over the shares as it found them
    np.testing.assert_allclose(shares, fitted.class_weights, atol=0.02)
    np.testing.assert_array_equal(fitted.dominance(), np.eye(3)[dominant])
    assert len(fitted.rotated_components()) == len(members)


@pytest.mark.parametrize("shift", [-1.3, 0.0, 0.7])
def test_library_fit_moves_scales_and_broadens(shift):
    energy = np.arange(650, 750, 0.25)
    line = np.exp(-0.5 * ((energy - 700) / 2) ** 2)
    shown = LibraryFit(gain=1.5, shift=shift, broadening=1.2).apply(energy, line[None])[0]
    weight = shown / shown.sum()
    centre = weight @ energy
    assert shown.sum() == pytest.approx(1.5 * line.sum(), rel=1e-6)
    assert centre == pytest.approx(700 + shift, abs=1e-6)
    assert weight @ (energy - centre) ** 2 == pytest.approx(4 + 1.2, rel=1e-4)


def test_bins_are_means_of_the_channels_in_them(rng):
    fine = wide_axis(BINS, ENERGY)
    assert fine[0] == ENERGY[0] - 3 * 2.0  # an edge may be moved out of the window a little
    np.testing.assert_allclose(fine[-1], FINE[-1])
    rows = rng.normal(size=(3, 2, len(fine)))
    found = onto_bins(BINS, fine, rows)
    for k, centre in enumerate(BINS):
        members = np.abs(fine - centre) < 1.0
        assert members.sum() in (0, SIZE)
        wanted = rows[..., members].mean(-1) if members.any() else np.zeros((3, 2))
        np.testing.assert_allclose(found[..., k], wanted, atol=1e-12)


def test_shapes_integrate_the_fine_shapes_over_every_bin():
    lib, dense = library(), 0.05
    energy = np.arange(FINE[0] - 0.25 + dense / 2, FINE[-1] + 0.25, dense)
    how = LibraryFit(gain=1.3, shift=0.7, broadening=0.4)
    # the mean of what varies
    own = lib.variations.broadening**2 + lib.variations.shift**2
    white = np.linspace(0.5, 2.0, len(BINS))
    shapes = edge_shapes(BINS, lib, how, white)
    for k in range(3):
        # continued, moved, broadened by a plain sum, and summed over the bins, on a dense axis
        row = np.interp(energy - 0.7, FINE, continued(lib.intensity)[k])
        lag = np.arange(-6, 6 + dense / 2, dense)
        kernel = np.exp(-0.5 * lag**2 / (0.4 + own))
        row = 1.3 * np.convolve(np.pad(row, len(lag) // 2, "edge"), kernel / kernel.sum(), "valid")
        wanted = row.reshape(len(BINS), -1).mean(1)
        inner = slice(0, -3)  # the axis ends there
        np.testing.assert_allclose(
            (shapes[k].mean / white)[inner], wanted[inner], atol=0.01 * wanted.max()
        )


def test_loadings_are_the_spread_of_varied_fingerprints():
    given = library()
    lib = FingerprintLibrary.from_arrays(
        ENERGY,
        np.concatenate([given.intensity, 1.1 * given.intensity[:1]]),
        [0, 1, 2, 0],  # the first class's own fingerprints differ
        variations=Variations(shift=0.15, broadening=0.5, intensity=0.05),
    )
    white = np.ones(len(BINS))
    shapes = edge_shapes(BINS, lib, LibraryFit(), white)
    rng = np.random.default_rng(0)
    for k in range(3):
        drawn = binned(continued(lib.vary(20000, rng, labels=np.full(20000, k))[0]))
        mean, loadings = shapes[k]
        np.testing.assert_allclose(mean, drawn.mean(0), atol=0.02)
        assert loadings.shape == (len(BINS), N_COMMON + (2 if k == 0 else 1))
        found, wanted = loadings @ loadings.T, np.cov(drawn.T)
        assert np.linalg.norm(found - wanted) < 0.12 * np.linalg.norm(wanted)


def test_a_mixtures_shape_is_the_mixture_of_shapes():
    given = library()
    # two fingerprints of every class, so that a class has a spread of its own
    lib = FingerprintLibrary.from_arrays(
        ENERGY,
        np.repeat(given.intensity, 2, axis=0) * np.tile([[0.9], [1.1]], (3, 1)),
        np.repeat(range(3), 2),
    )
    white = np.linspace(0.5, 2.0, len(BINS))
    pairs = mixing_pairs(lib)
    shapes = edge_shapes(BINS, lib, LibraryFit(), white, pairs=pairs)
    for (a, b, share), shape in zip(components(lib, pairs), shapes, strict=True):
        one, other = shapes[a], shapes[b]
        np.testing.assert_allclose(shape.mean, share * one.mean + (1 - share) * other.mean)
        if a == b:
            continue
        # both partners are thicker together, moved together and broadened together
        common = slice(0, N_COMMON)
        np.testing.assert_allclose(
            shape.loadings[:, common],
            share * one.loadings[:, common] + (1 - share) * other.loadings[:, common],
        )
        own = shape.loadings[:, N_COMMON:]
        apart = share**2 * one.loadings[:, N_COMMON:] @ one.loadings[:, N_COMMON:].T
        apart += (1 - share) ** 2 * other.loadings[:, N_COMMON:] @ other.loadings[:, N_COMMON:].T
        np.testing.assert_allclose(own @ own.T, apart, atol=1e-12)
        assert np.abs(apart).max() > 1e-4


@dataclasses.dataclass(frozen=True)
class Ended:
    """A fit, as far as the choice among several looks at it."""

    library_fit: LibraryFit
    begun_again: bool = False


def test_of_fits_from_other_factors_the_one_that_ends_highest_is_kept():
    begun = []

    def fitted_from(start):
        begun.append(start)
        return Ended(start), 3.0 if start.gain > 1.2 else 1.0

    first = Ended(LibraryFit(gain=1.2, shift=0.5))
    others = [LibraryFit(gain=gain, shift=0.5) for gain in (0.84, 1.68)]
    by_size = [Elsewhere(other, by_size=True) for other in others]
    assert _likeliest(first, 2.0, fitted_from, by_size) == Ended(others[1], begun_again=True)
    assert _likeliest(first, 4.0, fitted_from, by_size) is first
    assert begun == [*others, *others]
    by_place = [Elsewhere(other, by_size=False) for other in others]
    assert _likeliest(first, 2.0, fitted_from, by_place) == Ended(others[1], begun_again=False)

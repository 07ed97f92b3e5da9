import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import gamma, norm

from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.simulate import (
    Process,
    Series,
    SpectrumModel,
    annealing_series,
    draw_truth,
    mean_counts,
)

pytest.importorskip("exspy")

QUIET: dict[str, Any] = dict.fromkeys(
    (
        *("thickness_image", "thickness_pixel", "amplitude_image", "amplitude_pixel"),
        *("exponent_image", "exponent_pixel", "misfit", "edge_jitter", "intensity_jitter"),
        *("residual_sd", "drift_image", "drift_row", "mixture"),
    ),
    0.0,
)


@pytest.fixture(scope="module")
def limit(project_root: Path) -> ModuleType:
    path = project_root / "benchmarks" / "limit.py"
    spec = importlib.util.spec_from_file_location("benchmark_limit", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def series() -> Series:
    return annealing_series(8, (4, 3), seed=5)


def toy(**change: Any) -> SpectrumModel:
    """Classes 0 and 1 without nuisances but for `change`, on channels of 1 eV."""
    library = FingerprintLibrary.example()
    keep = library.labels < 2
    library = FingerprintLibrary.from_arrays(
        library.energy, library.intensity[keep], library.labels[keep], nuisances=library.nuisances
    )
    return SpectrumModel(Process(**{**QUIET, **change}), library, 540.0 + np.arange(220))


def means(model: SpectrumModel, fractions: Any, dose: float, **change: Any) -> np.ndarray:
    """Mean counts (n, E) of a class mix (K,) or (n, K), other nuisances at their means or (n,).

    `amplitude` is relative to the mean of the background.
    """
    quiet = SpectrumModel(Process(**QUIET), model.library, model.energy)
    truth = draw_truth(quiet, 1, (1, 1), 0).isel(image=0, y=0, x=0)
    if "amplitude" in change:
        change["background"] = change.pop("amplitude") * truth["background"].item()
    change["fractions"] = np.asarray(fractions)
    inner = {"fractions": "class", "misfit": "mode", "edges": "edge"}
    for name, value in change.items():
        last = (inner[name],) if name in inner else ()
        truth[name] = (("n",)[: np.ndim(value) - len(last)] + last, value)
    counts = mean_counts(truth, model, dose=dose).to_numpy().astype(np.float64)
    return counts.reshape(-1, len(model.energy))


def poisson(mean: np.ndarray, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(mean).astype(float)


def pure_counts(model: SpectrumModel, dose: float, n: int = 4, **change: Any) -> np.ndarray:
    """n pixels of class 0, then n of class 1."""
    mean = np.concatenate([means(model, mix, dose, **change) for mix in np.eye(2)])
    return poisson(np.repeat(mean, n, axis=0))


def log_poisson(counts: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Log likelihood but for log y!, (n, number of means)."""
    return counts @ np.log(mean).T - mean.sum(axis=1)


def softmax(log_values: np.ndarray) -> np.ndarray:
    return np.exp(log_values - logsumexp(log_values, axis=1, keepdims=True))


def direct(
    counts: np.ndarray, model: SpectrumModel, dose: float, log_prior: Any = 0.0, **values: Any
) -> np.ndarray:
    """Posterior of two equally probable classes, summed over given values of the nuisances."""
    sums = [
        logsumexp(log_poisson(counts, means(model, mix, dose, **values)) + log_prior, axis=1)
        for mix in np.eye(2)
    ]
    return softmax(np.stack(sums, axis=1))


EVEN = np.array([0.5, 0.5])


@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_without_nuisances_it_is_the_likelihood_ratio(limit: ModuleType, gain: float) -> None:
    dose, weights = 0.02, np.array([0.3, 0.7])
    counts = pure_counts(toy(), dose)
    mean = np.concatenate([means(toy(), mix, dose) for mix in np.eye(2)])
    exact = softmax(log_poisson(counts, mean) + np.log(weights))
    found = limit.class_posterior(gain * counts, toy(gain=gain), dose=dose, weights=weights)
    assert np.any((exact > 0.1) & (exact < 0.4))  # some are in doubt
    np.testing.assert_allclose(found, exact, atol=1e-5)


def test_intensity_and_residual_agree_with_a_grid(limit: ModuleType) -> None:
    model, dose = toy(intensity_jitter=0.3, residual_sd=0.2), 0.2
    process = model.process
    counts = pure_counts(model, dose, intensity=1.1, residual=0.4)
    quantiles = (np.arange(200) + 0.5) / 200
    shape = (process.residual_mean / process.residual_sd) ** 2
    intensity, residual = np.meshgrid(
        1 + process.intensity_jitter * norm.ppf(quantiles),
        gamma.ppf(quantiles, shape, scale=process.residual_mean / shape),
    )
    exact = direct(counts, model, dose, intensity=intensity.ravel(), residual=residual.ravel())
    options = {"dose": dose, "weights": EVEN}
    ignored = limit.class_posterior(counts, toy(), **options)
    assert np.abs(ignored - exact).max() > 0.1
    np.testing.assert_allclose(limit.class_posterior(counts, model, **options), exact, atol=0.01)
    sampled = limit.class_posterior(counts, model, **options, draws=4000)
    np.testing.assert_allclose(sampled, exact, atol=0.003)


def test_lognormal_intensities_agree_with_draws_from_their_law(limit: ModuleType) -> None:
    change = {"intensity_jitter": 0.3, "residual_sd": 0.7 * 0.25, "edge_jitter": 0.1}
    model, dose = toy(**change, intensity_law="lognormal"), 0.4
    rng = np.random.default_rng(0)

    def draws(sd: float, size: tuple[int, ...]) -> np.ndarray:
        values = rng.lognormal(0.0, np.sqrt(np.log1p(sd**2)), size)
        return values / np.sqrt(1 + sd**2)

    n = 30_000
    values = {
        "intensity": draws(0.3, (n,)),
        "residual": 0.25 * draws(0.7, (n,)),
        "edges": draws(0.1, (n, 3)),
    }
    counts = pure_counts(model, dose, n=3, intensity=0.6, residual=0.05)
    exact = direct(counts, model, dose, **values)
    options = {"dose": dose, "weights": EVEN}
    # the normal law of the same mean and spread answers otherwise
    other = limit.class_posterior(counts, toy(**change), **options)
    assert np.abs(other - exact).max() > 0.05
    np.testing.assert_allclose(limit.class_posterior(counts, model, **options), exact, atol=0.015)
    sampled = limit.class_posterior(counts, model, **options, draws=2000)
    np.testing.assert_allclose(sampled, exact, atol=0.015)


def test_overlap_that_varies_by_70_percent_agrees_with_a_grid(limit: ModuleType) -> None:
    model, dose = toy(residual_sd=0.7 * 0.25), 0.2
    process = model.process
    shape = (process.residual_mean / process.residual_sd) ** 2
    quantiles = (np.arange(2000) + 0.5) / 2000
    residual = gamma.ppf(quantiles, shape, scale=process.residual_mean / shape)
    some = [
        pure_counts(model, dose, n=3, residual=value)
        for value in np.quantile(residual, [0.02, 0.9])
    ]
    counts = np.concatenate(some)
    exact = direct(counts, model, dose, residual=residual)
    found = limit.class_posterior(counts, model, dose=dose, weights=EVEN)
    np.testing.assert_allclose(found, exact, atol=0.02)


def test_drift_and_background_agree_with_a_grid(limit: ModuleType) -> None:
    model, dose = toy(drift_image=1.2, amplitude_pixel=0.05), 0.05
    counts = pure_counts(model, dose, drift=1.73)
    drift, amplitude = np.meshgrid(np.arange(0.9, 2.6, 0.03), 1 + 0.05 * np.linspace(-4, 4, 81))
    drift, amplitude = drift.ravel(), amplitude.ravel()
    prior = norm.logpdf(drift, 0, 1.2) + norm.logpdf(amplitude, 1, 0.05)
    exact = direct(counts, model, dose, prior, drift=drift, amplitude=amplitude)
    ignored = limit.class_posterior(counts, toy(drift_image=1.2), dose=dose, weights=EVEN)
    assert np.abs(ignored - exact).max() > 0.1
    found = limit.class_posterior(counts, model, dose=dose, weights=EVEN)
    np.testing.assert_allclose(found, exact, atol=0.005)


def test_misfit_agrees_with_draws_from_its_prior(limit: ModuleType) -> None:
    model, dose = toy(misfit=8.0), 0.1
    sd = model.process.misfit * model.process.misfit_sd
    rng = np.random.default_rng(1)
    misfit = sd * rng.standard_normal((20_000, len(model.misfit_centres)))
    counts = pure_counts(model, dose, n=3, misfit=misfit[0])
    exact = direct(counts, model, dose, misfit=misfit)
    found = limit.class_posterior(counts, model, dose=dose, weights=EVEN)
    ignored = limit.class_posterior(counts, toy(), dose=dose, weights=EVEN)
    assert np.abs(ignored - exact).max() > 0.05
    np.testing.assert_allclose(found, exact, atol=0.02)


def test_mixtures_agree_with_fine_steps_of_the_composition(limit: ModuleType) -> None:
    model, dose = toy(mixture=0.6), 0.3
    process = model.process
    counts = poisson(np.repeat(means(model, [0.55, 0.45], dose), 6, axis=0))
    composition = np.arange(-4.0, 6.0, 0.005) + 0.0025
    second = np.clip((composition - 0.5) / process.mixture + 0.5, 0, 1)
    centre = -0.2 + 1.4 * np.arange(8) / 7  # of the eight temperatures, for two classes
    sd = np.hypot(process.composition_sd, process.composition_image)
    prior = norm.pdf(composition[:, None], centre, sd).mean(axis=1)
    joint = log_poisson(counts, means(model, np.stack([1 - second, second], 1), dose))
    exact = softmax(joint + np.log(prior)) @ np.stack([second < 0.5, second >= 0.5], 1)
    assert exact.max() < 0.999
    np.testing.assert_allclose(limit.class_posterior(counts, model, dose=dose), exact, atol=0.01)


def test_nodes_share_the_whole_prior(limit: ModuleType, series: Series) -> None:
    nodes = limit.composition_nodes(series.model)
    prior = nodes.prior(limit.cell_probabilities(nodes, series.model))
    np.testing.assert_allclose(prior.sum(), 1.0, rtol=1e-12)
    np.testing.assert_allclose(nodes.fractions.sum(axis=1), 1.0, rtol=1e-12)
    assert 0.08 < prior[nodes.fractions.max(axis=1) < 1].sum() < 0.12  # mixtures
    # As many classes as a simulated truth has: 400 images of one pixel each
    labels = draw_truth(series.model, 400, (1, 1), 3)["label"].to_numpy().ravel()
    frequency = np.bincount(labels, minlength=4) / 400
    np.testing.assert_allclose(nodes.class_sums(prior), frequency, atol=0.08)


def test_rows_sum_to_one_and_no_prior_is_no_posterior(limit: ModuleType, series: Series) -> None:
    counts = limit.series_counts(series, [0, 40, 95])
    weights = np.array([[0.5, 0.0, 0.5, 0.0], [0.25] * 4, [0.0, 0.0, 0.0, 2.0]])
    found = limit.class_posterior(counts, series.model, dose=1.0, weights=weights)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-12)
    assert np.all(found[weights == 0] == 0) and np.all(found[1] > 0)
    one = limit.class_posterior(counts[:1], series.model, dose=1.0, weights=weights[0])
    np.testing.assert_allclose(found[:1], one, atol=1e-12)


def test_a_huge_dose_picks_the_truth(limit: ModuleType) -> None:
    series = annealing_series(8, (3, 3), 300.0, seed=2, process=Process(mixture=0.0))
    labels = series.truth["label"].to_numpy().ravel()
    found = limit.series_posterior(series)
    assert set(labels) == {0, 1, 2, 3}
    assert np.all(found.argmax(axis=1) == labels) and found.max(axis=1).mean() > 0.99


def test_it_is_calibrated_on_independent_pixels(limit: ModuleType, series: Series) -> None:
    found = limit.independent_check(series.model, 300, 4, dose=1.0)
    assert found["accuracy"] > 0.8
    assert abs(found["z_confidence"]) < 3 and abs(found["z_entropy"]) < 3
    assert np.abs(found["z_frequency"]).max() < 3.5


def test_a_narrower_window_is_another_detector(limit: ModuleType, series: Series) -> None:
    counts = limit.series_counts(series, np.arange(0, 96, 8))
    everything = limit.class_posterior(counts, series.model, dose=1.0)
    found = limit.class_posterior(counts, series.model, dose=1.0, window=(600, 789.9))
    first = int(np.searchsorted(series.model.energy, 600))
    short = SpectrumModel(series.process, series.library, series.model.energy[first:])
    np.testing.assert_allclose(
        found, limit.class_posterior(counts[:, first:], short, dose=1.0), atol=1e-3
    )
    assert np.abs(found - everything).max() > 0.05


def test_sampling_agrees_with_laplace_and_reports_its_size(
    limit: ModuleType, series: Series
) -> None:
    rows = [0, 50, 95]
    counts = limit.series_counts(series, rows)
    found = limit.evidence(counts, series.model, dose=1.0, draws=200)
    nodes = found.nodes
    prior = limit.series_prior(series, nodes, "pixel")[rows]
    assert found.effective.shape == found.log_evidence.shape == (3, len(nodes.label))
    assert found.effective.max() <= 1 and np.median(found.effective) > 0.7
    np.testing.assert_allclose(
        nodes.class_sums(limit.node_posterior(found, prior)),
        limit.series_posterior(series, rows),
        atol=0.02,
    )


def test_the_images_own_mix_is_its_truth(limit: ModuleType, series: Series) -> None:
    nodes = limit.composition_nodes(series.model)
    prior = nodes.class_sums(limit.series_prior(series, nodes, "image"))
    labels = series.truth["label"].to_numpy().reshape(8, 12)
    mix = np.stack([np.bincount(here, minlength=4) for here in labels]) / 12
    np.testing.assert_allclose(prior, np.repeat(mix, 12, axis=0), atol=1e-12)
    with pytest.raises(ValueError, match="context is 'row'; give 'pixel' or 'image'"):
        limit.series_posterior(series, context="row")


def test_wrong_input_is_refused(limit: ModuleType) -> None:
    model = toy()
    counts = np.ones((2, 220))
    with pytest.raises(ValueError, match=r"counts have shape \(220,\); give \(n, 220\)"):
        limit.class_posterior(counts[0], model, dose=1.0)
    with pytest.raises(ValueError, match="counts hold negative, NaN or infinite values"):
        limit.class_posterior(-counts, model, dose=1.0)
    with pytest.raises(ValueError, match="dose"):
        limit.class_posterior(counts, model, dose=0.0)
    with pytest.raises(ValueError, match=r"weights have shape \(3,\); give \(2,\) or \(n, K\)"):
        limit.class_posterior(counts, model, dose=1.0, weights=np.ones(3))
    with pytest.raises(ValueError, match="weights must be >= 0, and not all zero"):
        limit.class_posterior(counts, model, dose=1.0, weights=np.zeros(2))
    with pytest.raises(ValueError, match=r"window is \(10, 20\); give energies within"):
        limit.class_posterior(counts, model, dose=1.0, window=(10, 20))

"""Power laws are fitted as a general optimiser would, and their errors are what they say."""

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares, minimize

from eels_bayes.preprocessing.power_law import exponent_prior, fit_power_law, fit_shrunk

ENERGY = np.arange(650, 680.1, 0.5)
U = torch.from_numpy(np.log(ENERGY / ENERGY.mean())).float()


def rates(amplitude: float, exponent: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(amplitude * np.exp(-exponent[:, None] * U.numpy())).float()


@pytest.mark.parametrize("level", [3.0, 500.0, 5e5])
def test_least_squares_is_the_optimum(level: float) -> None:
    counts = torch.poisson(
        rates(level, np.array([0.5, 2.5, 6.0])), generator=torch.Generator().manual_seed(0)
    )
    fit = fit_power_law(counts, counts, U)
    for k in range(3):
        y, u = counts[k].double().numpy(), U.double().numpy()
        best = least_squares(
            lambda p, y=y, u=u: np.exp(p[0] - p[1] * u) - y / y.mean(),
            [0.0, 2.0],
            xtol=1e-14,
            ftol=1e-14,
            gtol=1e-14,
        ).x
        assert float(fit.exponent[k]) == pytest.approx(best[1], abs=2e-4)
        wanted = best[0] + np.log(y.mean())
        assert float(fit.log_amplitude[k]) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("precision", [0.0, 4.0, 400.0])
@pytest.mark.parametrize("level", [0.5, 30.0, 500.0])
def test_shrunk_is_the_posterior_mode(level: float, precision: float) -> None:
    counts = torch.poisson(
        rates(level, np.array([0.5, 2.5, 6.0])), generator=torch.Generator().manual_seed(1)
    )
    fano = torch.tensor([1.0, 0.2, 3.0])
    fit = fit_shrunk(counts, fano, U, torch.tensor(2.0), torch.tensor(precision))
    for k in range(3):
        y, u = counts[k].double().numpy(), U.double().numpy()

        def loss(p: np.ndarray, y: np.ndarray = y, u: np.ndarray = u, f: float = float(fano[k])):
            model = np.exp(p[0] - p[1] * u)
            likelihood = (model - y * (p[0] - p[1] * u)).sum() / f
            return likelihood + 0.5 * precision * (p[1] - 2.0) ** 2

        best = minimize(loss, [np.log(y.mean()), 2.0], method="BFGS", options={"gtol": 1e-8}).x
        assert float(fit.exponent[k]) == pytest.approx(best[1], abs=2e-3)
        assert float(fit.log_amplitude[k]) == pytest.approx(best[0], abs=1e-4)


@pytest.mark.parametrize("gain", [0.2, 1.0])
def test_variances_are_the_spread_over_redraws(gain: float) -> None:
    rate = rates(300.0, np.full(20_000, 2.5))
    counts = gain * torch.poisson(rate / gain, generator=torch.Generator().manual_seed(2))
    free = fit_shrunk(counts, torch.full((20_000,), gain), U, torch.tensor(3.0), torch.tensor(0.0))
    for fit in (free, fit_power_law(counts, gain * rate, U)):
        both = np.cov(torch.stack([fit.log_amplitude, fit.exponent]).numpy())
        assert float(fit.var_amplitude.mean()) == pytest.approx(both[0, 0], rel=0.05)
        assert float(fit.var_exponent.mean()) == pytest.approx(both[1, 1], rel=0.05)
        correlation = float(fit.covariance.mean()) / np.sqrt(both[0, 0] * both[1, 1])
        wanted = both[0, 1] / np.sqrt(both[0, 0] * both[1, 1])
        assert correlation == pytest.approx(wanted, abs=0.03)


def test_an_infinitely_sure_prior_decides_the_exponent() -> None:
    counts = torch.poisson(rates(50.0, np.full(3, 5.0)), generator=torch.Generator().manual_seed(0))
    fit = fit_shrunk(counts, torch.ones(3), U, torch.tensor(2.0), torch.tensor(1e9))
    torch.testing.assert_close(fit.exponent, torch.full((3,), 2.0))


def test_exponent_prior_recovers_mean_and_spread_under_uneven_errors() -> None:
    rng = np.random.default_rng(0)
    variance = rng.uniform(0.01, 2.0, 20_000)
    fitted = rng.normal(2.4, 0.15, 20_000) + rng.normal(0, np.sqrt(variance))
    mean, sd = exponent_prior(torch.from_numpy(fitted), torch.from_numpy(variance))
    assert mean == pytest.approx(2.4, abs=0.02)
    assert sd == pytest.approx(0.15, rel=0.1)


def test_exponent_prior_never_claims_more_than_the_number_of_spectra_shows() -> None:
    fitted = torch.full((50,), 2.0)
    mean, sd = exponent_prior(fitted, torch.full((50,), 0.04))
    assert mean == pytest.approx(2.0)
    error = (2 / 50) ** 0.5  # of a variance, relative
    assert sd**2 == pytest.approx(0.04 * error / (1 - error), rel=1e-3)
    few = torch.tensor([2.0, 2.5, torch.nan])
    assert exponent_prior(few, torch.full((3,), 0.1)) == (2.25, float("inf"))
    assert exponent_prior(few[2:], few[2:]) == (3.0, float("inf"))

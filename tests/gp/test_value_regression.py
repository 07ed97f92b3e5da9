"""The value's regression: against exact Gaussian processes and against Monte Carlo."""

import math

import numpy as np
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from eels_bayes.gp.value_regression import (
    Known,
    ValueRegression,
    fit_value,
    value_moments,
    with_conformal_reach,
)

D, N_INDUCING = 2, 24


def truth(z):
    return 0.3 + 0.2 * torch.tanh(z[:, 0]) + 0.05 * z[:, 1]


def data(n, seed=0, noise=0.03):
    generator = torch.Generator().manual_seed(seed)
    z = 1.5 * torch.randn(n, D, generator=generator, dtype=torch.float64)
    return z, truth(z) + noise * torch.randn(n, generator=generator, dtype=torch.float64)


def at_points(regression, z):
    n = len(z)
    ones = torch.ones(n, 1, dtype=z.dtype)
    mean, sd = value_moments(ones, z.unsqueeze(1), torch.zeros(n, 1, D, dtype=z.dtype), regression)
    return mean, sd


def exact(regression, z, y):
    """scikit-learn's exact GP with the fitted kernel."""
    constants = regression.constants
    kernel = ConstantKernel(float(constants.outputscale)) * RBF(constants.lengthscale.numpy())
    gp = GaussianProcessRegressor(kernel, alpha=float(regression.noise_var), optimizer=None)
    return gp.fit(z.numpy(), (y - constants.mean).numpy())


def fit(z, y, **options):
    return fit_value(z, y, **{"n_inducing": N_INDUCING} | options)


@pytest.fixture(scope="module")
def fitted():
    return fit(*data(300))


def test_few_points_are_the_exact_gp():
    z, y = data(N_INDUCING)  # every point may then be an inducing one
    regression = fit(z, y)
    at = data(100, seed=1)[0]
    mean, sd = at_points(regression, at)
    wanted, wanted_sd = exact(regression, z, y).predict(at.numpy(), return_std=True)
    np.testing.assert_allclose(mean, wanted + float(regression.constants.mean), atol=5e-4)
    # scikit-learn leaves the noise out of a prediction
    np.testing.assert_allclose(
        sd, np.sqrt(wanted_sd**2 + float(regression.noise_var)), rtol=1e-3, atol=1e-5
    )


def test_many_points_are_close_to_the_exact_gp(fitted):
    z, y = data(300)
    at = data(100, seed=1)[0]
    mean, sd = at_points(fitted, at)
    wanted, wanted_sd = exact(fitted, z, y).predict(at.numpy(), return_std=True)
    spread = float(y.std())
    assert np.abs(mean.numpy() - float(fitted.constants.mean) - wanted).max() < 0.02 * spread
    total = np.sqrt(wanted_sd**2 + float(fitted.noise_var))
    np.testing.assert_allclose(sd, total, rtol=0.05)


def test_the_truth_is_recovered_with_honest_doubt(fitted):
    at, y = data(500, seed=2)
    mean, sd = at_points(fitted, at)
    assert float((mean - truth(at)).abs().mean()) < 0.012
    assert float(fitted.noise_var.sqrt()) == pytest.approx(0.03, rel=0.25)
    score = (y - mean) / sd
    assert 0.85 < float(score.std()) < 1.15


def test_far_from_the_data_the_prior_returns(fitted):
    mean, sd = at_points(fitted, torch.full((1, D), 1e3, dtype=torch.float64))
    assert float(mean) == pytest.approx(float(fitted.constants.mean))
    wanted = (fitted.constants.outputscale + fitted.noise_var).sqrt()
    assert float(sd) == pytest.approx(float(wanted))


def test_moments_of_mixtures_match_monte_carlo(fitted):
    generator = torch.Generator().manual_seed(3)
    n, r, draws = 5, 3, 4_000
    normal = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    weights, mean = torch.softmax(normal(n, r), 1), normal(n, r, D)
    var = (0.8 * normal(n, r, D)).exp() * 0.3
    value, sd = value_moments(weights, mean, var, fitted)
    for i in range(n):
        which = torch.multinomial(weights[i], draws, replacement=True, generator=generator)
        z = mean[i, which] + var[i, which].sqrt() * normal(draws, D)
        centre, spread = at_points(fitted, z)
        y = centre + spread * normal(draws)
        error = float(y.std()) / math.sqrt(draws)
        assert abs(float(y.mean() - value[i])) < 5 * error
        square = (y - value[i]) ** 2
        assert abs(float(square.mean() - sd[i] ** 2)) < 5 * float(square.std()) / math.sqrt(draws)


def test_one_component_many_times_is_one_component(fitted):
    z = data(4, seed=4)[0].unsqueeze(1)
    var = torch.full_like(z, 0.2)
    one = value_moments(torch.ones(4, 1, dtype=z.dtype), z, var, fitted)
    thrice = value_moments(
        torch.full((4, 3), 1 / 3, dtype=z.dtype), z.repeat(1, 3, 1), var.repeat(1, 3, 1), fitted
    )
    for found, wanted in zip(thrice, one, strict=True):
        torch.testing.assert_close(found, wanted)


def test_more_input_variance_more_doubt(fitted):
    z = torch.zeros(1, 1, D, dtype=torch.float64)
    ones = torch.ones(1, 1, dtype=torch.float64)
    sds = [
        float(value_moments(ones, z, torch.full_like(z, var), fitted)[1])
        for var in (0.0, 0.1, 0.5, 1.0)
    ]
    assert sds == sorted(sds) and sds[0] < sds[-1]


def test_units_of_latents_and_values_do_not_matter(fitted):
    z, y = data(300)
    scaled = fit(100 * z - 7, 50 * y + 3)
    at = data(20, seed=5)[0]
    mean, sd = at_points(fitted, at)
    other_mean, other_sd = at_points(scaled, 100 * at - 7)
    torch.testing.assert_close(other_mean, 50 * mean + 3, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(other_sd, 50 * sd, rtol=1e-4, atol=1e-4)


def test_same_seed_same_regression_and_global_generator_untouched():
    z, y = data(150)
    before = torch.get_rng_state()
    one, two, other = (fit(z, y, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    for a, b in zip(one.constants, two.constants, strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(one.constants.inducing, other.constants.inducing)
    # another choice of points, the same answer
    at = data(50, seed=6)[0]
    assert (at_points(one, at)[0] - at_points(other, at)[0]).abs().max() < 0.02


def test_degenerate_data_are_harmless():
    z, y = data(60)
    for latents, values in (
        (torch.cat([z[:, :1], torch.zeros(60, 1, dtype=z.dtype)], 1), y),  # an unused dimension
        (z, torch.full_like(y, 0.25)),  # one value only
        (z[:6].repeat(10, 1), y),  # repeated latents
        (z.float(), y.float()),
    ):
        regression = fit(latents, values, steps=60)
        assert isinstance(regression, ValueRegression)
        mean, sd = at_points(regression, z)
        assert torch.isfinite(mean).all() and torch.isfinite(sd).all() and (sd >= 0).all()
    mean, _ = at_points(fit(z, torch.full_like(y, 0.25), steps=60), z)
    torch.testing.assert_close(mean, torch.full_like(mean, 0.25))


def test_intervals_hold_all_on_average_and_the_mixed_by_themselves(fitted):
    """Nine in ten are known far better than their sd says, the others worse."""
    generator = torch.Generator().manual_seed(3)

    def known(n, width):
        sd = 0.1 + 0.2 * torch.rand(n, generator=generator)
        return Known(torch.zeros(n), sd, width * sd * torch.randn(n, generator=generator))

    def together(mixed, pure):
        return Known(*map(torch.cat, zip(mixed, pure, strict=True)))

    found = with_conformal_reach(
        fitted, together(known(400, 1.5), known(3600, 0.3)), known(4000, 1.5)
    )
    mixed, pure = known(4000, 1.5), known(36_000, 0.3)
    at = 180  # of 200 levels: 0.9025

    def held(pixels, reach):
        return float(((pixels.truth / pixels.sd).abs() <= reach[at]).double().mean())

    assert held(together(mixed, pure), found.reach) == pytest.approx(0.9025, abs=0.02)
    assert held(mixed, found.reach) < 0.5
    assert held(mixed, found.reach_of_mixed) == pytest.approx(0.9025, abs=0.02)
    # never shorter than what all need, and the same where nothing is mixed
    assert (found.reach_of_mixed >= found.reach).all()
    easy = with_conformal_reach(fitted, known(4000, 1.0), known(4000, 0.1))
    torch.testing.assert_close(easy.reach_of_mixed, easy.reach)
    none = with_conformal_reach(fitted, known(4000, 1.0), None)
    torch.testing.assert_close(none.reach_of_mixed, none.reach)

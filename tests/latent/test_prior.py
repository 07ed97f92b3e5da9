"""The fingerprint mixture: against torch's mixtures, against quadrature, and Bayes' rule."""

import math

import hypothesis.extra.numpy as hnp
import numpy as np
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eels_bayes.latent.prior import (
    FingerprintPrior,
    class_log_density,
    class_probabilities,
    distribution,
    log_density,
    smooth,
)


def make(n_classes=3, n_variations=4, dim=2, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    shape = (n_classes, n_variations, dim)
    mean = 2.0 * torch.randn(shape, generator=generator, dtype=dtype)
    sd = 0.1 + torch.rand(shape, generator=generator, dtype=dtype)
    weight = 0.05 + torch.rand(n_classes + 1, generator=generator, dtype=dtype)
    return FingerprintPrior(mean, sd, (weight / weight.sum()).log())


def points(n, dim, seed=1, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return 3.0 * torch.randn(n, dim, generator=generator, dtype=dtype)


def reference(prior):
    """The same density written with torch's own classes, one mixture a class."""
    n_classes, n_variations, dim = prior.mean.shape
    classes = [
        torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(torch.ones(n_variations, dtype=prior.mean.dtype)),
            torch.distributions.Independent(
                torch.distributions.Normal(prior.mean[k], prior.sd[k]), 1
            ),
        )
        for k in range(n_classes)
    ]
    zero = torch.zeros(dim, dtype=prior.mean.dtype)
    none = torch.distributions.MultivariateNormal(zero, torch.eye(dim, dtype=prior.mean.dtype))
    return [*classes, none]


@pytest.mark.parametrize(("n_classes", "n_variations", "dim"), [(3, 4, 2), (2, 1, 1), (5, 3, 16)])
def test_densities_equal_torchs_mixtures(n_classes, n_variations, dim):
    prior = make(n_classes, n_variations, dim)
    z = points(40, dim)
    wanted = torch.stack([one.log_prob(z) for one in reference(prior)], dim=-1)
    torch.testing.assert_close(class_log_density(prior, z), wanted)
    total = torch.logsumexp(wanted + prior.log_weight, dim=-1)
    torch.testing.assert_close(log_density(prior, z), total)
    torch.testing.assert_close(distribution(prior, dim, z).log_prob(z), total)
    posterior = (wanted + prior.log_weight - total.unsqueeze(1)).exp()
    torch.testing.assert_close(class_probabilities(prior, z), posterior)


def test_leading_dimensions_are_kept():
    prior, z = make(), points(24, 2)
    shaped = z.reshape(2, 3, 4, 2)
    assert class_log_density(prior, shaped).shape == (2, 3, 4, 4)
    torch.testing.assert_close(log_density(prior, shaped).flatten(), log_density(prior, z))


def test_single_precision_keeps_narrow_components_apart():
    double = make(4, 16, 16, seed=3)
    double = double._replace(sd=0.2 * double.sd)
    single = FingerprintPrior(*(x.float() for x in double))
    z = double.mean.flatten(0, 1) + double.sd.flatten(0, 1)
    exact, found = log_density(double, z), log_density(single, z.float())
    assert (found - exact).abs().max() < 0.05


@given(
    hnp.arrays(np.float64, (5, 2), elements=st.floats(-1e3, 1e3)),
    st.integers(0, 1000),
)
def test_class_probabilities_sum_to_one_everywhere(z, seed):
    found = class_probabilities(make(seed=seed), torch.from_numpy(z))
    assert (found >= 0).all()
    torch.testing.assert_close(found.sum(-1), torch.ones(5, dtype=torch.float64))


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_density_integrates_to_one_and_smoothing_keeps_that(seed):
    prior = make(2, 3, 1, seed=seed)
    z = torch.linspace(-60, 60, 12_001, dtype=torch.float64)  # a tenth of the least sd
    for density in (prior, smooth(prior)):
        integral = torch.trapezoid(log_density(density, z.unsqueeze(1)).exp(), z)
        assert abs(float(integral) - 1) < 1e-9


def test_draws_have_the_mixtures_moments():
    prior = make()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        draws = distribution(prior, 2, prior.mean).sample((40_000,))
    weight = prior.log_weight.exp()
    per_class = (weight[:-1, None] * prior.mean.mean(1)).sum(0)
    second = (prior.mean**2 + prior.sd**2).mean(1)
    second = (weight[:-1, None] * second).sum(0) + weight[-1]
    error = second.sqrt() / math.sqrt(40_000)
    assert ((draws.mean(0) - per_class).abs() < 5 * error).all()
    spread = (draws**2).std(0) / math.sqrt(40_000)
    assert (((draws**2).mean(0) - second).abs() < 5 * spread).all()


def test_without_fingerprints_the_prior_is_standard_normal():
    like = torch.zeros(1, dtype=torch.float64)
    found = distribution(None, 3, like)
    assert isinstance(found, dist.Distribution) and found.event_shape == (3,)
    z = points(10, 3)
    wanted = torch.distributions.MultivariateNormal(z.new_zeros(3), torch.eye(3).double())
    torch.testing.assert_close(found.log_prob(z), wanted.log_prob(z))


@given(st.integers(2, 12), st.integers(1, 5), st.integers(0, 1000))
def test_smoothing_widens_along_the_spread_only(n_variations, dim, seed):
    prior = make(3, n_variations, dim, seed=seed)
    mean = prior.mean.clone()
    mean[1] = mean[1, :1]  # a class that does not vary
    prior = prior._replace(mean=mean)
    wide = smooth(prior)
    assert torch.equal(wide.mean, prior.mean) and torch.equal(wide.log_weight, prior.log_weight)
    assert (wide.sd[[0, 2]] > prior.sd[[0, 2]]).all()
    torch.testing.assert_close(wide.sd[1], prior.sd[1])
    # no wider than the class itself: Silverman's factor is below 1.1 from two points on
    spread = prior.mean.std(1, keepdim=True)
    assert (wide.sd**2 <= prior.sd**2 + 1.21 * spread**2 + 1e-12).all()


def test_smoothing_in_one_dimension_is_silvermans_rule():
    prior = make(2, 50, 1, seed=4)
    kernel = (wide_var := smooth(prior).sd ** 2 - prior.sd**2).sqrt()
    assert (wide_var > 0).all()
    spread = prior.mean.std(1, keepdim=True).expand_as(kernel)
    torch.testing.assert_close(kernel, (4 / 3 / 50) ** 0.2 * spread)


def test_smoothing_fills_the_gaps_of_a_continuum():
    # Narrow draws of N(0, 1): between them the density falls to nothing, smoothed it does not
    generator = torch.Generator().manual_seed(5)
    mean = torch.randn(1, 16, 1, generator=generator, dtype=torch.float64)
    prior = FingerprintPrior(mean, torch.full_like(mean, 0.01), torch.tensor([0.999, 0.001]).log())
    z = torch.linspace(-1.5, 1.5, 61, dtype=torch.float64).unsqueeze(1)
    truth = torch.distributions.Normal(0.0, 1.0).log_prob(z)[:, 0]
    assert (class_log_density(prior, z)[:, 0] - truth).min() < -20
    assert (class_log_density(smooth(prior), z)[:, 0] - truth).abs().max() < 1.0


@pytest.mark.parametrize("n_variations", [1, 4])
def test_a_class_without_any_variation_has_finite_gradients(n_variations):
    mean = torch.randn(2, n_variations, 3, dtype=torch.float64)
    mean[0] = 0.5  # e.g. the flat zero of a class without the edge
    mean.requires_grad_()
    sd = torch.full_like(mean, 0.3).requires_grad_()
    log_weight = torch.tensor([0.4, 0.5, 0.1], dtype=torch.float64).log()
    log_density(smooth(FingerprintPrior(mean, sd, log_weight)), points(5, 3)).sum().backward()
    assert torch.isfinite(mean.grad).all() and torch.isfinite(sd.grad).all()

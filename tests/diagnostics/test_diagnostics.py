"""Diagnostics against models whose posterior, evidence and calibration are known exactly."""

import copy
import dataclasses
import warnings

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pyro.poutine
import pytest
import torch
from scipy import stats
from torch import nn

import eels_bayes as eb
from eels_bayes import arviz_bridge
from eels_bayes import diagnostics as dg
from eels_bayes.diagnostics import drawn_pixels, importance_sampling, latent_units, nuts_sampling
from eels_bayes.diagnostics import latent_posterior as lp
from eels_bayes.latent import mixtures
from eels_bayes.latent.mixtures import Gaussian, GaussianMixture
from eels_bayes.latent.prior import FingerprintPrior
from eels_bayes.latent.vae import SpectrumVAE

SHORT = dataclasses.replace(eb.Effort.quick(), vae=eb.Schedule(2, 5), gp_steps=30)


@pytest.fixture(scope="module")
def spectra():
    series = eb.simulate.annealing_series(n_images=3, shape=(8, 8))
    pre = eb.Preprocessor(
        (677, 737), 0.5, background=(600, 675), normalize=(570, 592.5), align=(565, 600)
    )
    return pre(series.signals)


@pytest.fixture(scope="module")
def fitted(spectra):
    """Hardly trained: what is asked of it must hold for any model."""
    clf = eb.EELSClassifier(eb.FingerprintLibrary.example(), latent_dim=3, effort=SHORT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # too few held-out pixels for novelty
        return clf.fit(spectra, show_progressbar=False)


# -- ranks ------------------------------------------------------------------------------------


def conjugate_ranks(rng, *, shrink=1.0, bias=0.0, n=2000, n_draws=99):
    """Ranks for theta ~ N(0, 1), x ~ N(theta, 0.5^2) under a posterior with a wrong sd or mean."""
    theta = rng.standard_normal(n)
    x = theta + 0.5 * rng.standard_normal(n)
    mean, sd = x / 1.25 + bias, shrink * np.sqrt(0.2)
    draws = mean[:, None] + sd * rng.standard_normal((n, n_draws))
    return dg.rank_statistics(draws, theta, rng)


def test_ranks_of_the_exact_posterior_are_uniform(rng):
    assert dg.uniformity(conjugate_ranks(rng), 99).p_value > 0.01


@pytest.mark.parametrize("wrong", [{"shrink": 0.8}, {"shrink": 1.25}, {"bias": 0.1}])
def test_ranks_of_a_wrong_posterior_are_not(rng, wrong):
    assert dg.uniformity(conjugate_ranks(rng, **wrong), 99).p_value < 1e-6


def test_p_values_of_uniform_ranks_are_uniform(rng):
    ranks = rng.integers(0, 100, (500, 600))
    p = dg.uniformity(ranks, 99).p_value
    assert p.shape == (600,)
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_rank_counts_the_draws_below(rng):
    draws = np.array([[[1.0, 9.0], [2.0, 8.0], [3.0, 7.0]]])
    assert dg.rank_statistics(draws, [[2.5, 7.5]], rng).tolist() == [[2, 1]]


def test_ties_are_broken_at_random(rng):
    draws, truth = rng.poisson(1.0, (4000, 19)), rng.poisson(1.0, 4000)
    assert dg.uniformity(dg.rank_statistics(draws, truth, rng), 19).p_value > 0.01
    assert dg.uniformity((draws < truth[:, None]).sum(1), 19).p_value < 1e-10


def test_chi_square_is_pearsons(rng):
    ranks = rng.integers(0, 40, 300)
    result = dg.uniformity(ranks, 39, n_bins=10)
    counts = np.histogram(ranks, 10, (0, 40))[0]
    np.testing.assert_array_equal(result.counts, counts)
    expected = stats.chisquare(counts)
    assert result.statistic == pytest.approx(expected.statistic)
    assert result.p_value == pytest.approx(expected.pvalue)


def test_wrong_ranks_are_refused(rng):
    with pytest.raises(ValueError, match=r"101 possible ranks .* 20 bins; take n_draws = 99"):
        dg.uniformity(np.zeros(200, int), 100)
    with pytest.raises(ValueError, match=r"run from 0 to 120; 0..99"):
        dg.uniformity(np.arange(121), 99)
    with pytest.raises(ValueError, match=r"60 values are 3 a bin; at least 5 .* at most 12 bins"):
        dg.uniformity(np.zeros(60, int), 99)
    with pytest.raises(ValueError, match=r"draws have shape \(3, 4\) and truth \(4,\)"):
        dg.rank_statistics(np.zeros((3, 4)), np.zeros(4), rng)
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        dg.unit_uniformity(np.array([0.1, np.nan]))


# -- labels and intervals ---------------------------------------------------------------------


def drawn_labels(probabilities, rng):
    return (rng.random((len(probabilities), 1)) > probabilities.cumsum(1)).sum(1)


def test_pit_of_right_probabilities_is_uniform(rng):
    p = rng.dirichlet(np.ones(4), 4000)
    labels = drawn_labels(p, rng)
    assert dg.unit_uniformity(dg.randomised_pit(p, labels, rng)).p_value > 0.01
    sharp = p**2 / (p**2).sum(1, keepdims=True)
    assert dg.unit_uniformity(dg.randomised_pit(sharp, labels, rng)).p_value < 1e-6


def test_pit_lies_in_its_labels_step(rng):
    p = np.array([[0.2, 0.5, 0.3]]).repeat(1000, 0)
    u = dg.randomised_pit(p, np.ones(1000, int), rng)
    assert 0.2 <= u.min() < 0.21 and 0.69 < u.max() <= 0.7


def test_pit_refuses_what_has_no_probability(rng):
    p = np.full((2, 4), 0.25)
    with pytest.raises(ValueError, match=r"got \(2, 4\) and \(3,\)"):
        dg.randomised_pit(p, [0, 1, 2], rng)
    with pytest.raises(ValueError, match=r"lie in 0..3; leave flagged"):
        dg.randomised_pit(p, [0, -1], rng)


def test_coverage_of_a_known_normal(rng):
    n = 20000
    mean, sd = rng.normal(0, 3, n), rng.uniform(0.5, 2, n)
    truth = mean + sd * rng.standard_normal(n)
    exact = dg.interval_coverage(mean, sd, truth, (0.5, 0.9))
    assert exact.n == n
    np.testing.assert_allclose(exact.standard_error, np.sqrt([0.25 / n, 0.09 / n]))
    assert (np.abs(exact.coverage - exact.level) < 3 * exact.standard_error).all()
    narrow = dg.interval_coverage(mean, 0.5 * sd, truth, 0.9)
    expected = 2 * stats.norm.cdf(0.5 * stats.norm.ppf(0.95)) - 1
    assert narrow.coverage[0] == pytest.approx(expected, abs=0.012)


def test_coverage_refuses_what_is_no_interval():
    one = np.ones(3)
    with pytest.raises(ValueError, match="levels must lie between 0 and 1"):
        dg.interval_coverage(one, one, one, (0.5, 1.0))
    with pytest.raises(ValueError, match="sd positive"):
        dg.interval_coverage(one, 0 * one, one)
    with pytest.raises(ValueError, match=r"one shape, got \(3,\), \(3,\), \(2,\)"):
        dg.interval_coverage(one, one, one[:2])


# -- two samples ------------------------------------------------------------------------------


def test_mmd_is_the_double_sum(rng):
    x, y = rng.standard_normal((7, 2)), rng.standard_normal((5, 2)) + 1
    result = dg.mmd(x, y, n_permutations=50)
    pooled = np.concatenate([x, y])
    distances = np.linalg.norm(pooled[:, None] - pooled, axis=-1)
    sigma = np.median(distances[np.triu_indices(12, 1)])
    assert result.bandwidth == pytest.approx(sigma)

    def mean(a, b, same):
        k = np.exp(-((a[:, None] - b) ** 2).sum(-1) / (2 * sigma**2))
        return (k.sum() - np.trace(k)) / (len(a) * (len(a) - 1)) if same else k.mean()

    expected = mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)
    assert result.statistic == pytest.approx(expected)


def test_mmd_tells_shifted_samples_and_only_those(rng):
    x, y = rng.standard_normal((2, 150, 3))
    same = dg.mmd(x, y, n_permutations=200)
    assert same.p_value > 0.05 and abs(same.z) < 2
    other = dg.mmd(x, y + 0.7, n_permutations=200)
    assert other.p_value == 1 / 201 and other.z > 5
    wider = dg.mmd(x, 2 * y, n_permutations=200)
    assert wider.p_value == 1 / 201


def test_mmd_null_holds_its_level(rng):
    p = [dg.mmd(*rng.standard_normal((2, 30, 2)), n_permutations=60).p_value for _ in range(200)]
    assert 0.015 < np.mean(np.array(p) <= 0.05) < 0.095


def test_mmd_refuses_samples_that_do_not_fit():
    with pytest.raises(ValueError, match=r"got \(3, 2\) and \(3, 1\)"):
        dg.mmd(np.zeros((3, 2)), np.zeros((3, 1)))
    with pytest.raises(ValueError, match="must be finite"):
        dg.mmd(np.full((3, 2), np.nan), np.zeros((3, 2)))


# -- latent posterior of a linear model -------------------------------------------------------


class Linear(nn.Module):
    """x = z W + normal noise: posterior and evidence have closed forms."""

    def __init__(self, weight, b=0.5):
        super().__init__()
        self.weight = weight
        self.likelihood = "normal"
        self.log_b, self.scale = torch.tensor(np.log(b)), torch.tensor(1.0)

    def decode(self, z):
        return z @ self.weight


def linear_model(weight, sd=None, shift=0.3, width=1.5):
    """A model of four spectra with a wrong amortised posterior, and the exact one."""
    generator = torch.Generator().manual_seed(3)
    dim, n_channels = weight.shape
    noise_var = torch.full((4, n_channels), 0.25, dtype=torch.float64)
    if sd is not None:
        noise_var = noise_var + sd.double() ** 2
    z = torch.randn(4, dim, generator=generator)
    noise = torch.randn(4, n_channels, generator=generator)
    x = z @ weight + noise * noise_var.sqrt().float()
    w = weight.double()
    precision = torch.eye(dim).double() + (w / noise_var.unsqueeze(1)) @ w.T
    covariance = torch.linalg.inv(precision)
    mean = (covariance @ (x.double() / noise_var @ w.T).unsqueeze(-1))[..., 0]
    spread = torch.diag_embed(noise_var) + w.T @ w
    evidence = torch.distributions.MultivariateNormal(torch.zeros(n_channels).double(), spread)
    exact_sd = torch.diagonal(covariance, dim1=1, dim2=2).sqrt()
    amortised = lp.as_mixture(Gaussian((mean + shift * exact_sd).float(), width * exact_sd.float()))
    model = lp.LatentModel(Linear(weight), None, x, sd, amortised)
    return model, mean, covariance, evidence.log_prob(x.double())


@pytest.fixture
def correlated():
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(3, 12, generator=generator) * 0.4 + 0.3
    return linear_model(weight, 0.2 + torch.rand(4, 12, generator=generator))


def test_log_joint_is_that_of_the_pyro_model():
    generator = torch.Generator().manual_seed(0)
    vae = SpectrumVAE(24, 3, torch.rand(2, 4, 24, generator=generator)).eval()
    x, sd = torch.rand(2, 5, 24, generator=generator)
    z = torch.randn(5, 3, generator=generator)
    with torch.no_grad(), pyro.get_param_store().scope():
        for one in (None, sd):
            conditioned = pyro.poutine.condition(vae.model, {"z": z})
            trace = pyro.poutine.trace(conditioned).get_trace(x, one)
            model = lp.LatentModel(vae, vae.prior(), x, one, None)
            found = float(model.log_joint(z.unsqueeze(1)).sum())
            assert found == pytest.approx(float(trace.log_prob_sum()), rel=1e-4)


def test_importance_sampling_finds_evidence_and_moments(correlated):
    model, mean, covariance, evidence = correlated
    sample = importance_sampling.importance_sample(
        model, importance_sampling.best_gaussian(model), n_draws=4000
    )
    found, error = sample.log_evidence()
    assert (sample.pareto_k < 0.5).all() and (error < 0.05).all()
    assert (np.abs(found - evidence.numpy()) < 4 * error).all()
    at, spread = sample.moments()
    sd = torch.diagonal(covariance, dim1=1, dim2=2).sqrt()
    assert ((at - mean) / sd).abs().max() < 0.1
    assert ((spread - covariance) / (sd.unsqueeze(1) * sd.unsqueeze(2))).abs().max() < 0.15


def test_gaps_are_kl_divergences(correlated):
    model, mean, covariance, evidence = correlated
    posterior = torch.distributions.MultivariateNormal(mean, covariance)
    best = importance_sampling.best_gaussian(model)
    # The diagonal Gaussian nearest in KL(q || p) has the mean and the precision's diagonal.
    precision = torch.diagonal(torch.linalg.inv(covariance), dim1=1, dim2=2)
    assert ((best.mean - mean) * precision.sqrt()).abs().max() < 0.15
    np.testing.assert_allclose(best.sd * precision.sqrt(), 1.0, atol=0.12)
    for q in (best, Gaussian(model.amortised.mean[:, 0], model.amortised.sd[:, 0])):
        elbo = importance_sampling.weighted_draws(model, lp.as_mixture(q), 4000)[1].mean(1)
        own = torch.distributions.MultivariateNormal(
            q.mean.double(), torch.diag_embed(q.sd.double() ** 2)
        )
        gap = torch.distributions.kl_divergence(own, posterior)
        np.testing.assert_allclose(evidence - elbo, gap, atol=0.1 + 0.05 * float(gap.max()))


def test_gaussians_along_the_posteriors_axes_leave_no_gap():
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(3, 12, generator=generator) * 0.4 + 0.3
    model, mean, covariance, evidence = linear_model(weight)  # without sd all have one covariance
    variance, axes = torch.linalg.eigh(covariance[0])
    start = Gaussian((mean @ axes + 0.1).float(), 1.5 * variance.sqrt().float().expand(4, 3))
    turned = dataclasses.replace(model, amortised=lp.as_mixture(start, axes.float()))
    gaps = []
    for one in (model, turned):
        best = importance_sampling.best_gaussian(one)
        mixture = lp.as_mixture(best, one.amortised.axes)
        elbo = importance_sampling.weighted_draws(one, mixture, 4000)[1].mean(1)
        gaps.append(float((evidence - elbo).mean()))
        found, error = importance_sampling.importance_sample(one, best, n_draws=4000).log_evidence()
        assert (np.abs(found - evidence.numpy()) < 4 * error + 1e-3).all()
    assert gaps[0] > 0.2 and abs(gaps[1]) < 0.05
    np.testing.assert_allclose(best.sd, variance.sqrt().expand(4, 3), rtol=0.15)
    at, spread = mixtures.moments(mixture)
    assert ((at - mean) / torch.diagonal(covariance[0]).sqrt()).abs().max() < 0.15
    np.testing.assert_allclose(spread, torch.diagonal(covariance[0]).sqrt().expand(4, 3), rtol=0.15)


def test_nuts_finds_the_exact_posterior(correlated):
    model, mean, covariance, _ = correlated
    sample = importance_sampling.importance_sample(
        model, importance_sampling.best_gaussian(model, steps=50), n_draws=500
    )
    options = {"n_draws": 150, "n_warmup": 50, "n_chains": 4}
    chains = nuts_sampling.run_nuts(model, sample, **options)
    assert chains.z.shape == (4, 150, 4, 3) and not chains.diverging.any()
    draws = chains.z.reshape(600, 4, 3)
    sd = torch.diagonal(covariance, dim1=1, dim2=2).sqrt().numpy()
    assert (np.abs(draws.mean(0) - mean.numpy()) / sd).max() < 0.2
    np.testing.assert_allclose(draws.std(0) / sd, 1.0, atol=0.15)
    np.testing.assert_allclose(
        np.corrcoef(draws[:, 0].T)[0, 1], correlation(covariance[0]), atol=0.12
    )
    joint = model.log_joint(torch.as_tensor(chains.z[0]).transpose(0, 1)).T
    np.testing.assert_allclose(chains.log_joint[0], joint, rtol=1e-5)
    before = torch.get_rng_state()
    np.testing.assert_array_equal(nuts_sampling.run_nuts(model, sample, **options).z, chains.z)
    assert torch.equal(torch.get_rng_state(), before)


def correlation(covariance):
    return float(covariance[0, 1] / (covariance[0, 0] * covariance[1, 1]).sqrt())


def test_pareto_k_finds_a_proposal_that_is_too_narrow():
    model, *_ = linear_model(torch.eye(3, 12) * 0.1, width=0.2)
    narrow = Gaussian(model.amortised.mean[:, 0], model.amortised.sd[:, 0])
    assert (importance_sampling.importance_sample(model, narrow, n_draws=1000).pareto_k > 0.7).all()


# -- active units -----------------------------------------------------------------------------


def gaussian_kl(mean, sd):
    return 0.5 * (mean**2 + sd**2 - 1) - np.log(sd)


def test_marginal_kl_is_exact_for_the_standard_normal(rng):
    mean, sd = rng.normal(0, 2, (5, 3)), rng.uniform(0.05, 2, (5, 3))
    q = Gaussian(torch.as_tensor(mean), torch.as_tensor(sd))
    np.testing.assert_allclose(latent_units.marginal_kl(q, None), gaussian_kl(mean, sd), rtol=1e-4)


def test_marginal_kl_to_the_mixture_is_what_draws_say():
    generator = torch.Generator().manual_seed(0)
    prior = FingerprintPrior(
        torch.randn(2, 3, 2, generator=generator),
        0.5 + torch.rand(2, 3, 2, generator=generator),
        torch.tensor([0.5, 0.4, 0.1]).log(),
    )
    q = Gaussian(torch.tensor([[0.3, -0.5]]), torch.tensor([[0.4, 0.8]]))
    z = q.mean + q.sd * torch.randn(200_000, 2, generator=generator)
    for d in range(2):
        weight = torch.cat(
            [(prior.log_weight[:2] - np.log(3)).repeat_interleave(3), prior.log_weight[2:]]
        )
        mean = torch.cat([prior.mean[..., d].flatten(), torch.zeros(1)])
        sd = torch.cat([prior.sd[..., d].flatten(), torch.ones(1)])
        one = z[:, d, None]
        log_p = (weight + torch.distributions.Normal(mean, sd).log_prob(one)).logsumexp(1)
        log_q = torch.distributions.Normal(q.mean[0, d], q.sd[0, d]).log_prob(one[:, 0])
        expected = float((log_q - log_p).mean())
        assert float(latent_units.marginal_kl(q, prior)[0, d]) == pytest.approx(expected, abs=0.01)


class OneActive(nn.Module):
    """Encoder of known activity: the first latent is the mean intensity, the second constant."""

    def forward(self, spectrum):
        zero = torch.zeros(len(spectrum))
        mean = torch.stack([spectrum.mean(1), zero + 0.7, zero], 1)
        return Gaussian(mean, torch.full_like(mean, 0.5))


def with_parts(clf, *, encoder=None, noisy=None):
    """A copy of the classifier; of its VAE another encoder, or a noisy encoder that sees nothing.

    The latter says ``noisy``, a mean and an sd along its axes, of any spectrum.
    """
    other = copy.copy(clf)
    vae, blind = copy.deepcopy(clf.fitted.vae), copy.deepcopy(clf.fitted.encoder)
    vae.encoder = encoder or vae.encoder
    if noisy is not None:
        blind.slope.zero_()
        blind.offset.fill_(noisy[0])
        blind.spread.fill_(noisy[1])
    other.fitted = dataclasses.replace(clf.fitted, vae=vae, encoder=blind)
    return other


def test_active_units_of_a_known_encoder(fitted, rng):
    clf = with_parts(fitted, encoder=OneActive())
    clf.fitted.vae.fingerprints = None  # the standard normal, where the KL is known
    level = rng.normal(0, 1, 400)
    clean = np.full((400, clf.fitted.vae.n_channels), level[:, None])
    result = dg.active_units(clf, clean)
    mean = level / float(clf.fitted.vae.scale)
    assert result.active.tolist() == [True, False, False]
    np.testing.assert_allclose(result.variance, [mean.var(ddof=1), 0, 0], rtol=1e-4, atol=1e-9)
    expected = [gaussian_kl(mean, 0.5).mean(), gaussian_kl(0.7, 0.5), gaussian_kl(0.0, 0.5)]
    np.testing.assert_allclose(result.kl, expected, rtol=1e-3)
    assert result.total_kl == pytest.approx(sum(expected), rel=0.02)


def test_active_units_of_pixels(fitted, spectra):
    result = dg.active_units(fitted, spectra)
    assert result.variance.shape == result.kl.shape == (3,)
    assert (result.kl > 0).all() and result.total_kl > 0
    assert not dg.active_units(fitted, spectra, threshold=1e9).active.any()


# -- simulation-based calibration -------------------------------------------------------------


class Blind(nn.Module):
    """An encoder that sees nothing: q is N(0, 1) for any spectrum, and so is the exact r(z | x)."""

    def forward(self, spectrum):
        mean = torch.zeros(len(spectrum), 3)
        return Gaussian(mean, torch.ones_like(mean))


def test_calibration_of_an_exact_posterior_passes(fitted, spectra):
    clf = with_parts(fitted, encoder=Blind(), noisy=(0.0, 1.0))
    result = dg.simulation_based_calibration(clf, spectra, n=500, n_draws=59)
    n = len(result.known.spectra)
    assert 450 < n <= 500
    assert result.ranks.shape == (n, 3) and result.ranks.max() <= 59
    # one in a hundred by chance, of these four tests together
    p_values = [*result.latent.p_value, result.density.p_value]
    assert min(p_values) > 0.01 / len(p_values)
    assert not result.active.any()
    assert len(result.class_pit) == n
    assert result.classes.counts.sum() == n
    np.testing.assert_allclose(result.known.fractions.sum(1), 1.0)
    assert np.isfinite(result.prediction.probabilities).all()


@pytest.mark.parametrize("wrong", [(0.0, 0.6), (0.4, 1.0)])
def test_calibration_of_a_wrong_posterior_fails(fitted, spectra, wrong):
    clf = with_parts(fitted, encoder=Blind(), noisy=wrong)
    result = dg.simulation_based_calibration(clf, spectra, n=500, n_draws=59)
    assert (result.latent.p_value < 1e-3).all()
    if wrong[1] != 1.0:  # a small shift hardly moves the density's ranks
        assert result.density.p_value < 1e-3


def test_known_pixels_repeat_and_follow_the_dose(fitted, spectra):
    one, two = (dg.known_pixels(fitted, spectra, n=60, dose=d) for d in (0.5, 0.5))
    np.testing.assert_array_equal(one.spectra.intensity, two.spectra.intensity)
    np.testing.assert_array_equal(one.latent, two.latent)
    other = dg.known_pixels(fitted, spectra, n=60, dose=0.5, seed=1)
    assert not np.array_equal(one.spectra.intensity[0], other.spectra.intensity[0])
    bright = dg.known_pixels(fitted, spectra, n=60, dose=8.0)
    ratio = np.median(one.spectra.sd) / np.median(bright.spectra.sd)
    assert ratio == pytest.approx(4.0, rel=0.15)
    assert one.clean.shape == one.spectra.intensity.shape
    assert np.isfinite(one.values).all() and np.isfinite(one.fractions).all()


def test_doses_of_known_pixels_vary_around_the_datas(fitted, spectra):
    n = 2000
    # level is one over the dose; with one dose there is the data's own spread alone
    one, spread = (
        np.log(dg.known_pixels(fitted, spectra, n=n, dose=dose, seed=2).spectra.level)
        for dose in (1.0, None)
    )
    width = one.var() + drawn_pixels.DOSE_SPREAD**2
    assert spread.var() == pytest.approx(width, rel=5 * np.sqrt(2 / n))
    assert abs(spread.mean() - one.mean()) < 5 * np.sqrt((one.var() + width) / n)


def test_value_coverage_is_that_of_the_usable_pixels(fitted, spectra):
    prediction = fitted.predict(spectra[:50], show_progressbar=False)
    _, high = prediction.value_interval(0.5)
    # Half of the truths lie just inside of the 50 % intervals, half just outside.
    truth = prediction.value + np.where(np.arange(50) % 2, 0.99, 1.01) * (high - prediction.value)
    truth[:10] = np.nan
    result = dg.value_coverage(prediction, truth, levels=(0.5, 0.9))
    assert result.n == 40
    assert result.coverage.tolist() == [0.5, 1.0]
    with pytest.raises(ValueError, match=r"truth has shape \(3,\); \(50,\) is needed"):
        dg.value_coverage(prediction, truth[:3])
    with pytest.raises(ValueError, match="no pixel is left"):
        dg.value_coverage(prediction, np.full(50, np.nan))
    without = dataclasses.replace(prediction, value=np.full(50, np.nan))
    with pytest.raises(ValueError, match="has no values"):
        dg.value_coverage(without, truth)


# -- on a fitted classifier -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["noisy", "clean"])
def test_nuts_beside_the_encoder(fitted, spectra, kind):
    chosen = spectra[:2] if kind == "noisy" else dg.known_pixels(fitted, spectra, n=2).clean
    result = dg.nuts(fitted, chosen, n_draws=20, n_warmup=10, n_chains=2)
    data = result.inference_data
    assert data.posterior["z"].shape == (2, 20, 2, 3)
    assert data.sample_stats["lp"].dims == ("chain", "draw", "pixel")
    assert ("sd" in data.constant_data) if kind == "noisy" else not hasattr(data, "constant_data")
    draws = data.posterior["z"].values.reshape(40, 2, 3)
    np.testing.assert_allclose(result.mean, draws.mean(0))
    np.testing.assert_allclose(result.sd, draws.std(0))
    for name in ("r_hat", "ess", "amortised_mean", "amortised_sd", "importance_mean"):
        assert getattr(result, name).shape == (2, 3)
        assert np.isfinite(getattr(result, name)).all()
    total = result.amortisation_gap + result.approximation_gap
    np.testing.assert_allclose(total, result.log_evidence - result.elbo_amortised)
    assert (total > -4 * result.log_evidence_error - 0.1).all()


@pytest.fixture(scope="module")
def check(fitted, spectra):
    return dg.posterior_predictive(fitted, spectra[:30], n_draws=40)


def test_posterior_predictive_feeds_arviz(check, spectra):
    data = check.inference_data
    assert data.posterior_predictive["intensity"].shape == (1, 40, 30, len(spectra.energy))
    np.testing.assert_array_equal(data.observed_data["intensity"], spectra.intensity[:30])
    np.testing.assert_array_equal(data.observed_data["energy"], spectra.energy)
    with warnings.catch_warnings():
        # ArviZ 0.23 calls what matplotlib 3.11 deprecates.
        warnings.simplefilter("ignore", matplotlib.MatplotlibDeprecationWarning)
        az = arviz_bridge.arviz()
        if hasattr(az, "plot_ppc"):
            figure = az.plot_ppc(data, num_pp_samples=5, random_seed=0).figure
        else:  # from ArviZ 1 on
            figure = az.plot_ppc_dist(data, num_samples=5).viz["figure"].item()
    assert sum(len(ax.lines) for ax in figure.axes) > 2
    plt.close(figure)


def test_p_values_are_shares_of_larger_replicates(check):
    names = {"chi-square per channel", "largest residual", "edge area"}
    assert set(check.p_values) == set(check.realised) == set(check.replicated) == names
    for name, p in check.p_values.items():
        assert p.shape == (30,) and check.realised[name].shape == (40, 30)
        np.testing.assert_allclose(p, (check.replicated[name] >= check.realised[name]).mean(0))


def test_replicates_have_the_pixels_noise(fitted, check, spectra):
    data = check.inference_data
    spread = data.posterior_predictive["intensity"].values[0].std(0).mean(1)
    np.testing.assert_allclose(spread / spectra.sd[:30].mean(1), 1.0, atol=0.25)
    # The clean spectrum's own likelihood adds its variance, 2 b^2 of a Laplace distribution.
    b = float(fitted.fitted.vae.log_b.detach().exp() * fitted.fitted.vae.scale)
    expected = 1 + 2 * b**2 * (spectra.sd[:30] ** -2.0).mean()
    found = check.replicated["chi-square per channel"].mean()
    assert found == pytest.approx(expected, rel=0.1)


def test_posterior_predictive_finds_what_no_replicate_has(fitted, spectra, check):
    intensity = spectra.intensity[:30].copy()
    intensity[:, 40] += 12 * spectra.sd[:30, 40]
    spiked = dataclasses.replace(spectra[:30], intensity=intensity)
    found = dg.posterior_predictive(fitted, spiked, n_draws=40).p_values["largest residual"]
    assert np.median(found) == 0.0 < np.median(check.p_values["largest residual"])


def test_a_prior_compared_with_itself_draws(fitted, spectra):
    result = dg.compare_priors(fitted, fitted, spectra[:6], n_draws=200)
    assert result.difference == result.standard_error == 0.0
    assert result.log_evidence_a.shape == result.pareto_k_b.shape == result.reliable.shape == (6,)


def test_comparison_is_antisymmetric_and_favours_the_better(fitted, spectra):
    worse = with_parts(fitted)
    worse.fitted.vae.log_b.data -= 2.0  # a likelihood far too narrow for a VAE hardly trained
    clean = dg.known_pixels(fitted, spectra, n=8).clean
    one = dg.compare_priors(fitted, worse, clean, n_draws=300)
    two = dg.compare_priors(worse, fitted, clean, n_draws=300)
    assert one.difference == pytest.approx(-two.difference)
    assert one.difference > 2 * one.standard_error > 0
    d = one.log_evidence_a - one.log_evidence_b
    assert one.standard_error == pytest.approx(np.sqrt(len(d) * d.var(ddof=1)))


def test_support_distance_is_of_the_given_and_of_the_fitted_library(fitted, spectra):
    result = dg.support_distance(fitted, spectra, n=100, n_permutations=50)
    spaces = ["spectrum", "clean latent", "noisy latent"]
    assert list(result.before) == list(result.after) == spaces
    for space in spaces:
        assert result.before[space].bandwidth == result.after[space].bandwidth
    # A library of three times the intensity lies farther from the data; the fitted one does not.
    far = copy.copy(fitted)
    far.library = dataclasses.replace(fitted.library, intensity=3.0 * fitted.library.intensity)
    other = dg.support_distance(far, spectra, n=100, n_permutations=50)
    assert other.before["spectrum"].statistic > 1.5 * result.before["spectrum"].statistic
    assert other.after == result.after


# -- misuse -----------------------------------------------------------------------------------


def test_an_unfitted_classifier_is_refused(spectra):
    clf = eb.EELSClassifier(eb.FingerprintLibrary.example())
    for ask in (dg.known_pixels, dg.active_units, dg.nuts, dg.posterior_predictive):
        with pytest.raises(RuntimeError, match="not fitted"):
            ask(clf, spectra[:2])


def test_wrong_arguments_are_refused(fitted, spectra):
    with pytest.raises(ValueError, match="multiple of 20, got n_draws = 100"):
        dg.simulation_based_calibration(fitted, spectra, n_draws=100)
    with pytest.raises(ValueError, match=r"spectra have shape \(2, 7\); \(n, 120\)"):
        dg.nuts(fitted, np.zeros((2, 7)))
    with pytest.raises(ValueError, match="n_chains must be a whole number of at least 2, got 1"):
        dg.nuts(fitted, spectra[:2], n_chains=1)
    with pytest.raises(ValueError, match="at least two usable spectra"):
        dg.compare_priors(fitted, fitted, spectra[:1])
    flagged = dataclasses.replace(spectra[:2], flag=np.ones(2, np.int64))
    with pytest.raises(ValueError, match="at least one usable"):
        dg.nuts(fitted, flagged)
    with pytest.raises(ValueError, match="at least one usable pixel is needed, got 0"):
        dg.posterior_predictive(fitted, flagged)


def test_as_mixture_is_the_gaussian():
    q = Gaussian(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, 0.1]]))
    mixture = lp.as_mixture(q)
    assert isinstance(mixture, GaussianMixture)
    for one, other in zip(mixtures.moments(mixture), q, strict=True):
        torch.testing.assert_close(one, other)

"""The noisy encoder: its mixtures against torch, its posterior against exact ones, its fit."""

import copy
import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import eels_bayes as eb
from eels_bayes.forward_model.clean_edges import Clean
from eels_bayes.forward_model.components import MIXING
from eels_bayes.forward_model.edge_shapes import LibraryFit, edge_shapes
from eels_bayes.forward_model.fit import fit_forward_model
from eels_bayes.forward_model.foreign import Foreign
from eels_bayes.forward_model.misfit import Directions, Misfit
from eels_bayes.forward_model.pixel_posterior import Evidence, PixelEvidence
from eels_bayes.forward_model.reinsertion import reinsertion
from eels_bayes.latent.mixtures import Gaussian, GaussianMixture, draw, log_density, moments
from eels_bayes.latent.noisy_encoder import NoisyEncoder, active_axes
from eels_bayes.latent.noisy_encoder_fit import fit_noisy_encoder
from eels_bayes.latent.vae import SpectrumVAE

D = 3


def mixture(n=6, r=4, dim=D, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    draw_normal = lambda *shape: torch.randn(*shape, generator=generator, dtype=dtype)  # noqa: E731
    return GaussianMixture(
        torch.log_softmax(draw_normal(n, r), 1),
        2 * draw_normal(n, r, dim),
        (0.7 * draw_normal(n, r, dim)).exp(),
        torch.linalg.qr(draw_normal(dim, dim))[0],
    )


def test_log_density_equals_torchs_mixture():
    mix = mixture()
    z = 3 * torch.randn(6, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    covariance = mix.axes @ torch.diag_embed(mix.sd**2) @ mix.axes.T
    wanted = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=mix.log_weight),
        torch.distributions.MultivariateNormal(mix.mean @ mix.axes.T, covariance),
    ).log_prob(z)
    torch.testing.assert_close(log_density(mix, z), wanted)


def test_moments_and_draws_agree():
    mix, n = mixture(), 20_000
    drawn = draw(mix, n, torch.Generator().manual_seed(2))
    assert drawn.shape == (6, n, D)
    mean, sd = moments(mix)
    assert ((drawn.mean(1) - mean).abs() < 5 * sd / math.sqrt(n)).all()
    square = (drawn - mean.unsqueeze(1)) ** 2
    assert ((square.mean(1) - sd**2).abs() < 5 * square.std(1) / math.sqrt(n)).all()
    # and the draws follow the density: its mean is minus the entropy, whichever way it is taken
    again = draw(mix, n, torch.Generator().manual_seed(3))
    one = torch.stack([log_density(mix, drawn[:, i]) for i in range(2000)])
    two = torch.stack([log_density(mix, again[:, i]) for i in range(2000)])
    assert ((one.mean(0) - two.mean(0)).abs() < 5 * one.std(0) * math.sqrt(2 / 2000)).all()


def test_draws_come_from_the_given_stream_only():
    before = torch.get_rng_state()
    first = draw(mixture(), 7, torch.Generator().manual_seed(4))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, draw(mixture(), 7, torch.Generator().manual_seed(4)))


@settings(max_examples=30)
@given(st.floats(-5, 3), st.floats(0, 3), st.integers(0, 100))
def test_moments_keep_their_precision_far_from_zero(log_sd, log_distance, seed):
    double = mixture(seed=seed)
    double = double._replace(
        mean=10.0**log_distance + 10.0**log_sd * double.mean, sd=10.0**log_sd * double.sd
    )
    # what single precision can hold of the inputs, so that only the arithmetic is judged
    single = GaussianMixture(*(x.float() for x in double))
    exact = GaussianMixture(*(x.double() for x in single))
    for found, wanted in zip(moments(single), moments(exact), strict=True):
        torch.testing.assert_close(
            found.double(), wanted, rtol=1e-4, atol=1e-6 * 10.0**log_distance
        )


def test_one_component_is_its_own_moments():
    mix = mixture(r=1)
    mean, sd = moments(mix._replace(axes=torch.eye(D, dtype=torch.float64)))
    torch.testing.assert_close(mean, mix.mean[:, 0])
    torch.testing.assert_close(sd, mix.sd[:, 0])
    mean, sd = moments(mix)
    torch.testing.assert_close(mean, mix.mean[:, 0] @ mix.axes.T)
    covariance = mix.axes @ torch.diag_embed(mix.sd[:, 0] ** 2) @ mix.axes.T
    torch.testing.assert_close(sd, torch.diagonal(covariance, dim1=1, dim2=2).sqrt())


@pytest.fixture(scope="module")
def experiment():
    """A reinsertion and a VAE (not trained: its latents are as good a target as any)."""
    signals = eb.simulate.annealing_series(n_images=4, shape=(6, 6), dose=2.0).signals
    pre = eb.Preprocessor((677, 737), 1.0, background=(600, 675), normalize=(570, 592.5))
    spectra = pre(signals)
    library = eb.FingerprintLibrary.example()
    effort = eb.Effort(forward_iterations=20)
    model = fit_forward_model(spectra, library, effort=effort, show_progressbar=False)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        vae = SpectrumVAE(60, D, scale=0.5).eval()
        vae.encoder.head.weight.data[:D] *= 100  # classes a few sd apart
        vae.encoder.head.weight.data[D:] = 0
        vae.encoder.head.bias.data[D:] = -3
    return vae, reinsertion(model, spectra)


@pytest.fixture(scope="module")
def encoder(experiment):
    return fit_noisy_encoder(*experiment)


@pytest.fixture(scope="module")
def inputs(experiment):
    """Profiles and levels of 300 drawn pixels."""
    pairs = experiment[1].draw(300, np.random.default_rng(4))
    return pairs.profile, pairs.level


def test_outputs_are_mixtures_of_the_forward_models_components(experiment, encoder, inputs):
    mix = encoder(*inputs)
    r = len(experiment[1].model.components()[0])
    assert mix.log_weight.shape == (300, r) and encoder.n_components == r
    assert mix.mean.shape == mix.sd.shape == (300, r, D) and encoder.latent_dim == D
    torch.testing.assert_close(mix.log_weight.exp().sum(1), torch.ones(300))
    assert torch.equal(mix.log_weight, encoder.evidence(*inputs).log_probability)
    assert torch.equal(mix.axes, encoder.axes)
    assert (mix.sd > 0).all()


@settings(max_examples=30)
@given(st.integers(0, 1000), st.floats(-4, 2))
def test_reading_is_gaussian_conditioning(seed, log_noise):
    generator = torch.Generator().manual_seed(seed)
    n, n_components, n_span = 3, 2, 5

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    module = NoisyEncoder(PixelEvidence((7, n_span, n_components, 5, 4)), D).double()
    module.evidence.variance = torch.rand(3, n_span, generator=generator, dtype=torch.float64) ** 3
    module.offset, module.slope = normal(n_components, D), normal(n_components, n_span, D)
    module.spread = normal(n_components, D).exp()
    prior = module.evidence.variance[:n_components]
    noise = 10.0**log_noise * normal(n).exp()
    deviation = normal(n, n_components, n_span)
    none = torch.empty(0)
    shrink = 1.0 / (prior + noise[:, None, None])
    factor = deviation * shrink
    mix = module.read(Evidence(normal(n, n_components), noise, none, none, factor, shrink))
    for i in range(n):
        for c in range(n_components):
            # z and what is measured of the deviations, jointly Gaussian
            slope, width = module.slope[c], torch.diag(prior[c])
            measured = width + noise[i] * torch.eye(n_span)
            cross = slope.T @ width
            gain = torch.linalg.solve(measured, cross.T).T
            mean = module.offset[c] + gain @ deviation[i, c]
            total = cross @ slope + torch.diag(module.spread[c] ** 2)
            torch.testing.assert_close(mix.mean[i, c], mean)
            covariance = total - gain @ cross.T
            torch.testing.assert_close(mix.sd[i, c] ** 2, torch.diagonal(covariance))


def test_scripted_equals_eager(encoder, inputs):
    scripted = torch.jit.script(encoder)
    for n in (1, 5):
        some = [part[:n] for part in inputs]
        for found, wanted in zip(scripted(*some), encoder(*some), strict=True):
            torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("spike", [1e6, -1e6, 1e12])
def test_hostile_input_stays_finite_and_stays_in_its_row(encoder, inputs, spike):
    profile, level = (part[:5] for part in inputs)
    clean = encoder(profile, level)
    one_bin, whole, loud, quiet = profile.clone(), profile.clone(), level.clone(), level.clone()
    one_bin[2, 30], whole[2], loud[2], quiet[2] = spike, spike, abs(spike), 1.0 / abs(spike)
    for x in ((one_bin, level), (whole, level), (profile, loud), (profile, quiet)):
        hostile = encoder(*x)
        others = torch.arange(5) != 2
        for found, wanted in zip(hostile[:3], clean[:3], strict=True):
            assert torch.isfinite(found).all()
            torch.testing.assert_close(found[others], wanted[others])
        assert all(torch.isfinite(part).all() for part in moments(hostile))


def test_buffers_are_the_whole_state(encoder, inputs):
    assert list(encoder.parameters()) == []  # nothing of it is trained
    mine = {name for name in encoder.state_dict() if not name.startswith("evidence.")}
    assert mine == {"axes", "offset", "slope", "spread"}
    again = NoisyEncoder(PixelEvidence(encoder.evidence.sizes), D)
    again.load_state_dict(encoder.state_dict())
    for found, wanted in zip(again(*inputs), encoder(*inputs), strict=True):
        assert torch.equal(found, wanted)


# --- where all is linear and Gaussian, the posterior is known


class LinearWorld:
    """Draws pairs as `Reinsertion` does, but of edges that are linear in Gaussian factors.

    Clean spectra are on the profile's bins; behind them come D numbers that leave no trace in the
    profile, and which component it is, so that the latent may go its own way in each.
    """

    def __init__(self, model):
        self.model, flat = model, np.ones(len(model.continuum.energy))
        self.members, _ = model.components()
        self.shapes = edge_shapes(
            model.continuum.energy, model.library, LibraryFit(), flat, pairs=model.pairs
        )
        self.columns = model.continuum.columns(model.continuum.energy, model.library)
        self.over = self.columns.copy()
        self.over[:, : self.columns.shape[1] - len(model.library.nuisances)] = 0.0

    def mixed_edges(self, first, second, share, rng):
        near = MIXING[int(np.abs(np.array(MIXING) - share.mean()).argmin())]
        member = first[0], second[0], 1.0 if first[0] == second[0] else near
        c, n = self.members.index(member), len(first)
        shape = self.shapes[c]
        edge = shape.mean + rng.normal(size=(n, shape.loadings.shape[1])) @ shape.loadings.T
        edge = np.concatenate([edge, rng.normal(size=(n, D)), np.full((n, 1), c)], axis=1)
        return Clean(edge, np.zeros((n, 1)), None)

    def coefficients(self, n, rng):
        return rng.multivariate_normal(self.model.mean, self.model.covariance, n)

    def overlap(self, u):
        return np.pad(u @ self.over.T, ((0, 0), (0, D + 1)))

    def profile(self, edge, u):
        center = self.model.continuum.center(self.model.continuum.energy)
        return center + u @ self.columns.T + edge[:, : len(center)]


class LinearVAE:
    """Latents linear in the clean spectrum, in a way of every component's own."""

    def __init__(self, n_bins, n_components, *, hidden, sd=(0.3, 0.1, 0.2), sign=1.0, seed=6):
        generator = torch.Generator().manual_seed(seed)
        smooth = torch.linspace(0, 3, n_bins).unsqueeze(1) * torch.tensor([1.0, 2.0, 4.0])
        phase = 6 * torch.rand(n_components, 1, D, generator=generator)
        self.weight = sign * torch.sin(smooth + phase)  # (C, B, D)
        self.bias = sign * torch.randn(n_components, D, generator=generator)
        self.hidden, self.sd, self.latent_dim = hidden, torch.tensor(sd), D
        self.log_b = torch.zeros(())

    def encode(self, clean):
        which = clean[:, -1].round().long()
        mean = torch.einsum("nb,nbd->nd", clean[:, : -D - 1], self.weight[which])
        mean = mean + self.bias[which] + self.hidden * clean[:, -D - 1 : -1]
        return Gaussian(mean, self.sd.expand_as(mean))


@pytest.fixture(scope="module")
def world(experiment):
    model = experiment[1].model
    n_bins, n_classes = len(model.continuum.energy), model.library.n_classes
    along = Directions(np.zeros((n_bins, 0)), np.ones(n_classes), 1.0)
    # its edges are no draws of a misfit
    plain = {"misfit": Misfit.unknown(n_classes, 0), "foreign": Foreign.none(n_bins, 0)}
    return LinearWorld(dataclasses.replace(model, along=along, **plain))


def linear(world, **options):
    options = {"hidden": 0.0} | options
    return LinearVAE(len(world.columns), len(world.members), **options)


def joint(world, vae, c):
    """Of component c: mean (B,) and covariance (B, B) of whitened profiles without noise.

    And of latents: mean (D,), covariance (D, D), and that with the profiles (D, B).
    """
    model, shape = world.model, world.shapes[c]
    weight = vae.weight[c].double().numpy()
    white, within = model.white, shape.loadings @ shape.loadings.T
    covariance = world.columns @ model.covariance @ world.columns.T + within
    cross = weight.T @ (world.over @ model.covariance @ world.columns.T + within)
    total = weight.T @ (world.over @ model.covariance @ world.over.T + within) @ weight
    return SimpleNamespace(
        mean=white * (shape.mean + world.columns @ model.mean),
        covariance=white[:, None] * covariance * white,
        latent_mean=(shape.mean + world.over @ model.mean) @ weight + vae.bias[c].double().numpy(),
        latent_covariance=total + vae.hidden**2 * np.eye(D),
        cross=cross * white,
    )


def fit_exactly(vae, world, n_draws=3000, **options):
    """Of many clean spectra, with hardly a prior, and in directions too narrow for any dose."""
    exact = {"n_draws": n_draws, "ridge": 1e-3, "negligible": 1e-12}
    return fit_noisy_encoder(vae, world, **exact, **options)


@pytest.fixture(scope="module")
def exact(world):
    """Latents that the clean spectra determine, and the encoder of them."""
    vae = linear(world)
    return vae, fit_exactly(vae, world)


@pytest.mark.parametrize("dose", [0.3, 1.0, 10.0])
def test_the_posterior_is_the_exact_one_where_all_is_linear(world, exact, inputs, dose):
    vae, encoder = exact
    profile, level = (part[:4] for part in inputs)
    mix = encoder(profile, level / dose)
    target, noise = world.model.whiten(profile.double().numpy(), level.double().numpy() / dose)
    axes = encoder.axes.double().numpy()
    for c in range(len(world.members)):
        known = joint(world, vae, c)
        size = np.sqrt(np.diag(axes.T @ known.latent_covariance @ axes))
        for i in range(4):
            measured = known.covariance + noise[i] * np.eye(len(target[i]))
            gain = np.linalg.solve(measured, known.cross.T).T
            mean = (known.latent_mean + gain @ (target[i] - known.mean)) @ axes
            left = known.latent_covariance - gain @ known.cross.T
            left = left + np.diag(vae.sd.double().numpy() ** 2)
            sd = np.sqrt(np.diag(axes.T @ left @ axes))
            np.testing.assert_array_less(np.abs(mix.mean[i, c].numpy() - mean) / size, 5e-4)
            np.testing.assert_allclose(mix.sd[i, c].numpy(), sd, rtol=1e-4)


def test_every_component_has_its_own_regression(world):
    vae, n = linear(world, hidden=0.5), 4000
    encoder = fit_exactly(vae, world, n, axes=torch.eye(D))
    evidence = encoder.evidence
    span = evidence.span.double().numpy()
    each = evidence.axes.double().numpy().reshape(span.shape[1], -1, span.shape[1])
    score = []
    for c in range(len(world.members)):
        known, along = joint(world, vae, c), span @ each[:, c]
        width = np.sqrt(evidence.variance[c].double().numpy())
        matters = encoder.slope[c].numpy().any(1)
        assert (matters == (width**2 > 1e-12 * width.max() ** 2)).all()
        wanted = (known.cross @ along)[:, matters].T / width[matters, None]
        found = encoder.slope[c].double().numpy() * width[:, None]
        # in units of the latents: a slope's error is that of a mean of as many draws
        score.append((found[matters] - wanted) * np.sqrt(n) / vae.hidden)
        left = encoder.spread[c].double() ** 2 - vae.sd.double() ** 2
        np.testing.assert_allclose(left, 0.25, rtol=5 * np.sqrt(2 / n))
        offset = encoder.offset[c].double().numpy() - known.latent_mean
        assert np.abs(offset).max() < 5 * vae.hidden / np.sqrt(n)
    score = np.concatenate(score)
    assert np.abs(score).max() < 5.5 and abs((score**2).mean() - 1) < 0.2


def test_spreads_of_few_draws_are_not_too_narrow(world):
    n, vae = 200, linear(world, hidden=0.5, sd=(1e-3, 1e-3, 1e-3))
    encoder = fit_exactly(vae, world, n)
    n_slopes = int((encoder.slope != 0).any(2).sum(1).min())
    spread = encoder.spread.double() ** 2
    error = math.sqrt(2 / (n - n_slopes) / spread.numel())
    assert n_slopes / n > 10 * error / 2  # what is left of so few draws is less than there was
    assert float(spread.mean()) / 0.25 == pytest.approx(1.0, abs=5 * error)


def test_what_shows_and_what_does_not_make_the_latents_variance(world):
    vae = linear(world, hidden=0.2)
    encoder = fit_noisy_encoder(vae, world, n_draws=3000)
    axes = encoder.axes.double()
    shows = torch.einsum(
        "cs,csd->cd", encoder.evidence.variance[: len(encoder.slope)], encoder.slope**2
    )
    found = shows + encoder.spread**2
    for c in range(len(world.members)):
        total = torch.as_tensor(joint(world, vae, c).latent_covariance)
        total = total + torch.diag(vae.sd.double() ** 2)
        wanted = torch.diagonal(axes.T @ total @ axes)
        torch.testing.assert_close(found[c].double(), wanted, rtol=5 * math.sqrt(2 / 3000), atol=0)


def test_spreads_hold_the_variance_of_the_clean_latents(world):
    sds = (0.3, 0.1, 0.2), (1.0, 0.5, 0.0)
    one, two = (fit_noisy_encoder(linear(world, hidden=0.2, sd=sd), world) for sd in sds)
    assert torch.equal(one.axes, two.axes) and torch.equal(one.slope, two.slope)
    added = torch.tensor(sds[1]) ** 2 - torch.tensor(sds[0]) ** 2
    wanted = (added @ one.axes**2).expand(len(world.members), D)
    torch.testing.assert_close(two.spread**2 - one.spread**2, wanted, rtol=1e-4, atol=1e-5)


# --- axes


def test_axes_are_the_principal_ones_within_components(world, exact):
    vae, encoder = exact
    axes = encoder.axes.double().numpy()
    np.testing.assert_allclose(axes.T @ axes, np.eye(D), atol=1e-6)
    known = [joint(world, vae, c) for c in range(len(world.members))]
    share = world.model.components()[1]
    share = share / share.sum()
    means = np.array([one.latent_mean for one in known])
    center = share @ means
    within = np.einsum("c,cde->de", share, np.array([one.latent_covariance for one in known]))
    width, wanted = np.linalg.eigh(within)
    assert (width[1:] > 1.2 * width[:-1]).all()  # so that axes are known
    match = (axes.T @ wanted) ** 2
    assert (match.max(1) > 0.999).all()
    # the one that tells most comes first
    total = within + np.einsum("c,cd,ce->de", share, means - center, means - center)
    assert match[0].argmax() == np.diag(wanted.T @ total @ wanted).argmax()
    # the signs do not hang on the latents'
    mirrored = fit_exactly(linear(world, sign=-1.0), world).axes
    np.testing.assert_allclose(mirrored, axes, atol=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_axes_point_to_where_they_are_largest(world, seed):
    axes = fit_exactly(linear(world, seed=seed), world, 100).axes
    assert (axes.gather(0, axes.abs().argmax(0, keepdim=True)) > 0).all()


def test_given_axes_are_kept(experiment, encoder, inputs):
    axes = torch.linalg.qr(torch.randn(D, D, generator=torch.Generator().manual_seed(5)))[0]
    kept, other = axes.clone(), fit_noisy_encoder(*experiment, axes=axes)
    assert torch.equal(other.axes, kept)
    assert fit_noisy_encoder(*experiment, axes=axes.double()).axes.dtype == torch.float32
    assert not torch.allclose(other.axes, encoder.axes, atol=0.1)
    # the mean is the same latent along whatever axes
    found, wanted = other(*inputs), encoder(*inputs)
    torch.testing.assert_close(
        found.mean @ found.axes.T, wanted.mean @ wanted.axes.T, rtol=1e-3, atol=1e-3
    )
    axes.zero_()
    assert torch.equal(other.axes, kept)


# --- the fit


def test_clean_spectra_are_of_every_component_with_shares_between(experiment, monkeypatch):
    vae, source = experiment
    asked, original = [], type(source).mixed_edges

    def watched(self, first, second, share, rng):
        asked.append((first, second, share))
        return original(self, first, second, share, rng)

    monkeypatch.setattr(type(source), "mixed_edges", watched)
    fit_noisy_encoder(vae, source)
    members, _ = source.model.components()
    assert len(asked) == len(members)
    for (first, second, share), (a, b, middle) in zip(asked, members, strict=True):
        assert len(share) == 512
        assert (first == a).all() and (second == b).all()
        if a == b:
            assert (share == 1.0).all()
        else:
            # as far as half way to the next component
            half = 0.5 * (MIXING[1] - MIXING[0])
            assert np.abs(share - middle).max() <= half
            assert share.std() == pytest.approx(half / math.sqrt(3), rel=0.1)
            assert share.mean() == pytest.approx(middle, abs=5 * share.std() / math.sqrt(512))


def test_same_seed_same_encoder_and_nothing_else_is_changed(experiment, encoder):
    vae = experiment[0]
    frozen = copy.deepcopy(vae.state_dict())
    torch.rand(3)
    torchs, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    again = fit_noisy_encoder(*experiment, seed=0)
    other = fit_noisy_encoder(*experiment, seed=1)
    assert torch.equal(torch.get_rng_state(), torchs)
    assert (np.random.get_state()[1] == numpys).all()  # noqa: NPY002
    for name, value in encoder.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    for name in ("axes", "offset", "slope", "spread"):
        assert not torch.equal(getattr(other, name), getattr(encoder, name)), name
    assert vae.state_dict().keys() == frozen.keys()
    assert all(torch.equal(value, frozen[name]) for name, value in vae.state_dict().items())
    assert all(value.grad is None for value in vae.parameters())
    assert not encoder.training and not any(x.requires_grad for x in encoder.buffers())


def test_the_posterior_beats_what_ignores_the_spectrum(experiment, encoder):
    vae, source = experiment
    n, rng, generator = 1000, np.random.default_rng(3), torch.Generator().manual_seed(3)
    pairs = source.draw(n, rng, dose=np.exp(0.35 * rng.standard_normal(n)))
    with torch.no_grad():
        mean, sd = vae.encode(pairs.clean)
    z = mean + sd * torch.randn(mean.shape, generator=generator)
    # the best Gaussian that does not look: the entropy of the latents' own distribution
    blind = 0.5 * float(torch.logdet(2 * math.pi * math.e * torch.cov(z.T)))
    mix = encoder(pairs.profile, pairs.level)
    found = -log_density(mix, z).mean()
    swapped = -log_density(mix, z.roll(1, 0)).mean()
    assert float(found) < blind - 0.1
    assert float(found) < float(swapped) - 0.3


def test_the_posterior_widens_as_the_dose_falls_and_stays_honest(experiment, encoder):
    vae, source = experiment
    n = 1000
    edge = source.edges(n, np.random.default_rng(8)).spectra
    generator = torch.Generator().manual_seed(10)
    entropy, loss = [], []
    for dose in (3.0, 1.0, 1 / 3):
        # the same stream: the same edges on the same continua
        pairs = source.draw(n, np.random.default_rng(9), edge=edge, dose=dose)
        with torch.no_grad():
            mix = encoder(pairs.profile, pairs.level)
            mean, sd = vae.encode(pairs.clean)
        z = mean + sd * torch.randn(mean.shape, generator=generator)
        drawn = draw(mix, 40, generator)
        entropy.append(-float(torch.stack([log_density(mix, x) for x in drawn.unbind(1)]).mean()))
        loss.append(-float(log_density(mix, z).mean()))
    assert (np.diff(entropy) > 0.12).all()
    # latents are as far off as the posteriors say, at every dose
    np.testing.assert_allclose(loss, entropy, atol=0.4)


def test_axes_are_active_that_tell_components_apart():
    """By how far Gaussians lie apart, by where the deviations move them, and by their widths."""

    def encoder():
        made = NoisyEncoder(PixelEvidence((6, 3, 4, 5, 2)), 5)
        made.evidence.log_weight = torch.log(torch.tensor([0.4, 0.3, 0.2, 0.1]))
        return made

    assert active_axes(encoder()) == 1  # all alike: one is left
    apart, moved, wide, rare = (encoder() for _ in range(4))
    apart.offset[:, 2] = torch.tensor([-1.0, 1.0, -1.0, 1.0])
    assert active_axes(apart) == 3
    moved.slope[:, 1, 3] = 2.0
    assert active_axes(moved) == 4
    moved.evidence.variance[:, 1] = 0.0  # nothing deviates that way
    assert active_axes(moved) == 1
    wide.spread[0, 4] = 5.0
    assert active_axes(wide) == 5
    rare.evidence.log_weight = torch.tensor([0.0, 0.0, 0.0, -30.0])
    rare.offset[3, 4] = 9.0  # of a component that does not occur
    assert active_axes(rare) == 1

"""The noisy encoder: its mixtures against torch, hostile input, scripting, and learning."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import eels_bayes as eb
from eels_bayes import encoder_training
from eels_bayes.encoder_training import draw_doses, draw_pairs, fit_noisy_encoder
from eels_bayes.evidence import evidence_of
from eels_bayes.fit import FitState, Schedule
from eels_bayes.forward_model import fit_forward_model
from eels_bayes.nets import GaussianMixture
from eels_bayes.noisy_encoder import NoisyEncoder, draw, log_density, moments
from eels_bayes.reinsertion import reinsertion
from eels_bayes.vae import SpectrumVAE

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
    model = fit_forward_model(spectra, library, iterations=20, show_progressbar=False)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        vae = SpectrumVAE(60, D, scale=0.5).eval()
        vae.encoder.head.weight.data[:D] *= 100  # classes a few sd apart
        vae.encoder.head.weight.data[D:] = 0
        vae.encoder.head.bias.data[D:] = -3
    return vae, reinsertion(model, spectra)


def new_encoder(experiment):
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return NoisyEncoder(evidence_of(experiment[1].model), D).eval()


@pytest.fixture
def encoder(experiment):
    return new_encoder(experiment)


@pytest.fixture(scope="module")
def latents():
    """Latents that vary in directions of their own: 300 of them."""
    generator = torch.Generator().manual_seed(5)
    axes, _ = torch.linalg.qr(torch.randn(D, D, generator=generator))
    z = torch.randn(300, D, generator=generator) * torch.tensor([3.0, 1.0, 0.2])
    return z @ axes.T + 1.0, axes


@pytest.fixture(scope="module")
def inputs(experiment):
    """Profiles and levels of 300 drawn pixels."""
    pairs = experiment[1].draw(300, np.random.default_rng(4))
    return pairs.profile, pairs.level


def test_outputs_are_mixtures(encoder, inputs):
    mix = encoder(*inputs)
    r = mix.log_weight.shape[1]
    assert mix.mean.shape == mix.sd.shape == (300, r, D)
    torch.testing.assert_close(mix.log_weight.exp().sum(1), torch.ones(300))
    assert (mix.sd > 0).all()


def test_scripted_equals_eager(encoder, inputs, latents):
    encoder.standardise(*inputs, latents[0])
    scripted = torch.jit.script(encoder)
    for n in (1, 5):
        some = [part[:n] for part in inputs]
        for found, wanted in zip(scripted(*some), encoder(*some), strict=True):
            torch.testing.assert_close(found, wanted)


def test_features_are_the_evidence(encoder, inputs):
    found, features = encoder.evidence(*inputs), encoder.features(encoder.evidence(*inputs))
    assert features.shape == (300, len(encoder.center))
    n = found.log_probability.shape[1]
    probability = found.log_probability.exp()
    torch.testing.assert_close(features[:, :n], found.log_probability.clamp(min=-8.0))
    torch.testing.assert_close(features[:, n : 2 * n], probability)
    torch.testing.assert_close(features[:, 2 * n : -1], found.clean.clamp(-8.0, 8.0))
    torch.testing.assert_close(features[:, -1], found.noise.log().clamp(min=-8.0))


def test_features_are_standardised(encoder, inputs, latents):
    encoder.standardise(*inputs, latents[0])
    raw = (encoder._raw(encoder.evidence(*inputs)) - encoder.center) / encoder.width
    torch.testing.assert_close(raw.mean(0), torch.zeros(raw.shape[1]), rtol=0, atol=1e-3)
    spread = raw.std(0)
    varies = encoder.width > 1e-3  # what hardly varies is not blown up
    assert varies.sum() > 0.8 * len(spread) and (spread[~varies] <= 1.0).all()
    torch.testing.assert_close(spread[varies], torch.ones(int(varies.sum())), rtol=1e-3, atol=0)
    torch.testing.assert_close(encoder.features(encoder.evidence(*inputs)), raw.clamp(-8.0, 8.0))
    assert {"center", "width", "axes"} <= set(encoder.state_dict())
    same = (part[:1].expand(9, *part.shape[1:]) for part in inputs)
    encoder.standardise(*same, latents[0])
    assert (encoder.width > 0).all()
    assert all(torch.isfinite(part).all() for part in encoder(*inputs))


def test_axes_are_the_latents_principal_ones(encoder, inputs, latents):
    z, axes = latents
    encoder.standardise(*inputs, z)
    torch.testing.assert_close(encoder.axes.T @ encoder.axes, torch.eye(D))
    along = (encoder.axes * axes).sum(0).abs()  # widest first
    assert (along > 0.99).all()
    assert torch.equal(encoder(*inputs).axes, encoder.axes)
    before = encoder.axes.clone()
    encoder.standardise(*inputs, -z)  # the axes' signs do not hang on the latents'
    torch.testing.assert_close(encoder.axes, before)


@pytest.mark.parametrize("spike", [1e6, -1e6, 1e12])
def test_hostile_input_stays_finite_and_stays_in_its_row(encoder, inputs, latents, spike):
    encoder.standardise(*inputs, latents[0])
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


def test_only_the_network_is_trained(encoder):
    names = {name.partition(".")[0] for name, _ in encoder.named_parameters()}
    assert names == {"net"}


@pytest.fixture
def small(monkeypatch):
    for name, value in {"POOL": 512, "BATCH": 128, "N_VALIDATION": 512}.items():
        monkeypatch.setattr(encoder_training, name, value)


def train(experiment, encoder, state, *, schedule=None, seed=0):
    return fit_noisy_encoder(
        *experiment,
        schedule or Schedule(2, 5),
        state,
        encoder=encoder,
        seed=seed,
        show_progressbar=False,
    )


def test_pairs_come_with_latents_of_their_clean_spectra(experiment):
    vae, source = experiment
    pairs, z = draw_pairs(vae, source, 500, np.random.default_rng(1))
    assert z.shape == (500, D)
    with torch.no_grad():
        mean, sd = vae.encode(pairs.clean)
    score = ((z - mean) / sd).flatten()
    assert abs(float(score.mean())) < 5 / math.sqrt(1500)
    assert abs(float(score.std()) - 1) < 0.1
    again, z_again = draw_pairs(vae, source, 500, np.random.default_rng(1))
    assert torch.equal(z, z_again) and torch.equal(pairs.profile, again.profile)


def test_doses_vary_around_the_datas():
    n = 4000
    logarithm = np.log(draw_doses(n, np.random.default_rng(7)))
    assert abs(logarithm.mean()) < 5 * encoder_training.DOSE_SPREAD / np.sqrt(n)
    assert logarithm.std() == pytest.approx(encoder_training.DOSE_SPREAD, rel=0.1)


@pytest.fixture(scope="module")
def trained(experiment):
    encoder, state = new_encoder(experiment), FitState()
    before = torch.get_rng_state()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"POOL": 1024, "BATCH": 128, "N_VALIDATION": 512}.items():
            patch.setattr(encoder_training, name, value)
        train(experiment, encoder, state, schedule=Schedule(8, 40, learning_rate=2e-3))
    assert torch.equal(torch.get_rng_state(), before)
    return encoder, state


def test_training_lowers_the_loss_below_what_ignores_the_spectrum(experiment, trained):
    encoder, state = trained
    assert state.best_loss < state.validation_loss[0] - 0.2
    # the best Gaussian that does not look: the entropy of the latents' own distribution
    pairs, z = draw_pairs(*experiment, 1000, np.random.default_rng(3))
    blind = 0.5 * float(torch.logdet(2 * math.pi * math.e * torch.cov(z.T)))
    with torch.no_grad():
        mix = encoder(pairs.profile, pairs.level)
        found = -log_density(mix, z).mean()
        swapped = -log_density(mix, z.roll(1, 0)).mean()
    assert float(found) < blind - 0.1
    assert float(found) < float(swapped) - 0.3


def test_the_posterior_widens_as_the_dose_falls_and_stays_honest(experiment, trained):
    vae, source = experiment
    n = 1000
    edge = source.edges(n, np.random.default_rng(8)).spectra
    generator = torch.Generator().manual_seed(10)
    entropy, loss = [], []
    for dose in (3.0, 1.0, 1 / 3):
        # the same stream: the same edges on the same continua
        pairs = source.draw(n, np.random.default_rng(9), edge=edge, dose=dose)
        with torch.no_grad():
            mix = trained[0](pairs.profile, pairs.level)
            mean, sd = vae.encode(pairs.clean)
        z = mean + sd * torch.randn(mean.shape, generator=generator)
        drawn = draw(mix, 40, generator)
        entropy.append(-float(torch.stack([log_density(mix, x) for x in drawn.unbind(1)]).mean()))
        loss.append(-float(log_density(mix, z).mean()))
    assert (np.diff(entropy) > 0.12).all()
    # latents are as far off as the posteriors say, at every dose
    np.testing.assert_allclose(loss, entropy, atol=0.4)


def test_same_seed_same_encoder_and_the_vae_is_not_changed(experiment, small):
    vae = experiment[0]
    frozen = {name: value.clone() for name, value in vae.state_dict().items()}
    encoders = [new_encoder(experiment) for _ in range(3)]
    for encoder, seed in zip(encoders, (0, 0, 1), strict=True):
        train(experiment, encoder, FitState(), seed=seed)
    one, two, other = (torch.nn.utils.parameters_to_vector(e.parameters()) for e in encoders)
    assert torch.equal(one, two) and not torch.equal(one, other)
    assert all(torch.equal(value, frozen[name]) for name, value in vae.state_dict().items())


@pytest.mark.parametrize("call", [1, 3, 7, 9])
def test_interrupted_and_resumed_equals_uninterrupted(experiment, small, monkeypatch, call):
    # 512 pairs make four batches, twice: epochs of 3 steps end amid a pool
    schedule = Schedule(3, 3)
    whole, wanted = new_encoder(experiment), FitState()
    train(experiment, whole, wanted, schedule=schedule)
    encoder, state, calls = new_encoder(experiment), FitState(), []

    def interrupted(mix, z):
        if len(z) < 512:  # a training batch
            calls.append(1)
            if len(calls) == call:
                raise KeyboardInterrupt
        return log_density(mix, z)

    monkeypatch.setattr(encoder_training, "log_density", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(experiment, encoder, state, schedule=schedule)
    train(experiment, encoder, state, schedule=schedule)
    assert state.history() == wanted.history()
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, whole.state_dict()[name]), name

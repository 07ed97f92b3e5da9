"""The noisy encoder: its mixtures against torch, hostile input, scripting, and learning."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import eels_bayes as eb
from eels_bayes import noisy_encoder
from eels_bayes.continuum import ForwardModel, LibraryFit
from eels_bayes.fit import FitState, Schedule
from eels_bayes.nets import GaussianMixture
from eels_bayes.noisy_encoder import (
    NoisyEncoder,
    draw,
    draw_pairs,
    fit_noisy_encoder,
    log_density,
    moments,
)
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
    )


def inputs(n=5, n_channels=48, n_context=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    draw_normal = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    sd = (0.3 * draw_normal(n, n_channels)).exp()
    background = torch.tensor([20.0, 3.0]) + draw_normal(n, 2)
    return draw_normal(n, n_channels), sd, draw_normal(n, n_context), background


@pytest.fixture
def encoder():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return NoisyEncoder(48, 4, D, scale=0.8).eval()


def test_log_density_equals_torchs_mixture():
    mix = mixture()
    z = 3 * torch.randn(6, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    wanted = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=mix.log_weight),
        torch.distributions.Independent(torch.distributions.Normal(mix.mean, mix.sd), 1),
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
    mean, sd = moments(mix)
    torch.testing.assert_close(mean, mix.mean[:, 0])
    torch.testing.assert_close(sd, mix.sd[:, 0])


def test_outputs_are_mixtures(encoder):
    mix = encoder(*inputs())
    r = mix.log_weight.shape[1]
    assert mix.mean.shape == mix.sd.shape == (5, r, D)
    torch.testing.assert_close(mix.log_weight.exp().sum(1), torch.ones(5))
    assert (mix.sd > 0).all()


def test_scripted_equals_eager(encoder):
    encoder.standardise(_edges(inputs(64, seed=3)))
    scripted = torch.jit.script(encoder)
    for n in (1, 5):
        for found, wanted in zip(scripted(*inputs(n)), encoder(*inputs(n)), strict=True):
            torch.testing.assert_close(found, wanted)


def _edges(x):
    return eb.preprocess.Edges(*x, torch.zeros(len(x[0]), dtype=torch.int64))


def test_features_are_standardised(encoder):
    x = inputs(200)
    encoder.standardise(_edges(x))
    features = (encoder.features(*x[1:]) - encoder.center) / encoder.width
    torch.testing.assert_close(features.mean(0), torch.zeros(features.shape[1]), rtol=0, atol=1e-4)
    torch.testing.assert_close(features.std(0), torch.ones(features.shape[1]))
    assert {"center", "width", "scale"} <= set(encoder.state_dict())
    constant = [x[0], torch.ones_like(x[1]), torch.zeros_like(x[2]), torch.ones_like(x[3])]
    encoder.standardise(_edges(constant))
    assert (encoder.width > 0).all()
    assert all(torch.isfinite(part).all() for part in encoder(*inputs()))


@pytest.mark.parametrize("spike", [1e6, -1e6, 1e12])
def test_hostile_input_stays_finite_and_stays_in_its_row(encoder, spike):
    encoder.standardise(_edges(inputs(64, seed=3)))
    clean = encoder(*inputs())
    for which in range(4):
        x = [part.clone() for part in inputs()]
        x[which][2, 1] = abs(spike) if which == 1 else spike
        hostile = encoder(*x)
        others = torch.arange(5) != 2
        for found, wanted in zip(hostile, clean, strict=True):
            assert torch.isfinite(found).all()
            torch.testing.assert_close(found[others], wanted[others])
        assert all(torch.isfinite(part).all() for part in moments(hostile))


def test_a_spike_does_not_drown_the_other_channels(encoder):
    seen = []
    encoder.net.register_forward_pre_hook(lambda net, args: seen.append(args[0]))
    x = list(inputs())
    encoder(*x)
    x[0] = x[0].clone()
    x[0][:, 7] = 1e9
    encoder(*x)
    plain, spiked = seen
    others = torch.arange(48) != 7
    torch.testing.assert_close(spiked[:, others], plain[:, others])
    assert (spiked[:, 7] < 1e3).all() and (spiked[:, 7] > plain.max()).all()
    # and what is no spike is left as it is: the intensity over its sd
    torch.testing.assert_close(plain, inputs()[0] / inputs()[1], rtol=0.02, atol=1e-4)


@pytest.fixture(scope="module")
def experiment():
    """A reinsertion and a VAE (not trained: its latents are as good a target as any)."""
    signals = eb.simulate.annealing_series(n_images=1, shape=(4, 4), dose=30.0).signals
    pre = eb.Preprocessor((677, 737), 1.0, background=(600, 675), normalize=(570, 592.5))
    spectra = pre(signals)
    library = eb.FingerprintLibrary.example().resample(spectra.energy)
    sd = np.diag([0.02, 0.05, *[0.001] * 8, 0.05])
    model = ForwardModel(
        library,
        LibraryFit(),
        np.median(spectra.background, axis=0).astype(float),
        np.zeros(11),
        sd**2,
        np.full(4, 0.25),
        np.eye(4) / 4,
        (),
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        vae = SpectrumVAE(60, D, scale=0.5).eval()
        vae.encoder.head.weight.data *= 10  # classes a few sd apart
        vae.encoder.head.bias.data[D:] = -3
    return vae, reinsertion(model, spectra)


@pytest.fixture
def small(monkeypatch):
    for name, value in {"POOL": 512, "BATCH": 128, "N_VALIDATION": 512}.items():
        monkeypatch.setattr(noisy_encoder, name, value)


def new_encoder(experiment):
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return NoisyEncoder(
            60, int(experiment[1].draw(1, np.random.default_rng(0)).noisy[2].shape[1]), D
        )


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
    assert torch.equal(z, z_again) and torch.equal(pairs.noisy.intensity, again.noisy.intensity)


def test_training_lowers_the_loss_below_what_ignores_the_spectrum(experiment, small):
    encoder, state = new_encoder(experiment), FitState()
    before = torch.get_rng_state()
    train(experiment, encoder, state, schedule=Schedule(6, 32, learning_rate=4e-3))
    assert torch.equal(torch.get_rng_state(), before)
    assert state.best_loss < state.validation_loss[0] - 0.2
    # the best Gaussian that does not look: the entropy of the latents' own distribution
    pairs, z = draw_pairs(*experiment, 1000, np.random.default_rng(3))
    blind = 0.5 * float(torch.logdet(2 * math.pi * math.e * torch.cov(z.T)))
    with torch.no_grad():
        mix = encoder(*pairs.noisy[:4])
        found = -log_density(mix, z).mean()
        swapped = -log_density(mix, z.roll(1, 0)).mean()
    assert float(found) < blind - 0.1
    assert float(found) < float(swapped) - 0.3


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

    monkeypatch.setattr(noisy_encoder, "log_density", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(experiment, encoder, state, schedule=schedule)
    train(experiment, encoder, state, schedule=schedule)
    assert state.history() == wanted.history()
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, whole.state_dict()[name]), name

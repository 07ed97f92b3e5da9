"""The VAE: its ELBO by hand and in closed form, and at home in Pyro's own machinery."""

import copy
import math
import pickle
import warnings

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO
from torch import nn

from eels_bayes.latent import prior as priors
from eels_bayes.latent.vae import SpectrumVAE
from eels_bayes.latent.vae_fit import fit_vae
from eels_bayes.randomness import own_randomness
from eels_bayes.training import FitState, Schedule

L, D, K, J = 24, 3, 2, 4


@pytest.fixture(autouse=True)
def clean_slate():
    """Pyro's store and torch's default stream are global: every test has its own."""
    with pyro.get_param_store().scope(), torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def spectra(n, seed=0):
    """Peaks of random place and height, (n, L)."""
    generator = torch.Generator().manual_seed(seed)
    place = 8 + 8 * torch.rand(n, 1, generator=generator)
    height = 0.5 + torch.rand(n, 1, generator=generator)
    return height * torch.exp(-0.5 * ((torch.arange(L) - place) / 2.5) ** 2)


def make(prior="fingerprint", likelihood="laplace", **options):
    fingerprints = spectra(K * J, seed=1).reshape(K, J, L) if prior == "fingerprint" else None
    return SpectrumVAE(L, D, fingerprints, likelihood=likelihood, **options).eval()


class LinearDecoder(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.register_buffer("weight", weight)

    def forward(self, latent):
        return latent @ self.weight.T


class ExactEncoder(nn.Module):
    """Posterior of z ~ N(0, I), x ~ N(W z, b^2 I) where the columns of W are orthogonal."""

    def __init__(self, weight, b):
        super().__init__()
        self.register_buffer("weight", weight)
        self.b = b

    def forward(self, spectrum):
        precision = 1 + self.weight.square().sum(0) / self.b**2
        mean = spectrum @ self.weight / self.b**2 / precision
        return mean, precision.rsqrt().expand_as(mean)


def linear_gaussian(b=0.4, guide=True):
    """A VAE whose posterior and evidence are known, and the evidence's covariance."""
    vae = make("standard", "normal")
    weight = torch.linalg.qr(torch.randn(L, D))[0] * torch.tensor([2.0, 1.0, 0.5])
    vae.decoder = LinearDecoder(weight)
    if guide:
        vae.encoder = ExactEncoder(weight, b)
    vae.log_b.data.fill_(math.log(b))
    return vae, weight @ weight.T + b**2 * torch.eye(L)


@pytest.mark.parametrize("prior", ["fingerprint", "standard"])
@pytest.mark.parametrize("likelihood", ["laplace", "normal", "student_t"])
def test_negative_elbo_is_the_one_written_by_hand(prior, likelihood):
    vae, x = make(prior, likelihood, scale=0.7), spectra(5)
    torch.manual_seed(11)
    found = vae.negative_elbo(x)
    torch.manual_seed(11)
    mean, sd = vae.encoder(x / 0.7)
    eps = torch.normal(torch.zeros(5, D), torch.ones(5, D))
    z = mean + sd * eps
    log_q = (-0.5 * eps**2 - sd.log() - 0.5 * math.log(2 * math.pi)).sum(1)
    b = 0.7 * vae.log_b.exp()
    error = (x - 0.7 * vae.decoder(z)) / b
    if likelihood == "laplace":
        log_x = -error.abs() - math.log(2)
    elif likelihood == "normal":
        log_x = -0.5 * error**2 - 0.5 * math.log(2 * math.pi)
    else:
        constant = math.lgamma(2.5) - math.lgamma(2.0) - 0.5 * math.log(4 * math.pi)
        log_x = constant - 2.5 * (1 + error**2 / 4).log()
    log_x = (log_x - b.log()).sum(1)
    log_p = -0.5 * (z**2).sum(1) - 0.5 * D * math.log(2 * math.pi)
    if prior == "fingerprint":
        log_p = priors.log_density(vae.prior(), z)
    torch.testing.assert_close(found, -(log_x + log_p - log_q).mean(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("prior", ["fingerprint", "standard"])
@pytest.mark.parametrize("of_spectra", [False, True])
def test_negative_elbo_is_pyros_of_model_and_guide(prior, of_spectra):
    vae, x = make(prior, scale=0.7), spectra(5)
    sd = 0.1 * torch.rand(5, L) if of_spectra else None
    torch.manual_seed(11)
    found = vae.negative_elbo(x, sd)
    torch.manual_seed(11)
    wanted = Trace_ELBO().loss(vae.model, vae.guide, x, sd) / len(x)
    torch.testing.assert_close(found.item(), wanted, rtol=1e-5, atol=1e-5)


def test_elbo_with_the_exact_posterior_is_the_evidence():
    vae, covariance = linear_gaussian()
    x = torch.distributions.MultivariateNormal(torch.zeros(L), covariance).sample((20,))
    evidence = torch.distributions.MultivariateNormal(torch.zeros(L), covariance).log_prob(x)
    # log p(x, z) - log q(z) is then the same for every z: no Monte Carlo error at all
    for _ in range(3):
        torch.testing.assert_close(vae.negative_elbo(x), -evidence.mean(), rtol=1e-4, atol=1e-3)
    vae.encoder.b = 0.8
    assert vae.negative_elbo(x) > -evidence.mean() + 0.1


@pytest.mark.parametrize("prior", ["fingerprint", "standard"])
def test_svi_trains_the_stores_parameters(prior):
    vae, x = make(prior), spectra(64)
    vae.train()
    optimiser = SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 5e-3}), Trace_ELBO())
    first = optimiser.step(x)
    store = pyro.get_param_store()
    before = {name: value.detach().clone() for name, value in store.items()}
    losses = [optimiser.step(x) for _ in range(60)]
    assert len(before) == len(list(vae.parameters()))
    for name, value in store.items():
        assert not torch.equal(value, before[name]), name
    # what the store holds are the module's own parameters, not copies of them
    own = {id(p) for p in vae.parameters()}
    assert {id(store[name]) for name in store} == own
    assert losses[-1] < first - 0.2 * abs(first)


def test_svi_on_one_model_leaves_another_alone():
    one, other, x = make(), make(), spectra(16)
    for vae in (one, other):  # both are in the store
        SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 0.0}), Trace_ELBO()).step(x)
    untouched = copy.deepcopy(other.state_dict())
    moved = copy.deepcopy(one.state_dict())
    optimiser = SVI(one.model, one.guide, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO())
    for _ in range(3):
        optimiser.step(x)
    assert all(torch.equal(value, untouched[name]) for name, value in other.state_dict().items())
    assert not torch.equal(one.log_b, moved["log_b"])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_is_a_model_of_its_own(duplicate):
    one, x = make(), spectra(16)
    twin = duplicate(one)
    SVI(one.model, one.guide, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO()).step(x)
    before = copy.deepcopy(one.state_dict())
    SVI(twin.model, twin.guide, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO()).step(x)
    assert all(torch.equal(value, before[name]) for name, value in one.state_dict().items())
    assert not torch.equal(twin.log_b, torch.tensor(-3.0))  # where all models begin


def test_negative_elbo_leaves_the_store_untouched():
    vae, x = make(), spectra(4)
    pyro.param("mine", torch.tensor(1.5))
    vae.negative_elbo(x).backward()
    assert list(pyro.get_param_store().keys()) == ["mine"]
    assert pyro.param("mine").item() == 1.5
    assert all(p.grad is not None for p in vae.parameters())


def test_predictive_draws_latents_and_spectra():
    vae, x = make(), spectra(5)
    drawn = Predictive(vae.model, guide=vae.guide, num_samples=200)(x)
    assert drawn["z"].shape == (200, 5, D)
    mean, sd = vae.encode(x)
    assert ((drawn["z"].mean(0) - mean).abs() < 5 * sd / 14).all()
    torch.testing.assert_close(drawn["z"].std(0), sd, rtol=0.3, atol=0)
    free = Predictive(poutine.uncondition(vae.model), guide=vae.guide, num_samples=200)(x)
    assert free["x"].shape == (200, 5, L)
    # The Laplace noise has sd sqrt(2) b around the decoded draws
    noise = (free["x"] - vae.decode(free["z"].flatten(0, 1)).reshape(200, 5, L)).std()
    torch.testing.assert_close(noise, math.sqrt(2) * vae.log_b.exp(), rtol=0.05, atol=0)


def test_nuts_finds_the_exact_posterior_of_a_linear_decoder():
    vae, _ = linear_gaussian()
    vae.requires_grad_(False)
    z = torch.randn(2, D)
    x = vae.decode(z) + 0.4 * torch.randn(2, L)
    kernel = NUTS(vae.model, jit_compile=False)
    mcmc = MCMC(kernel, num_samples=250, warmup_steps=60, disable_progbar=True)
    with warnings.catch_warnings():
        # Pyro's adaptation makes scalars of tensors
        warnings.filterwarnings("ignore", message="Converting a tensor")
        mcmc.run(x)
    draws = mcmc.get_samples()["z"]
    assert draws.shape == (250, 2, D)
    mean, sd = vae.encode(x)
    assert ((draws.mean(0) - mean).abs() < 0.4 * sd).all()
    torch.testing.assert_close(draws.std(0), sd, rtol=0.3, atol=0)


def test_nuts_runs_with_the_fingerprint_prior():
    vae, x = make(), spectra(2)
    vae.requires_grad_(False)
    torch.manual_seed(0)  # the start of so short a chain must not hang on earlier draws
    # of 20 steps some chains have not found their step yet, and stand still
    mcmc = MCMC(NUTS(vae.model), num_samples=20, warmup_steps=60, disable_progbar=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Converting a tensor")
        mcmc.run(x)
    draws = mcmc.get_samples()["z"]
    assert torch.isfinite(draws).all() and (draws.std(0) > 0).all()


@pytest.mark.parametrize("prior", ["fingerprint", "standard"])
def test_sd_of_the_data_widens_the_likelihood(prior):
    vae, x = make(prior, "normal"), spectra(3)
    z = torch.randn(3, D)
    sd = 0.1 + torch.rand(3, L)
    model = poutine.condition(vae.model, data={"z": z})
    sites = poutine.trace(model).get_trace(x, sd).nodes
    wanted = torch.distributions.Normal(vae.decode(z), (vae.log_b.exp() ** 2 + sd**2).sqrt())
    found = sites["x"]["fn"].log_prob(x)
    torch.testing.assert_close(found, wanted.log_prob(x).sum(1))


def test_prior_components_are_the_guides_posteriors():
    vae = make()
    found = vae.prior()
    mean, sd = vae.encode(vae.fingerprints.flatten(0, 1))
    torch.testing.assert_close(found.mean, mean.reshape(K, J, D))
    assert (found.sd >= sd.reshape(K, J, D)).all()
    torch.testing.assert_close(found.log_weight.exp(), torch.tensor([0.45, 0.45, 0.1]))
    weights = torch.tensor([0.2, 0.7, 0.1])
    weighted = SpectrumVAE(L, D, vae.fingerprints, weights)
    torch.testing.assert_close(weighted.prior().log_weight.exp(), weights)
    assert make("standard").prior() is None
    # trained through: the prior moves with the encoder
    found.mean.sum().backward()
    assert all(p.grad is not None for p in vae.encoder.parameters())


def test_unit_of_the_spectra_does_not_matter():
    vae, x = make(), spectra(4)
    scaled = make(scale=1000.0)
    scaled.load_state_dict(vae.state_dict())
    scaled.scale.fill_(1000.0)
    scaled.fingerprints.mul_(1000.0)
    for found, wanted in zip(scaled.encode(1000 * x), vae.encode(x), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    z = torch.randn(4, D)
    torch.testing.assert_close(scaled.decode(z), 1000 * vae.decode(z))
    torch.manual_seed(1)
    small = vae.negative_elbo(x)
    torch.manual_seed(1)
    # a density of numbers a thousand times larger: L log(1000) nats more
    torch.testing.assert_close(
        scaled.negative_elbo(1000 * x), small + L * math.log(1000), rtol=1e-4, atol=1e-2
    )


def test_fit_takes_the_sd_of_the_spectra():
    def trained(sd=None):
        torch.manual_seed(4)
        vae, state = make("standard", "normal"), FitState()
        fit_vae(vae, *data, Schedule(3, 10), state, sd=sd, seed=0, show_progressbar=False)
        return vae, state

    data = (spectra(200), spectra(40, seed=2))
    generator = torch.Generator().manual_seed(3)
    sd = tuple(0.3 * torch.rand(len(x), 1, generator=generator).expand(-1, L) for x in data)
    plain, known = trained()[1], trained(sd)
    none = trained(tuple(torch.zeros_like(x) for x in data))[1]
    assert none.validation_loss == plain.validation_loss
    assert known[1].training_loss != plain.training_loss
    # the loss that is watched is that of the spectra held out, with their own sd
    vae, state = known
    with torch.no_grad():
        losses = []
        for held_out_sd in (sd[1], sd[1].flip(0)):
            with own_randomness(0):
                losses.append(float(vae.eval().negative_elbo(data[1], held_out_sd)))
    assert state.best_loss == pytest.approx(losses[0], rel=1e-5)
    assert abs(losses[1] - losses[0]) > 0.1


def test_models_begin_sharp_and_without_dropout():
    vae = make()
    assert float(vae.log_b.detach()) == -3.0
    assert not any(isinstance(m, nn.Dropout) for m in vae.modules())
    assert any(isinstance(m, nn.Dropout) for m in make(dropout=0.2).modules())


@pytest.mark.parametrize("prior", ["fingerprint", "standard"])
def test_fit_lowers_the_loss_and_repeats_itself(prior):
    def trained(seed):
        torch.manual_seed(4)
        vae, state = make(prior), FitState()
        before = torch.get_rng_state()
        schedule = Schedule(6, 15, learning_rate=5e-3)
        options = {"seed": seed, "show_progressbar": False}
        fit_vae(vae, spectra(300), spectra(50, seed=2), schedule, state, **options)
        assert torch.equal(torch.get_rng_state(), before)
        return vae, state

    vae, state = trained(0)
    again, _ = trained(0)
    other, _ = trained(1)
    assert state.best_loss < state.validation_loss[0] - 1.0
    assert len(pyro.get_param_store()) == 0
    for name, value in vae.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert not torch.equal(vae.log_b, other.log_b)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"likelihood": "cauchy"}, "likelihood is 'cauchy'; one of 'laplace'"),
        ({"scale": 0.0}, "scale is 0; a finite number above zero"),
        ({"scale": math.nan}, "scale is nan; a finite number above zero"),
        ({"fingerprints": torch.zeros(2, 3, 9)}, "fingerprints have 9 channels, the spectra 24"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        SpectrumVAE(L, D, **options)

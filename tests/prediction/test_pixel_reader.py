"""One module reads pixels: what its parts say one by one, packed, scripted and in any order."""

import copy
import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eels_bayes.classifier.fitted import reader_of
from eels_bayes.forward_model.pixel_posterior import PixelEvidence
from eels_bayes.latent import mixtures
from eels_bayes.latent.mixtures import GaussianMixture
from eels_bayes.latent.noisy_encoder import NoisyEncoder
from eels_bayes.prediction import novelty
from eels_bayes.prediction.gp_heads import (
    CERTAINTY,
    Gaussians,
    GPHeads,
    logits_against,
    shares_of_classes,
)
from eels_bayes.prediction.novelty import NoveltyScale
from eels_bayes.prediction.pixel_reader import LIGHT, MOST_LEFT_OUT, OTHERWISE, Reader, Reading
from eels_bayes.uncertainty.decomposition import decompose
from eels_bayes.uncertainty.packed_gp import GPConstants
from eels_bayes.uncertainty.psi_statistics import gp_moments
from eels_bayes.uncertainty.quadrature import default_nodes

TOLERANCE = {  # single precision against double
    "probabilities": 1e-4,
    "total": 3e-4,
    "aleatoric": 3e-4,
    "encoder": 3e-4,
    "classifier": 3e-4,
    "value": 1e-4,
    "value_sd": 1e-4,
    "latent_mean": 1e-3,
    "latent_sd": 1e-3,
    "component_weight": 1e-4,
    "component_mean": 1e-3,
    "component_sd": 1e-3,
    "component_classes": 1e-4,
}


@pytest.fixture(scope="module")
def clf(quick_classifier):
    return quick_classifier


@pytest.fixture(scope="module")
def pixels(spectra):
    """Profiles (320, B), noise levels and spikes (320,)."""
    return tuple(torch.as_tensor(getattr(spectra, n)) for n in ("profile", "level", "spike"))


@pytest.fixture(scope="module")
def reader(clf):
    return reader_of(clf.fitted).requires_grad_(False)


@pytest.fixture(scope="module")
def reading(reader, pixels):
    return reader(*pixels)


def by_all_nodes(reader):
    """The same reader, which averages no Gaussian over few nodes."""
    thorough = copy.deepcopy(reader)
    thorough.heads.doubtful = -1.0
    return thorough


def assert_close(found, expected, rows=slice(None), scale=1.0):
    """All fields but novelty, whose steps `assert_ranked_alike` allows for."""
    for name, tolerance in TOLERANCE.items():
        torch.testing.assert_close(
            getattr(found, name).double(),
            getattr(expected, name)[rows].double(),
            rtol=0,
            atol=scale * tolerance,
            equal_nan=True,
            msg=lambda text, name=name: f"{name}: {text}",
        )


def assert_ranked_alike(found, expected):
    """Novelty is a rank: rounding may take few pixels across one quantile of its table."""
    away = (found.double() - expected.double()).abs()
    assert away.max() < 1.001 / (novelty.N_TABLE + 1)
    assert (away > 1e-4).double().mean() < 0.01


# --- what it is made of


def beside_the_certain(moments, constants, of_class):
    """Moments (n, 2 R, ...) of what is read, by its component, and of what is certain of its class.

    Components (R, K) speak against the classes that they are not of as far as functions are known.
    """
    r, k = of_class.shape
    known = 1 - moments.var_classifier / constants.outputscale
    mean = moments.mean.reshape(-1, r, k) - CERTAINTY * (1 - of_class) * known.reshape(-1, r, k)
    none = torch.zeros_like(mean)
    return (
        torch.cat([mean, (100 * of_class).expand_as(mean)], 1),
        torch.cat([moments.cov_encoder.reshape(-1, r, k, k), none.unsqueeze(3) * none[0, 0]], 1),
        torch.cat([moments.var_classifier.reshape(-1, r, k), none], 1),
    )


def each_alone(moments, weights, ratio):
    """What each Gaussian adds (n, R, K) to the probabilities of its pixel, one by one."""
    n, r, k = moments[0].shape
    alone = decompose(
        torch.ones(n * r, 1, dtype=torch.float64),
        *(x.flatten(0, 1).unsqueeze(1) for x in moments),
        *default_nodes(k),
        None if ratio is None else ratio.expand(n, k).repeat_interleave(r, 0),
    )
    return alone.probabilities.view(n, r, k) * weights.unsqueeze(2)


def in_parts(clf, profile, level, spike, ratio=None, light=LIGHT):
    """A reading put together from the parts' own functions, in double precision."""
    fitted = clf.fitted
    encoder = copy.deepcopy(fitted.encoder).double()
    with torch.no_grad():
        found = encoder.evidence(profile.double(), level.double())
        mixture = encoder.read(found)
    weights = mixture.log_weight.exp()
    likely = weights
    if ratio is not None:  # mostly of the class that dominates a component
        mostly = (1 - OTHERWISE) * fitted.novelty.dominant.double() + OTHERWISE / ratio.shape[-1]
        likely = weights * (ratio @ mostly.T)
        likely = likely / likely.sum(1, keepdim=True)
    heavy = weights * (likely / light - 1).clamp(0, 1)  # none below, fading up to twice of it
    mean, sd = mixture.mean, mixture.sd
    n, r, dim = mean.shape
    latents = mean.reshape(n * r, dim), sd.reshape(n * r, dim) ** 2

    classes = GPConstants(*(x.double() for x in fitted.gp.constants()))
    of_class = torch.from_numpy(fitted.forward.dominance())
    moments = beside_the_certain(gp_moments(*latents, classes), classes, of_class)
    both = torch.cat([heavy, weights - heavy], 1)
    parts = decompose(both, *moments, *default_nodes(len(classes.mean)), ratio)
    each = each_alone(moments, parts.weights, ratio)
    kept = parts.weights[:, :r] + parts.weights[:, r:]
    each = each[:, :r] + each[:, r:]
    of_value = parts.weights[:, :r] / parts.weights[:, :r].sum(1, keepdim=True)
    one = gp_moments(*latents, GPConstants(*(x.double() for x in fitted.value.constants)))
    center = one.mean.reshape(n, r)
    spread = (one.cov_encoder[:, 0] + one.var_classifier).reshape(n, r)
    value = (of_value * center).sum(1)
    second = (of_value * (spread + center**2)).sum(1)
    value_sd = (second - value**2 + fitted.value.noise_var).sqrt()
    value = value.clamp(*fitted.forward.library.value_range)

    scale = NoveltyScale(*(x.double() for x in fitted.novelty))
    energy = novelty.misfit_energy(found.residual, scale.whitening, scale.center)
    other = novelty.evidence_ratio(found.unknown, spike.double(), energy, len(scale.center))
    latent = mixtures.moments(GaussianMixture(of_value.log(), mean, sd, mixture.axes))
    new = novelty.score(other, found.log_probability.exp(), scale)
    return Reading(*parts[:5], new, value, value_sd, *latent, kept, mean, sd, each)


def test_a_reading_is_what_its_parts_say(clf, reader, pixels):
    expected = in_parts(clf, *pixels)
    reading = by_all_nodes(reader)(*pixels)
    assert_close(reading, expected)
    assert_ranked_alike(reading.novelty, expected.novelty)
    # of pixels that differ
    assert len(reading.probabilities.argmax(1).unique()) >= 3
    assert reading.encoder.max() > 0.2 and reading.value.std() > 0.02


@pytest.mark.parametrize("n", [1, 320])
def test_another_prior_is_that_of_the_decomposition(clf, reader, pixels, n):
    generator = torch.Generator().manual_seed(0)
    ratio = torch.exp(torch.randn(n, 4, generator=generator))
    reader = by_all_nodes(reader)
    found = reader(*pixels, ratio.unsqueeze(1))
    expected = in_parts(clf, *pixels, ratio=ratio.double())
    assert_close(found, expected)
    assert_ranked_alike(found.novelty, expected.novelty)
    torch.testing.assert_close(found.probabilities.sum(1), torch.ones(320))
    plain = reader(*pixels)
    assert (found.probabilities - plain.probabilities).abs().max() > 0.2
    assert_close(reader(*pixels, torch.full((n, 1, 4), 3.0)), plain, scale=0.1)


def test_a_prior_by_component_is_bayes_rule(reader, pixels, reading):
    """Also where it makes a component heavy that weighed next to nothing."""
    n_components = reading.component_weight.shape[1]
    generator = torch.Generator().manual_seed(1)
    ratio = torch.exp(torch.randn(320, n_components, 4, generator=generator))
    found = reader(*pixels, ratio)
    joint = reader(*pixels, torch.ones(320, 1, 4)).component_classes * ratio
    expected = joint / joint.sum((1, 2), keepdim=True)
    # what was too light to be read before is taken for certain of its class there
    away = (found.component_classes - expected).abs()
    assert away.mean() < 1e-3 and away.max() < 0.06
    assert (found.component_classes - reading.component_classes).abs().max() > 0.3
    torch.testing.assert_close(found.component_classes.sum(1), found.probabilities)
    torch.testing.assert_close(found.component_classes.sum(2), found.component_weight)


def test_laws(reading):
    parts = reading.aleatoric + reading.encoder + reading.classifier
    torch.testing.assert_close(parts, reading.total)
    torch.testing.assert_close(reading.probabilities.sum(1), torch.ones(320))
    entropy = torch.special.entr(reading.probabilities.double()).sum(1).float()
    torch.testing.assert_close(reading.total, entropy, rtol=0, atol=1e-5)
    for part in reading[2:5]:
        assert (part >= 0).all()
    assert (reading.value_sd > 0).all() and (reading.latent_sd > 0).all()


def test_scripted_equals_eager(reader, pixels, reading):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".torch.jit.script. is deprecated")
        scripted = torch.jit.script(reader)
    ratio = torch.tensor([[[1.0, 2.0, 0.5, 4.0]]])
    for _ in range(3):  # the executor specialises after its first calls
        for prior, expected in (((), reading), ((ratio,), reader(*pixels, ratio))):
            found = scripted(*pixels, *prior)
            assert_close(found, expected, scale=0.03)
            assert_ranked_alike(found.novelty, expected.novelty)


def test_without_values_there_is_none(clf, pixels, reading):
    fitted = clf.fitted
    heads = GPHeads(fitted.gp.constants(), None, torch.tensor(0.0))
    found = Reader(fitted.encoder, heads, fitted.novelty).requires_grad_(False)(*pixels)
    assert torch.isnan(found.value).all() and torch.isnan(found.value_sd).all()
    rest = reading._replace(value=found.value, value_sd=found.value_sd)
    assert_close(found, rest, scale=0.03)


# --- what components say themselves


def test_a_component_speaks_against_the_librarys_other_classes():
    dominant = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    found = logits_against(dominant, torch.zeros(3, 3), certainty=2.0)
    expected = torch.tensor([[0.0, 2.0, 0.0], [2.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    torch.testing.assert_close(found, expected)
    shares = shares_of_classes(dominant, torch.zeros(3, 3))
    assert shares.tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]


def test_labels_take_back_what_a_component_says():
    """As pixels that are counted: those of its class confirm it, those of others answer it."""
    dominant = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    labels = torch.tensor([[0.0, 40.0, 7.0], [100.0, 5.0, 0.0]])
    found = logits_against(dominant, labels, certainty=6.0, known=50.0)
    assert found[0, 1] == pytest.approx(math.log(50 / (40 + 50 * math.exp(-6.0))), rel=1e-5)
    assert found[1, 0] == 0.0  # where labels outnumber it, it speaks for nothing else
    assert not found[:, 2].any()
    shares = shares_of_classes(dominant, labels, known=50.0)
    expected = torch.tensor([50.0, 40.0, 7.0]) / 97.0
    torch.testing.assert_close(shares[0], expected)
    torch.testing.assert_close(shares.sum(1), torch.ones(2))


def told_and_lost(clf, reader, pixels):
    """The forward model's posterior (n, K), and what a reading loses of it, nats a pixel."""
    with torch.no_grad():
        component = reader.encoder.evidence(*pixels[:2]).log_probability.double().exp()
    told = component @ torch.from_numpy(clf.fitted.forward.dominance())
    read = reader(*pixels).probabilities.double()
    return told, float((torch.special.xlogy(told, told) - told * read.log()).sum(1).mean())


def test_a_prediction_is_what_the_forward_model_tells(clf, reader, pixels):
    told, lost = told_and_lost(clf, reader, pixels)
    silent = copy.deepcopy(reader)
    silent.against.zero_()
    silent.of_class.zero_()
    _, lost_before = told_and_lost(clf, silent, pixels)
    assert lost < 0.5 * lost_before and lost < 0.02
    assert told.max(1).values.mean() < 0.95  # of pixels that are not clear anyway


@given(component=st.integers(0, 3), seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_where_nothing_is_known_a_component_says_nothing(reader, component, seed):
    generator = torch.Generator().manual_seed(seed)
    dim = reader.heads.classes_inducing.shape[1]
    away = torch.nn.functional.normalize(torch.randn(1, dim, generator=generator))
    heads, none = reader.heads, torch.zeros(1, 4)
    against = logits_against(torch.eye(4)[[component]], torch.zeros(1, 4))

    def said(mean, against):
        read = Gaussians(torch.ones(1), torch.zeros(1).long(), mean, 0.01 * mean**2, against, none)
        return heads(read, 1, None).classes

    far = float(heads.classes_lengthscale.max()) * 1e3 * away
    plain, spoken = said(far, none), said(far, against)
    for one, other in zip(spoken, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
    torch.testing.assert_close(spoken.probabilities, torch.full((1, 4), 0.25), rtol=0, atol=0.02)
    near = heads.classes_inducing[:1].float()
    more = said(near, against).probabilities - said(near, none).probabilities
    assert more[0, component] > 0


def test_against_a_class_known_by_labels_alone_components_say_nothing(clf, reader, pixels, reading):
    constants = clf.fitted.gp.constants()
    A = torch.cat([constants.A, constants.A[:, :1]], 1)
    B = torch.cat([constants.B, constants.B[:1]])
    more = constants._replace(mean=torch.zeros(5, dtype=torch.float64), A=A, B=B)
    heads = GPHeads(more, None, torch.tensor(0.0))
    wider = Reader(clf.fitted.encoder, heads, clf.fitted.novelty).requires_grad_(False)
    torch.testing.assert_close(wider.against[:, :4], reader.against)
    assert not wider.against[:, 4].any() and not wider.of_class[:, 4].any()
    found = wider(*pixels)
    torch.testing.assert_close(found.probabilities.sum(1), torch.ones(320))
    torch.testing.assert_close(found.component_weight.sum(1), torch.ones(320))
    torch.testing.assert_close(found.latent_mean, reading.latent_mean)
    # it is a copy of the first class, against which other components speak
    other = found.component_classes[:, reader.against[:, 0] > 0]
    assert (other[..., 4] >= other[..., 0] - 1e-6).all() and other[..., 4].max() > 0.02


# --- Gaussians that weigh next to nothing


def test_what_is_left_out_weighs_next_to_nothing(clf, pixels, reading):
    profile, level, _ = pixels
    with torch.no_grad():
        log_weight = clf.fitted.encoder(profile, level).log_weight
    weight = log_weight.exp()
    left_out = (weight * (weight < LIGHT)).sum(1)
    assert left_out.mean() < 2e-3 and left_out.max() < 0.01
    assert (weight > LIGHT).double().sum(1).mean() < 0.7 * weight.shape[1]
    torch.testing.assert_close(reading.component_weight, weight)
    everything = in_parts(clf, *pixels, light=1e-30)
    assert (reading.probabilities - everything.probabilities).abs().max() < 0.02
    assert (reading.total - everything.total).abs().max() < 0.05
    assert (reading.value - everything.value).abs().max() < 0.02


def invented(n_components, latent_dim=3, n_classes=3, seed=0):
    """A reader of random numbers, whose mixtures have as many components as asked for."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        evidence = PixelEvidence((12, 4, n_components, 5, 6))
        for name in ("center", "middle", "span", "axes", "offset", "shown", "log_weight"):
            setattr(evidence, name, 0.3 * torch.randn_like(getattr(evidence, name)))
        evidence.spread = torch.rand(12) + 0.5
        evidence.inside = torch.arange(3, 9)
        encoder = NoisyEncoder(evidence, latent_dim)
        for name in ("offset", "slope"):
            setattr(encoder, name, torch.randn_like(getattr(encoder, name)))
        encoder.spread = torch.rand(n_components, latent_dim) + 0.2
        encoder.axes = torch.linalg.qr(torch.randn(latent_dim, latent_dim)).Q
        heads = GPHeads(
            random_constants(seed, 10, latent_dim, n_classes),
            random_constants(seed + 1, 14, latent_dim, 1),
            torch.tensor(0.01),
        )
        table = torch.linspace(-5.0, 20.0, 128).expand(n_classes, -1)
        dominant = torch.eye(n_classes)[torch.arange(n_components) % n_classes]
        usual = torch.randn(n_classes), 0.5 + torch.rand(n_classes)
        scale = NoveltyScale(torch.randn(6, 4), torch.zeros(4), *usual, table, dominant)
        profile = 1 + torch.rand(25, 12)
        given = profile, 0.01 + 0.1 * torch.rand(25), 3 * torch.randn(25)
    return Reader(encoder, heads, scale).eval().requires_grad_(False), given


@pytest.mark.parametrize("n_components", [1, 2, 4])
def test_readers_of_any_size_say_what_their_parts_say(n_components):
    reader, given = invented(n_components)
    reader = by_all_nodes(reader)
    found = reader(*given)
    encoder = copy.deepcopy(reader.encoder).double()
    mixture = encoder(*(x.double() for x in given[:2]))
    weights = mixture.log_weight.exp()
    heavy = weights * (weights / LIGHT - 1).clamp(0, 1)
    dim = mixture.mean.shape[2]
    assert mixture.mean.shape[1] == n_components
    constants = GPConstants(
        *(getattr(reader.heads, f"classes_{field}") for field in GPConstants._fields)
    )
    moments = gp_moments(mixture.mean.reshape(-1, dim), mixture.sd.reshape(-1, dim) ** 2, constants)
    expected = decompose(
        torch.cat([heavy, weights - heavy], 1),
        *beside_the_certain(moments, constants, reader.dominant.double()),
        *default_nodes(3),
    )
    for name in ("probabilities", "total", "aleatoric", "encoder", "classifier"):
        torch.testing.assert_close(
            getattr(found, name).double(), getattr(expected, name), rtol=0, atol=2e-4, msg=name
        )
    mean, sd = mixtures.moments(mixture._replace(log_weight=weights.log()))
    torch.testing.assert_close(found.latent_mean.double(), mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.latent_sd.double(), sd, rtol=1e-4, atol=1e-4)


def test_of_many_components_those_that_weigh_are_read():
    reader, given = invented(9)
    # two of them weigh all, wherever they stand
    reader.encoder.evidence.log_weight[:] = -30.0
    reader.encoder.evidence.log_weight[[2, 7]] = 30.0
    found = reader(*given)
    mixture = reader.encoder(*given[:2])
    two = GaussianMixture(
        torch.log_softmax(mixture.log_weight[:, [2, 7]], 1),
        mixture.mean[:, [2, 7]],
        mixture.sd[:, [2, 7]],
        mixture.axes,
    )
    mean, sd = mixtures.moments(two)
    torch.testing.assert_close(found.latent_mean, mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.latent_sd, sd, rtol=1e-4, atol=1e-5)


def test_of_very_many_alike_nearly_all_are_read():
    reader, given = invented(600)
    evidence = reader.encoder.evidence
    for name in ("axes", "offset", "log_weight"):
        getattr(evidence, name).zero_()
    found = reader(*given)
    weight = reader.encoder(*given[:2]).log_weight.exp()
    assert weight.max() < LIGHT  # each by itself
    assert ((found.component_weight > 0).sum(1) == 600).all()
    assert torch.isfinite(found.total).all()
    torch.testing.assert_close(found.component_weight, weight, rtol=1e-3, atol=1e-6)


@given(st.integers(0, 200), st.integers(2, 300))
@settings(max_examples=20)
def test_what_is_left_out_is_bounded(seed, n_components):
    reader, given = invented(n_components, seed=seed)
    evidence = reader.encoder.evidence
    generator = torch.Generator().manual_seed(seed)
    evidence.log_weight = 2 * torch.randn(n_components, generator=generator)
    evidence.axes.zero_()
    found = reader(*given)
    weight = reader.encoder(*given[:2]).log_weight.exp()
    ratio = found.component_weight / weight
    kept = 1 / ratio.amax(1)  # the heaviest are whole, but for the renormalisation
    assert (1 - kept).max() <= MOST_LEFT_OUT + 1e-4
    assert torch.isfinite(found.total).all()


# --- one pixel is nothing to another


def test_order_of_the_pixels_does_not_matter(reader, pixels, reading):
    order = torch.randperm(320, generator=torch.Generator().manual_seed(0))
    found = reader(*(x[order] for x in pixels))
    assert_close(found, reading, order, 0.1)
    assert_ranked_alike(found.novelty, reading.novelty[order])


def test_one_pixel_is_read_as_among_many(reader, pixels, reading):
    for row in range(0, 320, 40):
        found = reader(*(x[row : row + 1] for x in pixels))
        assert_close(found, reading, slice(row, row + 1), 0.1)
    nothing = reader(*(x[:0] for x in pixels))
    assert nothing.probabilities.shape == (0, 4) and nothing.latent_sd.shape == (0, 4)


@pytest.mark.parametrize("odd", [math.nan, math.inf, 1e30])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_an_odd_pixel_stays_alone(reader, pixels, reading, which, odd):
    rows = [part[:60].clone() for part in pixels]
    rows[which][17] = odd
    found = reader(*rows)
    others = torch.arange(60) != 17
    for name in Reading._fields:
        torch.testing.assert_close(
            getattr(found, name)[others],
            getattr(reading, name)[:60][others],
            rtol=0,
            atol=1.001 / (novelty.N_TABLE + 1) if name == "novelty" else 1e-4,
        )
    if math.isnan(odd) and which < 2:
        assert torch.isnan(found.probabilities[17]).all() and torch.isnan(found.total[17])


# --- two Gaussian processes at once


def random_constants(seed, n_inducing, dim, n_classes):
    """A random sparse GP in float64, as trained ones are; its B is symmetric."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    inducing, lengthscale = normal(n_inducing, dim), torch.exp(0.3 * normal(dim)) * dim**0.5
    outputscale = torch.exp(0.5 * normal(1)[0])
    scaled = inducing / lengthscale
    kernel = outputscale * torch.exp(-0.5 * torch.cdist(scaled, scaled).square())
    eye = torch.eye(n_inducing, dtype=torch.float64)
    inverse = torch.linalg.inv(kernel + 0.1 * outputscale * eye)
    half = normal(n_classes, n_inducing, n_inducing) / n_inducing**0.5
    B = inverse - 0.1 * inverse @ (half @ half.mT) @ inverse
    A = inverse @ normal(n_inducing, n_classes)
    return GPConstants(inducing, lengthscale, outputscale, normal(n_classes), A, B)


def test_packed_heads_say_what_each_gp_says(reader):
    heads = reader.heads
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(40, 3, 4, generator=generator)
    var = 0.3 * torch.rand(40, 3, 4, generator=generator)
    weights = torch.softmax(torch.randn(40, 3, generator=generator), 1)
    pixel = torch.arange(40).repeat_interleave(3)
    against, unread = torch.rand(120, 4, generator=generator), 0.1 * torch.rand(40, 4)
    flat = mean.view(-1, 4), var.view(-1, 4)
    found = heads(Gaussians(weights.flatten(), pixel, *flat, against, unread), 40, None)
    gps = {
        name: GPConstants(*(getattr(heads, f"{name}_{field}") for field in GPConstants._fields))
        for name in ("classes", "value")
    }
    flat = mean.double().view(-1, 4), var.double().view(-1, 4)
    moments = gp_moments(*flat, gps["classes"])
    known = 1 - moments.var_classifier / gps["classes"].outputscale
    moments = moments._replace(mean=moments.mean - against * known)
    certain = torch.eye(4, dtype=torch.float64)
    shares = torch.cat([weights, unread], 1).double()
    parts = decompose(
        shares / shares.sum(1, keepdim=True),
        torch.cat([moments.mean.view(40, 3, 4), (100 * certain).expand(40, 4, 4)], 1),
        torch.cat([moments.cov_encoder.view(40, 3, 4, 4), torch.zeros(40, 4, 4, 4)], 1),
        torch.cat([moments.var_classifier.view(40, 3, 4), torch.zeros(40, 4, 4)], 1),
        *default_nodes(4),
    )
    for one, other in zip(found.classes[:5], parts[:5], strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=1e-4)
    read = found.classes.weights.double().view(40, 3)
    torch.testing.assert_close(read, parts.weights[:, :3], rtol=0, atol=1e-6)
    torch.testing.assert_close(found.whole.double(), shares.sum(1, keepdim=True))
    moments = gp_moments(*flat, gps["value"])
    value = (weights * moments.mean.view(40, 3)).sum(1)
    torch.testing.assert_close(found.value.double(), value, rtol=0, atol=1e-4)


@given(
    ends=st.lists(st.floats(-2, 2), min_size=2, max_size=2, unique=True).map(sorted),
    truth=st.floats(0, 1),
)
@settings(max_examples=20)
def test_a_value_within_its_range_is_never_further_from_what_is_possible(reader, ends, truth):
    """The mean alone moves, to the nearest end, and so towards all that the truth can be."""
    low, high = ends
    gps = [
        GPConstants(*(getattr(reader.heads, f"{name}_{field}") for field in GPConstants._fields))
        for name in ("classes", "value")
    ]
    rng = torch.Generator().manual_seed(0)
    dim = gps[0].inducing.shape[1]
    mean, var = torch.randn(20, dim, generator=rng), torch.rand(20, dim, generator=rng)
    none = torch.zeros(20, len(gps[0].mean))
    read = Gaussians(torch.ones(20), torch.arange(20), mean, var, none, none)
    noise = torch.tensor(0.01)
    free, bounded = (GPHeads(*gps, noise, r)(read, 20, None) for r in ((-np.inf, np.inf), ends))
    assert ((bounded.value >= np.float32(low)) & (bounded.value <= np.float32(high))).all()
    inside = (free.value >= low) & (free.value <= high)
    assert torch.equal(bounded.value[inside], free.value[inside])
    assert torch.equal(bounded.value_sd, free.value_sd)
    possible = low + truth * (high - low)
    assert ((bounded.value - possible).abs() <= (free.value - possible).abs() + 1e-5).all()


def test_numbers_come_back_from_the_state(reader, pixels, reading):
    """What is packed is not stored: it follows from what is."""
    state = reader.heads.state_dict()
    assert not any("packed" in name or "nodes" in name for name in state)
    assert all(value.dtype == torch.float64 for name, value in state.items() if "noise" not in name)
    gps = [
        GPConstants(*(state[f"{name}_{field}"] for field in GPConstants._fields))
        for name in ("classes", "value")
    ]
    heads = GPHeads(*gps, state["value_noise"], (0.0, 1.0))
    again = copy.deepcopy(reader)
    again.heads = heads
    for one, other in zip(again(*pixels), reading, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


# --- few nodes, and many


def test_few_nodes_say_the_same_where_they_are_taken(reader, pixels, reading):
    """The doubt that is left unread is bounded, so that next to nothing of the answer is lost."""
    expected = by_all_nodes(reader)(*pixels)
    away = (reading.probabilities - expected.probabilities).abs()
    assert 0 < away.max() < 0.012 and away.amax(1).median() < 0.002
    lost = expected.probabilities * (expected.probabilities / reading.probabilities).log()
    assert lost.sum(1).mean() < 1e-4
    for name in ("total", "aleatoric", "encoder", "classifier"):
        assert (getattr(reading, name) - getattr(expected, name)).abs().median() < 0.003


@pytest.mark.parametrize("weighted", [False, True])
def test_doubtful_gaussians_are_read_by_all_nodes(weighted):
    """Of functions as wide as their prior, whose few nodes alone would be far off."""
    reader, given = invented(4)
    reader.against.zero_()
    if weighted:
        ratio = torch.exp(torch.randn(25, 1, 3, generator=torch.Generator().manual_seed(2)))
        given = *given, ratio
    expected = by_all_nodes(reader)(*given)
    careless = copy.deepcopy(reader)
    careless.heads.doubtful = math.inf
    away, careless = (
        (one(*given).probabilities - expected.probabilities).abs().max()
        for one in (reader, careless)
    )
    assert away < 0.005 < 0.01 < careless


@pytest.mark.parametrize("n_classes", [10, 11])
def test_of_many_classes_pairs_of_few_nodes_are_no_saving(n_classes):
    """As many softmaxes as pairs, which grow as the square of the classes."""
    reader, given = invented(2, n_classes=n_classes)
    assert reader.heads.few_will_do == (n_classes == 10)
    reader.heads.doubtful = math.inf
    thorough = copy.deepcopy(reader)
    thorough.heads.doubtful = -1.0
    away = (reader(*given).probabilities - thorough(*given).probabilities).abs().max()
    assert (away > 0) == reader.heads.few_will_do


def test_a_class_of_no_weight_leaves_the_others_as_they_are():
    """So little is 0 in single precision, whose logarithm is no number to compare with."""
    reader, given = invented(4)
    weight = torch.tensor([1.0, 1.0, 1e-20]).expand(25, 1, 3)
    found, expected = (reader(*given, one) for one in (weight * torch.tensor([1, 1, 0]), weight))
    torch.testing.assert_close(found.probabilities, expected.probabilities)

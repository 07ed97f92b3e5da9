"""The variational GP classifier: against GPyTorch, against the exact posterior, and its errors."""

import math

import numpy as np
import pytest
import torch

from eels_bayes.gp.classifier import GPClassifier
from eels_bayes.gp.fit import fit_gp
from eels_bayes.uncertainty.decomposition import decompose_latent
from eels_bayes.uncertainty.psi_statistics import psi1
from eels_bayes.uncertainty.quadrature import default_nodes

CENTRES = torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 2.0, 0.0]], dtype=torch.float64)
NOISE = 0.8


def clusters(n, seed, n_classes=3):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % n_classes
    noise = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    return CENTRES[labels] + NOISE * noise, labels


def true_log_posterior(latents):
    squared = (latents.unsqueeze(1) - CENTRES).square().sum(-1)
    return torch.log_softmax(-0.5 * squared / NOISE**2, dim=1)


def predict(classifier, mean, var=0.0):
    ones = torch.ones(len(mean), 1, dtype=mean.dtype)
    nodes = (part.to(mean.dtype) for part in default_nodes(classifier.n_classes))
    spread = torch.full_like(mean, var)
    return decompose_latent(
        ones, mean.unsqueeze(1), spread.unsqueeze(1), classifier.constants(mean.dtype), *nodes
    )


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Matrices this small only lose by threads, badly so where test workers share the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained(one_thread):
    latents, labels = clusters(450, seed=0)
    options = {"n_inducing": 24, "steps": 200, "batch_size": 225, "learning_rate": 0.05}
    return fit_gp(latents, labels, 3, **options, show_progressbar=False)


def test_zero_variance_equals_gpytorch(trained):
    generator = torch.Generator().manual_seed(1)
    points = 3.0 * torch.randn(200, 3, generator=generator, dtype=torch.float64)
    mean, var = trained.latent_function(points)
    moments = trained.moments(points, torch.zeros_like(points))
    torch.testing.assert_close(moments.mean, mean, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(moments.var_classifier, var, rtol=1e-8, atol=1e-8)
    assert (moments.cov_encoder == 0).all()


def test_gaussian_input_matches_gpytorch_at_draws(trained):
    generator = torch.Generator().manual_seed(2)
    mean = torch.tensor([0.7, 0.4, -0.3], dtype=torch.float64)
    sd = torch.tensor([0.5, 0.9, 0.2], dtype=torch.float64)
    n = 5000
    draws = mean + sd * torch.randn(n, 3, generator=generator, dtype=torch.float64)
    f, v = trained.latent_function(draws)
    exact = trained.moments(mean.unsqueeze(0), sd.square().unsqueeze(0))
    centred = f - f.mean(0)
    products = centred.unsqueeze(2) * centred.unsqueeze(1)
    for found, sample in (
        (exact.mean[0], f),
        (exact.cov_encoder[0], products),
        (exact.var_classifier[0], v),
    ):
        error = sample.std(0) / math.sqrt(n)
        assert ((found - sample.mean(0)).abs() < 5 * error + 1e-9).all()


def test_posterior_is_close_to_the_true_one(trained):
    latents, labels = clusters(1500, seed=3)
    truth = true_log_posterior(latents)
    found = predict(trained, latents).probabilities.log()
    best = float(-truth[torch.arange(1500), labels].mean())
    nll = float(-found[torch.arange(1500), labels].mean())
    assert best - 0.01 < nll < best + 0.03
    agreement = (found.argmax(1) == truth.argmax(1)).double().mean()
    assert agreement > 0.95


def test_far_from_the_data_every_class_is_equally_likely(trained):
    far = torch.tensor([[60.0, -50.0, 80.0]], dtype=torch.float64)
    result = predict(trained, far, var=0.1)
    assert abs(float(result.total) - math.log(3)) < 2e-3
    torch.testing.assert_close(
        result.probabilities, torch.full((1, 3), 1 / 3, dtype=torch.float64), rtol=0, atol=0.01
    )
    at_home = predict(trained, CENTRES, var=0.1)
    assert float(result.classifier) > 3 * float(at_home.classifier.max())


def test_loss_falls_and_hyperparameters_stay_in_the_scale_of_the_data(trained):
    assert len(trained.loss) == 200
    assert np.mean(trained.loss[-20:]) < 0.6 * trained.loss[0]
    sd = clusters(450, seed=0)[0].std(0)
    ratio = trained.lengthscale / (math.sqrt(3) * sd)
    assert (ratio > 0.2).all() and (ratio < 5.0).all()
    assert 1.0 < float(trained.outputscale) < 81.0


def test_same_seed_same_result_and_global_generator_untouched():
    latents, labels = clusters(60, seed=4)
    options = {"n_inducing": 6, "steps": 5, "batch_size": 16, "show_progressbar": False}
    before = torch.get_rng_state()
    first = fit_gp(latents, labels, 3, seed=1, **options)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    second = fit_gp(latents, labels, 3, seed=1, **options)
    other = fit_gp(latents, labels, 3, seed=2, **options)
    for name, tensor in first.state.items():
        assert torch.equal(tensor, second.state[name])
    assert not torch.equal(first.inducing, other.inducing)


def test_training_does_not_depend_on_the_unit_of_the_latents():
    latents, labels = clusters(60, seed=5)
    options = {"n_inducing": 8, "steps": 20, "show_progressbar": False}
    small = fit_gp(latents, labels, 3, **options)
    large = fit_gp(1000.0 * latents + 5.0, labels, 3, **options)
    torch.testing.assert_close(large.lengthscale, 1000.0 * small.lengthscale)
    zeros = torch.zeros_like(latents)
    torch.testing.assert_close(
        large.moments(1000.0 * latents + 5.0, zeros).mean, small.moments(latents, zeros).mean
    )


@pytest.mark.parametrize("n", [3, 4, 5])
def test_as_many_latents_as_classes_are_not_misread(n):
    # GPyTorch's softmax likelihood takes a square input for its transpose
    latents, labels = CENTRES.repeat(2, 1)[:n], (torch.arange(n) % 3)
    latents = latents + 0.01 * torch.arange(n).unsqueeze(1)
    classifier = fit_gp(latents, labels, 3, steps=100, learning_rate=0.1, show_progressbar=False)
    assert torch.equal(predict(classifier, latents).probabilities.argmax(1), labels)


def test_batch_as_large_as_the_number_of_classes_is_not_misread():
    latents, labels = clusters(90, seed=6)
    classifier = fit_gp(
        latents, labels, 3, n_inducing=10, steps=150, batch_size=3, show_progressbar=False
    )
    accuracy = (predict(classifier, latents).probabilities.argmax(1) == labels).double().mean()
    assert accuracy > 0.75


def test_state_round_trip(trained):
    state = {name: tensor.clone() for name, tensor in trained.state.items()}
    restored = GPClassifier.from_state(state)
    for ours, theirs in zip(trained.constants(), restored.constants(), strict=True):
        assert torch.equal(ours, theirs)
    assert restored.n_classes == 3 and restored.loss == ()


def test_constants_reproduce_the_whitened_posterior(trained):
    constants = trained.constants()
    zeros = torch.zeros_like(trained.inducing)
    kernel = psi1(trained.inducing, zeros, *constants[:3])
    root = torch.linalg.cholesky(kernel + trained.jitter * torch.eye(24, dtype=torch.float64))
    # K A = L m and K - K B K = L S L', K with the jitter
    full = root @ root.mT
    torch.testing.assert_close(full @ constants.A, root @ trained.variational_mean.mT)
    covariance = trained.variational_factor @ trained.variational_factor.mT
    torch.testing.assert_close(
        full - full @ constants.B @ full, root @ covariance @ root.mT, rtol=1e-6, atol=1e-8
    )
    assert trained.constants(torch.float32).A.dtype == torch.float32


def test_chunks_do_not_change_the_moments(trained):
    latents, _ = clusters(50, seed=7)
    var = torch.full_like(latents, 0.3)
    for whole, parts in zip(
        trained.moments(latents, var), trained.moments(latents, var, chunk_size=7), strict=True
    ):
        torch.testing.assert_close(whole, parts, rtol=1e-12, atol=1e-12)


def test_float32_prediction_where_inducing_points_crowd():
    # one dimension and many points: the worst conditioning there is
    generator = torch.Generator().manual_seed(8)
    labels = torch.arange(300) % 2
    latents = labels.double().unsqueeze(1) + 0.5 * torch.randn(
        300, 1, generator=generator, dtype=torch.float64
    )
    classifier = fit_gp(latents, labels, 2, steps=100, show_progressbar=False)
    for var in (0.0, 0.01, 1.0):
        double, single = (
            predict(classifier, latents, var),
            predict(classifier, latents.float(), var),
        )
        assert (double.probabilities - single.probabilities).abs().max() < 2e-3


def test_a_constant_dimension_is_harmless():
    latents, labels = clusters(60, seed=9)
    latents[:, 2] = 0.25
    classifier = fit_gp(latents, labels, 3, n_inducing=10, steps=50, show_progressbar=False)
    assert torch.isfinite(predict(classifier, latents).probabilities).all()


def test_repeated_latents_give_fewer_inducing_points():
    latents, labels = clusters(3, seed=10)
    classifier = fit_gp(
        latents.repeat(20, 1), labels.repeat(20), 3, steps=5, show_progressbar=False
    )
    assert classifier.inducing.shape == (3, 3)


LATENTS, LABELS = clusters(12, seed=11)


@pytest.mark.parametrize(
    ("latents", "labels", "n_classes", "options", "message"),
    [
        (LATENTS[0], LABELS, 3, {}, r"latents must be a floating-point tensor \(N, D\)"),
        (LATENTS.long(), LABELS, 3, {}, "latents must be a floating-point"),
        (LATENTS, LABELS[:5], 3, {}, "labels must have one entry for each of the 12 latents"),
        (LATENTS, LABELS.double(), 3, {}, "labels must be integers"),
        (LATENTS * math.nan, LABELS, 3, {}, "NaN or infinity in 12 rows"),
        (LATENTS, LABELS, 1, {}, "n_classes must be a whole number of at least 2"),
        (LATENTS, LABELS * 0 + 2, 3, {}, r"labels name one class only \(\[2\]\)"),
        (LATENTS, LABELS + 1, 3, {}, r"labels must lie in 0..2, got 1..3"),
        (LATENTS * 0, LABELS, 3, {}, "latents are all the same point"),
        (LATENTS, LABELS, 3, {"steps": 0}, "steps must be a whole number of at least 1"),
        (LATENTS, LABELS, 3, {"n_inducing": 1}, "n_inducing must be a whole number of at least 2"),
        (LATENTS, LABELS, 3, {"batch_size": 0}, "batch_size must be a whole number of at least 1"),
    ],
)
def test_wrong_input_says_what_would_do(latents, labels, n_classes, options, message):
    with pytest.raises(ValueError, match=message):
        fit_gp(latents, labels, n_classes, show_progressbar=False, **options)


def test_wrong_state_says_what_would_do(trained):
    state = trained.state
    with pytest.raises(ValueError, match="state lacks 'jitter'"):
        GPClassifier.from_state({k: v for k, v in state.items() if k != "jitter"})
    with pytest.raises(ValueError, match=r"state\['lengthscale'\] must have 1 dimensions"):
        GPClassifier.from_state(state | {"lengthscale": torch.ones(3, 1)})
    with pytest.raises(ValueError, match=r"state\['variational_mean'\] must have shape \(3, 24\)"):
        GPClassifier.from_state(state | {"variational_mean": torch.ones(3, 5)})

"""Pixels drawn together: every draw of the functions is one for all of them."""

import math

import numpy as np
import pytest
import torch
from scipy.special import entr

from eels_bayes.gp.fit import fit_gp
from eels_bayes.prediction.joint_posterior import JointPosterior
from eels_bayes.uncertainty.decomposition import decompose_latent
from eels_bayes.uncertainty.quadrature import default_nodes

CENTRES = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]], dtype=torch.float64)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Matrices this small only lose by threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def gp(one_thread):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(240) % 3
    noise = torch.randn(240, 2, generator=generator, dtype=torch.float64)
    return fit_gp(
        CENTRES[labels] + 0.9 * noise,
        labels,
        3,
        n_inducing=12,
        steps=150,
        learning_rate=0.05,
        show_progressbar=False,
    )


@pytest.fixture(scope="module")
def points():
    """Latents near the classes, between them and far away."""
    generator = torch.Generator().manual_seed(1)
    near = 1.5 + 2.0 * torch.randn(40, 2, generator=generator, dtype=torch.float64)
    return torch.cat([near, torch.tensor([[30.0, -30.0], [9.0, 9.0]], dtype=torch.float64)])


def posterior(gp, mean, sd, weight=None, against=None):
    """Of single Gaussians, or of the mixtures that ``mean`` (n, R, D) holds."""
    mean = np.asarray(mean, dtype=np.float32)
    mean = mean[:, None] if mean.ndim == 2 else mean
    if weight is None:
        weight = np.full(mean.shape[:2], 1 / mean.shape[1])
    sd = np.broadcast_to(np.float32(sd), mean.shape).copy()
    against = np.zeros((1, gp.n_classes)) if against is None else against
    component = np.broadcast_to(np.arange(mean.shape[1]) % len(against), mean.shape[:2])
    return JointPosterior(
        np.asarray(weight, dtype=np.float32), mean, sd, component.astype(np.float32), gp, against
    )


def brute_force(gp, pixels, n_draws, seed=0):
    """Mean class probabilities (n, K) and their errors: latent and functions drawn plainly."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for weight, mean, sd in zip(pixels.weight, pixels.mean, pixels.sd, strict=True):
        which = torch.multinomial(torch.tensor(weight), n_draws, True, generator=generator).numpy()
        noise = torch.randn(n_draws, mean.shape[1], generator=generator).numpy()
        z = torch.as_tensor(mean[which] + sd[which] * noise, dtype=torch.float64)
        f_mean, f_var = gp.latent_function(z)
        noise = torch.randn(f_mean.shape, generator=generator, dtype=torch.float64)
        found.append(torch.softmax(f_mean + f_var.sqrt() * noise, -1))
    p = torch.stack(found)
    return p.mean(1).numpy(), p.std(1).numpy() / math.sqrt(n_draws)


def decomposition(gp, pixels):
    """The closed form's view of the same posteriors."""
    parts = (torch.as_tensor(x).double() for x in (pixels.weight, pixels.mean, pixels.sd**2))
    nodes = (x.double() for x in default_nodes(gp.n_classes))
    return decompose_latent(*parts, gp.constants(), *nodes)


def information(draws):
    """I(y; f | x), nats, of draws (S, n, K)."""
    return entr(draws.mean(0)).sum(1) - entr(draws).sum(2).mean(0)


def test_drawn_weights_have_the_functions_moments(gp, points):
    n_draws = 4000
    weights = gp.draw_weights(n_draws, torch.Generator().manual_seed(2))
    assert weights.shape == (n_draws, 3, len(gp.inducing)) and weights.dtype == torch.float64
    kernel = gp.kernel(points)
    f = torch.einsum("nm,skm->snk", kernel, weights)
    mean, var = gp.latent_function(points)
    error = (var / n_draws).sqrt()
    assert ((f.mean(0) - mean).abs() < 5 * error + 1e-9).all()
    found = f.var(0) + gp.left_variance(kernel).unsqueeze(1)
    np.testing.assert_allclose(found, var, rtol=5 * math.sqrt(2 / n_draws))


def test_exact_moments_of_weights_and_what_is_left_are_those_of_gpytorch(gp, points):
    """The same without drawing: of weights whose mean and covariance are written down."""
    kernel = gp.kernel(points)
    inverse = torch.linalg.inv(
        gp.kernel(gp.inducing) + gp.jitter * torch.eye(len(gp.inducing), dtype=torch.float64)
    )
    constants = gp.constants()
    mean, var = gp.latent_function(points)
    torch.testing.assert_close(kernel @ constants.A, mean, rtol=1e-8, atol=1e-8)
    covariance = inverse - constants.B  # of the weights, class by class
    known = torch.einsum("nm,kml,nl->nk", kernel, covariance, kernel)
    left = gp.left_variance(kernel)
    torch.testing.assert_close(known + left.unsqueeze(1), var, rtol=1e-7, atol=1e-7)


def test_left_variance_at_its_ends(gp):
    at_inducing = gp.left_variance(gp.kernel(gp.inducing))
    assert (at_inducing >= 0).all() and (at_inducing <= 1.01 * gp.jitter).all()
    far = torch.full((1, 2), 1e4, dtype=torch.float64)
    assert (gp.kernel(far) == 0).all()
    assert gp.left_variance(gp.kernel(far)).item() == pytest.approx(gp.outputscale.item())


def test_kernel_is_the_covariance_by_hand(gp, points):
    distance = (points[3] - gp.inducing[5]) / gp.lengthscale
    expected = gp.outputscale * torch.exp(-0.5 * (distance**2).sum())
    torch.testing.assert_close(gp.kernel(points)[3, 5], expected)


def test_draws_keep_their_laws(gp, points):
    found = posterior(gp, points, 0.3).draw(20, seed=0)
    assert found.shape == (20, len(points), 3) and found.dtype == np.float64
    np.testing.assert_allclose(found.sum(2), 1.0, atol=1e-6)
    assert (found >= 0).all()


def test_known_latents_are_drawn_as_the_closed_form_has_them(gp, points):
    """Without spread of the latent the two views differ by Monte-Carlo error and nodes alone."""
    pixels = posterior(gp, points, 1e-4)
    n_draws = 3000
    draws = pixels.draw(n_draws, seed=3)
    expected = decomposition(gp, pixels)
    error = draws.std(0) / math.sqrt(n_draws)
    off = np.abs(draws.mean(0) - expected.probabilities.numpy())
    assert (off < 5 * error + 0.012).all()  # 0.012: of the closed form's nodes, see `uncertainty`
    np.testing.assert_allclose(information(draws), expected.classifier.numpy(), atol=0.03)
    exact, exact_error = brute_force(gp, pixels, n_draws)
    assert (np.abs(draws.mean(0) - exact) < 5 * np.hypot(error, exact_error) + 1e-6).all()


@pytest.mark.parametrize("sd", [0.2, 0.6])
def test_uncertain_latents_are_integrated_out(gp, points, sd):
    """As plain Monte Carlo does it, within the error of so few nodes."""
    second = points.flip(0)
    pixels = posterior(
        gp,
        torch.stack([points, second], 1),
        np.array([[sd], [0.5 * sd]]),
        np.tile([0.8, 0.2], (len(points), 1)),
    )
    n_draws = 1000
    exact, exact_error = brute_force(gp, pixels, 3 * n_draws)
    few = pixels.draw(n_draws, seed=4)
    assert np.abs(few.mean(0) - exact).max() < 0.05
    draws = pixels.draw(n_draws // 4, seed=4, n_nodes=128)
    error = np.hypot(draws.std(0) / math.sqrt(len(draws)), exact_error)
    # what is left open is drawn once for all of a pixel's nodes: that is 0.02 of a probability
    assert (np.abs(draws.mean(0) - exact) < 5 * error + 0.02).all()


def test_a_gaussian_of_no_weight_does_not_matter(gp):
    """Wherever it lies: far away the functions are unknown, and that must not be counted."""
    mean = torch.tensor([[[0.0, 0.0], [60.0, 60.0]]]).double()
    lone = posterior(gp, mean[:, :1], 0.1).draw(2000, seed=5)
    both = posterior(gp, mean, 0.1, [[1.0, 0.0]]).draw(2000, seed=5)
    assert information(both)[0] == pytest.approx(information(lone)[0], abs=0.01)
    np.testing.assert_allclose(both.mean(0), lone.mean(0), atol=0.02)


def test_neighbours_share_their_function_and_strangers_do_not(gp):
    close = torch.tensor([[1.5, 1.5], [1.51, 1.5], [40.0, 40.0]], dtype=torch.float64)
    draws = posterior(gp, close, 1e-3).draw(1500, seed=6)[:, :, 0]
    together = np.corrcoef(draws.T)
    assert together[0, 1] > 0.8
    assert abs(together[0, 2]) < 0.15


def test_the_covariance_between_pixels_is_that_of_the_functions(gp, points):
    """Of logits: the closed form's covariance of two points against that of the draws."""
    n_draws = 4000
    a, b = points[:6], points[6:12]
    weights = gp.draw_weights(n_draws, torch.Generator().manual_seed(7))
    here, there = (torch.einsum("nm,skm->snk", gp.kernel(z), weights) for z in (a, b))
    covariance = ((here - here.mean(0)) * (there - there.mean(0))).sum(0) / (n_draws - 1)
    constants = gp.constants()
    inverse = torch.linalg.inv(
        gp.kernel(gp.inducing) + gp.jitter * torch.eye(len(gp.inducing), dtype=torch.float64)
    )
    middle = inverse - constants.B
    expected = torch.einsum("nm,kml,nl->nk", gp.kernel(a), middle, gp.kernel(b))
    size = (here.var(0) * there.var(0)).sqrt()
    assert ((covariance - expected).abs() < 6 * size / math.sqrt(n_draws)).all()


def test_the_same_seed_gives_the_same_draws(gp, points):
    pixels = posterior(gp, points, 0.3)
    one = pixels.draw(5, seed=8)
    state = torch.get_rng_state()
    np.testing.assert_array_equal(pixels.draw(5, seed=8), one)
    assert torch.equal(torch.get_rng_state(), state)
    assert not np.allclose(pixels.draw(5, seed=9), one)


def test_some_of_the_pixels(gp, points):
    pixels = posterior(gp, points, 0.3)
    mask = np.arange(len(points)) % 3 == 0
    for index in (slice(3, 9), np.array([7, 2]), mask, [4]):
        part = pixels[index]
        np.testing.assert_array_equal(part.mean, pixels.mean[index])
        np.testing.assert_array_equal(part.sd, pixels.sd[index])
        np.testing.assert_array_equal(part.weight, pixels.weight[index])
        assert part.gp is gp
        assert part.draw(2).shape[1] == len(part.mean)


def test_chunks_change_nothing_but_the_noise_of_what_is_left(gp, points):
    known = posterior(gp, points[:40], 0.1)
    whole = known.draw(800, seed=10)
    parts = known.draw(800, seed=10, chunk_size=7)
    error = np.hypot(parts.std(0), whole.std(0)) / math.sqrt(800)
    assert (np.abs(parts.mean(0) - whole.mean(0)) < 5 * error + 1e-6).all()


def test_flagged_rows_are_nan_and_harm_no_one(gp, points):
    pixels = posterior(gp, points, 0.3)
    clean = pixels.draw(10, seed=11)
    for part in (pixels.weight, pixels.mean, pixels.sd):
        part[[2, 5]] = np.nan
    draws = pixels.draw(10, seed=11)
    assert np.isnan(draws[:, [2, 5]]).all()
    rest = np.setdiff1d(np.arange(len(points)), [2, 5])
    np.testing.assert_array_equal(draws[:, rest], clean[:, rest])


def test_no_pixels_are_no_error(gp):
    nothing = posterior(gp, np.zeros((0, 1, 2)), 0.3)
    assert nothing.draw(4).shape == (4, 0, 3)


def test_components_speak_against_classes_in_draws_as_in_the_closed_form(gp):
    """At known latents the draws' mean is that of logits which are moved by hand."""
    generator = torch.Generator().manual_seed(4)
    points = 1.5 + 1.5 * torch.randn(30, 2, generator=generator, dtype=torch.float64)
    against = np.array([[0.0, 4.0, 4.0], [4.0, 0.0, 4.0]])
    both = np.stack([points.numpy()] * 2, 1)
    pixels = posterior(gp, both, 0.0, np.tile([0.3, 0.7], (30, 1)), against)
    mean, var = gp.latent_function(points.float().double())
    known = 1 - var / gp.outputscale
    noise = torch.randn(4000, 30, 3, generator=generator, dtype=torch.float64)
    f = mean + var.sqrt() * noise
    moved = [torch.softmax(f - torch.from_numpy(one) * known, -1).mean(0) for one in against]
    expected = (0.3 * moved[0] + 0.7 * moved[1]).numpy()
    np.testing.assert_allclose(pixels.draw(4000, n_nodes=2).mean(0), expected, atol=0.03)
    found = pixels.draw_at_latents(4000, 30).mean((0, 1))
    of_components = 0.5 / np.sqrt(30)  # the sd of a share of 30 draws, at most
    np.testing.assert_allclose(found, expected, atol=0.03 + 3 * of_components)
    assert np.abs(found - expected).mean() < 0.05
    silent = posterior(gp, both, 0.0).draw(400, n_nodes=2).mean(0)
    assert np.abs(silent - expected).max() > 0.2


# A fitted classifier's


@pytest.fixture(scope="module")
def prediction(quick_classifier, spectra):
    return quick_classifier.predict(spectra, show_progressbar=False)


def test_draws_of_a_prediction_are_its_probabilities(prediction):
    """Both views of one posterior approximate it.

    The closed form takes logits of a Gaussian as Gaussian (off by up to 0.018 against plain Monte
    Carlo here), the draws take eight nodes of it (up to 0.035); means are 0.004 and 0.006.
    """
    draws = prediction.joint.draw(300, seed=0)
    off = np.abs(draws.mean(0) - prediction.probabilities)
    assert off.mean() < 0.01 and off.max() < 0.08
    agree = draws.mean(0).argmax(1) == prediction.labels
    assert agree.mean() > 0.95


def test_information_of_a_predictions_draws(prediction):
    """I(y; f | x) <= I(y; f | z, x) where f and z are independent, and never above the total."""
    found = information(prediction.joint.draw(200, seed=1))
    assert (found >= 0).all()
    assert (found <= prediction.total + 0.01).all()
    assert (found <= prediction.classifier + 0.02).all()
    sure = prediction.encoder < 0.1 * prediction.total
    if sure.sum() > 3:
        np.testing.assert_allclose(found[sure], prediction.classifier[sure], atol=0.03)


def test_joint_posterior_goes_with_its_prediction(prediction):
    part = prediction[[5, 3, 8]]
    np.testing.assert_array_equal(part.joint.mean, prediction.joint.mean[[5, 3, 8]])
    np.testing.assert_allclose(part.joint.weight.sum(1), 1.0, atol=1e-5)
    assert (part.joint.sd > 0).all()


@pytest.fixture(scope="module")
def wide(gp, points):
    """Pixels whose latents are mixtures, some of them far apart."""
    shifted = np.stack([points.numpy(), points.numpy() + np.array([1.5, 0.5])], 1)
    weight = np.tile([0.7, 0.3], (len(points), 1))
    return posterior(gp, shifted, 0.6, weight)


def test_at_drawn_latents_the_mean_is_that_of_plain_draws(gp, wide):
    found = wide.draw_at_latents(60, 100, seed=1)
    assert found.shape == (100, 60, len(wide.mean), 3) and found.dtype == np.float64
    np.testing.assert_allclose(found.sum(3), 1.0, atol=1e-6)
    expected, error = brute_force(gp, wide, 4000, seed=2)
    of_functions = found.mean(0).std(0) / math.sqrt(60)  # shared by all latents
    of_latents = found.mean(1).std(0) / math.sqrt(100)
    off = np.abs(found.mean((0, 1)) - expected)
    assert (off < 5 * np.sqrt(error**2 + of_functions**2 + of_latents**2) + 1e-6).all()


def test_information_given_the_latents_is_the_decompositions_classifier_part(gp, wide):
    draws = wide.draw_at_latents(400, 60, seed=3)
    each = np.array([information(one) for one in draws])
    closed = decomposition(gp, wide).classifier.numpy()
    error = each.std(0) / math.sqrt(len(each))
    # what few draws and nodes are off by
    assert (np.abs(each.mean(0) - closed) < 4 * error + 0.03).all()
    assert np.corrcoef(each.mean(0), closed)[0, 1] > 0.95
    # with the latents integrated out a label says less of the functions
    assert information(wide.draw(400, seed=3)).mean() < closed.mean()


def test_flagged_pixels_have_no_draws_at_latents(gp, points):
    one = posterior(gp, points[:3], 0.3)
    of_pixels = [x.copy() for x in (one.weight, one.mean, one.sd, one.component)]
    gone = JointPosterior(*of_pixels, gp, one.against)
    for x in of_pixels:
        x[1] = np.nan
    found = gone.draw_at_latents(5, 2)
    assert np.isnan(found[:, :, 1]).all() and np.isfinite(found[:, :, [0, 2]]).all()
    nothing = gone[[1]].draw_at_latents(5, 2)
    assert nothing.shape == (2, 5, 1, 3) and np.isnan(nothing).all()

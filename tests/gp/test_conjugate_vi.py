"""The classifier learned again: against autograd, importance sampling, and laws."""

import dataclasses
import itertools
import math

import pytest
import torch

from eels_bayes.gp.classifier import GPClassifier
from eels_bayes.gp.conjugate_vi import Functions, Solver, features_of, marginals
from eels_bayes.gp.fit import fit_gp
from eels_bayes.gp.relearning import relearn
from eels_bayes.uncertainty.quadrature import normal_nodes

CENTRES = torch.tensor([[0.0, 0.0], [4.0, 0.0]], dtype=torch.float64)
NEW = torch.tensor([2.0, 6.0], dtype=torch.float64)  # where a third class is


def normal(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def clusters(n=120, seed=3):
    labels = torch.arange(n) % 2
    return CENTRES[labels] + 0.7 * normal(n, 2, seed=seed), labels


def kernel(lengthscale=1.5, outputscale=9.0):
    """A classifier that nothing but its kernel is taken from."""
    one = torch.ones(2, dtype=torch.float64)
    return GPClassifier(
        inducing=CENTRES,
        lengthscale=lengthscale * one,
        outputscale=torch.tensor(outputscale, dtype=torch.float64),
        variational_mean=torch.zeros(2, 2, dtype=torch.float64),
        variational_factor=torch.eye(2, dtype=torch.float64).repeat(2, 1, 1),
        jitter=torch.tensor(1e-2, dtype=torch.float64),
    )


def learn(data=None, n_classes=3, start=None, **options):
    latents, labels = data or clusters()
    options = {"n_inducing": 12} | options
    return relearn(start or kernel(), latents, labels, n_classes, **options)


def probabilities(gp, points):
    mean, _ = gp.latent_function(torch.as_tensor(points, dtype=torch.float64))
    return torch.softmax(mean, 1)


def some_pixels(m=9, n_draws=5, seed=5):
    """Draws (m, S, D) about all three classes, and these."""
    codes = torch.arange(m) % 3
    centre = torch.cat([CENTRES, NEW.unsqueeze(0)])[codes].unsqueeze(1)
    return centre + 0.8 * normal(m, n_draws, 2, seed=seed), codes


def assert_same(one, other, tolerance=1e-9):
    for name, tensor in one.state.items():
        torch.testing.assert_close(tensor, other.state[name], rtol=tolerance, atol=tolerance)


def test_the_bound_is_stationary_by_autograd():
    """Where it stops, the expected log-likelihood's gradient balances that of the divergence."""
    latents, labels = clusters(40)
    exact = Solver(n_nodes=8192, precision=1e-9, steps=200)
    gp = learn((latents, labels), 2, solver=exact)
    features = features_of(latents, gp.inducing, gp.lengthscale, gp.outputscale, gp.jitter)
    mean = gp.variational_mean.clone().requires_grad_()
    cov = (gp.variational_factor @ gp.variational_factor.mT).requires_grad_()
    noise = normal_nodes(2**15, 2, seed=9)  # others than its own
    f, var = marginals(features, Functions(mean, cov))
    log_p = torch.log_softmax(f.unsqueeze(1) + var.sqrt().unsqueeze(1) * noise, 2)
    expected = log_p.mean(1).gather(1, labels.unsqueeze(1)).sum()
    prior = torch.distributions.MultivariateNormal(torch.zeros(12).double(), torch.eye(12).double())
    q = torch.distributions.MultivariateNormal(mean, cov)
    (expected - torch.distributions.kl_divergence(q, prior).sum()).backward()
    assert mean.grad.abs().max() < 0.03
    slope = 0.5 * (cov.grad + cov.grad.mT)
    assert slope.abs().max() < 0.03
    # which says something: away from the optimum they are not small
    assert (mean.detach() - 0.1).abs().max() > 0.1


def test_few_labels_against_importance_sampling():
    """Predictive probabilities of the exact posterior: the prior's draws, weighted by labels."""
    latents = torch.tensor([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0], [4.0, 0.0]], dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 1])
    gp = learn((latents, labels), 2, start=kernel(2.0, 4.0), n_inducing=4)
    points = torch.cat([latents, torch.tensor([[2.0, 0.0], [0.0, 5.0]], dtype=torch.float64)])
    eye = torch.eye(len(points), dtype=torch.float64)
    cov = dataclasses.replace(gp, inducing=points).kernel(points) + 1e-6 * eye
    root = torch.linalg.cholesky(cov)
    f = normal(200_000, 2, len(points), seed=2) @ root.mT
    p = torch.softmax(f, 1)
    weight = p[:, labels, torch.arange(4)].prod(1)
    exact = (weight.view(-1, 1, 1) * p).sum(0) / weight.sum()
    mean, var = gp.latent_function(points)
    ours = torch.softmax(mean + var.sqrt() * normal(50_000, *mean.shape, seed=3), 2).mean(0)
    torch.testing.assert_close(ours, exact.mT, rtol=0, atol=0.02)
    assert exact[0, 0] > 0.65


def test_as_good_as_gpytorchs_own_training_with_the_same_kernel():
    latents, labels = clusters()
    trained = fit_gp(
        latents, labels, 2, n_inducing=12, steps=300, learning_rate=0.05, show_progressbar=False
    )
    again = learn((latents, labels), 2, start=trained)
    points = torch.cat([latents, 3 * normal(50, 2, seed=8)])
    one, other = probabilities(trained, points), probabilities(again, points)
    assert (one - other).abs().mean() < 0.02
    torch.testing.assert_close(again.lengthscale, trained.lengthscale, rtol=0, atol=0)


def test_the_bound_rises():
    loss = learn(measured=some_pixels()).loss
    assert 3 < len(loss) < Solver().steps
    assert all(b < a + Solver().precision for a, b in itertools.pairwise(loss))


def test_the_order_of_labels_does_not_matter():
    draws, codes = some_pixels()
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(0))
    one = learn(measured=(draws, codes), learn_kernel=True)
    other = learn(measured=(draws[order], codes[order]), learn_kernel=True)
    assert_same(one, other, 0.0)


def test_a_pixel_whose_latent_is_known_is_a_latent():
    latents, labels = clusters(40)
    more, codes = some_pixels(6, 1)
    every = learn((torch.cat([latents, more[:, 0]]), torch.cat([labels, codes])), n_inducing=46)
    pixels = learn((latents, labels), measured=(more.expand(-1, 4, -1), codes), n_inducing=46)
    points = 3 * normal(30, 2, seed=6)
    torch.testing.assert_close(
        probabilities(every, points), probabilities(pixels, points), rtol=0, atol=0.03
    )


def test_a_weight_is_how_many_labels_each_latent_stands_for():
    latents, labels = clusters(40)
    twice = learn((latents, labels), weight=2.0, n_inducing=40)
    both = learn((latents.repeat(2, 1), labels.repeat(2)), n_inducing=40)
    points = 3 * normal(30, 2, seed=7)
    torch.testing.assert_close(
        probabilities(twice, points), probabilities(both, points), rtol=0, atol=5e-3
    )
    one = learn((latents, labels), n_inducing=40)
    assert (probabilities(twice, points) - probabilities(one, points)).abs().max() > 0.03


def test_labels_outvote_what_weighs_little():
    """A known class' tail reaches to where labels say another class is."""
    latents, labels = clusters(400)
    pixels = (CENTRES[:1] + 0.1 * normal(8, 4, 2, seed=4), torch.full((8,), 2))
    heavy = probabilities(learn((latents, labels), measured=pixels), CENTRES)
    light = probabilities(learn((latents, labels), measured=pixels, weight=0.02), CENTRES)
    assert heavy[0, 2] < 0.2 < 0.5 < light[0, 2]
    assert light[1].argmax() == 1


def test_a_label_takes_no_draw_away_from_the_class_that_others_say_it_has():
    """Half of the pixels' draws lie where class 0 is known to be: the label is of the others."""
    draws = 0.3 * normal(8, 6, 2, seed=4)
    draws[:, :3] += NEW
    gp = learn(measured=(draws, torch.full((8,), 2)))
    p = probabilities(gp, torch.stack([CENTRES[0], NEW]))
    assert p[0, 0] > 0.8  # class 0 keeps its place
    assert p[1, 2] > 0.8
    # had every draw the label, class 0 would lose some of its place
    every = draws.flatten(0, 1).unsqueeze(1)
    hard = learn(measured=(every, torch.full((48,), 2)))
    assert probabilities(hard, CENTRES)[0, 0] < p[0, 0] - 0.05


def test_without_labels_it_is_what_the_latents_say():
    assert_same(learn(n_classes=2), learn(n_classes=2, measured=some_pixels(0)))


def test_a_class_of_which_nothing_is_known_is_as_likely_as_the_prior_has_it():
    p = probabilities(learn(), torch.tensor([[0.0, 0.0], [4.0, 0.0], [50.0, 50.0]]))
    assert p[0, 0] > 0.85 and p[1, 1] > 0.85
    torch.testing.assert_close(p[2], torch.full((3,), 1 / 3).double(), rtol=0, atol=1e-6)


def test_the_kernel_does_not_depend_on_where_the_search_begins():
    pixels = some_pixels(30)
    found = [
        learn(measured=pixels, learn_kernel=True, start=kernel(2.0 * 1.25**k)) for k in (-4, 0, 4)
    ]
    for one in found[1:]:
        assert_same(found[0], one, 0.0)
    # and has more evidence than its neighbours
    first = found[0]
    best = -first.loss[-1]
    for ratio in (0.6, 1.7):
        other = dataclasses.replace(first, lengthscale=first.lengthscale * ratio)
        assert -learn(measured=pixels, start=other).loss[-1] < best


def test_the_same_seed_gives_the_same_classifier_and_leaves_torch_alone():
    state = torch.get_rng_state()
    one, other = (learn(measured=some_pixels(), seed=3) for _ in range(2))
    assert_same(one, other, 0.0)
    assert torch.equal(torch.get_rng_state(), state)


def test_latents_read_in_parts():
    whole = learn(measured=some_pixels())
    assert_same(whole, learn(measured=some_pixels(), solver=Solver(chunk=7)))


@pytest.mark.parametrize("n_classes", [2, 3, 11])
def test_any_number_of_classes(n_classes):
    labels = torch.arange(4 * n_classes) % n_classes
    angle = 2 * torch.pi * labels.double() / n_classes
    centre = 6 * torch.stack([angle.cos(), angle.sin()], 1)
    latents = centre + 0.2 * normal(len(labels), 2, seed=9)
    gp = learn((latents, labels), n_classes, n_inducing=4 * n_classes)
    assert torch.equal(probabilities(gp, latents).argmax(1), labels)
    assert gp.n_classes == n_classes


def test_a_dimension_that_the_kernel_does_not_know_is_learned():
    """Classes that lie apart along it alone are told apart; one that is gone is left out."""
    latents, labels = clusters()
    swapped = torch.stack([latents[:, 1] - latents[:, 1].mean(), latents[:, 0]], 1)
    start = kernel()
    narrow = dataclasses.replace(
        start, inducing=start.inducing[:, :1], lengthscale=start.lengthscale[:1]
    )
    found = learn((swapped, labels), 2, narrow)
    assert found.lengthscale[0] == start.lengthscale[0]
    spread = swapped[:, 1].std(correction=0)
    assert float(found.lengthscale[1]) == pytest.approx(math.sqrt(2) * float(spread))
    right = probabilities(found, swapped).argmax(1) == labels
    alone = probabilities(learn((swapped[:, :1], labels), 2, narrow), swapped).argmax(1) == labels
    assert right.double().mean() > alone.double().mean() + 0.1
    assert len(learn((latents[:, :1], labels), 2, start).lengthscale) == 1

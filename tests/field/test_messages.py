"""Belief propagation is exact on lines and near on grids; draws are those of the field."""

import functools
import itertools

import numpy as np
import pyro
import pytest
import torch
from pyro import poutine

from eels_bayes.field import coupling as learning
from eels_bayes.field.draws import draw_maps
from eels_bayes.field.graph import grid_graph
from eels_bayes.field.messages import class_distance, penalties
from eels_bayes.field.prior import PIXELS, Coupling, coupling_of, logs_of, prior_of_logs
from eels_bayes.field.pyro_model import model
from helpers.settled_messages import said_by_others

K = 3
OVERALL = np.array([0.5, 0.3, 0.2])
LOGS = torch.tensor([0.1, -0.3, -1.5, 0.2, -0.1], dtype=torch.float64)  # of two axes
VALUES = np.array([0.0, 0.5, 1.0])


def whole(shape, images=1):
    """A graph of whole images, and where their pixels are."""
    size = int(np.prod(shape))
    image, position = np.repeat(np.arange(images), size), np.tile(np.arange(size), images)
    return image, grid_graph(image, position, [shape] * images)


def some_field(shape, seed=0, logs=LOGS):
    """A field of known coupling over random likelihoods."""
    image, graph = whole(shape)
    rng = np.random.default_rng(seed)
    likelihood = rng.normal(0.0, 1.0, (len(image), K))
    coupling = coupling_of(logs[: 3 + len(shape)])
    field = learning.learn_field(
        likelihood, image, graph, class_distance(VALUES), OVERALL, coupling=coupling
    )
    return likelihood, image, graph, field


def enumerated(likelihood, image, graph, field):
    """Class probabilities (n, K), summed over all classes and who is alone, by the Pyro model."""
    n = len(image)
    logs = (field.coupling.strength.log(), field.coupling.growth.log(), field.coupling.alone.log())
    along = torch.zeros(len(logs[0]), dtype=torch.float64)
    values = torch.cat([torch.stack([logs[0].mean(), *logs[1:]]), along + logs[0] - logs[0].mean()])
    states = list(
        itertools.product(
            itertools.product(range(K), repeat=n), itertools.product((0.0, 1.0), repeat=n)
        )
    )
    total = np.zeros(len(states))
    overall = torch.as_tensor(OVERALL)
    for row, (classes, alone) in enumerate(states):
        known = {
            "logs": values,
            "weights": field.weights.double() / field.weights.double().sum(1, keepdim=True),
            "classes": torch.tensor(classes),
            "alone": torch.tensor(alone, dtype=torch.float64),
        }
        conditioned = poutine.condition(model, data=known)
        with pyro.get_param_store().scope():
            trace = poutine.trace(conditioned).get_trace(
                torch.from_numpy(likelihood),
                torch.from_numpy(image),
                graph,
                class_distance(VALUES),
                overall,
            )
        total[row] = trace.log_prob_sum()
    weight = np.exp(total - total.max())
    found = np.zeros((n, K))
    for (classes, _), w in zip(states, weight, strict=True):
        found[np.arange(n), classes] += w
    return found / weight.sum()


def beliefs(likelihood, field):
    by_all = field.others.double().numpy() * np.exp(likelihood)
    return by_all / by_all.sum(1, keepdims=True)


@pytest.mark.parametrize("shape", [(4,), (1, 3), (3, 1, 1)])
def test_a_line_is_read_exactly(shape):
    likelihood, image, graph, field = some_field(shape, logs=torch.cat([LOGS, LOGS[-1:]]))
    exact = enumerated(likelihood, image, graph, field)
    np.testing.assert_allclose(beliefs(likelihood, field), exact, atol=2e-3)


@functools.cache
def small_grid():
    """A field over a grid of 2 x 2, and its exact class probabilities, for more than one test."""
    likelihood, image, graph, field = some_field((2, 2), seed=3)
    return likelihood, graph, field, enumerated(likelihood, image, graph, field)


def test_a_grid_is_read_nearly_so():
    likelihood, _, field, exact = small_grid()
    single = np.exp(likelihood) * field.weights.numpy()
    single /= single.sum(1, keepdims=True)
    away = np.abs(beliefs(likelihood, field) - exact).max()
    assert away < 0.05
    assert away < 0.3 * np.abs(single - exact).max()


def test_draws_are_those_of_the_field():
    _, graph, field, exact = small_grid()
    drawn = draw_maps(field, graph, 4000, sweeps=30, seed=1)
    shares = np.stack([(drawn == k).mean(0) for k in range(K)], 1)
    np.testing.assert_allclose(shares, exact, atol=5 * 0.5 / np.sqrt(4000))


def test_without_neighbours_a_pixel_stands_alone():
    likelihood, _, _, field = some_field(())
    expected = np.exp(likelihood) * field.weights.numpy()
    np.testing.assert_allclose(beliefs(likelihood, field), expected / expected.sum(), rtol=1e-4)


def test_no_coupling_says_nothing():
    _, graph = whole((5, 4))
    likelihood = torch.from_numpy(np.random.default_rng(0).normal(size=(K, 20))).float().exp()
    none = penalties(torch.zeros(2), torch.tensor(1.0), class_distance(VALUES))
    others = said_by_others(likelihood, torch.ones(K, 20), graph, torch.exp(-none).float())
    torch.testing.assert_close(others, torch.full((K, 20), 1 / K))


def test_classes_without_a_value_are_as_far_from_all():
    values = np.array([0.5, 0.0, np.nan, 0.25])
    expected = [[0, 2, 1, 1], [2, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0]]
    np.testing.assert_array_equal(class_distance(values).numpy(), expected)


def drawn_series(coupling, shape, images, width, seed):
    """Classes drawn from a field of known coupling, and noisy likelihoods of them."""
    image, graph = whole(shape, images)
    flat = np.zeros((len(image), K))
    equal = np.full(K, 1 / K)
    field = learning.learn_field(
        flat, image, graph, class_distance(VALUES), equal, coupling=coupling
    )
    classes = draw_maps(field, graph, 1, sweeps=200, seed=seed)[0]
    rng = np.random.default_rng(seed)
    means = np.arange(K)[classes] + width * rng.standard_normal(len(image))
    likelihood = -0.5 * ((means[:, None] - np.arange(K)) / width) ** 2
    return classes, likelihood, image, graph


def test_the_coupling_is_found_again():
    strength = torch.tensor([0.7, 1.2], dtype=torch.float64)
    truth = Coupling(strength, torch.tensor(0.5), torch.tensor(1e-4))
    _, likelihood, image, graph = drawn_series(truth, (24, 20), 8, 0.7, seed=2)
    found = learning.learn_field(
        likelihood, image, graph, class_distance(VALUES), np.full(K, 1 / K)
    ).coupling
    np.testing.assert_allclose(found.strength, strength, rtol=0.3)
    assert found.strength[1] > found.strength[0]  # rows are less alike than columns
    assert found.alone < 0.02


def test_what_is_in_disorder_has_no_neighbours():
    # below where a field turns into one class all over, which is in order however it is mixed
    truth = Coupling(torch.tensor([0.7, 0.7]), torch.tensor(0.5), torch.tensor(1e-4))
    classes, likelihood, image, graph = drawn_series(truth, (24, 20), 4, 0.7, seed=2)
    rng = np.random.default_rng(0)
    order = np.concatenate([rng.permutation(np.flatnonzero(image == i)) for i in range(4)])
    classes, likelihood = classes[order], likelihood[order]
    field = learning.learn_field(
        likelihood, image, graph, class_distance(VALUES), np.full(K, 1 / K)
    )
    assert field.coupling.strength.max() < 0.3

    def nll(given):
        p = given * np.exp(likelihood)
        return -np.log((p / p.sum(1, keepdims=True))[np.arange(len(classes)), classes]).mean()

    assert nll(field.others.numpy()) < nll(field.weights.numpy()[image]) + 0.01


def test_doubtful_pixels_are_not_taken_for_neighbours_where_images_differ():
    """Each image has a mix of its own, which nothing but its pixels together tells."""
    rng = np.random.default_rng(1)
    image, graph = whole((24, 20), 12)
    mix = rng.dirichlet(np.full(K, 0.4), 12)
    classes = np.array([rng.choice(K, p=mix[i]) for i in image])
    means = classes + 1.5 * rng.standard_normal(len(image))
    likelihood = -0.5 * ((means[:, None] - np.arange(K)) / 1.5) ** 2
    field = learning.learn_field(
        likelihood, image, graph, class_distance(VALUES), np.full(K, 1 / K)
    )
    assert field.coupling.strength.max() < 0.3


def test_what_is_found_is_a_maximum_of_the_score():
    truth = Coupling(torch.tensor([0.7, 0.7]), torch.tensor(0.5), torch.tensor(1e-3))
    _, likelihood, image, graph = drawn_series(truth, (20, 20), 8, 0.7, seed=5)
    distance, base = class_distance(VALUES), np.full(K, 1 / K)
    found = learning.learn_field(likelihood, image, graph, distance, base)

    def score(scale):
        moved = found.coupling._replace(strength=scale * found.coupling.strength)
        field = learning.learn_field(likelihood, image, graph, distance, base, coupling=moved)
        return float(np.log((field.others.double().numpy() * np.exp(likelihood)).sum(1)).sum())

    assert score(1.0) > max(score(0.6), score(1.6))


def test_prior_is_weak_and_says_how_many_axes():
    mean, sd = prior_of_logs(3)
    assert len(mean) == len(sd) == 6
    assert coupling_of(mean).strength.shape == (3,)


def test_logs_of_a_coupling_are_its_likeliest_ones():
    mean, sd = prior_of_logs(2)
    logs = mean + sd * torch.tensor([0.7, -0.4, 1.1, 0.9, -1.6])
    found = logs_of(coupling_of(logs))
    for here, there in zip(coupling_of(found), coupling_of(logs), strict=True):
        torch.testing.assert_close(here, there)

    def improbable(shift):  # what the strength has more, axes have less
        moved = found + shift * torch.tensor([1.0, 0.0, 0.0, -1.0, -1.0])
        return float((((moved - mean) / sd) ** 2).sum())

    assert improbable(0.0) < min(improbable(-0.01), improbable(0.01))


@pytest.mark.parametrize("known", [True, False])
def test_pixels_without_neighbours_are_read_by_the_weights_of_their_image(known):
    rng, n = np.random.default_rng(5), 800
    image = np.arange(n) % 2
    label = np.where(image == 0, 2, 1)
    seen = label[:, None] + 1.5 * rng.standard_normal((n, 1))
    likelihood = -0.5 * ((seen - np.arange(K)) / 1.5) ** 2
    graph = grid_graph(image, 2 * (np.arange(n) // 2), [(1, n)] * 2)
    coupling = coupling_of(LOGS) if known else None
    distance = class_distance(VALUES)
    field = learning.learn_field(likelihood, image, graph, distance, OVERALL, coupling=coupling)
    # where each class is believed as often as it is foretold, or nearly, as its prior has it
    weight = np.tile(OVERALL, (2, 1))
    for _ in range(500):
        believed = weight[image] * np.exp(likelihood)
        believed /= believed.sum(1, keepdims=True)
        sums = np.array([believed[image == i].sum(0) for i in (0, 1)])
        weight = (sums + PIXELS * OVERALL) / (n // 2 + PIXELS)
    np.testing.assert_allclose(field.weights, weight, atol=0.05)
    assert field.weights[0, 2] > 0.8 and field.weights[1, 1] > 0.5

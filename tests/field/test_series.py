"""The same place in successive images: linked where it is, read as by enumeration, learned."""

import itertools

import numpy as np
import pyro
import pytest
import torch
from pyro import poutine

from eels_bayes.field.coupling import learn_field
from eels_bayes.field.draws import draw_maps
from eels_bayes.field.graph import NONE, grid_graph
from eels_bayes.field.messages import class_distance
from eels_bayes.field.prior import Coupling
from eels_bayes.field.pyro_model import model
from eels_bayes.field.series import Links, linked_graph
from eels_bayes.field.succession import kernel_in_time, places_of, tables
from helpers.settled_messages import said_by_others

K = 2
VALUES = np.array([0.0, 1.0])
EQUAL = np.full(K, 1 / K)
COUPLING = Coupling(torch.tensor([0.6, 0.4]), torch.tensor(1.0), torch.tensor(0.1))


def series(shape, images, step=None, before=None):
    """A graph of whole images, each linked to the last."""
    size = int(np.prod(shape))
    image, position = np.repeat(np.arange(images), size), np.tile(np.arange(size), images)
    shapes = [shape] * images
    step = np.zeros((images, len(shape)), int) if step is None else np.array(step)
    before = np.arange(images) - 1 if before is None else np.array(before)
    graph = grid_graph(image, position, shapes)
    return image, graph, linked_graph(graph, image, position, shapes, Links(before, step))


def test_places_are_those_that_moved():
    step = np.array([[0, 0], [1, -2], [0, 3], [-1, 0]])
    image, alone, graph = series((4, 5), 4, step, before=[-1, 0, -1, 2])
    assert graph.n_axes == alone.n_axes == 2
    np.testing.assert_array_equal(graph.neighbour[:4], alone.neighbour)
    before, behind = graph.neighbour[-2:]
    row, column = np.divmod(np.tile(np.arange(20), 4), 5)
    for one, other in enumerate(before):
        moved = row[one] - step[image[one], 0], column[one] - step[image[one], 1]
        inside = 0 <= moved[0] < 4 and 0 <= moved[1] < 5 and image[one] in (1, 3)
        assert (other != NONE) == inside
        if inside:
            assert (row[other], column[other]) == moved and image[other] == image[one] - 1
            assert behind[other] == one
    assert (behind != NONE).sum() == (before != NONE).sum()
    for rows in graph.neighbour:
        there = rows != NONE
        assert (graph.colour[there] != graph.colour[rows[there]]).all()


def test_what_is_not_linked_stays_as_it_was():
    _, alone, graph = series((3, 2), 3, before=[-1, -1, -1])
    assert graph is alone


def test_pixels_that_are_left_out_are_no_one_s():
    image, position = np.array([0, 0, 1, 2, 2]), np.array([3, 1, 1, 1, 2])
    shapes, links = [(2, 2)] * 3, Links(np.array([-1, 0, 1]), np.zeros((3, 2), int))
    graph = linked_graph(grid_graph(image, position, shapes), image, position, shapes, links)
    np.testing.assert_array_equal(graph.neighbour[-2], [-1, -1, 1, 2, -1])


def small_field(seed=0):
    """Two images of 2 x 2 pixels, with a table in time."""
    image, _, graph = series((2, 2), 2)
    likelihood = np.random.default_rng(seed).normal(0.0, 1.0, (8, K))
    field = learn_field(likelihood, image, graph, class_distance(VALUES), EQUAL, coupling=COUPLING)
    return likelihood, image, graph, field


def energies(likelihood, graph, field):
    """Log weight of every joint state of the pixels, K being alone: (K + 1)^n."""
    states = np.array(list(itertools.product(range(K + 1), repeat=8)))
    weights, alone = field.weights.double().numpy(), float(COUPLING.alone)
    prior = np.log(np.c_[weights * (1 - alone), np.full(len(weights), alone)])
    of_any = (
        np.log((weights[0] * np.exp(likelihood[:4])).sum(1)),
        np.log((weights[1] * np.exp(likelihood[4:])).sum(1)),
    )
    data = np.c_[likelihood, np.concatenate(of_any)]
    total = (prior[np.repeat([0, 1], 4)] + data)[np.arange(8), states].sum(1)
    tables = [-field.penalty[2 * axis].double().numpy() for axis in range(2)]
    follows = np.zeros((K + 1, K + 1))
    follows[:K, :K] = field.log_follows[1].double().numpy()
    for rows, table in zip(graph.neighbour[1::2], [*tables, follows], strict=True):
        for first in np.flatnonzero(rows >= 0):
            total += table[states[:, first], states[:, rows[first]]]
    return states, total


def exact(likelihood, graph, field):
    """Class probabilities (n, K) by enumeration."""
    states, total = energies(likelihood, graph, field)
    weight = np.exp(total - total.max())
    of_states = np.stack([weight @ (states == k) for k in range(K + 1)], 1) / weight.sum()
    return of_states[:, :K] + of_states[:, K:] * field.if_alone.double().numpy()


TABLE = torch.tensor([[1.0, -1.5], [0.3, 0.8]])  # what follows what, in no symmetric way


def test_two_images_are_read_nearly_as_by_enumeration():
    likelihood, _, graph, field = small_field()
    factors = torch.stack([torch.zeros(K, K), TABLE, torch.zeros(K, K)], 2)
    field = field._replace(
        log_follows=tables(factors, places_of(graph, torch.arange(K))).permute(2, 0, 1)
    )
    truth = exact(likelihood, graph, field)
    local = field.local.T.exp()
    in_time = kernel_in_time(factors, places_of(graph, torch.arange(K)))
    beside = torch.exp(-field.penalty).float()
    states = said_by_others(local, local, graph, beside, in_time).double().numpy().T
    read = states[:, :K] + states[:, K:] * field.if_alone.double().numpy()
    single = field.if_alone.numpy()
    away = np.abs(read - truth).max()
    assert away < 0.05
    assert away < 0.3 * np.abs(single - truth).max()


def test_draws_are_those_of_the_field():
    likelihood, _, graph, field = small_field(seed=3)
    field = field._replace(log_follows=torch.stack([torch.zeros(K, K), TABLE]))
    drawn = draw_maps(field, graph, 4000, sweeps=30, seed=1)
    shares = np.stack([(drawn == k).mean(0) for k in range(K)], 1)
    np.testing.assert_allclose(
        shares, exact(likelihood, graph, field), atol=5 * 0.5 / np.sqrt(4000)
    )


def test_the_model_says_the_same():
    likelihood, image, graph, field = small_field()
    states, total = energies(likelihood, graph, field)
    rows = np.random.default_rng(0).choice(len(states), 12)
    factors = torch.stack([*field.log_follows.double().exp(), torch.ones(K, K).double()])
    logs = [COUPLING.growth.log(), COUPLING.alone.log(), *COUPLING.strength.log()]
    found = []
    for state in states[rows]:
        alone = state == K
        # of a pixel that is alone every class is left: one of them, and its share is taken off
        classes = np.where(alone, 0, state)
        known = {
            "logs": torch.tensor([0.0, *logs], dtype=torch.float64),
            "weights": field.weights.double() / field.weights.double().sum(1, keepdim=True),
            "factors": factors,
            "classes": torch.from_numpy(classes),
            "alone": torch.from_numpy(alone).double(),
        }
        with pyro.get_param_store().scope():
            trace = poutine.trace(poutine.condition(model, data=known)).get_trace(
                torch.from_numpy(likelihood),
                torch.from_numpy(image),
                graph,
                class_distance(VALUES),
                torch.from_numpy(EQUAL),
            )
        share = np.log(field.if_alone.double().numpy()[alone, 0]).sum()
        found.append(float(trace.log_prob_sum()) - share)
    difference = np.array(found) - total[rows]
    np.testing.assert_allclose(difference, difference[0], atol=1e-4)


def drawn_domains(images, kept, seed, width=0.8):
    """Domains of two classes that stay from image to image, or not, and noisy likelihoods."""
    one = learn_field(
        np.zeros((320, K)),
        np.zeros(320, int),
        series((20, 16), 1)[1],
        class_distance(VALUES),
        EQUAL,
        coupling=Coupling(torch.tensor([0.8, 0.8]), torch.tensor(1.0), torch.tensor(1e-4)),
    )
    maps = draw_maps(one, series((20, 16), 1)[1], images, sweeps=200, seed=seed)
    classes = np.repeat(maps[:1], images, 0) if kept else maps
    rng = np.random.default_rng(seed)
    classes = np.where(rng.random(classes.shape) < 0.1, 1 - classes, classes).ravel()
    seen = classes + width * rng.standard_normal(len(classes))
    return classes, -0.5 * ((seen[:, None] - np.arange(K)) / width) ** 2


def nll(given, likelihood, classes):
    p = given * np.exp(likelihood)
    return -np.log((p / p.sum(1, keepdims=True))[np.arange(len(classes)), classes]).mean()


@pytest.mark.parametrize("kept", [True, False])
def test_what_persists_counts_and_what_does_not_says_nothing(kept):
    classes, likelihood = drawn_domains(8, kept, seed=4)
    image, alone, graph = series((20, 16), 8)
    distance = class_distance(VALUES)
    without = learn_field(likelihood, image, alone, distance, EQUAL)
    field = learn_field(likelihood, image, graph, distance, EQUAL)
    gain = nll(without.others.numpy(), likelihood, classes) - nll(
        field.others.numpy(), likelihood, classes
    )
    same = field.log_follows[1:, range(K), range(K)].numpy()
    other = field.log_follows[1:, range(K), [1, 0]].numpy()
    assert (field.log_follows[0] == 0).all()
    if kept:
        assert gain > 0.05
        assert (same - other).mean() > 0.5
    else:
        assert gain > -0.01
        assert abs((same - other).mean()) < 0.15


def test_each_pair_of_images_has_its_own_table():
    """Classes change places from one image to the next; then they stay."""
    likelihood = drawn_domains(6, True, seed=6)[1]
    swapped = (np.arange(6) % 2 == 1).repeat(320)
    likelihood[swapped] = likelihood[swapped][:, ::-1]
    image, _, graph = series((20, 16), 6)
    found = learn_field(likelihood, image, graph, class_distance(VALUES), EQUAL).log_follows
    assert (found[1:, 0, 1] > found[1:, 0, 0] + 0.3).all()
    assert (found[1:, 1, 0] > found[1:, 1, 1] + 0.3).all()


def test_one_link_by_chance_moves_nothing():
    """The coupling is learned from the same images, all over the series."""
    _, likelihood = drawn_domains(16, False, seed=8)
    before = np.full(16, -1)
    before[9] = 8
    image, alone, graph = series((20, 16), 16, before=before)
    distance = class_distance(VALUES)
    without = learn_field(likelihood, image, alone, distance, EQUAL)
    field = learn_field(likelihood, image, graph, distance, EQUAL)
    away = (field.coupling.strength / without.coupling.strength).log().abs().max()
    assert away < 0.19  # its posterior sd
    same = without.coupling
    without = learn_field(likelihood, image, alone, distance, EQUAL, coupling=same)
    field = learn_field(likelihood, image, graph, distance, EQUAL, coupling=same)
    away = (field.others - without.others).abs().amax(1)
    assert away[np.abs(image - 8.5) > 1].max() < 1e-3 < away.max()

"""What is open of an image's class weights: closed forms, and draws that take it in."""

import numpy as np
import torch

from eels_bayes.field.coupling import learn_field
from eels_bayes.field.draws import draw_maps
from eels_bayes.field.graph import grid_graph
from eels_bayes.field.messages import class_distance
from eels_bayes.field.prior import Coupling
from eels_bayes.field.weight_doubt import drawn_offsets, score_slopes

K = 3
OVERALL = np.array([0.5, 0.3, 0.2])
COUPLING = Coupling(torch.tensor([0.6, 0.4]), torch.tensor(0.5), torch.tensor(0.05))


def field_of(likelihood, image, position, shapes):
    graph = grid_graph(image, position, shapes)
    distance = class_distance(np.arange(K) / K)
    return learn_field(likelihood, image, graph, distance, OVERALL, coupling=COUPLING), graph


def single_pixels(n, seed=0):
    """n pixels of two images, none beside another."""
    likelihood = np.random.default_rng(seed).normal(0.0, 1.5, (n, K))
    image = np.arange(n) % 2
    return likelihood, image, *field_of(likelihood, image, 2 * (np.arange(n) // 2), [(1, n)] * 2)


def grid(seed=0):
    """An image of 8 x 7 pixels."""
    likelihood = np.random.default_rng(seed).normal(0.0, 1.5, (56, K))
    return likelihood, *field_of(likelihood, np.zeros(56, int), np.arange(56), [(8, 7)])


def test_without_neighbours_a_slope_is_what_the_pixel_adds_to_the_weights():
    likelihood, image, field, graph = single_pixels(40)
    weight = field.weights.double().numpy()[image]
    believed = weight * np.exp(likelihood)
    believed /= believed.sum(1, keepdims=True)
    found = score_slopes(field, graph)
    # differences over a tenth of a nat are not the slope itself
    np.testing.assert_allclose(found, believed - weight, atol=0.02)


def exact_scores(likelihood, weight, penalty):
    """Log predictive likelihood of each pixel of a line by all others, summed over all states."""
    n, share = len(likelihood), float(COUPLING.alone)
    prior = np.append(weight * (1 - share), share)

    def total(read):
        data = np.where(read[:, None], np.exp(likelihood), 1.0)
        told = prior * np.column_stack([data, data @ weight])
        beside = np.exp(-penalty)
        forward = told[0]
        for one in told[1:]:
            forward = (forward @ beside) * one
        return np.log(forward.sum())

    everyone = np.ones(n, bool)
    return np.array([total(everyone) - total(np.arange(n) != i) for i in range(n)])


def test_slopes_hold_what_weights_do_to_pixels_far_away():
    likelihood = np.random.default_rng(3).normal(0.0, 1.5, (7, K))
    field, graph = field_of(likelihood, np.zeros(7, int), np.arange(7), [(1, 7)])
    weight, penalty = field.weights[0].double().numpy(), field.penalty[0].numpy()

    def scores(shift):
        moved = weight * np.exp(shift)
        return exact_scores(likelihood, moved / moved.sum(), penalty)

    steps = 0.05 * np.eye(K)
    expected = np.stack([(scores(step) - scores(-step)) / 0.1 for step in steps], 1)
    found = score_slopes(field, graph)
    np.testing.assert_allclose(found, expected, atol=0.03)
    assert np.abs(expected).max() > 0.3
    # a factor of all weights is nothing
    np.testing.assert_allclose(found.sum(1), 0.0, atol=0.05)


def test_offsets_are_as_wide_as_the_pixels_leave_them():
    _, image, field, graph = single_pixels(400)
    drawn = drawn_offsets(field, graph, 4000, np.random.default_rng(0))
    assert drawn.shape == (4000, 2, K)
    weight = field.weights.double().numpy()
    np.testing.assert_allclose((weight * np.exp(drawn)).sum(-1), 1.0, rtol=1e-5)
    slope = score_slopes(field, graph)
    for here in (0, 1):
        mine = slope[image == here]
        precision = mine.T @ mine + 8.0 * np.diag(weight[here])
        # of contrasts: what is common to all is taken out
        contrast = np.eye(K)[:-1] - np.eye(K)[-1]
        expected = contrast @ np.linalg.inv(precision) @ contrast.T
        found = np.cov((drawn[:, here, :-1] - drawn[:, here, -1:]).T)
        np.testing.assert_allclose(np.diag(found), np.diag(expected), rtol=0.15)
    few = single_pixels(20)[2:]
    assert drawn_offsets(*few, 500, np.random.default_rng(0)).std() > 2 * drawn.std()


def test_a_class_that_is_not_there_has_finite_offsets():
    likelihood = np.tile([0.0, -30.0, -30.0], (12, 1))
    field, graph = field_of(likelihood, np.zeros(12, int), np.arange(12), [(3, 4)])
    drawn = drawn_offsets(field, graph, 200, np.random.default_rng(0))
    assert np.isfinite(drawn).all()
    maps = draw_maps(field, graph, 200, offsets=drawn, sweeps=5)
    assert (maps == 0).mean() > 0.99


def test_draws_with_offsets_are_those_of_other_weights():
    likelihood, field, graph = grid(seed=2)
    shift = np.array([0.8, -0.5, 0.0])
    weight = field.weights * torch.from_numpy(np.exp(shift)).float()
    weight = weight / weight.sum()
    joint = weight * torch.from_numpy(np.exp(likelihood)).float()
    share = float(COUPLING.alone)
    of_any = joint.sum(1, keepdim=True)
    local = torch.cat([joint * (1 - share), of_any * share], 1).log()
    moved = field._replace(weights=weight, local=local, if_alone=joint / of_any)
    n_draws = 1500
    offsets = np.tile(shift, (n_draws, 1, 1))
    found = draw_maps(field, graph, n_draws, offsets=offsets, sweeps=25, seed=1)
    expected = draw_maps(moved, graph, n_draws, sweeps=25, seed=2)
    for k in range(K):
        here, there = (found == k).mean(0), (expected == k).mean(0)
        np.testing.assert_allclose(here, there, atol=5 * 0.5 * np.sqrt(2 / n_draws))


def test_areas_of_known_fields_lie_in_their_intervals():
    """Maps drawn from fields of known coupling; all that is learned, from noisy pixels."""
    shape, n_images, noise = (16, 16), 30, 1.0
    truth = Coupling(torch.tensor([0.6, 0.6]), torch.tensor(0.5), torch.tensor(1e-3))
    size = shape[0] * shape[1]
    image, position = np.divmod(np.arange(n_images * size), size)
    graph = grid_graph(image, position, [shape] * n_images)
    distance, base = class_distance(np.arange(K) / K), np.full(K, 1 / K)
    nothing = np.zeros((len(image), K))
    prior = learn_field(nothing, image, graph, distance, base, coupling=truth)
    (classes,) = draw_maps(prior, graph, 1, sweeps=200, seed=4)
    seen = classes[:, None] + noise * np.random.default_rng(4).standard_normal((len(image), 1))
    likelihood = -0.5 * ((seen - np.arange(K)) / noise) ** 2
    field = learn_field(likelihood, image, graph, distance, base)
    offsets = drawn_offsets(field, graph, 60, np.random.default_rng(0))
    maps = draw_maps(field, graph, 60, offsets=offsets)

    def areas(of_images):
        one_hot = of_images.reshape(-1, n_images, size)[..., None] == np.arange(K)
        return one_hot.sum(2)

    low, high = np.quantile(areas(maps), [0.05, 0.95], axis=0)
    held = (low <= areas(classes)[0]) & (areas(classes)[0] <= high)
    assert 0.84 < held.mean() < 1.0

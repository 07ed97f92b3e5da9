"""States of a pixel for its neighbours: what they stand for, and how far they lie apart."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from eels_bayes.classifier.fitted import reader_of
from eels_bayes.field.messages import class_distance
from eels_bayes.forward_model.components import shares
from eels_bayes.prediction.pixel_states import (
    LEAST_MIXED,
    in_states,
    pixel_states,
    state_distance,
)


@pytest.fixture(scope="module")
def fitted(quick_classifier):
    return quick_classifier.fitted


@pytest.fixture(scope="module")
def states(fitted):
    return pixel_states(fitted.forward, fitted.class_weights)


def with_pairs(fitted, weight):
    """The fitted forward model, whose mixtures weigh so much."""
    model = fitted.forward
    pairs = np.where(np.triu(model.pair_weights, 1) > 0, weight, 0.0)
    single = np.diag(model.pair_weights) / np.trace(model.pair_weights) * (1 - pairs.sum())
    return dataclasses.replace(model, pair_weights=pairs + np.diag(single))


def test_weights_are_those_of_the_classes_and_of_the_components(fitted):
    """Of a model whose classes are as frequent as its components say, both at once."""
    model = with_pairs(fitted, 0.04)
    states = pixel_states(model, model.dominant_weights)
    assert len(states.label) == 4 + 2 * 3  # neighbours in value may mix
    np.testing.assert_allclose(states.weight.sum(), 1.0)
    np.testing.assert_allclose(
        np.bincount(states.label, states.weight), model.dominant_weights, rtol=1e-9
    )
    np.testing.assert_allclose(states.weight[4:], 0.02, rtol=1e-6)


def test_a_state_is_of_the_class_that_dominates_its_components(fitted):
    model = with_pairs(fitted, 0.04)
    states = pixel_states(model, model.dominant_weights)
    for share, row in zip(shares(model.library, model.pairs), states.of_component, strict=True):
        np.testing.assert_array_equal(states.label[row], np.arange(4))
        dominant = row[share.argmax()]
        assert (states.share[dominant] > 0).tolist() == (share > 0).tolist()
        # a class that is no part of the mixture is there by itself
        np.testing.assert_array_equal(row[share == 0], np.flatnonzero(share == 0))
    np.testing.assert_allclose(states.share.sum(1), 1.0)
    np.testing.assert_array_equal(states.share.argmax(1), states.label)


def test_rare_mixtures_are_no_states_and_other_classes_are(fitted):
    rare = with_pairs(fitted, 0.9 * LEAST_MIXED)
    states = pixel_states(rare, np.full(4, 0.25))
    np.testing.assert_array_equal(states.label, np.arange(4))
    np.testing.assert_allclose(states.weight, 0.25)
    # a class that labels alone tell of
    more = pixel_states(with_pairs(fitted, 0.04), np.full(5, 0.2))
    np.testing.assert_allclose(np.bincount(more.label, more.weight), 0.2)
    assert more.label.tolist()[:5] == [0, 1, 2, 3, 4] and (more.label == 4).sum() == 1


def test_states_have_the_probabilities_of_their_components(fitted, states, spectra):
    names = ("profile", "level", "spike")
    with torch.no_grad():
        reading = reader_of(fitted)(*(torch.as_tensor(getattr(spectra, n)) for n in names))
    found = in_states(reading.component_classes, states)
    label = torch.from_numpy(states.label)
    of_class = torch.zeros(len(found), 4).index_add(1, label, found)
    dominance = torch.from_numpy(fitted.forward.dominance()).float()
    torch.testing.assert_close(of_class, reading.component_weight @ dominance)
    assert 0 < found[:, 4:].sum(1).mean() < 0.5
    # where the heads alone know of a class, by what they say
    more = pixel_states(fitted.forward, np.full(5, 0.2))
    classes = torch.nn.functional.pad(reading.component_classes, (0, 1))
    of_class = torch.zeros(len(found), 5).index_add(
        1, torch.from_numpy(more.label), in_states(classes, more)
    )
    torch.testing.assert_close(of_class[:, :4], reading.probabilities)


def test_weights_of_classes_are_parted_among_their_states(states):
    found = states.of_classes(np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]]))
    np.testing.assert_allclose(np.bincount(states.label, found[0]), [0.1, 0.2, 0.3, 0.4])
    same = states.of_classes(np.bincount(states.label, states.weight))
    np.testing.assert_allclose(same, states.weight)
    # which is a prior that the classes of all components share
    ratio = states.ratio(found)
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1], ratio.shape))


@given(st.integers(0, 10_000), st.integers(2, 5))
def test_distance_is_the_cheapest_transport(seed, n_classes):
    rng = np.random.default_rng(seed)
    values = rng.permutation(n_classes).astype(float)
    values[rng.random(n_classes) < 0.3] = np.nan
    distance = class_distance(values)
    share = np.zeros((4, n_classes))
    for row in share:
        a, b = rng.choice(n_classes, 2, replace=False)
        row[a], row[b] = (1.0, 0.0) if rng.random() < 0.3 else rng.dirichlet([1, 1])
    found = state_distance(share, distance).numpy()
    each = np.eye(n_classes)
    ends = np.concatenate([np.kron(each, np.ones(n_classes)), np.kron(np.ones(n_classes), each)])
    for i, j in np.ndindex(4, 4):
        # moved shares are at least nothing, and what they are of both states
        cheapest = linprog(
            distance.numpy().ravel(), A_eq=ends, b_eq=np.concatenate([share[i], share[j]])
        )
        np.testing.assert_allclose(found[i, j], cheapest.fun, atol=1e-9)


def test_one_class_alone():
    assert state_distance(np.ones((1, 1)), class_distance(np.array([0.5]))).tolist() == [[0.0]]

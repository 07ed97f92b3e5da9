"""What labels tell of each other: against another library, and by enumeration."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import entr
from skactiveml.pool._bald import batch_bald as theirs

from eels_bayes.active.mutual_information import information_about, joint_information


def draws(seed, n_draws=20, n=9, n_classes=3, concentration=0.7):
    """Class probabilities (S, n, K) under draws of a function."""
    return np.random.default_rng(seed).dirichlet(np.full(n_classes, concentration), (n_draws, n))


def single(p):
    """BALD scores (n,) of draws."""
    return entr(p.mean(0)).sum(1) - entr(p).sum(2).mean(0)


def joint_entropy(p, batch):
    """Of a batch's labels, by enumeration: nats."""
    n_draws, _, n_classes = p.shape
    total = 0.0
    for labels in itertools.product(range(n_classes), repeat=len(batch)):
        given_f = np.ones(n_draws)
        for i, y in zip(batch, labels, strict=True):
            given_f = given_f * p[:, i, y]
        total += entr(given_f.mean())
    return total


def batch_information(p, batch):
    """I(y of the batch; f), nats, by enumeration."""
    return joint_entropy(p, batch) - entr(p[:, batch]).sum(2).mean(0).sum()


@pytest.mark.parametrize("seed", range(4))
def test_first_choice_is_that_of_single_scores(seed):
    p = draws(seed)
    chosen, information = joint_information(p, 1)
    scores = theirs(p.copy(), 1, random_state=0)[0]
    np.testing.assert_allclose(single(p), scores, atol=1e-5)  # they clip at 1e-7
    assert chosen[0] == single(p).argmax()
    assert information[0] == pytest.approx(single(p).max())


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_batches_are_those_of_scikit_activeml(seed, n_classes):
    k = 4
    p = draws(seed, n_draws=4 * 4**3, n_classes=n_classes)
    chosen, information = joint_information(p, k)
    # as many samples as would have theirs enumerate all joint outcomes, as ours does
    scores = theirs(p.copy(), k, n_MC_samples=n_classes**k, random_state=0)
    np.testing.assert_array_equal(chosen, np.nanargmax(scores, 1))
    np.testing.assert_allclose(information, np.nanmax(scores, 1), atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_information_is_that_of_all_joint_outcomes(seed):
    p = draws(seed, n_draws=12, n=6)
    chosen, information = joint_information(p, 4)
    assert len(set(chosen.tolist())) == 4
    for size in range(1, 5):
        batch = chosen[:size].tolist()
        assert information[size - 1] == pytest.approx(batch_information(p, batch), abs=1e-10)
        # greedy: no other last pixel would have taught more
        others = np.setdiff1d(np.arange(6), batch[:-1])
        scores = [batch_information(p, [*batch[:-1], i]) for i in others]
        assert information[size - 1] == pytest.approx(max(scores), abs=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_sampled_outcomes_agree_with_all_of_them(seed):
    p = draws(seed, n_draws=30, n=7)
    exact, _ = joint_information(p, 5)
    runs = [joint_information(p[:, exact], 5, seed=s, most_outcomes=40) for s in range(40)]
    found = [
        [information[3], batch_information(p[:, exact], chosen[:4].tolist())]
        for chosen, information in runs
    ]
    off = np.subtract(*np.transpose(found))  # by 40 of 81 outcomes, which estimate the rest
    assert abs(off.mean()) < 4 * off.std() / math.sqrt(len(off)) + 0.01
    assert off.std() < 0.2


def test_sampled_outcomes_are_repeatable():
    p = draws(0, n=12)
    one, other = (joint_information(p, 8, seed=3, most_outcomes=20) for _ in range(2))
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])
    assert len(set(one[0].tolist())) == 8


@given(
    seed=st.integers(0, 10_000),
    n_draws=st.integers(1, 12),
    n_classes=st.integers(2, 4),
    concentration=st.floats(0.05, 5.0),
)
@settings(max_examples=50)
def test_information_grows_and_is_bounded(seed, n_draws, n_classes, concentration):
    p = draws(seed, n_draws, 6, n_classes, concentration)
    chosen, information = joint_information(p, 4)
    assert (np.diff(information, prepend=0.0) >= -1e-9).all()
    assert (information <= np.cumsum(single(p)[chosen]) + 1e-9).all()
    # no more than there is to know: which of the draws it is
    assert (information <= math.log(n_draws) + 1e-9).all()
    gains = np.diff(information, prepend=0.0)
    assert (np.diff(gains) <= 1e-9).all()  # submodular, chosen greedily


@pytest.mark.parametrize("seed", range(4))
def test_information_about_others_is_that_of_the_joint_distribution(seed):
    """By plain loops over pairs: H(y) + H(y*) - H(y, y*)."""
    p, targets = draws(seed), draws(seed + 10, n=5)
    found = information_about(p, targets)
    for i in range(p.shape[1]):
        each = []
        for j in range(targets.shape[1]):
            pair = np.einsum("sk,sc->kc", p[:, i], targets[:, j]) / len(p)
            apart = entr(p[:, i].mean(0)).sum() + entr(targets[:, j].mean(0)).sum()
            each.append(apart - entr(pair).sum())
        assert found[i] == pytest.approx(np.mean(each), abs=1e-12)
    # of functions that are known, no label says anything
    known = np.repeat(p.mean(0, keepdims=True), 3, axis=0)
    np.testing.assert_allclose(information_about(known, known[:, :4]), 0.0, atol=1e-12)


def test_two_copies_of_one_pixel_teach_little_more_than_one():
    """Two draws that disagree on pixels 0 and 1 alike, and others that do on pixel 2."""
    sure, unsure = [0.98, 0.02], [0.02, 0.98]
    same = np.array([sure, sure, unsure, unsure])
    other = np.array([[0.9, 0.1], [0.1, 0.9], [0.9, 0.1], [0.1, 0.9]])
    p = np.stack([same, same, other, np.full((4, 2), 0.5)], 1)
    chosen, information = joint_information(p, 3)
    assert chosen.tolist() == [0, 2, 1]
    assert np.argsort(-single(p), kind="stable")[:2].tolist() == [0, 1]  # single scores take both
    gain = np.diff(information)
    assert gain[0] > 5 * gain[1]


def test_more_than_there_are():
    p = draws(1, n=3)
    chosen, information = joint_information(p, 10)
    assert sorted(chosen.tolist()) == [0, 1, 2] and len(information) == 3


def test_nothing_to_choose_from():
    chosen, information = joint_information(np.zeros((4, 0, 3)), 2)
    assert chosen.shape == information.shape == (0,)
    assert chosen.dtype.kind == "i"


def test_information_given_latents_is_the_average_over_them():
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.ones(3), size=(2, 40, 9))  # (T, S, n, K)
    chosen, information = joint_information(p, 3)
    of_batch = np.mean([batch_information(one, chosen.tolist()) for one in p])
    assert information[-1] == pytest.approx(of_batch)
    same, twice = joint_information(np.stack([p[0], p[0]]), 3), joint_information(p[0], 3)
    np.testing.assert_array_equal(same[0], twice[0])
    np.testing.assert_allclose(same[1], twice[1])


def test_draws_tell_only_what_pixels_share_where_they_are_known_alone():
    p = draws(0, 60, 6)
    p = np.concatenate([p, p[:, :1]], 1)  # the last is the first once more
    own = np.array([batch_information(p, [i]) for i in range(7)])
    one, other = joint_information(p, 4), joint_information(p, 4, alone=own)
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_allclose(one[1], other[1])
    chosen, information = joint_information(p, 7, alone=own + np.array([9, 0, 0, 0, 0, 8, 9]))
    assert sorted(chosen[:3].tolist()) == [0, 5, 6]
    assert information[0] == pytest.approx(own[0] + 9)

"""What to do about a pixel: the cheapest action by expected cost, in words that name the cause."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import entr

import eels_bayes as eb
from eels_bayes.active.decisions import ACTIONS
from eels_bayes.fast.classifier import FastReading
from eels_bayes.prediction.novel_share import novel_among, novel_probability, novel_share

ACCEPT, MEASURE, SIMULATE, REPORT = range(4)


class Pixels(NamedTuple):
    """As much of a prediction as a decision needs."""

    probabilities: Any
    total: Any
    encoder: Any
    classifier: Any
    novelty: Any
    flag: Any


def pixels(n=60, n_classes=4, seed=0, flagged=()):
    """Random pixels whose entropies are those of their probabilities."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(n_classes, 0.3), n)
    total = entr(probabilities).sum(1)
    shares = rng.dirichlet(np.ones(3), n)
    novelty = np.where(rng.random(n) < 0.3, 1 - 10.0 ** -rng.uniform(1, 12, n), rng.random(n))
    flag = np.zeros(n, dtype=np.int64)
    found = [probabilities, total, shares[:, 0] * total, shares[:, 1] * total, novelty]
    for part in found:
        part[list(flagged)] = np.nan
    flag[list(flagged)] = int(eb.Flag.DEAD)
    return Pixels(*found, flag)


def one(probabilities, encoder=0.0, classifier=0.0, novelty=0.0):
    """A single pixel, as arrays of one row."""
    total = entr(np.asarray(probabilities, dtype=np.float64)).sum()
    rows = (np.array([x]) for x in (total, encoder * total, classifier * total, novelty))
    return Pixels(np.array([probabilities]), *rows, np.array([0]))


price = st.floats(0.0, 5.0)
seeds = st.integers(0, 10_000)
some_costs = st.builds(
    eb.Costs,
    error=price,
    missed=price,
    frame=price,
    simulation=price,
    report=price,
    novel=st.floats(1e-4, 0.5),
)


@given(costs=some_costs, seed=seeds)
def test_the_action_is_the_cheapest(costs, seed):
    found = eb.decide(pixels(seed=seed), costs)
    assert found.expected_cost.shape == (60, 4) and np.isfinite(found.expected_cost).all()
    chosen = np.array([ACTIONS.index(action) for action in found.action])
    rows = np.arange(60)
    np.testing.assert_array_equal(found.expected_cost[rows, chosen], found.expected_cost.min(1))
    saved = found.expected_cost[:, ACCEPT] - found.expected_cost[rows, chosen]
    np.testing.assert_array_equal(found.saving, saved)
    assert (found.saving >= 0).all()
    assert sum(found.count().values()) == 60 and set(found.count()) == set(ACTIONS)


@given(costs=some_costs, seed=seeds, more=price)
def test_dearer_frames_are_never_asked_for_more_often(costs, seed, more):
    pred = pixels(seed=seed)
    before = eb.decide(pred, costs).action == "measure again"
    dearer = dataclasses.replace(costs, frame=costs.frame + more)
    after = eb.decide(pred, dearer).action == "measure again"
    assert not (after & ~before).any()


@given(costs=some_costs, seed=seeds, more=price)
@pytest.mark.parametrize(
    ("name", "action"), [("simulation", "simulate"), ("report", "report as novel")]
)
def test_a_dearer_action_is_never_chosen_more_often(name, action, costs, seed, more):
    pred = pixels(seed=seed)
    before = eb.decide(pred, costs).action == action
    dearer = dataclasses.replace(costs, **{name: getattr(costs, name) + more})
    assert not ((eb.decide(pred, dearer).action == action) & ~before).any()


@given(costs=some_costs, seed=seeds)
def test_no_action_costs_less_than_its_price_nor_more_than_accepting_and_its_price(costs, seed):
    expected = eb.decide(pixels(seed=seed), costs).expected_cost
    prices = np.array([0.0, costs.frame, costs.simulation, costs.report])
    assert (expected >= prices - 1e-12).all()
    assert (expected <= expected[:, :1] + prices + 1e-12).all()


@given(k=st.integers(0, 3))
def test_what_is_beyond_doubt_is_accepted(k):
    found = eb.decide(one(np.eye(4)[k]))
    assert found.action.tolist() == ["accept"]
    assert found.saving[0] == 0.0
    assert "nothing else pays" in found.reason[0]


@pytest.mark.parametrize(
    ("pixel", "action", "words"),
    [
        (one([0.5, 0.5, 0, 0], encoder=0.95), "measure again", "noise hides 0.66 of 0.69 nats"),
        (one([0.5, 0.5, 0, 0], classifier=0.95), "simulate", "classifier does not know 0.66"),
        (one([0.9, 0.1, 0, 0], novelty=1 - 1e-9), "report as novel", "like nothing in the library"),
        (one([0.98, 0.02, 0, 0], encoder=0.5), "accept", "wrong with probability 0.02"),
        (one([0.5, 0.5, 0, 0]), "accept", "wrong with probability 0.5: nothing else pays"),
    ],
)
def test_the_reason_names_the_cause(pixel, action, words):
    found = eb.decide(pixel)
    assert found.action.tolist() == [action]
    assert words in found.reason[0]


def test_the_costs_are_the_formula_by_hand():
    costs = eb.Costs(error=2.0, missed=3.0, frame=0.1, simulation=0.2, report=0.4, novel=0.05)
    pixel = one([0.7, 0.2, 0.1], encoder=0.4, classifier=0.3)  # novelty 0: the share expected
    wrong = 2.0 * 0.3
    known = np.array([wrong, wrong * (1 - 0.5 * 0.4), wrong * (1 - 0.3), wrong])
    expected = [0.0, 0.1, 0.2, 0.4] + 0.95 * known + 0.05 * np.array([3.0, 3.0, 3.0, 0.0])
    np.testing.assert_allclose(eb.decide(pixel, costs).expected_cost[0], expected, rtol=1e-12)
    gain = eb.decide(pixel, costs, gain=pixel.total * 0.25).expected_cost[0, MEASURE]
    assert gain == pytest.approx(0.1 + 0.95 * wrong * 0.75 + 0.05 * 3.0)


def test_a_given_gain_counts_instead_of_the_encoder_information():
    pred = pixels(seed=3)
    half = eb.decide(pred, gain=0.5 * pred.encoder)
    np.testing.assert_array_equal(half.expected_cost, eb.decide(pred).expected_cost)
    nothing = eb.decide(pred, gain=np.zeros(60))
    assert "measure again" not in nothing.action
    harmful = eb.decide(pred, gain=np.full(60, -1.0))  # of a noisy estimate
    np.testing.assert_array_equal(harmful.expected_cost, nothing.expected_cost)


@pytest.mark.parametrize("gain", [np.zeros(59), np.zeros((60, 1)), 0.1])
def test_a_gain_that_does_not_fit(gain):
    with pytest.raises(ValueError, match=r"gain has shape .*; \(60,\) is needed, one a pixel"):
        eb.decide(pixels(), gain=gain)


def test_flagged_pixels_are_measured_again_and_nothing_is_said_of_them():
    pred = pixels(flagged=[0, 7])
    gain = np.where(pred.flag == 0, 0.1, -np.inf)
    for found in (eb.decide(pred), eb.decide(pred, gain=gain)):
        assert (found.action[[0, 7]] == "measure again").all()
        assert np.isnan(found.expected_cost[[0, 7]]).all() and np.isnan(found.saving[[0, 7]]).all()
        assert found.reason[0] == "not readable: nothing is known of it"
        ok = pred.flag == 0
        assert np.isfinite(found.expected_cost[ok]).all()
        assert not any("not readable" in found.reason[i] for i in np.flatnonzero(ok))
    clean = eb.decide(pixels())
    np.testing.assert_array_equal(eb.decide(pred).expected_cost[ok], clean.expected_cost[ok])


def test_the_order_of_pixels_does_not_matter():
    pred = pixels(flagged=[3])
    rows = np.random.default_rng(1).permutation(60)
    there, here = eb.decide(Pixels(*(part[rows] for part in pred))), eb.decide(pred)
    np.testing.assert_array_equal(there.action, here.action[rows])
    np.testing.assert_array_equal(there.expected_cost, here.expected_cost[rows])
    assert there.reason == [here.reason[i] for i in rows]


def test_a_reading_without_a_decomposition():
    """The dense head has none: its doubt is put down to noise."""
    pred = pixels(seed=5)
    nan = np.full(60, np.nan)
    dense = pred._replace(encoder=nan, classifier=nan)
    found = eb.decide(dense)
    assert np.isfinite(found.expected_cost).all()
    assert "simulate" not in found.action
    as_noise = pred._replace(encoder=pred.total, classifier=np.zeros(60))
    np.testing.assert_array_equal(found.expected_cost, eb.decide(as_noise).expected_cost)
    assert not any("nan" in reason for reason in found.reason)


def fast_reading(pred, rows):
    """The fast path's result, with what a decision does not need left at zero."""
    names = FastReading._fields
    n = np.shape(pred.flag[rows])
    given = {name: np.zeros(n) for name in names}
    return FastReading(**given | {name: getattr(pred, name)[rows] for name in Pixels._fields})


def test_the_fast_path_and_single_spectra():
    pred = pixels(seed=2, flagged=[4])
    whole = eb.decide(pred)
    np.testing.assert_array_equal(
        eb.decide(fast_reading(pred, slice(None))).expected_cost, whole.expected_cost
    )
    for i in (0, 4, 20):
        single = eb.decide(fast_reading(pred, i))
        assert single.action.shape == (1,) and single.expected_cost.shape == (1, 4)
        np.testing.assert_array_equal(single.expected_cost[0], whole.expected_cost[i])
        assert single.action[0] == whole.action[i] and single.reason == [whole.reason[i]]


@given(share=st.floats(1e-6, 0.999), seed=seeds)
def test_novel_probability_rises_with_novelty(share, seed):
    novelty = np.sort(1 - 10.0 ** -np.random.default_rng(seed).uniform(0, 15, 200))
    found = novel_probability(novelty, share)
    assert ((found >= 0) & (found <= 1)).all()
    assert (np.diff(found) >= 0).all()


@given(share=st.floats(1e-6, 0.999))
def test_novel_probability_at_its_ends(share):
    usual, certain = novel_probability([0.0, 1.0], share)
    assert usual == pytest.approx(share)
    assert usual <= share * (1 + 1e-12)
    assert certain > 1 - 1e-9
    # p-values above 1/e are no evidence at all
    assert novel_probability([0.6], share)[0] == pytest.approx(share)


def test_novel_probability_is_the_bound_on_the_evidence():
    p = 0.01  # a p-value of 0.01 is a Bayes factor of 0.125 at the least
    assert novel_probability([1 - p], 0.5)[0] == pytest.approx(1 / (1 + 0.12518), abs=1e-4)
    assert (novel_probability([0.9], 0.02) > novel_probability([0.9], 0.01)).all()


def p_values(share, power, n=4000, seed=0):
    """A beta-uniform mixture, and which pixels are novel."""
    rng = np.random.default_rng(seed)
    novel = rng.random(n) < share
    p = rng.random(n)
    p[novel] **= 1.0 / power
    return p, novel


@pytest.mark.parametrize("share", [0.02, 0.2, 0.6])
def test_the_share_of_novel_pixels_is_learned_from_all_of_them(share):
    p, novel = p_values(share, power=0.1)
    p[7] = np.nan
    assert novel_share(1 - p) == pytest.approx(share, abs=0.02)
    found = novel_among(1 - p)
    assert found[7] == 0 and ((found >= 0) & (found <= 1)).all()
    order = np.argsort(-p[8:])
    assert (np.diff(found[8:][order]) >= 0).all()
    sure = found > 0.9
    assert novel[sure].mean() > 0.85  # it is a probability
    assert found.sum() == pytest.approx(4000 * novel_share(1 - p), rel=0.01)


def test_nothing_is_novel_among_the_usual():
    p, _ = p_values(0.0, power=0.05)
    assert novel_share(1 - p) < 0.01
    assert novel_share([np.nan, np.nan]) == 0.0
    assert novel_among([np.nan, 1.0])[0] == 0.0


def test_the_order_puts_novel_pixels_first_where_they_are_dear():
    n = 12
    probabilities = np.tile([0.6, 0.4, 0.0], (n, 1))
    total = entr(probabilities).sum(1)
    novelty = np.zeros(n)
    novelty[[5, 9]] = 1 - 1e-8, 1 - 1e-4
    flag = np.zeros(n, dtype=np.int64)
    flag[0] = int(eb.Flag.DEAD)
    pred = Pixels(probabilities, total, 0.9 * total, np.zeros(n), novelty, flag)
    found = eb.decide(pred, eb.Costs(missed=100.0))
    assert found.order[:2].tolist() == [5, 9]
    assert found.action[5] == found.action[9] == "report as novel"
    assert sorted(found.order.tolist()) == list(range(n))
    cheap = eb.decide(pred, eb.Costs(missed=0.0))
    assert "report as novel" not in cheap.action
    saving = np.nan_to_num(found.saving)[found.order]
    assert (np.diff(saving) <= 0).all()


@pytest.mark.parametrize("name", ["error", "missed", "frame", "simulation", "report", "novel"])
@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
def test_costs_that_are_none(name, value):
    with pytest.raises(ValueError, match=rf"Costs\.{name} is .*; give a finite number >= 0"):
        eb.Costs(**{name: value})


@pytest.mark.parametrize("value", [0.0, 1.0, 1.5])
def test_a_share_of_novel_pixels_that_is_none(value):
    with pytest.raises(ValueError, match=r"Costs\.novel is .*; give a share between 0 and 1"):
        eb.Costs(novel=value)


def test_costs_stay_what_they_are():
    with pytest.raises(dataclasses.FrozenInstanceError):
        eb.Costs().frame = 1.0

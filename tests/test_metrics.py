"""Scores against scikit-learn, torchmetrics and hand-made cases."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eels_bayes import metrics


def predictions(seed, n=400, n_classes=4):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(n_classes, 0.6), size=n)
    labels = np.array([rng.choice(n_classes, p=row) for row in probabilities])
    return probabilities, labels


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_classes", [2, 3, 6])
def test_against_scikit_learn(seed, n_classes):
    sklearn = pytest.importorskip("sklearn.metrics")
    p, y = predictions(seed, n_classes=n_classes)
    classes = np.arange(n_classes)
    assert metrics.accuracy(p, y) == pytest.approx(sklearn.accuracy_score(y, p.argmax(1)))
    assert metrics.nll(p, y) == pytest.approx(sklearn.log_loss(y, p, labels=classes))
    reference = sum(sklearn.brier_score_loss(y == k, p[:, k], pos_label=True) for k in classes)
    assert metrics.brier(p, y) == pytest.approx(reference)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_bins", [5, 15, 40])
def test_ece_against_torchmetrics(seed, n_bins):
    functional = pytest.importorskip("torchmetrics.functional.classification")
    import torch

    p, y = predictions(seed)
    reference = functional.multiclass_calibration_error(
        torch.tensor(p), torch.tensor(y), num_classes=4, n_bins=n_bins, norm="l1"
    )
    assert metrics.ece(p, y, n_bins=n_bins) == pytest.approx(float(reference), abs=1e-6)


def test_hand_made_cases():
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]])
    y = np.array([0, 1, 1, 0])
    assert metrics.accuracy(p, y) == 0.5
    assert metrics.nll(p, y) == pytest.approx(-np.log([0.9, 0.4, 0.8, 0.3]).mean())
    assert metrics.brier(p, y) == pytest.approx(2 * (0.01 + 0.36 + 0.04 + 0.49) / 4)
    # bins of a quarter: {0.6, 0.7} wrong, {0.9, 0.8} right
    assert metrics.ece(p, y, n_bins=4) == pytest.approx((2 * 0.65 + 2 * 0.15) / 4)
    bins = metrics.reliability(p, y, n_bins=4)
    np.testing.assert_array_equal(bins.count, [0, 0, 2, 2])
    np.testing.assert_allclose(bins.confidence, [np.nan, np.nan, 0.65, 0.85])
    np.testing.assert_allclose(bins.accuracy, [np.nan, np.nan, 0.0, 1.0])
    curve = metrics.risk_coverage(p, y)
    np.testing.assert_allclose(curve.coverage, [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(curve.risk, [0.0, 0.0, 1 / 3, 0.5])
    assert curve.area == pytest.approx((0 + 0 + 1 / 3 + 0.5) / 4)


def test_certain_and_right_scores_perfectly():
    p, y = np.eye(3)[[0, 1, 2, 1]], np.array([0, 1, 2, 1])
    assert metrics.summary(p, y) == pytest.approx(
        {"accuracy": 1.0, "nll": 0.0, "brier": 0.0, "ece": 0.0, "risk_coverage_area": 0.0}
    )
    wrong = (y + 1) % 3
    assert metrics.brier(p, wrong) == 2.0
    assert metrics.ece(p, wrong) == 1.0
    assert metrics.nll(p, wrong) == pytest.approx(-math.log(np.finfo(float).eps))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), n_classes=st.integers(2, 6))
def test_no_score_depends_on_order(seed, n_classes):
    p, y = predictions(seed, n=60, n_classes=n_classes)
    rng = np.random.default_rng(seed)
    rows, classes = rng.permutation(60), rng.permutation(n_classes)
    expected = metrics.summary(p, y)
    assert metrics.summary(p[rows], y[rows]) == pytest.approx(expected)
    assert metrics.summary(p[:, classes], np.argsort(classes)[y]) == pytest.approx(expected)
    assert set(expected) == {"accuracy", "nll", "brier", "ece", "risk_coverage_area"}


def test_risk_coverage_keeps_ties_together_and_averages_over_their_order():
    p = np.tile([[0.7, 0.3]], (6, 1))
    y = np.array([0, 1, 0, 0, 1, 0])
    curve = metrics.risk_coverage(p, y)
    np.testing.assert_allclose(curve.coverage, [1.0])
    np.testing.assert_allclose(curve.risk, [1 / 3])
    assert curve.area == pytest.approx(1 / 3)


def test_risk_coverage_by_another_uncertainty():
    p, y = predictions(0, n=200)
    correct = p.argmax(1) == y
    oracle = metrics.risk_coverage(p, y, uncertainty=~correct)
    assert oracle.risk[0] == 0.0
    assert oracle.risk[-1] == pytest.approx(1 - metrics.accuracy(p, y))
    assert oracle.area < metrics.risk_coverage(p, y).area


def test_mask_leaves_rows_out():
    p, y = predictions(1, n=50)
    keep = np.arange(50) % 3 != 0
    expected = metrics.summary(p[keep], y[keep])
    flagged, labels = p.copy(), y.copy()
    flagged[~keep] = np.nan
    labels[~keep] = -1
    assert metrics.summary(flagged, labels, mask=keep) == expected
    uncertainty = np.where(keep, 1 - p.max(1), np.nan)
    curve = metrics.risk_coverage(flagged, labels, uncertainty=uncertainty, mask=keep)
    assert curve.area == expected["risk_coverage_area"]


P, Y = np.array([[0.6, 0.4], [0.1, 0.9]]), np.array([0, 1])


@pytest.mark.parametrize(
    ("p", "y", "options", "message"),
    [
        (P[0], Y, {}, r"probabilities must have shape \(n, K\)"),
        (P, Y[:1], {}, r"labels must have shape \(2,\)"),
        (P, Y.astype(float), {}, "labels must be integers"),
        (P, Y + 1, {}, r"labels must lie in 0..1, got 1..2"),
        (P, Y - 1, {}, r"labels must lie in 0..1, got -1..0"),
        (P * [[1], [np.nan]], Y, {}, "NaN in 1 rows; leave those out with mask"),
        (2 * P, Y, {}, "rows that sum to one"),
        (P - [[0.7, -0.7]], Y, {}, "non-negative"),
        (P[:0], Y[:0], {}, "no rows to score"),
        (P, Y, {"mask": np.array([False, False])}, "no rows to score"),
        (P, Y, {"mask": np.array([1, 0])}, "mask must be boolean"),
        (P, Y, {"mask": np.array([True])}, r"mask must be boolean of shape \(2,\)"),
    ],
)
@pytest.mark.parametrize(
    "score", ["accuracy", "nll", "brier", "ece", "reliability", "risk_coverage", "summary"]
)
def test_wrong_input_says_what_would_do(score, p, y, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(metrics, score)(p, y, **options)


def test_other_wrong_input():
    with pytest.raises(ValueError, match="n_bins must be a whole number of at least 1"):
        metrics.ece(P, Y, n_bins=0)
    with pytest.raises(ValueError, match=r"uncertainty must have shape \(2,\)"):
        metrics.risk_coverage(P, Y, uncertainty=[0.1])
    with pytest.raises(ValueError, match="uncertainty holds NaN"):
        metrics.risk_coverage(P, Y, uncertainty=[0.1, np.nan])

"""Pairs of many classes: those that pixels hold enter, however rare, and few others."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

import eels_bayes as eb
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.variations import Variations
from eels_bayes.forward_model.class_weights import fit_weights
from eels_bayes.forward_model.clean_edges import population_edges
from eels_bayes.forward_model.components import (
    MIXING,
    components,
    mixing_pairs,
    most_pairs,
    pairs_at_once,
)
from eels_bayes.forward_model.model_evidence import evidence_of
from eels_bayes.forward_model.pair_choice import chosen, of_pairs
from helpers.drawn_pixels import ENERGY, FINE, NORM, continued, fit, make

TOLD = 3.0  # sd of a pixel's log-likelihood ratio: what a moderate dose tells


def ratios(n, n_pairs, of, seed=0):
    """Log-likelihood ratios (n, Q) of pixels that are of no pair, or of that in ``of`` (n,)."""
    ratio = np.random.default_rng(seed).normal(-0.5 * TOLD**2, TOLD, (n, n_pairs))
    rows = np.flatnonzero(of >= 0)
    ratio[rows, of[rows]] += TOLD**2
    return ratio


def many(n_classes, values=None):
    """So many classes, each with a line of its own on a common step."""
    line = np.linspace(684, 731, n_classes)[:, None]
    rows = 0.5 / (1 + np.exp(-(ENERGY - 681) / 0.8)) + np.exp(-0.5 * ((ENERGY - line) / 1.2) ** 2)
    return FingerprintLibrary.from_arrays(
        ENERGY,
        rows,
        np.arange(n_classes),
        tuple(f"class {k}" for k in range(n_classes)),
        values=values,
        variations=Variations(shift=0.2, broadening=0.3, intensity=0.06),
    )


def pixels(library, of, dose=20.0, seed=1):
    """Pixels of classes ``of`` (n, 2): pure ones twice the same, others a third of the first."""
    rng = np.random.default_rng(seed)
    n, (first, second) = len(of), of.T
    share = np.where(first == second, 1.0, 1 / 3)[:, None]
    edge = share * library.vary(n, rng, labels=first)[0]
    edge += (1 - share) * library.vary(n, rng, labels=second)[0]
    amplitude, exponent = rng.normal(1.0, 0.03, (n, 1)), rng.normal(3.0, 0.05, (n, 1))
    rate = 20 * amplitude * (FINE / ENERGY[0]) ** -exponent + continued(edge)
    return make(rng.poisson(NORM * dose * rate).astype(np.float32), NORM * dose)


def with_rare(n_classes, pairs, share, n=1200, seed=0):
    """Classes (n, 2) of pixels, so large a share of which mixes each of the pairs."""
    of = np.repeat(np.random.default_rng(seed).integers(n_classes, size=(n, 1)), 2, axis=1)
    for i, pair in enumerate(pairs):
        of[i :: round(1 / share)] = pair
    return of


# What enters


def test_few_pairs_enter_where_none_is():
    none = np.full(2000, -1)
    entered = [chosen(np.zeros(2000), ratios(2000, 276, none, seed), 60)[0] for seed in range(4)]
    assert sum(map(len, entered)) < 1.5 * 4 * 276 / 45  # as the chi-square distribution has it


def test_a_pair_of_one_pixel_in_a_hundred_enters():
    of = np.full(2000, -1)
    of[:20], of[20:120] = 17, 200
    columns, share = chosen(np.zeros(2000), ratios(2000, 276, of), 60)
    assert {17, 200} <= set(columns) and len(columns) < 12
    np.testing.assert_allclose(share[columns.index(17)], 0.01, atol=0.005)
    np.testing.assert_allclose(share[columns.index(200)], 0.05, atol=0.015)


def test_one_that_looks_like_another_does_not_enter_with_it(rng):
    of = np.full(2000, -1)
    of[:200] = 3
    ratio = ratios(2000, 40, of)
    ratio[:, 4] = 0.9 * ratio[:, 3] + 0.1 * rng.normal(-0.5 * TOLD**2, TOLD, 2000)
    columns, _ = chosen(np.zeros(2000), ratio, 60)
    assert 3 in columns and 4 not in columns


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 6))
def test_what_enters_is_likelier_and_no_matter_of_order(seed, most):
    rng = np.random.default_rng(seed)
    of = rng.integers(-10, 8, 300)
    base, ratio = rng.normal(0, 5, 300), ratios(300, 8, np.maximum(of, -1), seed)
    columns, share = chosen(base, base[:, None] + ratio, most)
    assert len(columns) <= most and columns == sorted(set(columns))
    assert (share > 0).all() and share.sum() < 1
    mixed = np.column_stack([base, base[:, None] + ratio[:, columns]])
    total = logsumexp(mixed + np.log(np.append(1 - share.sum(), share)), axis=1)
    assert total.sum() >= base.sum() - 1e-9
    order = rng.permutation(300)
    assert chosen(base[order], (base[:, None] + ratio)[order], most)[0] == columns
    turned, _ = chosen(base, (base[:, None] + ratio)[:, ::-1], most)
    assert sorted(7 - column for column in turned) == columns


def test_a_pairs_likelihood_is_the_mean_over_its_shares(rng):
    fits = rng.normal(size=(5, 3 * len(MIXING)))
    found = of_pairs(fits)
    for q in range(3):
        part = np.exp(fits[:, q * len(MIXING) : (q + 1) * len(MIXING)])
        np.testing.assert_allclose(found[:, q], np.log(part.mean(1)))


# Which are asked


@pytest.mark.parametrize("n_classes", [2, 4, 6])
def test_of_few_classes_all_pairs_mix(n_classes):
    lib = many(n_classes)
    assert pairs_at_once(lib) == mixing_pairs(lib)
    assert len(pairs_at_once(lib)) == n_classes * (n_classes - 1) // 2


@pytest.mark.parametrize("n_classes", [7, 24])
def test_of_many_classes_none_mixes_before_pixels_are_asked(n_classes):
    lib = many(n_classes)
    assert pairs_at_once(lib) == []
    assert len(mixing_pairs(lib)) == n_classes * (n_classes - 1) // 2 > most_pairs(n_classes)


def test_neighbours_in_value_all_mix_however_many():
    example = eb.FingerprintLibrary.example()
    part = np.linspace(0, 1, 24)[:, None]
    rows = part * example.class_spectra[0] + (1 - part) * example.class_spectra[3]
    lib = FingerprintLibrary.from_arrays(example.energy, rows, range(24), values=part.ravel())
    assert sorted(pairs_at_once(lib)) == [(k, k + 1) for k in range(23)]


# Fits


RARE, FREQUENT = (2, 6), (0, 4)


@pytest.fixture(scope="module")
def data():
    """Eight classes; one pixel in a hundred mixes one pair, one in twenty another."""
    return pixels(many(8), _of_both())


def _of_both():
    of = with_rare(8, [FREQUENT], 0.05)
    of[1::100] = RARE
    return of


@pytest.fixture(scope="module")
def fitted(data):
    return fit(data, many(8), iterations=18)


def test_a_rare_mixture_is_kept_and_the_others_go(fitted):
    assert {RARE, FREQUENT} <= set(fitted.pairs)
    assert len(fitted.pairs) <= 6
    assert fitted.pair_weights[RARE] == pytest.approx(0.01, abs=0.008)
    assert fitted.pair_weights[FREQUENT] == pytest.approx(0.05, abs=0.015)


def test_all_that_follows_is_of_the_pairs_that_are_kept(fitted, rng):
    members, weight = fitted.components()
    assert members == components(fitted.library, fitted.pairs)
    assert weight.sum() == pytest.approx(1.0)
    assert len(fitted.rotated_components()) == len(members) == len(fitted.dominance())
    assert evidence_of(fitted).sizes[2] == len(members)
    mixed = {(a, b) for a, b in np.argwhere(np.triu(fitted.pair_weights, 1) > 0).tolist()}
    assert mixed == set(fitted.pairs)
    fractions = population_edges(fitted, 2000, rng).fractions > 0
    drawn = {tuple(np.flatnonzero(row).tolist()) for row in fractions if row.sum() == 2}
    assert drawn and drawn <= set(fitted.pairs)


def test_another_class_asks_for_its_own_pairs_alone(fitted):
    """Weights alone, as an update does: the ninth class mixes with the second."""
    nine = many(9)
    # the eight that are known, and one that is new
    lib = dataclasses.replace(
        nine, intensity=np.concatenate([many(8).intensity, 0.6 * nine.intensity[:1, ::-1]])
    )
    of = _of_both()
    of[2::30] = (1, 8)
    of[3::10] = (8, 8)
    found = fit_weights(fitted, pixels(lib, of, seed=2), lib)
    assert set(fitted.pairs) | {(1, 8)} <= set(found.pairs)
    assert all(pair in fitted.pairs or 8 in pair for pair in found.pairs)
    assert found.pair_weights[1, 8] == pytest.approx(1 / 30, abs=0.015)
    assert found.class_weights.sum() == pytest.approx(1.0)
    assert len(found.components()[0]) == 9 + len(MIXING) * len(found.pairs)

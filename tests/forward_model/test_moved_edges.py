"""Edges that pixels move and broaden: moments beside Monte Carlo, and their limits."""

import numpy as np
import pytest

from eels_bayes.data.energy_resampling import shift_and_broaden
from eels_bayes.data.variations import Variations
from eels_bayes.forward_model.moved_edges import moved_edge, nodes

STEP = 0.1  # eV
ENERGY = np.arange(630.0, 660.0, STEP)


def line(sigma: float) -> np.ndarray:
    """A white line of this width on a step."""
    step = 0.2 / (1 + np.exp(-(ENERGY - 643.0) / sigma))
    return np.exp(-0.5 * ((ENERGY - 642.0) / sigma) ** 2) + step


@pytest.mark.parametrize("sigma", [0.8, 2.0])
def test_moments_are_those_of_drawn_pixels(sigma: float) -> None:
    rng, n = np.random.default_rng(0), 50_000
    edge, vary = line(sigma), Variations(shift=0.25, broadening=0.4)
    shift, width = vary.shift * rng.standard_normal(n), vary.broadening * rng.standard_normal(n)
    moves, widths = (0.5 + shift) / STEP, np.sqrt(0.3 + width**2) / STEP
    some = np.broadcast_to(edge, (n // 100, len(edge)))  # few at a time, for the caches
    drawn = np.concatenate(
        [
            shift_and_broaden(some, *amounts)
            for amounts in zip(moves.reshape(100, -1), widths.reshape(100, -1), strict=True)
        ]
    )
    found = moved_edge(edge, STEP, 0.5, 0.3, nodes(vary))
    np.testing.assert_allclose(found.mean, drawn.mean(0), atol=0.01)
    rows = np.concatenate([found.linear, found.beyond])
    wanted = np.cov(drawn.T)
    off = np.linalg.norm(rows.T @ rows - wanted)
    assert off < 0.02 * np.linalg.norm(wanted)
    # the linear terms alone are further off, the more so the narrower the line
    linear = np.linalg.norm(found.linear.T @ found.linear - wanted)
    assert linear > (3.0 if sigma < 1 else 1.0) * off


def test_what_is_beyond_is_uncorrelated_with_the_linear_terms() -> None:
    over = nodes(Variations(shift=0.3, broadening=0.5))
    found = moved_edge(line(0.8), STEP, 0.0, 0.0, over)
    np.testing.assert_allclose(over.linear * over.weight @ over.linear.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(over.linear @ over.weight, 0.0, atol=1e-12)
    root = np.sqrt(over.weight)
    np.testing.assert_allclose((root * over.linear) @ found.beyond, 0.0, atol=1e-12)
    np.testing.assert_allclose(root @ found.beyond, 0.0, atol=1e-12)


def test_small_variations_leave_slope_and_curvature() -> None:
    edge, vary = line(2.0), Variations(shift=0.01, broadening=0.02)
    found = moved_edge(edge, STEP, 0.0, 0.0, nodes(vary))
    slope = np.gradient(edge, STEP)
    inside = slice(5, -5)
    np.testing.assert_allclose(found.linear[0][inside], -0.01 * slope[inside], atol=2e-5)
    curved = 0.5 * np.sqrt(2.0) * 0.02**2 * np.gradient(slope, STEP)
    np.testing.assert_allclose(found.linear[1][inside], curved[inside], atol=2e-6)
    assert np.abs(found.beyond).max() < 0.01 * np.abs(found.linear[0]).max()


def test_without_variations_an_edge_is_only_moved() -> None:
    edge = line(0.8)
    found = moved_edge(edge, STEP, 1.0, 0.0, nodes(Variations(0.0, 0.0, 0.0)))
    np.testing.assert_allclose(found.mean[10:], edge[:-10], atol=1e-9)
    assert np.abs(found.linear).max() < 1e-12 and np.abs(found.beyond).max() < 1e-12

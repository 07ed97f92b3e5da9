"""A displacement is found again to the pixel, and none is found where nothing is shared."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from eels_bayes.field.displacement import displacement


def texture(shape, seed, noise=0.1):
    """A rough map of sd 1 with noise, on a ramp that says nothing."""
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.standard_normal(shape), 2.0)
    ramp = sum(np.meshgrid(*(np.linspace(0, 3, n) for n in shape), indexing="ij"))
    return smooth / smooth.std() + ramp


def part(whole, corner, shape, seed, noise=0.2):
    """What one image shows of a larger map, by its own noise."""
    cut = whole[tuple(slice(c, c + n) for c, n in zip(corner, shape, strict=True))]
    return cut + noise * np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize(
    ("shape", "corner"),
    [((26, 20), (7, 2)), ((26, 20), (3, 4)), ((90,), (9,)), ((9, 8, 7), (2,) * 3)],
)
def test_a_displaced_image_is_found_again(shape, corner):
    start = (4,) * len(shape)
    whole = texture(tuple(n + 10 for n in shape), seed=3)
    first, second = part(whole, start, shape, 1), part(whole, corner, shape, 2)
    found = displacement(first, 5.0 - 0.2 + 3.0 * second)
    np.testing.assert_array_equal(found.step, np.subtract(start, corner))
    assert found.supported
    back = displacement(second, first)
    np.testing.assert_array_equal(back.step, np.subtract(corner, start))


def test_holes_do_not_matter():
    whole = texture((36, 30), seed=5)
    first, second = part(whole, (4, 4), (26, 20), 1), part(whole, (6, 3), (26, 20), 2)
    rng = np.random.default_rng(0)
    first[rng.random(first.shape) < 0.2] = np.nan
    second[4:9, 10:15] = np.nan
    found = displacement(first, second)
    assert found.supported and found.step.tolist() == [-2, 1]


def test_maps_that_share_nothing_are_told_apart():
    pairs = [displacement(texture((26, 20), k), texture((26, 20), k + 100)) for k in range(40)]
    assert sum(found.supported for found in pairs) <= 1
    for found in pairs:
        assert np.abs(found.step).tolist() <= [26 // 3, 20 // 3]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.ones((12, 9)), np.ones((12, 9))),
        (np.ones((12, 9)), texture((12, 9), 0)),
        (np.full((12, 9), np.nan), texture((12, 9), 0)),
        (np.zeros((1, 1)), np.zeros((1, 1))),
        (np.arange(3.0), np.arange(3.0)),
    ],
)
def test_nothing_to_compare_is_not_supported(first, second):
    assert not displacement(first, second).supported

"""Gain, readout, offset and spread are found from counts, whatever else is in them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from eels_bayes.preprocessing.dark_offset import offset_by_brightness
from eels_bayes.preprocessing.noise_measurement import MeasuredNoise, measured_noise

Floats = NDArray[np.float64]
STEP = 0.25  # eV
ENERGY = 400.0 + STEP * np.arange(1200)


def electrons(rng: np.random.Generator, n: int = 60, level: float = 600.0) -> Floats:
    """Expected electrons (n, E): power laws of several exponents and thicknesses, with an edge."""
    thickness = np.exp(0.1 * rng.standard_normal((n, 1)))
    exponent = 1.8 + 0.03 * rng.standard_normal((n, 1))
    edge = 1.0 + 0.2 * (ENERGY > 532.0) * (1.0 + 0.1 * rng.standard_normal((n, 1)))
    found: Floats = level * thickness * edge * (ENERGY / 550.0) ** -exponent
    return found


def counted(
    rng: np.random.Generator,
    mean: Floats,
    gain: float = 1.0,
    readout: float = 0.0,
    offset: float = 0.0,
    spread: float = 0.0,
) -> Floats:
    """Counts of a detector; at the ends electrons come round from the other one."""
    found = rng.poisson(mean).astype(float)
    found = (1 - 2 * spread) * found + spread * (np.roll(found, 1, 1) + np.roll(found, -1, 1))
    noise: Floats = np.sqrt(readout) * rng.standard_normal(found.shape)
    return gain * found + offset + noise


def measured(counts: Floats, step: float = STEP) -> MeasuredNoise:
    found = measured_noise([counts], step)
    assert found is not None
    return found


@pytest.mark.parametrize("gain", [0.05, 1.0, 7.78, 50.0])
@pytest.mark.parametrize("n", [10, 200])
def test_the_gain_is_found(rng: np.random.Generator, gain: float, n: int) -> None:
    found = measured(counted(rng, electrons(rng, n), gain))
    assert found.noise.gain == pytest.approx(gain, abs=4 * found.gain_error + 0.01 * gain)
    assert found.gain_error < (0.02 if n == 10 else 0.005) * gain
    assert found.noise == (found.noise.gain, 0.0, 0.0, 1.0) and found.full_rank


def test_readout_noise_is_found(rng: np.random.Generator) -> None:
    found = measured(counted(rng, electrons(rng, 200), 2.0, 600.0)).noise
    assert found.gain == pytest.approx(2.0, rel=0.05)
    assert found.readout == pytest.approx(600.0, rel=0.1)
    assert found.offset == 0.0


def test_too_many_counts_are_a_dark_offset(rng: np.random.Generator) -> None:
    found = measured(counted(rng, electrons(rng, 200), 2.0, offset=300.0)).noise
    assert found.gain == pytest.approx(2.0, rel=0.05)
    assert found.offset == pytest.approx(300.0, abs=40.0)
    assert found.readout == 0.0


@pytest.mark.parametrize("spread", [0.12, 0.17])
def test_electrons_that_neighbours_share_are_counted_once(
    rng: np.random.Generator, spread: float
) -> None:
    found = measured(counted(rng, electrons(rng, 200), 3.0, spread=spread)).noise
    assert found.gain == pytest.approx(3.0, rel=0.06)
    alone = (1 - 2 * spread) ** 2 + 2 * spread**2
    assert found.correlation_factor == pytest.approx(alone, rel=0.06)


@settings(max_examples=20)
@given(factor=st.floats(0.01, 100.0), seed=st.integers(0, 1000))
def test_scaled_counts_have_a_scaled_gain(factor: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = counted(rng, electrons(rng, 12), 2.0, 400.0)
    one, other = measured(counts).noise, measured(factor * counts).noise
    expected = (factor * one.gain, factor**2 * one.readout, factor * one.offset)
    assert other[:3] == pytest.approx(expected, rel=1e-6)


def test_images_may_differ_in_brightness_and_axis(rng: np.random.Generator) -> None:
    images = [counted(rng, electrons(rng, 20, level), 4.0) for level in (100.0, 1000.0)]
    found = measured_noise([images[0], images[1][:, 200:]], STEP)
    assert found is not None and found.noise.gain == pytest.approx(4.0, rel=0.02)


def test_spikes_and_changing_lines_are_left_out(rng: np.random.Generator) -> None:
    mean = electrons(rng, 100)
    lines = np.exp(-0.5 * ((ENERGY - 577.0) / 1.0) ** 2)
    mean *= 1.0 + 0.5 * rng.random((100, 1)) * lines
    counts = counted(rng, mean, 2.0)
    counts[rng.integers(0, 100, 40), rng.integers(0, len(ENERGY), 40)] += 20_000.0
    found = measured(counts).noise
    assert found.gain == pytest.approx(2.0, rel=0.03)
    assert found[1:] == (0.0, 0.0, 1.0)


def test_denoised_counts_are_known_by_their_few_directions(rng: np.random.Generator) -> None:
    counts = counted(rng, electrons(rng, 150))
    pca = PCA(8).fit(counts)
    assert measured(counts).full_rank
    assert not measured(pca.inverse_transform(pca.transform(counts))).full_rank


def test_too_little_says_nothing(rng: np.random.Generator) -> None:
    counts = counted(rng, electrons(rng, 4))
    assert measured_noise([counts[:1]], STEP) is None
    assert measured_noise([counts[:2, :20]], STEP) is None
    assert measured_noise([np.zeros((5, 400))], STEP) is None
    assert measured_noise([], STEP) is None


@pytest.mark.parametrize("offset", [-150.0, 0.0, 150.0])
def test_brightness_tells_an_offset(rng: np.random.Generator, offset: float) -> None:
    means = []
    for _ in range(24):
        level = 600.0 * np.exp(0.3 * rng.standard_normal())
        means.append(counted(rng, electrons(rng, 80, level), offset=offset).mean(0))
    found = offset_by_brightness(means)
    assert found is not None and found.error < 30.0
    assert found.value == pytest.approx(offset, abs=4 * found.error)


def test_images_of_one_brightness_or_few_tell_no_offset(rng: np.random.Generator) -> None:
    mean = electrons(rng, 1)[0]
    assert offset_by_brightness([mean, 2 * mean]) is None
    assert offset_by_brightness([mean] * 8) is None
    assert offset_by_brightness([mean, mean[1:]] * 4) is None


@pytest.mark.parametrize("film", [0.001, 0.05, 0.2])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_vacuum_or_a_film_beside_the_specimen_is_no_matter(
    rng: np.random.Generator, film: float, share: float
) -> None:
    mean = electrons(rng, 256, 100.0)
    beside = rng.permutation(256) < share * 256
    found = measured(counted(rng, np.where(beside[:, None], film * mean, mean), 4.0))
    assert found.noise.gain == pytest.approx(4.0, rel=0.02)
    assert (found.noise.readout, found.noise.offset) == (0.0, 0.0)


def test_few_electrons_a_stretch_are_no_spikes(rng: np.random.Generator) -> None:
    images = [rng.poisson(np.full((250, 1200), 0.1)).astype(float) for _ in range(3)]
    found = measured_noise(images, STEP)
    assert found is not None and found.noise.readout == 0.0
    assert found.noise.gain == pytest.approx(1.0, abs=0.03)
    # a stretch's variance is known less well than that of as many normal deviates
    assert found.gain_error > 2.0 * np.sqrt(2.0 / (750 * 14 * 75))

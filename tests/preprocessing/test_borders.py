"""What an alignment elsewhere filled up is not read, and costs no pixel that has more."""

from typing import Any

import numpy as np
import pytest

import eels_bayes as eb
from eels_bayes.preprocessing.borders import measured_channels, without_borders

OPTIONS: dict[str, Any] = {
    "background": (600, 675),
    "normalize": (570, 592.5),
    "align": (565, 600),
}


def bordered(series: eb.simulate.Series, low: int, high: int, value: float) -> list[Any]:
    """The signals with up to so many channels at either end that were never measured."""
    found, rng = [], np.random.default_rng(0)
    for signal in series.signals:
        copy = signal.deepcopy()
        counts = copy.data.reshape(-1, 1600)
        for row in counts:
            row[: rng.integers(0, low + 1)] = value
            row[1600 - rng.integers(0, high + 1) :] = value
        found.append(copy)
    return found


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_borders_far_from_the_edge_cost_no_pixel(series: eb.simulate.Series, value: float) -> None:
    clean = eb.Preprocessor((677, 737), 0.5, **OPTIONS)(series.signals)
    signals = bordered(series, 80, 80, value)  # 20 eV
    found = eb.Preprocessor((677, 737), 0.5, **OPTIONS)(signals)
    assert found.ok.mean() > 0.9
    # the profile ends where most pixels end
    assert 22.0 > found.profile_energy[0] - clean.profile_energy[0] > 10.0
    assert 22.0 > clean.profile_energy[-1] - found.profile_energy[-1] > 10.0
    both = found.ok & (found.shift == clean.shift)
    np.testing.assert_allclose(found.intensity[both], clean.intensity[both], rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_a_pixel_that_lacks_what_is_read_is_flagged(
    series: eb.simulate.Series, value: float
) -> None:
    signals = [signal.deepcopy() for signal in series.signals]
    signals[0].data[0, 0, :500] = value  # up to 515 eV
    found = eb.Preprocessor((677, 737), 0.5, **OPTIONS)(signals)
    assert found.flag[0] == eb.Flag.NON_FINITE and found.ok[1:].all()


def test_zeros_of_faint_spectra_are_counts(rng: np.random.Generator) -> None:
    faint = rng.poisson(0.5, (20, 300)).astype(np.float32)
    assert without_borders(faint) is faint
    bright = rng.poisson(50.0, (20, 300)).astype(np.float32)
    bright[:, 0] = 0  # one may be chance
    assert without_borders(bright) is bright
    bright[3] = 0  # a dead pixel is no border
    assert without_borders(bright) is bright


def test_most_pixels_say_where_spectra_end(rng: np.random.Generator) -> None:
    counts = rng.poisson(50.0, (40, 300)).astype(np.float32) + 1
    assert measured_channels(counts) == (0, 300)
    counts[0, :100] = np.nan  # one of forty
    counts[:, 290:] = np.nan
    counts[1] = np.nan  # a dead pixel
    assert measured_channels(counts) == (0, 290)
    counts[2:10, :30] = np.nan
    assert measured_channels(counts) == (30, 290)
    assert measured_channels(np.full((3, 5), np.nan, np.float32)) == (0, 5)

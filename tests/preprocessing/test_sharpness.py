"""Bins are as wide as lets them show the edge, whatever the noise."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import eels_bayes as eb
from eels_bayes.preprocessing.preprocessor import Preprocessor
from eels_bayes.preprocessing.sharpness import LOST, sharp_channels

ENERGY = np.arange(632.0, 662.0, 0.25)


def line(sd: float) -> torch.Tensor:
    """Two lines so wide, eV."""
    at = [np.exp(-0.5 * ((ENERGY - centre) / sd) ** 2) for centre in (641.03, 652.4)]
    return torch.from_numpy(1000 * (at[0] + 0.5 * at[1]))


@given(st.floats(0.3, 8.0))
def test_what_bins_lose_is_little_and_wider_ones_would_lose_more(sd: float) -> None:
    edge = line(sd)
    n = sharp_channels(edge, torch.zeros(len(edge)), 0.25)
    structure = float((edge - edge.mean()).square().sum())

    def lost(channels: int) -> float:
        rows = edge.reshape(-1, channels)
        return float((rows - rows.mean(1, keepdim=True)).square().sum())

    assert n in (1, 2, 4, 8)
    assert n == 1 or lost(n) <= LOST * structure
    assert n == 8 or lost(2 * n) > LOST * structure


def test_narrower_lines_want_finer_bins() -> None:
    widths = [sharp_channels(line(sd), torch.zeros(len(ENERGY)), 0.25) for sd in (0.3, 1.2, 6.0)]
    assert widths[0] < widths[1] < widths[2] == 8


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 1e4))
def test_noise_alone_wants_no_fine_bins(seed: int, sd: float) -> None:
    noise = sd * torch.from_numpy(np.random.default_rng(seed).standard_normal(len(ENERGY)))
    found = sharp_channels(noise, torch.full((len(ENERGY),), sd**2), 0.25)
    assert found >= 4


def test_channels_wider_than_bins_are_bins() -> None:
    assert sharp_channels(torch.rand(20).double(), torch.zeros(20), 8.0) == 1


def test_bins_without_a_channel_are_none(series: eb.simulate.Series) -> None:
    pre = eb.Preprocessor(
        (677, 737), 0.5, background=(600, 675), normalize=(570, 592.5), align=(565, 600)
    )
    pre.calibrate(series.signals)
    assert pre.bin_width == 2.0  # of an edge as broad as F K's
    state = pre.state_dict() | {"profile_bins": torch.tensor([1, 5, 0])}
    with pytest.raises(ValueError, match=r"profile_bins are \[1, 5, 0\]; a bin has a channel"):
        Preprocessor.restored(pre.options(), state)

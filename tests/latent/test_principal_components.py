"""Principal components above the noise: signal is kept, noise is not."""

import dataclasses

import numpy as np
import pytest

from eels_bayes.data.spectra import Spectra
from eels_bayes.latent.principal_components import (
    MAX_COMPONENTS,
    fit_denoiser,
    principal_components,
)


def make(signal, sd, seed=0):
    rng = np.random.default_rng(seed)
    n, n_channels = signal.shape
    sd = np.broadcast_to(sd, signal.shape).astype(np.float32)
    return Spectra(
        intensity=(signal + sd * rng.normal(size=signal.shape)).astype(np.float32),
        sd=sd,
        energy=np.arange(n_channels, dtype=float),
        image=np.zeros(n, np.int64),
        position=np.arange(n),
        images=(),
        flag=np.zeros(n, np.int64),
        background=np.zeros((n, 2), np.float32),
        profile=np.zeros((n, 0), np.float32),
        profile_energy=np.zeros(0),
        level=np.ones(n, np.float32),
        spike=np.zeros(n, np.float32),
        norm=np.ones(n, np.float32),
        shift=np.zeros(n, np.float32),
        counts=signal.astype(np.float32),
        gain=np.ones(n, np.float32),
        preprocessor=None,
    )


def low_rank(n, n_channels, rank, size, seed=1):
    rng = np.random.default_rng(seed)
    shapes = np.cumsum(rng.normal(size=(rank, n_channels)), axis=1)
    shapes *= size / np.sqrt((shapes**2).mean(1, keepdims=True))
    return 1.0 + rng.normal(size=(n, rank)) @ shapes


@pytest.mark.parametrize("rank", [1, 3])
def test_a_low_rank_signal_comes_back(rank):
    n, n_channels, sd = 500, 80, 2.0
    truth = low_rank(n, n_channels, rank, size=1.0)
    spectra = make(truth, sd)
    found = principal_components(spectra)
    error = np.mean((found - truth) ** 2)
    # what is left is the noise within the kept space: (rank + 1 mean) of n_channels, roughly
    expected = sd**2 * (rank / n_channels + rank / n + 1 / n)
    assert error < 1.5 * expected < 0.2 * sd**2
    assert rank_of(found, 1e-2) == rank


def rank_of(rows, tol):
    rows = rows.astype(float)
    return np.linalg.matrix_rank(rows - rows.mean(0), tol=tol)


def test_pure_noise_keeps_no_component():
    kept = []
    for seed in range(10):
        found = principal_components(make(np.full((400, 60), 3.0), 0.5, seed=seed))
        kept.append(rank_of(found, 1e-2))
    # The largest eigenvalue fluctuates around the Marchenko-Pastur edge: one in twenty is above
    assert np.mean(np.array(kept) == 0) >= 0.8 and max(kept) <= 1
    found = principal_components(make(np.full((400, 60), 3.0), 0.5))
    np.testing.assert_allclose(found, np.broadcast_to(found[0], found.shape), atol=1e-5)
    np.testing.assert_allclose(found[0], 3.0, atol=5 * 0.5 / np.sqrt(400))


def test_channels_of_unequal_noise_do_not_pass_for_signal():
    truth = low_rank(500, 80, 1, size=1.0)
    sd = np.where(np.arange(80) < 8, 30.0, 1.0)  # a few very noisy channels
    found = principal_components(make(truth, sd))
    quiet = np.arange(80) >= 8
    assert np.mean((found - truth)[:, quiet] ** 2) < 0.1
    assert rank_of(found[:, quiet], 1e-2) == 1


def test_flagged_pixels_are_left_out():
    spectra = make(low_rank(200, 40, 2, size=2.0), 1.0)
    bad = np.zeros(200, bool)
    bad[[3, 77]] = True
    intensity, sd = spectra.intensity.copy(), spectra.sd.copy()
    intensity[bad], sd[bad] = np.nan, np.nan
    flagged = dataclasses.replace(spectra, intensity=intensity, sd=sd, flag=bad.astype(np.int64))
    found = principal_components(flagged)
    assert found.shape == (198, 40) and np.isfinite(found).all()
    np.testing.assert_allclose(found, principal_components(spectra[~bad]), atol=1e-5)


def test_no_more_components_than_there_is_room_for():
    rich = make(low_rank(300, 60, 40, size=5.0), 0.1)
    found = principal_components(rich)
    assert rank_of(found, 1e-2) == MAX_COMPONENTS
    few = principal_components(make(low_rank(3, 60, 2, size=5.0), 0.1))
    assert few.shape == (3, 60) and few.dtype == np.float32


def test_other_spectra_are_rebuilt_by_what_was_learned():
    truth = low_rank(700, 80, 2, size=1.0)
    spectra = make(truth, 2.0)
    denoiser = fit_denoiser(spectra[:500])
    assert denoiser.components.shape == (2, 80)
    np.testing.assert_array_equal(
        denoiser.rebuild(spectra.intensity[:500]), principal_components(spectra[:500])
    )
    new = spectra.intensity[500:]
    found = denoiser.rebuild(new)
    assert np.mean((found - truth[500:]) ** 2) < 0.1 * np.mean((new - truth[500:]) ** 2)
    # a projection: what was rebuilt stays, and rows do not see each other
    np.testing.assert_allclose(denoiser.rebuild(found), found, atol=1e-4)
    np.testing.assert_allclose(denoiser.rebuild(new[7:8])[0], found[7], atol=1e-5)

"""True edges are the fingerprints that pixels were made of, where measured spectra show them."""

import numpy as np
import pytest

import eels_bayes as eb


@pytest.fixture(scope="module")
def plain():
    """A series without mixtures and jitter, moved by up to some eV, and its edge spectra."""
    process = eb.simulate.Process(
        mixture=0.0, intensity_jitter=0.0, residual_sd=0.0, edge_jitter=0.0, drift_image=3.0
    )
    series = eb.simulate.annealing_series(4, (4, 5), dose=3.0, process=process)
    pre = eb.Preprocessor(
        (677, 737), 0.5, background=(600, 675), normalize=(570, 592.5), align=(565, 600)
    )
    return series, pre(series.signals, show_progressbar=False)


def test_edges_are_fingerprints_with_the_overlap(plain):
    series, spectra = plain
    truth = eb.simulate.true_edges(series, spectra)
    assert np.ptp(spectra.shift) > 2
    labels, drift = (series.truth[name].values.ravel() for name in ("label", "drift"))
    for row, label, moved in zip(truth, labels, spectra.shift - drift, strict=True):
        # all that was removed but had not been added moves edges down
        library = series.library.resample(spectra.energy + float(moved))
        shown = library.class_spectra[label]
        shown = shown + series.process.residual_mean * library.nuisances.sum(0)
        factor = row @ shown / (shown @ shown)
        assert factor == pytest.approx(1.0, abs=0.15)  # edge units are about the library's
        # A shift of half an eV the wrong way would be four times as much.
        assert np.abs(row - factor * shown).max() < 0.04 * shown.max()


def test_measured_spectra_scatter_around_them(plain):
    series, spectra = plain
    error = spectra.intensity - eb.simulate.true_edges(series, spectra)
    near = (spectra.energy > 685) & (spectra.energy < 705)  # beyond, backgrounds err
    assert np.abs(error[:, near].mean(1)).mean() < 0.15
    assert error[:, near].std(1).mean() == pytest.approx(spectra.sd[:, near].mean(), rel=0.2)


def test_some_pixels_are_those_of_all(plain):
    series, spectra = plain
    some = np.array([33, 4, 17])
    np.testing.assert_allclose(
        eb.simulate.true_edges(series, spectra[some]),
        eb.simulate.true_edges(series, spectra)[some],
        rtol=1e-6,
    )


def test_another_series_is_refused(plain):
    _, spectra = plain
    other = eb.simulate.annealing_series(3, (4, 5))
    with pytest.raises(ValueError, match="3 images of shape"):
        eb.simulate.true_edges(other, spectra)

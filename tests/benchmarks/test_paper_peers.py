"""The peers that learn from labelled draws, and the classifiers on the dual VAE's latents."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import eels_bayes as eb

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import accuracy
from annealing import preprocess
from peers import (
    OPTIONAL,
    PIXEL_BY_PIXEL,
    dual_vae,
    labelled,
    latent_classifiers,
    nmf,
    pyeelsmodel_fit,
    rapid_eels,
    shared,
)


@pytest.fixture(scope="module")
def library():
    return eb.FingerprintLibrary.example()


@pytest.fixture(scope="module")
def series():
    """An easy series: thirty times the dose."""
    return eb.simulate.annealing_series(n_images=8, shape=(6, 5), dose=30.0, seed=1)


@pytest.fixture(scope="module")
def spectra(series):
    return preprocess(series)


@pytest.fixture(scope="module")
def labels(series):
    return series.truth.label.values.ravel()


@pytest.fixture(scope="module")
def trained(spectra):
    return dual_vae.train(spectra, epochs=10, show_progressbar=False)


def above_guessing(p, labels):
    return eb.metrics.accuracy(p, labels) - np.bincount(labels).max() / len(labels)


def test_labelled_draws_are_fingerprints_with_the_noise_of_the_pixels(spectra, library):
    draws = labelled.draw(spectra, library, 400, seed=3)
    known = library.resample(spectra.energy)
    assert np.bincount(draws.labels).tolist() == [100] * 4
    means = np.stack([draws.clean[draws.labels == k].mean(0) for k in range(4)])
    np.testing.assert_allclose(means, known.class_spectra, atol=0.04)
    # Before the edge there is next to no overlap: what is there is the noise.
    before = spectra.energy < 684
    noise = (draws.noisy - draws.clean)[:, before].std()
    assert noise == pytest.approx(np.sqrt((spectra.sd[spectra.ok][:, before] ** 2).mean()), rel=0.1)
    again = labelled.draw(spectra, library, 400, seed=3)
    assert np.array_equal(draws.noisy, again.noisy)


def test_rapid_eels_has_the_layers_that_it_says():
    net = rapid_eels.RapidEELS(240, 4)
    sizes = [p.numel() for p in net.parameters()]
    assert sum(p.numel() for p in net.decoder.parameters()) == 29313
    dense = [tuple(p.shape) for p in net.head.parameters() if p.ndim == 2]
    assert dense == [(64, 240), (32, 64), (4, 32)] and sum(sizes) > 29313
    denoised, logits = net(torch.zeros(3, 240))
    assert denoised.shape == (3, 240) and logits.shape == (3, 4)


def test_rapid_eels_losses_fall_and_it_reads_an_easy_series(spectra, library, labels):
    state = torch.random.get_rng_state()
    small = {"n_draws": 1000, "epochs": 4, "show_progressbar": False}
    learned = rapid_eels.train(spectra, library, **small)
    history = learned.history
    assert history.shape == (4, 2)
    assert (history[-1] < 0.75 * history[0]).all()
    found = rapid_eels.read(learned, spectra)
    assert above_guessing(found, labels) > 0.1
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_dual_vaes_losses_fall_as_published(trained):
    reconstruction, _, convergence = trained.history.T
    assert reconstruction[-1] < 0.6 * reconstruction[0]
    assert convergence[-1] < convergence.max()
    # A plain encoder cannot do better than the spread between noisy twins: it does not vanish.
    assert convergence[-1] > 0.0


def test_classifiers_read_the_latents_of_one_training(trained, spectra, library, labels):
    found = latent_classifiers.classify(trained, spectra, library, n_draws=20)
    assert list(found) == list(latent_classifiers.CLASSIFIERS)
    for name, p in found.items():
        assert p.shape == (len(spectra), 4), name
        np.testing.assert_allclose(p.sum(1), 1.0, rtol=1e-6)
    # The Gaussian process among them is the published one.
    np.testing.assert_allclose(
        found["Gaussian process"], dual_vae.classify(trained, spectra, library, n_draws=20)
    )
    best = max(above_guessing(p, labels) for p in found.values())
    assert best > 0.1


def test_nmf_takes_noise_away_and_leaves_the_edge(spectra):
    rows, clean = shared.intensity(spectra), nmf.denoise(spectra)
    rough, smooth = (np.diff(x, axis=1).std() for x in (rows, clean))
    assert smooth < 0.7 * rough
    np.testing.assert_allclose(clean.mean(0), rows.mean(0), atol=0.05)


def test_mlls_tells_shapes_apart_and_not_heights(spectra, library, labels):
    """The classes of this edge differ in height: shares of them say next to nothing."""
    (read,) = PIXEL_BY_PIXEL.values()
    found = read(spectra[:120], library, show_progressbar=False)
    np.testing.assert_allclose(found.sum(1), 1.0)
    assert eb.metrics.accuracy(found, labels[:120]) < 0.6


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # its own, of NumPy and SciPy
def test_without_pyeelsmodel_a_sentence_says_so(spectra, library, labels):
    try:
        import pyEELSMODEL  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match="pyEELSMODEL is not installed: its linear fit is"):
            pyeelsmodel_fit.probabilities(spectra, library)
        return
    (read,) = OPTIONAL.values()
    assert above_guessing(read(spectra, library, show_progressbar=False), labels) > 0.1


def test_the_table_is_what_was_scored(tmp_path):
    row = {"accuracy": 0.98765432, "nll": 0.1, "brier": 0.2, "ece": 0.012345678, "confidence": 1.0}
    run = {"seed": 5, "pixels": 7, "dose": 1.0, "scores": {"a method": row}}
    accuracy.write_table(tmp_path / "t.json", {"nominal 1": run, "a shift, dose 1": run}, (3, 2))
    table = accuracy.json.loads((tmp_path / "t.json").read_text())
    assert table["shape"] == [24, 3, 2] and table["seed"] == 5
    scores = {"accuracy": 0.9877, "nll": 0.1, "brier": 0.2, "ece": 0.01235}
    assert table["doses"] == {"1": {"a method": scores}}

"""Any factor and many eV of shift are found before the fit begins; narrow lines and few pixels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from exspy.signals import EELSSpectrum
from numpy.typing import NDArray

import eels_bayes as eb
from eels_bayes.data.spectra import Spectra
from eels_bayes.forward_model.class_weights import fit_weights
from eels_bayes.forward_model.fit import fit_forward_model
from eels_bayes.forward_model.model import ForwardModel
from eels_bayes.forward_model.model_evidence import evidence_of
from eels_bayes.forward_model.registration import placed

Floats = NDArray[np.float64]
ENERGY = np.arange(610.0, 685.0, 0.25)  # of the libraries
CONTRAST = 0.2  # highest edge over background
OPTIONS = {"background": (590, 630), "normalize": (560, 590), "noise": (1.0, 0.0)}


def lines(energy: Floats, shift: float = 0.0) -> Floats:
    """White lines 1.2 eV wide on steps, three valences: moved, split and with another ratio."""
    rows = []
    for at, second in ((640.0, 0.3), (641.6, 0.5), (643.0, 0.6)):
        row = np.zeros_like(energy)
        for centre, height in ((at, 1.0), (at + 2.5, second), (at + 11.0, 0.5)):
            row += height * np.exp(-0.5 * ((energy - shift - centre) / 0.8) ** 2)
        row += 0.15 / (1 + np.exp(-(energy - shift - at) / 0.5))
        rows.append(row)
    return np.array(rows)


def library(factor: float = 1.0, shift: float = 0.0) -> eb.FingerprintLibrary:
    """The three valences in any unit, their axis off by ``shift`` eV."""
    rows = factor * CONTRAST / 0.05 * lines(ENERGY, shift)
    return eb.FingerprintLibrary.from_arrays(ENERGY, rows, [0, 1, 2], values=[2.0, 3.0, 4.0])


def measured(n_images: int, shape: tuple[int, int], seed: int = 0) -> tuple[Spectra, Floats]:
    """Edge spectra of simulated images, and each pixel's class."""
    rng = np.random.default_rng(seed)
    energy = 540 + 0.25 * np.arange(800)
    shapes, signals, truth = lines(energy), [], []
    for _ in range(n_images):
        classes = rng.choice(3, shape, p=rng.dirichlet(np.ones(3)))
        thickness = np.exp(0.1 * rng.standard_normal(shape))[..., None]
        exponent = 3 + 0.05 * rng.standard_normal(shape)[..., None]
        background = 550 * thickness * (energy / 640) ** -exponent
        edge = 550 * CONTRAST * thickness * (1 + 0.1 * rng.standard_normal(shape))[..., None]
        signal = EELSSpectrum(rng.poisson(background + edge * shapes[classes]).astype(np.float32))
        axis = signal.axes_manager[-1]
        axis.offset, axis.scale, axis.units = energy[0], 0.25, "eV"
        signals.append(signal)
        truth.append(classes.ravel())
    pre = eb.Preprocessor((632, 660), 0.5, **OPTIONS)
    return pre(signals, show_progressbar=False), np.concatenate(truth)


def accuracy(model: ForwardModel, spectra: Spectra, truth: Floats) -> float:
    """Of the most probable class."""
    found = evidence_of(model)(torch.from_numpy(spectra.profile), torch.from_numpy(spectra.level))
    probability = found.log_probability.exp().numpy() @ model.dominance()
    return float((probability.argmax(1) == truth).mean())


@pytest.fixture(scope="module")
def pixels() -> tuple[Spectra, Floats]:
    return measured(3, (10, 8))


@pytest.fixture(scope="module")
def usual(pixels: tuple[Spectra, Floats]) -> ForwardModel:
    return fit_forward_model(pixels[0], library(), show_progressbar=False)


def test_bins_are_as_fine_as_the_lines(pixels: tuple[Spectra, Floats]) -> None:
    width = pixels[0].preprocessor.bin_width
    assert width <= 1.0
    assert np.diff(pixels[0].profile_energy) == pytest.approx(width)


@pytest.mark.parametrize(
    ("factor", "shift"), [(1e-3, 0.0), (30.0, 0.0), (1e3, -4.0), (1.0, -12.0), (0.1, 9.0)]
)
def test_any_factor_and_shift_are_found(
    pixels: tuple[Spectra, Floats], usual: ForwardModel, factor: float, shift: float
) -> None:
    spectra, truth = pixels
    model = fit_forward_model(spectra, library(factor, shift), show_progressbar=False)
    assert accuracy(usual, spectra, truth) > 0.97
    assert accuracy(model, spectra, truth) > 0.97
    assert model.library_fit.gain * factor == pytest.approx(usual.library_fit.gain, rel=0.03)
    assert model.library_fit.shift + shift == pytest.approx(usual.library_fit.shift, abs=0.05)
    assert model.log_likelihood[-1] == pytest.approx(usual.log_likelihood[-1], abs=0.05)
    np.testing.assert_allclose(model.library.intensity, usual.library.intensity, atol=0.15)
    # weights by themselves keep the library where it was found
    again = fit_weights(model, spectra, library(factor, shift))
    np.testing.assert_allclose(again.library.intensity, model.library.intensity)


def test_a_library_in_its_place_is_left_there(usual: ForwardModel) -> None:
    assert usual.library_fit.moved == 0.0
    assert abs(usual.library_fit.shift) < 0.1


def test_images_of_two_or_three_pixels_are_climbed_like_others() -> None:
    spectra, truth = measured(80, (1, 3), seed=1)
    model = fit_forward_model(spectra, library(), show_progressbar=False)
    assert len(model.log_likelihood) > 20
    assert accuracy(model, spectra, truth) > 0.97


def test_real_lines_of_another_laboratory_are_told_apart(data_dir: Path) -> None:
    """Fingerprints of one set, moved and in another unit; pixels with the other set's lines."""
    archive = np.load(data_dir / "mn_l23_references.npz")

    def reference(name: str, energy: Floats) -> Floats:
        given, row = archive[f"{name}_energy"], archive[f"{name}_intensity"]
        order = np.argsort(given)
        given, row = given[order], row[order] - row[order][:8].mean()
        return np.interp(energy, given, row / row.max(), left=0.0, right=row[-5:].mean())

    rng, energy = np.random.default_rng(3), 540 + 0.25 * np.arange(800)
    theirs = [reference(f"Data2_{name}", energy) for name in ("MnO", "LaMnO3", "SrMnO3")]
    ours = [reference(f"Data3_{name}", ENERGY + 5.0) for name in ("MnO", "LaMnO3", "MnO2")]
    truth = rng.choice(3, 240)
    background = 550 * np.exp(0.1 * rng.standard_normal((240, 1))) * (energy / 640) ** -3.0
    counts = rng.poisson(background * (1 + 0.3 * np.array(theirs)[truth])).astype(np.float32)
    signal = EELSSpectrum(counts.reshape(12, 20, -1))
    axis = signal.axes_manager[-1]
    axis.offset, axis.scale, axis.units = energy[0], 0.25, "eV"
    spectra = eb.Preprocessor((632, 660), 0.5, **OPTIONS)(signal, show_progressbar=False)
    moved = eb.FingerprintLibrary.from_arrays(ENERGY, 40.0 * np.array(ours), [0, 1, 2])
    model = fit_forward_model(spectra, moved, show_progressbar=False)
    assert model.library_fit.shift == pytest.approx(5.0, abs=0.6)
    assert accuracy(model, spectra, truth) > 0.95


def test_placed_moves_the_axis_and_goes_on_with_end_values() -> None:
    axis = np.arange(630.0, 680.0, 0.5)
    moved = placed(library(), axis, -12.0)
    within = axis < ENERGY[-1] - 13.0
    here = library().resample(axis[within] + 12.0)
    np.testing.assert_allclose(moved.intensity[:, within], here.intensity, atol=1e-9)
    beyond = axis > ENERGY[-1] - 12.0
    assert beyond.any()
    np.testing.assert_allclose(
        moved.intensity[:, beyond], library().intensity[:, -1:] + 0 * axis[beyond], atol=1e-9
    )


def test_fingerprints_with_their_background_are_refused(pixels: tuple[Spectra, Floats]) -> None:
    rows = 20 * (ENERGY / 640) ** -3.0 + library().intensity
    raw = eb.FingerprintLibrary.from_arrays(ENERGY, rows, [0, 1, 2])
    with pytest.raises(ValueError, match=r"begin at \d+ % of their maximum .* subtract it"):
        fit_forward_model(pixels[0], raw, show_progressbar=False)


def test_few_bright_pixels_of_a_library_in_their_unit_keep_it():
    """Where one class alone shows an edge, another four times as strong is next to as likely."""
    series = eb.simulate.annealing_series(n_images=2, shape=(6, 6), dose=10.0, seed=8168)
    pre = eb.Preprocessor(
        (677, 737), 0.25, background=(650, 680), normalize=(570, 592.5), align=(567.5, 627.5)
    )
    spectra = pre(series.signals, show_progressbar=False)
    model = fit_forward_model(spectra, series.library, show_progressbar=False)
    assert model.library_fit.gain == pytest.approx(1.0, abs=0.15)


def test_a_rung_of_the_ladder_that_the_fit_has_missed_is_found():
    """From the factor that is found first, classes are each other's: 0.41 of them right."""
    series = eb.simulate.annealing_series(n_images=8, shape=(16, 16), dose=3.0, seed=8251)
    pre = eb.Preprocessor(
        (677, 737), 0.25, background=(660, 695), normalize=(570, 592.5), align=(567.5, 627.5)
    )
    spectra = pre(series.signals, show_progressbar=False)
    model = fit_forward_model(spectra, series.library, show_progressbar=False)
    label = series.truth["label"].to_numpy().ravel()
    profile, level = torch.from_numpy(spectra.profile), torch.from_numpy(spectra.level)
    share = evidence_of(model)(profile, level).log_probability.exp().numpy() @ model.dominance()
    assert (share.argmax(1) == label)[label >= 0].mean() > 0.9
    assert model.library_fit.gain == pytest.approx(1.0, abs=0.1)
    assert model.begun_again

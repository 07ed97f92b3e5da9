"""Reinsertion: what it draws is what the forward model and the preprocessing promise."""

import dataclasses

import numpy as np
import pytest
import torch

import eels_bayes as eb
from eels_bayes.continuum import ForwardModel, LibraryFit
from eels_bayes.reinsertion import reinsertion

N_BASIS = 10  # power law (2) and smooth modes (8), before the nuisance shapes


def preprocessor(dispersion=0.25, **options):
    windows = {"background": (600, 675), "normalize": (570, 592.5)} | options
    return eb.Preprocessor((677, 737), dispersion, **windows)


@pytest.fixture(scope="module")
def series():
    return eb.simulate.annealing_series(n_images=2, shape=(6, 5), seed=1)


@pytest.fixture(scope="module")
def spectra(series):
    return preprocessor(align=(565, 600))(series.signals)


def population(spectra, *, spread=0.0, exponent_spread=0.0, overlap=0.0):
    """A forward model of known parameters; `spread` is that of the amplitude."""
    library = eb.FingerprintLibrary.example().resample(spectra.energy)
    reference = np.median(spectra.background[spectra.ok], axis=0).astype(float)
    reference[1] = float(spectra.preprocessor.extractor.exponent[0])
    sd = np.full(N_BASIS + len(library.nuisances), 1e-9)
    sd[:2] = max(spread, 1e-9), max(exponent_spread, 1e-9)
    sd[N_BASIS:] = max(overlap, 1e-9)
    mean = np.zeros(len(sd))
    mean[N_BASIS:] = overlap
    pair_weights = np.array(
        [[0.4, 0.1, 0.0, 0.0], [0.0, 0.2, 0.0, 0.1], [0.0, 0.0, 0.1, 0.0], [0.0, 0.0, 0.0, 0.1]]
    )
    weights = np.array([0.45, 0.3, 0.1, 0.15])
    return ForwardModel(
        library, LibraryFit(), reference, mean, np.diag(sd**2), weights, pair_weights, ()
    )


@pytest.fixture(scope="module")
def source(spectra):
    return reinsertion(population(spectra, spread=0.02, overlap=0.05), spectra)


def still(source, **options):
    """The same experiment with one dose, and channels of the detector where the axis has them."""
    model = population_of(source, **options)
    one = np.full_like(source.norm, np.median(source.norm))
    return dataclasses.replace(source, model=model, norm=one, offset=np.zeros_like(one))


def population_of(source, **options):
    return population(_Stub(source), **options)


class _Stub:
    """Just enough of Spectra for `population`."""

    def __init__(self, source):
        self.energy = source.model.library.energy
        self.background = np.array([source.model.reference])
        self.ok = np.array([True])
        self.preprocessor = source.preprocessor


def test_class_shares_and_shapes_are_the_populations(source):
    n = 6000
    edge, fractions, values = source.edges(n, np.random.default_rng(0))
    model = source.model
    np.testing.assert_allclose(fractions.sum(1), 1.0)
    np.testing.assert_allclose(values, fractions @ model.library.class_values, atol=1e-12)
    mixed = (fractions > 0).sum(1) == 2
    assert abs(mixed.mean() - 0.2) < 5 * np.sqrt(0.16 / n)
    for k in range(4):
        pure = fractions[:, k] == 1
        weight = model.pair_weights[k, k]
        assert abs(pure.mean() - weight) < 5 * np.sqrt(weight * (1 - weight) / n)
        # the mean over the variations keeps the area of the class's mean fingerprint
        area, rows = model.library.class_spectra[k].sum(), edge[pure].sum(1)
        assert abs(rows.mean() - area) <= 5 * rows.std() / np.sqrt(len(rows)) + 0.002 * area
    pairs = {tuple(np.flatnonzero(f)) for f in fractions[mixed]}
    assert pairs == {(0, 1), (1, 3)}
    # a mixture is the shares times the classes
    areas = model.library.class_spectra.sum(1)
    found = edge[mixed].sum(1) - fractions[mixed] @ areas
    assert abs(found.mean()) < 5 * found.std() / np.sqrt(mixed.sum())


def test_clean_spectra_are_edges_and_overlapping_shapes(spectra):
    source = reinsertion(population(spectra, overlap=0.08), spectra)
    n = 4000
    clean, _, _ = source.draw_clean(n, np.random.default_rng(1))
    edge, _, _ = source.edges(n, np.random.default_rng(1))
    rest = clean - edge  # the same stream draws the same edges
    shape = source.model.library.nuisances[0]
    height = rest @ shape / (shape @ shape)
    np.testing.assert_allclose(rest, height[:, None] * shape, atol=1e-6)
    assert (height >= 0).all()
    # N(0.08, 0.08^2) with its negative tail at zero: mean 0.08 (Phi(1) + phi(1))
    assert abs(height.mean() - 0.08 * (0.8413 + 0.2420)) < 5 * height.std() / np.sqrt(n)


def test_pairs_fit_together(source):
    pairs = source.draw(700, np.random.default_rng(2))
    n_channels = len(source.model.library.energy)
    assert pairs.clean.shape == pairs.noisy.intensity.shape == pairs.noisy.sd.shape
    assert pairs.clean.shape == (700, n_channels) and pairs.fractions.shape == (700, 4)
    assert (pairs.noisy.flag == 0).all()
    # noisy minus clean is noise of the reported size: its mean square is near one everywhere
    chi2 = ((pairs.noisy.intensity - pairs.clean) / pairs.noisy.sd).square().mean()
    assert 0.85 < float(chi2) < 1.25
    assert all(x.dtype == torch.float32 for x in (pairs.clean, pairs.noisy.intensity))


@pytest.mark.parametrize(("gain", "readout"), [(1.0, 0.0), (2.5, 400.0)])
def test_noise_has_the_reported_sd_in_every_channel(source, gain, readout):
    # The reported sd holds the prior's spread of the exponent, so the draws have just that spread
    spread = float(source.preprocessor.extractor.exponent[1])
    source = still(source, exponent_spread=spread)
    source = dataclasses.replace(source, gain=gain * np.ones_like(source.norm), readout=readout)
    n = 5000
    edge = np.repeat(source.model.library.class_spectra[:1], n, axis=0)
    pairs = source.draw(n, np.random.default_rng(3), edge=edge)
    error = pairs.noisy.intensity - pairs.clean
    reported = pairs.noisy.sd.square().mean(0).sqrt()
    ratio = error.std(0) / reported  # sampling error about 1 %
    assert (ratio - 1).abs().max() < 0.10
    assert (error.mean(0).abs() < 0.1 * reported).all()


@pytest.mark.parametrize("offset", [0.0, 0.0625, 0.125, 0.2])
def test_offsets_within_a_channel_do_not_move_a_sharp_edge(source, offset):
    source = still(source)
    source = dataclasses.replace(source, offset=np.full_like(source.norm, offset))
    energy = source.model.library.energy
    n = 400
    peak = 5.0 * np.exp(-0.5 * ((energy - 700.1) / 0.8) ** 2)
    pairs = source.draw(n, np.random.default_rng(4), edge=np.tile(peak, (n, 1)), dose=1e4)
    mean = pairs.noisy.intensity.double().mean(0).numpy()
    near = np.abs(energy - 700.1) < 5
    found = (mean * energy)[near].sum() / mean[near].sum()
    wanted = (peak * energy)[near].sum() / peak[near].sum()
    assert abs(found - wanted) < 0.01
    np.testing.assert_allclose(mean[near].sum(), peak[near].sum(), rtol=0.01)
    # what mixing neighbours broadens is no more than the channels' own width
    centred = (energy[near] - wanted) ** 2
    broadening = (mean[near] @ centred) / mean[near].sum() - (peak[near] @ centred) / peak[
        near
    ].sum()
    assert -0.01 < broadening < 0.25**2


def test_doses_scale_the_noise(source):
    source = still(source)
    n = 1500
    edge = np.zeros((n, len(source.model.library.energy)))
    draws = [
        source.draw(n, np.random.default_rng(5), edge=edge, dose=dose).noisy for dose in (1.0, 4.0)
    ]
    wide, narrow = (float(noisy.intensity.std(0).mean()) for noisy in draws)
    assert abs(wide / narrow - 2) < 0.05
    wide, narrow = (float(noisy.sd.mean()) for noisy in draws)
    assert abs(wide / narrow - 2) < 0.05
    doses = np.where(np.arange(n) % 2, 0.25, 4.0)
    noisy = source.draw(n, np.random.default_rng(6), edge=edge, dose=doses).noisy
    ratio = noisy.sd[doses == 0.25].mean() / noisy.sd[doses == 4.0].mean()
    assert abs(float(ratio) - 4) < 0.15


def test_same_stream_same_draw_and_global_streams_untouched(source):
    before = torch.get_rng_state()
    numpys = np.random.get_state()[1].copy()  # noqa: NPY002
    first = source.draw(300, np.random.default_rng(7))
    torch.rand(5)
    again = source.draw(300, np.random.default_rng(7))
    other = source.draw(300, np.random.default_rng(8))
    torch.set_rng_state(before)
    source.draw(10, np.random.default_rng(7))
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpys).all()  # noqa: NPY002
    assert torch.equal(first.clean, again.clean)
    for one, two in zip(first.noisy, again.noisy, strict=True):
        assert torch.equal(one, two)
    assert not torch.equal(first.noisy.intensity, other.noisy.intensity)


def test_given_edges_have_no_class_shares(source):
    edge = np.zeros((3, len(source.model.library.energy)))
    pairs = source.draw(3, np.random.default_rng(9), edge=edge)
    assert torch.isnan(pairs.fractions).all()
    overlap = source.model.library.nuisances[0]
    along = pairs.clean.double().numpy() @ overlap / (overlap @ overlap)
    np.testing.assert_allclose(pairs.clean, along[:, None] * overlap, atol=1e-6)


@pytest.mark.parametrize("dispersion", [0.25, 0.5, 0.6, 1.0])
def test_drawn_pixels_look_like_the_measured_ones(series, dispersion):
    # No alignment: the detector's channels lie as they lie, also where several make one
    spectra = preprocessor(dispersion)(series.signals)
    source = reinsertion(population(spectra, spread=0.02), spectra)
    noisy = source.draw(1000, np.random.default_rng(10)).noisy

    def roughness(rows, sd):
        steps = np.diff(np.asarray(rows, float), axis=1) / np.asarray(sd, float)[:, 1:]
        return float((steps**2).mean())

    found = roughness(noisy.intensity, noisy.sd)
    wanted = roughness(spectra.intensity, spectra.sd)
    # neighbours' differences over the sd show how much the channels share
    assert abs(found / wanted - 1) < 0.1
    assert abs(float(noisy.sd.mean()) / spectra.sd.mean() - 1) < 0.05


def test_without_normalisation_and_background(series):
    spectra = eb.Preprocessor((677, 737), 0.5)(series.signals)
    # the background belongs to the reference power law, which nothing subtracts here
    library = eb.FingerprintLibrary.example().resample(spectra.energy)
    reference = np.array([float(spectra.intensity[:, 0].mean()), 3.0])
    n_basis = N_BASIS + len(library.nuisances)
    model = ForwardModel(
        library,
        LibraryFit(),
        reference,
        np.zeros(n_basis),
        1e-12 * np.eye(n_basis),
        np.full(4, 0.25),
        np.eye(4) / 4,
        (),
    )
    pairs = reinsertion(model, spectra).draw(400, np.random.default_rng(11))
    assert (pairs.noisy.flag == 0).all()
    power = reference[0] * (spectra.energy / spectra.energy[0]) ** -3.0
    error = (pairs.noisy.intensity - pairs.clean).numpy() - power
    assert np.abs(error.mean(0)).max() < 5 * np.sqrt(reference[0] / 400)


def test_readout_noise_is_put_back(series):
    """Channel-to-channel scatter and sd of drawn spectra are those of the noisy detector's."""
    rng = np.random.default_rng(3)
    signals = []
    for signal in series.signals:
        noisy = signal.deepcopy()
        noisy.data = noisy.data + rng.normal(0.0, 40.0, noisy.data.shape)
        noisy.metadata.set_item(
            "Signal.Noise_properties.Variance_linear_model",
            {"gain_factor": 1.0, "gain_offset": 1600.0, "correlation_factor": 1.0},
        )
        signals.append(noisy)
    spectra = preprocessor()(signals)
    assert spectra.images[0].readout == 1600.0
    drawn = reinsertion(population(spectra), spectra).draw(2000, rng).noisy

    def scatter(intensity):
        return np.diff(np.asarray(intensity), axis=1).std() / np.sqrt(2)

    assert float(drawn.sd.mean()) == pytest.approx(spectra.sd.mean(), rel=0.05)
    assert scatter(drawn.intensity) == pytest.approx(scatter(spectra.intensity), rel=0.05)

"""Reinsertion: what it draws is what the forward model and the preprocessing promise."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

import eels_bayes as eb
from eels_bayes.forward_model.clean_edges import mixture_edges
from eels_bayes.forward_model.fit import fit_forward_model
from eels_bayes.forward_model.reinsertion import reinsertion

TAIL = 2.0  # exponent that an edge falls with behind the window


def preprocessor(dispersion=0.25, **options):
    windows = {"background": (600, 675), "normalize": (570, 592.5)} | options
    return eb.Preprocessor((677, 737), dispersion, **windows)


def fit(spectra, iterations=10, **options):
    return fit_forward_model(
        spectra,
        eb.FingerprintLibrary.example(),
        effort=eb.Effort(forward_iterations=iterations),
        show_progressbar=False,
        **options,
    )


def detected(series, gain=1.0, readout=0.0):
    """The series as a detector of another gain and with readout noise shows it."""
    rng = np.random.default_rng(3)
    signals = []
    for signal in series.signals:
        noisy = signal.deepcopy()
        noisy.data = gain * noisy.data + rng.normal(0.0, np.sqrt(readout), noisy.data.shape)
        noisy.metadata.set_item(
            "Signal.Noise_properties.Variance_linear_model",
            {"gain_factor": gain, "gain_offset": readout, "correlation_factor": 1.0},
        )
        signals.append(noisy)
    return signals


@pytest.fixture(scope="module")
def series():
    return eb.simulate.annealing_series(n_images=2, shape=(8, 8), seed=1)


@pytest.fixture(scope="module")
def spectra(series):
    return preprocessor(align=(565, 600))(series.signals)


@pytest.fixture(scope="module")
def source(spectra):
    """With pure and mixed pixels of weights that are easily told apart."""
    model = fit(spectra)
    pair_weights = np.array(
        [[0.4, 0.1, 0.0, 0.0], [0.0, 0.2, 0.0, 0.1], [0.0, 0.0, 0.1, 0.0], [0.0, 0.0, 0.0, 0.1]]
    )
    weights = np.array([0.45, 0.3, 0.1, 0.15])
    model = dataclasses.replace(model, class_weights=weights, pair_weights=pair_weights)
    return reinsertion(model, spectra)


def still(source, *, sd=(), overlap=0.0, **fields):
    """The same experiment with hardly any spread, one dose, and channels that lie on the axis.

    ``sd`` begins with those of the amplitude and of the exponent; ``overlap`` is the last
    coefficient's mean and sd.
    """
    mean, width = source.model.mean.copy(), np.full(len(source.model.mean), 1e-9)
    width[: len(sd)] = sd
    mean[-1], width[-1] = overlap, max(overlap, 1e-9)
    model = dataclasses.replace(source.model, mean=mean, covariance=np.diag(width**2))
    one = np.full_like(source.norm, np.median(source.norm))
    still = {"model": model, "norm": one, "offset": np.zeros_like(one)}
    return dataclasses.replace(source, **(still | fields))


def without_norm(source):
    """The same experiment, but norms are not measured: those drawn are true."""
    pre = copy.deepcopy(source.preprocessor)
    pre.normalize = None
    return dataclasses.replace(source, preprocessor=pre)


def power_law(source):
    """The same experiment on a bare power law of the preprocessor's own mean exponent."""
    continuum = source.model.continuum
    exponent = float(source.preprocessor.extractor.exponent[0])
    continuum = dataclasses.replace(
        continuum,
        reference=np.array([continuum.reference[0], exponent]),
        free=np.zeros_like(continuum.free),
    )
    mean = np.zeros_like(source.model.mean)
    return dataclasses.replace(
        source, model=dataclasses.replace(source.model, continuum=continuum, mean=mean)
    )


def bin_rate(source, edge):
    """Mean intensity (B,) that a bin should show of one edge (L,)."""
    model, bins = source.model, source.model.continuum.energy
    rate = model.continuum.center(bins)
    rate = rate + model.continuum.columns(bins, model.library) @ model.mean
    energy = model.library.energy
    step = energy[1] - energy[0]
    n = round((bins[1] - bins[0]) / step)
    fine = energy[0] + step * np.arange(4 * len(bins) * n)  # far beyond the last bin
    shown = np.interp(fine, energy, edge) * np.minimum(1.0, (energy[-1] / fine) ** TAIL)
    first = int(np.argmin(np.abs(bins - (energy[0] + 0.5 * step * (n - 1)))))
    means = shown.reshape(-1, n).mean(1)
    rate[first:] += means[: len(bins) - first]
    return rate


def electrons(pairs):
    """Electrons (n, B) in the bins: without readout noise, level is gain over the dose a bin."""
    return pairs.profile.double().numpy() / pairs.level.double().numpy()[:, None]


# -- edges ------------------------------------------------------------------------------------


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


def test_mixed_edges_have_the_shares_that_are_asked_for(source):
    first, second = np.array([0, 3, 2, 1]), np.array([1, 2, 2, 0])
    share = np.array([0.7, 0.25, 1.0, 0.0])
    clean = source.mixed_edges(first, second, share, np.random.default_rng(0))
    wanted = [[0.7, 0.3, 0, 0], [0, 0, 0.75, 0.25], [0, 0, 1, 0], [1, 0, 0, 0]]
    np.testing.assert_allclose(clean.fractions, wanted)
    np.testing.assert_allclose(clean.values, wanted @ source.model.library.class_values)
    n = 3000
    many = [np.full(n, x) for x in (0, 3, 0.5)]
    edge = source.mixed_edges(*many, np.random.default_rng(1)).spectra
    areas = source.model.library.class_spectra.sum(1)
    found = edge.sum(1)
    assert abs(found.mean() / (0.5 * (areas[0] + areas[3])) - 1) < 5 * found.std() / np.sqrt(n)


def test_clean_spectra_are_edges_and_overlapping_shapes(source):
    source = still(source, overlap=0.08)
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


# -- binned counts ----------------------------------------------------------------------------


@pytest.mark.parametrize(("dose", "gain"), [(1.0, 1.0), (0.3, 2.5)])
def test_binned_counts_are_poisson_of_the_right_mean(source, dose, gain):
    source = still(source, gain=np.full_like(source.gain, gain))
    n = 4000
    edge = source.model.library.class_spectra[0]
    pairs = source.draw(n, np.random.default_rng(2), edge=np.tile(edge, (n, 1)), dose=dose)
    found = electrons(pairs)
    np.testing.assert_allclose(found, found.round(), rtol=0, atol=2e-3)  # whole electrons
    bins, step = source.model.continuum.energy, source.energy[1] - source.energy[0]
    size = (bins[1] - bins[0]) / step
    wanted = bin_rate(source, edge) * source.norm[0] * dose * size / gain
    score = (found.mean(0) - wanted) / np.sqrt(wanted / n)
    assert np.abs(score).max() < 4.5 and abs((score**2).mean() - 1) < 0.5
    # variance over mean of Poisson numbers: 1 with an error of (2 / n)^(1/2)
    fano = found.var(0) / wanted
    assert np.abs(fano - 1).max() < 5 * np.sqrt(2 / n)
    # and independent: neighbours' correlations are noise
    centred = (found - wanted) / np.sqrt(wanted)
    neighbours = (centred[:, 1:] * centred[:, :-1]).mean(0)
    assert np.abs(neighbours).max() < 5 / np.sqrt(n)


def test_profiles_without_noise_are_the_mean_of_the_counts(source):
    source = without_norm(source)
    n, model = 200, source.model
    edge, dose = source.edges(n, np.random.default_rng(2)).spectra, 1e6
    pairs = source.draw(n, np.random.default_rng(3), edge=edge, dose=dose)
    u = source.coefficients(n, np.random.default_rng(3))  # the same stream
    found = source.profile(edge, u)
    assert found.shape == pairs.profile.shape
    # level is the variance of an intensity of one
    sd = np.sqrt(found * pairs.level.double().numpy()[:, None])
    assert (sd < 2e-3 * found).all()
    score = (pairs.profile.double().numpy() - found) / sd
    assert np.abs(score).max() < 5.5
    assert abs(score.mean()) < 5 / np.sqrt(score.size)
    assert abs((score**2).mean() - 1) < 5 * np.sqrt(2 / score.size)
    # and known apart from it, with every part linear
    mean = model.mean[None]
    for one in (edge[:1], edge[1:2]):
        shown = source.profile(one, mean)[0]
        np.testing.assert_allclose(shown, bin_rate(source, one[0]), rtol=1e-9)
    both = source.profile(edge[:1] + edge[1:2], u[:1] + u[1:2])
    nothing = source.profile(0 * edge[:1], 0 * u[:1])
    np.testing.assert_allclose(both + nothing, found[:1] + found[1:2], rtol=1e-9)


def test_readout_noise_adds_to_the_binned_counts(source):
    gain, readout = 2.5, 400.0
    source = still(without_norm(source), gain=np.full_like(source.gain, gain), readout=readout)
    n = 4000
    edge = np.zeros((n, len(source.model.library.energy)))
    pairs = source.draw(n, np.random.default_rng(2), edge=edge)
    channels = (source.model.continuum.energy[1] - source.model.continuum.energy[0]) / 0.25
    counts = pairs.profile.double().numpy() * source.norm[0] * channels
    wanted = bin_rate(source, edge[0]) * source.norm[0] * channels
    variance = gain * wanted + readout * channels
    score = (counts.mean(0) - wanted) / np.sqrt(variance / n)
    assert np.abs(score).max() < 4.5
    assert np.abs(counts.var(0) / variance - 1).max() < 5 * np.sqrt(2 / n)


class Watched:
    """A preprocessor that keeps the counts it is given."""

    def __init__(self, pre):
        self.pre, self.normalize, self.unit = pre, pre.normalize, pre.unit

    def extract(self, canonical, variance, norm, factor):
        self.canonical = canonical
        return self.pre.extract(canonical, variance, norm, factor)


@pytest.mark.parametrize("dispersion", [0.25, 0.6, 1.0])
def test_profiles_and_edge_spectra_are_of_the_same_electrons(series, dispersion):
    spectra = preprocessor(dispersion, align=(565, 600), background=(601, 675))(series.signals)
    source = reinsertion(fit(spectra, iterations=2), spectra)
    watched = Watched(source.preprocessor)
    source = dataclasses.replace(source, preprocessor=watched)
    pairs, edges = source.draw_edges(300, np.random.default_rng(3))
    bins, width = spectra.profile_energy, spectra.preprocessor.bin_width
    energy, counts = spectra.canonical_energy, watched.canonical.double().numpy()
    found = electrons(pairs)
    inside = 0
    for k, centre in enumerate(bins):
        low, high = centre - 0.5 * width, centre + 0.5 * width
        mine = (energy > low) & (energy < high)
        if mine.sum() * dispersion < width - 1e-9:  # not wholly on the axis
            continue
        np.testing.assert_allclose(found[:, k], counts[:, mine].sum(1), rtol=3e-5, atol=1e-2)
        inside += 1
    assert inside == np.floor(60 / width + 1e-9) + np.floor((677 - energy[0]) / width + 1e-9)
    # gross intensity in the window: the edge spectrum with its background, binned
    amplitude, exponent = edges.background.double().numpy().T
    window = spectra.energy
    background = amplitude[:, None] * (window / window[0]) ** -exponent[:, None]
    gross = edges.intensity.double().numpy() + background
    size = round(width / dispersion)
    n_whole = len(window) // size
    gross = gross[:, : n_whole * size].reshape(300, n_whole, size).mean(2)
    first = int(np.argmin(np.abs(bins - (677 - 0.5 * dispersion + 0.5 * width))))
    np.testing.assert_allclose(pairs.profile[:, first : first + n_whole], gross, rtol=1e-4)


def test_both_ways_of_drawing_agree(source):
    source = still(source, sd=(0.02, 0.05))
    n = 3000
    one = source.draw(n, np.random.default_rng(4)).profile.double().numpy()
    two = source.draw_edges(n, np.random.default_rng(5))[0].profile.double().numpy()
    error = np.sqrt((one.var(0) + two.var(0)) / n)
    assert np.abs((one.mean(0) - two.mean(0)) / error).max() < 4.5
    assert np.abs(one.var(0) / two.var(0) - 1).max() < 5 * np.sqrt(4 / n)


def test_drawn_profiles_are_spread_as_those_that_were_fitted():
    # Many images, so that what an image's pixels share goes with no class by chance.
    series = eb.simulate.annealing_series(n_images=48, shape=(6, 6), seed=2)
    spectra = preprocessor(0.5, align=(565, 600))(series.signals)
    source = reinsertion(fit(spectra, iterations=60), spectra)
    white = source.model.white
    data = spectra.profile.astype(float) * white
    drawn = source.draw(5000, np.random.default_rng(5)).profile.double().numpy() * white
    error = np.sqrt(data.var(0) / len(data) + drawn.var(0) / len(drawn))
    score = (data.mean(0) - drawn.mean(0)) / error
    assert np.sqrt((score**2).mean()) < 1.2
    # the mean is free before the window and smooth in it: a little is left at the border
    assert np.abs((data.mean(0) - drawn.mean(0)) / white).max() < 0.08
    ratio = drawn.var(0) / data.var(0)
    assert abs(ratio.mean() - 1) < 0.05 and np.abs(ratio - 1).max() < 0.35
    # the main directions of either spread are as wide in the other
    covariances = [np.cov(rows.T) for rows in (data, drawn)]
    for one in covariances:
        vector = np.linalg.eigh(one)[1][:, -4:]
        widths = [np.einsum("bi,bc,ci->i", vector, c, vector) for c in covariances]
        assert np.abs(widths[1] / widths[0] - 1).max() < 0.25


# -- norms and levels -------------------------------------------------------------------------


@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_norms_have_the_noise_of_their_window(source, series, gain):
    source = still(source, gain=np.full_like(source.gain, gain))
    n, pre = 4000, source.preprocessor
    edge = np.zeros((n, len(source.model.library.energy)))
    pairs = source.draw(n, np.random.default_rng(6), edge=edge)
    bins = source.model.continuum.energy
    size = (bins[1] - bins[0]) / 0.25
    # level is gain over the measured dose of a bin
    norm = gain / (pairs.level.double().numpy() * size)
    low, high = pre.normalize
    total = norm.mean() / pre.unit * (high - low) / 0.25  # counts in the window
    assert norm.std() / norm.mean() == pytest.approx(np.sqrt(gain / total), rel=0.1)
    assert norm.mean() == pytest.approx(source.norm[0], rel=0.01)
    # and so has the preprocessor's, on counts of the same dose
    image = series.signals[0]
    axis = image.axes_manager[-1]
    counts = image.data.reshape(-1, axis.size).mean(0)
    inside = (axis.axis > low) & (axis.axis < high)
    counts = counts * total / counts[inside].sum()
    rng = np.random.default_rng(7)
    redrawn = torch.as_tensor(gain * rng.poisson(counts / gain, (n, axis.size))).float()
    found = pre(redrawn, eb.EnergyAxis(axis.offset, axis.scale, axis.size), gain=gain)
    measured = found.norm.double().numpy()
    assert measured.mean() == pytest.approx(norm.mean(), rel=0.02)
    ratio = (measured.std() / measured.mean()) / (norm.std() / norm.mean())
    assert ratio == pytest.approx(1.0, abs=0.1)
    assert float(found.level.mean()) == pytest.approx(float(pairs.level.mean()), rel=0.02)


def test_profiles_are_relative_to_the_measured_norm(source, spectra):
    pre = source.preprocessor
    pairs, _ = source.draw_edges(200, np.random.default_rng(8))
    bins, width = spectra.profile_energy, pre.bin_width
    low, high = pre.normalize
    share = np.minimum(high, bins + width / 2) - np.maximum(low, bins - width / 2)
    share = np.clip(share, 0.0, None)
    # what the norm was measured on is one unit of it, noise and all
    found = pairs.profile.double().numpy() @ share / share.sum()
    np.testing.assert_allclose(found, 1 / pre.unit, rtol=1e-4)
    measured = spectra.profile @ share / share.sum()
    assert measured.mean() == pytest.approx(1 / pre.unit, rel=2e-3)


@pytest.mark.parametrize("background", [(600, 675), (650, 680)])
@pytest.mark.parametrize(("gain", "readout"), [(1.0, 0.0), (2.5, 0.0), (1.0, 900.0), (2.5, 900.0)])
def test_levels_are_the_preprocessors(series, background, gain, readout):
    spectra = preprocessor(0.5, background=background)(detected(series, gain, readout))
    source = reinsertion(fit(spectra, iterations=2), spectra)
    pairs, _ = source.draw_edges(2000, np.random.default_rng(9))
    for drawn in (pairs, source.draw(2000, np.random.default_rng(9))):
        mean = float(drawn.level.double().mean())
        assert mean == pytest.approx(spectra.level.mean(dtype=float), rel=0.03)


# -- edge spectra -----------------------------------------------------------------------------


def test_pairs_fit_together(source):
    pairs, edges = source.draw_edges(700, np.random.default_rng(2))
    n_channels, n_bins = len(source.model.library.energy), len(source.model.continuum.energy)
    assert pairs.clean.shape == edges.intensity.shape == edges.sd.shape == (700, n_channels)
    assert pairs.profile.shape == (700, n_bins) and pairs.level.shape == (700,)
    assert (edges.flag == 0).all()
    # noisy minus clean is noise of the reported size: its mean square is near one everywhere
    chi2 = ((edges.intensity - pairs.clean) / edges.sd).square().mean()
    assert 0.85 < float(chi2) < 1.25
    assert all(x.dtype == torch.float32 for x in (*pairs, edges.intensity))


@pytest.mark.parametrize(("gain", "readout"), [(1.0, 0.0), (2.5, 400.0)])
def test_noise_has_the_reported_sd_in_every_channel(source, gain, readout):
    # The reported sd holds the prior's spread of the exponent, so the draws have just that spread
    spread = float(source.preprocessor.extractor.exponent[1])
    source = still(
        power_law(without_norm(source)),
        sd=(1e-9, spread),
        gain=gain * np.ones_like(source.norm),
        readout=readout,
    )
    n = 5000
    edge = np.repeat(source.model.library.class_spectra[:1], n, axis=0)
    pairs, edges = source.draw_edges(n, np.random.default_rng(3), edge=edge)
    error = edges.intensity - pairs.clean
    reported = edges.sd.square().mean(0).sqrt()
    ratio = error.std(0) / reported  # sampling error about 1 %
    assert (ratio - 1).abs().max() < 0.10
    assert (error.mean(0).abs() < 0.1 * reported).all()


@pytest.mark.parametrize("offset", [0.0, 0.0625, 0.125, 0.2])
def test_offsets_within_a_channel_do_not_move_a_sharp_edge(source, offset):
    source = still(power_law(without_norm(source)), offset=np.full_like(source.norm, offset))
    energy = source.model.library.energy
    n = 400
    peak = 5.0 * np.exp(-0.5 * ((energy - 700.1) / 0.8) ** 2)
    _, edges = source.draw_edges(n, np.random.default_rng(4), edge=np.tile(peak, (n, 1)), dose=1e4)
    mean = edges.intensity.double().mean(0).numpy()
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

    def drawn(seed, dose):
        return source.draw_edges(n, np.random.default_rng(seed), edge=edge, dose=dose)

    draws = [drawn(5, dose) for dose in (1.0, 4.0)]
    for wide, narrow in (
        [float(edges.intensity.std(0).mean()) for _, edges in draws],
        [float(edges.sd.mean()) for _, edges in draws],
        [float(pairs.profile.std(0).mean()) for pairs, _ in draws],
        [float(pairs.level.mean().sqrt()) for pairs, _ in draws],
    ):
        assert abs(wide / narrow - 2) < 0.05
    doses = np.where(np.arange(n) % 2, 0.25, 4.0)
    pairs, edges = drawn(6, doses)
    ratio = edges.sd[doses == 0.25].mean() / edges.sd[doses == 4.0].mean()
    assert abs(float(ratio) - 4) < 0.15
    ratio = pairs.level[doses == 0.25].mean() / pairs.level[doses == 4.0].mean()
    assert abs(float(ratio) - 16) < 0.5


def test_same_stream_same_draw_and_global_streams_untouched(source):
    before = torch.get_rng_state()
    numpys = np.random.get_state()[1].copy()  # noqa: NPY002

    def everything(seed):
        pairs, edges = source.draw_edges(300, np.random.default_rng(seed))
        return (*source.draw(300, np.random.default_rng(seed)), *pairs, *edges)

    first = everything(7)
    torch.rand(5)
    again, other = everything(7), everything(8)
    torch.set_rng_state(before)
    everything(7)
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpys).all()  # noqa: NPY002
    for one, two in zip(first, again, strict=True):
        assert torch.equal(one, two)
    assert not torch.equal(first[1], other[1])


def test_given_edges_keep_their_shape(source):
    edge = np.zeros((3, len(source.model.library.energy)))
    overlap = source.model.library.nuisances[0]
    for pairs in (
        source.draw(3, np.random.default_rng(9), edge=edge),
        source.draw_edges(3, np.random.default_rng(9), edge=edge)[0],
    ):
        along = pairs.clean.double().numpy() @ overlap / (overlap @ overlap)
        np.testing.assert_allclose(pairs.clean, along[:, None] * overlap, atol=1e-6)


@pytest.mark.parametrize("dispersion", [0.25, 0.5, 0.6, 1.0])
def test_drawn_pixels_look_like_the_measured_ones(series, dispersion):
    # No alignment: the detector's channels lie as they lie, also where several make one
    spectra = preprocessor(dispersion)(series.signals)
    source = reinsertion(fit(spectra), spectra)
    pairs, edges = source.draw_edges(1000, np.random.default_rng(10))

    def roughness(rows, sd):
        steps = np.diff(np.asarray(rows, float), axis=1) / np.asarray(sd, float)[:, 1:]
        return float((steps**2).mean())

    found = roughness(edges.intensity, edges.sd)
    wanted = roughness(spectra.intensity, spectra.sd)
    # neighbours' differences over the sd show how much the channels share
    assert abs(found / wanted - 1) < 0.1
    assert abs(float(edges.sd.mean()) / spectra.sd.mean() - 1) < 0.05
    found, wanted = (
        roughness(x.profile, np.asarray(x.level)[:, None] ** 0.5 * np.ones(x.profile.shape))
        for x in (pairs, spectra)
    )
    assert abs(found / wanted - 1) < 0.05


def test_without_normalisation_and_background(series):
    spectra = eb.Preprocessor((677, 737), 0.5)(series.signals)
    # the background belongs to the reference power law, which nothing subtracts here
    source = still(reinsertion(fit(spectra, iterations=2), spectra))
    pairs, edges = source.draw_edges(400, np.random.default_rng(11))
    assert (edges.flag == 0).all()
    model = source.model
    rate = model.continuum.center(spectra.energy)
    rate = rate + model.continuum.columns(spectra.energy, model.library) @ model.mean
    rate *= source.norm[0]
    overlap = np.maximum(model.mean[-1], 0.0) * model.library.nuisances[0]
    error = (edges.intensity - pairs.clean).double().numpy() - (rate - overlap)
    assert np.abs(error.mean(0)).max() < 5 * np.sqrt(rate.max() / 400)


def test_readout_noise_is_put_back(series):
    """Channel-to-channel scatter and sd of drawn spectra are those of the noisy detector's."""
    spectra = preprocessor()(detected(series, readout=1600.0))
    assert spectra.images[0].readout == 1600.0
    source = reinsertion(fit(spectra), spectra)
    pairs, drawn = source.draw_edges(2000, np.random.default_rng(3))

    def scatter(intensity):
        return np.diff(np.asarray(intensity), axis=1).std() / np.sqrt(2)

    assert float(drawn.sd.mean()) == pytest.approx(spectra.sd.mean(), rel=0.05)
    assert scatter(drawn.intensity) == pytest.approx(scatter(spectra.intensity), rel=0.05)
    assert scatter(pairs.profile) == pytest.approx(scatter(spectra.profile), rel=0.05)


def test_mixtures_are_of_two_classes_as_frequent_as_in_the_data(source, rng):
    fractions = mixture_edges(source.model, 4000, rng).fractions
    np.testing.assert_allclose(fractions.sum(1), 1.0)
    assert ((fractions > 0.05).sum(1) == 2).all()
    first = (fractions[:, 0] > 0) & (fractions[:, 1] > 0)
    assert first.mean() == pytest.approx(0.5, abs=0.03)
    assert ((fractions[:, 1] > 0) & (fractions[:, 3] > 0))[~first].all()
    pure = dataclasses.replace(source.model, pair_weights=np.diag(source.model.class_weights))
    assert mixture_edges(pure, 10, rng) is None

"""The compiled classifier: the slow path's numbers, whatever counts, backend and file."""

import copy
import dataclasses
import io
import json
import math
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import eels_bayes as eb
from eels_bayes import tensor_file
from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.data.flags import Flag
from eels_bayes.fast import fast_file, inductor_backend
from eels_bayes.fast.backends import following
from eels_bayes.fast.classifier import load_fast
from eels_bayes.fast.fast_file import KIND
from eels_bayes.fast.following import FOLLOWING
from eels_bayes.fast.graph import CHUNK, N_COLUMNS
from eels_bayes.prediction.known_readings import N_VALUES
from eels_bayes.prediction.novelty import N_TABLE

# enough for pixels of all classes to be told apart
BRIEF = dataclasses.replace(eb.Effort.quick(), vae=eb.Schedule(10, 20, 3e-3), gp_steps=200)
TOLERANCE = {
    "probabilities": 1e-4,
    "total": 1e-3,
    "aleatoric": 1e-3,
    "encoder": 1e-3,
    "classifier": 1e-3,
    "novelty": 1.001 / (N_TABLE + 1),  # a rank: rounding may take a pixel across one quantile
    "value": 1e-4,
    "value_sd": 1e-4,
}
NEEDS_ONNX = "backend='onnx' is an extra: pip install 'eels-bayes[onnx]'"
NEEDS_COMPILER = "backend='inductor' needs a C++ compiler"
BACKENDS = ["torchscript", "onnx"]


def new(library=None, **options):
    settings = {"latent_dim": 8, "effort": BRIEF} | options
    return eb.EELSClassifier(library or eb.FingerprintLibrary.example(), **settings)


@pytest.fixture(scope="module")
def signals(series):
    return series.signals


@pytest.fixture(scope="module")
def energy(signals):
    return signals[0].axes_manager.signal_axes[0].axis


@pytest.fixture(scope="module")
def counts(signals):
    """All images' counts (320, E)."""
    return np.concatenate([signal.data.reshape(80, -1) for signal in signals])


@pytest.fixture(scope="module")
def clf(spectra):
    return new().fit(spectra, show_progressbar=False)


def compiled(clf, energy, backend, **options):
    if backend == "onnx":
        pytest.importorskip("onnx", reason=NEEDS_ONNX)
        pytest.importorskip("onnxruntime", reason=NEEDS_ONNX)
    if backend == "inductor" and not inductor_backend.available():
        pytest.skip(NEEDS_COMPILER)
    return clf.compile(clf.preprocessor, energy=energy, backend=backend, **options)


@pytest.fixture(scope="module", params=BACKENDS)
def fast(request, clf, energy):
    return compiled(clf, energy, request.param)


@pytest.fixture(scope="module")
def scripted(clf, energy):
    return compiled(clf, energy, "torchscript")


@pytest.fixture(scope="module")
def machine_code(clf, energy):
    """Which takes too long to compile for all tests."""
    return compiled(clf, energy, "inductor")


@pytest.fixture(scope="module")
def exported_to_onnx(clf, energy):
    return compiled(clf, energy, "onnx")


@pytest.fixture(scope="module")
def reading(fast, counts, spectra):
    """All pixels, each with its own image's shift."""
    return fast(counts, spectra.shift)


def assert_agree(one, other, rows=slice(None), scale=1.0):
    """Every field of `one` is that of `other` in its `rows`; `scale` multiplies tolerances."""
    for name, tolerance in TOLERANCE.items():
        found, expected = getattr(one, name), getattr(other, name)[rows]
        np.testing.assert_allclose(found, expected, rtol=0, atol=scale * tolerance, err_msg=name)
    moved = np.abs(one.novelty - other.novelty[rows]) > scale * 1e-3
    assert moved.sum() <= 0.01 * moved.size
    np.testing.assert_array_equal(one.flag, other.flag[rows], "flag")
    # two classes whose probabilities are equal within their tolerance may change places
    tied = lead(other.probabilities[rows]) <= 2 * scale * TOLERANCE["probabilities"]
    assert tied.sum() <= max(1, 0.002 * tied.size)
    labels = [np.where(tied, -1, of) for of in (one.labels, other.labels[rows])]
    np.testing.assert_array_equal(*labels, "labels")


def lead(probabilities):
    """By how much the likeliest class is likelier than the next; infinite where none was read."""
    ordered = np.sort(probabilities, axis=-1)
    return np.nan_to_num(ordered[..., -1] - ordered[..., -2], nan=np.inf)


# --- the same as the slow path


def test_all_pixels_are_read_as_by_the_slow_path(reading, clf, spectra):
    prediction = clf.predict(spectra)
    assert_agree(reading, prediction)
    assert len(np.unique(prediction.labels)) >= 3 and prediction.probabilities.max() > 0.8
    assert len(np.unique(spectra.shift)) == 4 and np.abs(spectra.shift).max() > 0.2
    np.testing.assert_allclose(reading.probabilities.sum(1), 1.0, atol=1e-5)
    parts = reading.aleatoric + reading.encoder + reading.classifier
    np.testing.assert_allclose(parts, reading.total, atol=1e-5)


def test_images_by_their_own_drift_are_read_as_by_the_slow_path(fast, clf, spectra, signals):
    prediction = clf.predict(spectra)
    for k, signal in enumerate(signals):
        image = signal.data.reshape(80, -1)
        drift = fast.drift(image)
        assert drift == pytest.approx(float(spectra.shift[80 * k]), abs=1e-5)
        assert_agree(fast(image, drift), prediction, slice(80 * k, 80 * k + 80))


def test_the_drift_is_removed_unless_another_is_asked_for(scripted, clf, spectra, signals):
    image, prediction = signals[3].data.reshape(80, -1), clf.predict(spectra)
    assert abs(float(spectra.shift[240])) > 0.2
    assert_agree(scripted(image), prediction, slice(240, 320))
    moved = scripted(image, 0.0).probabilities - prediction.probabilities[240:320]
    assert np.abs(moved).max() > 0.05
    # a single spectrum is an image of its own
    alone = clf.predict(clf.preprocessor(signals[3].inav[2, 1]))
    assert_agree(scripted(signals[3].inav[2, 1].data[None]), alone)


def test_what_was_not_measured_is_flagged(scripted, counts, spectra):
    shift, given = float(spectra.shift[0]), counts[:4].copy()
    good = scripted(given, shift)
    assert (good.flag == 0).all()
    given[0, :600] = 0  # a border, filled up
    masked = np.ma.array(given, mask=False)
    masked[1, 700] = np.ma.masked
    found = scripted(masked, shift)
    assert found.flag.tolist() == [eb.Flag.NON_FINITE, eb.Flag.NON_FINITE, 0, 0]
    np.testing.assert_array_equal(found.probabilities[2:], good.probabilities[2:])
    full = np.round(counts[:4]).astype(np.uint16)
    full[2, 700] = 65535
    assert scripted(full, shift).flag.tolist() == [0, 0, eb.Flag.NON_FINITE, 0]


def test_counts_at_the_ceiling_of_the_series_are_flagged(scripted, counts, spectra, tmp_path):
    shift, ceiling = float(spectra.shift[0]), 5000.0
    pre = copy.deepcopy(scripted._preprocessor)
    pre.ceiling.fill_(ceiling)
    fast_file.write(tmp_path / "model.fast", scripted._parts._replace(preprocessor=pre))
    saturating = load_fast(tmp_path / "model.fast")
    rows = counts[:4].copy()
    rows[1, 700] = ceiling
    assert rows.max() == ceiling
    assert saturating(rows, shift).flag.tolist() == [0, Flag.NON_FINITE, 0, 0]
    rows[2, 700] = ceiling + 1  # of a longer exposure, then
    assert saturating(rows, shift).flag.tolist() == [0, 0, 0, 0]
    assert scripted(rows, shift).flag.tolist() == [0, 0, 0, 0]


@pytest.mark.filterwarnings("ignore:predict.* have a novelty above")  # as they should
def test_pixels_of_another_day_are_read_as_by_the_slow_path(fast, clf):
    process = eb.simulate.Process(spikes=0.2, unknown=0.2)
    series = eb.simulate.annealing_series(n_images=2, shape=(6, 5), seed=1, process=process)
    spectra = clf.preprocessor(series.signals)
    prediction = clf.predict(spectra)
    rows = np.concatenate([signal.data.reshape(30, -1) for signal in series.signals])
    assert_agree(fast(rows, spectra.shift), prediction)
    assert prediction.novelty.max() > 0.999


def test_machine_code_reads_as_the_slow_path(machine_code, clf, spectra, counts, energy):
    reading, expected = machine_code(counts, spectra.shift), clf.predict(spectra)
    assert_agree(reading, expected)
    for n in (1, 7, 200):
        assert_agree(machine_code(counts[:n], spectra.shift[:n]), reading, slice(0, n), 0.1)
    assert machine_code(counts[:0], 0.0).probabilities.shape == (0, 4)
    rows = counts[:6].astype(np.float32)
    rows[0, 900], rows[1, 1200], rows[2], rows[3], rows[4] = np.nan, np.inf, 0.0, 7.0, 1e30
    found = assert_flagged_alike(machine_code, clf, energy, rows, 0.4)
    assert (found.flag[:5] > 0).all() and found.flag[5] == 0


def noise_model(signal, gain, readout, correlation=1.0):
    signal = signal.deepcopy()
    node = "Signal.Noise_properties.Variance_linear_model"
    for name, value in (
        ("gain_factor", gain),
        ("gain_offset", readout),
        ("correlation_factor", correlation),
    ):
        signal.metadata.set_item(f"{node}.{name}", value)
    return signal


@pytest.mark.parametrize("backend", BACKENDS)
def test_gain_and_readout_are_those_of_the_metadata(backend, clf, signals, energy):
    signal = noise_model(signals[0], 2.0, 30.0, 1.5)
    spectra = clf.preprocessor(signal)
    fast = compiled(clf, energy, backend, noise=(3.0, 45.0))
    image, shift = signal.data.reshape(80, -1), float(spectra.shift[0])
    prediction = clf.predict(spectra)
    assert_agree(fast(image, shift), prediction)
    for other in ({}, {"noise": (3.0,)}, {"noise": (1.0, 45.0)}):
        without = compiled(clf, energy, "torchscript", **other)(image, shift)
        assert np.abs(without.probabilities - prediction.probabilities).max() > 1e-3


def edge_library(names, spectra):
    """Hydrogenic edges of several intensities, a class each, and no edge: see the example."""
    from exspy.components import EELSCLEdge

    energy = spectra.energy
    step = energy[1] - energy[0]
    within = (np.arange(20) - 9.5) / 20 * step
    subshells = list(dict.fromkeys(part for name in names for part in name.split("+")))
    shapes = {}
    for name in subshells:
        edge = EELSCLEdge(name, GOS="hydrogenic")  # others are downloaded
        edge.fine_structure_active = False
        edge.set_microscope_parameters(200.0, 29.0, 36.0, step)  # as the file says
        fine = edge.function((energy[:, None] + within).ravel())
        shapes[name] = fine.reshape(len(energy), -1).mean(1)
    largest = max(shape.max() for shape in shapes.values())
    weight = 1 / np.sqrt(np.mean(spectra.sd[spectra.ok].astype(float) ** 2, axis=0))
    design = np.array([shapes[name] / largest * weight for name in subshells]).T
    covariance = np.linalg.inv(design.T @ design)
    total = ((spectra.intensity[spectra.ok] * weight) @ design @ covariance).sum(1)
    scales = np.quantile(total[total > 3 * np.sqrt(covariance.sum())], np.linspace(0.05, 0.95, 10))
    rows, labels = [np.zeros_like(energy)], ["neither"]
    for name in names:
        shape = np.mean([shapes[part] / largest for part in name.split("+")], axis=0)
        rows += [scale * shape for scale in scales]
        labels += [name] * len(scales)
    known = eb.Variations(shift=0.25 * step, broadening=0.5 * step, intensity=0.1)
    return eb.FingerprintLibrary.from_arrays(energy, rows, labels, variations=known)


@pytest.fixture(scope="module")
def of_a_file(a_copper_zinc):
    """A file's image, as it is read, with what a model fitted to a quarter of it says of it all."""
    (signal,) = eb.load(a_copper_zinc)
    signal = noise_model(signal, 4.0, 0.0)  # what its counts show
    pre = eb.Preprocessor((900, 1300), background=(780, 920), noise="metadata")
    spectra = pre(signal.inav[::2, ::2])
    clf = new(edge_library(["Cu_L3", "Zn_L3", "Cu_L3+Zn_L3"], spectra))
    # hydrogenic edges, on whose axis nothing is known, on a real image
    with pytest.warns(UserWarning, match="differ by 32 % in their counts before the edge"):
        clf.fit(spectra, show_progressbar=False)
    prediction = clf.predict(clf.preprocessor(signal))
    return signal, clf, prediction


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_image_of_a_file_is_read_as_by_the_slow_path(backend, of_a_file):
    signal, clf, prediction = of_a_file
    fast = compiled(clf, signal.axes_manager.signal_axes[0].axis, backend, noise=(4.0,))
    assert not fast.aligned and signal.data.dtype == np.int16
    rows = signal.data.reshape(-1, signal.data.shape[-1])
    found = fast(rows, 0.0)
    assert_agree(found, prediction)
    assert prediction.ok.sum() > 1900 and len(np.unique(prediction.labels[prediction.ok])) >= 3
    assert np.isnan(found.value).all() and np.isnan(found.value_sd).all()
    assert fast.drift(rows) == 0.0


def test_it_takes_the_noise_of_the_fit(series, energy):
    signals = [signal.deepcopy() for signal in series.signals]
    for signal in signals:
        signal.data = signal.data * np.float32(7.78) + np.float32(500.0)
        del signal.metadata.Signal.Noise_properties
    pre = eb.Preprocessor(
        (677, 737), 0.5, background=(600, 675), normalize=(570, 592.5), align=(565, 600)
    )
    with pytest.warns(UserWarning, match="the counts are believed"):
        spectra = pre(signals)
    clf = new().fit(spectra, show_progressbar=False)
    assert clf.preprocessor.detector_noise.gain == pytest.approx(7.78, rel=0.1)
    assert clf.preprocessor.detector_noise.offset == pytest.approx(500.0, abs=250.0)
    fast = clf.compile(clf.preprocessor, energy=energy)
    counts = np.concatenate([signal.data.reshape(80, -1) for signal in signals])
    assert_agree(fast(counts, spectra.shift), clf.predict(spectra))


# --- one path for all sizes, orders and types


def test_one_by_one_is_as_all_together(fast, counts, spectra, reading):
    for row in range(0, 320, 5):
        assert_agree(fast(counts[row], float(spectra.shift[row])), reading, row)


def test_a_single_spectrum_has_no_leading_axis(fast, counts, spectra, reading):
    for shift in (float(spectra.shift[7]), spectra.shift[7], np.asarray(spectra.shift[7])):
        found = fast(counts[7], shift)
        assert found.probabilities.shape == (4,)
        assert all(np.shape(field) == () for field in found[1:])
        assert_agree(found, reading, 7)
    assert int(found.labels) == found.probabilities.argmax()
    kept = fast(counts[7:8], float(spectra.shift[7]))
    assert kept.probabilities.shape == (1, 4) and kept.flag.shape == (1,)
    dtypes = {name: np.asarray(field).dtype for name, field in found._asdict().items()}
    assert dtypes.pop("labels") == dtypes.pop("flag") == np.int64
    assert set(dtypes.values()) == {np.dtype(np.float32)}


def test_a_reading_is_not_overwritten_by_the_next(fast, counts, spectra, reading):
    kept = [fast(counts[row], float(spectra.shift[row])) for row in range(20)]
    for row, one in enumerate(kept):
        assert_agree(one, reading, row)


def test_a_single_spectrum_without_the_static_runtime(saved, scripted, counts, monkeypatch):
    monkeypatch.delattr(torch._C, "_jit_to_static_module")
    plain = load_fast(saved)
    for row in counts[:10]:
        assert_agree(plain(row, 0.0), scripted(row, 0.0), (), scale=0.01)


@pytest.mark.parametrize("n", [0, 1, CHUNK, CHUNK + 1])
def test_any_number_of_spectra(fast, counts, spectra, reading, n):
    rows = np.arange(n) % 80  # of one image, and so of one shift
    for shift in (spectra.shift[rows], float(spectra.shift[0])):
        assert_agree(fast(counts[rows], shift), reading, rows)


def test_calls_do_not_wear_the_program_out(fast, counts, spectra, reading):
    shift = float(spectra.shift[0])
    first = fast(counts[:CHUNK], shift)
    for other in (0.7, float("nan"), 0.0, -1.2):
        fast(counts[:3], other)
        assert_agree(fast(counts[:CHUNK], shift), first, scale=0.01)
    assert_agree(fast(counts, spectra.shift), reading, scale=0.01)


def test_order_of_the_rows_does_not_matter(fast, counts, spectra, reading):
    order = np.random.default_rng(0).permutation(320)
    assert_agree(fast(counts[order], spectra.shift[order]), reading, order)


def test_shifts_may_differ_row_by_row(fast, counts):
    shifts = np.random.default_rng(1).choice([-1.3, -0.25, 0.0, 0.125, 0.6001, 2.0], 40)
    found = fast(counts[:40], shifts)
    for row, shift in enumerate(shifts):
        assert_agree(fast(counts[row], float(shift)), found, row)
    assert_agree(fast(counts[:40], list(shifts)), found, scale=0.01)
    moved = fast(counts[:40], np.zeros(40)).probabilities[shifts != 0]
    assert np.abs(moved - found.probabilities[shifts != 0]).max() > 0.01


@pytest.mark.parametrize("dtype", ["int16", "int32", "uint16", "int64", "float64", ">f4", ">i2"])
def test_any_type_of_counts(fast, counts, spectra, reading, dtype):
    whole = np.round(counts[:20])
    expected = fast(whole.astype(np.float32), float(spectra.shift[0]))
    found = fast(whole.astype(dtype), float(spectra.shift[0]))
    assert_agree(found, expected, scale=0.0)
    assert_agree(fast(whole.astype(int).tolist(), float(spectra.shift[0])), expected, scale=0.0)


def frozen(rows):
    rows.setflags(write=False)
    return rows


LAYOUTS = {
    "column by column": np.asfortranarray,
    "every second": lambda rows: np.repeat(rows, 2, axis=1)[:, ::2],
    "read-only": lambda rows: frozen(rows.copy()),
    "upside down": lambda rows: rows[::-1].copy()[::-1],
    "mirrored": lambda rows: rows[:, ::-1].copy()[:, ::-1],
    "tensor": lambda rows: torch.from_numpy(rows.copy()),
}


@pytest.fixture
def warned_each_time():
    """Torch warns of some things once a process only."""
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(before)


@pytest.mark.usefixtures("warned_each_time")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_counts_may_lie_in_memory_as_they_like(fast, counts, spectra, reading, layout):
    rows = counts[:20].astype(np.float32)
    given = LAYOUTS[layout](rows)
    assert_agree(fast(given, float(spectra.shift[0])), reading, slice(20))
    assert fast.drift(given) == pytest.approx(fast.drift(rows), abs=1e-6)
    np.testing.assert_array_equal(given, counts[:20])  # and they stay as they are


def test_it_says_what_it_is(fast, energy, clf):
    np.testing.assert_allclose(fast.energy, energy)
    assert fast.aligned and fast.head == "gp"
    assert fast.class_names == clf.library.class_names
    shown = clf.library.resample(clf.fitted.energy)
    np.testing.assert_allclose(fast.library["energy"], shown.energy)
    np.testing.assert_allclose(fast.library["spectra"], shown.class_spectra, atol=1e-6)
    np.testing.assert_allclose(fast.library["values"], shown.class_values)
    assert repr(fast) == (
        "<FastClassifier: 50 % F, 25 % F, 12.5 % F, 0 % F; 1600 channels from 390 eV; "
        f"head 'gp', backend {fast.backend!r}>"
    )


def test_it_keeps_its_own_model(clf, energy, scripted, counts, spectra):
    before = scripted(counts[:20], 0.0)
    own = copy.deepcopy(clf)
    fast = own.compile(own.preprocessor, energy=energy)
    with torch.no_grad():
        for parameter in own.fitted.encoder.parameters():
            parameter.zero_()
        own.preprocessor.typical.zero_()
    assert_agree(fast(counts[:20], 0.0), before, scale=0.01)


# --- odd counts

KINDS = st.sampled_from(
    ["good", "zeros", "constant", "nan", "inf", "-inf", "huge", "negative", "spike", "dark", "tiny"]
)
ODD = st.tuples(
    KINDS,
    st.integers(0, 319),
    st.lists(st.integers(0, 1599), min_size=1, max_size=4),
    st.floats(0.0, 30.0),
)


def odd_row(counts, kind, row, channels, power):
    """Counts (E,) that no detector should give, but some do."""
    good = counts[row].astype(np.float32)
    if kind in ("nan", "inf", "-inf"):
        good[channels] = float(kind)
    elif kind == "spike":
        good[channels] = 1e9
    elif kind == "dark":
        good = good - good.mean()
    else:
        scale = {"zeros": 0.0, "negative": -1.0, "huge": 10**power, "tiny": 10 ** (-power / 2)}
        # the scatter of larger constants is that of rounding
        good = np.full_like(good, 10 ** min(power, 20.0)) if kind == "constant" else good
        good = good * np.float32(scale.get(kind, 1.0))
    return good


def assert_flagged_alike(fast, clf, energy, rows, shift):
    """What the slow path flags is NaN, and nothing else is; the reading, for more."""
    found = fast(rows, shift)
    axis = EnergyAxis(float(energy[0]), 0.25, len(energy))
    slow = clf.preprocessor(torch.from_numpy(rows), axis, torch.full((len(rows),), shift))
    np.testing.assert_array_equal(found.flag, slow.flag.numpy())
    ok = found.flag == 0
    for name in TOLERANCE:
        field = getattr(found, name)
        assert np.isfinite(field[ok]).all() and np.isnan(field[~ok]).all(), name
    assert (found.labels[~ok] == -1).all() and (found.labels[ok] >= 0).all()
    return found


@settings(max_examples=150)
@given(
    odd=st.lists(ODD, min_size=1, max_size=6),
    shift=st.sampled_from([0.0, 0.0, 0.0, 0.3125, -1.37, 2.5, -2.0]),
)
def test_odd_counts_are_flagged_as_by_the_slow_path(scripted, clf, counts, energy, odd, shift):
    rows = np.stack([odd_row(counts, *one) for one in odd])
    found = assert_flagged_alike(scripted, clf, energy, rows, shift)
    good = np.flatnonzero([one[0] == "good" for one in odd])
    assert (found.flag[good] == 0).all()
    if len(good):  # their neighbours are nothing to them
        alone = scripted(rows[good], shift)
        for name, tolerance in TOLERANCE.items():
            np.testing.assert_allclose(
                getattr(found, name)[good], getattr(alone, name), rtol=0, atol=tolerance
            )


@pytest.mark.parametrize(
    "kind", ["zeros", "constant", "nan", "inf", "-inf", "huge", "negative", "spike", "dark", "tiny"]
)
def test_odd_counts_among_good_ones(fast, clf, counts, energy, kind):
    rows = counts[:6].astype(np.float32)
    for row, power in ((1, 0.5), (4, 14.0)):
        rows[row] = odd_row(counts, kind, row, [700, 1201], power)
    found = assert_flagged_alike(fast, clf, energy, rows, 0.0)
    others = np.array([0, 2, 3, 5])
    assert (found.flag[others] == 0).all()
    expected = fast(counts[others], 0.0)
    for name, tolerance in TOLERANCE.items():
        np.testing.assert_allclose(
            getattr(found, name)[others], getattr(expected, name), rtol=0, atol=tolerance
        )


@pytest.mark.parametrize("size", [1e17, 1e20, 1e25, 1e30])
def test_counts_too_large_to_be_squared(fast, clf, counts, energy, size):
    """Squares of such counts are infinite in single precision."""
    rows = np.stack([counts[0] * size, counts[0], counts[0]])
    rows[1, 800] = rows[2, 1250] = size
    rows = rows.astype(np.float32)
    assert_flagged_alike(fast, clf, energy, rows, 0.0)


def test_counts_beyond_single_precision(fast, counts):
    rows = counts[:3].astype(np.float64)
    rows[1] *= 1e300
    rows[2, 700] = -1e300
    found = fast(rows, 0.0)
    np.testing.assert_array_equal(found.flag, [0, Flag.NON_FINITE, Flag.NON_FINITE])
    assert np.isfinite(fast.drift(rows))


def test_odd_channels_that_nothing_needs(fast, clf, counts, energy):
    low, _ = fast.graph.plan.needed()
    outside = np.flatnonzero(energy < low - 1.0)
    assert len(outside) > 10
    rows = counts[:3].astype(np.float32)
    rows[:, outside] = np.array([[np.nan], [np.inf], [-np.inf]])
    found = assert_flagged_alike(fast, clf, energy, rows, 0.0)
    assert (found.flag == 0).all()
    assert_agree(found, fast(counts[:3], 0.0))
    rows[:, outside] = np.array([[1e6], [1e20], [1e30]])
    found = assert_flagged_alike(fast, clf, energy, rows, 0.0)
    assert (found.flag == 0).all()
    assert_agree(found, fast(counts[:3], 0.0))


def test_shifts_off_the_axis_are_flagged(fast, clf, counts, energy):
    low, high = fast.graph.plan.needed()
    shifts = np.array([0.0, 300.0, -300.0, 789.875 - high + 0.1, 389.875 - low - 0.1])
    found = fast(counts[:5], shifts)
    assert found.flag[0] == 0 and (found.flag[1:] & Flag.OFF_AXIS).all()
    assert (found.flag[3:] == Flag.OFF_AXIS).all()
    assert np.isnan(found.probabilities[1:]).all() and (found.labels[1:] == -1).all()
    inside = fast(counts[:2], np.array([789.875 - high, 389.875 - low]))
    assert (inside.flag == 0).all()
    slow = clf.preprocessor(
        torch.from_numpy(counts[:5].astype(np.float32)),
        EnergyAxis(390.0, 0.25, 1600),
        torch.from_numpy(shifts),
    )
    np.testing.assert_array_equal(found.flag, slow.flag.numpy())


def test_odd_counts_off_the_axis_are_flagged_as_by_the_slow_path(fast, clf, counts, energy):
    rows = counts[:4].astype(np.float32)
    rows[1, -1] = rows[2, 0] = np.nan
    rows[3] = 7.0
    for shift in (20.0, -20.0):
        assert_flagged_alike(fast, clf, energy, rows, shift)


@pytest.mark.parametrize("shift", [np.nan, np.inf, -np.inf])
def test_a_shift_that_is_no_number_is_flagged(fast, counts, shift):
    found = fast(counts[:2], float(shift))
    assert (found.flag == Flag.NON_FINITE).all() and np.isnan(found.probabilities).all()
    mixed = fast(counts[:3], [0.0, shift, 0.0])
    np.testing.assert_array_equal(mixed.flag, [0, Flag.NON_FINITE, 0])
    assert_agree(fast(counts[2], 0.0), mixed, 2)


# --- the drift


def test_drift_is_the_slow_paths(scripted, clf, spectra, signals):
    for k, signal in enumerate(signals):
        shift = float(spectra.shift[80 * k])
        image = signal.data.reshape(80, -1)
        assert scripted.drift(image) == pytest.approx(shift, abs=1e-5)
        assert scripted.drift(image.mean(0)) == pytest.approx(shift, abs=1e-4)
        moved = signal.deepcopy()
        moved.axes_manager.signal_axes[0].offset += 1.25  # five channels, so it is all rolled
        there = float(clf.preprocessor(moved).shift[0])
        assert there == pytest.approx(shift + 1.25, abs=1e-3)
        assert scripted.drift(np.roll(image, 5, axis=1)) == pytest.approx(shift + 1.25, abs=0.01)


def test_dead_pixels_have_no_part_in_the_drift(scripted, clf, signals):
    signal = signals[1].deepcopy()
    signal.change_dtype("float32")
    signal.data[0, :3] = np.nan
    signal.data[1, 2, 700:800] = np.inf
    shift = float(clf.preprocessor(signal).shift[0])
    image = signal.data.reshape(80, -1)
    assert scripted.drift(image) == pytest.approx(shift, abs=1e-5)
    assert scripted.drift(np.full(1600, np.nan)) == scripted.drift(np.zeros((2, 1600))) == 0.0


@pytest.mark.filterwarnings("ignore:predict.* have a novelty above")  # as they should
def test_an_image_without_the_reference_edge_does_not_drift(scripted, clf, signals):
    """Such as carbon film: the slow path says so, and leaves it as it is."""
    signal = signals[0].deepcopy()
    energy = signal.axes_manager.signal_axes[0].axis
    rate = 800 * (energy / energy[0]) ** -2.5
    signal.data = np.random.default_rng(0).poisson(rate, signal.data.shape).astype(np.float32)
    with pytest.warns(UserWarning, match="shows nothing there that resembles the reference"):
        spectra = clf.preprocessor(signal)
    assert (spectra.shift == 0).all() and spectra.ok.all()
    image = signal.data.reshape(80, -1)
    assert scripted.drift(image) == 0.0
    assert_agree(scripted(image, scripted.drift(image)), clf.predict(spectra))


# --- input errors


def test_counts_and_shifts_of_another_size(fast, counts):
    needed = r"\(n, 1600\) or \(1600,\) is needed: channels from 390 to 789.75 eV"
    for shape in ((3, 1599), (1601,), (2, 3, 1600), ()):
        with pytest.raises(ValueError, match=r"counts have shape \(.*" + needed):
            fast(np.ones(shape))
    for n in (2, 4):
        with pytest.raises(
            ValueError, match=rf"shift has shape \({n},\); a number or \(3,\) is needed"
        ):
            fast(counts[:3], np.zeros(n))
    with pytest.raises(ValueError, match=r"shift has shape \(3, 1\)"):
        fast(counts[:3], np.zeros((3, 1)))


@pytest.mark.parametrize("shape", [(5,), (3, 1599), (2, 3, 1600)])
def test_drift_of_counts_of_another_size(scripted, shape):
    with pytest.raises(ValueError, match=r"counts have shape \(.*1600.* is needed"):
        scripted.drift(np.ones(shape))


def test_compiling_needs_the_fits_own_preprocessor(clf, spectra, energy):
    with pytest.raises(RuntimeError, match=r"not fitted; call fit\(spectra\) first"):
        new().compile(spectra.preprocessor, energy=energy)
    options = clf.preprocessor.options()
    uncalibrated = eb.Preprocessor.from_options(options)
    other = copy.deepcopy(clf.preprocessor)
    other.unit *= 2
    elsewhere = copy.deepcopy(clf.preprocessor)
    elsewhere.profile_bins[1] -= 1
    for pre in (uncalibrated, other, elsewhere):
        with pytest.raises(
            ValueError, match=r"preprocessor is not the one of the fit, .*classifier\.preprocessor"
        ):
            clf.compile(pre, energy=energy)
    with pytest.raises(TypeError, match=r"preprocessor is a dict; give classifier\.preprocessor"):
        clf.compile(options, energy=energy)


@pytest.mark.parametrize(
    ("axis", "error", "message"),
    [
        (
            np.arange(390, 700, 0.25),
            ValueError,
            r"energy covers 389\.875 to 699\.875 eV; .* needed",
        ),
        (
            np.arange(600, 800, 0.25),
            ValueError,
            r"energy covers 599\.875 to 799\.875 eV; .* needed",
        ),
        (np.arange(350, 850, 1.0), ValueError, r"energy has channels of 1 eV; .* 0\.5 eV or finer"),
        (np.arange(800, 350, -0.25), ValueError, r"energy is not ascending in even steps"),
        (np.geomspace(350, 850, 1600), ValueError, r"energy is not ascending in even steps"),
        (np.full(1600, 500.0), ValueError, r"energy is not ascending in even steps"),
        (np.where(np.arange(9) == 3, np.nan, 1.0), ValueError, r"energy has shape \(9,\); the fin"),
        ([500.0], ValueError, r"energy has shape \(1,\)"),
        (np.zeros((2, 1600)), ValueError, r"energy has shape \(2, 1600\)"),
        ("390-790", TypeError, r"energy is '390-790'; channel centres in eV are needed"),
    ],
)
def test_energy_axes_that_do_not_do(clf, axis, error, message):
    with pytest.raises(error, match=message):
        clf.compile(clf.preprocessor, energy=axis)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"head": "forest"}, ValueError, "head must be 'gp' or 'dense', got 'forest'"),
        ({"backend": "tvm"}, ValueError, "backend is 'tvm'; .*'onnx', 'torchscript'"),
        ({"noise": (0.0,)}, ValueError, "gain=0.0.*; a gain above zero, a readout variance of"),
        ({"noise": (np.inf, 0.0)}, ValueError, "gain=inf"),
        ({"noise": "1"}, TypeError, r"noise is '1'; give \(gain, readout\) or a Noise"),
        ({"noise": ()}, TypeError, r"noise is \(\); give \(gain, readout\) or a Noise"),
        ({"noise": (1.0, -1.0)}, ValueError, r"readout=-1\.0"),
        ({"noise": (1.0, np.nan)}, ValueError, r"readout=nan"),
        ({"noise": (1.0, 0.0, np.inf)}, ValueError, r"offset=inf"),
        ({"noise": (1.0, 0.0, 0.0, 1.1)}, ValueError, r"correlation_factor=1\.1"),
    ],
)
def test_options_that_cannot_be(clf, energy, options, error, message):
    with pytest.raises(error, match=message):
        clf.compile(clf.preprocessor, energy=energy, **options)


# --- files


@pytest.fixture(scope="module")
def saved(scripted, tmp_path_factory):
    path = tmp_path_factory.mktemp("fast") / "model.fast"
    scripted.save(path)
    return path


def test_saved_and_loaded_says_the_same(fast, counts, spectra, reading, tmp_path):
    path = tmp_path / "model.fast"
    fast.save(path)
    again = load_fast(path)
    assert_agree(again(counts, spectra.shift), reading, scale=0.01)
    assert repr(again) == repr(fast) and again.aligned and again.library == fast.library
    assert again.drift(counts[:80]) == fast.drift(counts[:80])
    again.save(str(tmp_path / "second.fast"))
    assert tensor_file.read(tmp_path / "second.fast", KIND)[1] == tensor_file.read(path, KIND)[1]
    second = load_fast(tmp_path / "second.fast")
    assert_agree(second(counts, spectra.shift), reading, scale=0.01)


def test_gain_readout_and_a_missing_value_survive_the_file(of_a_file, tmp_path):
    signal, clf, _ = of_a_file
    axis = signal.axes_manager.signal_axes[0].axis
    fast = clf.compile(clf.preprocessor, energy=axis, noise=eb.Noise(4.0, 9.0, 50.0, 0.5))
    fast.save(tmp_path / "model.fast")
    again = load_fast(tmp_path / "model.fast")
    rows = signal.data[0]
    assert_agree(again(rows, 0.0), fast(rows, 0.0), scale=0.01)
    found = again.graph
    noise = found.gain, found.readout, found.offset, found.correlation_factor
    assert noise == (4.0, 9.0, 50.0, 0.5) and not again.aligned
    assert np.isnan(again(rows, 0.0).value).all() and again.library["values"] is None


def test_the_file_says_which_model_it_is_of(saved, clf, scripted):
    again = load_fast(saved)
    assert again.model == clf.provenance.model == scripted.model != ""
    words = {"value_name": "fluorine fraction", "value_unit": "", "value_range": [0.0, 1.0]}
    assert words.items() <= again.library.items()
    assert again.library["source"] == clf.library.source


@pytest.mark.parametrize("ends", [[0.2, 0.3], [0.2, None], [None, 0.3]])
def test_values_stay_within_their_range(saved, fast, counts, tmp_path, ends):
    tensors, config = tensor_file.read(saved, KIND)
    config["library"]["value_range"] = ends
    low, high = (-np.inf if ends[0] is None else ends[0], np.inf if ends[1] is None else ends[1])
    tensors["known.columns"][:, -N_VALUES].clip_(low, high)  # what shall be said of known spectra
    tensor_file.write(tmp_path / "model.fast", KIND, tensors, config)
    narrow = load_fast(tmp_path / "model.fast", backend=fast.backend)
    expected = fast(counts[:90]).value.clip(low, high)
    np.testing.assert_allclose(narrow(counts[:90]).value, expected, rtol=0, atol=1e-5)
    assert len(np.unique(expected)) > 1 and np.isin(np.float32([low, high]), expected).any()


@pytest.mark.parametrize("ends", [[1.0, 0.0], [0.0], "01", 3, None, [0.0, "x"]])
def test_a_range_that_is_none_is_refused(saved, tmp_path, ends):
    _, config = tensor_file.read(saved, KIND)
    with pytest.raises(ValueError, match=r"no complete fast classifier \(.*"):
        tampered(saved, tmp_path / "model.fast", library={**config["library"], "value_range": ends})


def test_another_backend_may_run_the_file(saved, counts, exported_to_onnx, scripted):
    again = load_fast(saved, backend="onnx")
    assert again.backend == "onnx"
    assert_agree(again(counts[:40], 0.0), exported_to_onnx(counts[:40], 0.0), scale=0.01)
    assert_agree(again(counts[:40], 0.0), scripted(counts[:40], 0.0))
    with pytest.raises(ValueError, match="backend is 'tvm'; one of"):
        load_fast(saved, backend="tvm")


def in_a_new_process(program, *arguments, folder):
    """Run a program elsewhere; its standard output. On as many threads as here."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
        "PYTHONPATH": str(Path(eb.__file__).parents[1]),
    }
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


READ = """
import sys, warnings
import numpy as np, torch
import eels_bayes as eb
warnings.simplefilter("error")
model, data, out = sys.argv[1:]
fast = eb.load_fast(model)
with np.load(data) as given:
    found = fast(given["counts"], given["shift"])
    drift = fast.drift(given["counts"][:80])
np.savez(out, drift=drift, **found._asdict())
heavy = {"pyro", "gpytorch", "hyperspy", "exspy", "linear_operator", "scipy", "matplotlib"}
print(*sorted(heavy & set(sys.modules)))
"""


def test_a_new_process_says_the_same_without_pyro_gpytorch_or_scipy(
    fast, counts, spectra, reading, tmp_path
):
    fast.save(tmp_path / "model.fast")
    np.savez(tmp_path / "data.npz", counts=counts, shift=spectra.shift)
    paths = [tmp_path / name for name in ("model.fast", "data.npz", "out.npz")]
    loaded = in_a_new_process(READ, *paths, folder=tmp_path)
    assert loaded.split() == []
    with np.load(tmp_path / "out.npz") as found:
        for name in reading._fields:
            np.testing.assert_allclose(
                found[name], getattr(reading, name), rtol=0, atol=1e-6, err_msg=name
            )
        assert float(found["drift"]) == pytest.approx(fast.drift(counts[:80]), abs=1e-6)


class _Bomb:
    exploded = False

    def __reduce__(self):
        return (_explode, ())


def _explode():
    _Bomb.exploded = True


def test_files_that_are_no_models(saved, clf, scripted, tmp_path):
    data = saved.read_bytes()
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(2)}, buffer)
    scripted.export(tmp_path / "program")
    cases = {
        "half": (data[: len(data) // 2], "truncated or damaged"),
        "last byte": (data[:-1], "truncated or damaged"),
        "random": (np.random.default_rng(0).bytes(5000), "not a file that eels_bayes has written"),
        "empty": (b"", "not a file"),
        "pickle": (pickle.dumps(_Bomb()), "a Python pickle: it may hold a program"),
        "torch": (buffer.getvalue(), "a zip archive, as torch.save writes"),
        "program": ((tmp_path / "program").read_bytes(), "a zip archive, .* may hold a program"),
    }
    for name, (content, message) in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            load_fast(path)
    assert not _Bomb.exploded
    clf.save(tmp_path / "other")
    with pytest.raises(ValueError, match=r"it holds 'classifier', which eels_bayes\.load_model"):
        load_fast(tmp_path / "other")
    with pytest.raises(ValueError, match=r"it holds 'fast', which eels_bayes\.load_fast opens"):
        eb.load_model(saved)
    with pytest.raises(ValueError, match=r"no spectra but 'fast', which eels_bayes\.load_fast"):
        eb.load(saved)
    with pytest.raises(FileNotFoundError):
        load_fast(tmp_path / "none")


def tampered(saved, path, tensors=None, **config):
    """Write a copy of the model with changed parts, and try to read it."""
    old_tensors, old_config = tensor_file.read(saved, KIND)
    tensor_file.write(path, KIND, {**old_tensors, **(tensors or {})}, {**old_config, **config})
    return load_fast(path)


def test_every_missing_part_is_refused(saved, tmp_path):
    tensors, config = tensor_file.read(saved, KIND)
    path, accepted = tmp_path / "model.fast", set()
    for name in tensors:
        tensor_file.write(path, KIND, {k: v for k, v in tensors.items() if k != name}, config)
        try:
            load_fast(path)
        except ValueError as error:
            assert "holds no complete fast classifier (" in str(error)
            if name != "reader.heads.value_mean":  # without it the others are too many
                assert name.split(".")[-1] in str(error)
        else:
            accepted.add(name)
    assert not accepted


def test_every_missing_setting_is_named(saved, tmp_path):
    tensors, config = tensor_file.read(saved, KIND)
    path, escaped = tmp_path / "model.fast", {}
    for name in config:
        tensor_file.write(path, KIND, tensors, {k: v for k, v in config.items() if k != name})
        try:
            with pytest.raises(ValueError, match=rf"no complete fast classifier \(.*{name}"):
                load_fast(path)
        except LookupError as error:
            escaped[name] = repr(error)
    assert not escaped


def test_every_wrong_shape_is_refused_or_does_no_harm(saved, counts, scripted, tmp_path):
    tensors, _ = tensor_file.read(saved, KIND)
    expected = scripted(counts[:3], 0.0)
    accepted = {}
    for name, value in tensors.items():
        flat = value.reshape(-1)
        for change in (
            value.unsqueeze(0),
            torch.cat([flat, flat])[: value.numel() + 1],
            flat[:-1],
            flat.repeat(3).reshape(3, -1),
        ):
            try:
                again = tampered(saved, tmp_path / "model.fast", {name: change})
            except ValueError as error:
                assert "holds no complete fast classifier (" in str(error)
            else:
                accepted.setdefault(name, set()).add(tuple(change.shape))
                if change.numel() == value.numel():
                    assert_agree(again(counts[:3], 0.0), expected, scale=0.01)
    # these may have any length
    n = len(tensors["preprocessor.typical"])
    assert accepted.pop("preprocessor.typical") == {(n + 1,), (n - 1,)}
    assert accepted.pop("preprocessor.noises") == {(3, 8)}  # as many as images state
    assert not accepted


@pytest.mark.parametrize("value", [None, -1, "x", [], {}, 10**9, 10**400], ids=lambda v: str(v)[:9])
def test_settings_that_cannot_be_are_refused(saved, tmp_path, value):
    _, config = tensor_file.read(saved, KIND)
    may_be = set()
    if value is None:  # of these the known spectra say nothing, nor does any tensor
        may_be = {"preprocessor.background", "preprocessor.align_to"}
    if value in (None, "x"):  # no frames, or along an axis of that name
        may_be = may_be | {"preprocessor.frames"}
    changes = {name: {name: value} for name in config}
    for name in config["preprocessor"]:
        changes[f"preprocessor.{name}"] = {"preprocessor": {**config["preprocessor"], name: value}}
    accepted, escaped = set(), {}
    for name, change in changes.items():
        try:
            tampered(saved, tmp_path / "model.fast", **change)
        except ValueError as error:
            assert "holds no complete fast classifier (" in str(error) or name == "backend"
        except (ArithmeticError, LookupError, TypeError) as error:
            escaped[name] = repr(error)
        else:
            accepted.add(name)
    assert not escaped
    assert accepted == may_be


@pytest.mark.parametrize(
    "axis", [[390.0, 0.25], [390.0, 0.0, 1600], [390.0, 0.25, 0], [390.0, 0.25, 1600, 1.0]]
)
def test_an_axis_that_is_none_is_refused(saved, tmp_path, axis):
    with pytest.raises(ValueError, match=r"holds no complete fast classifier \("):
        tampered(saved, tmp_path / "model.fast", axis=axis)


def test_an_axis_that_does_not_cover_what_is_needed_is_refused(saved, tmp_path):
    with pytest.raises(ValueError, match=r"holds no complete fast classifier \("):
        tampered(saved, tmp_path / "model.fast", axis=[390.0, 0.25, 400])


@pytest.mark.parametrize(
    ("name", "where", "value"),
    [
        ("reader.encoder.evidence.inside", 0, 10**6),
        ("reader.encoder.evidence.inside", 0, -(10**6)),
        ("reader.encoder.spread", 0, -1.0),
        ("reader.encoder.evidence.variance", 0, -1e-9),
        ("reader.heads.value_lengthscale", 0, 0.0),
        ("reader.encoder.offset", 0, 3.0),
        ("preprocessor.profile_bins", 1, 10**8),
        ("preprocessor.profile_bins", 1, 10**15),
        ("preprocessor.profile_bins", 1, -(10**15)),
    ],
)
def test_numbers_that_do_not_fit_together_are_refused(saved, tmp_path, name, where, value):
    tensors, _ = tensor_file.read(saved, KIND)
    changed = tensors[name].clone()
    changed[where] = value
    with pytest.raises(ValueError, match=r"holds no complete fast classifier \("):
        tampered(saved, tmp_path / "model.fast", {name: changed})


def test_nan_is_refused(saved, tmp_path):
    data = bytearray(saved.read_bytes())
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    name = "reader.encoder.slope"
    start = 8 + size + header[name]["data_offsets"][0]
    data[start : start + 4] = struct.pack("<f", np.nan)
    path = tmp_path / "model.fast"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="damaged, as its numbers are not those"):
        load_fast(path)


def test_a_header_that_lies_about_sizes_is_refused(saved, tmp_path):
    data = saved.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    name = next(key for key in header if key != "__metadata__")
    header[name]["shape"] = [10**9, 10**9]
    text = json.dumps(header).encode()
    path = tmp_path / "model.fast"
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])
    with pytest.raises(ValueError, match="damaged"):
        load_fast(path)


GREEDY = """
import sys
import eels_bayes as eb

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024

for path in sys.argv[1:]:
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")  # from here on
    before = peak()
    try:
        eb.load_fast(path)
    except ValueError:
        print(int(peak() - before))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux' /proc")
def test_sizes_in_a_small_file_do_not_make_it_take_much_memory(saved, tmp_path):
    """They are compared with the tensors before anything of these sizes is made."""
    tensors, config = tensor_file.read(saved, KIND)
    cases = {
        "honest": {"latent_dim": 9},
        "many": {"evidence": [1, 500, 500, 1]},
        "wide": {"latent_dim": 10_000},
        "fine": {"preprocessor": {**config["preprocessor"], "dispersion": 1e-6}},
    }
    for name, change in cases.items():
        tensor_file.write(tmp_path / name, KIND, tensors, {**config, **change})
    paths = [tmp_path / name for name in ("honest", *cases)]  # once more, to have it imported
    used = in_a_new_process(GREEDY, *paths, folder=tmp_path)
    megabytes = dict(zip(cases, map(int, used.split()[1:]), strict=True))
    assert max(megabytes.values()) < 100, megabytes


# --- exports

ONLY_TORCH = """
import json, sys
import torch
path, counts, out = sys.argv[1:]
extra = {"eels_bayes.json": ""}
program = torch.jit.load(path, _extra_files=extra)
rows = torch.load(counts)
found = [program(rows)]
program.set_shift(0.75)
found.append(program(rows))
program.set_shift(0.0)
found.append(program(rows[:1]))
torch.save(found, out)
assert not {"eels_bayes", "pyro", "gpytorch", "hyperspy"} & set(sys.modules)
print(extra["eels_bayes.json"] if isinstance(extra["eels_bayes.json"], str)
      else extra["eels_bayes.json"].decode())
"""


def assert_columns(found, reading):
    """Columns, labels and flags of a program are those of a reading of as many rows."""
    columns, labels, flags = (np.asarray(x) for x in found)
    k = reading.probabilities.shape[1]
    assert columns.shape[1] == k + N_COLUMNS
    np.testing.assert_allclose(columns[:, :k], reading.probabilities, rtol=0, atol=1e-6)
    names = ("total", "aleatoric", "encoder", "classifier", "novelty", "value", "value_sd")
    for name, column in zip(names, columns[:, k:].T, strict=True):
        np.testing.assert_allclose(column, getattr(reading, name), rtol=0, atol=1e-5, err_msg=name)
    np.testing.assert_array_equal(labels, reading.labels)
    np.testing.assert_array_equal(flags, reading.flag)


def assert_about(about, fast):
    assert about["version"] == eb.__version__ and about["model"] == fast.model != ""
    assert about["class_names"] == list(fast.class_names)
    assert about["columns"] == [f"probability of {name}" for name in fast.class_names] + [
        *("total", "aleatoric", "encoder", "classifier", "novelty", "value", "value_sd")
    ]
    assert about["energy"] == {"offset": 390.0, "scale": 0.25, "unit": "eV"}
    assert about["channels"] == 1600 and about["head"] == "gp" and about["library"] == fast.library
    assert about["preprocessor"]["window"] == [677.0, 737.0]


def test_the_torchscript_archive_needs_torch_alone(scripted, counts, tmp_path):
    rows = counts[:20].astype(np.float32)
    rows[3, 700] = np.nan
    scripted.export(tmp_path / "model.ts.pt")
    torch.save(torch.from_numpy(rows), tmp_path / "rows.pt")
    paths = [tmp_path / name for name in ("model.ts.pt", "rows.pt", "out.pt")]
    about = json.loads(in_a_new_process(ONLY_TORCH, *paths, folder=tmp_path))
    assert_about(about, scripted)
    still, moved, single = torch.load(tmp_path / "out.pt")
    assert_columns(still, scripted(rows, 0.0))
    assert still[2][3] == Flag.NON_FINITE and still[1][3] == -1
    assert_columns(moved, scripted(rows, 0.75))
    assert_columns(single, scripted(rows[:1], 0.0))
    scripted(rows, 0.75)
    scripted.export(str(tmp_path / "again.ts.pt"))  # what is exported knows of no drift
    with torch.inference_mode():
        again = torch.jit.load(tmp_path / "again.ts.pt")(torch.from_numpy(rows))
    assert_columns(again, scripted(rows, 0.0))


def test_machine_code_reads_buffers_that_change(machine_code, counts):
    graph = copy.deepcopy(machine_code.graph)
    names = [f"reader.encoder.{name}" for name in FOLLOWING]
    buffers = dict(graph.named_buffers())
    run = following(machine_code._run, graph, {name: buffers[name] for name in names})
    rows, plan = counts[:9].astype(np.float32), graph.plan(0.0)
    rows[:, plan.picked[::40]] *= 5.0  # beyond the reach of a bin, which some buffers say
    before, _, _ = machine_code._run(rows, plan)
    np.testing.assert_array_equal(run(rows, plan)[0], before)
    for name in names:  # each by itself, as one that is compiled in would stay what it was
        kept = buffers[name].clone()
        buffers[name] *= 0.5
        expected = graph(torch.from_numpy(rows), *plan)[0].numpy()
        assert abs(expected - before).max() > 1e-5, name
        several = run(rows, plan)[0]
        np.testing.assert_allclose(several, expected, atol=1e-4)
        np.testing.assert_allclose(run(rows[:1], plan)[0], several[:1], atol=1e-4)
        buffers[name].copy_(kept)
    np.testing.assert_array_equal(run(rows, plan)[0], before)
    with pytest.raises(RuntimeError, match=r"compiled no\.such in, .*backend='torchscript'"):
        following(machine_code._run, graph, {"no.such": buffers[names[0]]})


@pytest.mark.parametrize("shift", [0.0, 0.37, -4.2, 300.0, math.inf])
def test_compiled_plans_are_plans(scripted, shift):
    for found, expected in zip(scripted._plan(shift), scripted.graph.plan(shift), strict=True):
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6, equal_nan=True)
    assert scripted._plan(shift)[0] is scripted._plan(shift)[0]  # it is kept


def test_the_package_of_machine_code_needs_torch_alone(machine_code, counts, tmp_path):
    fast, path = machine_code, tmp_path / "model.pt2"
    fast.export(path)
    loaded = torch._inductor.aoti_load_package(str(path))
    assert_about(json.loads(loaded.get_metadata()["eels_bayes"]), fast)
    rows = torch.from_numpy(counts[:50].astype(np.float32))
    with torch.inference_mode():
        for shift in (0.0, 0.75):
            found = loaded(rows, *fast.graph.plan(shift))
            assert_columns(found, fast(rows.numpy(), shift))


def test_without_a_compiler_it_says_so(monkeypatch, scripted, tmp_path):
    monkeypatch.setenv("CXX", "no-such-compiler")
    scripted.save(tmp_path / "model.fast")
    with pytest.raises(RuntimeError, match=r"a C\+\+ compiler, .* no 'no-such-compiler'.*CXX"):
        load_fast(tmp_path / "model.fast", backend="inductor")


def test_no_file_makes_a_compiler_run(monkeypatch, scripted, counts, saved, tmp_path):
    monkeypatch.setenv("CXX", "no-such-compiler")
    loaded = tampered(saved, tmp_path / "model.fast", backend="inductor")
    assert loaded.backend == "torchscript"
    assert_agree(loaded(counts[:5], 0.0), scripted(counts[:5], 0.0), scale=0.1)


def test_the_onnx_model_needs_counts_alone(exported_to_onnx, counts, tmp_path):
    import onnx
    import onnxruntime

    fast, path = exported_to_onnx, tmp_path / "model.onnx"
    fast(counts[:3], 1.25)
    fast.export(path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1  # several add up in another order
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == ["counts"]
    assert [one.name for one in session.get_outputs()] == ["columns", "labels", "flags"]
    assert_about(json.loads(session.get_modelmeta().custom_metadata_map["eels_bayes"]), fast)
    rows = counts[:50].astype(np.float32)
    rows[2, 700] = np.nan
    for n in (0, 1, 5, 50):
        assert_columns(session.run(None, {"counts": rows[:n]}), fast(rows[:n], 0.0))
    plan = fast.graph.plan(0.75)._asdict()
    fed = {f"plan_{name}": tensor.numpy() for name, tensor in plan.items()}
    known = {one.name for one in session.get_overridable_initializers()}
    assert_columns(
        session.run(None, {"counts": rows, **{k: v for k, v in fed.items() if k in known}}),
        fast(rows, 0.75),
    )

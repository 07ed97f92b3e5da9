"""Lazy signals larger than memory: a sample of chunks to learn from, and parts to be read in."""

import functools
import tracemalloc

import numpy as np
import pytest
import torch

import eels_bayes as eb
from eels_bayes.classifier.reading_in_parts import Growing
from eels_bayes.data import unread_images
from eels_bayes.preprocessing import image_parts
from helpers import tiny_models

pytestmark = pytest.mark.filterwarnings("ignore:fit:UserWarning")

SHAPE = (40, 25)


@functools.cache
def series():
    """Two images of many pixels, in memory."""
    return eb.simulate.annealing_series(n_images=2, shape=SHAPE, seed=3).signals


def large_signal(number=0, dead=()):
    """One of them as a detector delivers it."""
    signal = series()[number].deepcopy()
    signal.change_dtype("uint16")
    signal.data[..., list(dead)] = 0
    return signal


def lazy(signal, chunks=(8, 5, 400)):
    one = signal.as_lazy()
    one.data = one.data.rechunk(chunks)
    return one


@pytest.fixture
def small_parts(monkeypatch):
    """What is large is 100 pixels here, and a part some of them."""
    spectrum = 2 * 1600
    small = {"LARGE": 100, "SAMPLED": 400, "LEAST_SAMPLED": 20, "SAMPLED_BYTES": 40 * spectrum}
    for name, value in small.items():
        monkeypatch.setattr(unread_images, name, value)
    monkeypatch.setattr(image_parts, "SAMPLED", 400)
    monkeypatch.setattr(unread_images, "PART_BYTES", 80 * spectrum)


class Asked:
    """How many counts of a lazy signal are computed."""

    def __init__(self, signal):
        self.n = 0
        self.signal = lazy(signal)
        self.signal.data = self.signal.data.map_blocks(self._counted, dtype=signal.data.dtype)

    def _counted(self, block):
        self.n += block.size
        return block


@pytest.mark.usefixtures("small_parts")
def test_calibration_reads_a_sample_and_finds_what_all_of_it_says():
    signal = large_signal()
    whole, sampled = tiny_models.preprocessor(), tiny_models.preprocessor()
    whole.calibrate(signal)
    asked = Asked(signal)
    sampled.calibrate(asked.signal)
    assert 0 < asked.n < 0.75 * signal.data.size  # gone through three times, and read once
    again = tiny_models.preprocessor().calibrate(lazy(signal))
    for name, values in sampled.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], values, rtol=0, atol=0)
    cosine = torch.dot(whole.reference, sampled.reference)
    assert cosine > 0.99
    assert torch.equal(whole.profile_bins, sampled.profile_bins)
    torch.testing.assert_close(
        whole.extractor.exponent, sampled.extractor.exponent, rtol=0.02, atol=0.05
    )
    torch.testing.assert_close(whole.typical, sampled.typical, rtol=0.02, atol=0.02)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("align_by", ["image", "row", "pixel"])
def test_parts_are_the_whole(align_by):
    signal = large_signal(dead=(1100, 1101))
    options = {"background": (600, 675), "normalize": (570, 592.5), "align": (565, 600)}
    pre = eb.Preprocessor((677, 737), 1.0, **options, align_by=align_by)
    expected = pre(signal)
    found = pre(lazy(signal))
    order = np.argsort(found.position)
    assert len(found.images) == 1 and found.images[0].shape == SHAPE
    np.testing.assert_array_equal(found.position[order], expected.position)
    np.testing.assert_array_equal(found.flag[order], expected.flag)
    # the drift is that of the sample's mean
    np.testing.assert_allclose(found.shift[order], expected.shift, atol=0.2)
    np.testing.assert_allclose(found.norm[order], expected.norm, rtol=0.01)
    np.testing.assert_allclose(found.sd[order], expected.sd, rtol=0.2)  # dead channels have more


@pytest.mark.usefixtures("small_parts")
def test_rows_are_aligned_as_in_the_whole_where_the_sample_is_all(monkeypatch):
    monkeypatch.setattr(image_parts, "SAMPLED", 10**4)
    signal = large_signal()
    options = {"background": (600, 675), "normalize": (570, 592.5), "align": (565, 600)}
    pre = eb.Preprocessor((677, 737), 1.0, **options, align_by="row")
    expected, found = pre(signal), pre(lazy(signal))
    order = np.argsort(found.position)
    for name in ("intensity", "sd", "shift", "profile", "norm"):
        np.testing.assert_allclose(
            getattr(found, name)[order], getattr(expected, name), rtol=1e-3, atol=1e-3
        )


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("is_lazy", [False, True])
def test_a_sample_is_some_pixels_of_each_image(is_lazy):
    signals = [large_signal(seed) for seed in (0, 1)]
    pre = tiny_models.preprocessor()
    whole = pre(signals)
    found = pre([lazy(one) for one in signals] if is_lazy else signals, sample=60)
    assert np.bincount(found.image).tolist() == [30, 30]
    again = pre([lazy(one) for one in signals] if is_lazy else signals, sample=60)
    np.testing.assert_array_equal(found.position, again.position)
    for image in (0, 1):
        one, other = found[found.image == image], whole[whole.image == image]
        assert len(set(one.position.tolist())) == 30
        np.testing.assert_allclose(one.norm, other.norm[one.position], rtol=0.01)
    given = [lazy(one) for one in signals] if is_lazy else signals
    assert len(pre(given, sample=10**6)) == len(whole)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("chunks", [(8, 5, 400), (7, 24, -1), (39, 24, -1), (3, 23, 100)])
def test_a_sample_is_as_large_as_was_asked_for(chunks):
    """Whatever the parts at the ends are."""
    signal, pre = large_signal(), tiny_models.preprocessor()
    pre.calibrate(signal)
    for n in (60, 300, 700, 1000):
        assert len(pre(lazy(signal, chunks), sample=n)) == n


def test_a_sample_of_nothing_is_refused():
    with pytest.raises(ValueError, match="sample must be a whole number of at least 1, got 0"):
        tiny_models.preprocessor()(tiny_models.signals(), sample=0)


@pytest.mark.usefixtures("small_parts")
def test_predictions_part_by_part_are_those_of_the_whole(monkeypatch):
    monkeypatch.setattr(image_parts, "SAMPLED", 10**4)
    clf, signals = tiny_models.fitted(), [large_signal(0), large_signal(1)]
    how = {"class_weights": [0.1, 0.2, 0.3, 0.4], "show_progressbar": False}
    expected = clf.predict(signals, **how)
    found = clf.predict([lazy(one) for one in signals], **how)
    assert [info.title for info in found.images] == [info.title for info in expected.images]
    order = np.lexsort((found.position, found.image))
    for name in ("probabilities", "total", "encoder", "value", "latent_sd", "labels", "flag"):
        values, wanted = getattr(found, name)[order], getattr(expected, name)
        np.testing.assert_allclose(values, wanted, rtol=1e-3, atol=1e-4, err_msg=name)
    np.testing.assert_allclose(found.map("total", 1), expected.map("total", 1), atol=1e-4)
    drawn = found[order].joint.draw(2), expected.joint.draw(2)
    np.testing.assert_allclose(*drawn, atol=1e-3)
    assert found.model == expected.model


def test_many_small_lazy_images_are_predicted_one_by_one(monkeypatch):
    monkeypatch.setattr(unread_images, "LARGE", 30)  # two images of 20 pixels
    clf, signals, at_once = tiny_models.fitted(), tiny_models.signals(), []
    expected = clf.predict(signals, show_progressbar=False)
    parts = clf.preprocessor.parts
    monkeypatch.setattr(
        type(clf.preprocessor),
        "parts",
        lambda self, given: (at_once.append(len(one)) or one for one in parts(given)),
    )
    found = clf.predict([one.as_lazy() for one in signals], show_progressbar=False)
    assert at_once == [20, 20]
    np.testing.assert_array_equal(found.image, expected.image)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)


def part(n, n_gaussians, rng):
    return {
        "component_mean": rng.random((n, n_gaussians, 16)),
        "component_weight": rng.random((n, n_gaussians)),
        "total": rng.random(n),
    }


def test_columns_of_parts_are_held_once():
    n, rng = 200, np.random.default_rng(0)
    tracemalloc.start()
    found = Growing(50 * n)
    for _ in range(50):
        found.add(part(n, 4, rng))
    held, peak = sum(x.nbytes for x in found.columns.values()), tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.15 * held


def test_parts_of_more_gaussians_and_of_fewer_are_put_together():
    rng = np.random.default_rng(0)
    parts, found = [part(3, k, rng) for k in (2, 4, 1)], Growing(9)
    for one in parts:
        found.add(one)
    for k, one in enumerate(parts):
        for name, values in one.items():
            own = found.columns[name][3 * k : 3 * k + 3]
            np.testing.assert_array_equal(
                own[:, : values.shape[1]] if own.ndim > 1 else own, values
            )
    weight, mean = found.columns["component_weight"], found.columns["component_mean"]
    assert weight.shape == (9, 4) and mean.shape == (9, 4, 16)
    assert (weight[:3, 2:] == 0.0).all() and (weight[6:, 1:] == 0.0).all()
    np.testing.assert_array_equal(mean[6:, 3], parts[2]["component_mean"][:, 0])


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("is_lazy", [False, True])
def test_the_joint_posterior_may_be_left_out(is_lazy):
    clf, signal = tiny_models.fitted(), large_signal()
    given = lazy(signal) if is_lazy else signal
    pred = clf.predict(given, joint=False, show_progressbar=False)
    assert pred.joint is None and np.isfinite(pred.total).all()
    with pytest.raises(ValueError, match=r"jointly; .* not with joint=False"):
        eb.active.batch_bald(pred, 2)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("is_lazy", [False, True])
def test_the_joint_posterior_may_be_kept_in_half_precision(is_lazy):
    clf, signal = tiny_models.fitted(), large_signal()
    given = lazy(signal) if is_lazy else signal
    single, half = (
        clf.predict(given, joint=how, show_progressbar=False)[:40] for how in (True, "float16")
    )
    np.testing.assert_array_equal(half.probabilities, single.probabilities)
    for name in ("weight", "mean", "sd"):
        values, wanted = getattr(half.joint, name), getattr(single.joint, name)
        assert values.dtype == np.float16 and wanted.dtype == np.float32
        rounding = np.abs(wanted) * 2.0**-11 + 2.0**-25
        assert (np.abs(values.astype(float) - wanted) <= rounding).all()
    drawn = half.joint.draw(20), single.joint.draw(20)
    np.testing.assert_allclose(drawn[0].sum(2), 1.0, atol=1e-6)
    np.testing.assert_allclose(*drawn, atol=5e-3)
    chosen = [eb.active.batch_bald(pred, 3) for pred in (half, single)]
    np.testing.assert_array_equal(*chosen)


@pytest.mark.parametrize("joint", ["float32", 1, None, np.zeros(2), ["float16"]])
def test_how_the_joint_posterior_is_kept_is_checked(joint):
    with pytest.raises(ValueError, match=r"joint must be True, False or 'float16'; got"):
        tiny_models.fitted().predict(tiny_models.spectra(), joint=joint)


@pytest.mark.parametrize("joint", [True, False])
def test_numpy_says_as_well_whether_the_joint_posterior_is_kept(joint):
    clf, spectra = tiny_models.fitted(), tiny_models.spectra()
    pred = clf.predict(spectra, joint=np.bool_(joint), show_progressbar=False)
    assert (pred.joint is not None) is joint


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("is_lazy", [False, True])
def test_counts_may_be_left_out_and_all_else_is_as_with_them(is_lazy):
    pre, signal = tiny_models.preprocessor(), large_signal()
    given = lazy(signal) if is_lazy else signal
    whole = pre(given)
    found = pre(given, counts=False)
    assert whole.has_counts and not found.has_counts and found.counts.shape == (len(whole), 0)
    assert found.counts.base is None  # and does not hold on to what it was cut from
    for name in ("intensity", "sd", "profile", "norm", "position", "canonical_energy"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
    one = eb.Spectra.concatenate([found[:3], found[3:9]])
    assert len(one) == 9 and not one.has_counts
    with pytest.raises(ValueError, match=r"holds counts and the other does not; make both"):
        eb.Spectra.concatenate([found[:3], whole[3:9]])


def test_spectra_without_counts_are_fitted_and_predicted_alike():
    pre, signals = tiny_models.preprocessor(), tiny_models.signals()
    spectra = pre(signals, counts=False, show_progressbar=False)
    clf = tiny_models.unfitted().fit(spectra, show_progressbar=False)
    found = clf.predict(spectra, show_progressbar=False)
    expected = tiny_models.fitted().predict(tiny_models.spectra(), show_progressbar=False)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


def test_a_small_lazy_file_is_read_as_it_is(tmp_path):
    signal = tiny_models.signals()[0]
    signal.save(tmp_path / "one.hspy")
    (found,) = eb.load(tmp_path / "one.hspy", lazy=True)
    assert found._lazy
    pre = tiny_models.preprocessor()
    np.testing.assert_array_equal(pre(found).intensity, pre(signal).intensity)

"""Repeated frames as one: what summing the raw counts would have given."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eels_bayes as eb

PER_PIXEL = (
    "intensity",
    "sd",
    "background",
    "profile",
    "level",
    "spike",
    "norm",
    "shift",
    "counts",
    "gain",
    "flag",
)
N_FRAMES = 3


def another_frame(series, seed):
    """The same pixels measured once more: signals with Poisson noise of their own."""
    rng = np.random.default_rng(seed)
    gain = series.process.gain
    mean = eb.simulate.mean_counts(series.truth, series.model, dose=series.dose).to_numpy()
    pairs = zip(series.signals, mean, strict=True)
    return [with_counts(signal, rng.poisson(m / gain) * gain) for signal, m in pairs]


def with_counts(signal, counts):
    new = signal.deepcopy()
    new.data = counts.astype(np.float32)
    return new


def summed(frames):
    """Raw counts of frames, added up."""
    return [with_counts(same[0], sum(s.data for s in same)) for same in zip(*frames, strict=True)]


def preprocessor(align=None):
    return eb.Preprocessor(
        (677, 737), 0.5, background=(600, 675), normalize=(570, 592.5), align=align
    )


@pytest.fixture(scope="module")
def series():
    return eb.simulate.annealing_series(n_images=3, shape=(8, 7), seed=2)


@pytest.fixture(scope="module")
def raw(series):
    return [series.signals, *(another_frame(series, seed) for seed in range(1, N_FRAMES))]


@pytest.fixture(scope="module")
def pre(raw):
    """Without alignment, so that summing counts and averaging spectra are the same thing."""
    return preprocessor().calibrate(summed(raw))


@pytest.fixture(scope="module")
def frames(pre, raw):
    return [pre(signals, show_progressbar=False) for signals in raw]


@pytest.fixture(scope="module")
def whole(pre, raw):
    """The sum of the raw counts, preprocessed."""
    return pre(summed(raw), show_progressbar=False)


def flagged(spectra, rows, flag=eb.Flag.NON_FINITE):
    """As preprocessing flags pixels: NaN rows, counts and norm as they were."""
    found = {}
    for name in ("intensity", "sd", "background", "profile", "level", "spike"):
        found[name] = getattr(spectra, name).copy()
        found[name][rows] = np.nan
    found["flag"] = spectra.flag.copy()
    found["flag"][rows] = int(flag)
    found["counts"] = spectra.counts.copy()
    found["counts"][rows] = np.nan
    return dataclasses.replace(spectra, **found)


def assert_same(one, other, rtol=2e-6, names=PER_PIXEL):
    """Equal within single precision; atol where values cross zero."""
    for name in names:
        there = getattr(other, name)
        scale = np.nanmax(np.abs(there), initial=1e-30)
        np.testing.assert_allclose(
            getattr(one, name), there, rtol=rtol, atol=rtol * scale, err_msg=name
        )


def test_frames_together_are_the_sum_of_their_counts(frames, whole):
    both = eb.combine(frames)
    # linear in the counts, so single precision is all that differs
    assert_same(both, whole, names=("profile", "level", "norm", "counts", "gain", "shift", "flag"))
    assert both.ok.all() and whole.ok.all()
    # Not linear: the power law's exponent is shrunk towards the series' the more, the less is
    # known of it. Differences are a fraction of the noise: at most 0.3 sd, 0.05 in the median.
    off = np.abs(both.intensity - whole.intensity) / whole.sd
    assert np.median(off) < 0.1 and off.max() < 0.5
    np.testing.assert_allclose(both.sd, whole.sd, rtol=0.03)
    np.testing.assert_allclose(both.background[:, 0], whole.background[:, 0], rtol=0.01)


def test_noise_falls_as_the_root_of_the_frames(frames):
    both = eb.combine(frames)
    np.testing.assert_allclose(both.level, frames[0].level / N_FRAMES, rtol=0.03)
    ratio = np.median(both.sd / frames[0].sd)
    assert ratio == pytest.approx(N_FRAMES**-0.5, rel=0.01)
    scatter = (frames[0].intensity - frames[1].intensity) / np.hypot(frames[0].sd, frames[1].sd)
    assert scatter.std() == pytest.approx(1.0, abs=0.1)


def test_the_order_of_frames_does_not_matter(frames):
    a, b, c = frames
    assert_same(eb.combine([c, a, b]), eb.combine([a, b, c]))


def test_frames_may_be_combined_step_by_step(frames):
    a, b, c = frames
    assert_same(eb.combine([eb.combine([a, b]), c]), eb.combine([a, b, c]))
    assert_same(eb.combine([a, eb.combine([b, c])]), eb.combine([a, b, c]))


def test_a_single_frame_is_itself(frames):
    one = eb.combine(frames[:1])
    for name in (*PER_PIXEL, "position", "image", "energy", "profile_energy"):
        here, there = getattr(one, name), getattr(frames[0], name)
        np.testing.assert_array_equal(here, there, err_msg=name)
        assert here.dtype == there.dtype, name
    assert one.images is frames[0].images and one.preprocessor is frames[0].preprocessor


def test_what_is_given_is_left_alone(frames):
    before = [{name: getattr(one, name).copy() for name in PER_PIXEL} for one in frames]
    eb.combine(frames)
    for one, copies in zip(frames, before, strict=True):
        for name, there in copies.items():
            np.testing.assert_array_equal(getattr(one, name), there, err_msg=name)


def test_a_repeated_frame_changes_nothing_but_the_noise(frames):
    twice = eb.combine([frames[0]] * 2)
    assert_same(twice, frames[0], names=("intensity", "profile", "background", "shift", "gain"))
    np.testing.assert_allclose(twice.sd, frames[0].sd / np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(twice.norm, 2 * frames[0].norm, rtol=1e-6)


@given(seed=st.integers(0, 1000))
@settings(max_examples=15)
def test_frames_weigh_as_many_counts_as_they_hold(frames, seed):
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0.1, 10.0, (N_FRAMES, len(frames[0]))).astype(np.float32)
    scaled = [dataclasses.replace(f, norm=f.norm * w) for f, w in zip(frames, weight, strict=True)]
    both = eb.combine(scaled)
    norm = np.array([f.norm for f in scaled], dtype=np.float64)
    share = norm / norm.sum(0)
    profile = np.einsum("fn,fnb->nb", share, [f.profile for f in frames])
    np.testing.assert_allclose(both.profile, profile, rtol=1e-5)
    var = np.einsum("fn,fnl->nl", share**2, np.array([f.sd for f in frames]) ** 2)
    np.testing.assert_allclose(both.sd, np.sqrt(var), rtol=1e-5)
    intensity = np.array([f.intensity for f in frames])
    assert (both.intensity >= intensity.min(0) - 1e-5).all()
    assert (both.intensity <= intensity.max(0) + 1e-5).all()


def test_a_pixel_flagged_in_one_frame_is_taken_from_the_others(frames):
    a, b, c = frames
    rows = [0, 9]
    both = eb.combine([flagged(a, rows), b, c])
    assert both.ok.all()
    assert_same(both[rows], eb.combine([b, c])[rows])
    rest = np.setdiff1d(np.arange(len(a)), rows)
    assert_same(both[rest], eb.combine(frames)[rest])


def test_a_pixel_flagged_in_all_frames_stays_flagged(frames):
    flags = (eb.Flag.NON_FINITE, eb.Flag.DEAD, eb.Flag.DEAD)
    both = eb.combine([flagged(f, [3], flag) for f, flag in zip(frames, flags, strict=True)])
    assert both.flag[3] == eb.Flag.NON_FINITE | eb.Flag.DEAD
    assert (
        both.reasons()[3]
        == "NaN, infinite, saturated or wrapped counts; the same counts in every channel"
    )
    assert both.ok.sum() == len(both) - 1
    for name in ("intensity", "sd", "profile", "background"):
        assert np.isnan(getattr(both, name)[3]).all(), name
        assert np.isfinite(getattr(both, name)[both.ok]).all(), name
    assert np.isnan(both.level[3]) and np.isnan(both.spike[3])


def test_real_bad_pixels_go_through(raw, pre):
    """One dead in a frame, one NaN in both."""
    first, second = ([s.deepcopy() for s in signals] for signals in raw[:2])
    first[0].data[0, 0] = 0.0
    first[1].data[2, 3, 5] = second[1].data[2, 3, 9] = np.nan
    one, two = (pre(signals, show_progressbar=False) for signals in (first, second))
    both = eb.combine([one, two])
    bad = 8 * 7 + 2 * 7 + 3
    assert not one.ok[0] and np.flatnonzero(~both.ok).tolist() == [bad]
    np.testing.assert_allclose(both.profile[0], two.profile[0], rtol=1e-6)
    np.testing.assert_allclose(both.norm[0], two.norm[0], rtol=1e-6)


def test_drift_between_frames_is_removed_first(series):
    """Each frame has its own shift, which a sum of counts would smear."""
    moved = []
    for signal in another_frame(series, 5):
        moved.append(signal.deepcopy())
        moved[-1].axes_manager.signal_axes[0].offset += 2.0
    pre = preprocessor(align=(565, 600)).calibrate(series.signals)
    one, two = (pre(s, show_progressbar=False) for s in (series.signals, moved))
    both = eb.combine([one, two])
    assert np.abs(two.shift - one.shift - 2.0).max() < 0.5
    share = one.norm / (one.norm + two.norm)
    np.testing.assert_allclose(
        both.shift, share * one.shift + (1 - share) * two.shift, rtol=1e-4, atol=1e-4
    )


# the largest spike of a frame is less than that of the sum where all drift alike
@pytest.mark.filterwarnings("ignore:predict. one pixel in twenty:UserWarning")
def test_predictions_are_those_of_the_summed_counts(frames, whole):
    effort = dataclasses.replace(eb.Effort.quick(), vae=eb.Schedule(3, 10))
    clf = eb.EELSClassifier(eb.FingerprintLibrary.example(), latent_dim=4, effort=effort)
    clf.fit(whole, show_progressbar=False)
    here, there = clf.predict(eb.combine(frames)), clf.predict(whole)
    # the encoder reads profile and level alone, and these agree to single precision
    for name in ("probabilities", "total", "value", "latent_mean"):
        np.testing.assert_allclose(
            getattr(here, name), getattr(there, name), rtol=1e-4, atol=1e-4, err_msg=name
        )
    np.testing.assert_array_equal(here.labels, there.labels)


def test_no_frames():
    with pytest.raises(ValueError, match="frames is empty; at least one Spectra is needed"):
        eb.combine([])


def test_frames_of_other_pixels(frames):
    a, b, _ = frames
    text = r"frames\[1\] holds other pixels than frames\[0\]; give the same in the same order"
    for other in (b[1:], b[::-1], dataclasses.replace(b, image=b.image[::-1])):
        with pytest.raises(ValueError, match=text):
            eb.combine([a, other])


def test_frames_on_another_axis(frames):
    a, b, _ = frames
    for name in ("energy", "profile_energy"):
        other = dataclasses.replace(b, **{name: getattr(b, name) + 0.5})
        with pytest.raises(ValueError, match=r"frames\[1\] lies on another energy axis"):
            eb.combine([a, other])
    longer = dataclasses.replace(b, counts=np.pad(b.counts, ((0, 0), (0, 1))))
    with pytest.raises(ValueError, match=r"frames\[1\] lies on another energy axis"):
        eb.combine([a, longer])


def test_frames_by_a_preprocessor_of_other_settings(raw, frames):
    """Their unit is another one."""
    other = eb.Preprocessor(
        (677, 737), 0.5, background=(600, 675), normalize=(570, 592.5), unit=0.07
    )(raw[1], show_progressbar=False)
    with pytest.raises(ValueError, match=r"frames\[1\] was made by a Preprocessor with other"):
        eb.combine([frames[0], other])

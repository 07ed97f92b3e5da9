"""The classifier as a whole: repeatable, interruptible, local to each pixel, and safe to load."""

import copy
import dataclasses
import io
import json
import pickle
import struct

import numpy as np
import pytest
import torch

import eels_bayes as eb
from eels_bayes import tensor_file, training
from eels_bayes.classifier import (
    fitting,
    heads,
    learning,
    reading_with_neighbours,
    training_latents,
)
from eels_bayes.classifier.classifier import EELSClassifier
from eels_bayes.classifier.image_settling import ByImage
from eels_bayes.classifier.loading import load_model
from eels_bayes.classifier.model_file import KIND
from eels_bayes.classifier.model_learned import novelty_from
from eels_bayes.classifier.model_tensors import TENSORS
from eels_bayes.prediction import known_readings

SHORT = dataclasses.replace(eb.Effort.quick(), vae=eb.Schedule(2, 5))
FLOATS = [
    "probabilities",
    "total",
    "aleatoric",
    "encoder",
    "classifier",
    "novelty",
    "value",
    "value_sd",
    "latent_mean",
    "latent_sd",
]


def new(**options):
    settings = {"latent_dim": 4, "effort": SHORT} | options
    return EELSClassifier(eb.FingerprintLibrary.example(), **settings)


@pytest.fixture(scope="module")
def fitted(spectra):
    return new().fit(spectra, show_progressbar=False)


@pytest.fixture(scope="module")
def prediction(fitted, spectra):
    return fitted.predict(spectra)


@pytest.fixture(scope="module")
def saved(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model.eels"
    fitted.save(path)
    return path


def assert_equal(one, two, rows=slice(None), tolerance=0.0):
    for name in FLOATS:
        np.testing.assert_allclose(
            getattr(one, name),
            getattr(two, name)[rows],
            rtol=tolerance,
            atol=tolerance,
            err_msg=name,
        )
    np.testing.assert_array_equal(one.labels, two.labels[rows])


def with_flags(spectra, rows, flag=eb.Flag.NON_FINITE):
    names = ("flag", "intensity", "sd", "background", "profile", "level", "spike")
    parts = {name: getattr(spectra, name).copy() for name in names}
    for name, part in parts.items():
        part[rows] = int(flag) if name == "flag" else np.nan
    return dataclasses.replace(spectra, **parts)


def test_prediction_keeps_its_laws(prediction, spectra):
    n = len(spectra)
    np.testing.assert_allclose(prediction.probabilities.sum(1), 1.0, atol=1e-5)
    assert (prediction.probabilities >= 0).all()
    parts = prediction.aleatoric + prediction.encoder + prediction.classifier
    np.testing.assert_allclose(parts, prediction.total, atol=1e-5)
    for part in (prediction.aleatoric, prediction.encoder, prediction.classifier):
        assert (part >= -1e-6).all()
    entropy = -(prediction.probabilities * np.log(prediction.probabilities + 1e-30)).sum(1)
    np.testing.assert_allclose(prediction.total, entropy, atol=1e-4)
    assert (prediction.labels == prediction.probabilities.argmax(1)).all()
    assert ((prediction.novelty >= 0) & (prediction.novelty <= 1)).all()
    assert (prediction.value_sd > 0).all() and (prediction.latent_sd > 0).all()
    assert prediction.latent_mean.shape == (n, 4)
    np.testing.assert_array_equal(prediction.position, spectra.position)
    assert prediction.class_names == eb.FingerprintLibrary.example().class_names


def test_signals_are_read_as_the_fit_read_its_own(fitted, prediction, series):
    assert_equal(prediction, fitted.predict(series.signals, show_progressbar=False))
    first = fitted.predict(series.signals[0], show_progressbar=False)
    # but for rounding: sums over nodes run along the pixels
    assert_equal(first, prediction, rows=slice(0, 80), tolerance=1e-6)
    with pytest.raises(TypeError, match="spectra is a list; make Spectra with the Preprocessor"):
        fitted.predict([])
    with pytest.raises(TypeError, match="spectra is a ndarray"):
        fitted.predict(series.signals[0].data)


def test_history_holds_every_stage(fitted):
    assert set(fitted.history) == {"forward model", "VAE", "GP"}
    assert len(fitted.history["VAE"]["validation"]) == SHORT.vae.epochs
    assert all(np.isfinite(v).all() for part in fitted.history.values() for v in part.values())
    assert "not fitted" not in repr(fitted) and repr(new()).endswith("; not fitted>")


def test_same_seed_same_model_and_global_generators_untouched(fitted, spectra, prediction):
    torch.rand(3)
    torchs, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    again = new().fit(spectra, show_progressbar=False)
    assert torch.equal(torch.get_rng_state(), torchs)
    assert (np.random.get_state()[1] == numpys).all()  # noqa: NPY002
    assert_equal(again.predict(spectra), prediction)
    assert again.history == fitted.history


def test_another_seed_is_another_model(spectra, prediction):
    other = new(seed=1).fit(spectra, show_progressbar=False)
    assert not np.allclose(other.predict(spectra).latent_mean, prediction.latent_mean)


def test_order_of_the_pixels_does_not_matter(fitted, spectra, prediction):
    order = np.random.default_rng(0).permutation(len(spectra))
    found = fitted.predict(spectra[order])
    assert_equal(found, prediction, order, 1e-4)
    np.testing.assert_array_equal(found.image, spectra.image[order])


def test_one_pixel_is_predicted_as_among_many(fitted, spectra, prediction):
    assert_equal(fitted.predict(spectra[7:8]), prediction, slice(7, 8), 1e-4)


def test_batches_do_not_matter(fitted, spectra, prediction):
    other = copy.copy(fitted)
    other.effort = dataclasses.replace(SHORT, predict_batch=33)
    assert_equal(other.predict(spectra), prediction, tolerance=1e-4)


def test_flagged_pixels_are_nan_and_their_neighbours_unchanged(fitted, spectra, prediction):
    rows = np.array([0, 11, 160])
    found = fitted.predict(with_flags(spectra, rows))
    for name in FLOATS:
        assert np.isnan(getattr(found, name)[rows]).all(), name
    assert (found.labels[rows] == -1).all() and (found.flag[rows] == 1).all()
    others = np.setdiff1d(np.arange(len(spectra)), rows)
    for name in FLOATS:
        np.testing.assert_allclose(
            getattr(found, name)[others], getattr(prediction, name)[others], rtol=1e-4, atol=1e-4
        )
    assert (found.labels[others] == prediction.labels[others]).all()


def test_flagged_pixels_are_left_out_of_the_fit(spectra):
    rows = np.arange(0, len(spectra), 40)
    bad = new().fit(with_flags(spectra, rows), show_progressbar=False)
    without = new().fit(
        spectra[np.setdiff1d(np.arange(len(spectra)), rows)], show_progressbar=False
    )
    assert bad.history == without.history
    assert np.isfinite(bad.predict(spectra).probabilities).all()


def interrupt(monkeypatch, owner, name, call):
    """Raise KeyboardInterrupt at the given call of a function."""
    original, calls = getattr(owner, name), []

    def wrapped(*args, **options):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return original(*args, **options)

    monkeypatch.setattr(owner, name, wrapped)
    return calls


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (training, "_validate", 1),
        (training, "_validate", 2),
        (learning, "fit_noisy_encoder", 1),
        (heads, "fit_value", 1),
    ],
)
def test_interrupted_fit_goes_on(spectra, prediction, fitted, monkeypatch, owner, name, call):
    clf = new()
    with monkeypatch.context() as patch:
        interrupt(patch, owner, name, call)
        with pytest.raises(KeyboardInterrupt):
            clf.fit(spectra, show_progressbar=False)
    assert clf.fitted is None
    with pytest.raises(RuntimeError, match="not fitted"):
        clf.predict(spectra)
    with monkeypatch.context() as patch:
        forward = interrupt(patch, fitting, "fit_forward_model", 0)
        epochs = interrupt(patch, training, "_validate", 0)
        clf.fit(spectra, show_progressbar=False)
    assert not forward  # what was done is not done again
    assert len(epochs) == (SHORT.vae.epochs - (call - 1) if owner is training else 0)
    assert_equal(clf.predict(spectra), prediction)
    assert clf.history == fitted.history


def test_interrupted_fit_starts_anew_with_other_spectra(spectra, monkeypatch):
    clf = new()
    with monkeypatch.context() as patch:
        interrupt(patch, training, "_validate", 2)
        with pytest.raises(KeyboardInterrupt):
            clf.fit(spectra, show_progressbar=False)
    some = spectra[:250]
    clf.fit(some, show_progressbar=False)
    assert clf.history == new().fit(some, show_progressbar=False).history


def test_a_failed_refit_keeps_the_fitted_model(fitted, spectra, prediction, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch, fitting, "fit_forward_model", 1)
        with pytest.raises(KeyboardInterrupt):
            fitted.fit(spectra, show_progressbar=False)
    assert_equal(fitted.predict(spectra), prediction)


@pytest.mark.parametrize(
    "options", [{"prior": "standard"}, {"likelihood": "student_t", "class_weights": [4, 2, 1, 1]}]
)
def test_options_reach_the_model_and_survive_the_file(spectra, tmp_path, options):
    clf = new(**options).fit(spectra, show_progressbar=False)
    path = tmp_path / "model.eels"
    clf.save(path)
    again = load_model(path)
    assert_equal(again.predict(spectra), clf.predict(spectra), tolerance=1e-6)
    assert again.prior == clf.prior and again.likelihood == clf.likelihood
    if "prior" in options:
        assert clf.fitted.vae.prior() is None
        with pytest.raises(RuntimeError, match="prior='standard' has no fingerprint components"):
            clf.latent_prior()
    else:
        np.testing.assert_allclose(again.class_weights, [0.5, 0.25, 0.125, 0.125])
        pure = np.diag(again.fitted.forward.pair_weights)
        np.testing.assert_allclose(pure / pure.sum(), [0.5, 0.25, 0.125, 0.125])
        assert again.fitted.vae.likelihood == "student_t"


def test_known_class_weights_move_the_probabilities(fitted, spectra, prediction):
    overall = fitted.fitted.forward.dominant_weights
    same = fitted.predict(spectra, class_weights=overall)
    assert_equal(same, prediction, tolerance=1e-4)
    assert overall.sum() == pytest.approx(1.0) and (overall > 0).all()
    more = fitted.predict(spectra, class_weights=overall * np.array([1.0, 1.0, 1.0, 20.0]))
    assert (more.probabilities[:, 3] >= prediction.probabilities[:, 3] - 1e-6).all()
    assert more.probabilities[:, 3].mean() > prediction.probabilities[:, 3].mean() + 0.05
    parts = more.aleatoric + more.encoder + more.classifier
    np.testing.assert_allclose(parts, more.total, atol=1e-5)
    with pytest.raises(ValueError, match="class_weights must be 4 positive numbers"):
        fitted.predict(spectra, class_weights=[1, 1, 1])


def test_images_speak_for_their_pixels(fitted, spectra, prediction, monkeypatch):
    bad = np.array([5, 100])
    found = fitted.predict(with_flags(spectra, bad), context="image")
    assert np.isnan(found.probabilities[bad]).all() and (found.labels[bad] == -1).all()
    ok = found.flag == 0
    np.testing.assert_allclose(found.probabilities[ok].sum(1), 1.0, atol=1e-5)
    parts = found.aleatoric + found.encoder + found.classifier
    np.testing.assert_allclose(parts[ok], found.total[ok], atol=1e-5)
    assert_equal(fitted.predict(with_flags(spectra, bad), context="image"), found)
    assert not np.allclose(found.probabilities[ok], prediction.probabilities[ok], atol=1e-2)
    # Each image's own weights are its pixels' prior: here it is told that image i is of class i.
    weights = np.full((4, 4), 0.05) + 0.8 * np.eye(4)
    seen = []

    def told(pixels, states, overall):
        # what continua of an image share is left in, as it is where pixels are read by themselves
        none = np.zeros((len(pixels.image), pixels.heard.space.columns.shape[1]))
        seen.append((pixels.by_heads, pixels.image, overall))
        return ByImage(none, weights[pixels.image], none[:4])

    monkeypatch.setattr(reading_with_neighbours, "settled", told)
    found = fitted.predict(with_flags(spectra, bad), context="image")
    np.testing.assert_allclose(seen[0][0], prediction.probabilities[ok], atol=1e-4)
    np.testing.assert_array_equal(seen[0][1], spectra.image[ok])
    np.testing.assert_allclose(seen[0][2], fitted.fitted.forward.dominant_weights)
    for i in range(4):
        mine = spectra[spectra.image == i]
        wanted = fitted.predict(mine, class_weights=weights[i]).probabilities
        rows = ok[spectra.image == i]
        away = np.abs(found.probabilities[spectra.image == i] - wanted)[rows]
        assert away.mean() < 1e-3 and away.max() < 0.03  # as what weighs little is averaged roughly
    with pytest.raises(
        ValueError, match=r"context must be one of 'pixel', 'image', .* 'series'; got 'row'"
    ):
        fitted.predict(spectra, context="row")


def test_latent_prior_is_the_mixture_of_the_classes(fitted):
    prior = fitted.latent_prior()
    assert prior.mean.shape == prior.sd.shape == (4, training_latents.N_VARIATIONS, 4)
    assert not prior.mean.requires_grad
    assert float(prior.log_weight.exp().sum()) == pytest.approx(1.0)
    np.testing.assert_allclose(
        prior.log_weight.exp()[:4] / 0.97, fitted.fitted.forward.class_weights, rtol=1e-4
    )


def test_a_library_without_values_gives_none(spectra, tmp_path):
    library = dataclasses.replace(eb.FingerprintLibrary.example(), values=None)
    clf = EELSClassifier(library, latent_dim=3, effort=SHORT)
    clf.fit(spectra, show_progressbar=False)
    clf.save(tmp_path / "model.eels")
    for one in (clf, load_model(tmp_path / "model.eels")):
        found = one.predict(spectra)
        assert np.isnan(found.value).all() and np.isnan(found.value_sd).all()
        assert np.isfinite(found.probabilities).all()


@pytest.fixture(scope="module")
def of_few_pixels(spectra):
    """Fitted to too few pixels to show their spikes."""
    with pytest.warns(UserWarning, match="40 pixels are too few to learn how these spectra vary"):
        return new().fit(spectra[:40], show_progressbar=False)


def test_novelty_of_few_pixels_means_what_it_means_of_many(of_few_pixels, fitted, spectra):
    found, usual = (clf.predict(spectra).novelty for clf in (of_few_pixels, fitted))
    assert np.isfinite(found).all()
    assert 0.3 < found.mean() < 0.7 and 0.3 < usual.mean() < 0.7


@pytest.mark.filterwarnings("ignore:predict.* have a novelty above")  # as they should
def test_unknown_structures_and_spikes_are_new(fitted, spectra):
    process = eb.simulate.Process(spikes=0.2, unknown=0.2)
    series = eb.simulate.annealing_series(n_images=4, shape=(10, 8), seed=1, process=process)
    found = fitted.predict(spectra.preprocessor(series.signals))
    truth = series.truth
    spike, unknown = truth.spike.to_numpy().ravel(), truth.unknown.to_numpy().ravel()
    usual = found.novelty[~spike & ~unknown]
    assert len(usual) > 150 and 0.3 < usual.mean() < 0.7

    def told_apart(new):
        return (found.novelty[new][:, None] > usual).mean()

    assert told_apart(spike) > 0.95
    assert told_apart(unknown & ~spike) > 0.75


@pytest.mark.filterwarnings("ignore:predict.* have a novelty above")  # as they should
def test_spikes_of_simulated_calibration_are_the_noises(of_few_pixels, spectra):
    clf = of_few_pixels
    hit = dataclasses.replace(spectra, spike=spectra.spike + 20.0)
    assert (clf.predict(hit).novelty > 0.95).all()
    none = dataclasses.replace(spectra, spike=np.zeros_like(spectra.spike))
    assert (clf.predict(none).novelty <= clf.predict(spectra).novelty + 1e-6).all()


def test_denoised_spectra_lie_in_their_bands(fitted, spectra):
    rows = np.array([3, 4])
    bad = with_flags(spectra[:40], rows)
    energy, mean, lower, upper = fitted.denoise(bad, n_draws=50)
    np.testing.assert_array_equal(energy, spectra.energy)
    assert mean.shape == lower.shape == upper.shape == (40, len(energy))
    others = np.setdiff1d(np.arange(40), rows)
    for part in (mean, lower, upper):
        assert np.isnan(part[rows]).all() and np.isfinite(part[others]).all()
    assert (lower[others] <= upper[others]).all()
    narrow = fitted.denoise(bad, n_draws=50, level=0.5)
    width, narrow_width = (
        np.nanmean(b.upper - b.lower) for b in (fitted.denoise(bad, n_draws=50), narrow)
    )
    assert narrow_width < width
    np.testing.assert_array_equal(fitted.denoise(bad, n_draws=50).mean, mean)
    with pytest.raises(ValueError, match="level must lie between 0 and 1, got 1"):
        fitted.denoise(bad, level=1.0)


# --- input errors


def test_wrong_input_to_fit_and_predict(fitted, spectra):
    for call in (new().fit, fitted.predict, fitted.denoise):
        with pytest.raises(TypeError, match=r"spectra is a ndarray; make Spectra with .*Preproc"):
            call(spectra.intensity)
    with pytest.raises(RuntimeError, match=r"not fitted; call fit\(spectra\) first"):
        new().predict(spectra)
    with pytest.raises(RuntimeError, match="not fitted"):
        new().latent_prior()
    with pytest.raises(RuntimeError, match=r"not fitted; call fit\(spectra\) first"):
        new().save("nowhere.eels")
    everything = with_flags(spectra, np.arange(len(spectra)))
    with pytest.raises(ValueError, match=r"only 0 of 320 pixels are usable.*reasons\(\)"):
        new().fit(everything)
    # A frame over vacuum is no error: every pixel comes back flagged.
    nothing = fitted.predict(everything)
    assert (nothing.labels == -1).all() and np.isnan(nothing.probabilities).all()
    assert np.isnan(fitted.denoise(everything).mean).all()


def test_spectra_of_another_preprocessor(fitted, spectra):
    other = copy.deepcopy(spectra.preprocessor)
    other.unit = 2 * other.unit
    with pytest.raises(ValueError, match=r"unit=0.07, those of the fit with 0.035: use the fit's"):
        fitted.predict(dataclasses.replace(spectra, preprocessor=other))
    other = copy.deepcopy(spectra.preprocessor)
    other.background = None
    with pytest.raises(ValueError, match="still hold their background"):
        new().fit(dataclasses.replace(spectra, preprocessor=other))
    assert fitted.preprocessor is not spectra.preprocessor
    assert fitted.preprocessor.options() == spectra.preprocessor.options()


def test_spectra_on_another_axis(fitted, spectra):
    n = len(spectra.energy)
    moved = dataclasses.replace(spectra, energy=spectra.energy + 0.5)
    with pytest.raises(
        ValueError, match=rf"{n} channels from 677.5 to 737 eV, but .* from 677 to 736.5 eV"
    ):
        fitted.predict(moved)
    short = dataclasses.replace(
        spectra,
        energy=spectra.energy[:-3],
        intensity=spectra.intensity[:, :-3],
        sd=spectra.sd[:, :-3],
    )
    with pytest.raises(
        ValueError, match=rf"have {n - 3} channels .*use the fit's own, classifier.preproc"
    ):
        fitted.predict(short)
    bins = len(spectra.profile_energy)
    short = dataclasses.replace(
        spectra, profile=spectra.profile[:, :-1], profile_energy=spectra.profile_energy[:-1]
    )
    moved = dataclasses.replace(spectra, profile_energy=spectra.profile_energy + 2.0)
    for other, n in ((short, bins - 1), (moved, bins)):
        with pytest.raises(
            ValueError,
            match=rf"have profiles of {n} bins, the fit of {bins} from 3\d\d.* eV: use the fit's",
        ):
            fitted.predict(other)


def test_a_library_that_does_not_cover_the_window(spectra):
    library = eb.FingerprintLibrary.example().resample(np.arange(680, 730, 0.25))
    with pytest.raises(ValueError, match=r"cover 680 to 729.75 eV, but the axis asked for runs"):
        EELSClassifier(library).fit(spectra)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"prior": "vamp"}, ValueError, "prior is 'vamp'; one of 'fingerprint', 'standard'"),
        ({"latent_dim": 0}, ValueError, "latent_dim must be a whole number of at least 1"),
        ({"class_weights": [1, 2]}, ValueError, "class_weights must be 4 positive numbers"),
        ({"class_weights": [1, 1, 1, 0]}, ValueError, "class_weights must be 4 positive numbers"),
        ({"class_weights": [1, 1, 1, np.nan]}, ValueError, "class_weights must be 4 positive"),
        ({"seed": 0.5}, ValueError, "seed must be a whole number of at least 0, got 0.5"),
        (
            {"likelihood": "cauchy"},
            ValueError,
            "likelihood is 'cauchy'; one of 'laplace'",
        ),
    ],
)
def test_options_that_cannot_be(options, error, message):
    with pytest.raises(error, match=message):
        new(**options)


def test_a_library_that_is_none():
    with pytest.raises(TypeError, match=r"library is a dict; make one with FingerprintLibrary"):
        EELSClassifier({})


# --- model files


def test_saved_and_loaded_predicts_the_same(fitted, spectra, prediction, saved, series):
    again = load_model(saved)
    assert_equal(again.predict(spectra), prediction, tolerance=1e-6)
    assert again.history == fitted.history and again.seed == fitted.seed
    assert again.effort == SHORT and again.latent_dim == 4
    for name, value in vars(fitted.fitted.forward).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(again.fitted.forward, name), value)
    assert again.fitted.forward.pairs == list(fitted.fitted.forward.pairs)
    np.testing.assert_allclose(again.library.intensity, fitted.library.intensity)
    # the preprocessor in the file makes the same spectra of raw counts
    found = again.fitted.preprocessor(series.signals[:1])
    np.testing.assert_allclose(found.intensity, spectra.intensity[:80], rtol=1e-5, atol=1e-5)
    # and a second generation is the same file
    again.save(saved.with_name("second.eels"))
    assert saved.with_name("second.eels").read_bytes() == saved.read_bytes()


def test_files_that_are_no_models(saved, tmp_path):
    data = saved.read_bytes()
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(2)}, buffer)
    cases = {
        "half": (data[: len(data) // 2], "truncated or damaged"),
        "last byte": (data[:-1], "truncated or damaged"),
        "random": (np.random.default_rng(0).bytes(5000), "not a file that eels_bayes has written"),
        "empty": (b"", "not a file"),
        "pickle": (pickle.dumps(_Bomb()), "a Python pickle: it may hold a program"),
        "torch": (buffer.getvalue(), "a zip archive, as torch.save writes"),
    }
    for name, (content, message) in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            load_model(path)
    assert not _Bomb.exploded
    tensor_file.write(tmp_path / "other", "library", {}, {})
    with pytest.raises(ValueError, match="'classifier' is asked for, and it holds 'library'"):
        load_model(tmp_path / "other")
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "none")


class _Bomb:
    exploded = False

    def __reduce__(self):
        return (_explode, ())


def _explode():
    _Bomb.exploded = True


def tampered(saved, path, tensors=None, config=None):
    """Write a copy of the model with changed parts, and try to read and use it."""
    old_tensors, old_config = tensor_file.read(saved, KIND)
    tensor_file.write(
        path, KIND, {**old_tensors, **(tensors or {})}, {**old_config, **(config or {})}
    )
    return load_model(path)


def test_every_missing_part_is_named(saved, tmp_path):
    tensors, config = tensor_file.read(saved, KIND)
    path, accepted = tmp_path / "model.eels", set()
    for name in tensors:
        tensor_file.write(path, KIND, {k: v for k, v in tensors.items() if k != name}, config)
        try:
            load_model(path)
        except ValueError as error:
            assert name.split(".")[-1] in str(error)
        else:
            accepted.add(name)
    assert not accepted
    options = config["classifier"]
    less = {name: {k: v for k, v in config.items() if k != name} for name in config}
    less |= {
        name: config | {"classifier": {k: v for k, v in options.items() if k != name}}
        for name in options
    }
    for name, settings in less.items():
        tensor_file.write(path, KIND, tensors, settings)
        with pytest.raises(ValueError, match=name):
            load_model(path)


def test_every_wrong_shape_is_refused(saved, tmp_path, monkeypatch):
    # or shapes would be found by what is read with them
    monkeypatch.setattr(known_readings, "TOLERANCE", 1e30)
    tensors, config = tensor_file.read(saved, KIND)
    path, accepted = tmp_path / "model.eels", []
    for name, value in tensors.items():
        flat = value.reshape(-1)
        more = torch.cat([flat, flat[:1] if len(flat) else flat.new_zeros(1)])
        for change in (value.unsqueeze(0), more):
            tensor_file.write(path, KIND, {**tensors, name: change}, config)
            try:
                load_model(path)
            except ValueError as error:
                assert "holds no complete classifier (" in str(error)
            else:
                accepted.append((name, tuple(change.shape)))
    # as many as the fit had iterations
    assert accepted == [("forward.log_likelihood", (len(tensors["forward.log_likelihood"]) + 1,))]


@pytest.mark.parametrize("value", [None, -1, "x", [], {}, 10**9])
def test_settings_that_cannot_be_are_refused(saved, tmp_path, value):
    _, config = tensor_file.read(saved, KIND)
    accepted = []
    for name in config:
        try:
            tampered(saved, tmp_path / "model.eels", config={name: value})
        except ValueError as error:
            assert "holds no complete classifier (" in str(error)
        else:
            accepted.append(name)
    assert not accepted
    for name, old in config["classifier"].items():
        if name == "history" or (isinstance(old, int) and isinstance(value, int)):
            continue
        options = {**config["classifier"], name: value}
        with pytest.raises(ValueError, match=r"\w"):
            tampered(saved, tmp_path / "model.eels", config={"classifier": options})


def test_the_evidence_is_the_fits_own(fitted, saved, spectra, prediction):
    again = load_model(saved)
    found = again.fitted.encoder.evidence.state_dict()
    for name, value in fitted.fitted.encoder.evidence.state_dict().items():
        assert torch.equal(found[name], value), name
    assert_equal(again.predict(spectra), prediction, tolerance=1e-6)
    assert again.provenance.model == fitted.provenance.model


def test_a_novelty_of_other_components_is_refused(fitted):
    held, forward = fitted.fitted.novelty._asdict(), fitted.fitted.forward
    assert novelty_from(held, forward) == fitted.fitted.novelty
    with pytest.raises(ValueError, match=r"novelty\.dominant has shape \("):
        novelty_from(held | {"dominant": held["dominant"][1:]}, forward)


@pytest.mark.parametrize(
    ("name", "where", "value", "message"),
    [
        ("continuum.energy", -1, 1e12, "continuum.energy and preprocessor.profile_bins"),
        ("continuum.energy", 0, 1e12, "continuum.energy holds what is not finite and ascending"),
        ("preprocessor.profile_bins", 1, 10**15, "continuum.energy and preprocessor.profile_bins"),
        ("continuum.reference", 0, np.inf, "continuum.reference holds what is not finite"),
        ("forward.mean_profile", 3, -1.0, "forward.mean_profile holds what is not positive"),
        ("forward.pairs", (0, 1), 4, "forward.pairs is no list of pairs of 4 classes"),
        ("forward.pairs", (0, 1), 0, "forward.pairs is no list of pairs of 4 classes"),
        ("forward.covariance", slice(None), 0.0, "not a positive definite covariance"),
        ("encoder.spread", 0, -1.0, "encoder.spread holds what is not positive"),
        ("gp.lengthscale", 0, 0.0, "gp.lengthscale holds what is not positive"),
        ("value.noise_var", (), -1e-9, "value.noise_var holds what is not finite and not negative"),
        ("novelty.table", (0, 0), 1e9, "novelty.table holds what is not finite and ascending"),
        ("encoder.offset", (0, 0), 5.0, "known spectra are read otherwise than where it was"),
    ],
)
def test_numbers_that_do_not_fit_together_are_refused(saved, tmp_path, name, where, value, message):
    tensors, _ = tensor_file.read(saved, KIND)
    changed = tensors[name].clone()
    changed[where] = value
    with pytest.raises(ValueError, match=rf"holds no complete classifier \(.*{message}"):
        tampered(saved, tmp_path / "model.eels", tensors={name: changed})


def test_tensors_of_another_dtype_are_refused(saved, tmp_path):
    tensors, _ = tensor_file.read(saved, KIND)
    for name, value in tensors.items():
        for other in {torch.float32, torch.float64, torch.int64} - {value.dtype}:
            message = rf"\({name} holds {str(other)[6:]} where {str(value.dtype)[6:]} is needed"
            with pytest.raises(ValueError, match=message):
                changed = value.nan_to_num(posinf=1.0).to(other)
                tampered(saved, tmp_path / "model.eels", tensors={name: changed})


def test_every_tensor_is_among_those_that_are_checked(saved):
    names = tensor_file.read(saved, KIND)[0].keys()
    ends = tuple(name[:-1] for name in TENSORS if name.endswith("*"))
    assert all(name in TENSORS or name.startswith(ends) for name in names)


def test_a_file_is_of_the_fits_version_of_the_package(saved):
    assert tensor_file.written_by(saved) == f"eels_bayes {eb.__version__}"


def test_a_dispersion_of_no_detector_is_refused(saved, tmp_path):
    _, config = tensor_file.read(saved, KIND)
    options = {**config["preprocessor"], "dispersion": 1e-6}
    with pytest.raises(ValueError, match=r"dispersion is 1e-06 eV, and .* eV hold .* channels"):
        tampered(saved, tmp_path / "model.eels", config={"preprocessor": options})


def test_a_header_that_lies_about_sizes_is_refused(saved, tmp_path):
    data = saved.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    name = next(key for key in header if key != "__metadata__")
    header[name]["shape"] = [10**9, 10**9]
    text = json.dumps(header).encode()
    path = tmp_path / "model.eels"
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])
    with pytest.raises(ValueError, match="damaged"):
        load_model(path)

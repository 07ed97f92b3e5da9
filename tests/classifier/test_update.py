"""What a fitted model learns later: labels, and fingerprints of further structures."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

import eels_bayes as eb
from eels_bayes.classifier.fitted import reader_of
from eels_bayes.uncertainty import quadrature

NEW = "one eighth"  # what users call the class that the library lacks
LACKS = 2  # of the built-in library
FLOATS = ("probabilities", "total", "encoder", "classifier", "novelty", "value", "latent_mean")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def series():
    return eb.simulate.annealing_series(n_images=4, shape=(10, 8), dose=3.0, seed=1)


@pytest.fixture(scope="module")
def spectra(series):
    pre = eb.Preprocessor(
        (677, 737), 0.5, background=(600, 675), normalize=(570, 592.5), align=(565, 600)
    )
    return pre(series.signals, show_progressbar=False)


@pytest.fixture(scope="module")
def truth(series):
    """Class of every pixel, by its number: the library's, then the one that it lacks."""
    number = np.array([0, 1, 3, 2])
    return number[series.truth["label"].to_numpy().ravel()]


def partial_library():
    """Without one class, which lies between two others."""
    whole = eb.FingerprintLibrary.example()
    keep = whole.labels != LACKS
    return eb.FingerprintLibrary.from_arrays(
        whole.energy,
        whole.intensity[keep],
        [whole.class_names[k] for k in whole.labels[keep]],
        class_names=[n for k, n in enumerate(whole.class_names) if k != LACKS],
        values=whole.values[keep],
        nuisances=whole.nuisances,
    )


def completed(library, name=NEW):
    """With the class that it lacks."""
    whole = eb.FingerprintLibrary.example()
    rows = whole.labels == LACKS
    names = [name] * int(rows.sum())
    return library.with_fingerprints(
        whole.energy, whole.intensity[rows], names, values=whole.values[rows]
    )


@pytest.fixture(scope="module")
def base(spectra):
    clf = eb.EELSClassifier(partial_library(), latent_dim=4, effort=eb.Effort.quick(), seed=2)
    return clf.fit(spectra, show_progressbar=False)


def updated(clf, *args, **options):
    """A copy of the classifier that knows more."""
    return copy.deepcopy(clf).update(*args, show_progressbar=False, **options)


def predict(clf, spectra, **options):
    return clf.predict(spectra, show_progressbar=False, **options)


@pytest.fixture(scope="module")
def rows(truth):
    """Pixels to label: some of every class, more of the unknown one."""
    return np.concatenate([np.flatnonzero(truth == k)[: 30 if k == 3 else 4] for k in range(4)])


@pytest.fixture(scope="module")
def names(base, truth, rows):
    known = [*base.library.class_names, NEW]
    return np.array([known[k] for k in truth[rows]])


@pytest.fixture(scope="module")
def told(base, spectra, rows, names):
    return updated(base, spectra[rows], names)


def by_name(pred, class_names):
    """Probabilities with their columns in the order of names."""
    return pred.probabilities[:, [pred.class_names.index(name) for name in class_names]]


def assert_equal(one, two, atol=1e-5):
    assert one.class_names == two.class_names
    for name in FLOATS:
        np.testing.assert_allclose(
            getattr(one, name), getattr(two, name), rtol=1e-5, atol=atol, err_msg=name
        )


def test_a_class_that_labels_alone_tell_of(base, told, spectra, truth, rows):
    before, after = predict(base, spectra), predict(told, spectra)
    assert told.class_names == (*base.class_names, NEW)
    assert after.class_names == told.class_names and told.library is not None
    assert after.probabilities.shape == (len(spectra), 4)
    np.testing.assert_allclose(after.probabilities.sum(1), 1.0, atol=1e-5)
    parts = after.aleatoric + after.encoder + after.classifier
    np.testing.assert_allclose(parts, after.total, atol=1e-5)
    p_new = after.probabilities[:, 3]
    assert p_new[rows[truth[rows] == 3]].mean() > 0.55  # those that were labelled
    others = np.setdiff1d(np.arange(len(truth)), rows)
    assert p_new[others][truth[others] == 3].mean() > 0.5  # those like them
    assert p_new[others][truth[others] == 0].mean() < 0.1  # those that are not
    known = others[truth[others] < 3]
    was, now = (np.mean(p.labels[known] == truth[known]) for p in (before, after))
    assert now > was - 0.1
    # The class makes up 0.14 of them; six seeds of so short a fit gained 0.08 to 0.12.
    accuracy = [np.mean(p.labels[others] == truth[others]) for p in (before, after)]
    assert accuracy[1] > accuracy[0] + 0.5 * (truth[others] == 3).mean()


def test_what_labels_do_not_touch_stays(base, told, spectra):
    before, after = predict(base, spectra), predict(told, spectra)
    for name in ("latent_mean", "latent_sd", "novelty", "value", "value_sd"):
        np.testing.assert_allclose(
            # what single precision leaves of latents near zero, and of small variances
            getattr(after, name),
            getattr(before, name),
            rtol=1e-4,
            atol=2e-5,
            err_msg=name,
        )
    assert base.class_names == base.library.class_names  # the copy's source knows nothing of it
    assert told.history["GP"] != base.history["GP"] and set(told.history) == set(base.history)
    assert told.fitted.class_weights.shape == (4,)
    assert told.fitted.class_weights.sum() == pytest.approx(1.0)
    assert repr(told).startswith("<EELSClassifier")


def test_labels_of_known_classes_by_name_and_by_number(base, spectra, truth):
    rows = np.flatnonzero(truth < 3)[::25]
    by_words = updated(base, spectra[rows], [base.class_names[k] for k in truth[rows]])
    by_number = updated(base, spectra[rows], truth[rows])
    assert by_words.class_names == base.class_names
    one, two = predict(by_words, spectra), predict(by_number, spectra)
    assert_equal(one, two)
    before = predict(base, spectra)
    k = truth[rows]
    surer = one.probabilities[rows, k].mean() - before.probabilities[rows, k].mean()
    assert surer > -0.01
    np.testing.assert_array_equal(by_words.fitted.class_weights, base.fitted.class_weights)


def test_labels_move_the_pixel_they_name(base, spectra):
    """The surest of one class, said to be of another again and again."""
    before = predict(base, spectra).probabilities
    row = int(before[:, 0].argmax())
    clf = updated(base, spectra[[row] * 40], [1] * 40)
    assert predict(clf, spectra[[row]]).probabilities[0, 1] > 4 * before[row, 1]


def test_names_and_numbers_in_one_list(base, spectra):
    """An oracle may answer with either, so a batch may hold both."""
    clf = updated(base, spectra[:2], [base.class_names[0], 1])
    assert clf.class_names == base.class_names
    assert clf.fitted.labelled.names == base.class_names[:2]


def test_labelled_latents(base, spectra, truth, rows, names):
    pred = predict(base, spectra)
    clf = updated(base, pred.latent_mean[rows], names)
    after = predict(clf, spectra)
    assert after.class_names == (*base.class_names, NEW)
    p_new = after.probabilities[:, 3]
    assert p_new[truth == 3].mean() > p_new[truth == 0].mean() + 0.4
    assert clf.fitted.labelled.latent.shape == (len(rows), 4)


def test_the_order_of_arrival_does_not_matter(base, spectra, truth, told, rows, names):
    known = names != NEW
    parts = [(spectra[rows[known]], names[known]), (spectra[rows[~known]], names[~known])]
    found = []
    for order in (parts, parts[::-1]):
        clf = base
        for pixels, labels in order:
            clf = updated(clf, pixels, labels)
        found.append(clf)
    found.append(told)
    p = [by_name(predict(clf, spectra), told.class_names) for clf in found]
    for one in p[1:]:
        np.testing.assert_allclose(one, p[0], rtol=0, atol=1e-6)
    for clf in found[:2]:
        assert sorted(clf.fitted.labelled.names) == sorted(told.fitted.labelled.names)


def test_two_new_classes_in_either_order(base, spectra, rows, monkeypatch):
    # nodes and draws of the same classes are others in another order: many of both leave little
    monkeypatch.setattr(quadrature, "ENCODER_NODES", 512)
    monkeypatch.setattr(quadrature, "CLASSIFIER_NODES", 256)
    base = copy.deepcopy(base)
    base.effort = dataclasses.replace(base.effort, pure_latents_alone=1200)
    few = [(spectra[rows[:3]], ["x"] * 3), (spectra[rows[-3:]], ["a"] * 3)]
    one = updated(updated(base, *few[0]), *few[1])
    other = updated(updated(base, *few[1]), *few[0])
    assert one.class_names == (*base.class_names, "x", "a")
    assert other.class_names == (*base.class_names, "a", "x")
    p, q = (by_name(predict(clf, spectra), one.class_names) for clf in (one, other))
    off = np.abs(p - q)
    assert off.mean() < 0.004 and off.max() < 0.02


def test_the_same_update_gives_the_same_model(base, told, spectra, rows, names):
    state = torch.get_rng_state()
    again = updated(base, spectra[rows], names)
    assert torch.equal(torch.get_rng_state(), state)
    assert_equal(predict(again, spectra), predict(told, spectra))


def test_saving_keeps_what_was_learned(told, spectra, rows, tmp_path):
    told.save(tmp_path / "model.eels")
    loaded = eb.load_model(tmp_path / "model.eels")
    assert loaded.class_names == told.class_names
    assert loaded.library.class_names == told.library.class_names
    assert loaded.library.variations == told.library.variations
    assert loaded.library.variations != loaded.fitted.forward.library.variations
    assert loaded.history == told.history
    assert_equal(predict(loaded, spectra), predict(told, spectra))
    ours, theirs = told.fitted.labelled, loaded.fitted.labelled
    assert theirs.names == ours.names
    for name in ("profile", "level", "latent"):
        assert torch.equal(getattr(theirs, name), getattr(ours, name)), name
    np.testing.assert_allclose(loaded.fitted.class_weights, told.fitted.class_weights)
    for one, other in zip(loaded.latent_prior(), told.latent_prior(), strict=True):
        torch.testing.assert_close(one, other)
    # and it learns on as if nothing had happened
    further = (spectra[rows[:4]], [NEW] * 4)
    one, other = (predict(updated(clf, *further), spectra) for clf in (loaded, told))
    assert_equal(one, other)
    drawn = [predict(clf, spectra[:9]).joint.draw(4) for clf in (loaded, told)]
    np.testing.assert_allclose(*drawn, rtol=1e-6)


def test_latent_prior_has_the_new_class(base, told):
    before, after = base.latent_prior(), told.latent_prior()
    assert before.mean.shape[0] == 3 and after.mean.shape == (4, *before.mean.shape[1:])
    assert after.log_weight.shape == (5,)
    assert float(after.log_weight.exp().sum()) == pytest.approx(1.0)
    assert (after.sd > 0).all() and torch.isfinite(after.mean).all()


def test_images_and_weights_with_a_class_more(told, spectra):
    found = predict(told, spectra, context="image")
    assert found.probabilities.shape == (len(spectra), 4)
    np.testing.assert_allclose(found.probabilities.sum(1), 1.0, atol=1e-5)
    plain = predict(told, spectra)
    unmoved = predict(told, spectra, class_weights=told.fitted.class_weights)
    np.testing.assert_allclose(unmoved.probabilities, plain.probabilities, atol=1e-4)
    rare = told.fitted.class_weights * np.array([1.0, 1.0, 1.0, 1e-3])
    assert (predict(told, spectra, class_weights=rare).probabilities[:, 3] < 0.7).all()
    with pytest.raises(ValueError, match="class_weights must be 4 positive numbers"):
        predict(told, spectra, class_weights=[1.0, 1.0, 1.0])


@pytest.mark.parametrize("head", ["gp", "dense"])
def test_the_fast_path_knows_the_new_class(told, spectra, series, truth, head, tmp_path):
    energy = series.signals[0].axes_manager.signal_axes[0].axis
    fast = told.compile(told.preprocessor, energy=energy, head=head, show_progressbar=False)
    fast.save(tmp_path / "model.fast")
    counts = np.concatenate([signal.data.reshape(80, -1) for signal in series.signals])
    pred = predict(told, spectra)
    for one in (fast, eb.load_fast(tmp_path / "model.fast")):
        assert one.class_names == told.class_names
        found = one(counts, spectra.shift)
        np.testing.assert_allclose(found.probabilities.sum(1), 1.0, atol=1e-5)
        if head == "gp":  # single precision in another order
            for name in ("probabilities", "total", "encoder", "classifier", "value"):
                ours, theirs = getattr(found, name), getattr(pred, name)
                np.testing.assert_allclose(ours, theirs, atol=2e-3, err_msg=name)
        else:  # a network in the GP's place
            assert found.probabilities[truth == 3, 3].mean() > 0.4
            assert found.probabilities[truth == 0, 3].mean() < 0.1


# Fingerprints


@pytest.fixture(scope="module")
def larger(base, spectra):
    return updated(base, completed(base.library), spectra=spectra)


def test_fingerprints_of_a_further_structure(base, larger, spectra, truth):
    before, after = predict(base, spectra), predict(larger, spectra)
    assert larger.class_names == (*base.class_names, NEW) == larger.library.class_names
    assert after.probabilities.shape == (len(spectra), 4)
    np.testing.assert_allclose(after.probabilities.sum(1), 1.0, atol=1e-5)
    assert after.probabilities[truth == 3, 3].mean() > 0.6
    assert after.probabilities[truth == 0, 3].mean() < 0.1
    accuracy = [np.mean(p.labels == truth) for p in (before, after)]
    assert accuracy[1] > accuracy[0] + 0.1
    assert larger.latent_prior().mean.shape[0] == 4
    off = [np.abs(p.value[truth == 3] - 0.125).mean() for p in (before, after)]
    assert off[1] < max(off[0], 0.03)
    # the networks are the same
    ours, theirs = base.fitted.vae.state_dict(), larger.fitted.vae.state_dict()
    for name, tensor in ours.items():
        if "fingerprints" not in name and "class_weights" not in name:
            assert torch.equal(theirs[name], tensor), name


def test_an_update_is_nearly_a_fit(larger, spectra, truth):
    """With the whole library from the start."""
    clf = eb.EELSClassifier(
        completed(partial_library()), latent_dim=4, effort=eb.Effort.quick(), seed=2
    )
    whole = predict(clf.fit(spectra, show_progressbar=False), spectra)
    after = predict(larger, spectra)
    scores = [np.mean(p.labels == truth) for p in (whole, after)]
    assert scores[1] > scores[0] - 0.1
    assert np.abs(whole.probabilities - after.probabilities).mean() < 0.1


def test_an_update_may_leave_the_calibration_as_it_is(base, spectra, truth):
    clf = updated(base, completed(base.library), spectra=spectra, recalibrate=False)
    ours, theirs = clf.fitted, base.fitted
    assert len(ours.novelty.table) == 4  # of each class, the new one's too
    for name in ("mean_profile", "mean", "covariance"):
        np.testing.assert_array_equal(getattr(ours.forward, name), getattr(theirs.forward, name))
    assert ours.forward.library_fit == theirs.forward.library_fit
    assert ours.forward.library.variations == theirs.forward.library.variations
    assert ours.forward.class_weights.shape == (4,)
    after = predict(clf, spectra)
    assert after.probabilities[truth == 3, 3].mean() > 0.6
    assert np.mean(after.labels == truth) > np.mean(predict(base, spectra).labels == truth) + 0.1


def test_a_structure_is_reported_as_novel_until_its_fingerprint_is_known(base):
    known = base.library
    moved = np.interp(known.energy - 4.0, known.energy, known.class_spectra[0])
    library = known.with_fingerprints(known.energy, moved, ["defect"], values=[0.5])
    defective = eb.simulate.annealing_series(
        n_images=8, shape=(6, 8), dose=10.0, seed=4, library=library
    )
    spectra = base.preprocessor(defective.signals, show_progressbar=False)
    novel = defective.truth["label"].to_numpy().ravel() == 3
    assert 0.1 < novel.mean() < 0.9

    def reported(clf):
        found = eb.decide(predict(clf, spectra)).action == "report as novel"
        return found[novel].mean(), found[~novel].mean()

    with pytest.warns(UserWarning, match="have a novelty above 0.95"):
        before = reported(base)
    assert before[0] > 0.8 and before[1] < 0.05
    clf = updated(base, library, spectra=spectra, recalibrate=False)
    after = reported(clf)
    assert max(after) < 0.05


def test_labels_then_the_fingerprints_of_their_class(told, spectra, truth, tmp_path):
    clf = updated(told, completed(told.library), spectra=spectra)
    assert clf.class_names == told.class_names  # no class of its own besides
    assert predict(clf, spectra).probabilities[truth == 3, 3].mean() > 0.6
    assert clf.fitted.labelled.names == told.fitted.labelled.names
    clf.save(tmp_path / "model.eels")
    loaded = eb.load_model(tmp_path / "model.eels")
    assert_equal(predict(loaded, spectra), predict(clf, spectra))


def test_other_fingerprints_after_labels_keep_the_labels_class(base, told, spectra, truth):
    library = completed(told.library, name="12.5 % of F")
    clf = updated(told, library, spectra=spectra)
    assert clf.class_names == (*library.class_names, NEW)
    pred = predict(clf, spectra)
    assert pred.probabilities.shape == (len(spectra), 5)
    # two names of one structure
    assert pred.probabilities[truth == 3][:, 3:].sum(1).mean() > 0.6
    assert clf.latent_prior().mean.shape[0] == 5
    again = updated(clf, spectra[:2], [base.class_names[0], NEW])
    assert again.class_names == clf.class_names


def test_more_fingerprints_of_a_known_class(base, spectra):
    whole = eb.FingerprintLibrary.example()
    library = base.library.with_fingerprints(
        whole.energy, 1.02 * whole.class_spectra[:1], [base.class_names[0]]
    )
    clf = updated(base, library, spectra=spectra)
    assert clf.class_names == base.class_names
    off = np.abs(predict(clf, spectra).probabilities - predict(base, spectra).probabilities)
    assert off.mean() < 0.1


def test_standard_prior_and_given_class_weights(spectra, rows, names):
    weights = np.array([0.2, 0.3, 0.5])
    clf = eb.EELSClassifier(
        partial_library(),
        prior="standard",
        latent_dim=3,
        effort=dataclasses.replace(eb.Effort.quick(), vae=eb.Schedule(2, 5)),
        class_weights=weights,
    )
    with pytest.warns(UserWarning, match="unless they are mixed, the library lacks"):
        clf.fit(spectra, show_progressbar=False)  # which it does
    told = updated(clf, spectra[rows], names)
    assert predict(told, spectra).probabilities.shape == (len(spectra), 4)
    with pytest.raises(RuntimeError, match="prior='standard' has no fingerprint components"):
        told.latent_prior()
    whole = eb.FingerprintLibrary.example()
    one = [clf.class_names[0]]
    same = clf.library.with_fingerprints(whole.energy, whole.class_spectra[:1], one)
    clf.update(same, spectra=spectra, show_progressbar=False)
    np.testing.assert_allclose(clf.class_weights, weights)
    clf.update(completed(same), spectra=spectra, show_progressbar=False)
    assert clf.class_weights is None  # four classes, and nobody said how frequent the last is
    assert predict(clf, spectra).probabilities.shape[1] == 4


# Errors


def flagged(spectra, rows):
    flag = spectra.flag.copy()
    flag[rows] = int(eb.Flag.DEAD)
    return dataclasses.replace(spectra, flag=flag)


def test_flagged_pixels_are_left_out(base, spectra, rows, names):
    pixels = flagged(spectra[rows], [0, 4])
    clf = updated(base, pixels, names)
    assert clf.fitted.labelled.names == tuple(np.delete(names, [0, 4]).tolist())
    only = flagged(spectra[:3], [0])
    clf = updated(base, only, ["odd", base.class_names[0], base.class_names[1]])
    assert clf.class_names == base.class_names  # nothing usable is of the new class


def test_before_the_fit(base, spectra):
    with pytest.raises(RuntimeError, match="not fitted; call fit"):
        eb.EELSClassifier(base.library).update(spectra[:1], [0])


def cases(base, spectra):
    library, pixels = completed(base.library), spectra[:3]
    z = np.zeros((2, 4), dtype=np.float32)
    other = eb.FingerprintLibrary.example()
    shorter = dataclasses.replace(other, class_names=("x", *other.class_names[1:]))
    return {
        "none": ((pixels, None), {}, "labels is missing; give one class for each pixel"),
        "few": ((pixels, [0, 1]), {}, "labels has 2 entries; 3 are needed, one for each row"),
        "many": ((z, [0, 1, 1]), {}, "labels has 3 entries; 2 are needed"),
        "negative": ((pixels, [0, -1, 1]), {}, r"labels run from -1 to 1; indices are 0\.\.2"),
        "large": ((pixels, [0, 3, 1]), {}, r"from 0 to 3; .*name new classes by words"),
        "unusable": ((flagged(pixels, [0, 1, 2]), [0, 1, 2]), {}, "no labelled pixel is usable"),
        "NaN": ((np.full((2, 4), np.nan), [0, 1]), {}, "latents hold NaN or infinity; drop"),
        "shape": ((z[:, :3], [0, 1]), {}, r"latents have shape \(2, 3\); \(n, 4\) is needed"),
        "flat": ((z[0], [0]), {}, r"latents have shape \(4,\)"),
        "empty": ((z[:0], []), {}, r"labels must be class names|latents have shape \(0, 4\)"),
        "no spectra": ((library,), {}, "with a library, which holds its own labels, give the"),
        "both": ((library, [0]), {"spectra": spectra}, "which holds its own labels"),
        "drops": ((shorter,), {"spectra": spectra}, "it must begin with the known ones"),
        "dark": ((library,), {"spectra": flagged(pixels, [0, 1])}, "only 1 of 3 pixels are usable"),
    }


@pytest.mark.parametrize(
    "case",
    [
        "none",
        "few",
        "many",
        "negative",
        "large",
        "unusable",
        "NaN",
        "shape",
        "flat",
        "empty",
        "no spectra",
        "both",
        "drops",
        "dark",
    ],
)
def test_what_cannot_be_learned(base, spectra, case):
    args, options, text = cases(base, spectra)[case]
    fitted, library = base.fitted, base.library
    with pytest.raises((ValueError, TypeError), match=text):
        base.update(*args, **options)
    assert base.fitted is fitted and base.library is library  # nothing is half learned


@pytest.mark.parametrize(
    "labels", [[0.0, 1.0], [["a"], ["b"]], ["a", ""], ["a", None], [True, 2.5]]
)
def test_labels_that_are_none(base, spectra, labels):
    with pytest.raises(TypeError, match="labels must be class names or indices"):
        base.update(spectra[:2], labels)


def test_spectra_that_are_others_than_the_fits(base, series):
    other = eb.Preprocessor((677, 737), 1.0, background=(600, 675), normalize=(570, 592.5))
    with pytest.raises(ValueError, match=r"use the fit's own, classifier\.preprocessor"):
        base.update(other(series.signals[0], show_progressbar=False)[:2], [0, 1])


def test_labels_are_heard_where_the_other_class_is_possible_too(base, spectra):
    before = predict(base, spectra).probabilities
    order = np.argsort(before[:, 0])[::-1]
    for row in order[[10, 80]]:
        clf = updated(base, spectra[[row] * 40], [1] * 40)
        assert predict(clf, spectra[[row]]).probabilities[0, 1] > 2 * before[row, 1]


def test_labels_of_doubtful_pixels_are_no_word_against_components(base, spectra):
    """Where two classes are possible, either label leaves the components' say as it was."""
    fitted = base.fitted
    before = reader_of(fitted).against
    p = predict(base, spectra).probabilities
    doubtful = np.flatnonzero((p[:, 0] > 0.2) & (p[:, 1] > 0.2))[:30]
    assert len(doubtful) > 5
    clf = updated(base, spectra[doubtful], np.arange(len(doubtful)) % 2)
    after = reader_of(clf.fitted).against
    assert (after - before).abs().max() < 2.0
    assert after[before > 0].min() > 4.0
    assert float(reader_of(clf.fitted).labels.sum()) == pytest.approx(len(doubtful), rel=1e-4)


def test_pixels_with_next_to_no_counts_teach_a_new_class_nothing(base, spectra):
    """They are left out as in a first fit, and told of."""
    dim = np.zeros(len(spectra), dtype=bool)
    dim[::5] = True
    counts = np.where(dim, 0.01, 1.0)
    vacuum = dataclasses.replace(spectra, level=(spectra.level / counts).astype(np.float32))
    library, options = completed(base.library), {"show_progressbar": False}
    found, without = (
        copy.deepcopy(base).update(library, spectra=one, **options)
        for one in (vacuum, spectra[~dim])
    )
    assert found.report().dim == pytest.approx(dim[spectra.ok].mean())
    assert found.report().n_pixels == (spectra.ok & ~dim).sum()
    assert found.fitted.forward.library_fit == without.fitted.forward.library_fit
    few = dataclasses.replace(vacuum[:3], level=spectra.level[:3] / np.float32([0.01, 1, 0.02]))
    message = "only 1 of 3 pixels are usable; 2 more have next to no counts"
    for call in (copy.deepcopy(base).fit, lambda one: base.update(library, spectra=one)):
        with pytest.raises(ValueError, match=message):
            call(few)

"""A tenth of the pixels is kept from the VAE, and whether it embeds as the rest is kept with the
model."""

import json

import numpy as np
import pytest

import eels_bayes as eb
from eels_bayes.classifier import fitting
from eels_bayes.classifier.domain import DomainCheck, _by_chance
from eels_bayes.classifier.domain_comparison import checked
from eels_bayes.classifier.held_out import LEAST_PIXELS, HeldOut, held_out_rows


@pytest.fixture(scope="module")
def many():
    """600 edge spectra, one of them flagged."""
    series = eb.simulate.annealing_series(n_images=4, shape=(15, 10), seed=3)
    pre = eb.Preprocessor(
        (677, 737), 0.5, background=(600, 675), normalize=(570, 592.5), align=(565, 600)
    )
    spectra = pre(series.signals, show_progressbar=False)
    spectra.flag[7] = int(eb.Flag.DEAD)
    return spectra


@pytest.fixture(scope="module")
def fit_to_many(many):
    """The fitted classifier, and the pixels that its VAE was given."""
    seen = []
    fit_vae = fitting._fit_clean_vae

    def listening(run, plan, settings, source, training, after_each):
        seen.append(training)
        return fit_vae(run, plan, settings, source, training, after_each)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "_fit_clean_vae", listening)
        clf = eb.EELSClassifier(
            eb.FingerprintLibrary.example(), latent_dim=4, effort=eb.Effort.quick(), seed=5
        )
        clf.fit(many, show_progressbar=False)
    return clf, seen[0]


def test_the_vae_sees_all_usable_pixels_but_a_tenth(many, fit_to_many):
    clf, seen = fit_to_many
    rows = clf.held_out.rows
    assert len(rows) == 59 and (np.diff(rows) > 0).all() and 7 not in rows
    others = np.setdiff1d(np.flatnonzero(many.ok), rows)
    np.testing.assert_array_equal(seen.intensity, many.intensity[others])


def test_rows_follow_from_the_seed(many, fit_to_many):
    clf, _ = fit_to_many
    np.testing.assert_array_equal(clf.held_out.rows, held_out_rows(many, 5))
    assert len(np.intersect1d(held_out_rows(many, 5), held_out_rows(many, 6))) < 30


def test_held_out_pixels_embed_as_the_rest_and_the_report_says_so(fit_to_many):
    clf, _ = fit_to_many
    found = clf.held_out.check
    assert found.passed and 20 <= found.n <= 59
    assert found.ratio == pytest.approx(1.0, abs=0.1)
    assert f"held out        {clf.held_out.words}" in str(clf.report())
    assert "59 of the fit's pixels, unseen by its VAE, embed as the rest" in repr(clf.held_out)


def test_model_files_and_updates_keep_it(many, fit_to_many, tmp_path):
    clf, _ = fit_to_many
    clf.save(tmp_path / "model.eels")
    loaded = eb.load_model(tmp_path / "model.eels")
    np.testing.assert_array_equal(loaded.held_out.rows, clf.held_out.rows)
    assert loaded.held_out.check == clf.held_out.check
    loaded.update(many[:2], ["0 % F", "50 % F"], show_progressbar=False)
    assert loaded.held_out.check == clf.held_out.check


def test_pixels_of_other_structures_do_not_embed_so(quick_classifier):
    process = eb.simulate.Process(unknown=0.3)
    series = eb.simulate.annealing_series(4, (10, 8), seed=5, process=process, dose=3.0)
    new = quick_classifier.preprocessor(series.signals, show_progressbar=False)
    unknown = np.flatnonzero((series.truth.label.values.ravel() < 0) & new.ok)
    assert len(unknown) > 60
    settings = quick_classifier._settings()
    found = checked(quick_classifier.fitted, new, unknown, settings)
    assert not found.check.passed and "embed otherwise: " in found.words
    others = np.setdiff1d(np.arange(len(new)), unknown)
    assert checked(
        quick_classifier.fitted, new[others], np.arange(0, len(others), 2), settings
    ).check.passed


def test_few_pixels_are_all_seen(quick_classifier, spectra):
    assert len(spectra) < LEAST_PIXELS
    found = quick_classifier.held_out
    assert len(found.rows) == 0 and found.check is None
    assert found.words == "none: fewer than 500 pixels are usable"
    assert "none: fewer than 500" in str(quick_classifier.report())


def test_there_is_none_before_a_fit():
    with pytest.raises(RuntimeError, match="not fitted"):
        _ = eb.EELSClassifier(eb.FingerprintLibrary.example()).held_out


def test_classes_that_cannot_be_compared_are_said():
    words = HeldOut(np.arange(70), None).words
    assert words == "70 pixels, too few alike in class to be compared"


def test_a_check_survives_json_and_no_other_value_does(fit_to_many):
    check = fit_to_many[0].held_out.check
    options = json.loads(json.dumps(check.options()))
    assert DomainCheck.restored(options) == check
    with pytest.raises(TypeError, match="rare is '0'; a number is needed"):
        DomainCheck.restored(options | {"rare": "0"})
    with pytest.raises(TypeError, match="p_value is None"):
        DomainCheck.restored(options | {"latents": options["latents"] | {"p_value": None}})
    with pytest.raises(ValueError, match="not positive"):
        DomainCheck.restored(options | {"reference_chi_square": 0.0})


def test_as_many_rare_pixels_come_by_chance_as_said(rng):
    n = 60
    both = rng.random((4000, 2, n))
    beyond = (
        both[:, 0] > np.quantile(both[:, 1], 0.99, axis=1, keepdims=True, method="higher")
    ).sum(1)
    for least in (1, 3, 5):
        told = _by_chance(least / n, n)
        assert (beyond >= least).mean() == pytest.approx(told, abs=4 * np.sqrt(told / 4000))

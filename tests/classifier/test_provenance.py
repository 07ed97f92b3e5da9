"""A model says where it comes from, and its results say which model they are of."""

import copy
import dataclasses
import re
from datetime import datetime, timedelta

import numpy as np
import pytest

import eels_bayes as eb
from eels_bayes import tensor_file
from eels_bayes.classifier import digest as digests
from eels_bayes.classifier import fit_record
from eels_bayes.classifier.digest import DIGITS, digest
from eels_bayes.classifier.fit_record import LONGEST_TITLE, MOST_TITLES, FitRecord, record_of
from eels_bayes.classifier.model_file import KIND
from eels_bayes.classifier.provenance import effort_in_words, provenance_of

SHORT = dataclasses.replace(eb.Effort.quick(), vae=eb.Schedule(2, 5))


@pytest.fixture
def clf(quick_classifier):
    return copy.copy(quick_classifier)  # whose model may be another then


def saved_and_loaded(clf, path):
    clf.save(path)
    return eb.load_model(path)


# --- the record of the fit


def test_the_record_says_when_by_what_and_from_which_signals(clf, spectra):
    record = clf.provenance.fit
    assert record.version == eb.__version__
    assert datetime.fromisoformat(record.date).utcoffset() == timedelta(0)
    assert record.n_pixels == spectra.ok.sum() == 320 and record.n_signals == 4
    assert record.titles == tuple(info.title for info in spectra.images)
    assert record.n_updates == 0 and record.updated == ""


def test_only_signals_with_usable_pixels_count(spectra):
    flag = np.where(spectra.image == 1, int(eb.Flag.DEAD), 0)
    record = record_of(dataclasses.replace(spectra, flag=flag))
    assert record.n_pixels == 240 and record.n_signals == 3
    assert record.titles == tuple(spectra.images[k].title for k in (0, 2, 3))


def test_thousands_of_titles_do_not_fill_a_file(spectra):
    n = len(spectra)
    one = dataclasses.replace(spectra.images[0], shape=(), axes=(), title="x" * 1000)
    many = dataclasses.replace(
        spectra, images=(one,) * n, image=np.arange(n), position=np.zeros(n, dtype=np.int64)
    )
    record = record_of(many)
    assert record.n_signals == n and len(record.titles) == MOST_TITLES
    assert {len(title) for title in record.titles} == {LONGEST_TITLE}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"date": 3}, TypeError, "date is 3; words are needed"),
        ({"n_pixels": -1}, ValueError, "n_pixels is -1; a number is needed"),
        ({"n_signals": "4"}, ValueError, "n_signals is '4'; a number is needed"),
        ({"titles": [1]}, TypeError, r"titles are \(1,\); words are needed"),
    ],
)
def test_records_that_cannot_be(clf, change, error, message):
    options = clf.provenance.fit.options()
    assert FitRecord.restored(options) == clf.provenance.fit
    with pytest.raises(error, match=message):
        FitRecord.restored(options | change)


# --- shown


def test_it_is_printed_in_words(clf):
    lines = dict(re.split(r":\s+", line, maxsplit=1) for line in str(clf.provenance).splitlines())
    fit = clf.provenance.fit
    assert lines == {
        "model": clf.provenance.model,
        "fitted": f"{fit.date} by eels_bayes {eb.__version__}",
        "to": f"320 spectra of 4 signals: {', '.join(map(repr, fit.titles))}",
        "library": "parametric example, F K edge of Cr2TiC2OxFy",
        "noise": "gain 1",
        "seed": "0",
        "effort": "quick",
    }
    assert repr(clf) == (
        f"<EELSClassifier: {', '.join(clf.class_names)}; "
        f"fitted {fit.date[:10]}, model {clf.provenance.model[:8]}>"
    )


def test_few_words_for_many_titles_and_none_for_no_titles(clf):
    def shown(**change):
        fitted = dataclasses.replace(clf.fitted, record=dataclasses.replace(fit, **change))
        return str(provenance_of(fitted, 0, SHORT)).splitlines()[2]

    fit = clf.provenance.fit
    assert shown(titles=("a", "", "b"), n_signals=7).endswith("7 signals: 'a', 'b' and 5 more")
    assert shown(titles=("", ""), n_signals=2).endswith("320 spectra of 2 signals")


def test_efforts_in_words():
    assert effort_in_words(eb.Effort()) == "full"
    assert effort_in_words(eb.Effort.quick()) == "quick"
    other = eb.Effort(gp_steps=300, vae_batch=32)
    assert effort_in_words(other) == "full but for vae_batch=32, gp_steps=300"


def test_before_a_fit_there_is_none():
    with pytest.raises(RuntimeError, match="not fitted"):
        eb.EELSClassifier(eb.FingerprintLibrary.example()).provenance.model  # noqa: B018


# --- files


def test_a_loaded_model_shows_what_the_saved_one_did(clf, tmp_path, capsys):
    again = saved_and_loaded(clf, tmp_path / "model.eels")
    assert not capsys.readouterr().out
    assert again.provenance == clf.provenance
    assert str(again.provenance) == str(clf.provenance) and repr(again) == repr(clf)
    for name in ("value_name", "value_unit", "value_range", "source"):
        for library in (again.library, again.fitted.forward.library):
            assert getattr(library, name) == getattr(clf.library, name)


def test_seed_and_effort_are_in_the_file_once(clf, tmp_path):
    clf.save(tmp_path / "model.eels")
    _, config = tensor_file.read(tmp_path / "model.eels", KIND)
    assert set(config["classifier"]["fit"]) == {f.name for f in dataclasses.fields(FitRecord)}


# --- the digest


def test_the_digest_is_that_of_the_numbers_alone(clf, spectra, tmp_path):
    found = clf.provenance.model
    assert re.fullmatch(rf"[0-9a-f]{{{DIGITS}}}", found)
    assert saved_and_loaded(clf, tmp_path / "model.eels").provenance.model == found
    # neither the date nor the source is in it
    record = dataclasses.replace(clf.fitted.record, date="2001-01-01T00:00:00+00:00")
    library = dataclasses.replace(clf.fitted.forward.library, source="elsewhere")
    forward = dataclasses.replace(clf.fitted.forward, library=library)
    assert digest(dataclasses.replace(clf.fitted, record=record, forward=forward)) == found


def test_the_same_seed_is_the_same_model_on_another_day(spectra, monkeypatch):
    models = []
    for day in ("2001-01-01T00:00:00+00:00", "2002-02-02T00:00:00+00:00"):
        monkeypatch.setattr(fit_record, "now", lambda day=day: day)
        clf = eb.EELSClassifier(eb.FingerprintLibrary.example(), latent_dim=3, effort=SHORT)
        clf.fit(spectra, show_progressbar=False)
        assert clf.provenance.fit.date == day
        models.append(clf.provenance.model)
    assert models[0] == models[1]


@pytest.mark.parametrize(
    "name", ["gp.variational_mean", "vae.log_b", "encoder.offset", "preprocessor.typical"]
)
def test_another_number_is_another_model(clf, name):
    other, (part, entry) = copy.deepcopy(clf.fitted), name.split(".")
    tensors = other.gp.state if part == "gp" else getattr(other, part).state_dict()
    tensors[entry] += 1e-3
    assert digest(other) != digest(clf.fitted)


def test_another_range_of_values_is_another_model(clf):
    library = dataclasses.replace(clf.fitted.forward.library, value_range=(0.0, 2.0))
    forward = dataclasses.replace(clf.fitted.forward, library=library)
    assert digest(dataclasses.replace(clf.fitted, forward=forward)) != digest(clf.fitted)


def test_integers_where_numbers_belong_do_not_make_another_model(spectra, tmp_path):
    library = dataclasses.replace(
        eb.FingerprintLibrary.example(), variations=eb.Variations(1, 1, 0), value_range=(0, 1)
    )
    clf = eb.EELSClassifier(library, latent_dim=3, effort=SHORT)
    clf.fit(spectra, show_progressbar=False)
    found = digest(clf.fitted)
    assert saved_and_loaded(clf, tmp_path / "model.eels").provenance.model == found


def test_it_is_worked_out_once(clf, spectra, monkeypatch):
    known, calls = digest(clf.fitted), []
    monkeypatch.setattr(digests, "pack_fitted", calls.append)
    assert clf.predict(spectra[:3]).model == known and not calls


def test_an_update_is_another_model_and_notes_its_date(clf, monkeypatch, tmp_path):
    before, fit = clf.provenance, clf.provenance.fit
    for n, day in enumerate(("2031-01-01T00:00:00+00:00", "2032-02-02T00:00:00+00:00"), 1):
        monkeypatch.setattr(fit_record, "now", lambda day=day: day)
        clf.update([[0.1 * n] * 4], [0], show_progressbar=False)
        after = clf.provenance
        assert after.fit == dataclasses.replace(fit, n_updates=n, updated=day)
        assert f"updated {day[:10]}, model {after.model[:8]}" in repr(clf)
        times = "once" if n == 1 else "2 times"
        assert f"updated:  {times}, last {day}" in str(after).splitlines()
        assert after.model not in (before.model, "")
        before = after
    assert saved_and_loaded(clf, tmp_path / "model.eels").provenance == clf.provenance


def test_results_say_which_model_they_are_of(clf, spectra):
    pred = clf.predict(spectra)
    assert pred.model == clf.provenance.model and pred[:5].model == pred.model
    assert pred.to_signals()["total"][0].metadata.eels_bayes.model == pred.model
    assert clf.predict(spectra[:3], context="image").model == pred.model
    assert (pred.value_name, pred.value_range) == ("fluorine fraction", (0.0, 1.0))


def test_intervals_stay_within_what_is_possible_and_hold_what_they_held(clf, spectra, series):
    pred = clf.predict(spectra)
    truth = series.truth["value"].to_numpy().ravel()
    free = dataclasses.replace(pred, value_range=(-np.inf, np.inf))
    low, high = pred.value_interval(0.9)
    free_low, free_high = free.value_interval(0.9)
    assert (free_low < 0).mean() > 0.1 and low.min() == 0.0 and high.max() <= 1.0
    held = (free_low <= truth) & (truth <= free_high)
    np.testing.assert_array_equal((low <= truth) & (truth <= high), held)
    assert (high - low).mean() < (free_high - free_low).mean()
    assert ((low <= pred.value) & (pred.value <= high)).all()

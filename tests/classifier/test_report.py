"""A fit says how well it went, in words, as a table and as a figure, and what was bad about it."""

import copy
import dataclasses
import re
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest

import eels_bayes as eb
from eels_bayes.classifier import fitting
from eels_bayes.classifier.fit_library import rise_length
from eels_bayes.classifier.fit_misfits import misfitting
from eels_bayes.classifier.fit_problems import FEW_PIXELS, UNDECIDED, notes, problems
from eels_bayes.classifier.fit_report import NO_PIXEL
from eels_bayes.classifier.reporting import (
    MOST_PIXELS,
    _pair_weights,
    measured_fit,
    report_of,
    warn_of_problems,
)
from eels_bayes.command_line.tell_report import report_values
from eels_bayes.forward_model.factor_moments import N_COMMON
from eels_bayes.forward_model.fit import fit_forward_model
from eels_bayes.forward_model.foreign import Foreign
from eels_bayes.forward_model.registration import REACH
from eels_bayes.forward_model.rivals import AS_WELL, Exchange, Rival
from eels_bayes.forward_model.window_fit import SCATTER, WindowFit, brightness
from eels_bayes.preprocessing.series_noise import noise_source
from eels_bayes.word_tables import aligned
from helpers import tiny_models

QUICK = eb.Effort.quick()
ALIEN = Rival(0.0, 0.0, np.inf)


@pytest.fixture
def clf(quick_classifier):
    return copy.copy(quick_classifier)  # whose model may be another then


@pytest.fixture(scope="module")
def report(quick_classifier):
    return quick_classifier.report()


def refitted(fitted, spectra, library):
    """The fitted model with a forward model of another library, as far as a report reads it."""
    forward = fit_forward_model(spectra, library, effort=QUICK, show_progressbar=False)
    return dataclasses.replace(
        fitted, forward=forward, window_fit=measured_fit(forward, spectra), preprocessor=None
    )


def reported(fitted, library, spectra):
    """The report of such a fitted model."""
    fitted = dataclasses.replace(fitted, preprocessor=spectra.preprocessor)
    return report_of(fitted, library, None, QUICK)


# --- what it holds


def test_a_right_fit_is_healthy(clf, report, spectra):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_problems(clf.fitted, clf.library, clf.effort)
    assert report.ok and report.problems == ()
    assert report.n_pixels == report.n_fitted == 320
    assert 0.85 < report.chi_square < 1.1
    assert report.class_pixels.sum() == pytest.approx(320)
    assert report.class_share.sum() == pytest.approx(1.0)
    forward = clf.fitted.forward
    assert report.gain == forward.library_fit.gain
    assert report.broadening**2 == pytest.approx(forward.library_fit.broadening)
    assert (report.shift_sd, report.gain_sd) == (
        forward.library.variations.shift,
        forward.library.variations.intensity,
    )
    assert report.noise == spectra.preprocessor.detector_noise
    assert report.class_names == clf.library.class_names


def test_it_is_told_in_words(report):
    text = repr(report)
    for name, value in report.rows():
        assert name in text and value in text
    for name, row in zip(report.class_names, report.class_rows(), strict=True):
        assert row[0] == name and all(cell in text for cell in row)
    assert "gain 1 (by the metadata" in text
    assert "converged       no, after" in text and "the last 10 gained" in text
    assert "- the fit ended before its numbers stood still, as few iterations" in text
    assert "!" not in text
    assert not any(line.endswith(" ") for line in text.splitlines())
    bad = dataclasses.replace(report, problems=("this is bad",))
    assert not bad.ok and "\n! this is bad\n" in repr(bad)


def test_columns_are_aligned():
    assert aligned([("a", "bb", "c"), ("ddd", "e", "")]) == "a    bb  c\nddd  e"


def test_notebooks_show_a_table_whose_words_are_no_code(report):
    names = ("<b>A</b>", *report.class_names[1:])
    html = dataclasses.replace(report, class_names=names, problems=("1 < 2",))._repr_html_()
    assert "&lt;b&gt;A&lt;/b&gt;" in html and "<b>A" not in html
    assert "<strong>1 &lt; 2</strong>" in html
    for name, _ in report.rows():
        assert f">{name}</th>" in html
    assert html.count("<tr>") == html.count("</tr>") == 1 + len(report.rows()) + len(names)


def test_the_figure_shows_course_chi_square_and_classes(report):
    figure = report.plot()
    axes = [ax for ax in figure.axes if ax.get_visible()]
    assert len(axes) == 2 + 2 * 4
    (course,) = axes[0].lines
    np.testing.assert_array_equal(course.get_ydata(), report.log_likelihood)
    titles = [ax.get_title() for ax in axes]
    for name, n in zip(report.class_names, report.class_pixels, strict=True):
        assert f"{name}: {n:.0f} pixels" in titles
    plt.close(figure)


def test_noise_tells_who_says_so():
    rows = [[1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.9]]
    assert "the counts agree" in noise_source("auto", rows)
    rows[0][4] = 3.0
    assert noise_source("auto", rows) == "measured; the metadata state a gain of 1"
    assert noise_source("measured", rows) == "measured"
    assert noise_source("metadata", rows) == noise_source("auto", []) == "by the metadata"
    assert noise_source(eb.Noise(3.0), rows) == "given"


# --- which spectra


def test_other_spectra_are_reported_on(clf, report, spectra):
    again = clf.report(spectra)
    assert repr(again) == repr(report)
    some = clf.report(spectra[:100])
    assert some.n_pixels == 100 and some.n_fitted == 320
    assert "100 looked at; the fit was to 320" in repr(some)
    flag = np.where(np.arange(320) < 300, int(eb.Flag.DEAD), 0)
    assert clf.report(dataclasses.replace(spectra, flag=flag)).n_pixels == 20
    with pytest.raises(ValueError, match=r"none of 320 pixels is usable, and a report needs one"):
        clf.report(dataclasses.replace(spectra, flag=np.full(320, int(eb.Flag.DEAD))))
    with pytest.raises(TypeError, match="spectra is a ndarray"):
        clf.report(spectra.intensity)


def test_errors_that_few_pixels_do_not_tell_are_unknown(clf, report, spectra):
    few = clf.report(spectra[np.flatnonzero(spectra.ok)[:3]])
    for name in ("library factor", "library shift", "broadening"):
        assert "+- (unknown)" in dict(few.rows())[name]
        assert "unknown" not in dict(report.rows())[name]


def test_of_many_pixels_some_are_looked_at(clf, spectra):
    many = spectra[np.tile(np.arange(320), 20)]
    found = measured_fit(clf.fitted.forward, many)
    assert 0.5 * MOST_PIXELS < found.n_pixels <= MOST_PIXELS


def test_nothing_is_reported_before_a_fit():
    with pytest.raises(RuntimeError, match="not fitted"):
        eb.EELSClassifier(eb.FingerprintLibrary.example()).report()


# --- the file


def test_a_file_keeps_the_report(clf, report, tmp_path):
    clf.save(tmp_path / "model.eels")
    loaded = eb.load_model(tmp_path / "model.eels")
    again = loaded.report()
    assert repr(again) == repr(report)
    for field in dataclasses.fields(WindowFit):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(report, field.name))
        assert type(getattr(again, field.name)) is type(getattr(report, field.name))
    assert loaded.provenance.model == clf.provenance.model


def test_labels_leave_the_report_and_a_library_makes_a_new_one(clf, report, spectra):
    clf.update(spectra[[3, 14]], ["50 % F", "oxide"], show_progressbar=False)
    assert clf.report().class_names == report.class_names
    assert repr(clf.report()) == repr(report)
    clf.update(clf.library, spectra=spectra[:200], recalibrate=False, show_progressbar=False)
    assert clf.report().n_pixels == 200


# --- what is bad


def test_the_class_that_explains_the_only_one_as_well_is_named(report):
    only = dataclasses.replace(
        report,
        class_pixels=np.array([5.0, 310.0, 5.0, 0.0]),
        rivals=(Rival(1.0, 1.5, 0.9), Rival(0.0, 1.0, 0.1), Rival(-0.7, 0.8, 0.12), ALIEN),
    )
    (said,) = (it for it in problems(only) if "as well" in it)
    names = report.class_names
    assert f"read as {names[1]}" in said and f"{names[2]}, another -0.7 eV away" in said
    assert f"{report.shift - 0.7:+.1f} eV for {names[2]}" in said and "(12 % off" in said
    worse = (Rival(1.0, 1.5, 0.9), Rival(0.0, 1.0, 0.1), Rival(-0.7, 0.8, 0.1 * AS_WELL), ALIEN)
    assert not any("as well" in it for it in problems(dataclasses.replace(only, rivals=worse)))


def test_of_a_class_that_explains_nothing_the_misfit_comes_first(report):
    only = dataclasses.replace(
        report,
        class_pixels=np.array([5.0, 310.0, 5.0, 0.0]),
        chi_square=9.0,
        chi_square_error=0.1,
        rivals=(ALIEN, Rival(0.0, 1.0, 0.4), Rival(-0.7, 0.8, 0.42), ALIEN),
    )
    assert "as well" in problems(only)[0] and "chi-square" in problems(only)[1]
    worse = (ALIEN, Rival(0.0, 1.0, 0.8), Rival(-0.7, 0.8, 0.82), ALIEN)
    said = problems(dataclasses.replace(only, rivals=worse))
    assert "chi-square" in said[0] and "as well" in said[1]


def test_pixels_without_the_edge_of_their_class_are_no_class_beside_the_only_one(report):
    """A substrate beside a film of one class: what tells where the library stands is the film."""
    film = dataclasses.replace(report, class_pixels=np.array([60.0, 190.0, 5.0, 0.0]))
    assert film.only_class(4) is None
    edge = report.fingerprint.copy()
    edge[0] *= 0.05
    assert dataclasses.replace(film, edge=edge).only_class(4) == 1


@pytest.mark.parametrize("k", [0, 1, 2])
def test_a_series_of_one_class_is_read_right_or_said_to_be_unsure(clf, spectra, series, k):
    """Of few pixels of a weak edge alone, nothing tells it from the continuum."""
    label = series.truth.label.values.ravel()
    one = spectra[np.flatnonzero(label == k)]
    fitted = refitted(clf.fitted, one, clf.library)
    found = reported(fitted, clf.library, spectra)
    assert len(found.rivals) == 4
    right = np.argmax(found.class_pixels) == k
    assert right == (k != 2)
    assert any("as well" in it for it in found.problems) != right


def test_a_library_on_another_axis_is_bad(clf, spectra):
    library = clf.library
    off = dataclasses.replace(library, energy=library.energy + 40.0)
    fitted = refitted(clf.fitted, spectra, off)
    found = reported(fitted, off, spectra)
    assert "to the end of what is tried" in found.problems[0]
    assert any("stands out of its band" in sentence for sentence in found.problems)


def test_fingerprints_of_another_structure_are_bad(clf, spectra):
    energy = clf.library.energy
    lines = [
        np.exp(-0.5 * ((energy - 694 - 3 * k) / 1.5) ** 2)
        + np.exp(-0.5 * ((energy - 711 - 2 * k) / 1.5) ** 2)
        for k in range(4)
    ]
    other = eb.FingerprintLibrary.from_arrays(energy, np.array(lines), range(4))
    fitted = refitted(clf.fitted, spectra, other)
    found = reported(fitted, other, spectra)
    words = ("stands out of its band", "like no fingerprint")
    assert any(word in sentence for sentence in found.problems for word in words)


@pytest.mark.parametrize(("factor", "words"), [(4.0, "scatter less"), (0.25, "noise is larger")])
def test_a_wrong_gain_is_bad(clf, spectra, factor, words):
    """As the reader of the same counts makes it: the fit is to the wrong noise too."""
    wrong = dataclasses.replace(spectra, level=np.float32(factor) * spectra.level)
    fitted = refitted(clf.fitted, wrong, clf.library)
    found = reported(fitted, clf.library, spectra)
    assert words in found.problems[0]
    (told,) = re.findall(r"gain (?:is )?rather ([\d.]+),", found.problems[0])
    assert float(told) == pytest.approx(1.0 / factor, rel=0.35)


def with_class(report, k, **values):
    """A report in which a class has other values."""
    changed = {}
    for name, value in values.items():
        changed[name] = getattr(report, name).copy()
        changed[name][k] = value
    return dataclasses.replace(report, **changed)


def test_single_signs_of_trouble(report):
    def bad(**changes):
        return problems(dataclasses.replace(report, **changes), limited=False)

    calm = {"converged": True}
    assert bad(**calm) == ()
    (sentence,) = bad(**calm, shift=-REACH)
    assert "moved by -15.0 eV, to the end" in sentence
    (sentence,) = bad(**calm, n_fitted=FEW_PIXELS - 1)
    assert f"{FEW_PIXELS - 1} pixels are too few" in sentence
    assert bad(**calm, n_fitted=FEW_PIXELS) == ()
    open_shares = np.full_like(report.share_error, UNDECIDED / len(report.class_names))
    (sentence,) = bad(**calm, share_error=open_shares)
    assert "leave open how frequent 4 classes are: shares are known to within 12.5 %" in sentence
    assert bad(**calm, share_error=0.99 * open_shares) == ()
    few = {"n_pixels": FEW_PIXELS - 1}  # others than those of the fit
    assert bad(**calm, **few, share_error=open_shares) == bad(**calm, **few)
    rise = rise_length(report.energy, report.fingerprint)
    assert 1.0 < rise < 20.0
    (sentence,) = bad(**calm, shift_sd=1.1 * rise)
    assert "shifts differ by" in sentence
    climbing = np.arange(30.0)
    (sentence,) = bad(converged=False, log_likelihood=climbing)
    assert "still gained 10 nats a pixel" in sentence
    assert problems(dataclasses.replace(report, log_likelihood=climbing), limited=True) == ()
    assert bad(converged=False, log_likelihood=0.001 * climbing) == ()


def test_a_class_that_is_described_badly(report):
    report = dataclasses.replace(report, converged=True)
    name = report.class_names[1]
    (sentence,) = problems(with_class(report, 1, class_chi_square=2.5))
    assert sentence.startswith(f"chi-square of {name!r} is 2.50")
    # of few pixels nothing is known
    assert not problems(with_class(report, 1, class_chi_square=2.5, class_pixels=3.0))
    assert not problems(with_class(report, 1, class_chi_square=2.5, class_chi_square_error=1.0))
    shape = np.where(np.arange(len(report.energy)) < 10, 0.5, 0.0)
    (sentence,) = problems(with_class(report, 1, residual=shape, band=0.05))
    assert f"the mean residual of {name!r} stands out" in sentence
    assert f"+0.50 +- 0.05 at {report.energy[0]:.1f} eV" in sentence
    # small in a pixel, however sure; or not sure, however large
    assert not problems(with_class(report, 1, residual=0.2 * shape, band=0.005))
    assert not problems(with_class(report, 1, residual=shape, band=0.5))
    assert not problems(with_class(report, 1, residual=shape, band=0.05, class_pixels=3.0))


def test_a_class_that_is_several(report):
    report = dataclasses.replace(report, converged=True)
    name = report.class_names[2]
    changed = with_class(report, 2, edge_scatter=1.6, edge_scatter_error=0.1)
    (sentence,) = problems(changed)
    assert f"pixels of {name!r} differ in the size of their edge" in sentence
    assert "variance 1.60 times" in sentence
    # little more, not surely more, or of few pixels
    assert not problems(with_class(changed, 2, edge_scatter=1.0 + SCATTER))
    assert not problems(with_class(changed, 2, edge_scatter_error=0.16))
    assert not problems(with_class(changed, 2, class_pixels=3.0))
    # of a larger noise, anything stands out
    noisy = dataclasses.replace(changed, chi_square=3.0, chi_square_error=0.01)
    assert not any("size of their edge" in it for it in problems(noisy))


def test_classes_that_others_would_explain_as_well(report):
    report = dataclasses.replace(report, converged=True)
    names = report.class_names
    others = Exchange((1, 2), (0, 1), -0.5, 0.5, 0.21, 0.2)
    (sentence,) = problems(dataclasses.replace(report, exchange=others))
    assert f"read as {names[1]!r}, {names[2]!r} would be explained" in sentence
    assert f"by {names[0]!r}, {names[1]!r}, the library multiplied" in sentence
    assert f"moved by {report.shift - 0.5:+.1f} eV" in sentence and "(21 % off" in sentence
    worse = dataclasses.replace(report, exchange=others._replace(off=AS_WELL * 0.2))
    assert not problems(worse)


def test_a_majority_without_an_edge_is_no_news_where_others_show_one(report):
    only = dataclasses.replace(
        report,
        class_pixels=np.array([12.0, 0.0, 0.0, 300.0]),
        rivals=(ALIEN, ALIEN, ALIEN, Rival(0.0, 1.0, 1.0)),
        converged=True,
    )
    assert not np.abs(report.fingerprint[3]).any()
    assert not any("has no edge" in it for it in problems(only))
    few = dataclasses.replace(only, class_pixels=np.array([2.0, 0.0, 0.0, 310.0]))
    assert any("has no edge: a weak edge" in it for it in problems(few))


def test_of_other_pixels_no_mixtures_are_said(clf, spectra):
    assert clf.report().pair_weights.sum() == pytest.approx(1.0)
    assert not clf.report(spectra[:50]).pair_weights.any()


def test_sizes_of_a_class_that_may_be_absent_are_pure(clf):
    forward = clf.fitted.forward
    plain = dataclasses.replace(forward.library, values=None)
    weights = np.diag([0.3, 0.2, 0.1, 0.2])
    weights[0, 3], weights[0, 1] = 0.15, 0.05
    found = _pair_weights(dataclasses.replace(forward, library=plain, pair_weights=weights))
    np.testing.assert_allclose(np.diag(found), [0.45, 0.2, 0.1, 0.2])
    assert found[0, 1] == 0.05 and found.sum() == pytest.approx(1.0)


def test_pixels_beside_the_specimen(report):
    report = dataclasses.replace(report, converged=True)
    assert report.dim == 0.0
    beside = dataclasses.replace(report, dim=0.4)
    assert not problems(beside)
    (sentence,) = set(notes(beside)) - set(notes(report))
    assert sentence.startswith("40 % of the pixels have less than a tenth of the counts")


def test_a_factor_that_pixels_hardly_show(report):
    report = dataclasses.replace(report, converged=True, n_pixels=400)
    unsure = dataclasses.replace(report, library_error=np.array([0.31, 0.5, 1.0]))
    (sentence,) = problems(unsure)
    assert sentence.startswith("these pixels show the library's factor to within 31 % only")
    assert not problems(dataclasses.replace(unsure, n_pixels=100)) and not problems(report)


def test_pixels_of_different_brightness_need_a_unit_of_their_own(report):
    report = dataclasses.replace(report, converged=True, brightness=0.3)
    assert report.normalized and not problems(report)
    sentence, *others = problems(dataclasses.replace(report, normalized=False))
    assert sentence.startswith("pixels differ by 30 % in their counts before the edge")
    assert "Preprocessor(normalize=...)" in sentence and not others
    assert not problems(dataclasses.replace(report, normalized=False, brightness=0.05))


@pytest.mark.parametrize("sd", [0.0, 0.05, 0.3])
def test_brightness_is_what_differs_beyond_the_noise(rng, sd):
    energy = np.arange(600.0, 760.0)
    mean = 200.0 * np.exp(sd * rng.standard_normal(400))[:, None] * (energy / 680.0) ** -3
    counts = rng.poisson(mean).astype(float)
    # what lies further before the window than it is wide, or in it, does not count
    counts[::2, energy < 620.0] *= 5.0
    counts[::2, energy > 680.0] *= 5.0
    found = brightness(energy, counts, np.ones(400), (680.0, 740.0))
    assert found == pytest.approx(sd, rel=0.1, abs=0.005)
    in_a_unit = brightness(energy, counts / 50.0, np.full(400, 1 / 50.0), (680.0, 740.0))
    assert in_a_unit == pytest.approx(found, abs=1e-9)
    assert brightness(energy[80:], counts[:, 80:], np.ones(400), (680.0, 740.0)) == 0.0


def test_another_factor_is_likelier(report):
    report = dataclasses.replace(report, converged=True)
    (sentence,) = problems(dataclasses.replace(report, begun_again=True))
    assert f"from another factor ({report.gain:.3g} now)" in sentence
    assert not problems(report) and not report.begun_again


def test_many_pixels_between_two_classes(report):
    names = report.class_names
    weights = np.diag([0.3, 0.3, 0.1, 0.05])
    weights[1, 2] = 0.16
    report = dataclasses.replace(report, converged=True, pair_weights=weights, n_fitted=400)
    (sentence,) = problems(report)
    assert f"16 % of the pixels are read as mixtures of {names[1]!r}, {names[2]!r}" in sentence
    assert "pure ones 30 and 10 %" in sentence
    assert not problems(dataclasses.replace(report, n_fitted=300))
    # few of all pixels, or of those that are pure
    for fewer in (
        np.where(weights == 0.16, 0.14, weights),
        weights + np.diag([0.0, 0.2, 0.2, 0.0]),
    ):
        assert not problems(dataclasses.replace(report, pair_weights=fewer))


def test_a_window_without_the_onset(report):
    report = dataclasses.replace(report, converged=True)
    late = report.fingerprint.copy()
    late[:, 0] = 0.6 * late.max(1)
    (sentence,) = problems(dataclasses.replace(report, fingerprint=late))
    assert "60 % of its maximum already" in sentence


@pytest.fixture(scope="module")
def many():
    """Pixels enough to tell a class from two: 1,024 at dose 3."""
    series = eb.simulate.annealing_series(n_images=4, shape=(16, 16), dose=3.0, seed=41)
    pre = eb.Preprocessor(
        (677, 737), 0.5, background=(600, 675), normalize=(570, 592.5), align=(565, 600)
    )
    return pre(series.signals, show_progressbar=False)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("right", None),
        ("without the weakest", "differ in the size of their edge"),
        ("without the strongest", "differ in the size of their edge"),
        ("without the second", "are read as mixtures of '50 % F', '12.5 % F'"),
        ("of another shape", "would be explained as well by"),
    ],
)
def test_a_library_that_is_wrong_and_would_be_sure_is_said(clf, many, case, words):
    """Each reads a fifth to a half of the pixels wrong, next to all of them surely."""
    library = wrong_library(clf.library, case)
    forward = fit_forward_model(many, library, show_progressbar=False)
    fitted = dataclasses.replace(
        clf.fitted, forward=forward, window_fit=measured_fit(forward, many), preprocessor=None
    )
    found = reported(fitted, library, many).problems
    assert found == () if words is None else any(words in it for it in found)


def wrong_library(library, case):
    """The library as a user may have it."""
    labels, rows = library.labels, library.intensity
    names = np.array(library.class_names)
    if case.startswith("without"):
        gone = names[{"strongest": 0, "second": 1, "weakest": -1}[case.split()[-1]]]
        kept = names[labels] != gone
        return eb.FingerprintLibrary.from_arrays(
            library.energy,
            rows[kept],
            names[labels[kept]],
            values=library.values[kept],
            nuisances=library.nuisances,
        )
    if case == "of another shape":
        step = 1.0 / (1.0 + np.exp(-(library.energy - 690.0) / 1.5))
        rows = rows.max() * (0.02 + 2.0 * library.values[:, None]) * step
    return dataclasses.replace(library, intensity=rows)


def test_means_of_few_pixels_are_judged_by_as_many(report, rng):
    """Errors that few pixels show are often too small; then as often as of many one stands out."""
    shape = (400, len(report.residual[0]))
    found = []
    for n in (10, 1000):
        t = rng.standard_t(n - 1, shape)
        bands = np.full(shape, 0.3)
        mean = bands * t
        rows = dataclasses.replace(
            report,
            residual=mean,
            band=bands,
            class_pixels=np.full(len(mean), float(n)),
            class_chi_square=np.ones(len(mean)),
        )
        found.append(len(misfitting(rows)) / len(mean))
    assert found[1] == 0 and found[0] < 0.03


def test_classes_that_no_pixel_takes(report):
    """May be absent; but where the library was scaled, another may stand for them."""
    name = report.class_names[0]
    empty = with_class(report, 0, class_pixels=0.5 * NO_PIXEL)
    assert empty.empty == (name,) and not problems(empty, limited=True)
    assert any(f"no pixel takes {name!r}: absent" in note for note in notes(empty))
    assert (name, "none", "", "") in empty.class_rows()
    scaled = dataclasses.replace(empty, gain=3.7)
    (sentence,) = problems(scaled, limited=True)
    assert f"no pixel takes {name!r}, and the library was multiplied by 3.7" in sentence
    assert not any("no pixel takes" in note for note in notes(scaled))
    plt.close(empty.plot())


def test_notes_are_not_bad(report):
    def noted(**changes):
        changed = dataclasses.replace(report, **{"converged": True, **changes})
        assert not problems(changed)
        return notes(changed)

    assert noted() == ()
    (note,) = noted(shift=-8.0)
    assert "moved by -8.0 eV: see eb.calibrate_axis" in note
    (note,) = noted(gain=0.01)
    assert "multiplied by 0.01" in note
    (note,) = noted(converged=False, log_likelihood=np.zeros(75))
    assert "stood still: a larger" in note


def test_fit_warns_of_the_worst(spectra, monkeypatch):
    def worse(forward, spectra):
        found = measured_fit(forward, spectra)
        return dataclasses.replace(found, chi_square=3.0)

    monkeypatch.setattr(fitting, "measured_fit", worse)
    effort = dataclasses.replace(QUICK, vae=eb.Schedule(2, 5))
    clf = eb.EELSClassifier(eb.FingerprintLibrary.example(), latent_dim=3, effort=effort)
    with pytest.warns(UserWarning, match=r"fit: chi-square is 3.00 a channel .*\(see report") as w:
        clf.fit(spectra, show_progressbar=False)
    assert [warning.filename for warning in w] == [__file__]
    assert len(clf.report().problems) == 1
    few = dataclasses.replace(clf.fitted.record, n_pixels=10)
    with pytest.warns(UserWarning, match=r"\(1 more in report\(\)\)"):
        warn_of_problems(dataclasses.replace(clf.fitted, record=few), clf.library, effort)


def lacking_one():
    """A fitted classifier whose model holds a structure that the library lacks, its pixels said."""
    clf = tiny_models.fitted_copy()
    forward = clf.fitted.forward
    n_bins, n_modes = forward.along.shape.shape
    edge = np.linspace(0.0, 1.0, n_bins)
    foreign = Foreign(
        np.array([0.3]),
        edge[None],
        np.zeros((1, n_bins, N_COMMON)),
        np.zeros((1, n_modes)),
        1e-4 * np.eye(n_modes)[None],
    )
    forward = dataclasses.replace(forward, foreign=foreign)
    window = measured_fit(forward, tiny_models.spectra())
    window.class_pixels[:] = [10.0, 8.0, 6.0, 4.0, 12.0]
    clf.fitted = dataclasses.replace(clf.fitted, forward=forward, window_fit=window)
    return clf


@pytest.mark.filterwarnings("ignore:fit")
def test_a_structure_that_the_library_lacks_is_said(tmp_path):
    clf = lacking_one()
    found = clf.report()
    assert found.row_names == (*found.class_names, "no fingerprint's")
    assert any("12 of 40 pixels (30 %) look alike" in it for it in found.problems)
    assert "no fingerprint's  12 (30.0 +- " in repr(found)
    assert "no fingerprint's" not in found.empty
    titles = [ax.get_title() for ax in found.plot().axes]
    assert "no fingerprint's: 12 pixels" in titles
    told = report_values(found)
    assert [row["name"] for row in told["classes"]] == list(found.class_names)
    assert [row["pixels"] for row in told["lacking"]] == [12.0]
    clf.save(tmp_path / "model.eels")
    loaded = eb.load_model(tmp_path / "model.eels")
    assert repr(loaded.report()) == repr(found)
    for name, array in vars(clf.fitted.forward.foreign).items():
        np.testing.assert_array_equal(getattr(loaded.fitted.forward.foreign, name), array)


@pytest.mark.filterwarnings("ignore:fit")
def test_a_structure_of_no_pixel_is_not_said():
    clf = lacking_one()
    clf.fitted.window_fit.class_pixels[:] = [10.0, 10.0, 10.0, 10.0, 0.01]
    found = clf.report()
    assert not any("look alike" in it for it in found.problems)
    assert "no fingerprint's  none" in repr(found)

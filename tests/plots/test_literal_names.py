"""Titles and class names are drawn letter by letter, whatever they hold, in every figure."""

import dataclasses
import io
import warnings
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from matplotlib.text import Text

import eels_bayes as eb
from eels_bayes import diagnostic_plots, plots
from helpers import tiny_models
from helpers.every_figure import FIGURES, FITTED, NAMES, NO_FIGURE

pytestmark = pytest.mark.filterwarnings("ignore:fit:UserWarning")

# Matplotlib's own wrapping of titles makes a space of a line's end.
WORDS = {" ".join(name.split()) for name in NAMES}


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def texts(figure: Any) -> set[str]:
    """All that is written in a figure once it is drawn."""
    figure.savefig(io.BytesIO(), format="png")
    found = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    assert not any(text.get_usetex() or text.get_parse_math() for text in found if shown(text))
    return {" ".join(text.get_text().split()) for text in found}


def shown(text: Text) -> bool:
    """Whether it holds a name."""
    return any(character in text.get_text() for character in "$_\\%<³")


def test_every_figure_is_tried() -> None:
    assert {*FIGURES, *FITTED} == {*plots.__all__, *diagnostic_plots.__all__} - NO_FIGURE


@pytest.mark.parametrize("name", FIGURES)
def test_names_are_drawn_as_they_are(name: str) -> None:
    draw, n_names = FIGURES[name]
    written = texts(draw())
    assert len(WORDS & written) >= n_names, sorted(written)


@pytest.mark.parametrize("name", ["class_maps", "risk_coverage", "fit_overview"])
def test_a_user_who_writes_in_tex_has_plain_names_here(name: str) -> None:
    with mpl.rc_context({"text.usetex": True}):
        figure = FIGURES[name][0]()
    assert texts(figure) >= WORDS


@pytest.fixture(scope="module")
def odd() -> tuple[Any, Any, Any]:
    """Signals, their spectra and a classifier, with such titles and class names."""
    signals = [signal.deepcopy() for signal in tiny_models.signals()]
    for signal, title in zip(signals, NAMES[:2], strict=True):
        signal.metadata.General.title = title
    spectra = tiny_models.preprocessor()(signals, show_progressbar=False)
    library = dataclasses.replace(eb.FingerprintLibrary.example(), class_names=NAMES)
    clf = eb.EELSClassifier(library, latent_dim=2, effort=tiny_models.EFFORT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of what so small a fit is bad at
        clf.fit(spectra, show_progressbar=False)
    return signals, spectra, clf


def test_a_fitted_classifier_draws_them(odd: tuple[Any, Any, Any]) -> None:
    signals, spectra, clf = odd
    pred = clf.predict(spectra, show_progressbar=False)
    of_maps = texts(pred.plot_maps())
    assert of_maps >= WORDS
    assert texts(clf.report().plot()) >= WORDS
    assert texts(clf.preprocessor.plot(signals[0]))
    denoised = clf.denoise(spectra)
    assert denoised.mean.shape == spectra.intensity.shape
    shown_in_latent = plots.latent(pred.latent_mean, pred.labels, pred.class_names)
    assert texts(shown_in_latent) >= WORDS


@pytest.mark.parametrize("name", FITTED)
def test_figures_of_a_fitted_classifier_draw_them(odd: tuple[Any, Any, Any], name: str) -> None:
    _, spectra, clf = odd
    draw, all_named = FITTED[name]
    written = texts(draw(clf, spectra, clf.predict(spectra, show_progressbar=False)))
    assert not all_named or written >= WORDS, sorted(written)

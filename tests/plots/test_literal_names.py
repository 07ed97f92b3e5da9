"""Titles and class names are drawn letter by letter, whatever they hold, in every figure."""

import dataclasses
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text

import eels_bayes as eb
from eels_bayes import diagnostic_plots, plots
from helpers import tiny_models

pytestmark = pytest.mark.filterwarnings("ignore:fit:UserWarning")

# Formulas that are none, commands of TeX, what hides a name from a legend, markup, other letters.
NAMES = ("$x_{ & 50 %", r"_\frac$", "two\nlines <b>#^~</b>", "Ti³⁺ µ Å — é")
# Matplotlib's own wrapping of titles makes a space of a line's end.
WORDS = {" ".join(name.split()) for name in NAMES}
RANDOM = np.random.default_rng(0)
ENERGY = np.arange(12.0)
BLOCK = np.tile(np.linspace(0.0, 1.0, 12), (4, 1))
CLASSES = np.array([[0, 1], [2, 3]])
RANKS = np.array([[0, 0, 0, 0]] * 30)  # all outside of the band


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def images() -> list[Any]:
    return [RANDOM.random((3, 4)) for _ in NAMES]


def named(values: Any) -> dict[str, Any]:
    return dict.fromkeys(NAMES, values)


def overview() -> Any:
    arrays = dict.fromkeys(("residual", "band", "edge", "edge_fit", "fingerprint"), BLOCK)
    chi_squares = {"chi_square": (1.0, 0.1), "class_chi_square": (np.ones(4), np.ones(4) / 10)}
    return plots.fit_overview([1.0, 2.0], ENERGY, NAMES, pixels=np.ones(4), **arrays, **chi_squares)


# What draws each public figure, and how many of the names it shows.
FIGURES: dict[str, tuple[Callable[[], Any], int]] = {
    "class_maps": (lambda: plots.class_maps([CLASSES] * 4, NAMES, titles=NAMES), 4),
    "fit_overview": (overview, 4),
    "history": (
        lambda: plots.history(
            named({"training": [1.0], "validation": [2.0]} | named([1.0])), ylabel=NAMES[0]
        ),
        4,
    ),
    "edge_spectra": (lambda: plots.edge_spectra(ENERGY, BLOCK, ENERGY, NAMES, unit=NAMES[0]), 4),
    "fingerprints": (lambda: plots.fingerprints(ENERGY, BLOCK, range(4), NAMES), 4),
    "inspection": (
        lambda: plots.inspection(ENERGY, ENERGY, {}, lines={NAMES[1]: (1.0, 0.0)}, title=NAMES[0]),
        2,
    ),
    "latent": (
        lambda: plots.latent(RANDOM.normal(size=(40, 3)), np.arange(40) % 4, NAMES),
        4,
    ),
    "layers": (
        lambda: plots.layers([plots.Layer(name, images(), unit=name) for name in NAMES], NAMES),
        4,
    ),
    "maps": (lambda: plots.maps(images(), NAMES, name=NAMES[0], unit=NAMES[1]), 4),
    "reliability": (
        lambda: plots.reliability(np.full((8, 2), 0.5), np.arange(8) % 2, title=NAMES[0]),
        1,
    ),
    "risk_coverage": (lambda: plots.risk_coverage(named(([0.5, 1.0], [0.1, 0.2]))), 4),
    "series_maps": (
        lambda: plots.series_maps([images()[:2]] * 2, NAMES[:2], NAMES[2:], unit=NAMES[0]),
        4,
    ),
    "spectra_bands": (
        lambda: plots.spectra_bands(ENERGY, BLOCK, BLOCK - 1, BLOCK + 1, NAMES, unit=NAMES[0]),
        4,
    ),
    "active_units": (lambda: diagnostic_plots.active_units([1.0, 0.1], [1.0, 0.1]), 0),
    "coverage": (lambda: diagnostic_plots.coverage([0.5, 0.9], [0.5, 0.9], [0.1, 0.1]), 0),
    "ecdf_difference": (lambda: diagnostic_plots.ecdf_difference(RANKS, 3, NAMES), 4),
    "posterior_scatter": (
        lambda: diagnostic_plots.posterior_scatter(
            *(RANDOM.random((5, 2)) for _ in range(4)), name=NAMES[0], reference=NAMES[1]
        ),
        0,
    ),
    "predictive_bands": (
        lambda: diagnostic_plots.predictive_bands(
            ENERGY, BLOCK, RANDOM.random((9, 4, 12)), NAMES, unit=NAMES[1]
        ),
        4,
    ),
    "predictive_p_values": (
        lambda: diagnostic_plots.predictive_p_values(named([0.1, 0.5])),
        4,
    ),
    "rank_histograms": (
        lambda: diagnostic_plots.rank_histograms(RANKS, 3, NAMES, n_bins=2),
        4,
    ),
}
# Those of a fitted classifier, its spectra and its prediction, and whether all classes are named.
FITTED: dict[str, tuple[Callable[[Any, Any, Any], Any], bool]] = {
    "class_comparison": (lambda clf, x, p: plots.class_comparison(clf, x, pred=p), True),
    "class_spectra": (lambda clf, x, p: plots.class_spectra(clf, x, pred=p), False),
    "denoising": (
        lambda clf, x, p: plots.denoising(
            clf, x, pred=dataclasses.replace(p, labels=np.zeros_like(p.labels))
        ),
        False,
    ),
    "doubt_maps": (lambda clf, x, p: plots.doubt_maps(p, conditions=NAMES[:2]), True),
    "doubt_risk": (lambda clf, x, p: plots.doubt_risk(p, np.zeros_like(p.labels)), False),
    "doubt_spectrum": (lambda clf, x, p: plots.doubt_spectrum(clf, x, n_pixels=2), False),
    "embeddings": (lambda clf, x, p: plots.embeddings(clf, x, pred=p), True),
    "fingerprint_draws": (lambda clf, x, p: plots.fingerprint_draws(clf), True),
    "line_scan": (lambda clf, x, p: plots.line_scan(as_line(p)), True),
    "spatial_averages": (lambda clf, x, p: plots.spatial_averages(clf, x), True),
    "value_course": (
        lambda clf, x, p: plots.value_course(dataclasses.replace(p, value_name=NAMES[0])),
        False,
    ),
}
NO_FIGURE = {"OKABE_ITO", "Layer", "Pixel", "class_colors", "nice_length"}


def as_line(pred: Any) -> Any:
    """The pixels of the first image as a line scan."""
    mine = pred[pred.image == 0]
    info = dataclasses.replace(pred.images[0], shape=(len(mine),), axes=pred.images[0].axes[:1])
    return dataclasses.replace(mine, images=(info,))


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

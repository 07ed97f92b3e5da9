"""What draws every public figure, with names that are easily drawn wrong."""

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from eels_bayes import diagnostic_plots, plots

# Formulas that are none, commands of TeX, what hides a name from a legend, markup, other letters.
NAMES = ("$x_{ & 50 %", r"_\frac$", "two\nlines <b>#^~</b>", "Ti³⁺ µ Å — é")
RANDOM = np.random.default_rng(0)
ENERGY = np.arange(12.0)
BLOCK = np.tile(np.linspace(0.0, 1.0, 12), (4, 1))
CLASSES = np.array([[0, 1], [2, 3]])
RANKS = np.array([[0, 0, 0, 0]] * 30)  # all outside of the band


def images() -> list[Any]:
    return [RANDOM.random((3, 4)) for _ in NAMES]


def named(values: Any) -> dict[str, Any]:
    return dict.fromkeys(NAMES, values)


def stream(n: int, n_classes: int = 4) -> list[Any]:
    """Results of a stream: a place a spectrum, 1 to 2 ms late."""
    return [
        SimpleNamespace(
            number=k,
            latency=1e-3 * (1.0 + k / n),
            reading=SimpleNamespace(labels=k % n_classes, total=0.1 * (k % 10)),
        )
        for k in range(n)
    ]


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
    "live_stream": (
        lambda: plots.live_stream(stream(6), NAMES, (2, 4), asked=[*NAMES, "accept", "simulate"]),
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
NO_FIGURE = {"OKABE_ITO", "Layer", "Pixel", "class_colors", "nice_length", "print_width"}


def as_line(pred: Any) -> Any:
    """The pixels of the first image as a line scan."""
    mine = pred[pred.image == 0]
    info = dataclasses.replace(pred.images[0], shape=(len(mine),), axes=pred.images[0].axes[:1])
    return dataclasses.replace(mine, images=(info,))

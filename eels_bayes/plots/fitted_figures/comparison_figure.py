"""Class maps by temperature and area, ours above the usual way's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from eels_bayes.plots.fitted_figures.component_peers import (
    Bands,
    component_labels,
    component_name,
    rebuilt_from_components,
)
from eels_bayes.plots.fitted_figures.conditions import conditions_of, pixel_size, placed
from eels_bayes.plots.fitted_figures.subjects import (
    Classifier,
    EdgeSpectra,
    Reading,
    reading_of,
    shown_fingerprints,
)
from eels_bayes.plots.fitted_figures.true_classes import checked_labels
from eels_bayes.plots.map_figures import layers
from eels_bayes.plots.map_panel import Layer
from eels_bayes.plots.page import PAGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def class_comparison(
    clf: Classifier,
    spectra: EdgeSpectra,
    *,
    bands: Bands | None = None,
    labels: ArrayLike | None = None,
    pred: Reading | None = None,
    conditions: Sequence[Any] | None = None,
    unit: str = "°C",
) -> Figure:
    """Class maps by temperature and area: the classifier's, above principal components' classes.

    The other method rebuilds spectra from ten principal components, then takes the class whose
    fingerprint has the nearest ratio of two bands, as microscopists do, or, without bands, lies
    nearest. Accuracies are in the headings where the truth is given.

    Parameters
    ----------
    clf : EELSClassifier
        Fitted.
    spectra : Spectra
        n pixels of I images.
    bands : ((low, high), (low, high)), optional
        Shoulder and peak of the edge, eV, whose ratio tells classes apart.
    labels : (n,) array_like of int, optional
        True classes, drawn above; below 0 where unknown.
    pred : Prediction, optional
        Of these spectra, where it is known already, such as one with neighbours.
    conditions : (I,) sequence of float or str, optional
        Of each image; by default the temperature in its title, or the titles.
    unit : str
        Of conditions that are given as numbers.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    RuntimeError, TypeError, ValueError
        Before ``fit``; if spectra are not like those of the fit, a band holds no channel, an image
        has more than two axes, or numbers disagree.
    """
    fitted = clf.checked(spectra)
    pred = reading_of(clf, spectra, pred)
    where = conditions_of(spectra.images, conditions, unit)
    known = None if labels is None else checked_labels(labels, pred)
    rebuilt, _ = rebuilt_from_components(spectra)
    energy = np.asarray(spectra.energy)
    # a ratio is taken of fingerprints as they are, which know of no overlap
    shapes = (
        shown_fingerprints(fitted) if bands is None else clf.library.resample(energy).class_spectra
    )
    usual = component_labels(rebuilt, energy, shapes, bands)
    rows = {"eels_bayes": pred.labels, component_name(bands): usual}
    if known is not None:
        rows = {"truth": known} | {
            _scored(name, named, known): named for name, named in rows.items()
        }
    images = range(len(spectra.images))
    quantities = [
        Layer(name, [placed(named, pred, k) for k in images], class_names=pred.class_names)
        for name, named in rows.items()
    ]
    sizes = [pixel_size(image) for image in spectra.images]
    return layers(quantities, where.titles(), pixels=sizes, widest=PAGE)


def _scored(name: str, named: Any, known: Any) -> str:
    """A heading with the share of pixels that are right."""
    counted = (known >= 0) & (named >= 0)
    return f"{name}: {100 * np.mean(named[counted] == known[counted]):.0f} % right"

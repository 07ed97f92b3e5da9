"""Maps of what is true, how unsure each pixel is, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from eels_bayes import validation
from eels_bayes.plots.fitted_figures.conditions import conditions_of, pixel_size, placed
from eels_bayes.plots.fitted_figures.subjects import Array, Reading
from eels_bayes.plots.fitted_figures.true_classes import checked_labels
from eels_bayes.plots.map_figures import layers
from eels_bayes.plots.map_panel import Layer
from eels_bayes.plots.page import PAGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_SHOWN = 0.99  # share of the pixels within a scale of its own: a few high ones hide the rest
MOST_COLUMNS = 8  # maps a row: more are too small
PARTS = {
    "total": "Total uncertainty",
    "aleatoric": "Aleatoric uncertainty: structures overlap",
    "encoder": "Encoder uncertainty: measure again",
    "classifier": "Classifier uncertainty: simulate or label",
    "neighbours": "Taken away by other pixels",
}


def doubt_maps(
    pred: Reading,
    *,
    labels: ArrayLike | None = None,
    parts: Sequence[str] = tuple(PARTS),
    own_scales: bool = False,
    images: Sequence[int] | None = None,
    conditions: Sequence[Any] | None = None,
    unit: str = "°C",
) -> Figure:
    """Maps of the true and the predicted class, the total uncertainty, its parts and what is known
    from other pixels.

    Parameters
    ----------
    pred : Prediction
        Of n pixels in I images; with ``context="neighbours"`` or "image", the information of other
        pixels is drawn too.
    labels : (n,) array_like of int, optional
        True classes, drawn first; below 0 where unknown.
    parts : sequence of str
        Of "total", "aleatoric", "encoder", "classifier" and "neighbours", all by default. They are
        parts of one sum and share a scale.
    own_scales : bool
        Give each part a scale of its own, from 0 to what one pixel in a hundred of these maps
        exceeds, so that parts that lie low can be seen; their headings say so.
    images : sequence of int, optional
        Which images; by default the first of each condition.
    conditions : (I,) sequence of float or str, optional
        Of each image; by default the temperature in its title, or the titles.
    unit : str
        Of conditions that are given as numbers.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        If a part is unknown, an image has more than two axes, or numbers disagree.
    IndexError
        If there is no such image.
    """
    for name in parts:
        validation.choice("a part of the doubt", name, tuple(PARTS))
    where = conditions_of(pred.images, conditions, unit)
    chosen = _first_of_each(where.of_image) if images is None else [int(k) for k in images]
    for k in chosen:
        if not 0 <= k < len(pred.images):
            raise IndexError(f"image {k} does not exist; there are {len(pred.images)}")
    shown: list[Layer] = []
    if labels is not None:
        known = checked_labels(labels, pred)
        shown.append(_classes("True class", known, pred, chosen))
    shown.append(_classes("Predicted class", pred.labels, pred, chosen))
    shown += _of_parts(pred, parts, chosen, own_scales=own_scales)
    titles = (
        where.titles() if images is not None else [where.names[where.of_image[k]] for k in chosen]
    )
    if images is not None:
        titles = [titles[k] for k in chosen]
    return layers(
        shown,
        titles,
        pixels=[pixel_size(pred.images[k]) for k in chosen],
        columns=len(chosen) if len(chosen) <= MOST_COLUMNS else None,
        widest=PAGE,
    )


def _of_parts(
    pred: Reading, parts: Sequence[str], images: Sequence[int], *, own_scales: bool
) -> list[Layer]:
    """Maps of each part, and of what other pixels say where they were asked."""
    shown = []
    alone = not np.nan_to_num(pred.neighbours).any()
    maps = {
        name: [placed(np.asarray(getattr(pred, name)), pred, k) for k in images]
        for name in parts
        if not (alone and name == "neighbours")
    }
    shared = max((_most(m) for name, m in maps.items() if name != "neighbours"), default=1.0)
    for name, panels in maps.items():
        title, cmap, limits = PARTS[name], "cividis", (0.0, shared)
        if name == "neighbours":
            most = _most(panels)
            cmap, limits = "PuOr_r", (-most, most)
        elif own_scales and name != "total":
            title, limits = f"{title} (own scale)", (0.0, _most(panels, MOST_SHOWN))
        shown.append(Layer(title, panels, "nats", cmap, limits))
    return shown


def _first_of_each(of_image: Array) -> list[int]:
    """First image of each condition, conditions ascending."""
    return [int(np.flatnonzero(of_image == c)[0]) for c in np.unique(of_image)]


def _classes(title: str, labels: Array, pred: Reading, images: Sequence[int]) -> Layer:
    maps = [placed(np.asarray(labels), pred, k) for k in images]
    return Layer(title, maps, class_names=pred.class_names)


def _most(panels: Sequence[Array], share: float = 1.0) -> float:
    """Magnitude that this share of the pixels does not exceed; 1 where there is none."""
    finite = np.concatenate([np.abs(panel[np.isfinite(panel)]).ravel() for panel in panels])
    return float(np.quantile(finite, share)) or 1.0 if len(finite) else 1.0

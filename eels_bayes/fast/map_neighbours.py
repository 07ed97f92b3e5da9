"""Readings of whole signals with their neighbours: a field of classes over their probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eels_bayes.fast.reading_columns import SINGLE
from eels_bayes.field.coupling import learn_field
from eels_bayes.field.graph import grid_graph
from eels_bayes.field.messages import LEAST_SEEN, class_distance, values_of_all

# What only a second reading of the counts could tell, with what neighbours say in hand.
NOT_KNOWN = ("aleatoric", "encoder", "classifier", "value", "value_sd")


def with_neighbours(
    columns: NDArray[np.float32],
    outer: tuple[int, ...],
    library: dict[str, Any],
    *,
    show: bool,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Columns of a signal as other pixels leave them, and what these took away.

    Parameters
    ----------
    columns : ndarray (\\*shape, K + 9)
        Of single pixels, as of `reading_columns.read_columns`.
    outer : tuple of int
        Axes that number frames: pixels of different frames are no neighbours.
    library : dict
        Of `FastClassifier`: "class_weights", and "values" of the first classes.
    show : bool
        Progress, where it takes more than a few seconds.

    Returns
    -------
    columns : ndarray (\\*shape, K + 9)
        Probabilities, labels and total; `NOT_KNOWN` is NaN.
    taken : ndarray (\\*shape)
        Nats of the total, negative where neighbours contradict a pixel; NaN where flagged.
    """
    weights = np.asarray(library["class_weights"], dtype=np.float64)
    n_classes, n_outer = len(weights), len(outer)
    inner_first = np.moveaxis(columns, outer, range(n_outer))
    frames, shape = inner_first.shape[:n_outer], inner_first.shape[n_outer:-1]
    rows = inner_first.reshape(-1, columns.shape[-1]).copy()
    n_frames, size = int(np.prod(frames)), int(np.prod(shape))
    single = {name: n_classes + k for k, name in enumerate(SINGLE)}
    ok = (rows[:, single["flag"]] == 0) & np.isfinite(rows[:, :n_classes]).all(1)
    taken = np.full(len(rows), np.nan, dtype=np.float32)
    rows[:, [single[name] for name in NOT_KNOWN]] = np.nan
    if ok.any():
        likelihood = np.ones((len(rows), n_classes))
        likelihood[ok] = rows[ok, :n_classes] / weights
        likelihood = np.maximum(likelihood / likelihood.max(1, keepdims=True), LEAST_SEEN)
        image, position = np.divmod(np.arange(len(rows)), size)
        field = learn_field(
            np.log(likelihood),
            image,
            grid_graph(image, position, [shape] * n_frames),
            class_distance(values_of_all(library["values"], n_classes)),
            weights,
            show_progressbar=show,
        )
        found = (field.others.double().numpy() * likelihood)[ok]
        found /= found.sum(1, keepdims=True)
        total = -(found * np.log(np.maximum(found, LEAST_SEEN))).sum(1)
        taken[ok] = rows[ok, single["total"]] - total
        rows[ok, :n_classes] = found
        rows[ok, single["labels"]] = found.argmax(1)
        rows[ok, single["total"]] = total
    back = np.moveaxis(rows.reshape(inner_first.shape), range(n_outer), outer)
    of_pixels = np.moveaxis(taken.reshape(inner_first.shape[:-1]), range(n_outer), outer)
    # not ascontiguousarray, which gives a single spectrum an axis
    return back.copy(order="C"), of_pixels.copy(order="C")

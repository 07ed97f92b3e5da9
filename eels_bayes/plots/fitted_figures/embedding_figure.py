"""Latents beside principal components: t-SNE, and silhouettes by temperature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes import validation
from eels_bayes.plots.fitted_figures.component_peers import N_COMPONENTS, rebuilt_from_components
from eels_bayes.plots.fitted_figures.conditions import Conditions, conditions_of
from eels_bayes.plots.fitted_figures.measures import Estimate, Silhouettes, silhouettes
from eels_bayes.plots.fitted_figures.subjects import (
    Array,
    Classifier,
    EdgeSpectra,
    Reading,
    reading_of,
)
from eels_bayes.plots.fitted_figures.true_classes import checked_labels
from eels_bayes.plots.page import PAGE, key_above, key_columns, narrow, sized
from eels_bayes.plots.style import OKABE_ITO, class_colors, figure_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_POINTS = 1000  # of a t-SNE: seconds; more hide one another
HEADROOM = 0.35  # of the silhouettes, above them: room of the legend
PERPLEXITY = 30.0  # t-SNE's usual number of neighbours


def embeddings(
    clf: Classifier,
    spectra: EdgeSpectra,
    *,
    labels: ArrayLike | None = None,
    pred: Reading | None = None,
    conditions: Sequence[Any] | None = None,
    unit: str = "°C",
    seed: int = 0,
) -> Figure:
    """t-SNE of latents and of principal components, and silhouettes of both by temperature.

    Above, up to 1000 pixels in the colours of their classes. Below, the mean silhouette
    (Rousseeuw 1987) at each temperature of the latent means and of ten principal components, all
    dimensions, of the same pixels by the same classes, with 95 % bootstrap intervals over pixels
    (up to 2000 each); a temperature of one class has none. By predicted classes, which are read
    from the latents, the comparison favours these: give true ones where they are known.

    Parameters
    ----------
    clf : EELSClassifier
        Fitted.
    spectra : Spectra
        n pixels of I images.
    labels : (n,) array_like of int, optional
        True classes; below 0 is left out. By default those predicted.
    pred : Prediction, optional
        Of these spectra, where it is known already.
    conditions : (I,) sequence of float or str, optional
        Of each image; by default the temperature in its title, or the titles.
    unit : str
        Of conditions that are given as numbers.
    seed : int
        Of t-SNE, of the choice of pixels and of the bootstrap.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    RuntimeError, TypeError, ValueError
        Before ``fit``; if spectra are not like those of the fit, numbers disagree, or fewer than
        five pixels are left.
    """
    clf.checked(spectra)
    seed = validation.seed(seed)
    pred = reading_of(clf, spectra, pred)
    classes = pred.labels if labels is None else checked_labels(labels, pred)
    where = conditions_of(spectra.images, conditions, unit)
    _, scores = rebuilt_from_components(spectra)
    latents = np.asarray(pred.latent_mean, dtype=float)
    rows = _usable(latents, scores, classes, seed)
    found = condition_silhouettes(latents, scores, classes, where, spectra.image, seed=seed)
    with figure_style() as plt:
        figure = plt.figure(figsize=sized(PAGE, 5.2), layout="constrained")
        grid = figure.add_gridspec(2, 2, height_ratios=(3, 2))
        colors = np.asarray(class_colors(len(pred.class_names)))
        for column, (points, title) in enumerate(
            ((latents, "latents"), (scores, f"{N_COMPONENTS} principal components"))
        ):
            ax = figure.add_subplot(grid[0, column])
            flat = _flat(points[rows], seed)
            ax.scatter(*flat.T, s=5, c=colors[classes[rows]], alpha=0.7, lw=0, rasterized=True)
            gap = "\n" if narrow() else " "
            ax.set(title=f"t-SNE of{gap}{title}", xticks=[], yticks=[])
        _legend(figure, pred.class_names, "true class" if labels is not None else "predicted class")
        _silhouette_panel(figure.add_subplot(grid[1, :]), where, found)
    return figure


def condition_silhouettes(
    latents: Array,
    scores: Array,
    classes: NDArray[np.int64],
    where: Conditions,
    image: NDArray[np.int64],
    *,
    seed: int = 0,
) -> list[Silhouettes]:
    """Of latents and of principal components at each condition."""
    index = where.of_pixels(np.asarray(image))
    found = []
    for k in range(len(where.names)):
        mine = index == k
        found.append(silhouettes(latents[mine], scores[mine], classes[mine], seed=seed))
    return found


def _usable(latents: Array, scores: Array, classes: NDArray[np.int64], seed: int) -> Array:
    rows = np.flatnonzero((classes >= 0) & np.isfinite(latents).all(1) & np.isfinite(scores).all(1))
    if len(rows) < 5:
        raise ValueError(f"t-SNE needs five usable pixels with a class or more, got {len(rows)}")
    drawn: Array = np.random.default_rng(seed).permutation(rows)[:MOST_POINTS]
    return drawn


def _flat(points: Array, seed: int) -> Array:
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
    flat: Array = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(
        points
    )
    return flat


def _legend(figure: Figure, class_names: Sequence[str], title: str) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=color, marker="o", ms=5, ls="", label=name)
        for color, name in zip(class_colors(len(class_names)), class_names, strict=True)
    ]
    key_above(figure, handles, most=6, title=title)


def _silhouette_panel(ax: Any, where: Conditions, found: Sequence[Silhouettes]) -> None:
    at = where.values if where.numeric else np.arange(len(where.names))
    span = float(np.ptp(at)) or 1.0
    for step, color, marker, name, pick in (
        (-0.004, OKABE_ITO[0], "o", "latents", 0),
        (0.004, OKABE_ITO[1], "s", f"{N_COMPONENTS} principal components", 1),
    ):
        rows: list[Estimate] = [one[pick] for one in found]
        mean, low, high = np.array(rows).T
        ax.errorbar(
            at + step * span,
            mean,
            (mean - low, high - mean),
            fmt=f"{marker}-",
            color=color,
            ms=4,
            lw=1.2,
            capsize=2,
            label=name,
        )
    ax.axhline(0, color="0.8", lw=0.8, zorder=0)
    if len(at) == 1:  # side by side, not at the ends of the axis
        ax.set_xlim(at[0] - 0.05, at[0] + 0.05)
    ax.set(xlabel=where.label, ylabel="silhouette")
    ax.set_xticks(at, [name.split(" ")[0] if where.numeric else name for name in where.names])
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + HEADROOM * (high - low))
    names = ax.get_legend_handles_labels()[1]
    title = "95 % bootstrap intervals"
    ax.legend(loc="upper center", title=title, ncols=key_columns(names), borderpad=0.0)

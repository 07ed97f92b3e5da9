"""The latent space as a figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes import validation
from eels_bayes.plots.page import key_above, narrow, sized
from eels_bayes.plots.style import class_colors, darker, figure_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEWEST_MEANS_OF_A_PLANE = 3  # two points span a line, no plane
PERPLEXITY = 30.0  # t-SNE's usual number of neighbours; less where there are few points
POINT_AREA = 20_000.0  # square points that all pixels' marks share
POINT_SIZE = (3.0, 25.0)  # square points: a mark is seen, and hides no neighbour
CROWD = 2000  # pixels from which marks are fainter, so that density still shows
OPACITY, CROWD_OPACITY = 0.6, 0.35  # of a mark: chosen by eye
NONE_COLOR = (0.4, 0.4, 0.4)  # grey of components of no class


def latent(
    points: ArrayLike,
    labels: ArrayLike,
    class_names: Sequence[str],
    *,
    component_mean: ArrayLike | None = None,
    component_sd: ArrayLike | None = None,
    component_labels: ArrayLike | None = None,
    method: str = "pca",
    seed: int = 0,
) -> Figure:
    """Two-dimensional view of the latent space, with the prior's components at 1 and 2 sd.

    The plane is that of the first two principal components of the prior's means (of the points,
    where fewer than three means are given). t-SNE has no projection under which an ellipse would
    stay one: there the components are points, embedded together with the pixels.

    Parameters
    ----------
    points : (n, D) array_like
        Latent means of the pixels. Rows with NaN or a label of -1 (flagged) are left out.
    labels : (n,) array_like of int
    class_names : (K,) sequence of str
    component_mean, component_sd : (J, D) array_like, optional
        Mean and standard deviation of the prior's components.
    component_labels : (J,) array_like of int, optional
        Class of each component; -1 is "none of these", drawn grey and dashed.
    method : {"pca", "tsne"}
    seed : int
        Of t-SNE and of the order in which points are drawn.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If shapes disagree, the method is unknown or no pixel is left to draw.
    """
    cloud = validation.numbers("points", points)
    of_point = validation.labels("labels", labels, len(class_names))
    seed = validation.seed(seed)
    if cloud.ndim != 2 or cloud.shape[1] < 2 or of_point.shape != cloud.shape[:1]:
        raise ValueError(
            "points must be (n, D) with D of at least 2 and labels (n,), "
            f"got {cloud.shape} and {of_point.shape}"
        )
    if method not in ("pca", "tsne"):
        raise ValueError(f"method must be 'pca' or 'tsne', got {method!r}")
    mean, sd, classes = _components(
        component_mean, component_sd, component_labels, cloud.shape[1], len(class_names)
    )
    keep = np.isfinite(cloud).all(axis=1) & (of_point >= 0)
    if not keep.any():
        raise ValueError("no pixel is left to draw: every one is flagged")
    if method == "pca":
        view = _principal_plane(cloud[keep], mean, sd)
    else:
        view = _tsne(cloud[keep], mean, seed)
    with figure_style() as plt:
        figure, ax = plt.subplots(figsize=sized(6.4, 4.6), layout="constrained")
        colors = class_colors(len(class_names))
        _draw_points(ax, view.points, of_point[keep], colors, seed)
        handles = _point_handles(class_names)
        if len(view.centres):
            handles += _draw_components(ax, view, classes, colors)
        ax.set(xlabel=view.axis_names[0], ylabel=view.axis_names[1])
        if narrow():
            key_above(figure, handles)
        else:
            figure.legend(handles=handles, loc="outside right upper")
    return figure


class _Ellipse(NamedTuple):
    """One sd of a component in the plane: centre (2,), semi-axes, angle in degrees."""

    centre: NDArray[Any]
    major: float
    minor: float
    angle: float


class _View(NamedTuple):
    """Pixels (n, 2) and components (J, 2) in two dimensions, and what these are called."""

    points: NDArray[Any]
    centres: NDArray[Any]
    ellipses: list[_Ellipse]
    axis_names: tuple[str, str]


def _components(
    mean: ArrayLike | None,
    sd: ArrayLike | None,
    labels: ArrayLike | None,
    dim: int,
    n_classes: int,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Means and sds (J, D) and classes (J,) of the prior's components, checked; J may be 0."""
    if mean is None:
        return np.zeros((0, dim)), np.zeros((0, dim)), np.zeros(0, dtype=int)
    mean = validation.numbers("component_mean", mean)
    sd = np.zeros_like(mean) if sd is None else validation.numbers("component_sd", sd)
    labels = np.full(mean.shape[:1], -1) if labels is None else labels
    labels = validation.labels("component_labels", labels, n_classes)
    shape = (*mean.shape[:1], dim)
    if mean.shape != shape or sd.shape != shape or labels.shape != shape[:1]:
        raise ValueError(
            f"component_mean and component_sd must be (J, {dim}) and component_labels (J,), got "
            f"{mean.shape}, {sd.shape} and {labels.shape}"
        )
    if not np.isfinite(mean).all() or not (np.isfinite(sd) & (sd >= 0)).all():
        raise ValueError("component_mean must be finite, and component_sd finite and not negative")
    return mean, sd, labels


def _principal_plane(points: NDArray[Any], mean: NDArray[Any], sd: NDArray[Any]) -> _View:
    """Points and components in the plane of the first two principal components."""
    from sklearn.decomposition import PCA

    of_prior = len(mean) >= FEWEST_MEANS_OF_A_PLANE
    source = mean if of_prior else np.concatenate([points, mean])
    if len(source) < 2:
        raise ValueError("a principal plane needs at least two points, got one pixel")
    pca = PCA(2, svd_solver="full").fit(source)
    what = "the prior's means" if of_prior else "the pixels"
    first, second = (
        f"PC {i + 1} ({100 * part:.3g} % of the variance of {what})"
        for i, part in enumerate(pca.explained_variance_ratio_)
    )
    centres = pca.transform(mean) if len(mean) else np.zeros((0, 2))
    ellipses = [_ellipse(c, pca.components_, s) for c, s in zip(centres, sd, strict=True)]
    return _View(pca.transform(points), centres, ellipses, (first, second))


def _tsne(points: NDArray[Any], mean: NDArray[Any], seed: int) -> _View:
    """Points and components embedded together; no ellipse stays one there."""
    from sklearn.manifold import TSNE

    together = np.concatenate([points, mean])
    perplexity = min(PERPLEXITY, (len(together) - 1) / 3)
    if perplexity <= 1:
        raise ValueError(f"t-SNE needs at least 5 points, got {len(together)}")
    embedding = TSNE(2, perplexity=perplexity, init="pca", random_state=seed)
    flat = embedding.fit_transform(together)
    return _View(flat[: len(points)], flat[len(points) :], [], ("t-SNE 1", "t-SNE 2"))


def _ellipse(centre: NDArray[Any], plane: NDArray[Any], sd: NDArray[Any]) -> _Ellipse:
    """A diagonal Gaussian at one sd in the plane with this basis (2, D)."""
    variances, directions = np.linalg.eigh((plane * sd**2) @ plane.T)
    minor, major = np.sqrt(np.maximum(variances, 0.0))
    angle = math.degrees(math.atan2(directions[1, 1], directions[0, 1]))
    return _Ellipse(centre, float(major), float(minor), angle)


def _draw_points(
    ax: Axes,
    points: NDArray[Any],
    labels: NDArray[Any],
    colors: Sequence[tuple[float, float, float]],
    seed: int,
) -> None:
    """Pixels in random order: no class hides another."""
    order = np.random.default_rng(seed).permutation(len(points))
    ax.scatter(
        points[order, 0],
        points[order, 1],
        c=np.asarray(colors)[labels[order]],
        s=float(np.clip(POINT_AREA / len(points), *POINT_SIZE)),
        alpha=OPACITY if len(points) < CROWD else CROWD_OPACITY,
        linewidths=0,
        rasterized=True,
        label="pixels",
    )


def _draw_components(
    ax: Axes,
    view: _View,
    classes: NDArray[Any],
    colors: Sequence[tuple[float, float, float]],
) -> list[Any]:
    """Means as crosses, 1 and 2 sd as ellipses; what they need in the legend."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Ellipse

    edges = [darker(colors[k]) if k >= 0 else NONE_COLOR for k in classes]
    # No ellipses under t-SNE.
    for ellipse, k, color in zip(view.ellipses, classes, edges, strict=False):
        for times in (1, 2):
            ax.add_patch(
                Ellipse(
                    (ellipse.centre[0], ellipse.centre[1]),
                    2 * times * ellipse.major,
                    2 * times * ellipse.minor,
                    angle=ellipse.angle,
                    fill=False,
                    ec=color,
                    lw=1.3 if times == 1 else 0.8,
                    ls="-" if k >= 0 else "--",
                )
            )
    ax.scatter(
        view.centres[:, 0],
        view.centres[:, 1],
        marker="+",
        s=36,
        c=edges,
        linewidths=1.3,
        label="components",
        zorder=3,
    )
    grey = "0.3"
    handles = [Line2D([], [], color=grey, marker="+", ls="", label="fingerprints")]
    if view.ellipses:
        handles.append(Line2D([], [], color=grey, lw=1.2, label="their 1 and 2 sd"))
    if (classes < 0).any():
        handles.append(Line2D([], [], color="0.4", lw=1, ls="--", label="none of these"))
    return handles


def _point_handles(class_names: Sequence[str]) -> list[Any]:
    """A point of each class for the legend."""
    from matplotlib.lines import Line2D

    colors = class_colors(len(class_names))
    return [
        Line2D([], [], color=color, marker="o", ms=5, ls="", label=name)
        for color, name in zip(colors, class_names, strict=True)
    ]

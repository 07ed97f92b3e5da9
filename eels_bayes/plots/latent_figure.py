"""The latent space as a figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes.plots.style import class_colors, darker, figure_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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

    Raises
    ------
    ValueError
        If shapes disagree, the method is unknown or no pixel is left to draw.
    """
    cloud, of_point = np.asarray(points, dtype=float), np.asarray(labels)
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
    cloud, of_point = cloud[keep], of_point[keep]
    axis_names = ("t-SNE 1", "t-SNE 2")
    ellipses: list[tuple[NDArray[Any], float, float, float]] = []
    if method == "pca":
        cloud, centres, axis_names, plane = _principal_plane(cloud, mean)
        ellipses = [_ellipse(c, plane, s) for c, s in zip(centres, sd, strict=True)]
    else:
        from sklearn.manifold import TSNE

        together = np.concatenate([cloud, mean])
        perplexity = min(30.0, (len(together) - 1) / 3)
        if perplexity <= 1:
            raise ValueError(f"t-SNE needs at least 5 points, got {len(together)}")
        embedding = TSNE(2, perplexity=perplexity, init="pca", random_state=seed)
        flat = embedding.fit_transform(together)
        cloud, centres = flat[: len(cloud)], flat[len(cloud) :]

    colors = class_colors(len(class_names))
    order = np.random.default_rng(seed).permutation(len(cloud))
    with figure_style() as plt:
        figure, ax = plt.subplots(figsize=(6.4, 4.6), layout="constrained")
        ax.scatter(
            cloud[order, 0],
            cloud[order, 1],
            c=np.asarray(colors)[of_point[order]],
            s=float(np.clip(20000 / len(cloud), 3, 25)),
            alpha=0.6 if len(cloud) < 2000 else 0.35,
            linewidths=0,
            rasterized=True,
            label="pixels",
        )
        handles = _point_handles(class_names)
        if len(centres):
            handles += _draw_components(ax, centres, ellipses, classes, colors)
        ax.set(xlabel=axis_names[0], ylabel=axis_names[1])
        figure.legend(handles=handles, loc="outside right upper")
    return figure


def _components(
    mean: ArrayLike | None,
    sd: ArrayLike | None,
    labels: ArrayLike | None,
    dim: int,
    n_classes: int,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    if mean is None:
        return np.zeros((0, dim)), np.zeros((0, dim)), np.zeros(0, dtype=int)
    mean = np.asarray(mean, dtype=float)
    sd = np.zeros_like(mean) if sd is None else np.asarray(sd, dtype=float)
    labels = np.full(len(mean), -1) if labels is None else np.asarray(labels)
    if mean.shape != (len(mean), dim) or sd.shape != mean.shape or labels.shape != mean.shape[:1]:
        raise ValueError(
            f"component_mean and component_sd must be (J, {dim}) and component_labels (J,), got "
            f"{mean.shape}, {sd.shape} and {labels.shape}"
        )
    if labels.size and labels.max() >= n_classes:
        raise ValueError(
            f"component_labels go up to {labels.max()}, but there are {n_classes} classes"
        )
    return mean, sd, labels


def _principal_plane(
    points: NDArray[Any], mean: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], tuple[str, str], NDArray[Any]]:
    """Points and means in the plane, the axes' names, and the plane's basis (2, D)."""
    from sklearn.decomposition import PCA

    of_prior = len(mean) > 2
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
    return pca.transform(points), centres, (first, second), pca.components_


def _ellipse(
    centre: NDArray[Any], plane: NDArray[Any], sd: NDArray[Any]
) -> tuple[NDArray[Any], float, float, float]:
    """Centre, semi-axes at one sd and angle (degrees) of a diagonal Gaussian in the plane."""
    variances, directions = np.linalg.eigh((plane * sd**2) @ plane.T)
    minor, major = np.sqrt(np.maximum(variances, 0.0))
    angle = math.degrees(math.atan2(directions[1, 1], directions[0, 1]))
    return centre, float(major), float(minor), angle


def _draw_components(
    ax: Axes,
    centres: NDArray[Any],
    ellipses: Sequence[tuple[NDArray[Any], float, float, float]],
    classes: NDArray[Any],
    colors: Sequence[tuple[float, float, float]],
) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Ellipse

    # No ellipses under t-SNE.
    for (centre, major, minor, angle), k in zip(ellipses, classes, strict=False):
        color = darker(colors[k]) if k >= 0 else (0.4, 0.4, 0.4)
        for times in (1, 2):
            ax.add_patch(
                Ellipse(
                    (centre[0], centre[1]),
                    2 * times * major,
                    2 * times * minor,
                    angle=angle,
                    fill=False,
                    ec=color,
                    lw=1.3 if times == 1 else 0.8,
                    ls="-" if k >= 0 else "--",
                )
            )
    edge = [darker(colors[k]) if k >= 0 else (0.4, 0.4, 0.4) for k in classes]
    ax.scatter(
        centres[:, 0],
        centres[:, 1],
        marker="+",
        s=36,
        c=edge,
        linewidths=1.3,
        label="components",
        zorder=3,
    )
    grey = "0.3"
    handles = [Line2D([], [], color=grey, marker="+", ls="", label="fingerprints")]
    if ellipses:
        handles.append(Line2D([], [], color=grey, lw=1.2, label="their 1 and 2 sd"))
    if (classes < 0).any():
        handles.append(Line2D([], [], color="0.4", lw=1, ls="--", label="none of these"))
    return handles


def _point_handles(class_names: Sequence[str]) -> list[Any]:
    from matplotlib.lines import Line2D

    colors = class_colors(len(class_names))
    return [
        Line2D([], [], color=color, marker="o", ms=5, ls="", label=name)
        for color, name in zip(colors, class_names, strict=True)
    ]

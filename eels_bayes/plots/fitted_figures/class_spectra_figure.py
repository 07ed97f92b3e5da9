"""Denoised mean and sd of each class's pixels, ours above principal components'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes import validation
from eels_bayes.plots.fitted_figures.component_peers import N_COMPONENTS, rebuilt_from_components
from eels_bayes.plots.fitted_figures.subjects import (
    Array,
    Classifier,
    EdgeSpectra,
    Reading,
    reading_of,
    shown_fingerprints,
    unit_of,
)
from eels_bayes.plots.fitted_figures.true_classes import checked_labels
from eels_bayes.plots.page import PAGE, key_above, label_all, panels_across, points, sized
from eels_bayes.plots.style import class_colors, figure_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ONE_SD = 0.6827  # probability of one sd to either side of a Gaussian
BEFORE = 0.03  # of the strongest fingerprint, below which its edge has not begun
HEADROOM = 0.15  # of the spectra, above them: room of a number
MOST_CLASSES = 4  # columns by default: more are too narrow to read energies from
MOST_PIXELS = 2000  # of all that are decoded: a mean and an sd need no more


class Spread(NamedTuple):
    """What denoising makes of m pixels.

    Attributes
    ----------
    rows : (m,) array of int
        Which pixels.
    ours, components : (m, L) arrays
        Denoised spectra, by the VAE and by principal components.
    own_sd : (m, L) array
        Half of the central 68 % of each pixel's decoded draws.
    before : (L,) array of bool
        Channels before the edge.
    """

    rows: NDArray[np.int64]
    ours: Array
    components: Array
    own_sd: Array
    before: NDArray[np.bool_]

    def sds(self, mine: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
        """Sd (L,) over some of these pixels: ours, ours with each one's own, components'."""
        over = self.ours[mine].std(0)
        own: Array = np.sqrt((self.own_sd[mine] ** 2).mean(0))
        return over, np.hypot(over, own), self.components[mine].std(0)


def class_spectra(
    clf: Classifier,
    spectra: EdgeSpectra,
    *,
    labels: ArrayLike | None = None,
    pred: Reading | None = None,
    seed: int = 0,
) -> Figure:
    """Mean and sd of each class's denoised pixels, by the VAE and by ten principal components.

    Both rows are of the same pixels. The dark band is the sd over pixels of the denoised spectrum,
    as the paper has it. A denoiser that says the same of every pixel makes that band vanish, so the
    pale one adds what each pixel's own posterior leaves open (in quadrature): it is the one to
    compare with the other row, whose noise is all in its band. Dashed is the fingerprint with the
    overlapping shapes, as the data carry them. The number is the mean sd before the edge, where the
    true spectrum is zero for all pixels.

    Parameters
    ----------
    clf : EELSClassifier
        Fitted.
    spectra : Spectra
        n pixels; of more than 2000, a random 2000 are decoded.
    labels : (n,) array_like of int, optional
        Classes to sort pixels by; by default those predicted. Below 0 is left out.
    pred : Prediction, optional
        Of these spectra, where it is known already.
    seed : int
        Of draws and of the choice of pixels.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    RuntimeError, TypeError, ValueError
        Before ``fit``; if spectra are not like those of the fit, numbers disagree, or no pixel is
        left.
    """
    fitted = clf.checked(spectra)
    pred = reading_of(clf, spectra, pred)
    classes = pred.labels if labels is None else checked_labels(labels, pred)
    found = denoised_spread(clf, spectra, classes, seed=seed)
    counts = np.bincount(classes[found.rows], minlength=len(pred.class_names))
    chosen = np.sort(np.argsort(-counts, kind="stable")[:MOST_CLASSES])
    chosen = chosen[counts[chosen] > 0]
    known = shown_fingerprints(fitted)
    with figure_style() as plt:
        figure, pairs, down = _panels(plt, len(chosen))
        for pair, k in zip(pairs, chosen.tolist(), strict=True):
            color = class_colors(len(pred.class_names))[k]
            line = known[k] if k < len(known) else None
            mine = classes[found.rows] == k
            _pair(pair, np.asarray(spectra.energy), found, mine, color, line)
            title = f"{pred.class_names[k]}: {counts[k]} pixel{'s' if counts[k] > 1 else ''}"
            pair[0].set_title(f"{title}, VAE" if down else title)
            if down:
                pair[1].set_title(f"PCA({N_COMPONENTS})")
        low, high = pairs[0, 0].get_ylim()
        pairs[0, 0].set_ylim(low, high + HEADROOM * (high - low))
        if not down:
            pairs[0, 0].set_ylabel("VAE")
            pairs[0, 1].set_ylabel(f"PCA({N_COMPONENTS})")
        key_above(figure, _handles())
        label_all(figure, "energy loss (eV)", unit_of(spectra))
    return figure


def _panels(plt: Any, n: int) -> tuple[Figure, Any, bool]:
    """A figure, n pairs of panels, and whether a class is a row: where rows are short."""
    down = panels_across(n) < n
    shape = (n, 2) if down else (2, n)
    size = sized(PAGE, 0.6 + 1.6 * shape[0])
    shared = {"sharex": True, "sharey": True, "squeeze": False, "layout": "constrained"}
    figure, grid = plt.subplots(*shape, figsize=size, **shared)
    return figure, grid if down else grid.T, down


def denoised_spread(
    clf: Classifier, spectra: EdgeSpectra, classes: NDArray[np.int64], *, seed: int = 0
) -> Spread:
    """What both methods make of pixels that have a class.

    Raises
    ------
    ValueError
        If none has.
    """
    seed = validation.seed(seed)
    rows = np.flatnonzero(spectra.ok & (classes >= 0))
    if not len(rows):
        raise ValueError("no pixel is left to draw: every one is flagged or without a class")
    if len(rows) > MOST_PIXELS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_PIXELS, replace=False))
    rebuilt, _ = rebuilt_from_components(spectra)
    decoded = clf.denoise(spectra[rows], level=ONE_SD, seed=seed)
    own_sd = 0.5 * (decoded.upper - decoded.lower).astype(float)
    before = channels_before(clf.checked(spectra).forward.library)
    return Spread(rows, np.asarray(decoded.mean, dtype=float), rebuilt[rows], own_sd, before)


def channels_before(library: Any) -> NDArray[np.bool_]:
    """Channels (L,) of the window before any fingerprint or overlapping shape has begun."""
    rows = np.concatenate([library.intensity, library.nuisances])
    strongest = np.abs(library.intensity).max()
    begun: NDArray[np.bool_] = np.cumsum(np.abs(rows).max(0) > BEFORE * strongest) > 0
    return ~begun


def _pair(
    axes: Any, energy: Array, found: Spread, mine: NDArray[np.bool_], color: Any, line: Array | None
) -> None:
    over, whole, other = found.sds(mine)
    means = found.ours[mine].mean(0), found.components[mine].mean(0)
    for ax, mean, inner, outer in zip(axes, means, (over, other), (whole, None), strict=True):
        ax.axhline(0, color="0.85", lw=0.8, zorder=0)
        if outer is not None:
            ax.fill_between(energy, mean - outer, mean + outer, color=color, alpha=0.25, lw=0)
        ax.fill_between(energy, mean - inner, mean + inner, color=color, alpha=0.4, lw=0)
        ax.plot(energy, mean, color=color, lw=1.4)
        if line is not None:
            ax.plot(energy, line, "--", color="0.1", lw=1.0)
        ax.margins(x=0)
        if found.before.any():
            shown = (inner if outer is None else outer)[found.before].mean()
            ax.text(
                0.97,
                0.97,
                f"sd before edge {shown:.3f}",
                transform=ax.transAxes,
                ha="right",
                va="top",
                size=points(8),
                in_layout=False,
            )


def _handles() -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        Line2D([], [], color="0.4", lw=1.4, label="mean"),
        Patch(fc="0.4", alpha=0.6, lw=0, label="sd over pixels"),
        Patch(fc="0.4", alpha=0.25, lw=0, label="with each pixel's own"),
        Line2D([], [], color="0.1", lw=1.0, ls="--", label="fingerprint and overlap"),
    ]

"""One pixel, averages of several, and one pixel denoised, with each one's signal to noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes import validation
from eels_bayes.plots.fitted_figures.component_peers import (
    N_COMPONENTS,
    rebuilt_from_components,
)
from eels_bayes.plots.fitted_figures.measures import signal_to_noise_db
from eels_bayes.plots.fitted_figures.neighbourhoods import measured_reference, nearest_alike
from eels_bayes.plots.fitted_figures.subjects import (
    Array,
    Classifier,
    EdgeSpectra,
    Reading,
    reading_of,
    unit_of,
)
from eels_bayes.plots.page import PAGE, key_above, label_all, narrow, panels_across, sized
from eels_bayes.plots.style import OKABE_ITO, figure_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AVERAGED = (8, 16, 32)  # pixels: those of the paper
LEVEL = 0.9  # of the band
TYPICAL_OF = 200  # pixels whose median ratio is printed beside that of the pixel shown


class Ladder(NamedTuple):
    """Ways to less noise at m pixels.

    Attributes
    ----------
    names : tuple of str
        W ways.
    spectra, references : (W, m, L) arrays
        What each makes of each pixel, and what it should have made of it.
    band : (2, m, L) array
        Ends of the last way's band.
    decibels : (W, m) array
        Signal to noise.
    """

    names: tuple[str, ...]
    spectra: Array
    references: Array
    band: Array
    decibels: Array


def denoising(
    clf: Classifier,
    spectra: EdgeSpectra,
    *,
    pixel: int | None = None,
    pred: Reading | None = None,
    truth: ArrayLike | None = None,
    seed: int = 0,
) -> Figure:
    """One pixel as measured, averaged with its neighbours, by principal components and by the VAE.

    Averages are of the 8, 16 and 32 pixels of the same predicted class that lie nearest in the
    image, as far as there are so many. Ten principal components are those of all spectra given.
    The VAE's is the mean of decoded draws of the pixel's posterior with their 90 % band.

    The signal-to-noise ratio is ``10 log10(sum s^2 / sum (x - s)^2)`` over the window, in dB, of
    the spectrum drawn x against its reference s. Where the truth is given, s is the true spectrum
    of the pixel, or the mean of the true spectra that were averaged, so that averages are not
    charged with the resolution they lose. Else s is the mean measured spectrum of the other pixels
    of that class in the image (in all images, where fewer than 100 are left), in which differences
    within the class and errors of the background common to all pixels are no errors: such a ratio
    ranks methods and says nothing of bias. "Typical" is the median over up to 200 other pixels.

    Parameters
    ----------
    clf : EELSClassifier
        Fitted.
    spectra : Spectra
        n pixels; principal components need many.
    pixel : int, optional
        Row of the pixel that is shown; by default one of typical ratio.
    pred : Prediction, optional
        Of these spectra, where it is known already.
    truth : (n, L) array_like, optional
        True edge spectra, overlapping shapes included, in the unit of the spectra.
    seed : int
        Of draws and of the choice of pixels.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    IndexError
        If there is no such pixel.
    RuntimeError, TypeError, ValueError
        Before ``fit``; if spectra are not like those of the fit, the pixel is flagged or has fewer
        than 7 others of its class in its image, or shapes disagree.
    """
    clf.checked(spectra)
    seed = validation.seed(seed)
    pred = reading_of(clf, spectra, pred)
    known = None if truth is None else _checked_truth(truth, spectra)
    if pixel is not None and not 0 <= pixel < len(spectra):
        raise IndexError(f"pixel {pixel} does not exist; there are {len(spectra)}")
    rows, sizes = comparable(spectra, pred.labels, pixel, seed)
    found = ladder(clf, spectra, pred.labels, rows, sizes, known, seed=seed)
    chosen = 0 if pixel is not None else _typical(found)
    with figure_style() as plt:
        across = panels_across(3)
        down = -(-len(found.names) // across)
        size = sized(PAGE, 0.4 + 1.9 * down)
        shared = {"sharex": True, "sharey": True, "squeeze": False, "layout": "constrained"}
        figure, grid = plt.subplots(down, across, figsize=size, **shared)
        for ax in grid.flat[len(found.names) :]:
            ax.remove()
        for w, ax in enumerate(grid.flat[: len(found.names)]):
            _panel(ax, np.asarray(spectra.energy), found, w, chosen)
        _limits(grid.flat[0], found, chosen)
        reference = "truth" if known is not None else "reference: mean of its class"
        key_above(figure, _handles(reference))
        label_all(figure, "energy loss (eV)", unit_of(spectra))
    return figure


def ladder(
    clf: Classifier,
    spectra: EdgeSpectra,
    labels: NDArray[np.int64],
    rows: NDArray[np.int64],
    averaged: Sequence[int],
    truth: Array | None,
    *,
    seed: int = 0,
) -> Ladder:
    """Every way to less noise at pixels that have as many neighbours alike as are averaged."""
    measured = np.asarray(spectra.intensity, dtype=float)
    rebuilt, _ = rebuilt_from_components(spectra)
    denoised = clf.denoise(spectra[rows], level=LEVEL, seed=seed)
    sizes = (1, *averaged)
    names = ("one pixel", *(f"{n} pixels averaged" for n in averaged))
    names = (*names, f"one pixel, PCA({N_COMPONENTS})", "one pixel, VAE")
    shape = (len(names), len(rows), len(spectra.energy))
    drawn, references = np.empty(shape), np.empty(shape)
    for i, row in enumerate(rows.tolist()):
        for w, n in enumerate(sizes):
            group = nearest_alike(spectra, labels, row, n)
            if group is None:
                raise ValueError(
                    f"pixel {row} has fewer than {n - 1} others of its class in its image"
                )
            drawn[w, i] = measured[group].mean(0)
            references[w, i] = (
                measured_reference(spectra, labels, group)
                if truth is None
                else truth[group].mean(0)
            )
        references[len(sizes) :, i] = references[0, i]
    drawn[-2], drawn[-1] = rebuilt[rows], denoised.mean
    decibels = np.array(
        [
            [signal_to_noise_db(x, s) for x, s in zip(*pair, strict=True)]
            for pair in zip(drawn, references, strict=True)
        ]
    )
    return Ladder(names, drawn, references, np.stack([denoised.lower, denoised.upper]), decibels)


def _checked_truth(truth: ArrayLike, spectra: EdgeSpectra) -> Array:
    known = validation.numbers("truth", truth)
    if known.shape != spectra.intensity.shape:
        raise ValueError(
            f"truth must be (pixels, channels) = {spectra.intensity.shape}, got {known.shape}"
        )
    return known


def comparable(
    spectra: EdgeSpectra, labels: NDArray[np.int64], pixel: int | None, seed: int
) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    """The pixel asked for and others with enough neighbours of their class; what can be averaged.

    Raises
    ------
    ValueError
        If there is none, or it is not the one asked for.
    """
    crowd = np.zeros(len(spectra), dtype=int)
    for image in np.unique(spectra.image):
        for label in np.unique(labels[labels >= 0]):
            mine = (spectra.image == image) & (labels == label) & spectra.ok
            crowd[mine] = mine.sum()
    most = int(crowd.max(initial=0) if pixel is None else crowd[pixel])
    sizes = tuple(n for n in AVERAGED if n <= most)
    if not sizes:
        which = "no pixel is" if pixel is None else f"pixel {pixel} is flagged or not"
        raise ValueError(
            f"{which} one of at least {min(AVERAGED)} of its class in its image, which are needed "
            "to average"
        )
    enough = np.flatnonzero(crowd >= max(sizes))
    drawn = np.random.default_rng(seed).permutation(enough)[:TYPICAL_OF]
    if pixel is not None:
        drawn = np.concatenate([[pixel], drawn[drawn != pixel]])
    return drawn.astype(np.int64), sizes


def _typical(found: Ladder) -> int:
    """The pixel whose ratios are nearest to the medians, as measured and by both methods."""
    single = found.decibels[[0, -2, -1]]
    distance = np.abs(single - np.median(single, axis=1, keepdims=True)).sum(0)
    return int(np.argmin(distance))


def _panel(ax: Any, energy: Array, found: Ladder, way: int, i: int) -> None:
    last = way == len(found.names) - 1
    ax.axhline(0, color="0.85", lw=0.8, zorder=0)
    if last:
        ax.fill_between(energy, *found.band[:, i], color=OKABE_ITO[0], alpha=0.3, lw=0)
    ax.plot(energy, found.spectra[way, i], color=OKABE_ITO[0], lw=1.4 if last else 0.8)
    ax.plot(energy, found.references[way, i], "--", color="0.1", lw=1.1)
    typical = float(np.median(found.decibels[way]))
    gap = "\n" if narrow() else " "
    ax.set_title(
        f"{found.names[way]}\nSNR {_number(found.decibels[way, i])} dB{gap}"
        f"(typical {_number(typical)} dB)",
        linespacing=1.3,
    )
    ax.margins(x=0)


def _number(decibels: float) -> str:
    """To one digit, with the minus of the axes."""
    return f"{decibels:.1f}".replace("-", "\N{MINUS SIGN}")


def _limits(ax: Any, found: Ladder, i: int) -> None:
    """One intensity axis for all: single channels of the noisiest panel may leave it."""
    noisy = found.spectra[0, i]
    low, high = np.quantile(noisy, [0.05, 0.95])
    others = found.spectra[1:, i]
    low, high = min(low, others.min()), max(high, others.max(), found.references[:, i].max())
    room = 0.06 * (high - low)
    ax.set_ylim(low - room, high + room)


def _handles(reference: str) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        Line2D([], [], color=OKABE_ITO[0], lw=1.4, label="spectrum"),
        Patch(fc=OKABE_ITO[0], alpha=0.3, lw=0, label=f"{100 * LEVEL:g} % credible band"),
        Line2D([], [], color="0.1", lw=1.1, ls="--", label=reference),
    ]

"""Where in the spectrum each part of the doubt sits."""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from eels_bayes import validation
from eels_bayes.plots.fitted_figures.subjects import Array, Classifier, EdgeSpectra
from eels_bayes.plots.page import PAGE, key_columns, narrow, sized
from eels_bayes.plots.style import OKABE_ITO, figure_style, plain_decades

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N_PIXELS = 200  # that are read anew: rms changes to 5 % or so
N_BANDS = 90  # of the spectrum that are moved, one at a time: a few eV each
MOST_AT_ONCE = 8000  # moved pixels that are read together: bounds memory
ONE_SD = 0.6827  # probability of one sd to either side of a Gaussian
HEADROOM = 0.25  # of the curves, above them: room of the legend
PARTS = ("aleatoric", "encoder", "classifier")
COLORS = {"aleatoric": OKABE_ITO[2], "encoder": OKABE_ITO[1], "classifier": OKABE_ITO[3]}


class Answer(NamedTuple):
    """How a prediction answers to each of N bands of the spectrum.

    Attributes
    ----------
    energy : (N,) array
        Centres of the bands, eV.
    width : float
        Of a band, eV.
    change : dict of str to (N,) array
        Rms change over pixels when the band's mean moves by its own noise sd: of each part of the
        doubt, nats, and of the "probabilities" (half the sum of absolute differences).
    """

    energy: Array
    width: float
    change: dict[str, Array]


def doubt_spectrum(
    clf: Classifier,
    spectra: EdgeSpectra,
    *,
    own_scales: bool = False,
    n_pixels: int = N_PIXELS,
    seed: int = 0,
) -> Figure:
    """Which energies the class and each part of the doubt answer to, and what a band still leaves.

    Above, noise of one pixel in a channel beside what the posterior leaves of it in the decoded
    spectrum (half of the central 68 % of the draws). Below, every band of the measured spectrum,
    within the window and beside it, is moved by one sd of its own noise, up and down, and the pixel
    read anew: the rms change, over pixels, of the class probabilities (half the sum of absolute
    differences) and of each part of the doubt in nats. Where a curve is high, more electrons there
    would tell most; bands beside the window matter by the background that they fix.

    Parameters
    ----------
    clf : EELSClassifier
        Fitted.
    spectra : Spectra
        n pixels, of which some are read.
    own_scales : bool
        A panel and a scale for each part, so that parts that lie low can be seen.
    n_pixels : int
        How many are read, each about a hundred times.
    seed : int
        Of their choice.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    RuntimeError, TypeError, ValueError
        Before ``fit``; if spectra are not like those of the fit, or none is usable.
    """
    clf.checked(spectra)
    chosen = _chosen(spectra, n_pixels, seed)
    answer = answers(clf, chosen)
    decoded = clf.denoise(chosen, level=ONE_SD, seed=seed)
    left = 0.5 * np.mean(decoded.upper - decoded.lower, axis=0)
    noise = np.sqrt(np.mean(np.asarray(chosen.sd, dtype=float) ** 2, axis=0))
    n_panels = 1 + (len(PARTS) if own_scales else 1)
    with figure_style() as plt:
        figure = plt.figure(figsize=sized(PAGE, 3.0 + 1.3 * n_panels), layout="constrained")
        top, below = figure.subfigures(2, 1, height_ratios=(2.0, 1.0 + 1.3 * n_panels))
        _left_open(top.subplots(), np.asarray(spectra.energy), noise, left)
        axes = below.subplots(n_panels, 1, sharex=True)
        _steps(axes[0], answer, "probabilities", OKABE_ITO[0])
        axes[0].set_ylabel("class\nprobabilities")
        for k, part in enumerate(PARTS):
            ax = axes[1 + k] if own_scales else axes[1]
            _steps(ax, answer, part, COLORS[part])
            ax.set_ylabel(f"{part}\n(nats)" if own_scales else "parts of the\ndoubt (nats)")
        for ax in axes:
            ax.set_ylim(bottom=0)
        if not own_scales:
            axes[1].set_ylim(top=(1.0 + HEADROOM) * axes[1].get_ylim()[1])
            axes[1].legend(loc="upper left", ncols=key_columns(PARTS))
        for ax in axes:
            ax.axvspan(spectra.energy[0], spectra.energy[-1], color="0.93", lw=0, zorder=0)
            ax.margins(x=0)
        gap = "\n" if narrow() else " "
        axes[0].set_title(
            f"rms change when a band of {answer.width:.3g} eV moves{gap}"
            "by its own noise (grey: window)"
        )
        axes[-1].set_xlabel("energy loss (eV)")
        below.align_ylabels(axes)
    return figure


def _left_open(ax: Any, energy: Array, noise: Array, left: Array) -> None:
    """What a channel's noise is, and what the posterior leaves of it."""
    ax.plot(energy, noise, color="0.5", lw=1.2, label="noise as measured")
    ax.plot(energy, left, color=OKABE_ITO[0], lw=1.4, label="left open by the posterior")
    ax.set(yscale="log", ylabel="sd of a channel\n(edge units)", xlabel="energy loss (eV)")
    plain_decades(ax.yaxis)
    ax.margins(x=0)
    ax.legend(loc="lower right")


def answers(clf: Classifier, spectra: EdgeSpectra, n_bands: int = N_BANDS) -> Answer:
    """Move each band of usable pixels by its noise, and read them anew."""
    whole: Any = spectra
    profile, level = np.asarray(whole.profile, dtype=float), np.asarray(whole.level, dtype=float)
    energy = np.asarray(whole.profile_energy)
    step = float(energy[1] - energy[0])
    size = max(1, -(-len(energy) // n_bands))
    bands = [slice(k, min(k + size, len(energy))) for k in range(0, len(energy), size)]
    moves = [(b, sign) for b in range(len(bands)) for sign in (1.0, -1.0)]
    before = _read(clf, whole)
    change = {name: np.zeros(len(bands)) for name in before}
    at_once = max(1, MOST_AT_ONCE // len(profile))
    for some in (moves[k : k + at_once] for k in range(0, len(moves), at_once)):
        moved = np.tile(profile, (len(some), 1, 1))
        for copy, (b, sign) in zip(moved, some, strict=True):
            band = bands[b]
            mean = np.maximum(profile[:, band].mean(1), 0.0)
            copy[:, band] += sign * np.sqrt(level * mean / (band.stop - band.start))[:, None]
        copies = whole[np.tile(np.arange(len(profile)), len(some))]
        rows = moved.reshape(-1, profile.shape[1]).astype(whole.profile.dtype)
        after = _read(clf, dataclasses.replace(copies, profile=rows))
        for name, x in after.items():
            difference = x.reshape(len(some), *before[name].shape) - before[name]
            if name == "probabilities":
                difference = 0.5 * np.abs(difference).sum(2)
            for (b, _), one in zip(some, difference, strict=True):
                change[name][b] += 0.5 * float(np.nanmean(one**2))
    rms = {name: np.sqrt(x) for name, x in change.items()}
    centres = np.array([energy[band].mean() for band in bands])
    return Answer(centres, size * step, rms)


def _chosen(spectra: EdgeSpectra, n_pixels: int, seed: int) -> EdgeSpectra:
    n_pixels, seed = validation.whole("n_pixels", n_pixels), validation.seed(seed)
    rows = np.flatnonzero(spectra.ok)
    if not len(rows):
        raise ValueError("no pixel is left to read: every one is flagged")
    return spectra[np.sort(np.random.default_rng(seed).permutation(rows)[:n_pixels])]


def _read(clf: Classifier, spectra: Any) -> dict[str, Array]:
    with warnings.catch_warnings():
        # copies of one pixel scatter less than noise does, which is nothing to warn of
        warnings.simplefilter("ignore", UserWarning)
        pred = clf.predict(spectra, joint=False, show_progressbar=False)
    return {
        name: np.asarray(getattr(pred, name), dtype=float) for name in ("probabilities", *PARTS)
    }


def _steps(ax: Any, answer: Answer, name: str, color: str) -> None:
    edges = np.append(answer.energy - answer.width / 2, answer.energy[-1] + answer.width / 2)
    ax.stairs(answer.change[name], edges, color=color, lw=1.3, label=name, baseline=None)

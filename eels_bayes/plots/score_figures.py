"""Figures of scores: reliability, risk against coverage, training history."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes import validation
from eels_bayes.metrics.checked_rows import checked
from eels_bayes.plots.page import panels_across, sized
from eels_bayes.plots.style import OKABE_ITO, class_colors, figure_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N_BINS = 15  # of the confidence: as `metrics.ece` has them
JUMPY_SHARE = 0.05  # of pixels kept below which the risk jumps: does not set the scale
DASHES = ("-", "--", "-.", ":")  # of curves: those that lie on one another are all seen
STAGE = 2.2  # inches: the panel of a stage in print is no narrower
LIKELIHOOD = "log-likelihood (nats per spectrum)"
HEADROOM = 1.08  # times the largest risk: the line is not cut


def reliability(
    probabilities: ArrayLike, labels: ArrayLike, *, n_bins: int = N_BINS, title: str = ""
) -> Figure:
    """Reliability diagram of the top label, with the histogram of the confidences.

    Parameters
    ----------
    probabilities : (n, K) array_like
        Rows with NaN (flagged pixels) are left out.
    labels : (n,) array_like of int
        True classes.
    n_bins : int
        Equal-width bins of the confidence over [0, 1].
    title : str
        Above the diagram.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If shapes disagree or no pixel is left.
    """
    probabilities = validation.numbers("probabilities", probabilities)
    n_bins, labels = validation.whole("n_bins", n_bins), np.asarray(labels)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1]:
        raise ValueError(
            "probabilities must be (n, K) and labels (n,), "
            f"got {probabilities.shape} and {labels.shape}"
        )
    keep = np.isfinite(probabilities).all(axis=1)
    if not keep.any():
        raise ValueError("no pixel is left to draw: every one is flagged")
    probabilities, labels = checked(probabilities, labels, keep)
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, n_bins + 1)
    which = np.clip(np.digitize(confidence, edges) - 1, 0, n_bins - 1)
    count = np.bincount(which, minlength=n_bins)
    used = count > 0
    mean = np.bincount(which, confidence, n_bins)[used] / count[used]
    hit = np.bincount(which, correct, n_bins)[used] / count[used]
    gap = float(np.sum(count[used] * np.abs(hit - mean)) / count.sum())
    centre, half = _wilson(hit, count[used])
    with figure_style() as plt:
        figure, (ax, below) = plt.subplots(
            2, 1, figsize=sized(4.0, 4.9), sharex=True, height_ratios=(3, 1), layout="constrained"
        )
        ax.plot([0, 1], [0, 1], color="0.6", lw=1, ls="--", label="perfectly calibrated")
        ax.vlines(
            mean, centre - half, centre + half, color=OKABE_ITO[0], lw=1, label="95 % interval"
        )
        ax.plot(mean, hit, "o-", color=OKABE_ITO[0], ms=4, lw=1.2, label="observed")
        ax.text(0.97, 0.05, f"ECE {gap:.3f}", transform=ax.transAxes, ha="right")
        ax.set(ylabel="fraction correct", xlim=(0, 1), ylim=(0, 1.02), title=title)
        ax.legend(loc="upper left")
        below.bar(
            edges[:-1], count / count.sum(), 1 / n_bins, align="edge", fc="0.7", ec="w", lw=0.8
        )
        below.axvline(confidence.mean(), color=OKABE_ITO[0], lw=1.2, label="mean confidence")
        below.axvline(correct.mean(), color=OKABE_ITO[4], lw=1.2, ls="--", label="accuracy")
        below.set(xlabel="confidence", ylabel="share of pixels")
        below.legend(loc="upper left")
    return figure


def _wilson(share: NDArray[Any], n: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Centre and half width of Wilson's interval of two sd: honest at the few pixels of a bin.

    Wilson, J. Am. Stat. Assoc. 22, 209 (1927), at z = 2.
    """
    centre = (share + 2 / n) / (1 + 4 / n)
    return centre, 2 * np.sqrt(share * (1 - share) / n + 1 / n**2) / (1 + 4 / n)


def risk_coverage(curves: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> Figure:
    """Error rate among the pixels kept, against the share kept when the least sure go first.

    Parameters
    ----------
    curves : mapping of str to (coverage, risk)
        A pair of arrays for each measure of doubt or each method, both in [0, 1].

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no curve, or the two arrays of one differ in shape.
    """
    if not curves:
        raise ValueError("curves is empty; at least one {name: (coverage, risk)} is needed")
    with figure_style() as plt:
        figure, ax = plt.subplots(figsize=sized(4.6, 3.4), layout="constrained")
        top = 0.0
        for k, (color, (name, (coverage, risk))) in enumerate(
            zip(class_colors(len(curves)), curves.items(), strict=True)
        ):
            x = validation.numbers(f"coverage of {name!r}", coverage)
            y = validation.numbers(f"risk of {name!r}", risk)
            if x.shape != y.shape or x.ndim != 1 or not x.size:
                plt.close(figure)
                raise ValueError(
                    f"coverage and risk of {name!r} must be (n,), got {x.shape} and {y.shape}"
                )
            ax.plot(x, y, DASHES[k % len(DASHES)], color=color, lw=1.6, label=name)
            # The first few pixels make the risk jump between 0 and 1; they must not set the scale.
            top = max(top, float(y[x >= min(JUMPY_SHARE, x.max())].max()))
        ax.set(xlabel="coverage (share of pixels kept)", ylabel="risk (error rate of those kept)")
        ax.set(xlim=(0, 1), ylim=(0, HEADROOM * top if top > 0 else 1))
        named = [line for line in ax.get_lines() if line.get_label()]
        if named:  # given one by one: else matplotlib leaves out what begins with "_"
            ax.legend(handles=named, loc="upper left")
    return figure


def history(history: Mapping[str, Any], *, ylabel: str = "loss (nats per spectrum)") -> Figure:
    """Training and validation loss over the epochs, with the best epoch marked.

    Parameters
    ----------
    history : mapping
        {"training": (epochs,), "validation": (epochs,)}, or {"training": (steps,)} of what is
        trained without validation; or such a mapping for each stage of the fit, which gets a panel
        of its own.
    ylabel : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is nothing to draw.
    """
    nested = all(isinstance(value, Mapping) for value in history.values())
    stages: dict[str, Mapping[str, Any]] = dict(history) if nested else {"": history}
    stages = {name: stage for name, stage in stages.items() if any(len(v) for v in stage.values())}
    if not stages:
        raise ValueError("history is empty; fit first")
    with figure_style() as plt:
        likelihood = any(list(stage) == ["log_likelihood"] for stage in stages.values())
        across = panels_across(len(stages), STAGE)
        down = math.ceil(len(stages) / across)
        figure, grid = plt.subplots(
            down,
            across,
            figsize=sized(0.6 + 3.4 * across, 2.8 * down),
            squeeze=False,
            layout="constrained",
        )
        for ax in grid.flat[len(stages) :]:
            ax.remove()
        for ax, (name, stage) in zip(grid.flat, stages.items(), strict=False):
            for color, (curve, values) in zip(class_colors(len(stage)), stage.items(), strict=True):
                losses = validation.numbers(f"history of {curve!r}", values)
                epochs = np.arange(1, len(losses) + 1)
                ax.plot(epochs, losses, color=color, lw=1.4, label=curve)
                if curve == "validation" and np.isfinite(losses).any():
                    best = int(np.nanargmin(losses))
                    ax.plot(
                        epochs[best], losses[best], "o", ms=5, mfc="none", color=color, label="best"
                    )
            ax.set(xlabel="epoch" if "validation" in stage else "step", title=name)
            ax.xaxis.get_major_locator().set_params(integer=True)
            if list(stage) == ["log_likelihood"]:  # rises, and is no loss
                ax.set_ylabel(LIKELIHOOD)
                continue
            ax.legend(handles=ax.get_lines(), loc="best")  # whatever their names begin with
            if ax.get_subplotspec().is_first_col() or likelihood:
                ax.set_ylabel(ylabel)
    return figure

"""Which latent dimensions carry anything, as a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from eels_bayes.plots.page import sized
from eels_bayes.plots.style import OKABE_ITO, figure_style, plain_decades

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THRESHOLD = 0.01  # activity that counts: Burda, Grosse and Salakhutdinov's
LEAST_VARIANCE = 1e-6  # where the logarithmic axis begins if a unit is dead: chosen, not tuned
BELOW_LEAST = 0.1  # times the least bar: the axis' lower end, so that the bar is seen


def active_units(variance: ArrayLike, kl: ArrayLike, *, threshold: float = THRESHOLD) -> Figure:
    """Activity and KL divergence of each latent dimension, the most active first.

    Parameters
    ----------
    variance : (D,) array_like
        ``Cov_x(E_q[z_d])`` (Burda, Grosse and Salakhutdinov, ICLR 2016).
    kl : (D,) array_like
        Nats.
    threshold : float
        Activity that counts.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If shapes disagree.
    """
    variance, kl = np.asarray(variance, dtype=float), np.asarray(kl, dtype=float)
    if variance.ndim != 1 or not variance.size or kl.shape != variance.shape:
        raise ValueError(f"variance and kl must be (D,), got {variance.shape} and {kl.shape}")
    order = np.argsort(-variance, kind="stable")
    active = variance[order] > threshold
    colors = np.where(active, OKABE_ITO[0], "0.7").tolist()
    at = np.arange(len(order))
    floor = BELOW_LEAST * min(threshold, max(float(variance.min()), LEAST_VARIANCE))
    with figure_style() as plt:
        figure, (ax, below) = plt.subplots(
            2,
            1,
            figsize=sized(max(3.6, 1.2 + 0.3 * len(at)), 4.2),
            sharex=True,
            layout="constrained",
        )
        ax.bar(at, np.maximum(variance[order], floor), color=colors)
        ax.axhline(threshold, color=OKABE_ITO[4], ls="--", lw=1.2, label=f"threshold {threshold:g}")
        ax.set(yscale="log", ylabel="variance of the mean", ylim=(floor, None))
        plain_decades(ax.yaxis)
        ax.set_title(f"{int(active.sum())} of {len(at)} latents active")
        figure.legend(*ax.get_legend_handles_labels(), loc="outside upper right")
        below.bar(at, kl[order], color=colors)
        below.set(xlabel="latent dimension", ylabel="KL to the prior (nats)")
        below.set_xticks(at, [str(d + 1) for d in order])
    return figure

"""Fingerprints, where they lie in the latent space, and what is decoded from there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from eels_bayes import validation
from eels_bayes.plots.fitted_figures.subjects import Array, Classifier, shown_fingerprints
from eels_bayes.plots.page import PAGE, narrow, sized
from eels_bayes.plots.style import class_colors, figure_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N_DRAWS = 200  # decoded draws of a class: ends of a 90 % band to a few per cent
DRAWN = 20  # of them that are drawn as lines
LEVEL = 0.9  # of the band
MOST_CLASSES = 6  # rows by default: more are too low to read


def fingerprint_draws(
    clf: Classifier, *, classes: Sequence[int | str] | None = None, seed: int = 0
) -> Figure:
    """Each class's fingerprints, their distribution over the latents, and decoded draws of it.

    Left, the library's fingerprints as the fit found them in the data, with the overlapping shapes
    at their mean intensity. Middle, the VAE's posterior of these spectra: mean and two sd along
    each latent, those that tell classes apart first; grey is the standard normal, which an unused
    latent repeats. Right, spectra decoded from draws, with the band of 90 % of them around the mean
    fingerprint (dashed).

    Parameters
    ----------
    clf : EELSClassifier
        Fitted.
    classes : sequence of int or str, optional
        Which of the library's classes; by default the first six.
    seed : int
        Of the draws.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    RuntimeError
        Before ``fit``.
    ValueError
        If a class is unknown.
    """
    seed = validation.seed(seed)
    fitted = _fitted(clf)
    library = fitted.forward.library
    chosen = _chosen(classes, library.class_names)
    mean, sd, decoded = _posterior(fitted, seed)
    order = _telling_first(mean, sd, library.labels)
    shown, colors = shown_fingerprints(fitted), class_colors(len(clf.class_names))
    overlap = shown - library.class_spectra  # of every class the same
    with figure_style() as plt:
        figure, grid = plt.subplots(
            len(chosen),
            3,
            figsize=sized(PAGE, 0.7 + 1.45 * len(chosen)),
            sharex="col",
            squeeze=False,
            layout="constrained",
        )
        for (left, middle, right), k in zip(grid, chosen, strict=True):
            rows = library.labels == k
            for ax in (left, right):
                ax.axhline(0, color="0.85", lw=0.8, zorder=0)
                ax.margins(x=0)
            left.plot(
                library.energy, (library.intensity[rows] + overlap[k]).T, color=colors[k], lw=1.0
            )
            left.set_ylabel(library.class_names[k])
            _latents(middle, mean[rows][:, order], sd[rows][:, order], order, colors[k])
            draws = decoded[library.labels == k].reshape(-1, len(library.energy))
            tails = np.quantile(draws, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2], axis=0)
            right.fill_between(library.energy, *tails, color=colors[k], alpha=0.3, lw=0)
            right.plot(library.energy, draws[:: -(-len(draws) // DRAWN)].T, color=colors[k], lw=0.4)
            right.plot(library.energy, shown[k], "--", color="0.1", lw=1.1)
        _one_scale(grid[:, [0, 2]])
        _one_scale(grid[:, [1]])
        _name(grid)
    return figure


def _fitted(clf: Classifier) -> Any:
    """What was fitted; RuntimeError before."""
    fitted = getattr(clf, "fitted", None)
    if fitted is None:
        raise RuntimeError("this classifier is not fitted; call fit(spectra) first")
    return fitted


def _chosen(classes: Sequence[int | str] | None, names: Sequence[str]) -> list[int]:
    if classes is None:
        return list(range(min(len(names), MOST_CLASSES)))
    found = []
    for one in classes:
        index = list(names).index(one) if isinstance(one, str) and one in names else one
        if isinstance(index, str) or not 0 <= index < len(names):
            raise ValueError(f"class {one!r} is unknown; one of {', '.join(names)} is needed")
        found.append(int(index))
    if not found:
        raise ValueError("classes is empty; at least one class is needed")
    return found


def _posterior(fitted: Any, seed: int) -> tuple[Array, Array, Array]:
    """Latent mean and sd (M, D) of all fingerprints, and decoded draws (M, S, L) of each."""
    import torch

    library = fitted.forward.library
    overlap = shown_fingerprints(fitted) - library.class_spectra
    rows = library.intensity + overlap[library.labels]
    vae = fitted.vae
    with torch.no_grad():
        mean, sd = vae.encode(torch.as_tensor(rows, dtype=torch.float32).to(vae.log_b.device))
        noise = torch.randn(
            (len(mean), N_DRAWS, mean.shape[1]),
            generator=torch.Generator().manual_seed(seed),
            dtype=torch.float32,
        ).to(mean)
        z = mean.unsqueeze(1) + sd.unsqueeze(1) * noise
        decoded = vae.decode(z.flatten(0, 1)).unflatten(0, z.shape[:2])
    found = tuple(x.cpu().numpy().astype(float) for x in (mean, sd, decoded))
    return found[0], found[1], found[2]


def _telling_first(mean: Array, sd: Array, labels: Array) -> Array:
    """Latents in the order of how far classes lie apart along them, in their own sd."""
    classes = np.stack([mean[labels == k].mean(0) for k in np.unique(labels)])
    order: Array = np.argsort(-classes.var(0) / (sd**2).mean(0), kind="stable")
    return order


def _latents(ax: Any, mean: Array, sd: Array, order: Array, color: Any) -> None:
    """Mean and two sd of each fingerprint along each latent, over the standard normal's."""
    at = np.arange(mean.shape[1])
    ax.axhspan(-2, 2, color="0.92", lw=0, zorder=0)
    ax.axhline(0, color="0.8", lw=0.8, zorder=0)
    steps = np.linspace(-0.2, 0.2, len(mean)) if len(mean) > 1 else np.zeros(1)
    for step, m, s in zip(steps, mean, sd, strict=True):
        ax.errorbar(at + step, m, 2 * s, fmt="o", color=color, ms=2.2, lw=0.8, capsize=0)
    every = -(-len(at) // (4 if narrow() else 8))
    ax.set_xticks(at[::every], [str(d + 1) for d in order[::every].tolist()])
    ax.set_xlim(-0.7, len(at) - 0.3)


def _one_scale(axes: Any) -> None:
    """The same intensities in all panels of spectra."""
    limits = [ax.get_ylim() for ax in axes.flat]
    for ax in axes.flat:
        ax.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def _name(grid: Any) -> None:
    titles = (
        "fingerprints (edge units)",
        "latents ± 2 sd (grey: N(0, 1))",
        f"decoded draws, {100 * LEVEL:g} % band",
    )
    units = ("energy loss (eV)", "latent, most telling first", "energy loss (eV)")
    if narrow():
        titles = (
            "fingerprints\n(edge units)",
            "latents ± 2 sd\n(grey: N(0, 1))",
            f"decoded draws,\n{100 * LEVEL:g} % band",
        )
        units = ("energy loss (eV)", "latent, most\ntelling first", "energy loss (eV)")
    for column, (title, unit) in enumerate(zip(titles, units, strict=True)):
        grid[0, column].set_title(title)
        grid[-1, column].set_xlabel(unit)

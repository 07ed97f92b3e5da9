"""True edge spectra of simulated pixels: what their edge spectra would be without noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eels_bayes.arrays import Floats
from eels_bayes.simulate.annealing import Series, mean_counts

if TYPE_CHECKING:
    from eels_bayes.data.spectra import Spectra


def true_edges(series: Series, spectra: Spectra) -> Floats:
    """Edge of each pixel without noise and without continuum, overlapping shapes included.

    In the unit and on the energies of the pixel's edge spectrum: the counts of its structure alone,
    moved by the shift that the preprocessing removed and over the norm that it found. What this
    leaves to a measured edge spectrum is noise and the background's error.

    Parameters
    ----------
    series : Series
    spectra : Spectra
        Of `Series.signals`, all or some of their pixels, normalised.

    Returns
    -------
    (n, L) array
        Edge units; NaN where flagged.

    Raises
    ------
    ValueError
        If the spectra are of another number of images, or of images of another shape.

    Examples
    --------
    >>> import eels_bayes as eb
    >>> series = eb.simulate.annealing_series(n_images=2, shape=(2, 3))
    >>> pre = eb.Preprocessor((677, 737), 0.5, background=(600, 675), normalize=(570, 592.5))
    >>> spectra = pre(series.signals, show_progressbar=False)
    >>> eb.simulate.true_edges(series, spectra).shape == spectra.intensity.shape
    True
    """
    truth = series.truth
    shape = (truth.sizes["y"], truth.sizes["x"])
    shapes = [info.shape for info in spectra.images]
    if shapes != [shape] * truth.sizes["image"]:
        raise ValueError(
            f"spectra must be of the series' own signals, {truth.sizes['image']} images of shape "
            f"{shape}, got {len(shapes)} images of shapes {sorted(set(shapes))}"
        )
    found = np.full(spectra.intensity.shape, np.nan)
    energy, step = np.asarray(spectra.energy), float(spectra.energy[1] - spectra.energy[0])
    detector = np.asarray(series.model.energy)
    wide = step / float(detector[1] - detector[0])  # detector channels in one of the spectra's
    for k in range(len(shapes)):
        rows = np.flatnonzero(spectra.ok & (spectra.image == k))
        here = truth.isel(image=k)
        alone = here.assign(background=0.0 * here["background"], edges=0.0 * here["edges"])
        counts = mean_counts(alone, series.model, dose=series.dose).to_numpy()
        counts = counts.reshape(-1, counts.shape[-1])[spectra.position[rows]]
        for row, seen in zip(rows, counts, strict=True):
            at = energy + float(spectra.shift[row])
            found[row] = wide * np.interp(at, detector, seen) / float(spectra.norm[row])
    return found

"""The linear fit of pyEELSMODEL: a second implementation, by others, of fitting an edge in counts.

pyEELSMODEL 1.0.9 (University of Antwerp; Jannis and Van den Broek) fits the gross counts of each
pixel by constrained least squares: its own background, a sum of power laws (Van den Broek et al.,
Ultramicroscopy 254, 113830 (2023)), under the shape that the classes share and the overlapping
ones, whose heights are not negative. (That the background be convex is asked for without effect:
1.0.9 leaves these rows of its constraints zero.) Nothing of our preprocessing but the alignment
enters, neither our background nor our noise. The fitted height, with pyEELSMODEL's Cramer-Rao bound
as its error, is compared with those of the classes as `least_squares` compares its own.

Needs ``pip install pyEELSMODEL==1.0.9``. Nothing else of the benchmarks does, so it is imported
here alone, when a pixel is to be read.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
from tqdm.auto import tqdm

import eels_bayes as eb

from .least_squares import Amplitudes, posterior
from .shared import Array, all_rows

LOWEST = 600.0  # eV, behind the other elements' edges; the fit ends where the window does
MISSING = (
    "pyEELSMODEL is not installed: its linear fit is left out (pip install pyEELSMODEL==1.0.9)"
)


def amplitudes(
    spectra: eb.Spectra, library: eb.FingerprintLibrary, *, show_progressbar: bool = True
) -> Amplitudes:
    """Height of the edge in every usable pixel with its error; the brightest class has about 1.

    Raises
    ------
    ImportError
        Where pyEELSMODEL is missing.
    """
    try:
        from pyEELSMODEL.core.spectrum import Spectrum, Spectrumshape
        from pyEELSMODEL.fitters.quadratic_fitter import QuadraticFitter
    except ImportError as error:
        raise ImportError(MISSING) from error
    energy = spectra.preprocessor.canonical_energy
    kept = energy >= LOWEST
    energy = energy[kept]
    known = library.resample(energy)
    shape = np.linalg.svd(known.class_spectra, full_matrices=False)[2][0]
    brightest = np.abs(known.class_spectra @ shape).argmax()
    shape = shape * (known.class_spectra[brightest] @ shape)  # of the brightest class's height

    # Counts of single electrons: its weights and bounds are those of Poisson counts.
    counts = spectra.counts[spectra.ok][:, kept] / spectra.gain[spectra.ok, None]
    unit = spectra.norm[spectra.ok] / spectra.gain[spectra.ok]
    shapes = (energy, [shape, *known.nuisances])
    specshape = Spectrumshape(energy[1] - energy[0], energy[0], len(energy))
    found = np.empty((len(counts), 2))
    model, height = _model(specshape, *shapes)
    bar = tqdm(counts, desc="pyEELSMODEL", disable=not show_progressbar)
    fitter = None
    for k, row in enumerate(bar):
        spectrum = Spectrum(specshape, data=row.astype(np.float64))
        if fitter is None:
            fitter = QuadraticFitter(spectrum, model, use_weights=True)
        fitter.spectrum, fitter.covariance_matrix = spectrum, None
        with contextlib.redirect_stdout(io.StringIO()):  # it prints where its power law fails
            fitter.perform_fit()
            fitter.set_fit_values()
            found[k] = height.getvalue(), fitter.CRLB(height)
        model.setchanged(False)
    value, error = (found / unit[:, None]).T
    return Amplitudes(value, error, known.class_spectra @ shape / (shape @ shape))


def _model(specshape: Any, energy: Array, shapes: list[Array]) -> tuple[Any, Any]:
    """Background and fixed shapes, and the parameter that is the first shape's height."""
    from pyEELSMODEL.components.fixedpattern import FixedPattern
    from pyEELSMODEL.components.linear_background import LinearBG
    from pyEELSMODEL.core.model import Model
    from pyEELSMODEL.core.spectrum import Spectrum

    patterns = [FixedPattern(specshape, Spectrum(specshape, data=shape)) for shape in shapes]
    model = Model(specshape, [LinearBG(specshape), *patterns])
    return model, patterns[0].parameters[0]


def probabilities(
    spectra: eb.Spectra,
    library: eb.FingerprintLibrary,
    *,
    seed: int = 0,
    show_progressbar: bool = True,
) -> Array:
    """Class probabilities (n, K); NaN where flagged. Nothing here is random."""
    fit = amplitudes(spectra, library, show_progressbar=show_progressbar)
    return all_rows(posterior(fit, library), spectra)

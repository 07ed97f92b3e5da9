"""Linear least squares of every pixel: an edge, the overlapping shapes and a constant.

    y = a f + sum_q r_q g_q + c + noise

``f`` is the shape that the classes' spectra share (their leading singular vector), ``g_q`` are the
library's nuisance shapes, and the constant takes up what the background left. (A straight line in
its place nearly makes an edge by itself: it doubles the error of ``a``.) The fitted amplitude is
compared with the amplitudes that the same fit finds in the classes' own spectra:

    p(k | a) ~ N(a; a_k, se^2 + (t a_k)^2),

with the fit's standard error and the library's relative variation of the intensity, t. Classes have
equal weights.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import softmax

import eels_bayes as eb

from .shared import Array, all_rows, denoise, intensity


class Amplitudes(NamedTuple):
    """Fitted amplitude of the edge, its standard error (m,), and the classes' amplitudes (K,)."""

    value: Array
    error: Array
    classes: Array


def amplitudes(
    spectra: eb.Spectra, library: eb.FingerprintLibrary, *, denoised: bool = False
) -> Amplitudes:
    """Fit the edge's amplitude in every usable pixel; the brightest class has about 1.

    The error follows from the noise by linear propagation. The noise variance comes from what the
    fit leaves over; where spectra are denoised first, from what the denoising took away, as the
    fit's residuals then hold no noise, and it is propagated through the denoising too.

    Raises
    ------
    ValueError
        Where there are too few channels for the fit.
    """
    known = library.resample(spectra.energy)
    shape = np.linalg.svd(known.class_spectra, full_matrices=False)[2][0]
    shape /= known.class_spectra[np.abs(known.class_spectra @ shape).argmax()] @ shape
    shape /= shape @ shape
    design = np.stack([shape, *known.nuisances, np.ones_like(shape)], axis=1)
    n_channels, n_shapes = design.shape
    if n_channels < n_shapes + 5:
        raise ValueError(
            f"spectra have {n_channels} channels; a fit of {n_shapes} shapes needs at least "
            f"{n_shapes + 5}"
        )
    inverse = np.linalg.pinv(design)  # (shapes, L)
    rows, response = intensity(spectra), inverse[0]
    if denoised:
        clean, components = denoise(rows)
        value = clean @ response
        response = components.T @ (components @ response)
        left, freedom = rows - clean, n_channels - len(components)
    else:
        value = rows @ response
        left, freedom = rows - rows @ inverse.T @ design.T, n_channels - n_shapes
    noise = np.sqrt((left**2).sum(1) / freedom)
    return Amplitudes(value, noise * np.linalg.norm(response), known.class_spectra @ inverse[0])


def probabilities(
    spectra: eb.Spectra,
    library: eb.FingerprintLibrary,
    *,
    seed: int = 0,
    show_progressbar: bool = True,
) -> Array:
    """Class probabilities (n, K) from fits to single pixels; NaN where flagged.

    Nothing here is random: ``seed`` and ``show_progressbar`` are not needed.
    """
    return all_rows(posterior(amplitudes(spectra, library), library), spectra)


def probabilities_denoised(
    spectra: eb.Spectra,
    library: eb.FingerprintLibrary,
    *,
    seed: int = 0,
    show_progressbar: bool = True,
) -> Array:
    """Class probabilities (n, K) from fits to spectra after PCA(10); NaN where flagged.

    Nothing here is random: ``seed`` and ``show_progressbar`` are not needed.
    """
    return all_rows(posterior(amplitudes(spectra, library, denoised=True), library), spectra)


def posterior(fit: Amplitudes, library: eb.FingerprintLibrary) -> Array:
    """Class probabilities (m, K) of fitted amplitudes."""
    variance = fit.error[:, None] ** 2 + (library.variations.intensity * fit.classes) ** 2
    distance = fit.value[:, None] - fit.classes
    found: Array = softmax(-0.5 * (distance**2 / variance + np.log(variance)), axis=1)
    return found

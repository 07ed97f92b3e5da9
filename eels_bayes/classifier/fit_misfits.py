"""Whether spectra are described as they should be: chi-squares and mean residuals."""

from __future__ import annotations

import numpy as np

from eels_bayes.arrays import Array
from eels_bayes.classifier.fit_report import FitReport
from eels_bayes.forward_model.window_fit import FEW_OF_CLASS

# Chi-square a channel within which nothing is said. Of 33 fits to simulated series with the right
# library (60 and 600 pixels, doses 0.3, 1 and 10) it was 0.88 to 1.02; gains that are wrong by a
# factor of four gave 0.23 to 0.27 and 2.2 to 3.8.
LEAST_CHI_SQUARE, MOST_CHI_SQUARE = 0.7, 1.5
SURELY = 4.0  # standard errors by which a class's chi-square lies beyond these
# A mean residual is a misfit where it is surely there, and large enough to matter in one pixel. In
# the same fits both limits were never reached together: at most 1.8 where the length was above 0.5,
# and 2.8 where it was less. Of 27 fits of another structure or an axis 40 eV off all had a class
# beyond 2.5 and 1.0. Squares over all bins make one comparison of a class.
MEAN_SQUARE = 2.2  # of the mean residual over its error, 1 where all is right
LENGTH = 0.8  # root of its sum of squares over the bins, in sd by which a pixel scatters


def overall(report: FitReport, missed: bool) -> str:
    """Of all pixels; ``missed`` says whether mean residuals stand out as well."""
    chi, error = report.chi_square, report.chi_square_error
    if not _outside(chi, error):
        return ""
    gain = f"{report.noise.gain * chi:.2g}"
    said = f"chi-square is {chi:.2f} a channel where 1 is expected: "
    if chi < 1.0:
        return (
            f"{said}pixels scatter less than is believed. Denoised or interpolated counts do; of "
            f"raw counts the gain is rather {gain}, see Preprocessor(noise=...) and pre.summary"
        )
    if missed:
        return f"{said}library and continuum do not describe these pixels"
    return (
        f"{said}the noise is larger than is believed (the gain rather {gain}, see "
        "Preprocessor(noise=...) and pre.summary), or pixels hold what library and continuum lack"
    )


def by_class(report: FitReport) -> str:
    """Of classes that are described otherwise than the whole."""
    outside = _outside(report.class_chi_square, report.class_chi_square_error)
    bad = np.flatnonzero(outside & (report.class_pixels >= FEW_OF_CLASS))
    if not len(bad) or _outside(report.chi_square, report.chi_square_error):
        return ""
    shown = ", ".join(f"{chi:.2f}" for chi in report.class_chi_square[bad])
    return (
        f"chi-square of {listed([report.row_names[k] for k in bad])} is {shown} a channel where "
        "1 is expected: these pixels are not as their fingerprint; look at their novelty, and add "
        "what they are"
    )


def several_in_one(report: FitReport) -> str:
    """Of classes whose pixels differ by more than pixels of one class do."""
    bad = np.flatnonzero(report.several[: len(report.class_names)])
    if not len(bad):
        return ""
    shown = ", ".join(f"{report.edge_scatter[k]:.2f}" for k in bad)
    return (
        f"pixels of {listed([report.class_names[k] for k in bad])} differ in the size of their "
        f"edge by more than those of one class do (variance {shown} times the expected): several "
        "structures are read as one, and classes may be wrong and sure. The library lacks a class, "
        "or its fingerprints have other intensities relative to each other than the specimen"
    )


def mean_residuals(report: FitReport, missed: list[int]) -> str:
    """Of the classes (indices) whose mean residual stands out."""
    if not missed:
        return ""
    sizes = [float(np.abs(report.residual[k]).max()) for k in missed]
    worst = missed[int(np.argmax(sizes))]
    return (
        f"the mean residual of {listed([report.row_names[k] for k in missed])} stands out of "
        f"its band, most by {report.largest_residual(worst)} (sd of a pixel): fingerprints and "
        "spectra have other shapes; look at report().plot(), and see whether axis, background of "
        "the fingerprints and overlapping edges (nuisances) are right"
    )


def misfitting(report: FitReport) -> list[int]:
    """Classes whose mean residual stands out of its band, and is large for one pixel as well."""
    relative = (report.residual / report.band) ** 2
    # where the noise is larger than is believed, what is small in it is small
    scatter = np.maximum(report.class_chi_square, 1.0)
    excess = (report.residual**2 - report.band**2).sum(1) / scatter
    # a square over an error that n pixels themselves show: Student's t has a variance of its own
    n = np.maximum(report.class_pixels, FEW_OF_CLASS)
    usual = (n - 1.0) / (n - 3.0)
    bad = (relative.mean(1) > MEAN_SQUARE * usual) & (excess > LENGTH**2)
    return np.flatnonzero(bad & (report.class_pixels >= FEW_OF_CLASS)).tolist()


def _outside(chi: Array | float, error: Array | float) -> Array:
    """Whether chi-squares are surely beyond what is usual."""
    low = np.asarray(chi) + SURELY * np.asarray(error) < LEAST_CHI_SQUARE
    high = np.asarray(chi) - SURELY * np.asarray(error) > MOST_CHI_SQUARE
    outside: Array = low | high
    return outside


def listed(names: list[str] | tuple[str, ...]) -> str:
    """Names in quotation marks."""
    return ", ".join(repr(name) for name in names)

"""What is bad about a fit, by its report, and what would help."""

from __future__ import annotations

import numpy as np

from eels_bayes.arrays import Array
from eels_bayes.classifier.fit_report import FitReport
from eels_bayes.forward_model.registration import NEAR, REACH

# Chi-square a channel within which nothing is said. Of 96 fits to simulated series with the right
# library (60 and 600 pixels, doses 0.3, 1 and 10) it was 0.84 to 1.02; a gain that is wrong by a
# factor of four gives 0.25 or 2.7 at least.
LEAST_CHI_SQUARE, MOST_CHI_SQUARE = 0.7, 1.5
SURELY = 4.0  # standard errors by which a class's chi-square lies beyond these
# A mean residual is a misfit where it is surely there, and large enough to matter in one pixel.
FEW_OF_CLASS = 10.0  # pixels: fewer do not show how they scatter
MEAN_SQUARE = 3.5  # of the mean residual over its error, 1 where all is right
LENGTH = 0.8  # root of its sum of squares over the bins, in sd of a pixel's noise
STILL_GAINING = 0.5  # nats a pixel in ten iterations: a class's odds by a factor of 1.6
FEW_PIXELS = 50  # the library's variations alone are given a weight of 100 pixels
FAR = 2.0  # eV of shift that is worth a note


def problems(report: FitReport, *, limited: bool = False) -> tuple[str, ...]:
    """What is bad, the worst first.

    Parameters
    ----------
    report : FitReport
    limited : bool
        Whether fewer iterations were asked for than usual: to stop early is no surprise then.

    Returns
    -------
    tuple of str
    """
    missed = misfitting(report)
    found = [
        _far_off(report),
        _chi_square(report, bool(missed)),
        _class_chi_squares(report),
        _misfit(report, missed),
        _beyond_slope(report),
        _scaled_away(report),
        _few(report),
        "" if limited else _unfinished(report),
    ]
    return tuple(sentence for sentence in found if sentence)


def notes(report: FitReport, *, limited: bool = False) -> tuple[str, ...]:
    """What is not bad by itself, but worth knowing; arguments as of `problems`.

    Returns
    -------
    tuple of str
    """
    found = []
    if report.empty and not _scaled_away(report):
        found.append(
            f"no pixel takes {_listed(report.empty)}: absent here, or not as in the library"
        )
    if abs(report.shift) > FAR and not _far_off(report):
        found.append(f"the library was moved by {report.shift:+.1f} eV: see eb.calibrate_axis")
    if not NEAR[0] <= report.gain <= NEAR[1]:
        found.append(
            f"the library was multiplied by {report.gain:.3g}: it is in another unit, or of "
            "another thickness"
        )
    if not report.converged and (limited or not _unfinished(report)):
        why = ", as few iterations were asked for" if limited else ""
        found.append(
            f"the fit ended before its numbers stood still{why}: a larger "
            "Effort(forward_iterations=...) goes on"
        )
    return tuple(found)


def misfitting(report: FitReport) -> list[int]:
    """Classes whose mean residual stands out of its band, and is large for one pixel as well."""
    relative = (report.residual / report.band) ** 2
    excess = (report.residual**2 - report.band**2).sum(1)
    bad = (relative.mean(1) > MEAN_SQUARE) & (excess > LENGTH**2)
    return np.flatnonzero(bad & (report.class_pixels >= FEW_OF_CLASS)).tolist()


def _far_off(report: FitReport) -> str:
    if abs(report.shift) < REACH - 1.0:
        return ""
    return (
        f"the library was moved by {report.shift:+.1f} eV, to the end of what is tried: its axis "
        "or that of the data stands further off; see eb.calibrate_axis"
    )


def _chi_square(report: FitReport, missed: bool) -> str:
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


def _class_chi_squares(report: FitReport) -> str:
    """Of classes that are described otherwise than the whole."""
    outside = _outside(report.class_chi_square, report.class_chi_square_error)
    bad = np.flatnonzero(outside & (report.class_pixels >= FEW_OF_CLASS))
    if not len(bad) or _outside(report.chi_square, report.chi_square_error):
        return ""
    shown = ", ".join(f"{chi:.2f}" for chi in report.class_chi_square[bad])
    return (
        f"chi-square of {_listed([report.class_names[k] for k in bad])} is {shown} a channel where "
        "1 is expected: these pixels are not as their fingerprint; look at their novelty, and add "
        "what they are"
    )


def _misfit(report: FitReport, missed: list[int]) -> str:
    if not missed:
        return ""
    sizes = [float(np.abs(report.residual[k]).max()) for k in missed]
    worst = missed[int(np.argmax(sizes))]
    return (
        f"the mean residual of {_listed([report.class_names[k] for k in missed])} stands out of "
        f"its band, most by {report.largest_residual(worst)} (sd of a pixel): fingerprints and "
        "spectra have other shapes; look at report().plot(), and see whether axis, background of "
        "the fingerprints and overlapping edges (nuisances) are right"
    )


def _beyond_slope(report: FitReport) -> str:
    rise = rise_length(report.energy, report.fingerprint)
    if report.shift_sd <= rise:
        return ""
    return (
        f"shifts differ by {report.shift_sd:.2g} eV among pixels, and the edge rises within "
        f"{rise:.2g} eV: such shifts are not followed; align the spectra (Preprocessor(align=...))"
    )


def rise_length(energy: Array, fingerprint: Array) -> float:
    """Shift (eV) up to which the sharpest of spectra (K, W) follows its slope: height over slope.

    Infinite where there is no edge.
    """
    slope = np.abs(np.gradient(fingerprint, energy, axis=1)).max(1)
    height = np.abs(fingerprint).max(1)
    seen = slope > 0
    return float((height[seen] / slope[seen]).min()) if seen.any() else float("inf")


def _scaled_away(report: FitReport) -> str:
    if not report.empty or NEAR[0] <= report.gain <= NEAR[1]:
        return ""
    return (
        f"no pixel takes {_listed(report.empty)}, and the library was multiplied by "
        f"{report.gain:.3g}: another class may have been scaled to stand for it; give the library "
        "in the unit of the edge spectra, or class_weights"
    )


def _few(report: FitReport) -> str:
    if not 0 < report.n_fitted < FEW_PIXELS:
        return ""
    return (
        f"{report.n_fitted} pixels are too few to learn how these spectra vary: what is assumed "
        f"beforehand decides; fit to {FEW_PIXELS} pixels at least"
    )


def _unfinished(report: FitReport) -> str:
    if report.converged or report.last_gain < STILL_GAINING:
        return ""
    return (
        f"the fit had not ended: its last iterations still gained {report.last_gain:.2g} nats a "
        "pixel; give Effort(forward_iterations=...) more"
    )


def _outside(chi: Array | float, error: Array | float) -> Array:
    """Whether chi-squares are surely beyond what is usual."""
    low = np.asarray(chi) + SURELY * np.asarray(error) < LEAST_CHI_SQUARE
    high = np.asarray(chi) - SURELY * np.asarray(error) > MOST_CHI_SQUARE
    outside: Array = low | high
    return outside


def _listed(names: list[str] | tuple[str, ...]) -> str:
    """Names in quotation marks."""
    return ", ".join(repr(name) for name in names)

"""What is bad about a fit, by its report, and what would help."""

from __future__ import annotations

import numpy as np

from eels_bayes.classifier.fit_foreign import lacking
from eels_bayes.classifier.fit_library import (
    another_class,
    begun_again,
    beyond_slope,
    exchanged,
    far_off,
    mixed_much,
    no_onset,
    scaled_away,
    undescribed,
    unsure_factor,
)
from eels_bayes.classifier.fit_misfits import (
    by_class,
    listed,
    mean_residuals,
    misfitting,
    overall,
    several_in_one,
)
from eels_bayes.classifier.fit_report import FitReport
from eels_bayes.forward_model.registration import NEAR

# Nats a pixel in ten iterations: a class's odds by a factor of 1.6. Fits with the right library
# seldom end within 75 iterations, and gained 0.002 to 0.22 at last.
STILL_GAINING = 0.5
FEW_PIXELS = 50  # five times what the library's own variations weigh; chosen, not tuned
UNDECIDED = 0.5  # of an equal share: classes whose shares are known less well; chosen, not tuned
# Sd of the logarithm of counts. Without normalization simulated series were read as well as with it
# at 0.05, and at 0.09 a third of their pixels (dose 3, where it was 0.95).
UNEVEN = 0.08
OFF = 0.1  # of its local intensity that a fingerprint may be off without a note
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
    of_all = overall(report, bool(missed))
    worst = [another_class(report), of_all or lacking(report)]
    if undescribed(report):
        worst.reverse()
    found = [
        _uneven(report),
        far_off(report),
        no_onset(report),
        *worst,
        exchanged(report),
        unsure_factor(report),
        # of a larger noise, anything stands out
        "" if of_all else several_in_one(report) or begun_again(report),
        mixed_much(report),
        by_class(report),
        mean_residuals(report, missed),
        beyond_slope(report),
        scaled_away(report),
        _few(report) or _undecided(report),
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
    if report.dim:
        found.append(
            f"{100 * report.dim:.2g} % of the pixels have less than a tenth of the counts of "
            "bright ones of their image: vacuum beside the specimen, or holes. They were left out "
            "here, and are read as far as their counts allow"
        )
    if report.empty and not scaled_away(report):
        found.append(
            f"no pixel takes {listed(report.empty)}: absent here, or not as in the library"
        )
    if abs(report.shift) > FAR and not far_off(report):
        found.append(f"the library was moved by {report.shift:+.1f} eV: see eb.calibrate_axis")
    far = [
        name for name, off in zip(report.class_names, report.class_misfit, strict=True) if off > OFF
    ]
    if far:
        found.append(
            f"the shapes of {listed(far)} are off by up to {100 * report.class_misfit.max():.0f} % "
            "and follow these pixels instead: a structure that differs by less is not seen as new; "
            "references of the same origin would help"
        )
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


def _uneven(report: FitReport) -> str:
    """Of pixels that differ in brightness where nothing takes that away."""
    if report.normalized or report.brightness < UNEVEN:
        return ""
    return (
        f"pixels differ by {100 * report.brightness:.0f} % in their counts before the edge, and "
        "nothing takes that away: thickness or beam current is read as the size of an edge, and "
        "classes may be wrong and sure; give Preprocessor(normalize=...), a window before the edge "
        "or over one that all pixels share"
    )


def _few(report: FitReport) -> str:
    if report.n_fitted >= FEW_PIXELS:
        return ""
    return (
        f"{report.n_fitted} pixels are too few to learn how these spectra vary: what is assumed "
        f"beforehand decides; fit to {FEW_PIXELS} pixels at least"
    )


def _undecided(report: FitReport) -> str:
    n_classes = len(report.class_names)
    error = float(np.sqrt((report.share_error[:n_classes] ** 2).mean()))
    # a few others that are looked at say nothing of the shares that were fitted
    if error * n_classes < UNDECIDED or report.n_pixels < FEW_PIXELS:
        return ""
    return (
        f"these pixels leave open how frequent {n_classes} classes are: shares are known to within "
        f"{100 * error:.1f} %, where equal ones are {100 / n_classes:.1f} %, and probabilities of "
        "single pixels lean on them; fewer classes, more pixels or a higher dose would help"
    )


def _unfinished(report: FitReport) -> str:
    if report.converged or report.last_gain < STILL_GAINING:
        return ""
    return (
        f"the fit had not ended: its last iterations still gained {report.last_gain:.2g} nats a "
        "pixel; give Effort(forward_iterations=...) more"
    )

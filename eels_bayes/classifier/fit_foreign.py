"""What a report says of structures that the library lacks."""

from __future__ import annotations

import numpy as np

from eels_bayes.classifier.fit_report import FitReport
from eels_bayes.forward_model.foreign import LEAST_SHARE

NOT_ALIKE = 0.3  # of how far off a structure is: where fingerprints are as far off, that is said


def lacking(report: FitReport) -> str:
    """Of pixels that look alike and like no fingerprint, the most frequent of such structures.

    Said where the noise is as large as is believed: of a larger one, anything stands out.
    """
    n_classes = len(report.class_names)
    share = report.class_share[n_classes:]
    if share.max(initial=0.0) < LEAST_SHARE:
        return ""
    k = n_classes + int(np.argmax(share))
    nearest, off = most_alike(report, k)
    known = float(report.class_misfit.max(initial=0.0))
    doubt = f", where fingerprints are off by up to {100 * known:.0f} % themselves"
    return (
        f"{report.class_pixels[k]:.0f} of {report.n_pixels} pixels "
        f"({100 * report.class_share[k]:.0f} %) look alike and like no fingerprint; nearest is "
        f"{report.class_names[nearest]!r}, {100 * off:.0f} % off"
        f"{doubt if known > NOT_ALIKE * off else ''}. The library lacks a structure: "
        "pixels of it are called by a class all the same, and their novelty says so; "
        "look at report().plot(), which shows its edge, and add the fingerprint of what it is"
    )


def most_alike(report: FitReport, k: int) -> tuple[int, float]:
    """The class whose edge, by a factor, is nearest the k-th row's, and how far off it is."""
    edge, classes = report.fingerprint[k], report.fingerprint[: len(report.class_names)]
    square = np.maximum((classes**2).sum(1), np.finfo(float).tiny)
    factor = np.maximum(classes @ edge, 0.0) / square
    off = np.linalg.norm(edge - factor[:, None] * classes, axis=1) / np.linalg.norm(edge)
    nearest = int(off.argmin())
    return nearest, float(off[nearest])

"""Whether the library stands as it should: its axis, its factor, and what rests on them."""

from __future__ import annotations

import numpy as np

from eels_bayes.arrays import Array
from eels_bayes.classifier.fit_misfits import listed
from eels_bayes.classifier.fit_report import FitReport
from eels_bayes.forward_model.registration import BEGINS, NEAR, REACH
from eels_bayes.forward_model.rivals import AS_WELL, NOT_AT_ALL, as_well
from eels_bayes.forward_model.window_fit import FEW_OF_CLASS

# Of the mean weight of two pure classes that pixels between them have, and of all pixels. Fits with
# the right library had 0.39 and 0.06 at most, white lines of another origin 0.48 and 0.14; where a
# class between two was missing 0.57 to 1.16, and 0.17 to 0.26.
MANY_MIXED = 0.5
MIXED = 0.15
LEAST_MIXED = 50.0  # pixels: of fewer, chance decides
# Relative error of the library's factor: classes that differ by the size of their edge are then no
# longer told apart by it. Fits with the right library had 0.13 at most with 72 pixels, at a dose of
# 0.3, and 0.08 with 256 and more; a specimen of 1.5 mean free paths had 0.3 with 2048.
UNSURE_FACTOR = 0.2
TOLD_BY = 250.0  # pixels: of fewer, such errors are too large by themselves


def far_off(report: FitReport) -> str:
    """Of a library that was moved as far as is tried."""
    if abs(report.shift) < REACH - 1.0:
        return ""
    return (
        f"the library was moved by {report.shift:+.1f} eV, to the end of what is tried: its axis "
        "or that of the data stands further off; see eb.calibrate_axis"
    )


def another_class(report: FitReport) -> str:
    """Of another class that explains the only one that is there, if the library stood elsewhere."""
    only = report.only_class(len(report.class_names))
    if not report.rivals or only is None:
        return ""
    own, names = report.rivals[only].off, report.class_names
    beside = float(np.delete(report.class_pixels[: len(names)], only).sum())
    if not np.abs(report.fingerprint[only]).any():
        if beside >= FEW_OF_CLASS:  # these tell where the library stands
            return ""
        return (
            f"next to all pixels are read as {names[only]}, which has no edge: a weak edge that "
            "all of them share would be explained as well, as a part of the continuum; fit with "
            "pixels that show more of it"
        )
    others = as_well(report.rivals, only)
    if not others:
        return ""
    k = min(others, key=lambda other: report.rivals[other].off)
    rival = report.rivals[k]
    return (
        f"next to all pixels with an edge are read as {names[only]}, and where the library stands "
        f"rests on that alone: {names[k]}, another {rival.shift:+.1f} eV away and multiplied by "
        f"{rival.factor:.2g}, would explain them as well ({100 * rival.off:.0f} % off, "
        f"{names[only]} {100 * own:.0f} %). A shift of the axis by {report.shift:+.1f} eV speaks "
        f"for {names[only]}, one by {report.shift + rival.shift:+.1f} eV for {names[k]}: measure "
        "it at another edge (eb.calibrate_axis), or fit with pixels of a known class"
    )


def undescribed(report: FitReport) -> bool:
    """Whether next to all pixels are of one class, and this one does not explain them."""
    only = report.only_class(len(report.class_names))
    return bool(report.rivals) and only is not None and report.rivals[only].off > NOT_AT_ALL


def exchanged(report: FitReport) -> str:
    """Of classes that stand for one another: others would explain the same pixels as well."""
    found = report.exchange
    if found is None or found.off >= AS_WELL * found.own:
        return ""
    of, by = (listed([report.class_names[k] for k in classes]) for classes in (found.of, found.by))
    place = f"multiplied by {report.gain * found.factor:.2g}"
    if found.shift:
        place += f" and moved by {report.shift + found.shift:+.1f} eV"
    return (
        f"what is read as {of} would be explained as well by {by}, the library {place} "
        f"({100 * found.off:.0f} % off, as read {100 * found.own:.0f} %): fingerprints fit so "
        "badly that the size of an edge does not tell its class, and classes may be wrong and "
        "sure. Thick specimens do that where no low loss is given, and fingerprints in another "
        "unit or broader than the edges; look at report().plot(), or fit with pixels of a known "
        "class"
    )


def unsure_factor(report: FitReport) -> str:
    """Of a library whose factor these pixels hardly show."""
    error = float(report.library_error[0])
    if report.n_pixels < TOLD_BY or error < UNSURE_FACTOR:
        return ""
    return (
        f"these pixels show the library's factor to within {100 * error:.0f} % only, with what its "
        "fingerprints may miss of the edge: classes that differ by the size of their edge stand "
        "for one another, and may be wrong and sure. Edges are weak or of another shape: give the "
        "low loss of a thick specimen, or fit with pixels that show more of the edge"
    )


def begun_again(report: FitReport) -> str:
    """Of a fit that stands where another factor of the library led it."""
    if not report.begun_again:
        return ""
    return (
        "a first fit had classes whose pixels differ in the size of their edge by more than those "
        f"of one class do; this one is likelier, from another factor ({report.gain:.3g} now): each "
        "explains these pixels, and classes may be wrong and sure. A background window into the "
        "edge or far before it does that, and then this fit is the better one; a class that the "
        "library lacks does it, too, and then it may be worse"
    )


def mixed_much(report: FitReport) -> str:
    """Of two classes with about as many pixels between them as pure ones."""
    weights = np.triu(report.pair_weights, 1)
    pure = np.diag(report.pair_weights)
    many = weights > np.maximum(MANY_MIXED * 0.5 * (pure[:, None] + pure), MIXED)
    many &= weights * report.n_fitted > LEAST_MIXED
    if not many.any():
        return ""
    a, b = divmod(int(np.where(many, weights, 0.0).argmax()), len(pure))
    return (
        f"{100 * weights[a, b]:.0f} % of the pixels are read as mixtures of "
        f"{listed([report.class_names[k] for k in (a, b)])}, as pure ones {100 * pure[a]:.0f} and "
        f"{100 * pure[b]:.0f} %: unless they are mixed, the library lacks what lies between, and "
        "they are called by the nearer of both, surely; add its fingerprint, or read their value"
    )


def no_onset(report: FitReport) -> str:
    """Of a window that begins behind the edge's onset."""
    edges = report.fingerprint[: len(report.class_names)]
    strongest = edges[int(np.abs(edges).max(1).argmax())]
    if np.abs(strongest[0]) <= BEGINS * np.abs(strongest).max():
        return ""
    return (
        f"at {report.energy[0]:.0f} eV, where the window begins, the edge has "
        f"{100 * abs(strongest[0]) / np.abs(strongest).max():.0f} % of its maximum already: "
        "without an onset an edge is not told from its continuum; let the window begin before it"
    )


def beyond_slope(report: FitReport) -> str:
    """Of shifts among pixels that the edge does not follow."""
    rise = rise_length(report.energy, report.fingerprint)
    if report.shift_sd <= rise:
        return ""
    return (
        f"shifts differ by {report.shift_sd:.2g} eV among pixels, and the edge rises within "
        f"{rise:.2g} eV: such shifts are not followed; align the spectra (Preprocessor(align=...))"
    )


def rise_length(energy: Array, fingerprint: Array) -> float:
    """Shift (eV) up to which the strongest of spectra (K, W) follows its slope: height over slope.

    Infinite where there is no edge.
    """
    height = np.abs(fingerprint).max(1)
    strongest = int(height.argmax())
    slope = float(np.abs(np.gradient(fingerprint[strongest], energy)).max())
    return float(height[strongest]) / slope if slope > 0 else float("inf")


def scaled_away(report: FitReport) -> str:
    """Of classes that no pixel takes, as another is scaled to stand for them."""
    if not report.empty or NEAR[0] <= report.gain <= NEAR[1]:
        return ""
    return (
        f"no pixel takes {listed(report.empty)}, and the library was multiplied by "
        f"{report.gain:.3g}: another class may have been scaled to stand for it; give the library "
        "in the unit of the edge spectra, or class_weights"
    )

"""Structures that are in no library, and false alarms among those that are, class by class.

Unknown pixels are a fifth of those that are scored, and are among those that the model is fitted to
or not; both are series of their own. Beside novelty stands what it is made of: the evidence for an
unknown structure, and the energy of the misfit; and the residual's chi-square, which it is not made
of. All of it comes from the forward model: the rest is learned in little. The limit is the class
probability of the unknown structure by a library that holds the very references of the spectra, its
own among them: what nobody knows who looks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from peers import forward_model
from sklearn.metrics import roc_auc_score

import eels_bayes as eb

from . import methods
from .bed import (
    CLASSES,
    MIXED_VALENCE,
    OTHER,
    SETS,
    VALENCES,
    Array,
    Bed,
    Sample,
    fingerprints,
    library,
    preprocess,
    series,
)
from .options import Options

DOSE = 1.0
UNKNOWN = 0.2  # share of the pixels
ALARM = 0.95  # novelty above which a pixel is one in twenty of the known ones
SCORED = 1500  # pixels of a fresh series, so that 5 % of a class are 25 pixels
SIZES = (60, 600, 6000)  # pixels that the model is fitted to
MEAN_OF = 1200  # pixels in all series of one size: of few, one series shows little


def run(options: Options) -> Iterator[dict[str, Any]]:
    """AUROC of unknown structures, then the share of false alarms."""
    least = replace(
        eb.Effort.quick(),
        forward_iterations=options.effort.forward_iterations,
        simulated_pixels=options.effort.simulated_pixels,
    )
    options = replace(options, effort=least)
    print("\n== novelty of unknown structures: AUROC", flush=True)
    yield from unknown(options)
    print(f"\n== novelty above {ALARM} of known structures, by class", flush=True)
    yield from alarms(options)


def unknown(options: Options) -> Iterator[dict[str, Any]]:
    """The mixed-valence oxide, and each structure left out of the library in turn."""
    cases = []
    if "Data2" in options.sources:
        names = (*SETS["Data2"], MIXED_VALENCE)
        cases.append(("Data2", "mixed-valence oxide", names, 3, VALENCES))
    for source in options.sources:
        for left_out, word in enumerate(CLASSES):
            kept = tuple(v for k, v in enumerate(VALENCES) if k != left_out)
            cases.append((source, word, SETS[source], left_out, kept))
    # mixed pixels of a structure that is left out would be neither known nor unknown
    bed = replace(options.bed, mixed=0.0)
    for source, word, names, which, kept in cases:
        known = tuple(SETS[OTHER[source]][VALENCES.index(v)] for v in kept)
        found = library(known, bed, valences=kept)
        scored = series(names, bed, DOSE, options.seed + 1, shares=_shares(names, which, UNKNOWN))
        limit = _limit(scored, names, which, bed)
        for share in (UNKNOWN, 0.0):
            fitted_to = series(names, bed, DOSE, options.seed, shares=_shares(names, which, share))
            clf = methods.fitted(preprocess(fitted_to.signals), found, options.effort)
            spectra = clf.preprocessor(scored.signals, show_progressbar=False)
            is_unknown = scored.label[spectra.ok] == which
            novelty = clf.predict(spectra).novelty[spectra.ok]
            columns = {"novelty": novelty, **_parts(clf, spectra)}
            auroc = {
                name: float(roc_auc_score(is_unknown, column)) for name, column in columns.items()
            }
            above = [float(np.mean(novelty[rows] > ALARM)) for rows in (is_unknown, ~is_unknown)]
            print(
                f"{word:20s} of {source} (limit {limit:.3f}), "
                f"{'among' if share else 'not in'} the fit: "
                + ", ".join(f"{name} {value:.3f}" for name, value in auroc.items())
                + f"; above {ALARM}: {above[0]:.3f} of its pixels, {above[1]:.3f} of the others",
                flush=True,
            )
            yield {
                "unknown": word,
                "spectra": source,
                "share_in_fit": share,
                "limit": limit,
                "auroc": auroc,
                "above": above,
            }


def _limit(sample: Sample, names: tuple[str, ...], which: int, bed: Bed) -> float:
    """AUROC of a reference's probability, by all those that the spectra are made of."""
    spectra = preprocess(sample.signals)
    whole = eb.FingerprintLibrary.from_arrays(*fingerprints(names, bed), np.arange(len(names)))
    found = forward_model.probabilities(spectra, whole, show_progressbar=False)
    ok = spectra.ok
    return float(roc_auc_score(sample.label[ok] == which, found[ok, which]))


def _shares(names: tuple[str, ...], which: int, share: float) -> tuple[float, ...]:
    """Of the references, where one has this share and the others are alike."""
    shares = np.full(len(names), (1.0 - share) / (len(names) - 1))
    shares[which] = share
    return tuple(shares)


def _parts(clf: eb.EELSClassifier, spectra: eb.Spectra) -> dict[str, Array]:
    """Evidence for an unknown structure, energy of the misfit, and the residual's chi-square."""
    from eels_bayes.prediction.novelty import misfit_energy

    assert clf.fitted is not None
    forward, scale = clf.fitted.forward, clf.fitted.novelty
    evidence = methods.evidence(forward, spectra)[1]
    energy = misfit_energy(evidence.residual, scale.whitening.cpu(), scale.center.cpu())
    return {
        "unknown structure": evidence.unknown.numpy(),
        "misfit": energy.numpy(),
        "chi-square": methods.residual_chi_square(forward, spectra),
    }


def alarms(options: Options) -> Iterator[dict[str, Any]]:
    """Share of novelty above `ALARM` in each class, on the library's own references or others.

    Means over several series where few pixels are fitted to: what one of them shows is chance.
    """
    for source in options.sources:
        for origin in (source, OTHER[source]):
            for size in options.sizes or SIZES:
                bed, scored_bed = (replace(options.bed, pixels=n) for n in (size, SCORED))
                known = library(SETS[origin], bed)
                found = []
                for k in range(max(1, MEAN_OF // size)):
                    seed = options.seed + 2 * k
                    fitted_to = preprocess(series(SETS[source], bed, DOSE, seed).signals)
                    clf = methods.fitted(fitted_to, known, options.effort, bars=False)
                    found.append(by_class(clf, series(SETS[source], scored_bed, DOSE, seed + 1)))
                shares = {name: float(np.mean([one[name] for one in found])) for name in found[0]}
                print(
                    f"{source} by {'its own' if origin == source else 'other'} references, "
                    f"fitted to {size:4d} pixels, {len(found)} times: "
                    + ", ".join(f"{name} {share:.3f}" for name, share in shares.items()),
                    flush=True,
                )
                yield {
                    "spectra": source,
                    "own": origin == source,
                    "pixels": size,
                    "series": len(found),
                    "above": shares,
                }


def by_class(clf: eb.EELSClassifier, sample: Sample) -> dict[str, float]:
    """Share of novelty above `ALARM` among the pure pixels of each class, and of mixed ones."""
    spectra = clf.preprocessor(sample.signals, show_progressbar=False)
    above = clf.predict(spectra).novelty > ALARM
    pure = spectra.ok & ~sample.mixed
    groups = {word: pure & (sample.label == k) for k, word in enumerate(CLASSES)}
    groups["mixed"] = spectra.ok & sample.mixed
    return {name: float(above[rows].mean()) for name, rows in groups.items() if rows.any()}

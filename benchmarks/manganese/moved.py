"""A library whose axis or unit is another: what that costs at dose 1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from . import methods
from .bed import OTHER, SETS, library, preprocess, series
from .options import Options
from .scoring import scores

DOSE = 1.0
# Axis moved (eV) and unit; the first is what the others are compared with
CASES = ((0.0, 1.0), (-6.0, 1.0), (-3.0, 1.0), (3.0, 1.0), (6.0, 1.0), (0.0, 0.01), (0.0, 100.0))


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Every case in both directions, on the same spectra."""
    for source in options.sources:
        sample = series(SETS[source], options.bed, DOSE, options.seed)
        spectra = preprocess(sample.signals)
        print(f"\n== {source} by fingerprints of {OTHER[source]}, moved or in another unit")
        print("moved    unit  accuracy    NLL    lost  forward model's  lost  its gain and shift")
        usual: tuple[float, float] | None = None
        for moved, factor in CASES:
            known = library(SETS[OTHER[source]], options.bed, moved=moved, factor=factor)
            clf = methods.fitted(spectra, known, options.effort)
            assert clf.fitted is not None
            forward, pred = clf.fitted.forward, clf.predict(spectra)
            ours = scores(methods.of_prediction(pred), sample, spectra.ok)
            alone = scores(methods.of_forward_model(forward, spectra), sample, spectra.ok)
            usual = usual or (ours["nll"], alone["nll"])
            lost, lost_alone = ours["nll"] - usual[0], alone["nll"] - usual[1]
            fit = forward.library_fit
            print(
                f"{moved:+5g} {factor:7g} {ours['accuracy']:9.3f} {ours['nll']:6.3f} {lost:+7.3f} "
                f"{alone['nll']:16.3f} {lost_alone:+.3f}  {fit.gain:.4g}, {fit.shift:+.2f} eV",
                flush=True,
            )
            yield {
                "spectra": source,
                "moved": moved,
                "factor": factor,
                "scores": {methods.OURS: ours, methods.FORWARD: alone},
                "lost": lost,
                "lost_alone": lost_alone,
                "library_fit": asdict(fit),
            }

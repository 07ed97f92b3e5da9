"""Series of one valence alone: whether it is read right, and whether it is said to be unsure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from eels_bayes.classifier.reporting import measured_fit
from eels_bayes.forward_model.fit import fit_forward_model
from eels_bayes.forward_model.rivals import AS_WELL, rivals

from .bed import CLASSES, SETS, library, preprocess, series
from .options import Options

DOSES = (0.3, 1.0, 10.0)


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Every valence by the references of both origins."""
    print("\n== one valence alone: read as (misfit), best rival (misfit)", flush=True)
    bed, counted = replace(options.bed, mixed=0.0), Counter[tuple[bool, bool]]()
    cases = product(options.sources, SETS, options.doses or DOSES, range(len(CLASSES)))
    for source, references, dose, k in cases:
        shares = tuple(np.eye(len(CLASSES))[k].tolist())
        sample = series(SETS[source], bed, dose, options.seed + k, shares=shares)
        spectra, known = preprocess(sample.signals), library(SETS[references], bed)
        model = fit_forward_model(spectra, known, effort=options.effort, show_progressbar=False)
        fit = measured_fit(model, spectra)
        read = int(np.argmax(fit.class_pixels[: known.n_classes]))
        off = [rival.off for rival in rivals(model, known, fit.edge[read])]
        own, rival = off[read], min(off[:read] + off[read + 1 :])
        unsure = rival < AS_WELL * own
        counted[read == k, unsure] += 1
        print(
            f"{source} by {references}, dose {dose:g}, {CLASSES[k]}: {CLASSES[read]} ({own:.2f}), "
            f"{CLASSES[off.index(rival)]} ({rival:.2f}){'  unsure' * unsure}",
            flush=True,
        )
        yield {
            "spectra": source,
            "references": references,
            "dose": dose,
            "valence": CLASSES[k],
            "read": CLASSES[read],
            "off": off,
            "unsure": unsure,
        }
    for right, word in ((True, "right"), (False, "wrong")):
        sure, unsure = counted[right, False], counted[right, True]
        print(f"{word}: {sure + unsure}, {unsure} of them said to be unsure", flush=True)

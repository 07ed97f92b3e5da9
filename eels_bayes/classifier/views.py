"""A classifier in a line, and as what a notebook shows."""

from __future__ import annotations

from typing import Protocol

from eels_bayes.classifier.fitted import Fitted
from eels_bayes.classifier.provenance import effort_in_words, in_short, provenance_of
from eels_bayes.classifier.reporting import report_of
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.effort import Effort
from eels_bayes.word_tables import html_table

HEADER = ("class", "fingerprints")


class Shown(Protocol):
    """What is shown of an `EELSClassifier`."""

    fitted: Fitted | None
    library: FingerprintLibrary
    effort: Effort
    seed: int


def words(self: Shown) -> str:
    """Its classes, and which fit it is."""
    state = in_short(self.fitted) if self.fitted else "not fitted"
    return f"<EELSClassifier: {', '.join(self.library.class_names)}; {state}>"


def html(self: Shown) -> str:
    """What a notebook shows: where the model comes from, and what is bad about its fit."""
    library, fitted = self.library, self.fitted
    counts = [int((library.labels == k).sum()) for k in range(library.n_classes)]
    table = [HEADER, *((name, str(n)) for name, n in zip(library.class_names, counts, strict=True))]
    if fitted is None:
        rows = [("state", "not fitted"), ("effort", effort_in_words(self.effort))]
        return html_table(rows, table)
    provenance = provenance_of(fitted, self.seed, self.effort)
    problems = report_of(fitted, library, None, self.effort).problems
    return html_table(provenance.rows(), table, bad=problems)

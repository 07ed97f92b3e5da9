"""Where a fitted model comes from, in words."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from eels_bayes.classifier.digest import digest
from eels_bayes.classifier.fit_record import FitRecord
from eels_bayes.classifier.fitted import Fitted
from eels_bayes.data.detector_noise import Noise
from eels_bayes.effort import FULL, Effort
from eels_bayes.preprocessing.inspection import in_words

UNKNOWN = "unknown"
SHORT = 8  # digits of the digest that tell a user's models apart


@dataclass(frozen=True, repr=False)
class Provenance:
    """Where a fitted model comes from; printed, it is all of it in words.

    Attributes
    ----------
    model : str
        Digest of what its predictions follow from; results have it too. The same in memory and
        after loading, another after an update.
    fit : FitRecord
        Version, date, number of spectra and titles of their signals.
    library : str
        Source of the fingerprints, see `FingerprintLibrary`; '' where it was not given.
    noise : Noise
        Of the counts, as the fit believed it (of most images).
    seed : int
    effort : Effort
    """

    model: str
    fit: FitRecord
    library: str
    noise: Noise
    seed: int
    effort: Effort

    def rows(self) -> list[tuple[str, str]]:
        """Name and value of each, in words.

        Returns
        -------
        list of (str, str)
        """
        return [
            ("model", self.model),
            *_of_fit(self.fit).items(),
            ("library", self.library or UNKNOWN),
            ("noise", in_words(self.noise)),
            ("seed", str(self.seed)),
            ("effort", effort_in_words(self.effort)),
        ]

    def __repr__(self) -> str:
        return "\n".join(f"{name + ':':10}{text}" for name, text in self.rows())


def provenance_of(fitted: Fitted, seed: int, effort: Effort) -> Provenance:
    """The provenance of a fitted model; what its fit alone knows is in its record."""
    library, noise = fitted.forward.library, fitted.preprocessor.detector_noise
    return Provenance(digest(fitted), fitted.record, library.source, noise, seed, effort)


def in_short(fitted: Fitted) -> str:
    """Date and digest of a fitted model, for a line."""
    record = fitted.record
    learned, date = ("updated", record.updated) if record.updated else ("fitted", record.date)
    return f"{learned} {date[:10]}, model {digest(fitted)[:SHORT]}"


def effort_in_words(effort: Effort) -> str:
    """Full, quick, or what is not as in the full one."""
    for name, known in (("full", FULL), ("quick", Effort.quick())):
        if effort == known:
            return name
    names = (field.name for field in dataclasses.fields(effort))
    given = {name: getattr(effort, name) for name in names}
    other = [f"{name}={it!r}" for name, it in given.items() if it != getattr(FULL, name)]
    return f"full but for {', '.join(other)}"


def _of_fit(record: FitRecord) -> dict[str, str]:
    """Lines of what is known of the fit."""
    shown = [repr(title) for title in record.titles if title]
    titles, left = ", ".join(shown), record.n_signals - len(shown)
    more = f" and {left} more" if titles and left else ""
    lines = {
        "fitted": f"{record.date} by eels_bayes {record.version}",
        "to": f"{record.n_pixels} spectra of {record.n_signals} "
        + ("signal" if record.n_signals == 1 else "signals")
        + (f": {titles}{more}" if titles else ""),
    }
    if record.n_updates:
        times = "once" if record.n_updates == 1 else f"{record.n_updates} times"
        lines["updated"] = f"{times}, last {record.updated}"
    return lines

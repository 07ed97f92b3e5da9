"""What a model file keeps of its fit beside the numbers: when, by what, and from which signals."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from eels_bayes.data.given_signals import given_signals
from eels_bayes.data.spectra import Spectra

MOST_TITLES = 20  # of signals that are kept: a series may have thousands
LONGEST_TITLE = 80  # characters that are kept of one


@dataclass(frozen=True)
class FitRecord:
    """When a model was fitted, by what, and from which signals.

    Attributes
    ----------
    version : str
        Of eels_bayes.
    date : str
        Of the end of the fit, UTC, as in ISO 8601.
    n_pixels, n_signals : int
        Usable spectra that it was fitted to, and signals that they are of.
    titles : tuple of str
        Of the first of these signals.
    n_updates : int
        How often it has learned since.
    updated : str
        When it did so last; '' where it never did.
    """

    version: str
    date: str
    n_pixels: int
    n_signals: int
    titles: tuple[str, ...]
    n_updates: int = 0
    updated: str = ""

    def __post_init__(self) -> None:
        for name in ("version", "date", "updated"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} is {getattr(self, name)!r}; words are needed")
        for name in ("n_pixels", "n_signals", "n_updates"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)!r}; a number is needed")
        if not all(isinstance(title, str) for title in self.titles):
            raise TypeError(f"titles are {self.titles!r}; words are needed")

    def options(self) -> dict[str, Any]:
        """As plain values, which `restored` reads."""
        return dataclasses.asdict(self)

    @classmethod
    def restored(cls, options: dict[str, Any]) -> FitRecord:
        """The record of `options`; raises where it is none."""
        return cls(**{**options, "titles": tuple(options["titles"])})

    def after_update(self) -> FitRecord:
        """The record of a model that has learned once more, now."""
        return dataclasses.replace(self, n_updates=self.n_updates + 1, updated=now())


def now() -> str:
    """Date and time, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def record_of(spectra: Spectra) -> FitRecord:
    """The record of a fit to spectra that ends now."""
    ok = spectra.ok
    used = given_signals(spectra.images, spectra.image[ok], spectra.position[ok])
    used = [signal for signal in used if len(signal.rows)]
    titles = (signal.whole.title for signal in used[:MOST_TITLES])
    return FitRecord(
        version=import_module("eels_bayes").__version__,
        date=now(),
        n_pixels=int(spectra.ok.sum()),
        n_signals=len(used),
        titles=tuple(title[:LONGEST_TITLE] for title in titles),
    )

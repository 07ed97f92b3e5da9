"""What every experiment is told."""

from __future__ import annotations

from dataclasses import dataclass, field

import eels_bayes as eb

from .bed import SETS, Bed


@dataclass(frozen=True)
class Options:
    """Spectra, seed, how much is learned, and which part of an experiment is run."""

    bed: Bed = field(default_factory=Bed)
    seed: int = 9100
    effort: eb.Effort = field(default_factory=eb.Effort)
    sources: tuple[str, ...] = tuple(SETS)  # whose references the spectra are made of
    doses: tuple[float, ...] = ()  # those of the experiment, if none are given
    sizes: tuple[int, ...] = ()  # pixels that false alarms are counted with; likewise

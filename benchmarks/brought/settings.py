"""Windows and options that are possible, but not good."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .counts import times
from .sample import Brought, Case, Sample


def setting(**settings: Any) -> Case:
    def brought(sample: Sample) -> Brought:
        return Brought(sample.signals, sample.library, settings)

    return brought


def noise_too_small(sample: Sample) -> Brought:
    return replace(times(4.0)(sample), settings={"noise": (1.0, 0.0)})


CASES: dict[str, Case] = {
    "not normalised": setting(normalize=None),
    "not aligned": setting(align=None),
    "background window into the edge": setting(background=(660.0, 695.0)),
    "background window far before": setting(background=(620.0, 640.0)),
    "window behind the onset": setting(window=(700.0, 737.0)),
    "channels of 2 eV": setting(dispersion=2.0),
    "noise given four times too small": noise_too_small,
}

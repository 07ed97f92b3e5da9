"""Windows and options that are possible, but not good."""

from __future__ import annotations

from typing import Any

from .sample import Brought, Case, Sample


def setting(**settings: Any) -> Case:
    def brought(sample: Sample) -> Brought:
        return Brought(sample.signals, sample.library, settings)

    return brought


CASES: dict[str, Case] = {
    "not normalised": setting(normalize=None),
    "not aligned": setting(align=None),
    "background window into the edge": setting(background=(660.0, 695.0)),
    "background window far before": setting(background=(620.0, 640.0)),
    "window behind the onset": setting(window=(700.0, 737.0)),
    "channels of 2 eV": setting(dispersion=2.0),
    "noise given four times too small": lambda sample: _noise(sample),
}


def _noise(sample: Sample) -> Brought:
    from .counts import times

    signals = times(4.0)(sample).signals
    return Brought(signals, sample.library, {"noise": (1.0, 0.0)})

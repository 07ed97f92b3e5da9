"""Every figure of the package, drawn from plain arrays; one public call each, returning the Figure.

Maps are laid out in inches from their own shapes, so that panels of one quantity and of the next
line up whatever the length of a legend. Classes have Okabe and Ito's colours (Color Universal
Design, 2008), quantities matplotlib's perceptually uniform maps; both survive colour blindness.
The figures belong to pyplot, so that they show in notebooks, windows and galleries; close them
with ``matplotlib.pyplot.close`` when done.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eels_bayes.plots.map_figures import (
        OKABE_ITO,
        Layer,
        Pixel,
        class_colors,
        class_maps,
        history,
        latent,
        layers,
        maps,
        nice_length,
        reliability,
        risk_coverage,
        series_maps,
        spectra_bands,
    )

# Public name -> the module that defines it, and its name there.
_HOME = {
    "Layer": "map_figures:Layer",
    "OKABE_ITO": "map_figures:OKABE_ITO",
    "Pixel": "map_figures:Pixel",
    "class_colors": "map_figures:class_colors",
    "class_maps": "map_figures:class_maps",
    "history": "map_figures:history",
    "latent": "map_figures:latent",
    "layers": "map_figures:layers",
    "maps": "map_figures:maps",
    "nice_length": "map_figures:nice_length",
    "reliability": "map_figures:reliability",
    "risk_coverage": "map_figures:risk_coverage",
    "series_maps": "map_figures:series_maps",
    "spectra_bands": "map_figures:spectra_bands",
}

__all__ = [
    "OKABE_ITO",
    "Layer",
    "Pixel",
    "class_colors",
    "class_maps",
    "history",
    "latent",
    "layers",
    "maps",
    "nice_length",
    "reliability",
    "risk_coverage",
    "series_maps",
    "spectra_bands",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    value: object = import_module(f"{__name__}.{module}")
    if attribute:
        value = getattr(value, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Every figure of the package, drawn from plain arrays; one public call each, returning the Figure.

Maps are laid out in inches from their own shapes, so that panels of one quantity and of the next
line up whatever the length of a legend. Classes have Okabe and Ito's colours (Color Universal
Design, 2008), quantities matplotlib's perceptually uniform maps; both survive colour blindness.
The figures belong to pyplot, so that they show in notebooks, windows and galleries; close them
with ``matplotlib.pyplot.close`` when done.
"""

from typing import TYPE_CHECKING

from eels_bayes.lazy import lazy_names

if TYPE_CHECKING:
    from eels_bayes.plots.edge_figures import edge_spectra, fingerprints
    from eels_bayes.plots.fit_figure import fit_overview
    from eels_bayes.plots.inspection_figure import inspection
    from eels_bayes.plots.latent_figure import latent
    from eels_bayes.plots.map_figures import class_maps, layers, maps, series_maps
    from eels_bayes.plots.map_panel import Layer, Pixel, nice_length
    from eels_bayes.plots.score_figures import history, reliability, risk_coverage
    from eels_bayes.plots.spectra_figure import spectra_bands
    from eels_bayes.plots.style import OKABE_ITO, class_colors

# Public name -> the module that defines it, and its name there.
_HOME = {
    "Layer": "map_panel:Layer",
    "OKABE_ITO": "style:OKABE_ITO",
    "Pixel": "map_panel:Pixel",
    "class_colors": "style:class_colors",
    "class_maps": "map_figures:class_maps",
    "edge_spectra": "edge_figures:edge_spectra",
    "fingerprints": "edge_figures:fingerprints",
    "fit_overview": "fit_figure:fit_overview",
    "history": "score_figures:history",
    "inspection": "inspection_figure:inspection",
    "latent": "latent_figure:latent",
    "layers": "map_figures:layers",
    "maps": "map_figures:maps",
    "nice_length": "map_panel:nice_length",
    "reliability": "score_figures:reliability",
    "risk_coverage": "score_figures:risk_coverage",
    "series_maps": "map_figures:series_maps",
    "spectra_bands": "spectra_figure:spectra_bands",
}

__all__ = [
    "OKABE_ITO",
    "Layer",
    "Pixel",
    "class_colors",
    "class_maps",
    "edge_spectra",
    "fingerprints",
    "fit_overview",
    "history",
    "inspection",
    "latent",
    "layers",
    "maps",
    "nice_length",
    "reliability",
    "risk_coverage",
    "series_maps",
    "spectra_bands",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)

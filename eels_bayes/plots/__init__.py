"""Every figure of the package; one public call each, returning the Figure.

Most are drawn from plain arrays. Those of the paper (Hollenbach et al., Sci. Rep. 14, 17881 (2024))
and what it could not show take a fitted classifier, spectra or a prediction as they are:

=========================================================  =====================================
figure                                                     call
=========================================================  =====================================
2  spatial averages by temperature over the fingerprints   :func:`spatial_averages`
3  a pixel, averages, denoised; signal to noise            :func:`denoising`
4  fingerprints, their latents, decoded draws              :func:`fingerprint_draws`
5  class maps, above PCA's                                 :func:`class_comparison`
6  denoised mean and sd by class, above PCA's              :func:`class_spectra`
7  t-SNE of latents and of PCA, silhouettes                :func:`embeddings`
maps of truth, of the doubt and of its parts               :func:`doubt_maps`
which part of the doubt finds the errors                   :func:`doubt_risk`
where in the spectrum each part sits                       :func:`doubt_spectrum`
the value against temperature, and along a line            :func:`value_course`, :func:`line_scan`
a scan while it comes in                                   :func:`live_stream`
=========================================================  =====================================

Maps are laid out in inches from their own shapes, so that panels of one quantity and of the next
line up whatever the length of a legend. Classes have Okabe and Ito's colours (Color Universal
Design, 2008), quantities matplotlib's perceptually uniform maps; both survive colour blindness.
They are made for a screen; within ``with eb.plots.print_width(85):`` they are made for print, in
mm. The figures belong to pyplot, so that they show in notebooks, windows and galleries; close them
with ``matplotlib.pyplot.close`` when done.
"""

from typing import TYPE_CHECKING

from eels_bayes.lazy import lazy_names

if TYPE_CHECKING:
    from eels_bayes.plots.edge_figures import edge_spectra, fingerprints
    from eels_bayes.plots.fit_figure import fit_overview
    from eels_bayes.plots.fitted_figures.averages_figure import spatial_averages
    from eels_bayes.plots.fitted_figures.class_spectra_figure import class_spectra
    from eels_bayes.plots.fitted_figures.comparison_figure import class_comparison
    from eels_bayes.plots.fitted_figures.denoising_figure import denoising
    from eels_bayes.plots.fitted_figures.doubt_figure import doubt_maps
    from eels_bayes.plots.fitted_figures.doubt_spectrum_figure import doubt_spectrum
    from eels_bayes.plots.fitted_figures.draws_figure import fingerprint_draws
    from eels_bayes.plots.fitted_figures.embedding_figure import embeddings
    from eels_bayes.plots.fitted_figures.risk_figure import doubt_risk
    from eels_bayes.plots.fitted_figures.value_figure import line_scan, value_course
    from eels_bayes.plots.inspection_figure import inspection
    from eels_bayes.plots.latent_figure import latent
    from eels_bayes.plots.map_figures import class_maps, layers, maps, series_maps
    from eels_bayes.plots.map_panel import Layer, Pixel, nice_length
    from eels_bayes.plots.page import print_width
    from eels_bayes.plots.score_figures import history, reliability, risk_coverage
    from eels_bayes.plots.spectra_figure import spectra_bands
    from eels_bayes.plots.stream_figure import live_stream
    from eels_bayes.plots.style import OKABE_ITO, class_colors

# Public name -> the module that defines it, and its name there.
_HOME = {
    "Layer": "map_panel:Layer",
    "OKABE_ITO": "style:OKABE_ITO",
    "Pixel": "map_panel:Pixel",
    "class_colors": "style:class_colors",
    "class_comparison": "fitted_figures.comparison_figure:class_comparison",
    "class_maps": "map_figures:class_maps",
    "class_spectra": "fitted_figures.class_spectra_figure:class_spectra",
    "denoising": "fitted_figures.denoising_figure:denoising",
    "doubt_maps": "fitted_figures.doubt_figure:doubt_maps",
    "doubt_risk": "fitted_figures.risk_figure:doubt_risk",
    "doubt_spectrum": "fitted_figures.doubt_spectrum_figure:doubt_spectrum",
    "edge_spectra": "edge_figures:edge_spectra",
    "embeddings": "fitted_figures.embedding_figure:embeddings",
    "fingerprint_draws": "fitted_figures.draws_figure:fingerprint_draws",
    "fingerprints": "edge_figures:fingerprints",
    "fit_overview": "fit_figure:fit_overview",
    "history": "score_figures:history",
    "inspection": "inspection_figure:inspection",
    "latent": "latent_figure:latent",
    "layers": "map_figures:layers",
    "line_scan": "fitted_figures.value_figure:line_scan",
    "live_stream": "stream_figure:live_stream",
    "maps": "map_figures:maps",
    "nice_length": "map_panel:nice_length",
    "print_width": "page:print_width",
    "reliability": "score_figures:reliability",
    "risk_coverage": "score_figures:risk_coverage",
    "series_maps": "map_figures:series_maps",
    "spatial_averages": "fitted_figures.averages_figure:spatial_averages",
    "spectra_bands": "spectra_figure:spectra_bands",
    "value_course": "fitted_figures.value_figure:value_course",
}

__all__ = [
    "OKABE_ITO",
    "Layer",
    "Pixel",
    "class_colors",
    "class_comparison",
    "class_maps",
    "class_spectra",
    "denoising",
    "doubt_maps",
    "doubt_risk",
    "doubt_spectrum",
    "edge_spectra",
    "embeddings",
    "fingerprint_draws",
    "fingerprints",
    "fit_overview",
    "history",
    "inspection",
    "latent",
    "layers",
    "line_scan",
    "live_stream",
    "maps",
    "nice_length",
    "print_width",
    "reliability",
    "risk_coverage",
    "series_maps",
    "spatial_averages",
    "spectra_bands",
    "value_course",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)

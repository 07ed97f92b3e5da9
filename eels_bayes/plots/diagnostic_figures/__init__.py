"""Figures of :mod:`eels_bayes.diagnostics`, from plain arrays; one public call each.

In the style of :mod:`eels_bayes.plots`. Bands are what a calibrated model would scatter by, so
that what leaves them can be read as misfit.
"""

from typing import TYPE_CHECKING

from eels_bayes.lazy import lazy_names

if TYPE_CHECKING:
    from eels_bayes.plots.diagnostic_figures.coverage_figure import coverage
    from eels_bayes.plots.diagnostic_figures.posterior_figure import posterior_scatter
    from eels_bayes.plots.diagnostic_figures.predictive_figures import (
        predictive_bands,
        predictive_p_values,
    )
    from eels_bayes.plots.diagnostic_figures.rank_figures import ecdf_difference, rank_histograms
    from eels_bayes.plots.diagnostic_figures.unit_figure import active_units

# Public name -> the module that defines it, and its name there.
_HOME = {
    "active_units": "unit_figure:active_units",
    "coverage": "coverage_figure:coverage",
    "ecdf_difference": "rank_figures:ecdf_difference",
    "posterior_scatter": "posterior_figure:posterior_scatter",
    "predictive_bands": "predictive_figures:predictive_bands",
    "predictive_p_values": "predictive_figures:predictive_p_values",
    "rank_histograms": "rank_figures:rank_histograms",
}

__all__ = [
    "active_units",
    "coverage",
    "ecdf_difference",
    "posterior_scatter",
    "predictive_bands",
    "predictive_p_values",
    "rank_histograms",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)

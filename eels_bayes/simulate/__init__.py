"""An annealing series of Cr2TiC2OxFy with known truth: a forward model of raw counts.

The mean number of electrons in the channel at energy E, with t the thickness and B, r the
background, is

    lambda(E) = dose t [ B (E/685)^-r (1 + misfit(E)) + sum_e j_e edge_e(E)
                         + 29 (1 + eps) sum_c w_c f_c(E) + 29 rho residual(E) ]

for the edges e of Ti L, O K and Cr L, the classes c of the library, and everything moved by the
drift. Whatever is random in it is drawn from the distributions that `Process` documents, so that a
posterior under exactly this process can be computed: `SpectrumModel` gives the shapes,
`mean_counts` the mean for any values of the nuisances. Continuum edges are hydrogenic
cross-sections of exSpy (Egerton's SIGMAK and SIGMAL); white lines are Voigt profiles.
"""

from typing import TYPE_CHECKING

from eels_bayes.lazy import lazy_names

if TYPE_CHECKING:
    from eels_bayes.simulate.annealing import Series, annealing_series, mean_counts
    from eels_bayes.simulate.edge_truth import true_edges
    from eels_bayes.simulate.process import Process
    from eels_bayes.simulate.shapes import EDGES, Shapes, SpectrumModel
    from eels_bayes.simulate.truth import TEMPERATURES, draw_truth

# Public name -> the module that defines it, and its name there.
_HOME = {
    "EDGES": "shapes:EDGES",
    "SpectrumModel": "shapes:SpectrumModel",
    "Process": "process:Process",
    "Series": "annealing:Series",
    "Shapes": "shapes:Shapes",
    "TEMPERATURES": "truth:TEMPERATURES",
    "annealing_series": "annealing:annealing_series",
    "draw_truth": "truth:draw_truth",
    "mean_counts": "annealing:mean_counts",
    "true_edges": "edge_truth:true_edges",
}

__all__ = [
    "EDGES",
    "TEMPERATURES",
    "Process",
    "Series",
    "Shapes",
    "SpectrumModel",
    "annealing_series",
    "draw_truth",
    "mean_counts",
    "true_edges",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)

"""What a Bayesian asks of a fitted classifier, answered with numbers.

=====================================  =============================================================
question                               function
=====================================  =============================================================
Does the model describe the spectra?   `EELSClassifier.report`
Is the noisy encoder calibrated        :func:`simulation_based_calibration`
under the model?
Which latents carry anything?          :func:`active_units`
What does amortisation cost?           :func:`nuts`
Do replicates look like the data?      :func:`posterior_predictive`
Which prior predicts the data better?  :func:`compare_priors`
Do intervals hold the truth?           :func:`value_coverage`, :func:`interval_coverage`
Do the fingerprints lie in the data?   :func:`support_distance`
Do new data lie where it was taught?   :func:`in_domain`
=====================================  =============================================================

Calibration under the model says nothing about the world: a model can pass and be wrong. Figures of
the results are in :mod:`eels_bayes.diagnostic_plots`.
"""

from typing import TYPE_CHECKING

from eels_bayes.lazy import lazy_names

if TYPE_CHECKING:
    from eels_bayes.diagnostics.domain_check import DomainCheck, in_domain
    from eels_bayes.diagnostics.drawn_pixels import KnownPixels, known_pixels
    from eels_bayes.diagnostics.fingerprint_support import (
        SupportDistance,
        TwoSample,
        mmd,
        support_distance,
    )
    from eels_bayes.diagnostics.latent_units import ActiveUnits, active_units
    from eels_bayes.diagnostics.nuts_comparison import NutsComparison, nuts
    from eels_bayes.diagnostics.predictive_checks import PredictiveCheck, posterior_predictive
    from eels_bayes.diagnostics.prior_comparison import PriorComparison, compare_priors
    from eels_bayes.diagnostics.ranks import (
        Coverage,
        Uniformity,
        interval_coverage,
        randomised_pit,
        rank_statistics,
        uniformity,
        unit_uniformity,
    )
    from eels_bayes.diagnostics.sbc import Calibration, simulation_based_calibration
    from eels_bayes.diagnostics.value_intervals import value_coverage

# Public name -> the module that defines it, and its name there.
_HOME = {
    "ActiveUnits": "latent_units:ActiveUnits",
    "Calibration": "sbc:Calibration",
    "Coverage": "ranks:Coverage",
    "DomainCheck": "domain_check:DomainCheck",
    "KnownPixels": "drawn_pixels:KnownPixels",
    "NutsComparison": "nuts_comparison:NutsComparison",
    "PredictiveCheck": "predictive_checks:PredictiveCheck",
    "PriorComparison": "prior_comparison:PriorComparison",
    "SupportDistance": "fingerprint_support:SupportDistance",
    "TwoSample": "fingerprint_support:TwoSample",
    "Uniformity": "ranks:Uniformity",
    "active_units": "latent_units:active_units",
    "compare_priors": "prior_comparison:compare_priors",
    "in_domain": "domain_check:in_domain",
    "interval_coverage": "ranks:interval_coverage",
    "known_pixels": "drawn_pixels:known_pixels",
    "mmd": "fingerprint_support:mmd",
    "nuts": "nuts_comparison:nuts",
    "posterior_predictive": "predictive_checks:posterior_predictive",
    "randomised_pit": "ranks:randomised_pit",
    "rank_statistics": "ranks:rank_statistics",
    "simulation_based_calibration": "sbc:simulation_based_calibration",
    "support_distance": "fingerprint_support:support_distance",
    "uniformity": "ranks:uniformity",
    "unit_uniformity": "ranks:unit_uniformity",
    "value_coverage": "value_intervals:value_coverage",
}

__all__ = [
    "ActiveUnits",
    "Calibration",
    "Coverage",
    "DomainCheck",
    "KnownPixels",
    "NutsComparison",
    "PredictiveCheck",
    "PriorComparison",
    "SupportDistance",
    "TwoSample",
    "Uniformity",
    "active_units",
    "compare_priors",
    "in_domain",
    "interval_coverage",
    "known_pixels",
    "mmd",
    "nuts",
    "posterior_predictive",
    "randomised_pit",
    "rank_statistics",
    "simulation_based_calibration",
    "support_distance",
    "uniformity",
    "unit_uniformity",
    "value_coverage",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)

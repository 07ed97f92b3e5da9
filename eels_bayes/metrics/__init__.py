"""Scores of probabilistic classification, from plain arrays.

Probabilities are (n, K) with rows that sum to one, labels (n,) integers in 0..K-1. Every function
takes ``mask``, (n,) bool, the rows to use; rows with NaN that it leaves in are an error, so a
flagged pixel never vanishes silently from a score.
"""

from typing import TYPE_CHECKING

from eels_bayes.lazy import lazy_names

if TYPE_CHECKING:
    from eels_bayes.metrics.confidence import Reliability, ece, reliability
    from eels_bayes.metrics.scores import accuracy, brier, nll, summary
    from eels_bayes.metrics.selection import RiskCoverage, risk_coverage

# Public name -> the module that defines it, and its name there.
_HOME = {
    "Reliability": "confidence:Reliability",
    "RiskCoverage": "selection:RiskCoverage",
    "accuracy": "scores:accuracy",
    "brier": "scores:brier",
    "ece": "confidence:ece",
    "nll": "scores:nll",
    "reliability": "confidence:reliability",
    "risk_coverage": "selection:risk_coverage",
    "summary": "scores:summary",
}

__all__ = [
    "Reliability",
    "RiskCoverage",
    "accuracy",
    "brier",
    "ece",
    "nll",
    "reliability",
    "risk_coverage",
    "summary",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)

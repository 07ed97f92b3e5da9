"""The forward model of eels_bayes without its networks: the class posterior of its own fit.

Not a peer but an ablation: what `fit_forward_model`, from which the networks' training pairs are
drawn and whose evidence the noisy encoder reads, says of a pixel by itself. Its components are pure
classes and mixtures of two; a mixture counts for the class that dominates it.
"""

from __future__ import annotations

import torch
from scipy.special import softmax

import eels_bayes as eb
from eels_bayes.forward_model.fit import fit_forward_model
from eels_bayes.forward_model.model import ForwardModel
from eels_bayes.forward_model.model_evidence import evidence_of

from .shared import Array, all_rows


def probabilities(
    spectra: eb.Spectra,
    library: eb.FingerprintLibrary,
    *,
    seed: int = 0,
    show_progressbar: bool = True,
) -> Array:
    """Class probabilities (n, K) by the fitted forward model alone; NaN where flagged."""
    model = fit_forward_model(spectra, library, seed=seed, show_progressbar=show_progressbar)
    return posterior(model, spectra)


def posterior(model: ForwardModel, spectra: eb.Spectra) -> Array:
    """Class probabilities (n, K) of pixels by a fitted forward model; NaN where flagged."""
    profile, level = (torch.as_tensor(x[spectra.ok]) for x in (spectra.profile, spectra.level))
    found = evidence_of(model)(profile, level).log_probability.double().numpy()
    return all_rows(softmax(found, axis=1) @ model.dominance(), spectra)

"""Everything that a fit finds and prediction needs, and how it reads pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eels_bayes.arrays import tensor
from eels_bayes.classifier.fit_record import FitRecord
from eels_bayes.classifier.held_out import HeldOut
from eels_bayes.classifier.labels import Labelled, labels_of_components
from eels_bayes.data.spectra import Spectra
from eels_bayes.forward_model.model import ForwardModel
from eels_bayes.forward_model.pixel_posterior import Evidence
from eels_bayes.forward_model.reinsertion import Pairs
from eels_bayes.forward_model.window_fit import WindowFit
from eels_bayes.gp.classifier import GPClassifier
from eels_bayes.gp.value_regression import ValueRegression
from eels_bayes.latent.mixtures import GaussianMixture
from eels_bayes.latent.noisy_encoder import NoisyEncoder
from eels_bayes.latent.prior import FingerprintPrior
from eels_bayes.latent.vae import SpectrumVAE
from eels_bayes.prediction.gp_heads import GPHeads
from eels_bayes.prediction.novelty import NoveltyScale
from eels_bayes.prediction.pixel_reader import Reader
from eels_bayes.preprocessing.preprocessor import Preprocessor

PART = 512  # pixels read at a time: what they need stays in a core's cache
_READERS: WeakKeyDictionary[Fitted, Reader] = WeakKeyDictionary()  # so that each is made once


@dataclass(frozen=True, eq=False)
class Fitted:
    """Everything that prediction needs; the GPs read latents along the encoder's axes.

    Attributes
    ----------
    preprocessor : Preprocessor
        A calibrated copy of the user's.
    energy : (L,) array
        Channel centres of the window, eV.
    forward : ForwardModel
        With the library as the experiment shows it.
    vae : SpectrumVAE
        Of clean spectra, with the explicit prior.
    encoder : NoisyEncoder
        r(z | x) of measured pixels.
    gp : GPClassifier
    value : ValueRegression or None
        ``None`` where the library has no values.
    novelty : NoveltyScale
    class_names : tuple of str
        K: the library's, then those that labels alone tell of.
    class_weights : (K,) array
        How frequent each class is where nothing is known of a pixel.
    labelled : Labelled
        Every label given so far.
    record : FitRecord
        When and from what it was fitted.
    window_fit : WindowFit
        How the forward model describes the spectra of the fit.
    held_out : HeldOut
        Pixels of the fit that the VAE has not seen, and how they embed.
    """

    preprocessor: Preprocessor
    energy: NDArray[np.float64]
    forward: ForwardModel
    vae: SpectrumVAE
    encoder: NoisyEncoder
    gp: GPClassifier
    value: ValueRegression | None
    novelty: NoveltyScale
    class_names: tuple[str, ...]
    class_weights: NDArray[np.float64]
    labelled: Labelled
    record: FitRecord
    window_fit: WindowFit
    held_out: HeldOut


def required(fitted: Fitted | None) -> Fitted:
    """What was fitted, if anything was.

    Raises
    ------
    RuntimeError
        Before a fit.
    """
    if fitted is None:
        raise RuntimeError("this classifier is not fitted; call fit(spectra) first")
    return fitted


class OfFit(Protocol):
    """What was fitted, or not yet: an `EELSClassifier`."""

    fitted: Fitted | None


def held_out_of(self: OfFit) -> HeldOut:
    """A tenth of the fit's pixels, which its VAE has not seen, and how they embed.

    Returns
    -------
    HeldOut
        Their rows in the spectra of the fit, and the check; `report` has it in a line.

    Raises
    ------
    RuntimeError
        Before ``fit``.
    """
    return required(self.fitted).held_out


def explicit_prior(fitted: Fitted) -> FingerprintPrior:
    """The explicit prior: components' mean and sd (K, J, D), and weights (K + 1,).

    Raises
    ------
    RuntimeError
        If the prior is the standard normal, which has no components.
    """
    with torch.no_grad():
        prior = fitted.vae.prior()
    if prior is None:
        raise RuntimeError("prior='standard' has no fingerprint components")
    return FingerprintPrior(*(x.cpu() for x in prior))


def evidence_of(encoder: NoisyEncoder, spectra: Spectra | Pairs, device: torch.device) -> Evidence:
    """What usable pixels, measured or drawn, say by the encoder's forward model."""
    parts = _evidence_in_parts(encoder, spectra, device)
    return Evidence(*(torch.cat(each) for each in zip(*parts, strict=True)))


def component_probabilities(
    encoder: NoisyEncoder, spectra: Spectra | Pairs, device: torch.device
) -> Tensor:
    """Those of the forward model's components (n, C) in usable pixels, however many they are."""
    parts = _evidence_in_parts(encoder, spectra, device)
    return torch.cat([part.log_probability for part in parts]).double().exp().cpu()


def _evidence_in_parts(
    encoder: NoisyEncoder, spectra: Spectra | Pairs, device: torch.device
) -> Iterator[Evidence]:
    """`evidence_of`, some pixels at a time."""
    inputs = (tensor(spectra.profile).split(PART), tensor(spectra.level).split(PART))
    for part in zip(*inputs, strict=True):
        with torch.no_grad():
            yield encoder.evidence(*(x.to(device) for x in part))


def posterior(
    encoder: NoisyEncoder, spectra: Spectra | Pairs, device: torch.device
) -> GaussianMixture:
    """r(z | x) of usable pixels, measured or drawn."""
    evidence = evidence_of(encoder, spectra, device)
    with torch.no_grad():
        return encoder.read(evidence)


def reader_of(fitted: Fitted) -> Reader:
    """The one module that reads pixels with what was fitted."""
    if fitted not in _READERS:
        _READERS[fitted] = _new_reader(fitted)
    return _READERS[fitted]


def _new_reader(fitted: Fitted) -> Reader:
    """It, made anew."""
    value = fitted.value
    heads = GPHeads(
        fitted.gp.constants(),
        None if value is None else value.constants,
        torch.tensor(0.0, dtype=torch.float32) if value is None else value.noise_var,
        fitted.forward.library.value_range,
    )
    labels = labels_of_components(
        fitted.labelled, fitted.encoder, fitted.novelty.dominant.float(), fitted.class_names
    )
    return Reader(fitted.encoder, heads, fitted.novelty, labels).eval()

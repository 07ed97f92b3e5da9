"""One fit under way: what is done of it, so that an interrupted one goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from eels_bayes.classifier.fitted import Fitted
from eels_bayes.data.dim_pixels import without_dim
from eels_bayes.data.spectra import Spectra
from eels_bayes.forward_model.model import ForwardModel
from eels_bayes.gp.classifier import GPClassifier
from eels_bayes.gp.value_regression import ValueRegression
from eels_bayes.latent.noisy_encoder import NoisyEncoder
from eels_bayes.latent.vae import SpectrumVAE
from eels_bayes.prediction.novelty import NoveltyScale
from eels_bayes.training import FitState


@dataclass(eq=False)
class Learned:
    """What is learned behind the VAE, as far as it is."""

    encoder: NoisyEncoder | None = None
    value: ValueRegression | None = None
    gp: GPClassifier | None = None
    novelty: NoveltyScale | None = None


@dataclass(eq=False)
class Run:
    """One fit under way: what is done of it."""

    spectra: Spectra
    forward: ForwardModel | None = None
    vae: SpectrumVAE | None = None
    vae_state: FitState = field(default_factory=FitState)
    learned: Learned = field(default_factory=Learned)
    rounds: int = 0  # by which the VAE's training was lengthened

    @cached_property
    def training(self) -> Spectra:
        """The spectra, those that say next to nothing flagged."""
        return without_dim(self.spectra)

    def go_further(self) -> None:
        """Train the VAE for longer, and learn anew what is behind it."""
        self.rounds += 1
        self.vae, self.vae_state.done, self.learned = None, False, Learned()

    def history(self, fitted: Fitted) -> dict[str, dict[str, list[float]]]:
        """How each stage went, now that all is done."""
        return {
            "forward model": {"log_likelihood": list(fitted.forward.log_likelihood)},
            "VAE": self.vae_state.history(),
            "GP": {"training": list(fitted.gp.loss)},
        }

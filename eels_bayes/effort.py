"""How much a classifier learns from: one place for every number that trades time for accuracy."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from eels_bayes import validation
from eels_bayes.training import Schedule

# Lengths chosen, not tuned. More lowers the VAE's loss, and a prediction's where it loses classes:
# there a fit trains for longer.
VAE_SCHEDULE = Schedule(epochs=4, steps=48, learning_rate=3e-3)
DENSE_SCHEDULE = Schedule(epochs=20, steps=100, learning_rate=3e-3, patience=5)


@dataclass(frozen=True)
class Effort:
    """How much is learned: sample sizes, training steps and batch sizes.

    The defaults are those of every published figure. Less is for trying things out; more hardly
    changes a prediction.

    Parameters
    ----------
    vae : Schedule
        Length and speed of the VAE's training.
    vae_rounds : int
        2 trains the VAE on to five lengths of its schedule, and what is behind it anew, where
        predictions lose more than 0.005 nats a pixel of what the forward model tells of the
        classes; 1 never does.
    vae_batch : int
        Clean spectra a step of it.
    clean_spectra : int
        Clean spectra drawn from the library that the VAE is trained on, and as many denoised ones
        at most.
    clean_pairs : int
        Matched pairs drawn to see what denoising leaves of noise.
    forward_iterations : int
        Most steps of expectation-maximisation.
    forward_pixels : int
        Most pixels that the forward model is fitted to.
    continuum_pixels : int
        Most pixels that the continuum's free shapes are found in.
    encoder_draws : int
        Clean spectra of each component that the noisy encoder is regressed on.
    gp_latents : int
        Labelled latents that the GP classifier is trained on.
    pure_latents : int
        Latents of each pure class besides.
    pure_latents_alone : int
        Latents of each class, all pure, where labels name a class that no fingerprint describes.
    gp_steps, gp_batch : int
        Steps of the GP's training, and latents a step.
    gp_learning_rate : float
        Adam's step at its start.
    value_latents, value_steps : int
        Latents with a value, and steps, for the regression of the library's value.
    simulated_pixels : int
        Drawn pixels that a calibration reads.
    update_pixels : int
        Most pixels that an update with a library fits the forward model to.
    novelty_pixels : int
        Drawn pixels that novelty is calibrated on, as many of each class; of more than 16 classes
        each has as many as one of 16, and at least 50.
    dense : Schedule
        Training of the fast path's dense head.
    dense_batch : int
        Latents a step of it.
    predict_batch, decode_batch : int
        Spectra read, and decoded, at a time.

    Raises
    ------
    TypeError, ValueError
        If a number is not a whole one of at least 1, or the learning rate not positive.

    Examples
    --------
    >>> from dataclasses import replace
    >>> import eels_bayes as eb
    >>> eb.Effort().gp_latents
    8000
    >>> replace(eb.Effort.quick(), gp_steps=300).gp_steps
    300
    """

    vae: Schedule = VAE_SCHEDULE
    vae_rounds: int = 2
    vae_batch: int = 64
    clean_spectra: int = 8192
    clean_pairs: int = 2000
    forward_iterations: int = 75
    forward_pixels: int = 6000  # more do not sharpen the population's parameters noticeably
    continuum_pixels: int = 6000
    encoder_draws: int = 512
    gp_latents: int = 8000
    pure_latents: int = 64
    pure_latents_alone: int = 256
    gp_steps: int = 120
    gp_batch: int = 256
    gp_learning_rate: float = 0.1
    value_latents: int = 2000
    value_steps: int = 200
    simulated_pixels: int = 2000
    update_pixels: int = 4000  # the forward model need not start from nothing
    novelty_pixels: int = 8000
    dense: Schedule = DENSE_SCHEDULE
    dense_batch: int = 256
    predict_batch: int = 256  # enough to pay for the calls; larger ones leave the caches
    decode_batch: int = 128

    def __post_init__(self) -> None:
        for name in ("vae", "dense"):
            if not isinstance(getattr(self, name), Schedule):
                kind = type(getattr(self, name)).__name__
                raise TypeError(f"{name} is a {kind}; give a Schedule")
        rate = validation.positive("gp_learning_rate", self.gp_learning_rate)
        object.__setattr__(self, "gp_learning_rate", rate)
        for name in (field.name for field in fields(self)):
            if name not in ("vae", "dense", "gp_learning_rate"):
                object.__setattr__(self, name, validation.whole(name, getattr(self, name)))

    @classmethod
    def quick(cls) -> Effort:
        """Little of every step, for trying things out and for tests: seconds instead of minutes.

        Returns
        -------
        Effort
            Classes are still told apart; probabilities are not calibrated as they are by default.
        """
        return cls(
            vae=Schedule(epochs=5, steps=12, learning_rate=3e-3),
            vae_rounds=1,
            clean_spectra=600,
            forward_iterations=12,
            gp_latents=1000,
            pure_latents=20,
            pure_latents_alone=150,
            gp_steps=120,
            gp_learning_rate=0.08,
            value_latents=100,
            value_steps=40,
            simulated_pixels=200,
            update_pixels=250,
            novelty_pixels=800,
            dense=Schedule(epochs=5, steps=50, learning_rate=3e-3),
        )

    def options(self) -> dict[str, Any]:
        """Plain values for a model file, which `from_options` reads.

        Returns
        -------
        dict
        """
        return asdict(self)

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Effort:
        """The effort of `options`.

        Parameters
        ----------
        options : dict
            What is missing has its default.

        Returns
        -------
        Effort

        Raises
        ------
        TypeError, ValueError
            If an option is unknown or cannot be.
        """
        values: dict[str, Any] = dict(options)
        for name in ("vae", "dense"):
            if name in options:
                values[name] = Schedule(**options[name])
        return cls(**values)


FULL = Effort()

"""EELSClassifier: the whole way from edge spectra to classes with their doubt.

spectra -> forward model (continuum) -> clean spectra -> VAE -> pairs (reinsertion)
        -> noisy encoder -> GP on latents of fingerprints -> prediction
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from tqdm.auto import tqdm

from eels_bayes import noisy_encoder as noisy
from eels_bayes import novelty, store
from eels_bayes import prior as priors
from eels_bayes.continuum import ForwardModel, LibraryFit, fit_forward_model
from eels_bayes.denoise import principal_components
from eels_bayes.fingerprints import FingerprintLibrary, Variations
from eels_bayes.fit import FitState, Schedule
from eels_bayes.gp import GPClassifier, fit_gp
from eels_bayes.nets import GaussianMixture
from eels_bayes.noisy_encoder import NoisyEncoder, fit_noisy_encoder
from eels_bayes.novelty import NoveltyScale
from eels_bayes.prediction import Prediction
from eels_bayes.preprocess import Edges, Preprocessor
from eels_bayes.psi import GPConstants
from eels_bayes.reinsertion import Reinsertion, reinsertion
from eels_bayes.spectra import Spectra
from eels_bayes.uncertainty import (
    CLASSIFIER_NODES,
    ENCODER_NODES,
    decompose_latent,
    normal_nodes,
)
from eels_bayes.vae import Likelihood, SpectrumVAE, fit_vae
from eels_bayes.value import ValueRegression, fit_value, value_moments

KIND = "classifier"
N_VARIATIONS = 16  # J, components of the explicit prior a class
N_CLEAN = 8192  # clean spectra drawn from the library for the VAE
N_LATENTS = 3000  # labelled latents the GP is trained on
N_VALUES = 2000
HELD_OUT = 0.2  # share of pixels that only calibrate novelty
N_SIMULATED = 2000  # drawn ones that do so where those are too few
NONE_WEIGHT = 0.03  # prior weight of "none of these"
PREDICT_BATCH = 1024
VAE_SCHEDULE = Schedule(epochs=25, steps=64, learning_rate=2e-3, patience=8)
ENCODER_SCHEDULE = Schedule(epochs=40, steps=100, learning_rate=2e-3, patience=10)


class Denoised(NamedTuple):
    """Decoded spectra: mean and credible band (n, L) in edge units; NaN rows where flagged."""

    energy: NDArray[np.float64]
    mean: NDArray[np.float32]
    lower: NDArray[np.float32]
    upper: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Fitted:
    """Everything that prediction needs."""

    preprocessor: Preprocessor
    energy: NDArray[np.float64]
    forward: ForwardModel
    vae: SpectrumVAE
    encoder: NoisyEncoder
    gp: GPClassifier
    value: ValueRegression | None
    novelty: NoveltyScale


@dataclass(eq=False)
class _Run:
    """One fit under way: what is done of it."""

    spectra: Spectra
    forward: ForwardModel | None = None
    vae: SpectrumVAE | None = None
    encoder: NoisyEncoder | None = None
    vae_state: FitState = field(default_factory=FitState)
    encoder_state: FitState = field(default_factory=FitState)


class EELSClassifier:
    """Classify edge spectra by fingerprints, with both stages' uncertainty in every prediction.

    Parameters
    ----------
    library : FingerprintLibrary
        Fingerprints in the unit of the edge spectra (see ``Preprocessor.unit``).
    prior : {"fingerprint", "standard"}
        Prior of the latent: the explicit mixture of fingerprint posteriors, or N(0, I).
    latent_dim : int
        D.
    likelihood : {"laplace", "normal", "student_t"}
        Of the VAE.
    class_weights : (K,) array, optional
        Prior weights of the classes; learned from the unlabelled data if left out.
    vae_schedule, encoder_schedule : Schedule
        Length and speed of the two trainings.
    seed : int
        The same seed on the same machine gives the same model.
    device : str or torch.device
        Where the networks are trained and run, for example "cuda".

    Raises
    ------
    TypeError, ValueError
        Options that cannot be.
    """

    def __init__(
        self,
        library: FingerprintLibrary,
        *,
        prior: Literal["fingerprint", "standard"] = "fingerprint",
        latent_dim: int = 16,
        likelihood: Likelihood = "laplace",
        class_weights: ArrayLike | None = None,
        vae_schedule: Schedule = VAE_SCHEDULE,
        encoder_schedule: Schedule = ENCODER_SCHEDULE,
        seed: int = 0,
        device: str | torch.device = "cpu",
    ):
        if not isinstance(library, FingerprintLibrary):
            raise TypeError(
                f"library is a {type(library).__name__}; make one with "
                "FingerprintLibrary.from_arrays or FingerprintLibrary.example"
            )
        if prior not in ("fingerprint", "standard"):
            raise ValueError(f"prior must be 'fingerprint' or 'standard', got {prior!r}")
        if latent_dim < 1:
            raise ValueError(f"latent_dim must be at least 1, got {latent_dim}")
        self.library = library
        self.prior = prior
        self.latent_dim = latent_dim
        self.likelihood = likelihood
        self.class_weights = _weights(class_weights, library.n_classes)
        self.vae_schedule = vae_schedule
        self.encoder_schedule = encoder_schedule
        self.seed = seed
        self.device = torch.device(device)
        self.fitted: Fitted | None = None
        self.history: dict[str, dict[str, list[float]]] = {}
        self._run: _Run | None = None

    def __repr__(self) -> str:
        state = "fitted" if self.fitted else "not fitted"
        return f"<EELSClassifier: {', '.join(self.library.class_names)}; {state}>"

    def fit(self, spectra: Spectra, *, show_progressbar: bool = True) -> EELSClassifier:
        """Fit to unlabelled spectra.

        An interrupted fit (Ctrl-C, the stop button) goes on where it was when ``fit`` is called
        again with the same spectra; other spectra start a new one.

        Parameters
        ----------
        spectra : Spectra
            From a :class:`Preprocessor`; flagged pixels are left out.
        show_progressbar : bool

        Returns
        -------
        EELSClassifier
            Itself.

        Raises
        ------
        ValueError
            If the library does not cover the window or too few pixels are usable.
        """
        if not isinstance(spectra, Spectra):
            raise TypeError(
                f"spectra is a {type(spectra).__name__}; make Spectra with a Preprocessor: "
                "Preprocessor(window=...)(signals)"
            )
        self.library.resample(spectra.energy)  # raises where the library does not cover the window
        if int(spectra.ok.sum()) < 2:
            raise ValueError(
                f"only {int(spectra.ok.sum())} of {len(spectra)} pixels are usable; "
                "at least 2 are needed: see spectra.reasons()"
            )
        if self._run is None or self._run.spectra is not spectra:
            self._run = _Run(spectra)
        run = self._run
        bar = show_progressbar
        if run.forward is None:
            run.forward = fit_forward_model(
                spectra,
                self.library,
                class_weights=self.class_weights,
                seed=self.seed,
                show_progressbar=bar,
            )
        source = reinsertion(run.forward, spectra)
        training, held_out = _split(spectra, self.seed)
        vae = self._fit_vae(run, source, training, bar)
        encoder = self._fit_encoder(run, source, vae, bar)
        gp, value = self._fit_heads(run.forward, source, vae, bar)
        scale = self._calibrate_novelty(source, vae, encoder, held_out)
        self.fitted = Fitted(
            spectra.preprocessor, spectra.energy, run.forward, vae, encoder, gp, value, scale
        )
        self.history = {
            "forward model": {"log_likelihood": list(run.forward.log_likelihood)},
            "VAE": run.vae_state.history(),
            "noisy encoder": run.encoder_state.history(),
            "GP": {"training": list(gp.loss)},
        }
        self._run = None
        return self

    def _fit_vae(self, run: _Run, source: Reinsertion, training: Spectra, bar: bool) -> SpectrumVAE:
        rng = np.random.default_rng([self.seed, 1])
        model = source.model
        n_classes = model.library.n_classes
        labels = np.repeat(np.arange(n_classes), N_VARIATIONS)
        fingerprints = _labelled(source, labels, rng).unflatten(0, (n_classes, N_VARIATIONS))
        drawn = _tensor(source.draw_clean(N_CLEAN, rng)[0])
        denoised = _tensor(principal_components(training, seed=self.seed))
        clean = torch.cat([drawn, denoised[:N_CLEAN]])
        order = torch.as_tensor(rng.permutation(len(clean)))
        clean, held_out = clean[order[len(clean) // 10 :]], clean[order[: len(clean) // 10]]
        if run.vae is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                weights = np.append(model.class_weights * (1 - NONE_WEIGHT), NONE_WEIGHT)
                run.vae = SpectrumVAE(
                    clean.shape[1],
                    self.latent_dim,
                    fingerprints if self.prior == "fingerprint" else None,
                    _tensor(weights) if self.prior == "fingerprint" else None,
                    likelihood=self.likelihood,
                    scale=float(drawn.square().mean().sqrt()),
                ).to(self.device)
        fit_vae(
            run.vae,
            clean,
            held_out,
            self.vae_schedule,
            run.vae_state,
            seed=self.seed,
            show_progressbar=bar,
        )
        return run.vae

    def _fit_encoder(
        self, run: _Run, source: Reinsertion, vae: SpectrumVAE, bar: bool
    ) -> NoisyEncoder:
        if run.encoder is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                run.encoder = NoisyEncoder(
                    vae.n_channels,
                    run.spectra.context.shape[1],
                    self.latent_dim,
                    scale=float(vae.scale),
                ).to(self.device)
        fit_noisy_encoder(
            vae,
            source,
            self.encoder_schedule,
            run.encoder_state,
            encoder=run.encoder,
            seed=self.seed,
            show_progressbar=bar,
        )
        return run.encoder

    def _fit_heads(
        self, model: ForwardModel, source: Reinsertion, vae: SpectrumVAE, bar: bool
    ) -> tuple[GPClassifier, ValueRegression | None]:
        """GP classifier on fingerprints' latents; regression of the value on mixtures' too."""
        rng = np.random.default_rng([self.seed, 2])
        n_classes = model.library.n_classes
        labels = rng.permutation(np.arange(N_LATENTS) % n_classes)
        latents = _draw_latents(vae, _labelled(source, labels, rng), rng)
        gp = fit_gp(
            latents,
            torch.as_tensor(labels),
            n_classes,
            seed=self.seed,
            show_progressbar=bar,
        )
        values = model.library.class_values
        if values is None:
            return gp, None
        clean, fractions = source.draw_clean(N_VALUES, rng)
        latents = _draw_latents(vae, _tensor(clean), rng)
        return gp, fit_value(latents, torch.as_tensor(fractions @ values), seed=self.seed)

    def _calibrate_novelty(
        self, source: Reinsertion, vae: SpectrumVAE, encoder: NoisyEncoder, held_out: Spectra
    ) -> NoveltyScale:
        """On held-out pixels, or on drawn ones where those are too few to show tails."""
        pixels: Spectra | Edges = held_out
        if len(held_out) < novelty.MIN_PIXELS:
            warnings.warn(
                f"spectra hold {len(held_out)} pixels beside those of the training, and novelty "
                f"needs {novelty.MIN_PIXELS} to be calibrated on: it is calibrated on simulated "
                "pixels instead and knows no more of this experiment than the forward model does",
                stacklevel=3,
            )
            noisy = source.draw(N_SIMULATED, np.random.default_rng([self.seed, 4])).noisy
            pixels = Edges(*(x[noisy.flag == 0] for x in noisy))
        mixture = _posterior(encoder, pixels, self.device)
        return novelty.calibrate(*_novelty_inputs(vae, pixels, mixture, self.device))

    def predict(self, spectra: Spectra, *, show_progressbar: bool = True) -> Prediction:
        """Class probabilities, their doubt and its causes for every pixel.

        Parameters
        ----------
        spectra : Spectra
            On the energy axis of the fit. Flagged pixels come back as NaN, label -1.
        show_progressbar : bool
            Shown where it takes more than a few seconds.

        Raises
        ------
        RuntimeError
            Before ``fit``.
        ValueError
            If the energy axis is another than the one of the fit.
        """
        fitted = self._checked(spectra)
        rows = np.flatnonzero(spectra.ok)
        nodes = (
            normal_nodes(ENCODER_NODES, self.library.n_classes, 0).float(),
            normal_nodes(CLASSIFIER_NODES, self.library.n_classes, 1).float(),
        )
        constants = fitted.gp.constants(torch.float32)
        batches = tqdm(
            np.array_split(rows, max(1, -(-len(rows) // PREDICT_BATCH))),
            desc="predict",
            delay=3,
            disable=not show_progressbar,
        )
        parts = [_predict(fitted, spectra[b], constants, nodes, self.device) for b in batches]
        columns = {
            name: _scatter(np.concatenate([p[name] for p in parts]), rows, len(spectra))
            for name in parts[0]
        }
        labels = np.full(len(spectra), -1)
        labels[rows] = columns["probabilities"][rows].argmax(1)
        return Prediction(
            labels=labels,
            class_names=self.library.class_names,
            flag=spectra.flag,
            image=spectra.image,
            position=spectra.position,
            images=spectra.images,
            **columns,
        )

    def denoise(
        self, spectra: Spectra, *, level: float = 0.9, n_draws: int = 100, seed: int = 0
    ) -> Denoised:
        """Decoded spectra with a credible band: draws of the latent posterior through the decoder.

        Parameters
        ----------
        spectra : Spectra
        level : float
            Probability that the band holds, channel by channel.
        n_draws : int
        seed : int
        """
        fitted = self._checked(spectra)
        if not 0 < level < 1:
            raise ValueError(f"level must lie between 0 and 1, got {level}")
        rows = np.flatnonzero(spectra.ok)
        generator = torch.Generator().manual_seed(seed)
        tails = torch.tensor([0.5 - level / 2, 0.5 + level / 2])
        parts = []
        for batch in np.array_split(rows, max(1, -(-len(rows) // 128))):
            mixture = _posterior(fitted.encoder, spectra[batch], self.device)
            with torch.no_grad():
                z = noisy.draw(mixture, n_draws, generator)
                decoded = fitted.vae.decode(z.flatten(0, 1)).unflatten(0, z.shape[:2])
            band = torch.quantile(decoded, tails.to(decoded), dim=1)
            parts.append(torch.stack([decoded.mean(1), band[0], band[1]]).cpu().numpy())
        mean, lower, upper = np.concatenate(parts, axis=1)
        n = len(spectra)
        return Denoised(
            spectra.energy,
            _scatter(mean, rows, n),
            _scatter(lower, rows, n),
            _scatter(upper, rows, n),
        )

    def latent_prior(self) -> priors.FingerprintPrior:
        """The explicit prior of the fitted model: components' mean and sd (K, J, D), weights.

        Raises
        ------
        RuntimeError
            Before ``fit``, or with ``prior="standard"``, which has no components.
        """
        if self.fitted is None:
            raise RuntimeError("this classifier is not fitted; call fit(spectra) first")
        with torch.no_grad():
            prior = self.fitted.vae.prior()
        if prior is None:
            raise RuntimeError("prior='standard' has no fingerprint components")
        return priors.FingerprintPrior(*(x.cpu() for x in prior))

    def _checked(self, spectra: Spectra) -> Fitted:
        if self.fitted is None:
            raise RuntimeError("this classifier is not fitted; call fit(spectra) first")
        if not isinstance(spectra, Spectra):
            raise TypeError(
                f"spectra is a {type(spectra).__name__}; make Spectra with the Preprocessor "
                "that made those of the fit"
            )
        energy = self.fitted.energy
        if len(energy) != len(spectra.energy) or not np.allclose(
            energy, spectra.energy, atol=0.1 * (energy[1] - energy[0])
        ):
            raise ValueError(
                f"spectra have {len(spectra.energy)} channels from {spectra.energy[0]:g} to "
                f"{spectra.energy[-1]:g} eV, but the fit was on {len(energy)} from "
                f"{energy[0]:g} to {energy[-1]:g} eV: use the fit's own preprocessor"
            )
        n_context = self.fitted.encoder.center.numel() - 3
        if spectra.context.shape[1] != n_context:
            raise ValueError(
                f"spectra hold {spectra.context.shape[1]} pre-edge residuals, the fit {n_context}: "
                "use the fit's own preprocessor"
            )
        if not spectra.ok.any():
            raise ValueError("no pixel of spectra is usable: see spectra.reasons()")
        return self.fitted

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to one file of tensors and JSON; see :func:`load_model`."""
        if self.fitted is None:
            raise RuntimeError("this classifier is not fitted; there is nothing to save")
        tensors, config = _pack(self, self.fitted)
        store.write(path, KIND, tensors, config)


def _weights(given: ArrayLike | None, n_classes: int) -> NDArray[np.float64] | None:
    if given is None:
        return None
    weights = np.asarray(given, dtype=np.float64)
    if weights.shape != (n_classes,) or not (weights > 0).all() or not np.isfinite(weights).all():
        raise ValueError(
            f"class_weights must be {n_classes} positive numbers, one a class, got {given!r}"
        )
    return weights / weights.sum()


def _tensor(array: NDArray[Any] | Tensor) -> Tensor:
    return torch.as_tensor(array, dtype=torch.float32)


def _split(spectra: Spectra, seed: int) -> tuple[Spectra, Spectra]:
    """Pixels for the VAE and pixels that only calibrate novelty."""
    rows = np.random.default_rng([seed, 3]).permutation(np.flatnonzero(spectra.ok))
    n_held_out = int(HELD_OUT * len(rows))
    return spectra[np.sort(rows[n_held_out:])], spectra[np.sort(rows[:n_held_out])]


def _labelled(source: Reinsertion, labels: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
    """Clean spectra (n, L) of given classes under their variations, overlapping shapes included."""
    edge, _, _ = source.model.library.vary(len(labels), rng, labels=labels)
    return _tensor(edge + source.overlap(source.coefficients(len(labels), rng)))


def _draw_latents(vae: SpectrumVAE, clean: Tensor, rng: np.random.Generator) -> Tensor:
    """One draw (n, D) of q(z | clean) for each spectrum."""
    with torch.no_grad():
        mean, sd = vae.encode(clean.to(vae.log_b.device))
    return mean.cpu() + sd.cpu() * _tensor(rng.standard_normal(mean.shape))


def _posterior(
    encoder: NoisyEncoder, spectra: Spectra | Edges, device: torch.device
) -> GaussianMixture:
    inputs = (spectra.intensity, spectra.sd, spectra.context, spectra.background)
    with torch.no_grad():
        mixture: GaussianMixture = encoder(*(_tensor(x).to(device) for x in inputs))
    return mixture


def _novelty_inputs(
    vae: SpectrumVAE, spectra: Spectra | Edges, mixture: GaussianMixture, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Residuals (n, L) in units of their sd, and surprises (n,), on the CPU."""
    with torch.no_grad():
        mean, _ = noisy.moments(mixture)
        residual = (_tensor(spectra.intensity).to(device) - vae.decode(mean)) / _tensor(
            spectra.sd
        ).to(device)
        prior = vae.prior()
        if prior is None:
            density = -0.5 * (mixture.mean**2).sum(-1)
        else:
            density = priors.log_density(prior, mixture.mean)
        surprise = -(mixture.log_weight.exp() * density).sum(1)
    return residual.cpu(), surprise.cpu()


def _predict(
    fitted: Fitted,
    spectra: Spectra,
    constants: GPConstants,
    nodes: tuple[Tensor, Tensor],
    device: torch.device,
) -> dict[str, NDArray[np.float32]]:
    """All fields of a Prediction that networks give, for usable pixels."""
    mixture = _posterior(fitted.encoder, spectra, device)
    residual, surprise = _novelty_inputs(fitted.vae, spectra, mixture, device)
    mixture = GaussianMixture(*(x.cpu() for x in mixture))
    weights, var = mixture.log_weight.exp(), mixture.sd**2
    parts = decompose_latent(weights, mixture.mean, var, constants, *nodes)
    latent_mean, latent_sd = noisy.moments(mixture)
    scale = fitted.novelty
    statistics = novelty.statistics(residual, surprise, scale.whitening, scale.center)
    if fitted.value is None:
        value = value_sd = torch.full_like(parts.total, torch.nan)
    else:
        value, value_sd = value_moments(
            weights.double(), mixture.mean.double(), var.double(), fitted.value
        )
    columns = {
        **parts._asdict(),
        "novelty": novelty.score(statistics, scale),
        "value": value,
        "value_sd": value_sd,
        "latent_mean": latent_mean,
        "latent_sd": latent_sd,
    }
    return {name: column.float().numpy() for name, column in columns.items()}


def _scatter(values: NDArray[np.float32], rows: NDArray[np.int64], n: int) -> NDArray[np.float32]:
    """Rows of the usable pixels among all n, NaN elsewhere."""
    out = np.full((n, *values.shape[1:]), np.nan, dtype=np.float32)
    out[rows] = values
    return out


def load_model(path: str | os.PathLike[str]) -> EELSClassifier:
    """Read a classifier that :meth:`EELSClassifier.save` wrote.

    The file is data: tensors and plain values. Opening it runs nothing from it.

    Raises
    ------
    ValueError
        If the file is not such a model, is damaged, or does not fit together.
    """
    tensors, config = store.read(path, KIND)
    try:
        return _unpack(tensors, config)
    except (KeyError, TypeError, RuntimeError, IndexError, AttributeError) as error:
        raise ValueError(
            f"{os.fspath(path)} holds no complete classifier ({error}); save the model again"
        ) from error


def _library_tensors(prefix: str, library: FingerprintLibrary) -> dict[str, Any]:
    tensors = {
        f"{prefix}.energy": library.energy,
        f"{prefix}.intensity": library.intensity,
        f"{prefix}.labels": library.labels,
        f"{prefix}.nuisances": library.nuisances,
    }
    if library.values is not None:
        tensors[f"{prefix}.values"] = library.values
    return tensors


def _library(
    prefix: str, tensors: dict[str, Tensor], class_names: Sequence[str], variations: dict[str, Any]
) -> FingerprintLibrary:
    arrays = {
        name: tensors[f"{prefix}.{name}"].numpy()
        for name in ("energy", "intensity", "labels", "nuisances")
    }
    values = tensors.get(f"{prefix}.values")
    return FingerprintLibrary(
        **arrays,
        class_names=tuple(class_names),
        values=None if values is None else values.numpy(),
        variations=Variations(**variations),
    )


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The entries under one prefix, without it."""
    start = f"{prefix}."
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}


# ForwardModel's plain arrays, stored under their names.
_FORWARD = ("reference", "mean", "covariance", "class_weights", "pair_weights", "log_likelihood")


def _pack(clf: EELSClassifier, fitted: Fitted) -> tuple[dict[str, Any], dict[str, Any]]:
    forward = fitted.forward
    tensors: dict[str, Any] = {
        "energy": fitted.energy,
        **_library_tensors("library", clf.library),
        **_library_tensors("shown", forward.library),
        **{f"forward.{name}": np.asarray(getattr(forward, name)) for name in _FORWARD},
        **{f"gp.{k}": v for k, v in fitted.gp.state.items()},
        **{f"novelty.{k}": v for k, v in fitted.novelty._asdict().items()},
    }
    for name, module in (
        ("vae", fitted.vae),
        ("encoder", fitted.encoder),
        ("preprocessor", fitted.preprocessor),
    ):
        tensors |= {f"{name}.{k}": v for k, v in module.state_dict().items()}
    if fitted.value is not None:
        tensors |= {f"value.{k}": v for k, v in fitted.value.constants._asdict().items()}
        tensors["value.noise_var"] = fitted.value.noise_var
    if clf.class_weights is not None:
        tensors["class_weights"] = clf.class_weights
    config = {
        "class_names": list(clf.library.class_names),
        "variations": vars(clf.library.variations),
        "library_fit": {k: float(v) for k, v in vars(forward.library_fit).items()},
        "prior": clf.prior,
        "latent_dim": clf.latent_dim,
        "likelihood": clf.likelihood,
        "seed": clf.seed,
        "vae_schedule": vars(clf.vae_schedule),
        "encoder_schedule": vars(clf.encoder_schedule),
        "preprocessor": fitted.preprocessor.options(),
        "history": clf.history,
    }
    return tensors, config


def _unpack(tensors: dict[str, Tensor], config: dict[str, Any]) -> EELSClassifier:
    names, variations = config["class_names"], config["variations"]
    weights = tensors.get("class_weights")
    clf = EELSClassifier(
        _library("library", tensors, names, variations),
        prior=config["prior"],
        latent_dim=config["latent_dim"],
        likelihood=config["likelihood"],
        class_weights=None if weights is None else weights.numpy(),
        vae_schedule=Schedule(**config["vae_schedule"]),
        encoder_schedule=Schedule(**config["encoder_schedule"]),
        seed=config["seed"],
    )
    pre = Preprocessor.from_options(config["preprocessor"])
    pre.load_state_dict(_prefixed("preprocessor", tensors))
    state = _prefixed("vae", tensors)
    energy = tensors["energy"].numpy()
    vae = SpectrumVAE(
        len(energy),
        clf.latent_dim,
        state.get("fingerprints"),
        state.get("class_weights"),
        likelihood=clf.likelihood,
        scale=float(state["scale"]),
    )
    vae.load_state_dict(state)
    state = _prefixed("encoder", tensors)
    encoder = NoisyEncoder(len(energy), len(state["center"]) - 3, clf.latent_dim)
    encoder.load_state_dict(state)
    arrays: dict[str, Any] = {name: tensors[f"forward.{name}"].numpy() for name in _FORWARD}
    forward = ForwardModel(
        library=_library("shown", tensors, names, variations),
        library_fit=LibraryFit(**config["library_fit"]),
        **{**arrays, "log_likelihood": tuple(arrays["log_likelihood"].tolist())},
    )
    value = None
    if "value.noise_var" in tensors:
        state = _prefixed("value", tensors)
        value = ValueRegression(noise_var=state.pop("noise_var"), constants=GPConstants(**state))
    clf.fitted = Fitted(
        preprocessor=pre,
        energy=energy,
        forward=forward,
        vae=vae.eval(),
        encoder=encoder.eval(),
        gp=GPClassifier.from_state(_prefixed("gp", tensors)),
        value=value,
        novelty=NoveltyScale(**_prefixed("novelty", tensors)),
    )
    clf.history = config["history"]
    return clf

"""EELSClassifier: the whole way from edge spectra to classes with their doubt.

spectra -> forward model (continuum) -> clean spectra -> VAE -> pairs (reinsertion)
        -> noisy encoder -> GP on latents of fingerprints -> prediction
"""

from __future__ import annotations

import copy
import math
import operator
import os
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike

from eels_bayes import tensor_file, validation
from eels_bayes.arrays import tensor
from eels_bayes.classifier.batch_prediction import predict
from eels_bayes.classifier.compatibility import checked_weights
from eels_bayes.classifier.denoising import Denoised, decoded_bands
from eels_bayes.classifier.fitted import Fitted, reader_of
from eels_bayes.classifier.fitting import Run, fit_classes, fit_novelty, fit_values, split
from eels_bayes.classifier.labels import nothing_labelled
from eels_bayes.classifier.model_file import library_from, library_tensors, pack, unpack
from eels_bayes.classifier.training_latents import class_variations, prior_weights, training_latents
from eels_bayes.classifier.update import learn_fingerprints, learn_labels
from eels_bayes.data.energy_axis import EnergyAxis, limits
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.spectra import Spectra
from eels_bayes.effort import FULL, Effort
from eels_bayes.fast.backends import Backend
from eels_bayes.fast.classifier import FastClassifier, Head
from eels_bayes.fast.dense_head import fit_dense
from eels_bayes.fast.graph import FastGraph
from eels_bayes.forward_model.fit import fit_forward_model
from eels_bayes.forward_model.reinsertion import Reinsertion, clean_source, reinsertion
from eels_bayes.latent import prior as priors
from eels_bayes.latent.noisy_encoder_fit import fit_noisy_encoder
from eels_bayes.latent.principal_components import fit_denoiser
from eels_bayes.latent.vae import LIKELIHOODS, Likelihood, SpectrumVAE, fit_vae
from eels_bayes.prediction.image_context import image_weights
from eels_bayes.prediction.joint_posterior import JointPosterior
from eels_bayes.prediction.prediction import Prediction
from eels_bayes.preprocessing.preprocessor import Preprocessor
from eels_bayes.randomness import Stream, own_randomness, stream

KIND = "classifier"


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
    effort : Effort
        How much is learned: sample sizes, training steps and batch sizes.
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
        effort: Effort = FULL,
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
        if likelihood not in LIKELIHOODS:
            raise ValueError(f"likelihood must be one of {sorted(LIKELIHOODS)}, got {likelihood!r}")
        if operator.index(latent_dim) < 1:
            raise ValueError(f"latent_dim must be at least 1, got {latent_dim}")
        if operator.index(seed) < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        if not isinstance(effort, Effort):
            raise TypeError(
                f"effort is a {type(effort).__name__}; give an Effort, for example Effort.quick()"
            )
        self.library = library
        self.prior = prior
        self.latent_dim = latent_dim
        self.likelihood = likelihood
        self.class_weights = checked_weights(class_weights, library.n_classes)
        self.effort = effort
        self.seed = operator.index(seed)
        self.device = torch.device(device)
        self.fitted: Fitted | None = None
        self.history: dict[str, dict[str, list[float]]] = {}
        self._run: Run | None = None

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
        if spectra.preprocessor.background is None:
            raise ValueError(
                "spectra still hold their background; the fingerprints have none: give the "
                "Preprocessor a background window before the edge"
            )
        self.library.resample(spectra.energy)  # raises where the library does not cover the window
        if int(spectra.ok.sum()) < 2:
            raise ValueError(
                f"only {int(spectra.ok.sum())} of {len(spectra)} pixels are usable; "
                "at least 2 are needed: see spectra.reasons()"
            )
        if self._run is None or self._run.spectra is not spectra:
            self._run = Run(spectra)
        run = self._run
        bar = show_progressbar
        if run.forward is None:
            run.forward = fit_forward_model(
                spectra,
                self.library,
                class_weights=self.class_weights,
                effort=self.effort,
                seed=self.seed,
                show_progressbar=bar,
            )
        source = reinsertion(run.forward, spectra)
        training, held_out = split(spectra, self.seed)
        vae = self._fit_vae(run, source, training, bar)
        encoder = fit_noisy_encoder(
            vae, source, n_draws=self.effort.encoder_draws, seed=self.seed
        ).to(self.device)
        nothing = nothing_labelled(len(spectra.profile_energy), self.latent_dim)
        names = self.library.class_names
        gp = fit_classes(
            source,
            vae,
            encoder,
            names,
            nothing,
            effort=self.effort,
            seed=self.seed,
            show_progressbar=bar,
        )
        options: dict[str, Any] = {"effort": self.effort, "seed": self.seed}
        self.fitted = Fitted(
            # A copy: calibrating the user's anew must not change the fitted model.
            copy.deepcopy(spectra.preprocessor),
            spectra.energy,
            run.forward,
            vae,
            encoder,
            gp,
            fit_values(source, vae, encoder, self.device, **options),
            fit_novelty(source, encoder, held_out, self.device, **options),
            names,
            run.forward.dominant_weights,
            nothing,
        )
        self.history = {
            "forward model": {"log_likelihood": list(run.forward.log_likelihood)},
            "VAE": run.vae_state.history(),
            "GP": {"training": list(gp.loss)},
        }
        self._run = None
        return self

    def update(
        self,
        new: FingerprintLibrary | Spectra | ArrayLike,
        labels: ArrayLike | None = None,
        *,
        spectra: Spectra | None = None,
        recalibrate: bool = True,
        show_progressbar: bool = True,
    ) -> EELSClassifier:
        """Learn from labels or from new fingerprints in seconds; the VAE stays as it is.

        Labels enter the GP and the prior; a class that no fingerprint describes may be named, and
        is known by its labels alone from then on. A library with further fingerprints enters
        everything: the forward model, the encoder that follows from it, prior, GP, value and
        novelty. The order of updates does not matter, within the accuracy of training.

        Parameters
        ----------
        new : Spectra, (n, D) array, or FingerprintLibrary
            Labelled pixels; labelled latents; or the library with more fingerprints than before,
            see `FingerprintLibrary.with_fingerprints`.
        labels : (n,) array of str or int
            Of pixels or latents: names, or indices into `class_names`.
        spectra : Spectra
            With a library: the pixels that the forward model is fitted to anew, as in `fit`.
        recalibrate : bool
            With a library: whether continuum, gain, shift, broadening and variations of the library
            and novelty's scale are found anew as well, or how frequent each class is alone. Leave
            it out for spectra that may hold structures which are not simulated yet: these would be
            taken for variations of the known ones, and for usual.
        show_progressbar : bool

        Returns
        -------
        EELSClassifier
            Itself.

        Raises
        ------
        RuntimeError
            Before ``fit``.
        TypeError, ValueError
            If labels do not fit what they label, a library lacks a known class, or no labelled
            pixel is usable.
        """
        fitted = self._require_fit()
        options: dict[str, Any] = {
            "effort": self.effort,
            "seed": self.seed,
            "show_progressbar": show_progressbar,
        }
        if isinstance(new, FingerprintLibrary):
            if labels is not None or spectra is None:
                raise ValueError(
                    "with a library, which holds its own labels, give the spectra that say how "
                    "frequent its structures are: update(library, spectra=spectra)"
                )
            self.checked(spectra)
            weights = self.class_weights if new.n_classes == self.library.n_classes else None
            self.fitted = learn_fingerprints(
                fitted,
                new,
                spectra,
                weights,
                self.device,
                recalibrate=recalibrate,
                **options,
            )
            self.library, self.class_weights = new, weights
        else:
            if isinstance(new, Spectra):
                self.checked(new)
            self.fitted = learn_labels(fitted, new, labels, **options)
        self.history = self.history | {"GP": {"training": list(self.fitted.gp.loss)}}
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """The library's classes, then those that labels alone tell of."""
        return self.library.class_names if self.fitted is None else self.fitted.class_names

    def _fit_vae(self, run: Run, source: Reinsertion, training: Spectra, bar: bool) -> SpectrumVAE:
        rng = stream(self.seed, Stream.VAE)
        model = source.model
        fingerprints = class_variations(source, rng)
        drawn = tensor(source.draw_clean(self.effort.clean_spectra, rng).spectra)
        denoiser = fit_denoiser(training, seed=self.seed)
        some = np.sort(rng.permutation(len(training))[: self.effort.clean_spectra])
        denoised = tensor(denoiser.rebuild(training.intensity[some]))
        # What denoising leaves of noise and of the background's error, seen where truth is known.
        pairs, edges = source.draw_edges(self.effort.clean_pairs, rng)
        left = tensor(denoiser.rebuild(edges.intensity.numpy())) - pairs.clean
        sd = left[edges.flag == 0].std(0, correction=0).expand_as(denoised)
        clean, sd = torch.cat([drawn, denoised]), torch.cat([torch.zeros_like(drawn), sd])
        rows = torch.as_tensor(rng.permutation(len(clean)))
        training_rows, held_out_rows = rows[len(clean) // 10 :], rows[: len(clean) // 10]
        if run.vae is None:
            with own_randomness(self.seed):
                run.vae = SpectrumVAE(
                    clean.shape[1],
                    self.latent_dim,
                    fingerprints if self.prior == "fingerprint" else None,
                    prior_weights(model.class_weights) if self.prior == "fingerprint" else None,
                    likelihood=self.likelihood,
                    scale=float(drawn.square().mean().sqrt()),
                ).to(self.device)
        fit_vae(
            run.vae,
            clean[training_rows],
            clean[held_out_rows],
            self.effort.vae,
            run.vae_state,
            sd=(sd[training_rows], sd[held_out_rows]),
            batch_size=self.effort.vae_batch,
            seed=self.seed,
            show_progressbar=bar,
        )
        return run.vae

    def predict(
        self,
        spectra: Spectra,
        *,
        context: Literal["pixel", "image"] = "pixel",
        class_weights: ArrayLike | None = None,
        show_progressbar: bool = True,
    ) -> Prediction:
        """Class probabilities, their doubt and its causes for every pixel.

        Parameters
        ----------
        spectra : Spectra
            On the energy axis of the fit. Flagged pixels come back as NaN, label -1.
        context : {"pixel", "image"}
            Whether a pixel stands by itself, or the other pixels of its image say how frequent
            each class is there (a hierarchical prior, see `eels_bayes.prediction.image_context`).
        class_weights : (K,) array, optional
            Prior weights of the classes in these spectra, where they are known to be others than
            those of the fit.
        show_progressbar : bool
            Shown where it takes more than a few seconds.

        Raises
        ------
        RuntimeError
            Before ``fit``.
        ValueError
            If the energy axis is another than the one of the fit.
        """
        fitted = self.checked(spectra)
        if context not in ("pixel", "image"):
            raise ValueError(f"context must be 'pixel' or 'image', got {context!r}")
        given = checked_weights(class_weights, len(fitted.class_names))
        overall = fitted.class_weights
        ratio = None if given is None else np.tile(given / overall, (len(spectra), 1))
        options: dict[str, Any] = {
            "batch_size": self.effort.predict_batch,
            "show_progressbar": show_progressbar,
        }
        columns = predict(fitted, spectra, self.device, ratio=ratio, **options)
        if context == "image" and spectra.ok.any():
            ok, prior = spectra.ok, overall if given is None else given
            found = image_weights(
                columns["probabilities"][ok],
                spectra.image[ok],
                prior,
                steps=self.effort.image_steps,
                seed=self.seed,
            )
            mine = np.minimum(spectra.image, len(found.mean) - 1)
            ratio = found.mean[mine] / overall
            columns = predict(fitted, spectra, self.device, ratio=ratio, **options)
        weight, mean, sd = (columns.pop(f"component_{name}") for name in ("weight", "mean", "sd"))
        joint = JointPosterior(weight, mean, sd, fitted.gp)
        labels = np.full(len(spectra), -1)
        labels[spectra.ok] = columns["probabilities"][spectra.ok].argmax(1)
        return Prediction(
            labels=labels,
            class_names=fitted.class_names,
            flag=spectra.flag,
            image=spectra.image,
            position=spectra.position,
            images=spectra.images,
            joint=joint,
            **columns,
            **({} if fitted.value is None else {"value_reach": fitted.value.reach.numpy()}),
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
        fitted = self.checked(spectra)
        if not 0 < level < 1:
            raise ValueError(f"level must lie between 0 and 1, got {level}")
        bands = decoded_bands(
            fitted,
            spectra,
            self.device,
            level=level,
            n_draws=n_draws,
            batch_size=self.effort.decode_batch,
            generator=torch.Generator().manual_seed(seed),
        )
        return Denoised(spectra.energy, *bands)

    def compile(
        self,
        preprocessor: Preprocessor,
        *,
        energy: ArrayLike,
        head: Head = "gp",
        backend: Backend = "torchscript",
        gain: float = 1.0,
        readout: float = 0.0,
        show_progressbar: bool = True,
    ) -> FastClassifier:
        """The fast path: raw counts to decisions in one frozen module, on one energy axis.

        Parameters
        ----------
        preprocessor : Preprocessor
            Calibrated, with the settings of the fit: ``classifier.preprocessor``.
        energy : (E,) array_like
            Channel centres of the detector, eV, ascending and evenly spaced.
        head : {"gp", "dense"}
            The Gaussian process with its doubt, or a small dense network in its place: faster,
            less true, and without the parts of the uncertainty. It is trained here, in seconds.
        backend : {"torchscript", "onnx", "inductor"}
            What runs it. "onnx" needs the extra of that name; "inductor" is machine code, the
            fastest, and needs a C++ compiler and a minute.
        gain, readout : float
            Variance of a detector count: ``gain * counts + readout``.

        Raises
        ------
        RuntimeError
            Before ``fit``, or without a C++ compiler where one is needed.
        ValueError
            If the preprocessor is another than the fit's, or the axis does not cover what it needs.
        """
        fitted = self._require_fit()
        axis = EnergyAxis(*validation.axis("energy", energy))
        validation.positive("gain", gain)
        if not 0 <= readout < math.inf:
            raise ValueError(
                f"readout must not be negative, got {readout}; a finite variance in counts squared "
                "is needed"
            )
        if head not in ("gp", "dense"):
            raise ValueError(f"head must be 'gp' or 'dense', got {head!r}")
        if not isinstance(preprocessor, Preprocessor):
            raise TypeError(
                f"preprocessor is a {type(preprocessor).__name__}; give classifier.preprocessor"
            )
        if preprocessor.options() != fitted.preprocessor.options() or not torch.equal(
            preprocessor.profile_bins, fitted.preprocessor.profile_bins
        ):
            raise ValueError(
                "preprocessor is not the one of the fit, or is calibrated on other data: use the "
                "fit's own, classifier.preprocessor"
            )
        if preprocessor.step < 0.999 * axis.scale:
            raise ValueError(
                f"energy has channels of {axis.scale:g} eV; the preprocessor needs "
                f"{preprocessor.step:g} eV or finer ones"
            )
        reader = copy.deepcopy(reader_of(fitted)).cpu()
        if head == "dense":
            source = clean_source(fitted.forward, fitted.preprocessor)
            latents = training_latents(
                source,
                fitted.vae,
                fitted.encoder,
                fitted.class_names,
                fitted.labelled,
                self.effort,
                self.seed,
            )
            reader.heads = fit_dense(
                *latents,
                len(fitted.class_names),
                effort=self.effort,
                seed=self.seed,
                show_progressbar=show_progressbar,
            )
        own = copy.deepcopy(preprocessor)
        graph = FastGraph(own, reader, axis, float(gain), float(readout))
        if int(graph.plan(0.0).flag):
            (low, high), needed = limits(axis, 0.0), graph.needed()
            raise ValueError(
                f"energy covers {low:g} to {high:g} "
                f"eV; {needed[0]:g} to {needed[1]:g} eV are needed"
            )
        shown = self.library.resample(fitted.energy)
        values = shown.class_values
        library = {
            "energy": shown.energy.tolist(),
            "spectra": np.round(shown.class_spectra, 6).tolist(),
            "values": None if values is None else values.tolist(),
        }
        return FastClassifier(graph, own, fitted.class_names, head, backend, library)

    def latent_prior(self) -> priors.FingerprintPrior:
        """The explicit prior of the fitted model: components' mean and sd (K, J, D), weights.

        Raises
        ------
        RuntimeError
            Before ``fit``, or with ``prior="standard"``, which has no components.
        """
        fitted = self._require_fit()
        with torch.no_grad():
            prior = fitted.vae.prior()
        if prior is None:
            raise RuntimeError("prior='standard' has no fingerprint components")
        return priors.FingerprintPrior(*(x.cpu() for x in prior))

    def checked(self, spectra: Spectra) -> Fitted:
        """What was fitted, if it can read these spectra.

        Raises
        ------
        RuntimeError
            Before ``fit``.
        TypeError, ValueError
            If spectra are none, or lie on other axes or were made otherwise than those of the fit.
        """
        fitted = self._require_fit()
        if not isinstance(spectra, Spectra):
            raise TypeError(
                f"spectra is a {type(spectra).__name__}; make Spectra with the Preprocessor "
                "that made those of the fit"
            )
        energy = fitted.energy
        if len(energy) != len(spectra.energy) or not np.allclose(
            energy, spectra.energy, atol=0.1 * (energy[1] - energy[0])
        ):
            raise ValueError(
                f"spectra have {len(spectra.energy)} channels from {spectra.energy[0]:g} to "
                f"{spectra.energy[-1]:g} eV, but the fit was on {len(energy)} from "
                f"{energy[0]:g} to {energy[-1]:g} eV: use the fit's own, classifier.preprocessor"
            )
        bins = fitted.forward.continuum.energy
        if len(bins) != len(spectra.profile_energy) or not np.allclose(
            bins, spectra.profile_energy, atol=0.1 * (bins[1] - bins[0])
        ):
            raise ValueError(
                f"spectra have profiles of {len(spectra.profile_energy)} bins, the fit of "
                f"{len(bins)} from {bins[0]:g} to {bins[-1]:g} eV: use the fit's own, "
                "classifier.preprocessor"
            )
        theirs, ours = spectra.preprocessor.options(), fitted.preprocessor.options()
        for name in ("background", "normalize", "unit", "background_model"):
            if theirs[name] != ours[name]:
                raise ValueError(
                    f"spectra were made with {name}={theirs[name]}, those of the fit with "
                    f"{ours[name]}: use the fit's own, classifier.preprocessor"
                )
        return fitted

    @property
    def preprocessor(self) -> Preprocessor:
        """The fit's own preprocessor, calibrated; new signals go through it.

        Raises
        ------
        RuntimeError
            Before ``fit``.
        """
        return self._require_fit().preprocessor

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to one file of tensors and JSON; see :func:`load_model`."""
        tensors, config = pack(self._require_fit())
        tensors |= library_tensors("library", self.library)
        if self.class_weights is not None:
            tensors["class_weights"] = self.class_weights
        config["classifier"] = {
            "prior": self.prior,
            "latent_dim": self.latent_dim,
            "likelihood": self.likelihood,
            "seed": self.seed,
            "effort": self.effort.options(),
            "history": self.history,
        }
        tensor_file.write(path, KIND, tensors, config)

    def _require_fit(self) -> Fitted:
        if self.fitted is None:
            raise RuntimeError("this classifier is not fitted; call fit(spectra) first")
        return self.fitted


def load_model(
    path: str | os.PathLike[str], *, device: str | torch.device = "cpu"
) -> EELSClassifier:
    """Read a classifier that :meth:`EELSClassifier.save` wrote.

    The file is data: tensors and plain values. Opening it runs nothing from it.

    Parameters
    ----------
    path : path-like
    device : str or torch.device
        Where its networks run.

    Raises
    ------
    ValueError
        If the file is not such a model, is damaged, or does not fit together.
    """
    tensors, config = tensor_file.read(path, KIND)
    try:
        options = dict(config["classifier"])
        history = options.pop("history")
        # Files of before `Effort` hold the VAE's schedule alone.
        effort = options.pop("effort", None) or {"vae": options.pop("vae_schedule")}
        options["effort"] = Effort.from_options(effort)
        weights = tensors.get("class_weights")
        clf = EELSClassifier(
            library_from("library", tensors, config["class_names"], config["variations"]),
            class_weights=None if weights is None else weights.numpy(),
            device=device,
            **options,
        )
        clf.fitted, clf.history = unpack(tensors, config), history
    except tensor_file.MISFITS as error:
        raise ValueError(
            f"{os.fspath(path)} holds no complete classifier ({error}); save the model again"
        ) from error
    clf.fitted.vae.to(clf.device)
    clf.fitted.encoder.to(clf.device)
    return clf

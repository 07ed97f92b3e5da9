"""EELSClassifier: the whole way from edge spectra to classes with their doubt.

spectra -> forward model (continuum) -> clean spectra -> VAE -> pairs (reinsertion)
        -> noisy encoder -> GP on latents of fingerprints -> prediction
"""

from __future__ import annotations

import operator
import os
from collections.abc import Sequence

import torch
from numpy.typing import ArrayLike

from eels_bayes.classifier import views
from eels_bayes.classifier.batch_prediction import Context, Joint, predict
from eels_bayes.classifier.checkpoint import opened
from eels_bayes.classifier.compatibility import Signals, check_spectra, checked_weights
from eels_bayes.classifier.compiling import compiled
from eels_bayes.classifier.denoising import denoise as decoded_bands
from eels_bayes.classifier.fitted import Fitted, explicit_prior, held_out_of, required
from eels_bayes.classifier.fitting import check_training_spectra, fit_run
from eels_bayes.classifier.model_file import Contents, write
from eels_bayes.classifier.provenance import Provenance, provenance_of
from eels_bayes.classifier.reporting import report as report_of_fit
from eels_bayes.classifier.run import Run
from eels_bayes.classifier.settings import Plan, Prior, Settings, check_options, checked_device
from eels_bayes.classifier.update import Updated, updated
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.spectra import Spectra
from eels_bayes.effort import FULL, Effort
from eels_bayes.fast.backends import Backend
from eels_bayes.fast.classifier import FastClassifier, Head
from eels_bayes.latent.prior import FingerprintPrior
from eels_bayes.latent.vae import Likelihood
from eels_bayes.prediction.prediction import Prediction
from eels_bayes.preprocessing.preprocessor import Preprocessor
from eels_bayes.training import learning


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

    Attributes
    ----------
    fitted : Fitted or None
        Everything that a fit found; ``None`` before.
    history : dict of str to dict
        How each stage of the fit went: lists of numbers by their names.

    Raises
    ------
    TypeError, ValueError
        If an option is not of its type, none of the possible ones, or a number too small.

    Examples
    --------
    >>> import eels_bayes as eb
    >>> eb.EELSClassifier(eb.FingerprintLibrary.example(), effort=eb.Effort.quick())
    <EELSClassifier: 50 % F, 25 % F, 12.5 % F, 0 % F; not fitted>
    """

    def __init__(
        self,
        library: FingerprintLibrary,
        *,
        prior: Prior = "fingerprint",
        latent_dim: int = 16,
        likelihood: Likelihood = "laplace",
        class_weights: ArrayLike | None = None,
        effort: Effort = FULL,
        seed: int = 0,
        device: str | torch.device = "cpu",
    ):
        check_options(library, prior, latent_dim, likelihood, effort, seed)
        self.library, self.prior, self.latent_dim = library, prior, latent_dim
        self.likelihood, self.effort, self.seed = likelihood, effort, operator.index(seed)
        self.class_weights = checked_weights(class_weights, library.n_classes)
        self.device = checked_device(device)
        self.fitted: Fitted | None = None
        self.history: dict[str, dict[str, list[float]]] = {}
        self._run: Run | None = None

    __repr__ = views.words
    _repr_html_ = views.html

    @learning()
    def fit(
        self,
        spectra: Spectra,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
        show_progressbar: bool = True,
    ) -> EELSClassifier:
        """Fit to unlabelled spectra.

        An interrupted fit (Ctrl-C, the stop button) goes on where it was when ``fit`` is called
        again with the same spectra; other spectra start a new one. It warns of what is bad: see
        `report`. Of 500 usable pixels or more a tenth is kept from the VAE: see `held_out`.

        Parameters
        ----------
        spectra : Spectra
            n pixels in edge units from a :class:`Preprocessor`; flagged ones are left out.
        checkpoint : path-like, optional
            A file that keeps what is done, after each stage and each epoch of the VAE: where the
            program ends meanwhile, the same call in a new one goes on from there, to the same
            result. Remove it when the model is saved.
        show_progressbar : bool

        Returns
        -------
        EELSClassifier
            Itself.

        Raises
        ------
        TypeError, ValueError
            If ``spectra`` is none or holds its background, the library does not cover the window,
            fewer than two pixels are usable, or the checkpoint is of another fit.
        OSError
            If the checkpoint cannot be read, or not be written at first.
        """
        check_training_spectra(spectra)
        how = self._plan(), self._settings(show_progressbar)
        known = self._run if self._run is not None and self._run.spectra is spectra else None
        self._run, keep = opened(checkpoint, known or Run(spectra), *how)
        self.fitted = fit_run(self._run, *how, keep)
        self.history, self._run = self._run.history(self.fitted), None
        return self

    @learning()
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
            n labelled pixels; n labelled latents; or the library with more fingerprints than
            before, see `FingerprintLibrary.with_fingerprints`.
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
        RuntimeError, FloatingPointError
            Before ``fit``, or if it ended in numbers that are not finite: then nothing is changed.
        TypeError, ValueError
            If labels do not fit, a latent lies far from all structures, a library lacks a known
            class, or no labelled pixel is usable.
        """
        before = Updated(required(self.fitted), self.library, self.class_weights)
        settings = self._settings(show_progressbar)
        after = updated(before, new, labels, settings, spectra=spectra, recalibrate=recalibrate)
        self.fitted, self.library, self.class_weights = after
        self.history = self.history | {"GP": {"training": list(after.fitted.gp.loss)}}
        return self

    report = report_of_fit

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the K classes: the library's, then those that labels alone tell of.

        Returns
        -------
        tuple of str
        """
        return self.library.class_names if self.fitted is None else self.fitted.class_names

    def predict(
        self,
        spectra: Spectra | Signals,
        *,
        context: Context = "pixel",
        class_weights: ArrayLike | None = None,
        displacement: ArrayLike | None = None,
        joint: Joint = True,
        show_progressbar: bool = True,
    ) -> Prediction:
        """Class probabilities, their doubt and its causes for every pixel.

        Parameters
        ----------
        spectra : Spectra, EELSSpectrum or list of EELSSpectrum
            On the fit's energy axis, or signals to read as it did, lazy ones part by part.
        context : {"pixel", "image", "neighbours", "series"}
            Whether a pixel stands by itself, the other pixels of its image say how frequent each
            class is there and what their continua share, or also what lies beside it counts, as
            far as neighbours in these spectra are alike (`eels_bayes.field`); in a "series" of
            one area, the same place in the images before and after, too.
        class_weights : (K,) array, optional
            Prior weights of the classes in these spectra, where they are known to be others than
            those of the fit.
        displacement : (I, A) array_like, optional
            How far structures of a series stand in each image from where they do in the first,
            pixels along each axis; measured by default (`eels_bayes.field.displacement`).
        joint : bool or "float16"
            Whether `Prediction.joint` is kept for batches of labels: most memory, or half of that.
        show_progressbar : bool
            Shown where it takes more than a few seconds.

        Returns
        -------
        Prediction
            Of the n pixels: probabilities (n, K), entropies in nats, values in the library's unit.

        Raises
        ------
        RuntimeError, TypeError, ValueError
            Before ``fit``; if spectra are none, lie on another axis or were made otherwise than
            those of the fit, the context is unknown, weights, displacement or joint are not what
            they should be, rows with neighbours are of one place, or of a series without counts.
        """
        fitted, settings = required(self.fitted), self._settings(show_progressbar)
        return predict(fitted, spectra, settings, context, class_weights, displacement, joint)

    denoise, held_out = decoded_bands, property(held_out_of)

    def compile(
        self,
        preprocessor: Preprocessor,
        *,
        energy: ArrayLike,
        head: Head = "gp",
        backend: Backend = "torchscript",
        noise: Sequence[float] | None = None,
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
        noise : Noise or (gain, readout), optional
            Of the counts; that of the fit by default.
        show_progressbar : bool
            Of the dense head's training.

        Returns
        -------
        FastClassifier

        Raises
        ------
        RuntimeError, ImportError
            Before ``fit``, or without what the backend needs: a C++ compiler, or a package.
        TypeError, ValueError
            If the preprocessor is another than the fit's, the axis is uneven, too coarse or does
            not cover what is needed, a variance cannot be, or head or backend is unknown.
        """
        known, settings = (required(self.fitted), self.library), self._settings(show_progressbar)
        return compiled(
            *known, preprocessor, settings, energy=energy, head=head, backend=backend, noise=noise
        )

    def latent_prior(self) -> FingerprintPrior:
        """The explicit prior of the fitted model.

        Returns
        -------
        FingerprintPrior
            Mean and sd (K, J, D) of each class's components, and weights (K + 1,): of the classes
            and of "none of these".

        Raises
        ------
        RuntimeError
            Before ``fit``, or with ``prior="standard"``, which has no components.
        """
        return explicit_prior(required(self.fitted))

    def checked(self, spectra: Spectra) -> Fitted:
        """What was fitted, if it can read these spectra.

        Parameters
        ----------
        spectra : Spectra

        Returns
        -------
        Fitted

        Raises
        ------
        RuntimeError, TypeError, ValueError
            Before ``fit``; or if spectra are none, lie on other axes or were made otherwise.
        """
        fitted = required(self.fitted)
        check_spectra(fitted, spectra)
        return fitted

    @property
    def preprocessor(self) -> Preprocessor:
        """The fit's own preprocessor, calibrated; new signals go through it.

        Returns
        -------
        Preprocessor

        Raises
        ------
        RuntimeError
            Before ``fit``.
        """
        return required(self.fitted).preprocessor

    @property
    def provenance(self) -> Provenance:
        """Where the fitted model comes from; printed, it is all of it in words.

        Returns
        -------
        Provenance

        Raises
        ------
        RuntimeError
            Before ``fit``.
        """
        return provenance_of(required(self.fitted), self.seed, self.effort)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to one file of tensors and JSON; see :func:`load_model`.

        Parameters
        ----------
        path : path-like
            An existing file is replaced.

        Raises
        ------
        RuntimeError, OSError
            Before ``fit``, or if the file cannot be written.
        """
        found = required(self.fitted), self._plan(), self.effort, self.seed, self.history
        write(path, Contents(*found))

    def _plan(self) -> Plan:
        """What a fit is to find."""
        return Plan(self.library, self.prior, self.latent_dim, self.likelihood, self.class_weights)

    def _settings(self, show_progressbar: bool = False) -> Settings:
        """How it computes."""
        return Settings(self.effort, self.seed, self.device, show_progressbar)

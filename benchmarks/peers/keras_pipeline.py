"""The pipeline of Hollenbach et al., Sci. Rep. 14, 17881 (2024), as published, for its latency.

Their noisy encoder in Keras, called by ``model.predict``, then scikit-learn's Gaussian process on
latents of the fingerprints. `dual_vae` is the same method trained, in PyTorch, for its accuracy.
Weights here are random: no layer's time depends on them, nor does the Gaussian process', which
keeps all of its training latents.

Needs TensorFlow: ``pip install -e '.[paper]'``. Nothing else of the benchmarks does, so it is
imported here alone, when a pipeline is built.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from sklearn.gaussian_process import GaussianProcessClassifier

import eels_bayes as eb

from .dual_vae import DROPOUT, FILTERS, KERNELS, LATENT_DIM, N_DRAWS, SLOPE
from .shared import Array


class Pipeline:
    """Edge spectra (n, L) to class probabilities (n, K).

    Parameters
    ----------
    model : keras.Model
        Spectra (n, L, 1) -> latents (n, D).
    gp : GaussianProcessClassifier
        Of latents.
    """

    def __init__(self, model: Any, gp: GaussianProcessClassifier):
        self.model, self.gp = model, gp

    def encode(self, spectra: Array) -> Array:
        """Latents (n, D), as published."""
        latents: Array = self.model.predict(spectra[:, :, None], verbose=0)
        return latents

    def encode_directly(self, spectra: Array) -> Array:
        """Latents (n, D) by Keras' call for one batch, without what `predict` does around it."""
        latents: Array = self.model.predict_on_batch(spectra[:, :, None])
        return latents

    def read(self, spectra: Array) -> Array:
        """Class probabilities (n, K), as published."""
        found: Array = self.gp.predict_proba(self.encode(spectra))
        return found

    def read_directly(self, spectra: Array) -> Array:
        """Class probabilities (n, K) by way of `encode_directly`."""
        found: Array = self.gp.predict_proba(self.encode_directly(spectra))
        return found


def build(library: eb.FingerprintLibrary, energy: Array, *, seed: int = 0) -> Pipeline:
    """Set up the pipeline on one thread.

    Parameters
    ----------
    library : FingerprintLibrary
        100 draws around the latent of each fingerprint train the Gaussian process.
    energy : (L,) array
        Channel centres of the edge spectra, eV.
    seed : int
        Of weights and draws.

    Raises
    ------
    ImportError
        Where TensorFlow is missing.
    RuntimeError
        If this process has used TensorFlow before, with more threads.
    """
    keras = _keras_on_one_thread()
    known = library.resample(energy)
    model = _encoder(keras, len(energy), seed)
    latents = model.predict(known.intensity.astype(np.float32)[:, :, None], verbose=0)
    rng = np.random.default_rng(seed)
    draws = latents + rng.standard_normal((N_DRAWS, *latents.shape))
    labels = np.tile(known.labels, N_DRAWS)
    gp = GaussianProcessClassifier(random_state=seed).fit(draws.reshape(len(labels), -1), labels)
    return Pipeline(model, gp)


def versions() -> dict[str, str]:
    """Releases of what `build` has imported."""
    import sklearn
    import tensorflow

    return {
        "tensorflow": tensorflow.__version__,
        "keras": tensorflow.keras.__version__,
        "scikit-learn": sklearn.__version__,
    }


def _keras_on_one_thread() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow

    tensorflow.config.set_visible_devices([], "GPU")
    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    return tensorflow.keras


def _encoder(keras: Any, n_channels: int, seed: int) -> Any:
    """The noisy encoder of `dual_vae.Encoder`, layer by layer."""
    layers = keras.layers
    weights = [keras.initializers.GlorotUniform(seed=seed + i) for i in range(len(KERNELS) + 1)]
    stack = [layers.Input((n_channels, 1))]
    for i, (filters, kernel) in enumerate(zip(FILTERS[1:], KERNELS, strict=True)):
        stack += [
            layers.Conv1D(
                filters, kernel, strides=2, padding="same", kernel_initializer=weights[i]
            ),
            layers.LeakyReLU(SLOPE),
        ]
        if i < 3:
            stack.append(layers.Dropout(DROPOUT))
    dense = layers.Dense(LATENT_DIM, kernel_initializer=weights[-1])
    return keras.Sequential([*stack, layers.Flatten(), dense])

"""A series of two small images and a classifier fitted to it in seconds, for tests that need many.

The fit reads nothing right; it goes through every step of a real one.
"""

import copy
import functools

import numpy as np

import eels_bayes as eb

EFFORT = eb.Effort(
    vae=eb.Schedule(epochs=1, steps=4),
    vae_rounds=1,
    vae_batch=16,
    clean_spectra=60,
    clean_pairs=40,
    forward_iterations=2,
    forward_pixels=40,
    continuum_pixels=40,
    encoder_draws=16,
    gp_latents=60,
    pure_latents=4,
    pure_latents_alone=8,
    gp_steps=4,
    gp_batch=16,
    value_latents=20,
    value_steps=3,
    simulated_pixels=40,
    update_pixels=40,
    novelty_pixels=200,
    dense=eb.Schedule(epochs=1, steps=4),
    dense_batch=16,
)


@functools.cache
def signals():
    """Two images of 5 x 4 pixels; copy one before changing it."""
    return eb.simulate.annealing_series(n_images=2, shape=(5, 4), seed=3).signals


def preprocessor():
    """Not calibrated."""
    return eb.Preprocessor(
        (677, 737), 1.0, background=(600, 675), normalize=(570, 592.5), align=(565, 600)
    )


@functools.cache
def spectra():
    """Of the signals."""
    return preprocessor()(signals(), show_progressbar=False)


def unfitted(**options):
    """A classifier of 2 latents, and of little effort."""
    library = eb.FingerprintLibrary.example()
    return eb.EELSClassifier(library, **{"latent_dim": 2, "effort": EFFORT} | options)


@functools.cache
def fitted(**options):
    """Fitted to the spectra, made once for each set of options; copy it before changing it.

    It warns of what such a fit is bad at, which the tests know.
    """
    return unfitted(**options).fit(spectra(), show_progressbar=False)


def fitted_copy(**options):
    """For tests that change it."""
    return copy.deepcopy(fitted(**options))


def energy():
    """Channel centres of the signals, eV."""
    return signals()[0].axes_manager.signal_axes[0].axis


def counts():
    """All counts (n, E) of the first image."""
    return signals()[0].data.reshape(-1, len(energy()))


@functools.cache
def compiled():
    """The fast path of the fitted classifier."""
    clf = fitted()
    return clf.compile(clf.preprocessor, energy=energy(), show_progressbar=False)


def model_numbers(clf):
    """All numbers that a prediction comes from, by name; for comparison of two models."""
    found = clf.fitted
    modules = {"vae": found.vae, "encoder": found.encoder}
    numbers = {
        f"{name}.{part}": values.numpy()
        for name, module in modules.items()
        for part, values in module.state_dict().items()
    }
    numbers |= {f"gp.{k}": v.numpy() for k, v in found.gp.constants()._asdict().items()}
    numbers |= {f"novelty.{k}": v.numpy() for k, v in found.novelty._asdict().items()}
    numbers |= {f"value.{k}": v.numpy() for k, v in found.value.constants._asdict().items()}
    return numbers | {"class_weights": found.class_weights}


def same_numbers(one, other):
    """Two models are one, to the last bit."""
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)

"""Ways to read the spectra: class probabilities, valence and its 90 % interval of every pixel."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from peers import forward_model, nearest, shifted_fit
from peers.shared import all_rows

import eels_bayes as eb
from eels_bayes.forward_model.components import MIXING
from eels_bayes.forward_model.model import ForwardModel
from eels_bayes.forward_model.model_evidence import evidence_of
from eels_bayes.forward_model.pixel_posterior import Evidence, PixelEvidence

from .bed import Array

ENDS = (0.05, 0.95)  # quantiles between which a 90 % interval lies


class Reading(NamedTuple):
    """Of n pixels: probabilities (n, K), valence (n,), and its interval (n,), (n,)."""

    probabilities: Array
    value: Array
    low: Array
    high: Array


Peer = Callable[[eb.Spectra, eb.FingerprintLibrary], Reading]


def fitted(
    spectra: eb.Spectra, library: eb.FingerprintLibrary, effort: eb.Effort, *, bars: bool = True
) -> eb.EELSClassifier:
    """Ours, fitted to the spectra without a label."""
    with warnings.catch_warnings():
        # few pixels are what some experiments are about
        warnings.filterwarnings("ignore", message="spectra hold .* pixels beside those")
        clf = eb.EELSClassifier(library, seed=0, effort=effort)
        return clf.fit(spectra, show_progressbar=bars)


def of_prediction(pred: eb.Prediction) -> Reading:
    """What a prediction says."""
    return Reading(pred.probabilities, pred.value, *pred.value_interval(0.9))


def of_forward_model(model: ForwardModel, spectra: eb.Spectra) -> Reading:
    """What the fitted forward model says by itself: the posterior of its components.

    A component is a valence: pure, or half a step of the mixtures' shares around its own.
    """
    found = evidence(model, spectra)[1].log_probability.double().exp().numpy()
    found /= found.sum(1, keepdims=True)
    members, _ = model.components()
    values = model.library.class_values
    assert values is not None
    center = np.array([share * values[a] + (1 - share) * values[b] for a, b, share in members])
    half = 0.5 * (MIXING[1] - MIXING[0])
    reach = np.array([half * abs(values[a] - values[b]) for a, b, _ in members])
    ends = quantiles(found, center - reach, center + reach)
    return Reading(
        forward_model.posterior(model, spectra),
        *(all_rows(column[:, None], spectra)[:, 0] for column in (found @ center, *ends)),
    )


def quantiles(weight: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """Ends (n,) of the 90 % interval of mixtures (n, C) of points and of uniform pieces."""
    order = np.lexsort((high, low))
    cumulative = np.cumsum(weight[:, order], axis=1)
    cumulative[:, -1] = 1.0
    low, high = low[order], high[order]
    rows = np.arange(len(weight))

    def at(level: float) -> Array:
        which = (cumulative < level).sum(1)
        before = np.where(which > 0, cumulative[rows, which - 1], 0.0)
        inside = (level - before) / np.maximum(cumulative[rows, which] - before, 1e-12)
        found: Array = low[which] + np.clip(inside, 0.0, 1.0) * (high[which] - low[which])
        return found

    return at(ENDS[0]), at(ENDS[1])


def evidence(model: ForwardModel, spectra: eb.Spectra) -> tuple[PixelEvidence, Evidence]:
    """The forward model's network, and its posterior of the usable pixels."""
    network = evidence_of(model)
    profile, level = (torch.as_tensor(x[spectra.ok]) for x in (spectra.profile, spectra.level))
    return network, network(profile, level)


def residual_chi_square(model: ForwardModel, spectra: eb.Spectra) -> Array:
    """Of the usable pixels (m,): what the model leaves in the window, over what it should.

    The squares of the residuals of the forward model's posterior mean, in units of the noise, over
    their expected sum: the channels less those degrees of freedom that the fit takes up. Along a
    principal axis of variance v of a component that is v / (v + noise); a right model makes 1.
    """
    network, found = evidence(model, spectra)
    n_all, n_span = network.variance.shape
    axes = network.axes.view(n_span, n_all, n_span)[:, : network.n_known]
    shown = torch.einsum("ws,sct->wct", network.span[network.inside], axes)
    share = (shown**2).sum(0)
    noise = found.noise[:, None, None]
    variance = network.variance[: network.n_known]
    taken = (variance / (variance + noise) * share).sum(2)
    freedom = found.residual.shape[1] - (found.log_probability.exp() * taken).sum(1)
    chi2: Array = ((found.residual**2).sum(1) / freedom).double().numpy()
    return chi2


def _by_class(
    peer: Callable[..., Array], spectra: eb.Spectra, library: eb.FingerprintLibrary
) -> Reading:
    """A peer that knows pure classes: its valence is one of theirs."""
    p = peer(spectra, library, show_progressbar=False)
    values = library.class_values
    assert values is not None
    return Reading(p, p @ values, *quantiles(np.nan_to_num(p), values, values))


def mlls(spectra: eb.Spectra, library: eb.FingerprintLibrary) -> Reading:
    """Multiple linear least squares with a shift a pixel: see `peers.shifted_fit`."""
    draws = shifted_fit.mlls(spectra, library, show_progressbar=False)
    assert library.class_values is not None
    value = draws.values(library.class_values)
    ends = np.quantile(value, ENDS, axis=1)
    columns = (all_rows(x[:, None], spectra)[:, 0] for x in (value.mean(1), *ends))
    return Reading(all_rows(draws.probabilities(), spectra), *columns)


OURS, FORWARD = "eels_bayes", "its forward model alone"
PEERS: dict[str, Peer] = {
    "MLLS with a shift": mlls,
    "chi-square with a shift": partial(_by_class, shifted_fit.by_chi_square),
    "the same, rescaled": partial(_by_class, partial(shifted_fit.by_chi_square, rescaled=True)),
    "PCA(10), nearest by cosine": partial(_by_class, nearest.by_angle),
}

"""The state of the fit and its accelerated steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import softmax
from tqdm.auto import trange

from eels_bayes.arrays import Array
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.variations import Variations
from eels_bayes.forward_model.edge_shapes import LibraryFit
from eels_bayes.forward_model.factor_mixture import Images, Population

TOLERANCE = 1e-4  # nats a pixel in ten iterations
MEMORY = 10  # steps that an accelerated one is mixed from
DAMPING = 1e-6  # of the mixture's weights
SLACK = 1e-3  # nats a pixel that an accelerated step may lose
VARIED = ("intensity", "shift", "broadening")  # the common factors' scales


@dataclass(frozen=True, eq=False)
class State:
    """What is fitted: population and images, how the library stands, and how much it varies."""

    population: Population
    images: Images
    library_fit: LibraryFit
    library: FingerprintLibrary

    def vector(self, width: Array) -> Array:
        """As free numbers of comparable size; ``width`` (P,) is the prior sd of ``u``."""
        population, fit = self.population, self.library_fit
        root = np.linalg.cholesky(population.covariance) / width[:, None]
        lower = np.tril_indices(len(root), -1)
        return np.concatenate(
            [
                np.log(np.maximum(population.weight, 1e-10)),
                population.mean / width,
                np.log(np.diag(root)),
                root[lower],
                [np.log(fit.gain), fit.shift, fit.broadening],
                np.log([max(getattr(self.library.variations, name), 1e-9) for name in VARIED]),
                np.log(np.maximum(self.images.weight, 1e-10)).ravel(),
                (self.images.offset / width).ravel(),
            ]
        )

    def replaced(self, vector: Array, width: Array) -> State:
        """The state of such a vector."""
        n, p = len(self.population.weight), len(self.population.mean)
        own = len(self.images.weight)
        vector, own_weight, own_offset = np.split(vector, [-own * (n + p), -own * p])
        images = Images(
            softmax(own_weight.reshape(own, n), axis=1), own_offset.reshape(own, p) * width
        )
        weight = np.exp(vector[:n] - vector[:n].max())
        root = np.diag(np.exp(np.clip(vector[n + p : n + 2 * p], -20.0, 20.0)))
        root[np.tril_indices(p, -1)] = vector[n + 2 * p : -6]
        root = root * width[:, None]
        gain, shift, broadening = np.clip(vector[-6:-3], [-2.0, -10.0, 0.0], [2.0, 10.0, 100.0])
        varied = dict(zip(VARIED, np.exp(np.clip(vector[-3:], -12.0, 3.0)).tolist(), strict=True))
        return State(
            Population(weight / weight.sum(), vector[n : n + p] * width, root @ root.T),
            images,
            LibraryFit(float(np.exp(gain)), float(shift), float(broadening)),
            replace(self.library, variations=Variations(**varied)),
        )


def accelerated(
    start: State,
    improve: Callable[[State], tuple[State, float]],
    width: Array,
    steps: int,
    show_progressbar: bool,
) -> tuple[State, list[float]]:
    """Iterate expectation-maximisation, each step mixed with the last few.

    Anderson's acceleration with a damped least-squares fit, begun afresh where the likelihood falls
    (Henderson and Varadhan, J. Comput. Graph. Stat. 28, 834 (2019)).
    """
    history: list[float] = []
    now, best = start, start
    points: list[Array] = []
    images: list[Array] = []
    bar = trange(steps, desc="forward model", disable=not show_progressbar)
    for _ in bar:
        try:
            improved, likelihood = improve(now)
        except np.linalg.LinAlgError:  # a leap to where there is no covariance
            likelihood = -np.inf
        if history and likelihood < max(history) - SLACK:
            now, points, images = best, [], []
            continue
        best = improved
        history.append(likelihood)
        bar.set_postfix(loglik=f"{likelihood:.4f}", refresh=False)
        if len(history) > 10 and history[-1] - history[-10] < TOLERANCE:
            break
        points.append(now.vector(width))
        images.append(improved.vector(width))
        points, images = points[-MEMORY:], images[-MEMORY:]
        now = improved
        if len(points) > 1:
            residuals = np.array(images) - np.array(points)
            change = np.diff(residuals, axis=0).T
            gram = change.T @ change
            damping = DAMPING * np.trace(gram) / len(gram) * np.eye(len(gram))
            part = np.linalg.solve(gram + damping, change.T @ residuals[-1])
            leap = images[-1] - np.diff(images, axis=0).T @ part
            now = improved.replaced(leap, width)
    bar.close()
    return best, history

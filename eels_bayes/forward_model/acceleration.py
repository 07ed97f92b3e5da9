"""The state of the forward model's fit, and its accelerated steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.special import softmax
from tqdm.auto import trange

from eels_bayes.arrays import Array
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.variations import Variations
from eels_bayes.forward_model.components import Pairs
from eels_bayes.forward_model.edge_shapes import LibraryFit
from eels_bayes.forward_model.factor_mixture import Images, Population
from eels_bayes.forward_model.foreign import Foreign
from eels_bayes.forward_model.misfit import LEAST_MISFIT, MOST_MISFIT, Misfit

TOLERANCE = 1e-4  # nats a pixel in `PATIENCE` iterations that is gained at the end
PATIENCE = 10  # iterations over which the gain is judged: single steps may be small
MEMORY = 10  # steps that an accelerated one is mixed from; chosen, not tuned
DAMPING = 1e-6  # of the mixture's weights, over the mean square change: against rounding
TINY = 1e-30  # of the mixture's weights: steps that no longer change have no mean square
SLACK = 1e-3  # nats a pixel that an accelerated step may lose
LEAST_SHARE = 1 / 64  # of the library's step that is tried before it stays where it is
VARIED = ("intensity", "shift", "broadening")  # the common factors' scales
LEAST_IN_VECTOR = 1e-10  # of a component, where a logarithm is taken of it
LEAST_SCALE = 1e-9  # of a variation, where a logarithm is taken of it
# Where a leap may land at most: far beyond what data show, and near enough to come back from.
LOG_SD_RANGE = (-20.0, 20.0)  # log of the population's sd over its prior's
LIBRARY_LOW = (-20.0, -30.0, 0.0)  # log gain; shift, eV; broadening, eV^2
LIBRARY_HIGH = (20.0, 30.0, 100.0)
LOG_MISFIT_RANGE = (np.log(LEAST_MISFIT), np.log(MOST_MISFIT))
MISFIT_UNIT = 0.1  # relative: what a shared misfit is measured in there
LOG_MOST_FOREIGN = np.log(0.9)  # share of the pixels
LOG_VARIED_RANGE = (-12.0, 3.0)  # log of a variation: relative, eV and eV


@dataclass(frozen=True)
class Stepping:
    """How the fit steps and when it ends.

    Attributes
    ----------
    tolerance : float
        Nats a pixel in ten iterations; where less is gained, it ends.
    memory : int
        Steps that an accelerated one is mixed from; 1 takes plain steps.
    """

    tolerance: float = TOLERANCE
    memory: int = MEMORY


DEFAULT_STEPPING = Stepping()


class Step(NamedTuple):
    """A plain step: where it leads, and what there was before it, nats a pixel.

    ``objective`` is what steps raise, see `objective.log_prior`; ``likelihood`` its part that the
    counts say.
    """

    state: State
    objective: float
    likelihood: float


class Climb(NamedTuple):
    """A fit that has ended.

    Attributes
    ----------
    state : State
        The last that was not found worse than one before.
    likelihood : list of float
        Log-likelihood of every step that was taken, nats a pixel.
    objective : float
        The highest that was found, nats a pixel.
    converged : bool
        Whether it ended because nothing more was to be gained.
    """

    state: State
    likelihood: list[float]
    objective: float
    converged: bool

    def after(self, before: Climb) -> Climb:
        """Both as one, this one having begun where the other ended."""
        return self._replace(likelihood=before.likelihood + self.likelihood)


def converged(history: list[float], tolerance: float = TOLERANCE) -> bool:
    """Whether the last steps' best objective, nats a pixel, is no more than ``tolerance`` better.

    The best and not the last one, as leaps may lose a little.
    """
    before, after = history[:-PATIENCE], history[-PATIENCE:]
    return len(before) > 0 and max(after) - max(before) < tolerance


@dataclass(frozen=True, eq=False)
class State:
    """What is fitted: population, images, how the library stands and varies, and what it lacks.

    ``pairs`` of classes may share a pixel.
    """

    population: Population
    images: Images
    library_fit: LibraryFit
    library: FingerprintLibrary
    misfit: Misfit
    foreign: Foreign
    pairs: Pairs = ()

    def vector(self, width: Array) -> Array:
        """As free numbers of comparable size; ``width`` (P,) is the prior sd of ``u``."""
        population, fit = self.population, self.library_fit
        root = np.linalg.cholesky(population.covariance) / width[:, None]
        lower = np.tril_indices(len(root), -1)
        return np.concatenate(
            [
                np.log(np.maximum(population.weight, LEAST_IN_VECTOR)),
                population.mean / width,
                np.log(np.diag(root)),
                root[lower],
                [np.log(fit.gain), fit.shift, fit.broadening],
                np.log(
                    [max(getattr(self.library.variations, name), LEAST_SCALE) for name in VARIED]
                ),
                np.log([self.misfit.pixel, self.misfit.shared_sd]),
                self.misfit.shared.ravel() / MISFIT_UNIT,
                self.foreign.shared.ravel() / MISFIT_UNIT,
                np.log(self.foreign.share),
                np.log(np.maximum(self.images.weight, LEAST_IN_VECTOR)).ravel(),
                (self.images.offset / width).ravel(),
            ]
        )

    def replaced(self, vector: Array, width: Array) -> State:
        """The state of such a vector."""
        n, p = len(self.population.weight), len(self.population.mean)
        n_images = len(self.images.weight)
        vector, log_weight, offset = np.split(vector, [-n_images * (n + p), -n_images * p])
        foreign = self.foreign
        sizes = (2 + self.misfit.shared.size, foreign.shared.size, len(foreign))
        starts = len(vector) - np.cumsum(sizes[::-1])[::-1]
        vector, misfit, shared, share = np.split(vector, starts)
        images = Images(
            softmax(log_weight.reshape(n_images, n), axis=1), offset.reshape(n_images, p) * width
        )
        weight = np.exp(vector[:n] - vector[:n].max())
        root = np.diag(np.exp(np.clip(vector[n + p : n + 2 * p], *LOG_SD_RANGE)))
        root[np.tril_indices(p, -1)] = vector[n + 2 * p : -6]
        root = root * width[:, None]
        gain, shift, broadening = np.clip(vector[-6:-3], LIBRARY_LOW, LIBRARY_HIGH)
        varied = dict(
            zip(VARIED, np.exp(np.clip(vector[-3:], *LOG_VARIED_RANGE)).tolist(), strict=True)
        )
        return State(
            Population(weight / weight.sum(), vector[n : n + p] * width, root @ root.T),
            images,
            replace(
                self.library_fit,
                gain=float(np.exp(gain)),
                shift=float(shift),
                broadening=float(broadening),
            ),
            replace(self.library, variations=Variations(**varied)),
            replace(
                self.misfit,
                pixel=float(np.exp(np.clip(misfit[0], *LOG_MISFIT_RANGE))),
                shared_sd=float(np.exp(np.clip(misfit[1], *LOG_MISFIT_RANGE))),
                shared=misfit[2:].reshape(self.misfit.shared.shape) * MISFIT_UNIT,
            ),
            replace(
                foreign,
                share=np.exp(np.minimum(share, LOG_MOST_FOREIGN)),
                shared=shared.reshape(foreign.shared.shape) * MISFIT_UNIT,
            ),
            self.pairs,
        )

    def with_library_near(self, before: State, share: float) -> State:
        """This state, with the library only a share of the way from where it was.

        So is what all pixels miss of it, which was found together with how it stands.
        """

        def between(first: float, last: float) -> float:
            return first + share * (last - first)

        old, new = before.library_fit, self.library_fit
        fit = replace(
            new,
            gain=between(old.gain, new.gain),
            shift=between(old.shift, new.shift),
            broadening=between(old.broadening, new.broadening),
        )
        varied = {
            name: between(getattr(before.library.variations, name), value)
            for name, value in vars(self.library.variations).items()
        }
        library = replace(self.library, variations=Variations(**varied))
        shared = before.misfit.shared + share * (self.misfit.shared - before.misfit.shared)
        misfit = replace(self.misfit, shared=shared)
        return replace(self, library_fit=fit, library=library, misfit=misfit)


def accelerated(
    start: State,
    improve: Callable[[State], Step],
    width: Array,
    steps: int,
    *,
    stepping: Stepping = DEFAULT_STEPPING,
    show_progressbar: bool = False,
) -> Climb:
    """Iterate expectation-maximisation, each step mixed with the last few.

    Anderson's acceleration with a damped least-squares fit, begun afresh where the objective falls
    (Henderson and Varadhan, J. Comput. Graph. Stat. 28, 834 (2019)). The library's shift enters by
    its slope, so that on narrow lines a plain step may go too far as well: then the library goes
    half of it, half of that, and stays at last where it was.

    Parameters
    ----------
    start : State
    improve : callable
        One plain step.
    width : (P,) array
        Prior sd of the continuum's coefficients.
    steps : int
        At most.
    stepping : Stepping
    show_progressbar : bool

    Returns
    -------
    Climb
    """
    history: list[float] = []
    likelihoods: list[float] = []
    now, best = start, start  # what is tried, and a plain step from the last that was taken
    taken, whole, share = start, start, 1.0  # whole step, and how much of it the library goes
    stuck = False
    points: list[Array] = []
    improvements: list[Array] = []
    bar = trange(steps, desc="forward model", disable=not show_progressbar)
    for _ in bar:
        improved = now
        try:
            improved, objective, likelihood = improve(now)
        except np.linalg.LinAlgError:  # a leap to where there is no covariance
            objective = -np.inf
        if not (np.isfinite(objective) and _sound(improved, width)):
            objective = -np.inf
        if history and objective < max(history) - SLACK:
            if now is best:  # no leap
                if share == 0.0:
                    break
                share = 0.5 * share if share > LEAST_SHARE else 0.0
                best = whole.with_library_near(taken, share)
            now, points, improvements = best, [], []
            continue
        stuck = share == 0.0 and objective < max(history) + stepping.tolerance
        taken, whole, share = now, improved, min(1.0, 2.0 * max(share, LEAST_SHARE))
        if share < 1.0:  # what went too far before will again
            improved = improved.with_library_near(now, share)
        best = improved
        history.append(objective)
        likelihoods.append(likelihood)
        bar.set_postfix(loglik=f"{likelihood:.4f}", refresh=False)
        if stuck or converged(history, stepping.tolerance):
            break
        points.append(now.vector(width))
        improvements.append(improved.vector(width))
        points, improvements = points[-stepping.memory :], improvements[-stepping.memory :]
        now = improved
        if len(points) > 1:
            now = improved.replaced(_leap(points, improvements), width)
    bar.close()
    # the last step is not known to be one upwards yet
    if history and (share < 1.0 or not improve(best).objective >= max(history) - SLACK):
        best = taken
    highest = max(history, default=-np.inf)
    ended = not stuck and converged(history, stepping.tolerance)
    return Climb(best, likelihoods, highest, bool(ended))


def _sound(state: State, width: Array) -> bool:
    """Whether a state is one: leaps may lead to where rounding alone is left."""
    try:
        with np.errstate(all="ignore"):
            return bool(np.isfinite(state.vector(width)).all())
    except np.linalg.LinAlgError:
        return False


def _leap(points: list[Array], improvements: list[Array]) -> Array:
    """Where the steps from the last points would meet, by damped least squares."""
    residuals = np.array(improvements) - np.array(points)
    change = np.diff(residuals, axis=0).T
    gram = change.T @ change
    damping = (DAMPING * np.trace(gram) / len(gram) + TINY) * np.eye(len(gram))
    share = np.linalg.solve(gram + damping, change.T @ residuals[-1])
    leap: Array = improvements[-1] - np.diff(improvements, axis=0).T @ share
    return leap

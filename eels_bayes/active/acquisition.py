"""Scores of pixels: which to label, and which to measure again.

Scores are functions of a `Prediction`, in nats where they are information, and -inf at flagged
pixels, which are never chosen. BALD: Houlsby et al., arXiv:1112.5745 (2011). BatchBALD: Kirsch, van
Amersfoort and Gal, NeurIPS 2019. EPIG: Bickford Smith et al., AISTATS 2023.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from eels_bayes import validation
from eels_bayes.active.mutual_information import information_about, joint_information
from eels_bayes.arrays import Array
from eels_bayes.prediction.joint_posterior import JointPosterior
from eels_bayes.prediction.prediction import Prediction

Score = Callable[[Prediction], Array]
Acquisition = Callable[[Prediction, int], NDArray[np.int64]]

N_FUNCTIONS = 128  # draws of the classifier's functions: chosen, not tuned
N_LATENTS = 4  # draws of each pixel's latent: chosen, not tuned
CANDIDATES = 256  # pixels of most single information that a batch is chosen from: bounds the time
TARGETS = 200  # pixels whose classes a label is to tell of: bounds memory and time


def entropy(pred: Prediction) -> Array:
    """Total entropy: uncertainty sampling.

    Parameters
    ----------
    pred : Prediction
        n pixels.

    Returns
    -------
    (n,) array
        Nats; -inf where flagged.
    """
    return _never(pred, pred.total)


def margin(pred: Prediction) -> Array:
    """Minus the difference of the two largest class probabilities.

    Parameters
    ----------
    pred : Prediction
        n pixels.

    Returns
    -------
    (n,) array
        Between -1 and 0; -inf where flagged.
    """
    largest = np.sort(np.nan_to_num(pred.probabilities), axis=1)
    return _never(pred, largest[:, -2] - largest[:, -1])


def bald(pred: Prediction) -> Array:
    """Classifier information: what a label can teach (Houlsby et al., 2011).

    `I(y; f | z, x)` of the decomposition. What noise hides of the pixel itself is left out: no
    label teaches anything about it.

    Parameters
    ----------
    pred : Prediction
        n pixels.

    Returns
    -------
    (n,) array
        Nats; -inf where flagged.

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from eels_bayes import active
    >>> pred = SimpleNamespace(
    ...     classifier=np.array([0.05, 0.30, np.nan]), ok=np.array([True, True, False])
    ... )
    >>> active.bald(pred).tolist()
    [0.05, 0.3, -inf]
    """
    return _never(pred, pred.classifier)


def epig(pred: Prediction, *, n_functions: int = N_FUNCTIONS, seed: int = 0) -> Array:
    """What a label is expected to say of the other pixels' classes: for a better map.

    Mutual information of a pixel's class with that of another pixel of the prediction, averaged
    over a random choice of others (Bickford Smith et al., 2023, eq. 6). Unlike `bald` it asks for
    no label of a pixel that is like none of the others.

    Parameters
    ----------
    pred : Prediction
        n pixels, from `EELSClassifier.predict`: it draws pixels jointly.
    n_functions : int
        Draws of the functions.
    seed : int
        Of these and of the choice of others.

    Returns
    -------
    (n,) array
        Nats; -inf where flagged.

    Raises
    ------
    ValueError
        If the prediction cannot draw jointly.
    """
    validation.whole("n_functions", n_functions)
    validation.seed(seed)
    joint = _joint(pred)
    score = np.full(len(pred), -np.inf)
    usable = np.flatnonzero(pred.ok)
    targets = np.random.default_rng(seed).permutation(len(usable))[:TARGETS]
    draws = joint[usable].draw(n_functions, seed=seed)
    score[usable] = information_about(draws, draws[:, targets])
    return score


def random(pred: Prediction, *, seed: int = 0) -> Array:
    """Scores that put pixels into random order.

    Parameters
    ----------
    pred : Prediction
        n pixels.
    seed : int

    Returns
    -------
    (n,) array
        Between 0 and 1; -inf where flagged.
    """
    return _never(pred, np.random.default_rng(validation.seed(seed)).random(len(pred)))


def best(score: Score) -> Acquisition:
    """The acquisition of the k pixels of the highest score.

    Parameters
    ----------
    score : callable
        From a prediction of n pixels to scores (n,), -inf where a pixel is never to be chosen.

    Returns
    -------
    callable
        From a prediction and k to the indices of at most k pixels, the best first, and the earlier
        one where scores are equal.
    """

    def acquire(pred: Prediction, k: int) -> NDArray[np.int64]:
        """Indices of at most k pixels."""
        scores = score(pred)
        chosen = np.argsort(-scores, kind="stable")[:k]
        return chosen[np.isfinite(scores[chosen])]

    return acquire


def batch_bald(
    pred: Prediction, k: int, *, n_functions: int = N_FUNCTIONS, seed: int = 0
) -> NDArray[np.int64]:
    """The k pixels whose labels together teach most about the classifier, by greedy choice.

    Parameters
    ----------
    pred : Prediction
        From `EELSClassifier.predict`: it draws pixels jointly.
    k : int
        Pixels to choose.
    n_functions : int
        Draws of the functions.
    seed : int
        Of the draws.

    Returns
    -------
    (k,) int array
        Indices, the most informative first; fewer where fewer pixels are usable.

    Raises
    ------
    ValueError
        If the prediction cannot draw jointly, or k is not positive.
    """
    joint = _joint(pred)
    k, n_functions = validation.whole("k", k), validation.whole("n_functions", n_functions)
    validation.seed(seed)
    rows = best(bald)(pred, max(CANDIDATES, k))
    draws = joint[rows].draw_at_latents(n_functions, N_LATENTS, seed=seed)
    chosen, _ = joint_information(draws, k, alone=bald(pred)[rows], seed=seed)
    return rows[chosen]


def by_name(given: str | Acquisition, *, seed: int = 0) -> Acquisition:
    """The acquisition of a name; one of the caller's own stays as it is.

    Parameters
    ----------
    given : str or callable
    seed : int
        Of the random acquisition.

    Returns
    -------
    callable

    Raises
    ------
    ValueError
        If there is none of this name.
    """
    if callable(given):
        return given
    if given == "random":
        rng = np.random.default_rng(seed)
        return best(lambda pred: random(pred, seed=int(rng.integers(2**31))))
    known: dict[str, Acquisition] = {
        "bald": best(bald),
        "entropy": best(entropy),
        "margin": best(margin),
        "epig": best(epig),
        "batch_bald": batch_bald,
    }
    return known[validation.choice("acquisition", given, [*known, "random"])]


def _joint(pred: Prediction) -> JointPosterior:
    """What draws pixels jointly; ValueError where there is nothing."""
    if pred.joint is None:
        raise ValueError(
            "pred cannot draw pixels jointly; use one that EELSClassifier.predict made, and not "
            "with joint=False: joint='float16' takes half of the memory"
        )
    return pred.joint


def _never(pred: Prediction, score: Array) -> Array:
    """Scores that never choose a flagged pixel."""
    return np.where(pred.ok, np.nan_to_num(np.asarray(score, dtype=np.float64)), -np.inf)

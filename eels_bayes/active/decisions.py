"""What to do about a pixel: accept, measure again, simulate, or report it as novel.

Decision theory with the user's costs. The cost of an action is what it takes plus what is expected
to go wrong after it: the class that is wrong, the novel structure that is missed. The part of the
expected error that an action can remove is taken in proportion to the part of the entropy that it
removes; both vanish together, and each bounds the other (Hellman and Raviv, IEEE Trans. Inf. Theory
16, 368 (1970)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes.arrays import Array
from eels_bayes.prediction.novel_share import novel_probability

ACTIONS = ("accept", "measure again", "simulate", "report as novel")
ONE_FRAME = 0.5  # of the encoder information: one more frame halves the variance of the noise


class Reading(Protocol):
    """What `Prediction` and `FastReading` have in common, as far as it is needed here."""

    @property
    def probabilities(self) -> Array: ...
    @property
    def total(self) -> Array: ...
    @property
    def encoder(self) -> Array: ...
    @property
    def classifier(self) -> Array: ...
    @property
    def novelty(self) -> Array: ...
    @property
    def flag(self) -> Array: ...


@dataclass(frozen=True)
class Costs:
    """Costs of one pixel, all in one unit of your choice.

    Parameters
    ----------
    error
        A wrong class that is accepted.
    missed
        A structure that is not in the library, accepted as one of its classes.
    frame
        One more frame of the pixel: time and dose.
    simulation
        A pixel's share in the cost of simulating or labelling a structure like it.
    report
        Somebody who looks at the pixel.
    novel
        Share of pixels expected beforehand to be of no structure in the library, between 0 and 1.

    Raises
    ------
    ValueError
        Where one is negative or not finite, or `novel` is not between 0 and 1.
    """

    error: float = 1.0
    missed: float = 2.0
    frame: float = 0.05
    simulation: float = 0.1
    report: float = 0.3
    novel: float = 0.01

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"Costs.{item.name} is {value!r}; give a finite number >= 0")
        if not 0 < self.novel < 1:
            raise ValueError(f"Costs.novel is {self.novel}; give a share between 0 and 1")


@dataclass(frozen=True, eq=False)
class Decisions:
    """What to do about n pixels.

    Attributes
    ----------
    action : (n,) array of str
        One of `ACTIONS`: the cheapest. A flagged pixel is measured again: nothing is known of it.
    reason : list of n str
    expected_cost : (n, 4) array
        Of each of `ACTIONS`, in the unit of the costs; NaN where flagged.
    saving : (n,) array
        What the action is expected to save against accepting.
    """

    action: NDArray[np.str_]
    reason: list[str]
    expected_cost: Array
    saving: Array

    @property
    def order(self) -> NDArray[np.int64]:
        """Pixels (n,), those first whose action saves most."""
        return np.argsort(-np.nan_to_num(self.saving), kind="stable")

    def count(self) -> dict[str, int]:
        """How many pixels each action is for."""
        return {action: int((self.action == action).sum()) for action in ACTIONS}


def decide(
    pred: Reading, costs: Costs | None = None, *, gain: ArrayLike | None = None
) -> Decisions:
    """The cheapest action for every pixel by expected cost, and why.

    Parameters
    ----------
    pred : Prediction or FastReading
        n pixels.
    costs : Costs, optional
    gain : (n,) array_like, optional
        Expected drop of the total entropy from one more frame, nats:
        `eels_bayes.active.encoder_gain`. By default half of the encoder information, which one more
        frame of the same dose removes about.

    Raises
    ------
    ValueError
        If `gain` does not fit the pixels.
    """
    costs = costs or Costs()
    total, encoder, classifier, novelty, flag = (
        np.atleast_1d(np.asarray(getattr(pred, name), dtype=np.float64))
        for name in ("total", "encoder", "classifier", "novelty", "flag")
    )
    probability = np.atleast_2d(pred.probabilities).astype(np.float64)
    # without a decomposition, noise is what is suspected
    encoder = np.where(np.isnan(encoder), total, encoder)
    classifier = np.nan_to_num(classifier)
    removed = ONE_FRAME * encoder if gain is None else np.atleast_1d(np.asarray(gain, float))
    if removed.shape != total.shape:
        raise ValueError(f"gain has shape {removed.shape}; {total.shape} is needed, one a pixel")
    wrong = costs.error * (1.0 - probability.max(1))
    novel = novel_probability(np.nan_to_num(novelty), costs.novel)
    left = np.maximum(total, 1e-12)
    if_known = np.stack(
        [
            wrong,
            wrong * (1.0 - np.clip(removed / left, 0.0, 1.0)),
            wrong * (1.0 - np.clip(classifier / left, 0.0, 1.0)),
            wrong,
        ],
        axis=1,
    )
    if_novel = np.array([costs.missed, costs.missed, costs.missed, 0.0])
    price = np.array([0.0, costs.frame, costs.simulation, costs.report])
    expected = price + (1.0 - novel)[:, None] * if_known + novel[:, None] * if_novel
    flagged = flag != 0
    expected[flagged] = np.nan
    best = np.where(flagged, 1, np.nan_to_num(expected, nan=0.0).argmin(1))
    saving = expected[:, 0] - expected[np.arange(len(best)), best]
    doubt = f"costs {costs.frame:g} and is expected to save"
    words = (
        lambda i: f"wrong with probability {1 - probability[i].max():.2g}: nothing else pays",
        lambda i: (
            f"noise hides {encoder[i]:.2f} of {total[i]:.2f} nats: one more frame {doubt} "
            f"{saving[i] + costs.frame:.2g}"
        ),
        lambda i: (
            f"the classifier does not know {classifier[i]:.2f} of {total[i]:.2f} nats: a structure "
            f"like this one is worth {costs.simulation:g}"
        ),
        lambda i: f"novel with probability {novel[i]:.2g}: like nothing in the library",
    )
    reason = [
        "not readable: nothing is known of it" if flagged[i] else words[k](i)
        for i, k in enumerate(best.tolist())
    ]
    return Decisions(np.array(ACTIONS)[best], reason, expected, np.where(flagged, np.nan, saving))

"""What to do about a pixel: accept, measure again, simulate, or report it as novel.

Decision theory with the user's costs. The cost of an action is what it takes plus what is expected
to go wrong after it: the class that is wrong, the novel structure that is missed. The part of the
expected error that an action can remove is taken in proportion to the part of the entropy that it
removes; both vanish together, and each bounds the other (Hellman and Raviv, IEEE Trans. Inf. Theory
16, 368 (1970)).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes import validation
from eels_bayes.arrays import Array
from eels_bayes.prediction.novel_share import novel_probability

ACTIONS = ("accept", "measure again", "simulate", "report as novel")
ONE_FRAME = 0.5  # of the encoder information: one more frame halves the variance of the noise
LEAST_ENTROPY = 1e-12  # nats: what less is a share of, where nothing is uncertain


class Decidable(Protocol):
    """n pixels as `Prediction` and `FastReading` have them, as far as decisions need them."""

    @property
    def probabilities(self) -> Array:
        """Class probabilities (n, K)."""
        ...

    @property
    def total(self) -> Array:
        """Entropy (n,) of the class, nats."""
        ...

    @property
    def encoder(self) -> Array:
        """Its part (n,) that noise hides, nats; NaN where it is not known."""
        ...

    @property
    def classifier(self) -> Array:
        """Its part (n,) that the classifier does not know, nats; NaN where it is not known."""
        ...

    @property
    def novelty(self) -> Array:
        """Novelty (n,) between 0 and 1."""
        ...

    @property
    def flag(self) -> Array:
        """0 (n,) where a pixel is usable."""
        ...


@dataclass(frozen=True)
class Costs:
    """Costs of one pixel, all in one unit of your choice.

    Parameters
    ----------
    error : float
        A wrong class that is accepted.
    missed : float
        A structure that is not in the library, accepted as one of its classes.
    frame : float
        One more frame of the pixel: time and dose.
    simulation : float
        A pixel's share in the cost of simulating or labelling a structure like it.
    report : float
        The time of an expert who looks at the pixel.
    novel : float
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
            validation.not_negative(f"Costs.{item.name}", getattr(self, item.name))
        if not 0 < self.novel < 1:
            raise ValueError(f"Costs.novel is {self.novel}; give a share between 0 and 1")


@dataclass(frozen=True, eq=False)
class Decisions:
    """What to do about n pixels.

    Attributes
    ----------
    action : (n,) array of str
        One of `ACTIONS`: the cheapest. A pixel that is flagged, or whose numbers are not finite, is
        measured again: nothing is known of it.
    reason : list of n str
        A sentence that gives the numbers behind each action.
    expected_cost : (n, 4) array
        Of each of `ACTIONS`, in the unit of the costs; NaN where nothing is known.
    saving : (n,) array
        What the action is expected to save against accepting; NaN where nothing is known.
    """

    action: NDArray[np.str_]
    reason: list[str]
    expected_cost: Array
    saving: Array

    @property
    def order(self) -> NDArray[np.int64]:
        """Pixels by what their action saves, the most first.

        Returns
        -------
        (n,) int array
            Indices.
        """
        return np.argsort(-np.nan_to_num(self.saving), kind="stable")

    def count(self) -> dict[str, int]:
        """How many pixels each action is for.

        Returns
        -------
        dict of str to int
            One entry for each of `ACTIONS`.
        """
        return {action: int((self.action == action).sum()) for action in ACTIONS}


def decide(
    pred: Decidable, costs: Costs | None = None, *, gain: ArrayLike | None = None
) -> Decisions:
    """The cheapest action for every pixel by expected cost, and why.

    Parameters
    ----------
    pred : Prediction or FastReading
        n pixels.
    costs : Costs, optional
        The defaults of `Costs` where left out.
    gain : (n,) array_like, optional
        Expected drop of the total entropy from one more frame, nats:
        `eels_bayes.active.encoder_gain`. By default half of the encoder information, which one more
        frame of the same dose removes about.

    Returns
    -------
    Decisions

    Raises
    ------
    ValueError
        If `gain` does not fit the pixels, or is NaN where one is not flagged.

    Examples
    --------
    A sure pixel, one that noise hides, and one that is like nothing in the library:

    >>> import numpy as np
    >>> import eels_bayes as eb
    >>> pixels = eb.FastReading(
    ...     probabilities=np.array([[0.99, 0.01], [0.60, 0.40], [0.95, 0.05]]),
    ...     labels=np.array([0, 0, 0]),
    ...     total=np.array([0.06, 0.67, 0.20]),
    ...     aleatoric=np.array([0.04, 0.05, 0.15]),
    ...     encoder=np.array([0.01, 0.60, 0.03]),
    ...     classifier=np.array([0.01, 0.02, 0.02]),
    ...     novelty=np.array([0.20, 0.40, 0.99999]),
    ...     value=np.full(3, np.nan),
    ...     value_sd=np.full(3, np.nan),
    ...     flag=np.array([0, 0, 0]),
    ... )
    >>> eb.decide(pixels, eb.Costs(frame=0.05)).action.tolist()
    ['accept', 'measure again', 'report as novel']
    """
    costs = costs or Costs()
    pixels = _Pixels.of(pred)
    removed = ONE_FRAME * pixels.encoder
    if gain is not None:
        removed = np.atleast_1d(validation.numbers("gain", gain))
    if removed.shape != pixels.total.shape:
        raise ValueError(
            f"gain has shape {removed.shape}; {pixels.total.shape} is needed, one a pixel"
        )
    if (unknown := np.isnan(removed) & ~pixels.flagged).any():
        raise ValueError(f"gain is NaN for {int(unknown.sum())} pixels that are not flagged")
    novel = novel_probability(np.nan_to_num(pixels.novelty), costs.novel)
    expected = _expected_costs(pixels, costs, novel, removed)
    expected[pixels.flagged] = np.nan
    again = ACTIONS.index("measure again")
    best = np.where(pixels.flagged, again, np.nan_to_num(expected, nan=0.0).argmin(1))
    saving = expected[:, 0] - expected[np.arange(len(best)), best]
    reason = [
        _reason(pixels, costs, novel, saving, pixel, action)
        for pixel, action in enumerate(best.tolist())
    ]
    saving = np.where(pixels.flagged, np.nan, saving)
    return Decisions(np.array(ACTIONS)[best], reason, expected, saving)


class _Pixels(NamedTuple):
    """What decisions are made from, in double precision and without gaps."""

    probabilities: Array
    total: Array
    encoder: Array
    classifier: Array
    novelty: Array
    flagged: NDArray[np.bool_]

    @classmethod
    def of(cls, pred: Decidable) -> _Pixels:
        """Of one pixel or many."""
        total, encoder, classifier, novelty, flag = (
            np.atleast_1d(np.asarray(getattr(pred, name), dtype=np.float64))
            for name in ("total", "encoder", "classifier", "novelty", "flag")
        )
        probabilities = np.atleast_2d(pred.probabilities).astype(np.float64)
        finite = np.isfinite(probabilities).all(1) & np.isfinite(total + novelty)
        # without a decomposition, noise is what is suspected
        encoder = np.where(np.isnan(encoder), total, encoder)
        probabilities[~finite] = np.nan  # infinite ones would be computed with
        flagged = (flag != 0) | ~finite
        return cls(probabilities, total, encoder, np.nan_to_num(classifier), novelty, flagged)


def _expected_costs(pixels: _Pixels, costs: Costs, novel: Array, removed: Array) -> Array:
    """Expected cost (n, 4) of each action; a frame removes so much entropy (n,)."""
    wrong = costs.error * (1.0 - pixels.probabilities.max(1))
    total = np.maximum(pixels.total, LEAST_ENTROPY)
    if_known = np.stack(
        [
            wrong,
            wrong * (1.0 - np.clip(removed / total, 0.0, 1.0)),
            wrong * (1.0 - np.clip(pixels.classifier / total, 0.0, 1.0)),
            wrong,
        ],
        axis=1,
    )
    if_novel = np.array([costs.missed, costs.missed, costs.missed, 0.0])
    price = np.array([0.0, costs.frame, costs.simulation, costs.report])
    expected: Array = price + (1.0 - novel)[:, None] * if_known + novel[:, None] * if_novel
    return expected


def _reason(pixels: _Pixels, costs: Costs, novel: Array, saving: Array, i: int, action: int) -> str:
    """Why an action, by its index, is taken for pixel i."""
    if pixels.flagged[i]:
        return "not readable: nothing is known of it"
    total = pixels.total[i]
    if ACTIONS[action] == "accept":
        wrong = 1 - pixels.probabilities[i].max()
        return f"wrong with probability {wrong:.2g}: nothing else pays"
    if ACTIONS[action] == "measure again":
        return (
            f"noise hides {pixels.encoder[i]:.2f} of {total:.2f} nats: one more frame costs "
            f"{costs.frame:g} and is expected to save {saving[i] + costs.frame:.2g}"
        )
    if ACTIONS[action] == "simulate":
        return (
            f"the classifier does not know {pixels.classifier[i]:.2f} of {total:.2f} nats: a "
            f"structure like this one is worth {costs.simulation:g}"
        )
    return f"novel with probability {novel[i]:.2g}: like nothing in the library"

"""What a pixel may be to its neighbours: of one class, or mostly of one with some of another.

Where one class passes into another, pixels are mixed, and they lie between pixels that are not. A
field of such states knows so: "mostly A with some B" is as near to A as it is to B, while the word
of a class alone would make a mixed pixel as improbable at a border as anywhere else.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eels_bayes.forward_model.components import MIXING, absent, dominant
from eels_bayes.forward_model.model import ForwardModel

LEAST_MIXED = 2e-3  # of all pixels: a rarer mixture of two classes is no state of its own


class PixelStates(NamedTuple):
    """The S states of a pixel; the first K are the classes.

    Attributes
    ----------
    label : ndarray (S,) of int
        Class that dominates.
    weight : ndarray (S,)
        How frequent each is where nothing is known of a pixel; they sum to one.
    share : ndarray (S, K)
        Of the classes in such a pixel.
    of_component : ndarray (C, K) of int
        State of a pixel by its component of the forward model, and its class.
    shown : ndarray (C, K) of int
        State for which such a pixel counts among its neighbours: of the class that dominates its
        component, whatever the heads make of it. They are alike in all pixels, so that what they
        are wrong by would add up over neighbours. Where labels alone tell of a class, only the
        heads know of it, and this is as ``of_component``.
    of_dominant : ndarray (C,) of int
        State of a pixel by its component and the class that dominates that.
    """

    label: NDArray[np.int64]
    weight: NDArray[np.float64]
    share: NDArray[np.float64]
    of_component: NDArray[np.int64]
    shown: NDArray[np.int64]
    of_dominant: NDArray[np.int64]

    def of_classes(self, classes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weights (..., S) of states where only those (..., K) of their classes are known."""
        of_class = np.bincount(self.label, self.weight)
        found: NDArray[np.float64] = classes[..., self.label] * self.weight / of_class[self.label]
        return found

    def ratio(self, others: NDArray[np.float64]) -> NDArray[np.float64]:
        """Prior weights (n, C, K) over the fit's of each component's class, by states (n, S)."""
        found: NDArray[np.float64] = (others / self.weight)[:, self.of_component]
        return found

    @property
    def by_component(self) -> bool:
        """Whether neighbours see no more of a pixel than its component."""
        return bool((self.shown == self.of_dominant[:, None]).all())

    def ratio_of_components(self, others: NDArray[np.float64]) -> NDArray[np.float64]:
        """Prior weights (n, C) over the fit's of each component, by states (n, S)."""
        found: NDArray[np.float64] = (others / self.weight)[:, self.of_dominant]
        return found


def pixel_states(model: ForwardModel, class_weights: NDArray[np.float64]) -> PixelStates:
    """The states that a fitted forward model knows.

    Parameters
    ----------
    model : ForwardModel
    class_weights : (K,) array
        How frequent each class is, all positive: those of the model's library, then any others.
    """
    n_classes, (members, weight) = len(class_weights), model.components()
    states = [(k, k) for k in range(n_classes)]
    none, dominating = absent(model.library), dominant(model.library, model.pairs)
    for a, b in {(a, b): None for a, b, _ in members if a != b and b != none}:
        if model.pair_weights[a, b] > LEAST_MIXED:
            states += [(a, b), (b, a)]
    place = {state: index for index, state in enumerate(states)}
    of_component = np.tile(np.arange(n_classes), (len(members), 1))
    shown = of_component.copy()
    found = np.zeros(len(states))
    for row, seen, (a, b, _), mostly_of, one in zip(
        of_component, shown, members, dominating, weight, strict=True
    ):
        if (a, b) in place:
            row[a], row[b] = place[a, b], place[b, a]
        seen[:] = row[mostly_of]
        found[seen[0]] += one
    of_dominant = shown[:, 0]
    if n_classes > model.library.n_classes:
        shown = of_component
    label = np.array([a for a, _ in states])
    of_class = np.bincount(label, found, n_classes)
    found[:n_classes][of_class == 0] = 1.0  # classes that the model does not know
    of_class = np.bincount(label, found, n_classes)
    mostly = np.mean([share for share in MIXING if share >= 0.5])
    share = np.zeros((len(states), n_classes))
    for mixed, (a, b) in zip(share, states, strict=True):
        mixed[b] = 1.0 - mostly
        mixed[a] = mostly if a != b else 1.0
    weights = found * (class_weights / of_class)[label]
    return PixelStates(label, weights, share, of_component, shown, of_dominant)


def in_states(component_classes: Tensor, states: PixelStates) -> Tensor:
    """Probabilities (n, S) of states by those of classes within components (n, C, K)."""
    none = component_classes.new_zeros(len(component_classes), len(states.label))
    shown = torch.from_numpy(states.shown).to(none.device)
    return none.index_add(1, shown.flatten(), component_classes.flatten(1))


def state_distance(share: NDArray[np.float64], class_distance: Tensor) -> Tensor:
    """Steps between states (S, S): how far shares must be moved to make one state of the other.

    The earth mover's distance (Rubner, Tomasi and Guibas, Int. J. Comput. Vis. 40, 99 (2000)) of
    shares of two classes at most. What goes from the first class of one state to the first of the
    other settles the rest, and costs in proportion: it is all, or as little, as is possible.

    Parameters
    ----------
    share : (S, K) array
        Rows sum to one, with two classes at most.
    class_distance : Tensor (K, K)
        In steps.
    """
    distance = class_distance.numpy()
    first, second = (
        np.argsort(-share, axis=1, kind="stable")[:, :2].T
        if share.shape[1] > 1
        else (np.zeros((2, len(share)), dtype=np.int64))
    )
    of_first = share[np.arange(len(share)), first]
    s, t = of_first[:, None], of_first[None, :]
    costs = []
    for kept in (np.maximum(s + t - 1.0, 0.0), np.minimum(s, t)):
        costs.append(
            kept * distance[np.ix_(first, first)]
            + (s - kept) * distance[np.ix_(first, second)]
            + (t - kept) * distance[np.ix_(second, first)]
            + (1.0 - s - t + kept) * distance[np.ix_(second, second)]
        )
    return torch.from_numpy(np.minimum(*costs))

"""A map that sharpens while it is scanned: a new pixel hears of those before it, and tells them.

The field of `field.coupling`, whose messages travel a few rows at a time: what is far from the
newest pixel has heard all that it will, and what is not scanned yet says nothing. Classes alone are
its states, as compiled classifiers tell no more of a pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from eels_bayes import validation
from eels_bayes.field.coupling import learn_field
from eels_bayes.field.graph import grid_graph
from eels_bayes.field.messages import (
    LEAST_SEEN,
    Kernel,
    Sides,
    class_distance,
    if_not_alone,
    normalised,
    nothing_said,
    of_states,
    passed,
    penalties,
    sides_of,
    values_of_all,
    with_alone,
)
from eels_bayes.field.pixels import reweighted
from eels_bayes.field.prior import Coupling, coupling_of, prior_of_logs

if TYPE_CHECKING:
    from eels_bayes.fast.classifier import FastClassifier, FastReading

REACH = 3  # rows before the newest pixel's that hear of it at once
DAMPING = 0.5  # part of a message that stays: all pixels send at once, which oscillates without it
SWEEPS = 2  # of these rows with each call of `add`: messages go on with the next pixels
CHANGED = 0.1  # of a class probability: pixels that moved by as much are told of
LEAST = 1e-30  # of a probability, to have a logarithm


class LiveMap:
    """Class probabilities of the pixels of a scan so far, each by its neighbours as well.

    Parameters
    ----------
    fast : FastClassifier
        What reads the pixels.
    shape : sequence of int
        Of the scan: rows and columns, or points of a line.
    coupling : Coupling, optional
        How alike neighbours are: of an image before, from `finish` or from
        ``Prediction.map_posterior.coupling``. By default that of which neighbours are believed
        before anything is known: cautiously.

    Raises
    ------
    TypeError, ValueError
        If there is no compiled classifier; if the shape is no shape; if the coupling is none, or
        of another number of axes.

    Examples
    --------
    With ``fast`` a compiled classifier and ``camera`` a generator of raw counts::

        scan = eb.LiveMap(fast, shape=(30, 19))
        for result in eb.LiveClassifier(fast).run(camera):
            changed = scan.add(result.reading, result.number)
        coupling = scan.finish()  # for the next image
    """

    def __init__(
        self, fast: FastClassifier, shape: Sequence[int], *, coupling: Coupling | None = None
    ) -> None:
        if not hasattr(fast, "library") or not hasattr(fast, "aligned"):
            raise TypeError(
                f"fast is a {type(fast).__name__}; a compiled classifier is needed, "
                "of `compile` or `load_fast`"
            )
        if not isinstance(shape, Sequence) or isinstance(shape, (str, bytes)) or not shape:
            raise TypeError(f"shape is {shape!r}; give rows and columns, or the points of a line")
        self.shape = tuple(validation.whole("shape", size) for size in shape)
        n, n_classes = int(np.prod(self.shape)), len(fast.class_names)
        self._graph = grid_graph(np.zeros(n, np.int64), np.arange(n), [self.shape])
        self._sides = sides_of(self._graph)
        self._weights = np.array(fast.library["class_weights"])
        self._distance = class_distance(values_of_all(fast.library["values"], n_classes))
        self._data = torch.ones(n_classes, n, dtype=torch.float32)  # likelihoods
        self._base = torch.from_numpy(self._weights).float().unsqueeze(1)
        self._prior = self._base  # of the scan, by what was seen of it
        self._seen = torch.zeros(2, n_classes, n, dtype=torch.float32)  # believed, and foretold
        self._sums = torch.zeros(2, n_classes, 1, dtype=torch.float64)  # of them, over the scan
        self._messages = nothing_said(n_classes + 1, self._sides)
        self._found = np.full((n, n_classes), np.nan)
        self._alone = np.full((n, n_classes), np.nan)  # probabilities of the pixels by themselves
        middle, _ = prior_of_logs(self._graph.n_axes)
        coupling = coupling_of(middle) if coupling is None else coupling
        _check_coupling(coupling, self._graph.n_axes)
        self.coupling = coupling

    def add(self, reading: FastReading, number: ArrayLike) -> NDArray[np.int64]:
        """Take in pixels that were read, and tell those around.

        Parameters
        ----------
        reading : FastReading
            Of one pixel, or of m.
        number : int or (m,) array_like of int
            Places in the scan, rows after each other: `LiveResult.number`, unless spectra were
            dropped or the scan has turns. A place that was read before is read anew.

        Returns
        -------
        ndarray of int
            Places whose label changed, or whose class probabilities did by `CHANGED`; new ones
            among them. Flagged pixels are not: they are read no further, and what stands around
            them hears of each other through them; so do pixels that are NaN.

        Raises
        ------
        TypeError, ValueError
            If a place is not of this scan, or there is not one for each pixel; if the reading is
            none.
        """
        number = self._places(number)
        if not hasattr(reading, "probabilities") or not hasattr(reading, "flag"):
            raise TypeError(
                f"reading is a {type(reading).__name__}; what a compiled classifier says is "
                "needed: fast(counts), or LiveResult.reading"
            )
        probabilities = np.atleast_2d(reading.probabilities).astype(float)
        if probabilities.shape != (len(number), len(self._data)):
            raise ValueError(
                f"reading holds {probabilities.shape[0]} pixels of {probabilities.shape[1]} "
                f"classes; {len(number)} places and {len(self._data)} classes are needed"
            )
        if len(number) == 0:
            return np.zeros(0, dtype=np.int64)
        if (probabilities < 0).any() or np.isinf(probabilities).any():
            raise ValueError("reading holds class probabilities that are negative or infinite")
        # NaN would spread to all
        ok = (np.atleast_1d(reading.flag) == 0) & np.isfinite(probabilities).all(1)
        ratio = np.where(ok[:, None], probabilities / self._weights, 1.0)
        ratio = np.maximum(ratio / np.maximum(ratio.max(1, keepdims=True), LEAST), LEAST_SEEN)
        self._data[:, number] = torch.from_numpy(ratio.T).float()
        self._alone[number] = np.where(ok[:, None], probabilities, np.nan)
        self._found[number] = np.nan  # anew
        return self._spread(int(number.min()), int(number.max()))

    def finish(self) -> Coupling:
        """Read the whole scan together, and learn from it how alike neighbours are.

        Returns
        -------
        Coupling
            For a scan that follows; in use from here on.
        """
        n, likelihood = self._data.shape[1], self._data.double().log().T.numpy()
        field = learn_field(
            likelihood,
            np.zeros(n, dtype=np.int64),
            self._graph,
            self._distance,
            self._weights,
        )
        self.coupling = field.coupling
        joint = field.others.double().numpy() * np.exp(likelihood)
        self._put(slice(0, n), joint)
        return self.coupling

    @property
    def coupling(self) -> Coupling:
        """How alike neighbours are taken to be.

        Returns
        -------
        Coupling
        """
        return self._coupling

    @coupling.setter
    def coupling(self, coupling: Coupling) -> None:
        self._coupling = coupling
        penalty = with_alone(penalties(coupling.strength, coupling.growth, self._distance))
        self._kernel = Kernel(torch.exp(-penalty).float())

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Class probabilities.

        Returns
        -------
        ndarray (shape, K)
            NaN where flagged, and where nothing was scanned yet.
        """
        return self._found.reshape(*self.shape, -1).copy()

    @property
    def labels(self) -> NDArray[np.int64]:
        """Index of the most probable class.

        Returns
        -------
        ndarray (shape) of int
            -1 where flagged, and where nothing was scanned yet.
        """
        known = np.isfinite(self._found).all(1)
        labels = np.where(known, np.nan_to_num(self._found).argmax(1), -1)
        return labels.reshape(self.shape)

    @property
    def total(self) -> NDArray[np.float64]:
        """Entropy of the class.

        Returns
        -------
        ndarray (shape)
            Nats; NaN where flagged, and where nothing was scanned yet.
        """
        return _entropy(self._found).reshape(self.shape)

    @property
    def neighbours(self) -> NDArray[np.float64]:
        """What the other pixels took away of the entropy, as `Prediction.neighbours`.

        Returns
        -------
        ndarray (shape)
            Nats, negative where they contradict a pixel; NaN as `total`.
        """
        return (_entropy(self._alone) - _entropy(self._found)).reshape(self.shape)

    def _places(self, number: ArrayLike) -> NDArray[np.int64]:
        """Flat places, which are of this scan."""
        given = np.atleast_1d(np.asarray(number))
        if given.ndim > 1 or (given.dtype.kind not in "iu" and len(given)):
            raise TypeError(f"number is {number!r}; give a whole number, or one for each pixel")
        n = self._data.shape[1]
        if len(given) and (given.min() < 0 or given.max() >= n):
            raise ValueError(f"number is {number!r}; the scan has places 0 to {n - 1}")
        if len(np.unique(given)) < len(given):
            raise ValueError("number names a place twice; add frames of one place one by one")
        return given.astype(np.int64)

    def _spread(self, first: int, last: int) -> NDArray[np.int64]:
        """Pass messages in the rows around places; those that changed."""
        row = 1 if len(self.shape) == 1 else int(np.prod(self.shape[1:]))
        n = self._data.shape[1]
        begin = max(0, first // row - REACH) * row
        window = slice(begin, min(n, (last // row + 1 + REACH) * row))
        data = self._data[:, window]
        prior, local = of_states(data, self._prior, self.coupling.alone)
        sides, messages = self._sides, self._messages[:, :, window]
        sender = sides.sender[..., window] - window.start
        inside = (sender > 0) & (sender <= window.stop - begin)
        within = Sides(sender * inside, sides.opposite)
        # what is beyond says what it said before
        beyond = torch.where(inside, 1.0, messages)
        sent = torch.where(inside, messages, 1.0)
        local = local * beyond.prod(0)
        for _ in range(SWEEPS):
            sent = torch.lerp(passed(sent, local, within, self._kernel), sent, DAMPING)
        self._messages[:, :, window] = sent * beyond
        others = normalised(prior * (sent * beyond).prod(0))
        foretold = if_not_alone(others, self._prior)
        joint = foretold * data
        before = self._found[window].copy()
        self._put(window, joint.T.double().numpy())
        read = torch.from_numpy(np.isfinite(self._found[window, 0]))
        seen = torch.stack([joint / joint.sum(0), foretold]) * read
        self._sums += (seen - self._seen[:, :, window]).double().sum(2, keepdim=True)
        self._seen[:, :, window] = seen
        believed, told = self._sums.float().unbind()
        self._prior = reweighted(believed, told, self._base, self._prior)
        after = self._found[window]
        away = ~(np.abs(after - before).max(1) < CHANGED)  # of what is new, too
        away |= np.nan_to_num(after).argmax(1) != np.nan_to_num(before).argmax(1)
        return np.flatnonzero(away & np.isfinite(after).all(1)) + begin

    def _put(self, rows: slice, joint: NDArray[np.float64]) -> None:
        """Keep class probabilities of pixels that were read."""
        read = np.isfinite(self._alone[rows]).all(1, keepdims=True)
        self._found[rows] = np.where(read, joint / joint.sum(1, keepdims=True), np.nan)


def _check_coupling(coupling: Coupling, n_axes: int) -> None:
    """Raise TypeError or ValueError unless a scan of so many axes can have it."""
    if not isinstance(coupling, Coupling) or not all(map(torch.is_tensor, coupling)):
        raise TypeError(
            f"coupling is a {type(coupling).__name__}; that of LiveMap.finish or of "
            "Prediction.map_posterior.coupling is needed"
        )
    strength, growth, alone = coupling
    if strength.ndim != 1 or growth.ndim or alone.ndim:
        raise ValueError("coupling holds several; give that of one scan")
    if len(strength) != n_axes:
        raise ValueError(
            f"coupling is of {len(strength)} axes, the scan has {n_axes}; give that of a scan like "
            "it"
        )
    numbers = torch.cat([strength, growth.reshape(1), alone.reshape(1)])
    if not (torch.isfinite(numbers) & (numbers >= 0)).all() or alone > 1:
        raise ValueError(f"coupling is {coupling}; finite costs and a share of pixels are needed")


def _entropy(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of rows (n, K), nats."""
    found: NDArray[np.float64] = -(probabilities * np.log(np.maximum(probabilities, LEAST))).sum(1)
    return found

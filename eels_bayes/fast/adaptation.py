"""How a live stream is followed: what is learned of it, and when that is read by.

The frozen model stays beside. Every new spectrum is first asked how probable it is under what was
fitted, what is read by and what is known now, and is learned from then. So what is compared has not
seen what it is compared on.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eels_bayes import validation
from eels_bayes.fast import stream_em
from eels_bayes.fast.following import Components, Followed
from eels_bayes.fast.stream_em import Seen
from eels_bayes.fast.stream_reading import StreamReading
from eels_bayes.fast.torchscript_backend import scripted

if TYPE_CHECKING:
    from eels_bayes.fast.classifier import FastClassifier

RECENT = 1024  # spectra that models are compared on: chosen, not tuned
CERTAIN = 3.0  # standard errors by which one must be better: chosen, not tuned
MOST = 50.0  # nats by which one spectrum may speak for a model: outliers must not decide


@dataclass(frozen=True)
class Adaptation:
    """How `LiveClassifier` follows a stream that drifts.

    Parameters
    ----------
    memory : int
        Spectra after which a factor of e is forgotten of the continuum and the noise. A longer
        memory knows more and is later.
    class_memory : int
        The same of the class weights, which change faster. Both at least four times `step`.
    step : int
        Spectra that are learned from at once.

    Raises
    ------
    TypeError, ValueError
        If a number is not whole or too small.
    """

    memory: int = 3000
    class_memory: int = 600
    step: int = 64

    def __post_init__(self) -> None:
        for item in fields(self):
            validation.whole(f"Adaptation.{item.name}", getattr(self, item.name))
        if min(self.memory, self.class_memory) < 4 * self.step:
            raise ValueError(
                f"Adaptation.memory is {self.memory} and class_memory {self.class_memory} spectra; "
                f"both must be at least four times step, {self.step}, or what is learned overshoots"
            )


@dataclass(frozen=True)
class Swap:
    """A change of the model that a stream is read by.

    Attributes
    ----------
    number : int
        First spectrum of the run that is read by it.
    learned : int
        Spectra that were learned from.
    model : {"adapted", "frozen", "refitted"}
        What is read by now.
    gain, gain_error : float
        Mean log evidence of recent spectra, nats a spectrum, of what was learned over the frozen
        model, and its standard error; of a model that was fitted anew over the one in use before.
    """

    number: int
    learned: int
    model: Literal["adapted", "frozen", "refitted"]
    gain: float
    gain_error: float


class Proposal(NamedTuple):
    """Another model to read by.

    Attributes
    ----------
    components : Components or None
        None for the frozen model.
    tensors : dict of str to Tensor
        What the encoder's buffers are then.
    learned : int
    gain, gain_error : float
        As in `Swap`.
    """

    components: Components | None
    tensors: dict[str, Tensor]
    learned: int
    gain: float
    gain_error: float


class Follower:
    """Learns from a stream's spectra, and says what should be read by.

    The same spectra give the same.

    Parameters
    ----------
    fast : FastClassifier
        It is not changed.
    options : Adaptation

    Raises
    ------
    ValueError
        If the classifier does not hold what may drift.
    """

    def __init__(self, fast: FastClassifier, options: Adaptation):
        if fast.population is None:
            raise ValueError(
                "fast holds no population of the continuum, which adapt=True needs: compile it "
                "again, and save it again where it comes from a file"
            )
        self.fast, self.options = fast, options
        reader = fast.graph.reader
        n_classes = int(reader.dominant.shape[1])
        self._followed = Followed(reader.encoder, fast.population, n_classes)
        self._read = scripted(StreamReading(fast.graph, fast._preprocessor, self._followed).eval())
        self._em = scripted(stream_em.StreamEM(self._followed))
        self._running = stream_em.begun(self._followed)
        self._frozen = self._followed.components(self._followed.fitted)
        self._read_by = self._now = self._frozen
        self._tensors = self._followed.tensors(self._running.state, self._frozen)
        self.learned = 0
        # log evidence of recent spectra: of what is known over the frozen model, and over what is
        # read by, and of that over the frozen model
        self._recent = np.zeros((0, 3))

    def learn(self, counts: NDArray[Any], shift: NDArray[np.float64]) -> None:
        """Learn from raw counts (n, E) that can be read, with the drifts (n,) to be removed, eV."""
        with torch.no_grad():
            seen = self._seen(counts, shift)
            if len(seen.noise) > 0:
                self._take_in(seen)

    def _seen(self, counts: NDArray[Any], shift: NDArray[np.float64]) -> Seen:
        """Raw counts as they are learned from."""
        rows, known = torch.from_numpy(self.fast._rows(counts)[0]), self._tensors
        drift = torch.as_tensor(shift, dtype=torch.float32)
        seen: Seen = self._read(rows, drift, known["evidence.middle"], known["evidence.spread"])
        return seen

    def _take_in(self, seen: Seen) -> None:
        """Learn from spectra that were read."""
        step = self._em.expectation(seen, self._now)
        now = step.log_evidence
        frozen, read_by = (
            now if model is self._now else self._em.log_evidence(seen, model)
            for model in (self._frozen, self._read_by)
        )
        rows = torch.stack([now - frozen, now - read_by, read_by - frozen], 1).clamp(-MOST, MOST)
        self._recent = np.concatenate([self._recent, rows.numpy()])[-RECENT:]
        memories = float(self.options.memory), float(self.options.class_memory)
        after = self._em.maximisation(self._running, step, *memories)
        self._running, self._now, self._tensors = after
        self.learned += len(now)

    def proposal(self) -> Proposal | None:
        """What should be read by from now on, if it is another model; it is taken to be read by."""
        recent = self._recent
        if len(recent) < min(RECENT, self.options.class_memory):
            return None
        mean, error = recent.mean(0), recent.std(0) / np.sqrt(len(recent))
        of_frozen = float(mean[0]), float(error[0])
        if mean[0] > CERTAIN * error[0] and mean[1] >= -CERTAIN * error[1]:
            self._read_by = self._now
            return Proposal(self._now, self._tensors, self.learned, *of_frozen)
        if self._read_by is not self._frozen and mean[2] < -CERTAIN * error[2]:
            self._read_by = self._frozen
            return Proposal(None, {}, self.learned, *of_frozen)
        return None

    def log_density(
        self, counts: NDArray[Any], shift: NDArray[np.float64], *, newest: bool
    ) -> NDArray[np.float64]:
        """Of the profiles of raw counts (n, E), nats but for a constant.

        By what is read by, or by the newest that is known.
        With what lies beside the directions that matter, so that models of other directions, and
        of another whitening, can be compared.
        """
        with torch.no_grad():
            seen = self._seen(counts, shift)
            model = self._now if newest else self._read_by
            along = self._em.log_evidence(seen, model)
            noise = seen.noise * model.noise
            beside = seen.beside / noise + seen.n_beside * noise.log()
            white = self.fast.graph.reader.encoder.evidence.white.double().log().sum()
            found: NDArray[np.float64] = (along - 0.5 * beside + white).numpy()
        return found

    def gain(self) -> tuple[float, float]:
        """What recent spectra gain by what is known, nats: mean and standard error, NaN of none."""
        gains = self._recent[:, 0]
        if len(gains) < 2:
            return float("nan"), float("nan")
        return float(gains.mean()), float(gains.std() / np.sqrt(len(gains)))

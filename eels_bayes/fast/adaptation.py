"""How a live stream is followed: what is learned of it, and when that is read by.

The frozen model stays beside. Every new spectrum is first asked how probable it is under what was
fitted, what is read by and what is known now, and is learned from then. So what is compared has not
seen what it is compared on.
"""

from __future__ import annotations

from collections import deque
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
from eels_bayes.forward_model.whitening import whiten_tensors
from eels_bayes.preprocessing.aligned_counts import aligned

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
    model : {"adapted", "frozen"}
        What is read by now.
    gain, gain_error : float
        Mean log evidence of recent spectra, nats a spectrum, of what was learned over the frozen
        model, and its standard error.
    """

    number: int
    learned: int
    model: Literal["adapted", "frozen"]
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
        self._evidence = reader.encoder.evidence
        n_classes = int(reader.dominant.shape[1])
        self._followed = Followed(reader.encoder, fast.population, n_classes)
        self._running = stream_em.begun(self._followed)
        self._frozen = self._followed.components(self._followed.fitted)
        self._read_by = self._now = self._frozen
        self._tensors = self._followed.tensors(self._running.state, self._frozen)
        self.learned = 0
        # log evidence of recent spectra: of what is known over the frozen model, and over what is
        # read by, and of that over the frozen model
        self._recent: deque[tuple[float, float, float]] = deque(maxlen=RECENT)

    def learn(self, counts: NDArray[Any], shift: NDArray[np.float64]) -> None:
        """Learn from raw counts (n, E) that can be read, with the drifts (n,) to be removed, eV."""
        seen = self._seen(counts, shift)
        if len(seen.noise) == 0:
            return
        step = stream_em.expectation(seen, self._now)
        now = step.log_evidence
        frozen, read_by = (
            now if model is self._now else stream_em.log_evidence(seen, model)
            for model in (self._frozen, self._read_by)
        )
        rows = torch.stack([now - frozen, now - read_by, read_by - frozen], 1).clamp(-MOST, MOST)
        self._recent.extend(map(tuple, rows.tolist()))
        self._running = stream_em.maximisation(
            self._running,
            step,
            self._followed,
            memory=self.options.memory,
            class_memory=self.options.class_memory,
        )
        self._now = self._followed.components(self._running.state)
        self._tensors = self._followed.tensors(self._running.state, self._now)
        self.learned += len(now)

    def proposal(self) -> Proposal | None:
        """What should be read by from now on, if it is another model; it is taken to be read by."""
        recent = np.array(self._recent).reshape(-1, 3)
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

    def gain(self) -> tuple[float, float]:
        """What recent spectra gain by what is known, nats: mean and standard error, NaN of none."""
        gains = np.array([row[0] for row in self._recent])
        if len(gains) < 2:
            return float("nan"), float("nan")
        return float(gains.mean()), float(gains.std() / np.sqrt(len(gains)))

    def _seen(self, counts: NDArray[Any], shift: NDArray[np.float64]) -> Seen:
        """Spectra as the evidence reads them, whitened by what is known; the odd ones left out."""
        evidence, known = self._evidence, self._tensors
        rows = torch.from_numpy(self.fast._rows(counts)[0]) - self.fast.graph.offset
        # Of one drift together: what makes channels of it is reckoned once then.
        parts = [self._read(rows[shift == one], one) for one in dict.fromkeys(shift.tolist())]
        profile, level = (torch.cat(read) for read in zip(*parts, strict=True))
        deviation, noise = whiten_tensors(
            profile,
            level,
            evidence.center,
            evidence.white,
            known["evidence.middle"],
            known["evidence.spread"],
            evidence.brightness,  # as the detector has it
        )
        usable = deviation.isfinite().all(1) & noise.isfinite()
        deviation, noise = deviation[usable].double(), noise[usable].double()
        span = self._followed.span
        along = deviation @ span
        beside = (deviation.square().sum(1) - along.square().sum(1)).clamp(min=0.0)
        return Seen(along, beside, span.shape[0] - span.shape[1], noise)

    def _read(self, rows: Tensor, shift: float) -> tuple[Tensor, Tensor]:
        """Profiles (m, B) and levels (m,) of counts of one drift; of odd ones they are left out."""
        graph, preprocessor = self.fast.graph, self.fast._preprocessor
        with torch.no_grad():
            raw = aligned(
                rows,
                graph.axis,
                torch.full((len(rows),), shift, dtype=torch.float32),
                graph.gain,
                graph.readout,
                graph.correlation_factor,
                preprocessor._layout(),
            )
            odd, flag = preprocessor.extractor.check(raw.canonical, raw.norm)
        usable = ~(odd | raw.non_finite | raw.off_axis) & (flag == 0)
        return raw.profile[usable], raw.level[usable]

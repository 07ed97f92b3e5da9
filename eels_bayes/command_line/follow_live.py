"""``eels-bayes live``: spectra through a compiled model, one line of JSON each."""

from __future__ import annotations

import sys
import time
import tokenize
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, cast

import numpy as np
from cyclopts import Parameter

from eels_bayes import tensor_file
from eels_bayes.arrays import Array
from eels_bayes.classifier.loading import load_model
from eels_bayes.classifier.model_file import KIND
from eels_bayes.command_line.answer import Answer
from eels_bayes.data.hyperspy_io import energy_axis, load
from eels_bayes.data.unread_images import unread_images
from eels_bayes.fast.classifier import FastClassifier, load_fast
from eels_bayes.fast.live import LiveClassifier, LiveResult
from eels_bayes.preprocessing.windows import centers
from eels_bayes.validation import positive, same_axis

STDIN, ARRAYS = "-", ".npy"


def follow_live(
    source: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    model: Path,
    energy: tuple[float, float, int] | None = None,
    rate: float | None = None,
    policy: Literal["block", "drop_oldest", "batch"] = "block",
    drift: int | None = 200,
) -> Generator[dict[str, Any], None, Answer]:
    """Read spectra as they come: what is said of each, and at the end how many there were.

    Parameters
    ----------
    source
        A file that HyperSpy reads, whose spectra are replayed in order; an npy file of raw counts
        (n, E); or "-": npy arrays (E,) or (n, E), one after the other, from the standard input.
    model
        Model file that `fit` wrote, or a compiled one.
    energy
        First channel's centre (eV), channel width (eV) and number of channels, of npy arrays;
        a compiled model knows.
    rate
        Spectra a second that are replayed; as fast as they are read if left out.
    policy
        What happens when spectra come faster than they are read.
    drift
        Recent spectra that the energy drift is followed by.
    """
    with ExitStack() as opened:
        if source == STDIN or source.endswith(ARRAYS):
            given = None if energy is None else energy[0] + energy[1] * np.arange(energy[2])
            # without a buffer, whose lock a thread that waits for input would hold to the end
            where = sys.stdin.fileno() if source == STDIN else source
            file = opened.enter_context(open(where, "rb", buffering=0, closefd=source != STDIN))
            spectra: Iterator[Array] = _arrays(cast(BinaryIO, file), source)
        else:
            signals = load(source)
            given = _one_axis(signals)
            spectra = (image.read().counts for image in unread_images(signals, "auto"))
        fast = _compiled(model, given)
        if rate is not None:
            spectra = _paced(spectra, positive("rate", rate, "spectra a second"))
        live = LiveClassifier(fast, policy=policy, drift=drift)
        with closing(live.run(spectra)) as results:
            for result in results:
                yield line_of(result, fast.class_names)
    counters = asdict(live.counters)
    text = ", ".join(f"{name} {value:g}" for name, value in counters.items())
    read = counters["classified"] > counters["flagged"]
    return Answer(text, counters, read)


def line_of(result: LiveResult, class_names: tuple[str, ...]) -> dict[str, Any]:
    """What is said of one spectrum, as plain values; null where it was not read."""
    reading, label = result.reading, int(result.reading.labels)
    line: dict[str, Any] = {"number": result.number}
    line["class"] = class_names[label] if label >= 0 else None
    line["probabilities"] = dict(zip(class_names, reading.probabilities.tolist(), strict=True))
    fields = ("total", "aleatoric", "encoder", "classifier", "novelty", "value", "value_sd")
    line |= {name: float(getattr(reading, name)) for name in fields}
    line |= {"shift": result.shift, "latency_ms": 1e3 * result.latency}
    return line | {"flag": result.reason or None}


def _one_axis(signals: list[Any]) -> Array:
    """Energies (E,) that all signals share, as a detector's spectra do."""
    axes = [centers(energy_axis(signal)) for signal in signals]
    for k, axis in enumerate(axes):
        if not same_axis(axes[0], axis):
            raise ValueError(
                f"signal {k} has {len(axis)} channels from {axis[0]:g} eV, the first "
                f"{len(axes[0])} from {axes[0][0]:g} eV: replay them one by one"
            )
    return axes[0]


def _compiled(model: Path, energy: Array | None) -> FastClassifier:
    """A compiled model on an energy axis (E,), from either kind of file."""
    if tensor_file.kind_of(model) == KIND:
        if energy is None:
            raise ValueError("--energy is needed with npy arrays: first eV, eV a channel, channels")
        classifier = load_model(model)
        return classifier.compile(classifier.preprocessor, energy=energy)
    fast = load_fast(model)
    if energy is not None and not same_axis(fast.energy, energy):
        raise ValueError(
            f"{model} is compiled for {len(fast.energy)} channels from {fast.energy[0]:g} eV, and "
            f"the source has {len(energy)} from {energy[0]:g} eV: give the model file of the fit"
        )
    return fast


def _arrays(file: BinaryIO, name: str) -> Iterator[Array]:
    """Arrays of npy format, one after the other, until the end of a file or stream."""
    n = 0
    while first := file.read(1):
        try:
            yield np.lib.format.read_array(cast(Any, _Unread(first, file)), allow_pickle=False)
        except (ValueError, tokenize.TokenError) as error:  # the latter of a header, Python 3.12
            where = "the standard input" if name == STDIN else name
            raise ValueError(f"{where}: array {n} is no npy array ({error})") from error
        n += 1


class _Unread:
    """A stream of which some bytes were read too early."""

    def __init__(self, early: bytes, file: BinaryIO) -> None:
        self._early, self._file = early, file

    def read(self, size: int) -> bytes:
        """So many bytes, or what is left."""
        early, self._early = self._early[:size], self._early[size:]
        return early + self._file.read(size - len(early))


def _paced(spectra: Iterator[Array], rate: float) -> Iterator[Array]:
    """Single spectra, each not before its time."""
    began, number = time.perf_counter(), 0
    for some in spectra:
        for one in np.atleast_2d(some):
            time.sleep(max(0.0, began + number / rate - time.perf_counter()))
            yield one
            number += 1

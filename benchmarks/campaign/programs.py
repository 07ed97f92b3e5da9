"""Programs that write until they are killed.

What they start from lies in the folder: `one.eels` and `two.eels`, two models, `one.fast` and
`two.fast`, their fast paths, and `counts.npy`. Each says so once it is at work.
"""

from __future__ import annotations

import copy
import functools
import itertools
import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

import eels_bayes as eb
from eels_bayes import tensor_file

AT_WORK = "at work\n"  # what a program says
BUDGET = 12  # questions of the loop
ANSWERS = ("0 % F", "12.5 % F", "25 % F", "50 % F")  # by item, in turn
MODELS = ("one", "two")


def at_work() -> None:
    """Say so."""
    os.write(1, AT_WORK.encode())


@functools.cache
def model_of(path: Path) -> eb.EELSClassifier:
    """A model, loaded once: not to be changed."""
    return eb.load_model(path)


@functools.cache
def fast_of(path: Path, backend: Any = None) -> eb.FastClassifier:
    """A fast path, compiled once."""
    return eb.load_fast(path, backend=backend)


@functools.cache
def spectra_of(folder: Path) -> eb.Spectra:
    """Of the series, as the first model reads them."""
    signal = eb.load(str(folder / "series.hspy"))
    return model_of(folder / "one.eels").preprocessor(signal, show_progressbar=False)


def tensors(folder: Path) -> None:
    """Save a file of numbers again and again."""
    for n in itertools.count(1):
        x = torch.full((200_000,), float(n))
        tensor_file.write(folder / "again.eels", "numbers", {"x": x}, {"n": n})
        at_work()


def model(folder: Path) -> None:
    """Save one model over the other."""
    models = [model_of(folder / f"{name}.eels") for name in MODELS]
    for clf in itertools.cycle(models):
        clf.save(folder / "again.eels")
        at_work()


def fast(folder: Path) -> None:
    """Save one fast path over the other."""
    fasts = [fast_of(folder / f"{name}.fast") for name in MODELS]
    for one in itertools.cycle(fasts):
        one.save(folder / "again.fast")
        at_work()


def export(folder: Path) -> None:
    """Export one fast path over the other, as an archive and as an ONNX model."""
    warnings.simplefilter("ignore")
    fasts = [
        [fast_of(folder / f"{name}.fast", backend) for name in MODELS]
        for backend in ("torchscript", "onnx")
    ]
    for k in itertools.cycle((0, 1)):
        fasts[0][k].export(folder / "again.ts.pt")
        fasts[1][k].export(folder / "again.onnx")
        at_work()


def fitted(folder: Path, checkpoint: Path | None = None) -> eb.EELSClassifier:
    """The first model's spectra and options, fitted anew."""
    known, spectra = model_of(folder / "one.eels"), spectra_of(folder)
    clf = eb.EELSClassifier(
        known.library, latent_dim=known.latent_dim, effort=known.effort, seed=known.seed
    )
    warnings.simplefilter("ignore", UserWarning)  # of what so short a fit is bad at
    return clf.fit(spectra, checkpoint=checkpoint, show_progressbar=False)


def fit(folder: Path) -> None:
    """Fit with a checkpoint."""
    spectra_of(folder)
    at_work()
    fitted(folder, folder / "fit.checkpoint")


def loop(folder: Path, journal: Path) -> eb.active.ActiveLoop:
    """A loop over the pixels that were fitted, with an oracle that always says the same."""
    return eb.active.ActiveLoop(
        copy.deepcopy(model_of(folder / "one.eels")),
        spectra_of(folder),
        lambda item: ANSWERS[item % len(ANSWERS)],
        acquisition="bald",
        budget=BUDGET,
        journal=journal,
    )


def journal(folder: Path) -> None:
    """Ask and learn; say what was answered."""
    asked = loop(folder, folder / "journal.jsonl")
    at_work()
    asked.run(after_round=lambda one: os.write(1, b"%d\n" % one.n_answers), show_progressbar=False)


def stream(folder: Path) -> None:
    """Classify a stream, and append each result to a file."""
    counts = np.load(folder / "counts.npy", allow_pickle=False)
    live = eb.LiveClassifier(fast_of(folder / "one.fast"))
    with (folder / "stream.jsonl").open("ab", buffering=0) as file:
        at_work()
        for result in live.run(itertools.cycle(counts)):
            file.write(json.dumps(said(result)).encode() + b"\n")


def said(result: eb.LiveResult) -> list[Any]:
    """A result as plain values."""
    reading = result.reading
    values = [float(x) for x in (*reading.probabilities, reading.total, reading.novelty)]
    return [result.number, result.shift, int(reading.labels), int(reading.flag), values]


def maps(folder: Path) -> None:
    """Write maps again and again, as ``eels-bayes read`` does."""
    pred = model_of(folder / "one.eels").predict(spectra_of(folder), show_progressbar=False)
    image = pred.to_signals()["total"][0]
    for n in itertools.count(1):
        image.data[...] = n
        partial = folder / "partial.hspy"
        image.save(partial, overwrite=True)
        partial.replace(folder / "total.hspy")
        at_work()


PROGRAMS = {one.__name__: one for one in (tensors, model, fast, export, journal, stream, maps, fit)}

"""Threads and processes at once: what they give is what one after the other gives."""

from __future__ import annotations

import pickle
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from tqdm import tqdm

import eels_bayes as eb

from . import bed
from .bed import Found

SIZES = {"pairs": 14}
SMOKE = {"pairs": 1}
READERS, PROCESSES = 8, 4  # at once
BRIEF = eb.Effort(  # of fits that go through every step, and read nothing right
    vae=eb.Schedule(epochs=2, steps=10),
    vae_batch=16,
    clean_spectra=60,
    clean_pairs=40,
    forward_iterations=2,
    forward_pixels=80,
    continuum_pixels=80,
    encoder_draws=16,
    gp_latents=60,
    pure_latents=4,
    pure_latents_alone=8,
    gp_steps=10,
    gp_batch=16,
    value_latents=20,
    value_steps=10,
    simulated_pixels=40,
    update_pixels=40,
    novelty_pixels=200,
)
SAME, OTHER = "the same, to the last bit", "ANOTHER RESULT"
# of a prediction; a reading has these, and more
FIELDS = ("probabilities", "total", "encoder", "novelty", "value", "labels", "flag")


def at_once(tasks: Sequence[Callable[[], Any]]) -> list[Any]:
    """Results of functions that begin together, each in a thread of its own."""
    gate = threading.Barrier(len(tasks))

    def begun(task: Callable[[], Any]) -> Any:
        gate.wait()
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return list(pool.map(begun, tasks))


def verdicts(expected: Any, found: Sequence[Any]) -> Counter[str]:
    """Whether readings or predictions are those that are expected."""
    return Counter(
        SAME
        if all(
            np.array_equal(getattr(one, name), getattr(expected, name), equal_nan=True)
            for name in FIELDS
        )
        else OTHER
        for one in found
    )


def fits(pairs: int) -> Counter[str]:
    """Two fits at once, of other seeds for each pair, and each of them alone."""
    spectra, found = bed.preprocess(), Counter[str]()

    def predicted(clf: eb.EELSClassifier) -> eb.Prediction:
        return clf.predict(spectra, show_progressbar=False)

    for pair in tqdm(range(pairs), desc="fits", unit=" pairs"):
        seeds = (2 * pair, 2 * pair + 1)
        both = at_once([lambda seed=seed: bed.fit(spectra, seed, BRIEF) for seed in seeds])
        for seed, clf in zip(seeds, both, strict=True):
            alone = bed.fit(spectra, seed, BRIEF)
            same = _same_model(alone, clf)
            found += verdicts(predicted(alone), [predicted(clf)]) if same else Counter({OTHER: 1})
    return found


def _same_model(one: eb.EELSClassifier, other: eb.EELSClassifier) -> bool:
    """Whether all tensors of two fits are equal."""
    parts = [
        [*fit.vae.state_dict().values(), *fit.encoder.state_dict().values(), *fit.gp.constants()]
        for fit in (one.fitted, other.fitted)
    ]
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(*parts, strict=True))


def readings() -> Found:
    """Many threads with one classifier, and with one fast path of each backend."""
    clf, spectra, counts = bed.classifier(), bed.preprocess(), bed.counts()

    def predict() -> Any:
        return clf.predict(spectra, show_progressbar=False)

    found = {"8 threads predict": verdicts(predict(), at_once([predict] * READERS))}
    for backend in ("torchscript", "onnx"):
        fast = bed.compiled(backend)
        parts = [counts[k:] for k in range(READERS)]  # of other sizes and drifts
        expected = [fast(part) for part in parts]
        both = at_once([lambda part=part, fast=fast: fast(part) for part in parts])
        found[f"8 threads, one fast path by {backend}"] = sum(
            (verdicts(a, [b]) for a, b in zip(expected, both, strict=True)), Counter()
        )
    return found


def read(data: bytes, counts: Any) -> Any:
    """In a process of its own, with a fast path from its pickle."""
    return pickle.loads(data)(counts)


def processes() -> Found:
    """Pickled fast paths in processes of joblib and of dask."""
    import dask
    import joblib

    found = {}
    for backend in ("torchscript", "onnx"):
        fast, counts = bed.compiled(backend), bed.counts()
        expected, data = fast(counts), pickle.dumps(fast)
        tasks = [joblib.delayed(read)(data, counts) for _ in range(PROCESSES)]
        by_joblib = joblib.Parallel(n_jobs=PROCESSES)(tasks)
        found[f"4 processes of joblib, {backend}"] = verdicts(expected, by_joblib)
        lazy = [dask.delayed(read)(data, counts) for _ in range(PROCESSES)]
        by_dask = dask.compute(*lazy, scheduler="processes", num_workers=PROCESSES)
        found[f"4 processes of dask, {backend}"] = verdicts(expected, by_dask)
    return found


def run(sizes: dict[str, int], seed: int) -> Found:
    """Fits, then threads that read, then processes."""
    return {"fits in two threads": fits(sizes["pairs"]), **readings(), **processes()}

"""A stream that drifts: read by the frozen model, by one that follows it, and by refitted ones.

    python benchmarks/adaptive.py [--parts drift still cold latency] [--models DIR] [--seed 9611]
        [--backends torchscript inductor] [--patience S] [--json FILE] [--smoke]

Frozen is a model that is fitted to a simulated annealing series. *drift*: the stream is another
such series of 36 images, in which the class mix passes from the first class to the last one, the
continuum's exponent rises by 0.25, its amplitude by 10 % and the overlapping shapes by 0.15 of a
fingerprint, evenly from the first image to the last. "Refitted" are models that
`EELSClassifier.update` refits to each stretch of the stream, which they read then: they know all
of it beforehand. *still*: the spectra of a series like that of the fit, in no order. *cold*: the
same stream, read from a model that was fitted to one image alone, and the rest of it by a model
that is fitted anew to its first 2,280 spectra; both also in the order of the images, where a
stretch holds few of the classes.

These three learn from each step when it was read, in one thread, so that the scores do not depend
on the clock. *latency* reads the drifting stream by `LiveClassifier` at 400 spectra a second,
frozen and adapting in turns, by TorchScript and as machine code (``--backends``): wall time from
source to result, which other programs lengthen, and the processor time of the loop that reads,
which they lengthen less. Each turn notes how much of a core other programs took; those in which
they took less than a tenth are told apart. With `--patience`, a turn waits so many seconds at most
for a moment without other programs.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import os
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import torch
from annealing import preprocess
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import eels_bayes as eb
from eels_bayes.classifier.stream_refit import AFTER
from eels_bayes.fast.live_adapter import LiveAdapter
from eels_bayes.fast.relearning import Relearning

Array = NDArray[Any]
Row = dict[str, Any]

N_IMAGES, SHAPE, STRETCHES = 36, (30, 19), 4
EXPONENT, AMPLITUDE, OVERLAP = 0.25, 0.10, 0.15  # by which the continuum drifts
ENERGY_DRIFT = 1.0  # eV, amplitude of a slow wave; none jumps from image to image
ONE_IMAGE = 12  # of the fit's series, whose temperature shows three of the classes
RATE, TURN, ROUNDS = 400.0, 2000, 4  # spectra a second, and of each turn
FIRST = 2280  # spectra of the stream that a cold start is fitted anew to
SECONDS = 25  # s, that a fit in the background takes from its first spectrum to reading by it
WARM = 200  # results of a turn that do not count
QUIET = 0.1  # of a core, that other programs may take in a turn
LOOK = 0.5  # s, that they are watched before one


class Stream:
    """Counts (n, E) of a stream with their labels (n,) and drifts (n,), eV, and its images."""

    def __init__(self, truth: Any, model: Any, seed: int, dose: float = 1.0):
        rng = np.random.default_rng(seed)
        self.images = [
            rng.poisson(eb.simulate.mean_counts(truth.isel(image=i), model, dose=dose).values)
            for i in range(truth.sizes["image"])
        ]
        self.counts = np.concatenate([x.reshape(-1, x.shape[-1]) for x in self.images])
        self.labels = truth.label.to_numpy().ravel()

    def mixed(self, seed: int) -> Stream:
        """The same spectra in no order."""
        order = np.random.default_rng(seed).permutation(len(self.labels))
        self.counts, self.labels = self.counts[order], self.labels[order]
        return self


def stream_of(seed: int, n_images: int, shape: tuple[int, int], drift: float) -> Stream:
    """A series as a stream, whose continuum drifts by so much of the constants above."""
    drawn = eb.simulate.annealing_series(n_images, shape, seed=seed)
    truth, t = drawn.truth.copy(), np.linspace(0.0, 1.0, n_images)[:, None, None]
    truth["exponent"] = truth.exponent + drift * EXPONENT * t
    truth["background"] = truth.background * (1.0 + drift * AMPLITUDE * t)
    truth["residual"] = truth.residual + drift * OVERLAP * t
    rows = truth.drift - truth.drift.mean(("y", "x"))
    truth["drift"] = rows + drift * ENERGY_DRIFT * np.sin(2.0 * np.pi * t)
    return Stream(truth, drawn.model, seed + 1)


def model_of(name: str, signals: list[Any], given: argparse.Namespace) -> eb.EELSClassifier:
    """A fitted model, kept in the directory of models."""
    path = given.models / f"{name}.eels" if given.models else None
    if path and path.exists():
        return eb.load_model(path)
    effort = eb.Effort.quick() if given.smoke else eb.Effort()
    clf = eb.EELSClassifier(eb.FingerprintLibrary.example(), effort=effort, seed=given.seed)
    clf.fit(preprocess(SimpleNamespace(signals=signals)), show_progressbar=False)
    if path:
        clf.save(path)
    return clf


def scores(probabilities: Array, labels: Array) -> Row:
    """Accuracy and NLL of the spectra that were read."""
    ok = np.isfinite(probabilities).all(1)
    found = eb.metrics.summary(probabilities[ok], labels[ok])
    return {name: float(found[name]) for name in ("accuracy", "nll")}


def stretches(n: int, first: int = 0) -> list[slice]:
    """Parts of a stream, without its first spectra."""
    ends = np.linspace(0, n, STRETCHES + 1).astype(int).clip(min=first)
    return [slice(a, b) for a, b in itertools.pairwise(ends)]


class Late:
    """A fit anew whose model is there a number of spectra after it was begun."""

    def __init__(self, refit: eb.Refit):
        self.after, self.pixels = refit.after, refit.pixels
        self.check, self.stop = refit.check, refit.stop
        self._refit, self._time = refit, threading.Event()
        self._due: float | None = None

    def __call__(self, *given: Any) -> eb.FastClassifier:
        fast = self._refit(*given)
        self._time.wait()
        return fast

    def look(self, adapter: Relearning, n: int) -> None:
        """After n spectra: let what is due be there."""
        if not adapter.fitting:
            self._due = None
        elif self._due is None:
            self._time.clear()
            self._due = n + SECONDS * RATE
        elif n >= self._due:
            self._time.set()
            adapter.wait()
            self._due = None


def followed(
    fast: eb.FastClassifier, stream: Stream, adapt: eb.Adaptation, refit: eb.Refit | None = None
) -> tuple[Array, Row]:
    """Probabilities of a stream that is learned from step by step, and what became of it."""
    late = None if refit is None else Late(refit)
    adapter: Any = LiveAdapter(fast, adapt, 1)
    if late is not None:
        adapter = Relearning(fast, adapt, 1, late)
        adapter.start()
    found, frozen = [], []
    mean = stream.counts[: adapt.step].mean(0)
    seconds = 0.0
    for start in range(0, len(stream.counts), adapt.step):
        some = stream.counts[start : start + adapt.step].astype(np.float32)
        mean += (some.mean(0) - mean) * min(1.0, adapt.step / 200)  # as `RunningDrift` has it
        shift = fast.drift(mean)
        reading = adapter.read(some, shift)
        found.append(reading.probabilities)
        frozen.append(fast(some, shift).probabilities)
        rows = [(row, shift) for row, odd in zip(some, reading.flag, strict=True) if odd == 0]
        began = time.thread_time()
        if rows:
            (adapter if late is None else adapter.now).learn(rows)
        seconds += time.thread_time() - began
        if late is not None:
            adapter.keep(some, np.full(len(some), shift), reading.flag)
            late.look(adapter, start + adapt.step)
        adapter.take(start + adapt.step)
    row = {
        "frozen": np.concatenate(frozen),
        "swaps": len(adapter.swaps),
        "first swap": adapter.swaps[0].number if adapter.swaps else None,
        "us to learn, a spectrum": 1e6 * seconds / len(stream.counts),
    }
    if late is not None:
        row["fitted anew"] = [
            [swap.number, swap.learned, swap.gain, swap.gain_error]
            for swap in adapter.swaps
            if swap.model == "refitted"
        ]
        adapter.stop()
    return np.concatenate(found), row


def compared(
    name: str,
    fast: eb.FastClassifier,
    stream: Stream,
    first: int = 0,
    refit: eb.Refit | None = None,
) -> Row:
    """Frozen and adaptive, stretch by stretch; the first spectra are left out of the scores."""
    found, row = followed(fast, stream, eb.Adaptation(), refit)
    frozen, labels, read = row.pop("frozen"), stream.labels, slice(first, None)
    row["frozen"] = scores(frozen[read], labels[read])
    row["adaptive"] = scores(found[read], labels[read])
    row["stretches"] = [
        {"frozen": scores(frozen[s], labels[s]), "adaptive": scores(found[s], labels[s])}
        for s in stretches(len(labels), first)
    ]
    print(name, json.dumps(row), flush=True)
    return row


def signal_of(like: Any, counts: Array) -> Any:
    """Counts as a signal with the axes and the noise of another."""
    signal = like.deepcopy()
    signal.data = counts.astype(np.float32)
    return signal


def fitted_to_first(
    clf: eb.EELSClassifier, stream: Stream, like: Any, first: int
) -> eb.EELSClassifier:
    """A model by the first spectra of a stream, as a cold one's preprocessor reads them."""
    counts = stream.counts[:first]
    spectra = clf.preprocessor(signal_of(like, counts[None]), show_progressbar=False)
    began = time.process_time()
    anew = eb.EELSClassifier(clf.library, effort=clf.effort, seed=clf.seed)
    anew.fit(spectra, show_progressbar=False)
    print(f"fitted to {first} spectra in {time.process_time() - began:.1f} s", flush=True)
    return anew


def refitted(clf: eb.EELSClassifier, stream: Stream, like: Any) -> list[Row]:
    """Models that are refitted to each stretch, and read it."""
    rows, n = [], len(stream.images) // STRETCHES
    labels = np.array_split(stream.labels, len(stream.images))
    for start in range(0, n * STRETCHES, n):
        signals = [signal_of(like, counts) for counts in stream.images[start : start + n]]
        spectra = clf.preprocessor(signals, show_progressbar=False)
        model = copy.deepcopy(clf)
        model.update(model.library, spectra=spectra, recalibrate=True, show_progressbar=False)
        pred = model.predict(spectra, show_progressbar=False)
        rows.append(scores(pred.probabilities, np.concatenate(labels[start : start + n])))
        print("refitted", json.dumps(rows[-1]), flush=True)
    return rows


# ---------------------------------------------------------------- latency


def paced(counts: Array) -> Iterator[Array]:
    """One spectrum whenever the detector's clock says so."""
    began = time.perf_counter()
    for k, row in enumerate(counts):
        wait = began + k / RATE - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        yield row


def timed(live: eb.LiveClassifier, counts: Array) -> tuple[list[float], list[float]]:
    """Wall latency and the loop's processor time of each spectrum, ms."""
    wall, own, before = [], [], time.thread_time()
    for result in live.run(paced(counts)):
        now = time.thread_time()
        wall.append(1e3 * result.latency)
        own.append(1e3 * (now - before))
        before = now
    return wall[WARM:], own[WARM:]


class Others:
    """How much of a core other programs take, from when it is made."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._began, self._busy = time.perf_counter(), self._used()

    def _used(self) -> float:
        """Processor time (s) of all programs but this one, on all cores."""
        every, own = psutil.cpu_times(), self._process.cpu_times()
        idle = every.idle + getattr(every, "iowait", 0.0)
        return float(sum(every) - idle - own.user - own.system)

    def share(self) -> float:
        """Up to now."""
        return (self._used() - self._busy) / (time.perf_counter() - self._began)


def wait_for_quiet(patience: float) -> None:
    """Return when other programs leave the cores alone, or when that takes too long."""
    end = time.perf_counter() + patience
    while time.perf_counter() < end:
        others = Others()
        time.sleep(LOOK)
        if others.share() < QUIET:
            return


def latency(
    compiled: dict[str, eb.FastClassifier], stream: Stream, patience: float, *, smoke: bool
) -> Row:
    """Frozen and adaptive in turns, by each backend, at the detector's rate."""
    readers = {
        f"{name}, {kind}": eb.LiveClassifier(
            fast, policy="drop_oldest", queue_size=400, adapt=kind == "adaptive"
        )
        for name, fast in compiled.items()
        for kind in ("frozen", "adaptive")
    }
    turn, rounds = (400, 1) if smoke else (TURN, ROUNDS)
    turns: dict[str, list[Row]] = {name: [] for name in readers}
    for k in range(rounds):
        for name in list(readers)[:: 1 if k % 2 else -1]:
            wait_for_quiet(patience)
            others = Others()
            wall, own = timed(readers[name], stream.counts[k * turn : (k + 1) * turn])
            row = {
                "others": others.share(),
                "wall": np.percentile(wall, [50, 99, 99.9]).tolist(),
                "processor": np.percentile(own, [50, 99]).tolist(),
                "dropped": readers[name].counters.dropped,
            }
            turns[name].append(row)
            print(name, json.dumps(row), flush=True)
    row = {"cores": os.cpu_count(), "swaps": {k: len(one.swaps) for k, one in readers.items()}}
    for name, rows in turns.items():
        row[name] = {"all": medians(rows)}
        if quiet := [one for one in rows if one["others"] < QUIET]:
            row[name]["quiet"] = medians(quiet)
    print("latency", json.dumps(row), flush=True)
    return row


def medians(rows: list[Row]) -> Row:
    """Of turns."""
    return {
        "turns": len(rows),
        "others, of a core": float(np.median([one["others"] for one in rows])),
        "wall ms, p50, p99 and p99.9": np.median([one["wall"] for one in rows], axis=0).tolist(),
        "processor ms, p50 and p99": np.median([one["processor"] for one in rows], axis=0).tolist(),
        "dropped": sum(one["dropped"] for one in rows),
    }


# ---------------------------------------------------------------- all


def run(given: argparse.Namespace) -> Row:
    """The parts that are asked for; written after each."""
    shape, n_images = ((8, 8), 6) if given.smoke else (SHAPE, N_IMAGES)
    fit_images = 4 if given.smoke else 24
    series = eb.simulate.annealing_series(fit_images, shape, seed=given.seed)
    energy = series.signals[0].axes_manager[-1].axis
    clf = model_of("full", series.signals, given)
    fast = clf.compile(clf.preprocessor, energy=energy)
    results: Row = {}

    def keep(name: str, row: Any) -> None:
        results[name] = row
        if given.json:
            given.json.write_text(json.dumps(results, indent=1))

    for part in given.parts:
        if part in ("drift", "latency"):
            stream = stream_of(given.seed + 1, n_images, shape, 1.0)
        else:
            stream = stream_of(given.seed + 2, n_images, shape, 0.0).mixed(given.seed)
        if part == "drift":
            keep("drift", compared("drift", fast, stream))
            keep("refitted", refitted(clf, stream, series.signals[0]))
        elif part == "still":
            keep("still", compared("still", fast, stream))
        elif part == "cold":
            image = min(ONE_IMAGE, fit_images - 1)
            one = model_of("one_image", series.signals[image : image + 1], given)
            cold = one.compile(one.preprocessor, energy=energy)
            in_order = stream_of(given.seed + 2, n_images, shape, 0.0)
            first = 200 if given.smoke else FIRST
            for name, some in (("cold", stream), ("cold, in order", in_order)):
                keep(name, compared(name, cold, some))
                anew = fitted_to_first(one, some, series.signals[0], first)
                its = anew.compile(anew.preprocessor, energy=energy)
                keep(f"{name}, anew", compared(f"{name}, anew", its, some, first))
                refit = eb.Refit(one, series.signals[image], after=(200,) if given.smoke else AFTER)
                keep(f"{name}, refit", compared(f"{name}, refit", cold, some, refit=refit))
        else:
            compiled = {
                name: clf.compile(clf.preprocessor, energy=energy, backend=name)
                for name in given.backends
            }
            with threadpool_limits(1):
                keep("latency", latency(compiled, stream, given.patience, smoke=given.smoke))
    return results


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ("drift", "still", "cold", "latency")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--models", type=Path, help="directory of fitted models")
    parser.add_argument("--seed", type=int, default=9611)
    backends = ("torchscript", "inductor")
    parser.add_argument("--backends", nargs="+", choices=backends, default=backends)
    parser.add_argument("--patience", type=float, default=0.0, help="s, for a quiet moment")
    parser.add_argument("--json", type=Path, help="where results are written")
    parser.add_argument("--smoke", action="store_true", help="small, and short training")
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fit:")
        run(parser.parse_args())


if __name__ == "__main__":
    main()

"""Whole maps: spectra a second and the memory they take, on one thread.

    python benchmarks/throughput.py [--model FILE] [--json FILE] [--smoke]

Two ways from raw counts to every field of a prediction: the preprocessor and the classifier on
HyperSpy signals, and the compiled path image by image. Both read one image, ten and the whole
series of 24, as floating-point counts and as 16-bit integers, which detectors deliver. Times come
from one process in which all take turns. Memory is what a fresh process needs at its peak beyond
what it held before: with Python, the libraries, the model and the counts already there.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Torch and the package are imported in the processes that measure. A process begins with its
# parent's peak of memory, so this one stays small.

Array = NDArray[Any]

IMAGES = (1, 10, 24)  # of the series: 570, 5,700 and 13,680 pixels
SMOKE_IMAGES = (1, 4)
ROUNDS = 5
WARM_CALLS, WARM_PIXELS = 4, 64  # a few, so that they leave little memory behind
WAYS = ("predict", "compiled")
DTYPES = ("float32", "uint16")


class Case(NamedTuple):
    """What is read, and how.

    Attributes
    ----------
    way, dtype : str
        Of WAYS and DTYPES.
    images : int
        How many of the series' images.
    """

    way: str
    dtype: str
    images: int


def prepare(directory: Path, model: Path | None, smoke: bool) -> int:
    """Write model and counts (images, y, x, E) to files; return the pixels of an image."""
    import latency
    import torch

    import eels_bayes as eb

    torch.set_num_threads(1)
    clf = eb.load_model(model) if model else latency.fit_classifier(smoke=smoke)
    clf.save(directory / "model.eels")
    signals = latency.series_of(latency.READ_SEED, smoke=smoke).signals
    counts = np.stack([signal.data for signal in signals])
    for dtype in DTYPES:
        np.save(directory / f"{dtype}.npy", counts.astype(dtype))
    np.save(directory / "energy.npy", latency.energy_of(signals[0]))
    return int(np.prod(counts.shape[1:3]))


def reader(directory: Path, case: Case) -> tuple[Callable[[], object], int]:
    """A warm call that reads the case's maps, and how many pixels it reads."""
    import torch

    import eels_bayes as eb

    torch.set_num_threads(1)
    clf = eb.load_model(directory / "model.eels")
    energy = np.load(directory / "energy.npy")
    counts = np.load(directory / f"{case.dtype}.npy", mmap_mode="r")[: case.images]
    counts = np.array(counts)  # read, and no more than that
    read = predicting(clf, energy) if case.way == "predict" else compiled(clf, energy)
    few = read(counts[:1, : 1 + WARM_PIXELS // counts.shape[2]])
    for _ in range(WARM_CALLS):
        few()
    return read(counts), int(np.prod(counts.shape[:-1]))


def predicting(clf: Any, energy: Array) -> Callable[[Array], Callable[[], object]]:
    """``clf.predict(pre(signals))`` of signals of counts (images, y, x, E)."""
    from exspy.signals import EELSSpectrum

    pre = clf.preprocessor

    def read(signals: list[Any]) -> object:
        spectra = pre(signals, show_progressbar=False)
        return clf.predict(spectra, show_progressbar=False)

    def reading(counts: Array) -> Callable[[], object]:
        signals = [EELSSpectrum(image) for image in counts]
        for signal in signals:
            axis = signal.axes_manager[-1]
            axis.offset, axis.scale, axis.units = energy[0], energy[1] - energy[0], "eV"
        return lambda: read(signals)

    return reading


def compiled(clf: Any, energy: Array) -> Callable[[Array], Callable[[], object]]:
    """The compiled path on counts (images, y, x, E), every image at its drift; all fields kept."""
    fast = clf.compile(clf.preprocessor, energy=energy)

    def read(images: Array) -> object:
        parts = [fast(image, fast.drift(image)) for image in images]
        return [np.concatenate(columns) for columns in zip(*parts, strict=True)]

    def reading(counts: Array) -> Callable[[], object]:
        images = counts.reshape(len(counts), -1, counts.shape[-1])
        return lambda: read(images)

    return reading


def rates(directory: Path, cases: list[Case], rounds: int) -> list[float]:
    """Spectra a second of every case, in turns."""
    from latency import Timed
    from threadpoolctl import threadpool_limits

    found = [reader(directory, case) for case in cases]
    timed = [Timed(call, [()]) for call, _ in found]
    seconds: list[list[float]] = [[] for _ in cases]
    rng = np.random.default_rng(0)
    with threadpool_limits(1):
        for _ in range(rounds):
            for i in rng.permutation(len(cases)):
                seconds[i].append(timed[i].once())
    return [n / statistics.median(s) for (_, n), s in zip(found, seconds, strict=True)]


def memory(directory: Path, case: Case) -> float:
    """Megabytes at the peak of one reading beyond those before it."""
    import psutil
    from threadpoolctl import threadpool_limits

    call, _ = reader(directory, case)
    before = psutil.Process().memory_info().rss
    with threadpool_limits(1):
        result = call()
    unit = 1 if sys.platform == "darwin" else 1024  # of the peak, bytes
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    del result
    return max(0.0, (peak - before) / 1e6)


def measure(directory: Path, model: Path | None, *, smoke: bool) -> dict[str, Any]:
    """Every case, each step in a process of its own."""
    images = SMOKE_IMAGES if smoke else IMAGES
    cases = [Case(way, dtype, n) for n in images for dtype in DTYPES for way in WAYS]
    with ProcessPoolExecutor(
        1, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1
    ) as fresh:
        pixels = fresh.submit(prepare, directory, model, smoke).result()
        speeds = fresh.submit(rates, directory, cases, 2 if smoke else ROUNDS).result()
        peaks = [fresh.submit(memory, directory, case).result() for case in cases]
    rows = [
        {**case._asdict(), "pixels": pixels * case.images, "spectra_per_s": speed, "peak_mb": peak}
        for case, speed, peak in zip(cases, speeds, peaks, strict=True)
    ]
    return {"rows": rows, "ratios": ratios(rows)}


def ratios(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Compiled over predicted, and integers over floating point, for the largest input."""
    most = max(row["images"] for row in rows)
    largest = {(r["way"], r["dtype"]): r["spectra_per_s"] for r in rows if r["images"] == most}
    found = {
        f"compiled / predict, {dtype}": largest["compiled", dtype] / largest["predict", dtype]
        for dtype in DTYPES
    }
    found |= {
        f"uint16 / float32, {way}": largest[way, "uint16"] / largest[way, "float32"] for way in WAYS
    }
    return found


def print_result(result: dict[str, Any]) -> None:
    """One table."""
    print(f"{'pixels':>7s} {'counts':8s} {'way':9s} spectra a second   peak MB   MB a 1000 pixels")
    for row in result["rows"]:
        share = 1e3 * row["peak_mb"] / row["pixels"]
        print(
            f"{row['pixels']:7d} {row['dtype']:8s} {row['way']:9s} {row['spectra_per_s']:16.0f} "
            f"{row['peak_mb']:9.0f} {share:18.1f}"
        )
    for name, value in result["ratios"].items():
        print(f"{value:8.2f}  {name}, spectra a second of the largest input")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="a saved classifier; one is fitted without")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--smoke", action="store_true", help="small and quick, for tests")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        result = measure(Path(directory), options.model, smoke=options.smoke)
    print_result(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

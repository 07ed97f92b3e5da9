"""Counts larger than memory: peak memory, time, interruption, workers, and a fit to them.

    python benchmarks/scale.py [--pixels 1000000] [--parts map kill workers fit kept predict]
        [--model FILE] [--folder DIR] [--json FILE] [--smoke]

The counts are a simulated annealing series whose images are tiled to the wanted number of pixels,
each spectrum with fresh Poisson noise, 1,600 channels of uint16 in one zarr array of chunks of some
megabytes: 1.2 GB for a million as they compress. They are written once to DIR and used again. Every
reading is a process of its own, on one thread, with the pages of the file in the system's cache.

map      `FastClassifier.map` to a folder: peak memory beyond that of the imports and the model, and
         the time of a spectrum beside that in memory, in the same process.
kill     The process is killed when half of the blocks are there; the same call goes on. The result
         is compared with an uninterrupted one, bit by bit.
workers  One worker of dask and two, by processes; and two of which one is killed in the middle.
         Two workers need two idle cores. Other programs lengthen the wall time, and the processor
         time less: of all workers together, and of this process, which hands out blocks
         and where dask's scheduler runs. `limit` is the ratio of the wall times if all that this
         process does stands beside the workers' work, which two of them share evenly.
fit      A fit to a sample of the tiled series, read lazily, beside one to the series in memory: NLL
         of other spectra against the truth, time and peak memory.
kept     What is kept of a pixel, and the peak beside it, by edge spectra with and without their
         counts, and by `EELSClassifier.predict` with the joint posterior in single and in half
         precision and without it: of some images of the tiled series, read lazily.
predict  `EELSClassifier.predict` of all of it, read lazily, with the joint posterior and without:
         peak memory beyond that of the imports and the model, what of it the result holds, and the
         time of a spectrum beside that of some in memory, in the same process.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import signal as signals_of_system
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Torch and the package are imported in the processes that measure. A process begins with its
# parent's peak of memory, so this one stays small.

Array = NDArray[Any]
Row = dict[str, Any]

PARTS = ("map", "kill", "workers", "fit", "kept", "predict")
CHUNK = (32, 32)  # pixels of a stored chunk along y and x: 3.3 MB
IN_MEMORY = 20_000  # spectra, that the time in memory is taken of
FIT_SAMPLE = 13_680  # spectra that are fitted to: as many as the series holds
KEPT = 40_000  # pixels, at least, whose memory is weighed
ROUNDS = 3
SEED = 7
NOTHING = SimpleNamespace()


# ---------------------------------------------------------------- what is read


def prepare(folder: Path, n_pixels: int, model: Path | None, smoke: bool) -> None:
    """Write counts, model and compiled model to files, where they are not there."""
    import latency
    import torch
    import zarr

    import eels_bayes as eb

    torch.set_num_threads(1)
    series = latency.series_of(latency.FIT_SEED, smoke=smoke)
    if not (folder / "model.fast").exists():
        clf = eb.load_model(model) if model else latency.fit_classifier(smoke=smoke)
        clf.save(folder / "model.eels")
        energy = latency.energy_of(series.signals[0])
        clf.compile(clf.preprocessor, energy=energy).save(folder / "model.fast")
    if (folder / "counts.zarr").exists():
        return
    rates = eb.simulate.mean_counts(series.truth, series.model).to_numpy()
    n_images, n_channels = len(rates), rates.shape[-1]
    rates = rates.reshape(n_images, -1, n_channels)
    side = int(np.ceil(np.sqrt(n_pixels / n_images)))
    shape = (n_images, side, -(-n_pixels // (n_images * side)), n_channels)
    partial = folder / "counts.partial"
    shutil.rmtree(partial, ignore_errors=True)
    stored = zarr.create_array(partial, shape=shape, chunks=(1, *CHUNK, n_channels), dtype="uint16")
    rng = np.random.default_rng(SEED)
    place = np.arange(shape[1] * shape[2]).reshape(shape[1:3]) % rates.shape[1]
    for image in range(n_images):
        for top in range(0, shape[1], CHUNK[0]):
            rows = place[top : top + CHUNK[0]]
            stored[image, top : top + CHUNK[0]] = rng.poisson(rates[image, rows])
    partial.rename(folder / "counts.zarr")


def lazy_counts(folder: Path) -> Any:
    """The tiled series as a dask array (image, y, x, E)."""
    import dask.array

    return dask.array.from_zarr(str(folder / "counts.zarr"))


def lazy_signal(folder: Path) -> Any:
    """The tiled series as a lazy HyperSpy signal, a stack of images."""
    import eels_bayes as eb

    (one,) = eb.simulate.annealing_series(n_images=1, shape=(1, 1)).signals
    found = type(one)(np.zeros((1, 1, 1, 2))).as_lazy()
    found.data = lazy_counts(folder)
    found.get_dimensions_from_data()
    its, ours = one.axes_manager[-1], found.axes_manager[-1]
    its_own = (its.name, its.units, its.scale, its.offset)
    ours.name, ours.units, ours.scale, ours.offset = its_own
    found.metadata.add_dictionary(one.metadata.as_dictionary())
    return found


class Peak:
    """Peak of the resident memory (MB) beyond what was there at first, looked at all the time."""

    def __enter__(self) -> Peak:
        import psutil

        self._process, self._done = psutil.Process(), threading.Event()
        self.before = self._process.memory_info().rss / 1e6
        self.most = self.before
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._done.wait(0.02):
            self.most = max(self.most, self._process.memory_info().rss / 1e6)

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def beyond(self) -> float:
        """What was needed."""
        return self.most - self.before


# ---------------------------------------------------------------- one process


def map_whole(folder: Path, name: str) -> Row:
    """Read everything to a folder, and some spectra in memory beside it."""
    import dask
    import torch
    from threadpoolctl import threadpool_limits

    import eels_bayes as eb

    torch.set_num_threads(1)
    dask.config.set(scheduler="synchronous")
    fast, counts = eb.load_fast(folder / "model.fast"), lazy_counts(folder)
    few = np.concatenate(list(np.asarray(counts[0])))[:IN_MEMORY]
    fast.map(few[:200], shift=0.0, show_progressbar=False)  # imports what it needs
    fast.map(counts[:1, :2, :2], folder / f"{name}.warm", show_progressbar=False)
    shutil.rmtree(folder / f"{name}.warm")
    times = []
    with threadpool_limits(1):
        for _ in range(ROUNDS):
            began = time.perf_counter()
            fast(few, 0.1)
            times.append((time.perf_counter() - began) / len(few))
        del few
        with Peak() as peak:
            began = time.perf_counter()
            fast.map(counts, folder / name, show_progressbar=False)
            seconds = time.perf_counter() - began
    n = int(np.prod(counts.shape[:-1]))
    ru_maxrss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "pixels": n,
        "seconds": seconds,
        "us_a_spectrum": 1e6 * seconds / n,
        "us_in_memory": 1e6 * float(np.median(times)),
        "ratio": seconds / n / float(np.median(times)),
        "peak_mb_beyond_imports_and_model": peak.beyond,
        "imports_and_model_mb": peak.before,
        "ru_maxrss_mib": ru_maxrss,
    }


def by_workers(folder: Path, name: str, n_workers: int, killed: bool) -> Row:
    """Read everything by dask's workers; one of them may be killed when a quarter is there."""
    import dask
    from distributed import Client, LocalCluster

    import eels_bayes as eb
    from eels_bayes.fast import opened_models

    os.environ["OMP_NUM_THREADS"] = "1"
    dask.config.set({"distributed.logging.distributed": "critical"})
    fast, counts = eb.load_fast(folder / "model.fast"), lazy_counts(folder)
    how = {"n_workers": n_workers, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**how) as cluster, Client(cluster) as client:
        open_bytes, (data,) = fast.__reduce__()
        client.run(opened_models.opened, data, open_bytes)
        warm = counts[:, :2, :2].rechunk((1, 1, 2, -1))  # every worker reads and writes
        fast.map(warm, folder / f"{name}.warm", show_progressbar=False)
        shutil.rmtree(folder / f"{name}.warm")
        pids = client.run(os.getpid)
        before = (sum(client.run(time.process_time).values()), time.process_time())
        began = time.perf_counter()
        if killed:
            wanted = done_blocks(folder / name, 0.25)
            killer = threading.Thread(target=kill_when, args=(wanted, next(iter(pids.values()))))
            killer.start()
        fast.map(counts, folder / name, show_progressbar=False)
        seconds = time.perf_counter() - began
        if killed:
            killer.join()
        after = (sum(client.run(time.process_time).values()), time.process_time())
    n = int(np.prod(counts.shape[:-1]))
    of_workers, here = (1e6 * (b - a) / n for a, b in zip(before, after, strict=True))
    return {
        "workers": n_workers,
        "seconds": seconds,
        "killed": killed,
        "workers_us_a_spectrum": of_workers,
        "here_us_a_spectrum": here,
    }


def done_blocks(path: Path, share: float) -> Any:
    """A test of whether so many of a result's blocks are there."""

    def there() -> bool:
        try:
            about = json.loads((path / "flag" / "zarr.json").read_text())
        except OSError:
            return False
        block = about["chunk_grid"]["configuration"]["chunk_shape"]
        n = np.prod([-(-size // one) for size, one in zip(about["shape"], block, strict=True)])
        done = sum(1 for file in (path / "flag" / "c").rglob("*") if file.is_file())
        return bool(done >= max(1, share * n))

    return there


def kill_when(there: Any, pid: int) -> None:
    """End a process as the system does when memory is short."""
    while not there():
        time.sleep(0.02)
    os.kill(pid, signals_of_system.SIGKILL)


def same(folder: Path, one: str, other: str) -> bool:
    """Whether two results are one, bit by bit."""
    import xarray

    results = [xarray.open_zarr(folder / name, consolidated=False) for name in (one, other)]
    return all(
        bool(results[0][name].values.tobytes() == results[1][name].values.tobytes())
        for name in results[0].data_vars
    )


def fit(folder: Path, lazily: bool, smoke: bool) -> Row:
    """A fit to the tiled series, or to the one that it is made of; scored on another."""
    import latency
    import torch
    from annealing import preprocess

    import eels_bayes as eb

    torch.set_num_threads(1)
    effort = eb.Effort.quick() if smoke else eb.Effort()
    clf = eb.EELSClassifier(eb.FingerprintLibrary.example(), effort=effort, seed=latency.FIT_SEED)
    series = latency.series_of(latency.FIT_SEED, smoke=smoke)
    large = lazy_signal(folder)
    pre = preprocess(series).preprocessor
    unfitted = eb.Preprocessor.from_options(pre.options())
    with Peak() as peak:
        began = time.perf_counter()
        if lazily:
            spectra = unfitted(large, sample=FIT_SAMPLE, show_progressbar=False)
        else:
            spectra = unfitted(series.signals, show_progressbar=False)
        read = time.perf_counter()
        clf.fit(spectra, show_progressbar=False)
        done = time.perf_counter()
    other = latency.series_of(latency.READ_SEED, smoke=smoke)
    pred = clf.predict(other.signals, show_progressbar=False)
    labels = other.truth["label"].to_numpy().ravel()
    return {
        "lazily": lazily,
        "pixels_read": len(spectra),
        "seconds_to_read": read - began,
        "seconds": done - began,
        "nll": eb.metrics.nll(pred.probabilities[pred.ok], labels[pred.ok]),
        "peak_mb_beyond_imports": peak.beyond,
    }


def kept(folder: Path, what: str, how: Any) -> Row:
    """Memory of edge spectra or of a prediction, bytes a pixel."""
    import torch

    import eels_bayes as eb

    torch.set_num_threads(1)
    clf, signal = eb.load_model(folder / "model.eels"), lazy_signal(folder)
    images, of_one = signal.data.shape[0], int(np.prod(signal.data.shape[1:3]))
    signal = signal.inav[..., : min(images, -(-KEPT // of_one))]
    clf.predict(signal.inav[:4, :4, 0], show_progressbar=False)  # imports what it needs
    with Peak() as peak:
        began = time.process_time()
        if what == "spectra":
            found = clf.preprocessor(signal, counts=how, show_progressbar=False)
        else:
            found = clf.predict(signal, joint=how, show_progressbar=False)
        seconds = time.process_time() - began
    n = len(found)
    return {
        "what": what,
        "how": how,
        "pixels": n,
        "bytes_a_pixel": held(found) / n,
        "peak_bytes_a_pixel": 1e6 * peak.beyond / n,
        "processor_us_a_pixel": 1e6 * seconds / n,
    }


def held(found: Any) -> int:
    """Bytes of what edge spectra or a prediction hold of each pixel."""
    own = [*vars(found).values(), *vars(getattr(found, "joint", None) or NOTHING).values()]
    n = len(found)
    return sum(x.nbytes for x in own if isinstance(x, np.ndarray) and len(x) == n)


def predict_whole(folder: Path, joint: Any) -> Row:
    """`EELSClassifier.predict` of everything, and of some spectra in memory beside it."""
    import dask
    import torch
    from threadpoolctl import threadpool_limits

    import eels_bayes as eb

    torch.set_num_threads(1)
    dask.config.set(scheduler="synchronous")
    clf, signal = eb.load_model(folder / "model.eels"), lazy_signal(folder)
    few = signal.inav[..., 0]
    few.compute(show_progressbar=False)
    n_few = int(np.prod(few.data.shape[:-1]))
    clf.predict(signal.inav[:4, :4, 0], joint=joint, show_progressbar=False)  # imports
    times = []
    with threadpool_limits(1):
        for _ in range(ROUNDS):
            began = time.process_time()
            clf.predict(few, joint=joint, show_progressbar=False)
            times.append((time.process_time() - began) / n_few)
        del few
        with Peak() as peak:
            began, before = time.perf_counter(), time.process_time()
            found = clf.predict(signal, joint=joint, show_progressbar=False)
            seconds, own = time.perf_counter() - began, time.process_time() - before
    n = len(found)
    return {
        "joint": joint,
        "pixels": n,
        "seconds": seconds,
        "processor_us_a_spectrum": 1e6 * own / n,
        "processor_us_in_memory": 1e6 * float(np.median(times)),
        "in_memory": n_few,
        "ratio": own / n / float(np.median(times)),
        "peak_mb_beyond_imports_and_model": peak.beyond,
        "of_which_the_result_mb": held(found) / 1e6,
    }


# ---------------------------------------------------------------- all of it


def killed_and_resumed(folder: Path, fresh: ProcessPoolExecutor) -> Row:
    """A process that is killed in the middle, and one that goes on."""
    context = multiprocessing.get_context("spawn")
    first = context.Process(target=map_whole, args=(folder, "killed.zarr"))
    began = time.perf_counter()
    first.start()
    kill_when(done_blocks(folder / "killed.zarr", 0.5), first.pid or 0)
    first.join()
    before = time.perf_counter() - began
    files = {
        file: file.stat().st_mtime_ns
        for file in (folder / "killed.zarr" / "total").rglob("*")
        if file.is_file()
    }
    row = fresh.submit(map_whole, folder, "killed.zarr").result()
    again = sum(file.stat().st_mtime_ns != then for file, then in files.items())
    return {
        "seconds_before_with_imports": before,
        "seconds_after": row["seconds"],
        "done_again": again,
        "equal": fresh.submit(same, folder, "killed.zarr", "whole.zarr").result(),
    }


def measure(folder: Path, options: argparse.Namespace) -> Row:
    """Every part, each step in a process of its own."""
    result: Row = {"pixels": options.pixels}
    with ProcessPoolExecutor(
        1, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1
    ) as fresh:

        def call(function: Any, *arguments: Any) -> Any:
            return fresh.submit(function, *arguments).result()

        call(prepare, folder, options.pixels, options.model, options.smoke)
        for name in ("whole", "killed", "one", "two", "lost"):
            shutil.rmtree(folder / f"{name}.zarr", ignore_errors=True)
        if {"map", "kill"} & set(options.parts):
            result["map"] = call(map_whole, folder, "whole.zarr")
            print(json.dumps(result), flush=True)
        if "kill" in options.parts:
            result["kill"] = killed_and_resumed(folder, fresh)
            print(json.dumps(result["kill"]), flush=True)
        if "workers" in options.parts:
            one = call(by_workers, folder, "one.zarr", 1, False)
            two = call(by_workers, folder, "two.zarr", 2, False)
            lost = call(by_workers, folder, "lost.zarr", 2, True)
            shared, alone = (one[f"{who}_us_a_spectrum"] for who in ("workers", "here"))
            result["workers"] = {
                "one": one,
                "two": two,
                "ratio": one["seconds"] / two["seconds"],
                "limit": (alone + shared) / (alone + shared / 2.0),
                "one_lost": lost["seconds"],
                "equal": call(same, folder, "one.zarr", "two.zarr"),
                "equal_with_one_lost": call(same, folder, "one.zarr", "lost.zarr"),
            }
            print(json.dumps(result["workers"]), flush=True)
        if "kept" in options.parts:
            ways = [("spectra", True), ("spectra", False)]
            ways += [("prediction", how) for how in (True, "float16", False)]
            result["kept"] = [call(kept, folder, *way) for way in ways]
            print(json.dumps(result["kept"]), flush=True)
        if "predict" in options.parts:
            result["predict"] = [call(predict_whole, folder, how) for how in (False, True)]
            print(json.dumps(result["predict"]), flush=True)
        if "fit" in options.parts:
            rows = [call(fit, folder, lazily, options.smoke) for lazily in (False, True)]
            result["fit"] = {
                "in_memory": rows[0],
                "lazily": rows[1],
                "nll_difference": rows[1]["nll"] - rows[0]["nll"],
                "time_ratio": rows[1]["seconds"] / rows[0]["seconds"],
            }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pixels", type=int, default=1_000_000, help="spectra (%(default)s)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--model", type=Path, help="a saved classifier; one is fitted without")
    parser.add_argument("--folder", type=Path, help="keeps counts and results; else they are lost")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--smoke", action="store_true", help="small and quick, for tests")
    options = parser.parse_args()
    options.pixels = min(options.pixels, 4000) if options.smoke else options.pixels
    with tempfile.TemporaryDirectory() as directory:
        folder = options.folder or Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        result = measure(folder, options)
    text = json.dumps(result, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text)


if __name__ == "__main__":
    sys.exit(main())

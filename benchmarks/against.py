"""Processor time of this source tree beside another's, part by part, in turn.

    git worktree add --detach OTHER COMMIT
    python benchmarks/against.py OTHER [--parts fit read compiled update start] [--rounds 2]
                                 [--seed 7911] [--json FILE] [--smoke]

Every part is a process of its own on one thread, of one tree and of the other in turn (A B, B A,
A B ...), so that a busy machine slows both. Told is the median of the rounds' ratios of processor
time, and of a fit its NLL and ECE on its own pixels. What reads takes the models that the fits of
the same tree have saved; without ``fit`` among the parts, those of an earlier run are read again.

fit      the default series, 24 images of 30 x 19 pixels
read     preprocessing, prediction, both together, ``context="image"``, ``denoise``
compiled one spectrum, and a map of one image, by each backend that is installed
update   one labelled pixel, twice: the second finds what the first has drawn
start    a fresh process from its first line to the first answer of ``load_fast``
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parents[1]
PARTS = ("fit", "read", "compiled", "update", "start")
BACKENDS = ("torchscript", "onnx", "inductor")
REPEATS = 200  # of a single spectrum, at a time
WINDOW = {"window": (677, 737), "background": (650, 680), "normalize": (570, 592.5)}
ALIGN = (567.5, 627.5)


def series_of(seed: int, *, smoke: bool, images: int = 24) -> Any:
    """The default series, or a few pixels like it."""
    import eels_bayes as eb

    size = {"n_images": 2, "shape": (10, 9)} if smoke else {"n_images": images, "shape": (30, 19)}
    return eb.simulate.annealing_series(dose=1.0, seed=seed, **size)


def preprocessor() -> Any:
    """As every benchmark has it."""
    import eels_bayes as eb

    return eb.Preprocessor(dispersion=0.25, align=ALIGN, **WINDOW)


def scores(clf: Any, spectra: Any, labels: np.ndarray) -> dict[str, float]:
    """NLL and ECE of usable pixels that one class dominates."""
    import eels_bayes as eb

    usable = spectra.ok & (labels >= 0)
    found = eb.metrics.summary(clf.predict(spectra).probabilities[usable], labels[usable])
    return {name: float(found[name]) for name in ("nll", "ece")}


def fit(given: argparse.Namespace) -> dict[str, float]:
    """A fit, saved for the parts that read."""
    import eels_bayes as eb

    series = series_of(given.seed, smoke=given.smoke)
    pre = preprocessor()
    spectra = pre(series.signals, show_progressbar=False)
    effort = eb.Effort.quick() if given.smoke else eb.Effort()
    clf = eb.EELSClassifier(eb.FingerprintLibrary.example(), effort=effort, seed=given.seed)
    began = time.process_time()
    clf.fit(spectra, show_progressbar=False)
    spent = time.process_time() - began
    clf.save(given.folder / "model.eels")
    clf.compile(pre, energy=series.signals[0].axes_manager[-1].axis).save(
        given.folder / "model.fast"
    )
    np.save(given.folder / "counts.npy", series.signals[0].data[0, 0])
    return {"fit": spent} | scores(clf, spectra, series.truth["label"].to_numpy().ravel())


def timed(call: Any, *, times: int = 3) -> float:
    """Processor seconds of a call, median of a few after the first."""
    call()
    spent = []
    for _ in range(times):
        began = time.process_time()
        call()
        spent.append(time.process_time() - began)
    return float(np.median(spent))


def read(given: argparse.Namespace) -> dict[str, float]:
    """What is asked of a fitted model, pixel by pixel and in context."""
    import eels_bayes as eb

    clf = eb.load_model(given.folder / "model.eels")
    signals = series_of(given.seed + 1, smoke=given.smoke, images=4).signals
    pre = clf.fitted.preprocessor
    spectra = pre(signals, show_progressbar=False)
    few = spectra[np.flatnonzero(spectra.ok)[:300]]
    quiet = {"show_progressbar": False}
    return {
        "pre": timed(lambda: pre(signals, **quiet)),
        "predict": timed(lambda: clf.predict(spectra, **quiet)),
        "pre and predict": timed(lambda: clf.predict(pre(signals, **quiet), **quiet)),
        "context image": timed(lambda: clf.predict(spectra, context="image", **quiet)),
        "denoise": timed(lambda: clf.denoise(few)),
    }


def compiled(given: argparse.Namespace) -> dict[str, float]:
    """The fast path: spectra at a drift that is known."""
    import eels_bayes as eb

    clf = eb.load_model(given.folder / "model.eels")
    signal = series_of(given.seed + 1, smoke=given.smoke, images=1).signals[0]
    counts = signal.data.reshape(-1, signal.data.shape[-1]).astype(np.float32)
    energy = signal.axes_manager[-1].axis
    found = {}
    for backend in BACKENDS[:1] if given.smoke else BACKENDS:
        try:
            fast = clf.compile(clf.preprocessor, energy=energy, backend=backend)
        except (ImportError, RuntimeError) as error:
            print(f"{backend} is skipped: {error}")
            continue
        shift = fast.drift(counts)
        found |= several(fast, counts, shift, backend)
    return found


def several(fast: Any, counts: Any, shift: float, backend: str) -> dict[str, float]:
    """One spectrum, so many times, and all of an image."""
    one = counts[0]
    return {
        f"{backend}, spectra": timed(lambda: [fast(one, shift) for _ in range(REPEATS)]),
        f"{backend}, map": timed(lambda: fast(counts, shift)),
    }


def update(given: argparse.Namespace) -> dict[str, float]:
    """One label, of a model that was just opened and of one that has learned a label before."""
    import eels_bayes as eb

    clf = eb.load_model(given.folder / "model.eels")
    signals = series_of(given.seed + 1, smoke=given.smoke, images=1).signals
    spectra = clf.fitted.preprocessor(signals, show_progressbar=False)
    usable = np.flatnonzero(spectra.ok)
    found = {}
    for name, row in (("first label", usable[0]), ("another label", usable[1])):
        began = time.process_time()
        clf.update(spectra[[row]], [clf.fitted.class_names[0]], show_progressbar=False)
        found[name] = time.process_time() - began
    return found


def start(given: argparse.Namespace) -> dict[str, float]:
    """All that a fresh process spends until it has read a spectrum."""
    counts = np.load(given.folder / "counts.npy")
    import eels_bayes as eb

    eb.load_fast(given.folder / "model.fast")(counts)
    return {"first answer": time.process_time()}


WORK = {"fit": fit, "read": read, "compiled": compiled, "update": update, "start": start}


def measured(tree: Path, part: str, given: argparse.Namespace) -> dict[str, float]:
    """One part of one tree, by a process of its own."""
    folder = given.folder / ("this" if tree == HERE else "other")
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, __file__, str(tree), "--child", part, "--folder", str(folder)]
    command += ["--seed", str(given.seed), *(["--smoke"] if given.smoke else [])]
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": str(tree)}
    done = subprocess.run(
        command, env=os.environ | one_thread, stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure in turn, print, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, help="the other source tree")
    parser.add_argument("--parts", nargs="*", choices=tuple(WORK), default=PARTS)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7911)
    parser.add_argument("--folder", type=Path, default=Path("against"), help="where models are")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--smoke", action="store_true", help="a few pixels, little effort")
    parser.add_argument("--child", choices=tuple(WORK), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(WORK[given.child](given)))
        return
    results: dict[str, dict[str, list[float]]] = {}
    for part in given.parts:
        pairs = []
        for turn in range(given.rounds):
            order = [HERE, given.other.resolve()][:: 1 if turn % 2 == 0 else -1]
            found = {tree: measured(tree, part, given) for tree in order}
            pairs.append((found[HERE], found[given.other.resolve()]))
        for name in pairs[0][0]:
            this, other = ([one[name] for one in side] for side in zip(*pairs, strict=True))
            ratio = float(np.median(np.divide(this, other)))
            results[name] = {"this": this, "other": other, "ratio": [ratio]}
            told = f"{name:28s} {np.median(this):9.4f}  {np.median(other):9.4f}"
            print(told + ("" if name in ("nll", "ece") else f"  {ratio:6.3f}"), flush=True)
        if given.json:
            given.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()

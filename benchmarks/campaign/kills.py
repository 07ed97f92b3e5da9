"""Programs killed at random moments: what was promised stands there."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

import eels_bayes as eb
from eels_bayes import tensor_file

from . import bed, programs
from .bed import Found

SIZES = {"moments": 200}
SMOKE = {"moments": 8}
WHOLE, HALF = "whole", "HALF A FILE"
FEW_LINES = 400  # of a stream: as many as the comparison reads again


class Killed(NamedTuple):
    """How a program is killed, and what is looked at then.

    Attributes
    ----------
    longest : float
        Seconds that it works until it is killed.
    look : callable
        From the folder, and the lines that it printed, to a verdict.
    """

    longest: float
    look: Callable[[Path, list[str]], str]


def tensors(folder: Path, lines: list[str]) -> str:
    """A file holds one number, and says which."""
    read, config = tensor_file.read(folder / "again.eels", "numbers")
    whole = bool((read["x"] == config["n"]).all()) and config["n"] >= len(lines)
    return WHOLE if whole else HALF


def same_file(name: str) -> Callable[[Path, list[str]], str]:
    """A model file is one of the two, to the last byte."""
    suffix = Path(name).suffix

    def look(folder: Path, lines: list[str]) -> str:
        data = (folder / name).read_bytes()
        both = [(folder / f"{one}{suffix}").read_bytes() for one in programs.MODELS]
        return WHOLE if data in both else HALF

    return look


def export(folder: Path, lines: list[str]) -> str:
    """Archive and ONNX model open, and read as one of the two does."""
    import onnxruntime

    rows = np.load(folder / "counts.npy", allow_pickle=False)[:4].astype(np.float32)
    read = [programs.fast_of(folder / f"{one}.fast")(rows, 0.0) for one in programs.MODELS]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        archive = torch.jit.load(str(folder / "again.ts.pt"))
    columns = [archive(torch.from_numpy(rows))[0].numpy()]
    if (folder / "again.onnx").exists():
        quiet = onnxruntime.SessionOptions()
        quiet.log_severity_level, quiet.intra_op_num_threads = 3, 1  # errors alone; no threads
        session = onnxruntime.InferenceSession(str(folder / "again.onnx"), quiet)
        columns.append(session.run(None, {"counts": rows})[0])
    k = read[0].probabilities.shape[1]
    close = [
        any(np.allclose(one[:, :k], r.probabilities, atol=1e-4, equal_nan=True) for r in read)
        for one in columns
    ]
    return WHOLE if all(close) else HALF


def journal(folder: Path, lines: list[str]) -> str:
    """Nothing answered is lost, and resumed it ends where a loop does that was not killed."""
    path = folder / "journal.jsonl"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a line that was cut off
        resumed = programs.loop(folder, path)
    kept, told = resumed.n_answers, int(lines[-1]) if lines else 0
    resumed.run(show_progressbar=False)
    path.unlink()
    if kept < told:
        return "ANSWERS LOST"
    (asked, p), (expected, q) = (_end(one, folder) for one in (resumed, _straight(folder)))
    if asked != expected:
        return "ANOTHER END"
    return "to the same end, to the last bit" if np.array_equal(p, q) else "to the same answers"


@functools.cache
def _straight(folder: Path) -> eb.active.ActiveLoop:
    """The loop that is not killed, at its end."""
    one = programs.loop(folder, folder / "straight.jsonl")
    one.run(show_progressbar=False)
    return one


def _end(loop: eb.active.ActiveLoop, folder: Path) -> tuple[list[Any], Any]:
    """What a loop asked and was told, and the probabilities of its classifier then."""
    pred = loop.learner.predict(programs.spectra_of(folder), show_progressbar=False)
    return [(query.item, query.answer) for query in loop.history], pred.probabilities[pred.ok]


def stream(folder: Path, lines: list[str]) -> str:
    """Whole lines, one after another, with the numbers that a stream gives that is not killed."""
    path = folder / "stream.jsonl"
    written = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]][:FEW_LINES]
    path.unlink()
    counts = np.load(folder / "counts.npy", allow_pickle=False)
    live = eb.LiveClassifier(programs.fast_of(folder / "one.fast"))
    again = live.run(itertools.islice(itertools.cycle(counts), len(written)))
    expected = [json.loads(json.dumps(programs.said(result))) for result in again]
    return "every result" if written == expected else "OTHER RESULTS"


def maps(folder: Path, lines: list[str]) -> str:
    """A map holds one number."""
    import hyperspy.api as hs

    data = hs.load(folder / "total.hspy").data
    whole = bool((data == data.flat[0]).all()) and data.flat[0] >= len(lines)
    return WHOLE if whole else HALF


def fit(folder: Path, lines: list[str]) -> str:
    """What is resumed ends with the model of a fit that was not killed."""
    path = folder / "fit.checkpoint"
    resumed = programs.fitted(folder, path)
    path.unlink()
    same = resumed.provenance.model == _whole_fit(folder)
    return "to the same model, to the last bit" if same else "ANOTHER MODEL"


@functools.cache
def _whole_fit(folder: Path) -> str:
    """Digest of the model of a fit that is not killed."""
    return programs.fitted(folder).provenance.model


PROGRAMS: dict[str, Killed] = {
    "tensors": Killed(0.4, tensors),
    "model": Killed(1.0, same_file("again.eels")),
    "fast": Killed(1.0, same_file("again.fast")),
    "export": Killed(4.0, export),
    "journal": Killed(4.0, journal),
    "stream": Killed(1.0, stream),
    "maps": Killed(1.0, maps),
    "fit": Killed(12.0, fit),
}


def prepare(folder: Path) -> None:
    """What the programs start from."""
    other = bed.fit(bed.preprocess(), seed=1)
    for name, clf in zip(programs.MODELS, (bed.classifier(), other), strict=True):
        clf.save(folder / f"{name}.eels")
        fast = clf.compile(clf.preprocessor, energy=bed.energy(), show_progressbar=False)
        fast.save(folder / f"{name}.fast")
    np.save(folder / "counts.npy", bed.counts())
    bed.series().signals[0].save(folder / "series.hspy")


def killed(name: str, folder: Path, seconds: float) -> list[str]:
    """Start a program, kill it so long after it is at work; the whole lines that it said since.

    A fork, with all that this process has imported and loaded: that would take longest.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(writing, sys.stdout.fileno())
        os.close(reading)
        try:
            programs.PROGRAMS[name](folder)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as said:
        began = any(line == programs.AT_WORK for line in iter(said.readline, ""))
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if not began:
            raise RuntimeError(f"the program {name!r} did not begin")
        return [line.strip() for line in said if line.endswith("\n")]


def run(sizes: dict[str, int], seed: int) -> Found:
    """The moments go round the programs; an interrupt ends them."""
    tqdm.monitor_interval = 0  # no thread beside that forks
    rng = np.random.default_rng(seed)
    found: Found = {name: Counter() for name in PROGRAMS}
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        prepare(folder)
        turns = itertools.islice(itertools.cycle(PROGRAMS.items()), sizes["moments"])
        bar = tqdm(turns, total=sizes["moments"], desc="kills", unit=" programs")
        with contextlib.suppress(KeyboardInterrupt):
            for name, how in bar:
                lines = killed(name, folder, rng.uniform(0, how.longest))
                try:
                    verdict = how.look(folder, lines)
                except Exception as error:
                    verdict = f"NOT READ: {type(error).__name__}: {error!s:.80}"
                found[name][verdict] += 1
        partial = [p for p in folder.iterdir() if "partial" in p.name]
        found["folder"] = Counter({"partial files left": len(partial)})
    return found

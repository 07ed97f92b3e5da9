"""The fast path on another device than the processor: latency of one spectrum, rate of many.

    python benchmarks/device.py [--device cuda] [--json FILE] [--model FILE --counts FILE]

Times are from counts on the host to results on the host, medians of interleaved calls. With a
saved model and counts it needs neither Pyro nor HyperSpy.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import eels_bayes as eb
from eels_bayes.fast.graph import FastGraph

BATCHES = (1, 32, 570, 4096, 32768)
SECONDS = 2.0  # of each batch and method
Call = Callable[[Tensor], Any]


def methods_on(graph: FastGraph) -> dict[str, Call]:
    """The plain graph and TorchScript, from host to host."""
    plan = graph.plan(0.0)
    scripted = torch.jit.freeze(torch.jit.script(graph.eval()))
    calls: dict[str, Call] = {
        "eager": lambda counts: graph(counts, *plan),
        "TorchScript": lambda counts: scripted(counts, *plan),
    }

    def hosted(call: Call) -> Call:
        return lambda counts: [out.cpu() for out in call(counts.to(plan.picked.device))]

    return {name: hosted(call) for name, call in calls.items()}


def timed(calls: dict[str, Call], counts: Tensor) -> dict[str, float]:
    """Median seconds of every method."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    with torch.inference_mode():
        for call in calls.values():
            for _ in range(5):  # TorchScript specialises in its first calls
                call(counts)
        stop = time.perf_counter() + SECONDS * len(calls)
        while time.perf_counter() < stop:
            for name, call in calls.items():
                start = time.perf_counter()
                call(counts)
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in seconds.items()}


def fitted() -> tuple[eb.FastClassifier, Any]:
    """A model, and counts of a series that it was not fitted to."""
    from latency import counts_of, energy_of, fit_classifier, series_of  # which need HyperSpy

    clf, signals = fit_classifier(), series_of(5).signals
    return clf.compile(clf.preprocessor, energy=energy_of(signals[0])), counts_of(signals)[:2048]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", type=Path, help="what `FastClassifier.save` wrote")
    parser.add_argument("--counts", type=Path, help="raw counts (n, E) on its axis, a .npy file")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    if args.model:
        fast, rows = eb.load_fast(args.model, backend="torchscript"), np.load(args.counts)
    else:
        fast, rows = fitted()
    rows = torch.from_numpy(rows.astype(np.float32))
    methods = methods_on(copy.deepcopy(fast.graph).to(args.device))
    on_gpu = torch.device(args.device).type == "cuda"
    name = torch.cuda.get_device_name(args.device) if on_gpu else args.device
    result: dict[str, Any] = {"device": name, "torch": torch.__version__, "seconds": {}}
    expected = fast(rows[:570].numpy(), 0.0)
    for method, call in methods.items():
        with torch.inference_mode():
            columns, labels, flags = call(rows[:570])
        k = expected.probabilities.shape[1]
        away = np.abs(columns[:, :k].numpy() - expected.probabilities)
        result[f"largest difference of probabilities, {method}"] = float(np.nanmax(away))
        assert np.array_equal(flags.numpy(), expected.flag)
        result[f"labels that differ, {method}"] = int((labels.numpy() != expected.labels).sum())
    for n in BATCHES if on_gpu else BATCHES[:3]:  # whose intermediates a processor's caches hold
        some = rows.repeat(-(-n // len(rows)), 1)[:n].contiguous()
        if on_gpu:
            some = some.pin_memory()
        result["seconds"][n] = timed(methods, some)
        row = ", ".join(
            f"{name} {1e3 * s:.3f} ms ({n / s:,.0f}/s)" for name, s in result["seconds"][n].items()
        )
        print(f"{n:6d} spectra on {result['device']}: {row}", flush=True)
    print({key: value for key, value in result.items() if key != "seconds"})
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

"""How long a reading takes: warm, on one thread, every method in the same run.

    python benchmarks/latency.py [--model FILE] [--seconds 60] [--json FILE] [--smoke]
    python benchmarks/latency.py --heads [--models DIR] [--json FILE] [--smoke]

Part (a) times the noisy encoder alone and the full path, from raw counts to every field of a
prediction, as the plain module, as TorchScript, by ONNX Runtime (``pip install -e '.[onnx]'``) and
as machine code (``backend="inductor"``, which needs a C++ compiler).
Methods take turns in an order drawn anew each round, so that a busy machine hits all alike. A turn
is a block of calls, after one that is not timed and pays for what the method before left in the
caches; it is a single call where that takes long. Beside them stands the published pipeline
(``pip install -e '.[paper]'``; see `peers.keras_pipeline`), which starts from edge spectra and is
spared the preprocessing: once as published, once without the overhead of ``model.predict``. What is
not installed is skipped.

The floor is the time that the matrix products alone would take at the rate of a large one (float32,
512 x 512 x 512), on the same thread. Exponentials and other elementwise work, and that of reading
memory, come on top of it in any program.

Part (b) reads a stream of frames, one spectrum each, that come when the detector's clock says and
not when the reader is ready. Up to 400 of them wait; the oldest are lost beyond. Last, batches of
32 one after another.

Part (c), ``--heads``, sets the Gaussian process beside the dense head: scores against the truth of
a simulated series that was not fitted on, and latency, over dose. A classifier is fitted for each
dose and kept in DIR as ``dose_0.3.eels`` and so on; those found there are used as they are.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from annealing import preprocess
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import eels_bayes as eb
from eels_bayes.fast.graph import CHUNK

Array = NDArray[Any]

BATCHES = (1, 8, 32, 570)  # spectra; the last is a map of the series
ROUNDS = {1: 250, 8: 150, 32: 100, 570: 100}
BLOCK, BLOCK_SECONDS = 20, 0.02  # calls of a turn, fewer where those take longer than this
COMPILING_CALLS = 3  # of a new shape, in which TorchScript optimises
WARM_CALLS, WARM_SECONDS = 30, 0.5  # after those, whichever ends first
N_INPUTS = 16  # different batches that calls go through in turn
ENOUGH = {"p99": 100, "p999": 1000}  # calls, fewer of which say nothing of a quantile
GEMM_SIZE, GEMM_REPEATS = 512, 50
FRAME_RATE, QUEUE = 400.0, 400  # frames a second; frames that wait
STREAM_BATCH = 32
SLEEP_MARGIN = 1e-3  # s before a frame is due: from here on the clock is watched
DOSES = (0.3, 1.0, 3.0)
HEADS = ("gp", "dense")
FIT_SEED, READ_SEED = 101, 201  # of the series that is fitted on, and of the one that is read
PUBLISHED, DIRECT = "published pipeline", "published, direct call"
MACHINE_CODE = "machine code"  # by AOTInductor
COMPILED = ("TorchScript", "ONNX Runtime", MACHINE_CODE)
PARTS = ("encoder", "full path")


# ---------------------------------------------------------------- models and inputs


def series_of(seed: int, *, dose: float = 1.0, smoke: bool = False) -> eb.simulate.Series:
    """The simulated series of all parts; 4 images of 10 x 8 pixels where it is to be quick."""
    size: dict[str, Any] = {"n_images": 4, "shape": (10, 8)} if smoke else {}
    return eb.simulate.annealing_series(**size, dose=dose, seed=seed)


def fit_classifier(*, dose: float = 1.0, smoke: bool = False) -> eb.EELSClassifier:
    """Fit on a series of its own; hardly trained where it is to be quick."""
    effort = eb.Effort.quick() if smoke else eb.Effort()
    clf = eb.EELSClassifier(eb.FingerprintLibrary.example(), effort=effort, seed=FIT_SEED)
    return clf.fit(preprocess(series_of(FIT_SEED, dose=dose, smoke=smoke)))


def counts_of(signals: Iterable[Any]) -> Array:
    """Raw counts (n, E) of all pixels."""
    return np.concatenate([signal.data.reshape(-1, signal.data.shape[-1]) for signal in signals])


def energy_of(signal: Any) -> Array:
    """Energy axis (E,) of a signal, eV."""
    axis: Array = signal.axes_manager[-1].axis
    return axis


@dataclass(frozen=True, eq=False)
class Pixels:
    """What the methods read: the same pixels at every stage.

    Attributes
    ----------
    counts : (n, E) array
        Raw, of one image, so that one energy shift is that of all.
    profile, level : (n, B) and (n,) array
        What the noisy encoder reads.
    intensity : (n, L) array
        Edge spectra, which the published pipeline reads.
    """

    counts: Array
    profile: Array
    level: Array
    intensity: Array

    def __getitem__(self, rows: Array) -> Pixels:
        return Pixels(self.counts[rows], self.profile[rows], self.level[rows], self.intensity[rows])


def pixels_of(clf: eb.EELSClassifier, signal: Any) -> Pixels:
    """Usable pixels of one image."""
    spectra = clf.preprocessor(signal, show_progressbar=False)
    ok = spectra.ok
    columns = (spectra.profile, spectra.level, spectra.intensity)
    return Pixels(counts_of([signal])[ok], *(column[ok] for column in columns))


# ---------------------------------------------------------------- methods


class Timed:
    """A call with the inputs that it goes through in turn, and the seconds it took."""

    def __init__(self, call: Callable[..., object], inputs: Sequence[tuple[Any, ...]]):
        self.call, self.inputs = call, itertools.cycle(inputs)
        self.seconds: list[float] = []
        self.block = 1  # calls of a turn

    def once(self) -> float:
        """Seconds of one call."""
        arguments = next(self.inputs)
        start = time.perf_counter()
        self.call(*arguments)
        return time.perf_counter() - start

    def warm(self, seconds: float) -> None:
        """Call until it is warm, and settle how many calls make a turn."""
        for _ in range(COMPILING_CALLS):
            self.once()
        began, times = time.perf_counter(), [self.once()]
        while len(times) < WARM_CALLS and time.perf_counter() - began < seconds:
            times.append(self.once())
        self.block = int(np.clip(BLOCK_SECONDS / statistics.median(times), 1, BLOCK))

    def turn(self) -> None:
        """One block of timed calls."""
        if self.block > 1:
            self.once()
        self.seconds += [self.once() for _ in range(self.block)]


class EncoderTuple(nn.Module):
    """The noisy encoder with a plain tuple as its result.

    A NamedTuple that comes from a script is rebuilt at every call, which takes longer than a small
    network.
    """

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, profile: Tensor, level: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mixture = self.encoder(profile, level)
        return mixture.log_weight, mixture.mean, mixture.sd


def scripted(module: nn.Module) -> Callable[..., object]:
    """A module as frozen TorchScript."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".torch\.jit\.\w+. is deprecated")
        frozen: Callable[..., object] = torch.jit.freeze(torch.jit.script(module))
    return frozen


def onnx_session(module: nn.Module, pixels: Pixels) -> Callable[[Array, Array], object]:
    """The encoder by ONNX Runtime on one thread, for batches of any size.

    Raises
    ------
    ImportError
        Where one of the two packages is missing.
    """
    import onnx  # noqa: F401  (of which the exporter would complain in other words)
    import onnxruntime

    example = tuple(torch.as_tensor(x[:2]) for x in (pixels.profile, pixels.level))
    target, names = io.BytesIO(), ["profile", "level"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter calls itself legacy, as TorchScript
        torch.onnx.export(
            module,
            example,
            target,
            input_names=names,
            dynamic_axes={name: {0: "n"} for name in names},
            dynamo=False,
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        target.getvalue(), options, providers=["CPUExecutionProvider"]
    )
    return lambda profile, level: session.run(None, {"profile": profile, "level": level})


class Method(NamedTuple):
    """One way to read a batch of Pixels.

    Attributes
    ----------
    part : str
        Of PARTS.
    name : str
    call : callable
    inputs : callable
        From Pixels to what `call` takes; not timed.
    """

    part: str
    name: str
    call: Callable[..., object]
    inputs: Callable[[Pixels], tuple[Any, ...]]


def _counts(pixels: Pixels) -> tuple[Any, ...]:
    return (pixels.counts,)


def _edges(pixels: Pixels) -> tuple[Any, ...]:
    return (pixels.intensity.astype(np.float32),)


def _features(pixels: Pixels) -> tuple[Any, ...]:
    return (pixels.profile, pixels.level)


def _feature_tensors(pixels: Pixels) -> tuple[Any, ...]:
    return tuple(torch.from_numpy(x) for x in _features(pixels))


def own_methods(clf: eb.EELSClassifier, pixels: Pixels, energy: Array) -> list[Method]:
    """The plain module and what it is compiled to, as far as installed."""
    fast = clf.compile(clf.preprocessor, energy=energy)
    graph, shift = fast.graph, fast.drift(pixels.counts)
    plan = graph.plan(shift)
    encoder = EncoderTuple(graph.reader.encoder).eval()

    def eager(counts: Array) -> object:
        # as few at a time as the compiled path takes
        return [graph(some, *plan) for some in torch.from_numpy(counts).split(CHUNK)]

    methods = [
        Method("encoder", "eager", encoder, _feature_tensors),
        Method("encoder", "TorchScript", scripted(encoder), _feature_tensors),
        Method("full path", "eager", eager, _counts),
        Method("full path", "TorchScript", lambda counts: fast(counts, shift), _counts),
    ]
    try:
        session = onnx_session(encoder, pixels)
        onnx = clf.compile(clf.preprocessor, energy=energy, backend="onnx")
    except ImportError as error:
        print(f"ONNX Runtime is skipped: {error}")
    else:
        methods += [
            Method("encoder", "ONNX Runtime", session, _features),
            Method("full path", "ONNX Runtime", lambda counts: onnx(counts, shift), _counts),
        ]
    try:
        machine = clf.compile(clf.preprocessor, energy=energy, backend="inductor")
    except RuntimeError as error:
        print(f"machine code is skipped: {error}")
    else:
        methods.append(
            Method("full path", MACHINE_CODE, lambda counts: machine(counts, shift), _counts)
        )
    return methods


def published_methods(clf: eb.EELSClassifier) -> tuple[list[Method], dict[str, str]]:
    """The published pipeline and the releases it runs on, or neither without TensorFlow."""
    from peers import keras_pipeline

    try:
        pipeline = keras_pipeline.build(clf.library, clf.preprocessor.energy)
    except ImportError as error:
        print(f"the published pipeline is skipped: {error}")
        return [], {}
    methods = [
        Method("encoder", PUBLISHED, pipeline.encode, _edges),
        Method("encoder", DIRECT, pipeline.encode_directly, _edges),
        Method("full path", PUBLISHED, pipeline.read, _edges),
        Method("full path", DIRECT, pipeline.read_directly, _edges),
    ]
    return methods, keras_pipeline.versions()


# ---------------------------------------------------------------- (a) latency


def take_turns(methods: dict[Any, Timed], rounds: int, *, smoke: bool = False) -> None:
    """Time methods in rounds, in a new order each."""
    rng, every = np.random.default_rng(0), list(methods.values())
    with torch.inference_mode():
        for method in every:
            method.warm(0.0 if smoke else WARM_SECONDS)
        for _ in range(rounds):
            for i in rng.permutation(len(every)):
                every[i].turn()


def batches_of(pixels: Pixels, n: int) -> list[Pixels]:
    """Different batches of n pixels, drawn at random."""
    rng = np.random.default_rng(n)
    return [pixels[rng.integers(len(pixels.counts), size=n)] for _ in range(N_INPUTS)]


def quantiles(seconds: Sequence[float]) -> dict[str, float | None]:
    """Median, p99 and p99.9 in microseconds, and calls; None where those are too few."""
    found: dict[str, float | None] = {"median": 1e6 * statistics.median(seconds)}
    for (name, least), q in zip(ENOUGH.items(), (0.99, 0.999), strict=True):
        enough = len(seconds) >= least
        found[name] = 1e6 * float(np.quantile(seconds, q)) if enough else None
    return {**found, "calls": len(seconds)}


def latencies(
    methods: Sequence[Method], pixels: Pixels, n: int, rounds: int, *, smoke: bool = False
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Quantiles of every method for batches of n: {part: {name: quantiles}}."""
    batches = batches_of(pixels, n)
    timed = {m[:2]: Timed(m.call, [m.inputs(batch) for batch in batches]) for m in methods}
    take_turns(timed, rounds, smoke=smoke)
    found: dict[str, dict[str, dict[str, float | None]]] = {part: {} for part in PARTS}
    for (part, name), method in timed.items():
        found[part][name] = quantiles(method.seconds)
    return found


def gemm_rate() -> float:
    """Multiply-adds a second of a large matrix product: the best of many."""
    left, right = torch.randn(2, GEMM_SIZE, GEMM_SIZE)
    product = Timed(lambda: torch.mm(left, right), [()])
    return GEMM_SIZE**3 / min(product.once() for _ in range(GEMM_REPEATS))


def multiply_adds(method: Method, pixels: Pixels) -> int:
    """In the matrix products of one call."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        method.call(*method.inputs(pixels))
    return int(counter.get_total_flops()) // 2


def ratios(found: dict[int, Any], work: dict[int, dict[str, int]], rate: float) -> dict[str, float]:
    """The ratios that matter, of medians."""
    result: dict[str, float] = {}
    one, whole = min(found), max(found)
    for n, batch in ((one, "one spectrum"), (whole, f"a map of {whole}")):
        for part in PARTS:
            rows = {name: row["median"] for name, row in found[n][part].items()}
            for ours in COMPILED:
                if ours not in rows:
                    continue
                for name in rows:
                    if name not in COMPILED or ours == "TorchScript" != name:
                        result[f"{name} / {ours}, {part}, {batch}"] = rows[name] / rows[ours]
                if n == whole:
                    share = work[n][part] / rate / (1e-6 * rows[ours])
                    result[f"share of the floor's rate, {ours}, {part}, {batch}"] = share
    return result


def measure_latency(
    own: list[Method], published: list[Method], pixels: Pixels, *, smoke: bool
) -> dict[str, Any]:
    """Part (a): quantiles, work and ratios."""
    eager = {method.part: method for method in own if method.name == "eager"}
    found, rates = {}, [gemm_rate()]
    for n in BATCHES:
        rounds = 2 if smoke else ROUNDS[n]
        found[n] = latencies([*own, *published], pixels, n, rounds, smoke=smoke)
        rates.append(gemm_rate())
    work = {
        n: {part: multiply_adds(method, batches_of(pixels, n)[0]) for part, method in eager.items()}
        for n in BATCHES
    }
    rate = max(rates)
    return {
        "quantiles_us": found,
        "multiply_adds": work,
        "gemm_multiply_adds_per_s": rate,
        "ratios": ratios(found, work, rate),
    }


def print_latency(result: dict[str, Any]) -> None:
    """Tables of part (a)."""
    rate = result["gemm_multiply_adds_per_s"]
    print(f"\nmatrix products: {rate / 1e9:.1f} G multiply-adds a second on this thread")
    print(f"{'batch':>5s} {'part':10s} {'method':24s} median us     p99   p99.9  calls  floor us")
    for n, parts in result["quantiles_us"].items():
        for part, rows in parts.items():
            floor = 1e6 * result["multiply_adds"][n][part] / rate
            for name, row in rows.items():
                times = [row[key] for key in ("median", "p99", "p999")]
                shown = " ".join("      -" if t is None else f"{t:7.0f}" for t in times)
                print(f"{n:5d} {part:10s} {name:24s}   {shown} {row['calls']:6d} {floor:9.1f}")
    for name, value in result["ratios"].items():
        print(f"{value:10.3f}  {name}")


# ---------------------------------------------------------------- (b) a stream


def wait_until(due: float) -> None:
    """Sleep, then watch the clock."""
    left = due - time.perf_counter()
    if left > SLEEP_MARGIN:
        time.sleep(left - SLEEP_MARGIN)
    while time.perf_counter() < due:
        pass


def stream(call: Callable[[Array], object], frames: Array, seconds: float) -> dict[str, Any]:
    """Read frames (n, E) one by one, frame k due k / 400 s after the start.

    A frame's latency runs from when it is due to when it is read. It is late where the next one
    is due by then, and lost where 400 frames behind it wait.
    """
    period, n = 1.0 / FRAME_RATE, round(FRAME_RATE * seconds)
    found: list[float] = []
    k = lost = 0
    start = time.perf_counter() + 0.05
    while k < n:
        due = start + k * period
        wait_until(due)
        come = min(n, 1 + int((time.perf_counter() - start) / period))
        if come - k > QUEUE:
            lost, k = lost + come - k - QUEUE, come - QUEUE
            continue
        call(frames[k % len(frames)])
        found.append(time.perf_counter() - due)
        k += 1
    return {
        "rate": FRAME_RATE,
        "frames": n,
        "lost": lost,
        "late": float(np.mean(np.array(found) > period)),
        **quantiles(found),
    }


def highest_rate(call: Callable[..., object], batches: Sequence[Pixels], seconds: float) -> float:
    """Spectra a second of batches one after another."""
    timed = Timed(call, [(batch.counts,) for batch in batches])
    timed.warm(WARM_SECONDS)
    start, n_calls = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        timed.once()
        n_calls += 1
    return n_calls * len(batches[0].counts) / (time.perf_counter() - start)


def measure_stream(own: list[Method], pixels: Pixels, seconds: float) -> dict[str, Any]:
    """Part (b): the stream by TorchScript, then all methods' highest rates in batches."""
    full = {method.name: method.call for method in own if method.part == "full path"}
    call = full["TorchScript"]
    Timed(call, [(frame,) for frame in pixels.counts]).warm(WARM_SECONDS)
    batches = batches_of(pixels, STREAM_BATCH)
    each = seconds / 6
    return {
        **stream(call, pixels.counts, seconds),
        "batch": STREAM_BATCH,
        "spectra_per_s": {name: highest_rate(m, batches, each) for name, m in full.items()},
    }


def print_stream(result: dict[str, Any]) -> None:
    """Part (b) in words."""
    shown = ", ".join(
        f"{name} {result[key]:.0f}"
        for key, name in (("median", "median"), ("p99", "p99"), ("p999", "p99.9"))
        if result[key] is not None
    )
    print(
        f"\nstream of {result['rate']:g} frames a second: {result['frames']} frames, "
        f"{result['lost']} lost, {100 * result['late']:.3f} % late; from due to read: {shown} us"
    )
    rates = ", ".join(f"{name} {rate:.0f}" for name, rate in result["spectra_per_s"].items())
    print(f"batches of {result['batch']}, spectra a second on one thread: {rates}")


# ---------------------------------------------------------------- (c) heads


def classifier_at(dose: float, directory: Path | None, *, smoke: bool) -> eb.EELSClassifier:
    """The classifier of a dose: from the directory if it is there, and to it if not."""
    path = None if directory is None else directory / f"dose_{dose:g}.eels"
    if path is not None and path.exists():
        return eb.load_model(path)
    clf = fit_classifier(dose=dose, smoke=smoke)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        clf.save(path)
    return clf


def read_series(fast: Any, signals: Iterable[Any]) -> Array:
    """Class probabilities (n, K) of all pixels, image by image at its own drift."""
    images = [counts_of([signal]) for signal in signals]
    return np.concatenate([fast(counts, fast.drift(counts)).probabilities for counts in images])


def compare_heads(clf: eb.EELSClassifier, dose: float, *, smoke: bool) -> dict[str, Any]:
    """Scores and latency of both heads at one dose."""
    series = series_of(READ_SEED, dose=dose, smoke=smoke)
    energy = energy_of(series.signals[0])
    labels = series.truth["label"].to_numpy().ravel()
    fast = {h: clf.compile(clf.preprocessor, energy=energy, head=h) for h in HEADS}
    found = {head: read_series(one, series.signals) for head, one in fast.items()}
    known = labels >= 0
    for p in found.values():
        known &= np.isfinite(p).all(1)
    pixels = pixels_of(clf, series.signals[0])
    shift = fast["gp"].drift(pixels.counts)

    def call_of(one: Any) -> Callable[..., object]:
        return lambda counts: one(counts, shift)

    methods = [Method("full path", head, call_of(one), _counts) for head, one in fast.items()]
    times = {
        n: latencies(methods, pixels, n, 2 if smoke else ROUNDS[n], smoke=smoke)["full path"]
        for n in (min(BATCHES), max(BATCHES))
    }
    return {
        "dose": dose,
        "pixels": int(known.sum()),
        "scores": {head: eb.metrics.summary(p[known], labels[known]) for head, p in found.items()},
        "quantiles_us": times,
        "gp / dense": {n: t["gp"]["median"] / t["dense"]["median"] for n, t in times.items()},
    }


def print_heads(results: Sequence[dict[str, Any]]) -> None:
    """Both heads at all doses in one table."""
    sizes = (min(BATCHES), max(BATCHES))
    head = "".join(f"   median us of {n:<4d} p99" for n in sizes)
    print(f"\n{'dose':>5s} {'head':6s} accuracy    NLL    ECE{head}")
    for result in results:
        for name, score in result["scores"].items():
            line = f"{result['dose']:5g} {name:6s} {score['accuracy']:8.3f} {score['nll']:6.3f} "
            line += f"{score['ece']:6.3f}"
            for n in sizes:
                row = result["quantiles_us"][n][name]
                p99 = "-" if row["p99"] is None else f"{row['p99']:.0f}"
                line += f"   {row['median']:12.0f} {p99:>7s}"
            print(line)


# ---------------------------------------------------------------- all


def versions() -> dict[str, str]:
    """Releases that times depend on."""
    found = {"python": platform.python_version(), "torch": torch.__version__}
    try:
        import onnxruntime
    except ImportError:
        return found
    return {**found, "onnxruntime": onnxruntime.__version__}


def run_heads(directory: Path | None, *, smoke: bool) -> dict[str, Any]:
    """Part (c)."""
    results = []
    for dose in DOSES[1:2] if smoke else DOSES:
        clf = classifier_at(dose, directory, smoke=smoke)
        with threadpool_limits(1):
            results.append(compare_heads(clf, dose, smoke=smoke))
    print_heads(results)
    return {"versions": versions(), "heads": results}


def run_latency(model: Path | None, seconds: float, *, smoke: bool) -> dict[str, Any]:
    """Parts (a) and (b)."""
    clf = eb.load_model(model) if model else fit_classifier(smoke=smoke)
    signal = series_of(READ_SEED, smoke=smoke).signals[0]
    pixels, energy = pixels_of(clf, signal), energy_of(signal)
    published, releases = published_methods(clf)
    with threadpool_limits(1):
        own = own_methods(clf, pixels, energy)
        latency = measure_latency(own, published, pixels, smoke=smoke)
        print_latency(latency)
        streamed = measure_stream(own, pixels, 1.0 if smoke else seconds)
        print_stream(streamed)
    return {"versions": versions() | releases, "latency": latency, "stream": streamed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="a saved classifier; one is fitted without")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the stream")
    parser.add_argument("--heads", action="store_true", help="part (c) in place of the others")
    parser.add_argument("--models", type=Path, help="directory of saved classifiers for --heads")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--smoke", action="store_true", help="small and quick, for tests")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    if options.heads:
        result = run_heads(options.models, smoke=options.smoke)
    else:
        result = run_latency(options.model, options.seconds, smoke=options.smoke)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

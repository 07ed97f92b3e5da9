"""Classify spectra at the detector's pace: 400 frames a second, with drift and latency in view.

Fits a classifier on a simulated annealing series, compiles it, and replays another series frame by
frame, as a detector would give them. Prints accuracy and latency, and draws what an operator sees
in the middle of a scan: the map that fills, what is asked of whom, and the latencies so far.

    python examples/live_stream.py --out demo
"""

# %% Constants
import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import eels_bayes as eb

WINDOW = (677.0, 737.0)  # F K edge, eV
BACKGROUND = (650.0, 680.0)  # eV
REFERENCE = (570.0, 592.5)  # Cr L edge that intensities are relative to, eV
ALIGN = (567.5, 627.5)  # eV
DISPERSION = 0.25  # eV a channel
DOSE = 1.0  # about 550 counts a channel under the edge
RATE = 400.0  # frames a second
QUEUE = 64  # frames that may wait: a hiccup of 160 ms
DRIFT = 50  # frames that the energy drift is estimated from
COSTS = eb.Costs(error=1.0, frame=0.05)  # a frame costs as much as 5 % of a wrong class
PIXEL = eb.plots.Pixel(4.0, 4.0, "nm")
SHOWN = 0.7  # of a scan, that the figure is drawn after
REFRESH = 0.5  # s between two looks at the status

parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the figure")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--smoke", action="store_true", help="400 frames and short training")
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)

# %% Fit without labels
size = {"n_images": 6, "shape": (12, 10)} if args.smoke else {"n_images": 24, "shape": (30, 19)}
series = eb.simulate.annealing_series(**size, dose=DOSE, seed=args.seed)
pre = eb.Preprocessor(
    window=WINDOW, dispersion=DISPERSION, background=BACKGROUND, normalize=REFERENCE, align=ALIGN
)
effort = eb.Effort.quick() if args.smoke else eb.Effort()
library = eb.FingerprintLibrary.example()
clf = eb.EELSClassifier(library, prior="fingerprint", latent_dim=16, seed=args.seed, effort=effort)
clf.fit(pre(series.signals))

# %% Compile for the detector's energy axis
axis = series.signals[0].axes_manager.signal_axes[0].axis
fast = clf.compile(clf.preprocessor, energy=axis)

# %% Frames that the fit has not seen, image after image, as a detector gives them
replay = eb.simulate.annealing_series(**size, dose=DOSE, seed=args.seed + 1)
frames = np.concatenate([signal.data.reshape(-1, len(axis)) for signal in replay.signals])
truth = replay.truth.label.values.ravel()
if args.smoke:
    frames, truth = frames[:400], truth[:400]


def detector(frames: np.ndarray, rate: float) -> Iterator[np.ndarray]:
    """Frames (n, E) one by one, each not before its time; rate in frames a second."""
    began = time.perf_counter()
    for number, frame in enumerate(frames):
        time.sleep(max(0.0, began + number / rate - time.perf_counter()))
        yield frame


# %% Classify while they come
live = eb.LiveClassifier(fast, queue_size=QUEUE, policy="drop_oldest", drift=DRIFT)
results, seen, doubt = [], np.zeros(library.n_classes, dtype=int), 0.0
began = shown = time.perf_counter()


def status() -> str:
    """What a microscopist wants to see, in one line."""
    counters, sure = live.counters, max(1, seen.sum())
    classes = ", ".join(f"{name} {n}" for name, n in zip(fast.class_names, seen, strict=True))
    return (
        f"{counters.classified / (time.perf_counter() - began):4.0f}/s  {classes}  "
        f"doubt {doubt / sure:.2f} nats  drift {results[-1].shift:+.2f} eV  "
        f"latency p50 {counters.p50:.2f} p99 {counters.p99:.2f} ms  dropped {counters.dropped}"
    )


for result in live.run(detector(frames, RATE)):
    results.append(result)
    if result.reading.flag == 0:
        seen[result.reading.labels] += 1
        doubt += float(result.reading.total)
    if result.classified - shown > REFRESH:
        shown = result.classified
        print(f"\r{status():<150}", end="", file=sys.stderr, flush=True)
print(f"\r{status():<150}", file=sys.stderr)

# %% What came of it
counters = live.counters
latency = 1e3 * np.array([result.latency for result in results])  # ms
p50, p99, p999 = np.percentile(latency, [50, 99, 99.9])
number = np.array([result.number for result in results])
label = np.array([result.reading.labels for result in results])
print(
    f"{counters.received} frames received, {counters.classified} classified, "
    f"{counters.dropped} dropped, {counters.flagged} flagged"
)
print(f"accuracy over the replay: {(label == truth[number]).mean():.3f}")
print(f"latency: p50 {p50:.2f} ms, p99 {p99:.2f} ms, p99.9 {p999:.2f} ms")

# %% What the operator sees in the middle of a scan
scan = size["shape"]
of_scan = scan[0] * scan[1]
read = np.bincount(number // of_scan)  # of each scan
chosen = np.flatnonzero(read == read.max())[np.count_nonzero(read == read.max()) // 2]
mine = [result for result in results if result.number // of_scan == chosen]
so_far = mine[: 1 + int(SHOWN * len(mine))]
reading = type(so_far[0].reading)(
    *(np.array(field) for field in zip(*(result.reading for result in so_far), strict=True))
)
figure = eb.plots.live_stream(
    [result._replace(number=result.number % of_scan) for result in so_far],
    fast.class_names,
    scan,
    asked=eb.decide(reading, COSTS).action,
    frame_time=1e3 / RATE,
    pixel=PIXEL,
)
figure.savefig(args.out / "live_stream.png", dpi=150)

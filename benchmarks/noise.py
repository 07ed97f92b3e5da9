"""Noise measured from counts: against the truth, against metadata, and on real files.

    python benchmarks/noise.py warnings [--n 200] [--first-seed N]
    python benchmarks/noise.py reading [--cases C ...] [--sizes N ...] [--full] [--json FILE]
    python benchmarks/noise.py files FILE [FILE ...]

`warnings` counts false ones where metadata are right, and missed ones where they are wrong by a
factor of 2, over doses, sizes and detectors. `reading` fits a series by what is measured, and by
the true noise given, and compares the scores on another series of the same detector. `files` prints
what is measured in files, beside an estimate by the scatter of single spectra about their
neighbours.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peers.forward_model import posterior

import eels_bayes as eb
from eels_bayes.data.detector_noise import LINEAR_MODEL
from eels_bayes.data.hyperspy_io import RawImage, read_counts
from eels_bayes.forward_model.fit import fit_forward_model
from eels_bayes.preprocessing.noise import channel_share
from eels_bayes.preprocessing.noise_choice import chosen_noise
from eels_bayes.preprocessing.noise_measurement import MeasuredNoise, measured_noise
from eels_bayes.preprocessing.series_noise import usable

SIZES = {10: (1, (2, 5)), 100: (1, (10, 10)), 10_000: (24, (21, 20))}  # pixels
DOSES = (0.3, 1.0, 3.0)
RIGHT = 1.0
SCORES = ("nll", "accuracy", "ece")
Read = tuple[NDArray[Any], NDArray[np.bool_]]  # class probabilities, and which pixels are usable
Reader = Callable[[eb.Preprocessor, list[Any], list[Any]], Read]
SEEDS = 7000


@dataclass(frozen=True)
class Detector:
    """How electrons become counts: a gain, a spread to either neighbour, readout and offset."""

    gain: float = 1.0
    readout: float = 0.0  # counts squared
    offset: float = 0.0  # counts
    spread: float = 0.0  # part of a channel's electrons that each neighbour gets

    def noise(self) -> eb.Noise:
        """What is true of the counts."""
        alone = (1.0 - 2.0 * self.spread) ** 2 + 2.0 * self.spread**2
        # readout noise is not spread: in the variance of a single channel it counts in full
        return eb.Noise(self.gain, self.readout, self.offset, alone)

    def detected(self, signal: Any, rng: np.random.Generator, stated: float | None) -> Any:
        """A signal of electrons as counts, with metadata that state a gain, or nothing."""
        found = signal.deepcopy()
        counts = found.data.astype(float)
        if self.spread:
            side = np.roll(counts, 1, -1) + np.roll(counts, -1, -1)
            counts = (1.0 - 2.0 * self.spread) * counts + self.spread * side
        counts = self.gain * counts + self.offset
        if self.readout:
            counts += rng.normal(0.0, np.sqrt(self.readout), counts.shape)
        found.data = counts.astype(np.float32)
        del found.metadata.Signal.Noise_properties
        if stated is not None:
            found.metadata.set_item(f"{LINEAR_MODEL}.gain_factor", stated * self.gain)
        return found


SPREAD = 0.12  # correlates neighbours by 0.3
DETECTORS = {
    "gain 0.05": Detector(gain=0.05),
    "gain 1": Detector(),
    "gain 7.78": Detector(gain=7.78),
    "gain 50": Detector(gain=50.0),
    "spread": Detector(gain=7.78, spread=SPREAD),
}
# name -> detector, and the gain that metadata state over the true one (None: nothing)
CASES: dict[str, tuple[Detector, float | None]] = {
    **{f"{name}, right": (d, RIGHT) for name, d in DETECTORS.items()},
    **{f"{name}, 60 times": (d, 60.0) for name, d in DETECTORS.items()},
    **{
        f"{name}, its inverse": (d, 1.0 / d.gain**2)
        for name, d in DETECTORS.items()
        if d.gain != 1.0
    },
    **{f"{name}, not stated": (d, None) for name, d in DETECTORS.items()},
    "readout 10 electrons": (Detector(gain=2.0, readout=400.0), RIGHT),
    "100 counts too many": (Detector(offset=100.0), RIGHT),
    "100 counts too few": (Detector(offset=-100.0), RIGHT),
}


def series_of(size: int, dose: float, seed: int) -> eb.simulate.Series:
    """Electrons of a series of so many pixels."""
    n_images, shape = SIZES[size]
    return eb.simulate.annealing_series(n_images, shape, dose, seed)


def detected(
    series: eb.simulate.Series, detector: Detector, stated: float | None, seed: int
) -> eb.simulate.Series:
    """The series as the detector's counts."""
    rng = np.random.default_rng(seed)
    return replace(series, signals=[detector.detected(s, rng, stated) for s in series.signals])


def noise_warnings(signals: list[Any], noise: Any = "auto") -> tuple[eb.Preprocessor, list[str]]:
    """A preprocessor calibrated on the signals, and what it said of their noise."""
    pre = eb.Preprocessor((677, 737), 0.25, (650, 680), (570, 592.5), (567.5, 627.5), noise=noise)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pre.calibrate(signals)
    return pre, [str(w.message) for w in caught if str(w.message).startswith("noise: ")]


def count_warnings(n: int, first_seed: int) -> None:
    """False warnings of n right metadata, and missed ones of n wrong by a factor of 2."""
    rng = np.random.default_rng(first_seed)
    sizes, names = list(SIZES), list(DETECTORS)
    false, missed = [], []
    for k in range(n):
        size, dose = sizes[k % 3], DOSES[(k // 3) % 3]
        name = names[(k // 9) % len(names)]
        series = series_of(size, dose, first_seed + k)
        wrong = 2.0 if rng.random() < 0.5 else 0.5
        for stated in (RIGHT, wrong):
            signals = detected(series, DETECTORS[name], stated, first_seed + k).signals
            pre, said = noise_warnings(signals)
            if bool(said) == (stated == RIGHT):
                where = f"{name}, dose {dose:g}, {size} pixels, stated {stated:g}"
                (false if stated == RIGHT else missed).append(f"{where}: {pre.detector_noise}")
    print(f"false warnings: {len(false)} of {n}; missed: {len(missed)} of {n}")
    for line in (*false, *missed):
        print("  ", line)


def by_forward_model(pre: eb.Preprocessor, signals: list[Any], seen: list[Any]) -> Read:
    """Class probabilities of the signals seen, by the forward model: nothing is left to chance.

    Networks are trained on draws, and move the scores by as much as what is compared here.
    """
    model = fit_forward_model(
        pre(signals, show_progressbar=False),
        eb.FingerprintLibrary.example(),
        show_progressbar=False,
    )
    spectra = pre(seen, show_progressbar=False)
    return posterior(model, spectra), spectra.ok


def by_classifier(pre: eb.Preprocessor, signals: list[Any], seen: list[Any]) -> Read:
    """Class probabilities of the signals seen, by the whole classifier."""
    clf = eb.EELSClassifier(eb.FingerprintLibrary.example())
    clf.fit(pre(signals, show_progressbar=False), show_progressbar=False)
    pred = clf.predict(clf.preprocessor(seen, show_progressbar=False), show_progressbar=False)
    return pred.probabilities, pred.ok


def compare_reading(
    cases: list[str], first_seed: int, sizes: list[int], read: Reader
) -> list[dict[str, Any]]:
    """Scores by the measured noise and by the true one given, for every case and size."""
    rows = []
    test = eb.simulate.annealing_series(12, (12, 10), 1.0, first_seed + 1000)
    truth = test.truth["label"].to_numpy().ravel()
    print(f"{'':28s}{'pixels':>8s}{'NLL':>8s}{'true':>8s}{'ECE':>8s}  noise that is believed")
    for number, (name, (detector, stated)) in enumerate(CASES.items()):
        if name not in cases:
            continue
        seen = detected(test, detector, stated, first_seed).signals
        for size in sizes:
            signals = detected(series_of(size, 1.0, first_seed + number), detector, stated, number)
            row: dict[str, Any] = {"case": name, "pixels": size}
            for how, noise in (("measured", "auto"), ("true", detector.noise())):
                pre, said = noise_warnings(signals.signals, noise)
                if how == "true" and pre.detector_noise == row["noise"]:
                    row |= {f"true_{key}": row[f"measured_{key}"] for key in SCORES}
                    continue
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    probabilities, ok = read(pre, signals.signals, seen)
                # images that drift farther than the few that were calibrated on are flagged
                score = eb.metrics.summary(probabilities[ok], truth[ok])
                row |= {f"{how}_{key}": score[key] for key in SCORES}
                if how == "measured":
                    row |= {"noise": pre.detector_noise, "said": said}
            rows.append(row)
            found = " ".join(f"{value:.4g}" for value in row["noise"])
            print(
                f"{name:28s}{size:8d}{row['measured_nll']:8.3f}{row['true_nll']:8.3f}"
                f"{row['measured_ece']:8.3f}  {found}{'  (said)' if row['said'] else ''}",
                flush=True,
            )
    return rows


def by_neighbours(counts: NDArray[Any], width: int, apart: int) -> float:
    """Variance over mean of bins of `width` channels, by second differences of single spectra.

    Of bins `apart` from each other, because near ones share electrons. It knows nothing of other
    pixels; the median leaves edges out.
    """
    n = counts.shape[1] // width
    bins = counts[:, : n * width].reshape(len(counts), n, width).sum(2)
    low, middle, high = bins[:, : -2 * apart], bins[:, apart:-apart], bins[:, 2 * apart :]
    level = (low + middle + high) / 3
    known = level > 0
    bend = np.square(low - 2 * middle + high)[known] / (6 * level[known])
    return float(np.median(bend) / 0.4549)  # the median of a chi-squared of one


def noise_said(raw: RawImage, found: MeasuredNoise) -> list[str]:
    """What a user is told."""
    message = chosen_noise(raw.noise, raw.stated, found).message
    return [message] if message else []


def print_files(paths: list[Path]) -> None:
    """What the counts of files say, and what their metadata state."""
    for path in paths:
        for signal in eb.load(path):
            raw = read_counts(signal)
            counts, step = usable(raw.counts.astype(float)), raw.axis.scale
            print(f"{path.name}: {raw.counts.shape[0]} pixels, channels of {step:g} eV")
            print(f"  stated by {raw.stated or 'nothing'}: {raw.noise}")
            found = measured_noise([counts], step)
            if found is None:
                print("  too little to measure")
                continue
            print(f"  measured: {found.noise}, gain +- {found.gain_error:.2g}")
            for width, apart, line in ((1, 4, found.channel), (found.width, 1, found.wide)):
                beside = by_neighbours(counts, width, apart)
                print(
                    f"  variance over mean in {width * step:g} eV: {line.ratio:.3g} "
                    f"+- {line.ratio_error:.2g}; by neighbours {beside:.3g}"
                )
            noise = found.noise
            width = max(1, round(2.0 / step))
            in_bins = noise.gain * channel_share(noise.correlation_factor, width)
            print(f"  so in {width * step:g} eV: {in_bins:.3g}")
            for said in noise_said(raw, found):
                print(f"  said: {said}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("what", nargs="?", choices=["warnings", "reading", "files"])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=SEEDS)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--full", action="store_true", help="networks too: minutes each")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.what in (None, "warnings"):
        count_warnings(args.n, args.first_seed)
    if args.what in (None, "reading"):
        reader = by_classifier if args.full else by_forward_model
        table = compare_reading(args.cases, args.first_seed, args.sizes, reader)
        if args.json:
            args.json.write_text(json.dumps(table, indent=1))
    if args.what == "files":
        print_files(args.files)

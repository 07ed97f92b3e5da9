"""Odd spectra through every backend: none raises, none is read that should not be, all agree."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections import Counter
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

import eels_bayes as eb
from eels_bayes.data.detector_limits import countable, measured_counts
from eels_bayes.preprocessing.dead_channels import fill_dead_channels

from . import bed, kinds
from .bed import Found
from .kinds import Array

SIZES = {"spectra": 1_000_000, "asked": 20_000}
SMOKE = {"spectra": 400, "asked": 200}
BACKENDS = ("torchscript", "onnx", "inductor")
MOST = 400  # spectra at a time
SINGLE = 0.3  # of the calls are of one spectrum (E,): of few spectra, many calls
ALIGNED = 0.5  # of what the slow path is asked about
PLAIN = 8  # spectra as measured beside those that the slow path reads: an image has some
SUM, CLOSE = 1e-4, 1e-3  # of probabilities: from one, and of two classes that may change places
DRIFTS = (0.0, 0.0, 0.0, 0.3125, -1.37, 2.5, 30.0, -300.0, np.nan)  # eV
RIGHT, OTHER_REASONS = "as it should be", "flagged for other reasons"


def faults(reading: eb.FastReading) -> list[tuple[str, Array]]:
    """What is wrong with a reading of n spectra, and of which (n,) it is."""
    flagged, rows = reading.flag != 0, np.arange(len(reading.flag))
    numbers = np.column_stack([reading.probabilities, *reading[2:9]])
    finite, nan = np.isfinite(numbers).all(1), np.isnan(numbers).all(1)
    p = np.where(finite[:, None], reading.probabilities, 0.0)
    best = p[rows, np.clip(reading.labels, 0, None)]
    return [
        ("NOT FINITE", ~flagged & ~finite),
        ("NUMBERS WHERE FLAGGED", flagged & ~nan),
        ("A LABEL WHERE FLAGGED", flagged & (reading.labels != -1)),
        ("NOT THE LIKELIEST LABEL", ~flagged & ((reading.labels < 0) | (best < p.max(1)))),
        ("PROBABILITIES OFF ONE", ~flagged & finite & (np.abs(p.sum(1) - 1) > SUM)),
        ("NEGATIVE PROBABILITIES", ~flagged & (p.min(1) < 0)),
    ]


def disagreement(flag: Array, p: Array, other: Array, q: Array) -> list[tuple[str, Array]]:
    """Where one of two (n,) has a flag, or labels of clear probabilities (n, K) differ."""
    both = (flag == 0) & (other == 0)
    p, q = (np.where(both[:, None], x, 0.0) for x in (p, q))
    top = np.sort(q, axis=1)
    clear = top[:, -1] - top[:, -2] > CLOSE
    return [
        ("READ BY ONE ALONE", (flag == 0) != (other == 0)),
        ("ANOTHER LABEL", both & clear & (p.argmax(1) != q.argmax(1))),
        (OTHER_REASONS, ~both & (flag != 0) & (other != 0) & (flag != other)),
    ]


def lost_by_image(rows: Array) -> Array:
    """Which spectra (n,) only their image shows to be otherwise than they seem.

    Counts that are saturated, and, in all spectra of an image, channels that are dead in it.
    """
    of_image, alone = measured_counts(rows)[0], np.asarray(countable(rows), np.float64)
    found: Array = (np.isnan(of_image) & ~np.isnan(alone)).any(1)
    _, filled, unfilled = fill_dead_channels(of_image.astype(np.float32))
    return found | filled.any() | unfilled.any()


def slow(rows: Array, *, align: bool) -> tuple[Array, Array, Array]:
    """Shifts, flags and probabilities of an image of spectra by the slow path."""
    signal, clf = bed.signal(rows), bed.classifier(align=align)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", UserWarning)  # of what is odd
        spectra = clf.preprocessor(signal, show_progressbar=False)
        pred = clf.predict(spectra, show_progressbar=False)
    return spectra.shift.astype(float), pred.flag, pred.probabilities


class Campaign:
    """Verdicts so far, by backend and kind.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed: int, backends: tuple[str, ...] = BACKENDS):
        self.rng = np.random.default_rng(seed)
        self.fasts, self.still = (
            {name: bed.compiled(name, align=align) for name in backends} for align in (True, False)
        )
        self.found: Found = {name: Counter() for name in (*backends, "slow path")}
        self.base = np.concatenate(
            [s.data.reshape(-1, len(bed.energy())) for s in bed.series().signals]
        )

    def rows(self, n: int) -> tuple[Array, list[str], str]:
        """Odd spectra (n, E) of one type, their kinds, and the type."""
        index = self.rng.integers(len(self.base), size=n)
        made, names = kinds.draw(self.base[index], self.rng)
        dtype = str(self.rng.choice(kinds.TYPES))
        return kinds.of_type(made, dtype), names, dtype

    def note(self, whose: str, what: str, bad: Array, names: list[str], of: str) -> None:
        """Count the spectra (n,) that something is wrong with."""
        for k in np.flatnonzero(bad):
            self.found[whose][f"{what}: {names[k]}, {of}"] += 1

    def call(self) -> int:
        """Read some spectra by every backend; how many."""
        single = self.rng.random() < SINGLE
        n = 1 if single else int(self.rng.integers(1, MOST + 1))
        rows, names, dtype = self.rows(n)
        layout = str(self.rng.choice(list(kinds.LAYOUTS)))
        given = kinds.LAYOUTS[layout](rows[0] if single else rows)
        if layout == "broadcast" and not single:
            names = [names[0]] * n
        shift = None if self.rng.random() < 0.2 else float(self.rng.choice(DRIFTS))
        of = f"{dtype}, {layout}"
        first: eb.FastReading | None = None
        for name, fast in self.fasts.items():
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    reading = fast(given, shift)
            except Exception as error:
                self.found[name][f"RAISED {type(error).__name__}: {error!s:.60}, {of}"] += n
                continue
            if single:
                reading = eb.FastReading(*(np.asarray(field)[None] for field in reading))
            bad = np.zeros(n, bool)
            for what, which in faults(reading):
                self.note(name, what, which, names, of)
                bad |= which
            if first is None:
                first, first_name = reading, name
            else:
                for what, which in disagreement(*_said(reading), *_said(first)):
                    self.note(name, f"{what} of {first_name}", which, names, of)
                    bad |= which
            for said, which in (("read", reading.flag == 0), ("flagged", reading.flag != 0)):
                self.found[name][f"{RIGHT}, {said}"] += int((which & ~bad).sum())
        return n

    def ask(self) -> int:
        """Read an image of spectra by every backend and by the slow path; how many.

        Half of the images do not drift: what is odd in many of their spectra is in their mean.
        """
        align = self.rng.random() < ALIGNED
        fasts = self.fasts if align else self.still
        n = int(self.rng.integers(1, MOST // 4))
        rows, names, dtype = self.rows(n)
        plain = self.base[self.rng.integers(len(self.base), size=PLAIN)]
        rows = np.concatenate([rows, kinds.of_type(plain, dtype)])
        names = [*names, *["counts"] * PLAIN]
        counted, lost = self.found["slow path"], lost_by_image(rows)
        try:
            shift, flag, p = slow(rows, align=align)
        except ValueError as error:
            nobody = str(error).startswith("none of")
            read = [(fast(rows).flag == 0) & ~lost for fast in fasts.values()]
            if nobody and align:  # most of the spectra are odd, and so is what they mean
                counted["an image without a drift"] += len(rows)
            elif nobody and np.any(read):
                counted["NO PIXEL USABLE BUT BY THE FAST PATH"] += len(rows)
            else:
                counted["no pixel usable" if nobody else "an image refused"] += len(rows)
            return len(rows)
        except Exception as error:
            counted[f"RAISED {type(error).__name__}: {error!s:.60}"] += len(rows)
            return len(rows)
        seen = np.zeros(len(rows), bool)
        for name, fast in fasts.items():
            for what, which in disagreement(*_said(fast(rows, shift)), flag, p):
                self.note("slow path", f"{what} of {name}", which & ~lost, names, dtype)
                seen |= which
        counted["flagged by its image"] += int((seen & lost).sum())
        counted[f"{RIGHT}, read"] += int((~seen & (flag == 0)).sum())
        counted[f"{RIGHT}, flagged"] += int((~seen & (flag != 0)).sum())
        return len(rows)


def _said(reading: eb.FastReading) -> tuple[Array, Array]:
    """Flags and probabilities."""
    return reading.flag, reading.probabilities


def silent(backend: str) -> Counter[str]:
    """What a model says that has no finite answer to any spectrum."""
    clf = copy.deepcopy(bed.classifier())
    with torch.no_grad():
        clf.fitted.encoder.offset += 1e30
    options: dict[str, Any] = {"energy": bed.energy(), "show_progressbar": False}
    fast = clf.compile(clf.preprocessor, backend=backend, **options)
    found: Counter[str] = Counter()
    for rows in (bed.counts(), bed.counts()[0]):
        reading = fast(rows, 0.0)
        silent = (reading.flag == int(eb.Flag.NO_ANSWER)) & (reading.labels == -1)
        right = silent & np.isnan(reading.probabilities).all(-1)
        found["no answer, and flagged"] += int(right.sum())
        found["NO ANSWER, AND NOT FLAGGED"] += int((~right).sum())
    return found


def run(sizes: dict[str, int], seed: int) -> Found:
    """Some through the slow path, then all through every backend; an interrupt ends either."""
    campaign = Campaign(seed)
    steps: Any = ((campaign.ask, "asked"), (campaign.call, "spectra"))
    for step, size in steps:
        with (
            contextlib.suppress(KeyboardInterrupt),
            tqdm(total=sizes[size], desc=size, unit=" spectra") as bar,
        ):
            while bar.n < sizes[size]:
                bar.update(step())
    for backend in BACKENDS:
        campaign.found[f"{backend}, a broken model"] = silent(backend)
    return campaign.found

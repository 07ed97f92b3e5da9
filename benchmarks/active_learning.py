"""What active learning saves: labels, simulations, dose.

    python benchmarks/active_learning.py [labels] [structures] [novel] [dose] [--json FILE]
    python benchmarks/active_learning.py --draw --json FILE --figure FIGURE.png

labels      a library that lacks two of its four classes, and two labels of each of these: how many
            labels until the accuracy that random choice reaches with 200, looked at every ten
structures  nine candidate compositions and two defective structures, two of them simulated, three
            to five others in the specimen: how many simulations until the map is as good as with
            all, against random order and a regular grid
novel       a series with a structure that is not in the library: the share of its pixels, and of
            the others, that is reported as novel before and after its fingerprint is known
dose        a map in one pass of a usual pixel's dose, then more frames where they help: NLL against
            scanning the whole map again, and the dose that uniform scanning would need

Every seed is another specimen with noise of its own; models are fitted to four series of other
seeds, each of which serves a quarter of the seeds. Medians with 95 % bootstrap intervals.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from annealing import preprocess
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax
from scipy.stats import gamma
from tqdm import tqdm

import eels_bayes as eb
from eels_bayes.continuum import extended
from eels_bayes.decisions import novel_among
from eels_bayes.factors import Population, Shape, log_likelihood, rotated
from eels_bayes.fingerprints import shift_and_broaden
from eels_bayes.forward_model import onto_bins, wide_axis

Array = NDArray[Any]

N_MODELS = 4
SIZE = {"n_images": 8, "shape": (16, 16)}
LABELS_DOSE, N_LABELS, BATCH, POOL = 10.0, 200, 10, 1000
STRATEGIES = {  # labels at most, and between two updates; choice pays if half of them are enough
    "random": ("random", N_LABELS, BATCH),
    "BALD": ("bald", N_LABELS // 2, 1),
    "BatchBALD": ("batch_bald", N_LABELS // 2, BATCH),
}
MISSING = ("25 % F", "12.5 % F")
FRAME_DOSE, MOST_FRAMES, ROUND = 1.0, 16, 0.1  # a round spends so many frames a pixel
BUDGETS = (2.0, 3.0, 4.0)  # frames a pixel
COMPOSITIONS = np.linspace(0.0, 0.5, 9)
STRUCTURES_DOSE = 10.0
NEARLY = 1.1  # of the map's error with every structure of the specimen simulated
BEND = 0.5  # sd by which the intensity bends between two simulated compositions, of their distance
HEAP = 0.035  # sd of a composition's intensities, of the strongest one's
OUTSIDE = 1e-3  # density of pixels between the heaps, of a heap's highest
MISSED = 0.05  # share of the pixels by which a structure is missed, or not yet
LOOKS = {  # shift and splitting of an edge, eV, by the kind of defect
    "": ((-1.0, 0.0), (0.0, 0.0), (1.0, 0.0), (0.0, 2.0)),
    "shifted": tuple((shift, 0.0) for shift in (-6.0, -4.5, -3.0, 3.0, 4.5, 6.0)),
    "split": tuple((shift, split) for shift in (-2.0, 0.0, 2.0) for split in (4.0, 6.0, 8.0, 10.0)),
}
INDEPENDENT = 10.0  # pixels' weight: neighbours are alike, and the law is a rough one
EM_STEPS = 200
REPETITIONS = 2000  # of the bootstrap


def median_interval(values: Array) -> tuple[float, float, float]:
    """Median and its 95 % bootstrap interval."""
    rows = np.random.default_rng(0).integers(len(values), size=(REPETITIONS, len(values)))
    low, high = np.quantile(np.median(np.asarray(values)[rows], axis=1), [0.025, 0.975])
    return float(np.median(values)), float(low), float(high)


def part(library: eb.FingerprintLibrary, names: list[str]) -> eb.FingerprintLibrary:
    """Some classes of a library."""
    words = np.array([library.class_names[k] for k in library.labels])
    keep = np.isin(words, names)
    assert library.values is not None
    return eb.FingerprintLibrary.from_arrays(
        library.energy,
        library.intensity[keep],
        words[keep],
        class_names=names,
        values=library.values[keep],
        nuisances=library.nuisances,
    )


def joined(
    library: eb.FingerprintLibrary, whole: eb.FingerprintLibrary, name: str
) -> eb.FingerprintLibrary:
    """A library with one more class of the whole one: its simulation."""
    rows = whole.labels == whole.class_names.index(name)
    assert whole.values is not None
    return library.with_fingerprints(
        whole.energy, whole.intensity[rows], [name] * int(rows.sum()), values=whole.values[rows]
    )


def names_of(series: eb.simulate.Series) -> Array:
    """Name of every pixel's dominant class."""
    return np.array(series.library.class_names)[series.truth["label"].to_numpy().ravel()]


# Labels


def labels_base(index: int) -> eb.EELSClassifier:
    """A model fitted with two of the four classes."""
    series = eb.simulate.annealing_series(**SIZE, dose=LABELS_DOSE, seed=900 + index)
    library = part(eb.FingerprintLibrary.example(), ["50 % F", "0 % F"])
    return eb.EELSClassifier(library, seed=index).fit(preprocess(series))


def labels_curve(
    base: eb.EELSClassifier,
    spectra: eb.Spectra,
    truth: Array,
    acquisition: str,
    budget: int,
    batch: int,
    seed: int,
) -> dict[int, float]:
    """Accuracy on pixels that are not asked about, after every ten labels."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(np.flatnonzero(spectra.ok))
    pool, test = rows[:POOL], rows[POOL:]
    clf = copy.deepcopy(base)
    first = np.concatenate([pool[truth[pool] == name][:2] for name in MISSING])
    pool = np.setdiff1d(pool, first)
    clf.update(spectra[first], truth[first], show_progressbar=False)
    curve: dict[int, float] = {}

    def score(loop: eb.active.ActiveLoop | None) -> None:
        if loop and loop.n_answers % BATCH:
            return
        pred = clf.predict(spectra[test], show_progressbar=False)
        found = np.array(pred.class_names)[pred.labels]
        curve[loop.n_answers if loop else 0] = float((found == truth[test]).mean())

    score(None)
    loop = eb.active.ActiveLoop(
        clf,
        spectra[pool],
        lambda item: str(truth[pool[item]]),
        acquisition=acquisition,
        budget=budget,
        batch_size=batch,
        seed=seed,
    )
    loop.run(after_round=score, show_progressbar=False)
    return curve


def needed(curve: dict[int, float], target: float) -> int:
    """Labels after which the target is reached."""
    return next((n for n, value in curve.items() if value >= target), max(curve) + BATCH)


def run_labels(seed: int, base: eb.EELSClassifier) -> dict[str, Any]:
    """Labels until the accuracy that random choice reaches with all of its own."""
    size = SIZE | {"n_images": 2 * SIZE["n_images"]}  # most of it for the test
    series = eb.simulate.annealing_series(**size, dose=LABELS_DOSE, seed=seed)
    spectra, truth = base.preprocessor(series.signals, show_progressbar=False), names_of(series)
    curves = {
        name: labels_curve(base, spectra, truth, *options, seed)
        for name, options in STRATEGIES.items()
    }
    target = curves["random"][N_LABELS]
    found = {name: needed(curve, target) for name, curve in curves.items()}
    return {"target": target, "needed": found, "curves": curves}


# Structures

# Compositions are told from each other by intensity alone, which varies half as much from pixel to
# pixel as by default; and they do not follow the temperature.
PROCESS = eb.simulate.Process(intensity_jitter=0.03, composition_image=2.0)


def structures_library() -> eb.FingerprintLibrary:
    """Nine compositions between the built-in classes, and two defective structures of 25 %."""
    known = eb.FingerprintLibrary.example()
    assert known.class_values is not None
    order = np.argsort(known.class_values)
    values, spectra = known.class_values[order], known.class_spectra[order]
    rows, names, fractions = [], [], []
    for x in COMPOSITIONS:
        upper = int(np.clip(np.searchsorted(values, x), 1, len(values) - 1))
        share = (x - values[upper - 1]) / (values[upper] - values[upper - 1])
        rows.append((1 - share) * spectra[upper - 1] + share * spectra[upper])
        names.append(f"{100 * x:g} % F")
        fractions.append(x)
    edge = spectra[list(values).index(0.25)]
    for name, shifts in (("shifted", (4.0,)), ("split", (-2.5, 5.0))):
        moved = [np.interp(known.energy - shift, known.energy, edge) for shift in shifts]
        rows.append(np.mean(moved, axis=0))
        names.append(f"25 % F, {name}")
        fractions.append(0.25)
    return eb.FingerprintLibrary.from_arrays(
        known.energy, rows, names, values=fractions, nuisances=known.nuisances
    )


def specimen(whole: eb.FingerprintLibrary, seed: int) -> tuple[eb.simulate.Series, Array]:
    """A series of three to five of the structures, at least one of them defective, and names."""
    rng = np.random.default_rng([seed, 1])
    n = int(rng.integers(3, 6))
    n_defects = int(rng.integers(1, 3))
    between = list(whole.class_names[1 : len(COMPOSITIONS) - 1])
    defects = list(whole.class_names[len(COMPOSITIONS) :])
    present = [
        *sorted(rng.choice(between, n - n_defects, replace=False), key=between.index),
        *rng.choice(defects, n_defects, replace=False),
    ]
    series = eb.simulate.annealing_series(
        **SIZE,
        dose=STRUCTURES_DOSE,
        seed=seed,
        library=part(whole, [str(name) for name in present]),
        process=PROCESS,
    )
    return series, names_of(series)


def structures_base(index: int) -> eb.EELSClassifier:
    """A model of another specimen, of both ends of the composition alone."""
    whole = structures_library()
    library = part(whole, [whole.class_names[0], whole.class_names[len(COMPOSITIONS) - 1]])
    series = eb.simulate.annealing_series(
        **SIZE, dose=STRUCTURES_DOSE, seed=900 + index, library=library, process=PROCESS
    )
    return eb.EELSClassifier(library, seed=index).fit(preprocess(series))


def demand(
    clf: eb.EELSClassifier, pred: eb.Prediction, spectra: eb.Spectra, names: list[str]
) -> Array:
    """How surely (candidates,) each structure is in the specimen, by the map's own doubt.

    What is there has to be simulated sooner or later, so that the surest is simulated first, and
    not the one that may claim most pixels: it tells of the others as well. What is like nothing in
    the library asks for the kind of defect that it looks like; edges that are neither moved nor
    split ask for compositions. Neighbours are alike: both are read from three by three pixels.
    """
    surprise = -np.log(np.maximum(1.0 - pred.novelty, 1e-7))
    novel = novel_among(gamma.cdf(9.0 * around(surprise, np.mean), 9.0))  # Fisher's method
    looks_like = kinds(clf, spectra)
    compositions = [name for name in names if not is_defect(name)]
    sure = dict(zip(compositions, claims(clf, pred, compositions, looks_like[""]), strict=True))
    for name in names:
        if is_defect(name):
            sure[name] = missed((novel * looks_like[kind_of(name)]).mean())
    return np.array([sure[name] for name in names])


def missed(share: Array) -> Array:
    """How much a structure that has these shares of the pixels is missed, 0 to 1."""
    return np.asarray(1.0 - np.exp(-share / MISSED))


def kinds(clf: eb.EELSClassifier, spectra: eb.Spectra) -> dict[str, Array]:
    """Probability (n,) of each kind of structure that a pixel's edge may look like.

    Beforehand a kind's name alone is known, and so roughly its looks: those of the strongest edge
    of the library, of any intensity, moved and split.
    """
    assert clf.fitted is not None
    model = clf.fitted.forward
    energy = model.continuum.energy
    columns = model.continuum.columns(energy, model.library) * model.white[:, None]
    population = Population(np.ones(1), model.mean, model.covariance)
    fine = wide_axis(energy, model.library.energy)
    shown = extended(model.library, fine).class_spectra
    strongest = shown[[int(shown.sum(1).argmax())] * 2]
    pixels = model.whiten(
        np.nan_to_num(spectra.profile).astype(float), np.nan_to_num(spectra.level).astype(float)
    )
    evidence = {}
    for kind, looks in LOOKS.items():
        of_looks = []
        for shift, split in looks:
            ends = np.array([shift - 0.5 * split, shift + 0.5 * split]) / (fine[1] - fine[0])
            edge = onto_bins(energy, fine, shift_and_broaden(strongest, ends, 0.0).mean(0))
            shape = 0.5 * edge * model.white
            likelihood, *_ = log_likelihood(
                *pixels, rotated(columns, population, Shape(shape, shape[:, None]))
            )
            of_looks.append(around(likelihood, np.sum))
        evidence[kind] = logsumexp(of_looks, axis=0) - np.log(len(looks))
    return dict(zip(evidence, softmax(list(evidence.values()), axis=0), strict=True))


def around(pixels: Array, summary: Callable[..., Array]) -> Array:
    """A summary of the three by three pixels around each (n,)."""
    images = pixels.reshape(-1, *SIZE["shape"])
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return np.asarray(summary(windows, axis=(-2, -1)).ravel())


def claims(clf: eb.EELSClassifier, pred: eb.Prediction, names: list[str], weight: Array) -> Array:
    """How surely (candidates,) pixels of weights (n,) are of each candidate composition.

    A composition that is not simulated shows as a heap of intensities between those of simulated
    ones, for whose mixture it is taken. Where between, its fraction tells, but for the unknown
    amount by which intensity bends between the simulated fractions. Far above the edge the
    intensity counts atoms, so that defective structures tell of it as well.
    """
    assert clf.fitted is not None
    library = clf.fitted.forward.library  # as the experiment shows it
    assert library.class_values is not None
    strongest = library.class_spectra[[int(library.class_spectra.sum(1).argmax())]]
    shapes = np.concatenate([strongest, library.nuisances])
    with torch.no_grad():
        clean = clf.fitted.vae.decode(torch.as_tensor(np.nan_to_num(pred.latent_mean))).numpy()
    pixels, simulated = (
        np.linalg.lstsq(shapes.T, rows.T, rcond=None)[0][0]
        for rows in (clean, library.class_spectra)
    )
    pixels = around(pixels, np.median)
    known = simulated[[not is_defect(name) for name in library.class_names]]
    fractions = np.array([composition(name) for name in names])
    knots, where = np.unique(library.class_values, return_inverse=True)
    heights = np.bincount(where, library.class_spectra.sum(1) / strongest.sum()) / np.bincount(
        where
    )
    upper = np.clip(np.searchsorted(knots, fractions), 1, len(knots) - 1)
    low, high = knots[upper - 1], knots[upper]
    bow = (fractions - low) * (high - fractions) / (high - low)
    log_weight, found = [], []
    for bend in np.linspace(-2.0, 2.0, 17):
        center = np.interp(fractions + BEND * bend * bow, knots, heights)
        counted, likelihood = heaps(pixels, np.concatenate([center, known]), weight)
        log_weight.append(-0.5 * bend**2 + INDEPENDENT * likelihood)
        found.append(missed(counted[: len(names)] / len(pixels)))
    return np.asarray(softmax(log_weight) @ np.array(found))


def heaps(pixels: Array, center: Array, weight: Array) -> tuple[Array, float]:
    """Number of pixels (n,), of weights (n,), in heaps around centers (C,); mean log-likelihood."""
    density = np.exp(-0.5 * ((pixels[:, None] - center) / HEAP) ** 2) + OUTSIDE
    share = np.full(len(center), 1.0 / len(center))
    for _ in range(EM_STEPS):
        each = density * share
        total = each.sum(1, keepdims=True)
        counted = weight @ (each / total)
        share = counted / weight.sum()
    return counted, float(weight @ np.log(total[:, 0]) / weight.sum())


def kind_of(name: str) -> str:
    """Kind of a defect by a candidate's name; empty where there is none."""
    return name.partition(", ")[2]


def is_defect(name: str) -> bool:
    return bool(kind_of(name))


def composition(name: str) -> float:
    """Fluorine fraction by a candidate's name."""
    return float(name.split()[0]) / 100


def run_structures(seed: int, base: eb.EELSClassifier) -> dict[str, Any]:
    """Simulations until the map's error is close to that with every structure simulated.

    That error is the larger one of two: with the specimen's structures simulated and with all
    candidates. An order that is given beforehand is not read before it can be good enough, which
    asks for all but a few pixels' structures: in its curve stands the least possible error.
    """
    whole = structures_library()
    series, truth = specimen(whole, seed)
    spectra = base.preprocessor(series.signals, show_progressbar=False)
    known = list(base.class_names)
    candidates = [name for name in whole.class_names if name not in known]
    rng = np.random.default_rng([seed, 2])
    by_bisection = [4, 2, 6, 1, 3, 5, 7]  # of the compositions' indices, between both ends
    grid = [whole.class_names[i] for i in by_bisection[:3]] + list(whole.class_names[-2:])
    grid += [whole.class_names[i] for i in by_bisection[3:]]
    orders: dict[str, list[str] | None] = {
        "random": [str(name) for name in rng.permutation(candidates)],
        "regular grid": grid,
        "doubt": None,
    }
    found: dict[frozenset[str], tuple[eb.EELSClassifier, eb.Prediction]] = {}

    def read(names: list[str]) -> tuple[eb.EELSClassifier, eb.Prediction]:
        """The map with these structures simulated; which was simulated first does not matter."""
        key = frozenset(names)
        if key not in found:
            clf = copy.deepcopy(base)
            library = clf.library
            for name in [name for name in candidates if name in key]:
                library = joined(library, whole, name)
            clf.update(library, spectra=spectra, recalibrate=False, show_progressbar=False)
            found[key] = clf, clf.predict(spectra, show_progressbar=False)
        return found[key]

    def error(names: list[str]) -> float:
        _, pred = read(names)
        return float((np.array(pred.class_names)[pred.labels] != truth)[pred.ok].mean())

    def least(names: list[str]) -> float:
        """Error of a map that is right wherever it can be."""
        return float((~np.isin(truth, names))[spectra.ok].mean())

    present = [str(name) for name in np.unique(truth)]
    target = NEARLY * max(error(known + present), error(known + candidates))
    needed: dict[str, int] = {}
    curves: dict[str, list[float]] = {}
    chosen: dict[str, list[str]] = {}
    for strategy, order in orders.items():
        names, curve = list(known), [1.0]
        while curve[-1] > target and len(names) < len(whole.class_names):
            left = [name for name in candidates if name not in names]
            if order is None:
                names.append(left[int(demand(*read(names), spectra, left).argmax())])
            else:
                names.append(next(name for name in order if name in left))
            # a map that cannot be good enough yet need not be read
            curve.append(least(names) if least(names) > target else error(names))
        curves[strategy], chosen[strategy] = curve, names[len(known) :]
        needed[strategy] = len(chosen[strategy])
    return {
        "target": target,
        "needed": needed,
        "curves": curves,
        "chosen": chosen,
        "present": present,
    }


# A structure that is not in the library


def novel_base(index: int) -> eb.EELSClassifier:
    """A model of a series that the library describes."""
    series = eb.simulate.annealing_series(**SIZE, dose=STRUCTURES_DOSE, seed=900 + index)
    return eb.EELSClassifier(eb.FingerprintLibrary.example(), seed=index).fit(preprocess(series))


def run_novel(seed: int, base: eb.EELSClassifier) -> dict[str, Any]:
    """Shares of pixels reported as novel before and after a structure's fingerprint is known."""
    whole = structures_library()
    defect = str(np.random.default_rng([seed, 1]).choice(whole.class_names[len(COMPOSITIONS) :]))
    library = part(whole, [*base.class_names, defect])
    series = eb.simulate.annealing_series(**SIZE, dose=STRUCTURES_DOSE, seed=seed, library=library)
    spectra, truth = base.preprocessor(series.signals, show_progressbar=False), names_of(series)
    clf = copy.deepcopy(base)
    result: dict[str, Any] = {"structure": defect, "share": float((truth == defect).mean())}

    def reported() -> dict[str, float]:
        pred = clf.predict(spectra, show_progressbar=False)
        found = eb.decide(pred).action == "report as novel"
        named = np.array(pred.class_names)[pred.labels] == truth
        return {
            "unknown": float(found[truth == defect].mean()),
            "known": float(found[truth != defect].mean()),
            "named": float(named[truth == defect].mean()),
        }

    result["before"] = reported()
    more = joined(clf.library, whole, defect)
    clf.update(more, spectra=spectra, recalibrate=False, show_progressbar=False)
    result["after"] = reported()
    return result


# Dose


def dose_base(index: int) -> eb.EELSClassifier:
    """A model of single frames."""
    series = eb.simulate.annealing_series(**SIZE, dose=FRAME_DOSE, seed=900 + index)
    return eb.EELSClassifier(eb.FingerprintLibrary.example(), seed=index).fit(preprocess(series))


def frames_of(series: eb.simulate.Series, base: eb.EELSClassifier, seed: int) -> list[eb.Spectra]:
    """Every pixel after 1, 2, ... frames."""
    rng = np.random.default_rng([seed, 3])
    truth = series.truth
    rates = [
        eb.simulate.mean_counts(truth.isel(image=k), series.model, dose=FRAME_DOSE).to_numpy()
        for k in range(truth.sizes["image"])
    ]
    single = []
    for _ in range(MOST_FRAMES):
        signals = [
            signal._deepcopy_with_new_data(rng.poisson(rate).astype(np.float32))
            for signal, rate in zip(series.signals, rates, strict=True)
        ]
        single.append(base.preprocessor(signals, show_progressbar=False))
    return [eb.combine(single[: k + 1]) for k in range(MOST_FRAMES)]


def chosen_rows(after: list[eb.Spectra], frames: NDArray[np.int64]) -> eb.Spectra:
    """Pixels as they are after their own numbers of frames."""
    parts = [after[k][np.flatnonzero(frames == k + 1)] for k in range(len(after))]
    joined_parts = eb.Spectra.concatenate([part for part in parts if len(part)])
    order = np.lexsort((joined_parts.position, joined_parts.image))
    return joined_parts[order]


def run_dose(seed: int, base: eb.EELSClassifier) -> dict[str, Any]:
    """NLL of a map after so many frames a pixel, spent where they help and everywhere alike."""
    series = eb.simulate.annealing_series(**SIZE, dose=FRAME_DOSE, seed=seed)
    labels = series.truth["label"].to_numpy().ravel()
    after = frames_of(series, base, seed)

    def nll(spectra: eb.Spectra) -> tuple[float, eb.Prediction]:
        pred = base.predict(spectra, show_progressbar=False)
        return eb.metrics.summary(pred.probabilities, labels)["nll"], pred

    uniform = [nll(one)[0] for one in after]
    n = len(labels)
    frames = np.ones(n, dtype=np.int64)
    gain, measured = np.empty(n), np.arange(n)
    curve = {1.0: uniform[0]}
    step = int(ROUND * n)
    while frames.sum() < max(BUDGETS) * n:
        spectra = chosen_rows(after, frames)
        # what was not measured again has the gain that it had
        gain[measured] = eb.active.encoder_gain(
            base, spectra[measured], frames=frames[measured], n_draws=32, seed=int(frames.sum())
        )
        gain[frames >= MOST_FRAMES] = -np.inf
        measured = np.argsort(-gain, kind="stable")[:step]
        frames[measured] += 1
        curve[float(frames.sum() / n)] = nll(chosen_rows(after, frames))[0]
    at, values = np.array(list(curve)), np.array(list(curve.values()))
    result: dict[str, Any] = {"uniform": uniform, "curve": curve, "dose": {}, "nll": {}}
    for budget in BUDGETS:
        ours = float(np.interp(budget, at, values))
        # the frames that uniform scanning needs, on a logarithmic axis
        log_frames = np.log(np.arange(1, MOST_FRAMES + 1))
        falling = np.minimum.accumulate(uniform)
        wanted = float(np.exp(np.interp(-ours, -falling, log_frames)))
        result["dose"][f"{budget:g}"] = budget / wanted
        result["nll"][f"{budget:g}"] = [ours, uniform[int(budget) - 1]]
    return result


EXPERIMENTS: dict[str, tuple[Callable[[int], Any], Callable[[int, Any], dict[str, Any]]]] = {
    "labels": (labels_base, run_labels),
    "structures": (structures_base, run_structures),
    "novel": (novel_base, run_novel),
    "dose": (dose_base, run_dose),
}


def report(name: str, runs: list[dict[str, Any]]) -> None:
    """One table."""
    print(f"\n== {name}: {len(runs)} seeds, median (95 % interval)")
    if name == "dose":
        for budget in runs[0]["dose"]:
            share = median_interval(np.array([run["dose"][budget] for run in runs]))
            ours, uniform = np.median([run["nll"][budget] for run in runs], axis=0)
            print(
                f"{budget} frames a pixel: NLL {ours:.3f}, uniform {uniform:.3f}; "
                "the dose that uniform scanning needs, times {:.2f} ({:.2f} to {:.2f})".format(
                    *share
                )
            )
        return
    if name == "novel":
        for structure in sorted({run["structure"] for run in runs}):
            mine = [run for run in runs if run["structure"] == structure]
            print(
                f"{structure}, {len(mine)} seeds; reported as novel, of its pixels and the others:"
            )
            for when in ("before", "after"):
                shares = [
                    "{:.3f} ({:.3f} to {:.3f})".format(
                        *median_interval(np.array([run[when][which] for run in mine]))
                    )
                    for which in ("unknown", "known", "named")
                ]
                print("  {:7s} {}, {}; its pixels called by its name {}".format(when, *shares))
        return
    base = np.array([run["needed"]["random"] for run in runs], dtype=float)
    for strategy in runs[0]["needed"]:
        needed = np.array([run["needed"][strategy] for run in runs], dtype=float)
        print(
            "{:14s} {:5.1f} ({:.1f} to {:.1f}) needed".format(strategy, *median_interval(needed))
            + (
                ""
                if strategy == "random"
                else "; over random's {:.2f} ({:.2f} to {:.2f}), medians' ratio {:.2f}".format(
                    *median_interval(needed / np.maximum(base, 1.0)),
                    np.median(needed) / max(1.0, float(np.median(base))),
                )
            )
        )
    if name == "labels":
        share = median_interval(
            np.array([run["needed"]["BALD"] for run in runs], dtype=float) / N_LABELS
        )
        print("BALD over {:d} labels: {:.2f} ({:.2f} to {:.2f})".format(N_LABELS, *share))
        ratio = [run["needed"]["BatchBALD"] / max(1, run["needed"]["BALD"]) for run in runs]
        print(
            "BatchBALD over BALD: {:.2f} ({:.2f} to {:.2f})".format(
                *median_interval(np.array(ratio))
            )
        )


def draw(path: str, results: dict[str, list[dict[str, Any]]]) -> None:
    """Median curves of the experiments, with the quartiles of the seeds."""
    results = {name: runs for name, runs in results.items() if name != "novel"}  # a table
    if not results:
        return
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1, len(results), figsize=(4.2 * len(results), 3.6), constrained_layout=True, squeeze=False
    )
    labels = {
        "labels": ("Labels", "Accuracy"),
        "structures": ("Structures simulated", "Share of pixels given a wrong structure"),
        "dose": ("Frames a pixel", "Negative log-likelihood (nats)"),
    }
    for ax, (name, runs) in zip(axes[0], results.items(), strict=True):
        for k, (strategy, x, curves) in enumerate(_curves(name, runs)):
            low, middle, high = np.quantile(curves, [0.25, 0.5, 0.75], axis=0)
            ax.plot(x, middle, color=f"C{k}", label=strategy)
            ax.fill_between(x, low, high, color=f"C{k}", alpha=0.2, lw=0)
        ax.set(xlabel=labels[name][0], ylabel=labels[name][1])
        ax.legend(frameon=False)
    figure.savefig(path, dpi=150)


def _curves(name: str, runs: list[dict[str, Any]]) -> list[tuple[str, Array, Array]]:
    if name == "dose":
        x = np.linspace(1.0, max(BUDGETS), 31)
        at = np.arange(1, MOST_FRAMES + 1)
        uniform = np.array([np.interp(x, at, run["uniform"]) for run in runs])
        ours = np.array([_interpolated(x, run["curve"]) for run in runs])
        return [("everywhere alike", x, uniform), ("where it helps", x, ours)]
    if name == "labels":
        return [
            (
                s,
                x := np.array(sorted(map(int, runs[0]["curves"][s]))).astype(float),
                np.array([_interpolated(x, run["curves"][s]) for run in runs]),
            )
            for s in runs[0]["curves"]
        ]
    most = max(len(curve) for run in runs for curve in run["curves"].values())
    # a map that is good enough stays so
    return [
        (
            s,
            np.arange(most).astype(float),
            np.array(
                [
                    run["curves"][s] + run["curves"][s][-1:] * (most - len(run["curves"][s]))
                    for run in runs
                ]
            ),
        )
        for s in runs[0]["curves"]
    ]


def _interpolated(x: Array, curve: dict[Any, float]) -> Array:
    return np.interp(x, [float(key) for key in curve], list(curve.values()))


def main() -> None:
    """Run, print, and write JSON after every seed, so that nothing finished is lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiments", nargs="*", default=list(EXPERIMENTS), metavar="experiment")
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where results are written")
    parser.add_argument("--figure", help="where the figure is written")
    parser.add_argument("--draw", action="store_true", help="only draw and print what --json holds")
    options = parser.parse_args()
    results: dict[str, list[dict[str, Any]]] = {}
    if options.draw:
        results = json.loads(options.json.read_text())
    else:
        for name in options.experiments:
            fit, run = EXPERIMENTS[name]
            results[name] = []
            bases = [fit(index) for index in range(min(N_MODELS, options.seeds))]
            seeds = range(options.first_seed, options.first_seed + options.seeds)
            for seed in tqdm(seeds, desc=name, unit="seed"):
                results[name].append(run(seed, bases[seed % len(bases)]))
                if options.json:
                    options.json.write_text(json.dumps(results, indent=1))
    for name, runs in results.items():
        report(name, runs)
    if options.figure:
        draw(options.figure, results)


if __name__ == "__main__":
    main()

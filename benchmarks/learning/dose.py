"""More frames of a map where they help: against scanning all of it again."""

from __future__ import annotations

from typing import Any

import numpy as np
from annealing import preprocess
from numpy.typing import NDArray

import eels_bayes as eb

from .specimens import SIZE
from .summary import Lines, interpolated, median_interval

AXES = ("Frames a pixel", "Negative log-likelihood (nats)")
FRAME_DOSE, MOST_FRAMES, ROUND = 1.0, 16, 0.1  # a round spends so many frames a pixel
BUDGETS = (2.0, 3.0, 4.0)  # frames a pixel
CONTEXTS = {"pixel": "where it helps", "neighbours": "where it helps, with neighbours"}


def fit(index: int) -> eb.EELSClassifier:
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


def run(seed: int, base: eb.EELSClassifier) -> dict[str, Any]:
    """NLL of a map after so many frames a pixel, spent where they help and everywhere alike."""
    series = eb.simulate.annealing_series(**SIZE, dose=FRAME_DOSE, seed=seed)
    labels = series.truth["label"].to_numpy().ravel()
    after = frames_of(series, base, seed)
    uniform = [_nll(base.predict(spectra, show_progressbar=False), labels) for spectra in after]
    result: dict[str, Any] = {"uniform": uniform, "curve": {}, "dose": {}, "nll": {}}
    for context in CONTEXTS:
        curve = spent(base, after, labels, context)
        result["curve"][context] = curve
        result["dose"][context], result["nll"][context] = {}, {}
        for budget in BUDGETS:
            ours = float(np.interp(budget, list(curve), list(curve.values())))
            # the frames that uniform scanning needs, on a logarithmic axis
            log_frames = np.log(np.arange(1, MOST_FRAMES + 1))
            falling = np.minimum.accumulate(uniform)
            wanted = float(np.exp(np.interp(-ours, -falling, log_frames)))
            result["dose"][context][f"{budget:g}"] = budget / wanted
            result["nll"][context][f"{budget:g}"] = [ours, uniform[int(budget) - 1]]
    return result


def spent(
    base: eb.EELSClassifier, after: list[eb.Spectra], labels: NDArray[Any], context: str
) -> dict[float, float]:
    """NLL by frames a pixel, each round where another frame is worth most."""
    n, curve = len(labels), {}
    frames = np.ones(n, dtype=np.int64)
    gain, measured = np.empty(n), np.arange(n)
    while True:
        spectra = chosen_rows(after, frames)
        pred = base.predict(spectra, context=context, show_progressbar=False)
        curve[float(frames.sum() / n)] = _nll(pred, labels)
        if frames.sum() >= max(BUDGETS) * n:
            return curve
        if context == "pixel":  # what was not measured again has the gain that it had
            gain[measured] = eb.active.encoder_gain(
                base, spectra[measured], frames=frames[measured], n_draws=32, seed=int(frames.sum())
            )
        else:  # a frame here changes what is known there: all of them, and so not by draws
            gain = pred.encoder / (frames + 1)
        gain[frames >= MOST_FRAMES] = -np.inf
        measured = np.argsort(-gain, kind="stable")[: int(ROUND * n)]
        frames[measured] += 1


def _nll(pred: eb.Prediction, labels: NDArray[Any]) -> float:
    return float(eb.metrics.summary(pred.probabilities, labels)["nll"])


def report(runs: list[dict[str, Any]]) -> None:
    """Dose that uniform scanning needs for the same map."""
    for context, doses in runs[0]["dose"].items():
        for budget in doses:
            share = median_interval(np.array([run["dose"][context][budget] for run in runs]))
            ours, uniform = np.median([run["nll"][context][budget] for run in runs], axis=0)
            print(
                f"{context}, {budget} frames: NLL {ours:.3f}, uniform {uniform:.3f}; the dose that "
                "uniform scanning needs, times {:.2f} ({:.2f} to {:.2f})".format(*share)
            )
    print(f"(no less than the frames over {MOST_FRAMES}: uniform scanning ends there)")


def lines(runs: list[dict[str, Any]]) -> Lines:
    """Negative log-likelihood after so many frames a pixel."""
    x = np.linspace(1.0, max(BUDGETS), 31)
    at = np.arange(1, MOST_FRAMES + 1)
    found = [("everywhere alike", x, np.array([np.interp(x, at, run["uniform"]) for run in runs]))]
    for context, name in CONTEXTS.items():
        curves = np.array([interpolated(x, run["curve"][context]) for run in runs])
        found.append((name, x, curves))
    return found

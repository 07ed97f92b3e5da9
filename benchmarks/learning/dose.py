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


def report(runs: list[dict[str, Any]]) -> None:
    """Dose that uniform scanning needs for the same map."""
    for budget in runs[0]["dose"]:
        share = median_interval(np.array([run["dose"][budget] for run in runs]))
        ours, uniform = np.median([run["nll"][budget] for run in runs], axis=0)
        print(
            f"{budget} frames a pixel: NLL {ours:.3f}, uniform {uniform:.3f}; "
            "the dose that uniform scanning needs, times {:.2f} ({:.2f} to {:.2f})".format(*share)
        )


def lines(runs: list[dict[str, Any]]) -> Lines:
    """Negative log-likelihood after so many frames a pixel."""
    x = np.linspace(1.0, max(BUDGETS), 31)
    at = np.arange(1, MOST_FRAMES + 1)
    uniform = np.array([np.interp(x, at, run["uniform"]) for run in runs])
    ours = np.array([interpolated(x, run["curve"]) for run in runs])
    return [("everywhere alike", x, uniform), ("where it helps", x, ours)]

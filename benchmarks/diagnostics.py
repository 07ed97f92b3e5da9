"""The Bayesian diagnostics and the novelty of one fitted model, with their figures.

    python benchmarks/diagnostics.py [--dose 1] [--seed 41] [--out FOLDER] [--json FILE]

Fits a model to a simulated series whose seed was not used in development and prints: ranks of
simulation-based calibration, active units, two-sample distances between fingerprints and data
before and after the fit, NUTS against the amortised posterior, posterior predictive p-values,
coverage of the value's intervals, and the AUROC of novelty for an unknown structure and for spikes
in another series.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from annealing import preprocess
from sklearn.metrics import roc_auc_score

import eels_bayes as eb

NOMINAL = eb.simulate.Process()
DEFECTS = replace(NOMINAL, unknown=0.1, spikes=0.02)


def novelty(clf: eb.EELSClassifier, dose: float, seed: int) -> dict[str, float]:
    """AUROC of the novelty of unknown structures and of spikes against all other pixels."""
    series = eb.simulate.annealing_series(dose=dose, seed=seed, process=DEFECTS)
    pred = clf.predict(clf.preprocessor(series.signals))
    unknown = series.truth["unknown"].to_numpy().ravel()
    spike = series.truth["spike"].to_numpy().ravel()
    known = pred.ok & ~unknown & ~spike
    result = {}
    for name, mine in (("unknown structure", unknown & ~spike), ("spikes", spike & ~unknown)):
        some = (mine & pred.ok) | known
        result[name] = float(roc_auc_score(mine[some], pred.novelty[some]))
    return result


def main() -> None:
    """Run, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dose", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=41)
    parser.add_argument("--nuts", type=int, default=24, help="pixels that NUTS samples; 0 for none")
    parser.add_argument("--out", type=Path, help="folder for the figures")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    series = eb.simulate.annealing_series(dose=options.dose, seed=options.seed)
    spectra = preprocess(series)
    start = time.perf_counter()
    clf = eb.EELSClassifier(eb.FingerprintLibrary.example(), seed=options.seed).fit(spectra)
    result: dict[str, Any] = {"fit seconds": time.perf_counter() - start}
    pred = clf.predict(spectra)

    sbc = eb.diagnostics.simulation_based_calibration(clf, spectra, seed=options.seed)
    result["SBC p-value of each active axis"] = np.sort(sbc.latent.p_value[sbc.active]).tolist()
    result["SBC p-value of the posterior density"] = float(sbc.density.p_value)
    result["PIT p-value of the class"] = float(sbc.classes.p_value)
    units = eb.diagnostics.active_units(clf, spectra)
    result["active units"] = int(units.active.sum())
    result["KL of q to the prior, nats"] = units.total_kl
    distance = eb.diagnostics.support_distance(clf, spectra)
    for name in distance.before:
        for when, found in (("before", distance.before), ("after", distance.after)):
            z = (found[name].statistic - found[name].null_mean) / found[name].null_sd
            result[f"MMD of {name}, {when}: z"] = float(z)
    truth = series.truth["value"].to_numpy().ravel()
    coverage = eb.diagnostics.value_coverage(pred, truth)
    result["value coverage at 0.5 and 0.9"] = coverage.coverage.tolist()
    check = eb.diagnostics.posterior_predictive(clf, spectra[:: max(1, len(spectra) // 200)])
    for name, p in check.p_values.items():
        result[f"predictive p-value, {name}: mean"] = float(np.mean(p))
    result |= {f"novelty AUROC, {k}": v for k, v in novelty(clf, options.dose, 51).items()}
    if options.nuts:
        some = spectra[:: len(spectra) // options.nuts][: options.nuts]
        chains = eb.diagnostics.nuts(clf, some)
        result["NUTS share of latents with R-hat below 1.05"] = float(np.mean(chains.r_hat < 1.05))
        result["NUTS median bulk ESS"] = float(np.median(chains.ess))
        result["amortisation gap, nats: mean"] = float(np.mean(chains.amortisation_gap))
        result["approximation gap, nats: mean"] = float(np.mean(chains.approximation_gap))
    for name, value in result.items():
        values = value if isinstance(value, list) else [value]
        print(f"{name:52s}", *(f"{v:.4g}" for v in values))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        plots = eb.diagnostic_plots
        plots.rank_histograms(sbc.ranks, sbc.n_draws).savefig(options.out / "ranks.png")
        plots.active_units(units.variance, units.kl).savefig(options.out / "active_units.png")
        figure = plots.coverage(coverage.level, coverage.coverage, coverage.standard_error)
        figure.savefig(options.out / "coverage.png")


if __name__ == "__main__":
    main()

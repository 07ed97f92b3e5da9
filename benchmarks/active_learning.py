"""What active learning saves: labels, simulations, dose.

    python benchmarks/active_learning.py [labels] [fingerprint] [structures] [novel] [dose]
                                         [--seeds N] [--first-seed N] [--json FILE]
    python benchmarks/active_learning.py --draw --json FILE --figure FIGURE.png

labels      a library that lacks two of its four classes, and two labels of each of these: how many
            labels until the accuracy that random choice reaches with 200, looked at every ten
fingerprint one more fingerprint for a fitted model: seconds, and NLL on another series against a
            refit to the same data
structures  nine candidate compositions and two defective structures, two of them simulated, three
            to five others in the specimen: how many simulations until the map is as good as with
            all, against random order and a regular grid
novel       a series with a structure that is not in the library: the share of its pixels, and of
            the others, that is reported as novel before and after its fingerprint is known
dose        a map in one pass of a usual pixel's dose, then more frames where they help, read pixel
            by pixel and with neighbours: NLL against scanning the whole map again and reading it
            pixel by pixel, and the dose that this would need

Every seed is another specimen with noise of its own; models are fitted to four series of other
seeds, each of which serves a quarter of the seeds. Medians with 95 % bootstrap intervals.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from learning import dose, fingerprint, labels, novel, structures
from tqdm import tqdm

EXPERIMENTS = {
    "labels": labels,
    "fingerprint": fingerprint,
    "structures": structures,
    "novel": novel,
    "dose": dose,
}
N_MODELS = 4


def draw(path: str, results: dict[str, list[dict[str, Any]]]) -> None:
    """Median curves of the experiments, with the quartiles of the seeds."""
    drawn = {name: runs for name, runs in results.items() if hasattr(EXPERIMENTS[name], "lines")}
    if not drawn:
        return
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1, len(drawn), figsize=(4.2 * len(drawn), 3.6), constrained_layout=True, squeeze=False
    )
    for ax, (name, runs) in zip(axes[0], drawn.items(), strict=True):
        experiment = EXPERIMENTS[name]
        for k, (strategy, x, curves) in enumerate(experiment.lines(runs)):
            low, middle, high = np.quantile(curves, [0.25, 0.5, 0.75], axis=0)
            ax.plot(x, middle, color=f"C{k}", label=strategy)
            ax.fill_between(x, low, high, color=f"C{k}", alpha=0.2, lw=0)
        ax.set(xlabel=experiment.AXES[0], ylabel=experiment.AXES[1])
        ax.legend(frameon=False)
    figure.savefig(path, dpi=150)


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
            experiment = EXPERIMENTS[name]
            results[name] = []
            bases = [experiment.fit(index) for index in range(min(N_MODELS, options.seeds))]
            seeds = range(options.first_seed, options.first_seed + options.seeds)
            for seed in tqdm(seeds, desc=name, unit="seed"):
                results[name].append(experiment.run(seed, bases[seed % len(bases)]))
                if options.json:
                    options.json.write_text(json.dumps(results, indent=1))
    for name, runs in results.items():
        print(f"\n== {name}: {len(runs)} seeds, median (95 % interval)")
        EXPERIMENTS[name].report(runs)
    if options.figure:
        draw(options.figure, results)


if __name__ == "__main__":
    main()

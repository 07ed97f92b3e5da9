"""What classes cost: fits to 4, 8, 16 and 24 classes with and without values, time and truth.

    python benchmarks/many_classes.py [--classes 4 8 16 24] [--values no yes] [--dose 1]
                                      [--images 6] [--seed 8301] [--every-pair] [--json FILE]
                                      [--smoke]

Pixels are those of the simulated series (its background, edges beside the window, thickness and
drift), but of K classes, as frequent in an image as a Dirichlet draw has it. Without values each
has a line of its own beside what it shares with its neighbours; with values they are compositions
between the example's four, and as hard to tell apart as that is. A tenth of the pixels are mixtures
of two: of K pairs drawn from all, or of neighbours in value.
Each fit is a process of its own on one thread. Told are its processor time and that over the time
of the fewest classes, the components of its forward model, how many of the true pairs are among
these, and accuracy, NLL and ECE of a further series' pixels. ``--every-pair`` lets all that may mix
in.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

WINDOW = {"window": (677, 737), "background": (650, 680), "normalize": (570, 592.5)}
ALIGN = (567.5, 627.5)
LINE = 0.5  # of the highest edge
LINES = (684.0, 730.0)  # eV, of the first and the last class
SD = 1.0  # eV, of a line
MIXED = 0.1  # of the pixels


def library_of(n_classes: int, *, values: bool) -> Any:
    """The example's four spectra and blends of neighbours; without values, each with its line."""
    import eels_bayes as eb

    example = eb.FingerprintLibrary.example()
    place = np.linspace(0.0, example.n_classes - 1.0, n_classes)
    low = np.minimum(place.astype(int), example.n_classes - 2)
    part = (place - low)[:, None]
    rows = (1.0 - part) * example.class_spectra[low] + part * example.class_spectra[low + 1]
    energy = example.energy
    if not values:
        line = np.linspace(*LINES, n_classes)
        rows = rows + LINE * rows.max() * np.exp(-0.5 * ((energy - line[:, None]) / SD) ** 2)
    return eb.FingerprintLibrary.from_arrays(
        energy,
        rows,
        np.arange(n_classes),
        tuple(f"class {k}" for k in range(n_classes)),
        values=place if values else None,
        nuisances=example.nuisances,
    )


def true_pairs(library: Any, seed: int) -> list[tuple[int, int]]:
    """K pairs of all that may mix, or as many as may."""
    from eels_bayes.forward_model.components import mixing_pairs

    pairs = mixing_pairs(library)
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(pairs))[: library.n_classes]
    return [pairs[i] for i in sorted(chosen)]


def series_of(
    library: Any, pairs: list[tuple[int, int]], dose: float, images: int, seed: int, *, smoke: bool
) -> tuple[list[Any], np.ndarray]:
    """Signals, and the dominant class of each pixel."""
    import eels_bayes as eb

    shape = (10, 9) if smoke else (30, 19)
    series = eb.simulate.annealing_series(images, shape, dose, seed, library=library)
    rng = np.random.default_rng(seed)
    fractions = np.empty((images, *shape, library.n_classes))
    for image in fractions.reshape(images, -1, library.n_classes):
        weight = rng.dirichlet(np.ones(library.n_classes))
        image[:] = np.eye(library.n_classes)[rng.choice(len(weight), len(image), p=weight)]
        mixed = np.flatnonzero(rng.random(len(image)) < MIXED)
        first, second = np.array(pairs)[rng.integers(len(pairs), size=len(mixed))].T
        share = rng.uniform(0.1, 0.9, len(mixed))
        image[mixed] = 0.0
        image[mixed, first], image[mixed, second] = share, 1.0 - share
    truth = series.truth.assign(fractions=(("image", "y", "x", "class"), fractions))
    for index, signal in enumerate(series.signals):
        mean = eb.simulate.mean_counts(truth.isel(image=index), series.model, dose=dose).to_numpy()
        gain = series.process.gain
        signal.data = (gain * rng.poisson(mean / gain)).astype(np.float32)
    return series.signals, fractions.argmax(-1).ravel()


def fitted(given: argparse.Namespace, n_classes: int, *, values: bool) -> dict[str, float]:
    """One fit and what it says of a further series."""
    import eels_bayes as eb
    from eels_bayes.forward_model import components

    if given.every_pair:
        components.PAIRS_PER_CLASS = float(n_classes)
    library = library_of(n_classes, values=values)
    pairs = true_pairs(library, given.seed)
    how = {"dose": given.dose, "images": given.images, "smoke": given.smoke}
    pre = eb.Preprocessor(dispersion=0.25, align=ALIGN, **WINDOW)
    signals, _ = series_of(library, pairs, seed=given.seed, **how)
    spectra = pre(signals, show_progressbar=False)
    effort = eb.Effort.quick() if given.smoke else eb.Effort()
    clf = eb.EELSClassifier(library, effort=effort, seed=given.seed)
    began = time.process_time()
    clf.fit(spectra, show_progressbar=False)
    spent = time.process_time() - began
    forward = clf.fitted.forward
    signals, labels = series_of(library, pairs, seed=given.seed + 1, **how)
    spectra = pre(signals, show_progressbar=False)
    found = clf.predict(spectra, show_progressbar=False)
    told = eb.metrics.summary(found.probabilities[spectra.ok], labels[spectra.ok])
    return {
        "seconds": spent,
        "components": len(forward.components()[0]),
        "may mix": len(components.mixing_pairs(library)),
        "true pairs": len(pairs),
        "found": len(set(pairs) & set(forward.pairs)),
        "accuracy": float(told["accuracy"]),
        "nll": float(told["nll"]),
        "ece": float(told["ece"]),
    }


def measured(arguments: list[str], n_classes: int, values: str) -> dict[str, float]:
    """A fit in a process of its own."""
    command = [sys.executable, __file__, *arguments, "--child", str(n_classes), values]
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=os.environ | one_thread, stdout=subprocess.PIPE, text=True, check=True
    )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Measure in turn, print, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, nargs="*", default=[4, 8, 16, 24])
    parser.add_argument("--values", nargs="*", choices=("no", "yes"), default=["no", "yes"])
    parser.add_argument("--dose", type=float, default=1.0)
    parser.add_argument("--images", type=int, default=6, help="of 30 x 19 pixels")
    parser.add_argument("--seed", type=int, default=8301)
    parser.add_argument("--every-pair", action="store_true", help="all that may mix")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--smoke", action="store_true", help="a few pixels, little effort")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        n_classes, values = given.child
        print(json.dumps(fitted(given, int(n_classes), values=values == "yes")))
        return
    rows = []
    print("classes values     s  ratio components of pairs  true found  accuracy    NLL    ECE")
    for values in given.values:
        for n_classes in given.classes:
            row = measured(sys.argv[1:], n_classes, values)
            rows.append({"classes": n_classes, "values": values, **row})
            first = next(one for one in rows if one["values"] == values)
            print(
                f"{n_classes:7d} {values:>6s} {row['seconds']:5.1f} "
                f"{row['seconds'] / first['seconds']:6.2f} {row['components']:10.0f} "
                f"{row['may mix']:8.0f} {row['true pairs']:5.0f} {row['found']:5.0f} "
                f"{row['accuracy']:9.3f} {row['nll']:6.3f} {row['ece']:6.3f}",
                flush=True,
            )
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

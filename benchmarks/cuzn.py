"""Where are copper and zinc? Class probabilities against exSpy's own linear fit, pixel by pixel.

    python benchmarks/cuzn.py [FILE] [--edges Cu_L3 Zn_L3 Cu_L3+Zn_L3] [--json]

FILE is exspy-demos' CuZn_EELS_mapping_tutorial.hspy. Its pixels are classified as by
`examples/spectrum_image.py`; exSpy subtracts a power law and fits the hydrogenic Cu and Zn L edges
to the same window by linear least squares. The numbers are Spearman's rank correlations of
1 - P(neither) with the fitted intensity of both elements together, with its significance (intensity
over standard error), and with its ratio to the continuum before the edges, which is what the
classifier reads. exSpy's fit with three power laws in place of the subtraction shows how well two
such fits agree.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

import eels_bayes as eb

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT.parent / "shared" / "data" / "CuZn_EELS_mapping_tutorial.hspy"
BACKGROUND, WINDOW = (780.0, 920.0), (900.0, 1300.0)  # eV
SUBSHELLS = ("Cu_L3", "Zn_L3")
EDGES = (*SUBSHELLS, "Cu_L3+Zn_L3")
EXPONENTS = (1.0, 3.0, 5.0)  # of the power laws that replace the subtraction


def linear_fit(path: Path, exponents: Sequence[float] = ()) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return intensity and standard error (2, rows, columns) of Cu and Zn by exSpy's model.

    The background is subtracted first, or fitted along where exponents are given.
    """
    import hyperspy.api as hs
    from exspy.components import EELSCLEdge

    signal = hs.load(path)
    signal.change_dtype("float64")
    if exponents:
        signal = signal.isig[BACKGROUND[0] : WINDOW[1]]
    else:
        signal = signal.remove_background(
            signal_range=BACKGROUND, fast=False, show_progressbar=False
        )
        signal = signal.isig[WINDOW[0] : WINDOW[1]]
    model = signal.create_model(GOS="hydrogenic", auto_background=False, auto_add_edges=False)
    for exponent in exponents:
        power_law = hs.model.components1D.PowerLaw()
        power_law.r.value, power_law.r.free = exponent, False
        power_law.A.value = 1e3**exponent  # of order 1 at 1 keV: a well-scaled matrix
        model.append(power_law)
    edges = [EELSCLEdge(subshell, GOS="hydrogenic") for subshell in SUBSHELLS]
    for edge in edges:
        model.append(edge)
        edge.fine_structure_active = False
        edge.intensity.free, edge.intensity.bmin = True, None
    model.multifit(optimizer="lstsq", calculate_errors=True, show_progressbar=False)
    value, error = (
        np.stack([edge.intensity.map[key] for edge in edges]) for key in ("values", "std")
    )
    return value, error


def classify(path: Path, edges: Sequence[str], seed: int) -> dict[str, NDArray[Any]]:
    """Return the classifier's maps of the class probabilities, by name."""
    pre = eb.Preprocessor(WINDOW, background=BACKGROUND, normalize=BACKGROUND, unit=1.0)
    spectra = pre(eb.load(path))
    library = eb.hydrogenic_library(list(edges), spectra)
    pred = eb.EELSClassifier(library, seed=seed).fit(spectra).predict(spectra)
    return dict(zip(pred.class_names, np.moveaxis(pred.map("probabilities"), -1, 0), strict=True))


def compare(file: Path, edges: Sequence[str], seed: int) -> dict[str, Any]:
    """Return the rank correlations of the classifier's probabilities with exSpy's fits."""
    import hyperspy.api as hs

    start = time.perf_counter()
    probabilities = classify(file, edges, seed)
    seconds = time.perf_counter() - start
    present = 1.0 - probabilities["neither"].astype(float)
    value, error = linear_fit(file)
    intensity = value.sum(0)
    significance = intensity / np.hypot(*error)
    continuum = hs.load(file).isig[BACKGROUND[0] : BACKGROUND[1]].data.mean(-1)
    other, _ = linear_fit(file, EXPONENTS)

    def rank(one: NDArray[Any], two: NDArray[Any]) -> float:
        return float(spearmanr(one.ravel(), two.ravel())[0])

    clear = present > 0.99
    return {
        "spearman_intensity": rank(present, intensity),
        "spearman_significance": rank(present, significance),
        "spearman_over_continuum": rank(present, intensity / continuum),
        "spearman_other_fit": rank(present, other.sum(0)),
        "spearman_fit_against_other_fit": rank(intensity, other.sum(0)),
        "share_of_pixels_above_0.99": float(clear.mean()),
        "spearman_among_the_rest": rank(present[~clear], intensity[~clear]),
        "pixels": int(present.size),
        "edges": list(edges),
        "seconds": seconds,
    }


def main() -> None:
    """Print the correlations as a table or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=FILE)
    parser.add_argument("--edges", nargs="+", default=EDGES, help="classes; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    if not options.file.is_file():
        reason = f"{options.file} is absent; it is in hyperspy/exspy-demos"
        print(json.dumps({"skipped": reason}) if options.json else f"skipped: {reason}")
        return
    # HyperSpy logs to the standard output that it finds: keep JSON clean of it.
    with contextlib.redirect_stdout(sys.stderr):
        result = compare(options.file, options.edges, options.seed)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for name, entry in result.items():
        print(f"{name:34s}", f"{entry:.3f}" if isinstance(entry, float) else entry)


if __name__ == "__main__":
    main()

"""Valence along real line scans, with its 90 % interval, beside least squares.

The library holds the references of both origins, two a class. Nothing tells of the files' axes
(two of the three stand many eV too low) or of their counts; least squares is given the library as
the forward model found it to stand, and has only a pixel's own shift to find.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

import eels_bayes as eb
from eels_bayes.forward_model.model import ForwardModel

from . import methods
from .bed import CLASSES, DATA, LINES, SETS, VALENCES, WINDOWS, Array, reference
from .options import Options

STEP = 0.1  # eV, channels of the library
# Where the continua behind L3 and L2 begin, what part of the whole each is, and over how much they
# rise, eV: the references had theirs taken away
CONTINUA = ((642.0, 2 / 3), (653.0, 1 / 3))
RISE = 0.7


@dataclass(frozen=True)
class Scan:
    """A file, its axis' error (eV, roughly: where windows lie), and the valence expected."""

    name: str
    offset: float
    expected: str


SCANS = (
    Scan("nmc_linescan.dm3", -12.0, "near 4 inside, lower at the surface"),
    Scan("LSMO_linescan.hspy", -7.0, "3.3 for La0.7Sr0.3MnO3"),
    Scan("LSMO_STO_linescan.hspy", 0.0, "3.3 for La0.7Sr0.3MnO3; no Mn in the first pixels"),
)


def both_origins() -> eb.FingerprintLibrary:
    """References of both origins, and the continuum behind the lines as an overlapping shape."""
    energy = np.arange(*LINES, STEP)
    names = [SETS[origin][k] for k in range(len(VALENCES)) for origin in SETS]
    step = sum(part * expit((energy - onset) / RISE) for onset, part in CONTINUA)
    return eb.FingerprintLibrary.from_arrays(
        energy,
        [reference(name, energy) for name in names],
        np.repeat(np.arange(len(VALENCES)), len(SETS)),
        class_names=CLASSES,
        values=VALENCES,
        nuisances=step,
        value_name="Mn valence",
        value_range=(VALENCES[0], VALENCES[-1]),
        source="mn_l23_references.npz",
    )


def read(scan: Scan, options: Options) -> dict[str, Any]:
    """One file: everything along its scan."""
    import hyperspy.api as hs

    signal, known = hs.load(DATA / scan.name), both_origins()
    pre = eb.Preprocessor(
        **{name: (low + scan.offset, high + scan.offset) for name, (low, high) in WINDOWS.items()}
    )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        spectra = pre(signal, show_progressbar=False)
        clf = methods.fitted(spectra, known, options.effort)
    pred = clf.predict(spectra)
    assert clf.fitted is not None
    forward = clf.fitted.forward
    moved = replace(known, energy=known.energy + forward.library_fit.shift)
    found = {
        methods.OURS: methods.of_prediction(pred),
        methods.FORWARD: methods.of_forward_model(forward, spectra),
        "MLLS with a shift": methods.mlls(spectra, moved),
    }
    chi2 = np.full(len(spectra), np.nan)
    chi2[spectra.ok] = methods.residual_chi_square(forward, spectra)
    return {
        "file": scan.name,
        "expected": scan.expected,
        "gain": float(np.median(spectra.gain[spectra.ok])),
        "library_fit": asdict(forward.library_fit),
        "flags": spectra.reasons(),
        "novelty": pred.novelty.tolist(),
        "chi_square": chi2.tolist(),
        "valence": {
            name: np.stack([r.value, r.low, r.high]).astype(float).tolist()
            for name, r in found.items()
        },
        "shown": _shown(forward, spectra),
        "said": sorted({str(w.message).splitlines()[0][:200] for w in said if _ours(w)}),
    }


def _ours(warning: warnings.WarningMessage) -> bool:
    return issubclass(warning.category, UserWarning)


def _shown(forward: ForwardModel, spectra: eb.Spectra) -> dict[str, list[float]]:
    """The usable pixel of median counts: its profile in the window, and the fit's."""
    network, found = methods.evidence(forward, spectra)
    rows = np.flatnonzero(spectra.ok)
    which = int(np.argsort(spectra.norm[rows])[len(rows) // 2])
    inside = network.inside.numpy()
    profile = spectra.profile[rows[which]][inside].astype(float)
    sd = (found.noise[which].sqrt() / network.white[network.inside]).double().numpy()
    fit = profile - found.residual[which].double().numpy() * sd
    return {
        "energy": forward.continuum.energy[inside].tolist(),
        "measured": profile.tolist(),
        "fit": fit.tolist(),
        "sd": sd.tolist(),
    }


def report(row: dict[str, Any]) -> None:
    """Print one scan."""
    fit = row["library_fit"]
    print(f"\n== {row['file']}: expected {row['expected']}")
    print(
        f"variance {row['gain']:.3g} a count; library: gain {fit['gain']:.3g}, shift "
        f"{fit['shift']:+.2f} eV, broadening {max(fit['broadening'], 0.0) ** 0.5:.2f} eV; residual "
        f"chi-square a channel "
        f"{np.nanmean(row['chi_square']):.2f} (median {np.nanmedian(row['chi_square']):.2f})"
    )
    for text in row["said"]:
        print(f"warned: {text}")
    names = list(row["valence"])
    print("pixel  " + "  ".join(f"{name:>24s}" for name in names) + "  chi2  novelty")
    for i, flag in enumerate(row["flags"]):
        if flag:
            print(f"{i:5d}  {flag}")
            continue
        cells = ("{:10.2f} ({:.2f}..{:.2f})".format(*_column(row, name, i)) for name in names)
        print(
            f"{i:5d}  " + "  ".join(f"{cell:>24s}" for cell in cells),
            f" {row['chi_square'][i]:5.2f}  {row['novelty'][i]:.3f}",
            flush=True,
        )


def _column(row: dict[str, Any], name: str, pixel: int) -> Array:
    return np.array(row["valence"][name])[:, pixel]


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Every file that is there."""
    for scan in SCANS:
        if not (DATA / scan.name).is_file():
            print(f"skipped: {DATA / scan.name} is absent")
            continue
        row = read(scan, options)
        report(row)
        yield row


def draw(path: Path, rows: list[dict[str, Any]]) -> None:
    """Valence with its band along each scan, least squares beside it, and one spectrum's fit."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        len(rows), 2, figsize=(12, 3.4 * len(rows)), squeeze=False, constrained_layout=True
    )
    for (along, fit), row in zip(axes, rows, strict=True):
        for k, name in enumerate((methods.OURS, "MLLS with a shift")):
            value, low, high = np.array(row["valence"][name], dtype=float)
            at = np.arange(len(value)) + 0.2 * k
            error = np.stack([value - low, high - value]).clip(min=0.0)
            if k == 0:
                along.fill_between(at, low, high, color="C0", alpha=0.25, lw=0)
                along.plot(at, value, "o-", color="C0", ms=3, label=f"{name}, 90 % band")
            else:
                along.errorbar(at, value, error, fmt=".", color="C1", lw=0.8, label=name)
        along.set(title=row["file"], ylabel="Mn valence", xlabel="Pixel", ylim=(1.9, 4.1))
        along.legend(fontsize=8)
        shown = {name: np.array(column) for name, column in row["shown"].items()}
        fit.errorbar(
            shown["energy"], shown["measured"], shown["sd"], fmt=".", color="0.5", ms=3, lw=0.6
        )
        fit.plot(shown["energy"], shown["fit"], color="C0", label="forward model's posterior mean")
        fit.set(title="a typical pixel", xlabel="Energy loss (eV), as the file has it")
        fit.legend(fontsize=8)
    figure.savefig(path, dpi=150)

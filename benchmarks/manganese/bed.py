"""Mn L2,3 spectra of known valence: references of one set on power laws, a library of the other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import eels_bayes as eb
from eels_bayes.data.energy_resampling import shift_and_broaden

if TYPE_CHECKING:
    from exspy.signals import EELSSpectrum

Array = NDArray[Any]

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
REFERENCES = DATA / "mn_l23_references.npz"
# Of each origin, in the order of the valences 2, 3 and 4
SETS = {
    "Data2": ("Data2_MnO", "Data2_LaMnO3", "Data2_SrMnO3"),
    "Data3": ("Data3_MnO", "Data3_LaMnO3", "Data3_MnO2"),
}
OTHER = {"Data2": "Data3", "Data3": "Data2"}
VALENCES = (2.0, 3.0, 4.0)
CLASSES = ("Mn2+", "Mn3+", "Mn4+")
MIXED_VALENCE = "Data2_YBaMn3AlO7"  # a structure that is in no library

# Of the preprocessor, eV, on an axis that is right
WINDOWS = {"window": (632.0, 660.0), "background": (590.0, 630.0), "normalize": (560.0, 590.0)}
FINE = 0.05  # eV, channels in which references are moved and broadened
FIRST, LAST = 500.0, 850.0  # eV, what the detector covers
LINES = (610.0, 690.0)  # eV, beyond which a reference is constant
COUNTS = 550.0  # electrons a channel of 0.25 eV under the L3 line at dose 1
L3 = 640.0  # eV
NATIVE = 0.25  # eV, channels that the dose refers to
ENDS = (8, 5)  # points at either end of a reference: what is taken for nothing, and for its end
THICKNESS, EXPONENT, EXPONENT_SD = 0.1, 3.0, 0.05  # relative sd, and the power law's


@dataclass(frozen=True)
class Bed:
    """What spectra are like.

    Parameters
    ----------
    contrast
        Maximum of the white line over the background beneath it.
    dispersion
        Channels, eV.
    intensity
        Relative sd of the edge from pixel to pixel.
    shift, broadening
        Sd of a pixel's shift, and scale of its half-normal broadening, eV.
    mixed
        Share of the pixels that mix two neighbouring valences.
    pixels
        In all four images together.
    """

    contrast: float = 0.3
    dispersion: float = 0.25
    intensity: float = 0.1
    shift: float = 0.2
    broadening: float = 0.3
    mixed: float = 0.2
    pixels: int = 576
    n_images: int = 4

    @property
    def shape(self) -> tuple[int, int]:
        """Of an image."""
        side = max(1, round(np.sqrt(self.pixels / self.n_images)))
        return side, max(1, round(self.pixels / self.n_images / side))


@dataclass(frozen=True, eq=False)
class Sample:
    """Signals and what they are: dominant reference (n,), valence (n,), whether mixed (n,)."""

    signals: list[EELSSpectrum]
    label: Array
    valence: Array
    mixed: Array


def reference(name: str, energy: Array) -> Array:
    """A reference without its offset, its maximum 1, on channels ``energy``."""
    with np.load(REFERENCES) as data:
        axis, inverse = np.unique(data[f"{name}_energy"], return_inverse=True)
        rows = data[f"{name}_intensity"]
    # the digitised curve is steep enough in places to have two points at one energy
    curve = np.bincount(inverse, rows) / np.bincount(inverse)
    curve = curve - curve[: ENDS[0]].mean()
    curve = np.interp(energy, axis, curve, left=0.0, right=curve[-ENDS[1] :].mean())
    scaled: Array = curve / curve.max()
    return scaled


def series(
    names: tuple[str, ...],
    bed: Bed,
    dose: float,
    seed: int,
    *,
    shares: tuple[float, ...] | None = None,
) -> Sample:
    """Images of these references, which are in the order of their valence.

    Parameters
    ----------
    names
        Those beyond the three valences are pure in all their pixels; their valence is NaN.
    shares
        Of the references among all pixels; images differ if left out.
    """
    rng = np.random.default_rng([seed, len(names)])
    fine = np.arange(LINES[0], LINES[1], FINE)
    shapes = np.array([reference(name, fine) for name in names])
    known = np.array([*VALENCES, *[np.nan] * len(names)])[: len(names)]
    parts = []
    for _ in range(bed.n_images):
        n = int(np.prod(bed.shape))
        weight = rng.dirichlet(np.ones(len(names))) if shares is None else np.array(shares)
        fractions = np.eye(len(names))[rng.choice(len(names), n, p=weight)]
        label = fractions.argmax(1)
        mixed = (rng.random(n) < bed.mixed) & (label < len(VALENCES))
        neighbour = np.where(label == 1, 2 * rng.integers(0, 2, n), 1)
        share = rng.random(n)[:, None]
        blend = share * fractions + (1 - share) * np.eye(len(names))[neighbour]
        fractions[mixed] = blend[mixed]
        label = fractions.argmax(1)
        used = np.where(fractions > 0, known, 0.0)
        valence = (fractions * used).sum(1)
        parts.append((signal_of(fractions, shapes, fine, bed, dose, rng), label, valence, mixed))
    signals, *truth = zip(*parts, strict=True)
    return Sample(list(signals), *(np.concatenate(column) for column in truth))


def signal_of(
    fractions: Array, shapes: Array, fine: Array, bed: Bed, dose: float, rng: np.random.Generator
) -> EELSSpectrum:
    """One image of pixels with fractions (n, M) of references (M, F)."""
    from exspy.signals import EELSSpectrum

    n = len(fractions)
    shift = rng.normal(0.0, bed.shift, n) / FINE
    sigma = np.abs(rng.normal(0.0, bed.broadening, n)) / FINE
    lines = shift_and_broaden(fractions @ shapes, shift, sigma)
    energy = np.arange(FIRST, LAST, bed.dispersion)
    lines = channel_means(energy, fine, lines)
    thickness = np.exp(THICKNESS * rng.standard_normal(n))
    exponent = EXPONENT + EXPONENT_SD * rng.standard_normal(n)
    per_channel = COUNTS * dose * bed.dispersion / NATIVE * thickness[:, None]
    background = per_channel * (energy / L3) ** -exponent[:, None]
    factor = bed.contrast * np.maximum(1.0 + bed.intensity * rng.standard_normal(n), 0.0)
    counts = rng.poisson(background + per_channel * factor[:, None] * lines)
    signal = EELSSpectrum(counts.reshape(*bed.shape, -1).astype(np.float32))
    axis = signal.axes_manager.signal_axes[0]
    axis.name, axis.units = "Energy loss", "eV"
    axis.offset, axis.scale = float(energy[0]), bed.dispersion
    return signal


def channel_means(energy: Array, fine: Array, rows: Array) -> Array:
    """Means (n, E) over channels around ``energy`` of rows (n, F) on a fine axis."""
    step = fine[1] - fine[0]
    total = np.concatenate([np.zeros((len(rows), 1)), np.cumsum(rows, axis=1) * step], axis=1)
    edges = np.concatenate([fine - 0.5 * step, [fine[-1] + 0.5 * step]])
    half = 0.5 * (energy[1] - energy[0])

    def below(at: Array) -> Array:
        """Integral of each row up to these energies; it goes on with its end value."""
        inside = np.array([np.interp(at, edges, row) for row in total])
        beyond: Array = inside + rows[:, -1:] * np.maximum(at - edges[-1], 0.0)
        return beyond

    means: Array = (below(energy + half) - below(energy - half)) / (2 * half)
    return means


def fingerprints(names: tuple[str, ...], bed: Bed) -> tuple[Array, Array]:
    """Energy and references in about the unit that the spectra have."""
    energy = np.arange(*LINES, bed.dispersion)
    unit = bed.contrast / eb.Preprocessor(**WINDOWS).unit
    return energy, unit * np.array([reference(name, energy) for name in names])


def library(
    names: tuple[str, ...],
    bed: Bed,
    *,
    valences: tuple[float, ...] = VALENCES,
    moved: float = 0.0,
    factor: float = 1.0,
) -> eb.FingerprintLibrary:
    """References as fingerprints, their axis moved (eV), in a unit of one's own."""
    energy, rows = fingerprints(names, bed)
    words = [CLASSES[VALENCES.index(v)] for v in valences]
    return eb.FingerprintLibrary.from_arrays(
        energy + moved,
        factor * rows,
        words,
        values=list(valences),
        value_name="Mn valence",
        value_range=(min(valences), max(valences)),
        source="mn_l23_references.npz",
    )


def preprocess(signals: list[EELSSpectrum]) -> eb.Spectra:
    """Edge spectra of Mn L2,3. The detector's noise is known; nothing is there to align on."""
    pre = eb.Preprocessor(**WINDOWS, noise=(1.0, 0.0))
    spectra: eb.Spectra = pre(signals, show_progressbar=False)
    return spectra

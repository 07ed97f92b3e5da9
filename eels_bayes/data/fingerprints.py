"""Fingerprints: reference edge spectra with a class, a value and their physical variations.

A fingerprint is one simulated or measured edge spectrum of one known structure. The library holds
several per class (thickness scales, calculated sites), the variations that a real measurement adds
to each of them (energy calibration, resolution, intensity), and nuisance shapes: overlapping edges
that a pixel of any class may carry.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes.arrays import Floats, Ints

_CHUNK = 4096  # rows varied at a time: bounds the memory of the Fourier transforms
_TOLERANCE = 1e-6  # of a channel, when energies are compared
_BEYOND = 2  # channels at either end that take the end value


@dataclass(frozen=True)
class Variations:
    """How a measured spectrum of a structure differs from its fingerprint.

    Parameters
    ----------
    shift
        Standard deviation of the energy shift, eV.
    broadening
        Scale of the half-normal distribution of the extra Gaussian broadening's sigma, eV.
    intensity
        Relative standard deviation of the intensity.

    Raises
    ------
    ValueError
        Where one is negative or not finite.
    """

    shift: float = 0.2
    broadening: float = 0.4
    intensity: float = 0.06

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"Variations.{item.name} is {value!r}; give a finite number >= 0")


@dataclass(frozen=True, eq=False)
class FingerprintLibrary:
    """Fingerprints of at least two classes on one energy axis.

    Made by `from_arrays` or `example`. Notation: M fingerprints, N channels, K classes, Q nuisance
    shapes.

    Parameters
    ----------
    energy
        Channel centres, eV, ascending, shape (N,).
    intensity
        Background-free spectra in one common unit, shape (M, N).
    labels
        Class 0..K-1 of each fingerprint, shape (M,); every class has at least one.
    class_names
        One name a class, K of them.
    values
        The physical value of each fingerprint (a fluorine fraction, a valence), shape (M,), or
        None.
    nuisances
        Overlapping shapes that a pixel of any class may carry, same unit, shape (Q, N); Q may be 0.
    variations
        How measured spectra differ from the fingerprints.

    Raises
    ------
    ValueError
        Where shapes disagree, energies do not ascend, a number is not finite, a class is empty, or
        there is only one class.
    """

    energy: Floats
    intensity: Floats
    labels: Ints
    class_names: tuple[str, ...]
    values: Floats | None
    nuisances: Floats
    variations: Variations = field(default_factory=Variations)

    def __post_init__(self) -> None:
        _check_energy(self.energy)
        n_channels = len(self.energy)
        _check_rows("intensity", self.intensity, n_channels)
        _check_rows("nuisances", self.nuisances, n_channels)
        if self.labels.shape != (len(self.intensity),):
            raise ValueError(
                f"labels has shape {self.labels.shape}; "
                f"give one label for each of the {len(self.intensity)} fingerprints"
            )
        n_classes = len(self.class_names)
        if len(set(self.class_names)) != n_classes:
            raise ValueError(f"class_names repeats a name: {self.class_names}")
        if n_classes < 2:
            raise ValueError(
                f"labels hold {n_classes} class; give fingerprints of at least two classes"
            )
        present = set(self.labels.tolist())
        if present != set(range(n_classes)):
            raise ValueError(
                f"labels are {sorted(present)} for the {n_classes} classes {self.class_names}; "
                f"each of 0..{n_classes - 1} needs a fingerprint, and no other label may occur"
            )
        if self.values is not None:
            if self.values.shape != self.labels.shape:
                raise ValueError(
                    f"values has shape {self.values.shape}; give one a class ({n_classes},) "
                    f"or one a fingerprint ({len(self.labels)},)"
                )
            if not np.isfinite(self.values).all():
                raise ValueError("values holds NaN or infinity; give finite numbers, or None")

    @classmethod
    def from_arrays(
        cls,
        energy: ArrayLike,
        intensity: ArrayLike,
        labels: ArrayLike,
        class_names: Sequence[str] | None = None,
        values: ArrayLike | None = None,
        nuisances: ArrayLike | None = None,
        *,
        variations: Variations | None = None,
    ) -> FingerprintLibrary:
        """A library from plain arrays, which are copied.

        Parameters
        ----------
        energy
            Channel centres, eV, ascending, shape (N,).
        intensity
            Background-free spectra, shape (M, N).
        labels
            Shape (M,): integers 0..K-1, or class names. Names become classes in the order of
            `class_names`, or of their first appearance.
        class_names
            K names; by default "class 0", "class 1", ... for integer labels.
        values
            Physical value of each class, shape (K,), or of each fingerprint, shape (M,). Where K
            equals M the values are taken in the order of the fingerprints.
        nuisances
            Overlapping shapes, shape (Q, N) or (N,).
        variations
            Default `Variations()`.

        Raises
        ------
        ValueError
            As the class does.
        TypeError
            Where labels are neither integers nor strings.
        """
        axis = _floats("energy", energy)
        rows = _floats("intensity", intensity)
        codes, names = _encode(labels, class_names)
        per_fingerprint = None
        if values is not None:
            per_fingerprint = _floats("values", values)
            if per_fingerprint.shape == (len(names),) and len(names) != len(codes):
                known = (codes >= 0) & (codes < len(names))
                per_fingerprint = per_fingerprint[np.where(known, codes, 0)]
        shapes = np.zeros((0, len(axis))) if nuisances is None else _floats("nuisances", nuisances)
        if shapes.ndim == 1:
            shapes = shapes[None]
        return cls(axis, rows, codes, names, per_fingerprint, shapes, variations or Variations())

    @classmethod
    def example(cls) -> FingerprintLibrary:
        """The F K edge of Cr2TiC2OxFy with fluorine on 50, 25, 12.5 and 0 % of the sites.

        A parametric edge of our own: an arctangent onset that falls as a power of energy, a
        shoulder, a main peak and a broad scattering resonance, for three thickness scales (0.92, 1,
        1.08) of each class. It covers 600 to 800 eV, so that any window around the edge can be cut
        out with `resample`. The maximum of the first class is 1.0. One nuisance shape of unit
        maximum: the Cr L1 step with an AlF3 peak between 697 and 700 eV. `values` are the fluorine
        fractions.

        Returns
        -------
        FingerprintLibrary
            M = 12, N = 801 channels of 0.25 eV, K = 4, Q = 1.
        """
        energy = np.arange(600.0, 800.0 + 0.125, 0.25)
        # Fluorine fraction, edge height, energy of the main peak (eV), height of the shoulder
        structures = (
            (0.5, 1.0, 698.0, 0.36),
            (0.25, 0.64, 698.5, 0.34),
            (0.125, 0.3, 698.3, 0.33),
            (0.0, 0.0, 698.0, 0.0),
        )
        scales = (0.92, 1.0, 1.08)
        rows, values = [], []
        for fraction, height, peak, shoulder in structures:
            shape = _f_k_edge(energy, peak, shoulder)
            rows += [scale * height * shape / shape.max() for scale in scales]
            values += [fraction] * len(scales)
        residual = 0.25 * _onset(energy, 696.0, 3.0) + _gaussian(energy, 698.5, 2.6)
        return cls.from_arrays(
            energy,
            np.stack(rows),
            np.repeat(np.arange(len(structures)), len(scales)),
            class_names=[f"{100 * fraction:g} % F" for fraction, *_ in structures],
            values=values,
            nuisances=residual / residual.max(),
        )

    @property
    def n_classes(self) -> int:
        """Number of classes K."""
        return len(self.class_names)

    @property
    def class_values(self) -> Floats | None:
        """Mean value of each class, shape (K,), or None where the library has no values."""
        return None if self.values is None else self._class_means(self.values[:, None])[:, 0]

    @property
    def class_spectra(self) -> Floats:
        """Mean fingerprint of each class, shape (K, N), in the library's unit."""
        return self._class_means(self.intensity)

    def _class_means(self, rows: Floats) -> Floats:
        return np.stack([rows[self.labels == k].mean(axis=0) for k in range(self.n_classes)])

    def resample(self, energy: ArrayLike) -> FingerprintLibrary:
        """The library on another energy axis, by linear interpolation.

        Parameters
        ----------
        energy
            New channel centres, eV, ascending, shape (N',). Up to two of them may lie outside the
            old axis at either end; they take its end value.

        Returns
        -------
        FingerprintLibrary
            With fingerprints and nuisances on the new axis.

        Raises
        ------
        ValueError
            Where the fingerprints do not cover the axis.
        """
        axis = _floats("energy", energy)
        _check_energy(axis)
        return dataclasses.replace(
            self,
            energy=axis,
            intensity=_interpolate(axis, self.energy, self.intensity),
            nuisances=_interpolate(axis, self.energy, self.nuisances),
        )

    def vary(
        self, n: int, rng: np.random.Generator, *, labels: ArrayLike | None = None
    ) -> tuple[Floats, Ints, Floats | None]:
        """Draw fingerprints under their variations; nuisances are not added.

        Shift and broadening are exact in the Fourier domain; beyond its ends the axis is continued
        with the end values.

        Parameters
        ----------
        n
            Number of spectra.
        rng
            Source of randomness.
        labels
            Class of each spectrum, shape (n,); by default classes are drawn with equal probability.
            Within a class all its fingerprints are equally likely.

        Returns
        -------
        intensity
            Shape (n, N), in the library's unit.
        labels
            Shape (n,).
        values
            Value of each drawn fingerprint, shape (n,), or None where the library has none.

        Raises
        ------
        ValueError
            Where the energy axis is not uniform, or labels do not fit.
        TypeError
            Where labels are not integers.
        """
        step = self._step()
        if n < 0:
            raise ValueError(f"n is {n}; give a number of spectra >= 0")
        if labels is None:
            classes = rng.integers(self.n_classes, size=n)
        else:
            classes = _integers("labels", labels)
            if classes.shape != (n,):
                raise ValueError(
                    f"labels has shape {classes.shape}; give one class for each of n = {n} spectra"
                )
            if n and (classes.min() < 0 or classes.max() >= self.n_classes):
                raise ValueError(
                    f"labels run from {classes.min()} to {classes.max()}; "
                    f"classes are 0..{self.n_classes - 1}"
                )
        order = np.argsort(self.labels, kind="stable")
        sizes = np.bincount(self.labels, minlength=self.n_classes)
        first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        which = order[first[classes] + (rng.random(n) * sizes[classes]).astype(np.int64)]
        shift = rng.normal(0.0, self.variations.shift, n)
        sigma = np.abs(rng.normal(0.0, self.variations.broadening, n))
        scale = np.maximum(rng.normal(1.0, self.variations.intensity, n), 0.0)

        spectra = np.empty((n, len(self.energy)))
        for start in range(0, n, _CHUNK):
            rows = slice(start, start + _CHUNK)
            spectra[rows] = shift_and_broaden(
                self.intensity[which[rows]], shift[rows] / step, sigma[rows] / step
            )
        spectra *= scale[:, None]
        values = None if self.values is None else self.values[which]
        return spectra, self.labels[which], values

    def with_fingerprints(
        self,
        energy: ArrayLike,
        intensity: ArrayLike,
        labels: ArrayLike,
        *,
        values: ArrayLike | None = None,
    ) -> FingerprintLibrary:
        """A new library that also holds these fingerprints, resampled to its energy axis.

        Parameters
        ----------
        energy
            Their channel centres, eV, ascending, shape (N',).
        intensity
            Shape (m, N') or (N',), in this library's unit.
        labels
            Shape (m,): names of old or new classes, or integers: 0..K-1 for old classes, K, K+1,
            ... for new ones, which are then called "class K", "class K+1", ...
        values
            Shape (m,); needed for new classes where the library has values. By default a
            fingerprint of an old class takes its class's mean value.

        Raises
        ------
        ValueError
            Where the fingerprints do not cover this library's axis, or values are missing or not
            wanted.
        TypeError
            Where labels are neither integers nor strings.
        """
        axis = _floats("energy", energy)
        _check_energy(axis)
        rows = np.atleast_2d(_floats("intensity", intensity))
        _check_rows("intensity", rows, len(axis))
        given = np.atleast_1d(np.asarray(labels))
        if given.shape != (len(rows),):
            raise ValueError(
                f"labels has shape {given.shape}; "
                f"give one label for each of the {len(rows)} fingerprints"
            )
        if _is_text(given):
            codes, names = _encode(
                given, tuple(dict.fromkeys([*self.class_names, *given.tolist()]))
            )
        else:
            codes = _integers("labels", given)
            n_classes = max(self.n_classes, int(codes.max(initial=-1)) + 1)
            new = (f"class {k}" for k in range(self.n_classes, n_classes))
            names = (*self.class_names, *new)
        return FingerprintLibrary(
            self.energy,
            np.concatenate([self.intensity, _interpolate(self.energy, axis, rows)]),
            np.concatenate([self.labels, codes]),
            names,
            self._joined_values(codes, values),
            self.nuisances,
            self.variations,
        )

    def _joined_values(self, codes: Ints, values: ArrayLike | None) -> Floats | None:
        if self.values is None or self.class_values is None:
            if values is not None:
                raise ValueError("values given, but this library has no values; leave them out")
            return None
        if values is not None:
            return np.concatenate([self.values, np.atleast_1d(_floats("values", values))])
        if len(codes) and codes.max() >= self.n_classes:
            raise ValueError("values is missing; a new class needs one, as this library has values")
        return np.concatenate([self.values, self.class_values[codes]])

    def _step(self) -> float:
        steps = np.diff(self.energy)
        step = float(steps.mean())
        if np.abs(steps - step).max() > 1e-3 * step:
            raise ValueError(
                "the library's energy axis is not uniform; call resample with a uniform axis first"
            )
        return step


def shift_and_broaden(rows: Floats, shift: ArrayLike, sigma: ArrayLike) -> Floats:
    """Move spectra to higher energy and convolve them with a Gaussian, each by its own amount.

    Multiplication by exp(-2 pi i f shift - 2 (pi f sigma)^2) in the Fourier domain, with the ends
    continued by their values and joined by a smooth ramp, so that nothing leaks around.

    Parameters
    ----------
    rows
        Shape (n, N).
    shift, sigma
        Channels, shape (n,) or ().

    Returns
    -------
    ndarray
        Shape (n, N).
    """
    n, n_channels = rows.shape
    moves, widths = np.broadcast_to(shift, n), np.broadcast_to(sigma, n)
    if n == 0:
        return rows.copy()
    pad = math.ceil(6 * float(widths.max()) + float(np.abs(moves).max())) + 8
    ramp = (1 + np.cos(np.linspace(0, np.pi, 4 * pad + 64))) / 2
    first, last = rows[:, :1], rows[:, -1:]
    padded = np.concatenate(
        [
            np.repeat(first, pad, axis=1),
            rows,
            np.repeat(last, pad, axis=1),
            first + (last - first) * ramp,
        ],
        axis=1,
    )
    frequency = np.fft.rfftfreq(padded.shape[1])
    exponent = -2 * (np.pi * frequency * widths[:, None]) ** 2 + 0j
    exponent -= 2j * np.pi * frequency * moves[:, None]
    result = np.fft.irfft(np.fft.rfft(padded) * np.exp(exponent), n=padded.shape[1])
    return result[:, pad : pad + n_channels]


def _onset(energy: Floats, onset: float, width: float) -> Floats:
    """An ionisation step: an arctangent of `width` (eV) that decays as the square of energy."""
    step = 0.5 + np.arctan(2 * (energy - onset) / width) / np.pi
    return step * (energy / onset) ** -2.0


def _gaussian(energy: Floats, centre: float, sigma: float) -> Floats:
    return np.exp(-0.5 * ((energy - centre) / sigma) ** 2)


def _f_k_edge(energy: Floats, peak: float, shoulder: float) -> Floats:
    return (
        0.74 * _onset(energy, 694.5, 3.0)
        + shoulder * _gaussian(energy, 689.5, 1.9)
        + 0.42 * _gaussian(energy, peak, 2.3)
        + 0.17 * _gaussian(energy, 717.0, 6.0)
    )


def _floats(name: str, array: ArrayLike) -> Floats:
    try:
        return np.array(array, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is not an array of numbers: {error}") from error


def _integers(name: str, array: ArrayLike) -> Ints:
    given = np.asarray(array)
    if given.size and not np.issubdtype(given.dtype, np.integer):
        raise TypeError(f"{name} has dtype {given.dtype}; give integers 0..K-1, or class names")
    return given.astype(np.int64)


def _is_text(array: NDArray[Any]) -> bool:
    return array.dtype.kind in "UT" or (
        array.dtype.kind == "O" and all(isinstance(x, str) for x in array.flat)
    )


def _encode(labels: ArrayLike, class_names: Sequence[str] | None) -> tuple[Ints, tuple[str, ...]]:
    given = np.asarray(labels)
    if _is_text(given):
        flat = [str(x) for x in given.ravel()]
        names = tuple(dict.fromkeys(flat) if class_names is None else class_names)
        unknown = sorted(set(flat) - set(names))
        if unknown:
            raise ValueError(f"labels {unknown} are not among class_names {names}")
        code = {name: i for i, name in enumerate(names)}
        return np.array([code[x] for x in flat], dtype=np.int64).reshape(given.shape), names
    codes = _integers("labels", given)
    if class_names is None:
        class_names = [f"class {k}" for k in range(int(codes.max(initial=-1)) + 1)]
    return codes, tuple(class_names)


def _check_energy(energy: Floats) -> None:
    if energy.ndim != 1 or len(energy) < 2:
        raise ValueError(
            f"energy has shape {energy.shape}; give a 1-D axis of at least two channels"
        )
    if not np.isfinite(energy).all():
        raise ValueError("energy holds NaN or infinity; give finite channel centres in eV")
    if not (np.diff(energy) > 0).all():
        raise ValueError("energy does not ascend strictly; sort the axis, and the spectra with it")


def _check_rows(name: str, rows: Floats, n_channels: int) -> None:
    if rows.ndim != 2 or rows.shape[1] != n_channels:
        raise ValueError(
            f"{name} has shape {rows.shape}; "
            f"give (number of spectra, {n_channels}) to fit the energy axis"
        )
    if not np.isfinite(rows).all():
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1)).tolist()
        raise ValueError(f"{name} holds NaN or infinity in rows {bad}; give finite numbers")


def _interpolate(axis: Floats, energy: Floats, rows: Floats) -> Floats:
    tolerance = _TOLERANCE * (energy[1] - energy[0])
    below = int(np.sum(axis < energy[0] - tolerance))
    above = int(np.sum(axis > energy[-1] + tolerance))
    if max(below, above) > _BEYOND:
        raise ValueError(
            f"the fingerprints cover {energy[0]:g} to {energy[-1]:g} eV, but the axis asked for "
            f"runs from {axis[0]:g} to {axis[-1]:g} eV; "
            "give fingerprints that cover it, or a narrower axis"
        )
    if len(axis) > 1 and np.diff(axis).min() > 1.5 * np.diff(energy).max():
        return _channel_means(axis, energy, rows)
    return np.reshape([np.interp(axis, energy, row) for row in rows], (len(rows), len(axis)))


def _channel_means(axis: Floats, energy: Floats, rows: Floats) -> Floats:
    """Means over channels much wider than the old ones: a detector integrates over a channel."""
    width = np.diff(axis)
    borders = np.concatenate(
        [[axis[0] - width[0] / 2], axis[:-1] + width / 2, [axis[-1] + width[-1] / 2]]
    )
    # Beyond its ends a spectrum goes on with its end value.
    points = np.unique(np.concatenate([energy, borders]))
    values = np.reshape([np.interp(points, energy, row) for row in rows], (len(rows), len(points)))
    area = np.zeros_like(values)
    area[:, 1:] = np.cumsum(0.5 * (values[:, 1:] + values[:, :-1]) * np.diff(points), axis=1)
    means: Floats = np.diff(area[:, np.searchsorted(points, borders)], axis=1) / np.diff(borders)
    return means

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
from eels_bayes.data.energy_resampling import (
    CHUNK,
    check_energy,
    check_rows,
    interpolate,
    shift_and_broaden,
)
from eels_bayes.data.example_library import f_k_edge, gaussian, ionisation_step


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
        check_energy(self.energy)
        n_channels = len(self.energy)
        check_rows("intensity", self.intensity, n_channels)
        check_rows("nuisances", self.nuisances, n_channels)
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
            shape = f_k_edge(energy, peak, shoulder)
            rows += [scale * height * shape / shape.max() for scale in scales]
            values += [fraction] * len(scales)
        residual = 0.25 * ionisation_step(energy, 696.0, 3.0) + gaussian(energy, 698.5, 2.6)
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
        check_energy(axis)
        return dataclasses.replace(
            self,
            energy=axis,
            intensity=interpolate(axis, self.energy, self.intensity),
            nuisances=interpolate(axis, self.energy, self.nuisances),
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
        for start in range(0, n, CHUNK):
            rows = slice(start, start + CHUNK)
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
        check_energy(axis)
        rows = np.atleast_2d(_floats("intensity", intensity))
        check_rows("intensity", rows, len(axis))
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
            np.concatenate([self.intensity, interpolate(self.energy, axis, rows)]),
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

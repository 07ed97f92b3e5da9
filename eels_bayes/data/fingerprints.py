"""Fingerprints: reference edge spectra with a class, a value and their physical variations.

A fingerprint is one simulated or measured edge spectrum of one known structure. The library holds
several per class (thickness scales, calculated sites), the variations that a real measurement adds
to each of them (energy calibration, resolution, intensity), and nuisance shapes: overlapping edges
that a pixel of any class may carry.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from eels_bayes.arrays import Floats, Ints
from eels_bayes.data import library_views
from eels_bayes.data.energy_resampling import check_energy, check_rows, interpolate
from eels_bayes.data.example_library import example_arrays
from eels_bayes.data.library_arrays import (
    check_library,
    check_words,
    encode,
    floats,
    integers,
    is_text,
    joined_values,
)
from eels_bayes.data.library_file import save_library
from eels_bayes.data.library_of_files import from_files
from eels_bayes.data.plural_scattering import scattered
from eels_bayes.data.value_range import ANY_VALUE, ValueRange, checked_range
from eels_bayes.data.variations import Variations, draw_varied

if TYPE_CHECKING:
    from exspy.signals import EELSSpectrum


@dataclass(frozen=True, eq=False)
class FingerprintLibrary:
    """Fingerprints of at least two classes on one energy axis.

    Made by `from_arrays`, `from_files` or `example`. Notation: M fingerprints, N channels, K
    classes, Q nuisance shapes.

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
    value_name, value_unit
        What the values are, as maps and files name it: "fluorine fraction"; '' for no unit.
    value_range
        Lowest and highest value that is possible: predictions and their intervals stay within.
    source
        Where the fingerprints come from, in words: a file, a calculation, a paper.

    Raises
    ------
    ValueError
        Where shapes disagree, energies do not ascend, a number is not finite, a class is empty,
        there is only one class, or a value is not possible.
    TypeError
        Where words are none.
    """

    energy: Floats
    intensity: Floats
    labels: Ints
    class_names: tuple[str, ...]
    values: Floats | None
    nuisances: Floats
    variations: Variations = field(default_factory=Variations)
    value_name: str = "value"
    value_unit: str = ""
    value_range: ValueRange = ANY_VALUE
    source: str = ""

    def __post_init__(self) -> None:
        check_library(
            self.energy,
            self.intensity,
            self.labels,
            self.class_names,
            self.values,
            self.nuisances,
        )
        check_words(self.value_name, self.value_unit, self.value_range, self.source, self.values)

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
        value_name: str = "value",
        value_unit: str = "",
        value_range: Sequence[float] = ANY_VALUE,
        source: str = "",
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
        value_name, value_unit, value_range, source
            As the class has them.

        Raises
        ------
        ValueError
            As the class does.
        TypeError
            Where labels are neither integers nor strings, or words are none.

        Examples
        --------
        >>> import numpy as np
        >>> import eels_bayes as eb
        >>> energy = np.arange(670.0, 740.0, 0.5)
        >>> peak = np.exp(-0.5 * ((energy - 700) / 4) ** 2)
        >>> library = eb.FingerprintLibrary.from_arrays(
        ...     energy, [peak, 0.5 * peak], ["full", "half"], values=[1.0, 0.5]
        ... )
        >>> library.class_names, library.labels.tolist(), library.values.tolist()
        (('full', 'half'), [0, 1], [1.0, 0.5])
        """
        axis = floats("energy", energy)
        check_energy(axis)
        rows = floats("intensity", intensity)
        codes, names = encode(labels, class_names)
        per_fingerprint = None
        if values is not None:
            per_fingerprint = floats("values", values)
            if per_fingerprint.shape == (len(names),) and len(names) != len(codes):
                known = (codes >= 0) & (codes < len(names))
                per_fingerprint = per_fingerprint[np.where(known, codes, 0)]
        shapes = np.zeros((0, len(axis))) if nuisances is None else floats("nuisances", nuisances)
        if shapes.ndim == 1:
            shapes = shapes[None]
        variations = Variations() if variations is None else variations
        if not isinstance(variations, Variations):
            raise TypeError(f"variations is a {type(variations).__name__}; give Variations")
        words = (value_name, value_unit, checked_range(value_range), source)
        return cls(axis, rows, codes, names, per_fingerprint, shapes, variations, *words)

    @classmethod
    def example(cls) -> FingerprintLibrary:
        """The F K edge of Cr2TiC2OxFy with fluorine on 50, 25, 12.5 and 0 % of the sites.

        A parametric edge of our own: an arctangent onset that falls as a power of energy, a
        shoulder, a main peak and a broad scattering resonance, for three thickness scales (0.92, 1,
        1.08) of each class. It covers 600 to 800 eV, so that any window around the edge can be cut
        out with `resample`. The maximum of the first class is 1.0. One nuisance shape of unit
        maximum: the Cr L1 step with an AlF3 peak between 697 and 700 eV. `values` are the fluorine
        fractions, between 0 and 1.

        Returns
        -------
        FingerprintLibrary
            M = 12, N = 801 channels of 0.25 eV, K = 4, Q = 1.

        Examples
        --------
        >>> import eels_bayes as eb
        >>> library = eb.FingerprintLibrary.example()
        >>> library.class_names
        ('50 % F', '25 % F', '12.5 % F', '0 % F')
        >>> library.intensity.shape, library.class_values.tolist()
        ((12, 801), [0.5, 0.25, 0.125, 0.0])
        """
        return cls.from_arrays(**example_arrays())

    from_files = classmethod(from_files)  # type: ignore[var-annotated]
    save = save_library
    plot = library_views.plot
    _repr_html_ = library_views.html

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
        """Means (K, ...) of rows (M, ...) over the fingerprints of each class."""
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
        axis = floats("energy", energy)
        check_energy(axis)
        return dataclasses.replace(
            self,
            energy=axis,
            intensity=interpolate(axis, self.energy, self.intensity),
            nuisances=interpolate(axis, self.energy, self.nuisances),
        )

    def scattered(self, low_loss: EELSSpectrum | Iterable[EELSSpectrum]) -> FingerprintLibrary:
        """The library as a sample that is not thin shows it: edges with plural scattering.

        Fingerprints and nuisances are convolved with the low loss, its total taken for one and its
        zero-loss peak for one channel: an edge keeps its area over all energies, and loses height.
        Where the thickness varies, up to five groups of pixels, from thin to thick, give every
        class fingerprints of their own; nuisances take the mean.

        Parameters
        ----------
        low_loss
            Low-loss spectra of the experiment, one signal or several, any pixels. A level that
            they have 10 eV and more below the zero-loss peak is subtracted.

        Returns
        -------
        FingerprintLibrary
            On the same axis, with M fingerprints for each group.

        Raises
        ------
        TypeError, ValueError
            Where a low loss has no zero-loss peak or a saturated one, channels wider than 1 eV,
            under 11 eV behind the peak, or no counts; or the library's axis is not uniform.

        Warns
        -----
        UserWarning
            Where over 2 % of the electrons seem to lie beyond the low loss's end, or the library
            begins above an onset: below its axis an edge is taken for zero.
        """
        fingerprints = (self.energy, self.intensity, self.labels, self.values, self.nuisances)
        source = f"{self.source}, with plural scattering".removeprefix(", ")
        return dataclasses.replace(self, source=source, **scattered(*fingerprints, low_loss))

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
        spectra, which = draw_varied(
            self.intensity, self.energy, self.labels, self.variations, n, rng, labels
        )
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

        Returns
        -------
        FingerprintLibrary
            This one stays as it is.

        Raises
        ------
        ValueError
            Where the fingerprints do not cover this library's axis, or values are missing or not
            wanted.
        TypeError
            Where labels are neither integers nor strings.
        """
        axis = floats("energy", energy)
        check_energy(axis)
        rows = np.atleast_2d(floats("intensity", intensity))
        check_rows("intensity", rows, len(axis))
        given = np.atleast_1d(np.asarray(labels))
        if given.shape != (len(rows),):
            raise ValueError(
                f"labels has shape {given.shape}; "
                f"give one label for each of the {len(rows)} fingerprints"
            )
        if is_text(given):
            codes, names = encode(given, tuple(dict.fromkeys([*self.class_names, *given.tolist()])))
        else:
            codes = integers("labels", given)
            n_classes = max(self.n_classes, int(codes.max(initial=-1)) + 1)
            new = (f"class {k}" for k in range(self.n_classes, n_classes))
            names = (*self.class_names, *new)
        return dataclasses.replace(
            self,
            intensity=np.concatenate([self.intensity, interpolate(self.energy, axis, rows)]),
            labels=np.concatenate([self.labels, codes]),
            class_names=names,
            values=joined_values(self.values, self.class_values, codes, values),
        )

"""What simulations give: the mean spectrum of each class, and the sites that it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eels_bayes import validation
from eels_bayes.arrays import Floats
from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.single_fingerprint import Fingerprint
from eels_bayes.data.variations import Variations

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Site:
    """The spectrum of one kind of site.

    Parameters
    ----------
    class_name
        Its class.
    structure
        Number of its structure within the class, from 0.
    atom
        Index of the atom that was simulated.
    count
        How many atoms of the structure it stands for.
    weight
        Of the structure within the class.
    energy_above
        Of the structure above the lowest of its class, eV; NaN where it is not known.
    spectrum
        Of one atom.
    key
        Name of its file in the cache.
    """

    class_name: str
    structure: int
    atom: int
    count: int
    weight: float
    energy_above: float
    spectrum: Fingerprint
    key: str


@dataclass(frozen=True, eq=False)
class SimulatedFingerprints:
    """What `fingerprints` gives.

    Parameters
    ----------
    energy : (N,) array
        eV.
    intensity : (K, N) array
        Of each class, per atom of `per`, in `unit`.
    class_names : tuple of str
    sites : tuple of Site
        All that was simulated.
    variations : Variations
        What a measurement adds (the defaults of `Variations`) and, in quadrature, the spread within
        the classes' ensembles. What the engine gets wrong is not in it: see `together`.
    per : str
        The element whose atoms are counted.
    unit : str
        Of the intensity.
    source : str
        Engine and relaxation, in words.
    """

    energy: Floats
    intensity: Floats
    class_names: tuple[str, ...]
    sites: tuple[Site, ...]
    variations: Variations
    per: str
    unit: str
    source: str

    def library(
        self,
        *,
        values: Mapping[str, float] | None = None,
        highest: float | None = None,
        **words: Any,
    ) -> FingerprintLibrary:
        """A library with a fingerprint a class.

        Parameters
        ----------
        values
            The physical value of each class.
        highest
            What the highest intensity of all becomes, in the unit of the preprocessor's spectra; by
            default intensities stay cross-sections. Classes keep their proportions.
        **words
            Options of `FingerprintLibrary.from_arrays`, such as ``value_name``.

        Raises
        ------
        ValueError
            There is one class only, or a value is missing.
        """
        if values is not None:
            if set(values) != set(self.class_names):
                raise ValueError(f"values are of {sorted(values)}; give one for each class")
            words["values"] = [values[name] for name in self.class_names]
        words.setdefault("variations", self.variations)
        words.setdefault("source", self.source)
        names = list(self.class_names)
        factor = 1.0
        if highest is not None:
            factor = validation.positive("highest", highest) / float(self.intensity.max())
        rows = factor * self.intensity
        return FingerprintLibrary.from_arrays(self.energy, rows, names, names, **words)

    def fingerprint(self, class_name: str) -> Fingerprint:
        """The spectrum of one class."""
        validation.choice("class_name", class_name, self.class_names)
        row = self.intensity[self.class_names.index(class_name)]
        return Fingerprint(self.energy, row, True, self.unit, self.source, "ab_initio")

    def table(self) -> pd.DataFrame:
        """One row a site: class, structure, atom, count, weight, energy, highest point, file."""
        import pandas as pd

        rows = []
        for one in self.sites:
            known = {
                name: getattr(one, name)
                for name in ("class_name", "structure", "atom", "count", "weight", "energy_above")
            }
            peak = one.spectrum.energy[one.spectrum.intensity.argmax()]
            known |= {"peak_energy": peak, "peak": one.spectrum.intensity.max(), "key": one.key}
            rows.append(known)
        return pd.DataFrame(rows)

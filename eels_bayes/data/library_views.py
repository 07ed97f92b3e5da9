"""A fingerprint library as a figure, and as what a notebook shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eels_bayes.data.library_fields import LibraryFields
from eels_bayes.plots.edge_figures import fingerprints
from eels_bayes.word_tables import html_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(self: LibraryFields) -> Figure:
    """All fingerprints in the colours of their classes; nuisances dotted.

    Returns
    -------
    matplotlib.figure.Figure
    """
    named = (self.labels, self.class_names)
    return fingerprints(self.energy, self.intensity, *named, nuisances=self.nuisances)


def html(self: LibraryFields) -> str:
    """What a notebook shows."""
    energy, variations = self.energy, self.variations
    rows = [
        ("energies", f"{len(energy)} channels, {energy[0]:g} to {energy[-1]:g} eV"),
        ("nuisances", str(len(self.nuisances))),
        (
            "variations",
            f"shift {variations.shift:g} eV, broadening {variations.broadening:g} eV, "
            f"intensity {100 * variations.intensity:g} %",
        ),
        ("source", self.source or "unknown"),
    ]
    unit = f" ({self.value_unit})" if self.value_unit else ""
    table = [("class", "fingerprints", "highest intensity", f"{self.value_name}{unit}")]
    values = self.class_values
    for k, name in enumerate(self.class_names):
        mine = self.intensity[self.labels == k]
        value = "" if values is None else f"{values[k]:g}"
        table.append((name, str(len(mine)), f"{np.max(mine):.3g}", value))
    return html_table(rows, [row if values is not None else row[:-1] for row in table])

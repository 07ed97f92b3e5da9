"""Edge spectra as a figure, and as what a notebook shows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from eels_bayes.plots.edge_figures import edge_spectra
from eels_bayes.word_tables import html_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_IMAGES = 10  # that a notebook lists


def plot(self: Any) -> Figure:
    """Mean edge spectrum of each image, and the noise of one pixel.

    Returns
    -------
    matplotlib.figure.Figure
    """
    means = np.full((len(self.images), len(self.energy)), np.nan)
    for k in range(len(means)):
        mine = self.ok & (self.image == k)
        if mine.any():
            means[k] = self.intensity[mine].mean(axis=0, dtype=float)
    sd = np.median(self.sd[self.ok], axis=0) if self.ok.any() else np.zeros(len(self.energy))
    titles = [info.title or f"image {k}" for k, info in enumerate(self.images)]
    unit = "counts" if self.preprocessor.normalize is None else "edge units"
    return edge_spectra(self.energy, means, sd, titles, unit=unit)


def html(self: Any) -> str:
    """What a notebook shows."""
    energy = self.energy
    span = f"{energy[0]:g} to {energy[-1]:g} eV" if len(energy) else "no energies"
    rows = [
        ("pixels", f"{len(self)}, {int(self.ok.sum())} usable"),
        ("energies", f"{len(energy)} channels, {span}"),
    ]
    table = [("image", "shape", "pixels", "usable", "shift removed (eV)")]
    for k, info in enumerate(self.images[:MOST_IMAGES]):
        mine = self.image == k
        good = mine & self.ok
        shift = f"{np.mean(self.shift[good]):+.2f}" if good.any() else ""
        size = " x ".join(map(str, info.shape)) or "1"
        counts = (str(int(mine.sum())), str(int(good.sum())))
        table.append((info.title or str(k), size, *counts, shift))
    left = len(self.images) - MOST_IMAGES
    flagged = Counter(reason for reason in self.reasons() if reason)
    notes = [f"{n} pixels flagged: {reason}" for reason, n in flagged.most_common()]
    return html_table(rows, table, notes=[f"and {left} more images"] * (left > 0) + notes)

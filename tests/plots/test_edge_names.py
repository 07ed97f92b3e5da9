"""Names of edges in the picture of a signal before anything is fitted."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from eels_bayes import plots


def test_edges_are_named_above_the_spectrum_and_apart():
    energy = np.arange(700.0, 1000.0)
    mean = 1e4 * (energy / 700.0) ** -3.0
    edges = {"Cu_L2": 951.0, "Cu_L3": 945.0, "Fe_L3": 708.0}
    figure = plots.inspection(energy, mean, {}, edges=edges)
    try:
        left = figure.axes[0]
        marks = {text.get_text(): text.xy for text in left.texts}
        assert {name: x for name, (x, _) in marks.items()} == edges
        assert marks["Cu_L3"][1] != marks["Cu_L2"][1]  # they stand close
        assert marks["Fe_L3"][1] == marks["Cu_L3"][1]
        assert left.get_ylim()[1] == pytest.approx(1.35 * mean.max())
    finally:
        plt.close(figure)

"""Figures of libraries and spectra: every row is there, and legends leave room."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import eels_bayes as eb
from eels_bayes import plots
from eels_bayes.plots.edge_figures import MOST_NAMED


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def legend(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_every_fingerprint_and_nuisance_is_drawn():
    library = eb.FingerprintLibrary.example()
    figure = library.plot()
    lines = figure.axes[0].get_lines()
    assert len(lines) == 12 + 1 and legend(figure) == [*library.class_names, "overlapping shape"]
    for line, row in zip(lines, [*library.intensity, *library.nuisances], strict=True):
        np.testing.assert_array_equal(line.get_ydata(), row)
    colors = plots.class_colors(4)
    assert [line.get_color() for line in lines[:12]] == [colors[k] for k in library.labels]


def test_each_images_mean_is_drawn(spectra):
    figure = spectra.plot()
    lines = figure.axes[0].get_lines()[:-1]  # the last is zero
    assert len(lines) == 4 and len(legend(figure)) == 5
    for k, line in enumerate(lines):
        mine = spectra.intensity[spectra.ok & (spectra.image == k)]
        np.testing.assert_allclose(line.get_ydata(), mine.mean(0), rtol=1e-4, atol=1e-6)
    assert "edge units" in figure.axes[0].get_ylabel()


def test_images_without_usable_pixels_are_left_out(spectra):
    some = spectra[spectra.image != 1]
    assert len(some.plot().axes[0].get_lines()) == 3 + 1
    nothing = spectra[np.zeros(len(spectra), bool)]
    assert len(nothing.plot().axes[0].get_lines()) == 1


def test_many_images_have_a_legend_of_the_noise_alone():
    rows = np.tile(np.arange(5.0), (MOST_NAMED, 1))
    figure = plots.edge_spectra(np.arange(5.0), rows, np.ones(5), ["image"] * MOST_NAMED)
    noise = "one pixel's noise (± 1 sd)"
    assert legend(figure) == [noise, f"image (first of {MOST_NAMED})", "image (last)"]

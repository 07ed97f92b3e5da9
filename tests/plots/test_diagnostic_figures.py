"""Diagnostic figures show the numbers they were given, and say what is what."""

from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text
from scipy import stats

from eels_bayes import diagnostic_plots as plots


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def named(ax: Any, label: str) -> Any:
    """The artist of an axes with this label."""
    handles, labels = ax.get_legend_handles_labels()
    return dict(zip(labels, handles, strict=True))[label]


def keys(figure: Any) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def overlaps(figure: Any) -> list[tuple[str, str]]:
    """Pairs of texts that lie on one another, tick labels that are drawn among them."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    ticks = {
        id(label): label.get_text()
        for ax in figure.axes
        for axis in (ax.xaxis, ax.yaxis)
        for label in axis.get_ticklabels()
    }
    shown = [
        (text.get_text(), text.get_window_extent(renderer))
        for text in figure.findobj(Text)
        if text.get_text() and text.get_visible() and id(text) not in ticks
    ]
    for ax in figure.axes:
        for axis, low, high in ((ax.xaxis, *ax.get_xlim()), (ax.yaxis, *ax.get_ylim())):
            shown += [
                (tick.label1.get_text(), tick.label1.get_window_extent(renderer))
                for tick in axis.get_major_ticks()
                if tick.label1.get_visible()
                and tick.label1.get_text()
                and low <= tick.get_loc() <= high
            ]
    page = figure.bbox
    found = [
        (name, "the page's edge")
        for name, box in shown
        if box.x0 < page.x0 - 1 or box.x1 > page.x1 + 1 or box.y0 < -1 or box.y1 > page.y1 + 1
    ]
    for i, (name, box) in enumerate(shown):
        for other, at in shown[:i]:
            width = min(box.x1, at.x1) - max(box.x0, at.x0)
            height = min(box.y1, at.y1) - max(box.y0, at.y0)
            if width > 1 and height > 2:
                found.append((name, other))
    return found


def test_rank_histograms_count_and_have_the_binomial_band(rng: np.random.Generator) -> None:
    ranks = rng.integers(0, 100, (1000, 5))
    figure = plots.rank_histograms(ranks, 99, list("abcde"))
    assert [ax.get_title() for ax in figure.axes] == list("abcde")
    for ax, column in zip(figure.axes, ranks.T, strict=True):
        heights = [bar.get_height() for bar in named(ax, "observed")]
        np.testing.assert_array_equal(heights, np.histogram(column, 20, (0, 100))[0])
        band = named(ax, "95 % band").get_extents().transformed(ax.transData.inverted())
        assert (band.y0, band.y1) == pytest.approx(stats.binom.interval(0.95, 1000, 0.05))
    assert keys(figure) == ["95 % band", "uniform", "observed"]
    assert figure.get_supxlabel() == "rank among 99 draws"
    assert overlaps(figure) == []


@pytest.mark.parametrize("dim", [1, 3, 16])
def test_any_number_of_histograms_is_legible(rng: np.random.Generator, dim: int) -> None:
    figure = plots.rank_histograms(rng.integers(0, 40, (900, dim)), 39)
    assert len(figure.axes) == dim
    assert overlaps(figure) == []


def test_ecdf_difference_names_the_lines_outside(rng: np.random.Generator) -> None:
    good = rng.integers(0, 100, 1000)
    biased = np.minimum(99, rng.integers(0, 130, 1000))
    figure = plots.ecdf_difference(np.stack([good, biased], 1), 99, ["good", "biased"])
    (ax,) = figure.axes
    assert keys(figure) == ["95 % band", "biased"]
    band = named(ax, "95 % band").get_extents().transformed(ax.transData.inverted())
    assert band.y1 == pytest.approx(stats.kstwo.ppf(0.95, 1000))
    x, y = named(ax, "biased").get_data()
    expected = [(biased < k).mean() - k / 100 for k in range(101)]
    np.testing.assert_allclose(x, np.arange(101) / 100)
    np.testing.assert_allclose(y, expected, atol=1e-12)
    assert overlaps(figure) == []


def test_ecdf_band_holds_uniform_ranks_at_its_level(rng: np.random.Generator) -> None:
    figure = plots.ecdf_difference(rng.integers(0, 200, (400, 200)), 199)
    outside = len(keys(figure)) - 1
    assert 1 <= outside <= 20  # of 200 lines, at 5 %


def test_active_units_are_sorted_and_coloured() -> None:
    figure = plots.active_units([0.001, 4.0, 0.5], [0.01, 2.0, 1.0])
    ax, below = figure.axes
    assert [bar.get_height() for bar in ax.patches] == [4.0, 0.5, 0.001]
    assert [bar.get_height() for bar in below.patches] == [2.0, 1.0, 0.01]
    assert [label.get_text() for label in below.get_xticklabels()] == ["2", "3", "1"]
    colors = [to_hex(bar.get_facecolor()) for bar in ax.patches]
    assert colors[0] == colors[1] != colors[2]
    assert ax.get_title() == "2 of 3 latents active"
    assert overlaps(figure) == []


def test_dead_units_do_not_break_the_log_scale() -> None:
    figure = plots.active_units(np.zeros(4), np.zeros(4))
    assert overlaps(figure) == []
    assert figure.axes[0].get_ylim()[0] > 0


def test_posterior_scatter_keeps_apart_what_did_not_converge(rng: np.random.Generator) -> None:
    mean, other = rng.normal(0, 2, (2, 12, 3))
    sd, other_sd = rng.uniform(0.1, 1, (2, 12, 3))
    trusted = rng.random((12, 3)) < 0.7
    figure = plots.posterior_scatter(mean, sd, other, other_sd, trusted=trusted)
    left, right = figure.axes
    for ax, x, y in ((left, other, mean), (right, other_sd, sd)):
        for name, mask in (("converged", trusted), ("not converged", ~trusted)):
            np.testing.assert_array_equal(named(ax, name).get_xdata(), x[mask])
            np.testing.assert_array_equal(named(ax, name).get_ydata(), y[mask])
    assert left.get_xlabel() == "posterior mean, NUTS"
    assert right.get_ylabel() == "posterior sd, amortised"
    assert right.get_xscale() == "log"
    assert overlaps(figure) == []


@pytest.mark.parametrize("span", [(0.3, 0.35), (0.05, 4.0), (0.001, 10.0)])
def test_sds_of_any_span_have_ticks(span: tuple[float, float]) -> None:
    sd = np.linspace(*span, 10)[:, None]
    figure = plots.posterior_scatter(sd, sd, sd, sd)
    low, high = figure.axes[1].get_xlim()
    shown = [t for t in figure.axes[1].get_xticks() if low <= t <= high]
    assert 2 <= len(shown) <= 9
    assert overlaps(figure) == []


def test_coverage_is_drawn_in_order_of_level() -> None:
    error = np.sqrt([0.09 / 50, 0.25 / 50])
    figure = plots.coverage([0.9, 0.5], [0.8, 0.45], error)
    (ax,) = figure.axes
    x, y = named(ax, "observed").get_data()
    assert (x.tolist(), y.tolist()) == ([0.5, 0.9], [0.45, 0.8])
    band = named(ax, "± 2 SE").get_paths()[0].vertices
    at_half = band[np.isclose(band[:, 0], 0.5)][:, 1]
    assert at_half.max() == pytest.approx(0.5 + 2 * error[1])
    assert ax.get_xlabel() == "nominal coverage"
    assert overlaps(figure) == []


def test_predictive_bands_are_the_replicates_quantiles(rng: np.random.Generator) -> None:
    energy = np.linspace(677, 737, 30)
    observed, replicated = rng.normal(0, 1, (4, 30)), rng.normal(0, 1, (50, 4, 30))
    replicated[3, 1] = np.nan  # a flagged replicate
    figure = plots.predictive_bands(energy, observed, replicated, [f"pixel {i}" for i in range(4)])
    for i, ax in enumerate(figure.axes):
        np.testing.assert_array_equal(named(ax, "measured").get_ydata(), observed[i])
        band = named(ax, "90 % band").get_paths()[0].vertices
        assert band[:, 1].max() == pytest.approx(np.nanquantile(replicated[:, i], 0.95, 0).max())
    assert figure.get_supxlabel() == "energy loss (eV)"
    assert figure.get_supylabel() == "intensity (edge units)"
    assert overlaps(figure) == []


def test_p_values_are_counted_without_nan() -> None:
    p = {"one": np.array([0.02, 0.03, 0.97, np.nan]), "two": np.array([0.5])}
    figure = plots.predictive_p_values(p)
    first, second = figure.axes
    assert [first.patches[i].get_height() for i in (0, 1, 19)] == [2, 0, 1]
    assert sum(bar.get_height() for bar in second.patches) == 1
    assert overlaps(figure) == []


def test_wrong_shapes_are_refused(rng: np.random.Generator) -> None:
    ranks = rng.integers(0, 100, (50, 2))
    with pytest.raises(ValueError, match="n_bins must divide n_draws \\+ 1 = 100, got 30"):
        plots.rank_histograms(ranks, 99, n_bins=30)
    with pytest.raises(ValueError, match=r"run from .*; 0..50 is possible"):
        plots.ecdf_difference(ranks, 50)
    with pytest.raises(ValueError, match="1 names for 2 columns"):
        plots.rank_histograms(ranks, 99, ["a"])
    with pytest.raises(ValueError, match="ranks must be integers"):
        plots.rank_histograms(ranks / 2, 99)
    with pytest.raises(ValueError, match=r"must be \(D,\), got \(2,\) and \(3,\)"):
        plots.active_units(np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match="must have one shape"):
        plots.posterior_scatter(np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"must be \(J,\)"):
        plots.coverage([0.5], [0.5, 0.6], [0.1])
    with pytest.raises(ValueError, match=r"observed must be \(n, 3\)"):
        plots.predictive_bands(np.ones(3), np.ones((2, 4)), np.ones((5, 2, 4)))
    with pytest.raises(ValueError, match="replicated must be"):
        plots.predictive_bands(np.ones(3), np.ones((2, 3)), np.ones((5, 3)))
    with pytest.raises(ValueError, match="1 titles for 2 spectra"):
        plots.predictive_bands(np.ones(3), np.ones((2, 3)), np.ones((5, 2, 3)), ["a"])
    with pytest.raises(ValueError, match="p_values is empty"):
        plots.predictive_p_values({"a": [np.nan]})

"""Figures show the numbers they were given, with the labels and the scale a reader needs."""

from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Ellipse

from eels_bayes import plots
from helpers.drawn_texts import overlaps

NAMES = ("F 50 %", "F 25 %", "F 12.5 %", "no F")


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def panels(figure: Any) -> list[Any]:
    return [ax for ax in figure.axes if ax.get_label().startswith("map ")]


def bars(figure: Any) -> list[Any]:
    return [ax for ax in figure.axes if ax.get_label() == "colour bar"]


def keys(figure: Any) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def scale_bars(ax: Any) -> list[Any]:
    return [line for line in ax.lines if line.get_label() == "scale bar"]


# -- maps -------------------------------------------------------------------------------------


def test_series_shares_one_scale_and_one_colour_bar(rng: np.random.Generator) -> None:
    images = [
        [rng.random((30, 19)) + 0.1 * (row + column) for column in range(8)] for row in range(3)
    ]
    areas = [f"area {i}" for i in range(1, 4)]
    temperatures = [f"{t} °C" for t in range(300, 700, 50)]
    figure = plots.series_maps(
        images,
        areas,
        temperatures,
        name="Total uncertainty",
        unit="nats",
        pixels=plots.Pixel(1.2, 1.2, "nm"),
    )
    assert len(panels(figure)) == 24
    low, high = np.min(images), np.max(images)
    assert {(ax.images[0].norm.vmin, ax.images[0].norm.vmax) for ax in panels(figure)} == {
        (low, high)
    }
    assert [bar.get_ylabel() for bar in bars(figure)] == ["nats"]
    assert [ax.get_title() for ax in panels(figure)[:9]] == [*temperatures, ""]
    assert [ax.get_ylabel() for ax in panels(figure)[::8]] == areas
    for slot, ax in enumerate(panels(figure)):
        np.testing.assert_array_equal(ax.images[0].get_array(), images[slot // 8][slot % 8])
    # One scale bar for all, of 5 of the 22.8 nm.
    drawn = [line for ax in panels(figure) for line in scale_bars(ax)]
    assert len(drawn) == 1
    assert np.ptp(drawn[0].get_xdata()) == pytest.approx(5 / 1.2)
    width, height = figure.get_size_inches()
    assert width > height
    assert overlaps(figure) == []


def test_series_of_wide_maps_runs_down(rng: np.random.Generator) -> None:
    images = [[rng.random((5, 20)) for _ in range(8)] for _ in range(3)]
    areas, temperatures = list("abc"), list("12345678")
    figure = plots.series_maps(images, areas, temperatures)
    assert [ax.get_title() for ax in panels(figure)[:4]] == [*areas, ""]
    assert [ax.get_ylabel() for ax in panels(figure)[::3]] == temperatures
    np.testing.assert_array_equal(panels(figure)[1].images[0].get_array(), images[1][0])
    np.testing.assert_array_equal(panels(figure)[3].images[0].get_array(), images[0][1])
    assert overlaps(figure) == []


def test_long_names_of_narrow_blocks_take_more_lines(rng: np.random.Generator) -> None:
    image = rng.random((40, 20))
    names = (
        "Class",
        "Aleatoric uncertainty: structures overlap (own scale)",
        "Taken away by others",
    )
    figure = plots.layers([plots.Layer(name, [image], "nats") for name in names], ["a map"])
    shown = [text.get_text() for text in figure.texts]
    assert [text.replace("\n", " ") for text in shown] == ["a map", *names]
    assert any("\n" in text for text in shown)
    assert {"Class", "Taken away by others"} <= set(shown)
    assert overlaps(figure) == []


def test_titles_of_two_factors_become_headings(rng: np.random.Generator) -> None:
    # Temperatures outside, areas inside, and not in order: headings must follow the images.
    titles = [
        f"{t} °C, area {a}" for t in (25, 700, 450, 300, 600, 500, 550, 650) for a in (1, 3, 2)
    ]
    images = [np.full((30, 19), float(i)) for i in range(24)]
    figure = plots.maps(images, titles)
    assert [ax.get_ylabel() for ax in panels(figure)[::8]] == ["area 1", "area 3", "area 2"]
    columns = [ax.get_title() for ax in panels(figure)[:8]]
    for slot, ax in enumerate(panels(figure)):
        row = panels(figure)[8 * (slot // 8)].get_ylabel()
        shown = f"{columns[slot % 8]}, {row}"
        assert titles[int(ax.images[0].get_array()[0, 0])] == shown


@pytest.mark.parametrize(
    "titles",
    [
        [f"image {i}" for i in range(6)],
        ["a, 1", "a, 2", "a, 3", "b, 1", "b, 2", "b, 4"],  # no full grid
        ["a, 1", "a, 2", "a, 3", "a, 4", "a, 5", "a, 6"],  # one row only
        ["a, 1", "a, 2", "a, 3", "b, 1", "b, 2", "b, 2"],  # one twice
        ["a, 1", "a, 2", "a, 3", "b, 1", "b, 2", "b, 3, x"],
    ],
)
def test_other_titles_stay_with_their_maps(titles: list[str]) -> None:
    figure = plots.maps([np.full((5, 5), float(i)) for i in range(6)], titles)
    assert [ax.get_title() for ax in panels(figure)] == titles
    assert overlaps(figure) == []


def test_long_titles_keep_what_differs() -> None:
    titles = [f"EELS Spectrum Image (high-loss) {i}" for i in range(24)]
    figure = plots.maps([np.eye(9) for _ in titles], titles)
    for i, ax in enumerate(panels(figure)):
        assert ax.get_title().startswith("EELS")
        assert ax.get_title().endswith(f" {i}")
        assert ax.get_title().count("\n") == 1
    assert overlaps(figure) == []


def test_class_maps_have_class_colours_and_a_legend() -> None:
    labels = [np.array([[0, 1], [2, 3]]), np.array([[3, 3], [-1, 0]])]
    figure = plots.class_maps(labels, NAMES, ["first", "second"])
    first, second = (ax.images[0] for ax in panels(figure))
    colors = [to_rgb(plots.OKABE_ITO[k]) for k in range(4)]
    rgba = first.cmap(first.norm(first.get_array()))
    np.testing.assert_allclose(rgba[..., :3].reshape(4, 3), colors)
    # The flagged pixel is transparent above the hatched grey of the panel.
    drawn = second.cmap(second.norm(second.get_array()))
    np.testing.assert_array_equal(drawn[..., 3], [[1, 1], [0, 1]])
    assert panels(figure)[1].patch.get_hatch()
    assert to_rgb(panels(figure)[1].patch.get_facecolor()) == to_rgb("0.87")
    assert keys(figure) == [*NAMES, "flagged"]
    assert bars(figure) == []
    assert keys(plots.class_maps(labels[:1], NAMES)) == list(NAMES)


def test_flagged_values_are_masked_and_do_not_set_the_scale() -> None:
    image = np.array([[1.0, 2.0], [np.nan, np.inf]])
    figure = plots.maps([image])
    (panel,) = panels(figure)
    np.testing.assert_array_equal(panel.images[0].get_array().mask, [[0, 0], [1, 1]])
    assert panel.images[0].get_clim() == (1, 2)
    assert keys(figure) == ["flagged"]
    figure.canvas.draw()
    empty = plots.maps([np.full((2, 2), np.nan)])
    assert panels(empty)[0].images[0].get_clim() == (0, 1)


def test_images_of_different_sizes_have_a_scale_bar_each() -> None:
    sizes = [plots.Pixel(1, 1, "nm"), plots.Pixel(0.2, 0.4, "nm"), plots.Pixel()]
    images = [np.eye(30), np.eye(40), np.eye(10)]
    figure = plots.maps(images, pixels=sizes, columns=1)
    lengths = [[np.ptp(line.get_xdata()) for line in scale_bars(ax)] for ax in panels(figure)]
    assert lengths == [[pytest.approx(5)], [pytest.approx(2 / 0.4)], []]
    assert [ax.get_aspect() for ax in panels(figure)] == [1, 0.5, 1]
    assert overlaps(figure) == []


@pytest.mark.parametrize(
    ("extent", "unit", "length", "text"),
    [
        (22.8, "nm", 5, "5 nm"),
        (100, "nm", 20, "20 nm"),
        (3500, "nm", 1000, "1 µm"),
        (0.0368, "µm", 0.01, "10 nm"),
        (10, "um", 2, "2 µm"),
        (20, "Å", 5, "0.5 nm"),
        (2, "Å", 0.5, "50 pm"),
        (0.02, "mm", 0.005, "5 µm"),
        (1e-8, "m", 2e-9, "2 nm"),
        (7, "nm", 2, "2 nm"),
    ],
)
def test_scale_bar_is_a_round_length(extent: float, unit: str, length: float, text: str) -> None:
    bar = plots.nice_length(extent, unit)
    assert bar is not None
    assert bar[0] == pytest.approx(length)
    assert bar[1] == text


@pytest.mark.parametrize("unit", ["", "s", "px", "<undefined>"])
def test_no_scale_bar_without_a_length(unit: str) -> None:
    assert plots.nice_length(10, unit) is None


def test_layers_line_up(rng: np.random.Generator) -> None:
    images = [rng.random((6, 4)) for _ in range(3)]
    labels = [rng.integers(0, 4, (6, 4)) for _ in range(3)]
    long = [f"a class with a very long name {k}" for k in range(4)]
    figure = plots.layers(
        [
            plots.Layer("Class", labels, class_names=long),
            plots.Layer("Total", images, "nats", "cividis", (0, 2)),
        ],
        ["one", "two", "three"],
    )
    places = [ax.get_position() for ax in panels(figure)]
    for upper, lower in zip(places[:3], places[3:], strict=True):
        assert upper.x0 == lower.x0
        assert upper.width == lower.width
    assert panels(figure)[3].images[0].get_clim() == (0, 2)
    assert panels(figure)[3].images[0].cmap.name == "cividis"
    assert [text.get_text() for text in figure.texts] == ["Class", "Total"]
    assert overlaps(figure) == []


def test_line_scans_are_profiles_with_one_scale() -> None:
    scans = [np.array([0.0, 1.0, np.nan, 2.0]), np.array([0.5, 4.0, 1.0, 2.0])]
    figure = plots.maps(scans, unit="nats", pixels=[plots.Pixel(1, 2.5, "nm")] * 2)
    first, second = panels(figure)
    np.testing.assert_array_equal(first.lines[0].get_xdata(), [0, 2.5, 5, 7.5])
    np.testing.assert_array_equal(first.lines[0].get_ydata(), scans[0])
    assert first.get_ylim() == second.get_ylim() == (-0.24, 4.24)
    assert first.get_xlabel() == "distance (nm)"
    assert first.get_ylabel() == "nats"
    assert bars(figure) == []
    assert keys(figure) == ["flagged"]
    (gap,) = first.patches
    assert (gap.get_x(), gap.get_width()) == (3.75, 2.5)
    assert overlaps(figure) == []


def test_class_line_scans_are_strips() -> None:
    figure = plots.class_maps([np.array([0, 0, 3, -1])], NAMES)
    (ax,) = panels(figure)
    # The flagged pixel is drawn first, then the others in order.
    drawn = [to_rgb(patch.get_facecolor()) for patch in ax.patches]
    expected = ["0.87", plots.OKABE_ITO[0], plots.OKABE_ITO[0], plots.OKABE_ITO[3]]
    np.testing.assert_allclose(drawn, [to_rgb(color) for color in expected])
    assert [patch.get_x() for patch in ax.patches] == [2.5, -0.5, 0.5, 1.5]


@pytest.mark.parametrize(
    ("draw", "text"),
    [
        (lambda: plots.maps([]), "images is empty; at least one map is needed"),
        (
            lambda: plots.maps([np.zeros((2, 2, 2))]),
            r"images must be maps .* got shape \(2, 2, 2\)",
        ),
        (lambda: plots.maps([np.zeros((0, 2))]), r"at least one pixel, got shape \(0, 2\)"),
        (
            lambda: plots.maps([np.eye(2)], ["a", "b"]),
            "titles must have one entry an image: 1, got",
        ),
        (lambda: plots.maps([np.eye(2)], pixels=[]), "pixels must have one entry an image: 1, got"),
        (
            lambda: plots.class_maps([np.full((2, 2), 4)], NAMES),
            "labels go up to 4, but there are 4 classes",
        ),
        (
            lambda: plots.series_maps([[np.eye(2)], []], ["a", "b"], ["1"]),
            r"images must be a grid of 2 x 1 maps .* got rows of \[1, 0\]",
        ),
        (
            lambda: plots.layers([plots.Layer("a", [np.eye(2)]), plots.Layer("b", [])]),
            "quantities must cover the same images, got 1 of 'a' and 0 of 'b'",
        ),
        (
            lambda: plots.layers([plots.Layer("a", [np.eye(2)])], factors=("ab", "c")),
            "factors must make a grid of 1 images, got 2 x 1",
        ),
    ],
)
def test_maps_that_cannot_be_drawn(draw: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        draw()
    assert plt.get_fignums() == []


def test_many_classes_have_different_colours() -> None:
    colors = plots.class_colors(24)
    assert len(set(colors)) == 24
    assert colors[:8] == [to_rgb(color) for color in plots.OKABE_ITO]


def test_the_users_settings_stay_as_they_were(rng: np.random.Generator) -> None:
    before = dict(plt.rcParams)
    plots.maps([rng.random((3, 3))])
    plots.history({"training": [1.0, 0.5]})
    assert dict(plt.rcParams) == before


# -- latent space -------------------------------------------------------------------------------


def test_latent_ellipses_are_the_projected_components(rng: np.random.Generator) -> None:
    dim, centres = 6, rng.normal(size=(4, 6))
    sd = rng.uniform(0.2, 1.0, size=(4, dim))
    points = rng.normal(size=(50, dim))
    labels = rng.integers(0, 4, 50)
    labels[:3], points[3] = -1, np.nan
    figure = plots.latent(
        points,
        labels,
        NAMES,
        component_mean=centres,
        component_sd=sd,
        component_labels=[0, 1, 2, -1],
    )
    ax = figure.axes[0]
    ellipses = [patch for patch in ax.patches if isinstance(patch, Ellipse)]
    assert len(ellipses) == 8
    # The plane, found without scikit-learn (up to the axes' signs).
    _, _, basis = np.linalg.svd(centres - centres.mean(axis=0))
    flat = (centres - centres.mean(axis=0)) @ basis[:2].T
    for j in range(4):
        one, two = ellipses[2 * j : 2 * j + 2]
        np.testing.assert_allclose(np.abs(one.center), np.abs(flat[j]), atol=1e-10)
        covariance = (basis[:2] * sd[j] ** 2) @ basis[:2].T
        radii = np.sqrt(np.linalg.eigvalsh(covariance))
        np.testing.assert_allclose([one.height / 2, one.width / 2], radii)
        np.testing.assert_allclose([two.height, two.width], [2 * one.height, 2 * one.width])
        # Its long axis is the direction in which the covariance is largest.
        turn = np.deg2rad(one.angle)
        signs = np.sign(one.center) * np.sign(flat[j])
        direction = np.array([np.cos(turn), np.sin(turn)]) * signs
        assert direction @ covariance @ direction == pytest.approx(radii[1] ** 2)
    assert ellipses[-1].get_linestyle() == "--"
    cloud = next(c for c in ax.collections if c.get_label() == "pixels")
    assert len(cloud.get_offsets()) == 46
    assert ax.get_xlabel().startswith("PC 1 (")
    assert keys(figure) == [*NAMES, "fingerprints", "their 1 and 2 sd", "none of these"]


def test_latent_points_have_the_colour_of_their_class(rng: np.random.Generator) -> None:
    labels = np.repeat([0, 2], 20)
    points = np.column_stack([labels * 10.0, np.zeros(40), rng.normal(size=40)])
    cloud = plots.latent(points, labels, NAMES).axes[0].collections[0]
    colors = np.asarray(cloud.get_facecolors())[:, :3]
    side = np.asarray(cloud.get_offsets())[:, 0] > 0
    for group in (side, ~side):
        assert len(np.unique(colors[group], axis=0)) == 1
    assert not np.allclose(colors[side][0], colors[~side][0])


def test_tsne_embeds_components_with_the_points(rng: np.random.Generator) -> None:
    points = rng.normal(size=(40, 4)) + np.repeat([0, 20], 20)[:, None]
    figure = plots.latent(
        points,
        np.repeat([0, 1], 20),
        NAMES,
        component_mean=[[0.0] * 4, [20.0] * 4],
        component_labels=[0, 1],
        method="tsne",
    )
    ax = figure.axes[0]
    flat = np.asarray(ax.collections[0].get_offsets())
    centres = np.asarray(ax.collections[1].get_offsets())
    assert flat.shape == (40, 2)
    assert centres.shape == (2, 2)
    assert not [patch for patch in ax.patches if isinstance(patch, Ellipse)]
    # Each component lies in its own group's cloud.
    colors = np.asarray(ax.collections[0].get_facecolors())[:, :3]
    first = np.all(np.isclose(colors, to_rgb(plots.OKABE_ITO[0])), axis=1)
    means = np.stack([flat[first].mean(axis=0), flat[~first].mean(axis=0)])
    nearest = np.linalg.norm(centres[:, None] - means, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(nearest, [0, 1])
    assert ax.get_xlabel() == "t-SNE 1"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"points": np.zeros((3, 1))}, r"points must be \(n, D\) with D of at least 2"),
        ({"labels": np.zeros(4, dtype=int)}, r"got \(3, 2\) and \(4,\)"),
        ({"labels": np.full(3, -1)}, "no pixel is left to draw: every one is flagged"),
        ({"method": "umap"}, "method must be 'pca' or 'tsne', got 'umap'"),
        ({"method": "tsne"}, "t-SNE needs at least 5 points, got 3"),
        ({"component_mean": np.zeros((2, 3))}, r"component_mean and component_sd must be \(J, 2\)"),
        (
            {"component_mean": np.zeros((1, 2)), "component_labels": [7]},
            "component_labels go up to 7, but there are 4 classes",
        ),
        (
            {"points": np.zeros((1, 2)), "labels": np.zeros(1, dtype=int)},
            "a principal plane needs at least two points",
        ),
    ],
)
def test_latent_spaces_that_cannot_be_drawn(arguments: dict[str, Any], text: str) -> None:
    given = {
        "points": np.arange(6.0).reshape(3, 2),
        "labels": np.zeros(3, dtype=int),
        "class_names": NAMES,
    }
    with pytest.raises(ValueError, match=text):
        plots.latent(**(given | arguments))


# -- spectra, calibration, training ---------------------------------------------------------------


def test_spectra_bands_show_band_mean_and_fingerprint(rng: np.random.Generator) -> None:
    energy = np.linspace(677, 736.75, 240)
    mean = rng.random((4, 240))
    prints = rng.random((4, 240))
    figure = plots.spectra_bands(
        energy, mean, mean - 0.2, mean + 0.3, NAMES, fingerprints=prints, level=0.8
    )
    assert [ax.get_title() for ax in figure.axes] == list(NAMES)
    for k, ax in enumerate(figure.axes):
        lines = {line.get_label(): line for line in ax.lines}
        np.testing.assert_array_equal(lines["denoised"].get_ydata(), mean[k])
        np.testing.assert_array_equal(lines["fingerprint"].get_ydata(), prints[k])
        assert lines["fingerprint"].get_linestyle() == "--"
        assert to_rgb(lines["denoised"].get_color()) == to_rgb(plots.OKABE_ITO[k])
        band = ax.collections[0].get_paths()[0].vertices
        assert band[:, 1].min() == pytest.approx((mean[k] - 0.2).min())
        assert band[:, 1].max() == pytest.approx((mean[k] + 0.3).max())
        assert ax.get_ylim() == figure.axes[0].get_ylim()
    assert figure.get_supxlabel() == "energy loss (eV)"
    assert keys(figure) == ["80 % credible band", "denoised", "fingerprint"]
    assert overlaps(figure) == []


def test_a_class_that_no_pixel_has_stays_empty() -> None:
    mean = np.ones((5, 10))
    mean[2] = np.nan
    figure = plots.spectra_bands(np.arange(10), mean, mean - 1, mean + 1, list("abcde"))
    assert len(figure.axes) == 5
    figure.canvas.draw()


def test_spectra_of_another_shape_are_refused() -> None:
    right, wrong = np.zeros((4, 10)), np.zeros((4, 9))
    with pytest.raises(ValueError, match=r"upper must be \(classes, channels\) = \(4, 10\), got"):
        plots.spectra_bands(np.arange(10), right, right, wrong, NAMES)
    with pytest.raises(ValueError, match=r"fingerprints must be .* got \(3, 10\)"):
        plots.spectra_bands(np.arange(10), right, right, right, NAMES, fingerprints=right[:3])


def test_reliability_counts_by_confidence() -> None:
    # Ten pixels at 0.75 of which five are right, ten at 0.95 of which nine are.
    confidence = np.repeat([0.75, 0.95], 10)
    probabilities = np.column_stack([confidence, 1 - confidence])
    labels = np.r_[np.repeat([0, 1], 5), np.repeat([0, 1], [9, 1])]
    flagged = np.full((1, 2), np.nan)
    figure = plots.reliability(np.r_[probabilities, flagged], np.r_[labels, 0], n_bins=10)
    ax, below = figure.axes
    observed = next(line for line in ax.lines if line.get_label() == "observed")
    np.testing.assert_allclose(observed.get_xydata(), [[0.75, 0.5], [0.95, 0.9]])
    assert "ECE 0.150" in [text.get_text() for text in ax.texts]
    heights = [patch.get_height() for patch in below.patches]
    np.testing.assert_allclose(heights, [0, 0, 0, 0, 0, 0, 0, 0.5, 0, 0.5])
    marks = {line.get_label(): line.get_xdata()[0] for line in below.lines}
    assert marks == {"mean confidence": pytest.approx(0.85), "accuracy": pytest.approx(0.7)}
    assert below.get_xlabel() == "confidence"
    # Wilson's interval at 5 of 10, with z = 2: (1/2) -+ (z/2n) sqrt(n + z^2) / (1 + z^2/n)
    low, high = ax.collections[0].get_segments()[0][:, 1]
    half = 2 / 20 * np.sqrt(10 + 4) / (1 + 0.4)
    np.testing.assert_allclose([low, high], [0.5 - half, 0.5 + half])


def test_reliability_errors() -> None:
    with pytest.raises(ValueError, match=r"probabilities must be \(n, K\) and labels \(n,\), got"):
        plots.reliability(np.zeros((3, 2)), np.zeros(2))
    with pytest.raises(ValueError, match="no pixel is left to draw: every one is flagged"):
        plots.reliability(np.full((3, 2), np.nan), np.zeros(3))


def test_risk_coverage_is_not_scaled_by_the_first_pixels() -> None:
    coverage = np.arange(1, 101) / 100
    risk = np.where(coverage < 0.03, 1.0, 0.2 * coverage)
    figure = plots.risk_coverage({"total": (coverage, risk), "oracle": (coverage, 0 * risk)})
    (ax,) = figure.axes
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), risk)
    assert ax.get_ylim() == (0, pytest.approx(0.216))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["total", "oracle"]


def test_risk_coverage_errors_leave_no_figure() -> None:
    with pytest.raises(ValueError, match="curves is empty; at least one"):
        plots.risk_coverage({})
    with pytest.raises(
        ValueError, match=r"coverage and risk of 'b' must be \(n,\), got \(2,\) and"
    ):
        plots.risk_coverage({"a": ([0, 1], [0, 1]), "b": ([0, 1], [0])})
    assert plt.get_fignums() == []


def test_history_marks_the_best_epoch() -> None:
    stages = {
        "VAE": {"training": [3.0, 2.0, 1.0], "validation": [3.0, 1.5, 2.0]},
        "GP": {"training": [1.0, 0.5]},
        "not yet": {"training": [], "validation": []},
    }
    figure = plots.history(stages)
    assert [ax.get_title() for ax in figure.axes] == ["VAE", "GP"]
    assert [ax.get_xlabel() for ax in figure.axes] == ["epoch", "step"]
    best = next(line for line in figure.axes[0].lines if line.get_label() == "best")
    assert (best.get_xdata()[0], best.get_ydata()[0]) == (2, 1.5)
    np.testing.assert_array_equal(figure.axes[1].lines[0].get_xdata(), [1, 2])
    assert figure.axes[0].get_ylabel() == "loss (nats per spectrum)"
    single = plots.history(stages["VAE"])
    assert len(single.axes) == 1
    assert len(single.axes[0].lines) == 3


@pytest.mark.parametrize("nothing", [{}, {"training": []}, {"VAE": {"training": []}}])
def test_an_empty_history_is_refused(nothing: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="history is empty; fit first"):
        plots.history(nothing)


def fit_arrays(n_classes: int, n_bins: int = 12) -> dict[str, Any]:
    rows = np.tile(np.linspace(0.0, 1.0, n_bins), (n_classes, 1))
    return {
        "chi_square": (1.0, 0.1),
        "class_chi_square": (np.linspace(0.5, 2.0, n_classes), np.full(n_classes, 0.1)),
        "residual": rows,
        "band": np.full_like(rows, 0.1),
        "edge": rows + 0.1,
        "edge_fit": rows,
        "fingerprint": rows,
        "pixels": 7.4 * np.arange(n_classes),
    }


@pytest.mark.parametrize("n_classes", [1, 4, 6])
def test_fit_overview_has_a_pair_of_panels_for_each_class(n_classes: int) -> None:
    names = [f"structure {k}" for k in range(n_classes)]
    arrays = fit_arrays(n_classes) | ({"pixels": [1.2]} if n_classes == 1 else {})
    energy = np.arange(12.0)
    figure = plots.fit_overview([1.0, 2.0, 2.5], energy, names, **arrays)
    course, chi, *pairs = (ax for ax in figure.axes if ax.get_visible())
    assert len(pairs) == 2 * n_classes
    np.testing.assert_array_equal(course.lines[0].get_ydata(), [1.0, 2.0, 2.5])
    assert [label.get_text() for label in chi.get_yticklabels()] == ["all pixels", *names]
    titles = {ax.get_title(): ax for ax in pairs if ax.get_title()}
    if n_classes == 1:
        assert set(titles) == {"structure 0: 1 pixel"}
    else:
        assert {"structure 0: no pixel", "structure 1: 7 pixels"} <= set(titles)
        # of no pixel there is nothing but the fingerprint, and of no pixel no chi-square
        assert len(titles["structure 0: no pixel"].lines) == 2
        assert len(titles["structure 1: 7 pixels"].lines) == 4
        assert len(chi.containers) == n_classes
    assert not overlaps(figure)


def test_fit_overview_shows_the_largest_residual_and_chi_square() -> None:
    arrays = fit_arrays(3)
    arrays["residual"] = 5.0 * arrays["residual"]
    figure = plots.fit_overview(np.zeros(1), np.arange(12.0), ["a", "b", "c"], **arrays)
    _, chi, *pairs = (ax for ax in figure.axes if ax.get_visible())
    assert chi.get_xlim()[1] > 2.2 and chi.get_xlim()[0] == 0.0
    assert {ax.get_ylim() for ax in pairs if not ax.get_title()} == {(-5.75, 5.75)}


def test_fit_overview_refuses_arrays_of_other_classes() -> None:
    with pytest.raises(ValueError, match=r"residual must be \(classes, bins\) = \(2, 12\), got"):
        plots.fit_overview([1.0], np.arange(12.0), ["a", "b"], **fit_arrays(3))


def test_names_with_dollars_are_drawn_as_they_are() -> None:
    labels = np.array([[0, 1], [1, 0]])
    names = ("costs $5", r"a$\frac$")
    drawn = [
        plots.class_maps([labels], names, titles=["$x_"]),
        plots.reliability(np.full((8, 2), 0.5), np.arange(8) % 2, title="$^"),
    ]
    for figure in drawn:
        figure.canvas.draw()
    assert set(names) <= set(keys(drawn[0]))

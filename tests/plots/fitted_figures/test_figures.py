"""One call draws each of the paper's figures, of what was fitted and of nothing else."""

import re
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

import eels_bayes as eb
from eels_bayes import plots
from eels_bayes.plots.fitted_figures.class_spectra_figure import denoised_spread
from eels_bayes.plots.fitted_figures.denoising_figure import comparable, ladder
from eels_bayes.plots.fitted_figures.doubt_spectrum_figure import answers
from eels_bayes.plots.fitted_figures.neighbourhoods import measured_reference, nearest_alike

BANDS = ((687.5, 691.5), (696.0, 701.0))


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def pred(quick_classifier, spectra):
    return quick_classifier.predict(spectra, show_progressbar=False)


@pytest.fixture(scope="module")
def labels(series):
    return series.truth.label.values.ravel()


@pytest.fixture(scope="module")
def truth(series, spectra):
    return eb.simulate.true_edges(series, spectra)


def titles(figure):
    return [ax.get_title() for ax in figure.axes]


def named(figure):
    legends = [*figure.legends, *(ax.get_legend() for ax in figure.axes if ax.get_legend())]
    return [text.get_text() for legend in legends for text in legend.get_texts()]


def headings(figure):
    return [text.get_text() for text in figure.texts]


def test_averages_are_of_each_temperature(quick_classifier, spectra):
    figure = plots.spatial_averages(quick_classifier, spectra)
    left, right = figure.axes
    names = named(figure)
    assert len(left.lines) == 5 and all(name.endswith(" °C") for name in names[:4])
    assert names[4:] == [*quick_classifier.class_names, "overlapping shape"]
    mine = spectra.intensity[spectra.ok & (spectra.image == 0)].mean(0)
    np.testing.assert_allclose(left.lines[0].get_ydata(), mine, rtol=1e-4, atol=1e-6)
    # Fingerprints carry the overlap that measured spectra have: the last class is nothing else.
    empty, overlap = (line.get_ydata() for line in right.lines[3:5])
    np.testing.assert_allclose(empty, overlap, atol=0.02)
    assert overlap.max() > 0.1
    nothing = spectra[np.zeros(len(spectra), bool)]
    with pytest.raises(ValueError, match="no pixel is left to draw"):
        plots.spatial_averages(quick_classifier, nothing)


def test_denoising_gains_signal(quick_classifier, spectra, pred, truth):
    rows, sizes = comparable(spectra, pred.labels, None, 0)
    assert sizes == (8, 16, 32)
    found = ladder(quick_classifier, spectra, pred.labels, rows[:40], sizes, truth)
    single, *averaged, _, vae = np.median(found.decibels, axis=1)
    # n pixels have an nth of the noise, but of the background's error that they do not share.
    gain, most = np.array(averaged) - single, 10 * np.log10([8, 16, 32])
    assert (np.diff(gain) > 0).all() and (gain < most + 1).all() and (gain > 0.7 * most).all()
    assert vae > averaged[-1]
    assert (found.band[0] <= found.band[1]).all()


@pytest.mark.parametrize("known", [True, False])
def test_denoising_says_what_it_is_compared_with(quick_classifier, spectra, pred, truth, known):
    pixel = int(comparable(spectra, pred.labels, None, 0)[0][0])
    figure = plots.denoising(
        quick_classifier, spectra, pixel=pixel, pred=pred, truth=truth if known else None
    )
    # this one may be brighter than noise, a usual one is not
    assert re.match("one pixel\nSNR .* dB \\(typical \N{MINUS SIGN}", titles(figure)[0])
    assert titles(figure)[-1].startswith("one pixel, VAE\nSNR ")
    assert named(figure)[-1] == ("truth" if known else "reference: mean of its class")
    np.testing.assert_array_equal(
        figure.axes[0].lines[1].get_ydata(), spectra.intensity[pixel].astype(float)
    )


def test_denoising_refuses_what_cannot_be_averaged(quick_classifier, spectra, pred, truth):
    with pytest.raises(IndexError, match=f"there are {len(spectra)}"):
        plots.denoising(quick_classifier, spectra, pixel=len(spectra), pred=pred)
    with pytest.raises(ValueError, match="no pixel is one of at least 8 of its class"):
        plots.denoising(quick_classifier, spectra[::40], pred=pred[::40])
    with pytest.raises(ValueError, match="truth must be"):
        plots.denoising(quick_classifier, spectra, pred=pred, truth=truth[:5])
    with pytest.raises(ValueError, match="pred is of 3 pixels and spectra of 320"):
        plots.denoising(quick_classifier, spectra, pred=pred[:3])


def test_neighbours_are_near_and_alike(spectra, labels):
    pixel = int(np.flatnonzero(spectra.ok & (spectra.image == 2))[5])
    group = nearest_alike(spectra, labels, pixel, 8)
    assert group[0] == pixel and len(set(group.tolist())) == 8
    assert set(labels[group]) == {labels[pixel]} and set(spectra.image[group]) == {2}
    others = np.flatnonzero((spectra.image == 2) & (labels == labels[pixel]))
    places = np.stack(np.unravel_index(spectra.position, (10, 8)), axis=1)
    distance = np.linalg.norm(places - places[pixel], axis=1)
    left = np.setdiff1d(others, group)
    assert distance[group].max() <= distance[left].min()
    assert nearest_alike(spectra, labels, pixel, 500) is None
    reference = measured_reference(spectra, labels, group)
    kept = np.setdiff1d(np.flatnonzero(spectra.ok & (labels == labels[pixel])), group)
    np.testing.assert_allclose(reference, spectra.intensity[kept].mean(0), rtol=1e-4, atol=1e-5)


def test_draws_of_fingerprints_lie_on_them(quick_classifier):
    figure = plots.fingerprint_draws(quick_classifier, classes=["25 % F", 3])
    rows = [ax.get_ylabel() for ax in figure.axes[::3]]
    assert rows == ["25 % F", "0 % F"]
    for left, right in zip(figure.axes[::3], figure.axes[2::3], strict=True):
        fingerprint = right.lines[-1].get_ydata()
        np.testing.assert_allclose(
            np.mean([line.get_ydata() for line in left.lines[1:]], axis=0), fingerprint, atol=1e-6
        )
        draws = np.mean([line.get_ydata() for line in right.lines[1:-1]], axis=0)
        assert np.abs(draws - fingerprint).mean() < 0.1
    with pytest.raises(ValueError, match="class 'gold' is unknown"):
        plots.fingerprint_draws(quick_classifier, classes=["gold"])
    with pytest.raises(RuntimeError, match="not fitted"):
        plots.fingerprint_draws(eb.EELSClassifier(eb.FingerprintLibrary.example()))


@pytest.mark.parametrize("bands", [BANDS, None])
def test_classes_stand_above_the_usual_ways(quick_classifier, spectra, pred, labels, bands):
    figure = plots.class_comparison(
        quick_classifier, spectra, bands=bands, labels=labels, pred=pred
    )
    usual = "PCA + ratio" if bands else "PCA + nearest fingerprint"
    blocks = [text for text in headings(figure) if not text.startswith("area")]
    right = 100 * np.mean(pred.labels[spectra.ok] == labels[spectra.ok])
    assert blocks[0] == "truth" and blocks[1] == f"eels_bayes: {right:.0f} % right"
    assert blocks[2].startswith(f"{usual}: ")
    first = figure.axes[0].images[0].get_array()
    np.testing.assert_array_equal(first, labels[spectra.image == 0].reshape(10, 8))
    assert figure.get_figwidth() <= 6.9 + 1e-6
    with pytest.raises(ValueError, match="labels must be one for each of 320 pixels"):
        plots.class_comparison(quick_classifier, spectra, labels=labels[:2], pred=pred)


def test_class_spectra_tell_both_spreads(quick_classifier, spectra, pred, labels):
    found = denoised_spread(quick_classifier, spectra, labels)
    assert found.before.any() and not found.before[-1]
    over, whole, other = found.sds(labels[found.rows] == 0)
    assert (whole >= over).all()
    assert whole[found.before].mean() < other[found.before].mean()
    figure = plots.class_spectra(quick_classifier, spectra, labels=labels, pred=pred)
    counts = np.bincount(labels[spectra.ok], minlength=4)
    assert titles(figure)[:4] == [
        f"{name}: {n} pixels" for name, n in zip(pred.class_names, counts, strict=True)
    ]
    with pytest.raises(ValueError, match="no pixel is left to draw"):
        plots.class_spectra(quick_classifier, spectra, labels=np.full(320, -1), pred=pred)


def test_embeddings_have_a_silhouette_at_each_temperature(quick_classifier, spectra, pred, labels):
    some = np.arange(0, len(spectra), 3)
    figure = plots.embeddings(quick_classifier, spectra[some], labels=labels[some], pred=pred[some])
    assert titles(figure)[:2] == ["t-SNE of latents", "t-SNE of 10 principal components"]
    panel = figure.axes[2]
    assert [text.get_text() for text in panel.get_xticklabels()] == ["25", "300", "500", "800"] or (
        len(panel.get_xticklabels()) == 4
    )
    assert panel.get_xlabel() == "temperature (°C)"
    assert "true class" in [legend.get_title().get_text() for legend in figure.legends]
    with pytest.raises(ValueError, match="five usable pixels"):
        plots.embeddings(quick_classifier, spectra[:4], pred=pred[:4])


def scales(figure):
    """Ends of the colour scale of each map, by its axes' place in the figure."""
    maps = [ax for ax in figure.axes if ax.get_label().startswith("map ")]
    return [ax.images[0].get_clim() for ax in maps]


def test_parts_of_the_doubt_share_a_scale_unless_asked(pred, labels):
    parts = ("total", "encoder", "classifier")
    shared = scales(plots.doubt_maps(pred, labels=labels, parts=parts))[8:]
    assert len(set(shared)) == 1 and len(shared) == 12
    assert shared[0] == (0.0, pytest.approx(np.nanmax(pred.total)))
    figure = plots.doubt_maps(pred, labels=labels, parts=parts, own_scales=True)
    own = scales(figure)[8:]
    assert own[8] == (0.0, pytest.approx(np.nanquantile(pred.classifier, 0.99)))
    assert sum(text.endswith("(own scale)") for text in headings(figure)) == 2
    with pytest.raises(ValueError, match="a part of the doubt"):
        plots.doubt_maps(pred, parts=("noise",))
    with pytest.raises(IndexError, match="image 9 does not exist; there are 4"):
        plots.doubt_maps(pred, images=[9])


def test_neighbours_are_drawn_where_they_say_something(quick_classifier, spectra, pred):
    joined = quick_classifier.predict(spectra, context="neighbours", show_progressbar=False)
    assert "Taken away by other pixels" in headings(plots.doubt_maps(joined, images=[0]))
    assert "Taken away by other pixels" not in headings(plots.doubt_maps(pred, images=[0]))


def test_value_has_its_name_its_interval_and_the_truth(pred, series):
    values = series.truth.value.values.ravel()
    figure = plots.value_course(pred, truth=values)
    (ax,) = figure.axes
    assert ax.get_ylabel() == pred.value_name and ax.get_xlabel() == "temperature (°C)"
    crosses = next(line for line in ax.lines if line.get_label() == "truth")
    np.testing.assert_allclose(crosses.get_ydata(), values.reshape(4, -1).mean(1))
    with pytest.raises(ValueError, match="truth must be one value for each of 320 pixels"):
        plots.value_course(pred, truth=[1.0])
    without = replace(pred, value=np.full(320, np.nan), value_unit="")
    with pytest.raises(ValueError, match="the library has no values"):
        plots.value_course(without)


def test_a_line_has_value_and_band_in_one_panel(quick_classifier, spectra):
    info = replace(spectra.images[0], shape=(80,), axes=({"scale": 0.5, "units": "nm"},))
    line = replace(spectra[spectra.image == 0], images=(info,))
    pred = quick_classifier.predict(line, show_progressbar=False)
    figure = plots.line_scan(pred)
    value, _, doubt = figure.axes
    assert value.collections and len(value.lines) == 1
    np.testing.assert_allclose(value.lines[0].get_ydata(), pred.value)
    assert doubt.get_xlabel() == "distance (nm)"
    stacked = doubt.collections[-1].get_paths()[0].vertices[:, 1].max()
    assert stacked == pytest.approx(np.nanmax(pred.total), rel=1e-3)
    with pytest.raises(ValueError, match="a line scan has one axis"):
        plots.line_scan(quick_classifier.predict(spectra[:9], show_progressbar=False))
    with pytest.raises(IndexError, match="image 3 does not exist"):
        plots.line_scan(pred, 3)


def test_doubt_answers_to_bands_of_the_spectrum(quick_classifier, spectra):
    both, first, second = (
        answers(quick_classifier, spectra[np.array(rows)], n_bands=8).change
        for rows in ([7, 200], [7], [200])
    )
    for name, change in both.items():
        assert (change >= 0).all() and change.max() > 0
        mean = np.sqrt((first[name] ** 2 + second[name] ** 2) / 2)
        np.testing.assert_allclose(change, mean, rtol=1e-3, atol=1e-5)
    figure = plots.doubt_spectrum(quick_classifier, spectra, n_pixels=4, own_scales=True)
    assert len(figure.axes) == 5 and figure.axes[-1].get_xlabel() == "energy loss (eV)"
    with pytest.raises(ValueError, match="no pixel is left to read"):
        plots.doubt_spectrum(quick_classifier, spectra[np.zeros(len(spectra), bool)])


def test_risk_is_of_each_measure_of_doubt(pred, labels):
    figure = plots.doubt_risk(pred, labels)
    assert named(figure) == ["total", "aleatoric", "encoder", "classifier"]
    wrong = np.mean(pred.labels[pred.ok] != labels[pred.ok])
    for line in figure.axes[0].lines:
        assert line.get_ydata()[-1] == pytest.approx(wrong)
    with pytest.raises(ValueError, match="no pixel is left to score"):
        plots.doubt_risk(pred, np.full(len(pred), -1))

"""Tables of a prediction: rows of classes and of pixels, an image as an image, and HTML."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import eels_bayes as eb

DOUBTS = ["total", "aleatoric", "encoder", "classifier", "novelty"]


@pytest.fixture(scope="module")
def pred(quick_classifier, spectra):
    """320 pixels, of which the first three cannot be read."""
    flag = spectra.flag.copy()
    flag[:3] = int(eb.Flag.DEAD)
    return quick_classifier.predict(dataclasses.replace(spectra, flag=flag), show_progressbar=False)


def test_classes_add_up_to_all(pred):
    table = pred.summary()
    assert list(table.columns) == ["pixels", *DOUBTS, "value"]
    assert list(table.index) == [*pred.class_names, "all"] and table.index.name == "class"
    classes = table.drop("all")
    assert classes.pixels.sum() == table.pixels["all"] == pred.ok.sum() == 317
    for name in DOUBTS:
        total = (classes.pixels * classes[name]).sum() / classes.pixels.sum()
        assert table.loc["all", name] == pytest.approx(total, rel=1e-9)
        assert table.loc["all", name] == pytest.approx(np.nanmean(getattr(pred, name)), rel=1e-5)


def test_a_class_without_pixels_has_no_doubt(pred):
    table = pred[pred.labels == 0].summary()
    assert table.pixels.iloc[1] == 0 and np.isnan(table.total.iloc[1])
    assert table.loc["all", "total"] == table.total.iloc[0]


def test_a_row_a_pixel_says_what_xarray_does(pred):
    table, data = pred.to_dataframe(), pred.to_xarray()
    assert len(table) == len(pred) and table.index.name == "pixel"
    for name in (*DOUBTS, "value", "value_sd", "image", "position", "row", "col", "x", "y", "flag"):
        np.testing.assert_array_equal(table[name], data[name])
    shares = table[[f"P({name})" for name in pred.class_names]].to_numpy()
    np.testing.assert_array_equal(shares, pred.probabilities)
    assert table["class"].isna().sum() == 3 and (table.reason[:3] != "").all()
    named = [pred.class_names[k] for k in pred.labels[3:]]
    assert table["class"][3:].tolist() == named
    grouped = table.groupby("class", observed=False).total.mean()
    np.testing.assert_allclose(grouped, pred.summary().total[:-1], rtol=1e-5)


def test_what_has_no_value_has_no_column_of_it(pred):
    nothing = np.full(len(pred), np.nan)
    without = dataclasses.replace(pred, value=nothing, value_sd=nothing)
    assert "value" not in without.summary() and "value" not in without.to_dataframe()
    assert isinstance(without.summary(), pd.DataFrame)


def test_an_image_is_an_image(pred):
    data = pred.to_xarray(image=1)
    assert data.total.dims == ("y", "x") and data.total.shape == (10, 8)
    assert data.probabilities.dims == ("y", "x", "class")
    for name in ("total", "labels", "latent_mean", "probabilities", "flag"):
        np.testing.assert_array_equal(data[name], pred.map(name, 1))
    assert data.y.units == data.x.units == "nm" and data.attrs["model"] == pred.model
    # the same pixel at the same place as in the flat one
    flat = pred.to_xarray()
    one = flat.isel(pixel=int(np.flatnonzero((flat.image == 1) & (flat.position == 13))[0]))
    there = data.sel(y=float(one.y), x=float(one.x))
    assert float(there.total) == float(one.total)


def test_pixels_that_are_not_there_are_nan_in_an_image(pred):
    data = pred[pred.image != 0].to_xarray(image=0)
    assert np.isnan(data.total).all() and (data.labels == -1).all() and (data.reason == "").all()
    dead = pred.to_xarray(image=0)
    assert (dead.reason.values.ravel()[:3] != "").all() and dead.flag.values.ravel()[3] == 0


def test_an_image_that_does_not_exist(pred):
    with pytest.raises(IndexError, match="image 4 does not exist; there are 4"):
        pred.to_xarray(image=4)


def test_axes_without_names_and_single_spectra():
    def made(info):
        n = int(np.prod(info.shape))
        zero = np.zeros(n)
        return eb.Prediction(
            probabilities=np.tile([0.5, 0.5], (n, 1)),
            labels=np.zeros(n, int),
            class_names=("<a>", "b & c"),
            **dict.fromkeys((*DOUBTS, "value", "value_sd"), zero),
            latent_mean=np.zeros((n, 2)),
            latent_sd=np.ones((n, 2)),
            flag=np.zeros(n, int),
            image=np.zeros(n, int),
            position=np.arange(n),
            images=(info,),
        )

    nameless = tuple({"size": k} for k in (2, 3, 4))
    pred = made(eb.ImageInfo((2, 3, 4), nameless, {}, "stack", (0.0, 1.0)))
    assert pred.to_xarray(image=0).total.dims == ("frame_2", "y", "x")
    clash = ({"name": "value", "size": 2}, {"name": "x", "size": 3})
    pred = made(eb.ImageInfo((2, 3), clash, {}, "map", (0.0, 1.0)))
    assert pred.to_xarray(image=0).total.dims == ("image_value", "x")
    one = made(eb.ImageInfo((), (), {}, "one", (0.0, 1.0)))
    assert one.to_xarray(image=0).total.dims == ()
    # names are text in a notebook, whatever they hold
    shown = one._repr_html_()
    assert "&lt;a&gt;" in shown and "b &amp; c" in shown and "<a>" not in shown


def test_a_notebook_shows_classes_and_flags(pred):
    shown = pred._repr_html_()
    assert all(name in shown for name in pred.class_names)
    assert "320, 317 classified" in shown and "3 pixels flagged" in shown

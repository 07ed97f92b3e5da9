"""What is read as frames comes back as the stack that was given, and is drawn as a series."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from exspy.signals import EELSSpectrum

import eels_bayes as eb

SHAPE = (4, 10, 8)  # frames, rows, columns


@pytest.fixture(scope="module")
def stack(series: eb.simulate.Series) -> EELSSpectrum:
    """The images of the series as one signal."""
    one = series.signals[0]
    axes = [axis.get_axis_dictionary() for axis in one.axes_manager._axes]
    time = {"name": "time", "size": 4, "scale": 10.0, "units": "s", "navigate": True}
    signal = EELSSpectrum(
        np.stack([signal.data for signal in series.signals]),
        axes=[time, *axes],
        metadata=one.metadata.as_dictionary(),
    )
    signal.metadata.General.title = "in situ"
    return signal


@pytest.fixture(scope="module")
def frames(stack: EELSSpectrum, quick_classifier: eb.EELSClassifier) -> eb.Spectra:
    return quick_classifier.preprocessor(stack, show_progressbar=False)


@pytest.fixture(scope="module")
def pred(frames: eb.Spectra, quick_classifier: eb.EELSClassifier) -> eb.Prediction:
    return quick_classifier.predict(frames, show_progressbar=False)


def navigation(signal: Any) -> list[dict[str, Any]]:
    return [axis.get_axis_dictionary() for axis in signal.axes_manager._axes if axis.navigate]


@pytest.mark.parametrize("context", ["pixel", "image"])
def test_a_stack_is_predicted_as_its_images_are(
    series: eb.simulate.Series,
    frames: eb.Spectra,
    quick_classifier: eb.EELSClassifier,
    context: Any,
) -> None:
    images = quick_classifier.preprocessor(series.signals, show_progressbar=False)
    of_stack, of_images = (
        quick_classifier.predict(one, context=context, show_progressbar=False)
        for one in (frames, images)
    )
    for name in ("probabilities", "total", "value", "novelty", "image", "position"):
        np.testing.assert_array_equal(getattr(of_stack, name), getattr(of_images, name))


def test_spectra_come_back_as_the_stack(stack: EELSSpectrum, frames: eb.Spectra) -> None:
    (signal,) = frames.to_signals()
    assert signal.data.shape == (*SHAPE, len(frames.energy))
    np.testing.assert_array_equal(signal.data.reshape(320, -1), frames.intensity)
    assert navigation(signal) == navigation(stack)
    assert signal.metadata.General.title == "in situ"


def test_predictions_come_back_as_the_stack(stack: EELSSpectrum, pred: eb.Prediction) -> None:
    for name, (signal,) in pred.to_signals().items():
        expected = np.stack([pred.map(name, k) for k in range(4)])
        np.testing.assert_array_equal(signal.data, expected, err_msg=name)
        assert navigation(signal) == navigation(stack)
        assert signal.metadata.eels_bayes.image == [0, 1, 2, 3]
        assert signal.metadata.General.title == "in situ"
    maps = pred.to_signals()["total"][0]
    np.testing.assert_array_equal(maps.inav[3, 2, 1].data, [pred.map("total", 1)[2, 3]])


def test_some_pixels_leave_the_others_empty(pred: eb.Prediction) -> None:
    few = pred[(pred.image == 2) & (pred.position < 8)]
    maps = few.to_signals()
    (total,), (labels,) = maps["total"], maps["labels"]
    assert total.data.shape == SHAPE
    np.testing.assert_array_equal(total.data[2, 0], pred.map("total", 2)[0])
    assert np.isnan(total.data).sum() == 312
    assert (labels.data == -1).sum() == 312
    assert np.isnan(few.map("total", 0)).all()


def test_xarray_has_the_time(pred: eb.Prediction, frames: eb.Spectra) -> None:
    for data in (pred.to_xarray(), frames.to_xarray()):
        np.testing.assert_array_equal(data.time, 10.0 * pred.image)
        assert data.time.attrs == {"units": "s"}
    data = pred.to_xarray()
    np.testing.assert_array_equal(data.row * 8 + data.col, pred.position)
    cube = data.total.set_index(pixel=["time", "row", "col"]).unstack("pixel")
    np.testing.assert_array_equal(cube, pred.to_signals()["total"][0].data)
    assert "time" in pred[pred.ok].to_inference_data(draws=2, chains=1).constant_data.coords


def test_frames_are_drawn_as_a_series(pred: eb.Prediction) -> None:
    figure = pred.plot_maps("total")
    panels = [ax for ax in figure.axes if ax.get_label().startswith("map ")]
    titles = [" ".join(ax.get_title().split()) for ax in panels]
    assert titles == [f"in situ, time {10 * k} s" for k in range(4)]
    for k, ax in enumerate(panels):
        np.testing.assert_array_equal(ax.images[0].get_array(), pred.map("total", k))
    plt.close(figure)


@pytest.mark.filterwarnings("ignore:predict.* have a novelty above")  # as they should
def test_a_stack_that_is_one_image_is_exported_but_not_drawn(
    stack: EELSSpectrum, quick_classifier: eb.EELSClassifier
) -> None:
    pre = eb.Preprocessor.restored(
        quick_classifier.preprocessor.options() | {"frames": None},
        quick_classifier.preprocessor.state_dict(),
    )
    pred = quick_classifier.predict(pre(stack, show_progressbar=False), show_progressbar=False)
    assert pred.to_signals()["total"][0].data.shape == SHAPE
    np.testing.assert_array_equal(pred.to_xarray().time, 10.0 * (np.arange(320) // 80))
    with pytest.raises(
        ValueError,
        match=r"images\[0\] has 3 navigation axes; maps need at most two\. Read it as a series of "
        r"frames, Preprocessor\(frames='auto'\), or browse to_signals\(\)",
    ):
        pred.plot_maps()

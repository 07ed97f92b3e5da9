"""A stack is read as the series of its frames: bit for bit what its frames are one by one."""

import warnings
from typing import Any

import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
import pytest
from exspy.signals import EELSSpectrum

import eels_bayes as eb
from eels_bayes.data.detector_noise import LINEAR_MODEL, VARIANCE

T, Y, X, E = 4, 3, 5, 540  # frames, rows, columns, channels
ENERGY = 500 + 0.5 * np.arange(E)
DRIFT = np.array([0.0, 1.3, -0.8, 2.1])  # eV, of each frame
LENGTHS = {"time": T, "y": Y, "x": X}
STEPS = {"time": (12.5, "s"), "y": (2.0, "nm"), "x": (2.0, "nm")}
OPTIONS: dict[str, Any] = {
    "window": (677, 737),
    "dispersion": 0.5,
    "background": (650, 680),
    "normalize": (570, 592.5),
    "align": (567.5, 627.5),
}
ARRAYS = (
    "intensity", "sd", "background", "profile", "level", "spike", "norm", "shift", "counts",
    "gain", "flag", "image", "position",
)  # fmt: skip


def counts(gain: float = 1.0) -> np.ndarray:
    """Counts (T, Y, X, E) of a reference edge and one to be read, each frame drifted."""
    energy = ENERGY - DRIFT[:, None]
    mean = 1000 * (energy / 600) ** -3.0
    mean += 400 * np.exp(-0.5 * ((energy - 577) / 1.6) ** 2)
    mean += 250 * np.exp(-0.5 * ((energy - 585) / 1.8) ** 2)
    mean += 80 * np.exp(-0.5 * ((energy - 700) / 5) ** 2)
    rng = np.random.default_rng(0)
    return (gain * rng.poisson(mean[:, None, None] / gain, (T, Y, X, E))).astype(np.float32)


def stack_of(data: Any, names: tuple[str, ...] = ("time", "y", "x"), title: str = "") -> Any:
    """A signal of data (\\*names, E) with calibrated axes."""
    lengths = dict(zip(names, data.shape, strict=False))
    axes = [
        {"name": n, "size": lengths[n], "scale": STEPS[n][0], "units": STEPS[n][1]} for n in names
    ]
    energy = {"name": "Energy loss", "size": E, "offset": 500.0, "scale": 0.5, "units": "eV"}
    signal = EELSSpectrum(data, axes=[*({**a, "navigate": True} for a in axes), energy])
    signal.metadata.General.title = title
    return signal


def read(signals: Any, **options: Any) -> eb.Spectra:
    return eb.Preprocessor(**OPTIONS | options)(signals, show_progressbar=False)


def same(one: eb.Spectra, other: eb.Spectra) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    for name, array in one.preprocessor.state_dict().items():
        np.testing.assert_array_equal(
            array, other.preprocessor.state_dict()[name], err_msg=name, strict=True
        )


def one_by_one(stack: EELSSpectrum, name: str) -> list[EELSSpectrum]:
    """The frames along an axis, cut out by HyperSpy."""
    axis = next(a for a in stack.axes_manager.navigation_axes if a.name == name)
    at: list[Any] = [slice(None)] * stack.axes_manager.navigation_dimension
    frames = []
    for k in range(axis.size):
        at[axis.index_in_axes_manager] = k
        frames.append(stack.inav[tuple(at)])
    return frames


# What a frame is


@pytest.mark.parametrize(
    ("names", "frames", "align_by"),
    [
        (("time", "y", "x"), "auto", "image"),
        (("time", "y", "x"), "time", "row"),
        (("y", "x", "time"), "time", "image"),
        (("y", "time", "x"), ("time",), "row"),
        (("time", "y", "x"), "y", "image"),
    ],
)
def test_a_stack_is_the_series_of_its_frames(
    names: tuple[str, ...], frames: Any, align_by: str
) -> None:
    order = [("time", "y", "x").index(name) for name in names]
    stack = stack_of(np.transpose(counts(), (*order, 3)), names, "in situ")
    before = stack.deepcopy()
    found = read(stack, frames=frames, align_by=align_by)
    along = "y" if frames == "y" else "time"
    parts = one_by_one(stack, along)
    same(found, read(parts, align_by=align_by))
    assert len(found.images) == LENGTHS[along]
    for info, part in zip(found.images, parts, strict=True):
        axes = sorted(part.axes_manager.navigation_axes, key=lambda a: a.index_in_array)
        assert info.shape == part.data.shape[:-1]
        assert [a["name"] for a in info.axes] == [a.name for a in axes]
    assert found.images[2].title == f"in situ, {along} {2 * STEPS[along][0]:g} {STEPS[along][1]}"
    np.testing.assert_array_equal(stack.data, before.data)
    assert stack.metadata.as_dictionary() == before.metadata.as_dictionary()


def test_a_line_that_is_repeated_has_its_frames_by_name() -> None:
    stack = stack_of(counts()[:, 0], ("time", "x"))
    same(read(stack, frames="time"), read(one_by_one(stack, "time")))
    whole = read(stack)
    same(whole, read(stack, frames=None))
    assert whole.images[0].shape == (T, X)
    assert whole.images[0].frame is None


@pytest.mark.parametrize("shape", [(), (X,), (Y, X)])
def test_up_to_two_axes_are_one_image(shape: tuple[int, ...]) -> None:
    data = counts()[(0,) * (3 - len(shape))]
    signal = stack_of(data, ("time", "y", "x")[3 - len(shape) :])
    whole = read(signal)
    same(whole, read(signal, frames=None))
    assert [info.shape for info in whole.images] == [shape]


def test_several_outer_axes_number_the_frames_together() -> None:
    four = counts().reshape(2, 2, Y, X, E)
    stack = EELSSpectrum(four)
    for axis, name in zip(stack.axes_manager._axes, "abyx", strict=False):
        axis.name = name
    energy = stack.axes_manager[-1]
    energy.offset, energy.scale, energy.units = 500.0, 0.5, "eV"
    parts = [stack.inav[:, :, b, a] for a in range(2) for b in range(2)]
    for frames in ("auto", ["b", "a"]):
        found = read(stack, frames=frames)
        same(found, read(parts))
        assert [info.title for info in found.images] == [
            "a 0, b 0",
            "a 0, b 1",
            "a 1, b 0",
            "a 1, b 1",
        ]
    assert len(read(stack, frames="b").images) == 2


def test_frames_of_no_name_are_numbered() -> None:
    stack = stack_of(counts(), title="in situ")
    stack.axes_manager[2].name = stack.axes_manager[2].units = ""
    assert [info.title for info in read(stack).images][::3] == [
        "in situ, frame 0",
        "in situ, frame 3",
    ]


def test_energies_may_stand_anywhere_in_the_data() -> None:
    data = np.moveaxis(counts(), 3, 1)
    axes = [
        {"name": "time", "size": T, "navigate": True},
        {"name": "Energy loss", "size": E, "offset": 500.0, "scale": 0.5, "units": "eV"},
        {"name": "y", "size": Y, "navigate": True},
        {"name": "x", "size": X, "navigate": True},
    ]
    stack = EELSSpectrum(data, axes=[{"navigate": False} | axis for axis in axes])
    assert stack.axes_manager.signal_axes[0].index_in_array == 1
    for frames in ("auto", "x"):
        same(read(stack, frames=frames), read(stack_of(counts()), frames=frames))


def test_images_and_stacks_make_one_series() -> None:
    stack, lone = stack_of(counts()), stack_of(counts()[1], ("y", "x"))
    for frames in ("auto", "time"):
        same(read([lone, stack], frames=frames), read([lone, *one_by_one(stack, "time")]))


def test_every_frame_has_its_own_drift() -> None:
    stack = stack_of(counts())
    found = read(stack)
    drift = np.array([found.shift[found.image == k].mean() for k in range(T)])
    np.testing.assert_allclose(drift - drift.mean(), DRIFT - DRIFT.mean(), atol=0.1)
    whole = read(stack, frames=None)
    assert np.ptp(whole.shift) == 0.0
    assert whole.images[0].shape == (T, Y, X)


# Lazy stacks


class Recorder:
    """An array on disk, as it were: notes how much of it is asked for at once."""

    def __init__(self, data: np.ndarray) -> None:
        self.data, self.shape, self.dtype, self.ndim = data, data.shape, data.dtype, data.ndim
        self.most = 0

    def __getitem__(self, key: Any) -> np.ndarray:
        part = self.data[key]
        self.most = max(self.most, part.size)
        return part


@pytest.mark.parametrize("chunks", [(1, Y, X, E), (1, 2, 2, 100), (T, Y, X, E)])
def test_a_lazy_stack_is_computed_a_frame_at_a_time(chunks: tuple[int, ...]) -> None:
    eager = stack_of(counts())
    kept = Recorder(eager.data)
    lazy = eager.as_lazy()
    lazy.data = da.from_array(kept, chunks=chunks)
    pre = eb.Preprocessor(**OPTIONS)
    pre.summary(lazy)
    found = pre(lazy, show_progressbar=False)
    same(found, read(eager))
    assert 0 < kept.most <= eager.data.size // T


# Noise


def test_the_noise_stated_of_a_stack_is_that_of_its_frames() -> None:
    stack = stack_of(counts(gain=2.0))
    stack.metadata.set_item(f"{LINEAR_MODEL}.gain_factor", 2.0)
    stack.metadata.set_item(f"{LINEAR_MODEL}.gain_offset", 4.0)
    found = read(stack, noise="metadata")
    assert found.preprocessor.detector_noise == eb.Noise(2.0, 4.0)
    assert [info.readout for info in found.images] == [4.0] * T


@pytest.mark.parametrize("lazy", [False, True])
def test_a_variance_of_the_whole_stack_is_read(lazy: bool) -> None:
    stack = stack_of(counts(gain=2.0))
    stack.estimate_poissonian_noise_variance(gain_factor=2.0, gain_offset=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # HyperSpy's own on lazy conversion
        stack = stack.as_lazy() if lazy else stack
    found = read(stack, noise="metadata")
    assert found.preprocessor.detector_noise.gain == pytest.approx(2.0)
    assert len(found.preprocessor.noises) == 1  # one detector, however many frames
    stack.metadata.set_item(VARIANCE, stack.metadata.get_item(VARIANCE).inav[0])
    with pytest.raises(ValueError, match=r"variance has shape \(4, 3, 540\) and the counts \(4, 3"):
        read(stack)


# In words and as a figure


def test_the_summary_says_how_many_frames_there_are() -> None:
    stack = stack_of(counts(), title="in situ")
    words = eb.Preprocessor(**OPTIONS).summary(stack)
    assert words.startswith(
        "in situ: a stack of 4 frames of 3 x 5 spectra of 540 channels of 0.5 eV"
    )
    whole = eb.Preprocessor(**OPTIONS, frames=None).summary(stack)
    assert whole.startswith("in situ: 4 x 3 x 5 spectra of 540 channels")
    level = words.splitlines()[1].split()[-4]
    assert float(level) == pytest.approx(float(whole.splitlines()[1].split()[-4]), rel=1e-3)


def test_the_figure_of_a_stack_has_its_title() -> None:
    figure = eb.Preprocessor(**OPTIONS).plot(stack_of(counts(), title="in situ"))
    assert figure.get_suptitle() == "in situ"
    plt.close(figure)


def test_the_summary_is_of_all_frames() -> None:
    data = counts()
    data[0] = np.nan
    data[1, 0, 0, 30:40] = 65535
    data[2, 0, 0, 30:40] = 65535
    words = eb.Preprocessor(**OPTIONS).summary(stack_of(data))
    alone = eb.Preprocessor(**OPTIONS).summary(stack_of(data[1:]))
    assert words.splitlines()[1:5] == alone.splitlines()[1:5]
    assert "! 2 of" in words and "channels at 65535 counts" in words


def test_a_frame_of_which_nothing_is_known_is_flagged() -> None:
    data = counts()
    data[1] = np.nan
    found = read(stack_of(data), align=None)
    lost = found.image == 1
    assert (found.flag[lost] == eb.Flag.NON_FINITE).all() and found.ok[~lost].all()


def test_a_model_of_stacks_reads_an_image() -> None:
    stack = stack_of(counts())
    pre = eb.Preprocessor(**OPTIONS, frames="time")
    pre(stack, show_progressbar=False)
    image = stack_of(counts()).inav[:, :, 1]
    found = pre(image, show_progressbar=False)
    assert len(found) == image.data[..., 0].size and len(found.images) == 1


# Options and errors


@pytest.mark.parametrize("frames", ["auto", None, "time", ("a", "b")])
def test_the_option_is_kept(frames: Any) -> None:
    pre = eb.Preprocessor(**OPTIONS, frames=frames)
    options = pre.options()
    assert options["frames"] == (list(frames) if isinstance(frames, tuple) else frames)
    again = eb.Preprocessor.restored(options, pre.state_dict())
    assert again.frames == frames
    assert again.options() == options


def test_an_axis_that_is_not_there() -> None:
    stack = stack_of(counts())
    with pytest.raises(
        ValueError,
        match=r"frames is 'Time', but no navigation axis of the signals is named 'Time': they are "
        r"'time', 'x', 'y'; set frames to one of these, to 'auto' or to None, or name the axis",
    ):
        read(stack, frames="Time")
    with pytest.raises(ValueError, match=r"frames is \('time', 'z'\), .* named 'z'"):
        read([stack, stack], frames=["time", "z"])
    for axis in stack.axes_manager.navigation_axes:
        axis.name = ""
    with pytest.raises(ValueError, match="'time': they are without names;"):
        eb.Preprocessor(**OPTIONS, frames="time").summary(stack)


@pytest.mark.parametrize("frames", [3, (), ["time", 1], {"time"}, True])
def test_frames_that_name_nothing(frames: Any) -> None:
    with pytest.raises(
        TypeError, match=r"frames is .*; give 'auto', the name of a navigation axis"
    ):
        eb.Preprocessor(**OPTIONS, frames=frames)


def test_what_cannot_be_read_is_said_as_of_an_image() -> None:
    stack = stack_of(counts())
    with pytest.raises(TypeError, match="complex64; real counts are needed"):
        read(EELSSpectrum(stack.data * np.complex64(1)), frames="auto")
    with pytest.raises(ValueError, match=r"image 0 \('in situ, time 0 s'\) covers 499\.75 to"):
        read(stack_of(counts(), title="in situ"), window=(677, 900), align=None)
    with pytest.raises(TypeError, match="signal is a int; an EELSSpectrum"):
        read(3)

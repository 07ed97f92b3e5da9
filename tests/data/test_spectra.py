"""Spectra keep pixels, images and flags together."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.data.flags import Flag
from eels_bayes.data.spectra import ImageInfo, Spectra

ENERGY = 677 + 0.25 * np.arange(6)
BINS = 674.875 + 2.0 * np.arange(3)


def info(shape: tuple[int, ...], title: str = "one") -> ImageInfo:
    axes = tuple(
        {
            "_type": "UniformDataAxis",
            "name": name,
            "units": "nm",
            "scale": 0.5,
            "offset": 2.0,
            "size": size,
            "navigate": True,
        }
        for name, size in zip("yx"[-len(shape) :] if shape else "", shape, strict=True)
    )
    return ImageInfo(
        shape, axes, {"General": {"title": title}}, title, EnergyAxis(390.0, 0.25, 1600)
    )


def make(images: tuple[ImageInfo, ...], seed: int = 0, options: object = None) -> Spectra:
    sizes = [int(np.prod(one.shape)) for one in images]
    n = sum(sizes)
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    module = torch.nn.Module()
    if options is not None:
        module.options = lambda: options
    return Spectra(
        intensity=draw(n, 6),
        sd=np.abs(draw(n, 6)),
        energy=ENERGY,
        image=np.repeat(np.arange(len(images)), sizes),
        position=np.concatenate([np.arange(size) for size in sizes]),
        images=images,
        flag=np.zeros(n, np.int64),
        background=draw(n, 2),
        profile=draw(n, 3),
        profile_energy=BINS,
        level=draw(n),
        spike=draw(n),
        norm=draw(n),
        shift=draw(n),
        counts=draw(n, 8),
        gain=np.ones(n, np.float32),
        preprocessor=module,
    )


def test_indexing_takes_pixels_and_keeps_images() -> None:
    spectra = make((info((2, 3)), info((4,))))
    assert len(spectra) == 10
    mask = spectra.image == 1
    for part, rows in (
        (spectra[2:5], [2, 3, 4]),
        (spectra[np.array([7, 0])], [7, 0]),
        (spectra[mask], [6, 7, 8, 9]),
    ):
        for name in ("intensity", "profile", "level", "spike", "position"):
            np.testing.assert_array_equal(getattr(part, name), getattr(spectra, name)[rows])
        np.testing.assert_array_equal(part.profile_energy, BINS)
        assert part.images is spectra.images
    with pytest.raises(TypeError, match=r"index has shape \(\).*a 1-D mask is needed"):
        spectra[3]  # type: ignore[index]


def test_reasons_are_words() -> None:
    spectra = make((info((3,)),))
    spectra.flag[:] = [Flag.OK, Flag.DEAD, Flag.NON_FINITE | Flag.OFF_AXIS]
    assert spectra.ok.tolist() == [True, False, False]
    assert spectra.reasons() == [
        "",
        "the same counts in every channel",
        "NaN, infinite, saturated or wrapped counts; "
        "energies that are needed leave the axis after alignment",
    ]
    assert "3 pixels (1 usable) of 1 images" in repr(spectra)


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    spectra = make((info((3,)),))
    with pytest.raises(ValueError, match="norm has 2 rows; 3 are needed"):
        replace(spectra, norm=spectra.norm[:2])
    with pytest.raises(ValueError, match=r"sd has shape \(3, 5\); \(3, 6\) is needed"):
        replace(spectra, sd=spectra.sd[:, :5])
    with pytest.raises(ValueError, match=r"profile has shape \(3, 2\); \(3, 3\) is needed"):
        replace(spectra, profile=spectra.profile[:, :2])
    with pytest.raises(ValueError, match="level has 1 rows; 3 are needed"):
        replace(spectra, level=spectra.level[:1])
    with pytest.raises(ValueError, match="spike has 1 rows; 3 are needed"):
        replace(spectra, spike=spectra.spike[:1])


def test_concatenate_joins_images_and_rejoins_parts_of_one() -> None:
    one, other = make((info((2, 3)),)), make((info((4,), "two"),), seed=1)
    both = Spectra.concatenate([one, other_of(one, other)])
    assert [image.title for image in both.images] == ["one", "two"]
    assert both.image.tolist() == [0] * 6 + [1] * 4
    again = Spectra.concatenate([one[:2], one[2:]])
    assert again.images == one.images
    for name in ("intensity", "profile", "level", "spike"):
        np.testing.assert_array_equal(getattr(again, name), getattr(one, name))
    np.testing.assert_array_equal(both.profile_energy, BINS)


def other_of(one: Spectra, other: Spectra) -> Spectra:
    """`other` as if the same preprocessor had made it."""
    return replace(other, preprocessor=one.preprocessor)


def test_concatenate_refuses_what_does_not_fit() -> None:
    one = make((info((3,)),), options={"unit": 1})
    with pytest.raises(ValueError, match="parts is empty"):
        Spectra.concatenate([])
    moved = replace(one, energy=one.energy + 0.25)
    with pytest.raises(ValueError, match=r"parts\[1\] lies on another energy axis"):
        Spectra.concatenate([one, moved])
    longer = replace(one, counts=np.zeros((3, 9), np.float32))
    with pytest.raises(ValueError, match=r"parts\[1\] lies on another energy axis"):
        Spectra.concatenate([one, longer])
    # as many bins elsewhere: a preprocessor of the same settings, calibrated on other images
    elsewhere = replace(one, profile_energy=BINS + 2.0)
    with pytest.raises(ValueError, match=r"parts\[1\] lies on another energy axis"):
        Spectra.concatenate([one, elsewhere])
    shorter = replace(one, profile=one.profile[:, 1:], profile_energy=BINS[1:])
    with pytest.raises(ValueError, match=r"parts\[1\] lies on another energy axis"):
        Spectra.concatenate([one, shorter])
    same = make((info((3,)),), options={"unit": 1})
    assert len(Spectra.concatenate([one, same])) == 6
    different = make((info((3,)),), options={"unit": 2})
    with pytest.raises(ValueError, match=r"parts\[1\] was made by a Preprocessor with other"):
        Spectra.concatenate([one, different])


@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
def test_signals_keep_axes_metadata_and_places(shape: tuple[int, ...]) -> None:
    spectra = make((info(shape),), options={"unit": 0.5})
    n = len(spectra)
    signal = spectra[np.arange(n)[::-1][: max(1, n - 1)]].to_signals()[0]
    assert signal.metadata.Signal.signal_type == "EELS"
    assert signal.data.shape == (*shape, 6)
    flat = signal.data.reshape(n, 6)
    first = 0 if n == 1 else 1
    np.testing.assert_array_equal(flat[first:], spectra.intensity[first:])
    assert n == 1 or np.isnan(flat[0]).all()
    np.testing.assert_allclose(signal.axes_manager[-1].axis, ENERGY)
    assert signal.metadata.General.title == "one"
    assert signal.metadata.eels_bayes.preprocessor.unit == 0.5
    for axis in signal.axes_manager.navigation_axes:
        assert (axis.scale, axis.offset, axis.units) == (0.5, 2.0, "nm")


def test_signals_do_not_keep_the_noise_of_their_counts() -> None:
    """Nor do they lose what else is said of the signal, and the given one keeps all."""
    noise = {"Variance_linear_model": {"gain_factor": 2.0}, "variance": 3.0}
    metadata = {
        "General": {"title": "one"},
        "Signal": {"signal_type": "EELS", "quantity": "counts", "Noise_properties": noise},
    }
    given = replace(info((3,)), metadata=metadata)
    signal = make((given,)).to_signals()[0]
    assert not signal.metadata.has_item("Signal.Noise_properties")
    assert signal.get_noise_variance() is None
    assert signal.metadata.Signal.signal_type == "EELS"
    assert signal.metadata.General.title == "one"
    assert given.metadata["Signal"]["Noise_properties"] == noise


def test_xarray_holds_everything_with_units() -> None:
    spectra = make((info((2, 3)), info((2,))))
    data = spectra.to_xarray()
    assert dict(data.sizes) == {"pixel": 8, "energy": 6, "bin": 3}
    assert data.profile.dims == ("pixel", "bin")
    for name in ("intensity", "profile", "level"):
        np.testing.assert_array_equal(data[name], getattr(spectra, name))
        assert data[name].attrs["units"] == "norm"
    np.testing.assert_array_equal(data.spike, spectra.spike)
    assert data.spike.dims == ("pixel",) and data.spike.attrs["units"] == "sd"
    np.testing.assert_array_equal(data.bin, BINS)
    assert data.energy.attrs["units"] == data.bin.attrs["units"] == "eV"
    assert data.norm.attrs["units"] == "counts per channel"
    assert data.image.to_numpy().tolist() == [0] * 6 + [1] * 2

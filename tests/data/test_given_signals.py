"""Frames stand in their stack again, wherever its outer axes are; images stay as they are."""

from typing import Any

import numpy as np
import pytest

import eels_bayes as eb
from eels_bayes.data.given_signals import given_signals, outer_coordinates
from eels_bayes.data.stacks import Frame, Stack

AXIS = eb.EnergyAxis(500.0, 0.5, 540)


def axes_of(shape: tuple[int, ...], names: tuple[str | None, ...]) -> tuple[dict[str, Any], ...]:
    return tuple(
        {"name": name, "size": size, "scale": 0.5, "offset": 3.0, "units": "s"}
        for name, size in zip(names, shape, strict=True)
    )


def stack(
    shape: tuple[int, ...], outer: tuple[int, ...], names: tuple[str | None, ...] = ("t", "y", "x")
) -> Stack:
    return Stack(shape, axes_of(shape, names), outer, {"General": {"title": "s"}}, "s")


def frame_info(frame: Frame) -> eb.ImageInfo:
    of = frame.stack
    shape, axes = (tuple(every[k] for k in of.inner) for every in (of.shape, of.axes))
    return eb.ImageInfo(shape, axes, of.metadata, frame.title, AXIS, frame=frame)


def plain_info(shape: tuple[int, ...]) -> eb.ImageInfo:
    return eb.ImageInfo(shape, axes_of(shape, ("t", "y", "x")[-len(shape) :]), {}, "plain", AXIS)


def pixels(images: list[eb.ImageInfo]) -> tuple[np.ndarray, np.ndarray]:
    """Image and position of all pixels, in no order."""
    sizes = [int(np.prod(info.shape)) for info in images]
    image = np.repeat(np.arange(len(sizes)), sizes)
    position = np.concatenate([np.arange(size) for size in sizes])
    order = np.random.default_rng(0).permutation(len(image))
    return image[order], position[order]


@pytest.mark.parametrize("outer", [(0,), (1,), (2,), (0, 1), (0, 2), (0, 1, 2)])
def test_every_pixel_lies_where_it_came_from(outer: tuple[int, ...]) -> None:
    whole = stack((2, 3, 4), outer)
    images = [frame_info(frame) for frame in whole.frames]
    truth = np.arange(24).reshape(2, 3, 4)
    image, position = pixels(images)
    cut = np.moveaxis(truth, outer, range(len(outer)))
    values = cut.reshape(len(images), -1)[image, position]
    (given,) = given_signals(images, image, position)
    assert given.whole is whole
    assert given.images == list(range(len(images)))
    np.testing.assert_array_equal(given.filled(values), truth)
    np.testing.assert_array_equal(
        given.filled(np.stack([values, -values], 1)), np.stack([truth, -truth], -1)
    )


def test_images_and_stacks_stand_in_the_order_they_were_given() -> None:
    first, second = stack((2, 1, 3), (0,)), stack((2, 1, 3), (0,))
    frames = [frame_info(frame) for one in (first, second) for frame in one.frames]
    lone = plain_info((2, 2))
    images = [frames[0], lone, *frames[1:], lone]
    image, position = pixels(images)
    given = given_signals(images, image, position)
    assert [one.whole for one in given] == [first, lone, second, lone]
    assert [one.images for one in given] == [[0, 2], [1], [3, 4], [5]]
    assert sorted(np.concatenate([one.rows for one in given])) == list(range(len(image)))
    np.testing.assert_array_equal(given[1].filled(position), np.arange(4).reshape(2, 2))


def test_what_is_not_there_is_missing() -> None:
    images = [frame_info(frame) for frame in stack((3, 2, 2), (0,)).frames]
    image, position = pixels(images)
    kept = image != 1
    (given,) = given_signals(images, image[kept], position[kept])
    assert np.isnan(given.filled(position[kept].astype(float))[1]).all()
    found = given.filled(position[kept])
    assert (found[1] == -1).all()
    np.testing.assert_array_equal(found[::2], np.tile(np.arange(4).reshape(2, 2), (2, 1, 1)))
    (nothing,) = given_signals(images, image[:0], position[:0])
    assert np.isnan(nothing.filled(np.zeros(0))).all()
    assert nothing.filled(np.zeros(0)).shape == (3, 2, 2)


# Coordinates


def test_coordinates_are_named_like_the_axes() -> None:
    timed = [frame_info(frame) for frame in stack((3, 1, 2), (0,)).frames]
    images = [*timed, plain_info((2, 2))]
    image, position = pixels(images)
    (name, (dims, values, attrs)) = next(iter(outer_coordinates(images, image, position).items()))
    assert (name, dims, attrs) == ("t", "pixel", {"units": "s"})
    expected = np.where(image < 3, 3.0 + 0.5 * image, np.nan)
    np.testing.assert_array_equal(values, expected)
    assert outer_coordinates([plain_info((2, 2))], np.zeros(4, int), np.arange(4)) == {}


def test_an_image_of_many_axes_has_them_too() -> None:
    images = [plain_info((3, 2, 2))]
    image, position = pixels(images)
    values = outer_coordinates(images, image, position)["t"][1]
    np.testing.assert_array_equal(values, 3.0 + 0.5 * (position // 4))


def test_names_that_are_missing_or_taken() -> None:
    def names(whole: Stack, *taken: str) -> list[str]:
        images = [frame_info(frame) for frame in whole.frames]
        return list(outer_coordinates(images, *pixels(images), taken=taken))

    nameless = (None, "y", "x")
    assert names(stack((2, 2, 2), (0,), nameless)) == ["frame"]
    assert names(stack((2, 2, 2), (0, 1), nameless)) == ["frame_0", "y"]
    assert names(stack((2, 2, 2), (0,)), "t", "flag") == ["frame_t"]


def test_units_that_differ_are_left_out() -> None:
    one, other = stack((2, 1, 1), (0,)), stack((2, 1, 1), (0,))
    other.axes[0]["units"] = "min"
    images = [frame_info(frame) for of in (one, other) for frame in of.frames]
    assert outer_coordinates(images, *pixels(images))["t"][2] == {}


def test_titles_say_the_place() -> None:
    titles = [frame.title for frame in stack((2, 2, 2), (0, 2), ("t", "y", None)).frames]
    assert titles == ["s, t 3 s, 3 s", "s, t 3 s, 3.5 s", "s, t 3.5 s, 3 s", "s, t 3.5 s, 3.5 s"]
    late = stack((2, 1, 1), (0,))
    late.axes[0].update(offset=1.7e9, scale=0.5)
    assert [frame.title for frame in late.frames] == ["s, t 1700000000 s", "s, t 1700000000 s"]

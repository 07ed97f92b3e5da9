"""Edge spectra of an image: of all of it, of some pixels, or part by part where it is large."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eels_bayes.data.spectra import Spectra
from eels_bayes.data.unread_images import LEAST_SAMPLED, SAMPLED, UnreadImage
from eels_bayes.preprocessing.alignment import image_shift, image_shifts, pixel_shifts
from eels_bayes.preprocessing.images import SeriesImage, edge_spectra, read_image


def image_parts(
    preprocessor: Any, unread: UnreadImage, number: int, most: int | None = None
) -> Iterator[Spectra]:
    """Edge spectra of one image of a series, of a large one part by part.

    A sample of a large image shows its drift and its dead channels.

    Parameters
    ----------
    preprocessor : Preprocessor
        Calibrated.
    unread : UnreadImage
    number : int
        Its place in the series.
    most : int, optional
        Pixels that are chosen of it; all by default.

    Yields
    ------
    Spectra
        Of all parts the very same `Spectra.images`.
    """
    pre, windows = preprocessor, preprocessor._windows()
    rows = pre.align_by == "row"
    how = (number, windows, pre._believed, float(pre.ceiling))
    aligned = (pre.reference, pre.align, pre.step)

    def of(image: SeriesImage, shift: Tensor) -> Spectra:
        with torch.no_grad():
            return edge_spectra(image, shift, windows, pre)

    sample = SAMPLED if most is None else max(LEAST_SAMPLED, most)
    image = read_image(unread.read(sample=sample, rows=rows), *how)
    if most is not None or image.raw.position is None:
        shift = image_shifts(image, *aligned, pre.align_by)
        yield of(*(image, shift) if most is None else some_pixels(image, shift, most, number))
        return
    whole, images = image_shift(image, *aligned), None
    dead = image.filled | image.dead
    for raw in unread.parts(rows=rows):
        part = read_image(raw, *how, dead)
        spectra = of(part, pixel_shifts(part, whole, *aligned, pre.align_by))
        images = images or spectra.images
        yield replace(spectra, images=images)


def some_pixels(image: SeriesImage, shift: Tensor, n: int, seed: int) -> tuple[SeriesImage, Tensor]:
    """A seeded choice of n pixels of an image, and their shifts; all where there are no more."""
    if n >= len(shift):
        return image, shift
    rows = np.sort(np.random.default_rng(seed).choice(len(shift), n, replace=False))
    raw = image.raw
    position = rows if raw.position is None else raw.position[rows]
    raw = replace(raw, counts=raw.counts[rows], position=position)
    return replace(image, counts=image.counts[rows], raw=raw), shift[rows]

"""Which images of a series show the same places: measured, or as given."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eels_bayes import validation
from eels_bayes.arrays import Floats
from eels_bayes.data.given_signals import in_shape
from eels_bayes.data.spectra import Spectra
from eels_bayes.field.displacement import displacement
from eels_bayes.field.graph import NONE
from eels_bayes.field.series import Links

OTHER_SHAPE = "of another shape than the one before"
NO_PLACES = "a single spectrum"
NOT_SUPPORTED = (
    "not found again: the displacement of its total counts is one that chance gives, too"
)


class LinkedImages(NamedTuple):
    """Images of a series, in the order they stand.

    Attributes
    ----------
    links : Links
    apart : dict of int to str
        Images that are not linked to the one before them, and why.
    """

    links: Links
    apart: dict[int, str]

    @property
    def problem(self) -> str:
        """What is not linked, in words; '' if everything is."""
        if not self.apart:
            return ""
        reasons = dict.fromkeys(self.apart.values())
        found = [
            f"{', '.join(str(k) for k, why in self.apart.items() if why == reason)} ({reason})"
            for reason in reasons
        ]
        return (
            f"images not linked to the one before them: {'; '.join(found)}. There they are read as "
            "with context='neighbours'; give displacement=... where it is known"
        )


def linked_images(spectra: Spectra, displacement: ArrayLike | None = None) -> LinkedImages:
    """Link each image that has pixels to the one before it.

    Parameters
    ----------
    spectra : Spectra
        Of n pixels of I images.
    displacement : (I, A) array_like, optional
        How far structures stand in each image from where they stand in the first, pixels along each
        axis, numpy order; rounded to whole ones. By default it is measured from image to image on
        the total counts, and images where it does not stand out of chance are not linked.

    Returns
    -------
    LinkedImages

    Raises
    ------
    TypeError, ValueError
        If the displacement is not finite numbers, or not one for each image and axis; or it is to
        be measured, and the spectra hold no counts.
    """
    shapes = [info.shape for info in spectra.images]
    n_axes = max((len(shape) for shape in shapes), default=0)
    given = None if displacement is None else _checked(displacement, (len(shapes), n_axes))
    before = np.full(len(shapes), NONE, dtype=np.int64)
    step, apart = np.zeros((len(shapes), n_axes), dtype=np.int64), {}
    there = np.unique(spectra.image).tolist()
    for first, second in pairwise(there):
        if shapes[first] != shapes[second]:
            apart[second] = OTHER_SHAPE
        elif not shapes[first]:
            apart[second] = NO_PLACES
        elif given is not None:
            before[second], step[second] = first, given[second] - given[first]
        else:
            moved = _measured(spectra, first, second)
            if moved is None:
                apart[second] = NOT_SUPPORTED
            else:
                before[second], step[second, -len(moved) :] = first, moved
    return LinkedImages(Links(before, step), apart)


def _measured(spectra: Spectra, first: int, second: int) -> NDArray[np.int64] | None:
    """Pixels that structures moved between two images; None where chance gives as much."""
    found = displacement(_brightness(spectra, first), _brightness(spectra, second))
    return found.step if found.supported else None


def _brightness(spectra: Spectra, image: int) -> Floats:
    """Log of an image's total counts, NaN where a pixel is flagged or not there."""
    rows = np.flatnonzero((spectra.image == image) & spectra.ok)
    if not spectra.has_counts:
        raise ValueError(
            "how far structures moved is measured by counts, which these spectra do not hold; make "
            "them with counts=True, or give displacement"
        )
    total = spectra.counts[rows].sum(1, dtype=np.float64)
    log = np.full(len(rows), np.nan)
    np.log(total, out=log, where=total > 0)
    brightness: Floats = in_shape(log, spectra.position[rows], spectra.images[image].shape)
    return brightness


def _checked(displacement: ArrayLike, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Given displacements, in whole pixels."""
    given = validation.numbers("displacement", displacement)
    if given.shape != shape:
        raise ValueError(
            f"displacement has shape {given.shape}; {shape} is needed: images and their axes"
        )
    if not np.isfinite(given).all():
        raise ValueError("displacement is not finite everywhere; leave it out to have it measured")
    return np.rint(given).astype(np.int64)

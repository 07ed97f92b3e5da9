"""Repeated measurements of the same pixels, joined as if their counts had been summed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eels_bayes.data.spectra import Spectra, check_alike


def combine(frames: Sequence[Spectra]) -> Spectra:
    """Spectra of pixels that were measured several times, as if their counts had been summed.

    Everything that is linear in the counts is averaged with the frames' own norms as weights, and
    variances follow. Continuum, thickness and edge of a pixel are the same in every frame, so that
    only spectra can be combined, never posteriors: their product would count what the frames share
    more than once. Compared with the sum of the raw counts, each frame has its own drift removed.
    These frames repeat one measurement; the frames of a stack (`Preprocessor`) are images of a
    series, which may change from one to the next.

    Parameters
    ----------
    frames : sequence of Spectra
        Of the same n pixels in the same order, by one preprocessor. A pixel that is flagged in a
        frame is left out of it, and is flagged in the result where it is in all of them.

    Returns
    -------
    Spectra
        Of the n pixels.

    Raises
    ------
    ValueError
        If there is none, or pixels or axes differ.

    Examples
    --------
    >>> import numpy as np
    >>> from exspy.signals import EELSSpectrum
    >>> import eels_bayes as eb
    >>> energy = 600 + 0.5 * np.arange(400)
    >>> signal = EELSSpectrum(np.tile(2000 * (energy / 600) ** -3.0, (2, 3, 1)))
    >>> axis = signal.axes_manager[-1]
    >>> axis.offset, axis.scale, axis.units = 600.0, 0.5, "eV"
    >>> pre = eb.Preprocessor((677, 737), background=(610, 675))
    >>> frames = [pre(signal), pre(signal)]
    >>> both = eb.combine(frames)
    >>> len(both), round(float((both.sd / frames[0].sd).mean() ** -2), 3)
    (6, 2.0)
    """
    frames = list(frames)
    check_alike("frames", frames)
    first = frames[0]
    _check_same_pixels(frames)
    usable = np.array([frame.ok for frame in frames])
    norm = np.where(usable, [frame.norm for frame in frames], 0.0)
    total = norm.sum(0)
    any_usable = usable.any(0)
    share = norm / np.where(any_usable, total, 1.0)

    def mean(name: str, power: int = 1) -> NDArray[Any]:
        """Weighted mean over frames; with power 2 the variance of such a mean."""
        rows = np.array([getattr(frame, name) for frame in frames], dtype=np.float64)
        weight = (share**power).reshape(*share.shape, *[1] * (rows.ndim - 2))
        weighted = np.where(weight > 0, weight * np.nan_to_num(rows), 0.0).sum(0)
        weighted[~any_usable] = np.nan
        return weighted.astype(np.float32)

    variance = np.array([frame.sd for frame in frames], dtype=np.float64) ** 2
    variance = np.where(usable[:, :, None], share[:, :, None] ** 2 * variance, 0.0).sum(0)
    variance[~any_usable] = np.nan
    spike = np.where(usable, [frame.spike for frame in frames], -np.inf).max(0)
    counts = np.array([frame.counts for frame in frames])
    flag = np.bitwise_or.reduce([frame.flag for frame in frames])
    return replace(
        first,
        intensity=mean("intensity"),
        sd=np.sqrt(variance).astype(np.float32),
        background=mean("background"),
        profile=mean("profile"),
        level=mean("level", 2),
        spike=np.where(any_usable, spike, np.nan).astype(np.float32),
        norm=np.where(any_usable, total, first.norm).astype(np.float32),
        shift=mean("shift"),
        counts=np.where(usable[:, :, None], counts, 0.0).sum(0).astype(np.float32),
        gain=np.where(any_usable, mean("gain"), first.gain).astype(np.float32),
        flag=np.where(any_usable, 0, flag),
    )


def _check_same_pixels(frames: Sequence[Spectra]) -> None:
    """Raise ValueError unless every frame holds the first one's pixels, in its order."""
    first = frames[0]
    for k, frame in enumerate(frames):
        if not (
            np.array_equal(frame.position, first.position)
            and np.array_equal(frame.image, first.image)
        ):
            raise ValueError(
                f"frames[{k}] holds other pixels than frames[0]; give the same in the same order"
            )

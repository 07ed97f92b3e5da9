"""Dual EELS: core loss and low loss of the same pixels from files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from eels_bayes.data.hyperspy_io import is_low_loss, load_all

if TYPE_CHECKING:
    from exspy.signals import EELSSpectrum


class DualEELS(NamedTuple):
    """Core loss and low loss of the same pixels, in matching order.

    Attributes
    ----------
    core_loss : list of EELSSpectrum
    low_loss : list of EELSSpectrum
        As many, the energy axis of each with the zero-loss peak on it.
    """

    core_loss: list[EELSSpectrum]
    low_loss: list[EELSSpectrum]


def load_dual(
    path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    lazy: bool = False,
    **reader: Any,
) -> DualEELS:
    """Read files that hold low-loss and core-loss spectra of the same pixels.

    A low loss is what has 0 eV inside its energy axis. The first core loss belongs to the first
    low loss, and so on, whether a file holds both or each has files of its own.

    Parameters
    ----------
    path, lazy, **reader
        As for `load`.

    Returns
    -------
    DualEELS

    Raises
    ------
    ValueError
        As by `load`; or core losses and low losses are not as many, or a pair of them does not
        have the same pixels.

    Warns
    -----
    UserWarning
        As by `load`, except that no low loss is left out.
    """
    signals = load_all(path, lazy=lazy, **reader)
    low_loss = [signal for signal in signals if is_low_loss(signal)]
    core_loss = [signal for signal in signals if not is_low_loss(signal)]
    if len(low_loss) != len(core_loss):
        raise ValueError(
            f"path holds {len(core_loss)} core-loss and {len(low_loss)} low-loss signals (with "
            "0 eV inside their energy axis); one of each is needed for the same pixels"
        )
    for index, (core, low) in enumerate(zip(core_loss, low_loss, strict=True)):
        pixels, others = (one.axes_manager.navigation_shape for one in (core, low))
        if pixels != others:
            raise ValueError(
                f"core loss {index} ({core.metadata.General.title!r}) has pixels {pixels}, but "
                f"low loss {index} ({low.metadata.General.title!r}) has {others}; give pairs of "
                "the same pixels in the same order"
            )
    return DualEELS(core_loss, low_loss)

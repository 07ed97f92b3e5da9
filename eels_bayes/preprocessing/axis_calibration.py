"""Energy axes that stand some eV off, set by an edge whose energy is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from eels_bayes import validation
from eels_bayes.data.hyperspy_io import energy_axis
from eels_bayes.data.tabulated_edges import SEARCH, ZERO_LOSS, tabulated_onset
from eels_bayes.preprocessing.edge_position import edge_position
from eels_bayes.preprocessing.images import as_list
from eels_bayes.preprocessing.series_sum import summed_spectrum
from eels_bayes.preprocessing.windows import centers

LEAST_SEARCH = 8  # channels on either side of a tabulated energy
RECORD = "eels_bayes.axis_calibration"  # in the metadata


def calibrate_axis(
    signal: Any,
    *,
    edge: str | Sequence[float],
    energy: float | None = None,
    feature: str = "onset",
) -> Any:
    """Move the energy axis such that an edge stands at its energy.

    Parameters
    ----------
    signal : EELSSpectrum or list of them
        Not changed. The edge is looked for in the mean of all spectra, and all axes are moved by
        the same: drift between images is removed by `Preprocessor`.
    edge : str or (low, high)
        The name of an edge in exSpy's tables, such as "F_K" or "Mn_L3", which is looked for
        within 20 eV of its energy there; "zero loss", within 20 eV of zero; or where an edge
        lies on the axis as it is, eV.
    energy : float, optional
        Where the edge shall stand, eV; by default where exSpy's tables have its onset. A window,
        and a maximum, need it.
    feature : {"onset", "maximum"}
        What shall stand there. The onset is the inflection point of the first steep rise (at
        least half as steep as the steepest), after a power law through the 30 eV before has been
        subtracted; the maximum is the top of the highest peak, such as a white line. Both lie
        between channels, by a parabola. Of the zero-loss peak it is the centre of a Gaussian.

    Returns
    -------
    EELSSpectrum or list of them
        As given, with the data shared and axes and metadata of their own. The metadata say in
        ``eels_bayes.axis_calibration`` by how many eV the axis was `moved`, the `sd` of that from
        the noise of the counts, and `edge`, `energy` and `feature`.

    Raises
    ------
    TypeError, ValueError
        Arguments that cannot be, an edge that is not in the tables, or none that is seen above
        the noise, or two that compete.

    Notes
    -----
    The sd is that of the noise alone. Tabulated onsets are those of one compound: chemistry moves
    an edge by an eV or more, so that a reference of the same compound is better. A preceding edge
    within 20 eV, such as V L before O K, is taken for the one that is named: give a window then.

    Examples
    --------
    A step that should stand at 532 eV:

    >>> import numpy as np
    >>> from exspy.signals import EELSSpectrum
    >>> import eels_bayes as eb
    >>> energy = 450 + 0.5 * np.arange(300)
    >>> counts = 3000 * (energy / 500) ** -3.0 * (1.2 + 0.2 * np.tanh(energy - 520.3))
    >>> signal = EELSSpectrum(counts)
    >>> axis = signal.axes_manager[-1]
    >>> axis.offset, axis.scale, axis.units = 450.0, 0.5, "eV"
    >>> moved = eb.calibrate_axis(signal, edge="O_K")
    >>> round(moved.metadata.eels_bayes.axis_calibration.moved, 1)
    11.7
    """
    signals = as_list(signal)
    axes = [energy_axis(one) for one in signals]
    step = max(axis.scale for axis in axes)
    validation.choice("feature", feature, ("onset", "maximum"))
    search, wanted, name = _asked(edge, energy, feature, step)
    axis, counts, variance = summed_spectrum(signals, axes, search)
    if isinstance(edge, str) and edge == ZERO_LOSS:
        feature = ZERO_LOSS
    found = edge_position(centers(axis), counts, variance, search, feature, name)
    record = {
        "moved": wanted - found.energy,
        "sd": found.sd,
        "edge": edge if isinstance(edge, str) else list(search),
        "energy": wanted,
        "feature": feature,
    }
    moved = [_moved(one, old.scale, record) for one, old in zip(signals, axes, strict=True)]
    return moved[0] if hasattr(signal, "axes_manager") else moved


def _asked(
    edge: Any, energy: float | None, feature: str, step: float
) -> tuple[tuple[float, float], float, str]:
    """Where to look (low, high), where the edge shall stand, eV, and what to call it."""
    if energy is not None:
        try:
            known = math.isfinite(validation.real(energy))
        except TypeError:
            known = False
        if not known:
            raise ValueError(f"energy is {energy!r}; a finite energy in eV is needed")
    if not isinstance(edge, str):
        search = validation.interval("edge", edge)
        if energy is None:
            raise ValueError(
                f"edge is the window {search}; energy= is needed, where it shall stand"
            )
        return search, float(energy), f"edge {search}"
    tabulated = 0.0 if edge == ZERO_LOSS else tabulated_onset(edge)
    if energy is None and feature == "maximum" and edge != ZERO_LOSS:
        raise ValueError(
            f"feature is 'maximum'; energy= is needed, as tables hold the onset of {edge} "
            f"({tabulated:g} eV)"
        )
    reach = max(SEARCH, LEAST_SEARCH * step)
    search = tabulated - reach, tabulated + reach
    return search, tabulated if energy is None else float(energy), edge


def _moved(signal: Any, scale: float, record: dict[str, Any]) -> Any:
    """A signal that shares its data, on an axis of its own, with what was done to it."""
    moved = signal._deepcopy_with_new_data(signal.data, copy_variance=True)
    variance = moved.get_noise_variance()
    for one in (moved, variance):
        if hasattr(one, "axes_manager"):
            axis = one.axes_manager.signal_axes[0]
            axis.offset += record["moved"] * axis.scale / scale
    for name, value in record.items():
        moved.metadata.set_item(f"{RECORD}.{name}", value)
    return moved

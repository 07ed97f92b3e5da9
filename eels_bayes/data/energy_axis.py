"""The uniform energy axis that counts, profiles and references lie on. Script-safe."""

from typing import NamedTuple

LIMIT_SLACK = 1e-3  # of a channel: rounding of axes in files, far below any shift that matters


class EnergyAxis(NamedTuple):
    """A uniform, ascending energy axis.

    TorchScript takes it as an argument of scripted functions.

    Attributes
    ----------
    offset : float
        Centre of the first channel, eV.
    scale : float
        Channel width, eV.
    n : int
        Number of channels.

    Examples
    --------
    >>> from eels_bayes.data.energy_axis import EnergyAxis
    >>> axis = EnergyAxis(offset=500.0, scale=0.5, n=540)
    >>> axis.offset + axis.scale * (axis.n - 1)  # centre of the last channel
    769.5
    """

    offset: float
    scale: float
    n: int


def limits(axis: EnergyAxis, slack: float = LIMIT_SLACK) -> tuple[float, float]:
    """Outer borders (low, high) of an axis in eV, wider by a slack at either end.

    Parameters
    ----------
    axis : EnergyAxis
    slack : float
        In channels.
    """
    wider = slack * axis.scale
    low = axis.offset - 0.5 * axis.scale - wider
    high = axis.offset + (axis.n - 0.5) * axis.scale + wider
    return low, high


def common_limits(first: EnergyAxis, second: EnergyAxis) -> tuple[float, float]:
    """Outer borders (low, high) of two axes together, eV."""
    low, high = limits(first, 0.0)
    other_low, other_high = limits(second, 0.0)
    return min(low, other_low), max(high, other_high)

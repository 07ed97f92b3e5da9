"""The options of a preprocessor, checked, and as files hold them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from eels_bayes import validation
from eels_bayes.data.detector_noise import Noise, given_noise
from eels_bayes.data.unread_images import Frames

Interval = tuple[float, float]

UNIT = 0.035  # of the mean in the normalize window: makes the paper's highest edges about 1
POSITIONAL = ("window", "dispersion", "background", "normalize", "align")
NAMED = ("align_by", "align_to", "background_model", "unit", "noise", "frames")
NOISES = ("auto", "measured", "metadata")


class Options(NamedTuple):
    """The arguments of `Preprocessor`, checked; units as there."""

    window: Interval
    dispersion: float | None
    background: Interval | None
    normalize: Interval | None
    align: Interval | None
    align_by: str
    align_to: float | None
    background_model: str
    unit: float
    noise: str | Noise
    frames: Frames

    def as_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in self._asdict().items()
        }


def check_options(
    windows: tuple[
        Sequence[float],
        float | None,
        Sequence[float] | None,
        Sequence[float] | None,
        Sequence[float] | None,
    ],
    named: tuple[str, float | None, str, float, str | Sequence[float], str | Sequence[str] | None],
) -> Options:
    """Options that can be.

    Parameters
    ----------
    windows : tuple
        What `POSITIONAL` names.
    named : tuple
        What `NAMED` names.

    Raises
    ------
    TypeError, ValueError
        Windows, names or numbers that cannot be.
    """
    window, dispersion, background, normalize, align = windows
    align_by, align_to, background_model, unit, noise, frames = named
    options = Options(
        validation.interval("window", window),
        None if dispersion is None else validation.positive("dispersion", dispersion, "eV"),
        _optional("background", background),
        _optional("normalize", normalize),
        _optional("align", align),
        validation.choice("align_by", align_by, ("image", "row", "pixel")),
        None if align_to is None else validation.positive("align_to", align_to, "eV"),
        validation.choice("background_model", background_model, ("shrunk", "power_law")),
        validation.positive("unit", unit),
        _noise(noise),
        _frames(frames),
    )
    peak, edge = options.align_to, options.align
    if peak is not None and (edge is None or not edge[0] <= peak <= edge[1]):
        raise ValueError(
            f"align_to is {peak:g} eV and align is {edge}; align_to needs "
            "an align window that contains it"
        )
    if options.background is not None and options.background[1] > options.window[1]:
        raise ValueError(
            f"background is {options.background} and window is {options.window}; the background is "
            "fitted before the edge: it must end before the window does"
        )
    return options


def arguments(options: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Positional and named arguments of a `Preprocessor` from what `Options.as_json` gave.

    Raises
    ------
    ValueError
        Options are missing, or others given.
    """
    missing = [name for name in (*POSITIONAL, *NAMED) if name not in options]
    if missing or len(options) != len(POSITIONAL) + len(NAMED):
        raise ValueError(
            f"options holds {sorted(options)}; exactly {sorted((*POSITIONAL, *NAMED))} are needed"
        )
    return [options[name] for name in POSITIONAL], {name: options[name] for name in NAMED}


def _noise(noise: str | Sequence[float]) -> str | Noise:
    """Where the noise is from, or the noise itself: gain, readout and what else `Noise` holds."""
    if isinstance(noise, str):
        return validation.choice("noise", noise, NOISES)
    return given_noise(noise)


def _frames(frames: str | Sequence[str] | None) -> Frames:
    """What numbers the frames of a stack: "auto", an axis' name, several names or nothing."""
    if frames is None or isinstance(frames, str):
        return frames
    several = isinstance(frames, Sequence) and len(frames) > 0
    if not several or not all(isinstance(name, str) for name in frames):
        raise TypeError(
            f"frames is {frames!r}; give 'auto', the name of a navigation axis or several of "
            "them, or None"
        )
    return tuple(frames)


def _optional(name: str, value: Sequence[float] | None) -> Interval | None:
    """A window in eV, checked, where there is one."""
    return None if value is None else validation.interval(name, value)

"""Spectra as HyperSpy signals and as an xarray Dataset; both are imported when needed."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from eels_bayes.data.flags import REASONS
from eels_bayes.data.given_signals import given_signals, outer_coordinates
from eels_bayes.quiet_imports import import_quietly

if TYPE_CHECKING:
    import xarray
    from exspy.signals import EELSSpectrum


def to_signals(spectra: Any) -> list[EELSSpectrum]:
    """One signal of edge spectra per signal given; see `Spectra.to_signals`."""
    import_quietly("exspy.signals")
    from exspy.signals import EELSSpectrum

    step = float(spectra.energy[1] - spectra.energy[0]) if len(spectra.energy) > 1 else 1.0
    energy_axis = {
        "name": "Energy loss",
        "units": "eV",
        "size": len(spectra.energy),
        "offset": float(spectra.energy[0]),
        "scale": step,
        "navigate": False,
    }
    signals = []
    for given in given_signals(spectra.images, spectra.image, spectra.position):
        axes = [copy.deepcopy(axis) for axis in given.whole.axes] + [dict(energy_axis)]
        metadata = copy.deepcopy(given.whole.metadata)
        # That of the counts: HyperSpy would weight a fit of the edge spectra by it.
        metadata.get("Signal", {}).pop("Noise_properties", None)
        signal = EELSSpectrum(given.filled(spectra.intensity), axes=axes, metadata=metadata)
        signal.metadata.add_dictionary({"eels_bayes": {"quantity": "edge spectrum"}})
        options = getattr(spectra.preprocessor, "options", None)
        if callable(options):
            signal.metadata.add_dictionary({"eels_bayes": {"preprocessor": options()}})
        signals.append(signal)
    return signals


def to_xarray(spectra: Any) -> xarray.Dataset:
    """Everything per pixel; see `Spectra.to_xarray`."""
    import xarray

    unit = "counts per channel"
    variables = {
        "intensity": (("pixel", "energy"), spectra.intensity, {"units": "norm"}),
        "sd": (("pixel", "energy"), spectra.sd, {"units": "norm"}),
        "profile": (("pixel", "bin"), spectra.profile, {"units": "norm"}),
        "background": ("pixel", spectra.background[:, 0], {"units": "norm"}),
        "exponent": ("pixel", spectra.background[:, 1], {"units": ""}),
        "level": ("pixel", spectra.level, {"units": "norm"}),
        "spike": ("pixel", spectra.spike, {"units": "sd"}),
        "norm": ("pixel", spectra.norm, {"units": unit}),
        "shift": ("pixel", spectra.shift, {"units": "eV"}),
        "gain": ("pixel", spectra.gain, {"units": "counts"}),
        "flag": ("pixel", spectra.flag, {"reasons": str(REASONS)}),
    }
    coords = {
        "energy": ("energy", spectra.energy, {"units": "eV"}),
        "bin": ("bin", spectra.profile_energy, {"units": "eV"}),
        "image": ("pixel", spectra.image),
        "position": ("pixel", spectra.position),
    }
    places, taken = (spectra.images, spectra.image, spectra.position), {*variables, *coords}
    return xarray.Dataset(variables, coords=coords | outer_coordinates(*places, taken=taken))

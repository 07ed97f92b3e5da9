"""The random process of a series: every hyperparameter of it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from eels_bayes import validation
from eels_bayes.arrays import Floats

IntensityLaw = Literal["normal", "lognormal"]


@dataclass(frozen=True)
class Process:
    """The random process of a series: every hyperparameter of it, and the defects.

    "Image" quantities are drawn once an image, "pixel" quantities independently for each pixel on
    top; all are Gaussian unless said otherwise. The defects are off by default.

    Parameters
    ----------
    total : float
        Electrons a channel at 685 eV for unit dose and thickness.
    unit : float
        Electrons a channel that make 1.0 of a fingerprint's intensity, for unit dose and thickness.
    thickness_image : float
        Standard deviation of the log thickness of an image, uniform around a mean thickness of 1.
    thickness_pixel : float
        Standard deviation of the log thickness within an image, a smooth field.
    amplitude_image, amplitude_pixel : float
        Relative standard deviations of the background's amplitude B.
    exponent, exponent_image, exponent_pixel : float
        Mean and standard deviations of the background's exponent r.
    misfit : float
        Factor on `misfit_sd`.
    misfit_sd, misfit_length : float
        Relative standard deviation and correlation length (eV) of the smooth Gaussian random curve
        by which each pixel's background leaves the power law: covariance (misfit misfit_sd)^2
        exp(-(E - E')^2 / (2 length^2)).
    edge_jitter : float
        Relative standard deviation of each of the edges Ti L, O K, Cr L in each pixel.
    intensity_jitter : float
        Relative standard deviation eps of the fingerprint's intensity in each pixel.
    residual_mean, residual_sd : float
        Mean and standard deviation of the gamma-distributed intensity rho of the library's nuisance
        shapes (their sum), which every pixel carries.
    intensity_law : {"normal", "lognormal"}
        Distribution of edges' intensities: "lognormal" are those of the three edges, of the
        fingerprint and of the nuisance shapes, with the means and standard deviations above.
    drift_image, drift_row : float
        Standard deviations of the energy drift of an image and of each of its rows, eV.
    field_length : float
        Correlation length of the smooth fields of composition, thickness and unknown patches,
        pixels.
    composition_sd, composition_image : float
        Standard deviations of the composition within an image and between images of one
        temperature, in steps from one class to the next.
    mixture : float
        Width of the ramp from one class to the next, in the same steps, 0 to 1. Pixels on a ramp
        are mixtures of two neighbouring classes: about 10 % of all by default, none for 0.
    fixed_pattern : float
        Relative standard deviation of the detector's gain from channel to channel, the same in all
        images.
    dead_channels : int
        Number of channels that count nothing.
    spikes : float
        Fraction of pixels hit by a cosmic ray: 200 to 5000 electrons (log-uniform) in 1 to 3
        channels.
    unknown : float
        Fraction of pixels, in patches, of a structure that is not in the library: the edge of the
        brightest class moved by 3 eV and split by 4 eV.
    energy_offset : float
        Energy by which edges of the experiment lie above the library's, eV.
    broadening : float
        Sigma of the Gaussian that broadens the experiment's edges beyond the library's, eV.
    gain : float
        Counts an electron. Electrons are Poisson distributed, so that the variance of the counts is
        gain times their mean; the signals' metadata say so.

    Raises
    ------
    ValueError
        Where a number is negative, not finite, or a fraction above 1.
    """

    total: float = 550.0
    unit: float = 29.0
    thickness_image: float = 0.27
    thickness_pixel: float = 0.05
    amplitude_image: float = 0.02
    amplitude_pixel: float = 0.02
    exponent: float = 1.8
    exponent_image: float = 0.05
    exponent_pixel: float = 0.03
    misfit: float = 1.0
    misfit_sd: float = 0.002
    misfit_length: float = 25.0
    edge_jitter: float = 0.03
    intensity_jitter: float = 0.06
    residual_mean: float = 0.25
    residual_sd: float = 0.08
    intensity_law: IntensityLaw = "normal"
    drift_image: float = 1.2
    drift_row: float = 0.05
    field_length: float = 5.0
    composition_sd: float = 0.6
    composition_image: float = 0.2
    mixture: float = 0.14
    fixed_pattern: float = 0.0
    dead_channels: int = 0
    spikes: float = 0.0
    unknown: float = 0.0
    energy_offset: float = 0.0
    broadening: float = 0.0
    gain: float = 1.0

    def __post_init__(self) -> None:
        if self.intensity_law not in get_args(IntensityLaw):
            raise ValueError(
                f"Process.intensity_law is {self.intensity_law!r}; give 'normal' or 'lognormal'"
            )
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if item.name == "intensity_law":
                continue
            try:
                validation.real(value)
            except TypeError:
                raise TypeError(
                    f"Process.{item.name} is {value!r}; give a finite number >= 0"
                ) from None
            if not math.isfinite(value) or (value < 0 and item.name != "energy_offset"):
                raise ValueError(f"Process.{item.name} is {value!r}; give a finite number >= 0")
        for name in ("total", "unit", "misfit_length", "field_length", "gain"):
            if getattr(self, name) == 0:
                raise ValueError(f"Process.{name} is 0; give a positive number")
        for name in ("mixture", "spikes", "unknown"):
            if getattr(self, name) > 1:
                raise ValueError(
                    f"Process.{name} is {getattr(self, name)!r}; give a number from 0 to 1"
                )
        if self.residual_sd > 0 and self.residual_mean == 0:
            raise ValueError(
                "Process.residual_mean is 0; give a positive mean, or residual_sd=0 as well"
            )
        if int(self.dead_channels) != self.dead_channels:
            raise ValueError(
                f"Process.dead_channels is {self.dead_channels!r}; give a whole number"
            )

    def relative_intensities(self, normal: Floats, sd: float) -> Floats:
        """Intensities of mean 1 and standard deviation ``sd`` from standard normal numbers.

        Parameters
        ----------
        normal : (...) array
        sd : float

        Returns
        -------
        (...) array
        """
        if self.intensity_law == "normal":
            return 1 + sd * normal
        log_var = math.log1p(sd**2)
        return np.exp(math.sqrt(log_var) * normal - log_var / 2)

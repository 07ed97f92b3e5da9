"""What a fit says of itself: numbers, what is bad about them, and how they are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eels_bayes.arrays import Array
from eels_bayes.data.detector_noise import Noise
from eels_bayes.forward_model.rivals import Exchange, Rival
from eels_bayes.forward_model.window_fit import WindowFit
from eels_bayes.plots.fit_figure import fit_overview
from eels_bayes.preprocessing.inspection import in_words
from eels_bayes.word_tables import aligned, html_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NO_PIXEL = 0.5  # pixels, by their probabilities: less is none
LACKING = "no fingerprint's"  # name of pixels that look alike and like no class
LAST = 10  # iterations whose gain is told
UNKNOWN = 10.0  # of the library's factor, or eV: an error of more is what was set beforehand
FINE = 0.01  # error below which a third decimal says something
HEADER = ("class", "pixels", "chi-square", "largest mean residual (sd of a pixel)")


@dataclass(frozen=True, eq=False, repr=False)
class FitReport(WindowFit):
    """What a fit says of itself; printed, it is all of it in words, the bad marked by "!".

    Attributes
    ----------
    n_pixels : int
        Pixels that were looked at, here and below.
    dim : float
        Share of the usable pixels that were left out here and of the fit, as they have less than a
        tenth of the counts that bright ones of their image have.
    brightness : float
        Sd of the logarithm of these pixels' counts before the window, in the unit of their
        intensities, beyond the noise.
    library_error : (3,) array
        Standard errors of the library's factor (relative), shift and broadening (eV), by what these
        pixels show of them and of the misfit that may stand for them.
    energy : (W,) array
        Centres of the profile's bins in the window, eV.
    chi_square, chi_square_error : float
        Square of what the posterior mean leaves in these bins over what it should leave, and the
        standard error of this; 1 where noise, continuum and library are right.
    class_pixels : (K + F,) array
        Pixels that each class dominates, by their probabilities; then those of each of F structures
        that the library lacks.
    share_error : (K + F,) array
        Standard error of their shares of the pixels: larger than that of labelled pixels by what
        single pixels leave open.
    class_chi_square, class_chi_square_error : (K + F,) arrays
        The chi-square of these pixels.
    edge_scatter, edge_scatter_error : (K + F,) arrays
        Variance among these pixels of how much they show of their edge, over what the model
        expects, and its standard error: well above 1 where one class stands for several.
    residual, band : (K + F, W) arrays
        Mean residual of these pixels and its standard error, in sd of one pixel's noise.
    edge, edge_fit : (K + F, W) arrays
        Their mean spectrum less the continuum, and what the model makes of it; edge units.
    fingerprint : (K + F, W) array
        The library as the experiment shows it, and what was learned of what it lacks; edge units.
    class_names : tuple of str
        The K classes of the library.
    n_fitted : int
        Pixels that the model was fitted to.
    noise : Noise
        Of the counts, as it is believed (of most images).
    noise_source : str
        Who says so.
    gain, gain_sd : float
        Measured over simulated intensity, and its relative sd among pixels.
    shift, shift_sd : float
        By which edges lie above the library's, eV, and its sd among pixels.
    broadening, broadening_sd : float
        Sigma of a Gaussian that all edges are broadened with, eV, and the scale of the half-normal
        distribution of each pixel's own.
    misfit, class_misfit : float and (K,) array
        By which a pixel's edge differs from its class's, and each class's from its fingerprints,
        relative to the edge's local intensity; smooth, and beyond the above.
    converged : bool
        Whether the fit ended because nothing more was to be gained.
    normalized : bool
        Whether a window of `Preprocessor` made the unit of each pixel's intensities.
    begun_again : bool
        Whether the fit is one from another factor of the library than the first, which had left a
        class whose pixels differ by more than those of one do.
    log_likelihood : (I,) array
        Of each iteration, nats a pixel.
    held_out : str
        Whether pixels of the fit that its VAE has not seen embed as the rest, in words.
    rivals : tuple of Rival
        Where next to all pixels are of one class: how well each of the K classes explains what
        they show, if the library stood elsewhere.
    pair_weights : (K, K) array
        Weight of the fit's pixels that mix two classes, upper triangle, and of pure ones, diagonal;
        0 in a report of others.
    exchange : Exchange or None
        Which classes would explain best what is read as others, where fingerprints do not explain
        what is read as theirs.
    problems : tuple of str
        What is bad, the worst first, and what would help.
    notes : tuple of str
        What is not bad by itself, but worth knowing.
    """

    class_names: tuple[str, ...]
    n_fitted: int
    noise: Noise
    noise_source: str
    gain: float
    gain_sd: float
    shift: float
    shift_sd: float
    broadening: float
    broadening_sd: float
    misfit: float
    class_misfit: Array
    converged: bool
    normalized: bool
    begun_again: bool
    log_likelihood: Array
    held_out: str
    pair_weights: Array
    rivals: tuple[Rival, ...] = ()
    exchange: Exchange | None = None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is bad.

        Returns
        -------
        bool
        """
        return not self.problems

    @property
    def last_gain(self) -> float:
        """What the last ten iterations gained, or as many as there are: nats a pixel.

        Returns
        -------
        float
        """
        course = self.log_likelihood
        before = course[:-LAST] if len(course) > LAST else course[:1]
        return float(course.max() - before.max())

    @property
    def foreign_names(self) -> tuple[str, ...]:
        """What the structures that the library lacks are called here.

        Returns
        -------
        tuple of str
        """
        n = len(self.class_pixels) - len(self.class_names)
        return (LACKING,) if n == 1 else tuple(f"{LACKING} ({i + 1})" for i in range(n))

    @property
    def row_names(self) -> tuple[str, ...]:
        """Names of the classes, and of what the library lacks.

        Returns
        -------
        tuple of str
        """
        return (*self.class_names, *self.foreign_names)

    @property
    def empty(self) -> tuple[str, ...]:
        """Classes that no pixel takes.

        Returns
        -------
        tuple of str
        """
        return tuple(
            name
            for name, n in zip(self.class_names, self.class_pixels, strict=False)
            if n < NO_PIXEL
        )

    def rows(self) -> list[tuple[str, str]]:
        """Name and value of each number that is not of a class, in words.

        Returns
        -------
        list of (str, str)
        """
        n_iterations = len(self.log_likelihood)
        end = "yes" if self.converged else "no"
        others = self.n_fitted != self.n_pixels
        of_gain, of_shift, of_broadening = self.library_error
        of_fit = f" looked at; the fit was to {self.n_fitted}" if others else ""
        return [
            ("pixels", f"{self.n_pixels}{of_fit}"),
            ("noise", f"{in_words(self.noise)} ({self.noise_source})"),
            (
                "library factor",
                f"{self.gain:.3g}{_error(of_gain, self.gain)}, sd among pixels "
                f"{100 * self.gain_sd:.2g} %",
            ),
            (
                "library shift",
                f"{self.shift:+.2f}{_error(of_shift)} eV, sd among pixels {self.shift_sd:.2g} eV",
            ),
            (
                "broadening",
                f"{self.broadening:.2f}{_error(of_broadening)} eV, sd among pixels "
                f"{self.broadening_sd:.2g} eV",
            ),
            (
                "misfit",
                f"shapes are off by {100 * self.class_misfit.max():.2g} % of the local intensity "
                f"at most, from pixel to pixel by {100 * self.misfit:.2g} %",
            ),
            (
                "converged",
                f"{end}, after {n_iterations} iterations; the last {min(LAST, n_iterations)} "
                f"gained {self.last_gain:.2g} nats a pixel",
            ),
            (
                "chi-square",
                f"{_with_error(self.chi_square, self.chi_square_error)} a channel of the window; "
                "1 where all is right",
            ),
            ("held out", self.held_out),
        ]

    def class_rows(self) -> list[tuple[str, ...]]:
        """Of each class, and of what the library lacks, in words.

        Name, pixels, chi-square and the largest mean residual.

        Returns
        -------
        list of tuple of str
        """
        rows: list[tuple[str, ...]] = []
        for k, name in enumerate(self.row_names):
            share = f"{100 * self.class_share[k]:.1f} +- {100 * self.share_error[k]:.1f} %"
            pixels = f"{self.class_pixels[k]:.0f} ({share})"
            if self.class_pixels[k] < NO_PIXEL:
                rows.append((name, "none", "", ""))
                continue
            chi = _with_error(self.class_chi_square[k], self.class_chi_square_error[k])
            rows.append((name, pixels, chi, self.largest_residual(k)))
        return rows

    @property
    def class_share(self) -> Array:
        """Share of the pixels that each class dominates, and each structure that is in none.

        Returns
        -------
        (K + F,) array
        """
        return self.class_pixels / self.n_pixels

    def largest_residual(self, k: int) -> str:
        """Where the mean residual of the k-th class leaves its band most, in words.

        Parameters
        ----------
        k : int

        Returns
        -------
        str
        """
        at = int(np.argmax(np.abs(self.residual[k]) / self.band[k]))
        value = _with_error(self.residual[k, at], self.band[k, at], sign="+")
        return f"{value} at {self.energy[at]:.1f} eV"

    def __repr__(self) -> str:
        marked = [f"! {problem}" for problem in self.problems] + [f"- {it}" for it in self.notes]
        parts = [aligned(self.rows()), aligned([HEADER, *self.class_rows()])]
        return "\n\n".join([*parts, "\n".join(marked)]).rstrip()

    def _repr_html_(self) -> str:
        return html_table(
            self.rows(), [HEADER, *self.class_rows()], bad=self.problems, notes=self.notes
        )

    def plot(self) -> Figure:
        """One figure: the fit's course, chi-square, and every class's spectrum and residual.

        Returns
        -------
        matplotlib.figure.Figure
        """
        return fit_overview(
            self.log_likelihood,
            self.energy,
            self.row_names,
            chi_square=(self.chi_square, self.chi_square_error),
            class_chi_square=(self.class_chi_square, self.class_chi_square_error),
            residual=self.residual,
            band=self.band,
            edge=self.edge,
            edge_fit=self.edge_fit,
            fingerprint=self.fingerprint,
            pixels=np.where(self.class_pixels < NO_PIXEL, 0.0, self.class_pixels),
        )


def _with_error(value: float, error: float, sign: str = "-") -> str:
    """A number with its error, to digits that the error allows."""
    digits = 2 if error >= FINE else 3
    return f"{value:{sign}.{digits}f} +- {error:.{digits}f}"


def _error(error: float, unit: float = 1.0) -> str:
    """An error of where the library stands, or that pixels are too few to tell it."""
    return f" +- {unit * error:.2g}" if error < UNKNOWN else " +- (unknown)"

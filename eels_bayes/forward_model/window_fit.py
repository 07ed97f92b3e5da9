"""How well a fitted forward model describes pixels in the window, overall and class by class.

What the posterior mean leaves of a pixel has less than the noise's variance, as the mean follows a
part of the noise. Given a component with the covariance ``v 1 + A A'`` it is

    r = v^(1/2) (v 1 + A A')^-1 (y - center),    E[r r'] = v (v 1 + A A')^-1

in sd of the noise, and this expectation is what squares are compared with: a right model gives 1,
however many directions it has. Residuals of each component are weighted by its responsibility, so
that the expectation is exact by class as well, where classes are hard to tell apart. So is that of

    z = d' (v 1 + A A')^-1 (y - center) / (d' (v 1 + A A')^-1 d)^(1/2),    E[z^2] = 1

with ``d`` the class's edge: by how much, in its expected scatter, a pixel shows more of that edge
than its component has (the matched filter; Kay, Detection Theory, 1998, section 4.4). A class whose
pixels scatter more is several: of a structure that the library lacks, or of classes whose
fingerprints are of other sizes than it says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag
from scipy.special import softmax

from eels_bayes.arrays import Array
from eels_bayes.forward_model.edge_shapes import LibraryFit, mean_edges
from eels_bayes.forward_model.factor_mixture import LEAST_WEIGHT, Rotated, log_likelihood
from eels_bayes.forward_model.model import ForwardModel
from eels_bayes.forward_model.standing_error import standing_error

# Variance by which a class is several. Of fits with the right library, and with white lines of
# another origin that are read right, it was beyond by 0.18 at most; with a class missing, other
# relative intensities or fingerprints broadened by 4 eV by 0.39 to 0.72.
SCATTER = 0.25
SURELY = 4.0  # standard errors by which it must be beyond
FEW_OF_CLASS = 10.0  # pixels: fewer do not show how they scatter
ALONE = 0.8  # share of the pixels: classes with less beside them are there themselves
NO_PIXELS = 1e-9  # pixels: keeps the mean over none finite
LEAST_SHARE = 1e-6  # of a component in a pixel: less changes no sum
NO_EDGE = 1e-6  # of the strongest edge: a class with less has none
LEAST_COUNTS = 1e-6  # units of the norm: keeps the logarithm of an empty pixel finite
LEAST_BAND = 1e-9  # sd of a pixel's noise: keeps residuals over their error finite


@dataclass(frozen=True, eq=False)
class WindowFit:
    """What a forward model leaves of n pixels in the W bins of the window.

    Rows are of the K classes and of the F structures that the library lacks. Of those that next to
    no pixel takes, numbers are finite and mean nothing.

    Attributes
    ----------
    n_pixels : int
    dim : float
        Share of the pixels that were left out, as they have next to no counts.
    brightness : float
        Sd of the logarithm of these pixels' counts before the window, in the unit of their
        intensities, beyond the noise.
    library_error : (3,) array
        Standard errors of the library's factor (relative), shift and broadening (eV).
    energy : (W,) array
        Centres of the bins, eV.
    chi_square, chi_square_error : float
        Square of the residual over its expectation, 1 where all is right, and its standard error.
    class_pixels : (K + F,) array
        Pixels that each class dominates, by their probabilities.
    share_error : (K + F,) array
        Standard error of the share of the pixels that each class dominates: larger than that of
        labelled pixels by what single pixels leave open.
    class_chi_square, class_chi_square_error : (K + F,) arrays
        The same of these pixels.
    edge_scatter, edge_scatter_error : (K + F,) arrays
        Variance among these pixels of how much they show of their edge, over what is expected, and
        its standard error. Of a class without an edge: of the strongest one's.
    residual, band : (K + F, W) arrays
        Mean residual of these pixels and its standard error, both in sd of a pixel's noise.
    edge, edge_fit : (K + F, W) arrays
        Mean of these pixels less the continuum that is believed beneath each, and what the model
        makes of it, mixtures included; edge units.
    fingerprint : (K + F, W) array
        What the library shows in this experiment, or is learned of what it lacks; edge units.
    """

    n_pixels: int
    dim: float
    brightness: float
    library_error: Array
    energy: Array
    chi_square: float
    chi_square_error: float
    class_pixels: Array
    share_error: Array
    class_chi_square: Array
    class_chi_square_error: Array
    edge_scatter: Array
    edge_scatter_error: Array
    residual: Array
    band: Array
    edge: Array
    edge_fit: Array
    fingerprint: Array

    @property
    def several(self) -> NDArray[np.bool_]:
        """Which rows' pixels surely differ by more than those of one class do.

        Returns
        -------
        (K + F,) array of bool
        """
        beyond = np.maximum(SCATTER, SURELY * self.edge_scatter_error)
        found: NDArray[np.bool_] = self.edge_scatter - 1.0 > beyond
        return found & (self.class_pixels >= FEW_OF_CLASS)

    def only_class(self, n_classes: int) -> int | None:
        """Which of the library's K classes next to all pixels are of, if there is one.

        Pixels that hardly show the edge of their class, as of a substrate beside a film, tell
        nothing of where the library stands: they count for what they show of it.

        Parameters
        ----------
        n_classes : int
            K.

        Returns
        -------
        int or None
        """
        edge, fingerprint = self.edge[:n_classes], self.fingerprint[:n_classes]
        norm = (fingerprint**2).sum(1)
        shown = np.divide((edge * fingerprint).sum(1), norm, out=np.ones(n_classes), where=norm > 0)
        pixels = self.class_pixels[:n_classes] * np.clip(shown, 0.0, 1.0)
        most = int(np.argmax(pixels))
        return most if pixels[most] > ALONE * pixels.sum() else None


def window_fit(
    model: ForwardModel, profile: Array, level: Array, dim: float = 0.0, *, errors: bool = True
) -> WindowFit:
    """Compare pixels with a forward model.

    Parameters
    ----------
    model : ForwardModel
    profile : (n, B) array
        As in `Spectra`; of usable pixels.
    level : (n,) array
        As in `Spectra`.
    dim : float
        Share of the pixels that were left out, as they have next to no counts.
    errors : bool
        Whether to find the library's standard errors, which takes half of the time; else NaN.

    Returns
    -------
    WindowFit
    """
    energy, white, inside = model.continuum.energy, model.white, model.continuum.inside
    target, noise = model.whiten(profile, level)
    foreign = model.foreign
    parts, share = _shares(model, target, noise)
    dominance = block_diag(model.dominance(), np.eye(len(foreign)))
    n, n_classes = len(target), dominance.shape[1]
    squares, expected, scores = np.zeros((3, n, n_classes))
    residual, variance, edge, off = np.zeros((4, n_classes, int(inside.sum())))
    columns = model.continuum.columns(energy, model.library)[inside]
    root = np.linalg.cholesky(model.covariance)
    fingerprint = np.concatenate(
        [mean_edges(energy, model.library, LibraryFit()), foreign.edges(model.along)]
    )
    along = _directions(fingerprint * white)
    for k in range(n_classes):
        of_class = np.zeros((n, len(residual[k])))
        for c in np.flatnonzero(dominance[:, k]):
            here = np.flatnonzero(share[:, c] > LEAST_SHARE)
            part, gamma, pixels = parts[c], share[here, c], target[here]
            _, factor, _ = log_likelihood(pixels, noise[here], part)
            left, free = _left(pixels[:, inside], noise[here], part, inside, factor)
            squares[here, k] += gamma * (left**2).sum(1)
            expected[here, k] += gamma * free.sum(1)
            scores[here, k] += gamma * _score(pixels, noise[here], part, factor, along[k]) ** 2
            of_class[here] += gamma[:, None] * left
            own = factor @ part.basis[: len(root)].T @ root.T + model.mean
            edge[k] += gamma @ (pixels[:, inside] / white[inside] - own @ columns.T)
        residual[k] = of_class.sum(0)
        variance[k] = (of_class**2).sum(0)
        off[k] = np.sqrt(noise) @ of_class / white[inside]
    probability = share @ dominance
    of_library, n_own = np.full(3, np.nan), len(parts) - len(foreign)
    if errors:
        of_library = standing_error(model, target, noise, parts[:n_own], share[:, :n_own])
    class_pixels = probability.sum(0)
    known = np.maximum(class_pixels, NO_PIXELS)[:, None]
    chi, error = _ratio(squares, expected)
    scatter, scatter_error = _ratio(scores, probability)
    total, total_error = _ratio(squares.sum(1, keepdims=True), expected.sum(1, keepdims=True))
    return WindowFit(
        n_pixels=n,
        dim=dim,
        brightness=brightness(energy, profile, level, model.continuum.window),
        library_error=of_library,
        energy=energy[inside],
        chi_square=float(total[0]),
        chi_square_error=float(total_error[0]),
        class_pixels=class_pixels,
        share_error=share_error(probability),
        class_chi_square=chi,
        class_chi_square_error=error,
        edge_scatter=scatter,
        edge_scatter_error=scatter_error,
        residual=residual / known,
        band=np.maximum(np.sqrt(variance) / known, LEAST_BAND),
        edge=edge / known,
        edge_fit=(edge - off) / known,
        fingerprint=fingerprint[:, inside],
    )


def _shares(model: ForwardModel, target: Array, noise: Array) -> tuple[list[Rotated], Array]:
    """All components, those of structures that the library lacks last, and their shares (n, C)."""
    parts = model.rotated_components() + model.rotated_foreign()
    foreign, (_, weight) = model.foreign, model.components()
    weight = np.append((1.0 - foreign.share.sum()) * weight, foreign.share)
    fits = np.stack([log_likelihood(target, noise, part)[0] for part in parts], axis=1)
    share: Array = softmax(fits + np.log(np.maximum(weight, LEAST_WEIGHT)), axis=1)
    return parts, share


def brightness(energy: Array, profile: Array, level: Array, window: tuple[float, float]) -> float:
    """Sd of the logarithm of what pixels (n, B) show before a window, beyond the noise (n,).

    As far before it as the window is wide: further off are other edges. 0 where nothing lies there.
    """
    near = (energy < window[0]) & (energy > 2.0 * window[0] - window[1])
    if not near.any():
        return 0.0
    counts = np.maximum(profile[:, near].mean(1), LEAST_COUNTS)
    noise = (level / (near.sum() * counts)).mean()
    return float(np.sqrt(max(0.0, np.log(counts).var() - noise)))


def share_error(probability: Array) -> Array:
    """Standard error of classes' shares (K,) that are means of pixels' probabilities (n, K).

    By the information that pixels have of the logarithms of the shares (Fisher's, as their scores
    scatter; McLachlan and Peel, Finite Mixture Models, Wiley, 2000, section 2.15), besides which
    these have an sd of one beforehand. Labelled pixels give ``sqrt(p (1 - p) / n)``.
    """
    share = probability.mean(0)
    score = probability - share
    information = score.T @ score + np.eye(len(share))
    to_shares = np.diag(share) - np.outer(share, share)
    covariance = to_shares @ np.linalg.solve(information, to_shares)
    return np.asarray(np.sqrt(np.maximum(np.diag(covariance), 0.0)))


def _directions(edges: Array) -> Array:
    """Edges (H, B), the strongest where there is none."""
    size = np.linalg.norm(edges, axis=1)
    none = size <= NO_EDGE * size.max()
    return np.where(none[:, None], edges[size.argmax()], edges)


def _score(target: Array, noise: Array, part: Rotated, factor: Array, direction: Array) -> Array:
    """How much (n,) pixels show along a direction (B,) beyond a component, in its expected sd.

    By Woodbury's identity, as ``A'A`` is diagonal in the component's basis; ``factor`` (n, F) is
    the posterior mean of its factors.
    """
    own = part.loadings.T @ direction
    shown = (target - part.center) @ direction - factor @ own
    expected = direction @ direction - (1.0 / (noise[:, None] + part.value)) @ own**2
    scaled: Array = shown / np.sqrt(noise * np.maximum(expected, np.finfo(float).tiny))
    return scaled


def _left(
    target: Array, noise: Array, part: Rotated, inside: Array, factor: Array
) -> tuple[Array, Array]:
    """Residuals (n, W) of a component in sd of the noise, and their expected squares (n, W)."""
    loadings = part.loadings[inside]
    left = (target - part.center[inside] - factor @ loadings.T) / np.sqrt(noise)[:, None]
    followed = (1.0 / (noise[:, None] + part.value)) @ (loadings**2).T
    return left, 1.0 - followed


def _ratio(squares: Array, expected: Array) -> tuple[Array, Array]:
    """Sum of squares (n, K) over their expectation, and its standard error: (K,) each."""
    total = np.maximum(expected.sum(0), NO_PIXELS)
    chi = squares.sum(0) / total
    scatter = ((squares - chi * expected) ** 2).sum(0)
    # few pixels do not show their scatter: that of independent normal residuals at least
    error = np.sqrt(np.maximum(scatter, 2.0 * chi**2 * total)) / total
    return chi, error

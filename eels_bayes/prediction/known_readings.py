"""A few spectra and what is said of them, which a file keeps and its reader compares with its own.

A file's numbers mean what the code makes of them. Where another version of the package or of its
libraries would make something else of them, it says so instead. The spectra are drawn from the
model's own components, two of them mixed, as noisy as tells these apart by one standard deviation:
no class is certain, and what changes the reading shows. Script-safe.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eels_bayes.data.detector_noise import Noise
from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.forward_model.pixel_posterior import PixelEvidence
from eels_bayes.prediction.pixel_reader import Reader
from eels_bayes.preprocessing.preprocessor import Preprocessor
from eels_bayes.preprocessing.windows import centers

N_ROWS = 6  # spectra at most, and one a component: chosen, not tuned
# By how much columns may differ, of 1 (a value of its own size): a hundred times what other kinds
# of processors and other numbers of threads were seen to make of it.
TOLERANCE = 1e-3
MOST_RATIO = 10.0  # of a component over the mean spectrum, and of that over it: counts stay usual
FEW, MANY = 1.0, 1e6  # counts a channel, between which the spectra's mean lies
N_VALUES = 2  # of the columns, the last ones, are in the library's unit
UNKNOWN = torch.inf  # for what a reading does not say: a file holds no NaN


def drawn_counts(
    preprocessor: Preprocessor, evidence: PixelEvidence, axis: EnergyAxis, noise: Noise
) -> Tensor:
    """Counts (n, E) on a detector's axis, float32, the same every time."""
    energy, bins = centers(axis), preprocessor.profile_axis()
    ends = bins.offset + bins.scale * np.array([-0.5, bins.n - 0.5])
    inside = (energy > ends[0]) & (energy < ends[1])
    deviation, variance = _mixtures(evidence)
    white = evidence.white.double().cpu().numpy()
    center = evidence.center.double().cpu().numpy()
    ratio = ((center + deviation / white) * white**2).clip(1.0 / MOST_RATIO, MOST_RATIO)
    mean = preprocessor.typical.double().cpu().numpy()
    mean = np.interp(energy, centers(typical_axis(preprocessor)), mean)
    # counts of a channel over those of a profile, by which its noise has the variance that it shall
    per_profile = axis.scale / preprocessor.step
    if preprocessor.normalize is not None:
        per_profile = noise.gain * axis.scale / bins.scale / max(variance, 1.0 / MANY)
    dose = np.clip(float((white**-2).mean()) * per_profile, FEW, MANY)
    mean = mean * (dose / max(float(mean[inside].mean()), 1.0 / MANY))
    wide = np.array([np.interp(energy, centers(bins), row, left=1.0, right=1.0) for row in ratio])
    counts = np.random.default_rng(0).poisson(mean * wide / noise.gain) * noise.gain
    return torch.from_numpy((counts + noise.offset).astype(np.float32))


def _mixtures(evidence: PixelEvidence) -> tuple[NDArray[np.float64], float]:
    """Whitened deviations (n, B) half-way between two components each, and a noise variance.

    At it, half of such a pair's distance is one standard deviation.
    """
    n_all, n_span = evidence.variance.shape
    axes = evidence.axes.double().view(n_span, n_all, n_span)
    along = torch.einsum("sct,ct->cs", axes, evidence.offset.double().view(n_all, n_span))
    deviations = (along @ evidence.span.double().T)[: evidence.n_known].cpu().numpy()
    others = np.roll(deviations, -1, axis=0)
    rows = np.linspace(0, len(deviations) - 1, min(N_ROWS, len(deviations))).astype(int)
    distance = ((deviations - others) ** 2).sum(1)
    return (0.5 * (deviations + others))[rows], float(np.median(distance)) / 4


def typical_axis(preprocessor: Preprocessor) -> EnergyAxis:
    """The axis of the mean spectrum that a preprocessor knows."""
    first, n_channels = float(preprocessor.typical_first), len(preprocessor.typical)
    return EnergyAxis(first, preprocessor.step, n_channels)


def columns_of(preprocessor: Preprocessor, reader: Reader, counts: Tensor) -> Tensor:
    """What is said of counts (n, E) on `typical_axis`: columns (n, K + 7) as `FastGraph` has."""
    gain, readout, _, correlation = plain_noise(preprocessor)
    axis = typical_axis(preprocessor)
    shift = torch.zeros(len(counts), dtype=torch.float32)
    with torch.no_grad():
        seen = preprocessor(counts, axis, shift, gain, readout, correlation)
        read = reader(seen.profile, seen.level, seen.spike)
    entropies = (read.total, read.aleatoric, read.encoder, read.classifier)
    rest = torch.stack((*entropies, read.novelty, read.value, read.value_sd), 1)
    return torch.cat((read.probabilities, rest), 1)


def plain_noise(preprocessor: Preprocessor) -> Noise:
    """That of most images, less the offset, which is none of spectra that are read already."""
    return preprocessor.detector_noise._replace(offset=0.0)


def as_stored(counts: Tensor, columns: Tensor) -> dict[str, Tensor]:
    """Counts and columns by their names in a file."""
    columns = columns.cpu().nan_to_num(nan=UNKNOWN, posinf=UNKNOWN, neginf=UNKNOWN)
    return {"known.counts": counts, "known.columns": columns}


def check_columns(stored: Tensor, columns: Tensor) -> None:
    """Raise ValueError unless columns (n, K + 7) are those that a file holds."""
    found = columns.nan_to_num(nan=UNKNOWN, posinf=UNKNOWN, neginf=UNKNOWN)
    if found.shape != stored.shape:
        raise ValueError(f"known.columns has shape {tuple(stored.shape)}, not {tuple(found.shape)}")
    allowed = torch.full_like(stored, TOLERANCE)
    value = stored[:, -N_VALUES:]
    size = torch.where(value.isfinite(), value.abs(), 0.0).amax(1, keepdim=True)
    allowed[:, -N_VALUES:] = TOLERANCE * size
    apart = (found - stored).abs()
    if not bool(((found == stored) | (apart <= allowed)).all()):
        most = float(apart[apart.isfinite()].max()) if bool(apart.isfinite().any()) else torch.inf
        raise ValueError(
            f"known spectra are read otherwise than where it was written, by up to {most:.2g}"
        )

"""Counts that are not raw, not of one material, or not from where the axis says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from .sample import Array, Brought, Case, Sample, changed

FITTED = (640.0, 680.0)  # eV, where the bare continuum is fitted


def right(sample: Sample) -> Brought:
    return Brought(sample.signals, sample.library)


def times(factor: float) -> Case:
    return lambda sample: changed(sample, lambda counts: factor * counts)


def plus(offset: float) -> Case:
    return lambda sample: changed(sample, lambda counts: counts + offset)


def each_by_its_maximum(sample: Sample) -> Brought:
    return changed(sample, lambda counts: counts / counts.max(-1, keepdims=True))


def principal_components(sample: Sample, rank: int = 8) -> Brought:
    def denoised(counts: Array) -> Array:
        rows = counts.reshape(-1, counts.shape[-1])
        left, size, right = np.linalg.svd(rows, full_matrices=False)
        kept: Array = (left[:, :rank] * size[:rank]) @ right[:rank]
        return kept.reshape(counts.shape)

    return changed(sample, denoised)


def smoothed_in_space(sample: Sample) -> Brought:
    return changed(sample, lambda counts: gaussian_filter(counts, (1.0, 1.0, 0.0)))


def smoothed_in_energy(sample: Sample) -> Brought:
    return changed(sample, lambda counts: gaussian_filter1d(counts, 2.0, axis=-1))


def axis_off(by: float) -> Case:
    """An axis whose offset is wrong, eV."""

    def brought(sample: Sample) -> Brought:
        signals = [signal.deepcopy() for signal in sample.signals]
        for signal in signals:
            signal.axes_manager.signal_axes[0].offset += by
        return Brought(signals, sample.library)

    return brought


def channel_gain(sd: float, width: float) -> Case:
    """A gain reference that is off, smooth over so many channels."""

    def brought(sample: Sample) -> Brought:
        noise = gaussian_filter1d(sample.rng.standard_normal(len(sample.energy)), width)
        gain = 1.0 + sd * noise / noise.std()
        return changed(sample, lambda counts: counts * gain)

    return brought


def thick(paths: float) -> Case:
    """Plural scattering by a plasmon at 25 eV, mean free paths; Poisson noise anew."""

    def brought(sample: Sample) -> Brought:
        energy = sample.energy
        n, step = len(energy), energy[1] - energy[0]
        loss = np.exp(-0.5 * ((step * np.arange(n) - 25.0) / 5.0) ** 2)
        kernel = np.exp(paths * (np.fft.rfft(loss / loss.sum(), 2 * n) - 1.0))

        def scattered(counts: Array) -> Array:
            mean = np.fft.irfft(np.fft.rfft(counts, 2 * n) * kernel, 2 * n)[..., :n]
            return sample.rng.poisson(np.maximum(mean, 0.0))

        return changed(sample, scattered)

    return brought


def iron(share: float) -> Case:
    """Fe L2,3 in the window, in this share of the pixels."""

    def brought(sample: Sample) -> Brought:
        energy = sample.energy
        lines = sum(
            size * np.exp(-0.5 * ((energy - at) / 1.5) ** 2)
            for at, size in ((708.0, 1.0), (721.0, 0.5))
        )
        lines = lines + 0.2 * np.exp(-np.maximum(energy - 708.0, 0.0) / 60.0) / (
            1.0 + np.exp(708.0 - energy)
        )
        before = (energy > 690.0) & (energy < 700.0)

        def with_iron(counts: Array) -> Array:
            there = sample.rng.random(counts.shape[:2]) < share
            size = 0.05 * counts[..., before].mean(-1) * there
            return counts + sample.rng.poisson(size[..., None] * lines)

        return changed(sample, with_iron)

    return brought


def half_without(film: float) -> Case:
    """The upper half of each image shows no material: a film that thick beside it, or nothing."""

    def brought(sample: Sample) -> Brought:
        energy = sample.energy
        fitted = (energy > FITTED[0]) & (energy < FITTED[1])

        def beside(counts: Array) -> Array:
            mean = counts.mean((0, 1))
            line = np.polyfit(np.log(energy[fitted]), np.log(mean[fitted]), 1)
            bare = film * np.exp(np.polyval(line, np.log(energy)))
            half = len(counts) // 2
            counts[:half] = sample.rng.poisson(bare, (half, *counts.shape[1:]))
            return counts

        found = changed(sample, beside)
        shape = (len(found.signals), *found.signals[0].data.shape[:2])
        names = sample.names.reshape(shape).copy()
        names[:, : shape[1] // 2] = ""
        return replace(found, names=names.ravel())

    return brought


def evenly_bright(sample: Sample) -> Brought:
    """Each pixel as if it had been measured until it has the counts of the dimmest; no unit."""
    before = sample.energy < FITTED[1]

    def stopped(counts: Array, least: float) -> Array:
        size = counts[..., before].mean(-1, keepdims=True)
        return sample.rng.binomial(counts.astype(int), np.minimum(least / size, 1.0))

    least = min(float(s.data[..., before].mean(-1).min()) for s in sample.signals)
    found = changed(sample, lambda counts: stopped(counts, least))
    return replace(found, settings={"normalize": None})


def half_saturated(sample: Sample) -> Brought:
    """A tenth of the channels stand at the detector's limit, next to the background's top."""
    return changed(sample, lambda counts: np.minimum(counts, np.quantile(counts, 0.9)))


CASES: dict[str, Case] = {
    "right": right,
    "four counts an electron": times(4.0),
    "each pixel over its maximum": each_by_its_maximum,
    "200 counts without an electron": plus(200.0),
    "8 principal components": principal_components,
    "smoothed among pixels": smoothed_in_space,
    "smoothed along energy": smoothed_in_energy,
    "axis off by -6 eV": axis_off(-6.0),
    "axis off by +12 eV": axis_off(12.0),
    "gain reference off by 2 % a channel": channel_gain(0.02, 0.5),
    "gain reference off by 1 %, smooth": channel_gain(0.01, 20.0),
    "0.5 mean free paths thick": thick(0.5),
    "0.8 mean free paths thick": thick(0.8),
    "1.5 mean free paths thick": thick(1.5),
    "Fe L2,3 in all pixels": iron(1.0),
    "Fe L2,3 in 15 % of the pixels": iron(0.15),
    "half of each image is vacuum": half_without(0.001),
    "half of each image is a thin film": half_without(0.2),
    "not normalised, evenly bright": evenly_bright,
    "saturated": half_saturated,
}

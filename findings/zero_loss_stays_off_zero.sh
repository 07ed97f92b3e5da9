#!/usr/bin/env bash
# Aligned "with subpixel accuracy" and calibrated, the zero-loss peak still lies up to half a channel off zero.
#
# exSpy's align_zero_loss_peak(subpixel=True, calibrate=True), its defaults, aligns the peaks with each other and then
# sets the offset of the axis "so that the zero-loss peak is at position zero". For that it takes the channel of the
# largest count, not the position of the peak. Where the peaks lie alike between two channels nothing is left to align,
# and they stay there, in all spectra.
#
# Eight spectra without noise, all with the same Gaussian peak of 0.4 eV (sigma), channels of 0.1 eV; centre of
# gravity of the counts within 3 eV afterwards. In the last line the peaks wander by 2 eV.
#
# exspy 0.3.2 and hyperspy 2.5.0, seen on 2026-11-28:
#
#     peak before, eV  centre afterwards, eV
#     -0.037           -0.037
#     0.000            0.000
#     0.043            0.043
#     7.263            -0.037
#     -1 to 1          0.012, one by one from -0.004 to 0.026
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    hyperspy==2.5.0 exspy==0.3.2 rosettasciio==0.15.0
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import logging
import warnings

import numpy as np

logging.disable(logging.WARNING)
warnings.simplefilter("ignore")
import exspy

STEP, SIGMA, REACH = 0.1, 0.4, 3.0
energy = STEP * np.arange(-100, 400)


def aligned(positions):
    """Centres of gravity after the alignment of peaks at `positions`, eV."""
    counts = 1e5 * np.exp(-((energy - np.asarray(positions)[:, None]) ** 2) / (2 * SIGMA**2))
    signal = exspy.signals.EELSSpectrum(counts)
    axis = signal.axes_manager.signal_axes[0]
    axis.offset, axis.scale, axis.units = energy[0], STEP, "eV"
    signal.align_zero_loss_peak(subpixel=True, print_stats=False, show_progressbar=False)
    near = np.abs(axis.axis) < REACH
    return (signal.data[:, near] * axis.axis[near]).sum(1) / signal.data[:, near].sum(1)


print("peak before, eV  centre afterwards, eV")
for before, expected in ((-0.037, -0.037), (0.0, 0.0), (0.043, 0.043), (7.263, -0.037)):
    after = aligned(np.full(8, before))
    print(f"{before:<16.3f} {after.mean():.3f}")
    np.testing.assert_allclose(after, expected, atol=1e-3, err_msg="the calibration has changed")
wandering = np.random.default_rng(3).uniform(-1.0, 1.0, 8)
after = aligned(wandering)
print(f"-1 to 1          {after.mean():.3f}, one by one from {after.min():.3f} to {after.max():.3f}")
assert np.ptp(after) < STEP
PYTHON

#!/usr/bin/env bash
# Rebinned to 1.5 channels, the stated variance is a fifth too large.
#
# HyperSpy's rebin treats the noise variance of a signal as it treats the counts: a bin of 1.5 channels gets the
# variance of one channel and half of that of the next. Half of the counts of a channel, though, have a quarter of
# its variance: the bin has 1 + 0.25 of it, not 1 + 0.5. Bins of whole channels are right. Neighbouring bins share a
# channel, too, and are correlated, which no metadata say.
#
# 4000 spectra of Poisson counts, 100 a channel, whose stated variance is the true one, 100.
#
# hyperspy 2.5.0, seen on 2026-11-28:
#
#     channels a bin  counts  stated variance  variance of the counts  correlation of channel pairs
#     1.5             150     150.0            125.1                   0.20
#     2.0             200     200.0            199.7                   0.00
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check hyperspy==2.5.0 rosettasciio==0.15.0
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import logging

import numpy as np

logging.disable(logging.WARNING)
import hyperspy.api as hs

MEAN, SHAPE = 100.0, (4000, 30)
counts = np.random.default_rng(0).poisson(MEAN, SHAPE).astype(float)
signal = hs.signals.Signal1D(counts)
signal.set_noise_variance(hs.signals.Signal1D(np.full(SHAPE, MEAN)))
print("channels a bin  counts  stated variance  variance of the counts  correlation of channel pairs")
seen = {}
for width in (1.5, 2.0):
    binned = signal.rebin(scale=(1, width))
    rest = binned.data - binned.data.mean(0)
    true = rest.var(0).mean()
    # bins 0 and 1, 2 and 3, ... : in bins of 1.5 they divide a channel among themselves
    together = (rest[:, 0::2][:, :7] * rest[:, 1::2][:, :7]).mean() / true
    stated = binned.get_noise_variance().data.mean()
    print(f"{width:<15} {binned.data.mean():<7.0f} {stated:<16.1f} {true:<23.1f} {abs(together):.2f}")
    seen[width] = stated, true, together
assert np.isclose(seen[1.5][0], 150.0), "the stated variance has changed"
assert np.isclose(seen[1.5][1], 125.0, rtol=0.02), "the rebinned counts scatter otherwise"
assert np.isclose(seen[1.5][2], 0.2, atol=0.03), "neighbouring bins are correlated otherwise"
assert np.isclose(seen[2.0][0], 200.0) and np.isclose(seen[2.0][1], 200.0, rtol=0.02)
PYTHON

#!/usr/bin/env bash
# The standard deviation of a fitted parameter does not depend on how noisy the counts are said to be.
#
# HyperSpy weights a fit by the noise variance of the signal, and then scales the parameters' std by the scatter of
# the residuals. How large the variance is cancels: a hundred times the noise, or a hundredth, or none stated, gives
# the same std. Weights count only relative to each other. With few channels the std of a pixel is therefore as
# uncertain as the scatter of those channels, although the noise is known: over pixels that are all alike it varies.
#
# A constant fitted to 500 spectra of 8 channels, Poisson counts with mean 20: its error is sqrt(20 / 8) = 1.58.
#
# hyperspy 2.5.0, seen on 2026-11-28:
#
#     stated variance      std, mean of the pixels   5th and 95th percentile of the pixels
#     none                 1.54                      0.87 and 2.24
#     0.2                  1.54                      0.87 and 2.24
#     20                   1.54                      0.87 and 2.24
#     2000                 1.54                      0.87 and 2.24
#     scatter of the fitted constants over the pixels: 1.66
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

hs.preferences.General.show_progressbar = False
MEAN, SHAPE = 20.0, (500, 8)
counts = np.random.default_rng(0).poisson(MEAN, SHAPE).astype(float)
seen = []
print("stated variance      std, mean of the pixels   5th and 95th percentile of the pixels")
for variance in (None, 0.2, 20.0, 2000.0):
    signal = hs.signals.Signal1D(counts.copy())
    if variance is not None:
        signal.set_noise_variance(hs.signals.Signal1D(np.full(SHAPE, variance)))
    model = signal.create_model()
    model.append(hs.model.components1D.Offset(MEAN))
    model.multifit()
    std = model[0].offset.map["std"]
    low, high = np.quantile(std, [0.05, 0.95])
    stated = "none" if variance is None else f"{variance:g}"
    print(f"{stated:<20} {std.mean():<25.2f} {low:.2f} and {high:.2f}")
    seen.append(std)
scatter = model[0].offset.map["values"].std()
print(f"scatter of the fitted constants over the pixels: {scatter:.2f}")
for std in seen[1:]:
    np.testing.assert_allclose(std, seen[0], rtol=1e-3, err_msg="the stated variance counts now")
assert abs(scatter - np.sqrt(MEAN / SHAPE[1])) < 0.15
assert np.quantile(seen[0], 0.95) > 2 * np.quantile(seen[0], 0.05)
PYTHON

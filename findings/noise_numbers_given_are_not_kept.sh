#!/usr/bin/env bash
# Gain and readout noise that are given as arguments are used once and not kept.
#
# HyperSpy's estimate_poissonian_noise_variance takes gain_factor and gain_offset. Its documentation says that a value
# which is not None is stored in metadata.Signal.Noise_properties.Variance_linear_model. It is not: the variance is
# estimated with the numbers given, the node holds only what was left to its default, and the next call without
# arguments falls back to plain Poisson noise, without any message.
#
# hyperspy 2.5.0, seen on 2026-11-28:
#
#     variance over counts, called with a gain of 30 and an offset of 7   (30 * counts + 7): True
#     Variance_linear_model after that call                               {'correlation_factor': 1}
#     variance by the next call without arguments                         equals the counts: True
#     Variance_linear_model after that call       {'correlation_factor': 1, 'gain_factor': 1, 'gain_offset': 0}
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

GAIN, OFFSET = 30, 7
counts = np.random.default_rng(0).poisson(100.0, (4, 64)).astype(float)
signal = hs.signals.Signal1D(counts.copy())


def model():
    return signal.metadata.Signal.Noise_properties.Variance_linear_model.as_dictionary()


signal.estimate_poissonian_noise_variance(gain_factor=GAIN, gain_offset=OFFSET)
used = np.array_equal(signal.get_noise_variance().data, GAIN * counts + OFFSET)
kept = model()
signal.estimate_poissonian_noise_variance()
plain = np.array_equal(signal.get_noise_variance().data, counts)
print(f"variance over counts, called with a gain of 30 and an offset of 7   (30 * counts + 7): {used}")
print(f"Variance_linear_model after that call                               {kept}")
print(f"variance by the next call without arguments                         equals the counts: {plain}")
print(f"Variance_linear_model after that call       {model()}")
assert used, "the numbers given are no longer used"
assert "gain_factor" not in kept and "gain_offset" not in kept, "the numbers given are stored now"
assert plain, "the second estimate has changed"
PYTHON

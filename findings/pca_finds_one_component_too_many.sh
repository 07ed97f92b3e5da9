#!/usr/bin/env bash
# The number of significant components is one too many, and two where there is nothing but noise about one spectrum.
#
# HyperSpy's decomposition counts significant components of the scree plot as estimate_elbow_position() + 1. The elbow,
# the point furthest from the line through both ends, is where noise begins: its index, counted from 0, already is the
# number of components in front of it. An elbow at index 0 cannot be, as the line goes through that point, so that the
# answer is never below 2. Who denoises by that number keeps a component of noise.
#
# Poisson counts of mixtures of 1, 2, 3 and 5 random spectra (50 to 150 counts a channel), 20 x 20 pixels of 256
# channels, five of each, decomposition(normalize_poissonian_noise=True). Without that normalisation but with the mean
# taken off (centre="navigation") one less is there to be found, and again one more is; of a single spectrum none is
# left, and the number is anything.
#
# hyperspy 2.5.0, seen on 2026-11-28:
#
#     spectra  number_significant_components  centred (true: one less than spectra)
#     1        2 2 2 2 2                      9 8 5 5 11
#     2        3 3 3 3 3                      2 2 2 2 2
#     3        4 4 4 4 4                      3 3 3 3 3
#     5        6 6 6 6 6                      5 5 5 5 5
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check hyperspy==2.5.0 rosettasciio==0.15.0
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import logging
import warnings

import numpy as np

logging.disable(logging.WARNING)
warnings.simplefilter("ignore")
import hyperspy.api as hs


def significant(n_spectra, seed, **how):
    rng = np.random.default_rng(seed)
    spectra = rng.uniform(50.0, 150.0, (n_spectra, 256))
    shares = rng.dirichlet(np.ones(n_spectra), (20, 20))
    signal = hs.signals.Signal1D(rng.poisson(shares @ spectra).astype(float))
    signal.decomposition(print_info=False, **how)
    return signal.learning_results.number_significant_components


seen = {}
print("spectra  number_significant_components  centred (true: one less than spectra)")
for n in (1, 2, 3, 5):
    scaled = [significant(n, seed, normalize_poissonian_noise=True) for seed in range(5)]
    centred = [significant(n, seed, centre="navigation") for seed in range(5)]
    print(f"{n:<8} {' '.join(map(str, scaled)):<30} {' '.join(map(str, centred))}")
    seen[n] = scaled, centred
for n, (scaled, centred) in seen.items():
    assert scaled == [n + 1] * 5, "the number of significant components has changed"
    assert n == 1 or centred == [n] * 5, "the number of centred components has changed"
assert min(seen[1][1]) >= 2 and max(seen[1][1]) > 3, "plain noise has another number of components"
PYTHON

#!/usr/bin/env bash
# One channel without a count, and a weighted fit returns what the pixel before returned.
#
# HyperSpy's estimate_poissonian_noise_variance takes the counts for their variance. A channel without counts has the
# variance 0 and the weight infinity: the fit of that pixel does nothing, and its parameters stay what they were, at
# the value of the pixel fitted before, or at the start value where no pixel went through. That is what the maps show.
# Only the std, which is not a number there, tells which pixels they are; a logged warning says that a covariance
# could not be estimated, not where. At a mean of one count no pixel is fitted at all.
#
# Where no channel is empty the answer is too small by about one count: low counts get the larger weight.
#
# A constant, fitted by multifit to 400 spectra of 64 channels of Poisson counts, started at 3.
#
# hyperspy 2.5.0, seen on 2026-11-28:
#
#     mean counts  pixels with an empty channel  of these left at the value before  mean fit, other pixels  unweighted
#     1            400                           400                                none                    1.00
#     5            141                           141                                3.90                    4.99
#     20           0                             0                                  18.92                   19.97
#     pixels whose std is not a number, mean of 5: 141 of 141 with an empty channel
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

hs.preferences.General.show_progressbar = False
START, SHAPE = 3.0, (400, 64)


def fitted(counts, weighted):
    signal = hs.signals.Signal1D(counts)
    if weighted:
        signal.estimate_poissonian_noise_variance()
    model = signal.create_model()
    model.append(hs.model.components1D.Offset(START))
    model.multifit()
    return model[0].offset.map["values"], model[0].offset.map["std"]


seen = {}
print(
    "mean counts  pixels with an empty channel  of these left at the value before  "
    "mean fit, other pixels  unweighted"
)
for mean in (1, 5, 20):
    counts = np.random.default_rng(0).poisson(float(mean), SHAPE).astype(float)
    values, std = fitted(counts.copy(), True)
    plain, _ = fitted(counts.copy(), False)
    empty = (counts == 0).any(1)
    before = np.concatenate([[START], values[:-1]])
    left = (values == before) & empty
    others = f"{values[~empty].mean():.2f}" if not empty.all() else "none"
    print(f"{mean:<12} {empty.sum():<29} {left.sum():<34} {others:<23} {plain.mean():.2f}")
    seen[mean] = empty.sum(), left.sum(), values, std, empty
unknown = ~np.isfinite(seen[5][3])
print(
    f"pixels whose std is not a number, mean of 5: {(unknown & seen[5][4]).sum()} of {seen[5][0]} "
    "with an empty channel"
)
assert (seen[1][2] == START).all(), "pixels of one count a channel are fitted"
assert seen[5][0] > 50 and seen[5][1] == seen[5][0], "pixels with an empty channel are fitted"
assert 3.7 < seen[5][2][~seen[5][4]].mean() < 4.1
assert 18.7 < seen[20][2].mean() < 19.3
PYTHON

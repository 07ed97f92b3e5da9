#!/usr/bin/env bash
# ArviZ 1 smooths the other tail of the same importance weights.
#
# psislw of ArviZ before 1 takes log weights. Its namesake in arviz-stats, on which ArviZ 1 is built, takes their
# negatives, which are the log-likelihoods of leave-one-out cross-validation, and its docstring calls them only "ary,
# array-like". Given log weights it fits the tail of the smallest weights and returns the log of the inverse weights,
# normalised to a sum of 1; nothing is said. Weights whose tail has no variance (k above 1) pass with a k
# below 0, as if they could not be better.
#
# 2,000 weights of a generalised Pareto distribution of shape 1.2, plus 1; 0.5 is good, above 0.7 is unreliable.
#
# arviz 0.23.4 and arviz-stats 1.3.3, Python 3.12, seen on 2026-11-29:
#
#     call                                        k     correlation of log weights with the input
#     arviz 0.23: psislw(log_weights)          1.10     0.999
#     arviz-stats: psislw(log_weights)        -0.87     -1.000
#     arviz-stats: psislw(-log_weights)        1.09     0.999
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3.12}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check arviz==0.23.4 arviz-stats==1.3.3
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np

warnings.simplefilter("ignore")
import arviz
from arviz_stats.base import array_stats
from scipy.stats import genpareto

log_weights = np.log(1 + genpareto(1.2).rvs(2000, random_state=0))
print("call                                        k     correlation of log weights with the input")
seen = []
for name, call, given in (
    ("arviz 0.23: psislw(log_weights)", arviz.psislw, log_weights),
    ("arviz-stats: psislw(log_weights)", array_stats.psislw, log_weights),
    ("arviz-stats: psislw(-log_weights)", array_stats.psislw, -log_weights),
):
    smoothed, k = call(given.copy())
    seen.append((float(k), np.corrcoef(smoothed, log_weights)[0, 1]))
    print(f"{name:<36} {seen[-1][0]:>8.2f}     {seen[-1][1]:.3f}")
(old, same), (wrong, inverse), (right, again) = seen
assert abs(old - right) < 0.05 and old > 1 and same > 0.99 and again > 0.99
assert wrong < 0 and inverse < -0.99, "log weights are taken for what they are now"
PYTHON

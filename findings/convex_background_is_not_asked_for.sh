#!/usr/bin/env bash
# pyEELSMODEL's constrained fit leaves the background unconstrained.
#
# LinearBG, a sum of power laws, has inequality constraints that keep it convex, positive and falling, and QuadraticFitter
# is the fitter that takes such constraints. It makes room for them and leaves their rows zero, so that they hold
# whatever the background is: the fit is that without them, and the same for every choice of `constrains`. The heights
# of edges and of fixed patterns are kept from being negative, as documented.
#
# Poisson counts of a power law of exponent 3 and 40 counts at 300 eV, without any edge, 200 spectra.
#
# pyEELSMODEL 1.0.9, seen on 2026-11-30:
#
#     rows of the constraints: 91, of which not zero: 1
#     backgrounds that are convex, positive and falling: 133 of 200
#     with the rows that the background itself gives: 200 of 200
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check pyEELSMODEL==1.0.9
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np

warnings.simplefilter("ignore")
from pyEELSMODEL.components.fixedpattern import FixedPattern
from pyEELSMODEL.components.linear_background import LinearBG
from pyEELSMODEL.core.model import Model
from pyEELSMODEL.core.spectrum import Spectrum, Spectrumshape
from pyEELSMODEL.fitters.quadratic_fitter import QuadraticFitter
from quadprog import solve_qp

ENERGY = 300.0 + np.arange(300)
TRUE = 40.0 * (ENERGY / 300.0) ** -3.0
SHAPE = Spectrumshape(1.0, 300.0, 300)
rng = np.random.default_rng(0)
background = LinearBG(SHAPE, constrains="sufficient")
pattern = FixedPattern(SHAPE, Spectrum(SHAPE, data=(ENERGY > 450.0).astype(float)))
fitter = QuadraticFitter(
    Spectrum(SHAPE, data=rng.poisson(TRUE).astype(float)),
    Model(SHAPE, [background, pattern]),
    use_weights=False,
)
fitter.perform_fit()
rows = fitter.G_matrix
design = fitter.A_matrix.copy()
print(f"rows of the constraints: {len(rows)}, of which not zero: {np.any(rows != 0, axis=1).sum()}")

wanted = np.zeros((19, 6))
wanted[:18, :5] = background.get_convex_boundaries()
wanted[18, 5] = 1.0  # the pattern's height
scale = np.abs(wanted).max(1, keepdims=True)


def good(coefficients):
    curve = design[:, :5] @ coefficients[:5]
    slack = 1e-6 * np.abs(curve).max()
    return curve.min() > -slack and np.diff(curve).max() < slack and np.diff(curve, 2).min() > -slack


asked, by_hand = 0, 0
for _ in range(200):
    counts = rng.poisson(TRUE).astype(float)
    fitter.spectrum = Spectrum(SHAPE, data=counts)
    fitter.perform_fit()
    asked += good(fitter.coeff)
    normal = design.T @ design
    by_hand += good(solve_qp(normal, design.T @ counts, (wanted / scale).T, np.zeros(19))[0])
print(f"backgrounds that are convex, positive and falling: {asked} of 200")
print(f"with the rows that the background itself gives: {by_hand} of 200")
assert len(rows) == 91 and np.any(rows != 0, axis=1).sum() == 1
assert asked < 180 and by_hand == 200
PYTHON

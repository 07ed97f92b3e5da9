#!/usr/bin/env bash
# The same edge of the same atoms, per eV in pyEELSMODEL and per channel in exSpy.
#
# Both packages model an edge as an amplitude times a hydrogenic cross-section. exSpy's model gives counts of a channel:
# on channels half as wide they are half as many. pyEELSMODEL's component gives the cross-section per eV on any
# channel. The amplitude that fits given counts is the same in both on channels of 1 eV; elsewhere pyEELSMODEL's is
# exSpy's times the width of a channel in eV.
#
# O K, amplitude 1, 200 keV, 10 and 20 mrad; sum over the channels from 540 to 700 eV.
#
# pyEELSMODEL 1.0.9, exspy 0.3.2 and hyperspy 2.5.0, seen on 2026-11-28:
#
#     channel, eV  pyEELSMODEL at 600 eV, sum  exSpy at 600 eV, sum
#     1            15.64 2337                  15.61 2333
#     0.5          15.64 4659                  7.81 2325
#     0.25         15.64 9302                  3.90 2321
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    pyEELSMODEL==1.0.9 hyperspy==2.5.0 exspy==0.3.2 rosettasciio==0.15.0
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import logging
import warnings

import numpy as np

logging.disable(logging.WARNING)
warnings.simplefilter("ignore")
import exspy
from pyEELSMODEL.components.CLedge.hydrogen_coreloss_edge import HydrogenicCoreLossEdge
from pyEELSMODEL.core.spectrum import Spectrumshape

LOW, RANGE = 400.0, 400.0


def by_pyeelsmodel(step):
    shape = Spectrumshape(step, LOW, int(RANGE / step))
    edge = HydrogenicCoreLossEdge(shape, 1.0, 200e3, 10e-3, 20e-3, "O", "K")
    edge.calculate()
    return np.asarray(edge.data)


def by_exspy(step):
    signal = exspy.signals.EELSSpectrum(np.ones(int(RANGE / step)))
    axis = signal.axes_manager.signal_axes[0]
    axis.offset, axis.scale, axis.units = LOW, step, "eV"
    signal.set_microscope_parameters(beam_energy=200, convergence_angle=10, collection_angle=20)
    signal.add_elements(["O"])
    model = signal.create_model(GOS="hydrogenic", auto_background=False)
    model[0].intensity.value = 1.0
    return model.as_signal(show_progressbar=False).data


print("channel, eV  pyEELSMODEL at 600 eV, sum  exSpy at 600 eV, sum")
seen = []
for step in (1.0, 0.5, 0.25):
    energy = LOW + step * np.arange(int(RANGE / step))
    used = (energy >= 540.0) & (energy <= 700.0)
    row = []
    for edge in (by_pyeelsmodel(step), by_exspy(step)):
        row += [edge[energy == 600.0][0], edge[used].sum()]
    print(f"{step:<12g} {row[0]:.2f} {row[1]:<21.0f} {row[2]:.2f} {row[3]:.0f}")
    seen.append(row)
py_there, py_sum, ex_there, ex_sum = np.array(seen).T
np.testing.assert_allclose(py_there / py_there[0], 1.0, rtol=1e-6)
np.testing.assert_allclose(py_sum / py_sum[0], [1.0, 2.0, 4.0], rtol=0.01)
np.testing.assert_allclose(ex_there / ex_there[0], [1.0, 0.5, 0.25], rtol=1e-6)
np.testing.assert_allclose(ex_sum / ex_sum[0], 1.0, rtol=0.01)
PYTHON

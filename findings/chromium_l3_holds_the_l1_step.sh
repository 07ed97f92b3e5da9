#!/usr/bin/env bash
# A hydrogenic edge named Cr_L3 is the whole L shell: Cr_L2 and Cr_L1 are the same curve, from the same onset.
#
# exSpy documents the subshell "Ti_L3" of a hydrogenic edge as titanium's L3. It is not L3 alone. EELSCLEdge("Cr_L3",
# GOS="hydrogenic") starts at the L3 onset, 575 eV, but 120 eV further up, where L1 sets in, it rises again by 18 %
# within 5 eV. EELSCLEdge("Cr_L2") and EELSCLEdge("Cr_L1") have the same onset, not their own, and the same values:
# who adds two of them counts the shell twice. The maximum lies 21.5 eV above the onset.
#
# exspy 0.3.2 (200 keV, 10 and 20 mrad), seen on 2026-11-28:
#
#     onset                     575.0 eV
#     maximum                   596.5 eV
#     at the onset              0.54 of the maximum
#     at 695 and 700 eV         0.707 and 0.832 of the maximum: a step of 17.7 %
#     lowest between 600 and 720 eV at 695.0 eV
#     Cr_L2, Cr_L1              onsets 575.0 eV, 575.0 eV; largest difference to Cr_L3: 0
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


def curve(name):
    edge = exspy.components.EELSCLEdge(name, GOS="hydrogenic")
    edge.set_microscope_parameters(E0=200, alpha=10, beta=20, energy_scale=0.5)
    return edge.onset_energy.value, edge.function(energy)


energy = np.arange(500.0, 900.0, 0.5)
onset, shell = curve("Cr_L3")
others = [curve(name) for name in ("Cr_L2", "Cr_L1")]
height = shell / shell.max()
top = energy[height.argmax()]
before, after = np.interp([695.0, 700.0], energy, height)
step = after / before - 1
print(f"onset                     {onset:.1f} eV")
print(f"maximum                   {top:.1f} eV")
print(f"at the onset              {height[energy == onset][0]:.2f} of the maximum")
print(f"at 695 and 700 eV         {before:.3f} and {after:.3f} of the maximum: a step of {100 * step:.1f} %")
between = (energy >= 600.0) & (energy <= 720.0)
lowest = energy[between][height[between].argmin()]
print(f"lowest between 600 and 720 eV at {lowest:.1f} eV")
onsets = ", ".join(f"{start:.1f} eV" for start, _ in others)
most = max(np.abs(other - shell).max() for _, other in others)
print(f"Cr_L2, Cr_L1              onsets {onsets}; largest difference to Cr_L3: {most:.0g}")
assert abs(top - 596.5) < 0.1, "the maximum has moved"
assert abs(step - 0.177) < 0.005 and lowest == 695.0, "the step at 695 eV has changed"
assert most == 0, "the names of the subshells make a difference now"
PYTHON

#!/usr/bin/env bash
# Small numbers do not survive an .msa file.
#
# RosettaSciIO writes the counts of an .msa file with six decimals and no exponent. What is below 5e-7 comes back as
# zero, and 4.4e-6 as 4e-6. Spectra that are normalised to their sum, cross-sections and probabilities are of this
# size. The EMSA/MAS format itself allows numbers with an exponent, and the reader understands them.
#
# rosettasciio 0.15.0, seen on 2026-11-28:
#
#     written       read back
#     0.0044        0.0044
#     4.4e-06       4e-06
#     2.5e-07       0
#     4.4e-06 with an exponent in the file: read back as 4.4e-06
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check hyperspy==2.5.0 rosettasciio==0.15.0
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import logging
from pathlib import Path

import numpy as np

logging.disable(logging.WARNING)
import hyperspy.api as hs

written = np.array([4.4e-3, 4.4e-6, 2.5e-7])
hs.signals.Signal1D(written).save("small.msa")
back = hs.load("small.msa").data
print("written       read back")
for one, other in zip(written, back):
    print(f"{one:<13.3g} {other:.3g}")
text = Path("small.msa").read_text()
assert text.count("0.000004") == 1, "the file holds other decimals now"
Path("exponent.msa").write_text(text.replace("0.000004", "4.4e-06"))
exponent = hs.load("exponent.msa").data[1]
print(f"4.4e-06 with an exponent in the file: read back as {exponent:.3g}")
np.testing.assert_allclose(back, [4.4e-3, 4e-6, 0.0], rtol=1e-12)
assert exponent == 4.4e-6
PYTHON

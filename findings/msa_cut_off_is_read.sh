#!/usr/bin/env bash
# An .msa file that is cut off is read as a shorter spectrum.
#
# The EMSA/MAS format states the number of points (#NPOINTS) and ends with the line #ENDOFDATA. RosettaSciIO looks at
# neither: a file that was copied in part comes back with the points that are there, the axis that belongs to them, and
# no warning. What follows them is missing, and nothing says so.
#
# rosettasciio 0.15.0, seen on 2026-11-29:
#
#     the file states 20 points; of the whole one 20 are read, without #ENDOFDATA 20, of its first half 9
#     warnings: none
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check hyperspy==2.5.0 rosettasciio==0.15.0
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import io
import logging
import warnings
from pathlib import Path

import numpy as np
import hyperspy.api as hs

heard = io.StringIO()
logging.getLogger().addHandler(logging.StreamHandler(heard))
hs.signals.Signal1D(np.arange(20.0) + 0.5).save("whole.msa")
text = Path("whole.msa").read_text()
assert "#NPOINTS     : 20" in text
body = text.index("#SPECTRUM")
lines = text[body:].splitlines(keepends=True)
Path("no_end.msa").write_text(text[:body] + "".join(lines[:21]))
Path("half.msa").write_text(text[:body] + "".join(lines[:10]))
heard.truncate(0)
with warnings.catch_warnings():
    warnings.simplefilter("error")
    read = [len(hs.load(f"{name}.msa").data) for name in ("whole", "no_end", "half")]
print(
    f"the file states 20 points; of the whole one {read[0]} are read, without #ENDOFDATA {read[1]}, "
    f"of its first half {read[2]}"
)
print("warnings:", heard.getvalue().strip("\0\n") or "none")
assert read == [20, 20, 9] and not heard.getvalue().strip("\0\n")
PYTHON

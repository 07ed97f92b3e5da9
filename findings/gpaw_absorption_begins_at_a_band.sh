#!/usr/bin/env bash
# GPAW's X-ray absorption begins at a band, not at the Fermi level, and is three times weaker from 25.7 on.
#
# gpaw.xas.XAS with its default mode "xas" takes the states from band nvalence // 2 on, at each k-point. In a metal
# bands cross the Fermi level: occupied states are then part of the absorption, and empty ones of lower bands are
# missing, with nothing said. What it keeps of a state are amplitudes, whose squares are intensities. Up to 25.1
# (sigma_cn) these are radial integrals; from 25.7 on (sigma_cmkn) they have the angular part, too: the same
# transitions have a third of the strength.
#
# gpaw 25.1.0 and 25.7.0, magnesium (fcc) with half a core hole in 1s, seen on 2026-12-01:
#
#     gpaw 25.1.0: 2 occupied states in the absorption, down to -0.7 eV; 1 empty ones are missing
#     gpaw 25.7.0: 2 occupied states in the absorption, down to -0.7 eV; 1 empty ones are missing
#     strength within 10 eV, 25.1.0 over 25.7.0: 3.000
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# A compiler alone: neither MPI, BLAS, libxc nor FFTW.
cat > siteconfig.py <<'PYTHON'
compiler = "gcc"
mpi = scalapack = fftw = False
nolibxc = noblas = True
libraries = []
PYTHON
export GPAW_CONFIG="$work/siteconfig.py"
cat > look.py <<'PYTHON'
import json
import sys

from ase.build import bulk
from gpaw import GPAW, PW, FermiDirac, setup_paths
from gpaw.atom.configurations import parameters
from gpaw.atom.generator import Generator
from gpaw.xas import XAS

made = Generator("Mg", xcname="PBE", scalarrel=True, corehole=(1, 0, 0.5), nofiles=True, txt=None)
made.run(name="hole", **parameters["Mg"])
setup_paths.insert(0, ".")
atoms = bulk("Mg", "fcc", a=4.52)
atoms.calc = GPAW(
    mode=PW(200),
    xc="PBE",
    kpts=(6, 6, 6),
    nbands=12,
    convergence={"bands": 10},
    occupations=FermiDirac(0.05),
    setups={0: "hole"},
    txt=None,
)
atoms.get_potential_energy()
fermi = atoms.calc.get_fermi_level()


def states(mode):
    found = XAS(atoms.calc, mode=mode)
    if hasattr(found, "sigma_cmkn"):
        return found.eps_kn.ravel() - fermi, (abs(found.sigma_cmkn) ** 2).sum((0, 1)).ravel()
    return found.eps_n - fermi, (abs(found.sigma_cn) ** 2).sum(0)


energy, _ = states("xas")
everything, strength = states("all")
empty = everything > 0
result = {
    "occupied": int((energy < 0).sum()),
    "lowest": round(float(energy.min()), 1),
    "missing": int(empty.sum() - (energy > 0).sum()),
    "strength": float(strength[empty & (everything < 10)].sum()),
}
json.dump(result, open(sys.argv[1], "w"))
PYTHON
for release in 25.1.0 25.7.0; do
    python3 -m venv "$work/$release"
    "$work/$release/bin/python" -m pip install --quiet --disable-pip-version-check \
        ase==3.25.0 numpy==1.26.4 scipy==1.15.3 gpaw==$release
    OMP_NUM_THREADS=1 "$work/$release/bin/python" look.py $release.json > $release.log
done
python3 - <<'PYTHON'
import json

strengths = []
for release in ("25.1.0", "25.7.0"):
    found = json.load(open(f"{release}.json"))
    strengths.append(found["strength"])
    print(
        f"gpaw {release}: {found['occupied']} occupied states in the absorption, down to {found['lowest']} eV; "
        f"{found['missing']} empty ones are missing"
    )
    assert found["occupied"] > 0 and found["lowest"] < -0.5 and found["missing"] > 0
print(f"strength within 10 eV, 25.1.0 over 25.7.0: {strengths[0] / strengths[1]:.3f}")
assert abs(strengths[0] / strengths[1] - 3.0) < 0.01
PYTHON

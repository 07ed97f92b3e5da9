"""What the engine `Gpaw` has done in an interpreter of its own: a site's transitions, by GPAW.

A script of GPAW, ASE and NumPy alone: the engine puts a copy beside its input. It reads
``site.json`` and writes ``states.json``, which is there once it is whole.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

INPUT, OUTPUT = "site.json", "states.json"
FORMAT = 1  # of the output
SMEARING = 0.1  # eV, of the occupation numbers
INNER = 12.0  # eV: how far the mean potential lies below the lowest empty state, for the first try
# What a band's residual may be, eV^2 an electron: energies are right to some hundredths of an eV.
RESIDUAL = 1e-5


def make_setups(symbol: str, xc: str, holes: dict[str, float]) -> None:
    """Data sets of an element with a hole in 1s, by name, in this folder."""
    from gpaw import setup_paths
    from gpaw.atom.configurations import parameters
    from gpaw.atom.generator import Generator

    if symbol not in parameters:
        raise ValueError(f"GPAW has no parameters for a core hole in {symbol}")
    for name, hole in holes.items():
        made = Generator(symbol, xcname=xc, scalarrel=True, corehole=(1, 0, hole), nofiles=True)
        made.run(name=name, **parameters[symbol])
    setup_paths.insert(0, ".")


def converged(given: dict[str, Any], hole: str | None, excited: bool = False) -> Any:
    """A self-consistent calculation, with a hole or without, and with the electron that left it.

    Without the electron the cell has the electrons of the ground state and a uniform charge against
    the hole's. With it GPAW gives core and valence a spin each, one against the other: energies
    without are 9 eV too high for fluorine.
    """
    import numpy as np
    from ase import Atoms
    from gpaw import GPAW, PW, FermiDirac

    spins = np.zeros(len(given["numbers"])) if given["magmoms"] is None else given["magmoms"]
    magnetic = bool(np.any(spins))
    atoms = Atoms(
        numbers=given["numbers"],
        positions=given["positions"],
        cell=given["cell"],
        magmoms=spins + excited * (np.arange(len(spins)) == given["index"]),
        pbc=True,
    )
    atoms.calc = GPAW(
        mode=PW(given["cutoff"]),
        xc=given["xc"],
        kpts={"size": given["k_points"], "gamma": True},
        occupations=FermiDirac(SMEARING, fixmagmom=excited and not magnetic),
        setups={} if hole is None else {given["index"]: hole},
        charge=-1.0 if excited else 0.0,
        txt="-",
    )
    atoms.get_potential_energy()
    return atoms.calc


def total_energy(calc: Any) -> float:
    """Of everything, all electrons included, eV."""
    return float(calc.get_potential_energy() + calc.get_reference_energy())


def states(xas: Any) -> tuple[Any, Any]:
    """Energies (eV) and squares of the three matrix elements with 1s (Bohr^2), k-points by bands.

    What the object holds are amplitudes. Up to GPAW 25.1 they lack their angular part, the square
    root of 1/3; later ones have it, and one axis more for the core state's m.
    """
    import numpy as np

    if hasattr(xas, "sigma_cmkn"):
        return xas.eps_kn, np.sum(np.abs(xas.sigma_cmkn) ** 2, axis=(0, 1))
    squares = np.sum(np.abs(xas.sigma_cn) ** 2, axis=0) / 3.0
    return xas.eps_n.reshape(-1, xas.n), squares.reshape(-1, xas.n)


def transitions(calc: Any, given: dict[str, Any]) -> tuple[list[float], list[float], float]:
    """Empty states: eV above the lowest, strengths, and how far up they are all there.

    The strength of a state is the square of its dipole matrix element with 1s, mean over
    directions, sum over spins, times its k-point's weight: angstrom^2.
    """
    import numpy as np
    from ase.units import Bohr
    from gpaw.xas import XAS

    volume = calc.atoms.get_volume()
    n_bands = int(volume / (6 * np.pi**2) * ((given["above"] + INNER) / 3.81) ** 1.5) + 4
    while True:
        found = calc.fixed_density(
            nbands=n_bands + max(4, n_bands // 20),  # the highest need not converge
            convergence={"bands": n_bands, "eigenstates": RESIDUAL},
            txt="-",
        )
        spins = [XAS(found, "all", given["index"], spin) for spin in range(found.wfs.nspins)]
        both = [states(one) for one in spins]
        energy = np.array([one for one, _ in both])[..., :n_bands] - calc.get_fermi_level()
        empty = energy > 0.0
        complete = energy[..., -1].min()  # a k-point lacks states above its last
        if empty.any():
            lowest = energy[empty].min()
            if complete - lowest >= given["above"]:
                break
        n_bands = int(1.2 * n_bands) + 4
    squares = np.array([one for _, one in both])[..., :n_bands]
    strength = squares / 3.0 * Bohr**2 * (2 / len(spins))  # mean over directions, sum over spins
    taken = empty & (energy <= complete)
    order = np.argsort(energy[taken])
    above = (energy[taken] - lowest)[order]
    return above.tolist(), strength[taken][order].tolist(), float(complete - lowest)


def main() -> None:
    """From the input in this folder to the output."""
    import gpaw

    given = json.loads(Path(INPUT).read_text())
    holes = {"hole": given["hole"]}
    if given["onset"] is None:
        holes["whole"] = 1.0
    make_setups(given["symbol"], given["xc"], holes)
    calc = converged(given, "hole")
    energy, strength, complete = transitions(calc, given)
    onset = given["onset"]
    if onset is None:  # the electron that left 1s is in the lowest empty state
        ground, excited = converged(given, None), converged(given, "whole", excited=True)
        onset = total_energy(excited) - total_energy(ground)
    result = {
        "format": FORMAT,
        "gpaw": gpaw.__version__,
        "onset": onset,
        "complete": complete,
        "energy": energy,
        "strength": strength,
    }
    Path(OUTPUT + ".part").write_text(json.dumps(result))
    os.replace(OUTPUT + ".part", OUTPUT)


if __name__ == "__main__":
    main()

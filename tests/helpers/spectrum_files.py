"""Spectra as simulation codes and databases write them, in the formats that they document.

Each function takes energies in eV from the edge, shape (N,), and intensities, and gives the text.
"""

import json

import numpy as np

EDGE = 685.0


def curve(n=60):
    """Energies from the edge, eV, and an edge with a peak on them."""
    energy = np.linspace(-8.0, 30.0, n)
    step = 0.5 + np.arctan(energy / 0.8) / np.pi
    return energy, step + 1.3 * np.exp(-0.5 * ((energy - 4.0) / 1.5) ** 2) + 0.01


def feff(energy, mu, threshold=-1.117):
    """FEFF10's xmu.dat: columns omega, e, k, mu, mu0, chi."""
    k = np.sign(energy) * np.sqrt(np.abs(energy) / 3.81)
    head = """# # title                                                       FEFF 10.0.0
# # POT  Non-SCF, core-hole, AFOLP (folp(0)= 1.150)
# # Abs   Z= 9 Rmt= 0.905 Rnm= 1.077 K  shell
# # Gam_ch=2.089E-01 H-L exch Vi= 0.000E+00 Vr= 0.000E+00
# # Mu=-1.117E+00eV kf=1.608E+00 Vint=-1.097E+01eV Rs_int= 2.255
# FMS rfms= 3.0000
#     0/   0 paths used
#  xsedge+ 50, used to normalize mu           3.8574E-03
#  -----------------------------------------------------------------------
#  omega    e    k    mu    mu0     chi     @#
"""
    rows = zip(energy + EDGE, energy + threshold, k, mu, 0.9 * mu, 0.1 * mu, strict=True)
    line = "%20.10f%20.10f%18.10f%22.10E%22.10E%22.10E\n"
    return head + "".join(line % row for row in rows)


def fdmnes(energy, mu, first=EDGE, columns=("<xanes>",)):
    """FDMNES's own file; with `first` None that of a convolution, which has no first line."""
    head = f"    Energy    {'   '.join(columns)}    \n"
    if first is not None:
        head = (
            f"{first:10.3f}    9  1  0  1.2345678E-03 -6.2329036E+00  0.0000000E+00  1  1  "
            "7.0E+02  1.1E+02  0.0000000E+00  2.6654847E+00   1 = E_edge, Z, n_edge, j_edge, "
            "Abs_before_edge, VO_interstitial, E_cut, ninitl, ninit1, Epsii, UnitCell_Volume, "
            "Surface_ref, f0_forward, natomsym\n" + head
        )
    line = "%10.4f" + "%16.7E" * len(columns) + "\n"
    return head + "".join(
        line % (e, *(m * (k + 1) for k in range(len(columns))))
        for e, m in zip(energy, mu, strict=True)
    )


def ocean(energy, mu):
    """OCEAN's absspct: energy, the spectrum, and others beside it."""
    head = "#    iter   100  gam  0.1000 eV\n#  Energy  spectrum  without  real\n"
    line = "%15.8E %15.8E %15.8E %15.8E\n"
    return head + "".join(line % (e, m, 1, 0.5 * m) for e, m in zip(energy, mu, strict=True))


def xspectra(energy, mu, spin=False):
    """xanes.dat of Quantum ESPRESSO."""
    names = "sigma_tot   sigma_up    sigma_down " if spin else "sigma"
    head = f"""# Final state angular momentum:   1
# Broadening parameter (in eV):    0.800
# Absorbing atom type (xiabs):   1
# Energy (eV)   {names}
"""
    parts = (1.0, 0.6, 0.4) if spin else (1.0,)
    return head + "".join(
        f"{e:14.8f} " + " ".join(f"{part * m:14.8f}" for part in parts) + "\n"
        for e, m in zip(energy, mu, strict=True)
    )


def optados(energy, mu, edges=("F 1    K1       F:exc",), broadened=True, spins=1):
    """OptaDOS's core_edge.dat, a block an edge, as list-directed Fortran writes it."""
    stars = " #*********************************************\n"
    head = stars + " #            Core loss function               \n" + stars + " #\n"
    head += " # Gaussian broadening: FWHM   1.0000000000000000     \n" if broadened else ""
    text = head + " #\n"
    for number, edge in enumerate(edges, start=1):
        text += f" # {edge}\n"
        for e, m in zip(energy, number * mu, strict=True):
            raw = [m] if spins == 1 else [0.75 * m, 0.25 * m, 3.0 * m]
            both = [*raw, *(0.5 * x for x in raw)] if broadened else raw
            text += "  ".join(f"{x:24.16E}" for x in (e, *both)) + "\n"
        text += " \n"
    return text


def telnes(energy, mu):
    """WIEN2k's case.elnes, whose comments begin with two signs."""
    head = "## ELNES of the K edge, TELNES\n##  Energy   spectrum\n"
    return head + "".join(f"{e:12.5f}{m:20.10E}\n" for e, m in zip(energy, mu, strict=True))


def materials_project(energy, mu):
    """An entry of the XAS database."""
    spectrum = {"x": (energy + EDGE).tolist(), "y": mu.tolist(), "edge": "K"}
    spectrum |= {"absorbing_element": "F", "spectrum_type": "XANES"}
    return json.dumps({"task_id": "mp-1-XANES-F-K", "spectrum": spectrum})


def xdi(energy, mu, unit="eV", names=("energy", "mutrans")):
    """XAS Data Interchange 1.0."""
    head = ["# XDI/1.0 GSE/1.0", f"# Column.1: {names[0]} {unit}"]
    head += [f"# Column.{k}: {name}" for k, name in enumerate(names[1:], start=2)]
    head += ["# Element.symbol: F", "# Element.edge: K", "# ///", "# a comment", "#----"]
    head += ["#  " + "  ".join(names)]
    factor = 1e-3 if unit == "keV" else 1.0
    rows = [
        "  ".join(f"{x:.12g}" for x in ((e + EDGE) * factor, *[m] * (len(names) - 1)))
        for e, m in zip(energy, mu, strict=True)
    ]
    return "\n".join([*head, *rows]) + "\n"


def athena(energy, mu):
    """Columns that Athena exports."""
    head = "# Athena data file -- Demeter version 0.9.26\n#----\n"
    head += "#  energy   norm   nbkg   flat\n"
    return head + "".join(
        f"{e + EDGE:12.5f} {m:15.9f} {1:12.7f} {1.1 * m:12.7f}\n"
        for e, m in zip(energy, mu, strict=True)
    )


def emsa(energy, mu, kind="Y"):
    """EMSA/MAS, one number a line; of even steps."""
    step = (energy[-1] - energy[0]) / (len(energy) - 1)
    head = [
        "#FORMAT      : EMSA/MAS Spectral Data File",
        "#VERSION     : 1.0",
        "#TITLE       : F K",
    ]
    head += ["#DATE        : ", "#TIME        : ", "#OWNER       : ", "#SIGNALTYPE  : ELS"]
    head += [f"#NPOINTS     : {len(energy)}", "#NCOLUMNS    : 1", f"#DATATYPE    : {kind}"]
    head += ["#XUNITS      : eV", "#YUNITS      : counts", f"#XPERCHAN    : {step:.12g}"]
    head += [f"#OFFSET      : {energy[0] + EDGE:.12g}", "#SPECTRUM    : Data starts here"]
    return "\n".join([*head, *(f"{m:.9e}," for m in mu), "#ENDOFDATA   : "]) + "\n"

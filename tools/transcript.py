"""Run the command line on real files and write what it printed to ``docs/transcript.md``.

    python tools/transcript.py FOLDER

The folder holds the files, which are not part of the project. They are shown by their names alone.
"""

import argparse
import io
import os
import shlex
import tempfile
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

from eels_bayes.command_line.app import main as eels_bayes

PAGE = Path(__file__).resolve().parents[1] / "docs" / "transcript.md"
MAP = "CuZn_EELS_mapping_tutorial.hspy"
WINDOWS = "--window 924 1300 --background 780 916"
HEAD = """# A map, command by command

What `eels-bayes` printed for real files, from a first look to a map. The files are examples and
tests of HyperSpy, exSpy and RosettaSciIO, and a published line scan; they are not part of the
project. Lines with `!` are warnings; progress is left out. `tools/transcript.py` wrote this page.
"""
STEPS = (
    (
        "A first look at five files",
        "Which axis, which counts, how noisy, which edges in range: of some elements, or the first "
        "few of all.",
        (
            f"inspect {MAP} --elements Cu Zn",
            "inspect LSMO_STO_linescan.hspy --elements Ti O Mn La",
            "inspect eels_si.dm4",
            "inspect eels_spectrum.dm3",
            "inspect nmc_linescan.dm3 --elements O Mn Co Ni",
        ),
    ),
    (
        "An axis that stands off",
        "In oxides of nickel, manganese and cobalt oxygen's edge begins with a peak of its own "
        "near 528.5 eV, before the tables' 532 eV; in this file it stands lower.",
        ("calibrate nmc_linescan.dm3 --edge O_K --energy 528.5 --out moved",),
    ),
    (
        "Windows for two edges",
        "The windows are tried before anything is fitted. The background ends where the first edge "
        "begins, and the window begins there.",
        (f"inspect {MAP} --elements Cu Zn {WINDOWS}",),
    ),
    (
        "Fingerprints",
        "Calculated edges of copper, of zinc, of both, and none, as strong as the file shows them.",
        (
            f"fingerprints edges {MAP} --edges Cu_L3 Zn_L3 Cu_L3+Zn_L3 --out edges.npz {WINDOWS} "
            "--normalize 780 916",
        ),
    ),
    (
        "A fit without labels",
        "Three quarters of a minute of one core. What is bad would stand behind `!`, and make the "
        "exit code 1; what is worth knowing stands behind `-`: the sample is no hydrogenic atom.",
        (f"fit {MAP} --fingerprints edges.npz --model map.eels {WINDOWS} --normalize 780 916",),
    ),
    (
        "Maps and tables",
        "`maps/` then holds pictures, HyperSpy files and tables. Nearly all of this sample holds "
        "both elements: small grains of copper in a halo of zinc.",
        (f"read {MAP} --model map.eels --out maps",),
    ),
    (
        "The report again",
        "The model file keeps what the fit said of itself.",
        ("report --model map.eels",),
    ),
)


def run(command: str) -> tuple[int, str]:
    """The exit code of a command in this folder, and what it printed: warnings, then the answer."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = eels_bayes(shlex.split(command))
    said = [line for line in err.getvalue().splitlines() if line.startswith(("!", "eels-bayes:"))]
    return code, "\n".join([*said, out.getvalue().rstrip()]).strip("\n")


def shown(command: str) -> str:
    """A command with what it printed and its exit code."""
    code, said = run(command)
    return f"```text\n$ eels-bayes {command}\n{said}\n```\n\nExit code {code}.\n"


def page(files: Path) -> str:
    """The page, of the files in a folder."""
    parts = [HEAD]
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        for file in files.resolve().iterdir():
            os.symlink(file, file.name)
        for heading, words, commands in STEPS:
            parts += [f"## {heading}\n", f"{words}\n", *map(shown, commands)]
    return "\n".join(parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, help="the folder with the files")
    PAGE.write_text(page(parser.parse_args().files), encoding="utf-8")

"""White lines: valence of real Mn L2,3 references, read with references of another origin.

    python benchmarks/white_lines.py [doses moved alone novel presence scans] [--json FILE]
    python benchmarks/white_lines.py doses --contrast 0.3
    python benchmarks/white_lines.py scans --draw FIGURE.png

Spectra are made of one set of measured references (`mn_l23_references.npz`: MnO, LaMnO3 and
SrMnO3 or MnO2, digitised from two sources, whose axes and widths differ), fingerprints of the
other: what is read is never what it is read with.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from manganese import alone, bed, doses, moved, novel, presence, scans
from manganese.options import Options

import eels_bayes as eb

EXPERIMENTS: dict[str, Callable[[Options], Iterator[dict[str, Any]]]] = {
    "doses": doses.run,
    "moved": moved.run,
    "alone": alone.run,
    "novel": novel.run,
    "presence": presence.run,
    "scans": scans.run,
}
EFFORTS = {
    "full": eb.Effort(),
    "quick": eb.Effort.quick(),
    # the forward model as it is, the networks behind it in little
    "forward": replace(eb.Effort.quick(), forward_iterations=eb.Effort().forward_iterations),
}


def main() -> None:
    """Run and print; write JSON after every row, so that nothing finished is lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiments", nargs="*", help=f"of {', '.join(EXPERIMENTS)}; default all")
    parser.add_argument("--doses", type=float, nargs="*", default=())
    parser.add_argument("--spectra", nargs="*", choices=list(bed.SETS), default=list(bed.SETS))
    parser.add_argument("--contrast", type=float, default=0.3, help="white line over background")
    parser.add_argument("--shift", type=float, default=0.2, help="sd between pixels, eV")
    parser.add_argument("--broadening", type=float, default=0.3, help="scale of it, eV")
    parser.add_argument("--pixels", type=int, default=576, help="in four images")
    parser.add_argument("--sizes", type=int, nargs="*", default=(), help="pixels, of false alarms")
    parser.add_argument("--seed", type=int, default=9100)
    parser.add_argument("--effort", choices=list(EFFORTS), default="full")
    parser.add_argument("--json", type=Path, help="where results are written")
    parser.add_argument("--draw", type=Path, metavar="FIGURE", help="of the scans")
    given = parser.parse_args()
    unknown = set(given.experiments) - set(EXPERIMENTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(EXPERIMENTS)}")
    if not bed.REFERENCES.is_file():
        print(f"skipped: {bed.REFERENCES} is absent")
        return
    options = Options(
        bed.Bed(
            contrast=given.contrast,
            shift=given.shift,
            broadening=given.broadening,
            pixels=given.pixels,
        ),
        given.seed,
        EFFORTS[given.effort],
        tuple(given.spectra),
        tuple(given.doses),
        tuple(given.sizes),
    )
    results: dict[str, list[Any]] = {}
    for name in given.experiments or EXPERIMENTS:
        for row in EXPERIMENTS[name](options):
            results.setdefault(name, []).append(row)
            if given.json:
                given.json.write_text(json.dumps(results, indent=1))
    if given.draw and "scans" in results:
        scans.draw(given.draw, results["scans"])


if __name__ == "__main__":
    main()

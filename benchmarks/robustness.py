"""Whether what is promised holds: damaged files, odd spectra, killed programs, threads.

    python benchmarks/robustness.py [files] [spectra] [kills] [threads] [--seed 0] [--json FILE]
        [--smoke] [--spectra 1000000] [--moments 200] [--pairs 14] ...

files    model files and compiled ones with bytes changed, ends cut off, and numbers and settings
         edited: each is refused, or read as it was written
spectra  spectra that no detector should give, of all types and layouts in memory, through each
         backend: nothing is raised, what is flagged has no number and no class, what is read is
         finite, and the backends and (of some) the slow path agree
kills    programs that save models, export, keep a journal, stream and write maps are killed at
         random moments: what was promised stands there
threads  fits at once are those one after another, to the last bit; threads and processes read alike

Prints how often each verdict was found. One in capitals is a defect, and the exit status 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from campaign import damage, kills, spectra, threads
from campaign.bed import Found

PARTS = {"files": damage, "spectra": spectra, "kills": kills, "threads": threads}


def defects(found: Found) -> int:
    """How many verdicts are in capitals."""
    return sum(
        n for counts in found.values() for text, n in counts.items() if text[:2].isupper() and n
    )


def report(part: str, found: Found, seconds: float) -> None:
    """Print the verdicts."""
    print(f"\n== {part}: {defects(found)} defects, {seconds:.0f} s")
    for what, counts in found.items():
        print(f"{what}:")
        for text, n in counts.most_common():
            print(f"{n:10d}  {text}")
    sys.stdout.flush()


def main() -> None:
    """Run the parts, print, and write JSON after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    for part, module in PARTS.items():
        for name, number in module.SIZES.items():
            parser.add_argument(f"--{name}", type=int, metavar="N", help=f"{part}: {number}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where the verdicts are written")
    parser.add_argument("--smoke", action="store_true", help="small and quick, for tests")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    results: dict[str, Found] = {}
    for part in options.parts or PARTS:
        module = PARTS[part]
        sizes = dict(module.SMOKE if options.smoke else module.SIZES)
        sizes |= {k: getattr(options, k) for k in sizes if getattr(options, k) is not None}
        start = time.perf_counter()
        results[part] = module.run(sizes, options.seed)
        report(part, results[part], time.perf_counter() - start)
        if options.json:
            options.json.write_text(json.dumps(results, indent=1))
    sys.exit(any(defects(found) for found in results.values()))


if __name__ == "__main__":
    main()

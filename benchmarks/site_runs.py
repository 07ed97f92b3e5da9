"""A thousand sites over a local dask cluster of two processes, one of which is killed.

    python benchmarks/site_runs.py [--sites 1000] [--seconds 0.5]

Needs dask.distributed. Each site takes the same time, asleep, so that what is measured is all the
rest: sending structures, writing results whole, starting a worker anew. The ideal is the time of
all sites over two processes.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import eels_bayes as eb
from eels_bayes import ab_initio, structures

ENERGY = np.arange(680.0, 710.0, 0.25)


@dataclass(frozen=True)
class Asleep:
    """An engine that takes its time."""

    seconds: float
    name: str = "asleep"

    def settings(self):
        return {"seconds": self.seconds}

    def write(self, folder, atoms, index, edge):
        (folder / "index").write_text(str(index))

    def run(self, folder):
        time.sleep(self.seconds)

    def read(self, folder):
        place = 690.0 + 0.01 * int((folder / "index").read_text())
        return eb.Fingerprint(ENERGY, np.exp(-0.5 * ((ENERGY - place) / 2.0) ** 2), True)


def ensemble(sites: int) -> list:
    """Structures without any symmetry, of four absorbers each."""
    slab = structures.cr2tic2()
    first = structures.terminations(slab, "O", {"O": 4, "F": 4}, supercell=(2, 2))[0]
    found = []
    for seed in range(sites // 4):
        one = first.copy()
        one.info.clear()
        one.rattle(0.05, seed=seed)
        found.append(one)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=0.5)
    options = parser.parse_args()
    try:
        from dask.distributed import Client, LocalCluster
    except ImportError as error:
        print(f"not run: {error}")
        return
    warnings.simplefilter("ignore")
    groups = {"half": ensemble(options.sites)}
    with (
        tempfile.TemporaryDirectory() as cache,
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        pids = list(client.run(os.getpid).values())

        def kill() -> None:
            while not (Path(cache) / "sites").exists() or (
                len(list((Path(cache) / "sites").iterdir())) < options.sites // 4
            ):
                time.sleep(0.05)
            os.kill(pids[0], signal.SIGKILL)

        threading.Thread(target=kill, daemon=True).start()
        start = time.perf_counter()
        made = ab_initio.fingerprints(
            groups,
            "F K",
            engine=Asleep(options.seconds),
            executor=client.get_executor(),
            cache=cache,
        )
        took = time.perf_counter() - start
        files = len(list((Path(cache) / "sites").iterdir()))
    ideal = options.sites * options.seconds / 2
    print(f"{len(made.sites)} sites, {files} results, one worker of two killed at a quarter")
    print(f"{took:.1f} s, {took / ideal:.2f} times the ideal {ideal:.1f} s")


if __name__ == "__main__":
    main()

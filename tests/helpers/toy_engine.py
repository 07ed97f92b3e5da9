"""An engine of a few lines that keeps the protocol: a peak that neighbours move, by a file."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eels_bayes.ab_initio.cluster import around
from eels_bayes.ab_initio.engine import EngineFailed
from eels_bayes.data.single_fingerprint import Fingerprint

ENERGY = np.arange(680.0, 710.0, 0.25)


def peak(neighbours: Mapping[int, int]) -> np.ndarray:
    """Of an absorber with so many neighbours of each atomic number."""
    place = 690.0 + sum(0.01 * z * n for z, n in neighbours.items())
    return np.exp(-0.5 * ((ENERGY - place) / 2.0) ** 2)


@dataclass(frozen=True)
class Toy:
    """Its spectrum depends on the elements within a radius.

    `log` is a folder in which each run leaves a file. `fails` and `dies` are files: while one is
    there, an absorber whose neighbours sum up to `unlucky` ends badly, or ends its process.
    """

    log: str
    radius: float = 3.5
    broadened: bool = True
    unlucky: int = -1
    fails: str = ""
    dies: str = ""

    @property
    def name(self):
        return "toy"

    def settings(self):
        return {"radius": self.radius, "broadened": self.broadened}

    def write(self, folder: Path, atoms, index, edge):
        numbers = around(atoms, index, self.radius).numbers[1:].tolist()
        counts = {z: numbers.count(z) for z in set(numbers)}
        (folder / "in.json").write_text(json.dumps(sorted(counts.items())))

    def run(self, folder: Path):
        counts = dict(json.loads((folder / "in.json").read_text()))
        if sum(counts.values()) == self.unlucky or self.unlucky == 0:
            if self.fails and Path(self.fails).exists():
                raise EngineFailed("ended with 1; its last words: SCF did not converge")
            if self.dies and Path(self.dies).exists():
                os.kill(os.getpid(), signal.SIGKILL)
        (folder / "out.json").write_text(json.dumps(peak(counts).tolist()))
        number = len(list(Path(self.log).iterdir()))
        (Path(self.log) / f"{number}-{os.getpid()}").touch()

    def read(self, folder: Path):
        rows = json.loads((folder / "out.json").read_text())
        return Fingerprint(ENERGY, np.array(rows), self.broadened, "Mbarn", "out.json", "toy")

"""The page on fingerprints: its code runs, with an engine of a few lines in place of FEFF10."""

import re

import numpy as np
import pytest

from eels_bayes import structures
from helpers import spectrum_files as written
from helpers.toy_engine import Toy


@pytest.fixture
def blocks(project_root):
    text = (project_root / "docs" / "fingerprints.md").read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_files_are_read_as_the_page_says(blocks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    energy, mu = written.curve()
    for name in ("xmu.dat", "site0/xmu.dat", "site1/xmu.dat", "quarter/xmu.dat"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(written.feff(energy, mu))
    names = {}
    exec(blocks[0], names)
    assert names["library"].class_values.tolist() == [0.5, 0.25]


def test_structures_are_simulated_as_the_page_says(blocks, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log").mkdir()
    assert blocks[1].count("ab_initio.Feff10(radius=6.0)") == 1
    names = {"Toy": Toy}
    exec(blocks[1].replace("ab_initio.Feff10(radius=6.0)", 'Toy("log")'), names)
    assert "class_name" in capsys.readouterr().out
    library = names["library"]
    assert (
        library.class_names == ("12.5 % F", "0 % F") and library.value_name == "fluorine fraction"
    )
    assert library.intensity[0].max() > 0.0 and not np.any(library.intensity[1])
    assert len(list((tmp_path / "sites" / "sites").iterdir())) == 1


def test_the_next_structure_is_chosen_as_the_page_says(blocks, quick_classifier, spectra):
    """A map that its library explains asks for no simulation."""
    slab = structures.cr2tic2()
    groups = {
        f"{100 * n / 8:g} % F": structures.terminations(
            slab, "O", {"O": 8 - n, "F": n}, supercell=(2, 2)
        )
        for n in (1, 0)
    }
    names = {"groups": groups, "clf": quick_classifier, "spectra": spectra}
    exec(blocks[2], names)
    assert names["search"].simulated == [] and names["candidates"][2].cost >= 10.0
    assert names["search"].ended.startswith("the simulated structures explain the map")

"""The choice of structures in the benchmark of active learning."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from eels_bayes.forward_model.fit import fit_forward_model
from eels_bayes.simulate import annealing_series

pytest.importorskip("exspy")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from annealing import preprocess
from learning import demand, specimens, structures


def test_an_edge_looks_moved_split_or_neither() -> None:
    whole = specimens.structures_library()
    names = {"": "37.5 % F", "shifted": "25 % F, shifted", "split": "25 % F, split"}
    known = specimens.part(whole, ["0 % F", "50 % F"])
    options = {"n_images": 4, "shape": (16, 16), "dose": 10.0, "process": structures.PROCESS}
    usual = preprocess(annealing_series(**options, seed=1, library=known))
    model = fit_forward_model(usual, known, show_progressbar=False)
    clf = SimpleNamespace(fitted=SimpleNamespace(forward=model))
    library = specimens.part(whole, list(names.values()))
    series = annealing_series(**options, seed=2, library=library)
    truth = specimens.names_of(series)
    pixels = usual.preprocessor(series.signals, show_progressbar=False)
    found = demand.kinds(clf, pixels)
    np.testing.assert_allclose(np.sum(list(found.values()), axis=0), 1.0)
    for kind, name in names.items():
        assert found[kind][truth == name].mean() > 0.8, kind


def test_a_structure_of_more_pixels_is_missed_more() -> None:
    missed = demand.missed(np.array([0.0, 0.01, 0.1, 1.0]))
    assert missed[0] == 0.0 and (np.diff(missed) > 0).all()
    assert missed[-1] == pytest.approx(1.0)

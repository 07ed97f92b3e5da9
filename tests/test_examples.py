"""The examples, run as a user runs them."""

import os
import subprocess
import sys

import numpy as np
import pytest

import eels_bayes as eb
from helpers import tiny_models


def run(project_root, script, *arguments):
    """Run an example with --smoke on one thread; its output and its messages."""
    command = [sys.executable, str(project_root / "examples" / script), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(project_root)}
    return subprocess.run([*command, "--smoke"], env=environment, capture_output=True, text=True)


def maps(folder, name):
    import hyperspy.api as hs

    return hs.load(folder / f"{name}.hspy")


def test_spectrum_image(project_root, a_copper_zinc, tmp_path):
    done = run(project_root, "spectrum_image.py", a_copper_zinc, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    # The file states a gain of 1, and its counts scatter four times as much.
    assert "the counts are believed" in " ".join(done.stderr.split())
    for name in ("maps", "spectra"):
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    probabilities = maps(tmp_path, "probabilities")
    assert probabilities.metadata.eels_bayes.class_names == ["Cu", "Zn", "Cu + Zn", "neither"]
    shape = probabilities.axes_manager.navigation_shape
    assert 50 <= np.prod(shape) <= 150 and shape[0] < shape[1]
    np.testing.assert_allclose(probabilities.data.sum(-1), 1.0, rtol=1e-5)
    total = maps(tmp_path, "total").data
    parts = sum(maps(tmp_path, name).data for name in ("aleatoric", "encoder", "classifier"))
    np.testing.assert_allclose(total, parts, rtol=1e-4)
    assert maps(tmp_path, "total").axes_manager["x"].units == "nm"


def test_paper_figures(project_root, tmp_path):
    done = run(project_root, "paper_figures.py", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    for name in (
        *("2_spatial_averages", "3_denoising", "4_fingerprint_draws", "5_classes"),
        *("6_class_spectra", "7_embeddings", "doubt", "doubt_own_scales", "value"),
        *("doubt_in_the_spectrum", "value_maps", "reliability", "risk_coverage"),
    ):
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    assert f"13 of 13 figures in {tmp_path}" in done.stdout


@pytest.mark.filterwarnings("ignore:fit:UserWarning")  # of what so small a fit is bad at
def test_paper_figures_of_files(project_root, tmp_path):
    for k, signal in enumerate(tiny_models.signals()):
        signal.save(tmp_path / f"{k}.hspy")
    files, model = sorted(tmp_path.glob("*.hspy")), tmp_path / "model.eels"
    tiny_models.fitted().save(model)
    chosen = ["--signals", *files, "--temperatures", 20, 650, "--model", model]
    done = run(project_root, "paper_figures.py", *chosen, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    drawn = {file.stem for file in (tmp_path / "out").glob("*.png")}
    assert {"2_spatial_averages", "5_classes", "6_class_spectra", "value"} <= drawn
    assert not drawn & {"reliability", "risk_coverage"}  # nothing is known of the truth


def test_annealing_series(project_root, tmp_path):
    done = run(project_root, "annealing_series.py", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    scores = {
        line[:26].strip(): [float(word) for word in line[26:].split()]
        for line in done.stdout.splitlines()
        if line.startswith(("eels_bayes ", "PCA(10)"))
    }
    ours, ratio = scores["eels_bayes"], scores["PCA(10) + peak/shoulder"]
    # Even the short training: accuracy up, NLL, Brier and ECE down.
    assert ours[0] > ratio[0] and all(a < b for a, b in zip(ours[1:], ratio[1:], strict=True))
    for name in ("classes", "uncertainty", "latent", "denoised", "reliability", "history"):
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000


def test_structures_to_map(project_root, tmp_path):
    pytest.importorskip("feff10")
    done = run(project_root, "structures_to_map.py", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "structures_to_map.png").stat().st_size > 10_000
    assert len(list((tmp_path / "sites" / "sites").iterdir())) == 2
    library = eb.load_library(tmp_path / "library.npz")
    assert library.class_names == ("100 % F", "50 % F", "0 % F")
    # FEFF's energies and unit, which the fit has to find its way from
    assert library.intensity.max() < 0.1
    (said,) = (line for line in done.stdout.splitlines() if line.startswith("library shift"))
    assert float(said.split()[2]) == pytest.approx(8.0, abs=1.0)
    (scores,) = (line for line in done.stdout.splitlines() if line.startswith("map error"))
    assert float(scores.split()[2].rstrip(",")) < 0.1

"""The examples, run as a user runs them."""

import os
import subprocess
import sys

import numpy as np
import pytest

import eels_bayes as eb


def run(project_root, script, *arguments):
    """Run an example with --smoke on one thread; its output and its messages."""
    command = [sys.executable, str(project_root / "examples" / script), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(project_root)}
    return subprocess.run([*command, "--smoke"], env=environment, capture_output=True, text=True)


def maps(folder, name):
    import hyperspy.api as hs

    return hs.load(folder / f"{name}.hspy")


CUZN = ("--background", 780, 920, "--window", 900, 1300)


def test_spectrum_image_by_calculated_edges(project_root, a_copper_zinc, tmp_path):
    edges = ("--edges", "Cu_L3", "Zn_L3", "Cu_L3+Zn_L3")
    model = tmp_path / "model.eels"
    out = ("--out", tmp_path, "--save", model)
    done = run(project_root, "spectrum_image.py", a_copper_zinc, *edges, *CUZN, *out)
    assert done.returncode == 0, done.stderr
    # The file states a gain of 1, and its counts scatter four times as much.
    assert "the counts are believed" in " ".join(done.stderr.split())
    for name in ("maps", "probabilities", "spectra", "latent"):
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

    assert eb.load_model(model).library.class_names == ("Cu", "Zn", "Cu + Zn", "neither")


def test_spectrum_image_of_four_pixels(project_root, a_four_pixels, tmp_path):
    done = run(
        project_root,
        "spectrum_image.py",
        a_four_pixels,
        *("--edges", "O_K", "--background", 440, 520, "--window", 510, 650, "--out", tmp_path),
    )
    assert done.returncode == 0, done.stderr
    assert "4 of 4 pixels show O" in done.stdout
    assert "4 pixels are too few to learn how these spectra vary" in done.stderr.replace("\n", " ")
    probabilities = maps(tmp_path, "probabilities").data
    assert probabilities.shape == (2, 2, 2) and np.isfinite(probabilities).all()


@pytest.fixture
def fingerprint_file(project_root, tmp_path):
    """Calculated for a publication where those are, else shaped like them."""
    published = project_root.parent / "shared" / "data" / "mxene_f_k_fingerprints.npz"
    if published.exists():
        return published
    library = eb.FingerprintLibrary.example()
    np.savez(
        tmp_path / "example.npz",
        energy=library.energy,
        intensity=library.intensity,
        label=library.labels,
        class_name=library.class_names,
        fluorine_fraction=library.class_values,
    )
    return tmp_path / "example.npz"


def test_spectrum_image_by_fingerprints_of_a_file(project_root, fingerprint_file, tmp_path):
    done = run(
        project_root,
        "spectrum_image.py",
        *("--simulate", 2, "--fingerprints", fingerprint_file),
        *("--window", 677, 737, "--background", 650, 680, "--normalize", 570, 592.5),
        *("--align", 567.5, 627.5, "--dispersion", 0.25, "--unit", 0.035, "--out", tmp_path),
    )
    assert done.returncode == 0, done.stderr
    assert "against the truth: accuracy" in done.stdout
    assert maps(tmp_path, "value_0").data.shape == maps(tmp_path, "value_1").data.shape == (12, 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--edges", "O_K", "--window", 510, 650), "give files, or --simulate N"),
        (("image.dm4", "--window", 510, 650), "one of the arguments --fingerprints --edges"),
        (("image.dm4", "--edges", "O_K", "--window", 510, 650), "image.dm4"),
    ],
)
def test_spectrum_image_says_what_is_missing(project_root, tmp_path, arguments, message):
    done = run(project_root, "spectrum_image.py", *arguments, "--out", tmp_path)
    assert done.returncode != 0
    assert message in done.stderr


def test_spectrum_image_names_what_a_fingerprint_file_lacks(project_root, tmp_path):
    path = tmp_path / "f.npz"
    np.savez(path, energy=np.arange(10.0), intensity=np.ones((2, 10)))
    done = run(
        project_root,
        "spectrum_image.py",
        *("--simulate", 1, "--fingerprints", path, "--window", 677, 737, "--out", tmp_path),
    )
    assert done.returncode != 0
    assert "lacks label; it holds energy, intensity" in done.stderr


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

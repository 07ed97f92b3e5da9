"""The tutorials' code runs as it stands, one tutorial after the other in one folder."""

import dataclasses
import re

import hyperspy.api as hs
import matplotlib.pyplot as plt
import numpy as np
import pytest

import eels_bayes as eb
from helpers.microscope_files import write_dm

TINY = dataclasses.replace(
    eb.Effort.quick(), vae=eb.Schedule(1, 3), clean_spectra=64, forward_iterations=2, gp_steps=20
)
# What is asked of the code here in place of what it says, so that it takes seconds.
SMALLER = {
    "dispersion=0.25": "dispersion=0.5",
    "EELSClassifier(library, seed=0)": "EELSClassifier(library, seed=0, latent_dim=4, effort=TINY)",
    "budget=30": "budget=2",
    "batch_size=10": "batch_size=2",
}


def write_series(folder, seed):
    """Two files of a small annealing series."""
    folder.mkdir()
    series = eb.simulate.annealing_series(n_images=2, shape=(10, 8), seed=seed)
    for k, signal in enumerate(series.signals):
        axis = signal.axes_manager[-1]
        given = {"energy_offset": axis.offset, "energy_scale": axis.scale}
        write_dm(folder / f"{k}.dm4", signal.data.astype(np.float32), **given)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What a reader has: files of a series, and of the same pixels measured again."""
    folder = tmp_path_factory.mktemp("tutorials")
    write_series(folder / "series", 0)
    write_series(folder / "again", 0)
    return folder


@pytest.fixture
def run(project_root, folder, monkeypatch, capsys):
    """Run a tutorial's blocks with some names given; its names afterwards."""
    monkeypatch.chdir(folder)

    def run_page(name, **given):
        page = project_root / "docs" / "tutorials" / f"{name}.md"
        code = re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)
        assert code
        names = {"TINY": TINY, **given}
        for k, block in enumerate(code):
            for asked, smaller in SMALLER.items():
                block = block.replace(asked, smaller)
            exec(compile(block, f"{name}.md, block {k}", "exec"), names)
        names["printed"] = capsys.readouterr().out
        return names

    yield run_page
    plt.close("all")


def in_full(project_root):
    return "".join(
        page.read_text("utf-8") for page in (project_root / "docs" / "tutorials").glob("*.md")
    )


def test_what_is_replaced_is_still_there(project_root):
    text = in_full(project_root)
    assert all(asked in text for asked in SMALLER)


ignored = pytest.mark.filterwarnings(
    "ignore:(fit|predict|counts|noise|background|images):UserWarning"
)


@ignored
def test_from_a_dm4_to_a_report(run, folder):
    run("dm4_to_report")
    pictures = ("windows.png", "fingerprints.png", "report.png", "maps.png")
    assert all((folder / name).stat().st_size > 5000 for name in pictures)
    text = (folder / "report.txt").read_text("utf-8")
    assert str(eb.load_model("model.eels").provenance) in text and "chi-square" in text
    assert len((folder / "pixels.csv").read_text().splitlines()) == 161
    assert hs.load("total_1.hspy").data.shape == (10, 8)


@ignored
def test_time_series(run):
    names = run("time_series")
    assert names["follows"].shape == (2, 4, 4)
    assert names["printed"].count("fluorine fraction") == 2
    assert names["printed"].count("pixels,") == 2 * 4


@ignored
def test_without_a_simulation(run):
    names = run("without_simulation")
    assert names["pred"].class_names == ("as grown", "annealed", "in between")
    assert eb.load_library("own.npz").class_names == ("as grown", "annealed")


@ignored
def test_active_learning(run):
    energy = eb.FingerprintLibrary.example().energy
    bump = 0.3 * np.exp(-0.5 * ((energy - 705.0) / 6.0) ** 2)
    names = run(
        "active_learning", ask_an_expert=lambda item: "25 % F", simulated_defect=(energy, bump)
    )
    assert [query.answer for query in names["loop"].history] == ["25 % F"] * 2
    assert "defect" in names["clf"].class_names


@ignored
def test_at_the_microscope(run):
    names = run("microscope")
    assert names["live"].counters.classified == 80
    assert names["scan"].labels.shape == (10, 8)

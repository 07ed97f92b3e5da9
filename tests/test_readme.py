"""The README's code runs as it stands, from its first block to its last, in one folder."""

import dataclasses
import re
import shlex

import matplotlib.pyplot as plt
import numpy as np
import pytest

import eels_bayes as eb
from eels_bayes.command_line.app import main
from eels_bayes.command_line.wording import in_options
from helpers.microscope_files import write_dm

TINY = dataclasses.replace(
    eb.Effort.quick(), vae=eb.Schedule(1, 3), clean_spectra=64, forward_iterations=2, gp_steps=20
)
# What is asked of the code here in place of what it says, so that it takes seconds.
SMALLER = {
    "n_images=24, shape=(30, 19)": "n_images=2, shape=(10, 8)",
    "dispersion=0.25": "dispersion=0.5",
    "latent_dim=16, seed=0": "latent_dim=4, seed=0, effort=TINY",
    "EELSClassifier(library.scattered(dual.low_loss))": (
        "EELSClassifier(library.scattered(dual.low_loss), latent_dim=4, effort=TINY)"
    ),
    "budget=100": "budget=2",
    "batch_size=10": "batch_size=2",
}


def blocks(project_root, language):
    """The code of one language in the README, in order."""
    text = (project_root / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def write_dual(folder, series):
    """A series of files of core losses, and of low losses of a sample that is not thin."""
    folder.mkdir()
    losses = np.arange(-20.0, 120.0, 0.25)
    low = 1e5 * np.exp(-0.5 * (losses / 0.6) ** 2) + 400.0 * np.exp(
        -0.5 * ((losses - 22.0) / 4.0) ** 2
    )
    for k, signal in enumerate(series.signals[:1]):
        axis = signal.axes_manager[-1]
        given = {"energy_offset": axis.offset, "energy_scale": axis.scale}
        write_dm(folder / f"{k}_core.dm4", signal.data.astype(np.float32), **given)
        counts = np.tile(low, (*signal.data.shape[:2], 1)).astype(np.float32)
        write_dm(folder / f"{k}_low.dm4", counts, energy_offset=-20.0, energy_scale=0.25)


@pytest.mark.filterwarnings("ignore:(fit|predict|counts|noise|background):UserWarning")
def test_python(project_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = blocks(project_root, "python")
    assert len(code) == 4
    for asked, smaller in SMALLER.items():
        assert sum(asked in block for block in code), f"{asked} is not in the README any more"
        code = [block.replace(asked, smaller) for block in code]
    series = eb.simulate.annealing_series(n_images=2, shape=(10, 8), seed=0)
    write_dual(tmp_path / "series", series)
    energy = eb.FingerprintLibrary.example().energy
    own = {  # what the text says is the reader's, and how much is learned here
        "TINY": TINY,
        "more_signals": eb.simulate.annealing_series(n_images=2, shape=(10, 8), seed=0).signals,
        "defect": (energy, 0.3 * np.exp(-0.5 * ((energy - 705.0) / 6.0) ** 2)),
        "ask_an_expert": lambda item: "25 % F",
    }
    try:
        for k, block in enumerate(code):
            exec(compile(block, f"README.md, python block {k}", "exec"), own)
    finally:
        plt.close("all")
    assert [query.answer for query in own["loop"].history] == ["25 % F"] * 2
    assert own["loop"].learner.class_names[-2:] == ("defect", "oxide")


def test_command_line(project_root, a_copper_zinc, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = "".join(blocks(project_root, "bash")).replace("\\\n", " ").splitlines()
    commands = [line.split()[1] for line in lines]
    assert commands == ["example", "inspect", "inspect", "fingerprints", "fit", "read"]
    assert lines.pop(0) == "eels-bayes example copper_zinc --out map.hspy"
    eb.load(a_copper_zinc)[0].inav[::5, ::5].save("map.hspy")  # in place of all pixels
    for line in lines:
        name, *arguments = shlex.split(line)
        assert name == "eels-bayes"
        arguments += ["--quick"] * (arguments[0] == "fit")  # takes seconds
        code, said = main(arguments), capsys.readouterr()
        if arguments[0] == "fit":
            report = eb.load_model("map.eels").report()
            assert code == (0 if report.ok else 1), said.err
            assert in_options(repr(report)) in said.out
            assert "the counts are believed" in said.err  # the file's gain is wrong
        else:
            assert code == 0 or arguments[0] == "read", said.err
    names = ("look.png", "windows.png", "edges.npz", "report.png", "maps/maps.png")
    assert all((tmp_path / name).stat().st_size > 1000 for name in names)
    assert eb.load_library("edges.npz").class_names == ("Cu", "Zn", "Cu + Zn", "neither")

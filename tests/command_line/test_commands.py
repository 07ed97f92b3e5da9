"""Each command on files: what it says, what it writes, and its exit code."""

import dataclasses
import io
import json
import signal
import subprocess
import sys
from functools import partial

import hyperspy.api as hs
import numpy as np
import pandas as pd
import pytest
from exspy.signals import EELSSpectrum

import eels_bayes as eb
from eels_bayes.classifier import batch_prediction
from eels_bayes.command_line import fit_model, inspect_files, read_files
from eels_bayes.command_line.inspect_files import MOST_EDGES
from eels_bayes.command_line.wording import in_options

SERIES = ("--window", 677, 737, "--background", 600, 675, "--normalize", 570, 592.5)
FIT = (*SERIES, "--align", 565, 600, "--dispersion", 0.5)


def test_inspect_says_what_a_real_map_holds(call, copper_zinc, tmp_path):
    windows = ("--window", 900, 1300, "--background", 780, 920)
    figure = tmp_path / "map.png"
    said = call("inspect", copper_zinc, *windows, "--elements", "Cu", "Zn", "--figure", figure)
    assert said.code == 0, said.err
    for text in ("50 x 40 spectra of 162 channels of 8 eV", "axis x: 40 steps", "Zn_L3 1020"):
        assert text in said.out
    assert "! Variance_linear_model states a gain of 1" in said.out or "gain 4" in said.out
    assert figure.read_bytes()[:4] == b"\x89PNG"
    (found,) = call("inspect", copper_zinc, *windows, "--json").values["signals"]
    assert found["shape"] == [50, 40] and found["energy"]["size"] == 162
    assert found["edges"]["Cu_L3"] == 931.0 and min(found["edges"].values()) >= 700
    assert found["windows"] == {"window": [900.0, 1300.0], "background": [780.0, 920.0]}


def test_inspect_needs_no_window_and_doubts_a_bad_one(call, oxide_interface):
    said = call("inspect", oxide_interface, "--json")
    assert said.code == 0 and said.values["signals"][0]["windows"] == {}
    # the titanium edge lies in this background
    bad = ("--window", 525, 560, "--background", 430, 520)
    said = call("inspect", oxide_interface, *bad)
    assert said.code == 1 and "\n! background" in said.out


def test_inspect_lists_few_edges_unless_asked(call, four_pixels):
    def edges(*given):
        said = call("inspect", four_pixels, *given)
        assert said.code in (0, 1), said.err
        (line,) = [line for line in said.out.splitlines() if line.startswith("edges (eV): ")]
        return line

    few = edges()
    assert few.count(",") == MOST_EDGES + 1 and "O_K 532" in few and "Mn_L2" not in few
    assert "more up to" in few and few.endswith("of your elements, --all-edges all")
    left = int(few.split(", and ")[1].split(" ")[0])
    assert left > 0 and len(few) < 400
    every = edges("--all-edges", "--elements", "O")  # all edges are more than those of some
    assert "Mn_L2 651" in every and every.count(",") > MOST_EDGES + left
    near = edges("--window", 500, 560, "--background", 450, 500)
    assert near.startswith("edges (eV): Ti_L3 456, V_L3 513, O_K 532; --elements")
    nowhere = edges("--window", 460, 500, "--background", 457, 461)
    assert "none that is tabulated lies in this range" in nowhere


def test_inspect_says_which_window_lies_off_the_axis(call, four_pixels):
    given = ("--window", 2400, 2500, "--background", 500, 520)
    said = call("inspect", four_pixels, *given)
    assert said.code == 1
    assert "\n! window 2400 to 2500 eV does not lie on the axis, 300 to 2347 eV" in said.out
    assert "! background" not in said.out.replace("! background (500", "")
    (found,) = call("inspect", four_pixels, *given, "--json").values["signals"]
    assert "window 2400 to 2500 eV does not lie" in found["problems"][0]


@pytest.mark.parametrize("command", ["inspect", "report"])
def test_a_picture_is_refused_before_anything_is_read(call, tmp_path, command):
    given = ("absent.dm4",) if command == "inspect" else ("--model", "absent.eels")
    said = call(command, *given, "--figure", tmp_path / "absent" / "f.png")
    assert said.code == 2 and "the folder does not exist; make it first" in said.err
    said = call(command, *given, "--figure", tmp_path / "f.docx")
    assert said.code == 2 and "a picture's name ends in one of" in said.err


def test_a_picture_shows_a_window_only_where_one_is_asked_for(call, monkeypatch, four_pixels):
    shown = []
    monkeypatch.setattr(inspect_files, "drawn", lambda found, marks, window: shown.append(window))
    monkeypatch.setattr(inspect_files, "write_figure", lambda path, figure: path)
    for given in ((), ("--window", 500, 560)):
        assert call("inspect", four_pixels, *given, "--figure", "f.png").code == 0
    assert shown == [False, True]


def test_inspect_refuses_what_is_no_element(call, four_pixels):
    said = call("inspect", four_pixels, "--elements", "Qq")
    assert said.code == 2 and "elements holds ['Qq']; symbols are needed" in said.err


def test_calculated_edges_need_to_be_there(call, files, tmp_path):
    given = ("--window", 625, 670, "--background", 600, 625, "--out", tmp_path / "edges.npz")
    said = call("fingerprints", "edges", files.signals[0], "--edges", "Sr_L3", *given)
    assert said.code == 2 and "behind the window" in said.err
    # thin carbon, and no nitrogen: less than the background that is subtracted
    energy = 300.0 + 2.0 * np.arange(150)
    counts = np.tile(1e4 * (energy / 300) ** -3.0 - 60.0 * (energy > 400), (4, 4, 1))
    signal = EELSSpectrum(np.random.default_rng(0).poisson(counts).astype(np.float32))
    axis = signal.axes_manager[-1]
    axis.offset, axis.scale, axis.units = 300.0, 2.0, "eV"
    signal.save(tmp_path / "carbon.hspy")
    given = ("--window", 395, 500, "--background", 310, 390, "--out", tmp_path / "edges.npz")
    edges = ("--edges", "N_K", "--beam", 200, 10, 20)
    said = call("fingerprints", "edges", tmp_path / "carbon.hspy", *edges, *given)
    assert said.code == 1 and "! edges: none of 16 pixels shows N" in said.err
    assert eb.load_library(tmp_path / "edges.npz").class_names == ("N", "none")


def test_fingerprints_of_an_npz_file(call, tmp_path):
    energy = np.arange(500.0, 520.0, 0.5)
    peak = np.exp(-0.5 * ((energy - 510.0) / 2.0) ** 2)
    np.savez(tmp_path / "mine.npz", energy=energy, intensity=[peak, 0 * peak], label=["a", "b"])
    words = ("--source", "a test", "--value-name", "valence")
    said = call("fingerprints", "npz", tmp_path / "mine.npz", "--out", tmp_path / "o.npz", *words)
    assert said.code == 0 and "2 fingerprints, 500 to 519.5 eV: a (1), b (1)" in said.out
    library = eb.load_library(tmp_path / "o.npz")
    assert (library.source, library.value_name) == ("a test", "valence")


def test_fingerprints_of_measured_references(call, files, series, tmp_path):
    out = tmp_path / "measured.npz"
    classes = [f"{name}={file}" for name, file in zip(("cold", "hot"), files.signals, strict=True)]
    said = call("fingerprints", "signals", *classes, *FIT, "--values", 0.5, 0.1, "--out", out)
    assert said.code == 0, said.err
    library = eb.load_library(out)
    assert library.class_names == ("cold", "hot") and library.values.tolist() == [0.5, 0.1]
    pre = eb.Preprocessor((677, 737), 0.5, (600, 675), (570, 592.5), (565, 600))
    spectra = pre(series.signals[:2], show_progressbar=False)
    for k in range(2):
        mean = spectra.intensity[spectra.ok & (spectra.image == k)].mean(0)
        np.testing.assert_allclose(library.intensity[k], mean, rtol=1e-4, atol=1e-5)


def test_measured_references_without_a_background(call, files, series, tmp_path):
    out = tmp_path / "measured.npz"
    classes = [f"{name}={file}" for name, file in zip(("cold", "hot"), files.signals, strict=True)]
    said = call("fingerprints", "signals", *classes, "--window", 677, 737, "--out", out)
    assert said.code == 0, said.err
    library = eb.load_library(out)
    axis = series.signals[0].axes_manager.signal_axes[0].axis
    inside = (axis >= 677) & (axis <= 737)
    np.testing.assert_allclose(library.energy, axis[inside])
    mean = series.signals[1].data.mean((0, 1), dtype=float)[inside]
    np.testing.assert_allclose(library.intensity[1], mean, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{0}", "hot={1}"), "names no class; give name=file"),
        (("cold={0}", "hot={1}", "--background", 600, 675), "--background needs --window"),
        (("cold={0}", "hot={1}", "--window", 100, 110), "no energies in common beyond"),
    ],
)
def test_references_that_cannot_be(call, files, tmp_path, arguments, message):
    given = [str(argument).format(*files.signals) for argument in arguments]
    said = call("fingerprints", "signals", *given, "--out", tmp_path / "o.npz")
    assert said.code == 2 and message in said.err and not (tmp_path / "o.npz").exists()


@pytest.mark.parametrize(
    ("model", "figure", "message"),
    [
        ("absent/m.eels", "r.png", "the folder does not exist; make it first"),
        (".", "r.png", "is a folder; name a file in it"),
        ("m.eels", "absent/r.png", "the folder does not exist; make it first"),
        ("m.eels", "r.xyz", "r.xyz: a picture's name ends in one of"),
    ],
)
def test_fit_asks_where_to_write_before_it_works(call, files, tmp_path, model, figure, message):
    given = ("--fingerprints", files.library, *FIT, "--model", tmp_path / model)
    said = call("fit", "absent.dm4", *given, "--figure", tmp_path / figure)
    assert said.code == 2 and message in said.err  # and not that there is no such signal


def test_iterations_are_those_that_are_asked_for(call, files, monkeypatch, tmp_path):
    asked = []

    class Stopped(eb.EELSClassifier):
        def fit(self, spectra):
            asked.append(self.effort)
            raise ValueError("far enough")

    monkeypatch.setattr(fit_model, "EELSClassifier", Stopped)
    given = ("--fingerprints", files.library, *FIT, "--model", tmp_path / "m.eels", "--quick")
    said = call("fit", files.signals[0], *given, "--iterations", 31)
    assert said.code == 2 and said.err.endswith("eels-bayes: far enough\n")
    assert asked == [dataclasses.replace(eb.Effort.quick(), forward_iterations=31)]
    said = call("fit", files.signals[0], *given, "--iterations", 0)
    assert said.code == 2 and "--iterations" in said.err


def test_read_writes_what_predict_says(call, files, quick_classifier, series, tmp_path):
    said = call("read", *files.signals, "--model", files.model, "--out", tmp_path / "maps")
    assert said.code in (0, 1), said.err
    pred = quick_classifier.predict(series.signals[:2], show_progressbar=False)
    for k in range(2):
        signal = hs.load(tmp_path / "maps" / f"total_{k}.hspy")
        np.testing.assert_array_equal(signal.data, pred.map("total", k))
        assert signal.metadata.eels_bayes.model == pred.model
    classes = pd.read_csv(tmp_path / "maps" / "classes.csv", index_col="class")
    assert classes.pixels["all"] == pred.ok.sum() == classes.pixels[:-1].sum()
    pixels = pd.read_csv(tmp_path / "maps" / "pixels.csv")
    np.testing.assert_allclose(pixels["P(0 % F)"], pred.probabilities[:, 3], rtol=1e-6)
    assert (tmp_path / "maps" / "maps.png").stat().st_size > 10_000
    assert all(name in said.out for name in pred.class_names)


def test_read_doubts_a_model_whose_fit_was_bad_or_short(call, files, monkeypatch, tmp_path):
    """Maps are no better than the fit, whoever saw its report."""
    given = (*files.signals, "--model", files.model, "--out", tmp_path / "maps", "--json")
    said = call("read", *given)
    assert said.code == 1 and "fit without --quick" in said.values["problems"][0]
    load_model, bad = read_files.load_model, ("worst: look at report().plot()", "and more")

    def with_report(problems):
        def loaded(path):
            found = load_model(path)
            report = dataclasses.replace(found.report(), problems=problems)
            monkeypatch.setattr(type(found), "report", lambda self: report)
            found.effort = dataclasses.replace(found.effort, gp_latents=1200)
            return found

        return loaded

    monkeypatch.setattr(batch_prediction, "unlike_model", lambda novelty: "")
    with monkeypatch.context() as patched:
        patched.setattr(read_files, "load_model", with_report(bad))
        said = call("read", *given)
    assert said.code == 1
    assert said.values["problems"] == [
        "of the fit: worst: look at the picture that --figure writes; see `eels-bayes report "
        f"--model {files.model}`"
    ]
    monkeypatch.setattr(read_files, "load_model", with_report(()))
    said = call("read", *given)
    assert said.code == 0 and said.values["problems"] == []


def test_read_finds_a_file_in_the_way_before_it_works(call, tmp_path):
    (tmp_path / "maps").write_text("notes")
    for out in (tmp_path / "maps", tmp_path / "maps" / "more"):
        said = call("read", "absent.dm4", "--model", "absent.eels", "--out", out)
        assert said.code == 2 and f"{tmp_path / 'maps'} is a file; name a folder" in said.err


def test_read_doubts_spectra_unlike_those_of_the_fit(call, files, series, tmp_path):
    signal = series.signals[0].deepcopy()
    signal.data = signal.data + 150.0  # a dark offset that was not taken away
    signal.save(tmp_path / "offset.hspy")
    given = ("--model", files.model, "--out", tmp_path / "maps", "--json")
    said = call("read", tmp_path / "offset.hspy", *given)
    assert said.code == 1 and "have a novelty above" in said.values["problems"][-1]


def test_report_tells_of_the_fit_or_of_other_files(call, files, quick_classifier, tmp_path):
    report, figure = quick_classifier.report(), tmp_path / "report.png"
    said = call("report", "--model", files.model, "--figure", figure)
    assert said.code == (0 if report.ok else 1)
    assert in_options(repr(report)) in said.out and quick_classifier.provenance.model in said.out
    assert figure.stat().st_size > 10_000
    said = call("report", files.signals[0], "--model", files.model, "--json")
    assert said.values["pixels"] == 80 and said.values["chi_square"] != report.chi_square


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_live_reads_as_predict_does(call, files, quick_classifier, series):
    said = call("live", files.signals[0], "--model", files.model)
    assert said.code == 0, said.err
    pred = quick_classifier.predict(series.signals[0], show_progressbar=False)
    found = lines(said.out)
    assert [line["number"] for line in found] == list(range(80))
    agree = np.mean(
        [line["class"] == pred.class_names[k] for line, k in zip(found, pred.labels, strict=True)]
    )
    assert agree > 0.9  # the drift is followed here, and that of the whole image there
    assert "received 80, classified 80" in said.err


def test_live_reads_arrays_from_a_file_and_a_stream(
    call, quick_classifier, series, tmp_path, monkeypatch
):
    counts = series.signals[0].data.reshape(80, -1)[:6]
    axis = series.signals[0].axes_manager.signal_axes[0]
    with open(tmp_path / "stream.npy", "wb") as file:  # a block, and single spectra behind it
        for block in (counts[:4], counts[4], counts[5]):
            np.save(file, block)
    fast = quick_classifier.compile(quick_classifier.preprocessor, energy=axis.axis)
    fast.save(tmp_path / "model.fast")
    given = ("--model", tmp_path / "model.fast", "--rate", 1e6, "--json")
    said = call("live", tmp_path / "stream.npy", *given)
    *found, counters = lines(said.out)
    assert said.code == 0 and counters["classified"] == 6
    np.testing.assert_allclose(
        [list(line["probabilities"].values()) for line in found[:1]],
        fast(counts[:1], found[0]["shift"]).probabilities,
        rtol=1e-5,
    )
    with open(tmp_path / "stream.npy", "rb") as file:
        monkeypatch.setattr("sys.stdin", file)
        again = call("live", "-", *given)
    assert again.code == 0, again.err
    assert [line["class"] for line in lines(again.out)[:-1]] == [line["class"] for line in found]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_live_that_waits_for_spectra_can_be_interrupted(quick_classifier, series, tmp_path):
    axis = series.signals[0].axes_manager.signal_axes[0].axis
    quick_classifier.compile(quick_classifier.preprocessor, energy=axis).save(tmp_path / "m.fast")
    command = [sys.executable, "-m", "eels_bayes", "live", "-", "--model", tmp_path / "m.fast"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    heed = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, preexec_fn=heed, **pipes) as process:
        for number in range(3):  # each is answered before the next one comes
            np.save(spectrum := io.BytesIO(), series.signals[0].data[0, number])
            process.stdin.write(spectrum.getvalue())
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["number"] == number
        process.send_signal(signal.SIGINT)
        process.wait()
        assert process.returncode == 130
        assert process.stderr.read().splitlines()[-1] == b"eels-bayes: interrupted"


def test_live_refuses_to_replay_signals_of_several_axes(call, files, series, tmp_path):
    moved = series.signals[1].deepcopy()
    moved.axes_manager[-1].offset += 10.0
    moved.save(tmp_path / "1.hspy")
    series.signals[0].save(tmp_path / "0.hspy")
    said = call("live", tmp_path, "--model", files.model)
    assert said.code == 2 and not said.out
    assert "signal 1 has 1600 channels from 400 eV, the first 1600 from 390 eV" in said.err


@pytest.mark.parametrize(
    ("write", "more", "message"),
    [
        (lambda f: np.save(f, np.ones((2, 9))), (), "--energy is needed with npy arrays"),
        (lambda f: f.write(b"no array"), ("--energy", 390, 0.25, 1600), "array 0 is no npy array"),
        (
            lambda f: f.write(b"\x93NUMPY\x01\x00\x10\x00{'descr: '<f8'}  \n"),  # no Python
            ("--energy", 390, 0.25, 1600),
            "array 0 is no npy array",
        ),
        (
            lambda f: np.save(f, np.ones((2, 9))),
            ("--energy", 390, 0.25, 1600, "--rate", 0),
            "rate is 0; a finite number above zero",
        ),
    ],
)
def test_streams_that_cannot_be(call, files, tmp_path, write, more, message):
    with open(tmp_path / "s.npy", "wb") as file:
        write(file)
    said = call("live", tmp_path / "s.npy", "--model", files.model, *more)
    assert said.code == 2 and message in said.err


def test_live_doubts_a_stream_of_which_nothing_could_be_read(call, files, tmp_path):
    np.save(tmp_path / "s.npy", np.full((3, 1600), np.nan))
    energy = ("--energy", 390, 0.25, 1600)
    said = call("live", tmp_path / "s.npy", "--model", files.model, *energy)
    assert said.code == 1 and all(
        line["flag"] and line["class"] is None for line in lines(said.out)
    )

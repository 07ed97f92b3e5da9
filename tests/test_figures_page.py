"""The page of measured figures says what the kept numbers say."""

import importlib.util
import json

import pytest


@pytest.fixture(scope="module")
def found(project_root):
    return json.loads((project_root / "benchmarks" / "results" / "figures.json").read_text())


@pytest.fixture(scope="module")
def tables(project_root):
    path = project_root / "docs" / "_ext" / "figures_table.py"
    spec = importlib.util.spec_from_file_location("figures_table", path)
    module = importlib.util.module_from_spec(spec)
    pytest.importorskip("sphinx")
    spec.loader.exec_module(module)
    return module


def test_every_part_is_on_the_page_and_a_table(tables, found, project_root):
    page = (project_root / "docs" / "figures.md").read_text("utf-8")
    for name, part in tables.PARTS.items():
        assert f"figures.json {name}\n" in page
        said, rows = part(found)
        assert said.endswith(".") and len(rows) > 1
        assert {len(row) for row in rows} == {len(rows[0])}


def test_sentences_are_read_from_the_numbers(tables):
    rows = {"25 °C": {"first": [0.5, 0.4, 0.6], "second": [0.1, 0.0, 0.2]}}
    for difference, n in (([0.4, 0.2, 0.6], 1), ([0.1, -0.1, 0.3], 0)):
        rows["25 °C"]["difference"] = difference
        said, _ = tables.silhouettes({"silhouette": {"true": rows}})
        assert f"above 0 at {n} of 1 temperatures" in said
    half = {"exact posterior, pixel": [0.97, 0.96, 0.98], "limit_pixels": 9}
    half |= {"eels_bayes, pixel": [0.969, 0.96, 0.98], "eels_bayes, image": [0.991, 0.98, 0.995]}
    said, _ = tables.surest({"surest_half": half})
    assert "0.970, does not reach 0.99" in said
    assert "met with context image (0.991), not with pixel (0.969)" in said


def test_what_the_page_says_of_the_shoulder_holds(found):
    rows = found["shoulder"]["shoulder"]
    truly, read, every = (
        rows[kind] for kind in ("truly without fluorine", "read as without fluorine", "all pixels")
    )
    drawn = rows["drawn from the model, without fluorine"]["denoise"]["bias"]
    # above the truth, as in pixels that the model draws, where over all of them nothing is left
    assert truly["denoise"]["bias"][1] > 0
    assert drawn[0] == pytest.approx(truly["denoise"]["bias"][0], rel=0.25)
    assert abs(rows["drawn from the model, all"]["denoise"]["bias"][0]) < 0.1 * drawn[0]
    # of those read so, no shift
    assert read["denoise"]["bias"][1] < 0 < read["denoise"]["bias"][2]
    # over all: measured ones lie below the truth, components keep it, the model half
    measured, ours = every["as measured"]["bias"], every["denoise"]["bias"]
    assert measured[2] < 0
    assert every["PCA(10)"]["bias"][0] == pytest.approx(measured[0], rel=0.05)
    assert 0.3 < ours[0] / measured[0] < 0.6
    assert truly["denoise"]["rms"][2] < truly["PCA(10)"]["rms"][1]


def test_what_the_page_says_of_the_ratio_holds(found):
    classes = list(found["snr"]["classes"].values())
    for row in classes[:-1]:
        assert row["by_band"] <= row["snr"] < row["height_right"]
    ratios = [row["snr"] for row in classes]
    assert ratios == sorted(ratios, reverse=True) and ratios[0] < 28.3

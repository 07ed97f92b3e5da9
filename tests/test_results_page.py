"""The page of other methods says what the numbers say."""

import importlib.util
import json
import sys

import pytest


@pytest.fixture(scope="module")
def page(project_root):
    path = project_root / "docs" / "_ext" / "results_table.py"
    spec = importlib.util.spec_from_file_location("results_table", path)
    module = importlib.util.module_from_spec(spec)
    pytest.importorskip("sphinx")
    spec.loader.exec_module(module)
    return module


def row(nll, accuracy=0.8, brier=0.3, ece=0.02):
    return {"nll": nll, "accuracy": accuracy, "brier": brier, "ece": ece}


def test_a_peer_that_wins_is_named_with_both_numbers(page):
    doses = {
        "1": {"eels_bayes": row(0.304), "a": row(0.3041), "b": row(0.2, accuracy=0.9)},
        "3": {"eels_bayes": row(0.1, accuracy=0.9), "a": row(0.5), "b": row(0.6, ece=0.018)},
    }
    assert page.sentences(doses) == [
        "Pixel by pixel, NLL: better are, at dose 1, b (0.200) against 0.304.",
        "Pixel by pixel, accuracy: better are, at dose 1, b (0.900) against 0.800.",
        "Pixel by pixel, Brier score: nothing is better at any dose.",
        "Pixel by pixel, ECE: better are, at dose 3, b (0.018) against 0.020.",
    ]


def test_a_peer_that_was_run_at_some_doses_is_compared_at_these(page):
    doses = {
        "0.3": {"eels_bayes": row(0.6), "a": row(0.9), "part": row(0.5)},
        "1": {"eels_bayes": row(0.3), "a": row(0.5)},
        "3": {"eels_bayes": row(0.1), "a": row(0.3), "late": row(0.05)},
    }
    assert set(page.groups(doses)["eels_bayes"]) == {"late", "a", "part"}
    assert page.sentences(doses)[0] == (
        "Pixel by pixel, NLL: better are, at dose 0.3, part (0.500) against 0.600; "
        "at dose 3, late (0.050) against 0.100."
    )
    said = page._table(doses, ("nll", "accuracy")).astext().split("\n\n")
    assert said[said.index("late") + 1 :][:3] == [page.NOT_RUN] * 2 + ["0.050 (0.800)"]


def test_limit_baseline_and_parts_are_no_peers(page):
    others = {page.LIMIT: row(0.1), page.BASE: row(1.4, ece=0.0), page.ABLATION: row(0.2)}
    doses = {"1": {"eels_bayes": row(0.3), "a": row(0.5), **others}}
    assert page.groups(doses)["eels_bayes"] == ["a"]
    said = page.sentences(doses)
    assert [line for line in said if "nothing is better" not in line] == [
        "A part of eels_bayes alone, NLL: better are, at dose 1, forward model without networks "
        "(0.200) against 0.300."
    ]


def test_those_that_know_the_image_are_compared_with_ours_that_does(page):
    doses = {
        "1": {
            "eels_bayes": row(0.3),
            "eels_bayes, context='image'": row(0.25),
            "a": row(0.5),
            "a, weights by image": row(0.28),
        }
    }
    first = [line for line in page.sentences(doses) if ", NLL" in line]
    assert first == [
        "Pixel by pixel, NLL: nothing is better at any dose.",
        "With the mix of each image, NLL: nothing is better at any dose.",
    ]


def test_the_kept_scores_hold_every_peer(project_root):
    sys.path.insert(0, str(project_root / "benchmarks"))
    from peers import ABLATIONS, OPTIONAL, PEERS, PIXEL_BY_PIXEL, latent_classifiers

    table = json.loads((project_root / "benchmarks/results/classifiers.json").read_text())
    on_latents = [name for name in latent_classifiers.CLASSIFIERS if name != "Gaussian process"]
    wanted = {*PEERS, *ABLATIONS, *OPTIONAL, *PIXEL_BY_PIXEL, "eels_bayes", "exact posterior"}
    wanted |= {f"dual VAE and {name}" for name in on_latents}
    for rows in table["doses"].values():
        assert wanted <= set(rows)

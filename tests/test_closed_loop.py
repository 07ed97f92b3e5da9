"""The closed-loop example against a simulated microscope, run as a user runs it."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from eels_bayes.active.decisions import ACTIONS

pytest.importorskip(
    "nion.usim_device", reason="needs the extra 'live': pip install -e '.[live]' (nionswift-usim)"
)
N = 12 * 12  # positions of --smoke


def run(project_root, folder, *arguments):
    """Run the example with --smoke on one thread."""
    command = [sys.executable, str(project_root / "examples" / "closed_loop.py"), "--smoke"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(project_root)}
    return subprocess.run(
        [*command, "--out", str(folder), *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
    )


def results(folder):
    with xr.open_dataset(folder / "closed_loop.nc", engine="h5netcdf") as data:
        return data.load()


@pytest.mark.parametrize("fail_at", [(), (10, N + 3)], ids=["sound", "failing"])
def test_every_position_is_decided(project_root, tmp_path, fail_at):
    done = run(project_root, tmp_path, *(("--fail-at", *fail_at) if fail_at else ()))
    assert done.returncode == 0, done.stderr
    data = results(tmp_path)
    frames = data.frames.values
    log = (tmp_path / "closed_loop.log").read_text(encoding="utf-8")

    # Every position has a result, from all the frames that were taken there.
    assert frames.shape == (12, 12) and frames.min() >= 1
    assert np.isfinite(data.counts).all() and (data.counts.sum("energy") > 0).all()
    assert (data.flag == 0).all() and (data.labels >= 0).all()
    np.testing.assert_allclose(data.probabilities.sum("class"), 1.0, rtol=1e-4)
    assert set(np.unique(data.action)) <= set(ACTIONS)
    printed = re.search(r"(\d+) positions, (\d+) frames of (\d+), (\d+) instrument", done.stdout)
    positions, taken, budget, failed = map(int, printed.groups())
    assert positions == N <= taken == frames.sum() <= budget

    # A decision a frame; those of the last round are the ones in the results.
    at = data.decision_row.values * 12 + data.decision_column.values
    assert len(at) == taken
    np.testing.assert_array_equal(np.bincount(at, minlength=N), frames.ravel())
    last = {k: i for i, k in enumerate(at)}
    order = [last[k] for k in range(N)]
    np.testing.assert_array_equal(data.decision_frames[order], frames.ravel())
    newest = at[data.decision_decide_ms.values == data.decision_decide_ms.values[-1]]
    assert 0 < len(set(newest)) == len(newest)
    of_newest = [last[k] for k in newest]
    np.testing.assert_array_equal(
        data.decision_action[of_newest], data.action.values.ravel()[newest]
    )
    np.testing.assert_allclose(
        data.decision_p[of_newest], data.probabilities.max("class").values.ravel()[newest]
    )
    # It went on for as long as a frame paid.
    assert taken == budget or not (data.action == "measure again").any()

    # Times, in the log as in the results.
    times = re.findall(r"decision: .*acquire_ms ([\d.]+), decide_ms ([\d.]+)", log)
    assert len(times) == taken
    acquire, decide = np.array(times, dtype=float).T
    np.testing.assert_allclose(acquire, data.decision_acquire_ms, atol=1e-3)
    assert acquire.min() >= 10.0  # the exposure
    assert (decide > 0).all()  # a frame's share of reading all positions again
    assert "median time: acquire" in done.stdout

    # Each failure is recorded, has cost no frame, and its position was tried again.
    hit = [number for number in fail_at if number <= taken + len(fail_at)]
    assert failed == len(hit) == log.count("error: ")
    if hit:
        assert data.error_total.values.tolist() == [number - 1 - i for i, number in enumerate(hit)]
        for number, row, column, text in zip(
            hit, data.error_row, data.error_column, data.error_text.values, strict=True
        ):
            assert f"frame {number}" in text
            assert frames[row, column] >= 1
        assert (int(data.error_row[0]), int(data.error_column[0])) == divmod(hit[0] - 1, 12)

    # The spectra are of the place that the probe was sent to: the thick ones are bright in HAADF.
    counts = (data.counts.sum("energy") / data.frames).values.ravel()
    assert np.corrcoef(counts, data.haadf.values.ravel())[0, 1] > 0.7
    truth, labels = data.truth.values, data.labels.values
    chance = np.bincount(truth.ravel()).max() / N  # of naming the most frequent class everywhere
    assert (labels == truth).mean() > chance + 0.1
    assert data.attrs["context"] == "neighbours" and np.ptp(data.neighbours.values) > 0
    assert (tmp_path / "closed_loop.png").stat().st_size > 10_000


def test_a_dead_instrument_loses_nothing(project_root, tmp_path):
    done = run(project_root, tmp_path, "--fail-at", *range(8, 20))
    assert done.returncode != 0 and "lost its connection in frame 12" in done.stderr
    data = results(tmp_path)
    assert data.frames.values.ravel().tolist() == 7 * [1] + (N - 7) * [0]
    np.testing.assert_array_equal(data.counts.sum("energy") > 0, data.frames > 0)
    assert data.error_frames.values.tolist() == 5 * [0]

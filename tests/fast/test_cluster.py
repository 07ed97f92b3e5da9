"""Workers of a cluster read and write what one process does, bit by bit."""

import os
import subprocess
import sys

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from eels_bayes.data import signal_blocks
from eels_bayes.fast import opened_models
from helpers import tiny_models

distributed = pytest.importorskip("distributed")
pytest.importorskip("zarr")
pytestmark = pytest.mark.filterwarnings("ignore:fit:UserWarning")


def counts():
    """(12, 4, E), in chunks of a few pixels."""
    rng = np.random.default_rng(0)
    drawn = rng.poisson(np.tile(tiny_models.counts(), (3, 1))[:48]).astype("uint16")
    return da.from_array(drawn.reshape(12, 4, -1), chunks=(2, 4, 800))


def test_two_processes_write_what_one_does(project_root, tmp_path):
    fast = tiny_models.compiled()
    fast.save(tmp_path / "model.fast")
    counts().to_zarr(str(tmp_path / "counts.zarr"))
    lazy = da.from_zarr(str(tmp_path / "counts.zarr"))
    expected = fast.map(lazy, tmp_path / "alone.zarr").load()
    script = project_root / "examples" / "cluster.py"
    files = [tmp_path / "model.fast", tmp_path / "counts.zarr", "--out", tmp_path / "map.zarr"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(project_root)}
    command = [sys.executable, str(script), *map(str, files)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "mean uncertainty" in done.stdout
    assert (tmp_path / "map.png").stat().st_size > 10_000
    found = xr.open_zarr(tmp_path / "map.zarr", consolidated=False).load()
    xr.testing.assert_identical(found, expected)


def test_a_worker_opens_a_model_once(tmp_path, monkeypatch):
    fast, opened = tiny_models.compiled(), []
    monkeypatch.setattr(signal_blocks, "BLOCK_BYTES", 1)
    monkeypatch.setattr(opened_models, "_known", type(opened_models._known)())
    monkeypatch.setattr(opened_models, "keep", lambda data, model: None)  # as in another process
    kept = opened_models._kept
    monkeypatch.setattr(
        opened_models, "_kept", lambda data, make: kept(data, lambda: opened.append(1) or make())
    )
    how = {"processes": False, "n_workers": 1, "threads_per_worker": 2, "dashboard_address": ":0"}
    with distributed.Client(**how):
        found = fast.map(counts(), tmp_path / "map.zarr").load()
    assert found.total.encoding["chunks"] == (2, 4) and len(opened) == 1
    alone = fast.map(counts(), tmp_path / "alone.zarr").load()
    xr.testing.assert_identical(found, alone)

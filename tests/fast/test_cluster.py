"""Workers of a cluster read and write what one process does, bit by bit."""

import os
import subprocess
import sys

import dask.array as da
import numpy as np
import pytest
import torch
import xarray as xr

from eels_bayes.data import signal_blocks
from eels_bayes.fast import block_tasks, frame_drift, opened_models, whole_signal
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


def stack():
    """Counts (3, 8, 4, E) of images that drift apart, in chunks of some rows and of two images."""
    rng = np.random.default_rng(1)
    pixels = np.tile(tiny_models.counts(), (2, 1))[:32]
    mean = np.stack([np.roll(pixels, 3 * k, axis=1) for k in range(3)])
    drawn = rng.poisson(mean).reshape(3, 8, 4, -1) + 0.1 * rng.random((3, 8, 4, 1))
    return da.from_array(drawn.astype("float32"), chunks=(2, 2, 4, 800))


def alone(path):
    """What lies beside `path`, read by one process."""
    return tiny_models.compiled().map(stack(), path.with_name("alone.zarr")).load()


def two(**more):
    how = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    return distributed.Client(**how | more)


def test_workers_find_the_drift_of_one_process_to_the_last_bit(tmp_path, monkeypatch):
    """Sums of fractions differ by their order."""
    monkeypatch.setattr(signal_blocks, "BLOCK_BYTES", 1)
    monkeypatch.setattr(frame_drift, "LEAST_BLOCKS", 3)
    expected = alone(tmp_path / "map.zarr")
    drift = expected.drift.values
    assert len(np.unique(drift)) == 3

    def unused(*_):
        raise AssertionError("this process is to measure nothing")

    monkeypatch.setattr(whole_signal, "measured_drift", unused)
    with two(processes=False):
        fast = tiny_models.compiled()
        found = fast.map(stack(), tmp_path / "map.zarr").load()
        lazy = fast.map(stack())
        xr.testing.assert_identical(found, expected)
        np.testing.assert_array_equal(lazy.drift.values, drift)
        monkeypatch.undo()
        near = fast.map(stack(), context="neighbours")  # is read here, and so measured here
    np.testing.assert_array_equal(near.drift.values, drift)


def test_counts_that_lie_with_the_workers_are_read_there(tmp_path):
    expected = alone(tmp_path / "map.zarr")
    with two(processes=False) as client:
        held = client.persist(stack())
        found = tiny_models.compiled().map(held, tmp_path / "map.zarr").load()
    drift, wanted = (one.drop_vars("drift") for one in (found, expected))
    xr.testing.assert_identical(drift, wanted)
    np.testing.assert_array_equal(found.drift.values, expected.drift.values)


def test_a_worker_reads_a_block_of_several_chunks_by_one_task(tmp_path, monkeypatch):
    sent, compute = [], distributed.Client.compute

    def noted(self, tasks, *given, **more):
        if isinstance(tasks, list):
            sent.append([len(dict(task.__dask_graph__())) for task in tasks])
        return compute(self, tasks, *given, **more)

    monkeypatch.setattr(distributed.Client, "compute", noted)
    with two(processes=False):
        tiny_models.compiled().map(counts(), tmp_path / "map.zarr", shift=0.0)
    (tasks,) = sent
    assert set(tasks) == {2}  # the model, and all that is done to a block


def test_a_file_in_this_process_s_memory_is_not_sent_with_each_task(tmp_path, monkeypatch):
    monkeypatch.setattr(signal_blocks, "BLOCK_BYTES", 1)
    given = stack().compute()
    np.save(tmp_path / "counts.npy", given)
    mapped = np.load(tmp_path / "counts.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    for source, is_read in ((mapped, False), (given, True)):
        blocks = signal_blocks.signal_blocks(da.from_array(source, chunks=(2, 2, 4, 800)))
        one = next(iter(blocks.cells()))
        counts = block_tasks._tasks_counts(blocks)(one)
        assert callable(counts) == is_read
        if not is_read:
            counts = counts.compute()
        np.testing.assert_array_equal(block_tasks._there(counts), given[one])


class Ending:
    """Counts that end the worker that is the so-many-th to ask for some."""

    def __init__(self, counts, note, end):
        self.counts, self.note, self.end = counts, note, end
        self.shape, self.dtype, self.ndim = counts.shape, counts.dtype, counts.ndim

    def __getitem__(self, index):
        if self.counts[index].size:
            with self.note.open("ab", buffering=0) as file:
                file.write(b".")
                if file.tell() == self.end:
                    os._exit(1)
        return self.counts[index]


@pytest.fixture
def one_thread():
    """As workers have it: by several, sums are of another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_the_drift_that_a_lost_worker_measured_is_measured_by_others(tmp_path, monkeypatch):
    """Of 16 chunks, which are read twice."""
    monkeypatch.setattr(signal_blocks, "BLOCK_BYTES", 1)
    monkeypatch.setattr(whole_signal, "CHECKED_RUNS", 0)
    expected, note = alone(tmp_path / "map.zarr"), tmp_path / "asked"
    source = Ending(stack().compute(), note, end=5)
    breaking = da.from_array(source, chunks=stack().chunks, name="breaking")
    note.unlink(missing_ok=True)
    with two(processes=True):
        found = tiny_models.compiled().map(breaking, tmp_path / "map.zarr").load()
    assert note.stat().st_size > 32
    xr.testing.assert_identical(found, expected)

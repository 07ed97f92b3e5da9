"""Read an image larger than memory by a cluster of two processes, here on one computer.

    python examples/cluster.py model.fast counts.zarr --out map.zarr
    python examples/cluster.py --smoke

``model.fast`` is what ``clf.compile(...).save`` wrote, ``counts.zarr`` an array of counts with the
energy last, or a file that HyperSpy reads. Without them a small model and counts are made. The same
call goes on where it was interrupted. Needs the extra ``distributed``.
"""

# %% Constants
import argparse
import tempfile
from pathlib import Path

import dask.array
import matplotlib.pyplot as plt
import numpy as np
from distributed import Client, LocalCluster

import eels_bayes as eb

WORKERS = 2  # processes of one thread each
NOVEL = 0.99  # novelty above which one pixel in a hundred of the training data lies


# %% A small model and counts, where none are given
def made(folder: Path, n_rows: int) -> tuple[Path, Path]:
    """Files of a model that is hardly trained, and of counts tiled from its series."""
    (signal,) = eb.simulate.annealing_series(n_images=1, shape=(30, 20), seed=0).signals
    pre = eb.Preprocessor(
        (677, 737), 0.5, background=(650, 680), normalize=(570, 592.5), align=(567.5, 627.5)
    )
    library = eb.FingerprintLibrary.example()
    clf = eb.EELSClassifier(library, effort=eb.Effort.quick()).fit(pre(signal))
    energy = signal.axes_manager[-1].axis
    clf.compile(clf.preprocessor, energy=energy).save(folder / "model.fast")
    counts = np.tile(signal.data, (-(-n_rows // 30), 1, 1))[:n_rows].astype("uint16")
    lazy = dask.array.from_array(counts, chunks=(30, 20, -1))
    lazy.to_zarr(str(folder / "counts.zarr"))
    return folder / "model.fast", folder / "counts.zarr"


def counts_of(path: Path) -> object:
    """A lazy array of a zarr folder, or the lazy signal of another file."""
    if path.suffix == ".zarr":
        return dask.array.from_zarr(str(path))
    (signal,) = eb.load(path, lazy=True)
    return signal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("model", nargs="?", type=Path, help="a compiled model")
    parser.add_argument("counts", nargs="?", type=Path, help="counts that it is to read")
    parser.add_argument("--out", type=Path, default=Path("map.zarr"), help="folder (%(default)s)")
    parser.add_argument("--smoke", action="store_true", help="few pixels")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        model, counts = args.model, args.counts
        if counts is None:
            model, counts = made(Path(folder), 60 if args.smoke else 3000)
        fast = eb.load_fast(model)

        # %% The cluster. Of SLURM: `dask_jobqueue.SLURMCluster(cores=1, ...)` in place of this one
        how = {"n_workers": WORKERS, "threads_per_worker": 1, "dashboard_address": ":0"}
        with LocalCluster(**how) as cluster, Client(cluster):
            result = fast.map(counts_of(counts), args.out)

            # %% Of the result, too, the workers read what is asked for
            total = float(result.total.mean())
            novel = float((result.novelty > NOVEL).mean())
        classes = np.bincount(result.labels.values[result.flag.values == 0].ravel(), minlength=4)

    print(f"{dict(result.sizes)} to {args.out}, drift {np.ravel(result.drift)} eV")
    for name, n in zip(fast.class_names, classes, strict=False):
        print(f"{name:10s} {n:8d}")
    # %% A figure
    figure = plt.figure(figsize=(4, 6))
    result.total.plot()  # a map; of a stack, how often each uncertainty is found
    figure.axes[0].set_title(args.out.name)
    figure.savefig(args.out.with_suffix(".png"), dpi=150)
    print(f"mean uncertainty {total:.3f} nats; novel {novel:.1%}")


# Workers are processes that import this file: nothing may run there but what they are asked for.
if __name__ == "__main__":
    main()

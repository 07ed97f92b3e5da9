"""A result on disk that is written block by block: what is there is not done again.

A zarr folder (format 3), which xarray opens. The flags of a block are written when all else of it
is: a block whose flags are there is done. Before, they are -1 and all numbers NaN.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eels_bayes.data.signal_blocks import Cells
from eels_bayes.fast.reading_columns import SINGLE, WHOLE, variable_dims, variables_of
from eels_bayes.whole_file import PARTIAL, TOKEN

if TYPE_CHECKING:
    import xarray
    import zarr
    from numpy.typing import NDArray

DONE = "flag"  # what is written last of a block
NOT_YET = -1  # there before
# Attributes that must be the same for a result to be gone on with, and what differs where not.
SAME = {
    "reading": "another model, or of one that was compiled otherwise",
    "counts": "other counts",
    "alignment": "counts whose drift was found otherwise",
}


def zarr_module() -> Any:
    """The package zarr, or ImportError with what would do."""
    try:
        import zarr
    except ImportError as error:
        raise ImportError(
            "path: results on disk need the package zarr; pip install 'eels-bayes[zarr]', or leave "
            "path out and store the Dataset another way"
        ) from error
    if int(zarr.__version__.split(".")[0]) < 3:
        raise ImportError(f"path: zarr 3 or newer is needed, this is {zarr.__version__}")
    return zarr


def create(
    path: Path,
    frame: xarray.Dataset,
    attributes: dict[str, dict[str, str]],
    dims: tuple[str, ...],
    block: Sequence[int],
) -> None:
    """Make a result of which no pixel is read yet; under its name it is whole at once.

    Parameters
    ----------
    path : Path
    frame : xarray.Dataset
        Coordinates and attributes, without variables.
    attributes : dict
        Of every variable, by its name.
    dims : tuple of str
        Of the image.
    block : sequence of int
        Pixels of a block along each.
    """
    partial = path.with_name(path.name + os.urandom(TOKEN).hex() + PARTIAL)
    try:
        frame.to_zarr(partial, mode="w-", consolidated=False, zarr_format=3)
        group = zarr_module().open_group(partial, mode="r+")
        shape = [frame.sizes[name] for name in dims]
        for name in ("probabilities", *SINGLE):
            extra = (frame.sizes["class"],) if name == "probabilities" else ()
            group.create_array(
                name,
                shape=(*shape, *extra),
                chunks=(*block, *extra),
                dtype=np.int64 if name in WHOLE else np.float32,
                fill_value=NOT_YET if name in WHOLE else np.nan,
                dimension_names=variable_dims(name, dims),
                attributes=attributes[name],
            )
        partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def check(path: Path, wanted: dict[str, Any]) -> tuple[int, ...]:
    """The blocks of a result that is there, if it can be gone on with.

    Raises
    ------
    ValueError
        No result, or one of another model or of other counts.
    """
    try:
        group = zarr_module().open_group(path, mode="r")
        found, block = dict(group.attrs), group[DONE].chunks
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(
            f"path: {path} is there and is no result of FastClassifier.map ({error}); give another "
            "name, or remove it"
        ) from error
    for name, what in SAME.items():
        if found.get(name) != wanted[name]:
            raise ValueError(
                f"path: {path} holds the result of {what}; give another name, or remove it"
            )
    return tuple(int(size) for size in block)


def pending(path: Path, cells: Sequence[Cells]) -> list[Cells]:
    """Blocks that are not done yet."""
    group = zarr_module().open_group(path, mode="r")
    return [one for one in cells if not _done(group, one)]


def _done(group: zarr.Group, cells: Cells) -> bool:
    """Whether a block's flags are there and can be read."""
    try:
        return bool((np.asarray(group[DONE][cells]) != NOT_YET).all())
    except (OSError, ValueError, RuntimeError):  # a file that was cut short
        return False


def write(path: str, cells: Cells, columns: NDArray[np.float32]) -> None:
    """Write the readings of one block, its flags last."""
    group = zarr_module().open_group(path, mode="r+")
    fields = variables_of(columns)
    for name in sorted(fields, key=lambda name: name == DONE):
        group[name][cells] = fields[name]


def opened_result(path: Path) -> xarray.Dataset:
    """What is there, left on disk until it is asked for."""
    import xarray

    return xarray.open_zarr(path, consolidated=False)[["probabilities", *SINGLE]]

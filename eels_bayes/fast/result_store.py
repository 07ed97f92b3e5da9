"""A result on disk that is written block by block: what is there is not done again.

A zarr folder (format 3), which xarray opens. The flags of a block are written when all else of it
is: a block whose flags are there is done. Before, they are -1 and all numbers NaN.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from eels_bayes.data.signal_blocks import Cells
from eels_bayes.fast.reading_columns import SINGLE, WHOLE, variable_dims, variables_of
from eels_bayes.whole_file import PARTIAL, TOKEN

if TYPE_CHECKING:
    import xarray
    import zarr
    from numpy.typing import NDArray

READINGS = ("probabilities", *SINGLE)
DONE = "flag"  # what is written last of a block
NOT_YET = -1  # there before
RESCALING = {"scale_factor", "add_offset"}  # attributes by which xarray changes what it reads
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

    Where another process has made one there meanwhile, that stays.

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
        _lay_out(partial, frame, attributes, dims, block)
        try:
            partial.rename(path)
        except OSError:
            if not path.exists():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _lay_out(
    store: Any,
    frame: xarray.Dataset,
    attributes: dict[str, dict[str, str]],
    dims: tuple[str, ...],
    block: Sequence[int],
) -> zarr.Group:
    """An empty result in a store of zarr, or a folder."""
    frame.to_zarr(store, mode="w-", consolidated=False, zarr_format=3)
    group = _group(store, "r+")
    shape = [frame.sizes[name] for name in dims]
    for name in READINGS:
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
    return group


def check(
    path: Path,
    frame: xarray.Dataset,
    attributes: dict[str, dict[str, str]],
    dims: tuple[str, ...],
) -> tuple[int, ...]:
    """The blocks of a result that is there, if it can be gone on with.

    Parameters
    ----------
    path : Path
    frame, attributes, dims
        What `create` would be given; its drift need not be that of the result.

    Raises
    ------
    ValueError
        No result, one of another model, of other counts or axes, or one that was changed.
    """
    instead = "give another name, or remove it"
    try:
        group = _group(path, "r")
        found, block = dict(group.attrs), tuple(int(size) for size in group[DONE].chunks)
        if not all(block):
            raise ValueError("its blocks hold no pixels")
    except Exception as error:  # whatever strange files lead to
        raise ValueError(
            f"path: {path} is there and is no result of FastClassifier.map ({error}); {instead}"
        ) from error
    for name, what in SAME.items():
        if found.get(name) != frame.attrs[name]:
            raise ValueError(f"path: {path} holds the result of {what}; {instead}")
    try:
        expected = _lay_out(zarr_module().storage.MemoryStore(), frame, attributes, dims, block)
        other = [
            name for name, array in expected.arrays() if not _alike(name, array, group.get(name))
        ]
        if found.get("coordinates") != expected.attrs["coordinates"]:
            other.append("coordinates")
    except Exception as error:  # as above
        raise ValueError(f"path: {path} holds a damaged result ({error}); {instead}") from error
    if other:
        raise ValueError(
            f"path: {path} holds the result of other axes, or was changed: its {other[0]!r} is "
            f"another; {instead}"
        )
    return block


def _alike(name: str, wanted: zarr.Array, found: Any) -> bool:
    """Whether an array of a result is laid out as it should be; and coordinates are the same."""
    if found is None or found.shape != wanted.shape or _dimensions(found) != _dimensions(wanted):
        return False
    if name in READINGS:
        how = [
            (one.dtype, one.chunks, one.attrs.asdict(), str(one.fill_value))
            for one in (found, wanted)
        ]
        return how[0] == how[1]
    if not RESCALING.isdisjoint(found.attrs):
        return False
    if name == "drift":
        return bool(np.isfinite(found[...]).all())
    units = [one.attrs.get("units") for one in (found, wanted)]
    return units[0] == units[1] and bool(np.array_equal(found[...], wanted[...]))


def _dimensions(array: zarr.Array) -> tuple[str, ...]:
    """Names of an array's dimensions; of a single number some versions say none."""
    return tuple(getattr(array.metadata, "dimension_names", None) or ())


def _group(store: Any, mode: Literal["r", "r+"]) -> zarr.Group:
    """Open a result. Format 2 may ask for codecs that run what they read: it is never opened."""
    group: zarr.Group = zarr_module().open_group(store, mode=mode, zarr_format=3)
    return group


def pending(path: Path, cells: Sequence[Cells]) -> list[Cells]:
    """Blocks that are not done yet."""
    group = _group(path, "r")
    return [one for one in cells if not _done(group, one)]


def _done(group: zarr.Group, cells: Cells) -> bool:
    """Whether a block's flags are there, and all that it holds can be read."""
    try:
        if (np.asarray(group[DONE][cells]) == NOT_YET).any():
            return False
        for name in READINGS:
            np.asarray(group[name][cells])
        return True
    except (OSError, ValueError, RuntimeError):  # a file that was cut short
        return False


def write(path: str, cells: Cells, columns: NDArray[np.float32]) -> None:
    """Write the readings of one block, its flags last."""
    group = _group(path, "r+")
    fields = variables_of(columns)
    for name in sorted(fields, key=lambda name: name == DONE):
        group[name][cells] = fields[name]


def opened_result(path: Path) -> xarray.Dataset:
    """What is there, left on disk until it is asked for."""
    import xarray

    return xarray.open_zarr(path, consolidated=False, zarr_format=3)[list(READINGS)]

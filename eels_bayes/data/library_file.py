"""Fingerprint libraries in files: an npz of plain arrays, which numpy's users write as well."""

from __future__ import annotations

import io
import os
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eels_bayes.data.library_fields import LibraryFields
from eels_bayes.whole_file import write_whole

# What zipfile and numpy raise; a header that is no Python is a TokenError from Python 3.12 on.
DAMAGE = (zipfile.BadZipFile, zlib.error, tokenize.TokenError, ValueError, EOFError)
WORDS = ("value_name", "value_unit", "source")  # texts of a library, by its own names for them


def save_library(self: LibraryFields, path: str | os.PathLike[str]) -> None:
    """Write the library to one npz file of plain arrays; see `load_library`.

    Parameters
    ----------
    path : path-like
        File to write; its folder must exist. An existing file is replaced.

    Raises
    ------
    OSError
        If the file cannot be written; an older one stays.
    """
    variations = self.variations
    arrays: dict[str, Any] = {
        "energy": self.energy,
        "intensity": self.intensity,
        "label": self.labels,
        "class_name": np.array(self.class_names, dtype=str),
        "nuisances": self.nuisances,
        "variations": [variations.shift, variations.broadening, variations.intensity],
        "value_range": self.value_range,
        **{name: getattr(self, name) for name in WORDS},
    }
    if self.values is not None:
        arrays["value"] = self.values
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    write_whole(path, file.getvalue())


def arrays_of(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an npz file, by name; nothing of it is run.

    Raises
    ------
    ValueError
        It is none, is damaged, or holds objects.
    OSError
        It cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {}
            for name in archive.namelist():
                member = io.BytesIO(archive.read(name))  # whole: its checksum comes first
                array = np.lib.format.read_array(member, allow_pickle=False)
                arrays[name.removesuffix(".npy")] = array
            return arrays
    except DAMAGE as error:
        raise ValueError(f"{path} is no npz file of plain arrays ({error})") from error

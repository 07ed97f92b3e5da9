"""Reading a fingerprint library from a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from eels_bayes.data.fingerprints import FingerprintLibrary
from eels_bayes.data.library_file import WORDS, arrays_of
from eels_bayes.data.variations import Variations

NEEDED = ("energy", "intensity", "label")
OTHER_NAMES = {"labels": "label", "values": "value", "fluorine_fraction": "value"}
FLUORINE = {"value_name": "fluorine fraction", "value_range": (0.0, 1.0)}


def load_library(path: str | os.PathLike[str]) -> FingerprintLibrary:
    """Read a fingerprint library from an npz file of plain arrays; nothing from it is run.

    Parameters
    ----------
    path : path-like
        What `FingerprintLibrary.save` wrote, or ``numpy.savez``: ``energy`` (N,) in eV,
        ``intensity`` (M, N), ``label`` (M,), integers or names; and as far as there are
        ``class_name`` (K,), ``value`` (K,) or (M,), ``nuisances`` (Q, N), ``variations`` (3,):
        shift and broadening in eV and relative intensity, ``value_range`` (2,), and the words
        ``value_name``, ``value_unit`` and ``source``, by default the file's name. A
        ``fluorine_fraction`` is a value between 0 and 1.

    Returns
    -------
    FingerprintLibrary

    Raises
    ------
    ValueError, TypeError
        The file is no npz of plain arrays, lacks one that is needed, or they are no library.
    OSError
        The file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> import eels_bayes as eb
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     eb.FingerprintLibrary.example().save(f"{folder}/fluorine.npz")
    ...     eb.load_library(f"{folder}/fluorine.npz").class_names
    ('50 % F', '25 % F', '12.5 % F', '0 % F')
    """
    file = Path(path)
    given = arrays_of(file)
    known = {OTHER_NAMES.get(name, name): array for name, array in given.items()}
    if missing := [name for name in NEEDED if name not in known]:
        raise ValueError(
            f"{file} lacks {', '.join(missing)}; it holds {', '.join(given) or 'nothing'}"
        )
    words: dict[str, Any] = {"source": file.name}
    words |= FLUORINE if "fluorine_fraction" in given else {}
    words |= {name: str(known[name]) for name in WORDS if name in known}
    if "class_name" in known:
        words["class_names"] = [str(name) for name in known["class_name"].ravel()]
    if "value_range" in known:
        words["value_range"] = known["value_range"].tolist()
    try:
        if "variations" in known:
            shift, broadening, intensity = known["variations"].ravel().tolist()
            words["variations"] = Variations(shift, broadening, intensity)
        return FingerprintLibrary.from_arrays(
            known["energy"],
            known["intensity"],
            known["label"],
            values=known.get("value"),
            nuisances=known.get("nuisances"),
            **words,
        )
    except (TypeError, ValueError) as error:
        raise type(error)(f"{file} holds no library: {error}") from error

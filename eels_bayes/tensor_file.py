"""One file of tensors and plain values, read without running anything from it.

The file is a safetensors container with one entry of metadata: under the format's name, a JSON
object of the format's version, the kind of thing stored, and its settings. Whatever the bytes are,
reading gives either tensors without NaN and plain values or a ``ValueError`` that says what is
wrong; nothing is ever unpickled.
"""

import contextlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_container
from safetensors.torch import save as build_container
from torch import Tensor

FORMAT = "eels_bayes"  # under which the metadata are found
VERSION = 1  # of the layout: raised when an older version could not read it
HEADER_LENGTH = 8  # bytes at the start of a safetensors file that say how long its header is

# What rebuilding from a file's parts may raise where these do not fit together.
MISFITS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
_DTYPES = frozenset(
    {torch.float64, torch.float32, torch.float16, torch.bfloat16}
    | {torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool}
)
# Beyond safetensors' own error: a hostile header can ask for shapes and dtypes torch has not.
_UNREADABLE = (SafetensorError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)


def write(
    path: str | os.PathLike[str],
    kind: str,
    tensors: Mapping[str, Tensor | np.ndarray],
    config: Mapping[str, Any],
) -> None:
    """Write tensors and settings to one file, replacing it only once all is written.

    Parameters
    ----------
    path : path-like
        File to write; its folder must exist.
    kind : str
        What the file holds, e.g. ``"classifier"``; `read` asks for it.
    tensors : mapping of str to Tensor or ndarray
        Real numbers of any shape and from any device, written as they are. Infinity is a number
        (a prior that knows nothing has an infinite sd), NaN is none.
    config : mapping
        Plain JSON values under string keys. Tuples come back as lists.

    Raises
    ------
    TypeError
        If a value is none that the file can hold.
    ValueError
        If a tensor holds NaN, a setting is NaN or infinite, or a name is reserved.
    FileNotFoundError
        If the folder does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"path: the folder {path.parent} does not exist; make it first")
    # One entry only: the container keeps several in no fixed order, and equal models shall give
    # equal files.
    metadata = {FORMAT: _to_json({"version": VERSION, "kind": kind, "config": config})}
    data = build_container({n: _to_tensor(n, t) for n, t in tensors.items()}, metadata)
    # A reader never meets half a file, and a failed write leaves the old one.
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write` has written.

    Parameters
    ----------
    path : path-like
        File to read.
    kind : str
        What the file must hold.

    Returns
    -------
    tensors : dict of str to Tensor
        On the CPU, with the shapes and dtypes they were written with.
    config : dict
        The settings.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is not such a file, is damaged, holds another kind, comes from a newer version, or
        has a tensor that holds NaN.
    """
    path = Path(path)
    data = path.read_bytes()
    try:
        tensors = parse_container(data)
        metadata = _metadata(data)
    except _UNREADABLE as e:
        raise ValueError(f"{path}: {_guess(data)}") from e
    if FORMAT not in metadata:
        raise ValueError(f"{path}: a safetensors file, but not one that eels_bayes has written")
    config = _config(path, _from_json(path, metadata[FORMAT]), kind)
    for name, tensor in tensors.items():
        if torch.isnan(tensor).any():
            raise ValueError(f"{path}: tensor {name!r} holds NaN; damaged")
    return tensors, config


def _to_tensor(name: str, value: Tensor | np.ndarray) -> Tensor:
    """A copy on the CPU, of a dtype that the file holds and without NaN."""
    if not isinstance(name, str):
        raise TypeError(f"tensors: names must be str, got {name!r}")
    if name == "__metadata__":
        raise ValueError("tensors: the name '__metadata__' is reserved; choose another")
    if isinstance(value, np.ndarray):
        with contextlib.suppress(TypeError):  # torch has no such dtype: refused below
            value = torch.from_numpy(value.astype(value.dtype.newbyteorder("="), order="C"))
    if not isinstance(value, Tensor) or value.dtype not in _DTYPES:
        got = getattr(value, "dtype", type(value).__name__)
        raise TypeError(f"tensors[{name!r}]: must be real, integer or bool numbers, got {got}")
    # Copies, because the container refuses tensors that share memory.
    tensor = value.detach().cpu().clone(memory_format=torch.contiguous_format)
    if torch.isnan(tensor).any():
        raise ValueError(f"tensors[{name!r}]: holds NaN; did the fit diverge?")
    return tensor


def _to_json(header: dict[str, Any]) -> str:
    """The header as JSON of finite numbers."""
    _check_keys(header["config"], "config")
    try:
        return json.dumps(header, allow_nan=False)
    except TypeError as e:
        raise TypeError(f"config: must hold plain JSON values only: {e}") from e
    except ValueError as e:
        raise ValueError(f"config: must hold finite numbers and no cycles: {e}") from e


def _check_keys(value: Any, where: str) -> None:
    """JSON would turn other keys into strings without a word."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{where}: keys must be str, got {key!r}")
            _check_keys(item, f"{where}[{key!r}]")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            _check_keys(item, f"{where}[{i}]")


def _from_json(path: Path, text: str) -> dict[str, Any]:
    """The header that the text holds; ValueError where it holds none."""
    try:
        header = json.loads(text, parse_constant=_refuse, parse_float=_parse_float)
    except (ValueError, RecursionError) as e:
        raise ValueError(f"{path}: its settings are not JSON of finite numbers; damaged") from e
    if not isinstance(header, dict):
        raise ValueError(f"{path}: its settings are not a JSON object; damaged")
    return header


def _config(path: Path, header: dict[str, Any], kind: str) -> dict[str, Any]:
    """The settings, once the header says that this version can read them as what is asked for."""
    version = header.get("version")
    if type(version) is not int or version < 1:
        raise ValueError(f"{path}: its format version is {version!r}, which is none; damaged")
    if version > VERSION:
        raise ValueError(
            f"{path}: written in format version {version} by a newer eels_bayes; this one reads up "
            f"to version {VERSION}: upgrade it, or save the file again with the older one"
        )
    if header.get("kind") != kind:
        raise ValueError(f"{path}: holds {header.get('kind')!r}, but {kind!r} is asked for")
    config = header.get("config")
    if not isinstance(config, dict):
        raise ValueError(f"{path}: its settings are not a JSON object; damaged")
    return config


def _refuse(constant: str) -> NoReturn:
    """JSON's reader would take NaN and Infinity."""
    raise ValueError(f"{constant} is not JSON")


def _parse_float(text: str) -> float:
    """A finite number; ValueError otherwise."""
    value = float(text)
    if not math.isfinite(value):  # e.g. 1e999
        raise ValueError(f"{text} is not finite")
    return value


def _metadata(data: bytes) -> dict[str, str]:
    """The container's metadata; `data` has been validated by the container's own parser."""
    length = int.from_bytes(data[:HEADER_LENGTH], "little")
    header = json.loads(data[HEADER_LENGTH : HEADER_LENGTH + length])
    return dict(header.get("__metadata__", {}))


def _guess(data: bytes) -> str:
    """What an unreadable file probably is: asked only after it failed as a container."""
    if data[:4] == b"PK\x03\x04":
        return "a zip archive, as torch.save writes: it may hold a program and is not opened"
    if data[:1] == b"\x80" and data[-1:] == b".":
        return "a Python pickle: it may hold a program and is not opened"
    if data[HEADER_LENGTH : HEADER_LENGTH + 1] == b"{":
        return "truncated or damaged: copy it again, or save it again"
    return "not a file that eels_bayes has written"

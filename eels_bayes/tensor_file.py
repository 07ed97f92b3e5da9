"""One file of tensors and plain values, read without running anything from it.

The file is a safetensors container with one entry of metadata: under the format's name, a JSON
object of the format's version, the kind of thing stored, the version of the package that wrote it,
its settings, and a SHA-256 of all this and the tensors. Whatever the bytes are, reading gives
either what was written or a ``ValueError`` that says what is wrong; nothing is ever unpickled.
"""

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_container
from safetensors.torch import save as build_container
from torch import Tensor

from eels_bayes import validation
from eels_bayes.whole_file import write_whole

FORMAT = "eels_bayes"  # under which the metadata are found
VERSION = 2  # of the layout: raised when an older version could not read it
OPENED_BY = {"classifier": "load_model", "fast": "load_fast"}  # by what a file holds
HEADER_LENGTH = 8  # bytes at the start of a safetensors file that say how long its header is
FIELDS = {"version", "kind", "config", "package", "sha256"}  # what the header holds

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
    OSError
        If the file cannot be written; an older one stays, see `write_whole`.
    """
    checked = {n: _to_tensor(n, t) for n, t in tensors.items()}
    package = import_module("eels_bayes").__version__
    header = {"version": VERSION, "kind": kind, "package": package, "config": config}
    _to_json(header)  # or there is nothing to digest
    header["sha256"] = digest(checked, header)
    # One entry only: the container keeps several in no fixed order, and equal models shall give
    # equal files.
    write_whole(path, build_container(checked, {FORMAT: _to_json(header)}))


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
        If it is not such a file, is damaged, holds another kind, is of another format version, or
        has a tensor that holds NaN.
    """
    path = validation.path("path", path)
    tensors, header = _opened(path)
    if header["kind"] != kind:
        raise ValueError(
            f"{path}: {kind!r} is asked for, and it holds {_described(header['kind'])}"
        )
    return tensors, header["config"]


def own_kind(path: str | os.PathLike[str]) -> str:
    """What a file of this package holds, in words; '' where it is no such file."""
    try:
        return _described(kind_of(path))
    except (OSError, ValueError):
        return ""


def _described(kind: str) -> str:
    """A kind of file, and what opens it."""
    opened = f", which eels_bayes.{OPENED_BY[kind]} opens" if kind in OPENED_BY else ""
    return f"{kind!r}{opened}"


def kind_of(path: str | os.PathLike[str]) -> str:
    """What a file that `read` reads holds; errors as there."""
    return str(_opened(Path(path))[1]["kind"])


def written_by(path: str | os.PathLike[str]) -> str:
    """Which eels_bayes wrote a file that `read` reads, in words."""
    return f"eels_bayes {_opened(Path(path))[1]['package']}"


def digest(tensors: Mapping[str, Tensor | np.ndarray], config: Mapping[str, Any]) -> str:
    """SHA-256 of tensors and settings: the same for the same numbers, in whatever order.

    Parameters
    ----------
    tensors : mapping of str to Tensor or ndarray
    config : mapping
        Plain JSON values.

    Returns
    -------
    str
        Hexadecimal digits.
    """
    found = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = torch.as_tensor(tensors[name]).detach().cpu().contiguous()
        dtype = str(tensor.dtype).removeprefix("torch.")
        found.update(f"{name} {dtype} {tuple(tensor.shape)}".encode())
        if tensor.numel():
            found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _opened(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of a file that is whole, of whatever kind."""
    data = _bytes_of(path)
    try:
        tensors = parse_container(data)
        metadata = _metadata(data)
    except _UNREADABLE as e:
        raise ValueError(f"{path}: {_guess(data)}") from e
    if FORMAT not in metadata:
        raise ValueError(f"{path}: a safetensors file, but not one that eels_bayes has written")
    header = _from_json(path, metadata[FORMAT])
    _check_header(path, header)
    of_all = {name: value for name, value in header.items() if name != "sha256"}
    if digest(tensors, of_all) != header["sha256"]:
        raise ValueError(
            f"{path}: damaged, as its numbers are not those that were written; copy it again, or "
            "save it again"
        )
    for name, tensor in tensors.items():
        if torch.isnan(tensor).any():
            raise ValueError(f"{path}: tensor {name!r} holds NaN; damaged")
    return tensors, header


def _bytes_of(path: Path) -> bytes:
    """All of a file, or its ends where it cannot be a container: it may be large."""
    with path.open("rb") as file:
        start = file.read(HEADER_LENGTH + 1)
        if start[HEADER_LENGTH:] == b"{":
            return start + file.read()
        with contextlib.suppress(OSError):  # of what has no end
            file.seek(-1, os.SEEK_END)
        return start + file.read(1)


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


def _check_header(path: Path, header: dict[str, Any]) -> None:
    """Raise ValueError unless the header is one that this version can read."""
    version = header.get("version")
    if type(version) is not int or version < 1:
        raise ValueError(f"{path}: its format version is {version!r}, which is none; damaged")
    if version > VERSION:
        raise ValueError(
            f"{path}: written in format version {version} by a newer eels_bayes; this one reads up "
            f"to version {VERSION}: upgrade it, or save the file again with the older one"
        )
    if version < VERSION:
        raise ValueError(
            f"{path}: written in format version {version}, before eels_bayes was released; such "
            "files are not read: fit again, and save what comes of it"
        )
    if set(header) != FIELDS:
        raise ValueError(f"{path}: its header holds {sorted(header)}; damaged")
    if not isinstance(header["config"], dict):
        raise ValueError(f"{path}: its settings are not a JSON object; damaged")


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

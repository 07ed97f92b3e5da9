"""Damaged files: how many are refused, and whether any is read otherwise than it was written.

Of a model file and of a compiled one: bytes changed, ends cut off, and numbers, dtypes, shapes and
settings edited. An edit is made in the container alone, as by a program that knows nothing of the
checksum, and once more with a new checksum, where the ranges and the known spectra are left to find
it.
"""

from __future__ import annotations

import copy
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as build_container
from tqdm import tqdm

import eels_bayes as eb
from eels_bayes import tensor_file

from . import bed
from .bed import Found

SIZES = {"flips": 2000, "truncations": 200, "edits": 500}
SMOKE = {"flips": 50, "truncations": 10, "edits": 20}
MOST_BYTES = 3  # changed at once
REFUSED, SAME, OTHER = "refused", "read as written", "READ OTHERWISE"


def flipped(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three bytes changed; half of the time in the header, which is the smaller part."""
    changed = bytearray(data)
    size = int.from_bytes(data[:8], "little") + 8
    for _ in range(rng.integers(1, MOST_BYTES + 1)):
        place = rng.integers(size if rng.random() < 0.5 else len(data))
        changed[place] = (changed[place] + rng.integers(1, 256)) % 256
    return bytes(changed)


def truncated(data: bytes, rng: np.random.Generator) -> bytes:
    """An end cut off."""
    return data[: rng.integers(len(data))]


Content = tuple[dict[str, torch.Tensor], dict[str, Any]]


def edited(content: Content, rng: np.random.Generator) -> Content:
    """One tensor's number, dtype or shape changed, or one setting."""
    tensors, config = dict(content[0]), copy.deepcopy(content[1])
    if rng.random() < 0.3:
        place, key = _a_setting(config, rng)
        place[key] = _another(place[key], rng)
        return tensors, config
    full = [name for name in tensors if tensors[name].numel()]
    name = full[rng.integers(len(full))]
    given = tensors[name]
    how = rng.integers(4)
    if how == 0:
        other = [t for t in (torch.float32, torch.float64, torch.int64) if t != given.dtype]
        tensors[name] = given.nan_to_num(posinf=1.0).to(other[rng.integers(len(other))])
    elif how == 1:
        tensors[name] = torch.cat([given.reshape(-1), given.reshape(-1)[:1]])
    else:
        flat = given.clone().reshape(-1)
        one = rng.integers(len(flat))
        if given.dtype == torch.bool:
            flat[one] = ~flat[one]
        else:
            size = flat[one].nan_to_num(posinf=1.0).abs()
            flat[one] = -size - 1 if how == 2 else 2 * size + 1
        tensors[name] = flat.reshape(given.shape)
    return tensors, config


def _a_setting(config: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """Where a setting that is no container lies: the container and the key."""
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(item, dict | list):
                walk(item)
            else:
                places.append((value, key))

    walk(config)
    return places[rng.integers(len(places))]


def _another(value: Any, rng: np.random.Generator) -> Any:
    """Another value than that of a setting."""
    if isinstance(value, bool) or value is None:
        return 17.0 if value is None else not value
    if isinstance(value, str):
        return value + "x"
    return [-abs(value) - 1, 2 * abs(value) + 1, None, str(value)][rng.integers(4)]


def unsealed(data: bytes, content: Content) -> bytes:
    """A file's container with other content under the old checksum."""
    size = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + size])["__metadata__"]
    header = json.loads(metadata[tensor_file.FORMAT]) | {"config": content[1]}
    tensors = {name: x.contiguous() for name, x in content[0].items()}
    return build_container(tensors, {tensor_file.FORMAT: json.dumps(header)})


def verdict(path: Path, kind: str, load: Callable[[Path], Any], content: Content) -> str:
    """What becomes of a file that is opened; whatever is no clear error is named."""
    try:
        load(path)
    except ValueError as error:
        return REFUSED if str(path) in str(error) else f"UNCLEAR: {error}"
    except Exception as error:  # a clear error is a ValueError
        return f"ESCAPED: {type(error).__name__}: {error}"
    tensors, config = tensor_file.read(path, kind)
    same = config == content[1] and tensors.keys() == content[0].keys()
    return (
        SAME if same and all(torch.equal(tensors[k], x) for k, x in content[0].items()) else OTHER
    )


def damaged(data: bytes, content: Content, numbers: dict[str, int], seed: int) -> Iterator[Any]:
    """What is done to a file, and its bytes then."""
    rng = np.random.default_rng(seed)
    for what, change in (("flips", flipped), ("truncations", truncated)):
        for _ in range(numbers[what]):
            yield what, change(data, rng)
    for _ in range(numbers["edits"]):
        yield "edits", unsealed(data, edited(content, rng))


def campaign(
    path: Path, kind: str, load: Callable[[Path], Any], numbers: dict[str, int], seed: int
) -> Found:
    """How often each verdict, by what was done to a file."""
    data, content = path.read_bytes(), tensor_file.read(path, kind)
    found: Found = {}
    victim = path.with_name(f"damaged{path.suffix}")
    total, bar = sum(numbers.values()), {"desc": path.name, "unit": " files"}
    for what, changed in tqdm(damaged(data, content, numbers, seed), total=total, **bar):
        victim.write_bytes(changed)
        found.setdefault(what, Counter())[verdict(victim, kind, load, content)] += 1
    rng = np.random.default_rng(seed)
    sealed = found.setdefault("edits with a new checksum", Counter())
    for _ in range(numbers["edits"]):
        tensors, config = edited(content, rng)
        tensor_file.write(victim, kind, tensors, config)
        sealed[verdict(victim, kind, load, (tensors, config))] += 1
    return {f"{path.suffix} {what}": counts for what, counts in found.items()}


def run(sizes: dict[str, int], seed: int) -> Found:
    """Of both kinds of files."""
    with tempfile.TemporaryDirectory() as folder:
        model, fast = Path(folder) / "model.eels", Path(folder) / "model.fast"
        bed.classifier().save(model)
        bed.compiled().save(fast)
        return campaign(model, "classifier", eb.load_model, sizes, seed) | campaign(
            fast, "fast", eb.load_fast, sizes, seed
        )

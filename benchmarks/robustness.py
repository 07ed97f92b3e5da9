"""Damaged files: how many are refused, and whether any is read otherwise than it was written.

    python benchmarks/robustness.py [--flips 2000] [--truncations 200] [--edits 500] [--kills 100]
        [--seed 0] [--json FILE] [--smoke]

Of a model file and of a compiled one: bytes changed, ends cut off, and numbers, dtypes, shapes and
settings edited. An edit is made in the container alone, as by a program that knows nothing of the
checksum, and once more with a new checksum, where the ranges and the known spectra are left to find
it. Then programs that save a file again and again are killed, and what they leave is read.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as build_container

import eels_bayes as eb
from eels_bayes import tensor_file

SMOKE = {"flips": 50, "truncations": 10, "edits": 20, "kills": 3}
MOST_BYTES = 3  # changed at once
LIVES = (0.05, 0.4)  # seconds that a program saves for until it is killed
REFUSED, SAME, OTHER = "refused", "read as written", "READ OTHERWISE"

SAVES = """
import sys
import torch
from eels_bayes import tensor_file
path, n = sys.argv[1], 0
while True:
    n += 1
    tensor_file.write(path, "numbers", {"x": torch.full((200_000,), float(n))}, {"n": n})
    print(n, flush=True)
"""


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
) -> dict[str, dict[str, int]]:
    """How often each verdict, by what was done to a file."""
    data, content = path.read_bytes(), tensor_file.read(path, kind)
    found: dict[str, Counter[str]] = {}
    victim = path.with_name(f"damaged{path.suffix}")
    for what, changed in damaged(data, content, numbers, seed):
        victim.write_bytes(changed)
        found.setdefault(what, Counter())[verdict(victim, kind, load, content)] += 1
    rng = np.random.default_rng(seed)
    sealed = found.setdefault("edits with a new checksum", Counter())
    for _ in range(numbers["edits"]):
        tensors, config = edited(content, rng)
        tensor_file.write(victim, kind, tensors, config)
        sealed[verdict(victim, kind, load, (tensors, config))] += 1
    return {what: dict(counts) for what, counts in found.items()}


def kills(folder: Path, n: int, seed: int) -> dict[str, int]:
    """What programs leave that save one file again and again until they are killed."""
    path, rng, found = folder / "again.eels", np.random.default_rng(seed), Counter[str]()
    for _ in range(n):
        program = subprocess.Popen(
            [sys.executable, "-c", SAVES, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert program.stdout is not None
        program.stdout.readline()  # one is written
        time.sleep(rng.uniform(*LIVES))
        program.send_signal(signal.SIGKILL)
        program.communicate()
        tensors, config = tensor_file.read(path, "numbers")
        whole = bool((tensors["x"] == config["n"]).all())
        found["whole" if whole else "HALF"] += 1
    found["partial files left"] = len(os.listdir(folder)) - 1
    return dict(found)


def models(folder: Path) -> dict[str, tuple[Path, Callable[[Path], Any]]]:
    """A model file and a compiled one of a small series."""
    series = eb.simulate.annealing_series(n_images=4, shape=(10, 8))
    pre = eb.Preprocessor(
        (677, 737), 0.5, background=(600, 675), normalize=(570, 592.5), align=(565, 600)
    )
    clf = eb.EELSClassifier(eb.FingerprintLibrary.example(), effort=eb.Effort.quick())
    clf.fit(pre(series.signals, show_progressbar=False), show_progressbar=False)
    clf.save(folder / "model.eels")
    energy = series.signals[0].axes_manager.signal_axes[0].axis
    clf.compile(clf.preprocessor, energy=energy).save(folder / "model.fast")
    return {
        "classifier": (folder / "model.eels", eb.load_model),
        "fast": (folder / "model.fast", eb.load_fast),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, number in (("flips", 2000), ("truncations", 200), ("edits", 500), ("kills", 100)):
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    numbers = SMOKE if options.smoke else {name: getattr(options, name) for name in SMOKE}
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, Any] = {}
        for kind, (path, load) in models(Path(folder)).items():
            found[kind] = campaign(path, kind, load, numbers, options.seed)
            print(f"{path.suffix}: {path.stat().st_size} bytes")
            for what, verdicts in found[kind].items():
                print(f"  {what}: {', '.join(f'{n} {text}' for text, n in verdicts.items())}")
        with tempfile.TemporaryDirectory() as other:
            found["kills"] = kills(Path(other), numbers["kills"], options.seed)
        print(
            "killed while saving:", ", ".join(f"{n} {text}" for text, n in found["kills"].items())
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

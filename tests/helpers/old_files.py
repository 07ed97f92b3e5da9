"""Files as older versions of the package wrote them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from eels_bayes import tensor_file


def without_known(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of before files held a few spectra and what is said of them."""
    return {name: x for name, x in tensors.items() if not name.startswith("known.")}


def write_version_1(
    path: Path, kind: str, tensors: Mapping[str, Tensor], config: Mapping[str, Any]
) -> None:
    """A file of format 1: without a checksum and without the package's version."""
    header = {"version": 1, "kind": kind, "config": config}
    path.write_bytes(save(dict(tensors), {tensor_file.FORMAT: json.dumps(header)}))

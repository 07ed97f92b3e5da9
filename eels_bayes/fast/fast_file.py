"""The file of a compiled classifier: tensors and JSON, written and read back."""

from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from eels_bayes import tensor_file
from eels_bayes.data.detector_noise import Noise, checked_noise
from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.data.value_range import range_of_plain
from eels_bayes.fast.backends import BACKENDS
from eels_bayes.fast.dense_head import DenseHeads
from eels_bayes.fast.graph import N_COLUMNS, FastGraph
from eels_bayes.fast.parts import FastParts
from eels_bayes.forward_model.pixel_posterior import PixelEvidence
from eels_bayes.latent.noisy_encoder import NoisyEncoder
from eels_bayes.prediction.gp_heads import GPHeads
from eels_bayes.prediction.novelty import NoveltyScale, novelty_scale
from eels_bayes.prediction.pixel_reader import Reader
from eels_bayes.preprocessing.preprocessor import Preprocessor
from eels_bayes.uncertainty.packed_gp import GPConstants

KIND = "fast"  # what the file says that it holds
LIBRARY = ("energy", "spectra", "values")  # what the library in it must have
HEX = set("0123456789abcdef")  # what a digest is written in
MOST_CHANNELS = 10**6  # of a detector that a file may name: a damaged number must not fill memory


def write(path: str | os.PathLike[str], parts: FastParts) -> None:
    """Write one file of tensors and JSON."""
    graph, encoder = parts.graph, parts.graph.reader.encoder
    modules = {"reader": graph.reader, "preprocessor": parts.preprocessor}
    tensors = {
        f"{prefix}.{name}": tensor
        for prefix, module in modules.items()
        for name, tensor in module.state_dict().items()
    }
    config = {
        "class_names": list(parts.class_names),
        "head": parts.head,
        "backend": parts.backend,
        "library": parts.library,
        "model": parts.model,
        "preprocessor": parts.preprocessor.options(),
        "axis": list(graph.axis),
        "gain": graph.gain,
        "readout": graph.readout,
        "offset": graph.offset,
        "correlation_factor": graph.correlation_factor,
        "evidence": list(encoder.evidence.sizes),
        "latent_dim": encoder.latent_dim,
    }
    tensor_file.write(path, KIND, tensors, config)


def read(path: str | os.PathLike[str]) -> FastParts:
    """Read what `write` wrote, and try it; nothing from the file is run.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If the file is not such a model, is damaged, or does not fit together.
    """
    tensors, config = tensor_file.read(path, KIND)
    try:
        graph, preprocessor = _rebuilt(tensors, config)
        names = tuple(str(name) for name in config["class_names"])
        library = dict(config["library"])
        if not set(LIBRARY) <= set(library):
            raise ValueError("the library lacks its energy, spectra or values")
        model = config.get("model", "")  # files of before models had a digest name none
        if not isinstance(model, str) or not set(model) <= HEX:
            raise ValueError(f"model is {model!r}")
        if config["backend"] not in list(BACKENDS):
            raise ValueError(f"backend is {config['backend']!r}")
        _try_out(graph, names, config)
    except tensor_file.MISFITS as error:
        raise ValueError(
            f"{os.fspath(path)} holds no complete fast classifier ({error}); save it again"
        ) from error
    head, backend = config["head"], config["backend"]
    return FastParts(graph, preprocessor, names, head, backend, library, model)


def to_bytes(parts: FastParts) -> bytes:
    """What `write` writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.fast"
        write(path, parts)
        return path.read_bytes()


def from_bytes(data: bytes) -> FastParts:
    """Read what `to_bytes` gave; as safe as `read`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.fast"
        path.write_bytes(data)
        return read(path)


def _try_out(graph: FastGraph, names: tuple[str, ...], config: dict[str, Any]) -> None:
    """Raise ValueError unless the graph reads spectra and says something of every class."""
    plan = graph.plan(0.0)
    if int(plan.flag):
        raise ValueError(f"the axis {config['axis']} does not cover what is needed")
    with torch.inference_mode():
        columns, _, _ = graph(torch.ones(2, graph.axis.n, dtype=torch.float32), *plan)
    if columns.shape[1] != len(names) + N_COLUMNS:
        raise ValueError(f"{len(names)} class_names do not fit {columns.shape[1]} columns")


def _rebuilt(tensors: dict[str, Tensor], config: dict[str, Any]) -> tuple[FastGraph, Preprocessor]:
    """Graph and preprocessor of a file's tensors and options, which are checked first."""
    state = _below("reader.", tensors)
    if config["head"] not in ("gp", "dense"):
        raise ValueError(f"head is {config['head']!r}")
    sizes = [int(size) for size in config["evidence"]]
    detector_noise = _noise(config)
    # before anything is built of these sizes
    _check_tensors(state, sizes, config)
    reader = _reader(state, sizes, config)
    own = _below("preprocessor.", tensors)
    preprocessor = Preprocessor.restored(config["preprocessor"], own)
    graph = FastGraph(preprocessor, reader, _axis(config), detector_noise)
    return graph.eval().requires_grad_(False), preprocessor


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin so, named without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _noise(config: dict[str, Any]) -> Noise:
    """The noise of the counts; ValueError where none can be like this."""
    # files of before noise was measured hold gain and readout alone
    names = Noise._fields if "noise" in config["preprocessor"] else Noise._fields[:2]
    return checked_noise(Noise(*(float(config[name]) for name in names)))


def _axis(config: dict[str, Any]) -> EnergyAxis:
    """The detector's axis; ValueError where the numbers are none."""
    offset, scale, n_channels = config["axis"]
    if not (math.isfinite(offset) and scale > 0 and 0 < n_channels <= MOST_CHANNELS):
        raise ValueError(f"the axis {config['axis']} is none")
    return EnergyAxis(float(offset), float(scale), int(n_channels))


def _check_tensors(state: dict[str, Tensor], sizes: list[int], config: dict[str, Any]) -> None:
    """Raise ValueError unless the reader's tensors have the shapes it needs, and are finite."""
    latent_dim = config["latent_dim"]
    shapes = {
        "encoder.axes": (latent_dim, latent_dim),
        "encoder.slope": (sizes[2], sizes[1], latent_dim),
        "encoder.evidence.span": tuple(sizes[:2]),
        "encoder.evidence.log_weight": tuple(sizes[2:3]),
        "encoder.evidence.inside": tuple(sizes[3:4]),
    }
    if config["head"] == "gp":
        shapes["heads.value_noise"] = ()
    for name, shape in shapes.items():
        if tuple(state[name].shape) != shape:
            raise ValueError(f"{name} has shape {tuple(state[name].shape)}, not {shape}")
    if not all(tensor.isfinite().all() for tensor in state.values()):
        raise ValueError("its tensors hold infinite numbers")


def _reader(state: dict[str, Tensor], sizes: list[int], config: dict[str, Any]) -> Reader:
    """The reader that these tensors are the state of."""
    evidence = PixelEvidence((sizes[0], sizes[1], sizes[2], sizes[3]))
    encoder = NoisyEncoder(evidence, config["latent_dim"])
    heads = _gp_heads(state, config) if config["head"] == "gp" else _dense_heads(config)
    held = {name: state[name] for name in NoveltyScale._fields if name in state}
    scale = novelty_scale(held, sizes[2])
    reader = Reader(encoder, heads, scale)
    state = state | scale._asdict()
    reader.load_state_dict(state)
    return reader


def _gp_heads(state: dict[str, Tensor], config: dict[str, Any]) -> nn.Module:
    """The GP heads of the reader's state, with a value where it has one."""

    def constants(prefix: str) -> GPConstants:
        return GPConstants(*(state[f"heads.{prefix}_{name}"] for name in GPConstants._fields))

    value = constants("value") if "heads.value_mean" in state else None
    # files of before values had a range name none
    value_range = range_of_plain(config["library"].get("value_range", [None, None]))
    return GPHeads(constants("classes"), value, state["heads.value_noise"], value_range)


def _dense_heads(config: dict[str, Any]) -> nn.Module:
    """Dense heads, whose weights are not set yet."""
    return DenseHeads(config["latent_dim"], len(config["class_names"]))

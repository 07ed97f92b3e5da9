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
from eels_bayes.fast.graph import N_COLUMNS, FastGraph, Plan
from eels_bayes.fast.parts import FastParts
from eels_bayes.fast.population import PREFIX, TENSORS, as_stored, stored
from eels_bayes.forward_model.pixel_posterior import PixelEvidence
from eels_bayes.latent.noisy_encoder import NoisyEncoder
from eels_bayes.prediction import known_readings
from eels_bayes.prediction.gp_heads import GPHeads
from eels_bayes.prediction.novelty import NoveltyScale
from eels_bayes.prediction.pixel_reader import Reader
from eels_bayes.prediction.stored_tensors import (
    ENCODER,
    F32,
    F64,
    KNOWN,
    NOVELTY,
    PREPROCESSOR,
    VALUE,
    evidence_sizes,
)
from eels_bayes.preprocessing.preprocessor import Preprocessor
from eels_bayes.preprocessing.windows import MOST_CHANNELS
from eels_bayes.tensor_checks import NOT_NEGATIVE, POSITIVE, Expected, below, check_tensors, named
from eels_bayes.uncertainty.packed_gp import GPConstants

KIND = "fast"  # what the file says that it holds
LIBRARY = ("energy", "spectra", "values", "class_weights")  # what the library in it must have
HEX = set("0123456789abcdef")  # what a digest is written in

# What the tensors must be; letters as in `prediction.stored_tensors`, G classes of the GP.
_CLASSES = VALUE | {
    "inducing": Expected("MA", F64),
    "mean": Expected("G", F64),
    "A": Expected("MG", F64),
    "B": Expected("GMM", F64),
}
_HEADS = {
    "gp": {
        **named("classes_", _CLASSES),
        **named("value_", VALUE),
        "value_noise": Expected("", F32, NOT_NEGATIVE),
    },
    "dense": {
        "center": Expected("D", F32),
        "width": Expected("D", F32, POSITIVE),
        "layers.*": Expected(None, F32),
    },
}


def write(path: str | os.PathLike[str], parts: FastParts) -> None:
    """Write one file of tensors and JSON."""
    tensors, config = _packed(parts)
    graph, encoder = parts.graph, parts.graph.reader.encoder
    noise = Noise(graph.gain, graph.readout, graph.offset, graph.correlation_factor)
    known = parts.preprocessor, encoder.evidence, graph.axis, noise
    counts = known_readings.drawn_counts(*known)
    tensors |= known_readings.as_stored(counts, _columns(graph, graph.plan(0.0), counts))
    tensors |= as_stored(parts.population)
    tensor_file.write(path, KIND, tensors, config)


def digest(parts: FastParts) -> str:
    """The same where the same is said of the same counts: of model, head, axis, noise, backend."""
    tensors, config = _packed(parts)
    config["library"].pop("source", None)
    return tensor_file.digest(tensors, config)


def _packed(parts: FastParts) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and settings that everything is read with."""
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
        "library": dict(parts.library),
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
    return tensors, config


def read(path: str | os.PathLike[str]) -> FastParts:
    """Read what `write` wrote, and try it; nothing from the file is run.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If the file is not such a model, is damaged, does not fit together, or would be read
        otherwise than where it was written.
    """
    tensors, config = tensor_file.read(path, KIND)
    try:
        tensors = _checked(tensors, config)
        graph, preprocessor = _rebuilt(tensors, config)
        names = tuple(str(name) for name in config["class_names"])
        library = dict(config["library"])
        if not set(LIBRARY) <= set(library):
            raise ValueError(f"the library lacks one of {', '.join(LIBRARY)}")
        _check_weights(library["class_weights"], len(names))
        model = config["model"]
        if not isinstance(model, str) or not set(model) <= HEX:
            raise ValueError(f"model is {model!r}")
        if config["backend"] not in list(BACKENDS):
            raise ValueError(f"backend is {config['backend']!r}")
        _try_out(graph, names, tensors, config)
        population = stored(tensors, graph.reader.dominant)
    except tensor_file.MISFITS as error:
        raise ValueError(
            f"{os.fspath(path)} holds no complete fast classifier ({error}); open it with "
            f"{tensor_file.written_by(path)}, which wrote it, or save it again"
        ) from error
    head, backend = config["head"], config["backend"]
    return FastParts(graph, preprocessor, names, head, backend, library, model, population)


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


def _check_weights(weights: list[float], n_classes: int) -> None:
    """Raise ValueError unless these are weights of so many classes."""
    positive = len(weights) == n_classes and all(math.isfinite(x) and x > 0 for x in weights)
    if not positive or not math.isclose(sum(weights), 1.0, rel_tol=1e-6):
        raise ValueError(f"the class weights {weights} are none of {n_classes} classes")


def _try_out(
    graph: FastGraph, names: tuple[str, ...], tensors: dict[str, Tensor], config: dict[str, Any]
) -> None:
    """Raise ValueError unless the graph says of every class what it said where it was written."""
    plan = graph.plan(0.0)
    if int(plan.flag):
        raise ValueError(f"the axis {config['axis']} does not cover what is needed")
    columns = _columns(graph, plan, tensors["known.counts"])
    if columns.shape[1] != len(names) + N_COLUMNS:
        raise ValueError(f"{len(names)} class_names do not fit {columns.shape[1]} columns")
    known_readings.check_columns(tensors["known.columns"], columns)


def _columns(graph: FastGraph, plan: Plan, counts: Tensor) -> Tensor:
    """What the graph says of counts (n, E), where it is."""
    with torch.inference_mode():
        columns, _, _ = graph(counts.to(graph.near.device), *plan)
    return columns


def _checked(tensors: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Tensor]:
    """Tensors that are what they must be, before anything is built of their sizes."""
    if config["head"] not in _HEADS:
        raise ValueError(f"head is {config['head']!r}")
    table = named("preprocessor.", PREPROCESSOR) | KNOWN | named(PREFIX, TENSORS)
    parts = named("encoder.", ENCODER) | NOVELTY | named("heads.", _HEADS[config["head"]])
    parts["labels"] = Expected("CG", F32, NOT_NEGATIVE)
    sizes = evidence_sizes(config["evidence"])
    sizes |= {"D": config["latent_dim"], "G": len(config["class_names"])}
    return check_tensors(tensors, table | named("reader.", parts), sizes)


def _rebuilt(tensors: dict[str, Tensor], config: dict[str, Any]) -> tuple[FastGraph, Preprocessor]:
    """Graph and preprocessor of a file's tensors and options."""
    detector_noise = _noise(config)
    reader = _reader(below("reader.", tensors), config)
    preprocessor = Preprocessor.restored(config["preprocessor"], below("preprocessor.", tensors))
    if preprocessor.profile_axis().n != reader.encoder.evidence.sizes[0]:  # before it is laid out
        raise ValueError("preprocessor.profile_bins and the reader's bins do not fit together")
    graph = FastGraph(preprocessor, reader, _axis(config), detector_noise)
    return graph.eval().requires_grad_(False), preprocessor


def _noise(config: dict[str, Any]) -> Noise:
    """The noise of the counts; ValueError where none can be like this."""
    return checked_noise(Noise(*(float(config[name]) for name in Noise._fields)))


def _axis(config: dict[str, Any]) -> EnergyAxis:
    """The detector's axis; ValueError where the numbers are none."""
    offset, scale, n_channels = config["axis"]
    if not (math.isfinite(offset) and scale > 0 and 0 < n_channels <= MOST_CHANNELS):
        raise ValueError(f"the axis {config['axis']} is none")
    return EnergyAxis(float(offset), float(scale), int(n_channels))


def _reader(state: dict[str, Tensor], config: dict[str, Any]) -> Reader:
    """The reader that these tensors are the state of."""
    n_bins, n_span, n_components, n_unknown, n_window = config["evidence"]
    evidence = PixelEvidence((n_bins, n_span, n_components, n_unknown, n_window))
    encoder = NoisyEncoder(evidence, config["latent_dim"])
    heads = _gp_heads(state, config) if config["head"] == "gp" else _dense_heads(config)
    scale = NoveltyScale(*(state[name] for name in NoveltyScale._fields))
    reader = Reader(encoder, heads, scale, state["labels"])
    reader.load_state_dict(state)
    return reader


def _gp_heads(state: dict[str, Tensor], config: dict[str, Any]) -> nn.Module:
    """The GP heads of the reader's state, with a value where it has one."""

    def constants(prefix: str) -> GPConstants:
        return GPConstants(*(state[f"heads.{prefix}_{name}"] for name in GPConstants._fields))

    value = constants("value") if "heads.value_mean" in state else None
    value_range = range_of_plain(config["library"]["value_range"])
    return GPHeads(constants("classes"), value, state["heads.value_noise"], value_range)


def _dense_heads(config: dict[str, Any]) -> nn.Module:
    """Dense heads, whose weights are not set yet."""
    return DenseHeads(config["latent_dim"], len(config["class_names"]))

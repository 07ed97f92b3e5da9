"""The file of a compiled classifier, read back."""

from __future__ import annotations

import math
import os
from typing import Any

import torch
from torch import Tensor, nn

from eels_bayes import tensor_file
from eels_bayes.data.energy_axis import EnergyAxis
from eels_bayes.fast.backends import BACKENDS, Backend
from eels_bayes.fast.classifier import KIND, FastClassifier
from eels_bayes.fast.dense_head import DenseHeads
from eels_bayes.fast.graph import N_COLUMNS, FastGraph
from eels_bayes.forward_model.pixel_posterior import PixelEvidence
from eels_bayes.latent.noisy_encoder import NoisyEncoder
from eels_bayes.prediction.gp_heads import GPHeads
from eels_bayes.prediction.novelty import NoveltyScale
from eels_bayes.prediction.pixel_reader import Reader
from eels_bayes.preprocessing.preprocessor import Preprocessor
from eels_bayes.uncertainty.psi_statistics import GPConstants


def load_fast(path: str | os.PathLike[str], *, backend: Backend | None = None) -> FastClassifier:
    """Read what `FastClassifier.save` wrote; the file is data, and nothing from it is run.

    Parameters
    ----------
    path : path-like
    backend : {"torchscript", "onnx", "inductor"}, optional
        The one it was saved with if left out, but TorchScript for "inductor": that compiles anew,
        for a minute, and no file decides that a compiler runs.

    Raises
    ------
    ValueError
        If the file is not such a model, is damaged, or does not fit together.
    """
    tensors, config = tensor_file.read(path, KIND)
    try:
        graph, pre = _rebuilt(tensors, config)
        names, head = [str(name) for name in config["class_names"]], config["head"]
        library = dict(config["library"])
        if not {"energy", "spectra", "values"} <= set(library):
            raise ValueError("the library lacks its energy, spectra or values")
        if config["backend"] not in list(BACKENDS):
            raise ValueError(f"backend is {config['backend']!r}")
        plan = graph.plan(0.0)
        if int(plan.flag):
            raise ValueError(f"the axis {config['axis']} does not cover what is needed")
        with torch.inference_mode():
            columns, _, _ = graph(torch.ones(2, graph.axis.n), *plan)
        if columns.shape[1] != len(names) + N_COLUMNS:
            raise ValueError(f"{len(names)} class_names do not fit {columns.shape[1]} columns")
    except tensor_file.MISFITS as error:
        raise ValueError(
            f"{os.fspath(path)} holds no complete fast classifier ({error}); save it again"
        ) from error
    if backend is None:
        backend = "torchscript" if config["backend"] == "inductor" else config["backend"]
    return FastClassifier(graph, pre, names, head, backend, library)


def _rebuilt(tensors: dict[str, Tensor], config: dict[str, Any]) -> tuple[FastGraph, Preprocessor]:
    state = {k.removeprefix("reader."): v for k, v in tensors.items() if k.startswith("reader.")}
    if config["head"] not in ("gp", "dense"):
        raise ValueError(f"head is {config['head']!r}")
    sizes = [int(size) for size in config["evidence"]]
    latent_dim = config["latent_dim"]
    gain, readout = float(config["gain"]), float(config["readout"])
    if not (0 < gain < math.inf and 0 <= readout < math.inf):
        raise ValueError(f"gain is {gain} and readout {readout}")
    # before anything is built of these sizes
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
    evidence = PixelEvidence((sizes[0], sizes[1], sizes[2], sizes[3]))
    encoder = NoisyEncoder(evidence, latent_dim)

    def constants(prefix: str) -> GPConstants:
        return GPConstants(*(state[f"heads.{prefix}_{name}"] for name in GPConstants._fields))

    heads: nn.Module
    if config["head"] == "gp":
        value = constants("value") if "heads.value_mean" in state else None
        heads = GPHeads(constants("classes"), value, state["heads.value_noise"])
    else:
        heads = DenseHeads(latent_dim, len(config["class_names"]))
    scale = NoveltyScale(*(state[name] for name in NoveltyScale._fields))
    reader = Reader(encoder, heads, scale)
    reader.load_state_dict(state)
    pre = Preprocessor.from_options(config["preprocessor"])
    pre.load_state_dict(
        {k.removeprefix("preprocessor."): v for k, v in tensors.items() if k.startswith("pre")}
    )
    offset, scale, n_channels = config["axis"]
    if not (math.isfinite(offset) and scale > 0 and 0 < n_channels <= 10**6):
        raise ValueError(f"the axis {config['axis']} is none")
    axis = EnergyAxis(float(offset), float(scale), int(n_channels))
    graph = FastGraph(pre, reader, axis, gain, readout)
    return graph.eval().requires_grad_(False), pre

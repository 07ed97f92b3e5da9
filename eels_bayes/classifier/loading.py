"""Reading a classifier that was saved."""

from __future__ import annotations

import os

import torch

from eels_bayes import tensor_file
from eels_bayes.classifier.classifier import EELSClassifier
from eels_bayes.classifier.model_file import KIND, unpack


@torch.inference_mode(False)  # or the model could never be differentiated
def load_model(
    path: str | os.PathLike[str], *, device: str | torch.device = "cpu"
) -> EELSClassifier:
    """Read a classifier that :meth:`EELSClassifier.save` wrote.

    The file is data: tensors and plain values. Opening it runs nothing from it. What it comes from
    is in ``provenance``. A file holds a checksum and a few spectra with what was said of them: one
    that is damaged, or that this version reads otherwise, is refused.

    Parameters
    ----------
    path : path-like
    device : str or torch.device
        Where its networks run.

    Returns
    -------
    EELSClassifier
        Fitted.

    Raises
    ------
    ValueError
        If the file is not such a model, is damaged, does not fit together, or would be read
        otherwise than where it was written.
    OSError
        If the file cannot be read.
    """
    tensors, config = tensor_file.read(path, KIND)
    try:
        contents = unpack(tensors, config)
        clf = EELSClassifier(
            **contents.plan._asdict(), effort=contents.effort, seed=contents.seed, device=device
        )
    except tensor_file.MISFITS as error:
        raise ValueError(
            f"{os.fspath(path)} holds no complete classifier ({error}); open it with "
            f"{tensor_file.written_by(path)}, which wrote it, or save the model again"
        ) from error
    clf.fitted, clf.history = contents.fitted, contents.history
    clf.fitted.vae.to(clf.device)
    clf.fitted.encoder.to(clf.device)
    return clf

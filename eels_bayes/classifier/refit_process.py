"""What a process does that fits a stream's model anew; see `stream_refit`."""

from __future__ import annotations

import json
import os
import signal
from itertools import accumulate
from pathlib import Path

import numpy as np

LOWER_PRIORITY = 10  # of the process, as Unix counts


def fit_in(name: str) -> None:
    """Fit to what lies in a folder, and leave the compiled model there."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asked, who ends this
    if hasattr(os, "nice"):
        os.nice(LOWER_PRIORITY)
    import torch
    from exspy.signals import EELSSpectrum

    from eels_bayes.classifier.classifier import EELSClassifier
    from eels_bayes.classifier.loading import load_model
    from eels_bayes.data.detector_noise import Noise

    torch.set_num_threads(1)
    folder = Path(name)
    about = json.loads((folder / "about.json").read_text())
    energy, model = about["energy"], load_model(folder / "model.eels")
    counts = np.fromfile(folder / "counts", dtype=np.float32).reshape(-1, len(energy))
    signals = []
    for image in np.split(counts, list(accumulate(about["pixels"]))[:-1]):
        spectra = EELSSpectrum(image[None])
        axis = spectra.axes_manager[-1]
        axis.offset, axis.scale, axis.units = energy[0], energy[1] - energy[0], "eV"
        signals.append(spectra)
    pre = model.preprocessor
    pre.noise = Noise(*about["noise"])  # the stream's, which no metadata state
    own = ("prior", "latent_dim", "likelihood", "class_weights", "effort", "seed")
    anew = EELSClassifier(model.library, **{key: getattr(model, key) for key in own})
    anew.fit(pre(signals, show_progressbar=False), show_progressbar=False)
    fast = anew.compile(pre, energy=energy, head=about["head"], noise=about["noise"])
    fast.save(folder / "model.fast")

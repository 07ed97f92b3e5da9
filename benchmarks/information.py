"""What each kind of doubt answers to: encoder information to dose, classifier information to data.

    python benchmarks/information.py [--images 8] [--json FILE] [--figure FILE]

A model is fitted to a series at every dose: the mean encoder information of its pixels must fall as
the dose rises. At dose 1 the classifier is then trained again on 1, 2, 4 ... labelled fingerprint
spectra a class, everything else as it was: the mean classifier information must fall as they are
added.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from annealing import preprocess

import eels_bayes as eb
from eels_bayes.classifier.fitted import posterior
from eels_bayes.forward_model.reinsertion import reinsertion
from eels_bayes.uncertainty.decomposition import decompose_latent
from eels_bayes.uncertainty.quadrature import default_nodes

DOSES = (0.1, 0.3, 1.0, 3.0, 10.0)
FINGERPRINTS = (2, 4, 8, 16, 32, 64, 128, 256, 512)  # a class
N_PIXELS = 2000


def fitted(dose: float, n_images: int, seed: int) -> tuple[eb.EELSClassifier, eb.Spectra]:
    """A model fitted to a series of its own dose."""
    series = eb.simulate.annealing_series(n_images=n_images, dose=dose, seed=seed)
    spectra = preprocess(series)
    return eb.EELSClassifier(eb.FingerprintLibrary.example(), seed=seed).fit(spectra), spectra


def classifier_information(
    clf: eb.EELSClassifier, spectra: eb.Spectra, sizes: tuple[int, ...], seed: int
) -> list[float]:
    """Mean classifier information (nats) with a GP of so many fingerprint spectra a class."""
    model = clf.fitted
    assert model is not None
    n_classes = model.gp.n_classes
    rng = np.random.default_rng(seed)
    source = reinsertion(model.forward, spectra)
    labels = np.arange(max(sizes) * n_classes) % n_classes
    edge, _, _ = model.forward.library.vary(len(labels), rng, labels=labels)
    clean = edge + source.overlap(source.coefficients(len(labels), rng))
    with torch.no_grad():
        mean, sd = model.vae.encode(torch.as_tensor(clean, dtype=torch.float32))
    noise = torch.as_tensor(rng.standard_normal(mean.shape), dtype=mean.dtype)
    latents = (mean + sd * noise) @ model.encoder.axes
    rows = np.flatnonzero(spectra.ok)[:: max(1, len(spectra) // N_PIXELS)]
    mixture = posterior(model.encoder, spectra[rows], torch.device("cpu"))
    nodes = [x.float() for x in default_nodes(n_classes)]
    found = []
    for size in sizes:
        n = size * n_classes
        gp = eb.fit_gp(latents[:n], torch.as_tensor(labels[:n]), n_classes, seed=seed)
        with torch.no_grad():
            parts = decompose_latent(
                mixture.log_weight.exp(),
                mixture.mean,
                mixture.sd**2,
                gp.constants(torch.float32),
                *nodes,
            )
        found.append(float(parts.classifier.mean()))
    return found


def draw(result: dict[str, Any], path: str) -> None:
    """Both curves in one figure."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.6), constrained_layout=True, sharey=True)
    for ax, (key, label, colour) in zip(
        axes,
        (
            ("encoder", "Dose (1 = a real single pixel)", "C0"),
            ("classifier", "Fingerprint spectra a class", "C1"),
        ),
        strict=True,
    ):
        x, y = result[key]["at"], result[key]["nats"]
        ax.plot(x, y, "o-", color=colour)
        ax.set(xscale="log", yscale="log", xlabel=label, title=f"{key.capitalize()} information")
        ax.set_xticks(x, [f"{v:g}" for v in x])
        ax.minorticks_off()
    axes[0].set_ylabel("Mean over pixels (nats)")
    ticks = [0.01, 0.03, 0.1, 0.3, 1.0]
    axes[0].set_yticks(ticks, [f"{v:g}" for v in ticks])
    figure.savefig(path, dpi=150)


def main() -> None:
    """Run, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", help="where the figure is written")
    options = parser.parse_args()
    nats = []
    classifier: list[float] = []
    for dose in DOSES:
        clf, spectra = fitted(dose, options.images, options.seed)
        nats.append(float(np.nanmean(clf.predict(spectra).encoder)))
        print(f"dose {dose:5g}: encoder information {nats[-1]:.3f} nats", flush=True)
        if dose == 1.0:
            classifier = classifier_information(clf, spectra, FINGERPRINTS, options.seed)
            for size, value in zip(FINGERPRINTS, classifier, strict=True):
                print(f"{size:4d} fingerprints a class: classifier information {value:.4f} nats")
    result = {
        "encoder": {"at": DOSES, "nats": nats},
        "classifier": {"at": FINGERPRINTS, "nats": classifier},
    }
    print("both fall throughout:", *(bool((np.diff(r["nats"]) < 0).all()) for r in result.values()))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))
    if options.figure:
        draw(result, options.figure)


if __name__ == "__main__":
    main()

"""Fluorine leaving a Cr2TiC2OxFy MXene as it is annealed: from counts to maps with their doubt.

Simulates 24 spectrum images (three areas at eight temperatures) of known truth, reads the F K edge
of every single pixel without any label, and writes maps, spectra, the latent space, the reliability
of the probabilities and a table beside the usual principal components and peak ratio.

    python examples/annealing_series.py --out demo
"""

# %% Constants
import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

import eels_bayes as eb

WINDOW = (677.0, 737.0)  # F K edge, eV
BACKGROUND = (650.0, 680.0)  # eV
REFERENCE = (570.0, 592.5)  # Cr L edge that intensities are relative to, eV
ALIGN = (567.5, 627.5)  # eV
DISPERSION = 0.25  # eV a channel
DOSE = 1.0  # about 550 counts a channel under the edge
SHOULDER, PEAK = (687.5, 691.5), (696.0, 701.0)  # eV, of the ratio method
SURE = 0.97  # probability given to the class that the ratio method names

parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the figures")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--smoke", action="store_true", help="a small series and short training")
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)

# %% A series whose truth is known
began = time.perf_counter()
size = {"n_images": 6, "shape": (12, 10)} if args.smoke else {"n_images": 24, "shape": (30, 19)}
series = eb.simulate.annealing_series(**size, dose=DOSE, seed=args.seed)
truth = series.truth.label.values.ravel()

# %% Counts to edge spectra
pre = eb.Preprocessor(
    window=WINDOW, dispersion=DISPERSION, background=BACKGROUND, normalize=REFERENCE, align=ALIGN
)
spectra = pre(series.signals)
print(spectra)

# %% Fit without labels, then read every pixel
library = eb.FingerprintLibrary.example()
effort = eb.Effort.quick() if args.smoke else eb.Effort()
clf = eb.EELSClassifier(library, prior="fingerprint", latent_dim=16, seed=args.seed, effort=effort)
clf.fit(spectra)
clf.save(args.out / "model.eels")  # eb.load_model reads it
pred = clf.predict(spectra)


# %% The usual way: principal components, then peak over shoulder
def peak_ratio(spectra: eb.Spectra, library: eb.FingerprintLibrary) -> np.ndarray:
    """Class probabilities (n, K) of the nearest fingerprint by peak over shoulder after PCA(10).

    A peak below half of the faintest fluorine fingerprint's is called fluorine-free: a ratio of
    nothing to nothing names no class. The method gives no doubt, so the class gets SURE.
    """
    pca = PCA(10, random_state=0)
    clean = pca.inverse_transform(pca.fit_transform(spectra.intensity))

    def mean(rows: np.ndarray, band: tuple[float, float]) -> np.ndarray:
        return rows[:, (spectra.energy >= band[0]) & (spectra.energy < band[1])].mean(1)

    known = library.resample(spectra.energy).class_spectra
    peaks, shoulders = mean(known, PEAK), mean(known, SHOULDER)
    empty = int(peaks.argmin())
    ratios = np.divide(peaks, shoulders, out=np.full_like(peaks, np.inf), where=shoulders > 0)
    measured = mean(clean, PEAK) / np.maximum(mean(clean, SHOULDER), 1e-3)
    label = np.abs(measured[:, None] - ratios).argmin(1)
    label[mean(clean, PEAK) < 0.5 * np.sort(peaks)[1]] = empty
    others = (1.0 - SURE) / (len(known) - 1)
    return np.where(np.arange(len(known)) == label[:, None], SURE, others)


# %% The table
methods = {
    "eels_bayes": pred.probabilities,
    "PCA(10) + peak/shoulder": peak_ratio(spectra, library),
}
print(f"\n{'':26s}{'accuracy':>9s}{'NLL':>8s}{'Brier':>8s}{'ECE':>8s}")
for name, probabilities in methods.items():
    row = eb.metrics.summary(probabilities, truth)
    print(f"{name:26s}{row['accuracy']:9.3f}{row['nll']:8.3f}{row['brier']:8.3f}{row['ece']:8.3f}")
print("\nshare of each class's pixels that is found (recall)")
for k, class_name in enumerate(library.class_names):
    row = [(p[truth == k].argmax(1) == k).mean() for p in methods.values()]
    print(f"{class_name:26s}{row[0]:9.3f}   (peak/shoulder {row[1]:.3f})")
mixed = series.truth.fractions.max("class").values.ravel() < 0.99
print(
    f"\nmean total uncertainty: {pred.total[~mixed].mean():.3f} nats in pure pixels, "
    f"{pred.total[mixed].mean():.3f} nats in mixed ones"
)

# %% Figures
figures = {
    "classes": pred.plot_maps("labels"),
    "uncertainty": pred.plot_maps(["total", "aleatoric", "encoder", "classifier"]),
    "value": pred.plot_maps(["value", "value_sd", "novelty"]),
    "one_image": pred.plot_maps(images=len(series.signals) // 2),
    "reliability": eb.plots.reliability(
        pred.probabilities, truth, title=f"simulated series, dose {DOSE:g}"
    ),
}
prior = clf.latent_prior()
figures["latent"] = eb.plots.latent(
    pred.latent_mean,
    pred.labels,
    pred.class_names,
    component_mean=prior.mean.flatten(0, 1),
    component_sd=prior.sd.flatten(0, 1),
    component_labels=np.repeat(np.arange(library.n_classes), prior.mean.shape[1]),
)
# One pixel a class, of middling confidence: what a single spectrum says of its edge.
typical = []
for k in range(library.n_classes):
    likely = np.argsort(pred.probabilities[:, k])[-max(1, (pred.labels == k).sum()) :]
    typical.append(likely[len(likely) // 2])
denoised = clf.denoise(spectra[np.array(typical)])
figures["denoised"] = eb.plots.spectra_bands(
    spectra.energy,
    denoised.mean,
    denoised.lower,
    denoised.upper,
    pred.class_names,
    fingerprints=library.resample(spectra.energy).class_spectra,
)
figures["history"] = eb.plots.history({stage: clf.history[stage] for stage in ("VAE", "GP")})
for name, figure in figures.items():
    figure.savefig(args.out / f"{name}.png", dpi=150)
seconds = time.perf_counter() - began
print(f"\n{len(figures)} figures and the model in {args.out}/ after {seconds:.0f} s")

"""Classify a spectrum image of your own: the way from a file to maps in Python.

Where copper, zinc and both are in an image of oxide particles on carbon nanotubes. Another file,
another edge: the constants change, and nothing else. The command line does the same without Python:
see ``eels-bayes --help``.

    python examples/spectrum_image.py CuZn_EELS_mapping_tutorial.hspy --out spectrum_image

Writes maps and each class's spectra as figures and every quantity as a HyperSpy file.
"""

# %% Constants
import argparse
from pathlib import Path

import numpy as np

import eels_bayes as eb

EDGES = ["Cu_L3", "Zn_L3", "Cu_L3+Zn_L3"]  # a class each, and one more for pixels with none of them
WINDOW = (900.0, 1300.0)  # eV, where the edges are read
BACKGROUND = (780.0, 920.0)  # eV; intensities are relative to the counts there

parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
parser.add_argument("file", help="a spectrum image of any format that HyperSpy reads")
parser.add_argument("--out", type=Path, default=Path("spectrum_image"), help="folder (%(default)s)")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--smoke", action="store_true", help="few pixels and hardly any training")
args = parser.parse_args()

# %% Counts to edge spectra
signals = eb.load(args.file)
if args.smoke:
    signals = [signal.inav[::4, ::4] for signal in signals]
pre = eb.Preprocessor(WINDOW, background=BACKGROUND, normalize=BACKGROUND, unit=1.0)
print(pre.summary(signals[0]))
spectra = pre(signals)

# %% Fingerprints
# Calculated edges have neither white lines nor other fine structure. Where those are strong, your
# own fingerprints do better: `eb.load_library`, or `eb.FingerprintLibrary.from_arrays`.
library = eb.hydrogenic_library(EDGES, spectra)

# %% Fit without labels, then read every pixel
effort = eb.Effort.quick() if args.smoke else eb.Effort()
clf = eb.EELSClassifier(library, effort=effort, seed=args.seed).fit(spectra)
print(clf.report())
pred = clf.predict(spectra)
print(pred.summary())

# %% Figures and files
args.out.mkdir(parents=True, exist_ok=True)
pred.plot_maps().savefig(args.out / "maps.png", dpi=150)

denoised = clf.denoise(spectra)


def class_means(rows: np.ndarray) -> np.ndarray:
    """Mean over the pixels of each class (K, L); NaN where it has none."""
    mine = [rows[pred.labels == k] for k in range(library.n_classes)]
    return np.array([m.mean(0) if len(m) else np.full(rows.shape[1], np.nan) for m in mine])


figure = eb.plots.spectra_bands(
    denoised.energy,
    *map(class_means, (denoised.mean, denoised.lower, denoised.upper)),
    pred.class_names,
    unit="per count before the edge",
)
for ax, measured in zip(figure.axes, class_means(spectra.intensity), strict=True):
    ax.plot(spectra.energy, measured, ".", color="0.45", ms=3)  # the same without a model
figure.savefig(args.out / "spectra.png", dpi=150)

for name, images in pred.to_signals().items():
    images[0].save(args.out / f"{name}.hspy", overwrite=True)
print(f"figures and HyperSpy files in {args.out}/")

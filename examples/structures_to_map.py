"""From a composition to a map: structures, the spectrum of every site, fingerprints, where each is.

Enumerates how fluorine may stand on the surfaces of Cr2TiC2OxFy (2 x 2 cells of a slab, half to
none of the sites), simulates the F K edge of every fluorine that symmetry tells apart by FEFF10
without self-consistency, and averages over sites and structures. The four fingerprints go to a
classifier as they are: on FEFF's energies, in FEFF's unit, as sharp as FEFF makes them. The fit
finds offset, factor and broadening, reads the map, and says what would have to be simulated next.

    pip install -e '.[structures,feff]'
    python examples/structures_to_map.py --out demo

Simulated sites are kept (``--sites``): a second call takes them from there. The experiment is
simulated, so that its truth is known: the specimen's edges are those of a wider cluster, 8 eV
higher and broadened by the spectrometer. It shows the way, not how right FEFF is; for that see
`benchmarks/structures.py`.
"""

# %% Constants
import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from ase import Atoms
from ase.visualize.plot import plot_atoms
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.special import entr

import eels_bayes as eb
from eels_bayes import ab_initio, active, structures

EDGE, PER = "F K", "Cr"  # intensities are counted per atom of chromium
FLUORINE = {"50 % F": 4, "25 % F": 2, "12.5 % F": 1, "0 % F": 0}  # of 8 sites
RADIUS, WIDER = 4.5, 6.0  # angstrom: clusters of the fingerprints, and of the specimen
AXIS = np.arange(665.0, 744.0, 0.25)  # eV, FEFF's
MOVED, RESOLUTION = 8.0, 1.0  # eV: of the specimen's edges; full width of the spectrometer
WINDOW, BACKGROUND = (677.0, 737.0), (650.0, 680.0)  # eV
REFERENCE, ALIGN = (570.0, 592.5), (567.5, 627.5)  # Cr L edge, eV
DOSE = 3.0
SITE = 10.0  # pixels in the right class that are worth the simulation of a site
COLORS = {"F": "#66c2a5", "O": "#e34a33", "Cr": "#7f8fb5", "C": "#4d4d4d", "Ti": "#c9c9c9"}

parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
parser.add_argument("--out", type=Path, default=Path("demo"), help="folder of figure and library")
parser.add_argument("--sites", type=Path, help="folder of simulated sites (OUT/sites)")
parser.add_argument("--seed", type=int, default=3)
parser.add_argument("--smoke", action="store_true", help="1 x 1 cells, a small map, short training")
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)
began = time.perf_counter()

# %% The structures of each class, with how often each occurs
cell, n_sites = ((1, 1), 2) if args.smoke else ((2, 2), 8)
fluorine = {"100 % F": 2, "50 % F": 1, "0 % F": 0} if args.smoke else FLUORINE
slab = structures.cr2tic2()
ensembles = {
    name: structures.terminations(slab, "O", {"O": n_sites - n, "F": n}, supercell=cell)
    for name, n in fluorine.items()
}
values = {name: n / n_sites for name, n in fluorine.items()}


# %% The spectrum of every site, on all cores; a FEFF that runs leaves this process alone
def simulated(radius: float) -> ab_initio.SimulatedFingerprints:
    """The fingerprints of all classes by clusters of a radius, angstrom."""
    with ThreadPoolExecutor(os.cpu_count()) as executor:
        return ab_initio.fingerprints(
            ensembles,
            EDGE,
            engine=ab_initio.Feff10(radius=radius),
            per=PER,
            energy=AXIS,
            executor=executor,
            cache=args.sites or args.out / "sites",
        )


made = simulated(3.0 if args.smoke else RADIUS)
library = made.library(values=values, value_name="fluorine fraction", value_range=(0, 1))
library.save(args.out / "library.npz")
print(made.table().drop(columns="key").to_string(index=False))
print(f"{len(made.sites)} sites after {time.perf_counter() - began:.0f} s; {made.variations}")

# %% An experiment that has these structures, in its own energies and units
other = made if args.smoke else simulated(WIDER)
blurred = [eb.broaden(other.fingerprint(name), instrument=RESOLUTION) for name in fluorine]
edges = np.array([one.at(AXIS) for one in blurred]) / max(one.intensity.max() for one in blurred)
shown = eb.FingerprintLibrary.from_arrays(
    AXIS + MOVED, edges, list(fluorine), list(fluorine), list(values.values())
)
size = {"n_images": 3, "shape": (12, 12)} if args.smoke else {"n_images": 8, "shape": (30, 30)}
series = eb.simulate.annealing_series(**size, dose=DOSE, seed=args.seed, library=shown)
truth = series.truth["label"].to_numpy()

# %% Fit without labels, then read every pixel
pre = eb.Preprocessor(WINDOW, 0.25, background=BACKGROUND, normalize=REFERENCE, align=ALIGN)
spectra = pre(series.signals)
effort = eb.Effort.quick() if args.smoke else eb.Effort()
clf = eb.EELSClassifier(library, effort=effort, seed=args.seed).fit(spectra)
pred = clf.predict(spectra, context="neighbours")
print(clf.report())
scores = eb.metrics.summary(pred.probabilities[pred.ok], truth.ravel()[pred.ok])
error = 1.0 - scores["accuracy"]
print(f"map error {error:.3f}, NLL {scores['nll']:.3f}, ECE {scores['ece']:.3f}")


# %% What would have to be simulated next: vacancies beside fluorine, by what they would explain
def beside_fluorine(atoms: Atoms, element: str) -> Atoms:
    """The structure without the atom of an element that lies nearest to fluorine."""
    sites = [k for k, one in enumerate(atoms.symbols) if one == element]
    near = [k for k, one in enumerate(atoms.symbols) if one == "F"]
    apart = atoms.get_all_distances(mic=True)[np.ix_(sites, near)].min(1)
    one = atoms.copy()
    one.info.clear()  # the multiplicity is not this one's
    del one[sites[int(apart.argmin())]]
    return one


known = [active.Candidate(name, group, value=values[name]) for name, group in ensembles.items()]
base = list(fluorine)[1]
asked = []
for element in ("O", "Cr", "C"):
    one = beside_fluorine(ensembles[base][-1], element)
    cost = ab_initio.simulation_cost(one, EDGE, site=SITE)
    asked.append(active.Candidate(f"{base}, {element} missing", one, cost, values[base]))
gain = active.structure_gain(clf, spectra, known + asked, edge=EDGE, per=PER)[len(known) :]
for candidate, pixels in zip(asked, gain, strict=True):
    advice = "simulate" if pixels > candidate.cost else "leave"
    print(f"{candidate.name:24s} {pixels:6.1f} pixels expected, costs {candidate.cost:g}: {advice}")

# %% The figure: structures, from the side and both surfaces from above
figure = plt.figure(figsize=(14.0, 8.2), layout="constrained")
above, below = figure.subfigures(2, 1)
side, top, of_sites, of_classes = above.subplots(1, 4, width_ratios=(1.1, 1.0, 2.0, 2.0))
group = ensembles[base]
paint = [COLORS[symbol] for symbol in group[-1].symbols]
plot_atoms(group[-1], side, rotation="-90x", radii=0.8, colors=paint, show_unit_cell=0)
side.set_axis_off()
side.set_title(f"{base}, 1 of {len(group)} structures", fontsize=11)
marks = [
    Line2D([], [], ls="", marker="o", ms=8, mec="0.3", color=color, label=symbol)
    for symbol, color in COLORS.items()
]
words = {"frameon": False, "fontsize": 9}
spaces = {"columnspacing": 0.8, "handletextpad": 0.0}
side.legend(
    handles=marks, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=5, **words, **spaces
)
for number, one in enumerate(group[:3]):  # one below the other
    shift = np.array([0.0, -1.5 * number * one.cell[1, 1]])
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]) @ one.cell[:2, :2] + shift
    top.plot(*corners.T, color="0.7", lw=0.8, zorder=0)
    upper = one.positions[:, 2] > one.positions[:, 2].mean()
    for symbol in ("O", "F"):
        here = np.array(one.get_chemical_symbols()) == symbol
        for surface, size, face in ((upper, 30, COLORS[symbol]), (~upper, 130, "none")):
            x, y = (one.positions[here & surface, :2] + shift).T
            top.scatter(x, y, size, facecolor=face, edgecolor=COLORS[symbol], lw=1.8)
    count, total = one.info["multiplicity"], one.info["configurations"]
    top.text(*(corners[1] + (0.8, 0.0)), f"{count} of {total}", fontsize=9)
top.set(aspect="equal")
top.set_axis_off()
top.margins(x=0.12)
top.set_title("dots: upper surface\nrings: lower surface", fontsize=10)

# %% The spectra of the sites of the class that has most, and what they are averaged to
fullest = max(fluorine, key=lambda name: len({s.key for s in made.sites if s.class_name == name}))
sites = [one for one in made.sites if one.class_name == fullest]
for one in sites:
    of_sites.plot(AXIS, 1e3 * one.spectrum.at(AXIS), color="0.6", lw=0.9)
share = [one.weight * one.count for one in sites]
mean = np.average([one.spectrum.at(AXIS) for one in sites], axis=0, weights=share)
of_sites.plot(AXIS, 1e3 * mean, color="k", lw=1.8)
of_sites.set_title(f"{fullest}: kinds of fluorine (grey, {len(sites)}), their mean", fontsize=11)
of_sites.set_ylabel("F K per fluorine atom ($10^{-3}$ Å$^2$)")
colors = eb.plots.class_colors(len(fluorine))
for row, color in zip(made.intensity, colors, strict=True):
    of_classes.plot(AXIS, 1e3 * row, color=color)
of_classes.set_ylabel(f"F K per {PER} atom ($10^{{-3}}$ Å$^2$)")
of_classes.set_title("fingerprints: means over sites and structures", fontsize=11)
for ax in (of_sites, of_classes):
    ax.set_xlabel("energy loss (eV, FEFF's zero)")

# %% The fit to the experiment
of_fit, *of_maps = below.subplots(1, 4, width_ratios=(2.1, 1.2, 1.2, 1.2))
fitted = clf.fitted
assert fitted is not None
fit, placed = fitted.forward.library_fit, fitted.forward.library
read = [pred.ok & (pred.probabilities[:, k] > 0.9) for k in range(len(colors))]
empty = min(values, key=lambda name: values[name])
rest = spectra.intensity[read[list(values).index(empty)]].mean(0)  # of the background
for k, color in enumerate(colors):
    moved = (AXIS + fit.shift, fit.gain * library.class_spectra[k])
    of_fit.plot(*moved, ":", color="0.3", lw=1.2, label="FEFF's, moved and times a factor")
    of_fit.plot(placed.energy, placed.class_spectra[k], color=color, lw=1.2, label="as fitted")
    if read[k].any():
        mean = spectra.intensity[read[k]].mean(0) - rest
        of_fit.plot(spectra.energy, mean, ".", color=color, ms=2.5, label=f"pixels less {empty}")
of_fit.legend(*(part[:3] for part in of_fit.get_legend_handles_labels()), frameon=False, fontsize=9)
of_fit.set(xlabel="energy loss (eV)", ylabel="intensity (edge units)", xlim=WINDOW)
of_fit.set_ylim(top=1.45 * placed.class_spectra.max())  # room for the legend
of_fit.set_title(f"fit: moved by {fit.shift:+.1f} eV, times {fit.gain:.3g}", fontsize=11)

# %% Truth, map and doubt of the image that holds most classes
counts = [np.bincount(one[one >= 0], minlength=len(fluorine)) for one in truth]
image = int(np.argmax([entr(one / one.sum()).sum() for one in counts]))
shape = truth[image].shape
axes = series.signals[image].axes_manager.navigation_axes
extent = (0.0, axes[0].scale * axes[0].size, axes[1].scale * axes[1].size, 0.0)
here = spectra.image == image
palette = np.array([*colors, (0.6, 0.6, 0.6)])
right = 100 * (pred.labels == truth.ravel())[here & pred.ok].mean()
maps = (
    ("truth of one image", palette[truth[image]]),
    (f"map: {right:.0f} % right", palette[pred.labels[here]].reshape(*shape, 3)),
    ("doubt", pred.total[here].reshape(shape)),
)
for ax, (title, rows) in zip(of_maps, maps, strict=True):
    drawn = ax.imshow(rows, extent=extent, vmin=0.0, vmax=np.log(len(fluorine)), cmap="magma")
    ax.set_title(title, fontsize=11)
    ax.set_xlabel(f"x ({axes[0].units})")
of_maps[0].set_ylabel(f"y ({axes[1].units})")
for ax in of_maps[1:]:
    ax.set_yticklabels([])
below.colorbar(drawn, ax=of_maps, shrink=0.7, label="doubt (nats)")
patches = [Patch(color=c, label=name) for c, name in zip(colors, fluorine, strict=True)]
figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), frameon=False)
figure.savefig(args.out / "structures_to_map.png", dpi=150)
print(f"figure and library in {args.out}/ after {time.perf_counter() - began:.0f} s")

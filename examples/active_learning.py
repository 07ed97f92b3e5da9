"""Active learning: an expert labels the pixels that teach most.

    python examples/active_learning.py [--out active] [--seed 0] [--smoke]

A simulated series holds four structures, of which only two have fingerprints. Somebody labels two
pixels of each of the others, then the pixels that `eb.active.bald` asks for: those of most
classifier information, which labels can teach, not those that noise hides. Beside it, the same
number of labels for random pixels. Writes the curve of accuracy against labels, a journal of every
question, and a table of what `eb.decide` would do next.
"""

# %% Constants
import argparse
import copy
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import eels_bayes as eb

DOSE = 3.0  # 1 is a real single pixel
KNOWN = ["50 % F", "0 % F"]
WINDOW, BACKGROUND = (677, 737), (650, 680)  # eV
REFERENCE, ALIGN = (570, 592.5), (567.5, 627.5)  # eV, Cr L

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--out", type=Path, default=Path("active"))
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--smoke", action="store_true", help="a small series and few labels")
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)

# %% A series of four structures, a library of two
size = {"n_images": 8, "shape": (8, 8) if args.smoke else (16, 16)}
series = eb.simulate.annealing_series(**size, dose=DOSE, seed=args.seed)
pre = eb.Preprocessor(
    window=WINDOW, dispersion=0.25, background=BACKGROUND, normalize=REFERENCE, align=ALIGN
)
spectra = pre(series.signals)
truth = np.array(series.library.class_names)[series.truth["label"].to_numpy().ravel()]
whole = eb.FingerprintLibrary.example()
rows = np.isin(np.array(whole.class_names)[whole.labels], KNOWN)
library = eb.FingerprintLibrary.from_arrays(
    whole.energy,
    whole.intensity[rows],
    np.array(whole.class_names)[whole.labels[rows]],
    class_names=KNOWN,
    values=whole.values[rows],
    nuisances=whole.nuisances,
)
effort = eb.Effort.quick() if args.smoke else eb.Effort()
fitted = eb.EELSClassifier(library, seed=args.seed, effort=effort).fit(spectra)

# %% Two labels of each structure without a fingerprint; half of the pixels may be asked about
order = np.random.default_rng(args.seed).permutation(len(spectra))
pool, test = np.split(order, 2)
first = np.concatenate([pool[truth[pool] == name][:2] for name in set(truth) - set(KNOWN)])
pool = np.setdiff1d(pool, first)
fitted.update(spectra[first], truth[first])

# %% The loop, by classifier information and at random
budget = 8 if args.smoke else 100
figure, ax = plt.subplots(figsize=(5, 3.6), layout="constrained")
for acquisition, batch in (("bald", 2), ("random", 4)):
    clf = copy.deepcopy(fitted)
    curve = []

    def score(loop: eb.active.ActiveLoop | None, clf=clf, curve=curve) -> None:
        """Accuracy on the other half of the pixels."""
        pred = clf.predict(spectra[test], show_progressbar=False)
        right = np.array(pred.class_names)[pred.labels] == truth[test]
        curve.append((loop.n_answers if loop else 0, right.mean()))

    score(None)
    journal = args.out / f"{acquisition}.jsonl"
    journal.unlink(missing_ok=True)  # with it, the loop would go on where it was
    loop = eb.active.ActiveLoop(
        clf,
        spectra[pool],
        oracle=lambda item: truth[pool[item]],  # here an expert would look
        acquisition=acquisition,
        budget=budget,
        batch_size=batch,
        journal=journal,
        seed=args.seed,
    )
    loop.run(after_round=score)
    ax.plot(*np.transpose(curve), "o-", ms=3, label=acquisition)
    print(f"{acquisition}: accuracy {curve[0][1]:.3f} to {curve[-1][1]:.3f} by {budget} labels")

    decisions = eb.decide(clf.predict(spectra[test], show_progressbar=False))
    print("  next:", ", ".join(f"{n} {action}" for action, n in decisions.count().items()))
ax.set(xlabel="Labels", ylabel="Accuracy")
ax.legend(frameon=False)
figure.savefig(args.out / "curve.png", dpi=150)

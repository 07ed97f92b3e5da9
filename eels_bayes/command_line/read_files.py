"""``eels-bayes read``: maps, HyperSpy files and tables of what a model says of files."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

from eels_bayes.classifier.batch_prediction import Context
from eels_bayes.classifier.classifier import EELSClassifier
from eels_bayes.classifier.loading import load_model
from eels_bayes.command_line.answer import Answer
from eels_bayes.command_line.files import check_folder, numbered, write_figure, write_signal
from eels_bayes.command_line.fit_model import TOO_LITTLE, learned_little
from eels_bayes.data.hyperspy_io import load
from eels_bayes.prediction.prediction import Prediction
from eels_bayes.whole_file import write_whole

SAID = "predict: "  # before what a prediction warns of


def read_files(
    files: list[str],
    /,
    *,
    model: Path,
    out: Path,
    context: Context = "pixel",
) -> Answer:
    """Read files by a fitted model: maps, every quantity as a HyperSpy file, and tables.

    Parameters
    ----------
    files
        Spectrum images of any format that HyperSpy reads, or patterns in quotes.
    model
        Model file that `fit` wrote.
    out
        Folder for what is written, made if need be: maps.png, classes.csv, pixels.csv, and a file
        of each quantity, with a number where there are several signals.
    context
        Whether a pixel stands by itself, its image says how frequent each class is, or also what
        lies beside it counts, or in the images before and after in its place.
    """
    check_folder(out)
    classifier = load_model(model)
    signals = load(files)
    out.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pred = classifier.predict(signals, context=context)
    unlike = []
    for one in caught:
        said = str(one.message)
        if said.startswith(SAID):
            unlike.append(said.removeprefix(SAID))
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    summary = pred.summary()
    text = [summary.to_string(float_format="%.3f", na_rep="-"), *_flagged(pred)]
    problems = [*_of_the_fit(classifier, model), *unlike]
    text += [f"! {problem}" for problem in problems]
    written = write_all(pred, out)
    values = {
        "model": pred.model,
        "pixels": len(pred),
        "classified": int(pred.ok.sum()),
        "classes": [
            {"name": str(name)} | row.to_dict() for name, row in summary.drop("all").iterrows()
        ],
        "flagged": dict(Counter(reason for reason in pred.reasons() if reason)),
        "problems": problems,
        "files": [str(path) for path in written],
    }
    return Answer("\n".join([*text, f"{len(written)} files in {out}"]), values, not problems)


def _of_the_fit(classifier: EELSClassifier, model: Path) -> list[str]:
    """What is bad about a model's fit: maps are no better."""
    found = [TOO_LITTLE] if learned_little(classifier.effort) else []
    report = classifier.report()
    if report.ok:
        return found
    more = f"; see `eels-bayes report --model {model}`" if len(report.problems) > 1 else ""
    return [*found, f"of the fit: {report.problems[0]}{more}"]


def write_all(pred: Prediction, out: Path) -> list[Path]:
    """Maps, tables and signals of a prediction, in a folder."""
    tables = {"classes": pred.summary(), "pixels": pred.to_dataframe()}
    written = [write_figure(out / "maps.png", pred.plot_maps())]
    for name, table in tables.items():
        written.append(out / f"{name}.csv")
        write_whole(written[-1], table.to_csv().encode())
    for name, signals in pred.to_signals().items():
        for k, signal in enumerate(signals):
            path = numbered(out / f"{name}.hspy", k, len(signals))
            written.append(write_signal(path, signal))
    return written


def _flagged(pred: Prediction) -> list[str]:
    """How many pixels are flagged for which reason, a line each."""
    found = Counter(reason for reason in pred.reasons() if reason)
    return [f"flagged: {n} pixels, {reason}" for reason, n in found.most_common()]

"""``eels-bayes fit``: a model of unlabelled files."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

from eels_bayes.classifier.classifier import EELSClassifier
from eels_bayes.command_line.answer import Answer
from eels_bayes.command_line.files import check_drawable, check_writable, write_figure
from eels_bayes.command_line.options import Band, Reading
from eels_bayes.command_line.tell_report import report_values
from eels_bayes.data.hyperspy_io import load
from eels_bayes.data.library_loading import load_library
from eels_bayes.effort import FULL, Effort

# Classes that look alike are not told apart by so little: of the copper and zinc map's four classes
# two were read in no pixel.
TOO_LITTLE = (
    "the model learned little, as --quick asks: enough to see that files and options fit together, "
    "too little to read pixels by; fit without --quick for that"
)


def learned_little(effort: Effort) -> bool:
    """Whether --quick asked for it, with whatever --iterations."""
    quick = Effort.quick()
    return replace(effort, forward_iterations=quick.forward_iterations) == quick


def fit_model(
    files: list[str],
    /,
    *,
    fingerprints: Path,
    window: Band,
    model: Path,
    reading: Reading | None = None,
    quick: bool = False,
    iterations: int | None = None,
    seed: int = 0,
    figure: Path | None = None,
) -> Answer:
    """Fit a model to unlabelled files, and tell how it went.

    Parameters
    ----------
    files
        Spectrum images of any format that HyperSpy reads, or patterns in quotes.
    fingerprints
        Library file of `fingerprints`, or an npz file of arrays.
    window
        The edge to read, eV.
    model
        Model file to write.
    reading
        How counts are read.
    quick
        Learn little, in seconds: to see that files and options fit together, not to
        read pixels by.
    iterations
        Of the forward model at most: more where the report says that the fit had not ended.
    seed
        The same seed on the same machine gives the same model.
    figure
        Picture of the report to write.
    """
    check_writable(model)
    if figure is not None:
        check_drawable(figure)
    effort = Effort.quick() if quick else FULL
    if iterations is not None:
        effort = replace(effort, forward_iterations=iterations)
    library = load_library(fingerprints)
    spectra = (reading or Reading()).preprocessor(window)(load(files))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "fit: ", UserWarning)  # the report says all of it
        classifier = EELSClassifier(library, effort=effort, seed=seed).fit(spectra)
    classifier.save(model)
    report = classifier.report()
    text = f"{spectra!r}\n\n{report!r}\n\nmodel: {model}"
    if quick:
        text += f"\n{TOO_LITTLE}"
    if figure is not None:
        text += f"\nfigure: {write_figure(figure, report.plot())}"
    digest = classifier.provenance.model
    values = {"file": str(model), "model": digest, **report_values(report)}
    return Answer(text, values, report.ok)

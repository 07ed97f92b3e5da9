"""``eels-bayes report``: what a fit says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eels_bayes.classifier.fit_report import FitReport
from eels_bayes.classifier.loading import load_model
from eels_bayes.command_line.answer import Answer
from eels_bayes.command_line.files import check_drawable, write_figure
from eels_bayes.data.hyperspy_io import load


def tell_report(
    files: list[str] | None = None, /, *, model: Path, figure: Path | None = None
) -> Answer:
    """Tell how a fit went: what is bad about it stands behind "!", with what would help.

    Parameters
    ----------
    files
        Other files that the model is to describe, in place of those of the fit.
    model
        Model file that `fit` wrote.
    figure
        Picture to write: the fit's course, and every class's spectrum and residual.
    """
    if figure is not None:
        check_drawable(figure)
    classifier = load_model(model)
    report = classifier.report(classifier.preprocessor(load(files)) if files else None)
    written = "" if figure is None else f"\n\nfigure: {write_figure(figure, report.plot())}"
    text = f"{classifier.provenance!r}\n\n{report!r}{written}"
    values = {"model": classifier.provenance.model, **report_values(report)}
    return Answer(text, values, report.ok)


def report_values(report: FitReport) -> dict[str, Any]:
    """A report for programs: its classes, and under "lacking" the structures beside them."""
    n_classes = len(report.class_names)
    columns = (report.row_names, report.class_pixels.tolist(), report.class_chi_square.tolist())
    names = ("name", "pixels", "chi_square")
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    misfits = report.class_misfit.tolist()
    return {
        "ok": report.ok,
        "problems": report.problems,
        "notes": report.notes,
        "pixels": report.n_pixels,
        "chi_square": report.chi_square,
        "chi_square_error": report.chi_square_error,
        "gain": report.gain,
        "shift": report.shift,
        "broadening": report.broadening,
        "converged": report.converged,
        "classes": [
            {**row, "misfit": misfit} for row, misfit in zip(rows[:n_classes], misfits, strict=True)
        ],
        "lacking": rows[n_classes:],
    }

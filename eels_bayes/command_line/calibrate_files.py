"""``eels-bayes calibrate``: files on an energy axis that an edge has put right."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from eels_bayes.command_line.answer import Answer
from eels_bayes.command_line.files import check_folder, numbered, write_signal
from eels_bayes.data.hyperspy_io import load, load_all
from eels_bayes.data.tabulated_edges import ZERO_LOSS
from eels_bayes.preprocessing.axis_calibration import RECORD, calibrate_axis


def calibrate_files(
    files: list[str],
    /,
    *,
    edge: Annotated[list[str], Parameter(consume_multiple=True)],
    out: Path,
    energy: float | None = None,
    feature: Literal["onset", "maximum"] = "onset",
) -> Answer:
    """Write files on an energy axis that is moved until an edge stands right.

    Parameters
    ----------
    files
        Spectrum images or spectra of any format that HyperSpy reads, or patterns in quotes; all
        are moved by the same.
    edge
        An edge's name, such as O_K or Mn_L3; "zero loss"; or two energies between which the edge
        lies now, eV.
    out
        Folder for the files, made if need be; they are named as those that are read.
    energy
        Where the edge shall stand, eV; by default where exSpy's tables have its onset.
    feature
        What of the edge shall stand there.
    """
    check_folder(out)
    where = _asked(edge)
    signals = load_all(files) if where == ZERO_LOSS else load(files)
    paths = _paths(signals, out)
    moved = calibrate_axis(signals, edge=where, energy=energy, feature=feature)
    out.mkdir(parents=True, exist_ok=True)
    for path, signal in zip(paths, moved, strict=True):
        write_signal(path, signal)
    record: dict[str, Any] = moved[0].metadata.get_item(RECORD).as_dictionary()
    lines = [_told(record), *(f"file: {path}" for path in paths)]
    if energy is None and where != ZERO_LOSS:
        lines.append(
            "tables hold the onset of one compound, and chemistry moves it by an eV or more: "
            "--energy gives that of yours"
        )
    return Answer("\n".join(lines), record | {"files": [str(path) for path in paths]})


def _told(record: dict[str, Any]) -> str:
    """What was done, in words."""
    edge, was = record["edge"], record["energy"] - record["moved"]
    if edge == ZERO_LOSS:
        what = "the zero-loss peak"
    else:
        name = edge if isinstance(edge, str) else f"the edge in {edge[0]:g} to {edge[1]:g} eV"
        what = f"the {record['feature']} of {name}"
    return (
        f"axis moved by {record['moved']:+.2f} eV, +- {record['sd']:.1g} by the noise: {what} "
        f"stood at {was:.2f} eV and stands at {record['energy']:g} eV"
    )


def _asked(edge: list[str]) -> str | tuple[float, float]:
    """A name, or two energies."""
    try:
        low, high = map(float, edge)
    except ValueError:
        return " ".join(edge)  # "zero loss", with or without quotes
    return low, high


def _paths(signals: list[Any], out: Path) -> list[Path]:
    """What to write each signal to: as its file is called, numbered where several are alike.

    Raises
    ------
    ValueError
        A file would take the place of one that is read.
    """
    files = [signal.tmp_parameters.as_dictionary() for signal in signals]
    names = [out / f"{file['original_filename']}.hspy" for file in files]
    many, met = Counter(names), Counter[Path]()
    paths = []
    for name in names:
        paths.append(numbered(name, met[name], many[name]))
        met[name] += 1
    read = {
        Path(file["original_folder"], file["original_filename"] + file["original_extension"])
        for file in files
    }
    if own := {path.resolve() for path in read} & {path.resolve() for path in paths}:
        raise ValueError(f"{min(own)} would be replaced by itself; name another folder")
    return paths

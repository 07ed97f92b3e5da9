"""Files that commands write; each stands whole under its name, or not at all."""

from __future__ import annotations

import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from eels_bayes.whole_file import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150  # of pictures


def write_figure(path: Path, figure: Figure) -> Path:
    """A figure in the format that its file's name ends in, PNG where it does not; closed then."""
    import matplotlib.pyplot as plt

    data, kind = io.BytesIO(), path.suffix.removeprefix(".") or "png"
    figure.savefig(data, format=kind, dpi=DPI)
    plt.close(figure)
    write_whole(path, data.getvalue())
    return path


def write_signal(path: Path, signal: Any) -> Path:
    """A HyperSpy signal, in the format that its file's name ends in."""
    with TemporaryDirectory() as folder:
        partial = Path(folder) / path.name
        signal.save(partial, overwrite=True)
        write_whole(path, partial.read_bytes())
    return path


def numbered(path: Path, number: int, n: int) -> Path:
    """A file's name, with a number from 0 where there are several."""
    return path if n == 1 else path.with_stem(f"{path.stem}_{number}")

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


def check_writable(path: Path) -> None:
    """Raise OSError before minutes of work whose result could not be written."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder does not exist; make it first")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file in it")


def check_folder(path: Path) -> None:
    """Raise OSError where a file stands in the way of a folder that is to be made."""
    for one in (path, *path.parents):
        if one.exists() and not one.is_dir():
            raise NotADirectoryError(f"{one} is a file; name a folder")


def check_drawable(path: Path) -> None:
    """Likewise of a picture: ValueError where its ending is that of none."""
    from matplotlib.backend_bases import FigureCanvasBase

    check_writable(path)
    known = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix and path.suffix[1:].lower() not in known:
        raise ValueError(f"{path}: a picture's name ends in one of .{', .'.join(known)}")


def write_figure(path: Path, figure: Figure) -> Path:
    """A figure in the format that its file's name ends in, PNG where it does not; closed then."""
    import matplotlib.pyplot as plt

    data, kind = io.BytesIO(), path.suffix.removeprefix(".").lower() or "png"
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

"""``eels-bayes example``: a real file to try things out with."""

from __future__ import annotations

from pathlib import Path

from eels_bayes.command_line.answer import Answer
from eels_bayes.command_line.files import check_writable
from eels_bayes.data.example_files import Example, example_file
from eels_bayes.whole_file import write_whole


def fetch_example(name: Example = "copper_zinc", /, *, out: Path) -> Answer:
    """Write a real file of exSpy's demonstrations, which is fetched once and kept.

    Parameters
    ----------
    name
        A map of copper and zinc oxide particles; a line scan of a manganite, or its low losses; or
        a line scan from a titanate into a manganite.
    out
        File to write; HyperSpy's own format, so that its name should end in .hspy.
    """
    check_writable(out)
    write_whole(out, example_file(name).read_bytes())
    return Answer(f"file: {out}", {"name": name, "file": str(out)})

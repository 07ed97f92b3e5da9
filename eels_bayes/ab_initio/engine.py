"""What an engine has to do: write an input, run, read the spectrum of one absorbing atom."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from eels_bayes.data.single_fingerprint import Fingerprint

if TYPE_CHECKING:
    from ase import Atoms

LAST_WORDS = 12  # lines of a log that an error repeats


class EngineFailed(RuntimeError):
    """A simulation ended without a spectrum; the text holds the engine's own last words."""


class Engine(Protocol):
    """A program that simulates the spectrum of one atom of a structure.

    An engine is a frozen dataclass of plain settings, so that it goes to other processes and
    computers. The three methods are called in turn with one folder, which holds nothing else. One
    with an attribute ``broadens`` says before any work whether a core hole's width is needed.

    Attributes
    ----------
    name : str
        Short, of letters and digits.
    """

    @property
    def name(self) -> str: ...

    def settings(self) -> Mapping[str, object]:
        """All that its results depend on, the version of the program included, as JSON takes it."""
        ...

    def write(self, folder: Path, atoms: Atoms, index: int, edge: str) -> None:
        """Write the input for the edge ("K") of the atom with that index."""
        ...

    def run(self, folder: Path) -> None:
        """Run it; `EngineFailed` where it ends badly."""
        ...

    def read(self, folder: Path) -> Fingerprint:
        """The spectrum of one atom, energies as losses in eV; ValueError where it is not whole."""
        ...


def run_logged(command: Sequence[str], folder: Path, log: str, seconds: float) -> None:
    """Run a program in a folder, what it says in a file there.

    Raises
    ------
    EngineFailed
        It is not there, takes longer than so many seconds, or ends with an error.
    """
    said = folder / log
    try:
        with said.open("wb") as out:
            running = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that what it starts can be ended with it
            )
            try:
                code = running.wait(seconds)
            except BaseException:
                _end(running)
                raise
    except subprocess.TimeoutExpired:
        raise EngineFailed(
            f"not done after {seconds:g} s; its last words: {last_words(said)}"
        ) from None
    except OSError as error:
        raise EngineFailed(f"{command[0]} does not start: {error}") from error
    if code:
        raise EngineFailed(f"ended with {code}; its last words: {last_words(said)}")


def _end(running: subprocess.Popen[bytes]) -> None:
    """End a program and what it started, such as a script's simulation."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
    else:
        running.kill()
    running.wait()


def last_words(log: Path) -> str:
    """The last lines of a log that say something, or that there are none."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "none"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-LAST_WORDS:]) or "none"

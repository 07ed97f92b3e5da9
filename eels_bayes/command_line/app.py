"""The command line: its commands, what they print, and the exit codes.

0: done. 1: done, but the answer says why it should not be trusted. 2: the call or its files are at
fault, in one line. 3: a defect of this package, with its traceback. 130: interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Generator, Sequence
from contextlib import redirect_stdout
from importlib import import_module
from typing import Annotated, Any, TextIO

from cyclopts import App, CycloptsError, Parameter

from eels_bayes.command_line.answer import Answer, as_json
from eels_bayes.command_line.wording import in_options, values_in_options

DONE, DOUBTED, MISTAKEN, DEFECT, INTERRUPTED, UNREAD = 0, 1, 2, 3, 130, 141
MISTAKES = (CycloptsError, ValueError, TypeError, OSError, ImportError)  # of users
COMMANDS = "eels_bayes.command_line."  # whose modules are loaded when they are called
WORDS = """Which structure every pixel of an EELS spectrum image is, how sure that is, and why not.

```
eels-bayes inspect series/*.dm4 --window 677 737 --background 650 680
eels-bayes fingerprints npz calculated.npz --out library.npz
eels-bayes fit series/*.dm4 --fingerprints library.npz \\
    --window 677 737 --background 650 680 --model series.eels
eels-bayes read series/*.dm4 --model series.eels --out maps
```

Exit codes: 0 done; 1 done, but the answer says why not to trust it; 2 the call or its files are at
fault; 3 a defect of the program.
"""

app = App(
    name="eels-bayes",
    help=WORDS,
    version=import_module("eels_bayes").__version__,
    default_parameter=Parameter(negative=()),
    result_action="return_value",
)
app.meta.suppress_keyboard_interrupt = False
library = App(name="fingerprints", help="Make a library file of fingerprints, which fit reads.")
app.command(library)


def _add(to: App, name: str, home: str, *words: str) -> None:
    """A command that is imported when it is called; until then these words are its help."""
    to.command(COMMANDS + home, name=name, help="\n\n".join(words))


_add(
    app,
    "example",
    "fetch_example:fetch_example",
    "Write a real file to try things out with.",
    "It is fetched from exSpy's demonstrations, once.",
)
_add(
    app,
    "inspect",
    "inspect_files:inspect_files",
    "Show what files hold, and what windows would do.",
    "Axes, counts, the noise that is measured and stated, edges in range. Windows are pairs of "
    "energies. "
    "Exit code 1 where something speaks against the background window.",
)
_add(
    app,
    "calibrate",
    "calibrate_files:calibrate_files",
    "Write files on an energy axis that an edge has put right.",
    "For axes that stand some eV off. The files that are read stay as they are.",
)
_add(
    app,
    "fit",
    "fit_model:fit_model",
    "Fit a model to unlabelled files, and tell how it went.",
    "Exit code 1 where the report finds something bad; the model is written all the same.",
)
_add(
    app,
    "read",
    "read_files:read_files",
    "Read files by a model: maps, HyperSpy files, tables.",
    "Exit code 1 where the spectra as a whole are not as the model has them, or its fit was bad.",
)
_add(
    app,
    "live",
    "follow_live:follow_live",
    "Read spectra as they come, a line of JSON each.",
    "The stream's counts are told on the standard error; with --json they are the last line. "
    "Exit code 1 where not one spectrum could be read.",
)
_add(
    app,
    "report",
    "tell_report:tell_report",
    "Tell how a fit went, or how a model describes files.",
    "What is bad stands behind '!', with what would help. Exit code 1 where anything is.",
)
_add(
    library,
    "npz",
    "make_fingerprints:of_npz",
    "Of an npz file of arrays, which is checked.",
    "The arrays: energy (eV), intensity (a row a fingerprint), label; and where there are, "
    "class_name, value, nuisances.",
)
_add(
    library,
    "signals",
    "make_fingerprints:of_signals",
    "Of measured references, a file for each class.",
    "A class's fingerprint is the mean of all its spectra. With --background they are read as a "
    "fit would read them; without, their background must be subtracted already.",
)
_add(
    library,
    "files",
    "fingerprints_of_files:of_files",
    "Of files of simulation codes, databases, or columns.",
    "FEFF, FDMNES, OCEAN, xspectra, OptaDOS, TELNES, the Materials Project, XDI, Athena, EMSA and "
    "columns of numbers. What a file does not say of its energies is asked for.",
)
_add(
    library,
    "edges",
    "make_fingerprints:of_edges",
    "Of calculated edges, as strong as files show them.",
    "One class for each of --edges, in several intensities, and one without an edge. Give fit the "
    "same windows. Exit code 1 where no pixel shows the edges.",
)


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    json: bool = False,
    debug: bool = False,
) -> int:
    """Run a command; its exit code.

    Parameters
    ----------
    json
        Print one JSON object on the standard output in place of text.
    debug
        Show where an error comes from.
    """
    out = sys.stdout
    try:
        command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
        if not command.__module__.startswith(COMMANDS):  # help, or the version
            command(*bound.args, **bound.kwargs)
            return DONE
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):  # whatever libraries print
            warnings.simplefilter("default", UserWarning)
            warnings.showwarning = _say
            result = command(*bound.args, **bound.kwargs)
            answer, streamed = _ended(result, out), isinstance(result, Generator)
    except BrokenPipeError:
        raise
    except MISTAKES as error:
        if debug:
            traceback.print_exc()
        if json:
            print(as_json({"error": _in_a_line(error)}), file=out)
        print(f"eels-bayes: {_in_a_line(error)}", file=sys.stderr)
        return MISTAKEN
    # behind lines of JSON only JSON may follow
    where = sys.stderr if streamed and not json else out
    said = as_json(values_in_options(answer.values)) if json else in_options(answer.text)
    print(said, file=where, flush=True)
    return DONE if answer.trusted else DOUBTED


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.

    Returns
    -------
    int
        The exit code: 0, 1, 2, or what the module's docstring says.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = app.meta(given, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        print(f"eels-bayes: {_in_a_line(error)}", file=sys.stderr)
        return MISTAKEN
    except KeyboardInterrupt:
        print("eels-bayes: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to flush
        return UNREAD
    except Exception:
        traceback.print_exc()
        return DEFECT
    return code if isinstance(code, int) else DONE  # help has none


def _ended(result: Answer | Generator[dict[str, Any], None, Answer], out: TextIO) -> Answer:
    """The answer of a command; what it says on the way is printed, a line of JSON each."""
    if not isinstance(result, Generator):
        return result
    while True:
        try:
            line = next(result)
        except StopIteration as end:
            answer: Answer = end.value
            return answer
        print(as_json(values_in_options(line)), file=out, flush=True)


def _say(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """A warning as users want it: what it says, and not where."""
    if issubclass(category, UserWarning):
        print(f"! {in_options(str(message))}", file=sys.stderr)


def _in_a_line(error: BaseException) -> str:
    """What an error says."""
    if isinstance(error, OSError) and error.strerror and error.filename:  # not its number
        return f"{error.filename}: {error.strerror}"
    return in_options(" ".join(str(error).split())) or type(error).__name__

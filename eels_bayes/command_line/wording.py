"""What the library says to those who write Python, in the words of the command line.

The library names arguments and functions; who calls a command knows options and commands. All that
a command prints goes through `in_options`, and nothing in the library knows of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# What is said, as a regular expression, and what is said in its place; the first that fits counts.
SAYINGS = (
    # the noise
    (
        r"with noise=Noise\(([^,()]+), offset=([^,()]+)\)",
        r"with --gain \1 --offset \2",
    ),
    (r"see Preprocessor\(noise=\.\.\.\) and pre\.summary", "see --gain and `eels-bayes inspect`"),
    (r"Preprocessor\(noise=\.\.\.\)", "--gain"),
    (r"\bnoise is Noise\([^)]*\); ", "--gain or --offset: "),
    # windows and axes
    (r"Preprocessor\((align|normalize)=\.\.\.\)", r"--\1"),
    (r"give the Preprocessor a background window", "give --background, a window"),
    (r"\bdispersion=", "--dispersion"),
    (r"see eb\.calibrate_axis|\(eb\.calibrate_axis\)", "see `eels-bayes calibrate`"),
    (r"\bedge=\(low, high\)", "--edge LOW HIGH"),
    (r"\bedge is the window\b", "--edge is the window"),
    (r"\bedge is (?=['\"])", "--edge is "),
    (r"; a window \(low, high\), 'zero loss', or a name", "; two energies, 'zero loss', or a name"),
    (r"give a window \(low, high\) around", "give two energies around"),
    (r"\bfeature is (?=['\"])", "--feature is "),
    (r"\benergy= is needed", "--energy is needed"),
    # fingerprints
    (r"Give beam=, or exSpy's signal\.set_microscope_parameters", "Give --beam"),
    (r"\bbeam is \((.*?)\);", r"--beam is \1;"),
    (r"\b(edges|elements) holds\b", r"--\1 holds"),
    (r"\bvalue_(name|unit|range)\b", r"--value-\1"),
    (r", or class_weights\b", ""),
    (r"\bgive eels_bayes\.broaden|give what eels_bayes\.broaden makes of it", "give --core-hole"),
    (r"core_hole is missing; give", "--core-hole is missing; give"),
    (r"\bgive unit, one of", "give --unit, one of"),
    (r"\bgive zero, the energy", "give --zero, the energy"),
    (r"\bzero=0\b", "--zero 0"),
    (r"\bgive broadened=True where (.*), else False", r"give --broadened yes where \1, else no"),
    (r"\bgive column, one of", "give --column, one of"),
    (r"\bleave zero out\b", "leave --zero out"),
    # the fit and its report
    (r"give Effort\(forward_iterations=\.\.\.\) more", "give a larger --iterations"),
    (r"Effort\(forward_iterations=\.\.\.\)", "--iterations"),
    (r"\bforward_iterations\b", "--iterations"),
    (r"look at report\(\)\.plot\(\)", "look at the picture that --figure writes"),
    (r" \(see report\(\)\)", ""),
    (r"more in report\(\)", "more in the report"),
    (r"report\(spectra\) makes one of spectra", "name files, and it makes one of their spectra"),
    (r"see report\(spectra\)", "see `eels-bayes report` with these files"),
    (r"see spectra\.reasons\(\)", "see what `eels-bayes inspect` says of these windows"),
    (r"a smaller learning_rate or input", "input"),
    # files
    (r"eb\.load_dual, called the same way, gives", "in Python, eels_bayes.load_dual gives"),
    (
        r"of a format that load\(\.\.\., file_format=\.\.\.\) must name",
        "of a format that its name does not tell",
    ),
    (
        r"Read it as a series of frames, Preprocessor\(frames='auto'\), or browse to_signals\(\)",
        "Save it as a stack of images",
    ),
    (r"(?<=\()(?=signal\.)", "in HyperSpy: "),
    # an option's value that cannot be
    (
        r"^((?:align|background|beam|dispersion|drift|normalize|rate|seed|unit|window) is )"
        r"(?=[(\d-]|nan\b|inf\b)",
        r"--\1",
    ),
    (r"(?<=\) and )(window is \()", r"--\1"),
)
SAID = ("error", "problems", "notes", "flag")  # what of a command's values is words of the library


def in_options(text: str) -> str:
    """What is said, with options and commands in place of arguments and functions.

    Parameters
    ----------
    text : str
        Of an error, a warning or a report.

    Returns
    -------
    str
    """
    for said, instead in SAYINGS:
        text = re.sub(said, instead, text, flags=re.MULTILINE)
    return text


def values_in_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of an answer, those that are words as `in_options` has them; names stay.

    Parameters
    ----------
    values : mapping
        Of an `Answer`, or a line of a stream.

    Returns
    -------
    dict
    """
    return {
        name: _reworded(value) if name in SAID else _within(value) for name, value in values.items()
    }


def _within(value: Any) -> Any:
    """What mappings in a value say."""
    if isinstance(value, Mapping):
        return values_in_options(value)
    if isinstance(value, list | tuple):
        return [_within(one) for one in value]
    return value


def _reworded(value: Any) -> Any:
    """A sentence, or several."""
    if isinstance(value, str):
        return in_options(value)
    return [in_options(one) for one in value] if isinstance(value, list | tuple) else value

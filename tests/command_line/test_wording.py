"""What the command line says: options and commands, no Python; in all the library's messages."""

import ast
import re
import warnings

import numpy as np
import pytest

import eels_bayes as eb
from eels_bayes.command_line.answer import as_json
from eels_bayes.command_line.wording import in_options, values_in_options

# Whose messages no command prints: what is reached from Python alone.
ELSEWHERE = (
    "ab_initio/",
    "active/",
    "diagnostics/",
    "simulate/",
    "structures/",
    "command_line/",
    "plots/",
    "fast/onnx",
    "fast/whole_signal",
    "field/",
)
PYTHON = re.compile(
    r"Preprocessor\(|Effort|\beb\.|report\(|pre\.summary|reasons\(\)|calibrate_axis|"
    r"\b(noise|beam|energy|edge|gain|dispersion|file_format)=|class_weights|forward_iterations"
)
# Messages with such words that no command can cause, by how they begin, and why.
UNREACHED = (
    "spectra is a ",  # commands make Spectra
    "noise is ",  # of another type: --gain is a number
    "the dispersion is not known yet",  # commands calibrate first
    "effort is a ",
    "class_weights must be ",
)


def words_of(node):
    """A string of the source, a name in braces for what is put in; None for another node."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            part.value if isinstance(part, ast.Constant) else "{x}" for part in node.values
        )
    return None


def sentences(project_root):
    """All sentences of the package that are no docstrings, by where they stand."""
    package = project_root / "eels_bayes"
    for file in sorted(package.rglob("*.py")):
        where = file.relative_to(package).as_posix()
        if where.startswith(ELSEWHERE):
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        skipped = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr):
                skipped.add(id(node.value))
            if isinstance(node, ast.JoinedStr):
                skipped.update(id(part) for part in node.values)
        for node in ast.walk(tree):
            text = None if id(node) in skipped else words_of(node)
            if text and text.count(" ") > 2:
                yield f"{where}:{node.lineno}", text


def test_no_message_that_a_command_can_print_speaks_python(project_root):
    found = dict(sentences(project_root))
    pythonic = {at: text for at, text in found.items() if PYTHON.search(text)}
    assert len(found) > 200 and len(pythonic) > 15  # they are found at all
    assert all(  # each is still said
        any(text.removeprefix("{x} ").startswith(begin) for text in pythonic.values())
        for begin in UNREACHED
    )
    left = {
        at: in_options(text)
        for at, text in pythonic.items()
        if PYTHON.search(in_options(text)) and not text.removeprefix("{x} ").startswith(UNREACHED)
    }
    assert not left


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        ("counts may be 94 too low, with noise=Noise(13.6, offset=-93.8)", "--gain 13.6 --offset"),
        ("(Preprocessor(noise=...) overrules)", "(--gain overrules)"),
        ("a larger Effort(forward_iterations=...) goes on", "a larger --iterations goes on"),
        ("moved by +4.5 eV: see eb.calibrate_axis", "see `eels-bayes calibrate`"),
        ("look at report().plot(), and see", "look at the picture that --figure writes, and see"),
    ],
)
def test_sayings(said, instead):
    assert instead in in_options(said)
    assert in_options(in_options(said)) == in_options(said)


def test_what_users_named_stays():
    names = "maps of eb_report().png, 'noise', edge=3 and class 'Effort' in gain"
    assert in_options(names) == names
    values = {"name": "see eb.calibrate_axis", "notes": ["see eb.calibrate_axis"], "n": np.int64(3)}
    said = values_in_options({"signals": [values], "problems": ()})
    assert said["signals"][0]["name"] == "see eb.calibrate_axis"
    assert said["signals"][0]["notes"] == ["see `eels-bayes calibrate`"]
    assert as_json(said["signals"][0]["n"]) == "3"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--gain", -1), "--gain or --offset: a gain above zero"),
        (("--offset", 3), "--offset needs --gain"),
        (("--elements", "Qq"), "--elements holds ['Qq']"),
        (("--unit", 0), "--unit is 0"),
        (("--dispersion", -1), "--dispersion is -1"),
        (("--window", 677, 737, "--background", 700, 680), "--background is (700, 680)"),
        (("--background", 600, 675), "--background needs --window"),
        (
            ("--window", 677, 737, "--background", 700, 800),
            "--background is (700.0, 800.0) and --window is (677.0, 737.0)",
        ),
        (("--window", 737, 677), "--window is (737, 677)"),
    ],
)
def test_a_wrong_option_is_named_as_it_was_given(call, files, given, message):
    said = call("inspect", files.signals[0], *given)
    assert said.code == 2 and message in said.err, said.err


def test_warnings_and_problems_are_reworded_in_text_and_json(call, copper_zinc):
    said = call("inspect", copper_zinc, "--json")
    (found,) = said.values["signals"]
    for text in (call("inspect", copper_zinc).out, *found["problems"]):
        assert "(--gain overrules)" in text and not PYTHON.search(text)


def test_the_library_still_speaks_python(files, copper_zinc):
    pre = eb.Preprocessor((924, 1300), background=(780, 916))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pre(eb.load(copper_zinc), show_progressbar=False)
    assert any("Preprocessor(noise=...)" in str(one.message) for one in caught)

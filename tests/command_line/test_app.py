"""The command line as a whole: help, exit codes, one line for a mistake, JSON."""

import json
import os
import subprocess
import sys
import tomllib

import numpy as np
import pytest

import eels_bayes
from eels_bayes.command_line import app as app_module
from eels_bayes.command_line import tell_report
from eels_bayes.command_line.answer import Answer, as_json

COMMANDS = ("inspect", "calibrate", "fingerprints", "fit", "read", "live", "report")


def test_help_names_every_command_and_loads_nothing_heavy(project_root):
    code = (
        "import sys; from eels_bayes.command_line.app import main\n"
        "assert main(['--help']) == 0; print(sorted({'torch', 'hyperspy'} & {*sys.modules}))"
    )
    environment = {**os.environ, "PYTHONPATH": str(project_root)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert all(f" {name} " in done.stdout for name in COMMANDS)
    assert "Exit codes: 0 done" in done.stdout
    assert done.stdout.endswith("[]\n")


def test_it_is_installed_by_its_name_and_run_as_a_module(project_root):
    project = tomllib.loads((project_root / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"eels-bayes": "eels_bayes.command_line.app:main"}
    environment = {**os.environ, "PYTHONPATH": str(project_root)}
    command = [sys.executable, "-m", "eels_bayes", "--version"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, eels_bayes.__version__)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(call, command):
    said = call(command, "--help")
    assert said.code == 0 and f"Usage: eels-bayes {command}" in said.out and not said.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fot",), 'Unknown command "fot". Did you mean "fit"?'),
        (("fit", "a.dm4", "--window", "677"), "--window requires 2 positional arguments"),
        (("fit", "a.dm4", "--modle", "m"), "Unknown option: --modle"),
        (("read", "a.dm4", "--model", "absent.eels", "--out", "o"), "absent.eels"),
        (("inspect", "absent.dm4"), "no file matches 'absent.dm4'"),
        (
            ("report", "--model", "absent.eels"),
            "eels-bayes: absent.eels: No such file or directory",
        ),
    ],
)
def test_a_users_mistake_is_one_line(call, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    said = call(*arguments)
    assert said.code == 2 and not said.out
    assert said.err.startswith("eels-bayes: ") and said.err.count("\n") == 1
    assert message in said.err
    assert not list(tmp_path.iterdir())


def test_a_mistake_is_told_to_programs_and_to_those_who_debug(call):
    said = call("inspect", "absent.dm4", "--json")
    assert said.code == 2 and said.values == {"error": "no file matches 'absent.dm4'"}
    said = call("inspect", "absent.dm4", "--debug")
    assert said.code == 2 and "Traceback (most recent call last)" in said.err


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (AssertionError("a defect"), 3, "AssertionError: a defect"),
        (KeyboardInterrupt(), 130, "eels-bayes: interrupted"),
    ],
)
def test_what_is_no_mistake_of_the_user(call, monkeypatch, raised, code, message):
    def fails(path):
        raise raised

    monkeypatch.setattr(tell_report, "load_model", fails)
    said = call("report", "--model", "m.eels")
    assert said.code == code and message in said.err


def test_what_libraries_print_does_not_get_into_the_answer(call, monkeypatch, files):
    load_model = tell_report.load_model

    def chatty(path):
        print("hello from a library")
        return load_model(path)

    monkeypatch.setattr(tell_report, "load_model", chatty)
    said = call("report", "--model", files.model, "--json")
    assert said.values["model"] and "hello from a library" in said.err


def test_json_has_plain_values_alone():
    values = {
        "a": np.float32(0.5),
        "b": np.array([1.0, np.nan]),
        "c": (np.int64(3), "µ"),
        4: np.inf,
    }
    assert json.loads(as_json(values)) == {"a": 0.5, "b": [1.0, None], "c": [3, "µ"], "4": None}
    assert "\n" not in as_json(values)
    assert Answer("text").trusted
    assert app_module.DONE == 0

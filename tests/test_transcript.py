"""What the page of the command line shows is what it does: the commands, and their exit codes."""

import importlib.util
import os
import re
import shlex

import pytest

import eels_bayes as eb


@pytest.fixture(scope="module")
def transcript(project_root):
    """The script that writes the page, as a module."""
    where = project_root / "tools" / "transcript.py"
    spec = importlib.util.spec_from_file_location("transcript", where)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def shown(transcript):
    """Commands of the page with their exit codes."""
    text = transcript.PAGE.read_text(encoding="utf-8")
    found = re.findall(r"^\$ eels-bayes (.*?)\n.*?^Exit code (\d)\.$", text, re.M | re.S)
    return [(command, int(code)) for command, code in found]


def test_the_page_has_every_command_once(transcript, shown):
    wanted = [command for *_, commands in transcript.STEPS for command in commands]
    assert [command for command, _ in shown] == wanted
    assert {shlex.split(command)[0] for command in wanted} == {
        "inspect",
        "calibrate",
        "fingerprints",
        "fit",
        "read",
        "report",
    }


def test_what_is_bad_is_said_and_ends_in_its_exit_code(transcript, shown):
    text = transcript.PAGE.read_text(encoding="utf-8")
    answers = re.findall(
        r"^\$ eels-bayes (fit|report|read)(.*?)^Exit code (\d)\.$", text, re.M | re.S
    )
    assert len(answers) == 3
    for command, said, code in answers:
        bad = re.search(r"^! (?!noise: )", said, re.M)
        assert code == ("1" if bad else "0"), command
    assert "--quick" not in text and "Preprocessor" not in text


def test_commands_end_as_shown(transcript, shown, data_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in data_dir.iterdir():
        if file.name != transcript.MAP:
            os.symlink(file, file.name)
    eb.load(data_dir / transcript.MAP)[0].inav[::2, ::2].save(transcript.MAP)  # is quicker
    for command, code in shown:
        fit = command.startswith("fit ")
        found, said = transcript.run(command + " --quick" * fit)  # seconds for minutes
        of_the_fit = command.startswith(("fit ", "read ", "report "))
        assert found in (0, 1) if of_the_fit else found == code, f"{command}\n{said}"
        assert "Traceback" not in said
    assert (tmp_path / "maps" / "maps.png").stat().st_size > 1000

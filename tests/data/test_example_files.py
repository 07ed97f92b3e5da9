"""Example files come from where they are kept, or from a server, whole or not at all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import get_args

import pytest

import eels_bayes as eb
from eels_bayes.command_line.app import main
from eels_bayes.data import example_files
from eels_bayes.data.example_files import FOLDER, Example, example_file

NAME = "LSMO_STO_linescan.hspy"  # the smallest


class Quiet(SimpleHTTPRequestHandler):
    """A server that writes no log."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that files are kept in, not there yet."""
    monkeypatch.setenv(FOLDER, str(tmp_path / "kept"))
    monkeypatch.setenv("NO_PROXY", "*")
    return tmp_path / "kept"


@pytest.fixture
def served(tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose files a server of this machine gives in place of the source."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        monkeypatch.setattr(example_files, "SOURCE", f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", get_args(Example))
def test_kept_files_are_read_without_a_network(kept, monkeypatch, data_dir, name):
    monkeypatch.setattr(example_files, "SOURCE", "http://127.0.0.1:1")
    monkeypatch.setenv(FOLDER, str(data_dir))
    path = example_file(name)
    assert path.parent == data_dir and len(eb.load(path)) == 1


def test_a_file_is_fetched_once(served, kept, data_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (served / NAME).write_bytes((data_dir / NAME).read_bytes())
    assert main(["example", "oxide_interface", "--out", "scan.hspy"]) == 0, capsys.readouterr().err
    assert (tmp_path / "scan.hspy").read_bytes() == (data_dir / NAME).read_bytes()
    (served / NAME).unlink()
    assert example_file("oxide_interface") == kept / NAME


def test_a_damaged_file_is_not_kept(served, kept):
    (served / NAME).write_bytes(b"not what it was")
    with pytest.raises(ValueError, match=rf"{NAME}: what http://127.* gave is damaged"):
        example_file("oxide_interface")
    assert not (kept / NAME).exists()


def test_without_a_network_it_says_what_would_do(kept, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(example_files, "SOURCE", "http://127.0.0.1:1")
    assert main(["example", "--out", str(tmp_path / "map.hspy")]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "CuZn_EELS_mapping_tutorial.hspy could not be fetched (ConnectionError)" in said
    assert f"http://127.0.0.1:1/CuZn_EELS_mapping_tutorial.hspy and put it in {kept}" in said
    assert not (tmp_path / "map.hspy").exists()


def test_other_names_are_refused():
    with pytest.raises(ValueError, match=r"name is 'gold'; one of .*copper_zinc"):
        example_file("gold")

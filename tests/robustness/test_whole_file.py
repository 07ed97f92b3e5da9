"""Whatever happens while a file is written, the old file or the new one stands there, whole."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from eels_bayes import tensor_file, whole_file
from eels_bayes.whole_file import ABANDONED, write_whole

OLD, NEW = b"old" * 1000, b"new" * 2000
ODD_NAMES = [
    "model.eels",
    "m" * 255,
    "no ending",
    ".hidden",
    "µ " + "\N{GREEK SMALL LETTER MU}" * 90,
]
# What the writer asks of the system, in the order of a first writing.
CALLS = (
    "stat",
    "access",
    "listdir",
    "open",
    "write",
    "fsync",
    "close",
    "chown",
    "chmod",
    "replace",
)


class Killed(BaseException):
    """The program ends here: nothing that it would do afterwards happens."""


class Faulty:
    """The module ``os`` of a system that fails at one of the writer's calls.

    Parameters
    ----------
    at : int
        Which of the calls of `CALLS` fails, counted from 0; -1 for none.
    error : OSError, optional
        What it says; the program is killed at it if left out.
    short : bool
        Whether as much as possible is written, or a part at a time.
    """

    def __init__(self, at: int, error: OSError | None = None, short: bool = False) -> None:
        self.at, self.error, self.short, self.calls = at, error, short, list[str]()

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return self._counted(name, real) if name in (*CALLS, "unlink") else real

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            if self.error is None and len(self.calls) > self.at >= 0:
                raise Killed
            self.calls.append(name)
            failing = len(self.calls) - 1 == self.at
            if name == "write" and (self.short or failing):
                given = (given[0], given[1][: max(1, len(given[1]) // 2)])
            if failing and name in ("write", "close"):  # a part of it, or all of it, is done
                real(*given)
            if failing:
                raise Killed if self.error is None else self.error
            return real(*given)

        return call


def calls_of(path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes = NEW) -> list[str]:
    """The calls of a writing that goes well."""
    with monkeypatch.context() as patch:
        patch.setattr(whole_file, "os", system := Faulty(-1))
        write_whole(path, data)
    return system.calls


def partials(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.endswith(whole_file.PARTIAL)]


@pytest.fixture(params=[True, False], ids=["over an old file", "anew"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "model.eels"
    if request.param:
        path.write_bytes(OLD)
    return path


def put_back(path: Path, old: bytes | None) -> None:
    """The file as it was before anything was written."""
    path.unlink(missing_ok=True)
    if old is not None:
        path.write_bytes(old)


def old_of(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES], ids=errno.errorcode.get)
def test_an_error_at_any_call_leaves_the_old_file_or_the_new_one(
    path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = old_of(path)
    calls = calls_of(path, monkeypatch)
    assert {"open", "write", "fsync", "close", "replace"} <= set(calls)
    renamed = calls.index("replace")
    for at, name in enumerate(calls):
        put_back(path, old)
        with monkeypatch.context() as patch:
            error = OSError(code, os.strerror(code))
            patch.setattr(whole_file, "os", Faulty(at, error))
            # what is no part of writing may fail: it is said to others, or not at all
            may_pass = name in ("listdir", "chown") or (code == errno.EACCES and at > renamed)
            try:
                write_whole(path, NEW)
            except OSError as error:
                state = "not written: " if at <= renamed else "written, but perhaps not on the disk"
                assert str(path) in str(error) and state in str(error), name
                assert error.errno == code and type(error) is type(OSError(code, ""))
                assert old_of(path) == (old if at <= renamed else NEW), name
            else:
                assert may_pass, name
                assert path.read_bytes() == NEW
        assert not partials(path.parent), name


def test_killed_at_any_call_the_old_file_stands_or_the_new_one(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    old, aside = old_of(path), tmp_path_factory.mktemp("aside")
    calls = calls_of(path, monkeypatch)
    renamed = calls.index("replace")
    for at, name in enumerate(calls):
        put_back(path, old)
        with monkeypatch.context() as patch:
            patch.setattr(whole_file, "os", Faulty(at))
            with pytest.raises(Killed):
                write_whole(path, NEW)
        assert old_of(path) == (old if at <= renamed else NEW), name
        for one in partials(path.parent):
            os.rename(path.parent / one, aside / one)
    left = os.listdir(aside)
    assert left  # what was killed could clear up nothing
    for one in left:
        os.rename(aside / one, path.parent / one)
    write_whole(path, NEW)
    assert sorted(partials(path.parent)) == sorted(left)  # their writers may be at work
    for one in left:
        changed = os.stat(path).st_mtime - 2 * ABANDONED
        os.utime(path.parent / one, (changed, changed))
    write_whole(path, OLD)
    assert os.listdir(path.parent) == [path.name] and path.read_bytes() == OLD


def test_files_of_others_are_left_alone(path: Path) -> None:
    others = ["model.eels.partial", "model.eels.0123.partial", f"other.eels.{'0' * 16}.partial"]
    for name in others:
        (path.parent / name).write_bytes(b"")
        os.utime(path.parent / name, (0, 0))
    write_whole(path, NEW)
    assert sorted(os.listdir(path.parent)) == sorted([path.name, *others])


def test_a_system_that_writes_a_part_at_a_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_file, "os", system := Faulty(-1, short=True))
    write_whole(path, NEW)
    assert path.read_bytes() == NEW and system.calls.count("write") > 5


def test_what_is_done_before_a_file_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").write_bytes(OLD)
    calls = calls_of(tmp_path / "model", monkeypatch)
    assert calls.index("write") < calls.index("fsync") < calls.index("replace")
    assert calls.index("chmod") < calls.index("replace") < len(calls) - calls[::-1].index("fsync")


@pytest.mark.parametrize("name", ODD_NAMES, ids=lambda name: name[:12])
def test_any_name_that_a_file_may_have(tmp_path: Path, name: str) -> None:
    write_whole(tmp_path / name, NEW)
    write_whole(str(tmp_path / name), OLD)
    assert (tmp_path / name).read_bytes() == OLD and os.listdir(tmp_path) == [name]


def test_no_bytes_are_a_file_too(tmp_path: Path) -> None:
    write_whole(tmp_path / "empty", b"")
    assert (tmp_path / "empty").read_bytes() == b""


def test_threads_that_save_to_one_path_all_succeed(tmp_path: Path) -> None:
    path, failed = tmp_path / "model.eels", list[BaseException]()
    tensor_file.write(path, "numbers", {"x": torch.zeros(1)}, {"n": 0})

    def save(thread: int) -> None:
        try:
            for n in range(15):
                number = float(100 * thread + n)
                tensor_file.write(path, "numbers", {"x": torch.full((999,), number)}, {"n": number})
                tensors, config = tensor_file.read(path, "numbers")
                assert bool((tensors["x"] == config["n"]).all())
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=save, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert os.listdir(tmp_path) == [path.name]


posix = pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755], ids=oct)
def test_permissions_stay(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "model.eels"
    write_whole(path, OLD)
    os.chmod(path, mode)
    write_whole(path, NEW)
    assert stat.S_IMODE(path.stat().st_mode) == mode and path.read_bytes() == NEW


@posix
def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "usual").write_bytes(NEW)
    write_whole(tmp_path / "ours", NEW)
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


@posix
@pytest.mark.parametrize("exists", [True, False], ids=["to a file", "to none yet"])
@pytest.mark.parametrize("link", ["relative", "absolute", "of a link"])
def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path, exists: bool, link: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "model.eels"
    if exists:
        target.write_bytes(OLD)
    path = tmp_path / "current.eels"
    path.symlink_to(target if link == "absolute" else Path("elsewhere") / "model.eels")
    if link == "of a link":
        path = tmp_path / "again.eels"
        path.symlink_to("current.eels")
    write_whole(path, NEW)
    assert path.is_symlink() and not target.is_symlink()
    assert target.read_bytes() == path.read_bytes() == NEW
    assert os.listdir(target.parent) == [target.name]


@posix
def test_what_no_file_can_replace_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_bytes(OLD)
    for name, message in (
        ("folder", "is a folder; name a file in it"),
        ("pipe", "is a device, which no file can replace; name a file"),
        ("/dev/null", "is a device"),
        ("loop", "not written: the link points to itself"),
        ("absent/model", "the folder .*absent does not exist; make it first"),
        ("file/model", "not written: choose another name or folder"),
        ("n" * 256, "not written: choose a shorter name"),
    ):
        before = sorted(os.listdir(tmp_path))
        with pytest.raises(OSError, match=message):
            write_whole(tmp_path / name, NEW)
        assert sorted(os.listdir(tmp_path)) == before
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="is read-only; choose another name, or make it"):
        write_whole(tmp_path / "file", NEW)
    assert (tmp_path / "file").read_bytes() == OLD

"""Files that are replaced whole: what stands under a name is the old file or the new one.

Every file that the package writes goes this way. The bytes go to a partial file of a name of its
own beside the file that is meant, reach the disk, and then take its name in one step. Whatever
happens in between, a full disk or a killed program, the old file stays; of several writers of one
name the last one wins.
"""

import errno
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

PARTIAL = ".partial"  # how the name of a file that is being written ends
TOKEN = 8  # bytes at random in a partial file's name: no two writers meet
SHOWN = 40  # characters of a file's name in that of its partial file: names must not grow too long
ABANDONED = 3600.0  # seconds without a change after which a partial file's writer has died
NO_FOLDER_SYNC = {errno.EACCES, errno.EINVAL, errno.ENOTSUP, errno.EPERM}  # systems without it
# What would do, by what the system says; else another name.
REMEDIES = {
    errno.ENOSPC: "free some space or choose another disk",
    errno.EDQUOT: "free some space or choose another disk",
    errno.EACCES: "choose a folder and a file that you may write to",
    errno.EPERM: "choose a folder and a file that you may write to",
    errno.EROFS: "choose a disk that is not read-only",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "the link points to itself; choose another name",
}


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file, replacing an older one only once all is written and on the disk.

    A link stays a link: the file that it points to is replaced. The new file has the permissions
    of the old one, and its owner and group where the system lets them be given.

    Parameters
    ----------
    path : path-like
        File to write; its folder must exist.
    data : bytes
        All of it.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    OSError
        If the file cannot be written, or ``path`` is a folder or a device; the old file stays.
    """
    try:
        target, old = _target(Path(path))
        _clear_abandoned(target)
        partial = target.with_name(_stem(target) + os.urandom(TOKEN).hex() + PARTIAL)
        try:
            _write(partial, data, old)
            os.replace(partial, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(partial)
            raise
    except OSError as error:
        raise _explained(error, path, "not written") from error
    try:
        _sync_folder(target.parent)
    except OSError as error:
        raise _explained(error, path, "written, but perhaps not on the disk yet") from error


def _target(path: Path) -> tuple[Path, os.stat_result | None]:
    """The file that is meant, links followed, and what is known of an older one."""
    target = Path(os.path.realpath(path))
    try:
        old = os.stat(path)
    except FileNotFoundError:
        if not target.parent.is_dir():
            raise FileNotFoundError(
                f"path: the folder {path.parent} does not exist; make it first"
            ) from None
        return target, None
    if stat.S_ISDIR(old.st_mode):
        raise IsADirectoryError(f"{path} is a folder; name a file in it")
    if not stat.S_ISREG(old.st_mode):
        raise OSError(f"{path} is a device, which no file can replace; name a file")
    if not os.access(target, os.W_OK):  # renaming would not ask
        raise PermissionError(f"{path} is read-only; choose another name, or make it writable")
    return target, old


def _write(partial: Path, data: bytes, old: os.stat_result | None) -> None:
    """All bytes in a new file that is like the old one, and on the disk."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    # less the user's own mask; one that is to be like another shows nothing before
    handle = os.open(partial, flags, 0o666 if old is None else 0o600)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(handle, left) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    if old is not None:
        _take_after(partial, old)


def _take_after(partial: Path, old: os.stat_result) -> None:
    """Owner, group and permissions of the old file, so that those who read it go on doing so."""
    if hasattr(os, "chown"):
        for owner in (old.st_uid, -1):  # the group alone where the owner may not be given
            with suppress(PermissionError):
                os.chown(partial, owner, old.st_gid)
                break
    os.chmod(partial, stat.S_IMODE(old.st_mode))


def _sync_folder(folder: Path) -> None:
    """The new name is on the disk, too, where the system can say so."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        if error.errno in NO_FOLDER_SYNC:
            return
        raise
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise
    finally:
        os.close(handle)


def _clear_abandoned(target: Path) -> None:
    """Remove what killed writers of this file left, and nothing of those at work."""
    with suppress(OSError):  # of another writer, who clears up at the same time
        for name in os.listdir(target.parent):
            middle = name.removeprefix(_stem(target)).removesuffix(PARTIAL)
            if name != _stem(target) + middle + PARTIAL or len(middle) != 2 * TOKEN:
                continue
            left = target.with_name(name)
            if time.time() - os.stat(left).st_mtime > ABANDONED:
                os.unlink(left)


def _stem(target: Path) -> str:
    """How the names of a file's partial files begin."""
    return f"{target.name[:SHOWN]}."


def _explained(error: OSError, path: str | os.PathLike[str], state: str) -> OSError:
    """The same error with the path that was given, what became of it and what would do."""
    if error.errno is None:  # said already
        return error
    remedy = REMEDIES.get(error.errno, "choose another name or folder")
    return type(error)(error.errno, f"{error.strerror}; {state}: {remedy}", str(path))

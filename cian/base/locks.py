"""Folders that one process holds at a time. The kernel keeps the lock, so it ends with the process at the latest."""
import contextlib
import fcntl
import logging
import os
from pathlib import Path

from cian.base.files import remove_unfinished

LOCK = ".lock"  # of a step that may wait for another process
HELD = ".held"  # of a tool's output; another file, for a step holds the folder while its tools write into it

log = logging.getLogger(__name__)

_held = {}  # folder as the system knows it -> (open file, folders made for it): what this process holds


@contextlib.contextmanager
def locked(folder, occupied):
    """Hold a folder, made if missing, for this process; its file `.lock` stays, the lock ends with the process at the latest.

    Where another process holds it, occupied() is called; unless that raises, the other's end is waited for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(str(folder / LOCK), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            occupied()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def hold(folder):
    """Hold an output folder, made if missing, from now to the end of this process, or until `release`.

    RuntimeError if another process holds it. Temporary files that a killed process left there are removed.
    """
    folder = Path(folder)
    key = os.path.realpath(str(folder))
    made = _held[key][1] if key in _held else [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        if key in _held and _is_file(_held[key][0], folder / HELD):
            return
        file = open(str(folder / HELD), "w")  # noqa: SIM115  it stays open: closing it would let the folder go
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise RuntimeError(f"{folder}: another process writes into this folder; wait for its end, or stop it") from None
        except OSError as error:  # file systems without locks: some of clusters
            log.warning("%s: cannot be locked (%s); see to it that no second process writes there", folder, error.strerror)
        _held[key] = file, made
        if _is_file(file, folder / HELD):  # else its last holder has just removed it, having made nothing
            break
    for place in (folder, *(child for child in folder.iterdir() if child.is_dir() and not (child / HELD).exists())):
        remove_unfinished(place)


def release(folder, remove=False):
    """Hold a folder no longer; remove: its lock file as well, and those folders that `hold` made and that are empty."""
    file, made = _held.pop(os.path.realpath(str(folder)), (None, ()))
    if file is None:
        return
    if remove:
        with contextlib.suppress(OSError):  # something lies there, or the disk is read-only
            (Path(folder) / HELD).unlink()
            for place in made:
                place.rmdir()
    file.close()


def _is_file(file, path):
    """Is an open file still the one at `path`?"""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(str(path)))
    except FileNotFoundError:
        return False

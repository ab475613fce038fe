"""Folders that one process holds at a time. The kernel keeps the lock, so it ends with the process at the latest."""
import contextlib
import fcntl
import logging
import os
import time
from pathlib import Path

from cian.base.files import remove_unfinished

LOCK = ".lock"  # of a step that may wait for another process
ATTEMPTS = 20
RECORDING = ".recording"  # while the records of a folder are read and written
HELD = ".held"  # of a tool's output; another file, for a step holds the folder while its tools write into it

log = logging.getLogger(__name__)

_held = {}  # folder as the system knows it -> (open file, folders made for it): what this process holds


@contextlib.contextmanager
def locked(folder, occupied, name=LOCK):
    """Hold a folder, made if missing, for this process; its file `name` stays, the lock ends with the process at the latest.

    Where another process holds it, occupied() is called; unless that raises, the other's end is waited for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(str(folder / name), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            occupied()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def hold(folder, together=False):
    """Hold an output folder, made if missing, from now to the end of this process, or until `release`.

    RuntimeError if another process holds it, unless both do so `together`. Temporary files that a killed process left there are
    removed, where no other process holds the folder.
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
            alone = _lock(file, together)
        except BlockingIOError:
            file.close()
            raise RuntimeError(f"{folder}: another process writes into this folder; wait for its end, or stop it") from None
        except OSError as error:  # file systems without locks: some of clusters
            log.warning("%s: cannot be locked (%s); see to it that no second process writes there", folder, error.strerror)
            alone = False
        _held[key] = file, made
        if _is_file(file, folder / HELD):  # else its last holder has just removed it, having made nothing
            break
    if not alone:
        return
    for place in (folder, *(child for child in folder.iterdir() if child.is_dir() and not (child / HELD).exists())):
        remove_unfinished(place)
    if together:
        fcntl.flock(file, fcntl.LOCK_SH)


def _lock(file, together):
    """Lock an open file alone, or else, if `together`, with others that do so; is it alone? BlockingIOError if it cannot be."""
    for _ in range(ATTEMPTS):  # a first one is alone for a moment, to clear up
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if not together:
                raise
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        time.sleep(0.1)
    raise BlockingIOError


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

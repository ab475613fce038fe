"""Several processes, on one machine or on several, that fill one folder: each takes what no other is working on.

A claim is a lock on one byte of FOLDER/.claims, so it ends with its process at the latest and leaves nothing to clean up; it
works on network file systems that know locks. Where there are none, processes may do the same work twice, to the same result.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import time
from pathlib import Path

CLAIMS = ".claims"
PAUSE = 0.5  # seconds between two looks at what others are working on


class Claims:
    """The claims of this process on names of files in `folder`; use it in a `with`. Its names are shared with its threads."""

    def __init__(self, folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._file = os.open(str(Path(folder) / CLAIMS), os.O_RDWR | os.O_CREAT, 0o666)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        os.close(self._file)  # ends all claims

    def take(self, name):
        """Claim a name; False where another process holds it."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(name))
        except OSError as error:
            return error.errno not in (errno.EACCES, errno.EAGAIN)  # any other: no locks here
        return True

    def release(self, name):
        """Give a name up."""
        with contextlib.suppress(OSError):  # no locks here
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _place(name))


def _place(name):
    """The byte that stands for a name; two names on one byte would only be worked on one after the other."""
    return int.from_bytes(hashlib.sha256(str(name).encode("utf-8")).digest()[:7], "big")


def fill(folder, names, done, run):
    """Yield each name when its file in `folder` is there, made here or by another process.

    done(name): is it there? run(iterator of names): makes them and yields each when it is done, in any order. What another
    process is working on is left to it, and made here only if that ends without it.
    """
    todo = list(names)
    with Claims(folder) as claims:
        while todo:
            elsewhere, found = [], []
            for name in run(_free(claims, todo, done, elsewhere, found)):
                claims.release(name)
                yield name
            yield from found
            if len(elsewhere) == len(todo):
                time.sleep(PAUSE)
            todo = elsewhere


def _free(claims, names, done, elsewhere, found):
    """The names to be made here, claimed; the others are put into the two lists."""
    for name in names:
        if not claims.take(name):
            elsewhere.append(name)
        elif done(name):
            claims.release(name)
            found.append(name)
        else:
            yield name

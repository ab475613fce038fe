"""Downloads that go on where they stopped: a file appears complete and with the right checksum, or not at all."""

import contextlib
import hashlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

from cian.base.progress import Progress

ATTEMPTS = 3  # connections made for one file while each brings something new
TIMEOUT = 30  # seconds without a byte
BLOCK = 1 << 18
PARTIAL = ".part"
FAILURES = (OSError, http.client.HTTPException)  # URLError and time-outs are OSErrors


class Unreachable(RuntimeError):
    """An address from which the file cannot be had now."""


def digest(path, algorithm="sha256"):
    """Hexadecimal digest of a file's bytes."""
    total = hashlib.new(algorithm)
    with open(str(path), "rb") as file:
        for block in iter(lambda: file.read(BLOCK), b""):
            total.update(block)
    return total.hexdigest()


def download(address, path, check=None, resume=True):
    """Fetch `address` to `path`; what an interrupted download brought stays beside it as `path`.part and is not fetched again.

    check(path of the complete download): raises ValueError where it is not the expected file, which is then removed.
    resume False: without a checksum an old part might be of another file, so it is dropped.
    Unreachable names the address and says why; nothing is at `path` then.
    """
    path, partial = Path(path), Path(str(path) + PARTIAL)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not resume and partial.exists():
        partial.unlink()
    for attempt in range(1, ATTEMPTS + 1):
        before = partial.stat().st_size if partial.exists() else 0
        try:
            _fetch(address, partial)
            break
        except FAILURES as error:
            brought = (partial.stat().st_size if partial.exists() else 0) - before
            if attempt == ATTEMPTS or brought <= 0:
                raise Unreachable(f"{address}: {reason(error)}") from None
    if check is not None:
        try:
            check(partial)
        except ValueError:
            partial.unlink()
            raise
    os.replace(str(partial), str(path))


def reason(error):
    """What went wrong, in a few words."""
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answers {error.code} {error.reason}"
    return str(getattr(error, "reason", error)) or type(error).__name__


def _fetch(address, partial):
    """Append to `partial` what it lacks; FAILURES where the connection ends before the file does."""
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(address, headers={"User-Agent": "cian", **({"Range": f"bytes={have}-"} if have else {})})
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if have and error.code == 416:  # nothing behind what is there: complete, or of another file, which the check tells
            return
        raise
    with answer:
        if have and not (answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")):
            have = 0  # the server sends the whole file
        length = answer.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        progress = contextlib.nullcontext() if total is None else Progress(total, address.rsplit("/", 1)[-1], "B", have)
        with open(str(partial), "ab" if have else "wb") as file, progress:
            while total is None or have < total:
                block = answer.read1(BLOCK)
                if not block:
                    break
                file.write(block)
                have += len(block)
                if total is not None:
                    progress.update(len(block))
            if total is not None and have < total:
                raise ConnectionError(f"the connection ended after {have:,} of {total:,} bytes")

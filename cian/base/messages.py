"""What a command says on standard error, and how much: messages through `logging`, in a run folder also to a log file.

Messages come between the progress bars of a terminal, not into them. CIAN_LOG is debug, info (default) or warning; --quiet is
warning. With debug, expected errors show where they came from.
"""

import logging
import os
import sys
from pathlib import Path

from tqdm import tqdm

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}
PACKAGE = logging.getLogger("cian")
ROOT = logging.getLogger()


class Voice(logging.Handler):
    """Standard error, around the progress bars that are shown there."""

    def emit(self, record):
        try:
            tqdm.write(self.format(record), file=sys.stderr)
            sys.stderr.flush()
        except OSError:  # nobody reads any more
            self.handleError(record)


def speak():
    """Begin to say messages as CIAN_LOG wants it; ValueError where it names no level."""
    name = os.environ.get("CIAN_LOG", "info")
    logging.raiseExceptions = False  # a log that cannot be written, on a full disk, is no reason to stop
    if not any(isinstance(handler, Voice) for handler in ROOT.handlers):
        ROOT.addHandler(Voice())
    ROOT.setLevel(logging.INFO)
    logging.captureWarnings(True)
    if name not in LEVELS:
        raise ValueError(f"CIAN_LOG: {name!r}, expected one of {', '.join(LEVELS)}")
    PACKAGE.setLevel(min(LEVELS[name], logging.INFO))
    if LEVELS[name] > logging.INFO:
        hush()


def hush():
    """Say only warnings and errors from now on, and show no progress; a log file goes on as before."""
    for handler in ROOT.handlers:
        if isinstance(handler, Voice):
            handler.setLevel(logging.WARNING)
    logging.getLogger("cian.base.progress").setLevel(logging.WARNING)


class LogFile(logging.FileHandler):
    """The log file of `keep`."""


def keep(path):
    """Append all that is said from now on to the file `path`, with the time; only one file is written at a time."""
    _close()
    file = LogFile(str(path), encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    ROOT.addHandler(file)
    if PACKAGE.getEffectiveLevel() > logging.INFO:
        PACKAGE.setLevel(logging.INFO)


def forget():
    """Remove the log file: what it tells about has not begun."""
    for path in _close():
        path.unlink()


def _close():
    """Close the log file, if there is one; its path in a list."""
    files = [handler for handler in ROOT.handlers if isinstance(handler, LogFile)]
    for file in files:
        ROOT.removeHandler(file)
        file.close()
    return [Path(file.baseFilename) for file in files]

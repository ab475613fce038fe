"""How long work ends before its end: by a signal, or because it has lost its way."""

import os
import signal
import sys


class Interrupted(Exception):
    """Training stopped by a signal after writing its state; `signal` is its number."""

    def __init__(self, number):
        super().__init__(f"stopped by {signal.Signals(number).name}; --resume goes on from here")
        self.signal = number


class Diverged(Exception):
    """The loss is NaN or infinite."""


def end_worker(status):
    """End a failed worker of a distributed training (DMLC_ROLE=worker) at once; in any other process do nothing.

    Otherwise MXNet waits at exit for the other workers, which wait for this one, and `cian launch` never hears of it.
    Call it with the exit status wherever a tool ends on an error; an uncaught exception does so by itself.
    """
    if os.environ.get("DMLC_ROLE") == "worker":
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

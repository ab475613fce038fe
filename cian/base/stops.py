"""How long work ends before its end: by a signal, or because it has lost its way."""

import signal


class Interrupted(Exception):
    """Training stopped by a signal after writing its state; `signal` is its number."""

    def __init__(self, number):
        super().__init__(f"stopped by {signal.Signals(number).name}; --resume goes on from here")
        self.signal = number


class Diverged(Exception):
    """The loss is NaN or infinite."""

"""What the workers of a distributed training tell each other besides gradients: when to stop, running statistics, and whether
they mean the same training."""
import hashlib
import signal

import numpy as np

from cian.base.runtime import mx

FIRST_KEY = 10**6  # the trainer's keys are the numbers of its parameters
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class WorkerGroup:
    """The workers that share a KVStore, a single one where `kvstore` is a name. All of them have to call each method."""

    def __init__(self, kvstore):
        self._store = None if isinstance(kvstore, str) else kvstore
        self.rank, self.count = (0, 1) if self._store is None else (self._store.rank, self._store.num_workers)
        self._keys = {}

    def total(self, name, values):
        """The sum over workers of numpy arrays of one shape and type; `name` is of what they are."""
        if self._store is None:
            return values
        array = mx.nd.array(values, dtype=values.dtype)
        if name not in self._keys:
            self._keys[name] = FIRST_KEY + len(self._keys)  # the same everywhere: all workers ask in the same order
            self._store.init(self._keys[name], array.zeros_like())
        self._store.push(self._keys[name], array)
        self._store.pull(self._keys[name], out=array)
        return array.asnumpy()

    def gather(self, name, values):
        """Arrays (n, ...) of every worker as one, (workers * n, ...), in the order of their ranks."""
        rows = np.zeros((self.count,) + values.shape, values.dtype)
        rows[self.rank] = values  # the others' rows are 0, so the sum is exact
        return self.total(name, rows).reshape((-1,) + values.shape[1:])

    def agree(self, noted, save):
        """(signal to stop for or None, whether to save), the same for all: a signal that any noted, the first one's wish."""
        wishes = [noted == number for number in SIGNALS] + [save and self.rank == 0]
        *signals, save = self.total("wishes", np.array(wishes, np.float32))
        return next((number for number, count in zip(SIGNALS, signals) if count), None), save > 0

    def compare(self, facts):
        """ValueError unless {name: value} is the same for all; it says which differ, and what this worker has."""
        own = [hashlib.sha256(repr(facts[name]).encode("utf-8")).digest()[:16] for name in sorted(facts)]
        own = np.frombuffer(b"".join(own), "<u2").reshape(1, -1, 8).astype(np.float32)  # exact in float32
        rows = self.gather("facts", own)  # (workers, facts, 8)
        for name, differs in zip(sorted(facts), (rows != rows[:1]).any(axis=2).T):
            if differs.any():
                others = ", ".join(map(str, np.flatnonzero(differs)))
                raise ValueError(
                    f"workers 0 and {others} differ in {name}: worker {self.rank} has {facts[name]}. All of them need the same "
                    "options, data and --output folder"
                )

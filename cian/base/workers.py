"""Whole images on all devices: a worker process a GPU, or several that share the processors; each image goes to who is free.

One image cannot use many processors, and one process not several GPUs. A worker is made in its process by make(device), after
the variables of the process are set; MXNet is loaded there. It is called with an item and returns the list of what is finished,
which may be of earlier items; rest() returns what is finished after the last one, and close() ends it.
"""

import concurrent.futures
import os
from typing import NamedTuple

from loky import ProcessPoolExecutor

from cian.base.parallel import prepare_worker

AHEAD = 2  # items a worker has: the one it works on and the next


class Place(NamedTuple):
    """Where a worker is: its device, such as "cpu" or "gpu1", and the number of threads it may use."""

    device: str
    threads: int


class Workers:
    """Workers made by make(device) at `places`, each in a process of its own; at one place only, in this process.

    They are ready, or have failed with their own error, when this is made. Close it, or use it in a `with`.
    """

    def __init__(self, make, places):
        self._here, self._pools = None, []
        if len(places) == 1:
            self._here = make(places[0].device)
            return
        try:
            for place in places:
                variables = {"OMP_NUM_THREADS": str(place.threads)}
                self._pools.append(
                    ProcessPoolExecutor(1, initializer=prepare_worker, initargs=(os.getpid(),), env=variables)
                )
            begun = [pool.submit(_begin, make, place.device) for pool, place in zip(self._pools, places)]
            for future in begun:
                future.result()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        """End the workers at once."""
        if self._here is not None:
            self._here.close()
        for pool in self._pools:
            pool.shutdown(wait=True, kill_workers=True)

    def run(self, items):
        """Yield what the workers finish of `items`, an iterator, in any order; one is taken when a worker can have it."""
        if self._here is not None:
            for item in items:
                yield from self._here(item)
            yield from self._here.rest()
            return
        items, waiting = iter(items), {}
        for pool in self._pools * AHEAD:
            self._give(pool, items, waiting)
        while waiting:
            for future in concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED).done:
                pool = waiting.pop(future)
                finished = future.result()
                self._give(pool, items, waiting)
                yield from finished
        for future in [pool.submit(_rest) for pool in self._pools]:
            yield from future.result()

    @staticmethod
    def _give(pool, items, waiting):
        for item in items:
            waiting[pool.submit(_work, item)] = pool
            return


class Each:
    """A worker that makes one thing of an item: function(item)."""

    def __init__(self, function):
        self._function = function

    def __call__(self, item):
        return [self._function(item)]

    def rest(self):
        """Nothing is left."""
        return []

    def close(self):
        """Nothing to end."""


_worker = []  # of this process


def _begin(make, device):
    _worker[:] = [make(device)]


def _work(item):
    return _worker[0](item)


def _rest():
    return _worker[0].rest()

"""Work on many files in processes: results in order, errors passed on, progress reported."""
import os
import signal
import threading
import time
from collections import deque
from pathlib import Path

import cv2
import joblib
from loky import ProcessPoolExecutor


def processors():
    """How many processors this process may use."""
    return joblib.cpu_count()


def free_memory():
    """Bytes of memory that are free, as Linux says; infinite elsewhere."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return float("inf")
    return next((1024 * float(line.split()[1]) for line in lines if line.startswith("MemAvailable")), float("inf"))


def map_parallel(function, items, workers=None, progress=None):
    """Yield function(item) for each of `items`, in order, computed in `workers` processes (None = all processors).

    function and items must be picklable; with one worker all happens in this process. progress: called with the
    number of items just done, such as the `update` of a tqdm bar. Raises ValueError for fewer than one worker, and
    what `function` raises.
    """
    items = list(items)
    workers = processors() if workers is None else workers
    if workers < 1:
        raise ValueError(f"workers: expected at least 1, found {workers}")
    if min(workers, len(items)) <= 1:
        results = map(function, items)
    else:
        calls = (joblib.delayed(_without_threads)(function, item) for item in items)
        results = joblib.Parallel(n_jobs=min(workers, len(items)), return_as="generator")(calls)
    return _report(results, progress)


def _report(results, progress):
    for result in results:
        if progress is not None:
            progress(1)
        yield result


def _without_threads(function, item):
    cv2.setNumThreads(0)  # one thread a process: the processes share the processors among them
    return function(item)


class Beside:
    """Runs functions in `workers` processes beside the caller, each named by what it makes; with 0 workers here and at once."""

    def __init__(self, workers):
        self._pool = ProcessPoolExecutor(workers, initializer=prepare_worker, initargs=(os.getpid(),)) if workers else None
        self._waiting, self._most = deque(), 2 * workers  # what waits takes memory: one image's logits are tens of megabytes

    def add(self, name, function, *arguments):
        """Run function(*arguments); names, of this or earlier ones, that are done by now. Raises what they raise."""
        if self._pool is None:
            function(*arguments)
            return [name]
        self._waiting.append((name, self._pool.submit(function, *arguments)))
        return [self._take() for _ in range(len(self._waiting) - self._most)]

    def rest(self):
        """Wait for all; the names that were not told yet."""
        return [self._take() for _ in range(len(self._waiting))]

    def close(self):
        """End the processes, and what runs in them."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=bool(self._waiting))

    def _take(self):
        name, future = self._waiting.popleft()
        future.result()
        return name


def stream_parallel(function, tasks, workers=None, ahead=4):
    """Yield function(*task) for each of `tasks`, in order, from an iterator that may be slow or large.

    At most `ahead` tasks for each of the `workers` processes (None = all processors) are taken in advance. Other arguments and
    errors as of `map_parallel`.
    """
    workers = processors() if workers is None else workers
    if workers < 1:
        raise ValueError(f"workers: expected at least 1, found {workers}")
    if workers == 1:
        for task in tasks:
            yield function(*task)
        return
    pool, waiting = ProcessPoolExecutor(workers, initializer=cv2.setNumThreads, initargs=(0,)), deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(function, *task))
            if len(waiting) >= ahead * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, kill_workers=True)


def prepare_worker(parent):
    """In a worker process: one OpenCV thread, Ctrl-C left to the parent, and an end when the parent is gone."""
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()


def end_with(parent):
    """Leave this process once its parent has changed, that is, died without saying so."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)

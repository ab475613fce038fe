"""Work on many files in processes: results in order, errors passed on, progress reported."""
from collections import deque

import cv2
import joblib
from loky import ProcessPoolExecutor


def processors():
    """How many processors this process may use."""
    return joblib.cpu_count()


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

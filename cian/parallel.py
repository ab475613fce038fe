"""Work on many files in processes: results in order, errors passed on, an optional progress bar."""
import cv2
import joblib


def processors():
    """How many processors this process may use."""
    return joblib.cpu_count()


def map_parallel(function, items, jobs=None, progress=None):
    """Yield function(item) for each of `items`, in order, computed in `jobs` processes (None = all processors).

    function and items must be picklable; with jobs=1 all happens in this process. progress: a callable such as
    functools.partial(tqdm.tqdm, unit="image") that is given the results and total=. Raises ValueError for jobs < 1,
    and what `function` raises.
    """
    items = list(items)
    jobs = processors() if jobs is None else jobs
    if jobs < 1:
        raise ValueError(f"jobs: expected at least 1, found {jobs}")
    jobs = min(jobs, max(len(items), 1))
    if jobs == 1:
        results = map(function, items)
    else:
        calls = (joblib.delayed(_without_threads)(function, item) for item in items)
        results = joblib.Parallel(n_jobs=jobs, return_as="generator")(calls)
    return results if progress is None else progress(results, total=len(items))


def _without_threads(function, item):
    cv2.setNumThreads(0)  # one thread a process: the processes share the processors among them
    return function(item)

"""What inter-matching costs: seconds and memory of one group of N images, beside COMNet's Table I.

The paper's times are of an unnamed solver on a Titan X. Its features are 32 x 32 x 2048, of ResNet-50 and 512-pixel crops.
"""

import os
import resource
import statistics
import time

from loky import ProcessPoolExecutor

from cian.base.results import Measurement, run_name, write_results
from cian.base.runtime import mx
from cian.models.matching import InterMatching

TABLE, COLUMN = "COMNet I", "inter-matching time"
PAPER_CHANNELS, PAPER_SIDE = 2048, 32


def measure(channels, group, side, repeats=3):
    """Cost of InterMatching on features (1, group, channels, side, side): {"seconds", "processor_seconds", "memory" (MiB)}.

    Medians of wall time, and of processor time (all threads), which other programs disturb less. The features are random; the
    time does not depend on their values. Memory is what the process's peak grows by, so it is right only in a process that has
    not used more before (measure_apart).
    """
    shape = (1, group, channels, side, side)
    features, responses = mx.nd.random.uniform(shape=shape), mx.nd.random.uniform(shape=(1, group, 1, side, side))
    matching = InterMatching()
    matching.hybridize()
    mx.nd.waitall()
    before, times = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []
    for _ in range(repeats):
        began, used = time.perf_counter(), time.process_time()
        matching(features, responses).asnumpy()  # waits for the result
        times.append((time.perf_counter() - began, time.process_time() - used))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10  # Linux counts kilobytes
    seconds, processor = (statistics.median(values) for values in zip(*times))
    return {"seconds": seconds, "processor_seconds": processor, "memory": grown}


def measure_apart(channels, group, side, repeats=3):
    """`measure` in a process of its own, and the number of OpenMP threads it had ("threads")."""
    pool = ProcessPoolExecutor(1)
    try:
        cost = pool.submit(measure, channels, group, side, repeats).result()
        return {**cost, "threads": int(pool.submit(os.environ.get, "OMP_NUM_THREADS").result())}
    finally:
        pool.shutdown(wait=True)


def matching_costs(channels, groups, side, paper, repeats=3, progress=None):
    """One dict a measurement: channels, group, side, what measure_apart returns, and "paper", its seconds or None.

    paper: see cian.base.results.read_paper. ValueError for fewer than 2 images, or no channels, points or repeats.
    """
    if min(groups) < 2 or min(channels) < 1 or side < 1 or repeats < 1:
        raise ValueError(f"groups {groups}, channels {channels}, side {side}, repeats {repeats}: expected groups of 2 or more")
    found = []
    for count in channels:
        for group in groups:
            cost = measure_apart(count, group, side, repeats)
            published = paper.get((TABLE, f"N = {group}", COLUMN)) if (count, side) == (PAPER_CHANNELS, PAPER_SIDE) else None
            entry = {"channels": count, "group": group, "side": side, **cost}
            found.append({**entry, "paper": None if published is None else published[0]})
            if progress is not None:
                progress(1)
    return found


def write_costs(folder, costs, commit):
    """Write each measurement's seconds; those that are not of the paper's features name theirs in the column."""
    found = []
    for entry in costs:
        size = f"{entry['side']}x{entry['side']}x{entry['channels']}"
        column = COLUMN if (entry["channels"], entry["side"]) == (PAPER_CHANNELS, PAPER_SIDE) else f"{COLUMN}, {size}"
        settings = {key: entry[key] for key in ("channels", "group", "side", "threads")}
        run = run_name("matching", "cpu", size, f"N{entry['group']}", settings)
        row = f"N = {entry['group']}"
        found.append(Measurement(TABLE, row, column, entry["seconds"], "s", run, commit, settings=settings))
    write_results(folder, found)


def cost_table(costs):
    """Markdown: seconds of the paper, of wall time and of processor time here, and memory."""
    heads = ["N", "features of an image", "paper, s", "here, s", "processor, s", "memory, MiB", "OpenMP threads"]
    lines = ["| " + " | ".join(heads) + " |", "|---|---|" + "---:|" * 5]
    for entry in costs:
        paper = "" if entry["paper"] is None else f"{entry['paper']:.2f}"
        features = f"{entry['side']} x {entry['side']} x {entry['channels']}"
        times = f"{entry['seconds']:.3f} | {entry['processor_seconds']:.3f}"
        numbers = f"{paper} | {times} | {entry['memory']:.0f} | {entry['threads']}"
        lines.append(f"| {entry['group']} | {features} | {numbers} |")
    return "\n".join(lines)

"""What can be done a second by one process and by several: whole images, batches for a training, comparisons of masks.

GPUs count as devices where there are any; on a CPU the processes share its threads.
"""

import functools
import os
import statistics
import tempfile
import time
from pathlib import Path

from cian.base.parallel import processors
from cian.base.places import places
from cian.base.workers import Workers
from cian.data.loader import Examples, Loader, Plan
from cian.evaluation.metrics import evaluate_folder
from cian.inference.segmenter import mask_worker


def inference(network, view, crf, images, counts, devices=None, repeats=1):
    """[{"processes", "threads", "device", "ready", "seconds"}] of predicting `images`, paths, in each number of processes.

    network, view, crf: checkpoint, backbone and similarity; size, scales, flip and fit; iterations and method, as in predict.
    ready: seconds until the network can start; seconds: an image of the rest, median of `repeats` passes, after one image a
    process. None among the counts is the number that `cian predict` would take.
    """
    found = []
    for count in counts:
        where = places(devices, count, len(images))
        with tempfile.TemporaryDirectory() as folder:
            began, passes = time.perf_counter(), []
            with Workers(functools.partial(mask_worker, network, view, (Path(folder), *crf)), where) as workers:
                ready = time.perf_counter() - began
                for _ in workers.run((f"first{n}", images[0], None) for n in range(2 * len(where))):
                    pass  # each process prepares its kernels
                for number in range(repeats):
                    began = time.perf_counter()
                    for _ in workers.run((f"{number}-{n}", path, None) for n, path in enumerate(images)):
                        pass
                    passes.append((time.perf_counter() - began) / len(images))
        place = where[0]
        threads = place.threads if len(where) > 1 else int(os.environ["OMP_NUM_THREADS"])
        found.append({"processes": len(where), "threads": threads, "device": place.device, "ready": ready})
        found[-1]["seconds"] = statistics.median(passes)
    return found


def loading(dataset, ids, counts, crop=321, batch=16, scales=(0.5, 0.75, 1.0, 1.25, 1.5)):
    """[{"workers", "seconds"}]: seconds a training image of the loader by the number of its processes, 0 in this one."""
    found = []
    masks = dataset.mask_folder if all(dataset.mask_path(i).is_file() for i in ids) else None
    examples = Examples(dataset, masks, crop, scales)
    plan = Plan(tuple(ids), {}, min(batch, len(ids)))
    for workers in counts:
        with Loader(plan, examples.make_batch, workers, max(4, 2 * workers)) as loader:
            for _ in loader.batches(0, len(plan.epoch(0)) - 1):
                pass  # the processes have started
            began = time.perf_counter()
            made = sum(len(names) for names, _ in loader.batches(1))
        found.append({"workers": workers, "seconds": (time.perf_counter() - began) / made})
    return found


def evaluating(dataset, ids, counts):
    """[{"workers", "seconds"}]: seconds an image of comparing masks, here the truth with itself; None without masks."""
    if not all(dataset.mask_path(i).is_file() for i in ids):
        return None
    found = []
    for workers in counts:
        began = time.perf_counter()
        evaluate_folder(dataset.mask_folder, dataset.mask_folder, ids, dataset.classes, workers, seeds=True)
        found.append({"workers": workers, "seconds": (time.perf_counter() - began) / len(ids)})
    return found


def powers():
    """1, 2, 4, ... up to the processors of this machine, and these."""
    most = processors()
    return sorted({2**n for n in range(most.bit_length()) if 2**n <= most} | {most})


def throughput_table(result):
    """Markdown: images a second, and how many times the first row's."""
    lines = [f"{result['images']} images, {result['processors']} processors; {result['network']}", ""]
    lines += ["| what | processes | threads each | images/s | times |", "|---|---|---|---|---|"]
    for what in ("inference", "loader", "evaluation"):
        rows = result.get(what) or []
        for row in rows:
            many, threads = row.get("processes", row.get("workers")), row.get("threads", 1)
            device = f" on {row['device']}" if "device" in row else ""
            times = rows[0]["seconds"] / row["seconds"]
            lines.append(f"| {what}{device} | {many} | {threads} | {1 / row['seconds']:.2f} | {times:.2f} |")
    return "\n".join(lines)

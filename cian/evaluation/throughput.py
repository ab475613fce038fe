"""What can be done a second by one process and by several: whole images, batches for a training, CRFs, comparisons of masks.

GPUs count as devices where there are any; on a CPU the processes share its threads.
"""

import functools
import os
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from loky import ProcessPoolExecutor

from cian.base.parallel import processors
from cian.base.places import places
from cian.base.workers import Workers
from cian.data.images import read_label
from cian.data.loader import Examples, Loader, Plan
from cian.evaluation.crf import made_up_logits, refine
from cian.evaluation.metrics import evaluate_folder
from cian.evaluation.published_loader import published_loading
from cian.inference.segmenter import mask_worker

DRAWN = 4  # images whose made-up logits the CRF works on in turn


def measure(network, view, crf, dataset, ids, sizes, counts, devices=None, repeats=1, published=None):
    """{"inference", "loader", "crf", "evaluation"}: the rows of the functions below for the first 20, 40, ... `ids` (sizes).

    counts: numbers of processes. published: folder of the published code, whose loader is then timed too (`workers` "own").
    """
    found = {"inference": [], "loader": [], "crf": [], "evaluation": []}
    for size in sorted({min(size, len(ids)) for size in sizes}):
        some = ids[:size]
        images = [dataset.image_path(i) for i in some]
        rows = {
            "inference": inference(network, view, crf, images, counts, devices, repeats),
            "loader": loading(dataset, some, (0, *counts)),
            "crf": refining(dataset, some, counts, *crf),
            "evaluation": evaluating(dataset, some, counts),
        }
        if published is not None:
            rows["loader"].insert(0, {"workers": "own", "seconds": published_loading(published, dataset, some)})
        for what, measured in rows.items():
            found[what] += [{"images": size, **row} for row in measured or ()]
    return found


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


def refining(dataset, ids, counts, iterations, method):
    """[{"workers", "seconds"}]: seconds an image of the dense CRF, on logits made from masks; None without these, or CRF."""
    if not iterations or not all(dataset.mask_path(i).is_file() for i in ids):
        return None
    found, logits = [], []
    for number, image_id in enumerate(ids[:DRAWN]):
        label = read_label(dataset.mask_path(image_id))
        logits.append(made_up_logits(label, len(dataset.classes), np.random.default_rng([0, number])))
    tasks = [(dataset.image_path(ids[n % len(logits)]), logits[n % len(logits)], iterations, method) for n in range(len(ids))]
    for workers in counts:
        with ProcessPoolExecutor(workers, initializer=cv2.setNumThreads, initargs=(0,)) as pool:
            list(pool.map(refine, tasks[:1] * workers))  # the processes have started
            began = time.perf_counter()
            list(pool.map(refine, tasks))
        found.append({"workers": workers, "seconds": (time.perf_counter() - began) / len(tasks)})
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
    """Markdown: images a second by the number of images, and how many times the first row's at the most; GPUs have a column."""
    sizes = sorted({row["images"] for rows in result["measured"].values() for row in rows})
    lines = [f"{result['processors']} processors; {result['network']}", ""]
    heads = ["what", "processes", "threads each", *(f"{size} images" for size in sizes), "times", "on GPUs"]
    lines += ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for what, rows in result["measured"].items():
        kinds = {}  # (processes, threads, device) -> {images: images a second}
        for row in rows:
            of = row.get("processes", row.get("workers")), row.get("threads", 1), row.get("device", "cpu")
            kinds.setdefault(of, {})[row["images"]] = 1 / row["seconds"]
        first = next(iter(kinds.values()), None)
        for (many, threads, device), speeds in kinds.items():
            name, many, threads = (f"{what}, published", 1, "all") if many == "own" else (what, many, threads)
            told = [f"{speeds[size]:.2f}" for size in sizes]
            on_gpu = device.startswith("gpu")
            told, last = ([""] * len(sizes), told[-1]) if on_gpu else (told, "")
            times = f"{speeds[sizes[-1]] / first[sizes[-1]]:.2f}"
            lines.append("| " + " | ".join([name, str(many), str(threads), *told, times, last]) + " |")
    return "\n".join([*lines, "", "Images a second; times: against the first row of its kind, at the most images."])

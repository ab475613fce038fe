"""Where whole images are worked on: a process a GPU, or several that share the processors; and which part of a list is."""

import argparse
import os

from cian.base import environment
from cian.base.devices import all_devices
from cian.base.parallel import free_memory, processors
from cian.base.runtime import devices
from cian.base.workers import Place

IMAGES_A_PROCESS = 8  # a process more pays off from so many images on: it takes seconds to start
BYTES_A_PROCESS = 1.5e9  # memory of a process that computes on a CPU, ResNet-101 at 513 pixels


def add_places(parser, shards=True):
    """Add --devices, --processes and, unless shards is False, --shard, of a tool that works on whole images."""
    parser.add_argument("--devices", default=None, help="cpu, or gpu0,gpu1,... (default: all GPUs, else cpu)")
    parser.add_argument(
        "--processes",
        type=int,
        default=None,
        metavar="N",
        help="processes that run the network, on the devices in turn; their number does not change the files (default: one "
        "a GPU; on a CPU as many as there are processors, if there are images and memory for them)",
    )
    if shards:
        parser.add_argument(
            "--shard",
            type=shard,
            default=(1, 1),
            metavar="I/N",
            help="only part I of N of the list, such as 2/4, to fill one folder from N machines (default: 1/1)",
        )


def shard(text):
    """`2/4` -> (2, 4); ArgumentTypeError otherwise."""
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise argparse.ArgumentTypeError(f"{text!r}: expected I/N with 1 <= I <= N, such as 2/4")
    return int(part), int(parts)


def take_shard(ids, part_of):
    """Every N-th of the ids, from number I on; part_of: (I, N)."""
    part, parts = part_of
    return list(ids[part - 1 :: parts])


def places(text, processes, images):
    """The Places at which so many images are worked on: text, processes as of --devices and --processes.

    Sets the variables for images of changing sizes. The processors are shared out, or as many as OMP_NUM_THREADS says.
    ValueError for devices that are not there, or for no process.
    """
    if processes is not None and processes < 1:
        raise ValueError(f"--processes {processes}: expected 1 or more")
    environment.set_defaults(environment.WHOLE_IMAGES)
    chosen = devices(text) if text else all_devices()
    threads = int(os.environ["OMP_NUM_THREADS"])
    count = processes
    if count is None and chosen[0].device_type == "gpu":
        count = len(chosen)
    elif count is None:
        count = min(threads, images // IMAGES_A_PROCESS, int(free_memory() // BYTES_A_PROCESS))
    count = max(1, min(count, images))
    names = [f"{device.device_type}{device.device_id}" for device in chosen]
    return [Place(names[number % len(names)], max(1, threads // count)) for number in range(count)]


def crf_workers(workers, chosen):
    """Processes for the CRF beside the network in each of the chosen Places.

    workers: the sum of --workers; None takes all processors beside GPUs, and none beside several processes on the CPU, which do
    it themselves. ValueError for fewer than one.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"--workers {workers}: expected 1 or more")
    if workers is None:
        gpu = chosen[0].device.startswith("gpu")
        workers = max(1, processors() - len(chosen)) if gpu else int(len(chosen) == 1)
    return -(-workers // len(chosen))

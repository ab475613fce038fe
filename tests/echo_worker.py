"""A worker that says where it is, in a module that does not import MXNet."""

import functools
import os
import time

from cian.base.workers import Each


def work(device, item):
    if item == "bad":
        raise ValueError("bad: cannot be worked on")
    time.sleep(0.02)
    return item, device, os.getpid(), os.environ["OMP_NUM_THREADS"]


def make(device):
    return Each(functools.partial(work, device))

"""The one place that prepares and imports MXNet: numpy aliases, OpenMP threads, devices."""
import os

import numpy as np

for _name, _type in (("bool", bool), ("object", object), ("int", int), ("float", float), ("complex", complex), ("str", str)):
    if _name not in np.__dict__:  # numpy >= 1.24 dropped the aliases that MXNet 1.9.1 imports
        setattr(np, _name, _type)

os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
os.environ.setdefault("MXNET_SUBGRAPH_BACKEND", "NONE")

import mxnet as mx  # noqa: E402

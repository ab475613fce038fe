"""Memory of a training step of CIAN with ResNet-50 on one pair of 321 pixels: `step_memory.py DEVICE` prints its bytes.

In a process of its own: what the step adds to the memory of the device in use, of a CPU to the process's peak.
"""

import resource
import sys
from pathlib import Path

import numpy as np

from cian.base.runs import Run
from cian.base.runtime import devices, mx
from cian.config import Segmentation
from cian.training.engine import Fit
from cian.training.objectives import SegmentationObjective


def used(device):
    """Bytes in use."""
    mx.nd.waitall()
    if device.device_type == "cpu":
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    free, total = mx.context.gpu_memory_info(device.device_id)
    return total - free


def main(device):
    mx.nd.ones(1, ctx=device).wait_to_read()  # the libraries are loaded
    before, settings = used(device), Segmentation.preset("voc12", backbone="resnet50", batch=2)
    fit = Fit(SegmentationObjective(settings, 21, [device]), None, Run(Path("unused"), "x", write=False), settings, [device])
    rng = np.random.RandomState(0)
    images = rng.randint(0, 255, (1, 2, 3, 321, 321)).astype(np.uint8)
    fit.step(0, 0, 1, ["?"], (images, rng.randint(0, 21, (1, 2, 41, 41)).astype(np.uint8), np.ones((1, 2, 21))))
    sys.stdout.write(f"{used(device) - before}\n")


if __name__ == "__main__":
    main(devices(sys.argv[1])[0])

"""Run a program of the published CIAN code unchanged, on the CPU; tests/test_published.py starts this in a process of its own.

    python published_code.py FOLDER scripts/train_infer_segment.py RECORD.npz [arguments of the program]

FOLDER holds the published code (github js-fan/CIAN). Its programs ask for GPUs and get CPUs; nothing else is changed. What
its networks returned is recorded: `logits`, one array for every forward pass (for inference: the image, its mirror image).
"""

import runpy
import sys

import numpy as np

from cian.base.runtime import mx


def main(folder, program, record, *arguments):
    outputs, get_outputs = [], mx.mod.Module.get_outputs

    def recorded(module, *args, **kwargs):
        found = get_outputs(module, *args, **kwargs)
        outputs.append(found[0].asnumpy())
        return found

    mx.gpu, mx.mod.Module.get_outputs = mx.cpu, recorded
    sys.path.insert(0, folder)
    sys.argv = [program, *arguments]
    runpy.run_path(f"{folder}/{program}", run_name="__main__")
    mx.nd.waitall()
    if outputs:
        np.savez(record, logits=np.stack(outputs))


if __name__ == "__main__":
    main(*sys.argv[1:])

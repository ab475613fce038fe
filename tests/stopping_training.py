"""A training that is stopped at a step, whatever the speed of the machine: it sends the signal to itself.

python stopping_training.py SIGNAL STEPS VERB ARGUMENT ...
"""

import os
import sys

from cian.__main__ import main
from cian.training import tool


def stop_after(steps, number):
    """Every training of this process gets the signal `number` once it has logged so many steps."""

    class Stopping(tool.TrainingProgress):
        def __call__(self, *now):
            super().__call__(*now)
            if self._done == steps:
                os.kill(os.getpid(), number)

    tool.TrainingProgress = Stopping


if __name__ == "__main__":
    stop_after(int(sys.argv[2]), int(sys.argv[1]))
    sys.exit(main(sys.argv[3:]))

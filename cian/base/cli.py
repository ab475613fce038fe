"""What the tools share: messages for expected errors, devices, and options of several."""

import logging
import resource
import signal
import sys
import time
from pathlib import Path

from cian.base.runtime import count_gpus, devices, end_worker, mx
from cian.base.stops import Diverged, Interrupted
from cian.config import PRESETS

EXPECTED = (ValueError, TypeError, OSError, RuntimeError, Diverged)


def run_tool(main):
    """Run main(); an expected error becomes one line on standard error and status 2, a signal 128 + its number.

    SIGTERM ends it like Ctrl-C does, so that no half-written file stays.
    A finished tool says on standard error how long it took and how much memory it needed at most.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    began, before = time.monotonic(), signal.signal(signal.SIGTERM, _terminate)
    try:
        main()
    except Interrupted as stop:
        _end(stop, 128 + stop.signal)
    except KeyboardInterrupt as stop:
        _end("interrupted; run the same command again to go on", 128 + (stop.args[0] if stop.args else signal.SIGINT))
    except EXPECTED as error:
        _end(f"error: {describe(error)}", 2)
    finally:
        signal.signal(signal.SIGTERM, before)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts kilobytes
    name = Path(sys.argv[0]).stem
    sys.stderr.write(f"{name}: {time.monotonic() - began:.0f} s, peak memory {peak:.1f} GiB (without worker processes)\n")


def _terminate(number, frame):
    raise KeyboardInterrupt(number)


def describe(error):
    """An error as one line: of an OSError file and cause, of MXNet's, which bring their C++ stack, the cause."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1] if isinstance(error, mx.MXNetError) else str(error)


def _end(message, status):
    sys.stderr.write(f"\n{message}\n")
    end_worker(status)  # a worker of a distributed training must not wait for the others
    sys.exit(status)


def chosen_devices(text):
    """The contexts of --devices; without one every GPU, else the CPU."""
    return devices(text or ",".join(f"gpu{i}" for i in range(count_gpus())) or "cpu")


def add_preset(parser, of_run=False):
    """Add --preset. of_run: it is None where it is not given, for Origin.decide_preset, since a checkpoint's run says it."""
    told = "that of the checkpoint's run; without a run voc12, the published one" if of_run else "voc12, the published one"
    default = None if of_run else PRESETS[0]
    parser.add_argument("--preset", choices=PRESETS, default=default, help=f"set of defaults (default: {told})")


def add_backbone(parser, settings_class):
    """Add --backbone, of a checkpoint that the tool reads; None where it is not given, see chosen_backbone."""
    known = ", ".join(f"{name}: {settings_class.preset(name).backbone}" for name in PRESETS)
    told = f"that of the checkpoint's run; without a run the preset's, {known}"
    parser.add_argument("--backbone", default=None, help=f"backbone of the checkpoint (default: {told})")


def chosen_backbone(origin, args, settings_class):
    """The backbone of a checkpoint of this Origin: the run's, else --backbone, else that of --preset in these settings."""
    return origin.decide("backbone", args.backbone, settings_class.preset(args.preset).backbone)

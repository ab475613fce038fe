"""What the verbs share: how they end, devices, and options of several.

How a command ends: status 0 it is done, 1 what it checked is not right, 2 an error in one line, 128 + n stopped by signal n.
"""

import logging
import os
import resource
import signal
import sys
import time
from pathlib import Path

from cian.base.messages import speak
from cian.base.progress import duration
from cian.base.stops import Diverged, Interrupted, end_worker
from cian.config import PRESETS

log = logging.getLogger(__name__)
EXPECTED = (ValueError, TypeError, OSError, RuntimeError, Diverged)


def run_tool(main, argv=None, name=None):
    """Run main(argv) and return the exit status, see above: what main returns, None for 0.

    An expected error becomes one line on standard error. SIGTERM ends it like Ctrl-C does, so that no half-written file stays.
    A command that comes to its end says there how long it took and how much memory it needed at most. name: of the command,
    for that line.
    """
    began, before = time.monotonic(), signal.signal(signal.SIGTERM, _terminate)
    try:
        speak()
        status = main(argv) or 0
        sys.stdout.flush()
    except SystemExit as stop:  # --help, or a wrong option
        return ended(stop.code or 0)
    except Interrupted as stop:
        return ended(128 + stop.signal, stop)
    except KeyboardInterrupt as stop:
        number = stop.args[0] if stop.args else signal.SIGINT
        return ended(128 + number, "interrupted; run the same command again to go on")
    except BrokenPipeError:  # `cian report ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ended(128 + signal.SIGPIPE)
    except EXPECTED as error:
        log.debug("where the error came from:", exc_info=True)
        return ended(2, f"error: {describe(error)}")
    finally:
        signal.signal(signal.SIGTERM, before)
    if status:
        return ended(status)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts kilobytes
    name = name or Path(sys.argv[0]).stem
    log.info(f"{name}: {duration(time.monotonic() - began)}, peak memory {peak:.1f} GiB (without worker processes)")
    return status


def _terminate(number, frame):
    raise KeyboardInterrupt(number)


def ended(status, message=None):
    """Say how it ended; returns the status, or, in a worker of a distributed training, ends the process at once."""
    if message is not None:
        log.error(str(message))
    end_worker(status)
    return status


def describe(error):
    """An error as one line: of an OSError file and cause, of MXNet's, which bring their C++ stack, the cause."""
    if isinstance(error, OSError) and error.strerror:
        files = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return ": ".join([" -> ".join(files), error.strerror] if files else [error.strerror])
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].strip() if type(error).__module__.startswith("mxnet") else "\n".join(lines)


def chosen_devices(text):
    """The contexts of --devices; without one every GPU, else the CPU."""
    from cian.base.devices import all_devices  # here, because not every command needs MXNet
    from cian.base.runtime import devices

    return devices(text) if text else all_devices()


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
    """The backbone of a checkpoint of this Origin: the run's, else --backbone, else that of --preset in these settings.

    The last is a guess, and logged as such.
    """
    own = settings_class.preset(args.preset).backbone
    found = origin.decide("backbone", args.backbone)
    if found is None:
        log.info("%s: no run; backbone %s, that of preset %s, unless --backbone names another", origin.path, own, args.preset)
    return found or own

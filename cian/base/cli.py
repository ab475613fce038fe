"""What the tools share: messages for expected errors, devices, what an output folder was made of, and options of several."""

import logging
import resource
import sys
import time
from pathlib import Path

from cian.base.files import read_json, write_json
from cian.base.runtime import count_gpus, devices, end_worker
from cian.base.stops import Diverged, Interrupted
from cian.config import PRESETS

EXPECTED = (
    ValueError,
    TypeError,
    FileNotFoundError,
    FileExistsError,
    NotADirectoryError,
    PermissionError,
    IsADirectoryError,
    RuntimeError,
    Diverged,
)


def run_tool(main):
    """Run main(); an expected error becomes one line on standard error and status 2, a signal 128 + its number.

    A finished tool says on standard error how long it took and how much memory it needed at most.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    began = time.monotonic()
    try:
        main()
    except Interrupted as stop:
        _end(stop, 128 + stop.signal)
    except KeyboardInterrupt:
        _end("interrupted; run the same command again to go on", 130)
    except EXPECTED as error:
        _end(f"error: {error}", 2)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts kilobytes
    name = Path(sys.argv[0]).stem
    sys.stderr.write(f"{name}: {time.monotonic() - began:.0f} s, peak memory {peak:.1f} GiB (without worker processes)\n")


def _end(message, status):
    sys.stderr.write(f"\n{message}\n")
    end_worker(status)  # a worker of a distributed training must not wait for the others
    sys.exit(status)


def chosen_devices(text):
    """The contexts of --devices; without one every GPU, else the CPU."""
    return devices(text or ",".join(f"gpu{i}" for i in range(count_gpus())) or "cpu")


def claim_output(folder, name, record):
    """Say in folder/name (JSON) what the files there were made of; ValueError if they were made of something else."""
    path = Path(folder) / name
    if path.exists() and read_json(path) != record:
        raise ValueError(
            f"{folder}: holds files of another checkpoint or other settings (see {path}); use another --output"
        )
    write_json(path, record)


def add_preset(parser):
    """Add --preset."""
    parser.add_argument(
        "--preset", choices=PRESETS, default="voc12", help="set of defaults (default: voc12, the published one)"
    )


def add_backbone(parser, settings_class):
    """Add --backbone, of a checkpoint that the tool reads; see chosen_backbone."""
    known = ", ".join(f"{name}: {settings_class.preset(name).backbone}" for name in PRESETS)
    parser.add_argument("--backbone", default=None, help=f"backbone of the checkpoint (default: the preset's, {known})")


def chosen_backbone(args, settings_class):
    """The backbone given by --backbone, else that of --preset in these settings (Segmentation or Classifier)."""
    return args.backbone or settings_class.preset(args.preset).backbone

"""What the tools share: options of a training, messages for expected errors, and the training's progress bar."""

import logging
import resource
import sys
import time
from pathlib import Path

from tqdm import tqdm

from cian.config import PRESETS, add_arguments
from cian.engine import KVSTORES, Diverged, Interrupted
from cian.files import read_json, write_json
from cian.runtime import count_gpus, devices, end_worker

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


def add_training_options(parser, settings_class, with_tags=True):
    """Add what every training takes: data, output, devices, resuming, and the settings; with_tags False: no image tags."""
    parser.add_argument("--data", required=True, help="data set in VOC layout")
    parser.add_argument("--list", default="train_aug", help="list of training ids (default: train_aug)")
    if with_tags:
        parser.add_argument("--tags", default=None, help="image tags: cls_labels.npy or a CSV (default: the data set's own)")
    parser.add_argument("--init", required=True, help="starting weights: a .params file, gluoncv:NAME, or random")
    parser.add_argument("--allow-missing", action="store_true", help="let --init lack layers of the backbone")
    parser.add_argument("--output", required=True, help="run folder")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --output, if there is one")
    parser.add_argument("--devices", default=None, help="cpu, or gpu0,gpu1,... (default: all GPUs, else cpu)")
    parser.add_argument("--kvstore", choices=KVSTORES, default="device", help="gradient exchange (default: device)")
    parser.add_argument("--workers", type=int, default=2, help="processes that make batches (default: 2)")
    add_preset(parser)
    add_arguments(parser, settings_class)


class TrainingBar:
    """One progress bar a training: epoch, loss, images a second and the time of the end of the epoch and of the training."""

    def __init__(self, epochs, batch):
        self._epochs, self._batch, self._bar, self._epoch, self._done = epochs, batch, None, None, 0
        self._began = time.monotonic()

    def __call__(self, epoch, step, count, loss):
        if epoch != self._epoch:
            self.close()
            self._bar = tqdm(
                total=count, initial=step, desc=f"epoch {epoch + 1}/{self._epochs}", unit="step", mininterval=1
            )
            self._epoch = epoch
        self._bar.update(1)
        self._done += 1
        seconds = (time.monotonic() - self._began) / self._done  # a step, over this whole training
        left = seconds * ((self._epochs - epoch) * count - step - 1)
        end = time.strftime("%H:%M", time.localtime(time.time() + left))
        self._bar.set_postfix_str(
            f"loss {loss:.3f}, {self._batch / seconds:.1f} images/s, all done {end}", refresh=False
        )

    def close(self):
        """Finish the bar that is shown."""
        if self._bar is not None:
            self._bar.close()

"""What the tools that train share: options, devices, workers and run folder, and the training itself to its last checkpoint."""

import functools
import logging
import os
import shlex
import time
from pathlib import Path

import numpy as np

from cian.base import environment
from cian.base.cli import add_preset
from cian.base.devices import training_devices
from cian.base.files import check_space, writable_folder
from cian.base.messages import forget, keep
from cian.base.parallel import processors
from cian.base.progress import Progress, clock
from cian.base.runs import Run, circumstances, file_digest, settings_record, tags_digest
from cian.base.runtime import hardware, mx, versions
from cian.config import WEIGHTS, add_arguments
from cian.config.arguments import at_least
from cian.data.check import check_labels
from cian.data.groups import lonely_images
from cian.data.loader import Loader, Plan
from cian.models.sources import IMAGENET
from cian.models.weight_cache import choose
from cian.training.engine import CHECKPOINTS_KEPT, KVSTORES, Fit
from cian.training.events import Events

log = logging.getLogger(__name__)
LOG = "train.log"  # what was said, in the run folder
STATE_COPIES = 3  # parameters in resume.npz: their values, and with Adam two moments


def add_training_options(parser, settings_class, with_tags=True):
    """Add what every training takes: data, output, devices, resuming, and the settings; with_tags False: no image tags."""
    parser.add_argument("--data", required=True, metavar="ROOT", help="data set in VOC layout")
    parser.add_argument("--list", default="train_aug", help="training ids: a list's name, or a text file (default: train_aug)")
    if with_tags:
        parser.add_argument("--tags", default=None, help="image tags: cls_labels.npy or a CSV (default: the data set's own)")
    parser.add_argument("--init", default=IMAGENET, metavar="WEIGHTS", help="start: a file (.params, .safetensors, .pth), "
                        "SOURCE:NAME (cian weights list), imagenet: the preset's sources in their order, or random "
                        f"(default: {IMAGENET})")  # fmt: skip
    parser.add_argument("--allow-missing", action="store_true", help="let --init lack layers of the backbone")
    parser.add_argument("--output", required=True, metavar="RUN", help="run folder")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --output, if there is one")
    parser.add_argument("--tensorboard", action="store_true", help="also write the curves to RUN/events, for TensorBoard")
    parser.add_argument(
        "--devices",
        default=None,
        help="cpu, or gpu0,gpu1,...; each takes a share of every batch, and their number changes the result, because batch "
        "statistics and means of losses are those of a share (default: all GPUs that the batch can be dealt out to, else cpu)",
    )
    parser.add_argument(
        "--shares",
        type=at_least(1),
        default=None,
        metavar="N",
        help="cut every batch into N shares, worked off in turns: as N devices train, in less memory (default: one a device)",
    )
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="on GPUs: the same numbers from every run, and float32 without TF32; slower",
    )
    parser.add_argument("--kvstore", choices=KVSTORES, default="device", help="gradient exchange (default: device)")
    parser.add_argument(
        "--workers", type=at_least(0), default=None, help="processes that make batches (default: 4 a GPU, else 2)"
    )
    add_preset(parser)
    add_arguments(parser, settings_class)


class Training:
    """One training of a tool, on the devices and among the workers that its options name, in the run folder --output.

    args: of `add_training_options`; settings: their dataclass; name: of the checkpoints, NAME_BACKBONE-EEEE.params;
    group_size: images in a group, which stays whole. In a distributed training every worker has one; `run.write` tells the
    first, which alone writes. ValueError where the batch cannot be dealt out to the devices.
    """

    def __init__(self, args, settings, name, group_size=1):
        self.args, self.settings = args, settings
        writable_folder(Path(args.output))
        if args.deterministic:
            environment.be_deterministic()
        else:
            environment.set_defaults(environment.TRAINING)
        distributed = args.kvstore.startswith("dist")
        if distributed and "DMLC_ROLE" not in os.environ:
            raise ValueError(
                f"--kvstore {args.kvstore} needs the processes that `cian launch` starts: put "
                "`cian launch -n 2 --` in front of the command"
            )
        self._store = mx.kv.create(args.kvstore) if distributed else args.kvstore
        self._rank, self._ranks = (self._store.rank, self._store.num_workers) if distributed else (0, 1)
        self.devices, self._shares = training_devices(args.devices, settings.batch // group_size // self._ranks, args.shares)
        self.workers = self._makers() if args.workers is None else args.workers
        self.run = Run(args.output, f"{name}_{settings.backbone}", write=self._rank == 0)

    @functools.cached_property
    def weights(self):
        """What the network starts from (models.weight_cache.Chosen), downloaded if need be."""
        return choose(self.args.init, self.settings.backbone, WEIGHTS[self.args.preset])

    def begin(self, tool, dataset, ids, tags=None, **digests):
        """Begin the run folder, or with --resume go on in it; its settings.json records what decides the training.

        Call it when all that may fail beforehand has been done. tool: its name; ids: of the training list; tags: their
        image tags; digests: of inputs besides the data set, by name. Errors: see Run.open.
        """
        record = {
            "tool": tool,
            "settings": settings_record(self.settings),
            "init": self.weights.init,
            "list": self.args.list,
            "data": dataset.fingerprint(ids),
            "preset": self.args.preset,
            "classes": list(dataset.classes),
            **digests,
            "tags": None if tags is None else tags_digest(tags, ids),
            "weights": None if self.weights.path is None else file_digest(self.weights.path),
            "shares": self._ranks * self._shares,  # each has batch statistics of its own
            "circumstances": {
                **circumstances(versions()),
                "init": self.weights.record(),
                "devices": [str(device) for device in self.devices],
                "kvstore": self.args.kvstore,
                "workers": self._ranks,
                "threads": os.environ.get("OMP_NUM_THREADS"),
                "hardware": hardware(self.devices),
            },
        }
        self.run.open(record, self.args.resume)
        if self.run.write:
            keep(self.run.folder / LOG)
            log.info("command: %s", " ".join(map(shlex.quote, record["circumstances"]["command"])))
            log.info("devices: %s", ", ".join(map(str, self.devices)))
            log.info("settings: %s", ", ".join(f"{name} {value}" for name, value in record["settings"].items()))

    def plan(self, ids, tags=None, group_size=1, grouping="random", updates=0):
        """The Plan of this worker's share of the batches; tags: {id: class indices}, needed for groups with a common class.
        updates: batches of an epoch, 0 as many as the list gives.

        ValueError where the first epoch has no batch, or batches cannot be shared by the workers and devices. Images that no
        group with a common class can take are told.
        """
        plan = Plan(
            tuple(ids), tags, self.settings.batch, group_size, grouping, self.settings.seed, self._rank, self._ranks, updates
        )
        share = len(plan.epoch(0)[0])
        if share % self._shares:
            raise ValueError(f"devices: {share} groups or images cannot be shared by {self._shares} devices or shares")
        lonely = lonely_images(ids, tags) if grouping == "common" and group_size > 1 else []
        if lonely and self.run.write:
            shown = ", ".join(lonely[:5]) + (", ..." if len(lonely) > 5 else "")
            log.warning("%d of %d images are left out, as no other has a class of theirs: %s", len(lonely), len(ids), shown)
        return plan

    def check_labels(self, dataset, ids, folder, tags=None):
        """Before a run is begun: can its labels FOLDER/ID.png be trained on? Errors and warnings as of data.check."""
        if self.run.write and not self.run.begun:
            with Progress(len(ids), "check labels", "image") as progress:
                check_labels(dataset, ids, folder, tags, max(1, self.workers), progress.update)

    def check_space(self, net):
        """RuntimeError where the checkpoints and the state of a network, before it is trained, would not fit on the disk."""
        copies = CHECKPOINTS_KEPT + 2 + 2 * STATE_COPIES  # the newest of each is written beside those that it replaces
        size = sum(4 * int(np.prod(parameter.shape)) for parameter in net.collect_params().values())
        if self.run.write and not self.run.begun:
            check_space(self.args.output, copies * size, "checkpoints and state")

    def fit(self, objective, plan, make_batch, to_arrays, validation=None):
        """Train `objective` to the last epoch, from where the run folder is; path of the last checkpoint.

        make_batch(ids, keys), run in worker processes, makes the batches of the plan, and to_arrays(ids, made batch), run here,
        the arrays that the objective takes. validation(epoch, stopped): measures the network, see Validation. Errors: see
        Fit.train.
        """
        events = Events(self.run.folder) if self.args.tensorboard and self.run.write else None
        shown, finished = TrainingProgress(self.settings.epochs, self.settings.batch), False
        try:
            with Loader(plan, make_batch, self.workers, ahead=max(4, 2 * self.workers)) as loader:
                fit = Fit(
                    objective, loader, self.run, self.settings, self.devices, self._store, shown, self._shares,
                    validation, events
                )  # fmt: skip
                fit.train(to_arrays)
            finished = True
        finally:
            shown.close(finished)
            if self.run.write and not self.run.begun:
                forget()
            self.run.close()
        return self.run.checkpoint_path(self.settings.epochs - 1)

    @property
    def names(self):
        """The devices as they are named on the command line, CPUs as one: "gpu0,gpu1" or "cpu"."""
        return ",".join(f"gpu{device.device_id}" for device in self.devices if device.device_type == "gpu") or "cpu"

    def free_memory(self):
        """Give back the memory of GPUs that the training no longer needs, for other processes."""
        for device in self.devices:
            if device.device_type == "gpu":
                device.empty_cache()

    def _makers(self):
        """Processes that make batches: an image takes 5 to 20 ms of one, and a fast card 100 images a second."""
        gpus = sum(device.device_type == "gpu" for device in self.devices)
        return max(1, min(4 * gpus, processors())) if gpus else 2


class TrainingProgress:
    """Progress of a training, epoch by epoch: loss, images a second, the time of the end of the epoch and of the training."""

    def __init__(self, epochs, batch):
        self._epochs, self._batch, self._shown, self._epoch, self._done = epochs, batch, None, None, 0
        self._began = time.monotonic()

    def __call__(self, epoch, step, count, loss):
        if epoch != self._epoch:
            self.close()
            self._shown = Progress(count, f"epoch {epoch + 1}/{self._epochs}", "step", step)
            self._epoch = epoch
        self._done += 1
        seconds = (time.monotonic() - self._began) / self._done  # a step, over this whole training
        left = seconds * ((self._epochs - epoch) * count - step - 1)
        self._shown.update(1, f"loss {loss:.3f}, {self._batch / seconds:.1f} images/s, all done about {clock(left)}")

    def close(self, finished=True):
        """Finish the epoch that is shown."""
        if self._shown is not None:
            self._shown.close(finished)
            self._shown = None

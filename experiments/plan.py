"""What the table scripts share: their options, stages over one data set named by content, and running them.

A stage's name has the hash of its settings, of its data (fingerprint) and of the names of the stages it needs, so equal
settings give the same folder, whichever table needs it.
"""

import contextlib
import hashlib
import logging
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import check_inputs
import recipes
from stages import Runner, Stage

from cian.base.files import check_space
from cian.base.parallel import processors
from cian.base.progress import Progress
from cian.base.results import Measurement, run_name, write_results
from cian.base.runtime import count_gpus
from cian.config import PRESETS, hide
from cian.data.voc import VOC_CLASSES, open_dataset
from cian.models.sources import IMAGENET, RANDOM
from cian.scenes import generate as scenes
from cian.seeds.seeds import substituted_ids

log = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parent.parent
ANIMALS = ("background", "cat", "cow", "dog", "horse", "person", "sheep")  # the classes with weight in that data set
#: backbone -> its name in the columns of Table 4, and in the rows of Table 5
LABELS = {
    "resnet101": ("ResNet101", "CIAN (res101), L."),
    "resnet50": ("ResNet50", "CIAN (res50), L."),
    "resnet101v1b": ("ResNet101v1b", "CIAN (res101v1b), L."),
    "resnet50v1b": ("ResNet50v1b", "CIAN (res50v1b), L."),
    "resnet10": ("ResNet10", "CIAN (res10), L."),
    "squeezenet1.1": ("SqueezeNet1.1", "CIAN (squeezenet1.1), L."),
}


def weights_by_backbone(text):
    """`FILE` -> {None: FILE}; `resnet101=FILE,resnet50=FILE` -> {backbone: FILE}; `None` -> {}."""
    if text is None:
        return {}
    if "=" not in text:
        return {None: text}
    return dict(part.split("=", 1) for part in text.split(","))


def tool(name, *words):
    """The words of a command that runs a tool."""
    return (sys.executable, str(ROOT / "tools" / f"{name}.py")) + tuple(str(word) for word in words)


def digest(path):
    """SHA-256 (hex) of a file's bytes, or the text itself where it is not a file, such as SOURCE:NAME."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if Path(path).is_file() else str(path)


def add_options(parser, seeds, backbones):
    """Add the options of every table script. seeds: the default; backbones: help text of --backbones."""
    parser.add_argument("--preset", choices=PRESETS, default=None, help="default: voc12 with --data, scenes without")
    parser.add_argument("--data", default=None, help="data set in VOC layout (default: generated scenes)")
    parser.add_argument("--init", default=None, help="ImageNet weights: a file or SOURCE:NAME (cian weights list), or "
                        "BACKBONE=WEIGHTS,... (default: imagenet, the preset's sources in their order)")  # fmt: skip
    parser.add_argument("--cam-init", default=None, help="the same for the classifier (default: --init)")
    parser.add_argument("--backbones", default=None, help=backbones)
    parser.add_argument("--devices", default=None, help="cpu, or gpu0,gpu1,... (default: all GPUs, else cpu)")
    again = parser.add_argument("--random-seeds", "--seeds", dest="seeds", default=seeds, metavar="SEEDS",
                                help=f"the trainings once for each of these seeds (default: {seeds})")  # fmt: skip
    hide(again, "--seeds")
    parser.add_argument("--list", default="train_aug", help="list of training ids (default: train_aug)")
    parser.add_argument("--val-list", default="val", help="list of ids that are scored (default: val)")
    parser.add_argument("--tags", default=None, help="image tags: cls_labels.npy or a CSV (default: the data set's own)")
    parser.add_argument("--jobs", type=int, default=None, help="stages at a time, which share the processors; with "
                        "more than one their output goes to RUNS/NAME/stage.log (default: 2 on a CPU, else 1)")  # fmt: skip
    parser.add_argument("--runs", default=str(ROOT / "runs"), help="folder of all runs (default: runs)")
    parser.add_argument("--results", default=None, help="folder of the numbers (default: experiments/results/PRESET)")
    parser.add_argument("--dry-run", action="store_true", help="only print the stages and their commands")


def complete(parser, args):
    """Check the options and fill in what depends on others; generates the scenes where no data set is given."""
    args.preset = args.preset or ("voc12" if args.data else "scenes")
    if args.data is None and args.preset != "scenes":
        parser.error(f"--preset {args.preset} needs --data, a data set in VOC layout")
    if not re.match(r"^\d+( \d+)*$", args.seeds):
        parser.error(f"--random-seeds: {args.seeds!r}, expected whole numbers with a space between, such as '0 1 2'")
    if args.jobs is None:
        args.jobs = 2 if processors() > 1 and not count_gpus() and not (args.devices or "").startswith("gpu") else 1
    if args.jobs < 1:
        parser.error(f"--jobs: {args.jobs}, expected at least 1")
    args.seeds = tuple(dict.fromkeys(int(word) for word in args.seeds.split()))
    args.results = args.results or str(ROOT / "experiments" / "results" / args.preset)
    return args


class DataStages:
    """Stages over one data set; what the plans of both papers are made of."""

    def __init__(self, args):
        self.args, self.runs = args, Path(args.runs).resolve()
        self.data = Path(args.data).resolve() if args.data else self.runs / "data" / "scenes"
        if args.data is None:
            scenes.generate(self.data)
        self.dataset = open_dataset(self.data)
        ids = {name: self.dataset.read_ids(name) for name in (args.list, args.val_list)}
        self.fingerprint = {
            "train": self.dataset.fingerprint(ids[args.list]),
            "val": self.dataset.fingerprint(ids[args.val_list]),
        }
        self.options = ("--preset", args.preset, "--data", self.data)
        self.devices = ("--devices", args.devices) if args.devices else ()
        self.tags = ("--tags", Path(args.tags).resolve()) if args.tags else ()
        self.classes = ()
        if args.preset == "animals" and self.dataset.classes == VOC_CLASSES:  # of its own classes all count
            self.classes = ("--classes", ",".join(ANIMALS))

    def stage(self, method, backbone, variant, content, commands, needs=()):
        """A stage of its own folder, named by `content`; commands(folder) -> the commands."""
        tags = {"tags": digest(self.args.tags)} if self.args.tags else {}
        own = {**content, **tags, "data": self.fingerprint, "needs": [need.name for need in needs]}
        place = re.sub(r"[^A-Za-z0-9.+-]", "-", self.data.name)
        folder = self.runs / run_name(method, backbone, place, variant, own)
        return Stage(folder, tuple(commands(folder)), tuple(needs))

    def weights(self, text, backbone):
        """The starting weights that an option gives for a backbone: its file's absolute path, or SOURCE:NAME."""
        given = weights_by_backbone(text)
        found = given.get(backbone, given.get(None))
        return str(Path(found).resolve()) if found and Path(found).is_file() else found

    def default_weights(self):
        """What a classifier starts from where no option says it."""
        return RANDOM if self.args.preset == "scenes" else IMAGENET

    def scored(self, *words):
        """The command that compares masks or maps with the truth."""
        return tool("evaluate", *words, "--ground-truth", self.dataset.mask_folder, *self.classes)

    def measurement(self, cell, value, stage, record, images, fingerprint, **more):
        """A number in per cent, from a fraction; record: of the run's settings.json."""
        made = record["circumstances"]
        settings = {"preset": self.args.preset, "dataset": self.data.name, "list": self.args.list,
                    "val_list": self.args.val_list, "images": images, **record["settings"], **more}  # fmt: skip
        return Measurement(
            *cell, round(100 * value, 4), "%", stage.name, made["commit"], (record["settings"]["seed"],), settings, fingerprint,
            (made.get("started") or "")[:10] or None, made.get("machine"),
        )  # fmt: skip


def suffix(text, wanted):
    """`text` if it is wanted, else nothing."""
    return text if wanted else ""


def print_plan(stages, last=()):
    """What --dry-run shows: names and commands of the stages, and the commands that follow them."""
    for stage in stages:
        print(f"# {stage.name}{suffix(' (finished)', stage.finished)}")
        for words in stage.commands:
            print(" ".join(shlex.quote(word) for word in words))
    for words in last:
        print(" ".join(shlex.quote(word) for word in words))


def run_plan(args, stages, numbers):
    """Run the stages, showing progress. numbers(stage) -> measurements, written with its card as soon as it is finished."""
    began = time.monotonic()
    write_results(args.results, ())  # a file that cannot be read or written is told now, not after the first training

    def begun(stage):
        if not stage.finished:
            log.info("== %s", stage.name)

    def finished(stage, seconds):
        write_results(args.results, numbers(stage))
        recipes.keep(args.results, stage)
        if progress is not None:
            progress.update()

    with contextlib.ExitStack() as stack:  # with one job, the stages show their own progress
        progress = None if args.jobs == 1 else stack.enter_context(Progress(len(stages), "stages", "stage"))
        Runner(args.jobs).run(stages, begun, finished)
    log.info("%d stages, %.1f min", len(stages), (time.monotonic() - began) / 60)


def check_first(plan, stages):
    """Check the inputs of all stages that are not finished before the first one runs; see check_inputs."""
    args, todo, starts = plan.args, [stage for stage in stages if not stage.finished], set()
    if not todo:
        return
    for words in (words for stage in todo for words in stage.commands if "--init" in words):
        backbone, init = (words[words.index(option) + 1] for option in ("--backbone", "--init"))
        if plan.runs not in Path(init).parents:  # else another stage writes it
            starts.add((backbone, init))
    sizes = check_inputs.check_weights(sorted(starts), args.preset)
    trainings = sum("--init" in words for stage in todo for words in stage.commands)
    check_space(plan.runs, check_inputs.COPIES * trainings * max(sizes, default=0), f"{trainings} trainings")
    classes = plan.classes[1].split(",") if plan.classes else None
    found = check_inputs.check(plan.data, args.list, args.val_list, args.tags, classes, None, args.devices, plan.runs)
    if not found.val_masks:
        raise FileNotFoundError(f"{plan.dataset.mask_folder}: no masks of {args.val_list}, with which the tables are measured")
    missing = [image_id for image_id in trained_on(plan, todo) if not plan.dataset.mask_path(image_id).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{plan.dataset.mask_path(missing[0])}: no such mask, on which --truth or Table 4 train ({len(missing)} missing)"
        )


def trained_on(plan, stages):
    """The images whose true masks some stages train on, sorted."""
    ids, found = plan.dataset.read_ids(plan.args.list), set()
    for words in ([str(word) for word in words] for stage in stages for words in stage.commands):
        if ("--labels", str(plan.dataset.mask_folder)) in zip(words, words[1:]):
            found.update(ids)
        elif "--substitute" in words:
            found.update(substituted_ids(ids, float(words[words.index("--substitute") + 1])))
    return sorted(found)


def carry_out(plan, stages, cells, measurements, commands, folders):
    """Run the stages, writing the numbers of each when it is finished, then the commands; with --dry-run print them instead.

    cells: [(table, cell)], where cell[0] is a stage; measurements(plan, table, cell) -> the cell's, once its stage is finished.
    commands: words of what follows the stages; folders: {what is there: folder}, printed when the stages are finished.
    """
    if plan.args.dry_run:
        print_plan(stages, commands)
        return

    check_first(plan, stages)

    def numbers(stage):
        return (one for table, cell in cells if cell[0].name == stage.name for one in measurements(plan, table, cell))

    run_plan(plan.args, stages, numbers)
    for name, folder in folders.items():
        print(f"{name}: {folder}")
    for words in commands:
        subprocess.run(words, check=True)

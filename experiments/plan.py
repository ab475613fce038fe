"""The stages behind CIAN's tables over one data set, as commands of the tools; equal settings give the same folder.

A stage's name has the hash of its settings, of its data (fingerprint) and of the names of the stages it needs.
"""

import hashlib
import re
import sys
from pathlib import Path

from cian.config import Classifier, Inference, Seeding, Segmentation
from cian.data.voc import open_dataset
from cian.results import run_name
from cian.runs import settings_record
from cian.stages import Stage

ROOT = Path(__file__).resolve().parent.parent
ANIMALS = ("background", "cat", "cow", "dog", "horse", "person", "sheep")  # the classes with weight in that data set
#: backbone -> its name in the columns of Table 4, and in the rows of Table 5
LABELS = {
    "resnet101": ("ResNet101", "CIAN (res101), L."),
    "resnet50": ("ResNet50", "CIAN (res50), L."),
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
    """SHA-256 (hex) of a file's bytes, or the text itself where it is not a file, such as gluoncv:NAME."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if Path(path).is_file() else str(path)


class Plan:
    """The stages over one data set: each method gives a Stage, and what it needs."""

    def __init__(self, args):
        self.args, self.runs = args, Path(args.runs).resolve()
        self.data = Path(args.data).resolve() if args.data else self.runs / "data" / "scenes"
        self.dataset = open_dataset(self.data)
        ids = {name: self.dataset.read_ids(name) for name in (args.list, args.val_list)}
        self.fingerprint = {
            "train": self.dataset.fingerprint(ids[args.list]),
            "val": self.dataset.fingerprint(ids[args.val_list]),
        }
        default = "resnet101,resnet50" if args.preset == "voc12" else Segmentation.preset(args.preset).backbone
        self.backbones = (args.backbones or default).split(",")
        unknown = [name for name in self.backbones if name not in LABELS]
        if unknown:
            raise ValueError(f"--backbones: {unknown[0]!r}, expected some of {', '.join(LABELS)}")
        self.options = ("--preset", args.preset, "--data", self.data)
        self.devices = ("--devices", args.devices) if args.devices else ()
        self.classes = ("--classes", ",".join(ANIMALS)) if args.preset == "animals" else ()

    def stage(self, method, backbone, variant, content, commands, needs=()):
        """A stage of its own folder, named by `content`; commands(folder) -> the commands."""
        own = {**content, "data": self.fingerprint, "needs": [need.name for need in needs]}
        place = re.sub(r"[^A-Za-z0-9.+-]", "-", self.data.name)
        folder = self.runs / run_name(method, backbone, place, variant, own)
        return Stage(folder, tuple(commands(folder)), tuple(needs))

    def weights(self, text, backbone):
        """The starting weights that an option gives for a backbone: its file's absolute path, or gluoncv:NAME."""
        given = weights_by_backbone(text)
        found = given.get(backbone, given.get(None))
        return str(Path(found).resolve()) if found and Path(found).is_file() else found

    def classifier(self):
        """The classifier from tags."""
        settings = Classifier.preset(self.args.preset)
        backbone = settings.backbone
        init = self.weights(self.args.cam_init, backbone) or self.weights(self.args.init, backbone)
        init = init or ("random" if self.args.preset == "scenes" else f"gluoncv:{backbone}")
        lists = ("--list", self.args.list, "--val-list", self.args.val_list)
        return self.stage(
            "cam", backbone, "", {"settings": settings_record(settings), "init": digest(init)},
            lambda folder: [tool("train_cam", *self.options, "--backbone", backbone, *lists, "--init", init, "--output", folder,
                                 "--resume", *self.devices)],
        )  # fmt: skip

    def seeds(self, ratio="0"):
        """Seeds of the training list; those with some ground truth take the maps of those without."""
        settings, classifier = Seeding.preset(self.args.preset), self.classifier()
        backbone = Classifier.preset(self.args.preset).backbone
        common = (*self.options, "--list", self.args.list, *self.devices)
        if ratio == "0":
            weights = checkpoint(classifier, "cam", Classifier, self.args.preset, backbone)
            needs, made_from = [classifier], ("--backbone", backbone, "--checkpoint", weights)
        else:
            needs = [self.seeds()]
            made_from = ("--maps", needs[0].folder, "--substitute", ratio)
        return self.stage(
            "seeds", backbone, suffix(f"truth-{ratio}", ratio != "0"), {"settings": settings_record(settings), "ratio": ratio},
            lambda folder: [tool("make_seeds", *common, *made_from, "--output", folder)],
            needs,
        )  # fmt: skip

    def masks(self, backbone, seed, losses, grouping="common", ratio="0", second_round=False):
        """Training of one row with one seed, and its scored masks of the validation list, before and after the CRF."""
        changes = dict(backbone=backbone, losses=losses, grouping=grouping, seed=seed)
        if second_round:
            labels = self.labels(backbone, seed, losses, grouping, ratio)
            init = checkpoint(labels.needs[0], "cian", Segmentation, self.args.preset, backbone)
            identity, needs, given = labels.name, [labels], ("--round", "2", "--seeds", labels.folder / "pred_crf")
            changes["round"] = 2
        else:
            seeds = self.seeds(ratio)
            init, identity, needs = self.start(backbone)
            given, needs = ("--seeds", seeds.folder / "seeds"), [seeds] + needs
        settings, inference = Segmentation.preset(self.args.preset, **changes), Inference.preset(self.args.preset)
        words = [part for name in ("backbone", "losses", "grouping", "seed") for part in (f"--{name}", changes[name])]
        variant = losses + suffix("-random", grouping == "random") + suffix(f"-{ratio}", ratio != "0")
        variant += suffix("+rt", second_round) + f"-s{seed}"
        content = {"settings": settings_record(settings), "inference": settings_record(inference), "init": identity}
        masks, truth = self.dataset.list_path(self.args.val_list), self.dataset.mask_folder

        def commands(folder):
            yield tool("train", *self.options, "--list", self.args.list, *words, *given, "--init", init, "--output", folder,
                       "--resume", *self.devices)  # fmt: skip
            last = folder / f"cian_{backbone}-{settings.epochs - 1:04d}.params"
            yield tool("predict", *self.options, "--list", self.args.val_list, "--backbone", backbone, *self.devices,
                       "--checkpoint", last, "--output", folder / "val")  # fmt: skip
            for name in ("val", "val_crf"):
                yield tool("evaluate", "--predictions", folder / "val" / name.replace("val", "pred"), "--ground-truth", truth,
                           "--list", masks, *self.classes, "--json", folder / f"{name}.json")  # fmt: skip

        return self.stage("cian", backbone, variant, content, commands, needs)

    def start(self, backbone):
        """(weights, what identifies them, stages they need): of --init; for scenes without it, the classifier's features."""
        init = self.weights(self.args.init, backbone)
        if init is None and self.args.preset == "scenes":
            classifier = self.classifier()
            return checkpoint(classifier, "cam", Classifier, "scenes", backbone), classifier.name, [classifier]
        init = init or f"gluoncv:{backbone}_v2"
        return init, digest(init), []

    def labels(self, backbone, seed, losses, grouping, ratio):
        """A network's masks of the training list, as the labels of a second round."""
        first = self.masks(backbone, seed, losses, grouping, ratio)
        words = ("--list", self.args.list, "--backbone", backbone, "--fit", "warp", "--crf-iterations", "10")
        weights = checkpoint(first, "cian", Segmentation, self.args.preset, backbone)
        inference = Inference.preset(self.args.preset, crf_iterations=10)
        return self.stage(
            "labels", backbone, f"{losses}-s{seed}", {"inference": settings_record(inference)},
            lambda folder: [tool("predict", *self.options, *words, *self.devices, "--checkpoint", weights, "--output", folder)],
            [first],
        )  # fmt: skip


def suffix(text, wanted):
    """`text` if it is wanted, else nothing."""
    return text if wanted else ""


def checkpoint(stage, kind, settings_class, preset, backbone):
    """Path of the last checkpoint a training stage writes."""
    return stage.folder / f"{kind}_{backbone}-{settings_class.preset(preset).epochs - 1:04d}.params"

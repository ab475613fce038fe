"""COMNet's Tables I to VII: classifiers with and without matchings, their class activation maps, random walk, segmentation.

`experiments/comnet.sh` sets up the environment and calls this. Class activation and walk are trained on --list and scored on
--cam-list (VOC: train, 1464 images, as in the paper), at the best threshold, and at 0.15, IRN's. All rows make equally many
updates. Tables I, III and IV vary one matching alone, as the paper's numbers show; Table II has three rows more than the paper,
which tell the matching from what comes with it: the baseline on groups with a common class, and inter-matching at test only and
in training only.
Table VI trains plain DeepLab-LargeFOV on the masks of the walk, and beside it CIAN, which neither paper has; VII is VI on COCO.
"""

import sys

from cian_plan import Plan
from plan import LABELS, DataStages, add_options, carry_out, complete, digest, tool
from stages import in_order

from cian.base.cli import run_tool
from cian.base.files import read_json
from cian.base.parser import Parser
from cian.base.runs import settings_record
from cian.config import BoundaryTraining, Matching, Refinement, Seeding
from cian.report.findings import AT_TEST, GROUPED, IN_TRAINING

TABLES = ("I", "II", "III", "IV", "V", "VI", "VII")
REPORT = "report"
#: table -> its rows of one matching each: the settings that they change; `at_test`: the matching of the maps, where it is not
#: that of the training
ROWS = {
    "I": {"baseline": dict(matching="none")},
    "II": {
        "Baseline": dict(matching="none"),
        GROUPED: dict(matching="none", grouping="common"),
        AT_TEST: dict(matching="none", at_test="inter"),
        IN_TRAINING: dict(matching="inter", at_test="none"),
        "Baseline + inter-matching": dict(matching="inter"),
        "Baseline + intra-matching": dict(matching="intra"),
        "Baseline + inter-matching + intra-matching": dict(matching="both"),
    },
}
SCORED = "train"  # the paper's list for class activation and walk: IRN trains on train_aug and scores these 1464 images
#: values of Tables I, III and IV, of which --values takes a part
VALUES = {"group_size": (2, 3, 4, 5), "alpha": (1.2, 1.5, 1.8, 2.0), "k": (6, 8, 10, 12, 16, 32)}
FEWER = {"group_size": (2, 3), "alpha": (1.5, 2.0), "k": (8, 16)}
#: table -> (matching, setting that it varies, the setting in its rows)
VARIED = {"I": ("inter", "group_size", "N"), "III": ("inter", "alpha", "alpha"), "IV": ("intra", "k", "k")}
CAM_THRESHOLD = 0.15  # of IRN, at which its and COMNet's class activation is measured


def parse_args(argv):
    parser = Parser("experiments/comnet_tables.py", __doc__)
    told = "tables I to VII, report (default: I to VI, or VII with COCO, and the report)"
    parser.add_argument("wanted", nargs="*", metavar="TABLE", help=told)
    add_options(parser, "0", "of the classifier (default: the preset's)")
    parser.add_argument(
        "--cam-scales", default=None, help="scales of the class activation, comma-separated (default: the preset's)"
    )
    parser.add_argument(
        "--segmentation", default=None, help="backbones of Tables VI and VII (default: those of CIAN's Table 4)"
    )
    parser.add_argument("--cam-list", default=None, help="list on which class activation and walk are scored (default: train, "
                        "where the data set has it, else --list; scenes: --val-list, as training images chose the walk's "
                        "thresholds)")  # fmt: skip
    parser.add_argument("--values", choices=("paper", "fewer"), default=None, help="values of N, alpha and k in Tables I, III "
                        "and IV: the paper's 4 + 4 + 6, or 2 + 2 + 2 of them (default: paper; scenes fewer)")  # fmt: skip
    args = complete(parser, parser.parse_args(argv))
    args.values = args.values or ("fewer" if args.preset == "scenes" else "paper")
    unknown = [name for name in args.wanted if name not in (*TABLES, REPORT)]
    if unknown:
        parser.error(f"{unknown[0]!r}, expected some of {', '.join(TABLES)} and report")
    return args


class COMNetPlan(DataStages):
    """The stages of COMNet over one data set; `cian` plans the segmentation."""

    def __init__(self, args):
        super().__init__(args)
        self.backbone = args.backbones or Matching.preset(args.preset).backbone
        self.cian = Plan(args, "segmentation")
        self.values = {"paper": VALUES, "fewer": FEWER}[args.values]
        scales = {} if args.cam_scales is None else dict(cam_scales=tuple(float(word) for word in args.cam_scales.split(",")))
        default = {} if args.preset != "voc12" else dict(cam_scales=(1.0, 0.5, 1.5, 2.0))
        self.seeding = Seeding.preset(args.preset, **{**default, **scales})
        args.cam_list = args.cam_list or self.scoring_list()
        listed = {name: self.dataset.read_ids(name) for name in (args.list, args.cam_list)}
        self.fingerprint["cam"] = self.dataset.fingerprint(listed[args.cam_list])
        self.truth = self.masks_of(listed[args.cam_list])
        more = set(listed[args.cam_list]) - set(listed[args.list])
        self.union = (args.list, args.cam_list) if more else (args.list,)  # lists that have what is trained on and scored
        self.updates = max(1, len(listed[args.list]) // Matching.preset(args.preset).batch)
        given = self.weights(args.cam_init, self.backbone) or self.weights(args.init, self.backbone)
        self.init = given or self.default_weights()

    def scoring_list(self):
        """The list that class activation is scored on where no option says it."""
        if self.args.preset == "scenes":
            return self.args.val_list  # training images chose the walk's thresholds
        return SCORED if (self.data / "ImageSets" / "Segmentation" / f"{SCORED}.txt").is_file() else self.args.list

    def masks_of(self, ids):
        """SegmentationClass, whose borders are void, as in the paper, if it has all masks, else the data set's folder."""
        published = self.data / "SegmentationClass"
        return published if all((published / f"{i}.png").is_file() for i in ids) else self.dataset.mask_folder

    def scored_cams(self, *words):
        """The command that scores maps or masks on --cam-list."""
        words += ("--list", self.dataset.list_path(self.args.cam_list), "--ground-truth", self.truth, *self.classes)
        return tool("evaluate", *words)

    def classifier(self, seed, at_test=None, **changes):
        """A classifier with some settings changed, class activation maps of --cam-list in FOLDER/maps/cam, and their scores.

        at_test: the stage only makes and scores maps, with this matching, of the classifier with the other settings.
        """
        settings = Matching.preset(self.args.preset)
        size = changes.get("group_size", settings.group_size)
        batch = max(1, settings.batch // size) * size  # whole groups, no more images than in the others
        changes = dict(changes, seed=seed, batch=batch, updates=self.updates)
        settings = Matching.preset(self.args.preset, backbone=self.backbone, **changes)
        words = [part for name, value in changes.items() for part in (f"--{name.replace('_', '-')}", value)]
        scales = ("--cam-scales", ",".join(map(str, self.seeding.cam_scales)))
        own = {"settings": settings_record(settings), "scales": list(self.seeding.cam_scales), "init": digest(self.init)}
        variant = "-".join(f"{name[0]}{value}" for name, value in changes.items() if name not in ("batch", "updates"))
        name = f"comnet_{self.backbone}-{settings.epochs - 1:04d}.params"

        def maps(folder, checkpoint, *more):
            yield tool("make_seeds", *self.options, *self.tags, "--list", self.args.cam_list, "--checkpoint", checkpoint,
                       *more, "--cams-only", *scales, "--output", folder / "maps", *self.devices)  # fmt: skip
            yield self.scored_cams("--cams", folder / "maps" / "cam", "--mark", CAM_THRESHOLD,
                                   "--curve", folder / "curve", "--json", folder / "cam.json")  # fmt: skip

        def commands(folder):
            yield tool("train_cam", "--method", "comnet", *self.options, *self.tags, "--list", self.args.list,
                       "--backbone", self.backbone, *words, "--init", self.init, "--output", folder,
                       "--resume", *self.devices)  # fmt: skip
            yield from maps(folder, folder / name)

        trained = self.stage("comnet", self.backbone, variant, own, commands)
        if at_test is None:
            return trained
        own = {"at_test": at_test, "scales": own["scales"]}
        return self.stage(
            "maps", self.backbone, f"{at_test}-at-test-{variant}", own,
            lambda folder: maps(folder, trained.folder / name, "--matching", at_test), [trained],
        )  # fmt: skip

    def walk(self, seed, matching):
        """IRN's random walk on the maps of a classifier: FOLDER/masks of the training list, and scores on --cam-list.

        Where that is not part of the training list, its masks are in FOLDER/masks_scored.
        """
        classifier = self.classifier(seed, matching=matching)
        settings = BoundaryTraining.preset(self.args.preset, backbone=self.backbone, seed=seed)
        # published: ImageNet's features; without any (scenes from scratch) the baseline's, in all rows
        features = self.classifier(seed, matching="none")
        init, needs = (self.init, []) if self.init != "random" else (self.last(features), [features])
        needs = list(dict.fromkeys([classifier, *needs]))
        scales = ("--cam-scales", ",".join(map(str, self.seeding.cam_scales)))
        own = {"settings": settings_record(settings), "refinement": settings_record(Refinement.preset(self.args.preset))}

        def commands(folder):
            other = self.args.cam_list != self.args.list  # else the classifier's maps are all that is needed
            cams = ("--cams", (folder if other else classifier.folder) / "maps" / "cam")
            for name in self.union if other else ():
                yield tool("make_seeds", *self.options, *self.tags, "--list", name, "--checkpoint", self.last(classifier),
                           "--cams-only", *scales, "--output", folder / "maps", *self.devices)  # fmt: skip
            yield tool("train_irn", *self.options, "--list", self.args.list, "--backbone", self.backbone, "--seed", seed, *cams,
                       "--init", init, "--output", folder, "--resume", *self.devices)  # fmt: skip
            last = folder / f"irn_{self.backbone}-{settings.epochs - 1:04d}.params"
            for name, masks in zip(self.union, ("masks", "masks_scored")):
                yield tool("refine", *self.options, "--list", name, *cams, "--refine", "walk", "--checkpoint", last,
                           "--output", folder / masks, "--pictures", 8, *self.devices)  # fmt: skip
            yield self.scored_cams("--predictions", folder / masks, "--json", folder / "walk.json")

        return self.stage("walk", self.backbone, f"{matching}-s{seed}", own, commands, needs)

    def stage(self, method, backbone, variant, content, commands, needs=()):
        """As of DataStages; what is scored on --cam-list depends on its images too."""
        return super().stage(method, backbone, variant, {**content, "scored": self.fingerprint["cam"]}, commands, needs)

    def last(self, classifier):
        """The checkpoint of a classifier stage."""
        epochs = Matching.preset(self.args.preset).epochs
        return classifier.folder / f"comnet_{self.backbone}-{epochs - 1:04d}.params"

    def segmentation(self, backbone, seed, affinity):
        """Segmentation trained on the walk's masks of both matchings: CIAN, or without affinity plain DeepLab-LargeFOV."""
        masks, losses = self.walk(seed, "both"), "ce+cp" if affinity else "baseline"
        return self.cian.masks(backbone, seed, losses, labels=(masks, masks.folder / "masks"), affinity=affinity)

    def figures(self):
        """Figures 3 to 5 of the first seed: masks, matched points, and where they fail."""
        stage = self.classifier(self.args.seeds[0], matching="both")
        words = ("--checkpoint", self.last(stage), "--data", self.data, "--list", self.args.list, *self.devices)
        return self.stage(
            "comnet-figures",
            self.backbone,
            "",
            {},
            lambda folder: [tool("draw", "matching", *words, "--output", folder)],
            [stage],
        )


def cells(plan, table):
    """What a table consists of: [(stage, row, column, file of scores)]."""
    found = []
    for seed in plan.args.seeds:
        for row, changes in ROWS.get(table, {}).items():
            found.append((plan.classifier(seed, **changes), row, "mIoU", "cam.json"))
        if table in VARIED:
            matching, setting, label = VARIED[table]
            for value in plan.values[setting]:
                changes = {} if value == getattr(Matching, setting) else {setting: value}  # the default is Table II's own
                found.append((plan.classifier(seed, matching=matching, **changes), f"{label} = {value}", "mIoU", "cam.json"))
        elif table == "V":
            for row, matching in (("IRN", "none"), ("Ours", "both")):
                found.append((plan.classifier(seed, matching=matching), row, "CAM", "cam.json"))
                found.append((plan.walk(seed, matching), row, "CAM + RW", "walk.json"))
        elif table in ("VI", "VII"):
            for backbone in plan.cian.backbones:
                for affinity, row in ((False, "COMNet (ours)"), (True, "COMNet (ours) and CIAN")):
                    stage = plan.segmentation(backbone, seed, affinity=affinity)
                    found.append((stage, f"{row}, {LABELS[backbone][0]}", "val", "val_crf.json"))
    return found


def measurements(plan, table, cell):
    """The numbers of one cell whose stage is finished; of class activation also that at IRN's threshold."""
    stage, row, column, file = cell
    trained = stage if (stage.folder / "settings.json").is_file() else stage.needs[0]  # maps or masks of another's network
    scores, record = read_json(stage.folder / file), read_json(trained.folder / "settings.json")
    segmented = file.startswith("val")
    run, data = (trained, plan.fingerprint["val"]) if segmented else (stage, plan.fingerprint["cam"])
    more = plan.cian.tested if segmented else {"cam_list": plan.args.cam_list}
    more = {**more, "cam_scales": list(plan.seeding.cam_scales)} if file == "cam.json" else more
    at_best = {"cam_threshold": scores["threshold"]} if file == "cam.json" else {}
    where = f"COMNet {table}", row, column
    yield plan.measurement(where, scores["miou"], run, record, scores["images"], data, **more, **at_best)
    for threshold, value in scores.get("miou_at", {}).items():
        where = f"COMNet {table}", row, f"{column} at threshold {threshold}"
        yield plan.measurement(where, value, run, record, scores["images"], data, **more)


def main(argv=None):
    args = parse_args(argv)
    plan = COMNetPlan(args)
    coco = len(plan.dataset.classes) == 81
    wanted = args.wanted or [*(("VII",) if coco else TABLES[:-1]), REPORT]
    if "VII" in wanted and not coco:
        raise ValueError(f"Table VII needs COCO's 81 classes, {plan.data} has {len(plan.dataset.classes)}")
    chosen = [(table, cell) for table in TABLES if table in wanted for cell in cells(plan, table)]
    pictures = [plan.figures()] if {"II", "V", "VI"} & set(wanted) else []
    stages = in_order([cell[0] for _, cell in chosen] + pictures)
    last = [tool("benchmark", "matching", "--results", args.results)] if "I" in wanted else []
    if REPORT in wanted:
        output = plan.runs / f"report_{args.preset}"
        last.append(tool("report", "--results", args.results, "--runs", plan.runs, "--output", output))
    carry_out(plan, stages, chosen, measurements, last, {"numbers": args.results})


if __name__ == "__main__":
    sys.exit(run_tool(main))

"""COMNet's Tables I to VII: classifiers with and without matchings, their class activation maps, random walk, segmentation.

`experiments/comnet.sh` sets up the environment and calls this. Class activation is measured on the training images, at the best
threshold, and at 0.15, IRN's. Tables I, III and IV vary one matching alone, as the paper's numbers show. Table VI trains plain
DeepLab-LargeFOV on the masks of the walk, and beside it CIAN, a combination neither paper has; VII is VI on COCO.
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

TABLES = ("I", "II", "III", "IV", "V", "VI", "VII")
REPORT = "report"
#: table -> its rows of one matching each, and their setting `matching`
ROWS = {
    "I": {"baseline": "none"},
    "II": {
        "Baseline": "none",
        "Baseline + inter-matching": "inter",
        "Baseline + intra-matching": "intra",
        "Baseline + inter-matching + intra-matching": "both",
    },
}
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
    parser.add_argument("--values", choices=("paper", "fewer"), default=None, help="values of N, alpha and k in Tables I, III "
                        "and IV: the paper's 4 + 4 + 6, or 2 + 3 + 2 of them (default: paper; scenes fewer)")  # fmt: skip
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
        self.train_file = self.dataset.list_path(args.list)
        given = self.weights(args.cam_init, self.backbone) or self.weights(args.init, self.backbone)
        self.init = given or self.default_weights()

    def classifier(self, seed, **changes):
        """A classifier with some settings changed, its class activation maps in FOLDER/maps/cam, and their scores."""
        settings = Matching.preset(self.args.preset)
        size = changes.get("group_size", settings.group_size)
        changes = dict(changes, seed=seed, batch=-(-settings.batch // size) * size)  # whole groups
        settings = Matching.preset(self.args.preset, backbone=self.backbone, **changes)
        words = [part for name, value in changes.items() for part in (f"--{name.replace('_', '-')}", value)]
        scales = ("--cam-scales", ",".join(map(str, self.seeding.cam_scales)))
        own = {"settings": settings_record(settings), "scales": list(self.seeding.cam_scales), "init": digest(self.init)}
        variant = "-".join(f"{name[0]}{value}" for name, value in changes.items() if name != "batch")

        def commands(folder):
            yield tool("train_cam", "--method", "comnet", *self.options, *self.tags, "--list", self.args.list,
                       "--backbone", self.backbone, *words, "--init", self.init, "--output", folder, "--resume",
                       *self.devices)  # fmt: skip
            last = folder / f"comnet_{self.backbone}-{settings.epochs - 1:04d}.params"
            yield tool("make_seeds", *self.options, *self.tags, "--list", self.args.list, "--checkpoint", last,
                       "--cams-only", *scales, "--output", folder / "maps", *self.devices)  # fmt: skip
            yield self.scored("--cams", folder / "maps" / "cam", "--list", self.train_file, "--mark", CAM_THRESHOLD,
                              "--curve", folder / "curve", "--json", folder / "cam.json")  # fmt: skip

        return self.stage("comnet", self.backbone, variant, own, commands)

    def walk(self, seed, matching):
        """IRN's random walk on the maps of a classifier: FOLDER/masks of the training list, and their scores."""
        classifier = self.classifier(seed, matching=matching)
        settings = BoundaryTraining.preset(self.args.preset, backbone=self.backbone, seed=seed)
        # published: ImageNet's features; without any (scenes from scratch) the classifier's own
        init = self.init if self.init != "random" else self.last(classifier)
        cams = ("--cams", classifier.folder / "maps" / "cam")
        common = (*self.options, "--list", self.args.list)
        own = {"settings": settings_record(settings), "refinement": settings_record(Refinement.preset(self.args.preset))}

        def commands(folder):
            yield tool("train_irn", *common, "--backbone", self.backbone, "--seed", seed, *cams, "--init", init,
                       "--output", folder, "--resume", *self.devices)  # fmt: skip
            last = folder / f"irn_{self.backbone}-{settings.epochs - 1:04d}.params"
            yield tool("refine", *common, *cams, "--refine", "walk", "--checkpoint", last, "--output", folder / "masks",
                       "--pictures", 8, *self.devices)  # fmt: skip
            yield self.scored("--predictions", folder / "masks", "--list", self.train_file, "--json", folder / "walk.json")

        return self.stage("walk", self.backbone, f"{matching}-s{seed}", own, commands, [classifier])

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
        for row, matching in ROWS.get(table, {}).items():
            found.append((plan.classifier(seed, matching=matching), row, "mIoU", "cam.json"))
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
                name = LABELS[backbone][0]
                stage = plan.segmentation(backbone, seed, affinity=False)
                found.append((stage, f"COMNet (ours), {name}", "val", "val_crf.json"))
                stage = plan.segmentation(backbone, seed, affinity=True)
                found.append((stage, f"COMNet (ours) and CIAN, {name}", "val", "val_crf.json"))
    return found


def measurements(plan, table, cell):
    """The numbers of one cell whose stage is finished; of class activation also that at IRN's threshold."""
    stage, row, column, file = cell
    scores, record = read_json(stage.folder / file), read_json(stage.folder / "settings.json")
    data = plan.fingerprint["val" if file.startswith("val") else "train"]
    more = {} if file != "cam.json" else {"cam_threshold": scores["threshold"], "cam_scales": list(plan.seeding.cam_scales)}
    yield plan.measurement((f"COMNet {table}", row, column), scores["miou"], stage, record, scores["images"], data, **more)
    for threshold, value in scores.get("miou_at", {}).items():
        where = f"COMNet {table}", row, f"{column} at threshold {threshold}"
        yield plan.measurement(where, value, stage, record, scores["images"], data, cam_scales=more["cam_scales"])


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

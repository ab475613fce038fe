"""CIAN's Tables 2 to 5 and Figures 3 and 4: which trainings they need, run once each, and the number of each; the report.

`experiments/table2.sh` and its like set up the environment and call this. Classifier and seeds are shared by all rows and
made with seed 0; --random-seeds are those of the segmentation trainings. Every stage has a folder in --runs (see plan.py).
"""

import sys

from cian_plan import Plan, checkpoint
from plan import LABELS, add_options, carry_out, complete, tool
from stages import in_order

from cian.base.cli import run_tool
from cian.base.files import read_json
from cian.base.parser import Parser
from cian.base.runs import settings_record
from cian.config import Inference, Segmentation

TABLES = ("2", "3", "4", "5")
FIGURES, REPORT = "figures", "report"
PAIRS_DRAWN, PAIRS_MEASURED = 4, 100  # of Figure 3, and of the statistics of affinity
#: rows of Table 2 -> what is trained; the second round follows from "+ CP"
ROWS = {"Baseline": "baseline", "+ CE": "ce", "+ CP": "ce+cp"}
RATIOS = ("0", "0.05", "0.10")


def parse_args(argv):
    parser = Parser("experiments/tables.py", __doc__)
    known = (*TABLES, FIGURES, REPORT)
    parser.add_argument("wanted", nargs="+", metavar="TABLE", choices=known, help="tables by number, figures, report")
    add_options(parser, "0 1 2", "of Tables 4 and 5; the first also of 2 and 3 (default: the preset's)")
    parser.add_argument("--test-list", default="test", help="list for the server's archive, if there is one (default: test)")
    parser.add_argument("--filter-tags", action="store_true", help="Table 2: another second round, on labels without the "
                        "classes that an image's tags do not name (not in the paper)")  # fmt: skip
    parser.add_argument("--truth", action="store_true", help="Table 2: also plain DeepLab-LargeFOV trained on the true "
                        "masks: what this network and schedule can reach (not in the paper)")  # fmt: skip
    return complete(parser, parser.parse_args(argv))


def cells(plan, table):
    """What a table consists of: [(stage, row, column, file of the scores)]; column None: mIoU and every class.

    Tables 2 and 3 of the paper are with CRF; here the numbers without it stand beside them.
    """
    args, first = plan.args, plan.backbones[0]
    found = []
    for seed in args.seeds:
        if table == "2":
            rows = [(row, plan.masks(first, seed, losses)) for row, losses in ROWS.items()]
            rows.append(("+ RT", plan.masks(first, seed, "ce+cp", second_round=True)))
            if args.filter_tags:
                stage = plan.masks(first, seed, "ce+cp", second_round=True, filtered=True)
                rows.append(("+ RT, labels filtered by tags", stage))
            if args.truth:
                stage = plan.masks(first, seed, "baseline", affinity=False, true_masks=True)
                rows.append(("LargeFOV on the true masks", stage))
            found += [(stage, row, None, "val_crf.json") for row, stage in rows]
            found += [(stage, row, "mIoU, no CRF", "val.json") for row, stage in rows]
        elif table == "3":
            for row in ("+ CE", "+ CP"):
                for grouping in ("common", "random"):
                    stage = plan.masks(first, seed, ROWS[row], grouping)
                    found.append((stage, row, f"{grouping.capitalize()}-class", "val_crf.json"))
                    found.append((stage, row, f"{grouping.capitalize()}-class, no CRF", "val.json"))
        elif table == "4":
            for ratio in RATIOS:
                for backbone in plan.backbones:
                    for name, losses in (("baseline", "baseline"), ("ours", "ce+cp")):
                        stage, column = plan.masks(backbone, seed, losses, ratio=ratio), f"{LABELS[backbone][0]} {name}"
                        found.append((stage, f"no CRF, ratio {ratio}", column, "val.json"))
                        found.append((stage, f"CRF, ratio {ratio}", column, "val_crf.json"))
        else:
            for backbone in plan.backbones:
                stage = plan.masks(backbone, seed, "ce+cp", second_round=True)
                found.append((stage, LABELS[backbone][1], "val", "val_crf.json"))
    return found


def measurements(plan, table, cell):
    """The numbers of one cell whose stage is finished, in per cent."""
    stage, row, column, file = cell
    (trained,) = stage.needs
    scores, record = read_json(stage.folder / file), read_json(trained.folder / "settings.json")
    numbers = {column or "mIoU": scores["miou"]}
    if column is None:
        numbers.update(scores["iou"])
    for name, value in numbers.items():
        if value is not None:
            where = f"CIAN {table}", row, name
            yield plan.measurement(where, value, trained, record, scores["images"], plan.fingerprint["val"], **plan.tested)


def submission(plan):
    """Table 5's archive of a test list for the server, one a backbone; none where the data set has no such list."""
    try:
        plan.dataset.list_path(plan.args.test_list)
    except FileNotFoundError as error:
        sys.stderr.write(f"no archive for the test server: {error}\n")
        return []
    stages = []
    for backbone in plan.backbones:
        trained = plan.training(backbone, plan.args.seeds[0], "ce+cp", second_round=True)
        weights = checkpoint(trained, "cian", Segmentation, plan.args.preset, backbone)
        words = (*plan.options, "--list", plan.args.test_list, *plan.devices, "--checkpoint", weights)
        content = {"list": plan.args.test_list, "inference": settings_record(Inference.preset(plan.args.preset))}
        stages.append(
            plan.stage(
                "test",
                backbone,
                "",
                content,
                lambda folder, words=words: [
                    tool("predict", *words, "--output", folder, "--submission", folder / "results.tgz")
                ],
                [trained],
            )
        )
    return stages


def figures(plan):
    """Figures 3 and 4 of the first seed: what pixels of "+ CP" look at, and its masks beside the baseline's."""
    backbone, seed = plan.backbones[0], plan.args.seeds[0]
    baseline, ours = (plan.masks(backbone, seed, ROWS[row]) for row in ("Baseline", "+ CP"))
    common = ("--data", plan.data, "--list", plan.args.val_list, *plan.classes)
    network = ("--checkpoint", checkpoint(ours.needs[0], "cian", Segmentation, plan.args.preset, backbone))

    def commands(folder):
        for words in (("--count", PAIRS_DRAWN, "--html"), ("--statistics", PAIRS_MEASURED)):
            yield tool("draw", "affinity", *network, *common, *plan.tags, *words, *plan.devices, "--output", folder)
        masks = ("--baseline", baseline.folder / "val" / "pred_crf", "--ours", ours.folder / "val" / "pred_crf")
        yield tool("draw", "improvements", *masks, *common, "--output", folder)

    content = {"pairs": [PAIRS_DRAWN, PAIRS_MEASURED], "list": plan.args.val_list}
    return plan.stage("figures", backbone, "", content, commands, [baseline, ours])


def report(plan, drawn):
    """The command that writes the report of all results there are; the pictures go into it if they were drawn now."""
    words = ["--results", plan.args.results, "--runs", plan.runs]
    if drawn is not None:
        words += ["--figures", drawn.folder, "--photographs"]
    return tool("report", *words, "--output", plan.runs / f"report_{plan.args.preset}")


def main(argv=None):
    args = parse_args(argv)
    plan = Plan(args)
    chosen = [(table, cell) for table in TABLES if table in args.wanted for cell in cells(plan, table)]
    drawn = figures(plan) if FIGURES in args.wanted else None
    last = (submission(plan) if "5" in args.wanted else []) + ([] if drawn is None else [drawn])
    stages = in_order([cell[0] for _, cell in chosen] + last)
    reports = [report(plan, drawn)] if REPORT in args.wanted else []
    folders = {} if drawn is None else {"figures": drawn.folder}
    if chosen:
        folders["numbers"] = args.results
    carry_out(plan, stages, chosen, measurements, reports, folders)


if __name__ == "__main__":
    sys.exit(run_tool(main))

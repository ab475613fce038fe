"""CIAN's Tables 2 to 5 and Figures 3 and 4: which trainings they need, run once each, and one result file a number; the report.

`experiments/table2.sh` and its like set up the environment and call this. Classifier and seeds are shared by all rows and
made with seed 0; --seeds are those of the segmentation trainings. Every stage has a folder in --runs (see plan.py).
"""

import argparse
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

from plan import LABELS, ROOT, Plan, checkpoint, tool
from tqdm import tqdm

from cian.cli import run_tool
from cian.config import PRESETS, Inference, Segmentation
from cian.data import scenes
from cian.files import read_json
from cian.parallel import processors
from cian.results import Measurement, write_result
from cian.runs import settings_record
from cian.runtime import count_gpus
from cian.stages import Runner, in_order

TABLES = ("2", "3", "4", "5")
FIGURES, REPORT = "figures", "report"
PAIRS_DRAWN, PAIRS_MEASURED = 4, 100  # of Figure 3, and of the statistics of affinity
#: rows of Table 2 -> what is trained; the second round follows from "+ CP"
ROWS = {"Baseline": "baseline", "+ CE": "ce", "+ CP": "ce+cp"}
RATIOS = ("0", "0.05", "0.10")


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wanted", nargs="+", choices=(*TABLES, FIGURES, REPORT), help="tables by number, figures, report")
    parser.add_argument("--preset", choices=PRESETS, default=None, help="default: voc12 with --data, scenes without")
    parser.add_argument("--data", default=None, help="data set in VOC layout (default: generated scenes)")
    parser.add_argument("--init", default=None, help="ImageNet weights, or BACKBONE=WEIGHTS,... (default: gluoncv's)")
    parser.add_argument("--cam-init", default=None, help="the same for the classifier (default: --init, or gluoncv's)")
    parser.add_argument(
        "--backbones", default=None, help="of Tables 4 and 5; the first also of 2 and 3 (default: the preset's)"
    )
    parser.add_argument("--devices", default=None, help="cpu, or gpu0,gpu1,... (default: all GPUs, else cpu)")
    parser.add_argument("--seeds", default="0 1 2", help="seeds of the trainings (default: 0 1 2)")
    parser.add_argument("--list", default="train_aug", help="list of training ids (default: train_aug)")
    parser.add_argument("--val-list", default="val", help="list of ids that are scored (default: val)")
    parser.add_argument(
        "--test-list", default="test", help="list for the test server's archive, if there is one (default: test)"
    )
    parser.add_argument("--jobs", type=int, default=None, help="stages at a time, which share the processors; with "
                        "more than one their output goes to RUNS/NAME/stage.log (default: 2 on a CPU, else 1)")  # fmt: skip
    parser.add_argument("--runs", default=str(ROOT / "runs"), help="folder of all runs (default: runs)")
    parser.add_argument("--results", default=None, help="folder of the numbers (default: experiments/results/PRESET)")
    parser.add_argument("--dry-run", action="store_true", help="only print the stages and their commands")
    args = parser.parse_args(argv)
    args.preset = args.preset or ("voc12" if args.data else "scenes")
    if args.data is None and args.preset != "scenes":
        parser.error(f"--preset {args.preset} needs --data, a data set in VOC layout")
    if not re.match(r"^\d+( \d+)*$", args.seeds):
        parser.error(f"--seeds: {args.seeds!r}, expected whole numbers with a space between, such as '0 1 2'")
    if args.jobs is None:
        args.jobs = 2 if processors() > 1 and not count_gpus() and not (args.devices or "").startswith("gpu") else 1
    if args.jobs < 1:
        parser.error(f"--jobs: {args.jobs}, expected at least 1")
    args.seeds = tuple(dict.fromkeys(int(word) for word in args.seeds.split()))
    args.results = args.results or str(ROOT / "experiments" / "results" / args.preset)
    return args


def cells(plan, table):
    """What a table consists of: [(stage, row, column, file of the scores, name in it)]; column None: mIoU and every class."""
    args, first = plan.args, plan.backbones[0]
    found = []
    for seed in args.seeds:
        if table == "2":
            found += [(plan.masks(first, seed, losses), row, None, "val_crf.json") for row, losses in ROWS.items()]
            found.append((plan.masks(first, seed, "ce+cp", second_round=True), "+ RT", None, "val_crf.json"))
        elif table == "3":
            for row in ("+ CE", "+ CP"):
                for grouping in ("common", "random"):
                    stage = plan.masks(first, seed, ROWS[row], grouping)
                    found.append((stage, row, f"{grouping.capitalize()}-class", "val_crf.json"))
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
    scores, record = read_json(stage.folder / file), read_json(stage.folder / "settings.json")
    numbers = {column or "mIoU": scores["miou"]}
    if column is None:
        numbers.update(scores["iou"])
    settings = {"preset": plan.args.preset, "dataset": plan.data.name, "list": plan.args.list, "val_list": plan.args.val_list,
                "images": scores["images"], **record["settings"]}  # fmt: skip
    for name, value in numbers.items():
        if value is not None:
            yield Measurement(
                f"CIAN {table}", row, name, round(100 * value, 4), "%", stage.name, record["circumstances"]["commit"],
                (record["settings"]["seed"],), settings, plan.fingerprint["val"],
            )  # fmt: skip


def submission(plan):
    """Table 5's archive of a test list for the server, one a backbone; none where the data set has no such list."""
    try:
        plan.dataset.list_path(plan.args.test_list)
    except FileNotFoundError as error:
        sys.stderr.write(f"no archive for the test server: {error}\n")
        return []
    stages = []
    for backbone in plan.backbones:
        trained = plan.masks(backbone, plan.args.seeds[0], "ce+cp", second_round=True)
        weights = checkpoint(trained, "cian", Segmentation, plan.args.preset, backbone)
        words = (*plan.options, "--list", plan.args.test_list, "--backbone", backbone, *plan.devices, "--checkpoint", weights)
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
    network = ("--checkpoint", checkpoint(ours, "cian", Segmentation, plan.args.preset, backbone), "--backbone", backbone)

    def commands(folder):
        for words in (("--images", PAIRS_DRAWN), ("--statistics", PAIRS_MEASURED)):
            yield tool("draw", "affinity", *network, *common, *words, *plan.devices, "--output", folder)
        masks = ("--baseline", baseline.folder / "val" / "pred_crf", "--ours", ours.folder / "val" / "pred_crf")
        yield tool("draw", "improvements", *masks, *common, "--output", folder)

    content = {"pairs": [PAIRS_DRAWN, PAIRS_MEASURED], "list": plan.args.val_list}
    return plan.stage("figures", backbone, "", content, commands, [baseline, ours])


def report(plan, drawn):
    """The command that writes the report of all results there are; the pictures go into it if they were drawn now."""
    words = ["--results", ROOT / "experiments" / "results", "--results", plan.args.results, "--runs", plan.runs]
    if drawn is not None:
        words += ["--figures", drawn.folder, "--photographs"]
    return tool("report", *words, "--output", plan.runs / f"report_{plan.args.preset}")


def run_plan(plan, chosen, stages):
    """Run all stages with a bar over them; each cell is written as soon as its stage is finished."""
    results, began = Path(plan.args.results), time.monotonic()

    def begun(stage):
        if not stage.finished:
            tqdm.write(f"== {stage.name}", file=sys.stderr)

    def finished(stage, seconds):
        for table, cell in chosen:
            if cell[0].name == stage.name:
                for measurement in measurements(plan, table, cell):
                    write_result(results, measurement)
        bar.update()

    with tqdm(total=len(stages), desc="stages", unit="stage", disable=plan.args.jobs == 1) as bar:
        Runner(plan.args.jobs).run(stages, begun, finished)
    sys.stderr.write(f"{len(stages)} stages, {(time.monotonic() - began) / 60:.1f} min\n")


def main(argv=None):
    args = parse_args(argv)
    if args.data is None:
        scenes.generate(Path(args.runs).resolve() / "data" / "scenes")
    plan = Plan(args)
    chosen = [(table, cell) for table in TABLES if table in args.wanted for cell in cells(plan, table)]
    drawn = figures(plan) if FIGURES in args.wanted else None
    last = (submission(plan) if "5" in args.wanted else []) + ([] if drawn is None else [drawn])
    stages = in_order([cell[0] for _, cell in chosen] + last)
    if args.dry_run:
        for stage in stages:
            print(f"# {stage.name}{' (finished)' if stage.finished else ''}")
            for words in stage.commands:
                print(" ".join(shlex.quote(word) for word in words))
        if REPORT in args.wanted:
            print(" ".join(shlex.quote(word) for word in report(plan, drawn)))
        return
    run_plan(plan, chosen, stages)
    if drawn is not None:
        print(f"figures: {drawn.folder}")
    if chosen:
        print(f"numbers: {args.results}")
    if REPORT in args.wanted:
        subprocess.run(report(plan, drawn), check=True)


if __name__ == "__main__":
    run_tool(main)

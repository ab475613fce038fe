"""Recipe cards: what made each committed number, how long it took and what came of it.

    .venv/bin/python experiments/recipes.py                                   experiments/results/*/recipes/* -> recipes.csv
    .venv/bin/python experiments/recipes.py --quickstart runs/quickstart_scenes     the card of a finished quickstart, too

The table scripts keep a card for every stage they finish: a folder RESULTS/recipes/STAGE with its settings, its log and
recipe.json. Paths of the machine are not kept: the project is `.`, other folders are `...`.
"""

import csv
import datetime
import io
import re
import sys
from pathlib import Path

from cian.base.cli import run_tool
from cian.base.files import read_json, read_text, write_json, write_text
from cian.base.parser import Parser
from cian.base.results import RESULTS, read_results
from cian.base.runs import file_digest
from cian.report.numbers import CLASS_TABLE, Spread

ROOT = Path(__file__).resolve().parent.parent
CARD, CARDS, TABLE = "recipe.json", "recipes", "recipes.csv"
COLUMNS = ("results", "run", "command", "data", "seconds", "peak GiB", "number of", "value", "mean", "low", "high", "runs",
           "sha256", "commit", "date", "machine")  # fmt: skip
PEAK = re.compile(r"peak memory (\d+\.\d) GiB")
ABSOLUTE = re.compile(r"(?<![\w.:/])/(?:[^\s/\"',=:]+/)+([^\s/\"',=:]+)")


def public(text, root=ROOT):
    """Text without the folders of this machine: those of the project begin with `.`, of others only the last name is left."""
    return ABSOLUTE.sub(r".../\1", text.replace(f"{root}/", "./"))


def keep(results, stage):
    """Keep the card of a finished stage in the folder of the results; the SHA-256 is that of its last checkpoint."""
    done, card = read_json(stage.folder / "stage.json"), Path(results) / CARDS / stage.name
    logs = [read_text(path) for path in (stage.folder / "train.log", stage.folder / "stage.log") if path.is_file()]
    write_card(card, stage.folder, [" ".join(words) for words in done["commands"]], done["seconds"], logs)


def keep_quickstart(results, run):
    """Keep the card of a finished quickstart, that of its second round; one for each machine.

    Its seconds are those from the first stage's start to the table, whatever came between.
    """
    last, first = run / "round2", read_json(run / "cam" / "settings.json")["circumstances"]
    began = datetime.datetime.strptime(first["started"], "%Y-%m-%d %H:%M:%S %z").timestamp()
    logs = [read_text(path) for path in sorted(run.glob("*/train.log"))]
    card = Path(results) / run.name / CARDS / re.sub(r"[^A-Za-z0-9.]+", "-", f"quickstart {first['machine']}")
    seconds, score = (run / "summary.md").stat().st_mtime - began, 100 * read_json(last / "val_crf.json")["miou"]
    number = {"number of": "round two, CRF, mIoU", "value": f"{score:.2f}"}
    write_card(card, last, ["bash experiments/quickstart.sh"], round(seconds), logs, **number)


def write_card(card, folder, commands, seconds, logs, **more):
    """Write a card: settings and log of the run in `folder`, and what it took."""
    peaks = [float(found) for text in logs for found in PEAK.findall(text)]
    settings = read_json(folder / "settings.json") if (folder / "settings.json").is_file() else {}
    made, checkpoints = settings.get("circumstances", {}), sorted(folder.glob("*-[0-9][0-9][0-9][0-9].params"))
    card.mkdir(parents=True, exist_ok=True)
    for name in ("settings.json", "train.log"):
        if (folder / name).is_file():
            write_text(card / name, public(read_text(folder / name)))
    write_json(card / CARD, {
        "run": card.name, "command": [public(text) for text in commands], "data": settings.get("data"),
        "seconds": seconds, "peak GiB": max(peaks, default=None),
        "sha256": file_digest(checkpoints[-1]) if checkpoints else None, "commit": made.get("commit"),
        "date": (made.get("started") or "")[:10] or None, "machine": made.get("machine"), **more,
    })  # fmt: skip


def lines(folder):
    """The rows of the table, as dictionaries: one for each mIoU of a run, or one for a run that gave none.

    mean, low, high, runs: of all runs with a number in the same cell, with the 95 % interval of the mean.
    """
    for place in sorted(path for path in Path(folder).iterdir() if (path / CARDS).is_dir()):
        measured = read_results(place) if (place / RESULTS).is_file() else []
        measured = [one for one in measured if one.unit == "%" and (one.table != CLASS_TABLE or one.column.startswith("mIoU"))]
        for card in sorted((place / CARDS).glob(f"*/{CARD}")):
            about = read_json(card)
            about.update(command=" && ".join(about["command"]), results=place.name)
            numbers = [one for one in measured if one.run == about["run"]]
            for one in numbers:
                spread = Spread(tuple(other.value for other in measured if other.cell == one.cell))
                low, high = (f"{end:.2f}" for end in spread.interval) if spread.interval else (None, None)
                yield {**about, "number of": ", ".join(one.cell), "value": f"{one.value:.2f}", "mean": f"{spread.mean:.2f}",
                       "low": low, "high": high, "runs": spread.n}  # fmt: skip
            if not numbers:
                yield about


def gather(folder):
    """The table as CSV text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines(folder))
    return text.getvalue()


def main(argv=None):
    parser = Parser("experiments/recipes.py", __doc__)
    default = ROOT / "experiments" / "results"
    parser.add_argument("folder", nargs="?", type=Path, default=default, help="default: experiments/results")
    parser.add_argument("--quickstart", type=Path, metavar="RUN", help="run folder of a finished quickstart.sh to keep first")
    args = parser.parse_args(argv)
    folder = args.folder
    if args.quickstart is not None:
        keep_quickstart(folder, args.quickstart.resolve())
    write_text(folder / TABLE, gather(folder))
    print(folder / TABLE)


if __name__ == "__main__":
    sys.exit(run_tool(main))

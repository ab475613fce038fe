"""experiments/recipes.py: the card that is kept of a stage, and the table of all cards."""

import csv
import datetime
import hashlib
import io
import os

from table_scripts import Stage, recipes

from cian.base.files import write_json, write_text
from cian.base.results import Measurement, write_results


def finished(folder, root):
    """A stage that has trained, with the files it leaves."""
    folder.mkdir(parents=True)
    made = {"commit": "abc", "started": "2026-11-27 21:13:12 +0000", "machine": "M, 8 processors", "command": [f"{root}/x"]}
    write_json(folder / "settings.json", {"data": "fingerprint", "init": "/home/me/weights/a.params", "circumstances": made})
    said = f"reads {root}/runs/a and /data/me/VOC/train.txt, 25/50 steps\ntrain: 9 s, peak memory 0.8 GiB"
    write_text(folder / "train.log", said)
    write_text(folder / "stage.log", "predict: 1 s, peak memory 1.2 GiB (without worker processes)")
    for number in (8, 9):
        (folder / f"cian_resnet10-{number:04d}.params").write_bytes(b"%d" % number)
    commands = [[f"{root}/.venv/bin/python", f"{root}/tools/train.py", "--init", "/home/me/weights/a.params"], ["then"]]
    write_json(folder / "stage.json", {"commands": commands, "seconds": 12.5})
    return Stage(folder, ())


def test_a_card_tells_how_and_keeps_no_path_of_the_machine(tmp_path):
    stage = finished(tmp_path / "elsewhere" / "cian_x-s0", recipes.ROOT)
    recipes.keep(tmp_path / "results" / "mine", stage)
    kept = {path.name: path.read_text() for path in (tmp_path / "results" / "mine" / "recipes" / "cian_x-s0").iterdir()}
    assert sorted(kept) == ["recipe.json", "settings.json", "train.log"]
    assert kept["train.log"].startswith("reads ./runs/a and .../train.txt, 25/50 steps\n")
    assert not any(place in text for text in kept.values() for place in (str(recipes.ROOT), "/home/me", "/data/me"))
    (row,) = csv.DictReader(io.StringIO(recipes.gather(tmp_path / "results")))
    assert row["command"] == "./.venv/bin/python ./tools/train.py --init .../a.params && then"
    assert (row["data"], row["seconds"], row["peak GiB"]) == ("fingerprint", "12.5", "1.2")
    assert row["sha256"] == hashlib.sha256(b"9").hexdigest()
    assert (row["commit"], row["date"], row["machine"], row["value"]) == ("abc", "2026-11-27", "M, 8 processors", "")


def test_a_number_stands_with_the_interval_of_its_cell(tmp_path):
    results = tmp_path / "results" / "mine"
    for seed, value in enumerate((30.0, 31.0, 35.0)):
        stage = finished(tmp_path / f"cian_x-s{seed}", tmp_path)
        write_results(results, [Measurement("CIAN 2", "+ CP", column, value, "%", stage.name, "abc", (seed,))
                                for column in ("mIoU", "cat")])  # fmt: skip
        recipes.keep(results, stage)
    rows = list(csv.DictReader(io.StringIO(recipes.gather(tmp_path / "results"))))
    assert [(row["run"], row["number of"], row["value"]) for row in rows] == [
        (f"cian_x-s{seed}", "CIAN 2, + CP, mIoU", value) for seed, value in enumerate(("30.00", "31.00", "35.00"))
    ]  # each class of Table 2 has its number in results.jsonl, the card that of all
    # mean 32, standard deviation sqrt(7), t = 4.3027 for two degrees of freedom
    assert {(row["mean"], row["low"], row["high"], row["runs"]) for row in rows} == {("32.00", "25.43", "38.57", "3")}


def test_the_table_is_written_beside_the_results(tmp_path, capsys):
    recipes.keep(tmp_path / "mine", finished(tmp_path / "runs" / "a", tmp_path))
    recipes.main([str(tmp_path)])
    assert capsys.readouterr().out == f"{tmp_path / 'recipes.csv'}\n"
    assert (tmp_path / "recipes.csv").read_text() == recipes.gather(tmp_path)


def test_a_quickstart_has_a_card_a_machine(tmp_path, capsys):
    run = tmp_path / "runs" / "quickstart_scenes"
    for name in ("cam", "round2"):
        finished(run / name, tmp_path)
    write_json(run / "round2" / "val_crf.json", {"miou": 0.6816})
    write_text(run / "summary.md", "| masks |")
    end = datetime.datetime(2026, 11, 27, 21, 23, 13, tzinfo=datetime.timezone.utc).timestamp()
    os.utime(str(run / "summary.md"), (end, end))
    recipes.main([str(tmp_path / "results"), "--quickstart", str(run)])
    (row,) = csv.DictReader(io.StringIO((tmp_path / "results" / "recipes.csv").read_text()))
    assert (row["results"], row["run"], row["seconds"]) == ("quickstart_scenes", "quickstart-M-8-processors", "601")
    assert (row["number of"], row["value"], row["peak GiB"]) == ("round two, CRF, mIoU", "68.16", "0.8")
    assert row["sha256"] == hashlib.sha256(b"9").hexdigest() and row["command"] == "bash experiments/quickstart.sh"


def test_the_committed_table_is_that_of_the_committed_cards():
    folder = recipes.ROOT / "experiments" / "results"
    assert (folder / "recipes.csv").read_text(encoding="utf-8") == recipes.gather(folder)

"""tools/draw.py on generated scenes with an untrained network: files, numbers, going on when interrupted, wrong options."""

import csv
import os

import numpy as np
import pytest
from PIL import Image
from scripts import tool

from cian.base.files import read_json
from cian.base.runtime import mx
from cian.data.groups import GROUPINGS
from cian.data.images import read_image, read_label, write_label
from cian.data.voc import open_dataset
from cian.figures.affinity_maps import measure_pair
from cian.figures.affinity_probe import AffinityProbe, observe
from cian.inference.segmenter import load_network
from cian.models.checkpoint import named_arrays, save_checkpoint
from cian.models.cian import CIAN
from cian.scenes.generate import generate


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data set of scenes and a checkpoint of an untrained network."""
    folder = tmp_path_factory.mktemp("draw")
    generate(folder / "data", train=1, val=12, size=80, workers=1)
    dataset = open_dataset(folder / "data")
    mx.random.seed(0)
    net = CIAN("resnet10", len(dataset.classes))
    net.initialize(mx.init.Xavier())
    save_checkpoint(folder / "cian.params", named_arrays(net))
    return dataset, folder / "cian.params"


def draw(made, output, *options):
    dataset, checkpoint = made
    common = ["--checkpoint", checkpoint, "--backbone", "resnet10", "--data", dataset.root, "--output", output]
    return tool("draw", "affinity", *common, "--devices", "cpu", *options)


def table(path):
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_figures_and_numbers(made, tmp_path, capsys):
    dataset, checkpoint = made
    draw(made, tmp_path, "--images", "2", "--seed", "3", "--html")
    records = [read_json(path) for path in sorted((tmp_path / "pairs").glob("*.json"))]
    assert len(records) == 2
    tags = dataset.read_tags(dataset.read_ids("val"))
    net = load_network(checkpoint, "resnet10", "dot", mx.cpu())
    probe = AffinityProbe(net)
    everything = []
    for record in records:
        first, second = record["pair"]
        assert set(tags[first]) & set(tags[second])
        with Image.open(tmp_path / f"fig3_{first}_{second}.png") as figure:
            assert figure.size[0] == 10 + 5 * 270
        page = (tmp_path / f"affinity_{first}_{second}.html").read_text(encoding="utf-8")
        assert f'"name": "{second}"' in page and f"{checkpoint}: resnet10, dot, max; SHA-256 " in page
        labels = [read_label(dataset.mask_path(name)) for name in (first, second)]
        for maps, turned in zip(
            observe(probe, net.backbone, [read_image(dataset.image_path(name)) for name in record["pair"]]),
            (labels, labels[::-1]),
        ):
            everything.append(measure_pair(maps, *turned, len(dataset.classes)))
    found = [measured for record in records for measured in record["measured"]]
    for one, other in zip(everything, found):
        assert one["confusions"] == other["confusions"]
        for a, b in zip(one["focus"], other["focus"]):
            assert a == pytest.approx(b, rel=1e-4, nan_ok=True)
    masses = [entry["mass"] for measured in everything for entry in measured["focus"] if entry["class_id"]]
    row = table(tmp_path / "affinity.csv")[0]
    assert row["class"] == "all foreground" and int(row["pairs"]) == len(masses)
    assert float(row["mass"]) == pytest.approx(np.mean(masses), abs=1e-4)
    summary = read_json(tmp_path / "affinity.json")
    assert summary["classes"][0]["mass"] == pytest.approx(np.mean(masses), abs=1e-4)
    assert summary["made_of"]["pairs"] == 2 and summary["made_of"]["backbone"] == "resnet10"
    assert set(summary["miou_at_stride_8"]) == {"raw", "self", "cross"}
    assert "4 queries and references of 2 pairs" in capsys.readouterr().out


def test_statistics_go_on_where_they_stopped(made, tmp_path):
    draw(made, tmp_path, "--statistics", "3")
    first = (tmp_path / "affinity.csv").read_text()
    paths = sorted((tmp_path / "pairs").glob("*.json"))
    assert len(paths) == 3 and not list(tmp_path.glob("*.png"))
    for path in paths:
        os.utime(path, (1, 1))
    written = [path.stat().st_mtime_ns for path in paths]
    paths[1].unlink()
    draw(made, tmp_path, "--statistics", "3")
    assert (tmp_path / "affinity.csv").read_text() == first
    again = [path.stat().st_mtime_ns for path in paths]
    assert again[0] == written[0] and again[2] == written[2] and again[1] > written[1]
    with pytest.raises(ValueError, match="holds files of another checkpoint or other settings"):
        draw(made, tmp_path, "--statistics", "3", "--merge", "avg")


def test_two_processes_write_the_files_of_one(made, tmp_path):
    for count in ("1", "2"):
        draw(made, tmp_path / count, "--images", "3", "--processes", count)
    one, two = ({path.relative_to(tmp_path / count).as_posix() for path in (tmp_path / count).rglob("*")} for count in "12")
    assert one == two and sum(name.endswith(".png") for name in one) == 3
    rows = zip(*(table(tmp_path / count / "affinity.csv") for count in "12"))
    for first, second in rows:  # to rounding: the number of threads of a process differs too
        for name in first:
            if name == "class" or not first[name]:
                assert first[name] == second[name]
            else:
                assert float(first[name]) == pytest.approx(float(second[name]), abs=1e-3)


def test_the_preset_names_the_backbone(made, tmp_path):
    dataset, checkpoint = made
    words = ["--checkpoint", checkpoint, "--data", dataset.root, "--devices", "cpu", "--statistics", "1"]
    tool("draw", "affinity", *words, "--preset", "scenes", "--output", tmp_path / "a")
    assert read_json(tmp_path / "a" / "affinity.json")["made_of"]["backbone"] == "resnet10"
    with pytest.raises(ValueError, match="cian.params: does not fit the network"):
        tool("draw", "affinity", *words, "--output", tmp_path / "b")  # a ResNet-101 is expected


def test_given_pairs_and_missing_truth(made, tmp_path, capsys):
    dataset, checkpoint = made
    ids = dataset.read_ids("val")
    pair = next(GROUPINGS["common"](ids, dataset.read_tags(ids), 2))
    given = ["--pairs", ":".join(pair)]
    draw(made, tmp_path / "a", *given, "--activation", "norm")
    assert (tmp_path / "a" / f"fig3_{pair[0]}_{pair[1]}.png").exists() and not list((tmp_path / "a").glob("*.html"))
    draw(made, tmp_path / "a", *given, "--activation", "norm", "--html")  # the page is what is missing of the pair
    assert (tmp_path / "a" / f"affinity_{pair[0]}_{pair[1]}.html").exists()
    mask = dataset.mask_path(pair[1])
    kept = mask.read_bytes()
    mask.unlink()
    try:
        draw(made, tmp_path / "b", *given)
    finally:
        mask.write_bytes(kept)
    assert (tmp_path / "b" / f"fig3_{pair[0]}_{pair[1]}.png").exists() and not (tmp_path / "b" / "affinity.csv").exists()
    assert "drawn, not measured" in capsys.readouterr().out


def test_wrong_affinity_options_are_named(made, tmp_path, capsys):
    dataset, checkpoint = made
    ids = dataset.read_ids("val")
    tags = dataset.read_tags(ids)
    apart = next((a, b) for a in ids for b in ids if not set(tags[a]) & set(tags[b]))
    with pytest.raises(ValueError, match=f"--pairs: {apart[0]} .* have no common class"):
        draw(made, tmp_path, "--pairs", ":".join(apart))
    with pytest.raises(ValueError, match="--list val: 999 pairs are wanted, but its 12 images gave"):
        draw(made, tmp_path, "--statistics", "999")
    with pytest.raises(ValueError, match="--classes: no class named unicorn"):
        draw(made, tmp_path, "--classes", "unicorn")
    for options, message in (
        (["--pairs", "a:b:c"], "'a:b:c' is no pair"),
        (["--pairs", "a:a"], "'a:a' is no pair"),
        (["--images", "0"], "expected a whole number, 1 or more"),
        (["--images", "1", "--statistics", "1"], "not allowed with"),
        (["--html", "--statistics", "1"], "--html draws, --statistics does not"),
    ):
        with pytest.raises(SystemExit):
            draw(made, tmp_path, *options)
        assert message in capsys.readouterr().err
    net = CIAN("resnet10", 3)
    net.initialize(mx.init.Xavier())
    save_checkpoint(tmp_path / "other.params", named_arrays(net))
    with pytest.raises(ValueError, match=f"3 classes, but .* has {len(dataset.classes)}"):
        draw((dataset, tmp_path / "other.params"), tmp_path)
    assert not (tmp_path / "draw.json").exists()


def test_improvements(made, tmp_path, capsys):
    dataset = made[0]
    ids = dataset.read_ids("val")
    for number, name in enumerate(ids):
        truth = read_label(dataset.mask_path(name))
        truth = np.where(truth == 255, 0, truth)
        empty = np.zeros_like(truth)
        write_label(tmp_path / "a" / f"{name}.png", truth if number < 2 else empty)
        write_label(tmp_path / "b" / f"{name}.png", truth if number > 7 else empty)
    arguments = ["--baseline", tmp_path / "a", "--ours", tmp_path / "b", "--data", dataset.root, "--workers", "1"]
    tool("draw", "improvements", *arguments, "--images", "3", "--output", tmp_path / "out")
    rows = {row["id"]: float(row["difference"]) for row in table(tmp_path / "out" / "improvements.csv")}
    assert [np.sign(rows[name]) for name in ids] == [-1, -1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1]
    heights = {}
    for sheet in ("improved", "random", "worst"):
        with Image.open(tmp_path / "out" / f"fig4_{sheet}.png") as page:
            heights[sheet] = page.size[1]
    assert heights["worst"] < heights["improved"] <= heights["random"] + 24  # two rows against three
    assert "12 images: 4 better, 2 worse" in capsys.readouterr().out
    arguments[3] = tmp_path / "a"
    tool("draw", "improvements", *arguments, "--output", tmp_path / "same")
    assert not (tmp_path / "same" / "fig4_improved.png").exists() and (tmp_path / "same" / "fig4_random.png").exists()
    assert "improved: no such image" in capsys.readouterr().out

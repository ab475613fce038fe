"""Masks against the truth by hand, the drawing of matched points, draw.py matching, and the benchmark of inter-matching."""

import csv
import os

import numpy as np
import pytest
from scripts import tool

from cian.base.files import read_json, write_json
from cian.base.results import read_results
from cian.base.runs import settings_record
from cian.base.runtime import mx
from cian.config import Matching
from cian.data.images import read_image
from cian.data.voc import open_dataset
from cian.evaluation.masks import MaskScore, common_classes, describe_masks, masks_csv, score_masks
from cian.evaluation.matching_cost import measure
from cian.figures.matching import GREEN, RED, choose_points, draw_mask, draw_points
from cian.figures.matching_maps import observe_group
from cian.models.checkpoint import named_arrays, save_checkpoint
from cian.scenes.generate import generate
from cian.seeds.classifiers import load_classifier
from cian.training.objectives import MatchingObjective


def test_scores_of_masks_by_hand():
    mask = np.array([[0.5, 0.2, -0.1], [0.0, -0.3, -0.9]])
    first, second = np.array([[8, 8, 8], [0, 15, 255]]), np.array([[0, 8, 0], [8, 0, 255]])
    score = score_masks([mask, mask], [first, second], [8])
    # pixels of class 8: 5, others 5; M > 0: three of class 8 and one other; M < 0: one and three
    assert score == pytest.approx(MaskScore(3 / (1 + 5), 1 / (3 + 5), 3 / 5, 1 / 5))
    assert np.isnan(score_masks([mask], [np.full((2, 3), 255)], [8])).all()
    assert np.isnan(score_masks([mask], [np.zeros((2, 3), int)], [8]).recall)


def test_common_classes_and_what_is_told():
    assert common_classes(((8, 15), (15, 8), (8,))) == [8] and common_classes(((8, 15), (15, 13), (8, 13))) == [8, 13, 15]
    scores = [MaskScore(0.5, 0.25, 1.0, 0.5), MaskScore(0.25, 0.5, 0.0, float("nan"))]
    told = describe_masks(scores)
    assert "2 groups" in told and "classes 37.5, of M < 0 37.5" in told and "covers 50.0" in told and "and 50.0 of all" in told
    assert told.endswith("its sign is right in 1 groups")
    lines = masks_csv({("a", "b"): ([1], scores[0]), ("c", "d"): ([1, 2], scores[1])}, ("background", "cat", "dog"))
    assert lines.splitlines()[2] == "c d,cat dog,0.250000,0.500000,0.000000,"


def test_points_are_drawn_where_they_lie():
    points = np.zeros((3, 4, 2, 2), int)
    points[1, 2] = [[0, 0], [2, 3]]
    drawn = draw_points(np.zeros((81, 121, 3), np.uint8), points, (1, 2))
    for place, colour in (((40, 80), RED), ((0, 0), GREEN), ((80, 120), GREEN)):
        assert tuple(drawn[place]) == colour
    assert not drawn[20, 40].any() and not drawn[40, 40].any()


def test_the_points_that_are_drawn_lie_innermost():
    label = np.zeros((90, 90), np.uint8)
    label[:, 60:] = 8
    label[:, :30] = 255
    member, other = choose_points(label, [8], (10, 10))
    assert tuple(member)[1] in (7, 8) and tuple(other)[1] in (4, 5)
    assert choose_points(label, [3], (10, 10))[0] is None


def test_a_mask_is_red_where_it_is_positive():
    drawn = draw_mask(np.full((20, 40, 3), 128, np.uint8), np.array([[0.1, 0.1, -0.2, -0.2]])).astype(int)
    assert drawn[10, 2, 0] > drawn[10, 2, 2] and drawn[10, 38, 2] > drawn[10, 38, 0]


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A data set of scenes and a run folder with a COMNet of random weights."""
    data, run = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("run")
    generate(data, train=2, val=30, size=64, workers=1)
    settings = Matching.preset("scenes")
    write_json(run / "settings.json", {"settings": settings_record(settings)})
    net = MatchingObjective(settings, len(open_dataset(data).classes) - 1, [mx.cpu()]).net
    net(mx.nd.zeros((1, 2, 3, 33, 33)))
    save_checkpoint(run / "comnet_resnet10-0000.params", named_arrays(net))
    return data, run / "comnet_resnet10-0000.params"


def test_draw_matching_writes_sheets_and_the_masks_quality(job, tmp_path, capsys):
    data, checkpoint = job
    options = ["--data", data, "--checkpoint", checkpoint, "--side", "65", "--output", tmp_path]
    tool("draw", "matching", *options, "--groups", "3", "--images", "2")
    told = capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "masks.csv").open()))
    assert 1 <= len(rows) <= 3 and f"{len(rows)} groups" in told
    sheets = [read_image(tmp_path / f"matching_{name}.png") for name in ("random", "worst")]
    assert all(sheet.shape[1] == 10 + 6 * 250 and sheet.std() > 10 for sheet in sheets)
    names = rows[0]["group"].split()
    dataset = open_dataset(data)
    images = [read_image(dataset.image_path(name)) for name in names]
    net = load_classifier(checkpoint, "comnet", None, len(dataset.classes) - 1, mx.cpu())
    found = observe_group(net, images, [1], 65)
    assert [one.mask.shape for one in found] == [(9, 9)] * 2 and found[0].points.shape == (9, 9, 8, 2)
    assert sum(float((one.mask**2).sum()) for one in found) == pytest.approx(1, abs=1e-4)
    for row, column in ((0, 0), (4, 7)):
        assert [row, column] not in found[0].points[row, column].tolist()


def test_two_processes_draw_the_sheets_of_one(job, tmp_path):
    options = ["--data", job[0], "--checkpoint", job[1], "--side", "65", "--devices", "cpu", "--groups", "2"]
    for count in ("1", "2"):
        tool("draw", "matching", *options, "--output", tmp_path / count, "--processes", count)
    rows = [[row["group"] for row in csv.DictReader((tmp_path / count / "masks.csv").open())] for count in "12"]
    assert rows[0] == rows[1] and len(rows[0]) == 2
    for name in ("random", "worst"):  # to rounding: the number of threads of a process differs too
        one, two = (read_image(tmp_path / count / f"matching_{name}.png").astype(int) for count in "12")
        assert np.abs(one - two).mean() < 0.5


def test_draw_matching_needs_groups_of_the_classes(job, tmp_path):
    data, checkpoint = job
    options = ["--data", data, "--checkpoint", checkpoint, "--output", tmp_path, "--classes", "background"]
    with pytest.raises(ValueError, match="--list val: no group of 2 images with a common class among --classes"):
        tool("draw", "matching", *options)


def test_the_benchmark_stands_beside_the_paper(tmp_path, capsys):
    tool("benchmark", "matching", "--channels", "8", "--groups", "3", "--side", "6", "--repeats", "1",
         "--results", tmp_path / "results", "--json", tmp_path / "cost.json")  # fmt: skip
    costs = read_json(tmp_path / "cost.json")
    assert [(cost["channels"], cost["group"], cost["paper"]) for cost in costs] == [(8, 3, None)]
    assert all(cost["seconds"] > 0 and cost["threads"] == int(os.environ["OMP_NUM_THREADS"]) for cost in costs)
    assert "| 3 | 6 x 6 x 8 |" in capsys.readouterr().out
    results = read_results(tmp_path / "results")
    assert [one.cell for one in results] == [("COMNet I", "N = 3", "inter-matching time, 6x6x8")]
    assert [one.value for one in results] == [cost["seconds"] for cost in costs]
    with pytest.raises(ValueError, match="groups .1,.*expected groups of 2 or more"):
        tool("benchmark", "matching", "--groups", "1")


def test_the_papers_features_are_compared_with_the_papers_times(monkeypatch):
    from cian.evaluation import matching_cost

    monkeypatch.setattr(matching_cost, "measure_apart", lambda *sizes: {"seconds": 1.5, "memory": 7.0, "processor_seconds": 1.0,
                                                                      "threads": 1})  # fmt: skip
    paper = {("COMNet I", "N = 2", "inter-matching time"): (0.13, "s")}
    costs = matching_cost.matching_costs((2048, 512), (2,), 32, paper)
    assert [cost["paper"] for cost in costs] == [0.13, None]
    assert matching_cost.cost_table(costs).splitlines()[2] == "| 2 | 32 x 32 x 2048 | 0.13 | 1.500 | 1.000 | 7 | 1 |"


def test_measuring_counts_the_work():
    cost = measure(4, 2, 5, repeats=2)
    assert cost["processor_seconds"] > 0 and 0 < cost["seconds"] < 60

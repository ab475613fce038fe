"""The comparison of Gluon, exported symbol and ONNX: medians, ratios and shares by hand, and on real images."""

import json
from pathlib import Path

import numpy as np
import pytest
from scripts import module_of

from cian.base.runtime import mx
from cian.export.comparison import compare, compare_export, comparison_table, fitted_image, random_network

ROOT = Path(__file__).resolve().parents[2]


def test_figures_by_hand():
    """Three images, a clock that only the two ways move, and one label that differs."""
    now, calls = [0.0], []

    def way(name, times, change):
        def run(image):
            calls.append(name)
            now[0] += times[int(image.sum())]
            maps = np.zeros((1, 3, 2, 2), np.float32)
            maps[0, 1] = 4
            return [np.array([image.sum() + 8.0]), change(maps, int(image.sum()))]

        return run

    def changed(maps, number):
        if number == 1:
            maps[0, 2, 0, 0] = 5  # one of four labels differs, by 5 of at most 4
        return maps

    images = [np.full((1, 1, 1, 1), number, np.float32) for number in range(3)]
    ways = {"first": way("first", (1, 2, 6), lambda maps, _: maps), "second": way("second", (3, 5, 4), changed)}
    steps = []
    found = compare(ways, images, clock=lambda: now[0], progress=steps.append)
    assert calls == ["first", "second", "first", "second", "second", "first", "first", "second"]  # the first two uncounted
    assert steps == [1, 1, 1]
    assert found["first"] == dict(seconds=2, ratio=1, deviation=0, equal=1, equal_worst=1)
    assert found["second"] == dict(seconds=4, ratio=2, deviation=5 / 4, equal=(1 + 0.75 + 1) / 3, equal_worst=0.75)
    table = comparison_table(dict(images=3, size="1x1", threads="1", network="net", ways=found))
    assert table.splitlines()[-1] == "| second | 4.000 | 2.00 | 1.2e+00 | 91.6667 % | 75.0000 % |"


def test_not_a_number_is_not_lost():
    first = np.ones((1, 2, 1, 1), np.float32)
    found = compare({"a": lambda x: [first], "b": lambda x: [first * np.nan if x.sum() == 1 else first]}, [first, first / 2])
    assert np.isnan(found["b"]["deviation"])


@pytest.mark.parametrize(
    "method, backbone, size", [("cian", "squeezenet1.1", 129), ("cian", "resnet50", 65), ("cam", "vgg16", 65)]
)
def test_three_ways_agree_on_real_images(method, backbone, size, shared):
    """Issue 5's bounds for ONNX, on a few small real images; tools/benchmark.py export measures more, and larger ones."""
    pictures = sorted((shared / "data" / "VOC2012-animals" / "JPEGImages").glob("*.jpg"))[:3]
    net = random_network(method, backbone, 20 if method == "cam" else 21)
    images = [fitted_image(path, (size, size)) for path in pictures]
    found = compare_export(net, method, images)
    assert list(found["ways"]) == ["Gluon", "exported symbol", "ONNX Runtime"] and found["images"] == 3
    symbol, onnx = found["ways"]["exported symbol"], found["ways"]["ONNX Runtime"]
    assert symbol["deviation"] <= 1e-5 and onnx["deviation"] <= 1e-3
    assert symbol["equal_worst"] >= 0.999 and onnx["equal"] >= 0.999


def test_random_networks_give_several_classes(shared):
    """Otherwise equal labels would say nothing."""
    picture = sorted((shared / "data" / "VOC2012-animals" / "JPEGImages").glob("*.jpg"))[0]
    image = mx.nd.array(fitted_image(picture, (129, 129)))
    for method, backbone in (("cian", "squeezenet1.1"), ("cian", "resnet10"), ("cam", "vgg16")):
        net = random_network(method, backbone, 20)
        maps = net.maps(image) if method == "cam" else net(image)
        assert len(np.unique(maps.asnumpy().argmax(axis=1))) > 2, (method, backbone)


def test_benchmark_writes_its_figures(shared, tmp_path, capsys):
    benchmark = module_of("benchmark")
    words = ["export", "--checkpoint", "random", "--backbone", "resnet10", "--data", str(shared / "data" / "VOC2012-animals"),
             "--images", "2"]  # fmt: skip
    benchmark.main(words + ["--size", "65x97", "--json", str(tmp_path / "figures.json")])
    written = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert written["network"] == "cian resnet10, random weights" and written["size"] == "65x97"
    assert capsys.readouterr().out.count("\n") == 6
    with pytest.raises(ValueError, match="size: 65x96, expected multiples of 8 plus 1"):
        benchmark.main(words + ["--size", "65x96"])

"""The backbone that a tool expects of a checkpoint without a run beside it: --backbone, else that of --preset."""

import argparse
from pathlib import Path

import numpy as np
import pytest
from scripts import module_of
from voc_trees import write_dataset, write_image

from cian.base.cli import add_backbone, add_preset, chosen_backbone
from cian.base.origin import origin_of
from cian.base.runtime import mx
from cian.config import Classifier, Segmentation
from cian.data.cams import load_cam
from cian.data.images import read_label
from cian.export.exported import load_export
from cian.export.symbols import build
from cian.models.checkpoint import named_arrays, save_checkpoint

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "settings, words, expected",
    [
        (Segmentation, [], "resnet101"),
        (Segmentation, ["--preset", "animals"], "squeezenet1.1"),
        (Segmentation, ["--preset", "scenes"], "resnet10"),
        (Classifier, [], "vgg16"),
        (Classifier, ["--preset", "animals"], "squeezenet1.1"),
        (Classifier, ["--preset", "animals", "--backbone", "vgg16"], "vgg16"),
        (Segmentation, ["--backbone", "resnet50"], "resnet50"),
    ],
)
def test_backbone_given_or_of_the_preset(settings, words, expected, caplog):
    caplog.set_level("INFO")
    parser = argparse.ArgumentParser()
    add_preset(parser, of_run=True)
    add_backbone(parser, settings)
    args, published = parser.parse_args(words), origin_of(None)
    args.preset = published.decide_preset(args.preset)
    assert chosen_backbone(published, args, settings) == expected
    guess = f"no run; backbone {expected}, that of preset {args.preset}, unless --backbone names another"
    assert (guess in caplog.text) == ("--backbone" not in words)


def checkpoint(path, method, backbone):
    net = build(method, backbone, 3)
    mx.random.seed(0)
    net.initialize(mx.init.Xavier())
    save_checkpoint(path, named_arrays(net))
    return net


@pytest.mark.parametrize("method", ["cian", "cam"])
def test_export_takes_the_backbone_of_the_preset(method, tmp_path, capsys):
    """The scenes' networks are a ResNet-10; that of a CAM is the classifier's."""
    net = checkpoint(tmp_path / "n.params", method, "resnet10")
    words = ["--checkpoint", str(tmp_path / "n.params"), "--output", str(tmp_path / "x"), "--size", "65,65"]
    with pytest.raises(ValueError, match=r"n\.params: does not fit the network"):
        module_of("export").main(words)  # voc12: resnet101, of a CAM vgg16
    module_of("export").main(words + ["--preset", "scenes"])
    assert "largest deviation" in capsys.readouterr().out
    block, told = load_export(tmp_path / "x", mx.cpu())
    assert told["backbone"] == "resnet10" and told["method"] == method
    x = mx.nd.array(np.random.RandomState(0).uniform(0, 255, (1, 3, 65, 65)))
    wanted = net(x).asnumpy()
    found = block(x)
    np.testing.assert_allclose(
        (found[0] if method == "cam" else found).asnumpy(), wanted, atol=1e-5 * max(1, np.abs(wanted).max())
    )


def test_predict_takes_the_backbone_of_the_preset(tmp_path):
    checkpoint(tmp_path / "n.params", "cian", "resnet10")
    write_image(tmp_path / "a.png", 20, 30)
    words = [str(tmp_path / "a.png"), "--checkpoint", str(tmp_path / "n.params"), "--output", str(tmp_path / "out"),
             "--test-size", "65", "--crf-iterations", "0"]  # fmt: skip
    with pytest.raises(ValueError, match=r"n\.params: does not fit the network"):
        module_of("predict").main(words)
    assert not (tmp_path / "out").exists()
    module_of("predict").main(words + ["--preset", "scenes"])
    assert read_label(tmp_path / "out" / "pred" / "a.png").shape == (20, 30)


def test_make_seeds_takes_the_backbone_of_the_preset(tmp_path):
    write_dataset(tmp_path, {"train": {"a": np.full((40, 50), 1, np.uint8)}})
    (tmp_path / "classes.txt").write_text("background\naeroplane\nbicycle\nbird\n")
    checkpoint(tmp_path / "n.params", "cam", "resnet10")
    words = ["--checkpoint", str(tmp_path / "n.params"), "--data", str(tmp_path), "--list", "train", "--cams-only"]
    with pytest.raises(ValueError, match=r"n\.params: does not fit the network"):
        module_of("make_seeds").main(words + ["--output", str(tmp_path / "other")])
    module_of("make_seeds").main(words + ["--output", str(tmp_path / "out"), "--preset", "scenes"])
    assert load_cam(tmp_path / "out" / "cam" / "a.npz")[0].tolist() == [1]

"""Settings: presets, types and command lines."""

import argparse
import dataclasses
import typing

import pytest

from cian.config import (
    LABEL_FITS,
    BoundaryTraining,
    Classifier,
    Inference,
    Matching,
    Refinement,
    Seeding,
    Segmentation,
    add_arguments,
    from_arguments,
)
from cian.config.settings import check_range
from cian.models.comnet import BACKBONES, COMNet


def test_published_defaults():
    s = Segmentation.preset("voc12")
    assert (s.lr, s.weight_decay, s.momentum, s.power, s.crop, s.batch, s.epochs, s.fast_lr_mult) == (
        5e-4,
        5e-4,
        0.9,
        0.9,
        321,
        16,
        20,
        10,
    )
    assert s.train_scales == (0.5, 0.75, 1.0, 1.25, 1.5) and s.optimizer == "sgd" and s.schedule == "epoch"
    assert (s.similarity, s.merge, s.merge_self, s.group_size, s.grouping) == ("dot", "max", True, 2, "common")
    assert (s.losses, s.class_set, s.pad_label, s.batchnorm, s.freeze) == ("ce+cp", "seeds", 0, "frozen", "")
    i = Inference.preset("voc12")
    assert (i.test_size, i.scales, i.flip, i.crf_iterations, i.crf) == (513, (0.75, 1.0, 1.25), True, 5, "exact")
    assert (i.warp_size, LABEL_FITS["voc12"]) == (513, "warp")
    assert Seeding.preset("voc12").cam_threshold == 0.3


@pytest.mark.parametrize("cls", [Segmentation, Classifier, Matching, Inference, Seeding])
@pytest.mark.parametrize("name", ["voc12", "animals", "scenes"])
def test_every_preset_makes_valid_settings(cls, name):
    assert isinstance(cls.preset(name), cls)


def test_unknown_and_wrong_values_are_named():
    with pytest.raises(ValueError, match="preset: 'coco', expected one of voc12"):
        Segmentation.preset("coco")
    with pytest.raises(ValueError, match="unknown learning_rate, expected some of backbone"):
        Segmentation.preset("voc12", learning_rate=1)
    with pytest.raises(TypeError, match="epochs: '3', expected int"):
        Segmentation.preset("voc12", epochs="3")
    with pytest.raises(TypeError, match="scales"):
        Inference.preset("voc12", scales=1.0)
    with pytest.raises(ValueError, match="merge: 'sum', expected one of max, avg"):
        Segmentation.preset("voc12", merge="sum")


@pytest.mark.parametrize("cls, name, value, expected", [
    (Classifier, "epochs", 0, "0, expected 1 or more"),
    (Classifier, "batch", -4, "-4, expected 1 or more"),
    (Segmentation, "crop", 0, "0, expected 1 or more"),
    (Segmentation, "lr", float("nan"), "nan, expected more than 0"),
    (Segmentation, "lr", float("inf"), "inf, expected more than 0"),
    (Segmentation, "lr", 0.0, "0.0, expected more than 0"),
    (Segmentation, "seed", -1, "-1, expected 0 or more"),
    (Segmentation, "momentum", 1.5, "1.5, expected 0 to 1"),
    (Classifier, "train_scales", (1.0, 0.0), "1.0,0.0, expected more than 0, at most 16"),
    (Inference, "scales", (float("nan"),), "nan, expected more than 0"),
    (Inference, "crf_iterations", -1, "-1, expected 0 or more"),
    (Seeding, "cam_threshold", 1.01, "1.01, expected 0 to 1"),
    (Seeding, "saliency_threshold", 6.0, "6.0, expected at most 1"),
    (Seeding, "saliency_threshold", float("-inf"), "-inf, expected at most 1"),
    (BoundaryTraining, "confident_background", 0.9, "0.9, expected at most confident_foreground, 0.3"),
    (Refinement, "walk_exponent", 64, "64, expected 0 to 30"),
])
def test_numbers_out_of_range_are_named(cls, name, value, expected):
    with pytest.raises(ValueError, match=f"^{name}: {expected}"):
        cls.preset("voc12", **{name: value})


@pytest.mark.parametrize("cls", [Segmentation, Classifier, Matching, Inference, Seeding, BoundaryTraining, Refinement])
def test_every_number_has_a_range_that_holds_its_default(cls):
    for item in dataclasses.fields(cls):
        is_number = item.type in (int, float) or typing.get_origin(item.type) is tuple
        limited = any(item.metadata[key] is not None for key in ("least", "above", "most", "choices"))
        assert limited == is_number or item.metadata["choices"], item.name
        check_range(item, item.default)


def parse(words, cls=Segmentation):
    parser = argparse.ArgumentParser()
    parser.add_argument("--preset", default="voc12")
    add_arguments(parser, cls)
    return from_arguments(parser.parse_args(words), cls)


def test_given_options_win_over_the_preset():
    s = parse(
        ["--preset", "animals", "--epochs", "3", "--train-scales", "0.5,1", "--affinity", "no", "--losses", "baseline"]
    )
    assert (s.epochs, s.train_scales, s.affinity, s.losses, s.backbone) == (
        3,
        (0.5, 1.0),
        False,
        "baseline",
        "squeezenet1.1",
    )


def test_help_shows_the_defaults(capsys):
    with pytest.raises(SystemExit):
        parse(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "(default: 0.0005; animals: 0.0001, scenes: 0.001)" in shown  # what the presets decide differently is said
    assert "(default: 0.5,0.75,1.0,1.25,1.5; scenes: 0.75,1.0,1.25)" in shown and "(default: 0.9)" in shown


def test_wrong_words_are_refused(capsys):
    with pytest.raises(SystemExit):
        parse(["--affinity", "maybe"])
    assert "--affinity" in capsys.readouterr().err


def test_comnet_freezes_the_first_layers_of_whichever_backbone():
    for preset, own in (("voc12", "resnet50v1b"), ("animals", "squeezenet1.1"), ("scenes", "resnet10")):
        usual = Matching.preset(preset)
        assert usual.backbone == own and Matching.preset(preset, backbone=own) == usual
        for backbone in BACKBONES:
            frozen = Matching.preset(preset, backbone=backbone).freeze
            names = list(COMNet(backbone).collect_params())
            assert all(any(name.startswith(prefix) for name in names) for prefix in filter(None, frozen.split(",")))
            assert bool(frozen) == (backbone != "resnet10")
    assert Matching.preset("animals", backbone="vgg16", freeze="conv1").freeze == "conv1"

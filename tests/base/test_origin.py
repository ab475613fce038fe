"""What the run of a checkpoint says: options left out, options that contradict it, runs of older code, no run at all."""

import argparse

import pytest

from cian.base.files import write_json
from cian.base.origin import origin_of
from cian.base.runs import settings_record
from cian.config import PRESETS, BoundaryTraining, Classifier, Matching, Segmentation


def run(folder, settings, **facts):
    """A checkpoint's path in a run folder of these settings."""
    write_json(folder / "settings.json", {"settings": settings_record(settings), **facts})
    return folder / "x-0000.params"


def test_the_run_decides_what_is_left_out(tmp_path):
    settings = Segmentation.preset("scenes", similarity="cosine", merge_self=False, group_size=3)
    origin = origin_of(run(tmp_path, settings, preset="scenes"))
    assert origin.decide("similarity", None, "dot") == "cosine" == origin.decide("similarity", "cosine")
    assert origin.decide("merge_self", None, True) is False
    args = argparse.Namespace(backbone=None, group_size=None, alpha=None)
    origin.fill(args, backbone="resnet101", group_size=2, alpha=1.5)
    assert vars(args) == {"backbone": "resnet10", "group_size": 3, "alpha": 1.5}  # alpha: CIAN's run says nothing of it
    assert origin.decide_preset(None) == "scenes" == origin.decide_preset("scenes")


@pytest.mark.parametrize("name, given, message", [
    ("similarity", "dot", "--similarity dot: .*/settings.json says cosine"),
    ("merge_self", True, "--merge-self yes: .*/settings.json says no"),
    ("group_size", 2, "--group-size 2: .*/settings.json says 3"),
    ("method", "comnet", "--method comnet: .*/settings.json says cian")])  # fmt: skip
def test_a_contradiction_names_both_values(name, given, message, tmp_path):
    settings = Segmentation.preset("scenes", similarity="cosine", merge_self=False, group_size=3)
    with pytest.raises(ValueError, match=message):
        origin_of(run(tmp_path, settings)).decide(name, given, given)
    with pytest.raises(ValueError, match="--preset voc12: .*/settings.json says scenes"):
        origin_of(run(tmp_path, settings, preset="scenes")).decide_preset("voc12")


def test_without_a_run_the_options_decide(tmp_path):
    for origin in (origin_of(tmp_path / "resnet-101-0000.params"), origin_of(None)):
        assert (origin.method, origin.preset, origin.classes) == (None, None, None)
        assert origin.decide("similarity", None, "dot") == "dot" and origin.decide("similarity", "cosine", "dot") == "cosine"
        assert origin.decide_preset(None) == "voc12" and origin.decide_preset("scenes") == "scenes"
        origin.check_classes(["background", "cat"], "data")
    write_json(tmp_path / "settings.json", ["of an editor"])
    assert origin_of(tmp_path / "x.params").settings == {}


@pytest.mark.parametrize("settings_class, method", [
    (Segmentation, "cian"), (Classifier, "cam"), (Matching, "comnet"), (BoundaryTraining, "irn")])  # fmt: skip
def test_the_preset_of_an_older_run_is_that_of_its_settings(settings_class, method, tmp_path, caplog):
    """Run folders of older code name no preset; their backbone and seed do not matter for it."""
    caplog.set_level("INFO")
    for preset in PRESETS:
        caplog.clear()
        origin = origin_of(run(tmp_path, settings_class.preset(preset, backbone="vgg16", seed=3)))
        assert origin.method == method and origin.decide_preset(None) == preset
        assert f"settings.json names no preset; its settings are those of {preset}, whose defaults apply" in caplog.text
    caplog.clear()
    origin = origin_of(run(tmp_path, settings_class.preset("scenes", epochs=77, crop=48)))
    assert origin.decide_preset("animals") == "animals" and caplog.text == ""  # given: nothing is guessed
    assert origin.decide_preset(None) == "voc12"
    assert "names no preset, and its settings are those of none: the defaults of voc12 apply" in caplog.text


def test_classes_are_compared_by_name(tmp_path):
    origin = origin_of(run(tmp_path, Segmentation.preset("scenes"), classes=["background", "cat", "dog"]))
    origin.check_classes(("background", "cat", "dog"), "data")
    with pytest.raises(ValueError, match=r"data: class 2 is 'cow', .*settings.json says 'dog' \(1 differ\)"):
        origin.check_classes(("background", "cat", "cow"), "data")
    with pytest.raises(ValueError, match="data: 2 classes, .*settings.json says 3"):
        origin.check_classes(("background", "cat"), "data")

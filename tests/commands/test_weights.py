"""`cian weights`: what check says in three lines and its exit status, conversion, and that nothing bad is written."""

import os

import gluoncv
import numpy as np
import pytest
import torch_files as torch
from source_networks import randomise, stored

from cian.__main__ import VERBS
from cian.base.cli import run_tool
from cian.base.runtime import mx
from cian.commands.weights import main
from cian.models.checkpoint import named_arrays, save_checkpoint
from cian.models.cian import CIAN
from cian.models.params import write_params
from cian.models.weight_file import read_weights


@pytest.fixture(scope="module")
def squeezenet(tmp_path_factory):
    """A .params file of Gluon's SqueezeNet 1.1, with its classifier."""
    path = tmp_path_factory.mktemp("weights") / "squeezenet.params"
    mx.nd.save(str(path), stored(randomise(gluoncv.model_zoo.squeezenet1_1())))
    return path


def run(*words):
    """Exit status of `cian weights WORDS`."""
    return run_tool(main, [str(word) for word in words])


def test_a_file_that_fits(squeezenet, capsys):
    assert run("check", squeezenet) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{squeezenet}: fits squeezenet1.1 (names of Gluon's squeezenet1.1 (save_parameters))", "  missing: none",
                     "  unknown: none; misshapen: none"]  # fmt: skip


def test_what_does_not_fit_is_named(squeezenet, tmp_path, capsys):
    arrays = read_weights(squeezenet)
    del arrays["features.0.bias"]
    arrays["features.99.weight"] = np.zeros(3, "float32")
    arrays["features.3.0.0.bias"] = np.zeros(17, "float32")
    write_params(tmp_path / "x.params", arrays)
    assert run("check", tmp_path / "x.params") == 1
    lines = capsys.readouterr().out.splitlines()
    assert "x.params: fits no backbone; nearest is squeezenet1.1 (names of Gluon's squeezenet1.1 (save" in lines[0]
    misshapen = "misshapen: 1: fire2_squeeze_bias (17,), expected (16,)"
    assert lines[1:] == ["  missing: 1: conv0_bias", f"  unknown: 1: features.99.weight; {misshapen}"]


def test_a_checkpoint_of_ours_fits_its_backbone_and_foreign_names_none(tmp_path, capsys):
    net = CIAN("resnet10", 3)
    net.initialize()
    save_checkpoint(tmp_path / "cian.params", named_arrays(net))
    assert run("check", tmp_path / "cian.params") == 0
    assert "fits resnet10 (names of the published code" in capsys.readouterr().out
    write_params(tmp_path / "x.params", {"encoder.layers.0.weight": np.zeros((2, 2), "float32")})
    assert run("check", tmp_path / "x.params") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("x.params: fits no backbone: no name is known") and lines[1] == "  missing: all"


@pytest.mark.parametrize("command", [("check",), ("convert", "out.params")])
def test_damaged_and_malicious_files_end_with_status_2_and_write_nothing(squeezenet, tmp_path, capsys, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    bad = {"cut.params": squeezenet.read_bytes()[:5000], "page.safetensors": b"<html>not found</html>", "empty.pth": b""}
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
    torch.write(tmp_path / "evil.pth", torch.called(torch.name("os", "system"), torch.text("touch executed")), {})
    before = sorted(os.listdir(tmp_path))
    for name in (*bad, "evil.pth", "absent.params"):
        assert run(command[0], name, *command[1:]) == 2
        assert name in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == before


def test_conversion_to_our_names(squeezenet, tmp_path, capsys):
    out = tmp_path / "ours.params"
    assert run("convert", squeezenet, out) == 0 and run("check", out) == 0
    kept, given = read_weights(out), read_weights(squeezenet)
    assert len(kept) == 54 and np.array_equal(kept["fire9_expand3x3_weight"], given["features.12.1.1.0.weight"])
    assert {name.split(":")[0] for name in mx.nd.load(str(out))} == {"arg", "aux"}
    assert run("convert", squeezenet, out) == 2 and "is there already" in capsys.readouterr().err
    assert run("convert", squeezenet, tmp_path / "x.pth") == 2 and "expected a .params file" in capsys.readouterr().err
    assert run("convert", squeezenet, tmp_path / "y.params", "--backbone", "vgg16") == 2
    assert "squeezenet.params: not weights of vgg16" in capsys.readouterr().err and not (tmp_path / "y.params").exists()


def test_nan_is_not_converted(squeezenet, tmp_path, capsys):
    arrays = read_weights(squeezenet)
    arrays["features.0.bias"] = arrays["features.0.bias"] * np.float32("nan")
    write_params(tmp_path / "nan.params", arrays)
    assert run("convert", tmp_path / "nan.params", tmp_path / "out.params") == 2
    assert "nan.params: conv0_bias holds NaN" in capsys.readouterr().err and not (tmp_path / "out.params").exists()


def test_the_list_and_unknown_names(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CIAN_WEIGHTS", str(tmp_path))
    assert run("list", "--backbone", "resnet101") == 0
    shown = capsys.readouterr().out
    for part in ("imgclsmob:preresnet101b", "79.15", "MIT", "gluoncv:resnet101_v2", "2024-02-08", "2024-09-06", str(tmp_path)):
        assert part in shown
    assert "torchvision" not in shown  # which has no pre-activation ResNet
    assert run("get", "timm:nothing") == 2
    assert "timm:nothing is unknown; known: imgclsmob:preresnet50b" in capsys.readouterr().err
    assert "weights" in VERBS

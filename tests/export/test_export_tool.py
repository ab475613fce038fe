"""tools/export.py: an export of a checkpoint and what it tells of itself, and the images on which it is verified."""

import os
import subprocess
import sys

import numpy as np
import pytest
from scripts import module_of, tool
from skimage.data import chelsea
from small_exports import contents, initialised, random_images
from small_training import ROOT

from cian.base.files import write_json
from cian.base.runs import settings_record
from cian.base.runtime import mx
from cian.config import Matching
from cian.data.images import write_label
from cian.export.exported import description, load_export
from cian.models.checkpoint import named_arrays, save_checkpoint
from cian.models.cian import CIAN
from cian.models.comnet import COMNet


@pytest.fixture(scope="module")
def net():
    return initialised(CIAN("resnet10", 4))


def test_tool_exports_a_checkpoint(net, shared, tmp_path):
    save_checkpoint(tmp_path / "n.params", named_arrays(net))
    image = sorted((shared / "data" / "VOC2012-animals" / "JPEGImages").glob("*.jpg"))[0]
    command = [
        sys.executable,
        str(ROOT / "tools" / "export.py"),
        "--checkpoint",
        str(tmp_path / "n.params"),
        "--backbone",
        "resnet10",
        "--output",
        str(tmp_path / "out" / "n"),
        "--classes",
        "background,a,b,c",
        "--size",
        "65,97",
        "--image",
        str(image),
    ]
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    result = subprocess.run(
        command + ["--probabilities", "--multi-scale", "--flip"], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 0 and "largest deviation" in result.stdout, result.stderr[-2000:]
    told = description(mx.sym.load(str(tmp_path / "out" / "n-symbol.json")))
    assert told == dict(
        method="cian",
        backbone="resnet10",
        classes=["background", "a", "b", "c"],
        output="probabilities",
        size=[65, 97],
        enlarged=True,
        scales=[0.75, 1.0, 1.25],
        flip=True,
        group=0,
    )
    with pytest.raises(FileExistsError, match="exists with other contents"):
        tool("export", *command[2:], "--labels")


def test_exports_are_verified_on_random_pixels_and_a_photograph(tmp_path):
    inputs = module_of("export").inputs
    free = inputs(None, [], 0)
    assert [x.shape for x in free] == [(1, 3, 129, 129), (1, 3, 161, 97), (1, 3, 297, 449)]
    np.testing.assert_allclose(free[2][0].mean(axis=(1, 2)), chelsea().mean(axis=(0, 1)), atol=1)  # a cat
    assert 60 < free[0].std() < 90 and not np.array_equal(free[0][0, 0, :97, :97], free[1][0, 0, :97, :97])
    write_label(tmp_path / "x.png", np.ones((20, 30), np.uint8))
    more = inputs((65, 97), [str(tmp_path / "x.png")], 2)
    assert [x.shape for x in more] == [(1, 2, 3, 65, 97)] * 3 and {x.dtype for x in more} == {np.dtype("float32")}
    np.testing.assert_array_equal(more[1][0, 1], np.roll(more[1][0, 0], 7, axis=-1))


@pytest.mark.parametrize("matching", ["inter", "both"])
def test_a_comnet_is_exported_as_its_run_folder_describes_it(matching, tmp_path):
    """Inter-matching has no parameters: by its checkpoint alone the network would pass for a plain CAM."""
    net = initialised(COMNet("resnet10", 3, matching, alpha=3.0))
    checkpoint, settings = tmp_path / "comnet_resnet10-0000.params", tmp_path / "settings.json"
    save_checkpoint(checkpoint, named_arrays(net))
    write_json(settings, {"settings": settings_record(Matching.preset("scenes", matching=matching, alpha=3.0))})
    words = ["export", "--checkpoint", checkpoint, "--output", tmp_path / "x"]
    tool(*words, "--size", "65,97")
    block, told = load_export(tmp_path / "x", mx.cpu())
    assert (told["method"], told["backbone"], told["classes"]) == ("comnet", "resnet10", ["class1", "class2", "class3"])
    x = mx.nd.array(random_images(1, 3, 65, 97))
    expected = net.maps(mx.nd.stack(x[0], x[0].flip(axis=2)))[0].asnumpy()
    np.testing.assert_allclose(block(x)[1][0].asnumpy(), expected, atol=1e-5 * np.abs(expected).max())
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=r"--backbone vgg16: .*settings\.json says resnet10"):
        tool(*words, "--backbone", "vgg16")
    with pytest.raises(ValueError, match="--onnx: MXNet's converter does not know the operators of COMNet's matchings"):
        tool(*words, "--onnx", "--overwrite")
    assert contents(tmp_path) == before
    settings.unlink()
    if matching == "both":
        with pytest.raises(FileNotFoundError, match=r"settings\.json: no such file; the network of a COMNet checkpoint"):
            tool(*words, "--backbone", "resnet10", "--overwrite")
